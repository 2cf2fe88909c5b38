/**
 * The journal of a run: append-only lines of JSON, one folder an installation and runbook, on disk before and
 * after each effect. Nothing decides from it: it is the transcript for the ticket, the source of estimates,
 * and tells of a child process that outlived a killed run. It holds no secret.
 */
import { accessSync, closeSync, constants, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { clock } from './clock.ts'
import { EXIT, fail } from './fail.ts'

/** Where journals, locks of one machine and the rehearsal world live. */
export const stateFolder = (): string => join(process.env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'circleci-runbooks')

/** A path as people write it. */
export const tilde = (path: string): string => (path.startsWith(homedir() + '/') ? '~' + path.slice(homedir().length) : path)

export interface JournalLine { time: string; event: string; [field: string]: unknown }

export interface Journal {
  path: string
  /** Appends a line; with `sync` it is on the disk when this returns. */
  write(line: { event: string; [field: string]: unknown }, sync?: boolean): void
  close(): void
}

const unwritable = (path: string, error: unknown, exit: number) => {
  const code = (error as NodeJS.ErrnoException).code
  return code === 'ENOSPC' || code === 'EDQUOT'
    ? fail(`The disk is full: the journal ${tilde(path)} cannot be written, and nothing is done that is not written down.`,
      'Make room, or name another place with XDG_STATE_HOME; then repeat the same line, it goes on where it stopped.', { code: exit })
    : fail(`The state folder ${tilde(path)} cannot be written (${code ?? error}).`,
      'Name one that can: XDG_STATE_HOME=/tmp/state, in front of the same line.', { code: exit })
}

export const folderOf = (installation: string, runbook: string): string =>
  join(stateFolder(), installation.replaceAll(/[^\w.-]+/g, '_'), runbook.replaceAll(' ', '-'))

/** Fails where a journal could not be written, without writing anything. */
export const checkStateFolder = (folder: string): void => {
  let existing = folder
  while (!existsSync(existing)) existing = dirname(existing)
  try {
    if (!statSync(existing).isDirectory()) throw Object.assign(new Error('not a folder'), { code: 'ENOTDIR' })
    accessSync(existing, constants.W_OK)
  } catch (error) {
    throw unwritable(existing, error, EXIT.preflight)
  }
}

export const openJournal = (folder: string): Journal => {
  const stamp = new Date(clock.now()).toISOString().replaceAll(/[-:]/g, '').slice(0, 15)
  let file: number | undefined
  let path = ''
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    for (let n = 0; file === undefined; n++) {
      path = join(folder, `${stamp}${n ? `-${n}` : ''}.ndjson`)
      if (!existsSync(path)) file = openSync(path, 'ax', 0o600)
    }
  } catch (error) {
    throw unwritable(folder, error, EXIT.preflight)
  }
  const handle = file
  let half = false
  return {
    path,
    write: (line, sync = false) => {
      try {
        const { event, ...fields } = line
        // A full disk may have taken half of the last line. writeFileSync writes all of it, or throws.
        writeFileSync(handle, `${half ? '\n' : ''}${JSON.stringify({ time: new Date(clock.now()).toISOString(), event, ...fields })}\n`)
        half = false
        if (sync) fsyncSync(handle)
      } catch (error) {
        half = true
        throw unwritable(path, error, EXIT.failed)
      }
    },
    close: () => closeSync(handle),
  }
}

/** Journals of a folder, oldest first; lines that are no JSON (a crash, a full disk) are left out. */
const readJournals = (folder: string): JournalLine[][] => {
  if (!existsSync(folder)) return []
  return readdirSync(folder).filter((name) => name.endsWith('.ndjson')).sort().slice(-20).map((name) =>
    readFileSync(join(folder, name), 'utf8').split('\n').flatMap((text) => {
      try {
        const line: unknown = JSON.parse(text)
        return line && typeof line === 'object' && 'event' in line ? [line as JournalLine] : []
      } catch {
        return []
      }
    }))
}

/**
 * How long the last runs took that did just these steps and ended well, in milliseconds, newest last. A run that was
 * told to stop early, or did what another had left, says nothing of a whole one.
 */
export const earlierRuns = (folder: string, steps: string[]): number[] =>
  readJournals(folder).flatMap((lines) => lines.filter(({ event, code, changes, did }) =>
    event === 'end' && code === 0 && Number(changes) > 0 && Array.isArray(did) && did.join() === steps.join()))
    .flatMap(({ ms }) => (typeof ms === 'number' ? [ms] : [])).slice(-3)

/** When a process started, in the machine's own words; undefined when there is none with this pid. */
export const processStart = (pid: number): string | undefined => {
  try {
    if (existsSync('/proc/self/stat')) return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/, '').split(' ')[20]
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined
  } catch {
    return undefined
  }
}

/** A child of an earlier run that was killed, when it still runs: its pid and what it does. */
export const survivingChild = (folder: string): { pid: number; line: string } | undefined => {
  for (const lines of readJournals(folder)) {
    const children = lines.filter(({ event }) => event === 'child')
    for (const { pid, start, line } of children) {
      if (typeof pid === 'number' && start !== undefined && processStart(pid) === start) return { pid, line: String(line) }
    }
  }
  return undefined
}
