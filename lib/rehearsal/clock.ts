/**
 * The time of a rehearsal. It moves only while somebody sleeps, at the pace of the world;
 * at pace 0 the earliest sleeper wakes as soon as nothing else is going on.
 */
import { pause, type Clock } from '../clock.ts'
import { settle } from './controllers.ts'
import type { Traffic } from './server.ts'
import type { Store } from './world-file.ts'

interface Sleeper { until: number; wake(): void }

/** A client that only backs off must not change the file: shorter waits are kept in memory. */
const NAP = 5_000

/**
 * Idle turns of the event loop before time moves at pace 0; more while a client waits for an answer that never comes,
 * and before a leap, which only the time limit of a request asks for: its answer may just be on its way.
 */
const QUIET = 5, HUNG = 150, LEAP = 100, FAR = 20_000

/** What this process still has in hand besides requests: connections, files, and commands but for those that only wait. */
const atWork = (asleep: number): boolean => {
  const all = process.getActiveResourcesInfo()
  return all.some((one) => /^(TCPConnectWrap|FSReq|WriteWrap|ShutdownWrap|Immediate)/.test(one)) || all.filter((one) => one === 'ProcessWrap').length > asleep
}

export const virtualClock = (store: Store, traffic: Pick<Traffic, 'busy' | 'hung' | 'asleep'>): { clock: Required<Clock>; stop(): void } => {
  const sleepers: Sleeper[] = []
  let pump: NodeJS.Timeout | undefined
  let quiet = 0
  const state = (): 'idle' | 'busy' | 'hung' => (traffic.hung ? 'hung' : traffic.busy > traffic.asleep ? 'busy' : 'idle')

  const advance = (until: number): void => {
    const world = store.read()
    if (until <= world.time) return
    const nothing = !world.due.some((due) => due.at <= until)
    if (nothing && until - world.time <= NAP) store.nap(until)
    else store.change((draft) => settle(draft, until))
  }
  const turn = (): void => {
    pump = undefined
    // A client that waits for an answer that never comes is no work.
    quiet = state() === 'busy' || (state() === 'idle' && atWork(traffic.asleep)) ? 0 : quiet + 1
    const next = sleepers.sort((a, b) => a.until - b.until)[0]
    const patience = state() === 'hung' ? HUNG : next && next.until - store.read().time > FAR ? LEAP : QUIET
    if (quiet >= patience) {
      quiet = 0
      if (next) {
        sleepers.shift()
        advance(next.until)
        next.wake()
      }
    }
    if (sleepers.length) pump = setTimeout(turn, 1)
  }
  const wait = (until: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const wake = () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      }
      const sleeper = { until, wake }
      const abort = () => {
        const at = sleepers.indexOf(sleeper)
        if (at >= 0) sleepers.splice(at, 1)
        resolve()
      }
      signal?.addEventListener('abort', abort, { once: true })
      sleepers.push(sleeper)
      quiet = 0
      pump ??= setTimeout(turn, 1)
    })
  const clock: Required<Clock> = {
    now: () => store.read().time,
    sleep: async (ms, signal) => {
      const { time, pace } = store.read()
      if (pace === 0) return wait(time + ms, signal)
      await pause(ms * pace, signal)
      if (!signal?.aborted) advance(time + ms)
    },
    // A command is as slow as the machine that it runs on; only where no time passes at all is there none to measure.
    limit: (ms, signal) => (store.read().pace === 0 ? wait(store.read().time + ms, signal) : pause(ms, signal)),
  }
  return { clock, stop: () => clearTimeout(pump) }
}
