/**
 * Conditions that many procedures ask for before they change anything. Each is one line of a runbook's preflight.
 */
import type { Item, KotsVersion } from './server/kots.ts'
import type { Permission } from './cluster/objects.ts'
import { clock } from './clock.ts'
import { ask, bad, hours, ok, preflight, warning } from './effect.ts'
import { Refused } from './fail.ts'
import { adminConsole, changedItems, deployedOf, isOlder, kotsCli, kotsTrouble, kotsVersions, READABLE, serverVersion } from './server/kots.ts'
import { LEASE } from './lock.ts'
import { cluster } from './cluster/kubernetes.ts'
import { list, missingPermissions } from './cluster/objects.ts'
import { line } from './shell.ts'
import { installing } from './software.ts'

/** What the lock needs of everybody; no role can name what is only to be created. */
const LEASES = { resource: 'leases', group: 'coordination.k8s.io' }
const FOR_THE_LOCK: Permission[] = [{ ...LEASES, verbs: ['create'] }, { ...LEASES, verbs: ['get', 'update', 'delete'], name: LEASE }]

/** `home` is the namespace of the lock, where that is another one. */
export const permissionsAllow = (wanted: Permission[], home?: string) => preflight('permissions', 'you may do all that the steps and the lock need', async () => {
  const missing = await missingPermissions([...wanted, ...FOR_THE_LOCK.map((one) => ({ ...one, ...(home ? { namespace: home } : {}) }))])
  return missing.length
    ? bad(`you may not: ${missing.join(', ')}`, `Ask a cluster administrator for these, in namespace ${cluster().namespace} or cluster-wide as they are marked.`)
    : ok('all that the steps need is allowed')
})

/** The release that is deployed is new enough; `why` says for what. */
export const serverIsAtLeast = (release: string, why: string) => preflight('server-version', `CircleCI server ${release} or newer: ${why} from there on`, async () => {
  const server = await serverVersion()
  if (!server) return await kotsCli() ? warning('KOTS does not tell the version of the server', `${why} from server ${release} on: see ${adminConsole()}`) : ok('unknown without KOTS')
  return isOlder(server, release) ? bad(`server ${server}: ${why} from ${release} on`, `Upgrade first (Version History in the admin console): ${adminConsole()}`) : ok(`server ${server}`)
})

/** KOTS is new enough; `why` says for what. */
export const kotsIsAtLeast = (release: string, why: string) => preflight('kots-version', `KOTS is ${release} or newer`, async () => {
  const version = await kotsCli()
  if (!version) return warning('kubectl has no plugin kots: KOTS makes the backups of the installation', installing('kots'))
  return isOlder(version, release) ? bad(`KOTS ${version}: ${why} from ${release} on`, installing('kots')) : ok(`KOTS ${version}`)
})

/** The first KOTS that server 3.x works with, and the one that its last releases were tested with. */
const KOTS = { first: '1.47.3', tested: '1.65.0' }

/** The plugin is one that goes with a release of the server. */
export const kotsFits = (server: string) => preflight('kots', `kubectl has the plugin kots, ${KOTS.first} or newer; for server 3.4 ${KOTS.tested}`, async () => {
  const version = await kotsCli()
  if (!version) return bad(await kotsTrouble() ?? 'kubectl has no plugin kots, which installs the server', installing('kots'))
  if (!/^\d/.test(version)) return warning(`the plugin kots is ${version}`, `See whether it is ${KOTS.tested}: kubectl kots version`)
  if (isOlder(version, KOTS.first)) return bad(`KOTS ${version}, and ${KOTS.first} or newer is wanted`, installing('kots'))
  if (isOlder(version, READABLE)) return warning(`KOTS ${version} cannot show its configuration, which ${READABLE} and newer can: the Config screen is filled in by hand`, installing('kots'))
  if (isOlder(version, KOTS.tested) && !isOlder(server, '3.4.0')) return warning(`KOTS ${version}, and server ${server} was tested with ${KOTS.tested}`, installing('kots'))
  return isOlder(KOTS.tested, version) ? warning(`KOTS ${version} is newer than any that server 3.x was tested with`, installing('kots')) : ok(`${version} (${KOTS.first} or newer; for 3.4 ${KOTS.tested})`)
})

/** There is a completed backup of the last 24 hours; where there is none, that is a warning with the line that makes one. */
export const backupIsRecent = () => preflight('backup-recent', 'a completed backup of the last 24 hours (without one the run warns)', async () => {
  const make = `Make one first: ${line(['kubectl', 'kots', 'backup', ...cluster().flags, '-n', cluster().namespace])}`
  try {
    const finished = (await list('Backup', {}, 'velero')).filter(({ status }) => status?.phase === 'Completed')
      .map(({ status }) => new Date(status?.completionTimestamp ?? 0).getTime())
    if (!finished.length) return warning('there is no completed backup', make)
    const age = clock.now() - Math.max(...finished)
    const found = `the newest completed backup is ${Math.round(age / hours(1))} h old`
    return age > hours(24) ? warning(found, make) : ok(found)
  } catch (error) {
    if (!(error instanceof Refused && [403, 404].includes(error.status))) throw error
    return warning(error.status === 404 ? 'Velero is not installed: there is no backup' : 'backups cannot be listed', make)
  }
})

/** Versions newer than the deployed one, which a deploy would take along. */
const undeployed = (versions: KotsVersion[]): KotsVersion[] => {
  const deployed = deployedOf(versions)?.sequence ?? -1
  return versions.filter(({ sequence, status }) => sequence > deployed && status !== 'deploying')
}

/** A deploy would take along nothing but items that are ours; where it would, the operator is asked. */
export const nothingElseIsUndeployed = (isOurs: (key: Item['key']) => boolean | Promise<boolean>) => preflight('undeployed', 'KOTS holds nothing else that was saved and never deployed; it would go out with this', async () => {
  const versions = await kotsVersions()
  if (!versions) return ok('KOTS cannot list its versions; look at Version History for changes that were never deployed')
  const pending = undeployed(versions)
  if (!pending.length) return ok('KOTS holds nothing else that would be deployed')
  const deployed = deployedOf(versions)
  const names = deployed && await changedItems(deployed.sequence)
  // What an interrupted run of this procedure saved is no news.
  const ours = await Promise.all((names ?? []).map(isOurs))
  const others = names?.filter((_, n) => !ours[n])
  if (others && !others.length && pending.every(({ versionLabel }) => versionLabel === deployed?.versionLabel)) return ok('only this change waits to be deployed')
  const newer = pending.find(({ versionLabel }) => deployed && versionLabel !== deployed.versionLabel)
  if (newer) {
    return bad(`KOTS holds release ${newer.versionLabel}, which was never deployed and would go out with this (${deployed?.versionLabel} is deployed)`,
      `Deploy or discard it by itself first (Version History): ${adminConsole()}`)
  }
  const what = pending.map(({ sequence, versionLabel, source }) => `${sequence} (${versionLabel}${source ? `, ${source}` : ''})`).join(', ')
  return ask(`KOTS holds what was never deployed and would go out with this: version ${what}${others?.length ? `; changed items: ${others.join(', ')}` : ''}. Deploy it too?`)
})
