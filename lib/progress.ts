/** The screen of how far an installation is: a row for each part, and the line to type next. */
import type { Cloud } from './parts.ts'
import type { Report } from './runbook.ts'
import type { State } from './status.ts'
import { startOf } from './options.ts'
import { paint, remedy, width, wrap } from './screens.ts'
import { quote, wrapLine } from './shell.ts'

const signOf = ({ is }: State): string => (is === 'done' ? paint('green', '✓') : is === 'todo' ? paint('cyan', '•') : paint('yellow', '?'))

const say = (state: State): string => {
  if (state.is === 'done') return 'done'
  if (state.is === 'unknown') return `unknown: ${state.why}`
  return 'waits' in state ? `to do, once there is ${state.waits}` : `to do, ${state.open.length} of ${state.steps} steps: ${state.open.join(', ')}`
}

/** The line of `make` that goes on, where there is one. */
export const makeLine = (cloud: Cloud, { env, rehearsal }: Manner): string | undefined =>
  (cloud === 's3' ? undefined : ['make', `install-${cloud}`, ...(env ? [`ENV=${quote(env)}`] : []), ...(rehearsal ? ['REHEARSE=1'] : [])].join(' '))

/** `env` is the env file that was named. */
export interface Manner { env?: string | undefined; rehearsal?: boolean | undefined }
export type Progress = { name: string; state: State }[]

export const progress = (cloud: Cloud, parts: Progress, { env, rehearsal }: Manner): Report => {
  const column = Math.max(...parts.map(({ name }) => name.length)) + 2
  const pad = ' '.repeat(4 + column)
  const rows = parts.map(({ name, state }) =>
    `  ${signOf(state)} ${name.padEnd(column)}${wrap(say(state), pad)}${state.is === 'unknown' ? `\n${pad}${paint('dim', remedy(state.next, pad))}` : ''}`)
  const open = parts.filter(({ state }) => state.is !== 'done')
  const all = makeLine(cloud, { env, rehearsal })
  const lines = (line: string) => wrapLine(line, width(), '  ')
  const next = open[0] ? [
    `${parts.length - open.length} of ${parts.length} parts are done.`,
    // The parts of a rehearsal have a state folder of their own, which make names.
    ...(rehearsal && all ? [] : ['The next one:', ...lines(`${env ? `ENV_FILE=${quote(env)} ` : ''}${startOf(open[0].name)}`)]),
    ...(all ? ['All that are left, in this order:', ...lines(all)] : []),
  ] : [`All ${parts.length} parts are done.`]
  return { text: [`Installation on ${cloud}`, ...rows, '', ...next].join('\n'), data: { cloud, parts }, code: parts.some(({ state }) => state.is === 'unknown') ? 1 : 0 }
}
