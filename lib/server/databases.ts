/**
 * The databases that CircleCI server runs inside the cluster, unless they were set up outside: their stateful
 * sets, claims, pods and file systems.
 */
import type { V1PersistentVolumeClaim, V1Pod, V1StatefulSet } from '@kubernetes/client-node'
import type { Check, Effect } from '../effect.ts'
import type { Item } from './kots.ts'
import type { Edit, Keep } from '../cluster/keep.ts'
import type { Ref } from '../cluster/objects.ts'
import { minutes } from '../effect.ts'
import { EXIT, fail } from '../fail.ts'
import { keep } from '../cluster/keep.ts'
import { kotsItems, valueOf } from './kots.ts'
import { exec } from '../cluster/kubernetes.ts'
import { patch } from '../cluster/changes.ts'
import { kubectl, read, ref } from '../cluster/objects.ts'
import { GI, bytes, human } from '../cluster/quantity.ts'
import { line } from '../shell.ts'

/** As the guide names them: stateful set, claim template, data directory, label of the size on the Config screen. */
const FACTS = {
  mongodb: { template: 'datadir', folder: '/bitnami/mongodb', label: 'MongoDB Persistent Volume Size', items: /mongo/i },
  postgresql: { template: 'data', folder: '/bitnami/postgresql', label: 'PostgreSQL Persistent Volume Size', items: /postgres|(^|_)pg(_|$)/i },
} as const
export type DatabaseName = keyof typeof FACTS
export const DATABASES = Object.keys(FACTS) as DatabaseName[]

export interface Database {
  name: DatabaseName
  label: string
  folder: string
  template: string
  items: RegExp
  set: Ref<'StatefulSet'>
  kept: Keep
}

export const database = (name: DatabaseName): Database => {
  const set = ref('StatefulSet', name)
  return { name, set, kept: keep(set), ...FACTS[name] }
}

/** The live stateful set, or the manifest that is kept of it while it is away. */
export const setOf = async (db: Database) => await read(db.set) ?? await db.kept.manifest()

/** The claim of each replica, in order; undefined stands for one that is missing. */
export const claimsOf = async (db: Database): Promise<{ name: string; claim: V1PersistentVolumeClaim | undefined }[]> => {
  const replicas = (await setOf(db))?.spec?.replicas ?? 0
  return Promise.all(Array.from({ length: replicas }, async (_, n) => {
    const name = `${db.template}-${db.name}-${n}`
    return { name, claim: await read(ref('PersistentVolumeClaim', name)) }
  }))
}

/** The size that the stateful set asks for each replica. */
export const templateSize = (db: Database, set: Awaited<ReturnType<typeof setOf>>): string | undefined =>
  set?.spec?.volumeClaimTemplates?.find(({ metadata }) => metadata?.name === db.template)?.spec?.resources?.requests?.['storage']

/** Where that size stands in the manifest. */
export const templatePath = async (db: Database): Promise<string> => {
  const index = (await setOf(db))?.spec?.volumeClaimTemplates?.findIndex(({ metadata }) => metadata?.name === db.template) ?? 0
  return `/spec/volumeClaimTemplates/${index}/spec/resources/requests/storage`
}

/** On a set that we brought back ourselves: that it has its size says nothing of what KOTS holds. */
const RECREATED = 'circleci-runbooks/recreated'
/** What an operator notes on it who told KOTS by hand, where that cannot be seen. */
const TOLD = 'circleci-runbooks/told-kots'
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'

/** The edit that marks a set so. */
export const recreatedMark = async (db: Database, size: string): Promise<Edit> =>
  (await setOf(db))?.metadata?.annotations
    ? { path: `/metadata/annotations/${RECREATED.replace('/', '~1')}`, value: size, add: true }
    : { path: '/metadata/annotations', value: { [RECREATED]: size }, add: true }

/** Takes the mark away, where KOTS can be read and so needs no sign. */
export const unmark = (db: Database, set: V1StatefulSet | undefined): Effect[] =>
  (set?.metadata?.annotations?.[RECREATED] === undefined ? [] : [patch(db.set, { metadata: { annotations: { [RECREATED]: null } } })])

/**
 * How one knows, where KOTS cannot be asked, that it holds this size: it deployed the set with it, as `kubectl apply`
 * noted on it, which is how KOTS deploys; or without such a note, since nobody but KOTS and we create it.
 */
const signOfKots = async (db: Database, size: string): Promise<string | undefined> => {
  const set = await read(db.set)
  const notes = set?.metadata?.annotations ?? {}
  if (templateSize(db, set) !== size) return undefined
  if (notes[TOLD] === size) return `somebody noted on ${db.name} that KOTS was told ${size}`
  const applied = appliedSize(db, notes[LAST_APPLIED])
  const byKots = applied === undefined ? notes[RECREATED] === undefined : bytes(applied) === bytes(size)
  return byKots ? `KOTS deployed ${db.name} with ${size}` : undefined
}

/** The same of several, where there is a sign of each. */
export const signsOfKots = async (dbs: Database[], size: string): Promise<string | undefined> => {
  const signs = await Promise.all(dbs.map((db) => signOfKots(db, size)))
  return signs.includes(undefined) ? undefined : signs.join('; ')
}

const appliedSize = (db: Database, note: string | undefined): string | undefined => {
  try {
    return templateSize(db, JSON.parse(note ?? '') as V1StatefulSet)
  } catch {
    return undefined
  }
}

export const podNames = async (db: Database): Promise<string[]> =>
  Array.from({ length: (await setOf(db))?.spec?.replicas ?? 0 }, (_, n) => `${db.name}-${n}`)

/** The pods of a database that are there, with or without a stateful set. */
export const podsOf = async (db: Database): Promise<V1Pod[]> =>
  (await Promise.all((await podNames(db)).map((name) => read(ref('Pod', name))))).filter((pod) => pod !== undefined)

export const isReady = (pod: V1Pod): boolean =>
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false

/** The pods' identities, which must be the same afterwards. */
export const uidsOf = async (db: Database): Promise<string> =>
  (await podsOf(db)).map((pod) => `${pod.metadata?.name}=${pod.metadata?.uid}`).join(',')

export interface FileSystem { size: bigint; used: bigint; percent: number }

const dfWords = (db: Database): string[] => ['df', '-Pk', db.folder]

/** What the database's file system says of itself, in bytes. */
export const fileSystem = async (db: Database, pod: string): Promise<FileSystem> => {
  const text = await exec(pod, dfWords(db))
  const [, size, used] = text.trim().split('\n').at(-1)?.split(/\s+/) ?? []
  if (!size || !used || !/^\d+$/.test(size + used)) {
    throw fail(`df in pod ${pod} printed something unknown: ${text.trim().slice(0, 80)}`, `${kubectl(['exec', pod, '--', ...dfWords(db)]).join(' ')}`)
  }
  return { size: BigInt(size) * 1024n, used: BigInt(used) * 1024n, percent: Math.round((Number(used) / Number(size)) * 100) }
}

export const dfText = ({ size, used, percent }: FileSystem): string => `${human(size)}, ${human(used)} used (${percent} %)`

/** A file system is always a little smaller than its volume: 3 % with ext4, hardly anything with XFS. */
const leastFor = (size: string): bigint => (bytes(size) * 93n) / 100n

/** The file system of each replica has grown into a volume of this size. */
export const fileSystemsHave = async (db: Database, size: string): Promise<Check[]> => (await podNames(db)).map((pod) => fileSystemHas(db, pod, size))

const fileSystemHas = (db: Database, pod: string, size: string): Check => ({
  say: `df in ${pod} shows ${size}`, within: minutes(5), prints: 'grown',
  command: { words: kubectl(['exec', pod, '--', 'sh', '-c',
    `set -- $(${dfWords(db).join(' ')} | tail -n 1); [ "$2" -ge ${leastFor(size) / 1024n} ] && echo grown || echo "$2 KiB"`]) },
  holds: async () => {
    const found = await fileSystem(db, pod)
    return found.size >= leastFor(size) || dfText(found)
  },
})

/** How an operator names keys of KOTS: `KEY`, or `mongodb=KEY,postgresql=KEY`. */
export const NAMED_ITEMS = new RegExp(`^([^=,]+|(${DATABASES.join('|')})=[^=,]+(,\\s*(${DATABASES.join('|')})=[^=,]+)*)$`)

/** The key that the operator named for this database. */
export const namedItem = (db: { name: DatabaseName }, named: string | undefined): string | undefined =>
  named?.split(',').map((one) => one.trim().split('=')).find(([first, key]) => key === undefined || first === db.name)?.at(-1)

/** Fails where one key would hold the size of two databases. */
export const oneItemEach = (dbs: DatabaseName[], named: string | undefined): void => {
  const keys = dbs.flatMap((name) => namedItem({ name }, named) ?? [])
  const twice = keys.find((key, at) => keys.indexOf(key) !== at)
  if (twice) throw fail(`--kots-item ${named} names ${twice} for ${dbs.join(' and ')}, and each has a size of its own.`, `--kots-item ${dbs.map((name) => `${name}=KEY`).join(',')}`, { code: EXIT.usage })
}

/** The database whose item a key is by its name, where it is that of another one. */
export const otherOwner = (db: Database, key: string): DatabaseName | undefined =>
  db.items.test(key) ? undefined : DATABASES.find((name) => FACTS[name].items.test(key))

/** A key that names a size of this database, as keys do that nobody had to name. */
const isCalledSize = (db: Database, key: string): boolean => db.items.test(key) && /size|capacity/i.test(key)

/** The item is called as the size would be, or holds exactly what is in force: what the set asks for, or after KOTS was told all claims. */
export const holdsItsSize = async (db: Database, item: Item): Promise<boolean> => {
  if (isCalledSize(db, item.key)) return true
  const claims = (await claimsOf(db)).map(({ claim }) => asked(claim))
  const inForce = [templateSize(db, await setOf(db)), ...(claims.every((one) => one === claims[0]) ? claims : [])]
  return inForce.some((one) => one !== undefined && bytes(one) === bytes(`${valueOf(item)}Gi`))
}

/** The size's item among those of KOTS: the one that the operator named, or the only one that is called so. */
export const sizeItem = async (db: Database, named: string | undefined): Promise<Item | undefined> => {
  const items = await kotsItems()
  if (typeof items === 'string') return undefined
  const numbers = items.filter((item) => /^\d+$/.test(valueOf(item) ?? ''))
  const own = namedItem(db, named)
  if (own !== undefined) return numbers.find(({ key }) => key === own)
  const candidates = numbers.filter(({ key }) => isCalledSize(db, key) && /pvc|volume|persist|disk|storage/i.test(key))
  return candidates.length === 1 ? candidates[0] : undefined
}

/** KOTS was told that this database runs outside of the cluster. */
export const isExternal = async (db: Database): Promise<boolean> => {
  const items = await kotsItems()
  return typeof items !== 'string' && items.some((item) => db.items.test(item.key) && /external/i.test(valueOf(item) ?? ''))
}

/** How to set the size by hand, where no command can; and how to say that it was set, of sets that are back without a sign of it. */
export const sizeByHand = async (dbs: Database[], size: string, console: string): Promise<string> => {
  const say = `in the admin console (${console}, then http://localhost:8800), Config: set ${dbs.map(({ label }) => `“${label}”`).join(' and ')} to ${bytes(size) / GI}, save, deploy`
  const back = await Promise.all(dbs.map(async (db) => (templateSize(db, await read(db.set)) === size && await signOfKots(db, size) === undefined ? [db.name] : [])))
  return back.flat().length ? `${say} (if that is done already and was not seen, note it: ${line(kubectl(['annotate', 'statefulset', ...back.flat(), `${TOLD}=${size}`]))})` : say
}

/** Names of the storage classes of all claims, each once. */
export const classesOf = async (dbs: Database[]): Promise<string[]> =>
  [...new Set((await claimsOfAll(dbs)).flatMap(({ claim }) => claim?.spec?.storageClassName ?? []))]

export const claimsOfAll = async (dbs: Database[]): ReturnType<typeof claimsOf> => (await Promise.all(dbs.map(claimsOf))).flat()

/** The size that a claim asks for. */
export const asked = (claim: V1PersistentVolumeClaim | undefined): string | undefined => claim?.spec?.resources?.requests?.['storage']

export const allClaimsAskFor = async (dbs: Database[], size: string): Promise<boolean> =>
  (await claimsOfAll(dbs)).every(({ claim }) => asked(claim) === size)
