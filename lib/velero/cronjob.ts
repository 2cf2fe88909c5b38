/**
 * The CronJob that runs `backup` in the cluster: with an account that may do what a backup asks and no more. A run
 * that fails is a failed Job, which is kept, and which alerts on kube_job_failed find.
 */
import type { Done, Effect } from '../effect.ts'
import type { Kind, Ref } from '../cluster/objects.ts'
import { once } from '../door.ts'
import { done } from '../effect.ts'
import { cluster, request } from '../cluster/kubernetes.ts'
import { LEASE } from '../lock.ts'
import { patch, remove } from '../cluster/changes.ts'
import { collection, kubectl, nameOf, read, ref } from '../cluster/objects.ts'
import { VELERO } from './velero.ts'

const NAME = 'circleci-backup'
const RBAC = 'rbac.authorization.k8s.io'

/** The kind that this cluster knows: CronJobs left beta with Kubernetes 1.21, and beta ended with 1.25. */
const cronKind = once(async (): Promise<'CronJob' | 'BetaCronJob'> =>
  (Number.parseInt((await request<{ minor: string }>('GET', '/version')).minor, 10) >= 21 ? 'CronJob' : 'BetaCronJob'))

/** An object as it should be: which it is, and what it says beside its name. */
export interface Wanted { target: Ref<Kind>; apiVersion: string; kind: string; more: object }

const rights = (namespace: string, rules: object[]): Wanted[] => [
  { target: ref('Role', NAME, namespace), apiVersion: `${RBAC}/v1`, kind: 'Role', more: { rules } },
  {
    target: ref('RoleBinding', NAME, namespace), apiVersion: `${RBAC}/v1`, kind: 'RoleBinding',
    more: { roleRef: { apiGroup: RBAC, kind: 'Role', name: NAME }, subjects: [{ kind: 'ServiceAccount', name: NAME, namespace: cluster().namespace }] },
  },
]
const rule = (apiGroups: string[], resources: string[], verbs: string[], resourceNames?: string[]): object => ({ apiGroups, resources, verbs, ...(resourceNames ? { resourceNames } : {}) })

/** All that makes backups in the cluster, in the order in which it is made. */
export const cronObjects = async ({ cron, image }: { cron: string; image: string }): Promise<Wanted[]> => {
  const { namespace } = cluster()
  const kind = await cronKind()
  const container = {
    name: 'backup', image, command: ['node', '/runbooks/dist/backup-restore.mjs', 'backup', '--max-age', '0m', '--namespace', namespace, '--yes'],
    env: [{ name: 'HOME', value: '/tmp' }, { name: 'XDG_STATE_HOME', value: '/tmp/state' }], volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
  }
  const pod = { serviceAccountName: NAME, restartPolicy: 'Never', containers: [container], volumes: [{ name: 'tmp', emptyDir: {} }] }
  return [
    { target: ref('ServiceAccount', NAME), apiVersion: 'v1', kind: 'ServiceAccount', more: {} },
    ...rights(namespace, [
      // KOTS talks to its console by a tunnel to its pod, with the console's own key.
      rule([''], ['pods'], ['get', 'list']), rule([''], ['pods/portforward'], ['create']), rule([''], ['secrets'], ['get'], ['kotsadm-authstring']),
      rule(['apps'], ['statefulsets', 'deployments'], ['get']),
      rule(['coordination.k8s.io'], ['leases'], ['create']), rule(['coordination.k8s.io'], ['leases'], ['get', 'update', 'delete'], [LEASE]),
    ]),
    ...rights(VELERO, [
      rule(['velero.io'], ['backups', 'podvolumebackups', 'backupstoragelocations'], ['get', 'list']),
      rule([''], ['pods'], ['list']), rule(['apps'], ['deployments', 'daemonsets'], ['get']),
    ]),
    {
      target: ref(kind, NAME), apiVersion: kind === 'CronJob' ? 'batch/v1' : 'batch/v1beta1', kind: 'CronJob',
      more: { spec: {
        schedule: cron, concurrencyPolicy: 'Forbid', startingDeadlineSeconds: 3600, successfulJobsHistoryLimit: 3, failedJobsHistoryLimit: 5,
        // Once: what failed is to be seen, not to be hidden by a second try.
        jobTemplate: { spec: { backoffLimit: 0, activeDeadlineSeconds: 6 * 3600, template: { spec: pod } } },
      } },
    },
  ]
}

/** All that is wanted is there; what the server adds is no matter. */
const holds = (live: unknown, wanted: unknown): boolean => {
  if (wanted === null || typeof wanted !== 'object') return live === wanted
  if (Array.isArray(wanted)) return Array.isArray(live) && live.length === wanted.length && wanted.every((one, n) => holds(live[n], one))
  return Object.entries(wanted).every(([key, value]) => holds((live as Record<string, unknown> | undefined)?.[key], value))
}

/** It is there, and as it should be. */
export const have = async ({ target, apiVersion, kind, more }: Wanted): Promise<Done | Effect[]> => {
  const live = await read(target)
  if (live) return holds(live, more) ? done('the CronJob is there, with its rights') : [patch(target, more)]
  const body = { apiVersion, kind, metadata: { name: target.name, namespace: target.namespace ?? cluster().namespace }, ...more }
  return [{
    id: `create ${nameOf(target)}${target.namespace ? ` in ${target.namespace}` : ''}`, again: 'guarded',
    command: {
      words: kubectl(['create', '-f', '-'], target.kind, target.namespace),
      stdin: { say: `the ${kind}`, commands: [['printf', '%s', JSON.stringify(body)]], read: async () => JSON.stringify(body) },
    },
    call: () => request('POST', collection(target.kind, target.namespace), { body }),
  }]
}

export const leaveOut = async ({ target }: Wanted): Promise<Done | Effect[]> => {
  const live = await read(target)
  return live ? [remove(target, (live.metadata as { uid?: string } | undefined)?.uid)] : done('no CronJob makes backups')
}
