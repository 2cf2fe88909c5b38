/**
 * The flags that every runbook takes, the help that lists them with the runbook's own, and the line that runs
 * the same thing again.
 */
import { basename, relative } from 'node:path'
import { parseArgs } from 'node:util'
import type { Definition, Group } from './runbook.ts'
import type { Inputs, Values } from './inputs.ts'
import { EXIT, fail } from './fail.ts'
import { flagOf, envOf, severalOf } from './inputs.ts'
import { verbOf } from './runbook.ts'
import { line, wrapLine } from './shell.ts'

interface Option { takes?: string; say: string; env?: string; group: string }

export const OPTIONS = {
  dryRun: { group: 'Look before', say: 'print the plan with its exact commands; change nothing, take no lock' },
  shell: { group: 'Look before', say: 'print what is to do now as a bash script' },
  markdown: { group: 'Look before', say: 'print the whole procedure as a page for on-call docs; needs no cluster' },
  rehearse: { group: 'Look before', say: 'run against the embedded rehearsal installation; nothing real is touched' },
  scenario: { group: 'Look before', takes: 'name', say: 'rehearse with a fault from the guides ("list" names them)' },
  plan: { group: 'Run', takes: 'file', say: 'run exactly the plan that was reviewed (from --dry-run --json)' },
  until: { group: 'Run', takes: 'step', say: 'stop after this step' },
  yes: { group: 'Run', say: 'answer the ordinary questions with yes' },
  confirm: { group: 'Run', takes: 'name', say: 'the typed answer where data can be lost: the context\'s name' },
  ignorePreflight: { group: 'Run', takes: 'name,…', say: 'downgrade these preflight checks to warnings' },
  timeout: { group: 'Run', takes: 'duration', say: 'the longest single wait, e.g. 20m (otherwise each wait has its own)' },
  context: { group: 'Where', takes: 'name', env: 'CIRCLECI_CONTEXT', say: 'context of the kubeconfig' },
  kubeconfig: { group: 'Where', takes: 'file', env: 'KUBECONFIG', say: 'kubeconfig file' },
  namespace: { group: 'Where', takes: 'name', env: 'CIRCLECI_NAMESPACE', say: 'namespace of the installation (otherwise the context\'s)' },
  envFile: { group: 'Where', takes: 'file', env: 'ENV_FILE', say: 'file of variables (default .env); Node reads it too, and ends with 9 where it is not there' },
  json: { group: 'Output', say: 'one JSON event a line on stdout, and nothing else there' },
  verbose: { group: 'Output', say: 'plain lines with each command, and stack traces of defects' },
  help: { group: 'Output', say: 'this page; also -h' },
  version: { group: 'Output', say: 'version of the runbooks' },
} satisfies Record<string, Option>

/** What a run without a cluster has no use for. */
const OF_CLUSTER = ['context', 'kubeconfig', 'namespace']

type Flags = Record<string, string | boolean | undefined>

/** All flags by their camel-case names; a mistake names the flag that was probably meant. */
export const parseFlags = (definition: Definition<Inputs>, args: string[]): Flags => {
  const own = Object.entries(definition.inputs).flatMap(([key, { takes, secret }]) => (secret ? [] : [[key, takes] as const]))
  const all = [...own, ...Object.entries(OPTIONS as Record<string, Option>).map(([key, { takes }]) => [key, takes] as const)]
  const options = Object.fromEntries(all.map(([key, takes]) => [flagOf(key).slice(2), { type: takes ? 'string' : 'boolean' } as const]))
  const { tokens } = parseArgs({ args, options, strict: false, tokens: true, allowPositionals: true })
  const help = `${launcher(definition.name)} --help`
  const flags: Flags = {}
  for (const token of tokens) {
    if (token.kind === 'positional') {
      const operand = Object.keys(definition.inputs).find((key) => definition.inputs[key]?.operand)
      if (!operand || flags[operand] !== undefined) throw fail(`“${token.value}” is no flag.`, help, { code: EXIT.usage })
      flags[operand] = token.value
      continue
    }
    if (token.kind !== 'option') continue
    const known = all.find(([key]) => flagOf(key) === (token.rawName === '-h' ? '--help' : token.rawName))
    const hidden = Object.keys(definition.inputs).find((key) => definition.inputs[key]?.secret && flagOf(key) === token.rawName)
    if (hidden) {
      throw fail(`There is no flag ${token.rawName}: whoever is on this machine can read the words of a line, and a shell keeps them.`,
        `Leave it out, and type the value when you are asked; or set ${envOf(hidden, definition.inputs)} in the environment or in the env file. What you just typed is in your shell's history.`, { code: EXIT.usage })
    }
    if (!known) {
      const near = nearest(token.rawName, all.map(([key]) => flagOf(key)))
      throw fail(`There is no flag ${token.rawName}.${near ? ` Did you mean ${near}?` : ''}`, help, { code: EXIT.usage })
    }
    const [key, takes] = known
    if (definition.cluster === false && OF_CLUSTER.includes(key)) throw fail(`${definition.name} needs no cluster.`, `Leave ${token.rawName} out.`, { code: EXIT.usage })
    if (takes && (!token.value || (!token.inlineValue && token.value.startsWith('--')))) {
      throw fail(`${token.rawName} wants a value: ${takes}.`, help, { code: EXIT.usage })
    }
    if (!takes && token.value !== undefined) throw fail(`${token.rawName} takes no value.`, help, { code: EXIT.usage })
    flags[key] = takes ? token.value : true
  }
  if (!flags['help'] && !flags['version']) mustAgree(flags, help)
  return flags
}

/** The one of these words that was probably meant. */
export const nearest = (word: string, words: string[]): string | undefined => {
  const distance = (a: string, b: string): number => {
    let row = Array.from({ length: b.length + 1 }, (_, i) => i)
    for (let i = 1; i <= a.length; i++) {
      row = row.reduce<number[]>((next, above, j) => [...next, j === 0 ? i : Math.min(above + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1))], [])
    }
    return row[b.length] ?? 99
  }
  return words.map((one) => [distance(word, one), one] as const).sort((a, b) => a[0] - b[0]).find(([far]) => far <= Math.min(3, word.length / 2))?.[1]
}

/** How this process was started, for lines to paste: `npx tsx runbooks/x.ts`, or the bundled file. */
export const launcher = (name: string): string => {
  const [script = '', ...verb] = name.split(' ')
  const file = process.argv[1] ?? ''
  const path = relative(process.cwd(), file)
  const shown = path.startsWith('..') ? file : path
  const start = basename(file) === `${script}.ts` ? `npx tsx ${shown}` : basename(file).startsWith(script) ? `node ${shown}` : `npx tsx runbooks/${script}.ts`
  return [start, ...verb].join(' ')
}

/** The start of a line for everybody: `npx tsx runbooks/backup-restore.ts list`. */
export const startOf = (name: string): string => `npx tsx runbooks/${name.replace(/(?= |$)/, '.ts')}`

interface Where { context: string; namespace: string; kubeconfig?: string | undefined }

/** The line that runs the same thing again, wherever its values came from. */
export const sameLine = <I extends Inputs>(definition: Definition<I>, values: Values<I>, flags: Flags, where: Where, start = launcher(definition.name)): string => {
  const own = Object.entries(definition.inputs).flatMap(([key, input]) => {
    const value = (values as Record<string, unknown>)[key]
    if (value === undefined || value === false || input.secret || value === input.byHand?.rehearsed || value === input.fallback?.value) return []
    if (input.operand) return [input.text(value)]
    return input.takes ? [flagOf(key), input.text(value)] : [flagOf(key)]
  })
  return `${start} ${line([...own, ...(flags['rehearse'] || definition.cluster !== undefined ? [] : ['--context', where.context, '--namespace', where.namespace]), ...answersOf(flags, where)])}`
}

/** The part of a line that says which installation, besides its context, and what was answered beforehand. */
const answersOf = (flags: Flags, { kubeconfig }: Where): string[] => {
  const given = (...keys: string[]) => keys.flatMap((key) => (flags[key] ? [flagOf(key), String(flags[key])] : []))
  return [...(flags['rehearse'] ? ['--rehearse', ...given('scenario')] : kubeconfig ? ['--kubeconfig', kubeconfig] : []), ...given('ignorePreflight', 'timeout', 'confirm'), ...(flags['yes'] ? ['--yes'] : [])]
}

/** The line as it was given, for what ends before anything is done: also with what only looks, and what ends early. */
export const repeatLine = <I extends Inputs>(definition: Definition<I>, values: Values<I>, flags: Flags, where: Where): string => {
  const looks = [...(flags['until'] ? ['--until', String(flags['until'])] : []), ...['dryRun', 'shell', 'markdown', 'json', 'verbose'].filter((key) => flags[key]).map(flagOf)]
  const same = flags['plan']
    // A plan carries the inputs and the place.
    ? `${launcher(definition.name)} ${line(['--plan', String(flags['plan']), ...answersOf(flags, where)])}`
    : sameLine(definition, values, flags, where)
  return [same, ...(looks.length ? [line(looks)] : [])].join(' ')
}

/** What does not go together: stdout is for one thing at a time. */
const mustAgree = (flags: Flags, help: string): void => {
  const looks = ['dryRun', 'shell', 'markdown'].filter((key) => flags[key]).map(flagOf)
  if (looks.length > 1) throw fail(`${looks.join(' and ')} do not go together.`, `One at a time: ${help}`, { code: EXIT.usage })
  if (flags['json'] && looks[0] && !flags['dryRun']) {
    throw fail(`--json and ${looks[0]} both write to stdout.`, `Leave one of them out; for machines the plan is --dry-run --json. ${help}`, { code: EXIT.usage })
  }
}

const EXIT_CODES: [string, string][] = [
  ['0', 'done, or nothing to do'], ['1', 'a step failed, or a check did not hold in time'], ['2', 'wrong usage or input'],
  ['3', 'a preflight check failed; nothing was changed'], ['4', 'another operator holds the lock'],
  ['5', 'a question was declined or cannot be asked'], ['6', 'the plan that was reviewed or agreed to no longer holds'], ['128+n', 'stopped by signal n'],
]

/** Text for 80 columns. */
const fold = (text: string, indent: string): string =>
  text.split(' ').reduce<string[]>((rows, word) => {
    const row = rows.at(-1)
    return row !== undefined && (indent + row + ' ' + word).length <= 80 ? [...rows.slice(0, -1), `${row} ${word}`] : [...rows, word]
  }, []).join(`\n${indent}`)

/** The help page: what it is for, lines to paste, all flags in groups, exit codes. */
export const helpPage = (definition: Definition<Inputs>): string => {
  const rows: [string, string, string, string][] = [
    ...Object.entries(definition.inputs).map(([key, input]): [string, string, string, string] => {
      const { say, takes, fallback } = input
      return ['This runbook', input.secret ? `(no flag) <${takes}>` : input.operand ? `<${takes}>` : `${flagOf(key)}${takes ? ` <${takes}>` : ''}`, say + (input.many ? `; ${severalOf(input)}` : '') + (fallback ? fallback.value === undefined || fallback.value === false ? '' : ` (default ${input.text(fallback.value)})` : input.byHand?.wanted ? '' : ' (required)'), envOf(key, definition.inputs)]
    }),
    ...Object.entries(OPTIONS as Record<string, Option>).filter(([key]) => definition.cluster !== false || !OF_CLUSTER.includes(key)).map(([key, { group, takes, say, env }]): [string, string, string, string] =>
      [group, `${flagOf(key)}${takes ? ` <${takes}>` : ''}`, say, env ?? '']),
  ]
  const column = 29
  const pad = ' '.repeat(column)
  const block = (group: string) => [`${group}:`, ...rows.filter(([of]) => of === group).map(([, flag, say, env]) => {
    const text = fold(say + (env ? ` [${env}]` : ''), pad)
    return flag.length < column - 2 ? `  ${flag.padEnd(column - 2)}${text}` : `  ${flag}\n${pad}${text}`
  })].join('\n')
  return [
    `${definition.name} · ${definition.purpose}`,
    definition.guide,
    ['Lines to paste:', ...definition.examples.flatMap((example) => wrapLine(`${startOf(definition.name)} ${example}`, 80, '  '))].join('\n'),
    ...[...new Set(rows.map(([group]) => group))].map(block),
    fold('A value comes from the flag, else the environment, else the env file, else a question at the terminal. HTTPS_PROXY, NO_PROXY, '
      + 'NO_COLOR, CI and the variables of your cloud\'s credentials (AWS_PROFILE and others) mean what they mean elsewhere.', ''),
    ['Exit codes:', ...EXIT_CODES.map(([code, say]) => `  ${code.padEnd(7)}${say}`), 'After any of them the same line goes on where it stopped.'].join('\n'),
  ].join('\n\n')
}

/** The help of a file of several runbooks. */
export const groupHelp = (group: Group): string => [
  `${group.name} · ${group.purpose}`, group.guide,
  ['Verbs:', ...group.verbs.map((one) => `  ${verbOf(one).padEnd(11)}${fold(one.purpose, ' '.repeat(13))}`)].join('\n'),
  ['Lines to paste:', ...group.verbs.map((one) => `  ${startOf(one.name)} ${one.examples[0] ?? ''}`.trimEnd())].join('\n'),
  `Flags of a verb: ${startOf(group.name)} VERB --help`,
].join('\n\n')
