/**
 * Deletes a backup: Velero does it, in the bucket too, when it is asked by an object of its own. To delete the
 * Backup alone would bring it back with the next look into the bucket.
 */
import { createHash } from 'node:crypto'
import type { Check, Done, Effect } from '../effect.ts'
import { ago, backupNamed, backups, isRunning, startOf, time } from './backups.ts'
import { clock, stamp } from '../clock.ts'
import { bad, done, minutes, ok, preflight, warning } from '../effect.ts'
import { fail } from '../fail.ts'
import { request } from '../cluster/kubernetes.ts'
import { collection, kubectl, list, nameOf, ref } from '../cluster/objects.ts'
import { line } from '../shell.ts'
import { VELERO, velero } from './velero.ts'

export const backupIsDeletable = (name: string) => preflight('backup', 'the backup is not in progress', async () => {
  const backup = await backupNamed(name)
  if (!backup) return ok(`there is no backup ${name}`)
  if (isRunning(backup)) return bad(`${name} is still in progress, and Velero does not delete such a one`, 'Wait for its end: npx tsx runbooks/backup-restore.ts backup')
  const good = (await backups()).filter(({ status }) => status?.phase === 'Completed')
  return good.length === 1 && good[0]?.metadata.name === name ? warning(`${name} is the only complete backup`, 'Make another one first: npx tsx runbooks/backup-restore.ts backup --max-age 0m') : ok(`${name} can be deleted`)
})

/** The newest request to delete it; Velero keeps those of a day. */
const asked = async (name: string) => (await list('DeleteBackupRequest', {}, VELERO)).filter(({ spec }) => spec.backupName === name)
  .sort((a, b) => time(b.metadata.creationTimestamp) - time(a.metadata.creationTimestamp))[0]

/** Asked for, as the Velero command does it. */
export const deleteBackup = (name: string) => async (): Promise<Done | Effect[]> => {
  const backup = await backupNamed(name)
  if (!backup) return done(`there is no backup ${name}`)
  const last = await asked(name)
  if (last && last.status?.phase !== 'Processed') return []
  const uid = backup.metadata.uid ?? ''
  // One name for each try: sent twice, the second is refused. One that failed stays there for a day.
  const requestName = `${name}-${createHash('sha256').update(`${uid} ${last?.metadata.uid ?? ''}`).digest('hex').slice(0, 5)}`
  return [{
    id: `delete backup ${name}`, again: 'guarded', subject: uid, final: 'Data can be lost',
    danger: `${name}, made ${stamp(startOf(backup))}, is deleted with all that it holds in the bucket`,
    command: { words: velero('backup', 'delete', name, '--confirm') },
    onlyInCall: `The request of the runbook holds for the backup with uid ${uid}.`,
    call: () => request('POST', collection('DeleteBackupRequest', VELERO), {
      body: {
        apiVersion: 'velero.io/v1', kind: 'DeleteBackupRequest', spec: { backupName: name },
        metadata: { name: requestName, namespace: VELERO, labels: { 'velero.io/backup-name': name, 'velero.io/backup-uid': uid } },
      },
    }),
  }]
}

export const deletionEnds = (name: string): Check => ({
  say: `${name} is gone`, within: minutes(15), prints: '',
  command: { words: kubectl(['get', ...nameOf(ref('Backup', name)).split('/'), '--ignore-not-found', '-o', 'name'], 'Backup', VELERO) },
  holds: async () => {
    const backup = await backupNamed(name)
    if (!backup) return true
    const { phase, errors: refused = [] } = (await asked(name))?.status ?? {}
    if (phase === 'Processed' && refused.length) throw fail(`Velero could not delete ${name}: ${refused.join('; ')}.`, `See why, mend it, then repeat the same line: ${line(kubectl(['logs', 'deployment/velero', '--tail=100'], 'Pod', VELERO))}`, { state: `${name} may be there in part: do not restore it.` })
    return `${backup.status?.phase ?? 'there'} · ${ago(clock.now() - startOf(backup))} old`
  },
  hint: async () => `See what Velero says: ${line(kubectl(['logs', 'deployment/velero', '--tail=100'], 'Pod', VELERO))}`,
})
