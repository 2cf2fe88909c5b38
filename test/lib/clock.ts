/**
 * Time for tests: a wait is over at once, and the clock shows that it took its time. Waits longer than `patience`
 * never end by themselves: what they limit is real.
 */
import { useClock } from '../../lib/clock.ts'

export const testClock = (patience = Infinity) => {
  let now = Date.UTC(2022, 10, 22, 3)
  const slept: number[] = []
  const at: { when: number; act: () => void }[] = []
  const sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
    await Promise.resolve()
    if (signal?.aborted) return
    if (ms > patience) return new Promise((resolve) => { signal?.addEventListener('abort', () => resolve()) })
    slept.push(ms)
    now += ms
    for (const due of at.filter(({ when }) => when <= now)) {
      at.splice(at.indexOf(due), 1)
      due.act()
    }
  }
  useClock({ now: () => now, sleep })
  return {
    slept,
    /** Something else happens in the world after so many milliseconds. */
    after: (ms: number, act: () => void) => { at.push({ when: now + ms, act }) },
    pass: (ms: number) => { now += ms },
    now: () => now,
    /** Also what is limited in real time takes none. */
    limited: () => useClock({ now: () => now, sleep, limit: sleep }),
  }
}
