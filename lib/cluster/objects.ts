/**
 * Objects of the cluster: their kinds, how each is named to the server and to kubectl, and reading them.
 */
import type {
  CoreV1Event, V1ConfigMap, V1CronJob, V1Job, V1DaemonSet, V1Deployment, V1Lease, V1Node, V1PersistentVolume, V1PersistentVolumeClaim, V1Pod, V1ResourceQuota, V1Role, V1RoleBinding, V1Secret, V1Service, V1ServiceAccount, V1StatefulSet, V1StorageClass,
} from '@kubernetes/client-node'
import type { Backup, DeleteBackupRequest, PodVolume, Restore } from '../velero/backups.ts'
import { Refused } from '../fail.ts'
import { cluster, request } from './kubernetes.ts'

/** Where Velero keeps backups, or its snapshots. */
export interface Location {
  metadata: { name: string; managedFields?: { manager?: string; time?: string }[] }
  spec: { provider?: string; config?: Record<string, string>; objectStorage?: { bucket?: string; prefix?: string } }
  status?: { phase?: string; message?: string; lastValidationTime?: string; lastSyncedTime?: string }
}

export interface Kinds {
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
export const pathOf = (target: Ref<Kind>): string => `${collection(target.kind, target.namespace)}/${target.name}`
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

/** It was deleted and is still there, while the server lets go of what it owns. */
export const isGoing = (object: { metadata?: object | undefined }): boolean => 'deletionTimestamp' in (object.metadata ?? {})

/** Nothing looks after what it owned: it is absent, or on its way to be. */
export const isAway = (object: { metadata?: object | undefined } | undefined): boolean => !object || isGoing(object)
