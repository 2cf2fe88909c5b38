/**
 * Command-line tools as child processes. A call is a write, and so goes through the door, unless it is made as
 * a read. Children run in a process group of their own, so that a Ctrl-C at the terminal reaches only us and
 * the effect in hand can finish.
 */
import { readFileSync } from 'node:fs'
import type { ProcessPromise } from 'zx/core'
import { mustBeInDoor } from './door.ts'
import { clock } from './clock.ts'
import { Lost, fail } from './fail.ts'
import { duration } from './plan.ts'
import { line, quote } from './shell.ts'

export interface Outcome { code: number; stdout: string; stderr: string }

const running = new Set<{ pid: number; kill(): void }>()
let environment: NodeJS.ProcessEnv = process.env
let started: (pid: number) => void = () => {}

/** For what starts children by itself: what they see, who is told of them, and those that a second Ctrl-C ends. */
export const children = { environment: (): NodeJS.ProcessEnv => environment, tell: (pid: number): void => started(pid), running }

/** What children see as their environment, and who is told of each child that a write starts. */
export const prepareTools = (options: { env?: NodeJS.ProcessEnv; onStart?: (pid: number) => void }): void => {
  if (options.env) environment = options.env
  if (options.onStart) started = options.onStart
}

/** Ends the children that still run: for a second Ctrl-C. */
export const stopTools = (): void => {
  for (const child of running) child.kill()
}

/**
 * What a tool gets beside its command line; and of what it says, `noise`, lines that tell nothing of why it failed, and
 * `tells`, lines of its standard output that do.
 */
export interface Given {
  stdin?: string | undefined; env?: Record<string, string>; noise?: RegExp; tells?: RegExp
  /** Of one that only reads: how long it may take, where that is more than a minute. */
  within?: number
  /** What it says goes into this file, and what it writes is only yours: a tool that outlives us must not die of a pipe that nobody reads any more. */
  log?: string
  /** It ends in order where it is interrupted: by one signal, to itself and not to what it started. */
  orderly?: true
}

/**
 * A child that somebody is told of does not begin before they know: the shell waits for a line, and becomes the
 * tool only then. Where the telling fails, or we are killed meanwhile, the line never comes.
 */
const run = async (words: string[], timeout: number, { stdin, env, log, orderly }: Given = {}, onStart?: (pid: number) => void): Promise<Outcome> => {
  const { $ } = await import('zx/core')
  const child = $({
    quiet: true, nothrow: true, detached: true, stdio: [onStart || stdin !== undefined ? 'pipe' : 'ignore', 'pipe', 'pipe'], env: { ...environment, ...env },
    // exec: the child's pid is then the tool's own, which the journal notes.
    // A tool that opens /dev/stdin wants a pipe, as in the line that is shown; what Node gives is a socket.
    prefix: `${onStart ? 'read -r _ && ' : ''}${log ? 'umask 077 && ' : ''}exec `, postfix: `${stdin !== undefined ? ' < <(cat)' : onStart ? ' </dev/null' : ''}${log ? ` >${quote(log)} 2>&1` : ''}`,
  })`${words}`
  const entry = { pid: child.pid ?? 0, kill: () => endGroup(child.pid, orderly) }
  if (onStart) await begin(child, onStart, stdin)
  else if (stdin !== undefined) child.stdin.on('error', () => {}).end(stdin)
  running.add(entry)
  const ended = new AbortController()
  let tooLong = false
  void clock.limit(timeout, ended.signal).then(() => {
    if (ended.signal.aborted) return
    tooLong = true
    entry.kill()
  })
  try {
    const { exitCode, signal, stdout, stderr } = await child
    if (tooLong) throw new Lost(`${words.slice(0, 4).join(' ')} … did not end within ${duration(timeout)} and was stopped`)
    return { code: exitCode ?? (signal ? 143 : 1), stdout: log ? readFileSync(log, 'utf8') : stdout, stderr }
  } finally {
    ended.abort()
    running.delete(entry)
  }
}

/** The whole group, and at once: we may end before anybody could look up who belongs to it. */
export const endGroup = (pid: number | undefined, orderly = false): void => {
  try {
    if (pid) process.kill(orderly ? pid : -pid, orderly ? 'SIGINT' : 'SIGTERM')
  } catch { /* it has ended */ }
}

const begin = async (child: ProcessPromise, onStart: (pid: number) => void, stdin = ''): Promise<void> => {
  // It may be gone before it reads: how it ended tells more than the broken pipe.
  child.stdin.on('error', () => {})
  try {
    if (child.pid) onStart(child.pid)
  } catch (error) {
    child.stdin.destroy()
    await child
    throw error
  }
  child.stdin.end(`\n${stdin}`)
}

/** How long a tool that only reads may take. */
const READING = 60_000
/** The code of a tool that did not end in time, as `timeout` has it. */
export const TOO_LATE = 124

/** Runs a tool that only reads; one that does not end is a failed one. */
export const readTool = (words: string[], given?: Given): Promise<Outcome> =>
  run(words, given?.within ?? READING, given).catch((error: unknown) => {
    if (error instanceof Lost) return { code: TOO_LATE, stdout: '', stderr: `${words.slice(0, 3).join(' ')} did not answer within ${(given?.within ?? READING) / 1000} s` }
    throw error
  })

/** Runs a tool that changes the world; throws where it fails, and `Lost` where it did not end in time. */
export const runTool = async (words: string[], next: string, timeout: number, given?: Given): Promise<Outcome> => {
  mustBeInDoor(line(words))
  const outcome = await run(words, timeout, given, started)
  if (outcome.code !== 0) {
    throw fail(`${words.slice(0, 4).join(' ')} … ended with ${outcome.code}: ${complaint(outcome, given?.noise, given?.tells)}`, next)
  }
  return outcome
}

/** What a tool said of its failure, in one line, without what it says below each. */
export const complaint = ({ stderr, stdout }: Outcome, noise?: RegExp, tells?: RegExp): string => {
  const told = tells ? stdout.split('\n').filter((one) => tells.test(one)) : []
  const said = [...told, ...(stderr.trim() || (told.length ? '' : stdout.trim())).split('\n')]
  return said.map((one) => one.trim()).filter((one) => one && !noise?.test(one)).slice(-2).join(' / ') || 'it said nothing'
}
