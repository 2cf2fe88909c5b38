/**
 * What must hold before a migration touches anything, on both sides, and how long it will take. Each is one line of the
 * runbook's preflight. Installation guide 3.3.0, "Migration", prerequisites.
 */
import { clock } from '../clock.ts'
import type { Permission } from '../cluster/objects.ts'
import { kubectl, read, ref } from '../cluster/objects.ts'
import { bytes, GI, human, quantityOf } from '../cluster/quantity.ts'
import type { Preflight } from '../effect.ts'
import { ask, bad, impossible, minutes, ok, preflight, warning } from '../effect.ts'
import { flow } from '../flow.ts'
import { duration } from '../plan.ts'
import { backupIsRecent } from '../preflight.ts'
import { database, isExternal, isReady } from '../server/databases.ts'
import { heldBy } from '../server/config.ts'
import { line, quote } from '../shell.ts'
import type { Box } from './box.ts'
import { FOLDERS, IMAGES, isStopped } from './box.ts'
import type { Given } from './inputs.ts'
import { AWAY, keysOn, severalKeys } from './keys.ts'
import { isDatabase, labelOf, type StoreName } from './scripts.ts'
import { allCame, cannotTakeIn, learnRatio } from './stores.ts'

export const FOR_MIGRATION: Permission[] = [
  { verbs: ['get', 'list', 'patch'], resource: 'deployments', group: 'apps' },
  { verbs: ['get', 'patch'], resource: 'statefulsets', group: 'apps' },
  { verbs: ['get', 'create', 'delete'], resource: 'persistentvolumeclaims' },
  { verbs: ['get', 'list', 'create', 'delete'], resource: 'pods' },
  { verbs: ['create'], resource: 'pods/exec' },
  { verbs: ['get', 'create', 'patch'], resource: 'configmaps' },
  { verbs: ['list', 'delete'], resource: 'jobs', group: 'batch' },
]

const nothingLeft = async (box: Box, stores: StoreName[]): Promise<boolean> => {
  return isStopped(await box.look()) && await allCame(box, stores)() !== undefined
}

/** Its data makes sense to 3.x from this release on alone. */
export const boxIsOf219 = (box: Box) => preflight('services-box', 'the services box answers by ssh, lets the user be root, and runs 2.19', async () => {
  const { version, state } = await box.look()
  if (!version) return ask(`${box.name} does not tell its release. Is it 2.19?`)
  return version.startsWith('2.19') ? ok(`${box.name} has ${version}, which is ${state}`) : impossible(`${box.name} has ${version}: only 2.19 can be moved to 3.x`, 'Upgrade it to 2.19 first.')
})

const SKIPS: Record<StoreName, string> = { mongodb: '--skip-mongo', postgresql: '--skip-postgres', vault: '--skip-vault' }

/** The data of each store that is moved lies there; that of one that is left out does not, or is meant to stay. */
export const dataIsThere = (box: Box, stores: StoreName[], left: StoreName[]) => preflight('data', 'each store that is moved has its data on the services box', async () => {
  const { sizes, images } = await box.look()
  const missing = stores.filter((name) => sizes[name] === undefined)
  if (missing.length) return bad(missing.map((name) => `there is no ${FOLDERS[name]} on ${box.name}`).join('; '), `Where ${missing.map(labelOf).join(' and ')} runs outside of it, and 3.x uses the same one, leave it out: ${missing.map((name) => SKIPS[name]).join(' ')}`)
  // Of a database 2.19 has an empty one beside the one outside; Vault is small in any case.
  const small = left.filter((name) => (sizes[name] ?? 0) > (name === 'vault' ? 0 : 64 * 2 ** 20))
  if (small.length) return ask(`${small.map((name) => `${FOLDERS[name]} holds ${human(BigInt(sizes[name] ?? 0))}, and ${labelOf(name)} is left out`).join('; ')}. Leave it behind?`)
  const fetched = stores.filter(isDatabase).filter((name) => !images.includes(IMAGES[name]))
  const told = stores.map((name) => `${labelOf(name)} ${human(BigInt(sizes[name] ?? 0))}`).join(', ')
  return fetched.length ? warning(`${told}; ${fetched.map((name) => IMAGES[name]).join(' and ')} ${fetched.length > 1 ? 'are' : 'is'} not on ${box.name} yet, and docker fetches ${fetched.length > 1 ? 'them' : 'it'}`, `Where it has no way out, bring it there first: ${line(['docker', 'pull', fetched[0] ? IMAGES[fetched[0]] : ''])}`) : ok(told)
})

/** Each store that is moved runs inside of 3.x, and each that is not runs outside, on the very server that 2.19 uses. */
export const storesAreInside = (stores: StoreName[], left: StoreName[]) => preflight('datastores', 'each store that is moved runs inside of 3.x; one that is left out runs outside', async () => {
  const outside = (await Promise.all(stores.filter(isDatabase).map(async (name) => (await isExternal(database(name)) ? [name] : [])))).flat()
  if (outside.length) return bad(`3.x has ${outside.map(labelOf).join(' and ')} outside of the cluster`, `Where it is the server that 2.19 uses, leave it out: ${outside.map((name) => SKIPS[name]).join(' ')}. Where it is another one, move its data with its own tools first (PostgreSQL 12.1 or newer).`)
  for (const name of stores) {
    const pod = await read(ref('Pod', `${name}-0`))
    if (name !== 'vault' && !(pod && isReady(pod))) return bad(`pod ${name}-0 is ${pod ? 'not ready' : 'not there'}`, `See why: ${line(kubectl(['describe', 'pod', `${name}-0`], 'Pod'))}. “NotFound” speaks of an installation with other names: send a support bundle to support.`)
    const trouble = name === 'vault' ? undefined : await cannotTakeIn(name)
    if (trouble) return bad(`pod ${name}-0 cannot take in data: ${trouble}`, `It has the password in its environment, and its client; look at its log: ${line(kubectl(['logs', `${name}-0`, '--tail=20'], 'Pod'))}`)
  }
  const isOutside = async (name: StoreName) => (isDatabase(name) ? isExternal(database(name)) : await read(ref('StatefulSet', name)) === undefined)
  const inside = (await Promise.all(left.map(async (name) => (await isOutside(name) ? [] : [name])))).flat()
  if (inside.length) return bad(`${inside.map(labelOf).join(' and ')} ${inside.length > 1 ? 'are' : 'is'} left out, and 3.x has its own inside, which would stay empty`, `Leave ${inside.map((name) => SKIPS[name]).join(' ')} out, or tell KOTS of the external one first.`)
  return ok(left.length ? `${stores.map(labelOf).join(', ') || 'none'} inside; ${left.map(labelOf).join(', ')} outside` : 'all of them are inside')
})

/** What is moved in place cannot be brought back by starting 2.19: its backup is the only way. */
export const outsideIsBackedUp = (left: StoreName[]): Preflight[] => (left.length ? [preflight('backup-outside', 'the stores outside have backups of their own', async () =>
  ask(`${left.map(labelOf).join(' and ')} ${left.length > 1 ? 'stay' : 'stays'} where 2.19 has ${left.length > 1 ? 'them' : 'it'}, and 3.x changes ${left.length > 1 ? 'them' : 'it'} in place: going back needs their own backup. Is there one, and PostgreSQL 12.1 or newer?`))] : [])

/** What 3.x has now comes back from a backup alone. */
export const newOneIsBackedUp = (source: Box, stores: StoreName[]) => preflight('backup-3.x', '3.x has a completed backup of the last 24 hours, or is to lose what it has', async () => {
  const found = await nothingLeft(source, stores) ? ok('nothing is left to move') : await backupIsRecent().look()
  return found.is === 'warning' ? ask(`Of 3.x ${found.say}, and what it holds is replaced. Is it of no worth? (${found.next})`) : found
})

/** Nobody can see whether there is one. */
export const boxIsBackedUp = (box: Box, source: Box, stores: StoreName[]) => preflight('backup-2.19', '2.19 has a backup of today', async () =>
  (await nothingLeft(source, stores) ? ok('nothing is left to move') : ask(`Was ${box.name} backed up today (a snapshot of its disk, or of ${FOLDERS.keys.replace(/\/[^/]*$/, '')})?`)))

/** What a volume must have beyond the data of before; MongoDB's has an archive's dump beside the data. */
const ROOM = 1.3, WITH_DUMP = 2.3
const CLAIMS: Record<StoreName, string> = { mongodb: 'datadir-mongodb-0', postgresql: 'data-postgresql-0', vault: 'data-vault-0' }

export const volumesSuffice = (box: Box, stores: StoreName[], fromArchive: boolean) => preflight('volumes', 'each volume of 3.x has room for what comes', async () => {
  const room = (name: StoreName) => (fromArchive && name === 'mongodb' ? WITH_DUMP : ROOM)
  const { sizes } = await box.look()
  const found = await Promise.all(stores.map(async (name) => ({ name, size: bytes((await read(ref('PersistentVolumeClaim', CLAIMS[name])))?.status?.capacity?.['storage']) })))
  const small = found.filter(({ name, size }) => size > 0n && Number(size) < (sizes[name] ?? 0) * room(name))
  if (!small.length) return ok(found.map(({ name, size }) => `${labelOf(name)} ${size ? quantityOf(size) : 'none yet'}`).join(', '))
  const wanted = (name: StoreName) => `${Math.ceil((sizes[name] ?? 0) * room(name) / Number(GI))}Gi`
  return bad(small.map(({ name, size }) => `${labelOf(name)} has ${quantityOf(size)} for ${human(BigInt(sizes[name] ?? 0))}`).join('; '),
    small.map(({ name }) => (name === 'vault' ? `Vault's volume has no procedure: make its claim larger by hand, ${wanted(name)} at least` : `npx tsx runbooks/expand-pvc.ts --db ${name} --size ${wanted(name)}`)).join('; '))
})

/** Tokens and certificates have times in them. */
export const clocksAgree = (box: Box) => preflight('clocks', 'the clocks of both sides agree', async () => {
  const apart = Math.abs((await box.look()).time - clock.now() / 1000)
  return apart > 60 ? warning(`the clock of ${box.name} is ${duration(Math.round(apart) * 1000)} from that of this machine`, `Set it by NTP: ${line(box.words('timedatectl set-ntp true'))}`) : ok('within a minute')
})

export const keysAreKnown = (box: Box) => preflight('keys', 'signing and encryption key of 2.19 are there, and known by what they are', async () => {
  const found = await keysOn(box)
  if (found.twice.length) return bad(severalKeys(box, found.twice), AWAY)
  return found.signing && found.encryption ? ok(`${found.signing} and ${found.encryption}`)
    : bad(`${box.keys} has ${found.all.join(', ') || 'no files'}, of which ${found.signing ? found.encryption ? '' : 'none is the encryption key' : 'none is the signing key'}`, 'Without them nothing that 2.19 encrypted can be read: find them before you move anything.')
})

/** In a trial nothing of 3.x touches what 2.19 has: another bucket, another name, another OAuth app. */
export const trialIsApart = (box: Box, { storage, oldDomain }: Given) => preflight('trial', 'a trial has a name, a bucket and an OAuth app of its own', async () => {
  const [domain, client] = [await heldBy('domain'), await heldBy('clientId')]
  if (storage !== 'copy') return bad('a trial on the bucket of 2.19 would change it', 'Add --storage copy.')
  if (!oldDomain || domain === oldDomain) return bad(`both have the name ${domain ?? oldDomain ?? 'that is not known'}`, 'Name that of 2.19 with --old-domain, and give 3.x another one.')
  const { code, stdout } = client ? await box.read(`set -o pipefail; config=$(replicatedctl app-config export) && grep -cF ${quote(client)} <<<"$config" || [ -n "$config" ]`) : { code: 1, stdout: '' }
  if (!domain || code !== 0) return ask(`Whether 3.x has a name and an OAuth app of its own cannot be seen. Has it, and not those of 2.19?`)
  return Number(stdout.trim()) > 0 ? bad(`3.x has the OAuth app of 2.19 (${client})`, 'Make one for the trial: npx tsx runbooks/github-oauth-app.ts; then put it into KOTS, and deploy.') : ok(`${domain} beside ${oldDomain}, with an OAuth app of its own`)
})

/** Without the same or another bucket behind it, 3.x has no artifacts, caches and logs of before. */
export const bucketIsNamed = ({ storage, bucket }: Given) => preflight('storage', 'where the objects of 2.19 are, and whether 3.x takes their bucket or a copy', async () =>
  ok(storage === 'keep' ? `3.x takes the bucket ${bucket} of 2.19: from its start on 2.19 must not run again` : `3.x gets a copy of ${bucket}; 2.19 keeps its own`))

const SAMPLE = 32 * 2 ** 20
/** What stopping, starting and the deploy take beside the data. */
const BESIDE = minutes(20)

/** A sample of the data goes the whole way, into nothing; it tells how fast that is, and how well it packs. */
export const downtimeIsKnown = (box: Box, source: Box, stores: StoreName[]) => preflight('downtime', 'how long nobody can build, by a sample that goes the whole way', async () => {
  const { sizes } = await box.look()
  const total = stores.reduce((sum, name) => sum + (sizes[name] ?? 0), 0)
  if (!total || await nothingLeft(source, stores)) return ok('nothing is left to move')
  const through = stores.find(isDatabase)
  if (!through) return ok(`about ${duration(BESIDE)}`)
  const files = `find ${box.archive ? '.' : stores.map((name) => FOLDERS[name]).join(' ')} -type f -printf '%s %p\\n' | sort -rn | head -n 32 | cut -d ' ' -f 2-`
  const progress = { bytes: 0, began: 0 }
  await flow(box.words(`${files} | while read -r file; do cat "$file" 2>/dev/null; done | head -c ${SAMPLE} | gzip -1`), kubectl(['exec', '-i', `${through}-0`, '-c', through, '--', 'sh', '-c', 'cat >/dev/null'], 'Pod'), progress,
    { within: minutes(2), next: 'See that ssh and kubectl exec work, then repeat the same line.', mutating: false })
  const sample = Math.min(SAMPLE, total), seconds = Math.max(1, (Date.now() - progress.began) / 1000)
  if (sample > 0) learnRatio(progress.bytes / sample)
  const rate = sample / seconds
  const takes = rate > 0 ? total / rate * 1000 : 0
  return ok(`about ${duration(Math.ceil((BESIDE + takes) / 60_000) * 60_000)}: ${human(BigInt(total))} at ${human(BigInt(Math.round(rate)))}/s, and ${duration(BESIDE)} beside it; a database may take its data in more slowly`)
})
