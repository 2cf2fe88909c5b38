/** The screen of how far an installation is: a row for each part, by phases of the guide, and the line to type next. */
import type { Left } from './by-hand.ts'
import { PHASES, type Cloud, type Phase } from './parts.ts'
import type { Report } from './runbook.ts'
import type { Seen, State } from './status.ts'
import { startOf } from './options.ts'
import { paint, remedy, width, wrap } from './screens.ts'
import { quote, wrapLine } from './shell.ts'

const signOf = ({ is }: State): string => (is === 'done' ? paint('green', '✓') : is === 'todo' ? paint('cyan', '•') : paint('yellow', '?'))

const say = (state: State): string => {
  if (state.is === 'done') return 'done'
  if (state.is === 'unknown') return `unknown: ${state.why}`
  return 'waits' in state ? `to do, once ${state.waits}` : `to do, ${state.open.length} of ${state.steps} steps: ${state.open.join(', ')}`
}

/** The line of `make` that goes on, where there is one. */
export const makeLine = (cloud: Cloud, { env, rehearsal }: Manner): string | undefined =>
  (cloud === 's3' ? undefined : ['make', `install-${cloud}`, ...(env ? [`ENV=${quote(env)}`] : []), ...(rehearsal ? ['REHEARSE=1'] : [])].join(' '))

/** `env` is the env file that was named. */
export interface Manner { env?: string | undefined; rehearsal?: boolean | undefined }

/** What has no runbook yet and is to do: the rows of it. */
export const handRows = (left: Left[], column: number): string[] => left.filter(({ done }) => !done)
  .map(({ name, say, guide }) => `  ${paint('cyan', '•')} ${name.padEnd(column)}${wrap(`to do by hand: ${say}; ${guide}`, ' '.repeat(4 + column))}`)

/** That all are done, and what that leaves out. */
export const allDone = (count: number, left: Left[]): string => `All ${count} parts${left.some(({ done }) => !done) ? ' that have a runbook' : ''} are done.`

/** `parts` have a runbook, and `left` are those that have none yet. */
export interface Progress { parts: Seen[]; left: Left[] }

export const columnOf = ({ parts, left }: Progress): number => Math.max(...[...parts, ...left].map(({ name }) => name.length)) + 2

export const progress = (cloud: Cloud, seen: Progress, { env, rehearsal }: Manner): Report => {
  const { parts, left } = seen, column = columnOf(seen)
  const pad = ' '.repeat(4 + column)
  const row = ({ name, state }: Seen) =>
    `  ${signOf(state)} ${name.padEnd(column)}${wrap(say(state), pad)}${state.is === 'unknown' ? `\n${pad}${paint('dim', remedy(state.next, pad))}` : ''}`
  const rows = (Object.keys(PHASES).map(Number) as Phase[]).flatMap((phase) => [
    '', paint('bold', `Phase ${phase}  ${PHASES[phase]}`), ...parts.filter((one) => one.phase === phase).map(row),
    ...left.filter((one) => one.phase === phase && one.done).map(({ name, done }) => `  ${paint('green', '✓')} ${name.padEnd(column)}${wrap(`done: ${done}`, pad)}`),
    ...handRows(left.filter((one) => one.phase === phase), column),
  ])
  const open = parts.filter(({ state }) => state.is !== 'done')
  const all = makeLine(cloud, { env, rehearsal })
  const lines = (line: string) => wrapLine(line, width(), '  ')
  const next = open[0] ? [
    `${parts.length - open.length} of ${parts.length} parts are done.`,
    // The parts of a rehearsal have a state folder of their own, which make names.
    ...(rehearsal && all ? [] : ['The next one:', ...lines(`${env ? `ENV_FILE=${quote(env)} ` : ''}${startOf(open[0].name)}`)]),
    ...(all ? ['All that are left, in this order:', ...lines(all)] : []),
  ] : [allDone(parts.length, left)]
  return { text: [`Installation on ${cloud}`, ...rows, '', ...next].join('\n'), data: { cloud, parts, byHand: left }, code: parts.some(({ state }) => state.is === 'unknown') ? 1 : 0 }
}
