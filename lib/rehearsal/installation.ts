/**
 * A small installation of CircleCI server 3.4 as plain data: what `kubectl get -o yaml` shows of it,
 * less what an API server adds by itself. The tests load the same data into a real API server.
 */
import { keysetOf } from './keysets.ts'
import { secret } from './secret.ts'
import { digest, type KubeObject } from './world.ts'

export const NAMESPACE = 'circleci-server'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const kots = { 'kots.io/app-slug': 'circleci-server', 'kots.io/backup': 'velero' }

interface Database {
  name: string
  /** Name of the claim template, size, and where a container sees the volume. */
  claim: string
  size: string
  mount: string
  labels: Record<string, string>
  containers: { name: string; image: string; env?: object[] }[]
  volume: string
}

const fromSecret = (name: string, secretName: string, key: string): object =>
  ({ name, valueFrom: { secretKeyRef: { name: secretName, key } } })

const bitnami = (name: string): Record<string, string> =>
  ({ 'app.kubernetes.io/instance': 'circleci-server', 'app.kubernetes.io/managed-by': 'Helm', 'app.kubernetes.io/name': name })

const databases: Database[] = [
  {
    name: 'postgresql', claim: 'data', size: '8Gi', mount: '/bitnami/postgresql', labels: bitnami('postgresql'), volume: 'vol-0b41fa3c9d2e77a10',
    containers: [{
      name: 'postgresql', image: 'docker.io/bitnami/postgresql:12.6.0',
      env: [{ name: 'PGDATA', value: '/bitnami/postgresql/data' }, fromSecret('POSTGRES_PASSWORD', 'postgresql', 'postgresql-password')],
    }],
  },
  {
    name: 'mongodb', claim: 'datadir', size: '8Gi', mount: '/bitnami/mongodb',
    labels: { ...bitnami('mongodb'), 'app.kubernetes.io/component': 'mongodb' }, volume: 'vol-08d0861715c313887',
    containers: [{
      name: 'mongodb', image: 'docker.io/bitnami/mongodb:3.6.22-debian-9-r38',
      env: [
        { name: 'MONGODB_USERNAME', value: 'circle' },
        { name: 'MONGODB_PASSWORD', value: secret('mongodb circle') },
        fromSecret('MONGODB_ROOT_PASSWORD', 'mongodb', 'mongodb-root-password'),
      ],
    }],
  },
  {
    name: 'vault', claim: 'data', size: '8Gi', mount: '/vault/file', labels: { app: 'vault' }, volume: 'vol-02f6c1d07b5a9e344',
    containers: [{ name: 'vault', image: 'vault:1.1.2' }, { name: 'unseal', image: 'circleci/vault-unseal:1.0' }],
  },
  {
    name: 'redis', claim: 'redis-data', size: '8Gi', mount: '/data', labels: { app: 'redis', release: 'circleci-server' }, volume: 'vol-0e93b0a8c14d6f2b5',
    containers: [{ name: 'redis', image: 'docker.io/bitnami/redis:6.2.1' }],
  },
  {
    name: 'rabbitmq', claim: 'data', size: '8Gi', mount: '/bitnami/rabbitmq/mnesia', labels: bitnami('rabbitmq'), volume: 'vol-0a7d5e61f83c2b990',
    containers: [{ name: 'rabbitmq', image: 'docker.io/bitnami/rabbitmq:3.8.9' }],
  },
]

const podSpec = (db: Database) => ({
  containers: db.containers.map((container) => ({
    ...container, imagePullPolicy: 'IfNotPresent', resources: {},
    terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File',
    volumeMounts: [{ name: db.claim, mountPath: db.mount }],
  })),
  dnsPolicy: 'ClusterFirst', restartPolicy: 'Always', schedulerName: 'default-scheduler', securityContext: { fsGroup: 1001 },
  terminationGracePeriodSeconds: 30,
})

const claimSpec = (size: string) =>
  ({ accessModes: ['ReadWriteOnce'], resources: { requests: { storage: size } }, volumeMode: 'Filesystem' })

const statefulSet = (db: Database): KubeObject => ({
  apiVersion: 'apps/v1', kind: 'StatefulSet',
  metadata: { name: db.name, namespace: NAMESPACE, labels: { ...db.labels, ...kots, layer: 'data' }, annotations: { 'kots.io/app-slug': 'circleci-server' } },
  spec: {
    replicas: 1, revisionHistoryLimit: 10, podManagementPolicy: 'OrderedReady', serviceName: db.name,
    selector: { matchLabels: db.labels },
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
    template: { metadata: { labels: { ...db.labels, ...kots, layer: 'data' } }, spec: podSpec(db) },
    volumeClaimTemplates: [{
      apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: db.claim }, spec: claimSpec(db.size), status: { phase: 'Pending' },
    }],
  },
})

const running = (db: Database): KubeObject => ({
  apiVersion: 'v1', kind: 'Pod',
  metadata: {
    name: `${db.name}-0`, namespace: NAMESPACE,
    labels: { ...db.labels, ...kots, layer: 'data', 'statefulset.kubernetes.io/pod-name': `${db.name}-0` },
  },
  spec: {
    ...podSpec(db), nodeName: 'ip-10-0-2-17.ec2.internal',
    volumes: [{ name: db.claim, persistentVolumeClaim: { claimName: `${db.claim}-${db.name}-0` } }],
  },
  status: podStatus(db.containers.map((container) => container.name), true),
})

/** The status of a pod that is running, and ready or not. */
export const podStatus = (containers: string[], ready: boolean): object => ({
  phase: 'Running',
  conditions: ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) =>
    ({ type, status: ready || type === 'Initialized' || type === 'PodScheduled' ? 'True' : 'False' })),
  containerStatuses: containers.map((name) => ({ name, ready, restartCount: 0, started: true, state: { running: {} } })),
})

/** The claim of one pod with the volume that was provisioned for it. */
export const claimAndVolume = (name: string, size: string, volume: string, labels: Record<string, string>): [KubeObject, KubeObject] => {
  const hex = digest(`volume of ${name}`)
  const volumeName = `pvc-${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(12, 15)}-a${hex.slice(15, 18)}-${hex.slice(18, 30)}`
  return [
    {
      apiVersion: 'v1', kind: 'PersistentVolumeClaim',
      metadata: {
        name, namespace: NAMESPACE, labels, finalizers: ['kubernetes.io/pvc-protection'],
        annotations: {
          'pv.kubernetes.io/bind-completed': 'yes', 'pv.kubernetes.io/bound-by-controller': 'yes',
          'volume.beta.kubernetes.io/storage-provisioner': 'kubernetes.io/aws-ebs',
        },
      },
      spec: { ...claimSpec(size), storageClassName: 'gp2', volumeName },
      status: { phase: 'Bound', accessModes: ['ReadWriteOnce'], capacity: { storage: size } },
    },
    {
      apiVersion: 'v1', kind: 'PersistentVolume',
      metadata: {
        name: volumeName, labels: { 'topology.kubernetes.io/region': 'us-east-1', 'topology.kubernetes.io/zone': 'us-east-1b' },
        annotations: { 'pv.kubernetes.io/provisioned-by': 'kubernetes.io/aws-ebs' }, finalizers: ['kubernetes.io/pv-protection'],
      },
      spec: {
        accessModes: ['ReadWriteOnce'], capacity: { storage: size }, persistentVolumeReclaimPolicy: 'Delete', storageClassName: 'gp2',
        volumeMode: 'Filesystem', awsElasticBlockStore: { volumeID: `aws://us-east-1b/${volume}`, fsType: 'ext4' },
        claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name, namespace: NAMESPACE },
      },
      status: { phase: 'Bound' },
    },
  ]
}

const opaque = (name: string, values: Record<string, string>): KubeObject => ({
  apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: NAMESPACE }, type: 'Opaque',
  data: Object.fromEntries(Object.entries(values).map(([key, value]) => [key, base64(value)])),
})

const deployment = (name: string, labels: Record<string, string>, env: { name: string; value: string }[] = []): KubeObject => ({
  apiVersion: 'apps/v1', kind: 'Deployment',
  metadata: { name, namespace: NAMESPACE, labels },
  spec: {
    replicas: 1, selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name, ...labels } }, spec: { containers: [{ name, image: `circleci/${name}:3.4.0`, ...(env.length ? { env } : {}) }] } },
  },
  status: { observedGeneration: 1, replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1 },
})

const backup = (name: string, completed: string): KubeObject => ({
  apiVersion: 'velero.io/v1', kind: 'Backup',
  metadata: {
    name, namespace: 'velero',
    annotations: {
      'kots.io/instance': 'true', 'kots.io/snapshot-trigger': 'schedule', 'kots.io/kotsadm-deploy-namespace': NAMESPACE,
      'kots.io/snapshot-requested': completed, 'kots.io/apps-sequences': '{"circleci-server":1}',
    },
  },
  spec: { includedNamespaces: [NAMESPACE, 'velero'], storageLocation: 'default', ttl: '720h0m0s' },
  status: { phase: 'Completed', startTimestamp: completed, completionTimestamp: completed, expiration: completed },
})

/** Night, as it should be for an installation whose disk is full. */
export const STARTS = Date.UTC(2022, 10, 22, 3, 0, 0)

export const installation = (): KubeObject[] => [
  ...[NAMESPACE, 'velero'].map((name) =>
    ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name }, status: { phase: 'Active' } })),
  {
    apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass',
    metadata: { name: 'gp2', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
    provisioner: 'kubernetes.io/aws-ebs', parameters: { type: 'gp2', fsType: 'ext4' }, reclaimPolicy: 'Delete',
    volumeBindingMode: 'WaitForFirstConsumer', allowVolumeExpansion: false,
  },
  opaque('mongodb', { 'mongodb-root-password': secret('mongodb root'), 'mongodb-password': secret('mongodb circle') }),
  opaque('postgresql', { 'postgresql-password': secret('postgresql') }),
  opaque('kotsadm-authstring', { 'kotsadm-authstring': `Kots ${secret('kotsadm', 32)}` }),
  deployment('frontend', { layer: 'application', ...kots }, [
    { name: 'CIRCLE_SECRETS__KEYSET__SIGN', value: keysetOf('signing') }, { name: 'CIRCLE_SECRETS__KEYSET__CRYPT', value: keysetOf('encryption') },
  ]),
  deployment('kotsadm', { 'kots.io/kotsadm': 'true', 'kots.io/backup': 'velero' }),
  ...databases.map(statefulSet),
  ...databases.map(running),
  ...databases.flatMap((db) => claimAndVolume(`${db.claim}-${db.name}-0`, db.size, db.volume, db.labels)),
  backup('instance-7k2fq', new Date(STARTS - 5 * 3_600_000).toISOString().replace('.000', '')),
]

/** Bytes in use on each claim; the two databases as in the operations guide. */
export const used: Record<string, number> = { 'datadir-mongodb-0': 441 * 2 ** 20, 'data-postgresql-0': 404 * 2 ** 20 }
