/**
 * A Kubernetes of real components on loopback: etcd, API server, controller manager, and KWOK as the kubelet of one
 * node. No scheduler and no CSI driver: the stand-ins play these.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { find, must } from './components.ts'
import { configureKwok, NODE, node } from './kwok.ts'
import { freePorts, processes, until } from './processes.ts'
import type { KubeObject, Request } from './request.ts'
import { collection, good, requester } from './request.ts'
import { scheduler } from './scheduler.ts'

/** What another process needs to know of a running cluster: plain data. */
export interface ClusterInfo {
  folder: string
  server: string
  ca: string
  tokens: { admin: string; reader: string }
  version: string
}

export type User = keyof ClusterInfo['tokens']

export interface Cluster extends ClusterInfo {
  /** Sends a raw request as the administrator, or with another token. */
  request: Request
  /** A kubeconfig of the administrator with the context `real`. */
  kubeconfig: string
  kubeconfigFor(user: User): string
}

export const CONTEXT = 'real'

/** A running cluster, as seen from any process. */
export const connect = (info: ClusterInfo): Cluster => {
  const kubeconfigFor = (user: User) => join(info.folder, `${user}.kubeconfig`)
  return {
    ...info,
    request: requester(info.server, info.ca, info.tokens.admin),
    kubeconfig: kubeconfigFor('admin'),
    kubeconfigFor,
  }
}

const kubeconfigOf = (server: string, ca: string, user: string, token: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': CONTEXT,
    contexts: [{ name: CONTEXT, context: { cluster: CONTEXT, user } }],
    clusters: [{ name: CONTEXT, cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } }],
    users: [{ name: user, user: { token } }],
  })

/** A certificate for loopback, and the key that signs service accounts. */
const makeKeys = (folder: string): void => {
  const run = (...args: string[]) => execFileSync(must('openssl'), args, { cwd: folder, stdio: 'pipe' })
  run('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'service-account.key')
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', 'tls.key']
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost']
  run('req', '-x509', '-days', '2', ...key, ...names, '-out', 'tls.crt')
}

/** `Kubernetes v1.20.2` as 20. */
const minor = (path: string): number => Number(/v1\.(\d+)/.exec(execFileSync(path, ['--version'], { encoding: 'utf8' }))?.[1] ?? 0)

/** Starts a cluster in a folder of its own. Everything ends with `stop`, and when this process dies. */
export const startCluster = async (): Promise<Cluster & { stop(keep?: boolean): Promise<void>; logs(lines?: number): string }> => {
  const folder = mkdtempSync(join(tmpdir(), 'real-cluster-'))
  const [etcd, etcdPeer, api, manager, kwok] = (await freePorts(5)) as [number, number, number, number, number]
  const tokens = { admin: 'token-of-admin', reader: 'token-of-reader' }
  const server = `https://127.0.0.1:${api}`
  makeKeys(folder)
  const ca = readFileSync(join(folder, 'tls.crt'), 'utf8')
  writeFileSync(join(folder, 'tokens.csv'), `${tokens.admin},admin,1,"system:masters"\n${tokens.reader},reader,2\n`, { mode: 0o600 })
  for (const [user, token] of Object.entries(tokens)) {
    writeFileSync(join(folder, `${user}.kubeconfig`), kubeconfigOf(server, ca, user, token), { mode: 0o600 })
  }
  const info: ClusterInfo = { folder, server, ca, tokens, version: '' }
  const cluster = connect(info)
  const children = processes(folder)

  const stop = async (keep = false) => {
    playing?.stop()
    await children.stop()
    if (!keep && !process.env.KEEP_CLUSTER_FOLDER) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  let playing: { stop(): void } | undefined
  try {
    const etcdUrl = `http://127.0.0.1:${etcd}`
    children.start('etcd', must('etcd'), [
      '--data-dir', join(folder, 'etcd'), '--unsafe-no-fsync', '--log-level', 'warn',
      '--listen-client-urls', etcdUrl, '--advertise-client-urls', etcdUrl,
      '--listen-peer-urls', `http://127.0.0.1:${etcdPeer}`, '--initial-advertise-peer-urls', `http://127.0.0.1:${etcdPeer}`,
      '--initial-cluster', `default=http://127.0.0.1:${etcdPeer}`,
    ])
    children.start('kube-apiserver', must('kube-apiserver'), [
      `--etcd-servers=${etcdUrl}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${api}`,
      '--tls-cert-file=tls.crt',
      '--tls-private-key-file=tls.key',
      `--cert-dir=${folder}`,
      '--token-auth-file=tokens.csv',
      '--authorization-mode=RBAC',
      '--service-account-issuer=https://kubernetes.default.svc',
      '--service-account-key-file=service-account.key',
      '--service-account-signing-key-file=service-account.key',
      '--service-cluster-ip-range=10.96.0.0/16',
      '--endpoint-reconciler-type=none',
      '--kubelet-preferred-address-types=InternalIP',
      '--max-requests-inflight=2000',
      '--max-mutating-requests-inflight=1000',
    ])
    await until('the API server', async () => (await cluster.request('GET', '/readyz')).status === 200, {
      within: 90_000,
      check: children.check,
    })
    const managerPath = must('kube-controller-manager')
    children.start('kube-controller-manager', managerPath, [
      `--kubeconfig=${cluster.kubeconfig}`,
      `--secure-port=${manager}`,
      '--bind-address=127.0.0.1',
      `--cert-dir=${folder}`,
      // 1.24 took the plain port away.
      ...(minor(managerPath) < 24 ? ['--port=0'] : []),
      '--leader-elect=false',
      '--pvclaimbinder-sync-period=500ms',
      '--service-account-private-key-file=service-account.key',
      '--kube-api-qps=500',
      '--kube-api-burst=1000',
      // These two would ask the cloud for volumes; the stand-ins answer in their place.
      '--controllers=*,-persistentvolume-expander,-attachdetach,-nodeipam,-route,-service,-ttl,-cronjob,-horizontalpodautoscaling',
    ])
    const kinds = velero()
    const environment = configureKwok(folder)
    children.start(
      'kwok',
      must('kwok'),
      [
        `--kubeconfig=${cluster.kubeconfig}`, '--config=kwok.yaml', '--manage-all-nodes', '-v=WARN',
        '--node-ip=127.0.0.1', `--node-port=${kwok}`, `--server-address=127.0.0.1:${kwok}`,
        '--tls-cert-file=tls.crt', '--tls-private-key-file=tls.key', '--node-lease-duration-seconds=40',
      ],
      environment,
    )
    await good(cluster.request('POST', '/api/v1/nodes', { body: node() }))
    for (const object of [...READER, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'velero' } }, ...kinds]) await good(cluster.request('POST', collection(object), { body: object }))
    info.version = (await good(cluster.request('GET', '/version'))).gitVersion
    playing = scheduler(cluster.request)
    await until('the kinds of Velero', async () => {
      const { body } = await cluster.request('GET', '/apis/velero.io/v1')
      return kinds.every(({ spec }) => body?.resources?.some(({ name }: any) => name === spec.names.plural))
    })
    const isReady = async () =>
      (await good(cluster.request('GET', `/api/v1/nodes/${NODE}`))).status.conditions?.some(
        (condition: any) => condition.type === 'Ready' && condition.status === 'True',
      )
    await until('the node', isReady, { check: children.check })
    return { ...cluster, ...info, stop, logs: children.logs }
  } catch (error) {
    const logs = children.logs()
    await stop(true)
    throw new Error(`The cluster did not start; its logs are in ${folder}.\n${logs}`, { cause: error })
  }
}

/** The user `reader` may look at the workload and its claims, and at nothing else. */
const READER = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'reader' },
    rules: [
      { apiGroups: [''], resources: ['namespaces', 'pods', 'persistentvolumeclaims', 'events'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['apps'], resources: ['statefulsets', 'deployments'], verbs: ['get', 'list', 'watch'] },
    ],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'reader' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'reader' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'reader' }],
  },
]

/** Velero's own definitions of its kinds; without the command those who only read backups make do with one of any form. */
const velero = (): KubeObject[] => {
  const command = find('velero')
  if (!command) return [BACKUPS]
  return JSON.parse(execFileSync(command, ['install', '--crds-only', '--dry-run', '-o', 'json'], { encoding: 'utf8' })).items
}

const BACKUPS = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'backups.velero.io' },
  spec: {
    group: 'velero.io',
    scope: 'Namespaced',
    names: { kind: 'Backup', listKind: 'BackupList', plural: 'backups', singular: 'backup' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
}
