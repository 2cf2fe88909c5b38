/** Secrets of a rehearsal. */
import { digest } from './world.ts'

/** A secret value that looks like one and is the same in every rehearsal. */
export const secret = (name: string, length = 24): string =>
  Buffer.from(digest(`rehearsal of ${name}`), 'hex').toString('base64').replace(/[^A-Za-z0-9]/g, '').slice(0, length)
