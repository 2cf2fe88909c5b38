/** Why pods are not ready, as their states tell: what one would look for in `kubectl describe`. */
import type { V1Pod } from '@kubernetes/client-node'
import { list } from '../cluster/objects.ts'

/** States that say no more than that it takes its time. */
const STARTING = /^(ContainerCreating|PodInitializing)$/

const troubleOf = ({ metadata, status }: V1Pod): string | undefined => {
  if (status?.phase === 'Succeeded') return undefined
  const name = metadata?.name ?? ''
  const scheduled = status?.conditions?.find(({ type, status: is }) => type === 'PodScheduled' && is === 'False')
  if (scheduled) return `${name}: no node takes it (${scheduled.message ?? scheduled.reason ?? ''})`
  for (const { ready, restartCount, state, lastState } of [...status?.initContainerStatuses ?? [], ...status?.containerStatuses ?? []]) {
    const { waiting } = state ?? {}
    if (ready || !waiting?.reason || STARTING.test(waiting.reason)) continue
    const ended = lastState?.terminated
    return `${name}: ${waiting.reason}${ended ? ` (${ended.reason ?? `ended with ${ended.exitCode}`}, ${restartCount} times)` : waiting.message ? ` (${waiting.message.slice(0, 120)})` : ''}`
  }
  return undefined
}

/** One sentence for each pod that will not be ready by waiting alone. */
export const troublesOfPods = async (query: Record<string, string> = {}): Promise<string[]> =>
  (await list('Pod', query)).flatMap((pod) => troubleOf(pod) ?? [])
