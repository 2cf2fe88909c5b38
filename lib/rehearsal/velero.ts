/**
 * Velero in the rehearsal: what the real `velero install` 1.9 makes (recorded from its --dry-run), and how its
 * pods come up. The command itself is in tools.ts.
 */
import { gcpTrouble } from './gcp.ts'
import { storeTrouble } from './mc.ts'
import { canon, change, create, digest, iso, keyOf, later, list, type KubeObject, type World } from './world.ts'

export const VELERO = 'velero'
const COMPONENT = { component: VELERO }

const STEP = 20_000

/** The nodes of the cluster, which each want one node agent. */
export const NODES = ['ip-10-0-1-204.ec2.internal', 'ip-10-0-2-17.ec2.internal', 'ip-10-0-3-88.ec2.internal']

export const node = (name: string): KubeObject => ({
  apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name } },
  spec: { providerID: `aws:///us-east-1b/i-0${digest(name).slice(0, 16)}` },
  status: { capacity: { cpu: '4', memory: '15896988Ki' }, allocatable: { cpu: '3920m', memory: '15076924Ki' }, conditions: [{ type: 'Ready', status: 'True' }] },
})

export interface Install {
  provider: string
  plugin: string
  image: string
  bucket: string
  prefix?: string | undefined
  location: Record<string, string>
  /** Undefined with --use-volume-snapshots=false. */
  snapshots?: Record<string, string> | undefined
  /** Text of the credentials file; undefined with --no-secret. */
  credentials?: string | undefined
  annotations?: Record<string, string> | undefined
  agents: boolean
}

const named = (apiVersion: string, kind: string, name: string, more: object): KubeObject =>
  ({ apiVersion, kind, metadata: { name, namespace: VELERO, labels: { ...COMPONENT } }, ...more })

const workload = (kind: 'Deployment' | 'DaemonSet', name: string, labels: Record<string, string>, image: string, plugin?: string): KubeObject =>
  named('apps/v1', kind, name, {
    spec: {
      ...(kind === 'Deployment' ? { replicas: 1 } : {}), selector: { matchLabels: labels },
      template: {
        metadata: { labels: { ...COMPONENT, ...labels } },
        spec: {
          serviceAccountName: VELERO, containers: [{ name, image, args: [kind === 'Deployment' ? 'server' : 'restic'] }],
          ...(plugin ? { initContainers: [{ name: plugin.split(':')[0]?.replace('/', '-'), image: plugin }] } : {}),
        },
      },
    },
    status: kind === 'Deployment' ? { observedGeneration: 1 } : { desiredNumberScheduled: NODES.length, numberReady: 0, observedGeneration: 1 },
  })

/** What `velero install` makes, in its order. */
export const installed = (install: Install): KubeObject[] => [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: VELERO, labels: { ...COMPONENT } }, status: { phase: 'Active' } },
  {
    ...named('v1', 'ServiceAccount', VELERO, {}),
    metadata: { name: VELERO, namespace: VELERO, labels: { ...COMPONENT }, ...(install.annotations ? { annotations: install.annotations } : {}) },
  },
  ...(install.credentials === undefined ? [] : [named('v1', 'Secret', 'cloud-credentials', { type: 'Opaque', data: { cloud: Buffer.from(install.credentials).toString('base64') } })]),
  named('velero.io/v1', 'BackupStorageLocation', 'default', {
    spec: {
      provider: install.provider, default: true, config: install.location,
      objectStorage: { bucket: install.bucket, ...(install.prefix ? { prefix: install.prefix } : {}) },
    },
  }),
  ...(install.snapshots ? [named('velero.io/v1', 'VolumeSnapshotLocation', 'default', { spec: { provider: install.provider, config: install.snapshots } })] : []),
  workload('Deployment', VELERO, { deploy: VELERO }, install.image, install.plugin),
  ...(install.agents ? [workload('DaemonSet', 'restic', { name: 'restic' }, install.image)] : []),
]

const PLURALS: Record<string, string> = {
  Namespace: 'namespaces', ServiceAccount: 'serviceaccounts', Secret: 'secrets', BackupStorageLocation: 'backupstoragelocations',
  VolumeSnapshotLocation: 'volumesnapshotlocations', Deployment: 'deployments', DaemonSet: 'daemonsets',
}

/** Makes what is missing; what is there stays as it is, as with the real command. */
export const installVelero = (world: World, install: Install): string[] => installed(install).map((object) => {
  const plural = PLURALS[object.kind] as string
  const there = world.objects[keyOf(plural, object.metadata.name, object.metadata.namespace)]
  if (!there) create(world, plural, { ...object, ...(object.kind === 'Deployment' || object.kind === 'DaemonSet' ? { metadata: { ...object.metadata, generation: 1 } } : {}) })
  return `${object.kind}/${object.metadata.name}: ${there ? 'already exists, proceeding' : 'created'}`
})

/** The pods of Velero: which are there, and whether they run. */
export const startVelero = (world: World): void => {
  const starved = world.rules.veleroPending
  for (const [plural, name] of [['deployments', VELERO], ['daemonsets', 'restic']] as const) {
    const owner = world.objects[keyOf(plural, name, VELERO)]
    if (!owner) continue
    const hosts = plural === 'deployments' ? [NODES[0] as string] : NODES
    const pods = hosts.map((host) => [`${name}-${digest(`${name} on ${host}`).slice(0, 5)}`, host] as const)
    for (const [n, [pod, host]] of pods.entries()) {
      if (world.objects[keyOf('pods', pod, VELERO)]) continue
      const pending = starved && plural === 'daemonsets' && n > 0
      create(world, 'pods', {
        apiVersion: 'v1', kind: 'Pod',
        metadata: {
          name: pod, namespace: VELERO, labels: { ...owner.spec.template.metadata.labels },
          ownerReferences: [{ apiVersion: 'apps/v1', kind: owner.kind, name, uid: owner.metadata.uid as string, controller: true, blockOwnerDeletion: true }],
        },
        spec: { ...structuredClone(owner.spec.template.spec), ...(pending ? {} : { nodeName: host }) },
        status: pending
          ? { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn\'t match node selector.' }] }
          : { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }], containerStatuses: [{ name, ready: true, restartCount: 0 }] },
      })
    }
    const ready = list(world, 'pods', VELERO).filter((pod) => pod.metadata.ownerReferences?.[0]?.name === name && pod.status.phase === 'Running').length
    change(world, owner, () => {
      owner.status = plural === 'deployments'
        ? { observedGeneration: 1, replicas: 1, updatedReplicas: ready, readyReplicas: ready, availableReplicas: ready }
        : { observedGeneration: 1, desiredNumberScheduled: NODES.length, currentNumberScheduled: NODES.length, updatedNumberScheduled: NODES.length, numberReady: ready, numberAvailable: ready, numberMisscheduled: 0 }
    })
  }
}

/** Velero looks at its location every minute: whether the bucket answers to the credentials that it has. */
export const validateLocation = (world: World): void => {
  const location = world.objects[keyOf('backupstoragelocations', 'default', VELERO)]
  if (!location || !world.objects[keyOf('deployments', VELERO, VELERO)]?.status?.readyReplicas) return
  const trouble = locationTrouble(world, location)
  change(world, location, () => {
    location.status = { phase: trouble ? 'Unavailable' : 'Available', lastValidationTime: iso(world.time), ...(trouble ? { message: trouble } : { lastSyncedTime: iso(world.time) }) }
  })
}

const locationTrouble = (world: World, location: KubeObject): string | undefined => {
  const { bucket } = location.spec.objectStorage
  const { aws } = world
  if (location.spec.config?.s3Url) {
    const said = storeTrouble(world, bucket, location.spec.config.region, cloudOf(world))
    return said && `BackupStorageLocation "default" is unavailable: rpc error: code = Unknown desc = ${said}`
  }
  if (location.spec.provider === 'gcp') {
    const said = gcpTrouble(world, bucket, cloudOf(world), world.objects[keyOf('serviceaccounts', VELERO, VELERO)]?.metadata.annotations?.['iam.gke.io/gcp-service-account'])
    return said && `BackupStorageLocation "default" is unavailable: rpc error: code = Unknown desc = ${said}`
  }
  const found = aws.buckets[bucket]
  if (!found) return `BackupStorageLocation "default" is unavailable: rpc error: code = Unknown desc = NoSuchBucket: The specified bucket does not exist\n\tstatus code: 404`
  if (found.region !== location.spec.config?.region) {
    return `BackupStorageLocation "default" is unavailable: rpc error: code = Unknown desc = BucketRegionError: incorrect region, the bucket is not in '${location.spec.config?.region}' region at endpoint\n\tstatus code: 301`
  }
  const secret = world.objects[keyOf('secrets', 'cloud-credentials', VELERO)]
  if (!secret) return undefined
  const id = /aws_access_key_id\s*=\s*(\S+)/.exec(Buffer.from(secret.data.cloud, 'base64').toString())?.[1]
  const owner = Object.values(aws.users).find((user) => user.keys.some((key) => key.id === id))
  if (!owner) return `BackupStorageLocation "default" is unavailable: rpc error: code = Unknown desc = InvalidAccessKeyId: The AWS Access Key Id you provided does not exist in our records.\n\tstatus code: 403`
  for (const key of owner.keys) if (key.id === id) key.used = iso(world.time)
  return Object.values(owner.policies).some((document) => document.includes(`arn:aws:s3:::${bucket}/*`)) ? undefined
    : `BackupStorageLocation "default" is unavailable: rpc error: code = Unknown desc = AccessDenied: Access Denied\n\tstatus code: 403`
}

/** The text of the credentials that the cluster has. */
const cloudOf = (world: World): string => Buffer.from(world.objects[keyOf('secrets', 'cloud-credentials', VELERO)]?.data.cloud ?? '', 'base64').toString()

/** Velero's pods are started once, and its location is looked at when it or its credentials changed. */
export const reconcileVelero = (world: World): void => {
  const [server, agents, location, secret] = [['deployments', VELERO], ['daemonsets', 'restic'], ['backupstoragelocations', 'default'], ['secrets', 'cloud-credentials']]
    .map(([plural = '', name = '']) => world.objects[keyOf(plural, name, VELERO)])
  for (const owner of [server, agents]) {
    if (owner && !list(world, 'pods', VELERO).some((pod) => pod.metadata.ownerReferences?.[0]?.uid === owner.metadata.uid)) later(world, STEP, { do: 'start-velero', name: owner.kind })
  }
  if (!location || !server?.status?.readyReplicas) return
  // The real one looks every minute; here, whenever it may find something else.
  const seen = digest(canon([location.spec, secret?.data, world.store, world.gcp]))
  if (world.validated !== seen) {
    world.validated = seen
    later(world, STEP, { do: 'validate-location', name: 'default' })
  }
}
