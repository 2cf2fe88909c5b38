/**
 * Whether the environment and the env file hold what the parts of an installation are told: each value that is wrong or
 * missing by the name of its variable, before anything is changed.
 */
import { existsSync, readFileSync } from 'node:fs'
import type { Preflight, Verdict } from './effect.ts'
import { bad, ok, preflight, todo, warning } from './effect.ts'
import { Fail } from './fail.ts'
import { envOf, examine, NAMESPACE, type Examined, type Input, type Inputs, type Sources } from './inputs.ts'
import { nearest } from './options.ts'
import { OF_CLOUD, partsOf, type Cloud, type Part } from './parts.ts'
import type { Definition } from './runbook.ts'

/** A part, and what it would be told. */
export interface Told extends Examined { part: Part; definition: Definition<Inputs> }

/** What each part would be told, if nobody were asked. */
export const toldOf = (cloud: Cloud, { flags, ...sources }: Sources): Promise<Told[]> => {
  // What may stand as a flag here is a variable to the parts.
  const environment: Sources['environment'] = { ...sources.environment, [OF_CLOUD]: cloud, ...(flags['context'] ? { CIRCLECI_CONTEXT: String(flags['context']) } : {}) }
  return Promise.all(partsOf(cloud, (name) => environment[name] || sources.envFile[name]).map(async (part) => {
    const definition = await part.load()
    return { part, definition, ...examine(definition.inputs, { ...sources, flags: {}, environment, prompt: undefined }) }
  }))
}

/** Every value is given and right. */
export const isComplete = ({ problems, missing }: Examined): boolean => !missing.length && !Object.keys(problems).length

/** What is right where a value is missing: an input says so of an empty one. */
const rightOf = (input: Input<unknown>): string => {
  try {
    input.parse('')
  } catch (error) {
    if (error instanceof Fail) return error.next
  }
  return 'Write any text.'
}

/** Variables by what is to be said of them; one that several parts read is told once. */
const lacksOf = (told: Told[]): Record<string, Verdict> => Object.fromEntries(told.flatMap(({ part, definition: { inputs }, problems, missing }) => [
  ...Object.entries(problems).map(([key, { message, next }]) => [envOf(key, inputs), bad(message, next)] as const),
  ...missing.map((key) => {
    const input = inputs[key] as Input<unknown>
    return [envOf(key, inputs), input.byHand ? todo(`not there yet: ${input.say}`, `${part.name} shows the page where one gets it, and asks for it.`) : bad(`missing: ${input.say}`, rightOf(input))] as const
  }),
]))

/** Inputs, each fine by itself, that do not go together. */
const togetherIsRight = ({ definition, values }: Told): Extract<Verdict, { is: 'bad' }> | undefined => {
  try {
    definition.together?.(values)
    return undefined
  } catch (error) {
    if (!(error instanceof Fail)) throw error
    return { is: 'bad', say: error.message, next: error.next }
  }
}

/** What each part wants for itself: one that another has too, either takes for its own, keys and all. */
const OWN = ['bucket', 'user', 'serviceAccount', 'credentials']

/** Variables that name something of which another part has a variable too. */
const sharedOf = (told: Told[]): [string, Verdict][] => OWN.flatMap((key) => {
  const named = new Map(told.flatMap(({ part, definition: { inputs }, values }) => (typeof values[key] === 'string' ? [[envOf(key, inputs), { value: values[key], part: part.name }] as const] : [])))
  return [...named].flatMap(([name, { value, part }], at) => {
    const first = [...named].slice(0, at).find(([, other]) => other.value === value)
    return first ? [[name, bad(`${name} and ${first[0]} are both ${value}: ${part} wants its own`, `Name another one in ${name}.`)] as [string, Verdict]] : []
  })
})

/** The namespace of the installation has a name, before there is one: a context that was just made names none. */
const namespaceIsNamed = ({ flags, environment, envFile }: Sources, ofContext: string | undefined): [string, Verdict][] => {
  const [name, env] = ['namespace', 'CIRCLECI_NAMESPACE']
  return flags[name] ?? (environment[env] || envFile[env] || ofContext) ? [] : [[env, bad('missing: namespace of the installation', `Write ${NAMESPACE.looks}.`)]]
}

/** All variables that there are: those that env.example lists, from lib/ and from dist/lib/. */
const known = (): string[] => {
  const file = ['../env.example', '../../env.example'].map((path) => new URL(path, import.meta.url)).find((url) => existsSync(url))
  return file ? [...readFileSync(file, 'utf8').matchAll(/^(?:# )?([A-Z][A-Z0-9_]+)=/gm)].map(([, name]) => name ?? '') : []
}

/** Names of the env file that nobody reads, and that are near to one that somebody does. */
const typos = (names: string[]): Verdict[] => {
  const all = known()
  return names.filter((name) => !all.includes(name)).flatMap((name) => {
    const near = nearest(name.toUpperCase(), all)
    return near ? [warning(`${name} (env file) is read by no runbook: did you mean ${near}?`, `Write ${near}=… in its place.`)] : []
  })
}

/** A row for each thing that is wrong or missing; one that all is well where nothing is. `namespace` is that of the context. */
export const valuesAreRight = (told: Told[], sources: Sources, namespace: string | undefined): Preflight[] => {
  const lacks = lacksOf(told)
  // What is told under the name of each of its variables is not told once more.
  const isTold = ({ next }: { next: string }) => {
    const names = [...next.matchAll(/\b[A-Z]+(_[A-Z]+)+\b/g)]
    return names.length > 0 && names.every(([name]) => name in lacks)
  }
  const rows = [
    ...[...Object.entries(lacks), ...namespaceIsNamed(sources, namespace), ...sharedOf(told)].map(([name, verdict]) => ({ name, verdict })),
    ...told.filter(isComplete).flatMap((one) => {
      const verdict = togetherIsRight(one)
      return verdict && !isTold(verdict) ? [{ name: one.part.name, verdict }] : []
    }),
    ...typos(Object.keys(sources.envFile)).map((verdict) => ({ name: 'env-file', verdict })),
  ]
  const whole = { name: 'env-file', verdict: ok('each part has what it asks for') }
  return (rows.some(({ verdict }) => verdict.is !== 'warning') ? rows : [whole, ...rows]).map(({ name, verdict }) => preflight(name, 'each part has what it asks for', async () => verdict))
}
