/**
 * What can be waited for in the cluster. Each check asks the server, and its kubectl line says the same in a script.
 */
import type { Check } from '../effect.ts'
import { minutes } from '../effect.ts'
import { isGoing, kubectl, nameOf, read, type Kind, type Kinds, type Ref } from './objects.ts'

/** A check on what kubectl prints of an object in an output format: `jsonpath={.status.phase}`. */
export const prints = <K extends Kind>(
  target: Ref<K>, output: string, wanted: string, seen: (object: Kinds[K]) => string | undefined, within = minutes(2),
): Check => ({
  say: `${nameOf(target)} has ${wanted}`, within, prints: wanted,
  command: { words: kubectl(['get', ...nameOf(target).split('/'), '-o', output], target.kind, target.namespace) },
  holds: async () => {
    const object = await read(target)
    const value = object ? seen(object) ?? 'nothing' : 'absent'
    return value === wanted || value
  },
})

/** A check that every replica of a stateful set is ready. */
export const allReady = (target: Ref<'StatefulSet'>, within = minutes(5)): Check => ({
  ...prints(target, 'go-template={{if .status.readyReplicas}}{{if eq .status.readyReplicas .spec.replicas}}all ready{{end}}{{end}}', 'all ready',
    ({ spec, status }) => (status?.readyReplicas === spec?.replicas ? 'all ready' : `${status?.readyReplicas ?? 0} of ${spec?.replicas} ready`), within),
  say: `every pod of ${target.name} is ready`,
})

/** A check that a deployment has what it asks for. */
export const allAvailable = (target: Ref<'Deployment'>, within = minutes(5)): Check => ({
  ...prints(target, 'go-template={{if .status.availableReplicas}}{{if eq .status.availableReplicas .spec.replicas}}available{{end}}{{end}}', 'available',
    ({ spec, status }) => (status?.availableReplicas === spec?.replicas ? 'available' : `${status?.availableReplicas ?? 0} of ${spec?.replicas} available`), within),
  say: `every pod of ${target.name} is available`,
})

/** A check that a daemon set has a ready pod on each node that it wants. */
export const onEachNode = (target: Ref<'DaemonSet'>, within = minutes(5)): Check => ({
  ...prints(target, 'go-template={{if .status.numberReady}}{{if eq .status.numberReady .status.desiredNumberScheduled}}on each node{{end}}{{end}}', 'on each node',
    ({ status }) => (status?.numberReady && status.numberReady === status.desiredNumberScheduled ? 'on each node' : `${status?.numberReady ?? 0} of ${status?.desiredNumberScheduled ?? 0} ready`), within),
  say: `${target.name} runs on each node`,
})

/** A check that a deletion has ended: the object is gone, or there is a new one. */
export const notGoing = <K extends Kind>(target: Ref<K>, within = minutes(2)): Check => ({
  say: `${nameOf(target)} is gone`, within, prints: '',
  command: { words: kubectl(['get', ...nameOf(target).split('/'), '--ignore-not-found', '-o', 'jsonpath={.metadata.deletionTimestamp}'], target.kind, target.namespace) },
  holds: async () => {
    const object = await read(target)
    return !object || !isGoing(object) || 'it is being deleted, and still there'
  },
})
