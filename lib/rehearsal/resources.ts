/** The resources of the Kubernetes API that are played, with their verbs, and which of them a path names. */
import type { Resource } from './refusals.ts'

const resource = (version: string, plural: string, kind: string, verbs: string, namespaced = true): Resource => {
  const [group, name] = version.includes('/') ? version.split('/') as [string, string] : ['', version]
  return { plural, group, version: name, kind, namespaced, verbs }
}

/** What is played, and with which verbs. */
const RESOURCES = [
  resource('v1', 'namespaces', 'Namespace', 'GET', false),
  resource('v1', 'nodes', 'Node', 'GET', false),
  resource('v1', 'pods', 'Pod', 'GET POST DELETE'),
  resource('v1', 'serviceaccounts', 'ServiceAccount', 'GET POST PATCH DELETE'),
  resource('v1', 'persistentvolumeclaims', 'PersistentVolumeClaim', 'GET POST PATCH DELETE'),
  resource('v1', 'persistentvolumes', 'PersistentVolume', 'GET', false),
  resource('v1', 'services', 'Service', 'GET'),
  resource('v1', 'configmaps', 'ConfigMap', 'GET POST PATCH DELETE'),
  resource('v1', 'secrets', 'Secret', 'GET POST PUT PATCH DELETE'),
  resource('v1', 'events', 'Event', 'GET'),
  resource('v1', 'resourcequotas', 'ResourceQuota', 'GET'),
  resource('apps/v1', 'statefulsets', 'StatefulSet', 'GET POST PATCH DELETE'),
  resource('apps/v1', 'deployments', 'Deployment', 'GET PATCH'),
  resource('apps/v1', 'daemonsets', 'DaemonSet', 'GET'),
  resource('storage.k8s.io/v1', 'storageclasses', 'StorageClass', 'GET PATCH', false),
  resource('rbac.authorization.k8s.io/v1', 'roles', 'Role', 'GET POST PATCH DELETE'),
  resource('rbac.authorization.k8s.io/v1', 'rolebindings', 'RoleBinding', 'GET POST PATCH DELETE'),
  resource('batch/v1', 'jobs', 'Job', 'GET DELETE'),
  resource('batch/v1beta1', 'cronjobs', 'CronJob', 'GET POST PATCH DELETE'),
  resource('coordination.k8s.io/v1', 'leases', 'Lease', 'GET POST PUT PATCH DELETE'),
  resource('velero.io/v1', 'backups', 'Backup', 'GET'),
  resource('velero.io/v1', 'restores', 'Restore', 'GET'),
  resource('velero.io/v1', 'podvolumebackups', 'PodVolumeBackup', 'GET'),
  resource('velero.io/v1', 'podvolumerestores', 'PodVolumeRestore', 'GET'),
  resource('velero.io/v1', 'deletebackuprequests', 'DeleteBackupRequest', 'GET POST'),
  resource('velero.io/v1', 'backupstoragelocations', 'BackupStorageLocation', 'GET PATCH'),
  resource('velero.io/v1', 'volumesnapshotlocations', 'VolumeSnapshotLocation', 'GET PATCH'),
]
const plurals = Object.fromEntries(RESOURCES.map((one) => [one.kind, one.plural]))

/** The plural under which objects of a kind are kept. */
export const pluralOf = (kind: string): string => plurals[kind] as string

/** Where a path leads. */
export interface Place { resource: Resource; namespace?: string | undefined; name?: string | undefined; sub?: string | undefined }

export const locate = (path: string): Place | undefined => {
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent)
  const group = parts.shift() === 'api' ? '' : parts.shift()
  const version = parts.shift()
  const namespace = parts[0] === 'namespaces' && parts.length > 2 ? parts.splice(0, 2)[1] : undefined
  const [plural, name, sub] = parts
  const found = RESOURCES.find((one) => one.plural === plural && one.group === group && one.version === version)
  return found && { resource: found, namespace, name, sub }
}
