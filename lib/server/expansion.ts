/**
 * What must hold before the volumes of a database can grow. Each is one line of a runbook's preflight.
 * Source: operations guide 3.4.1, "Internal Database Volume Expansion", and what it leaves to luck.
 */
import type { Database } from './databases.ts'
import type { Verdict } from '../effect.ts'
import type { Item } from './kots.ts'
import type { Permission } from '../cluster/objects.ts'
import { clock } from '../clock.ts'
import {
  asked, claimsOf, claimsOfAll, classesOf, holdsItsSize, isExternal, isReady, namedItem, otherOwner, podNames, podsOf, setOf, sizeItem, templateSize,
} from './databases.ts'
import { bad, impossible, ok, preflight, warning } from '../effect.ts'
import { isOlder, kotsCli, kotsItems, kotsTrouble, listItems, valueOf, READABLE } from './kots.ts'
import { kubectl, list, read, ref } from '../cluster/objects.ts'
import { GI, bytes, quantityOf } from '../cluster/quantity.ts'
import { clockTime, modifiableAgain, resizeEvents } from './resize.ts'
import { line } from '../shell.ts'

/** Provisioners whose volumes nobody can grow. */
const FIXED = /no-provisioner|hostpath|host-path|local-path|local-storage|nfs/i
const EBS = /aws-ebs|ebs\.csi\.aws\.com/

export const PERMISSIONS: Permission[] = [
  { verbs: ['get', 'create', 'delete', 'patch'], resource: 'statefulsets', group: 'apps' },
  { verbs: ['get', 'patch'], resource: 'persistentvolumeclaims' },
  { verbs: ['get', 'patch'], resource: 'storageclasses', group: 'storage.k8s.io', clusterWide: true },
  { verbs: ['get', 'create', 'delete'], resource: 'secrets' },
  // A WebSocket asks with GET and so needs `get`; kubectl also needs `create`.
  { verbs: ['get', 'create'], resource: 'pods/exec' },
  { verbs: ['get'], resource: 'pods' },
  { verbs: ['list'], resource: 'events' },
  { verbs: ['list'], resource: 'resourcequotas' },
]

/** What speaks against the key that the operator named for the size of a database. */
const namedWrongly = async (db: Database, key: string | undefined, item: Item | undefined, items: Item[]): Promise<Verdict | undefined> => {
  if (key === undefined) return undefined
  const see = `See what there is: ${line(listItems())}`
  const owner = otherOwner(db, key)
  if (owner) return impossible(`--kots-item ${key} is an item of ${owner}, not of ${db.name}`, see)
  if (!item) return bad(`--kots-item ${key}: ${items.some((one) => one.key === key) ? 'this item holds no size (a number of Gi)' : 'KOTS has no such item'}`, see)
  if (await holdsItsSize(db, item)) return undefined
  return bad(`--kots-item ${key}: it is not called a size of ${db.name}, and holds ${valueOf(item)}, not the ${templateSize(db, await setOf(db))} that the stateful set asks for`, see)
}

export const kotsKnowsTheSize = (dbs: Database[], size: string, kotsItem: string | undefined) => preflight('kots', 'kubectl has the KOTS plugin, 1.59 or newer, and an item of KOTS holds the size, the same as the claim (without, a person sets it in the admin console)', async () => {
  const [cli, items] = [await kotsCli(), await kotsItems()]
  const byHand = 'The size is then set by hand in the admin console while the run waits'
  const trouble = await kotsTrouble()
  // It is there: to go on as if it were not would leave to a person what it can do in a minute.
  if (trouble) return bad(trouble, `See what it says, then repeat the same line: ${line(['kubectl', 'kots', 'version'])}`)
  if (!cli) return warning(`${items}: KOTS cannot be told by command`, `Install it (https://kots.io/install/1.65.0). ${byHand}`)
  if (typeof items === 'string') return warning(isOlder(cli, READABLE) ? `KOTS ${cli} cannot list its configuration; 1.59 can` : `KOTS cannot list its configuration: ${items}`, byHand)
  const found = await Promise.all(dbs.map(async (db) => ({ db, item: await sizeItem(db, kotsItem) })))
  const refused = (await Promise.all(found.map(({ db, item }) => namedWrongly(db, namedItem(db, kotsItem), item, items)))).find((verdict) => verdict)
  if (refused) return refused
  const unknown = found.filter(({ item }) => !item)
  if (unknown.length) return warning(`no single item of KOTS looks like ${unknown.map(({ db }) => `“${db.label}”`).join(' or ')}`, `${byHand}; or name the item with --kots-item, from: ${line(listItems())}`)
  const differing = await Promise.all(found.map(async ({ db, item }) => {
    const claimed = (await claimsOf(db)).map(({ claim }) => asked(claim))
    const told = `${valueOf(item)}Gi`
    return claimed.every((one) => one === told || one === size) ? [] : [`${item?.key} says ${told}, the claim asks for ${claimed.join(', ')}`]
  }))
  if (differing.flat().length) return warning(differing.flat().join('; '), 'Both will be the new size. Find out afterwards who changed one without the other.')
  return ok(`KOTS ${cli}, ${found.map(({ item }) => `${item?.key} says ${valueOf(item)}`).join(', ')}`)
})

/** The database runs in the cluster, with its stateful set, or with one that an interrupted run removed. */
export const databaseRunsHere = (db: Database, name: string) => preflight(name, `${db.name} runs inside the cluster: its stateful set is there, and every pod is ready`, async () => {
  if (await isExternal(db)) return impossible(`${db.name} is external: there is no claim to grow`, 'Grow it where it runs.')
  const [live, set, pods] = [await read(db.set), await setOf(db), await podsOf(db)]
  if (!set) return bad(`there is no stateful set ${db.name}, and no kept manifest of it`, `See what there is: ${line(kubectl(['get', 'statefulset,pvc']))}`)
  const unready = (await podNames(db)).filter((one) => !pods.some((pod) => pod.metadata?.name === one && isReady(pod)))
  const trouble = `${unready.join(', ')} ${unready.length > 1 ? 'are' : 'is'} not ready`
  // While the set is away nothing may keep the run from bringing it back, least of all a pod that died meanwhile.
  if (!live) return unready.length ? warning(`${trouble}; the stateful set is away, and bringing it back comes first`, 'Go on.') : ok(`stateful set ${db.name} was removed by an interrupted run; its manifest is kept`)
  if (!set.spec?.replicas) return bad(`stateful set ${db.name} is scaled to no replica: there is no claim in use`, `Scale it up first: ${line(kubectl(['scale', 'statefulset', db.name, '--replicas=1']))}`)
  if (unready.length) return bad(`${trouble}, so df cannot be asked and a resize would stay pending`, line(kubectl(['describe', 'pod', ...unready])))
  return ok(`stateful set ${db.name}, ${pods.length} ready`)
})

export const claimsAreBound = (dbs: Database[]) => preflight('claims', 'every claim is bound', async () => {
  const claims = await claimsOfAll(dbs)
  const wrong = claims.filter(({ claim }) => claim?.status?.phase !== 'Bound').map(({ name, claim }) => `${name} is ${claim?.status?.phase ?? 'missing'}`)
  return wrong.length ? bad(wrong.join(', '), line(kubectl(['describe', 'pvc', ...claims.map(({ name }) => name)]))) : ok(`${claims.length} bound`)
})

export const sizeIsLarger = (dbs: Database[], size: string) => preflight('size', `${size} is a whole number of Gi, and no claim asks for more already: volumes never shrink`, async () => {
  if (bytes(size) % GI !== 0n) return impossible(`${Number((bytes(size) * 1000n) / GI) / 1000}Gi is not a whole number of Gi, and KOTS takes nothing else`, `Write ${(bytes(size) + GI - 1n) / GI}Gi.`)
  const claims = await claimsOfAll(dbs)
  const larger = claims.find(({ claim }) => bytes(asked(claim)) > bytes(size))
  const now = [...new Set(claims.map(({ claim }) => asked(claim)))].join(', ')
  return larger
    ? impossible(`${larger.name} has ${asked(larger.claim)}, which is more than ${size}: volumes grow and never shrink`, `Name a size above ${asked(larger.claim)}.`)
    : ok(`${now} now`)
})

export const classesCanExpand = (dbs: Database[]) => preflight('storage-class', 'the storage class of every claim exists, and its provisioner can expand volumes', async () => {
  const names = await classesOf(dbs)
  const classes = await Promise.all(names.map(async (name) => ({ name, found: await read(ref('StorageClass', name)) })))
  const gone = classes.find(({ found }) => !found)
  if (gone) return bad(`storage class ${gone.name} does not exist any more`, 'Create it again as it was, with allowVolumeExpansion: true.')
  const fixed = classes.find(({ found }) => FIXED.test(found?.provisioner ?? ''))
  if (fixed) return bad(`${fixed.found?.provisioner} (storage class ${fixed.name}) cannot expand volumes`, 'Back up, and restore into a new claim of a class that can.')
  return ok(classes.map(({ name, found }) => `${name} (${found?.provisioner})`).join(', '))
})

export const quotaLeavesRoom = (dbs: Database[], size: string) => preflight('quota', 'the resource quotas of the namespace leave room for what is added', async () => {
  const claims = await claimsOfAll(dbs)
  const more = claims.reduce((sum, { claim }) => sum + bytes(size) - bytes(asked(claim)), 0n)
  const quotas = await list('ResourceQuota')
  for (const { metadata, status } of quotas) {
    for (const [key, hard] of Object.entries(status?.hard ?? {})) {
      if (!/(^|\/)requests\.storage$/.test(key) || (key.includes('.storageclass.') && !(await classesOf(dbs)).some((name) => key.startsWith(`${name}.`)))) continue
      const room = bytes(hard) - bytes(status?.used?.[key])
      if (more > room) return bad(`quota ${metadata?.name} leaves ${quantityOf(room < 0n ? 0n : room)} of ${key}, and ${quantityOf(more)} more are needed`, line(kubectl(['describe', 'resourcequota', metadata?.name ?? ''])))
    }
  }
  return ok(quotas.length ? 'leaves room' : 'no quota')
})

export const awsAllowsAChange = (dbs: Database[], size: string) => preflight('modification-rate', 'on EBS: AWS has not refused to change the volume in the last six hours (it takes one change in six hours)', async () => {
  const provisioners = await Promise.all((await classesOf(dbs)).map(async (name) => (await read(ref('StorageClass', name)))?.provisioner ?? ''))
  if (!provisioners.some((name) => EBS.test(name))) return ok('not on EBS')
  for (const { name, claim } of await claimsOfAll(dbs)) {
    const again = modifiableAgain(await resizeEvents(name))
    if (again === undefined || again <= clock.now()) continue
    const say = `AWS refused to change the volume of ${name} so soon; it will again by ${clockTime(again)}`
    // Where the claim was raised already, stopping here would only keep the stateful set away.
    return asked(claim) === size ? warning(say, 'Kubernetes tries again by itself; nothing has to be done.') : bad(say, `Repeat the same line after ${clockTime(again)}.`)
  }
  return ok('no refusal in the last six hours')
})
