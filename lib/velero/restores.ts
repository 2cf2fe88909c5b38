/**
 * A restore: what must hold before, the one command of KOTS, and the two restores of Velero that it starts, of the
 * admin console and of the application. Operations guide 3.4.1, "Restoring backups".
 */
import type { Backup, Restore } from './backups.ts'
import type { Check, Done, Effect } from '../effect.ts'
import type { Permission } from '../cluster/objects.ts'
import { ago, backupNamed, backups, isOurs, isRunning, phaseOf, progress, releaseOf, startOf, time, volumesRestored } from './backups.ts'
import { clock } from '../clock.ts'
import { lookAgain } from '../door.ts'
import { bad, done, impossible, minutes, ok, preflight, warning } from '../effect.ts'
import { fail } from '../fail.ts'
import { isOlder, serverVersion, SLUG } from '../server/kots.ts'
import { cluster } from '../cluster/kubernetes.ts'
import { prints } from '../cluster/checks.ts'
import { kubectl, list, read, ref } from '../cluster/objects.ts'
import { duration } from '../plan.ts'
import { line } from '../shell.ts'
import { runTool } from '../tools.ts'
import { VELERO, velero } from './velero.ts'
import { keptOf } from './addresses.ts'

/** What a restore asks for, beside KOTS's own rights. */
export const FOR_RESTORES: Permission[] = [
  { verbs: ['get', 'list', 'delete'], resource: 'pods' }, { verbs: ['create'], resource: 'pods/portforward' }, { verbs: ['get', 'create'], resource: 'configmaps' },
  ...['services', 'secrets', 'configmaps', 'serviceaccounts', 'persistentvolumeclaims'].map((resource) => ({ verbs: ['delete'], resource })),
]

const LISTED = 'See which there are: npx tsx runbooks/backup-restore.ts list'

/** Velero's two restores of one backup, as KOTS names them. */
const consoleRestore = (name: string) => ref('Restore', `${name}.kotsadm`, VELERO)
const appRestore = (name: string) => ref('Restore', `${name}.${SLUG}`, VELERO)

/** Why KOTS would do nothing, and end with 0. */
const unusable = (backup: Backup): string | undefined => {
  const { name, annotations = {} } = backup.metadata
  if (!isOurs(backup)) return `${name} is no full backup of KOTS for namespace ${cluster().namespace}`
  if (!annotations['kots.io/kotsadm-image']) return `${name} lacks the mark kots.io/kotsadm-image`
  return phaseOf(backup) === 'Completed' ? undefined : `${name} is ${phaseOf(backup)}`
}

const newerOne = async (): Promise<string> => {
  const good = (await backups()).find((one) => !unusable(one))
  return good ? `The newest that can be restored is ${good.metadata.name}.` : 'There is none that can be restored.'
}

/** Velero has looked into the bucket since it has this location. */
const isSynced = async (): Promise<boolean> => Boolean((await read(ref('BackupStorageLocation', 'default', VELERO)))?.status?.lastSyncedTime)

/** The backup is complete and KOTS's own: of another one `kots restore` does nothing, and ends with 0. */
export const backupIsUsable = (name: string) => preflight('backup', 'the backup is complete, of KOTS, and of this namespace', async () => {
  // Velero that was just installed lists the bucket within a minute or two; what is confirmed has to be known.
  for (const until = clock.now() + minutes(3); !await isSynced() && !await backupNamed(name) && clock.now() < until;) await clock.sleep(5000)
  const backup = await backupNamed(name)
  if (!backup && !await isSynced()) return bad('Velero has not listed the bucket within 3 minutes', `Velero's own words: ${line(kubectl(['logs', 'deployment/velero', '--tail=50'], 'Pod', VELERO))}`)
  if (!backup) return impossible(`there is no backup ${name} in the bucket`, LISTED)
  const why = unusable(backup)
  const { storageLocation = 'default' } = backup.spec ?? {}
  if (storageLocation !== 'default') return bad(`${name} lies in the location ${storageLocation}, and KOTS knows only the one named default`, `Let the location default lead to the bucket that holds it. Where that is: ${line(velero('backup-location', 'get'))}`)
  return why ? impossible(`${why}: kubectl kots restore would end with 0 and do nothing`, `${await newerOne()} ${LISTED}`) : ok(`${name} is complete, ${ago(clock.now() - startOf(backup))} old`)
})

/** The server that is here is not older than the one in the backup; on EKS there has to be one. */
export const serverFits = (name: string) => preflight('server', 'the server that is installed is of the same release as the one in the backup, or newer; on EKS there is one', async () => {
  const [backup, nodes, installed] = [await backupNamed(name), await list('Node'), await list('Deployment', { labelSelector: `kots.io/app-slug=${SLUG}` })]
  const onEks = nodes.some(({ spec }) => spec?.providerID?.startsWith('aws:'))
  if (!installed.length) {
    return onEks ? bad('no CircleCI server is installed here, and on EKS a restore needs one', 'Install server first, of the same release, with KOTS: installation guide, phases 1 and 2.')
      : warning('no CircleCI server is installed here', 'On GKE and elsewhere a cluster with Velero alone may do; on EKS it does not.')
  }
  const [here, then] = [await serverVersion().catch(() => undefined), backup && await releaseOf(backup)]
  if (!here || !then) return warning(`KOTS does not tell ${here ? 'the release in the backup' : 'which release runs here'}`, 'A restore wants the same release, or a newer one.')
  return isOlder(here, then) ? bad(`server ${here} runs here, and the backup is of ${then}`, 'Upgrade KOTS and server to that release first (Version History).') : ok(`server ${here} here, ${then} in the backup`)
})

/** The two restores, as far as they belong to this run: those of an earlier one do not count. */
const restoresOf = async (name: string, maxAge: number): Promise<[Restore | undefined, Restore | undefined]> => {
  const [kept, ...both] = [await keptOf(name), await read(consoleRestore(name)), await read(appRestore(name))]
  const since = kept ? time(String(kept.metadata?.creationTimestamp ?? '')) : clock.now() - maxAge
  const counts = (one: Restore | undefined) => (one && (isRunning(one) || time(kept ? one.metadata.creationTimestamp : one.status?.completionTimestamp) >= since) ? one : undefined)
  return [counts(both[0]), counts(both[1])]
}

const failed = (one: Restore | undefined): boolean => Boolean(one && !isRunning(one) && phaseOf(one) !== 'Completed')

/** How long KOTS takes, at most, from the console's end to the start of the application's: it removes that first. */
const BETWEEN = minutes(15)

/** When the application was restored: undefined as long as it was not, or that is longer ago than `maxAge`. */
export const restoredAt = async (name: string, maxAge: number): Promise<number | undefined> => {
  const [, app] = await restoresOf(name, maxAge)
  return app && phaseOf(app) === 'Completed' ? time(app.status?.completionTimestamp) : undefined
}

/** It is on its way, or was done: what was there before can no longer be noted down. */
export const hasBegun = async (name: string, maxAge: number): Promise<boolean> => (await restoresOf(name, maxAge)).some((one) => one && !failed(one))

/** Starts the restore; where it was started it is followed. */
export const startRestore = (name: string, maxAge: number) => async (): Promise<Done | Effect[]> => {
  const [ofConsole, app] = await restoresOf(name, maxAge)
  const backup = await backupNamed(name)
  if (app && !failed(app)) return done(phaseOf(app) === 'Completed' ? `${name} was restored ${ago(clock.now() - time(app.status?.completionTimestamp))} ago` : `${app.metadata.name} is in progress`)
  if (ofConsole && !failed(ofConsole) && !app && (isRunning(ofConsole) || clock.now() - time(ofConsole.status?.completionTimestamp) < BETWEEN)) return done(`${ofConsole.metadata.name} is ${phaseOf(ofConsole)}`)
  const words = ['kubectl', 'kots', 'restore', '--from-backup', name, '--wait-for-apps=false', '--velero-namespace', VELERO, ...cluster().flags]
  const from = backup ? new Date(startOf(backup)).toISOString().slice(0, 16).replace('T', ' ') : 'it was made'
  return [{
    id: `kots restore ${name}`, again: 'mint', final: 'Data can be lost', ...(backup?.metadata.uid ? { subject: backup.metadata.uid } : {}),
    danger: `all that was written since ${from} UTC is lost, in the databases, in Vault and in the admin console, and CircleCI server is down for 10 to 15 minutes`,
    command: { words },
    onlyInCall: 'KOTS ends with 0 and does nothing where the backup is not good; the runbook looks before and after.',
    call: async () => {
      await mustBeUsable(name)
      await runTool(words, `The same line goes on; what Velero says: ${line(kubectl(['logs', 'deployment/velero', '--tail=100'], 'Pod', VELERO))}`, minutes(40))
      lookAgain()
      if (!(await restoresOf(name, maxAge))[0]) {
        throw fail(`kubectl kots restore ended with 0 and restored nothing: there is no restore ${name}.kotsadm.`, `Look at the backup: npx tsx runbooks/backup-restore.ts verify ${name}`, { state: 'Nothing was changed, as far as Velero knows.' })
      }
    },
  }]
}

const mustBeUsable = async (name: string): Promise<void> => {
  const backup = await backupNamed(name)
  const why = backup ? unusable(backup) : `there is no backup ${name}`
  if (why) throw fail(`${why}: nothing was restored.`, `${await newerOne()} ${LISTED}`)
}

/** The guide's own measure. */
const compared = (ms: number): string => `for ${duration(ms)}; ${ms > minutes(15) ? 'longer than the 10 to 15 minutes that are normal' : '10 to 15 minutes are normal'}`

const ends = (target: ReturnType<typeof appRestore>, what: string, find: () => Promise<Restore | undefined>, within: number): Check => ({
  ...prints(target, 'jsonpath={.status.phase}', 'Completed', phaseOf, within),
  say: `${what} is restored`,
  holds: async () => {
    const now = await find()
    if (!now) return 'Velero has not begun'
    if (phaseOf(now) === 'Completed') return true
    const { errors = 0, warnings = 0, failureReason, validationErrors = [], progress: done, startTimestamp } = now.status ?? {}
    const volumes = await volumesRestored(now.metadata.name)
    if (!isRunning(now)) {
      const why = [failureReason, ...validationErrors, ...volumes.flatMap(({ spec, status }) => (status?.phase === 'Failed' ? [`volume ${spec.volume} of pod ${spec.pod.name}: ${status.message ?? ''}`] : []))].filter(Boolean)
      throw fail(`Restore ${now.metadata.name} is ${phaseOf(now)}: ${errors} ${errors === 1 ? 'error' : 'errors'}, ${warnings} warnings.`,
        `Mend that, then repeat the same line, which restores once more. What Velero said: ${line(velero('restore', 'logs', now.metadata.name))}`,
        { ...(why.length ? { why: why.join('\n') } : {}), state: 'CircleCI server may be there in part, and is not to be used; the backup is as it was.' })
    }
    const took = startTimestamp ? [compared(clock.now() - time(startTimestamp))] : []
    return [phaseOf(now), ...progress([done?.itemsRestored, done?.totalItems], volumes), ...took].join(' · ')
  },
  hint: async () => `See what it waits for: ${line(velero('restore', 'describe', target.name, '--details'))}`,
})

export const consoleIsRestored = (name: string, maxAge: number) => async (): Promise<Check[]> =>
  [ends(consoleRestore(name), 'the admin console', async () => { const [ofConsole, app] = await restoresOf(name, maxAge); return ofConsole ?? app }, minutes(30))]
export const applicationIsRestored = (name: string, maxAge: number) => async (): Promise<Check[]> =>
  [ends(appRestore(name), 'CircleCI server', async () => (await restoresOf(name, maxAge))[1], minutes(90))]

/** Deployments and stateful sets of the installation have what they ask for. */
export const everythingRuns = async (): Promise<Check[]> => {
  const labelled = { labelSelector: `kots.io/app-slug=${SLUG}` }
  return [{
    say: 'all of CircleCI server runs', within: minutes(20), prints: '',
    command: { words: kubectl(['get', 'deployments,statefulsets', '-l', labelled.labelSelector, '-o', 'go-template={{range .items}}{{if .spec.replicas}}{{if ne .spec.replicas (or .status.readyReplicas 0)}}{{.metadata.name}} {{end}}{{end}}{{end}}'], 'Pod') },
    holds: async () => {
      const all = [...await list('Deployment', labelled), ...await list('StatefulSet', labelled)]
      if (!all.length) return 'nothing is there yet'
      const waiting = all.filter(({ spec, status }) => (status?.readyReplicas ?? 0) < (spec?.replicas ?? 1))
      return waiting.length ? `${all.length - waiting.length} of ${all.length} run; not yet: ${waiting.slice(0, 4).map(({ metadata }) => metadata?.name).join(', ')}` : true
    },
    hint: async () => `See what is wrong with the pods: ${line(kubectl(['get', 'pods'], 'Pod'))}`,
  }]
}
