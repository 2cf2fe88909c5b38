/**
 * Runs bundled runbooks as processes against rehearsal worlds of their own, at pace 0, and looks at what they
 * leave.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { essence, type World } from '../../lib/rehearsal/index.ts'
import { consent, type Case } from './cases.ts'
import { freshWorld } from '../../lib/rehearsal/fresh.ts'
import { DEFAULT } from '../../lib/rehearsal/scenarios.ts'

const root = new URL('../..', import.meta.url).pathname

export interface Ended { code: number | null; signal: string | null; stdout: string; stderr: string; all: string }

export interface Stage {
  state: string
  worldFile: string
  world(): World
  /** Something else happens in the world, between two runs. */
  change(how: (world: World) => void): void
  /** The bytes of the world file. */
  bytes(): string
  /** What the run leaves: the world, and the files that it wrote. */
  essence(): unknown
  run(runbook: string, args: string[], options?: { env?: Record<string, string>; onStart?: (pid: number) => void }): Promise<Ended>
}

const folders: string[] = []
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })))

/** A fresh world in a state folder of its own, removed after the tests. */
export const stage = (scenario = DEFAULT, change: (world: World) => void = () => {}): Stage => {
  const state = mkdtempSync(join(tmpdir(), 'runbooks-'))
  folders.push(state)
  const folder = join(state, 'circleci-runbooks')
  const worldFile = join(folder, 'rehearsal.json')
  mkdirSync(folder, { mode: 0o700 })
  // Lines to paste are then of one length, wherever this folder lies.
  symlinkSync(join(root, 'dist'), join(state, 'dist'))
  const world = freshWorld(scenario, 0)
  change(world)
  writeFileSync(worldFile, JSON.stringify(world), { mode: 0o600 })
  const read = (): World => JSON.parse(readFileSync(worldFile, 'utf8')) as World
  return {
    state, worldFile, world: read,
    change: (how) => {
      const changed = read()
      how(changed)
      writeFileSync(worldFile, JSON.stringify(changed), { mode: 0o600 })
    },
    bytes: () => readFileSync(worldFile, 'utf8'),
    essence: () => ({ world: essence(read()), files: texts(join(folder, 'rehearsal.files')) }),
    run: (runbook, args, { env = {}, onStart } = {}) => new Promise((resolve) => {
      const child = spawn(process.execPath, [runbook.includes('/') ? join(root, 'dist', `${runbook}.mjs`) : `dist/${runbook}.mjs`, ...args, '--rehearse'], {
        stdio: ['ignore', 'pipe', 'pipe'], cwd: state,
        env: { PATH: process.env['PATH'], HOME: state, XDG_STATE_HOME: state, ...env },
      })
      if (child.pid) onStart?.(child.pid)
      let stdout = '', stderr = '', all = ''
      child.stdout.on('data', (part: Buffer) => { stdout += part.toString(); all += part.toString() })
      child.stderr.on('data', (part: Buffer) => { stderr += part.toString(); all += part.toString() })
      child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr, all }))
    }),
  }
}

/** The files of a folder with their modes and texts. */
const texts = (folder: string): Record<string, string> => Object.fromEntries(filesBelow(folder).map((name) =>
  [name, `${(statSync(join(folder, name)).mode & 0o777).toString(8)} ${readFileSync(join(folder, name), 'utf8')}`]))

/** `changes` are the requests that change the world, and the files that are written, in one order. */
export interface Undisturbed { reads: string[]; writes: string[]; files: string[]; changes: string[]; essence: unknown }

/** A run that nothing disturbs: what it asked, in order, and what it left. */
export const undisturbed = async (one: Case): Promise<Undisturbed> => {
  const { runbook, args, scenario } = one
  const world = stage(scenario)
  const trace = join(world.state, 'trace')
  const { code, all } = await world.run(runbook, [...args, ...consent(one)], { env: { REHEARSAL_TRACE: trace } })
  if (code !== 0) throw new Error(all)
  const lines = readFileSync(trace, 'utf8').trim().split('\n').map((line) => line.split(/ (.*)/) as [string, string])
  const named = (...kinds: string[]) => lines.filter(([one]) => kinds.includes(one)).map(([, name]) => name)
  return { reads: named('read'), writes: named('write'), files: named('file'), changes: named('write', 'file'), essence: world.essence() }
}

/** The same of each, two at a time. */
export const allUndisturbed = async (cases: Case[]): Promise<(Case & Undisturbed)[]> => {
  const runs: (Case & Undisturbed)[] = []
  for (let at = 0; at < cases.length; at += 2) runs.push(...await Promise.all(cases.slice(at, at + 2).map(async (one) => ({ ...one, ...await undisturbed(one) }))))
  return runs
}

/** All files below a folder, as paths relative to it. */
export const filesBelow = (folder: string, prefix = ''): string[] =>
  !existsSync(folder) ? [] : readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesBelow(join(folder, entry.name), `${prefix}${entry.name}/`) : [prefix + entry.name]).sort()

/** What may lie in a state folder after a run: journals, and the rehearsal's own. */
export const leftovers = (state: string): string[] =>
  filesBelow(join(state, 'circleci-runbooks')).filter((path) => !/\.ndjson$|^rehearsal\.json(\.kubeconfig)?$|^bin\/|^rehearsal\.files\/([^.]*(\.pem)?|license\.yaml|main\.tf|launch-agent-config\.yaml)$|^terraform\.log$/.test(path))

/** Text of every journal. */
export const journals = (state: string): string =>
  filesBelow(state).filter((path) => path.endsWith('.ndjson')).map((path) => readFileSync(join(state, path), 'utf8')).join('')
