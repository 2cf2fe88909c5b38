/**
 * What one tool prints, read by another, through this process: bytes are counted on their way, and nothing is kept. The
 * second is told that all has come only where the first ended well; otherwise it is ended, so that it takes no part for
 * the whole.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { clock } from './clock.ts'
import { mustBeInDoor } from './door.ts'
import { Lost, fail } from './fail.ts'
import { duration } from './plan.ts'
import { line } from './shell.ts'
import { children, complaint, endGroup } from './tools.ts'

/** Bytes that have come through, and since when, in milliseconds of the machine. */
export interface Progress { bytes: number; began: number }

interface Ended { code: number; said: string }

/** The code of ssh where its connection, and not the command at the other end, failed. */
const DISCONNECTED = 255
/** What kubectl says where its connection broke. */
const BROKEN = /unable to upgrade connection|connection (was )?(refused|reset|lost|closed)|unexpected EOF|no route to host|i\/o timeout|TLS handshake|rehearsal does not answer/i
/** The last words of a tool are enough. */
const TAIL = 4096

/**
 * Runs both to their end. Throws `Lost` where a connection broke, which may be tried again, and otherwise what the one
 * that failed said. `within` is how long nothing may move; `mutating` is false for a measurement, which leaves nothing.
 */
export const flow = async (from: string[], to: string[], progress: Progress, { next, within, mutating = true }: { next: string; within: number; mutating?: boolean }): Promise<void> => {
  if (mutating) mustBeInDoor(`${line(from)} | ${line(to)}`)
  const sink = begin(to, 'pipe', mutating), source = begin(from, 'ignore', mutating)
  const all = [source, sink]
  const over = new AbortController()
  let late = false
  const look = async (): Promise<void> => {
    for (let before = -1; before !== progress.bytes;) {
      before = progress.bytes
      await clock.limit(within, over.signal)
      if (over.signal.aborted) return
    }
    late = true
    for (const child of all) endGroup(child.process.pid)
  }
  void look()
  try {
    await Promise.all(all.map(({ release }) => release()))
    Object.assign(progress, { bytes: 0, began: Date.now() })
    const input = sink.process.stdin as NonNullable<ChildProcess['stdin']>
    // How the sink ended tells more than the broken pipe.
    input.on('error', () => source.process.stdout?.resume())
    source.process.stdout?.on('data', (part: Buffer) => {
      progress.bytes += part.length
      if (!input.destroyed && !input.write(part)) {
        source.process.stdout?.pause()
        input.once('drain', () => source.process.stdout?.resume())
      }
    })
    // Where one of them gives up, the other is ended for it: how the first one ended is what tells.
    const first = await Promise.race([source.ended.then(() => 'source'), sink.ended.then(() => 'sink')])
    if (first === 'sink') endGroup(source.process.pid)
    const sent = await source.ended
    if (sent.code === 0) input.end()
    else endGroup(sink.process.pid)
    const taken = await sink.ended
    if (late) throw new Lost(`nothing moved for ${duration(within)}, and it was stopped`)
    if (taken.code !== 0 && (first === 'sink' || sent.code === 0)) throw wrong(to, taken, next)
    if (sent.code !== 0) throw wrong(from, sent, next)
  } finally {
    over.abort()
    for (const child of all) {
      endGroup(child.process.pid)
      children.running.delete(child.entry)
    }
  }
}

/** A child that waits until it is written down that it runs. */
const begin = (words: string[], stdin: 'pipe' | 'ignore', told: boolean) => {
  const waits = told ? ['bash', '-c', `read -r _ && exec "$@"${stdin === 'ignore' ? ' </dev/null' : ''}`, 'bash', ...words] : words
  const child = spawn(waits[0] as string, waits.slice(1), { env: children.environment(), detached: true, stdio: [told ? 'pipe' : stdin, 'pipe', 'pipe'] })
  const entry = { pid: child.pid ?? 0, kill: () => endGroup(child.pid) }
  children.running.add(entry)
  let said = ''
  child.stderr?.on('data', (part: Buffer) => { said = (said + part.toString()).slice(-TAIL) })
  if (stdin === 'pipe') child.stdout?.on('data', (part: Buffer) => { said = (said + part.toString()).slice(-TAIL) })
  child.stdin?.on('error', () => {})
  const ended = new Promise<Ended>((resolve) => {
    child.on('error', (error) => resolve({ code: 127, said: error.message }))
    child.on('close', (code, signal) => resolve({ code: code ?? (signal ? 143 : 1), said }))
  })
  return {
    process: child, entry, ended,
    release: async () => {
      if (!told) return
      if (child.pid) children.tell(child.pid)
      child.stdin?.write('\n')
      if (stdin === 'ignore') child.stdin?.end()
    },
  }
}

const wrong = (words: string[], { code, said }: Ended, next: string): Error => {
  const why = complaint({ code, stdout: '', stderr: said })
  if ((words[0] === 'ssh' && code === DISCONNECTED) || BROKEN.test(said)) return new Lost(`the connection of ${words[0]} broke: ${why}`)
  return fail(`${words.slice(0, 4).join(' ')} … ended with ${code}: ${why}`, next)
}
