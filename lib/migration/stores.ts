/**
 * The stores that are moved from 2.19 to 3.x: how each is read out on the services box, and taken in by its pod. The bytes
 * go from one to the other in one pipeline, packed; both ends note the checksum of what they saw, the pod on the volume of
 * the store itself, so that the note goes where the data goes. Installation guide 3.3.0, "Migration".
 */
import { oncePerLook } from '../door.ts'
import type { Done, Effect } from '../effect.ts'
import { done, hours } from '../effect.ts'
import { EXIT, fail } from '../fail.ts'
import { flow, type Progress } from '../flow.ts'
import { stamp } from '../clock.ts'
import { patch } from '../cluster/changes.ts'
import { kubectl, read, ref } from '../cluster/objects.ts'
import { human } from '../cluster/quantity.ts'
import { duration } from '../plan.ts'
import { mongoScript } from '../server/mongodb.ts'
import { line, quote } from '../shell.ts'
import { complaint, readTool, runTool } from '../tools.ts'
import { making } from './archive.ts'
import type { Box, Seen } from './box.ts'
import { countsOn, countsWords, exporting, isServed, SUM, isStopped, sentNow, serve, stillRuns, unserve } from './box.ts'
import { isHeld, startedSince } from './held.ts'
import { ARCHIVED, FACTS, isDatabase, GZIP, PIGZ, STORES, ZSTD, type Database, type Packing, type StoreName } from './scripts.ts'

/** A database may take that long over an index, and read nothing meanwhile. */
const STALLED = hours(2)

const notesOf = (name: StoreName): string => `${FACTS[name].folder}/.circleci-runbooks`

/** A line that runs in the container of a pod. */
const inPod = (name: StoreName, pod: string, script: string, stdin: boolean): string[] =>
  kubectl(['exec', ...(stdin ? ['-i'] : []), pod, '-c', FACTS[name].container, '--', FACTS[name].shell, '-c', script], 'Pod')

/** What takes it in: it notes what has come only once all of it is there and counted. */
const importing = (name: StoreName, load: string, { unpack }: Packing): string => {
  const { makeReady, countsThere } = FACTS[name], notes = notesOf(name)
  return [
    // Not every sh knows it; there tar, at the end, tells of a part as well.
    'set -e', '(set -o pipefail) 2>/dev/null && set -o pipefail', 'umask 077', `mkdir -p ${notes}`, `rm -f ${notes}/received`, ...(makeReady ? [makeReady] : []),
    `sum=$({ tee /dev/fd/3 | ${unpack} | { ${load}; } >/dev/null; } 3>&1 | ${SUM})`, `{ ${countsThere}; } > ${notes}/counts`,
    `echo "\${sum%% *} $(date +%s)" > ${notes}/part`, `mv ${notes}/part ${notes}/received`,
  ].join('; ')
}

/** The pod on which the volume is now; undefined where none runs that has it. */
const podWith = async (name: StoreName): Promise<string | undefined> => {
  for (const pod of name === 'vault' ? ['vault-0', FACTS.vault.pod] : [FACTS[name].pod]) {
    const found = await read(ref('Pod', pod))
    if (found?.status?.phase === 'Running' && !found.metadata?.deletionTimestamp) return pod
  }
  return undefined
}

/** Vault's pods come and go while its volume is filled: what came is noted on the claim, too. */
const CLAIM = ref('PersistentVolumeClaim', 'data-vault-0'), CAME = 'circleci-runbooks/received', CAME_AT = `${CAME}Time`
const markClaim = (): Effect => {
  const there = inPod('vault', FACTS.vault.pod, `cat ${notesOf('vault')}/received`, false)
  return {
    id: 'note what came on the claim', again: 'safe',
    command: { words: ['sh', '-c', `set -- $(${line(there)}); ${line(kubectl(['annotate', 'pvc', CLAIM.name, '--overwrite'], 'PersistentVolumeClaim'))} ${CAME}="$1" ${CAME_AT}="$2"`] },
    call: async () => {
      const [sum, ended] = (await noted('vault', 'received') ?? '').trim().split(' ')
      return patch(CLAIM, { metadata: { annotations: { [CAME]: sum, [CAME_AT]: ended } } }).call()
    },
  }
}

/** What the volume of a store says of what came: 'unknown' while no pod has it. */
export interface Received { sum: string; ended: number }
const noted = async (name: StoreName, file: string): Promise<string | undefined> => {
  const pod = await podWith(name)
  if (!pod) return undefined
  const { code, stdout, stderr } = await readTool(inPod(name, pod, `cat ${notesOf(name)}/${file} 2>/dev/null || true`, false))
  if (code !== 0) throw fail(`Pod ${pod} cannot be asked what it has received: ${stderr.trim().split('\n').at(-1)}.`, `See how it is: ${kubectl(['describe', 'pod', pod], 'Pod').join(' ')}`)
  return stdout
}

/** What a claim, or a volume, says. */
const textOf = async (name: StoreName): Promise<string | undefined> => {
  if (name !== 'vault') return noted(name, 'received')
  const { [CAME]: sum = '', [CAME_AT]: ended = '' } = (await read(CLAIM))?.metadata?.annotations ?? {}
  return `${sum} ${ended}`
}

const receivedOnce = Object.fromEntries(STORES.map((name) => [name, oncePerLook(() => textOf(name))])) as Record<StoreName, () => Promise<string | undefined>>

export const received = async (name: StoreName): Promise<Received | undefined | 'unknown'> => {
  const text = await receivedOnce[name]()
  if (text === undefined) return 'unknown'
  const [sum, ended] = text.trim().split(' ')
  return sum ? { sum, ended: Number(ended) } : undefined
}

/** How one knows that what the box sent last has come whole; undefined where it has not, or nobody can say. */
export const arrived = async (box: Box, name: StoreName): Promise<string | undefined> => {
  const since = await startedSince()
  if (since) return `${since}, and nothing of it is replaced`
  const [sent, got] = [sentNow(await box.look(), name), await received(name)]
  return sent && got && got !== 'unknown' && got.sum === sent.sum ? `${FACTS[name].label} has come whole: sha256 ${sent.sum.slice(0, 12)}… on both sides` : undefined
}

/** All stores that are moved have come. */
export const allCame = (source: Box, stores: StoreName[]) => async (): Promise<string | undefined> => {
  if (!stores.length) return 'no store is moved'
  const all = await Promise.all(stores.map((name) => arrived(source, name)))
  return all.every((why) => why !== undefined) ? await startedSince() ? all[0] : 'all data has come' : undefined
}

/** The lines that print what each side counted. */
export const countsLines = (box: Box, name: StoreName): { there: string[]; here: string[] } => ({
  there: countsWords(box, name), here: inPod(name, name === 'vault' ? 'vault-0' : FACTS[name].pod, `cat ${notesOf(name)}/counts`, false),
})

/** The figures that both sides counted, by their names; a side that has counted nothing has none. */
export interface Figures { name: string; kind: 'count' | 'sample'; there: string | undefined; here: string | undefined }
export const figuresOf = async (box: Box, name: StoreName): Promise<Figures[]> => {
  const rows = (text: string) => new Map(text.split('\n').flatMap((row) => {
    const [kind, key, value] = row.split(' ')
    return key && value ? [[`${kind} ${key}`, value] as const] : []
  }))
  const [there, here] = [rows(await countsOn(box, name)), rows(await noted(name, 'counts') ?? '')]
  return [...new Set([...there.keys(), ...here.keys()])].sort().map((key) => {
    const [kind, rest] = key.split(' ') as ['count' | 'sample', string]
    return { name: rest, kind, there: there.get(key), here: here.get(key) }
  })
}

/** Of the data, how much goes over the network: as a sample of it was packed, else as databases usually are. */
let ratio = 0.25
export const learnRatio = (found: number): void => { ratio = found }

const told = ({ bytes, began }: Progress, size: number | undefined): string => {
  const seconds = Math.max(1, (Date.now() - began) / 1000), rate = bytes / seconds
  const expected = (size ?? 0) * ratio, left = expected > bytes && rate > 0 ? `, about ${duration(Math.ceil((expected - bytes) / rate) * 1000)} left` : ''
  return `${human(BigInt(bytes))} packed${expected > bytes ? ` of about ${human(BigInt(Math.round(expected)))}` : ''}, ${human(BigInt(Math.round(rate)))}/s${left}`
}

/** Stops at what would make two installations run on one set of data, just before anything is sent. */
const mayMove = (box: Box) => async () => {
  const seen = await box.look()
  if (!isStopped(seen)) return fail(`2.19 runs again: ${stillRuns(seen)}.`, 'Repeat the same line: it stops 2.19, and moves everything anew.', { code: EXIT.stale })
  const held = await isHeld()
  return held === true ? undefined : fail(`3.x runs again: ${held}.`, 'Repeat the same line: it scales 3.x down first.', { code: EXIT.stale })
}

/** Why the pod of a database could take in nothing: its client is missing, or the password that it has does not hold. */
export const cannotTakeIn = async (name: Database): Promise<string | undefined> => {
  const outcome = await readTool(inPod(name, FACTS[name].pod, WELL[name], false))
  return outcome.stdout.includes('well') ? undefined : complaint(outcome)
}
const WELL: Record<Database, string> = {
  mongodb: `command -v mongorestore >/dev/null && ${mongoScript('print("well")')}`, postgresql: `PGPASSWORD="$POSTGRES_PASSWORD" psql -U postgres -AtqX -d postgres -c "select 'well'"`,
}

/** The two ends of a pipeline: what sends a store, and what takes it in. */
export const endsOf = (box: Box, name: StoreName, packing: Packing): { from: string[]; to: string[] } => {
  const { pod } = FACTS[name], { dump, counts, load = FACTS[name].load } = box.archive ? ARCHIVED[name] : FACTS[name]
  const counted = box.archive ? `cat "$notes"/${name}.of-2.19 2>/dev/null || ${counts}` : counts
  return { from: box.words(exporting(box, name, box.archive ? '' : FACTS[name].prepare, dump, packing.pack, counted)), to: inPod(name, pod, importing(name, load, packing), true) }
}

/** The fastest that both ends have; Vault is small, and its pod comes later. */
export const packingOf = async (box: Box, name: StoreName): Promise<Packing> => {
  const { packers } = await box.look(), pod = name === 'vault' ? undefined : await podWith(name)
  if (packers.includes('zstd') && pod && (await readTool(inPod(name, pod, 'command -v zstd || true', false))).stdout.trim()) return ZSTD
  return packers.includes('pigz') ? PIGZ : GZIP
}

/** A store, from the box into its pod; `isOlder` is an archive of before, which may be of another day. */
const copy = async (box: Box, name: StoreName, seen: Seen, old: Box, isOlder: boolean): Promise<Effect> => {
  const { label } = FACTS[name], { from, to } = endsOf(box, name, await packingOf(box, name))
  const progress: Progress = { bytes: 0, began: 0 }
  return {
    id: `copy ${name}`, again: 'safe',
    // The volume of Vault is a new one by then, and the end of the old one a danger of its own; unless one migration follows another.
    ...(isDatabase(name) || await received(name) ? { final: 'Data is replaced', danger: `all that ${label} of 3.x holds is replaced by what ${isOlder ? `the archive ${box.name} has, which was written on ${stamp(seen.written ?? 0)}${old.archive ? '; whether 2.19 is stopped nobody sees, for --host does not name it' : ''}` : '2.19 has'}` } : {}),
    command: { words: to, stdin: { say: `all of ${label} on ${box.name}`, commands: [from], read: async () => '' } },
    unfit: mayMove(old),
    call: () => flow(from, to, progress, { within: STALLED, next: `What has come of ${label} does not count: the same line sends all of it again. “NotFound” speaks of an installation with other names: send a support bundle and this transcript to support.` }),
    watch: async () => told(progress, seen.sizes[name]),
  }
}

/** All of a store has come, and nothing of ours runs on the box for it any more. `old` is 2.19, where it comes from an archive. */
export const haveStore = (box: Box, name: StoreName, old: Box = box, isOlder = false) => async (): Promise<Done | Effect[]> => {
  const seen = await box.look(), why = await arrived(box, name)
  const served = isDatabase(name) && isServed(seen, name) ? [unserve(box, [`runbooks-${name}`])] : []
  if (why) return served.length ? served : done(why)
  if (name !== 'vault') return whileServed(box, name, await copy(box, name, seen, old, isOlder))
  const sent = sentNow(seen, name), came = (await noted(name, 'received'))?.split(' ')[0]
  return [...(sent && came === sent.sum ? [] : [await copy(box, name, seen, old, isOlder)]), markClaim()]
}

/** A database's own server runs while it is read out on the box. */
const whileServed = (box: Box, name: StoreName, effect: Effect): Effect[] =>
  (isDatabase(name) && !box.archive ? [serve(box, name), effect, unserve(box, [`runbooks-${name}`])] : [effect])

/** A store, from the box into an archive on this machine. */
export const haveExported = (box: Box, archive: Box, name: StoreName) => async (): Promise<Done | Effect[]> => {
  const since = await startedSince()
  if (since) return done(since)
  const [seen, folder] = [await box.look(), archive.archive ?? '']
  const sent = sentNow(seen, name), kept = await archive.read(`cat ${quote(archive.notes)}/${name}.kept 2>/dev/null || true`)
  if (sent && kept.stdout.trim() === sent.sum) return done(`${folder}/${ARCHIVED[name].file} has all of it: sha256 ${sent.sum.slice(0, 12)}…`)
  const { prepare, dump, counts } = FACTS[name], { keep, kept: own = dump } = ARCHIVED[name]
  const there = line(box.words(exporting(box, name, prepare, own, GZIP.pack, counts)))
  const script = [
    'set -euo pipefail', 'umask 077', `notes=${quote(archive.notes)}`, 'mkdir -p "$notes" circleci-pg-export circleci-mongo-export circleci-vault', `rm -f "$notes"/${name}.kept`, `touch "$notes"/${name}.exporting`,
    `sum=$({ ${there} | tee /dev/fd/3 | { ${keep}; }; } 3>&1 | sha256sum)`, `${line(countsWords(box, name))} > "$notes"/${name}.of-2.19`, `echo "\${sum%% *}" > "$notes"/${name}.kept`, `rm "$notes"/${name}.exporting`,
  ].join('; ')
  return whileServed(box, name, {
    id: `export ${name}`, again: 'safe', command: { words: making(archive, script) },
    call: () => runTool(making(archive, script), 'What has come of it does not count: the same line sends it again.', hours(24)),
    watch: async () => `${(await archive.read('du -sh . | cut -f 1')).stdout.trim()} in ${folder}`,
  })
}
