/**
 * A fresh installation of CircleCI server for one test: the objects of the rehearsal on the real API server, in a
 * namespace of their own, with volumes made by hand, and with the stand-ins that serve it. Nobody waits for the old
 * one to go away.
 */
import { mkdirSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { installation, NAMESPACE, STARTS, used } from '../../lib/rehearsal/installation.ts'
import type { Cluster } from './cluster.ts'
import { CONTEXT } from './cluster.ts'
import { cacheFolders, must } from './components.ts'
import { hasAccount } from './kots-made.ts'
import type { KotsServer } from './kots-server.ts'
import { kotsServer } from './kots-server.ts'
import type { Kubelet } from './kubelet.ts'
import { kubelet } from './kubelet.ts'
import { CONTAINER_NAMESPACES, NAMESPACES, NEW_NAMESPACES } from './kwok.ts'
import { until } from './processes.ts'
import type { Answer, KubeObject, RequestOptions } from './request.ts'
import { collection, good } from './request.ts'
import type { Resizer } from './stand-ins.ts'
import { mountAll, resizer } from './stand-ins.ts'

export interface Installation {
  namespace: string
  storageClass: string
  context: string
  kubeconfig: string
  /** For a run under test: the real tools, the stand-in plugin first, and a home of its own. */
  env: Record<string, string>
  standIns: { resizer: Resizer; kots: KotsServer }
  /** Where the pods have containers. */
  kubelet?: Kubelet | undefined
  /** What was loaded, as it was sent. */
  objects: KubeObject[]
  /** The body of a good answer; a path without a leading slash is one below the namespace, as `v1/pods`. */
  get(path: string, query?: Record<string, string>): Promise<any>
  send(method: string, path: string, options?: RequestOptions): Promise<Answer>
  stop(): Promise<void>
}

// Pods, replica sets and the like are made by the real controllers.
const LOADED = new Set(['Secret', 'ConfigMap', 'Service', 'ResourceQuota', 'StatefulSet', 'Deployment'])

export interface Fresh {
  backup?: boolean | undefined
  /** Its pods have containers, and the stores their servers. */
  containers?: boolean | undefined
}

export const freshInstallation = async (cluster: Cluster, { backup = true, containers = false }: Fresh = {}): Promise<Installation> => {
  const { request } = cluster
  const namespace = await claimNamespace(cluster, containers ? CONTAINER_NAMESPACES : NAMESPACES)
  const here = mover(namespace)
  const post = (object: KubeObject) => good(request('POST', collection(object), { body: object }))
  const source = installation()
  const of = (...kinds: string[]) => source.filter((object) => kinds.includes(object.kind)).map(here)

  const [storageClass] = of('StorageClass')
  if (!storageClass) throw new Error('the installation has no StorageClass')
  await post(storageClass)
  await Promise.all(of('PersistentVolume').map(post))
  await hasAccount(cluster, namespace)
  const objects = of(...LOADED)
  // The claims first, or the controller of their set makes them without a class.
  await Promise.all(of('PersistentVolumeClaim').map(post))
  await Promise.all(objects.map(post))
  if (backup) await Promise.all(of('Backup').map(post))

  const own = containers ? kubelet(cluster, namespace) : undefined
  await until(`the pods of ${namespace}`, () => ready(cluster, namespace, objects), { within: containers ? 120_000 : 30_000 }).catch(async (error) => {
    await own?.stop()
    throw error
  })
  await mountAll(cluster, namespace, used)
  const made = await around(cluster, namespace, storageClass.metadata.name)
  return { ...made, objects, kubelet: own, stop: async () => void (await Promise.all([made.stop(), own?.stop()])) }
}

let made = 0
/**
 * A cluster in which nothing is installed: a namespace that is free until the test makes it, a class of volumes, and the
 * volumes that its provisioner will have made. KOTS is its plugin, and nothing else.
 */
export const bareInstallation = async (cluster: Cluster): Promise<Installation> => {
  const namespace = NEW_NAMESPACES[made++]
  if (!namespace) throw new Error(`All ${NEW_NAMESPACES.length} new namespaces are used: raise their number in kwok.ts`)
  const here = mover(namespace)
  const objects = installation().filter(({ kind }) => kind === 'StorageClass' || kind === 'PersistentVolume').map(here)
  for (const { kind, spec } of objects) if (kind === 'PersistentVolume') delete spec.storageClassName
  await Promise.all(objects.map((object) => good(cluster.request('POST', collection(object), { body: object }))))
  return { ...await around(cluster, namespace, `${namespace}-gp2`, false), objects }
}

/** The stand-ins of a namespace, and what a test has in hand of it. */
const around = async (cluster: Cluster, namespace: string, storageClass: string, installed = true): Promise<Omit<Installation, 'objects'>> => {
  const folder = join(cluster.folder, namespace)
  mkdirSync(folder)
  const standIns = { kots: await kotsServer(cluster, namespace, folder, mover(namespace), installed), resizer: resizer(cluster, namespace) }
  const send = (method: string, path: string, options?: RequestOptions) =>
    cluster.request(method, path.startsWith('/') ? path : below(namespace, path), options)
  return {
    namespace,
    storageClass,
    context: CONTEXT,
    kubeconfig: cluster.kubeconfig,
    env: environment(cluster, folder, standIns.kots.bin),
    standIns,
    send,
    get: (path, query = {}) => good(send('GET', path, { query })),
    stop: async () => void (await Promise.all([standIns.resizer.stop(), standIns.kots.stop()])),
  }
}

/** `v1/pods` and `apps/v1/statefulsets/mongodb` below a namespace. */
const below = (namespace: string, path: string): string => {
  const [, version, rest] = /^(v1|[^/]+\/v\w+)\/(.*)$/.exec(path) ?? []
  if (!version) throw new Error(`${path} has no version, as v1/pods has`)
  return `/${version === 'v1' ? 'api' : 'apis'}/${version}/namespaces/${namespace}/${rest}`
}

/** The first namespace that nobody has: the server decides between the workers. */
const claimNamespace = async (cluster: Cluster, names: string[]): Promise<string> => {
  for (const name of names) {
    const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }
    const { status, text } = await cluster.request('POST', '/api/v1/namespaces', { body })
    if (status === 201) return name
    if (status !== 409) throw new Error(`namespace ${name}: ${text}`)
  }
  throw new Error(`All ${names.length} namespaces are used: raise their number in kwok.ts`)
}

/** Takes an object of the rehearsal to the namespace of a test. What is cluster-wide gets its name as a prefix. */
const mover =
  (namespace: string) =>
  (source: KubeObject): KubeObject => {
    // The status is for the controllers to say.
    const { status, ...object } = structuredClone(source)
    const { kind, metadata, spec } = object
    const own = (name: string) => `${namespace}-${name}`
    if (metadata.namespace === NAMESPACE) metadata.namespace = namespace
    if (kind === 'Namespace') metadata.name = namespace
    // Two default classes would be refused; claims are loaded with the class that they would have got.
    if (kind === 'StorageClass') delete metadata.annotations
    if (kind === 'StorageClass' || kind === 'PersistentVolume' || kind === 'Backup') metadata.name = own(metadata.name)
    if (kind === 'PersistentVolumeClaim') {
      spec.volumeName &&= own(spec.volumeName)
      delete metadata.annotations?.['pv.kubernetes.io/bind-completed']
    }
    if (kind === 'PersistentVolume') spec.claimRef.namespace = namespace
    if (spec?.storageClassName) spec.storageClassName = own(spec.storageClassName)
    if (kind === 'Backup') {
      metadata.annotations['kots.io/kotsadm-deploy-namespace'] = namespace
      spec.includedNamespaces = spec.includedNamespaces?.map((name: string) => (name === NAMESPACE ? namespace : name))
      // As old as in the rehearsal, by the clock of this machine.
      const shifted = (time: string) => new Date(Date.parse(time) + Date.now() - STARTS).toISOString().replace(/\.\d+/, '')
      object.status = Object.fromEntries(
        Object.entries(status).map(([key, value]) => [key, /Timestamp$|^expiration$/.test(key) ? shifted(value as string) : value]),
      )
    }
    return object
  }

const ready = async (cluster: Cluster, namespace: string, objects: KubeObject[]): Promise<boolean> => {
  const { items } = await good(cluster.request('GET', `/api/v1/namespaces/${namespace}/pods`))
  const wanted = objects
    .filter((object) => object.kind === 'StatefulSet' || object.kind === 'Deployment')
    .reduce((sum, object) => sum + (object.spec.replicas ?? 1), 0)
  return items.length >= wanted && items.every((pod: any) => pod.status.phase === 'Running')
}

const environment = (cluster: Cluster, folder: string, bin: string): Record<string, string> => {
  const path = [bin, dirname(must('kubectl')), dirname(process.execPath), process.env.PATH, ...cacheFolders()].join(delimiter)
  const home = join(folder, 'home')
  mkdirSync(home)
  return {
    ...(process.env as Record<string, string>),
    PATH: path,
    HOME: home,
    XDG_STATE_HOME: join(home, 'state'),
    KUBECONFIG: cluster.kubeconfig,
    KUBECACHEDIR: join(cluster.folder, 'kube-cache'),
    NO_COLOR: '1',
  }
}
