/**
 * Time as the runbooks see it: the machine's own, or that of a rehearsal, where it is data
 * in the world file and ten minutes of waiting pass in seconds.
 */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Resolves after `ms`, or at once when the signal aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** The same for the time limit of what runs outside of a rehearsal's time, as child processes do: in real time. */
  limit?(ms: number, signal?: AbortSignal): Promise<void>
}

/** A time, in milliseconds since the epoch, as people read it. */
export const stamp = (time: number): string => `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC`

/** Sleeps in real time. */
export const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const wake = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', wake)
      resolve()
    }
    const timer = setTimeout(wake, ms)
    signal?.addEventListener('abort', wake)
  })

let current: Clock = { now: () => Date.now(), sleep: pause }

/** The clock in force. */
export const clock: Required<Clock> = {
  now: () => current.now(),
  sleep: (ms, signal) => current.sleep(ms, signal),
  limit: (ms, signal) => (current.limit ?? pause)(ms, signal),
}

/** A rehearsal, or a test, brings its own clock. */
export const useClock = (other: Clock): void => {
  current = other
}
