/**
 * What an installation has beside its parts and has no runbook yet: what is to do, and where the guide says how. What of it
 * is done is read from the world as far as that tells.
 */
import { Fail } from './fail.ts'
import type { Phase } from './parts.ts'
import { heldBy } from './server/config.ts'
import type { FieldName } from './server/config-screen.ts'

/** `done` is how one knows that it is. */
export interface Left { name: string; phase: Phase; say: string; guide: string; done?: string }

const MAIL: FieldName[] = ['mailHost', 'mailUser', 'mailPassword', 'mailFrom']

/** The fields that the guide requires for mail hold something. */
const mailIsSet = async (): Promise<string | undefined> => {
  try {
    const held: (string | undefined)[] = []
    for (const field of MAIL) held.push(await heldBy(field))
    return held.every(Boolean) ? `the Config screen names ${held[0]}` : undefined
  } catch (error) {
    // Nobody who can be asked: it is not known to be done.
    if (error instanceof Fail) return undefined
    throw error
  }
}

/** In the guide's order. Which orbs are imported the server tells nobody without the token of an administrator. */
export const leftByHand = async (hasCluster: boolean): Promise<Left[]> => {
  const mail = hasCluster ? await mailIsSet() : undefined
  return [
    { name: 'orbs', phase: 4, say: 'import the orbs that projects use', guide: 'installation guide, phase 4, “Orbs”; operations guide, “Managing Orbs”' },
    { name: 'email', phase: 4, say: 'fill in Email on the Config screen, so that builds send mail', guide: 'installation guide, phase 4, “Email Notifications”', ...(mail ? { done: mail } : {}) },
  ]
}
