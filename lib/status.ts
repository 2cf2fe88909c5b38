/**
 * How far an installation is: of each part what is done and what is to do, from the world. Each of its steps is asked, as
 * for a plan.
 */
import type { ClusterOptions } from './cluster/kubeconfig.ts'
import { cluster } from './cluster/kubernetes.ts'
import { clusterIsThere } from './cluster/readiness.ts'
import { isDone } from './effect.ts'
import { isComplete, type Told } from './env-file.ts'
import { Fail, isPassing, lacksCredentials } from './fail.ts'
import { envOf } from './inputs.ts'
import type { Phase } from './parts.ts'
import { reads } from './runbook.ts'

/** `open` are its steps that are to do, of so many; `waits` is what they can be known after: 'there is a cluster'. */
export type State =
  | { is: 'done'; steps: number }
  | { is: 'todo'; steps: number; open: string[] }
  | { is: 'todo'; waits: string }
  | { is: 'unknown'; why: string; next: string }

/** `local` is a part that needs no cluster. */
export interface Seen { name: string; phase: Phase; local: boolean; state: State }

/**
 * Parts that need no cluster side by side; then the others, for one of those may have connected to a cluster of its own. Of
 * these one that cannot say what is to do waits for the one before it that is to do: it builds on that.
 */
export const statusOf = async (told: Told[], way: ClusterOptions): Promise<Seen[]> => {
  const states = new Map(await Promise.all(told.filter((one) => !needsCluster(one)).map(async (one) => [one, await stateOf(one)] as const)))
  const { there, verdict } = await clusterIsThere(way, '')
  const without: State = verdict.is === 'bad' ? { is: 'unknown', why: verdict.say, next: verdict.next } : { is: 'todo', waits: 'there is a cluster' }
  let before: string | undefined
  for (const one of told.filter(needsCluster)) {
    const state = there ? await stateOf(one, before) : without
    states.set(one, state)
    if (state.is === 'todo') before = one.part.name
  }
  return told.map((one) => ({ name: one.part.name, phase: one.part.phase, local: !needsCluster(one), state: states.get(one) as State }))
}

const needsCluster = ({ definition }: Told): boolean => definition.cluster === undefined

const stateOf = async (told: Told, before?: string): Promise<State> => {
  const { definition, values, problems, missing } = told
  const named = (keys: string[]) => keys.map((key) => envOf(key, definition.inputs)).join(', ')
  const byHand = missing.length > 0 && missing.every((key) => definition.inputs[key]?.byHand)
  if (byHand && !Object.keys(problems).length) return { is: 'todo', waits: `there is ${named(missing)}` }
  if (!isComplete(told)) return { is: 'unknown', why: `not all that it asks for is given or right: ${named([...Object.keys(problems), ...missing])}`, next: 'preflight tells what would be right.' }
  if (needsCluster(told) && !cluster().namespace) return { is: 'unknown', why: 'the context names no namespace', next: 'Name it: CIRCLECI_NAMESPACE=circleci-server' }
  try {
    definition.together?.(values)
    if (reads(definition)) return { is: 'done', steps: 0 }
    const steps = definition.steps(values)
    const open: string[] = []
    for (const step of steps) if (!isDone(await step.todo())) open.push(step.id)
    return open.length ? { is: 'todo', steps: steps.length, open } : { is: 'done', steps: steps.length }
  } catch (error) {
    if (!(error instanceof Fail)) throw error
    if (before && !isPassing(error) && !lacksCredentials(error)) return { is: 'todo', waits: `${before} is done` }
    return { is: 'unknown', why: error.message, next: error.next }
  }
}
