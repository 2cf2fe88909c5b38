/**
 * The ways out of a migration: 2.19 freed of what the export started on its box, and a trial that ends when those who look
 * at it say so. Installation guide 3.3.0, "Migration": "you can fallback to your 2.19 instance".
 */
import type { Check, Done, Effect, Step } from '../effect.ts'
import { done, minutes } from '../effect.ts'
import { line } from '../shell.ts'
import { heldBy } from '../server/config.ts'
import { adminConsole, isOnItsWay, kots, kotsVersions, SLUG } from '../server/kots.ts'
import type { Box } from './box.ts'
import { unserve } from './box.ts'
import { noteLine, notes } from './held.ts'

/** 2.19 cannot have its data while a server of ours runs on it. */
export const haveNoContainers = (box: Box) => async (): Promise<Done | Effect[]> => {
  const { ours } = await box.look()
  return ours.length ? [unserve(box, ours)] : done('nothing of the export runs there')
}

/** A deploy of KOTS that is on its way would start 3.x beside 2.19 in a moment: it is waited for. */
export const noDeployIsOnItsWay = (): Check => ({
  say: 'no deploy of KOTS is on its way', within: minutes(20), prints: '',
  command: { words: ['sh', '-c', `${line(kots('get', 'versions', SLUG, '-o', 'json'))} | grep -oE '"status": "(deploying|pending_preflight)"' || true`] },
  holds: async () => {
    const moving = (await kotsVersions())?.find(({ status }) => isOnItsWay(status) && status !== 'deployed')
    return !moving || `version ${moving.sequence} is ${moving.status}`
  },
  hint: async () => `See it under Version History: ${adminConsole()}`,
})

export const OVER = 'trial'
const isOver = async (): Promise<boolean> => (await notes())[OVER] === 'over'

/** A step of a trial, of which nothing is wanted any more once that is over. */
export const unlessOver = (step: Step): Step => ({
  ...step, todo: async () => (await isOver() ? done(`the trial is over (before another one: ${noteLine({ [OVER]: null })})`) : step.todo()),
})

/** Somebody has said that the trial is over. */
export const haveTrialOver = async (): Promise<Done | Effect[]> => (await isOver() ? done('the trial is over') : [])

export const trialByHand = async (): Promise<string> =>
  `look at 3.x at https://${await heldBy('domain') ?? 'its address'}: log in, read old builds, run realitycheck. When you have seen enough:\n  ${noteLine({ [OVER]: 'over' })}`
