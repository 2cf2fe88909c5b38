/**
 * Stand-in for the Velero server, and for what KOTS has it do: the code of the rehearsal, acting on what the API
 * server has. Each step reads the objects, plays, and sends what was changed; what the definitions of Velero refuse
 * fails, and what they take away is noted.
 */
import { DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { pause } from '../../lib/clock.ts'
import { awsWorld } from '../../lib/rehearsal/aws.ts'
import { reconcileBackups, runVelero, startBackup } from '../../lib/rehearsal/backups.ts'
import { furnish } from '../../lib/rehearsal/furnish.ts'
import { NAMESPACE } from '../../lib/rehearsal/installation.ts'
import type { Rules, World } from '../../lib/rehearsal/world.ts'
import { iso, keyOf } from '../../lib/rehearsal/world.ts'
import type { Cluster } from './cluster.ts'
import type { Installation } from './installation.ts'
import { until } from './processes.ts'
import type { KubeObject } from './request.ts'
import { good } from './request.ts'
import { LOCATION } from './velero.ts'

const VELERO = 'velero'
/** A backup takes some seconds in place of minutes. */
export const HASTE = 60

/** Kinds that are played, and where: the installation's namespace, Velero's, or both. */
const KINDS: [plural: string, version: string, where: ('own' | 'velero')[]][] = [
  ['pods', 'v1', ['own', 'velero']], ['services', 'v1', ['own']], ['secrets', 'v1', ['own']],
  ['statefulsets', 'apps/v1', ['own']], ['deployments', 'apps/v1', ['own', 'velero']],
  ...['backups', 'restores', 'podvolumebackups', 'podvolumerestores', 'deletebackuprequests', 'backupstoragelocations']
    .map((plural): [string, string, ['velero']] => [plural, 'velero.io/v1', ['velero']]),
]

export interface PlayedVelero {
  /** What goes wrong, as in the rehearsal. */
  rules: Rules
  /** How many times faster than the rehearsal's own. */
  haste: number
  /** Nothing of Velero moves on. */
  paused: boolean
  /** Fields that were sent, and are not in what the server kept. */
  lost: string[]
  /** Runs code of the rehearsal on what the API server has. */
  play<T>(work: (world: World) => T): Promise<T>
  /** A complete backup, made as KOTS makes one. */
  backup(): Promise<string>
  /** Keys of the objects in the bucket. */
  bucket(): string[]
  stop(): Promise<void>
}

/** Where an object names its namespace; `circleci-server` is the name of the application too. */
const moved = (object: KubeObject, from: string, to: string): KubeObject => {
  const copy = structuredClone(object)
  const { metadata, spec } = copy
  const mark = 'kots.io/kotsadm-deploy-namespace'
  if (metadata.namespace === from) metadata.namespace = to
  if (metadata['annotations']?.[mark] === from) metadata['annotations'][mark] = to
  if (spec?.pod?.namespace === from) spec.pod.namespace = to
  if (Array.isArray(spec?.includedNamespaces)) spec.includedNamespaces = spec.includedNamespaces.map((one: string) => (one === from ? to : one))
  return copy
}

/** Paths of what was sent that is not so in what was kept. */
const notKept = (sent: any, kept: any, path: string): string[] =>
  sent !== null && typeof sent === 'object'
    ? Object.keys(sent).flatMap((key) => notKept(sent[key], kept?.[key], `${path}.${key}`))
    : sent === kept ? [] : [path]

/** What Velero writes is put into the bucket of this name on the S3 server of the environment. */
export const playVelero = async (cluster: Cluster, here: Installation, name: string): Promise<PlayedVelero> => {
  const { kots } = here.standIns
  const over = new AbortController()
  const s3 = new S3Client({ region: 'us-east-1', forcePathStyle: true })
  const world = {
    time: Date.now(), pace: 0, revision: 0, born: {}, rules: {}, objects: {}, kots: kots.state, files: {}, due: [], secrets: [],
    aws: { ...awsWorld(), buckets: { [name]: { region: 'us-east-1', own: true, objects: [] } } },
  } as unknown as World
  const waiting = new Set<string>()
  let queue: Promise<unknown> = Promise.resolve()

  const folderOf = (plural: string, namespace: string): string => {
    const version = KINDS.find(([one]) => one === plural)?.[1] ?? 'v1'
    return `/${version === 'v1' ? 'api' : 'apis'}/${version}/namespaces/${namespace}/${plural}`
  }
  const subresources: string[] = (await good(cluster.request('GET', '/apis/velero.io/v1'))).resources.map(({ name: one }: any) => one)
  const ownStatus = (plural: string, apiVersion: string): boolean => apiVersion !== 'velero.io/v1' || subresources.includes(`${plural}/status`)

  const load = async (): Promise<Record<string, KubeObject>> => {
    const places = KINDS.flatMap(([plural, version, where]) => where.map((one) => [plural, version, one === 'own' ? here.namespace : VELERO] as const))
    const found = await Promise.all(places.map(async ([plural, version, namespace]) => {
      const { items, kind } = await good(cluster.request('GET', folderOf(plural, namespace)))
      return items.map((item: KubeObject): [string, KubeObject] => {
        const object = moved({ ...item, apiVersion: version, kind: kind.replace(/List$/, '') }, here.namespace, NAMESPACE)
        return [keyOf(plural, object.metadata.name, object.metadata.namespace), object]
      })
    }))
    return Object.fromEntries(found.flat())
  }

  const setStatus = async (path: string, object: KubeObject): Promise<void> => {
    const plural = path.split('/').at(-2) ?? ''
    const kept = await good(cluster.request('PATCH', `${path}${ownStatus(plural, object.apiVersion) ? '/status' : ''}?fieldManager=velero-server`, { body: { status: object['status'] } }))
    self.lost.push(...notKept(object['status'], kept.status, `${object.kind}.status`))
  }

  /** Makes one object on the server what it is in the world. */
  const send = async (key: string, before: KubeObject | undefined, after: KubeObject | undefined): Promise<void> => {
    const [plural = '', namespace = ''] = key.split('/')
    const folder = folderOf(plural, namespace === NAMESPACE ? here.namespace : namespace)
    if (before && before.metadata.uid !== after?.metadata.uid) await good(cluster.request('DELETE', `${folder}/${before.metadata.name}`))
    if (!after) return
    const object = moved(after, NAMESPACE, here.namespace)
    const { uid: _uid, resourceVersion: _version, creationTimestamp: _time, ...metadata } = object.metadata
    if (before?.metadata.uid !== after.metadata.uid) {
      const sent = { ...object, metadata }
      const kept = await good(cluster.request('POST', folder, { body: sent }))
      const { status: _status, ...rest }: KubeObject = sent
      self.lost.push(...notKept(rest, kept, object.kind))
    }
    if (object['status'] && JSON.stringify(before?.['status']) !== JSON.stringify(object['status'])) await setStatus(`${folder}/${object.metadata.name}`, object)
  }

  const copyBucket = async (before: string[], after: string[]): Promise<void> => {
    for (const Key of after.filter((one) => !before.includes(one))) await s3.send(new PutObjectCommand({ Bucket: name, Key, Body: Key }))
    for (const Key of before.filter((one) => !after.includes(one))) await s3.send(new DeleteObjectCommand({ Bucket: name, Key }))
  }

  const step = async <T>(work: (world: World) => T): Promise<T> => {
    const before = await load()
    const kept = self.bucket()
    Object.assign(world, { haste: self.haste, time: Date.now(), objects: structuredClone(before), due: [] })
    const answer = work(world)
    // What an object says is true: the bucket comes first.
    await copyBucket(kept, self.bucket())
    for (const key of new Set([...Object.keys(before), ...Object.keys(world.objects)])) {
      if (JSON.stringify(before[key]) !== JSON.stringify(world.objects[key])) await send(key, before[key], world.objects[key])
    }
    for (const { do: what, name: which, at } of world.due) if (what === 'run-velero') void next(which, (at - world.time) / self.haste)
    return answer
  }

  /** What is due is due once. */
  const next = async (which: string, after: number): Promise<void> => {
    if (waiting.has(which)) return
    waiting.add(which)
    await pause(after, over.signal)
    while (self.paused && !over.signal.aborted) await pause(50, over.signal)
    waiting.delete(which)
    if (!over.signal.aborted) await self.play((one) => runVelero(one, which)).catch((error: unknown) => self.lost.push(String(error)))
  }

  const look = async (): Promise<void> => {
    const now = iso(Date.now())
    if ((await cluster.request('GET', LOCATION)).status !== 200) return
    await setStatus(LOCATION, { apiVersion: 'velero.io/v1', kind: 'BackupStorageLocation', metadata: { name: 'default' }, status: { phase: 'Available', lastValidationTime: now, lastSyncedTime: now } })
  }

  const self: PlayedVelero = {
    rules: world.rules, haste: HASTE, paused: false, lost: [],
    play: (work) => {
      const played = queue.then(() => step(work))
      queue = played.catch(() => {})
      return played
    },
    backup: async () => {
      const made = await self.play((one) => startBackup(one))
      await until(`backup ${made}`, async () => (await here.get(`/apis/velero.io/v1/namespaces/${VELERO}/backups/${made}`)).status?.phase === 'Completed')
      return made
    },
    bucket: () => [...world.aws.buckets[name]?.objects ?? []],
    stop: async () => {
      over.abort()
      await queue
      await looking
    },
  }
  kots.velero = self
  await self.play(furnish)
  const looking = (async () => {
    while (!over.signal.aborted) {
      if (!self.paused) await look().then(() => self.play(reconcileBackups)).catch(() => {})
      await pause(500, over.signal)
    }
  })()
  return self
}
