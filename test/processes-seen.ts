/** What any process of this machine shows to the others while something runs: the words that it was started with. */
import { readFileSync, readdirSync } from 'node:fs'

export interface Watch {
  /** Each text once, with the name of its file in front. */
  seen: Set<string>
  stop(): void
}

/** Looks every few milliseconds, until it is stopped. `environ` is what only its owner reads. */
export const watchProcesses = (...files: ('cmdline' | 'environ')[]): Watch => {
  const seen = new Set<string>()
  const look = () => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      for (const file of files) {
        try {
          seen.add(`${file} ${readFileSync(`/proc/${pid}/${file}`, 'utf8')}`)
        } catch { /* it has ended, or is not ours */ }
      }
    }
  }
  const timer = setInterval(look, 5)
  return { seen, stop: () => clearInterval(timer) }
}

/** What `work` gives, and what the processes of this machine showed meanwhile. */
export const processesDuring = async <T>(work: () => Promise<T>, ...files: ('cmdline' | 'environ')[]): Promise<{ result: T, shown: string[] }> => {
  const { seen, stop } = watchProcesses(...(files.length ? files : ['cmdline'] as const))
  try {
    return { result: await work(), shown: [...seen] }
  } finally {
    stop()
  }
}
