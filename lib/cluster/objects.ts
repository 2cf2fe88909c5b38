/**
 * Objects of the cluster and the effects on them. Each effect makes its request and its kubectl line from the
 * same arguments.
 */
import type {
  CoreV1Event, V1ConfigMap, V1CronJob, V1Job, V1DaemonSet, V1Deployment, V1Lease, V1Node, V1PersistentVolume, V1PersistentVolumeClaim, V1Pod, V1ResourceQuota, V1Role, V1RoleBinding, V1Secret, V1Service, V1ServiceAccount, V1StatefulSet, V1StorageClass,
} from '@kubernetes/client-node'
import type { Change, Check, Effect } from '../effect.ts'
import type { Backup, DeleteBackupRequest, PodVolume, Restore } from '../velero/backups.ts'
import { clock } from '../clock.ts'
import { minutes } from '../effect.ts'
import { Refused } from '../fail.ts'
import { cluster, request } from './kubernetes.ts'

/** Where Velero keeps backups, or its snapshots. */
export interface Location {
  metadata: { name: string; managedFields?: { manager?: string; time?: string }[] }
  spec: { provider?: string; config?: Record<string, string>; objectStorage?: { bucket?: string; prefix?: string } }
  status?: { phase?: string; message?: string; lastValidationTime?: string; lastSyncedTime?: string }
}

interface Kinds {
  Deployment: V1Deployment
  DaemonSet: V1DaemonSet
  StatefulSet: V1StatefulSet
  PersistentVolumeClaim: V1PersistentVolumeClaim
  PersistentVolume: V1PersistentVolume
  StorageClass: V1StorageClass
  Pod: V1Pod
  Node: V1Node
  Secret: V1Secret
  ServiceAccount: V1ServiceAccount
  ConfigMap: V1ConfigMap
  Service: V1Service
  Role: V1Role
  RoleBinding: V1RoleBinding
  CronJob: V1CronJob
  Job: V1Job
  BetaCronJob: V1CronJob
  Lease: V1Lease
  Event: CoreV1Event
  ResourceQuota: V1ResourceQuota
  Backup: Backup
  Restore: Restore
  PodVolumeBackup: PodVolume
  PodVolumeRestore: PodVolume
  DeleteBackupRequest: DeleteBackupRequest
  BackupStorageLocation: Location
  VolumeSnapshotLocation: Location
}
export type Kind = keyof Kinds

/** Kinds that the cluster knows only once somebody defined them. */
const CUSTOM = { Backup: 0, Restore: 0, PodVolumeBackup: 0, PodVolumeRestore: 0, DeleteBackupRequest: 0, BackupStorageLocation: 0, VolumeSnapshotLocation: 0 }

/** API group and version, plural, the name that kubectl takes, and whether it lives in a namespace. */
const KINDS: Record<Kind, [string, string, string, boolean]> = {
  Deployment: ['apps/v1', 'deployments', 'deployment', true],
  DaemonSet: ['apps/v1', 'daemonsets', 'daemonset', true],
  StatefulSet: ['apps/v1', 'statefulsets', 'statefulset', true],
  PersistentVolumeClaim: ['v1', 'persistentvolumeclaims', 'pvc', true],
  PersistentVolume: ['v1', 'persistentvolumes', 'pv', false],
  StorageClass: ['storage.k8s.io/v1', 'storageclasses', 'storageclass', false],
  Pod: ['v1', 'pods', 'pod', true],
  Node: ['v1', 'nodes', 'node', false],
  Secret: ['v1', 'secrets', 'secret', true],
  ServiceAccount: ['v1', 'serviceaccounts', 'serviceaccount', true],
  ConfigMap: ['v1', 'configmaps', 'configmap', true],
  Service: ['v1', 'services', 'service', true],
  Role: ['rbac.authorization.k8s.io/v1', 'roles', 'role', true],
  RoleBinding: ['rbac.authorization.k8s.io/v1', 'rolebindings', 'rolebinding', true],
  CronJob: ['batch/v1', 'cronjobs', 'cronjob', true],
  Job: ['batch/v1', 'jobs', 'job', true],
  // Up to Kubernetes 1.20.
  BetaCronJob: ['batch/v1beta1', 'cronjobs', 'cronjob', true],
  Lease: ['coordination.k8s.io/v1', 'leases', 'lease', true],
  Event: ['v1', 'events', 'event', true],
  ResourceQuota: ['v1', 'resourcequotas', 'resourcequota', true],
  Backup: ['velero.io/v1', 'backups', 'backups.velero.io', true],
  Restore: ['velero.io/v1', 'restores', 'restores.velero.io', true],
  PodVolumeBackup: ['velero.io/v1', 'podvolumebackups', 'podvolumebackups.velero.io', true],
  PodVolumeRestore: ['velero.io/v1', 'podvolumerestores', 'podvolumerestores.velero.io', true],
  DeleteBackupRequest: ['velero.io/v1', 'deletebackuprequests', 'deletebackuprequests.velero.io', true],
  BackupStorageLocation: ['velero.io/v1', 'backupstoragelocations', 'backupstoragelocations.velero.io', true],
  VolumeSnapshotLocation: ['velero.io/v1', 'volumesnapshotlocations', 'volumesnapshotlocations.velero.io', true],
}

/** An object by its name; the namespace is the installation's unless another one is named. */
export interface Ref<K extends Kind> { kind: K; name: string; namespace?: string }
export const ref = <K extends Kind>(kind: K, name: string, namespace?: string): Ref<K> =>
  namespace ? { kind, name, namespace } : { kind, name }

export const collection = (kind: Kind, namespace = cluster().namespace): string => {
  const [version, plural, , namespaced] = KINDS[kind]
  const root = version.includes('/') ? `/apis/${version}` : `/api/${version}`
  return `${root}${namespaced ? `/namespaces/${namespace}` : ''}/${plural}`
}
const pathOf = (target: Ref<Kind>): string => `${collection(target.kind, target.namespace)}/${target.name}`
export const nameOf = (target: Ref<Kind>): string => `${KINDS[target.kind][2]}/${target.name}`

/** A kubectl line that says where it goes. */
export const kubectl = (words: string[], kind?: Kind, namespace?: string): string[] => {
  const { flags, namespace: own } = cluster()
  const namespaced = !kind || KINDS[kind][3]
  return ['kubectl', ...flags, ...(namespaced ? ['-n', namespace ?? own] : []), ...words]
}

/** The object, or undefined where there is none. */
export const read = async <K extends Kind>(target: Ref<K>): Promise<Kinds[K] | undefined> => {
  try {
    return await request<Kinds[K]>('GET', pathOf(target))
  } catch (error) {
    // Without its definition (Velero is not installed) a kind answers 404 without a reason.
    if (error instanceof Refused && error.status === 404 && (error.reason === 'NotFound' || target.kind in CUSTOM)) return undefined
    throw error
  }
}

export const list = async <K extends Kind>(kind: K, query: Record<string, string> = {}, namespace?: string): Promise<Kinds[K][]> =>
  (await request<{ items: Kinds[K][] }>('GET', collection(kind, namespace), { query })).items

/** Verbs on a resource (or a subresource, `pods/exec`) in the installation's namespace; on the one object that is named, where a role may allow no other. */
export interface Permission { verbs: string[]; resource: string; group?: string; name?: string; namespace?: string; clusterWide?: boolean }

/** What a cluster administrator may do. */
export const EVERYTHING: Permission = { verbs: ['*'], resource: '*', group: '*', clusterWide: true }

/** Those of the permissions that the current user lacks, as kubectl words them. */
export const missingPermissions = async (wanted: Permission[]): Promise<string[]> => {
  const answers = await Promise.all(wanted.flatMap(({ verbs, resource, group = '', name, namespace = cluster().namespace, clusterWide }) => verbs.map(async (verb) => {
    const [plural = resource, subresource] = resource.split('/')
    const review = await request<{ status: { allowed: boolean } }>('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
      body: {
        apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes: {
          verb, group, resource: plural, ...(subresource ? { subresource } : {}), ...(name ? { name } : {}), ...(clusterWide ? {} : { namespace }),
        } },
      },
    })
    return review.status.allowed ? [] : [`${verb} ${resource}${clusterWide ? ' (cluster-wide)' : ''}`]
  })))
  return answers.flat()
}

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

/** Replaces the pods of a stateful set one after the other, as `kubectl rollout restart` does. */
export const restart = (target: Ref<'StatefulSet'>, danger: string): Effect => ({
  id: `restart ${nameOf(target)}`, again: 'mint', danger,
  command: { words: kubectl(['rollout', 'restart', ...nameOf(target).split('/')]) },
  call: () => request('PATCH', pathOf(target), {
    type: 'application/merge-patch+json',
    body: { spec: { template: { metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': new Date(clock.now()).toISOString() } } } } },
  }),
})

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

/** It was deleted and is still there, while the server lets go of what it owns. */
export const isGoing = (object: { metadata?: object | undefined }): boolean => 'deletionTimestamp' in (object.metadata ?? {})

/** Nothing looks after what it owned: it is absent, or on its way to be. */
export const isAway = (object: { metadata?: object | undefined } | undefined): boolean => !object || isGoing(object)

/** A check that a deletion has ended: the object is gone, or there is a new one. */
export const notGoing = <K extends Kind>(target: Ref<K>, within = minutes(2)): Check => ({
  say: `${nameOf(target)} is gone`, within, prints: '',
  command: { words: kubectl(['get', ...nameOf(target).split('/'), '--ignore-not-found', '-o', 'jsonpath={.metadata.deletionTimestamp}'], target.kind, target.namespace) },
  holds: async () => {
    const object = await read(target)
    return !object || !isGoing(object) || 'it is being deleted, and still there'
  },
})
