/**
 * The file of a world, which several processes may serve at once: it is read again when somebody else wrote it, changed
 * under a lock, and renamed into place.
 */
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { EXIT, fail } from '../fail.ts'
import { tilde } from '../journal.ts'
import type { World } from './world.ts'

const parse = (text: string): World | undefined => {
  try {
    return JSON.parse(text) as World
  } catch {
    return undefined
  }
}

/** What is only read must not be changed: whoever tries fails. */
const freeze = (value: unknown): void => {
  if (!value || typeof value !== 'object') return
  Object.freeze(value)
  Object.values(value).forEach(freeze)
}

/** One process's view of the file. Nothing here waits: a section under the lock takes milliseconds. */
export interface Store {
  read(): World
  /** Changes the world under the lock; it is written only if `edit` changed it and does not answer false. */
  change<T>(edit: (world: World) => T, keep?: (answer: T) => boolean): T
  /** Moves time forward in memory only: the next change writes it. */
  nap(until: number): void
}

export const openStore = (file: string, fresh: () => World): Store => {
  const folder = dirname(file)
  if (!existsSync(folder)) mkdirSync(folder, { recursive: true, mode: 0o700 })
  const lock = `${file}.lock`
  let world: World | undefined
  let text = ''
  let seen = ''
  /** The time that stands in the file. */
  let written = 0
  let napped = 0
  let frozen: World | undefined

  const stamp = (): string => {
    const { mtimeMs, size, ino } = statSync(file)
    return `${mtimeMs} ${size} ${ino}`
  }
  const load = (): World => {
    const now = stamp()
    if (!world || now !== seen) {
      text = readFileSync(file, 'utf8')
      world = parse(text)
      if (world?.schema !== 1) throw fail(`The rehearsal's world ${tilde(file)} is damaged, or of another version.`, 'make rehearse-reset starts afresh.', { code: EXIT.usage })
      seen = now
      written = world.time
    }
    if (world.time < napped) world.time = napped
    if (frozen !== world) Object.values(frozen = world).forEach(freeze)
    return world
  }
  const save = (next: World): void => {
    const whole = `${JSON.stringify(next, null, 1)}\n`
    if (whole !== text) {
      writeFileSync(`${file}.part`, whole, { mode: 0o600 })
      renameSync(`${file}.part`, file)
      seen = stamp()
    }
    text = whole
    written = next.time
    world = next
  }
  const locked = <T>(work: () => T): T => {
    for (;;) {
      try {
        // A symbolic link is made and filled in one step: a killed owner never leaves it half written.
        symlinkSync(String(process.pid), lock)
        break
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
        if (isStale(lock)) {
          rmSync(lock, { force: true })
          continue
        }
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
      }
    }
    try {
      return work()
    } finally {
      rmSync(lock, { force: true })
    }
  }
  locked(() => {
    if (!existsSync(file)) save(fresh())
  })
  return {
    read: load,
    nap: (until) => {
      napped = Math.max(napped, until)
    },
    change: (edit, keep = () => true) => locked(() => {
      const draft = structuredClone(load())
      const before = JSON.stringify({ ...draft, time: 0 })
      const time = written
      const answer = edit(draft)
      // Time that only napped is no reason to write: a dry run that had to wait leaves no trace.
      const same = JSON.stringify({ ...draft, time: 0 }) === before && (draft.time === time || draft.time === napped)
      if (keep(answer) && !same) save(draft)
      return answer
    }),
  }
}

/** Whether the owner of a lock is gone. This process never waits for itself, so its own number is a leftover too. */
const isStale = (lock: string): boolean => {
  try {
    const owner = Number(readlinkSync(lock))
    if (owner === process.pid) return true
    // Process numbers are used again; nobody holds the lock for that long.
    if (Date.now() - lstatSync(lock).mtimeMs > 10_000) return true
    process.kill(owner, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
