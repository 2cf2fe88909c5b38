/**
 * What is left of an installation after a run: all its objects as the API server has them, its file systems, and what
 * KOTS holds. Once with every version, to see that nothing was touched; once without what differs between two
 * installations, to compare them.
 */
import { pause } from '../../lib/clock.ts'
import type { Cluster } from './cluster.ts'
import type { Installation } from './installation.ts'
import { readDisks } from './kwok.ts'
import { until } from './processes.ts'
import type { KubeObject } from './request.ts'
import { good } from './request.ts'

let kinds: Promise<{ path: string; plural: string; apiVersion: string; kind: string }[]> | undefined

/** Every kind of object that lives in a namespace and can be listed, as the server itself tells. */
const discover = async ({ request }: Cluster) => {
  const { groups } = await good(request('GET', '/apis'))
  const roots: [string, string][] = [
    ['/api/v1', 'v1'],
    ...groups.map(({ preferredVersion: { groupVersion } }: any) => [`/apis/${groupVersion}`, groupVersion]),
  ]
  // Events come late and in any number; the old group repeats what the new ones have.
  const left = (group: string, name: string) => group.startsWith('extensions/') || name === 'events'
  const all = await Promise.all(roots.map(async ([root, group]) => {
    const { resources } = await good(request('GET', root))
    return resources
      .filter(({ name, namespaced, verbs }: any) => namespaced && verbs.includes('list') && !name.includes('/') && !left(group, name))
      .map(({ name, kind }: any) => ({ path: root, plural: name, apiVersion: group, kind }))
  }))
  return all.flat()
}

/** Every object of the namespace, and what belongs to it cluster-wide. */
export const everything = async (cluster: Cluster, { namespace, get, storageClass }: Installation): Promise<KubeObject[]> => {
  const known = await (kinds ??= discover(cluster))
  const own = await Promise.all(known.map(async ({ path, plural, apiVersion, kind }) => {
    const { items } = await get(`${path}/namespaces/${namespace}/${plural}`)
    return items.map((item: any) => ({ apiVersion, kind, ...item }))
  }))
  const wide = async (path: string, apiVersion: string, kind: string) =>
    (await get(path)).items.map((item: any) => ({ apiVersion, kind, ...item })).filter(({ metadata: { name } }: any) => name.startsWith(`${namespace}-`))
  return [
    ...own.flat(),
    { apiVersion: 'v1', kind: 'Namespace', ...(await get(`/api/v1/namespaces/${namespace}`)) },
    { apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', ...(await get(`/apis/storage.k8s.io/v1/storageclasses/${storageClass}`)) },
    ...(await wide('/api/v1/persistentvolumes', 'v1', 'PersistentVolume')),
    ...(await wide('/apis/velero.io/v1/namespaces/velero/backups', 'velero.io/v1', 'Backup')),
  ]
}

const idOf = ({ kind, metadata: { name } }: KubeObject): string => `${kind}/${name}`

/** Version of every object, and what KOTS and `df` say: equal only where nothing was touched. */
const touches = async (cluster: Cluster, here: Installation): Promise<Record<string, unknown>> => ({
  ...Object.fromEntries((await everything(cluster, here)).map((object) => [idOf(object), object.metadata.resourceVersion])),
  kots: structuredClone(here.standIns.kots.state.versions),
  disks: readDisks(cluster.folder, here.namespace),
})

/** The same, as soon as the controllers leave the objects alone. */
export const versions = async (cluster: Cluster, here: Installation): Promise<Record<string, unknown>> => {
  let before = await touches(cluster, here)
  return until('the controllers to come to rest', async () => {
    await pause(700)
    const now = await touches(cluster, here)
    const rests = JSON.stringify(now) === JSON.stringify(before)
    before = now
    return rests && now
  }, { every: 0 })
}

const VOLATILE = /^(resourceVersion|nodePort|managedFields|podIPs?|clusterIPs?|.*Time|.*Timestamp|startedAt|createdOn|deployedAt|expiration)$/

/** Without what differs between two installations that are alike: names by namespace, uids, times, addresses. */
export const normal = (value: unknown, namespace: string, uids: Map<string, string> = new Map()): any => {
  const text = JSON.stringify(value, (key, one) => (VOLATILE.test(key) ? undefined : one)) ?? 'null'
  return JSON.parse(text
    .replaceAll(/default-token-\w{5}\b/g, 'default-token')
    .replaceAll(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, 'TIME')
    .replaceAll(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, (uid) => uids.get(uid) ?? 'a uid that nothing has')
    .replaceAll(new RegExp(`\\b${namespace}\\b`, 'g'), 'NAMESPACE'))
}

/** What two installations must have in common to be the same; a uid is what bears it, so that a dead one shows. */
export const essence = async (cluster: Cluster, here: Installation): Promise<Record<string, any>> => {
  await versions(cluster, here)
  const objects = (await everything(cluster, here)).filter((object) => !isOther(object))
  const uids = new Map(objects.map((object) => [object.metadata.uid!, `uid of ${idOf(object)}`]))
  // The names of volumes look like uids, and are the same in every installation.
  const volumes = JSON.stringify(objects).match(/pvc-([0-9a-f-]{36})/g) ?? []
  for (const name of volumes) uids.set(name.slice(4), name.slice(4))
  const all = objects.map((object): [string, unknown] => [idOf(object), object.kind === 'Secret' ? decoded(object) : object])
  const kots = here.standIns.kots.state.versions.map((version) => ({ ...version, values: version.values['mongodb_pvc_size'] }))
  const disks = readDisks(cluster.folder, here.namespace)
  return normal({ ...Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1))), kots, disks }, here.namespace, uids)
}

/** The same without what is named by a hash over the time of a restart. */
export const withoutRevisions = (all: Record<string, unknown>): unknown => {
  const others = Object.fromEntries(Object.entries(all).filter(([id]) => !id.startsWith('ControllerRevision/')))
  return JSON.parse(JSON.stringify(others).replaceAll(/\b(mongodb-)?[bcdfghjklmnpqrstvwxz2456789]{8,10}\b/g, 'REVISION'))
}

/** Pods of deployments have names of their own, tokens hold what they are for, endpoints list what the pods are. */
const isOther = ({ kind, metadata, type }: KubeObject): boolean =>
  ['EndpointSlice', 'Endpoints', 'ServiceAccount'].includes(kind)
  || metadata['ownerReferences']?.[0]?.kind === 'ReplicaSet'
  || type === 'kubernetes.io/service-account-token'

/** A secret in plain text; a manifest in it as an object, however it was indented. */
export const decoded = (secret: KubeObject): KubeObject => ({
  ...secret,
  data: Object.fromEntries(Object.entries<string>(secret['data'] ?? {}).map(([key, value]) => {
    const text = Buffer.from(value, 'base64').toString()
    return [key, key.endsWith('.json') ? JSON.parse(text) : text]
  })),
})

export interface Identities { pod: string; claim: string; volume: string; others: string }

/** Who MongoDB's pod, claim and volume are, and the other pods and claims. */
export const identities = async ({ get }: Installation): Promise<Identities> => {
  const claim = await get('v1/persistentvolumeclaims/datadir-mongodb-0')
  const uids = async (path: string) => (await get(path)).items.map(({ metadata }: any) => `${metadata.name} ${metadata.uid}`).join(', ')
  return {
    pod: (await get('v1/pods/mongodb-0')).metadata.uid,
    claim: claim.metadata.uid,
    volume: (await get(`/api/v1/persistentvolumes/${claim.spec.volumeName}`)).metadata.uid,
    others: (await uids('v1/persistentvolumeclaims')) + (await uids('v1/pods')).replace(/mongodb-0 \S+/, ''),
  }
}

/** Size of everything that has one, and what a run may have left behind. */
export const sizes = async (cluster: Cluster, { get, namespace }: Installation) => {
  const claim = await get('v1/persistentvolumeclaims/datadir-mongodb-0')
  const set = (await get('apps/v1/statefulsets')).items.find(({ metadata }: any) => metadata.name === 'mongodb')
  const names = async (path: string): Promise<string[]> => (await get(path)).items.map(({ metadata }: any) => metadata.name)
  const { size } = readDisks(cluster.folder, namespace)['mongodb-0']!['/bitnami/mongodb']!
  return {
    asked: claim.spec.resources.requests.storage,
    claim: claim.status.capacity.storage,
    volume: (await get(`/api/v1/persistentvolumes/${claim.spec.volumeName}`)).spec.capacity.storage,
    df: `${Math.round(size / 2 ** 20)}Gi`,
    set: set?.spec.volumeClaimTemplates[0].spec.resources.requests.storage ?? 'absent',
    left: [
      ...(await names('coordination.k8s.io/v1/leases')).map((name) => `lease/${name}`),
      ...(await names('v1/secrets')).filter((name) => name.startsWith('runbooks-')).map((name) => `secret/${name}`),
    ],
  }
}

export const GROWN = { asked: '10Gi', claim: '10Gi', volume: '10Gi', df: '10Gi', set: '10Gi', left: [] }

/** The part of an installation that expand-pvc is about, in words that the rehearsal and a real server share. */
export const gistOf = (objects: KubeObject[], kots: Installation['standIns']['kots']['state']['versions'], namespace: string) => {
  const of = <T>(wanted: string, tell: (object: KubeObject) => T): Record<string, T> => Object.fromEntries(objects
    .filter(({ kind, type }) => kind === wanted && type !== 'kubernetes.io/service-account-token')
    .map((object): [string, T] => [object.metadata.name.replace(`${namespace}-`, ''), tell(object)])
    .sort(([a], [b]) => (a < b ? -1 : 1)))
  const ownerOf = ({ metadata }: KubeObject): string => metadata['ownerReferences']?.map(({ kind, name, uid }: any) =>
    `${kind}/${name}${objects.some((one) => one.metadata.uid === uid) ? '' : ', which is gone'}`).join() ?? 'nobody'
  return {
    sets: of('StatefulSet', ({ metadata: { labels }, spec, status }) => ({
      labels, replicas: spec.replicas, ready: status?.readyReplicas,
      containers: spec.template.spec.containers.map(({ name, image, env }: any) => ({ name, image, env })),
      restarted: Boolean(spec.template.metadata.annotations?.['kubectl.kubernetes.io/restartedAt']),
      asks: spec.volumeClaimTemplates.map((one: any) => [one.metadata.name, one.spec.resources.requests.storage]),
    })),
    claims: of('PersistentVolumeClaim', ({ spec, status }) => ({
      asks: spec.resources.requests.storage, phase: status.phase, has: status.capacity.storage,
      conditions: (status.conditions ?? []).map(({ type }: any) => type),
    })),
    volumes: of('PersistentVolume', ({ spec }) => spec.capacity.storage),
    pods: Object.fromEntries(Object.entries(of('Pod', (pod) => ({ owner: ownerOf(pod), phase: pod['status'].phase })))
      .filter(([, { owner }]) => !owner.startsWith('ReplicaSet'))),
    classes: of('StorageClass', ({ allowVolumeExpansion }) => allowVolumeExpansion ?? false),
    secrets: of('Secret', ({ type, data }) => [type, ...Object.keys(data ?? {}).sort()].join(' ')),
    leases: of('Lease', () => 'held'),
    kots: kots.map(({ sequence, status, source, values }) => ({ sequence, status, source, size: values['mongodb_pvc_size'] })),
  }
}

export const gist = async (cluster: Cluster, here: Installation) => {
  await versions(cluster, here)
  return gistOf(await everything(cluster, here), here.standIns.kots.state.versions, here.namespace)
}
