/**
 * Terraform, in a folder of the operator. Its own plan tells what is missing: it is asked with the values that are wanted,
 * also before they stand in main.tf. A plan is saved, shown by its addresses alone (what stands behind them may be
 * secret), and exactly that one is applied.
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Change, Done, Effect } from '../effect.ts'
import { mustBeInDoor, oncePerLook } from '../door.ts'
import { done, minutes } from '../effect.ts'
import { EXIT, Fail, fail } from '../fail.ts'
import { Once, placeOf, readSecret, writeSecret } from '../files.ts'
import { stateFolder } from '../journal.ts'
import { commandLine, line, type Command } from '../shell.ts'
import { readTool, runTool } from '../tools.ts'
import { hcl, plain, skeleton, valuesIn, written, type Value } from './hcl.ts'

/** A value of main.tf, and where it came from. */
export interface Variable { value: Value; from: string }
/** The whole text, and the values in it; `moved` are those that somebody else has changed since, and may. */
export interface Main { text: string; variables: Record<string, Variable>; moved?: Record<string, Value> }

interface Action { address: string; action: 'create' | 'update' | 'replace' | 'delete' }
/** What Terraform would do; or why it cannot say yet. */
export type Look = { is: 'unwritten' | 'uninitialised' } | { is: 'planned'; differs: boolean; actions: Action[]; outputs: string[] }

/** What Terraform put out of a folder. */
export interface Outputs {
  folder: string
  /** Its words, which say where it works; and as a line to paste. */
  words(...own: string[]): string[]
  line(...own: string[]): string
  /** By name; among it are keys. */
  outputs(): Promise<Record<string, Once>>
}
export interface Terraform extends Outputs {
  main(): Promise<Main>
  look(): Promise<Look>
}

const MAIN = 'main.tf', PLAN = 'nomad.tfplan'
const ENV = { TF_IN_AUTOMATION: '1', TF_INPUT: '0', CHECKPOINT_DISABLE: '1' }
const QUIET = ['-input=false', '-no-color']

export const outputsIn = (folder: string): Outputs => {
  const words = (...own: string[]) => ['terraform', `-chdir=${folder}`, ...own]
  return {
    folder, words, line: (...own) => commandLine(lineOf(words(...own))),
    outputs: oncePerLook(async () => {
      const { code, stdout } = await readTool(words('output', '-json'), { env: ENV })
      const held = code === 0 ? JSON.parse(stdout || '{}') as Record<string, { value: unknown }> : {}
      return Object.fromEntries(Object.entries(held).flatMap(([name, { value }]) => (typeof value === 'string' && value ? [[name, new Once(value)]] : [])))
    }),
  }
}

export const terraformIn = (folder: string, main: () => Promise<Main>): Terraform => {
  const own = outputsIn(folder), wanted = oncePerLook(main)
  return { ...own, main: wanted, look: oncePerLook(async () => look(own, await wanted())) }
}

/** Options with which a plan leaves alone what somebody else may change. */
const leaving = ({ moved = {} }: Main): string[] => Object.entries(moved).flatMap(([name, value]) => ['-var', `${name}=${written(value)}`])

interface Told { type?: string; change?: { resource: { addr: string }; action: string }; outputs?: Record<string, { action?: string }>; diagnostic?: { severity: string; summary: string; detail?: string } }

const eventsOf = (text: string): Told[] => text.split('\n').flatMap((row) => {
  try {
    return [JSON.parse(row) as Told]
  } catch {
    return []
  }
})

const look = async (own: Outputs, { text, variables, moved = {} }: Main): Promise<Look> => {
  const held = readSecret(join(own.folder, MAIN))
  if (held === undefined || skeleton(held) !== skeleton(text)) return { is: 'unwritten' }
  const asked = own.words('plan', '-input=false', '-lock=false', '-json', '-detailed-exitcode', ...Object.entries(variables).flatMap(([name, { value }]) => ['-var', `${name}=${written(moved[name] ?? value)}`]))
  const { code, stdout, stderr } = await readTool(asked, { env: ENV })
  const events = eventsOf(stdout)
  if (code !== 0 && code !== 2) {
    const trouble = troubleIn(stdout) || stderr.trim().split('\n').at(-1) || `it ended with ${code}`
    if (/terraform init/.test(stdout + stderr)) return { is: 'uninitialised' }
    throw fail(`Terraform cannot plan: ${trouble}`, `Mend what it names, then repeat the same line; this should answer: ${own.line('plan')}`)
  }
  const actions = events.flatMap(({ type, change }) => (type === 'planned_change' && change && isAction(change.action) ? [{ address: change.resource.addr, action: change.action }] : []))
  const outputs = Object.entries(events.find(({ type }) => type === 'outputs')?.outputs ?? {}).flatMap(([name, { action }]) => (action && action !== 'noop' ? [name] : []))
  return { is: 'planned', differs: code === 2, actions, outputs }
}

const isAction = (action: string): action is Action['action'] => ['create', 'update', 'replace', 'delete'].includes(action)

/** What went wrong, as Terraform says it: in its events, or in its own words. */
const troubleIn = (said: string): string => {
  const diagnostics = eventsOf(said).flatMap(({ diagnostic }) => (diagnostic?.severity === 'error' ? [[diagnostic.summary, diagnostic.detail?.split('\n')[0]].filter(Boolean).join(': ')] : []))
  const plain = said.split('\n').flatMap((row) => /^[│\s]*Error: (.*)$/.exec(row)?.[1] ?? [])
  return (diagnostics.length ? diagnostics : plain).slice(0, 2).join('; ')
}

/** Runs what changes something. Its words go to a file: it goes on where we are killed, and ends in order where we are stopped. */
const act = async (tf: Terraform, own: string[], timeout: number, then = ''): Promise<void> => {
  const log = join(stateFolder(), 'terraform.log')
  try {
    await runTool(tf.words(...own), 'Mend what Terraform names, then repeat the same line.', timeout, { env: ENV, log, orderly: true })
  } catch (error) {
    // Its events hold each text in one line.
    const said = error instanceof Fail ? readLog(log) : '', rows = said.replaceAll('\\n', '\n')
    if (!said) throw error
    const [, id] = /\bID:\s+([\w-]+)/.exec(rows) ?? [], [, who = 'somebody'] = /\bWho:\s+(\S+)/.exec(rows) ?? [], [, since = ''] = /\bCreated:\s+([\d-]+ [\d:]+)/.exec(rows) ?? []
    if (/acquiring the state lock/.test(said) && id) {
      throw fail(`Terraform's state is locked: by ${who}, since ${since} UTC.`, `Let that run end, and repeat the same line. Where it is over, and left its lock behind: ${tf.line('force-unlock', id)}`)
    }
    throw fail(`terraform ${own[0]} failed: ${troubleIn(said) || 'it does not say why'}.`, `Mend what it names, then repeat the same line: it makes a new plan of what is missing by then.${then} All that it said: ${log}`)
  }
}

const readLog = (log: string): string => (existsSync(log) ? readFileSync(log, 'utf8') : '')

/** main.tf says what is wanted. The folder is nobody else's to read: state and plan hold the keys. */
export const haveMain = async ({ folder, main }: Terraform): Promise<Done | Effect[]> => {
  const [{ text, variables }, file] = [await main(), join(folder, MAIN)]
  const held = readSecret(file)
  if (held === text) return done(`${file} says what is wanted`)
  const before = valuesIn(held)
  const changes = Object.entries(variables).map(([name, { value, from }]): Change => ({ what: name, from: before[name] ?? '–', to: `${hcl(value)} (${from})` }))
    .filter(({ what, from }) => from !== hcl(variables[what]?.value ?? ''))
  return [
    ...(existsSync(placeOf(folder)) ? [] : [{
      id: `make ${folder}`, again: 'safe' as const, command: { words: ['mkdir', '-p', '-m', '700', folder] },
      call: async () => {
        mustBeInDoor(`make ${folder}`)
        mkdirSync(placeOf(folder), { recursive: true, mode: 0o700 })
      },
    }]),
    { id: `write ${file}`, again: 'safe', command: { words: ['printf', '%s', text], file }, call: async () => writeSecret(file, text), preview: async () => ({ changes }) },
  ]
}

/** Terraform has the module, its providers and its back end. */
export const haveInit = async (tf: Terraform): Promise<Done | Effect[]> => {
  if ((await tf.look()).is === 'planned') return done('module and providers are there')
  const own = ['init', ...QUIET]
  return [{
    id: 'terraform init', again: 'safe', command: lineOf(tf.words(...own)),
    call: () => act(tf, own, minutes(10), ` Where it asks what to do with a state that lies elsewhere: ${tf.line('init', '-migrate-state')}`),
  }]
}

const count = (actions: Action[], ...which: Action['action'][]): number => actions.filter(({ action }) => which.includes(action)).length
/** The whole of a plan, as it goes onto the screen: of what is changed nothing but the addresses. */
const summary = (actions: Action[]): string => [
  `${count(actions, 'create', 'replace')} to add, ${count(actions, 'update')} to change, ${count(actions, 'delete', 'replace')} to destroy`,
  ...(['delete', 'replace', 'update', 'create'] as const).flatMap((which) => {
    const all = actions.filter(({ action }) => action === which).map(({ address }) => address).toSorted()
    return all.length ? [`${which} ${all.join(', ')}`] : []
  }),
].join('; ')
const textOf = (actions: Action[]): string => actions.map(({ address, action }) => `${action} ${address}`).toSorted().join('\n')

interface Saved { variables?: Record<string, { value: unknown }>; resource_changes?: { address: string; change: { actions: string[] } }[] }

/** What the saved plan would do, where there is one and it was made with the values that are wanted. */
const savedIn = async ({ words, main }: Terraform): Promise<Action[] | undefined> => {
  const { code, stdout } = await readTool(words('show', '-json', PLAN), { env: ENV })
  if (code !== 0) return undefined
  const { variables = {}, resource_changes: changes = [] } = JSON.parse(stdout) as Saved
  const { variables: wanted, moved = {} } = await main()
  const fits = Object.entries(wanted).every(([name, { value }]) => plain(variables[name]?.value) === plain(moved[name] ?? value))
  return fits ? changes.flatMap(({ address, change: { actions } }) => {
    const action = actions.length === 2 ? 'replace' : actions[0] ?? ''
    return isAction(action) ? [{ address, action }] : []
  }) : undefined
}

/** There is a saved plan of what is missing. */
export const havePlan = async (tf: Terraform): Promise<Done | Effect[]> => {
  const seen = await tf.look()
  if (seen.is === 'planned' && !seen.differs) return done('nothing differs from main.tf')
  const saved = seen.is === 'planned' ? await savedIn(tf) : undefined
  if (seen.is === 'planned' && saved && textOf(saved) === textOf(seen.actions)) return done(`${PLAN}: ${summary(saved)}`)
  // Its events tell what it would do; its own words would tell the clients' key too.
  const own = ['plan', '-input=false', '-lock-timeout=60s', '-json', `-out=${PLAN}`, ...leaving(await tf.main())]
  return [{
    id: 'terraform plan', again: 'safe', command: lineOf(tf.words(...own)), call: () => act(tf, own, minutes(10)),
    ...(seen.is === 'planned' ? { preview: async () => ({ changes: seen.actions.map(({ address, action }) => ({ what: address, from: action === 'create' ? '–' : 'there', to: `${action}d` })) }) } : { onlyInCall: 'What Terraform would do is known after init. It adds without a question; anything else ends the run, and is asked at the next.' }),
  }]
}

/** The line of an apply that was not asked about: it applies a plan that adds, and no other. */
const addingOnly = ({ words }: Terraform, own: string[]): string[] => ['bash', '-c',
  `umask 077; plan=$(${line(words('show', '-json', PLAN))}) || exit; if grep -qE '"actions":\\[("create",)?"(update|delete)' <<<"$plan"; then echo 'It does more than add: read the plan first.' >&2; exit 1; fi; exec ${line(words(...own))}`]

/** A line in the account that the run works in. */
const lineOf = (words: string[]): Command => ({ words, ...(process.env['AWS_PROFILE'] ? { env: { AWS_PROFILE: process.env['AWS_PROFILE'] } } : {}) })

/** The saved plan is applied. What it does other than to add is a danger; `risk` says what comes of that. */
export const haveApplied = async (tf: Terraform, risk: (seen: Look) => Promise<string | undefined>): Promise<Done | Effect[]> => {
  const seen = await tf.look()
  if (seen.is === 'planned' && !seen.differs) return done('all is as main.tf says')
  const others = seen.is === 'planned' ? seen.actions.filter(({ action }) => action !== 'create') : []
  const told = others.map(({ address, action }) => `${action}s ${address}`).join(', ')
  const danger = others.length ? [await risk(seen), `Terraform ${told}`].filter(Boolean).join('; ') : undefined
  const own = ['apply', ...QUIET, '-lock-timeout=60s', PLAN]
  return [{
    id: 'terraform apply', again: 'mint', ...(danger ? { danger } : {}),
    // What it writes into the folder may hold a key.
    command: lineOf(danger ? ['bash', '-c', `umask 077; exec ${line(tf.words(...own))}`] : addingOnly(tf, own)),
    unfit: async () => {
      const saved = await savedIn(tf)
      return saved && seen.is === 'planned' && textOf(saved) === textOf(seen.actions) ? undefined
        : fail(`${PLAN} is not the plan that was shown.`, 'Nothing was applied. Repeat the same line: it plans anew.', { code: EXIT.stale })
    },
    call: async () => {
      try {
        await act(tf, own, minutes(60))
      } catch (error) {
        // A plan is applied once: what is left is planned anew.
        rmSync(placeOf(join(tf.folder, PLAN)), { force: true })
        throw error
      }
    },
  }]
}

/** Outputs are in their files, mode 0600; `files` names the output of each. */
export const haveOutputs = async (tf: Terraform, files: Record<string, string>): Promise<Done | Effect[]> => {
  const [seen, held] = [await tf.look(), await tf.outputs()]
  const pending = (name: string) => seen.is !== 'planned' || seen.outputs.includes(name)
  const missing = Object.entries(files).filter(([file, name]) => pending(name) || !held[name] || readSecret(file) !== Once.join([held[name]]))
  return missing.length ? missing.map(([file, name]): Effect => ({
    id: `write ${file}`, again: 'safe', command: { ...lineOf(tf.words('output', '-raw', name)), file },
    call: async () => {
      const value = (await tf.outputs())[name]
      if (!value) throw fail(`Terraform puts out no ${name}.`, `See what it has: ${tf.line('output')}; then repeat the same line.`)
      writeSecret(file, value)
    },
  })) : done(`${Object.keys(files).join(', ')} are those of Terraform`)
}
