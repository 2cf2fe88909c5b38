/**
 * What is changed in the cluster. Each effect makes its request and its kubectl line from the same arguments.
 */
import type { KubernetesObject } from '@kubernetes/client-node'
import type { Change, Effect } from '../effect.ts'
import { clock } from '../clock.ts'
import { Refused } from '../fail.ts'
import { request } from './kubernetes.ts'
import { collection, kubectl, nameOf, pathOf, read, ref, type Kind, type Kinds, type Ref } from './objects.ts'

/** Sets fields of an object by a merge patch; what it would change comes from the server's own dry run. */
export const patch = <K extends Kind>(target: Ref<K>, body: object, more: { danger?: string } = {}): Effect => {
  const send = (query: Record<string, string>) => request<Kinds[K]>('PATCH', pathOf(target), { query, body, type: 'application/merge-patch+json' })
  return {
    id: `patch ${nameOf(target)}`, again: 'safe', ...more,
    command: { words: kubectl(['patch', ...nameOf(target).split('/'), '--type=merge', '-p', JSON.stringify(body)], target.kind, target.namespace) },
    call: () => send({}),
    preview: async () => {
      const before = await read(target)
      try {
        return { changes: changed(body, before, await send({ dryRun: 'All' }), target.name) }
      } catch (error) {
        if (error instanceof Refused) return { changes: changed(body, before, body, target.name), refused: error }
        throw error
      }
    },
  }
}

const changed = (body: unknown, before: unknown, after: unknown, path: string): Change[] => {
  if (body === null || typeof body !== 'object') {
    const [from, to] = [before, after].map((value) => (value === undefined ? '–' : String(value)))
    return from === to ? [] : [{ what: path.replace(/ spec\.(resources\.)?/, ' '), from: from ?? '', to: to ?? '' }]
  }
  const part = (value: unknown, key: string) => (value as Record<string, unknown> | undefined)?.[key]
  return Object.entries(body).flatMap(([key, value]) => changed(value, part(before, key), part(after, key), path.includes(' ') ? `${path}.${key}` : `${path} ${key}`))
}

/** So many replicas, as `kubectl scale` sets them. */
export const scale = (target: Ref<'Deployment' | 'StatefulSet'>, replicas: number): Effect => ({
  ...patch(target, { spec: { replicas } }), id: `scale ${target.name} to ${replicas}`,
  command: { words: kubectl(['scale', ...nameOf(target).split('/'), `--replicas=${replicas}`], target.kind) },
})

/** Makes an object of the installation's namespace; `say` is what it is, for the plan. */
export const create = (kind: Kind, body: { metadata: { name: string } }, say: string): Effect => ({
  id: `create ${nameOf(ref(kind, body.metadata.name))}`, again: 'guarded',
  command: { words: kubectl(['create', '-f', '-'], kind), stdin: { say, commands: [['echo', JSON.stringify(body)]], read: async () => JSON.stringify(body) } },
  call: () => request('POST', collection(kind), { body }),
})

/** Deletes exactly this object (by its uid), and with `orphan` nothing that it owns. */
export const remove = <K extends Kind>(target: Ref<K>, uid: string | undefined, more: { orphan?: boolean; danger?: string } = {}): Effect => ({
  id: `delete ${nameOf(target)}`, again: 'guarded', ...(more.danger ? { danger: more.danger } : {}), ...(uid ? { subject: uid } : {}),
  command: { words: kubectl(['delete', ...nameOf(target).split('/'), ...(more.orphan ? ['--cascade=orphan'] : []), '--wait=false'], target.kind, target.namespace) },
  ...(uid ? { onlyInCall: `The runbook deletes it only while its uid is ${uid}.` } : {}),
  // Policy and precondition go into the body together: a body hides the query from the server.
  call: () => request('DELETE', pathOf(target), {
    body: {
      kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: more.orphan ? 'Orphan' : 'Background',
      ...(uid ? { preconditions: { uid } } : {}),
    },
  }),
})

/** Deletes what its controller makes anew. One that was made meanwhile could be named by its uid in no plan; the call does. */
export const startAnew = (kind: 'Pod' | 'Job', { metadata }: KubernetesObject): Effect => {
  const { subject: _madeMeanwhile, ...effect } = remove(ref(kind, metadata?.name ?? ''), metadata?.uid)
  return effect
}

/** Replaces the pods of a stateful set one after the other, as `kubectl rollout restart` does. */
export const restart = (target: Ref<'StatefulSet'>, danger: string): Effect => ({
  id: `restart ${nameOf(target)}`, again: 'mint', danger,
  command: { words: kubectl(['rollout', 'restart', ...nameOf(target).split('/')]) },
  call: () => request('PATCH', pathOf(target), {
    type: 'application/merge-patch+json',
    body: { spec: { template: { metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': new Date(clock.now()).toISOString() } } } } },
  }),
})
