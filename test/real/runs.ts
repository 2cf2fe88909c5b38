/**
 * Starts runbooks, lines and scripts as processes, in the surroundings of one installation, as an operator does.
 */
import { spawn } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'vitest'
import type { Cluster } from './cluster.ts'
import { CONTEXT } from './cluster.ts'
import type { Installation } from './installation.ts'
import { freshInstallation } from './installation.ts'
import { until } from './processes.ts'

/** The runbook as a user builds it. */
export const BUNDLE = new URL('../../dist/expand-pvc.mjs', import.meta.url).pathname

/** An installation for one of several tests that run at the same time. */
export const freshFor = async (cluster: Cluster, context: TestContext): Promise<Installation> => {
  const made = await freshInstallation(cluster)
  context.onTestFinished(made.stop)
  return made
}

export interface Ended {
  code: number | null
  signal: string | null
  stdout: string
  stderr: string
  all: string
}

export interface Running {
  pid: number
  ended: Promise<Ended>
  /** Resolves when the output has this, wherever its lines break; fails when the process ends without it. */
  says(text: string): Promise<void>
  signal(name: NodeJS.Signals): void
}

export interface Surroundings {
  /** On top of the environment of the installation. */
  env?: Record<string, string>
}

/** What a process needs of an installation; a runbook for the time before there is one needs no more. */
export type Home = Pick<Installation, 'env'>

/** A home and nothing else. */
export const homeAt = (folder: string, path = process.env['PATH'] ?? ''): Home => ({ env: { PATH: path, HOME: folder, XDG_STATE_HOME: join(folder, 'state') } })

export const start = (here: Home, words: [string, ...string[]], { env = {} }: Surroundings): Running => {
  const [file, ...args] = words
  const child = spawn(file, args, {
    env: { ...here.env, ...env },
    cwd: here.env['HOME'],
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr, all, over] = ['', '', '', false]
  child.stdout.on('data', (part: Buffer) => ((stdout += part.toString()), (all += part.toString())))
  child.stderr.on('data', (part: Buffer) => ((stderr += part.toString()), (all += part.toString())))
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      over = true
      resolve({ code, signal, stdout, stderr, all })
    })
  })
  return {
    pid: child.pid!,
    ended,
    says: async (text) => {
      const said = () => all.replaceAll(/\s+/g, ' ').includes(text)
      const check = () => {
        if (over && !said()) throw new Error(`It ended without “${text}”:\n${all}`)
      }
      await until(`the process to say “${text}”`, async () => said(), { check, within: 60_000 }).catch((error: unknown) => {
        throw new Error(`${String(error)}\nIt said:\n${all}`)
      })
    },
    signal: (name) => void child.kill(name),
  }
}

/** The runbook's flags for MongoDB in this installation; `--yes` is for the caller to add. */
export const lineOf = (here: Installation): string[] => [
  '--db', 'mongodb', '--size', '10Gi', '--context', CONTEXT, '--namespace', here.namespace,
]

/** Starts the bundled runbook with these flags behind those of `lineOf`. */
export const startRun = (here: Installation, flags: string[] = ['--yes'], surroundings: Surroundings = {}): Running =>
  start(here, [process.execPath, BUNDLE, ...lineOf(here), ...flags], surroundings)

export const run = (here: Installation, flags?: string[], surroundings?: Surroundings): Promise<Ended> =>
  startRun(here, flags, surroundings).ended

/** Starts bash with a script, or with one line. */
export const startBash = (here: Home, script: string, surroundings: Surroundings = {}): Running =>
  start(here, ['bash', '-c', script, 'script'], surroundings)

export const bash = (here: Home, script: string): Promise<Ended> => startBash(here, script).ended

/** Text of every journal in the state folder of this installation, or in another one. */
export const journals = (here: Home, folder = here.env['XDG_STATE_HOME']!): string => filesBelow(folder)
  .filter((path) => path.endsWith('.ndjson'))
  .map((path) => readFileSync(path, 'utf8'))
  .join('')

/** What lies in the state folder beside journals. */
export const leftovers = (here: Installation): string[] => filesBelow(here.env['XDG_STATE_HOME']!).filter((path) => !path.endsWith('.ndjson'))

const filesBelow = (folder: string): string[] => {
  try {
    return readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
  } catch {
    return []
  }
}

/** The line to paste below these words, which may be broken by backslashes. */
export const printedLine = (output: string, below: string): string => {
  const rows = output.slice(output.indexOf(below) + below.length).split('\n').slice(1)
  const last = rows.findIndex((row) => !row.endsWith('\\'))
  return rows.slice(0, last + 1).map((row) => row.replace(/\\$/, '').trim()).join(' ')
}
