/**
 * Where a run happens and with which values: a real cluster or the rehearsal, the inputs from their four
 * sources or from a reviewed plan.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Cluster, ClusterOptions } from './cluster/kubeconfig.ts'
import type { Definition } from './runbook.ts'
import type { Input, Inputs, Sources, Values } from './inputs.ts'
import type { Plan } from './plan.ts'
import { askValue } from './ask.ts'
import { EXIT, Fail, Refused, fail, sentence } from './fail.ts'
import { envOf, flagOf, gather, NAMESPACE, optional } from './inputs.ts'
import { checkStateFolder, stateFolder, tilde } from './journal.ts'
import { OPTIONS, startOf } from './options.ts'

export type Flags = Record<string, string | boolean | undefined>

/** A plan as `--dry-run --json` wrote it. */
export interface ReviewedPlan extends Plan { runbook: string; inputs: Record<string, string>; context: string; namespace: string; server: string }

const usage = (what: string, next: string) => fail(what, next, { code: EXIT.usage })

/** The plan of a file: one JSON object, or the line of it among the events of `--dry-run --json`. */
export const readPlan = (file: string, definition: Definition<Inputs>, flags: Flags): ReviewedPlan => {
  const beside = Object.keys(definition.inputs).find((key) => flags[key] !== undefined)
  if (beside) throw usage(`${flagOf(beside)} stands beside --plan, which carries the inputs.`, `Leave ${flagOf(beside)} out, or make a new plan.`)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw usage(`The plan ${file} cannot be read: ${sentence(error)}.`, 'Write one with --dry-run --json > plan.json.')
  }
  for (const line of text.split('\n')) {
    try {
      const event = JSON.parse(line) as ReviewedPlan & { event: string }
      if (event.event !== 'plan') continue
      if (event.runbook !== definition.name) throw usage(`${file} is a plan of ${event.runbook}, not of ${definition.name}.`, `${startOf(event.runbook)} --plan ${file}`)
      return event
    } catch (error) {
      if (error instanceof Fail) throw error
    }
  }
  throw usage(`There is no plan in ${file}.`, 'Write one with --dry-run --json > plan.json; a run whose preflight failed has none.')
}

const namespaceInput = optional('namespace', 'namespace of the installation', NAMESPACE.pattern, NAMESPACE.looks)
const WHERE = { context: optional('context', OPTIONS.context.say), kubeconfig: optional('file', OPTIONS.kubeconfig.say), namespace: namespaceInput }

const nameIn = (inputs: Inputs) => (key: string): string => (OPTIONS as Record<string, { env?: string }>)[key]?.env ?? envOf(key, inputs)

const secretsOf = ({ inputs }: Definition<Inputs>): string[] => Object.keys(inputs).filter((key) => inputs[key]?.secret)

/** The variables of the env file that is named, or of .env where that is there. */
export const readEnvFile = async (named: string | undefined): Promise<Record<string, string>> => {
  const file = named ?? '.env'
  if (!existsSync(file)) {
    if (named) throw usage(`The env file ${file} does not exist.`, 'cp env.example .env, and fill in what this runbook reads.')
    return {}
  }
  const { parse } = await import('dotenv')
  return parse(readFileSync(file))
}

export interface Chosen { values: Values<Inputs>; where: Values<typeof WHERE>; sources: Sources }

/** Every value of the run, or one error that names all that is missing or wrong. */
export const chooseValues = async (definition: Definition<Inputs>, flags: Flags, interactive: boolean, reviewed: ReviewedPlan | undefined): Promise<Chosen> => {
  const nameInEnvironment = nameIn(definition.inputs)
  // A reviewed plan carries the inputs, but for secrets. Which kubeconfig leads there is a matter of this machine, and is read as always.
  const beside = (all: Record<string, string | undefined>) =>
    reviewed ? Object.fromEntries([...Object.keys(WHERE), ...secretsOf(definition)].map(nameInEnvironment).map((name) => [name, all[name]])) : all
  // Node takes --env-file for itself too, wherever it stands: of a file that is not there it says so itself, and ends with 9.
  const named = (flags['envFile'] as string | undefined) ?? (process.env['ENV_FILE'] || undefined)
  const sources = {
    flags: { ...flags, ...reviewed?.inputs }, environment: beside(process.env), envFile: beside(await readEnvFile(named)), named,
    prompt: interactive ? askValue : undefined, rehearsal: Boolean(flags['rehearse'] || flags['markdown']),
  }
  const given = (key: string) => sources.flags[key] ?? (sources.environment[nameInEnvironment(key)] || sources.envFile[nameInEnvironment(key)])
  const lacks = Object.entries(definition.inputs).some(([key, input]) => !input.fallback && given(key) === undefined)
  // The context may name the namespace; only where we have to complain anyway is it listed as missing too.
  const { fallback: _optional, ...required } = namespaceInput
  const namespace = (lacks && definition.cluster === undefined && !interactive && !flags['rehearse'] && !flags['markdown'] ? required : namespaceInput) as Input<string | undefined>
  const { context, kubeconfig, namespace: chosen, ...values } = await gather({ ...definition.inputs, ...WHERE, namespace }, sources, nameInEnvironment)
  definition.together?.(values)
  const where = { context, kubeconfig, namespace: chosen } as Values<typeof WHERE>
  if (!reviewed || flags['rehearse']) return { values, where, sources }
  for (const key of ['context', 'namespace'] as const) {
    if (where[key] === undefined || where[key] === reviewed[key]) continue
    const from = flags[key] === undefined ? nameInEnvironment(key) : flagOf(key)
    throw usage(`${from} is ${where[key]}, and the plan is for ${key} ${reviewed[key]}.`, `Leave ${from} out, or make a plan for ${where[key]}.`)
  }
  return { values, sources, where: { ...where, context: reviewed.context, namespace: reviewed.namespace } }
}

/** `local` is a run that needs no cluster; `way` would lead to one. */
export interface Place { cluster: Cluster; local: boolean; way: ClusterOptions; rehearsal: string | undefined; leave(): Promise<void> }

/** In place of a cluster, for a run that needs none. */
const HERE: Cluster = { context: 'this-machine', name: 'this-machine', server: 'none', namespace: 'local', flags: [], kubeconfig: undefined }

/** Which API server a plan is for. That of a rehearsal listens at another port each time. */
export const serverOf = ({ cluster, rehearsal }: Place): string => (rehearsal ? 'rehearsal' : cluster.server)

/** Fails where a reviewed plan was made for another API server: two kubeconfigs may use one name for two clusters. */
export const mustBeOf = (reviewed: ReviewedPlan, place: Place): void => {
  if (reviewed.server === serverOf(place)) return
  throw fail(`The reviewed plan is for ${reviewed.server ? `the API server ${reviewed.server}` : 'an API server that it does not name'}, and context ${place.cluster.context} leads to ${serverOf(place)}.`,
    'Nothing was changed. Name the kubeconfig that the plan was made with (--kubeconfig, or KUBECONFIG in --env-file), or make a new plan.', { code: EXIT.stale })
}

/** Goes to the cluster, or opens the rehearsal, and sees that the installation's namespace is there, unless the run makes it. */
export const goTo = async (where: Chosen['where'], flags: Flags, interactive: boolean, { cluster: wanted, namespace, scenario }: Definition<Inputs>): Promise<Place> => {
  const local = wanted !== undefined, made = namespace === 'made'
  const { connect } = await import('./cluster/kubernetes.ts')
  if (flags['rehearse'] || flags['markdown']) {
    const { rehearse } = await import('./rehearsal/index.ts')
    const { takePlaces } = await import('./rehearsal/places.ts')
    const folder = flags['markdown'] ? mkdtempSync(join(tmpdir(), 'rehearsal-')) : stateFolder()
    const file = join(folder, 'rehearsal.json')
    if (!flags['markdown']) checkStateFolder(folder)
    const rehearsal = await rehearse({ file, ...(flags['scenario'] ? { scenario: String(flags['scenario']) } : {}), otherwise: scenario })
    takePlaces(rehearsal)
    const way = { kubeconfig: rehearsal.kubeconfig }
    const cluster = local ? HERE : await connect(way)
    if (!local) await mustAnswer(cluster, made)
    return {
      cluster, local, way, rehearsal: tilde(file),
      leave: async () => {
        await rehearsal.close()
        if (flags['markdown']) rmSync(folder, { recursive: true, force: true })
      },
    }
  }
  // Several files are a matter for the environment, of our children too; as a flag kubectl takes one.
  const several = where.kubeconfig?.includes(delimiter)
  // A cluster that is made without one goes into the kubeconfig that the env file names, too.
  if (where.kubeconfig && (several || local)) process.env['KUBECONFIG'] = where.kubeconfig
  const way = { ...where, kubeconfig: several ? undefined : where.kubeconfig }
  if (local) return { cluster: HERE, local, way, rehearsal: undefined, leave: async () => {} }
  let cluster = await connect(way)
  if (!cluster.namespace) {
    if (!interactive) throw usage(`No namespace is given, and context ${cluster.context} names none.`, `Add --namespace circleci-server, or whatever it is called: kubectl ${cluster.flags.join(' ')} get namespaces`)
    cluster = await connect({ ...way, namespace: await askValue('namespace', namespaceInput) })
  }
  await mustAnswer(cluster, made)
  return { cluster, local, way, rehearsal: undefined, leave: async () => {} }
}

const mustAnswer = async ({ context, namespace, name, flags }: Cluster, made: boolean): Promise<void> => {
  const { request } = await import('./cluster/kubernetes.ts')
  try {
    await request('GET', '/version', { attempts: 2 })
    if (!made) await request('GET', `/api/v1/namespaces/${namespace}`)
  } catch (error) {
    if (error instanceof Refused && error.status === 404) {
      throw fail(`There is no namespace ${namespace} in cluster ${name} (context ${context}).`, `kubectl ${flags.join(' ')} get namespaces`, { code: EXIT.preflight })
    }
    // Who may not read namespaces may still do the work: the permission check decides.
    if (error instanceof Refused && error.status === 403) return
    if (error instanceof Fail) throw fail(error.message, error.next, { code: EXIT.preflight })
    throw error
  }
}
