/**
 * The inputs of a runbook: what each is, how it is written, and where its value comes from: flag, process
 * environment, env file, prompt, in this order. All that is wrong or missing is reported at once.
 */
import { EXIT, Fail, fail } from './fail.ts'
import { Once } from './files.ts'
import { bytesOf, quantityOf } from './cluster/quantity.ts'

export interface Input<T> {
  say: string
  /** What stands behind the flag in help: `size`; a switch has none. */
  takes: string | undefined
  /** The value, made canonical; throws a Fail that says what is wrong and what is right. */
  parse(text: string): T
  /** The value as it is written behind the flag. */
  text(value: T): string
  choices?: readonly string[]
  /** Its variable, where that is not the flag's name: AWS_REGION. */
  env?: string
  /** Several of the choices may be named. */
  many?: boolean
  /** It may stand without its flag: `restore NAME`. */
  operand?: boolean
  /** What holds where nothing is said; without it the input has to be given. */
  fallback?: { value: T }
  /** It is no word of a line: it has a variable and no flag, is asked for without echo, and stands in no plan. */
  secret?: true
  byHand?: ByHand
}

/** Of what a person gets somewhere else first. Each is asked with the values of the inputs that stand before it. */
interface ByHand {
  /** Whether it is wanted at all; where not, there is no value. */
  wanted?(values: Record<string, unknown>): boolean
  /** Where one gets it, and the page to open where that was asked for. */
  page(values: Record<string, unknown>): { say: string; open?: string }
  /** What an earlier run kept. */
  kept(values: Record<string, unknown>): string | undefined
  /** What it is in a rehearsal, which asks for none and reads none. */
  rehearsed: string
}

export type Inputs = Record<string, Input<unknown>>
export type Values<I> = { [K in keyof I]: I[K] extends Input<infer T> ? T : never }

const wrong = (what: string, next: string): Fail => fail(what, next, { code: EXIT.usage })

/** One or more of a few names, as `a,b`; sorted, each once. */
export const someOf = <T extends string>(choices: readonly T[], say: string): Input<T[]> => ({
  say, takes: choices.join('|'), choices, many: true,
  parse: (text) => {
    const named = text.split(',').map((one) => one.trim()).filter(Boolean)
    const unknown = named.find((one) => !choices.includes(one as T))
    if (unknown !== undefined || !named.length) throw wrong(`${unknown ?? 'Nothing'} is none of ${choices.join(', ')}.`, `Write one of them, or several with a comma: ${choices.join(',')}.`)
    return choices.filter((choice) => named.includes(choice))
  },
  text: (value) => value.join(','),
})

/** An amount of storage, in its canonical text: `10Gi` for `10240Mi` too. */
export const quantity = (say: string): Input<string> => ({
  say, takes: 'size',
  parse: (text) => {
    const amount = bytesOf(text)
    const digits = /^\s*(\d+)/.exec(text)?.[1]
    if (amount === undefined || amount === 0n) {
      throw wrong(`${text} is not a size that Kubernetes knows.`, `Write ${digits && digits !== '0' ? digits : 10}Gi (${digits && digits !== '0' ? digits : 10} × 2³⁰ bytes).`)
    }
    if (/^\s*\d+\s*$/.test(text)) throw wrong(`${text} has no unit: it would be ${amount} bytes.`, `Write ${digits}Gi (${digits} × 2³⁰ bytes).`)
    return quantityOf(amount)
  },
  text: (value) => value,
})

/** A number of days; `none` says what 0 means. */
export const days = (say: string, none: string): Input<number> => ({
  say, takes: 'days',
  parse: (text) => {
    const digits = /^\s*(\d{1,5})\s*$/.exec(text)?.[1]
    if (digits === undefined) throw wrong(`${text} is no number of days.`, `Write ${/^\s*(\d{1,5})\s*d(ays?)?\s*$/i.exec(text)?.[1] ?? 30}, or 0: ${none}.`)
    return Number(digits)
  },
  text: String,
})

/** A whole number of things, one at least. */
export const count = (say: string, { otherwise, env }: { otherwise: number; env: string }): Input<number> => ({
  say, env, takes: 'number', fallback: { value: otherwise },
  parse: (text) => {
    if (!/^\s*[1-9]\d{0,8}\s*$/.test(text)) throw wrong(`${text || 'Nothing'} is no number of that.`, `Write ${otherwise}.`)
    return Number(text)
  },
  text: String,
})

/** A switch. */
export const flag = (say: string): Input<boolean> => ({
  say, takes: undefined, fallback: { value: false },
  parse: (text) => {
    if (!/^(1|true|yes|on|0|false|no|off)$/i.test(text)) throw wrong(`${text} is neither yes nor no.`, 'Write 1 or 0.')
    return /^(1|true|yes|on)$/i.test(text)
  },
  text: String,
})

/** Any text, which may be left out; where a pattern is given, `looks` says what it asks for. */
export const optional = (takes: string, say: string, pattern = /./, looks = 'something'): Input<string | undefined> => ({
  say, takes, fallback: { value: undefined },
  parse: (text) => {
    if (!pattern.test(text)) throw wrong(`${text || 'Nothing'} is no ${takes}.`, `Write ${looks}.`)
    return text
  },
  text: (value) => value ?? '',
})

/** Text that has to be given, or has a value where nothing is said. */
export const text = (takes: string, say: string, { pattern = /./, looks = 'something', otherwise, env }: { pattern?: RegExp; looks?: string; otherwise?: string; env?: string } = {}): Input<string> => {
  const { fallback: _optional, ...input } = optional(takes, say, pattern, looks)
  return { ...input as Input<string>, ...(otherwise === undefined ? {} : { fallback: { value: otherwise } }), ...(env ? { env } : {}) }
}

/** An input that may be left out. */
export const orNone = <T>(input: Input<T>): Input<T | undefined> => ({ ...input as Input<T | undefined>, fallback: { value: undefined } })

/** How long ago something may be to count. */
export const age = (env: string, say: string): Input<string> => text('duration', say, { env, pattern: /^\d+[mhd]$/, looks: '90m, 1h or 2d', otherwise: '1h' })

/** A name that stands without a flag, and has to be given. */
export const operand = (takes: string, say: string, pattern: RegExp, looks: string): Input<string> => {
  const { fallback: _required, ...input } = optional(takes, say, pattern, looks)
  return { ...input as Input<string>, operand: true }
}

/** A secret that somebody else made. No error shows it. */
export const secret = (takes: string, say: string, { env, pattern = /./, looks = 'something' }: { env: string; pattern?: RegExp; looks?: string }): Input<Once> => ({
  say, takes, env, secret: true,
  parse: (text) => {
    if (!pattern.test(text)) throw wrong(`is no ${takes}.`, `It has ${looks}; copy it once more.`)
    return new Once(text)
  },
  text: () => '(secret)',
})

/** The domain of the installation, which its certificate and its OAuth app name. */
export const domainName = (say: string): Input<string> => text('domain', say, {
  env: 'CIRCLECI_DOMAIN', pattern: /^(?=.{4,253}$)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z][-a-z0-9]*[a-z0-9]$/, looks: 'the name alone, in lower case: circleci.example.com',
})

/** How a namespace of a cluster is written. */
export const NAMESPACE = { pattern: /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, looks: 'lower-case letters, digits and dashes: circleci-server' }

/** How several of the choices are written. */
export const severalOf = ({ choices }: Input<unknown>): string => `${choices?.length === 2 ? 'both' : 'several'} with a comma`

export const flagOf = (key: string): string => '--' + key.replaceAll(/[A-Z]/g, (letter) => '-' + letter.toLowerCase())
export const envOf = (key: string, inputs: Inputs = {}): string => inputs[key]?.env ?? key.replaceAll(/[A-Z]/g, (letter) => '_' + letter).toUpperCase()

export interface Sources {
  flags: Record<string, string | boolean | undefined>
  environment: Record<string, string | undefined>
  envFile: Record<string, string | undefined>
  /** The env file, where one was named. */
  named?: string | undefined
  /** Asks at the terminal; undefined where there is none. */
  prompt: ((key: string, input: Input<unknown>, page?: { say: string; open?: string }) => Promise<string>) | undefined
  /** Nobody gets anything somewhere else: what a rehearsal has takes its place. */
  rehearsal?: boolean
}

/** What the sources hold: values, what is wrong with some (what is and what would be right), and the keys that have none. */
export interface Examined { values: Record<string, unknown>; problems: Record<string, Fail>; missing: string[] }

/** Looks at every input, and asks nobody. */
export const examine = (inputs: Inputs, sources: Sources, name: (key: string) => string = (key) => envOf(key, inputs)): Examined => {
  const values: Record<string, unknown> = {}, problems: Record<string, Fail> = {}
  const missing: string[] = []
  for (const [key, input] of Object.entries(inputs) as [string, Input<unknown>][]) {
    const { byHand } = input
    if (byHand?.wanted?.(values) === false) {
      values[key] = undefined
      continue
    }
    const given = sources.flags[key]
    const found = () => (byHand && sources.rehearsal ? byHand.rehearsed : sources.environment[name(key)] || sources.envFile[name(key)] || byHand?.kept(values) || undefined)
    const text = typeof given === 'boolean' ? String(given) : given ?? found()
    const from = given !== undefined ? flagOf(key) : `${name(key)} (${sources.environment[name(key)] ? 'environment' : sources.envFile[name(key)] ? 'env file' : 'kept by an earlier run'})`
    if (text === undefined) {
      if (input.fallback) values[key] = input.fallback.value
      else missing.push(key)
      continue
    }
    try {
      values[key] = input.parse(text)
    } catch (error) {
      if (!(error instanceof Fail)) throw error
      problems[key] = wrong(`${from} ${error.message}`, error.next)
    }
  }
  return { values, problems, missing }
}

/** The value of every input. Throws one Fail that names all that is wrong or missing. */
export const gather = async <I extends Inputs>(inputs: I, sources: Sources, name: (key: string) => string = (key) => envOf(key, inputs)): Promise<Values<I>> => {
  const { values, missing, ...examined } = examine(inputs, sources, name)
  const problems = Object.values(examined.problems)
  const absent = missing.length && !sources.prompt ? missingValues(inputs, missing, name, values) : undefined
  if (absent && !problems.length) throw absent
  if (problems.length === 1 && problems[0] && !absent) throw problems[0]
  if (problems.length) throw wrong([...problems.map(({ message, next }) => `${message} ${next}`), ...(absent ? [absent.message] : [])].join('\n'), 'Mend these, then repeat the line.')
  let told: string | undefined
  for (const key of missing) {
    const input = inputs[key] as Input<unknown>
    // Where several come from one page, it is told once.
    const page = input.byHand?.page(values)
    values[key] = input.parse(await (sources.prompt as NonNullable<Sources['prompt']>)(key, input, page?.say === told ? undefined : page))
    told = page?.say
  }
  return values as Values<I>
}

const missingValues = (inputs: Inputs, missing: string[], name: (key: string) => string, values: Record<string, unknown>): Fail => {
  const flag = (key: string): string => (inputs[key]?.secret ? '(no flag)' : flagOf(key))
  const width = Math.max(...missing.map((key) => flag(key).length))
  const say = Math.max(...missing.map((key) => inputs[key]?.say.length ?? 0))
  const rows = missing.flatMap((key) => {
    const { choices, many } = inputs[key] as Input<unknown>
    const row = `  ${flag(key).padEnd(width)}  ${(inputs[key]?.say ?? '').padEnd(say)}  ${name(key)}`
    // On a row of their own: beside the variable's name there is no room for them in 80 columns.
    return choices ? [row, `  ${' '.repeat(width)}  (${choices.join(', ')}${many ? `; ${severalOf(inputs[key] as Input<unknown>)}` : ''})`] : [row]
  })
  const count = missing.length === 1 ? '1 value is missing' : `${missing.length} values are missing`
  // A page can be named once what it is made of is there.
  const pages = missing.every((key) => inputs[key]?.byHand) ? [...new Set(missing.map((key) => `${inputs[key]?.byHand?.page(values).say}\n`))] : []
  const where = missing.every((key) => inputs[key]?.secret) ? 'in the environment or in the env file' : 'as flags, in the environment or in the env file'
  return wrong(`${count}, and there is no terminal to ask at:\n${rows.join('\n')}`, `${pages.join('')}Give them ${where}.`)
}
