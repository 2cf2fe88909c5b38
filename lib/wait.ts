/**
 * How a run waits: for what must come true in the world, for a call that takes minutes. While it waits it keeps its
 * lock, shows what it sees, and stops when the operator asks.
 */
import type { Effect, Step } from './effect.ts'
import type { Door } from './door.ts'
import { clock } from './clock.ts'
import { lookAgain } from './door.ts'
import { Stopped, isPassing, sentence } from './fail.ts'

export type StepEvent =
  | { event: 'step'; id: string; n: number; state: 'started' | 'done' | 'failed' | 'stopped' | 'left'; say: string; ms: number; changes: number }
  /** What a person does now, while the run watches for the result. */
  | { event: 'manual'; id: string; say: string }
  | { event: 'wait'; id: string; say: string; seen: string; ms: number; within?: number }

export interface Run {
  steps: Step[]
  door: Door
  /** Never throws: what cannot be written down or shown must not keep a step from running. */
  emit(event: StepEvent): void
  /** A step failed: what is sent from here on must not be left out. */
  failing(): void
  /** Renews the lock while we wait. */
  hold(): Promise<void>
  /** Aborted once the operator asked to stop. */
  stop: AbortSignal
  /** Last step to run. */
  until?: string | undefined
  /** The longest single wait, where the operator named one; otherwise each wait has its own. */
  timeout?: number | undefined
}

/** How often the world is asked while we wait, in milliseconds: what takes minutes is asked less and less often. */
const POLL = 2000, SELDOM = 10_000
const pollAfter = (waited: number): number => Math.min(SELDOM, Math.max(POLL, waited / 10))
/** How often one looks at what a call does that takes minutes; of one that takes hours, less often. */
const WATCH = 10_000
const watchAfter = (waited: number): number => Math.max(WATCH, waited / 60)
export const mayGoOn = ({ stop }: Run): void => {
  if (stop.aborted) throw new Stopped()
}

/** The longest that a wait of its own length may be. */
export const limit = (run: Run, within: number): number => run.timeout ?? within

/** True as soon as it holds; what was seen last when the time is over. */
export const wait = async (run: Run, step: Step, say: string, within: number, look: () => Promise<true | string>): Promise<true | string> => {
  const began = clock.now()
  for (;;) {
    lookAgain()
    const seen = await look().catch((error: unknown) => {
      if (isPassing(error)) return 'no answer'
      throw error
    })
    if (seen === true) return true
    const ms = clock.now() - began
    run.emit({ event: 'wait', id: step.id, say, seen, ms, within })
    if (ms >= within) return seen
    await pause(run, ms, within - ms)
  }
}

export const pause = async (run: Run, waited: number, left: number): Promise<void> => {
  await clock.sleep(Math.min(pollAfter(waited), left), run.stop)
  mayGoOn(run)
  await run.hold()
}

/** Sends it, and shows what is seen of it meanwhile. */
export const watched = async (run: Run, { id }: Step, effect: Effect): Promise<void> => {
  const over = new AbortController()
  const began = clock.now()
  const look = async (): Promise<void> => {
    for (;;) {
      // As long as a child process takes: in real time.
      await clock.limit(watchAfter(clock.now() - began), over.signal)
      if (over.signal.aborted) return
      const seen = await effect.watch?.().catch((error: unknown) => (isPassing(error) ? 'no answer' : sentence(error)))
      if (!over.signal.aborted) run.emit({ event: 'wait', id, say: effect.id, seen: seen ?? '', ms: clock.now() - began })
    }
  }
  const looking = effect.watch ? look() : undefined
  try {
    await run.door.apply(effect)
  } finally {
    over.abort()
    await looking
  }
}
