/**
 * The one door through which the world is changed. Clients ask it below their own code whether a change is
 * allowed right now, so that a read cannot write and a dry run cannot change anything, whatever a step does.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Effect } from './effect.ts'
import { clock } from './clock.ts'
import { EXIT, Lost, Refused, fail, isForNow, mayBeDone, sentence } from './fail.ts'
import { commandLine } from './shell.ts'

const through = new AsyncLocalStorage<string>()
let looks = 0

/** Every client calls this before it sends what is not a read. */
export const mustBeInDoor = (what: string): void => {
  if (through.getStore() === undefined) {
    throw new Error(`${what} would change the world outside of an effect; nothing was sent`)
  }
}

/** For the runner's own records in the world (the lock), which are no part of a procedure. */
export const asRunner = <T>(what: string, act: () => Promise<T>): Promise<T> => through.run(what, act)

/** Forget what reads remembered: the world may have changed. */
export const lookAgain = (): void => { looks += 1 }

/** A read of what does not change under a run. */
export const once = <T>(read: () => Promise<T>): (() => Promise<T>) => {
  let answer: Promise<T> | undefined
  return () => (answer ??= read())
}

/** A read that is asked several times within one look at the world and made once. */
export const oncePerLook = <T>(read: () => Promise<T>): (() => Promise<T>) => {
  let seen = -1
  let answer: Promise<T>
  return () => {
    if (seen !== looks) {
      seen = looks
      answer = read()
    }
    return answer
  }
}

export interface Door {
  apply(effect: Effect): Promise<void>
}

export type EffectEvent = {
  event: 'effect-start' | 'effect-end'
  effect: string
  line: string
  ms?: number
  /** Why it did not succeed; where it is sent again, when and for which time. */
  error?: string
  retry?: { lost: boolean; ms: number; attempt: number; of: number }
  /** Sent again, it was refused: the sending whose answer was lost had carried it out. */
  carriedOutBefore?: true
}

export interface Guard {
  /** Throws when the lock is no longer ours: as we know, or as the server says now, where `look` says so. */
  lockIsOurs(look: boolean): Promise<void>
  /** Whether the plan that was confirmed holds this effect. */
  confirmed(effect: Effect): boolean
  /** Throws before an effect that cannot be written down and must be; after one there is nothing to hold back. */
  record(event: EffectEvent): void
}

/** Attempts for what may be sent again: at once, then after about 1, 2, 4 and 8 s. */
const ATTEMPTS = 5

export const openDoor = (guard: Guard): Door => ({
  async apply(effect) {
    if ((effect.danger || effect.final || effect.subject) && !guard.confirmed(effect)) {
      const what = effect.danger || effect.final ? 'is destructive and ' : ''
      throw fail(`“${effect.id}”${effect.subject ? `, for ${effect.subject},` : ''} ${what}was not in the plan that was confirmed: the world has changed since.`,
        'Run the same line again; it plans afresh and asks.', { code: EXIT.stale })
    }
    const line = commandLine(effect.command)
    const started = clock.now()
    let lost = false
    let carriedOutBefore = false
    for (let attempt = 1; ; attempt++) {
      // What cannot be taken back is not sent on what we knew some seconds ago.
      await guard.lockIsOurs(Boolean(effect.danger || effect.final) || effect.again === 'mint')
      // Also before another sending: the first may have lasted hours.
      const unfit = await effect.unfit?.()
      if (unfit) throw unfit
      guard.record({ event: 'effect-start', effect: effect.id, line })
      try {
        await through.run(effect.id, () => effect.call())
        break
      } catch (error) {
        carriedOutBefore = lost && effect.again === 'guarded' && isRefusal(error)
        if (carriedOutBefore) break
        const sendAgain = maySendAgain(error, effect.again) && effect.again !== 'mint' && attempt < ATTEMPTS
        const wait = (error instanceof Refused && error.retryAfter) || 2 ** (attempt - 1) * 1000
        guard.record({
          event: 'effect-end', effect: effect.id, line, error: sentence(error), ms: clock.now() - started,
          ...(sendAgain ? { retry: { lost: mayBeDone(error), ms: wait, attempt: attempt + 1, of: ATTEMPTS } } : {}),
        })
        if (!sendAgain) throw error
        lost ||= mayBeDone(error)
        await clock.sleep(wait)
      } finally {
        lookAgain()
      }
    }
    guard.record({ event: 'effect-end', effect: effect.id, line, ms: clock.now() - started, ...(carriedOutBefore ? { carriedOutBefore } : {}) })
  },
})

/** A no to the second sending of what the first, whose answer was lost, carried out. */
const isRefusal = (error: unknown): boolean => error instanceof Refused && [404, 409].includes(error.status)

/** Worth sending again: the answer was lost, or the no is one for now; of what is safe, also one that somebody else's change caused. */
const maySendAgain = (error: unknown, again: Effect['again']): boolean =>
  error instanceof Lost || isForNow(error) || (error instanceof Refused && error.status === 409 && again === 'safe')
