/**
 * What people read: the plan, a failure, a summary. Pure functions from data to lines; colour only repeats what
 * the words and signs say already.
 */
import { styleText } from 'node:util'
import type { Verdict } from './effect.ts'
import type { Plan, PlannedStep } from './plan.ts'
import { EXIT, Fail } from './fail.ts'
import { duration, effectsOf } from './plan.ts'
import { wrapLine } from './shell.ts'

type Style = Parameters<typeof styleText>[0]

/** Colour where the terminal shows it and nobody turned it off. */
export const paint = (style: Style, text: string): string => {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env
  const wanted = FORCE_COLOR ? FORCE_COLOR !== '0' : Boolean(process.stderr.isTTY) && !NO_COLOR && TERM !== 'dumb'
  return wanted ? styleText(style, text) : text
}

export const width = (): number => Math.max(40, Math.min(process.stderr.columns || 80, 100))

/** Text broken at blanks; the second line and on are indented. */
export const wrap = (text: string, indent = '', columns = width()): string =>
  text.split('\n').map((one) => {
    // A row of a table stays one.
    if (one.startsWith('  ')) return one
    const rows: string[] = ['']
    for (const word of one.split(' ')) {
      const row = rows.at(-1) ?? ''
      if (row.trim() && (indent + row + ' ' + word).length > columns) rows.push(word)
      else rows[rows.length - 1] = row ? `${row} ${word}` : word
    }
    return rows.join(`\n${indent}`)
  }).join(`\n${indent}`)

/** A remedy; the command that it ends with, or is, stands so that it can be pasted. */
export const remedy = (text: string, indent: string): string => {
  const [, words = text, command] = /^(?:(.*): )?((?:kubectl|velero|npx|node|aws|gcloud|mc|eksctl|make|cp|curl|brew|sudo) (?:(?![;.] |”).)+)$/.exec(text) ?? []
  if (!command) return wrap(text, indent)
  const rows = wrapLine(command, width(), indent).join('\n')
  return words === text ? rows.trimStart() : `${wrap(`${words}:`, indent)}\n${rows}`
}

export interface CheckResult { name: string; verdict: Verdict; ignored: boolean }

/** Whether a check stops the run. */
export const stops = ({ verdict, ignored }: CheckResult): boolean => verdict.is === 'bad' && (!ignored || verdict.final === true)

export const preflightScreen = (results: CheckResult[], verbose: boolean): string => {
  const held = results.filter(({ verdict }) => verdict.is === 'ok').length
  return [`${paint('bold', 'Preflight')}  ${held} of ${results.length} hold`, ...checkRows(results.filter(({ verdict }) => verbose || verdict.is !== 'ok'))].join('\n')
}

/** A row for each, what was found and what to type; of a check that is left to its warning, that it is. */
export const checkRows = (results: CheckResult[]): string[] => {
  const column = Math.max(0, ...results.map(({ name }) => name.length)) + 2
  const pad = ' '.repeat(6 + column)
  return results.map((result) => {
    const { name, verdict, ignored } = result
    const next = 'next' in verdict ? `\n${pad}${paint('dim', remedy(verdict.next, pad))}` : ''
    return `  ${signOf(result)} ${name.padEnd(column)}  ${wrap(verdict.say + (ignored && verdict.is === 'bad' && !stops(result) ? ' (ignored)' : ''), pad)}${next}`
  })
}

const signOf = (result: CheckResult): string => {
  const { is } = result.verdict
  if (is === 'ok') return paint('green', '✓')
  if (is === 'todo') return paint('cyan', SIGNS.todo)
  return is === 'ask' ? paint('yellow', '?') : stops(result) ? paint('red', '✗') : paint('yellow', '!')
}

const SIGNS: Record<PlannedStep['state'], string> = { done: '✓', todo: '•', maybe: '?', manual: '☞', watch: '•' }

export const planScreen = (plan: Plan, estimate: string, commands: boolean): string => {
  const column = Math.max(...plan.steps.map(({ id }) => id.length)) + 2
  const pad = ' '.repeat(7 + column)
  const rows = plan.steps.flatMap((step, index) => {
    const sign = paint(step.state === 'done' ? 'green' : step.state === 'maybe' ? 'yellow' : 'cyan', SIGNS[step.state])
    const text = step.state === 'done' ? step.why : step.title
    const head = `  ${sign} ${String(index + 1).padStart(2)} ${step.id.padEnd(column)}${wrap(text, pad)}`
    const why = step.state !== 'done' && step.why ? [pad + wrap(step.why, pad)] : []
    const effects = step.effects.flatMap((effect) => [
      ...(commands ? wrapLine(effect.line, width(), '        ').map((row, n) => (n ? row : row.replace(/^ {8}/, `      ${paint('yellow', '!')} `))) : []),
      ...effect.changes.map(({ what, from, to }) => `        ${what}  ${from} → ${to}`),
      ...(effect.unpredictable && commands ? [`        ${paint('dim', effect.unpredictable)}`] : []),
    ])
    const dangers = [...new Set(step.effects.flatMap(({ danger }) => (danger && !step.needs ? [danger] : [])))]
    return [head, ...why, ...effects, ...dangers.map((danger) => `        ${paint(['bold', 'red'], wrap(`at risk: ${danger}`, '        '))}`)]
  })
  const certain = effectsOf({ ...plan, steps: plan.steps.filter(({ state }) => state !== 'maybe') }).length
  const maybe = effectsOf(plan).length - certain
  const count = `${certain} ${certain === 1 ? 'change' : 'changes'}${maybe ? `, ${maybe} more only if needed` : ''}.`
  return [paint('bold', 'Plan'), ...rows, '', `${count}${estimate ? ` ${estimate}` : ''}`].join('\n')
}

/** How long earlier runs took, as a promise with its source. */
export const estimateOf = (earlier: number[]): string => {
  if (!earlier.length) return ''
  const [low, high] = [Math.min(...earlier), Math.max(...earlier)]
  const mean = earlier.reduce((sum, ms) => sum + ms, 0) / earlier.length
  if (earlier.length === 1) return `About ${duration(mean)} (as the last run).`
  return `About ${duration(mean)} (the last ${earlier.length} runs took ${duration(low)} to ${duration(high)}).`
}

/** A failure: what happened, why, how things stand, what to do now. */
export const failureScreen = (error: unknown, verbose: boolean, more: { line?: string; transcript?: string; help?: string; facts?: Record<string, string> } = {}): string => {
  const pad = ' '.repeat(16)
  const labelled = (label: string, text: string) => `  ${label.padEnd(14)}${remedy(text, pad)}`.trimEnd()
  if (!(error instanceof Fail)) {
    const { message, stack } = error instanceof Error ? error : new Error(String(error))
    return [`${paint('red', '✗')} A defect of this runbook: ${message}`,
      labelled('Do now', 'Nothing more is done. Report this text; --verbose adds where it came from.'),
      ...(verbose && stack ? [stack] : []), ...(more.transcript ? [labelled('Transcript', more.transcript)] : [])].join('\n')
  }
  const line = more.line ?? error.line
  return [
    `${paint('red', '✗')} ${wrap(error.message, '  ')}`,
    ...(error.why ? [labelled('Why', error.why)] : []),
    ...(error.state ? [labelled('As things are', error.state)] : []),
    ...(more.facts ? [...(error.state ? [] : [labelled('As things are', '')]), factsScreen({}, more.facts, '      ')] : []),
    labelled('Do now', error.next),
    ...(more.help && error.code === EXIT.usage && !error.next.includes('--help') ? [labelled('Help', more.help)] : []),
    ...(line ? [labelled('Same line', [line, error.add].filter(Boolean).join(' '))] : []),
    ...(more.transcript ? [labelled('Transcript', more.transcript)] : []),
  ].join('\n')
}

/** Facts before and after, side by side where they differ. */
export const factsScreen = (before: Record<string, string>, after: Record<string, string>, indent = '  '): string => {
  const column = Math.max(0, ...Object.keys(after).map((key) => key.length)) + 2
  const pad = indent + ' '.repeat(column)
  return Object.entries(after).map(([key, now]) => {
    const then = before[key]
    return `${indent}${key.padEnd(column)}${wrap(then !== undefined && then !== now ? `${then} → ${now}` : now, pad)}`
  }).join('\n')
}
