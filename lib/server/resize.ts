/**
 * How a volume grows: what the events of its claim tell, and the checks that prove that claim, volume, file system
 * and pods are as they should be.
 */
import type { V1PersistentVolumeClaim } from '@kubernetes/client-node'
import type { Check } from '../effect.ts'
import type { Database } from './databases.ts'
import { asked, claimsOf, claimsOfAll, dfText, fileSystem, isReady, podsOf, sizeItem, templateSize, uidsOf } from './databases.ts'
import { hours, minutes } from '../effect.ts'
import { Fail, fail } from '../fail.ts'
import { valueOf } from './kots.ts'
import { prints } from '../cluster/checks.ts'
import { isAway, kubectl, list, read, ref } from '../cluster/objects.ts'
import { GI, bytes } from '../cluster/quantity.ts'
import { line } from '../shell.ts'

export interface ClaimEvents { succeeded: number; failed: number; message: string }

/** The newest resize events of a claim, in milliseconds since the epoch; 0 where there is none. */
export const resizeEvents = async (claim: string): Promise<ClaimEvents> => {
  const events = await list('Event', { fieldSelector: `involvedObject.kind=PersistentVolumeClaim,involvedObject.name=${claim}` })
  const newest = (reason: string) => events.filter((event) => event.reason === reason)
    .map((event) => ({ at: new Date((event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? 0) as unknown as string).getTime(), message: event.message ?? '' }))
    .sort((a, b) => b.at - a.at)[0]
  const failed = newest('VolumeResizeFailed')
  return { succeeded: newest('FileSystemResizeSuccessful')?.at ?? 0, failed: failed?.at ?? 0, message: failed?.message ?? '' }
}

/** AWS changes a volume once in six hours. */
const EBS_PAUSE = hours(6)

/** When AWS will change the volume again, at the latest, where its last refusal was for changing too often. */
export const modifiableAgain = ({ succeeded, failed, message }: ClaimEvents): number | undefined =>
  failed > succeeded && message.includes('VolumeModificationRateExceeded') ? (succeeded || failed) + EBS_PAUSE : undefined

/** `03:04 UTC`. */
export const clockTime = (ms: number): string => `${new Date(ms).toISOString().slice(11, 16)} UTC`

/**
 * When the resize that a claim now asks for was begun, in milliseconds since the epoch, as far as one can tell: the
 * newest change of what it asks for, or the newest step that the resizer went with it.
 */
export const resizeBegan = (claim: V1PersistentVolumeClaim | undefined): number => {
  const asked = (claim?.metadata?.managedFields ?? []).filter(({ fieldsV1, subresource }) => !subresource && JSON.stringify(fieldsV1)?.includes('"f:requests"'))
  const steps = (claim?.status?.conditions ?? []).filter(({ type }) => type === 'Resizing' || type === 'FileSystemResizePending')
  return Math.max(0, ...[...asked.map(({ time }) => time), ...steps.map(({ lastTransitionTime }) => lastTransitionTime)]
    .map((time) => new Date(time as unknown as string).getTime() || 0))
}

/**
 * Why a resize that was asked for failed, as an error with its remedy. AWS refuses for hours; any other failure counts
 * only where it is none of an earlier request.
 */
export const resizeFailure = (claim: string, volume: string, events: ClaimEvents, began: number, state: string): Fail | undefined => {
  const again = modifiableAgain(events)
  if (again !== undefined) {
    return fail(`AWS refuses to change the volume again so soon (VolumeModificationRateExceeded).`,
      `After ${clockTime(again)} repeat the same line; it goes on at this step.`,
      { why: `${volume} was changed less than 6 hours before ${clockTime(events.failed)}; AWS allows the next change by ${clockTime(again)} at the latest.`, state })
  }
  if (events.failed > events.succeeded && events.failed >= began) {
    return fail(`The volume of ${claim} could not be grown: ${events.message.split('\n')[0]}`,
      kubectl(['describe', 'pvc', claim]).join(' '), { state })
  }
  return undefined
}

/** The volume as its cloud knows it: `vol-0…` on AWS. */
const volumeOf = async (name = 'the volume'): Promise<string> => {
  const spec = (await read(ref('PersistentVolume', name)).catch(() => undefined))?.spec
  return (spec?.awsElasticBlockStore?.volumeID ?? spec?.csi?.volumeHandle)?.split('/').at(-1) ?? name
}

/** The claim of each replica has the capacity. Throws where the volume was refused to grow. */
export const claimsHave = async (dbs: Database[], size: string): Promise<Check[]> =>
  (await claimsOfAll(dbs)).map(({ name }) => capacityIs(name, size, ({ capacity }) => bytes(capacity) >= bytes(size)))

/** The volume of each replica has grown; its file system may still have to. */
export const volumesHave = async (dbs: Database[], size: string): Promise<Check[]> =>
  (await claimsOfAll(dbs)).map(({ name }) => ({
    ...capacityIs(name, size, ({ capacity, pending }) => bytes(capacity) >= bytes(size) || pending),
    say: `the volume of ${name} has ${size}`,
    command: { words: kubectl(['get', 'pvc', name, '-o', `go-template={{range .status.conditions}}{{if eq .type "FileSystemResizePending"}}${size}{{end}}{{end}}{{if not .status.conditions}}{{.status.capacity.storage}}{{end}}`]) },
  }))

const capacityIs = (name: string, size: string, holds: (now: { capacity: string | undefined; pending: boolean }) => boolean): Check => ({
  ...prints(ref('PersistentVolumeClaim', name), 'jsonpath={.status.capacity.storage}', size, () => undefined),
  within: minutes(15),
  holds: async () => {
    const claim = await read(ref('PersistentVolumeClaim', name))
    const capacity = claim?.status?.capacity?.['storage']
    const events = await resizeEvents(name)
    const refused = resizeFailure(name, await volumeOf(claim?.spec?.volumeName), events, resizeBegan(claim),
      `The database runs and its stateful set is back; ${name} asks for ${asked(claim)} and has ${capacity}. Nothing is broken: Kubernetes tries again by itself.`)
    // A failure that is newer than the success counts even where the sizes look right.
    if (refused && (bytes(capacity) < bytes(size) || events.succeeded > 0)) throw refused
    const pending = claim?.status?.conditions?.some(({ type, status }) => type === 'FileSystemResizePending' && status === 'True') ?? false
    return holds({ capacity, pending }) || (pending ? 'the volume has grown, its file system not yet' : `${capacity}`)
  },
})

/** The stateful set asks for the size for each replica. */
export const setHas = (db: Database, size: string): Check =>
  prints(db.set, `jsonpath={.spec.volumeClaimTemplates[?(@.metadata.name=="${db.template}")].spec.resources.requests.storage}`, size,
    (set) => templateSize(db, set))

/** The pods are those that ran before the stateful set went away, unless a deploy rolled them for another reason. */
export const samePods = async (db: Database): Promise<Check[]> => {
  const before = (await db.kept.notes())['pods'] ?? await uidsOf(db)
  return before.split(',').map((pod) => pod.split('=')).map(([name = '', uid = '']) => ({
    say: `pod ${name} was never gone`, within: minutes(2), prints: uid,
    command: { words: kubectl(['get', 'pod', name, '-o', 'jsonpath={.metadata.uid}']) },
    holds: async () => {
      const [now, live, kept] = [await read(ref('Pod', name)), await read(db.set), await db.kept.manifest()]
      if (now?.metadata?.uid === uid || live?.status?.updateRevision !== kept?.status?.updateRevision) return true
      throw fail(`Pod ${name} was replaced while the stateful set was away: uid ${uid} before, ${now?.metadata?.uid ?? 'no pod'} now.`,
        `${line(kubectl(['get', 'events', '--field-selector', `involvedObject.name=${name}`]))} tells why; then the same line goes on.`,
        { state: `${db.name} has its stateful set again.` })
    },
  }))
}

/** What a wait for a stateful set sees. */
export const setNow = async (db: Database): Promise<string> => {
  const set = await read(db.set)
  return isAway(set) ? `${db.name} ${set ? 'is being deleted' : 'absent'}` : `${db.name} asks for ${templateSize(db, set)}`
}

/** What a wait for a file system sees. */
export const dfNow = (db: Database): Promise<string> => fileSystem(db, `${db.name}-0`).then((found) => `df ${dfText(found)}`, () => `${db.name}-0 cannot be asked`)

/** Why these databases have to be restarted, how things stand meanwhile, and what a restart costs. */
export const restartNeeded = async (dbs: Database[], size: string, flag: string) => {
  const waits = (await Promise.all(dbs.map(async (db) => (await claimsOf(db)).flatMap(({ claim }, n) => {
    const has = claim?.status?.capacity?.['storage']
    return bytes(has) >= bytes(size) ? [] : [{ db: db.name, pod: `${db.name}-${n}`, has }]
  })))).flat()
  const names = [...new Set(waits.map(({ db }) => db))].join(' and ')
  const pods = waits.map(({ pod }) => pod).join(', ')
  return {
    why: `The volume of ${pods} has ${size}; ${waits.length > 1 ? 'these file systems grow' : 'its file system grows'} only when the pod starts again (FileSystemResizePending).`,
    state: `${names} ${names.includes(' ') ? 'run' : 'runs'} with ${[...new Set(waits.map(({ has }) => has))].join(', ')}. Nothing is broken; until the restart the old size can still fill up.`,
    next: `Choose the moment: the line below, which has ${flag}, restarts ${names}, 1 to 5 minutes of downtime, and goes on at this step.`,
  }
}

/** What an operator wants to see of a database before and after. */
export const factsOf = async (db: Database, size: string, kotsItem: string | undefined): Promise<Record<string, string>> => {
  const [claims, pods, item, set, kept] = await Promise.all([claimsOf(db), podsOf(db), sizeItem(db, kotsItem), read(db.set), read(db.kept.ref)])
  const rows = claims.map(({ name, claim }): [string, string] => {
    const [has, asks] = [claim?.status?.capacity?.['storage'], asked(claim)]
    return [`claim ${name}`, !has ? 'missing' : has === asks ? has : `${has}, asks for ${asks}`]
  })
  for (const pod of pods) {
    const name = pod.metadata?.name ?? ''
    rows.push([`df ${name}`, await fileSystem(db, name).then(dfText, () => 'cannot be asked')], [`pod ${name}`, `${isReady(pod) ? 'ready' : 'not ready'}, uid ${pod.metadata?.uid?.slice(0, 8)}…`])
  }
  const setFact = set && !isAway(set) ? `${templateSize(db, set)}, ${set.status?.readyReplicas ?? 0} of ${set.spec?.replicas} ready`
    : `${set ? 'being deleted' : 'absent'}; its pods are not replaced if they die`
  // It may hold passwords: whoever stops here should know that it is still there, and when it goes.
  if (kept) rows.push([`kept ${db.name}`, `manifest in secret ${db.kept.ref.name}; ${set && !isAway(set) ? 'step tidy removes it at the end' : 'step bring-back needs it'}`])
  return Object.fromEntries([[`set ${db.name}`, setFact], ...rows, [`KOTS ${db.name}`, valueOf(item) ?? `cannot be read here: “${db.label}” has to be ${bytes(size) / GI}`]])
}
