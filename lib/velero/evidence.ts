/**
 * What can be proven of a backup without restoring it, and the table of all of them.
 */
import type { Preflight } from '../effect.ts'
import type { Report } from '../runbook.ts'
import type { Backup, PodVolume } from './backups.ts'
import { awsIn, type Aws } from '../cloud/aws.ts'
import { ago, backupNamed, backups, isOurs, isRunning, phaseOf, releaseOf, sequenceOf, sizeOf, startOf, time, volumeCount, volumesOf } from './backups.ts'
import { clock } from '../clock.ts'
import { everythingIsIn, notInText } from './contents.ts'
import { bad, hours, ok, preflight, warning } from '../effect.ts'
import { Fail } from '../fail.ts'
import { findings } from '../findings.ts'
import { kubectl, list, read, ref } from '../cluster/objects.ts'
import { line } from '../shell.ts'
import { locationAnswersNow } from './snapshots.ts'
import { VELERO, velero } from './velero.ts'

const location = ref('BackupStorageLocation', 'default', VELERO)

/** What a restore of any of them asks for. */
const needs = async (): Promise<string> => {
  const place = await read(location)
  return `A restore needs Velero with the same bucket (${place?.spec.objectStorage?.bucket ?? 'none'}) and credentials, KOTS, a server of the same or a newer release, and on EKS an installed server.`
}

export const table = async (): Promise<Report> => {
  const ours = await backups()
  const rows = await Promise.all(ours.map(async (backup) => {
    const { metadata: { name }, status } = backup
    const [volumes, release] = await Promise.all([volumesOf(name), releaseOf(backup)])
    const [age, left] = [clock.now() - startOf(backup), time(status?.expiration) - clock.now()]
    return {
      name, phase: phaseOf(backup), started: new Date(startOf(backup)).toISOString(), age: ago(age), size: sizeOf(volumes), volumes: volumeCount(backup, volumes),
      expires: status?.expiration ?? null, left: status?.expiration ? (left > 0 ? `in ${ago(left)}` : 'expired') : '–',
      release: release ?? null, sequence: sequenceOf(backup) ?? null, errors: status?.errors ?? 0, warnings: status?.warnings ?? 0,
    }
  }))
  const titles = { name: 'NAME', phase: 'PHASE', age: 'AGE', size: 'SIZE', volumes: 'VOLUMES', left: 'EXPIRES', server: 'SERVER' }
  const cells = [titles, ...rows.map(({ name, phase, age, size, volumes, left, release, sequence, errors }) => ({
    name, phase: errors ? `${phase} (${errors} errors)` : phase, age, size, volumes, left, server: `${release ?? '?'}${sequence === null ? '' : ` (seq. ${sequence})`}`,
  }))]
  const keys = Object.keys(titles) as (keyof typeof titles)[]
  const lines = cells.map((row) => keys.map((key) => row[key].padEnd(Math.max(...cells.map((one) => one[key].length)))).join('  ').trimEnd())
  return {
    text: [
      ...(rows.length ? lines : ['There is no backup of this installation. Make one: npx tsx runbooks/backup-restore.ts backup']), '',
      await needs(), 'What no backup of KOTS contains, and the line that backs it up:', ...await notInText(),
    ].join('\n'),
    data: { backups: rows.map(({ age: _age, left: _left, ...row }) => row) }, code: 0,
  }
}

/** What is found, and what is in no backup. */
export const proof = async (name: string): Promise<Report> => findings(evidence(name), `Backup ${name}`, [
  'Only a restore, into another cluster, proves all of it.', 'What no backup of KOTS contains, and the line that backs it up:', ...await notInText(),
])

/** All that can be proven of one backup. */
const evidence = (name: string): Preflight[] => {
  const one = (check: string, look: (backup: Backup, volumes: PodVolume[]) => Promise<ReturnType<typeof ok>>) => preflight(check, `what can be proven of ${name}`, async () => {
    const backup = await backupNamed(name)
    return backup ? look(backup, await volumesOf(name)) : bad(`there is no backup ${name}`, 'See which there are: npx tsx runbooks/backup-restore.ts list')
  })
  return [
    one('phase', async (backup) => {
      const { errors = 0, warnings = 0 } = backup.status ?? {}
      if (phaseOf(backup) === 'Completed') return errors ? bad(`it is Completed with ${errors} errors`, line(velero('backup', 'logs', name))) : warnings ? warning(`it is Completed, with ${warnings} warnings`, line(velero('backup', 'logs', name))) : ok('it is Completed, without errors')
      return bad(`it is ${phaseOf(backup)}: ${errors} errors`, isRunning(backup) ? 'Follow it to its end: npx tsx runbooks/backup-restore.ts backup' : `Make a new one; what went wrong: ${line(velero('backup', 'logs', name))}`)
    }),
    one('marks', async (backup) => {
      const marks = backup.metadata.annotations ?? {}
      if (!isOurs(backup)) return bad('KOTS does not restore it: it is no full backup of this installation', 'Use one that kubectl kots get backups lists.')
      return marks['kots.io/kotsadm-image'] ? ok(`KOTS made it (${marks['kots.io/kotsadm-image'].split('/').at(-1)})`) : bad('its mark kots.io/kotsadm-image is missing: kubectl kots restore would end with 0 and do nothing', 'Make a new backup: npx tsx runbooks/backup-restore.ts backup')
    }),
    one('age', async (backup) => {
      const [age, left] = [clock.now() - startOf(backup), time(backup.status?.expiration) - clock.now()]
      if (backup.status?.expiration && left <= 0) return bad('it has expired: Velero deletes it', 'Make a new one: npx tsx runbooks/backup-restore.ts backup')
      const expiry = backup.status?.expiration ? `, expires in ${ago(left)}` : ''
      return age > hours(24) ? warning(`it is ${ago(age)} old${expiry}`, 'What was written since is not in it.') : ok(`it is ${ago(age)} old${expiry}`)
    }),
    locationAnswersNow(),
    one('volumes', volumesAreIn),
    one('bucket', async () => objectsAreThere(name)),
    everythingIsIn(),
  ]
}

/** Every claim of a pod that KOTS backs up is in it. */
const volumesAreIn = async (backup: Backup, volumes: PodVolume[]) => {
  const pods = await list('Pod', { labelSelector: 'kots.io/backup=velero' })
  const claims = pods.flatMap(({ metadata, spec }) => (spec?.volumes ?? []).flatMap(({ name: volume, persistentVolumeClaim }) =>
    (persistentVolumeClaim ? [{ pod: metadata?.name, volume, claim: persistentVolumeClaim.claimName }] : [])))
  const failed = volumes.filter(({ status }) => status?.phase !== 'Completed')
  if (failed.length) return bad(`not copied: ${failed.map(({ spec }) => `${spec.volume} of pod ${spec.pod.name}`).join(', ')}`, `Velero's own words: ${line(velero('backup', 'describe', backup.metadata.name, '--details'))}`)
  const missing = claims.filter(({ pod, volume }) => !volumes.some(({ spec }) => spec.pod.name === pod && spec.volume === volume))
  const snapshots = backup.status?.volumeSnapshotsCompleted ?? 0
  if (!missing.length) return ok(`all ${claims.length} volumes of the installation are in it`)
  if (snapshots >= missing.length) return warning(`${claims.length - missing.length} volumes were copied, ${snapshots} are snapshots of the cloud; which ones, only the bucket tells`, line(velero('backup', 'describe', backup.metadata.name, '--details')))
  return bad(`not in it: ${missing.map(({ claim }) => claim).join(', ')}`, `These volumes are not copied: see the annotation backup.velero.io/backup-volumes of their pods, e.g. ${line(kubectl(['describe', 'pod', missing[0]?.pod ?? ''], 'Pod'))}`)
}

/** Its objects lie in the bucket that Velero uses. */
const objectsAreThere = async (name: string) => {
  const place = await read(location)
  const { bucket = '', prefix } = place?.spec.objectStorage ?? {}
  const { region, s3Url } = place?.spec.config ?? {}
  const folder = `${prefix ? `${prefix.replace(/\/$/, '')}/` : ''}backups/${name}/`
  if (place?.spec.provider !== 'aws' || s3Url || !region) {
    return warning(`not proven: a bucket of ${s3Url ?? place?.spec.provider ?? 'an unknown kind'} is not read from here; Velero lists the backup from it`, `By hand: ${place?.spec.provider === 'gcp' ? `gsutil ls gs://${bucket}/${folder}` : `mc ls ALIAS/${bucket}/${folder}`}`)
  }
  return objectsIn(awsIn(region), bucket, folder, name)
}

/** The objects of a backup lie in this folder of a bucket, as far as the operator's own credentials show. */
export const objectsIn = async (aws: Aws, bucket: string, folder: string, name: string) => {
  const listing = { Bucket: bucket, Prefix: folder }
  try {
    const found = await aws.read<{ Contents?: { Key: string }[] }>('s3', 'ListObjectsV2', listing)
    const keys = (found?.Contents ?? []).map(({ Key }) => Key)
    const missing = ['velero-backup.json', `${name}.tar.gz`].filter((key) => !keys.includes(folder + key))
    if (missing.length) return bad(`s3://${bucket}/${folder} lacks ${missing.join(' and ')}`, `See what is there: ${line(aws.words('s3', 'ListObjectsV2', listing))}`)
    const head = await aws.read('s3', 'HeadObject', { Bucket: bucket, Key: `${folder}velero-backup.json` })
    return head ? ok(`${keys.length} objects in s3://${bucket}/${folder}, and they can be read`) : bad(`s3://${bucket}/${folder}velero-backup.json cannot be read`, line(aws.words('s3', 'HeadObject', { Bucket: bucket, Key: `${folder}velero-backup.json` })))
  } catch (error) {
    if (!(error instanceof Fail)) throw error
    return warning(`not proven with your own credentials: ${error.message}`, `With those of an account that may read it: ${line(aws.words('s3', 'ListObjectsV2', listing))}`)
  }
}
