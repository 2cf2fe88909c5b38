/**
 * Backups of the installation: the objects that KOTS has Velero make of it, what they say of themselves, and how
 * one is made and followed to its end. Operations guide 3.4.1, "Backup and Restore".
 */
import type { Check, Done, Effect } from '../effect.ts'
import { clock } from '../clock.ts'
import { lookAgain, oncePerLook } from '../door.ts'
import { done, hours, minutes } from '../effect.ts'
import { Refused, fail } from '../fail.ts'
import { kotsVersions, SLUG } from '../server/kots.ts'
import { backupMessages } from '../server/kotsadm.ts'
import { cluster } from '../cluster/kubernetes.ts'
import { kubectl, list, read, ref } from '../cluster/objects.ts'
import { duration } from '../plan.ts'
import { human } from '../cluster/quantity.ts'
import { line } from '../shell.ts'
import { runTool } from '../tools.ts'
import { VELERO, velero } from './velero.ts'

interface Meta { name: string; uid?: string; creationTimestamp?: string; labels?: Record<string, string>; annotations?: Record<string, string> }
interface Ending { phase?: string; startTimestamp?: string; completionTimestamp?: string; errors?: number; warnings?: number; failureReason?: string; validationErrors?: string[] }

/** A Velero backup, as much of it as is read here. */
export interface Backup {
  metadata: Meta
  spec?: { storageLocation?: string; includedNamespaces?: string[]; ttl?: string }
  status?: Ending & {
    expiration?: string; progress?: { totalItems?: number; itemsBackedUp?: number }; volumeSnapshotsAttempted?: number; volumeSnapshotsCompleted?: number
  }
}

export interface Restore {
  metadata: Meta
  spec?: { backupName?: string }
  status?: Ending & { progress?: { totalItems?: number; itemsRestored?: number } }
}

/** What restic does for one volume of one pod, in a backup or in a restore. */
export interface PodVolume {
  metadata: Meta
  spec: { pod: { name?: string; namespace?: string }; volume: string }
  status?: { phase?: string; message?: string; progress?: { totalBytes?: number; bytesDone?: number } }
}

export interface DeleteBackupRequest { metadata: Meta; spec: { backupName: string }; status?: { phase?: string; errors?: string[] } }

const RUNNING = ['', 'New', 'InProgress', 'Uploading', 'UploadingPartialFailure']
export const phaseOf = ({ status }: Backup | Restore): string => status?.phase || 'New'
export const isRunning = (one: Backup | Restore): boolean => RUNNING.includes(one.status?.phase ?? '')
export const time = (text: string | undefined): number => new Date(text ?? 0).getTime()

/** When a backup was asked for; what is in it is never newer. */
export const startOf = ({ metadata, status }: Backup): number =>
  time(status?.startTimestamp ?? metadata.annotations?.['kots.io/snapshot-requested'] ?? metadata.creationTimestamp)

/** KOTS lists and restores only what bears its mark; a backup of another installation is none of ours. */
export const isOurs = ({ metadata: { annotations = {} } }: Backup): boolean =>
  annotations['kots.io/instance'] === 'true' && (annotations['kots.io/kotsadm-deploy-namespace'] ?? cluster().namespace) === cluster().namespace

const all = oncePerLook(() => list('Backup', {}, VELERO))

/** Full backups of this installation, newest first. */
export const backups = async (): Promise<Backup[]> => (await all()).filter(isOurs).sort((a, b) => startOf(b) - startOf(a))

export const backupNamed = async (name: string): Promise<Backup | undefined> => read(ref('Backup', name, VELERO))

const volumesBy = (kind: 'PodVolumeBackup' | 'PodVolumeRestore', label: string) => (name: string): Promise<PodVolume[]> =>
  list(kind, { labelSelector: `${label}=${name}` }, VELERO).catch((error: unknown) => {
    if (error instanceof Refused && error.status === 404) return []
    throw error
  })
export const volumesOf = volumesBy('PodVolumeBackup', 'velero.io/backup-name')
export const volumesRestored = volumesBy('PodVolumeRestore', 'velero.io/restore-name')

const sum = (volumes: PodVolume[], field: 'totalBytes' | 'bytesDone'): bigint =>
  BigInt(Math.round(volumes.reduce((total, { status }) => total + (status?.progress?.[field] ?? 0), 0)))

export const sizeOf = (volumes: PodVolume[]): string => (volumes.length ? human(sum(volumes, 'totalBytes')) : '–')

/** `5 of 5`, snapshots of the cloud among them. */
export const volumeCount = ({ status }: Backup, volumes: PodVolume[]): string => {
  const whole = volumes.filter((one) => one.status?.phase === 'Completed').length + (status?.volumeSnapshotsCompleted ?? 0)
  return `${whole} of ${volumes.length + (status?.volumeSnapshotsAttempted ?? 0)}`
}

/** How far it is: items of the cluster, bytes of the volumes. */
export const progress = (items: [number | undefined, number | undefined], volumes: PodVolume[]): string[] => [
  ...(items[1] ? [`${items[0] ?? 0} of ${items[1]} items`] : []),
  ...(volumes.length ? [`${human(sum(volumes, 'bytesDone'))} of ${human(sum(volumes, 'totalBytes'))} in ${volumes.length} volumes`] : []),
]

/** Roughly how long ago, or until when. */
export const ago = (ms: number): string => {
  const [amount, unit] = ms < hours(1) ? [ms / minutes(1), 'm'] : ms < hours(48) ? [ms / hours(1), 'h'] : [ms / hours(24), 'd']
  return `${Math.floor(amount)} ${unit}`
}

/** The sequence of KOTS that a backup holds. */
export const sequenceOf = ({ metadata }: Backup): number | undefined => {
  try {
    return (JSON.parse(metadata.annotations?.['kots.io/apps-sequences'] ?? '{}') as Record<string, number>)[SLUG]
  } catch {
    return undefined
  }
}

/** The release of the server in a backup, where KOTS lists its versions. */
export const releaseOf = async (backup: Backup): Promise<string | undefined> => {
  const sequence = sequenceOf(backup)
  return (await kotsVersions().catch(() => undefined))?.find((one) => one.sequence === sequence)?.versionLabel
}

/** Milliseconds of `90m`, `1h`, `2d`. */
export const span = (text: string): number => Number.parseInt(text, 10) * { m: minutes(1), h: hours(1), d: hours(24) }[text.at(-1) as 'm' | 'h' | 'd']

/** How long the last completed ones took. */
const earlier = (ours: Backup[]): number[] => ours.filter(({ status }) => status?.phase === 'Completed' && status.startTimestamp && status.completionTimestamp)
  .slice(0, 3).map(({ status }) => time(status?.completionTimestamp) - time(status?.startTimestamp)).filter((ms) => ms > 0)

export const earlierText = (took: number[]): string[] =>
  (took.length ? [`earlier ones took ${duration(Math.min(...took))}${took.length > 1 ? ` to ${duration(Math.max(...took))}` : ''}`] : [])

/** One backup from its start to its end. */
export interface Making { start(): Promise<Done | Effect[]>; end(): Promise<Done | Effect[]>; checks(): Promise<Check[]> }

/** Makes a backup, unless one runs already or a completed one is younger than `maxAge`. */
export const makeBackup = (maxAge: number): Making => {
  // Those that were there when this run asked for one: a newer one is ours, however it ended.
  let before: Set<string> | undefined
  let followed: string | undefined
  const fresh = (ours: Backup[]) => ours.find(({ status }) => status?.phase === 'Completed' && clock.now() - time(status.completionTimestamp) < maxAge)
  const running = (ours: Backup[]) => ours.find(isRunning)
  const mine = (ours: Backup[]) => ours.find(({ metadata: { name } }) => name === followed || (before && !before.has(name)))
  const words = ['kubectl', 'kots', 'backup', '--wait=false', ...cluster().flags, '-n', cluster().namespace]

  return {
    start: async () => {
      const ours = await backups()
      const [made, now, young] = [mine(ours), running(ours), fresh(ours)]
      if (made) return done(followed ? `${made.metadata.name} is followed` : `${made.metadata.name} was started`)
      if (now) followed = now.metadata.name
      if (now) return done(`${now.metadata.name} is in progress since ${ago(clock.now() - startOf(now))}; it is followed`)
      if (young) return done(`${young.metadata.name} is ${ago(clock.now() - startOf(young))} old`)
      return [{
        id: 'kots backup', again: 'mint', command: { words },
        call: async () => {
          before = new Set(ours.map(({ metadata }) => metadata.name))
          const { stdout, stderr } = await runTool(words, `See why: ${line(kubectl(['logs', 'deployment/velero', '--tail=50'], undefined, VELERO))}`, minutes(5))
          // KOTS ends with 0 too where it may not use Velero.
          if (/ensure-permissions|Access Required/.test(stdout + stderr)) throw mayNotUseVelero()
          lookAgain()
          if (!mine(await backups())) {
            throw fail(`KOTS ended well, and there is no new backup${/Error.*/.exec(stdout + stderr)?.[0] ? `: ${/Error.*/.exec(stdout + stderr)?.[0]}` : ''}.`, `See what is wrong: npx tsx runbooks/backup-restore.ts diagnose`)
          }
        },
      }]
    },
    end: async () => {
      const ours = await backups()
      const one = mine(ours) ?? fresh(ours)
      return one && phaseOf(one) === 'Completed' ? done(`${one.metadata.name} is complete`) : []
    },
    checks: async () => [completes(async () => {
      const ours = await backups()
      return { backup: mine(ours) ?? fresh(ours), took: earlier(ours) }
    })],
  }
}

export const mayNotUseVelero = () => fail('KOTS runs with rights in its own namespace alone, and may not use Velero.',
  `Give it the permission, then repeat the same line: ${line(['kubectl', 'kots', 'velero', 'ensure-permissions', '--velero-namespace', VELERO, ...cluster().flags, '-n', cluster().namespace])}`)

const completes = (find: () => Promise<{ backup: Backup | undefined; took: number[] }>): Check => ({
  say: 'the backup is complete', within: hours(4), prints: 'Completed',
  command: { words: ['sh', '-c', `${line(kubectl(['get', 'backups.velero.io', '--sort-by=.metadata.creationTimestamp', '-o', `jsonpath={range .items[?(@.metadata.annotations.kots\\.io/kotsadm-deploy-namespace=="${cluster().namespace}")]}{.status.phase}{"\\n"}{end}`], 'Backup', VELERO))} | tail -n 1`] },
  holds: async () => {
    const { backup, took } = await find()
    if (!backup) return 'there is none yet'
    if (phaseOf(backup) === 'Completed') return true
    const volumes = await volumesOf(backup.metadata.name)
    if (!isRunning(backup)) throw await failure(backup, volumes)
    const { totalItems, itemsBackedUp } = backup.status?.progress ?? {}
    return [`${backup.metadata.name} ${phaseOf(backup)}`, ...progress([itemsBackedUp, totalItems], volumes), ...earlierText(took)].join(' · ')
  },
  hint: async () => `See what it waits for: ${line(velero('backup', 'describe', (await find()).backup?.metadata.name ?? '', '--details'))}`,
})

/** A backup that ended badly: what went wrong, as far as the cluster and KOTS tell. */
const failure = async (backup: Backup, volumes: PodVolume[]) => {
  const { name } = backup.metadata
  const { errors = 0, warnings = 0, failureReason, validationErrors } = backup.status ?? {}
  const told = await backupMessages(name)
  const texts = [
    ...(failureReason ? [failureReason] : []), ...(validationErrors ?? []),
    ...volumes.flatMap(({ spec, status }) => (status?.phase === 'Failed' ? [`volume ${spec.volume} of pod ${spec.pod.name}: ${status.message ?? 'it says nothing'}`] : [])),
    ...told.map(({ kind, text }) => `${kind}: ${text}`),
  ]
  const shown = [...new Set(texts)]
  return fail(`Backup ${name} is ${phaseOf(backup)}: ${errors} ${errors === 1 ? 'error' : 'errors'}, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}.`,
    `Mend that, then repeat the same line, which makes a new one. All that Velero said: ${line(velero('backup', 'logs', name))}`, {
      ...(shown.length ? { why: shown.slice(0, 8).join('\n') } : {}),
      state: `The installation runs; nothing of it was changed. ${name} is not to be relied on, and KOTS does not restore it.`,
    })
}

/** What the newest backup is, for summaries. */
export const backupFacts = async (): Promise<Record<string, string>> => {
  const ours = await backups()
  const newest = ours[0]
  const good = ours.find(({ status }) => status?.phase === 'Completed')
  const text = async (one: Backup | undefined) => {
    if (!one) return 'none'
    const volumes = await volumesOf(one.metadata.name)
    return `${one.metadata.name}, ${phaseOf(one)}, ${ago(clock.now() - startOf(one))} old, ${sizeOf(volumes)} in ${volumeCount(one, volumes)} volumes`
  }
  return { 'newest backup': await text(newest), ...(good !== newest ? { 'newest complete': await text(good) } : {}) }
}
