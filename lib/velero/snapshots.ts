/**
 * What must hold for backups and restores to work: KOTS, its licence and rights, Velero, its node agents, its bucket.
 * The same conditions are the preflight of a backup and the findings of `diagnose`. Operations guide 3.4.1,
 * "Troubleshooting Backups and Restoration".
 */
import type { Preflight } from '../effect.ts'
import type { Permission } from '../cluster/objects.ts'
import { ago, backups, isRunning, phaseOf, startOf, time } from './backups.ts'
import { clock } from '../clock.ts'
import { Unanswered } from '../fail.ts'
import { bad, hours, minutes, ok, preflight, warning } from '../effect.ts'
import { askConsole, licenceAllowsSnapshots } from '../server/kotsadm.ts'
import { adminConsole, isOlder, kotsCli } from '../server/kots.ts'
import { cluster } from '../cluster/kubernetes.ts'
import { kubectl, list, read, ref } from '../cluster/objects.ts'
import { line } from '../shell.ts'
import { readTool } from '../tools.ts'
import { VELERO, locationHint, noRoom, runsOther, velero } from './velero.ts'

const location = ref('BackupStorageLocation', 'default', VELERO)
const logs = () => line(kubectl(['logs', 'deployment/velero'], 'Deployment', VELERO))
const SET_UP = 'Set it up: npx tsx runbooks/velero-aws.ts --help (or velero-gcp, velero-s3)'

/** What a backup asks of the cluster beside KOTS's own rights. */
export const FOR_BACKUPS: Permission[] = [
  { verbs: ['get', 'list'], resource: 'pods' }, { verbs: ['create'], resource: 'pods/portforward' },
]

/** The plugin is new enough for snapshots. */
export const kotsKnowsSnapshots = () => preflight('kots', 'the KOTS plugin is 1.40.0 or newer', async () => {
  const cli = await kotsCli()
  if (!cli) return bad('kubectl has no KOTS plugin', 'Install the release that the server was tested with: curl https://kots.io/install/1.65.0 | bash')
  return isOlder(cli, '1.40.0') ? bad(`KOTS ${cli}: snapshots work from 1.40.0 on, and server 3.3 wants 1.47.3`, 'Upgrade the plugin (curl https://kots.io/install/1.65.0 | bash), then: kubectl kots admin-console upgrade ' + [...cluster().flags, '-n', cluster().namespace].join(' ')) : ok(`KOTS ${cli}`)
})

/** The licence has snapshots: without it the console has no tab for them. */
export const licenceHasSnapshots = () => preflight('licence', 'the licence allows snapshots', async () => {
  const allowed = await licenceAllowsSnapshots()
  if (allowed === false) return bad('the licence does not allow snapshots: the console shows no Snapshots tab', 'Ask CircleCI\'s support for a licence with snapshots, then sync it in the admin console (License): ' + adminConsole())
  return allowed ? ok('the licence allows snapshots') : ok('KOTS does not tell whether the licence allows snapshots')
})

/** KOTS may use Velero; with minimal RBAC it has to be allowed. */
export const kotsMayUseVelero = () => preflight('kots-access', 'KOTS may use Velero, and finds its node agents', async () => {
  const answer = await askConsole<{ kotsadmRequiresVeleroAccess?: boolean; isVeleroRunning?: boolean; isResticRunning?: boolean }>('/api/v1/snapshots/settings').catch((error: unknown) => {
    if (error instanceof Unanswered) return error
    throw error
  })
  if (answer instanceof Unanswered) return warning(answer.message, answer.next)
  const { status, body } = answer
  if (status === 409 && body.kotsadmRequiresVeleroAccess) {
    return bad('KOTS runs with rights in its own namespace alone, and may not use Velero', `Allow it: ${line(['kubectl', 'kots', 'velero', 'ensure-permissions', '--velero-namespace', VELERO, ...cluster().flags, '-n', cluster().namespace])}`)
  }
  if (status !== 200) return warning(`the admin console answers ${status} when it is asked for its snapshot settings`, `Look at it: ${adminConsole()}`)
  if (body.isVeleroRunning && body.isResticRunning === false) return bad('KOTS does not find the node agents: it looks for pods with the label name=restic, which Velero 1.10 took away', 'Use Velero 1.6 to 1.9, installed with --use-restic.')
  return ok('KOTS finds Velero and its node agents')
})

/** Velero's server and its node agents run, one on each node. */
export const veleroRuns = () => preflight('velero', 'Velero runs, with a node agent on each node', async () => {
  const [server, agents] = await Promise.all([read(ref('Deployment', VELERO, VELERO)), read(ref('DaemonSet', 'restic', VELERO))])
  if (!server) return bad('Velero is not installed', SET_UP)
  const other = await runsOther()
  if (other) return bad(other.say, other.next)
  if (!agents) return bad('Velero has no node agents (daemon set restic): KOTS copies volumes with them', `Install Velero with --use-restic. ${SET_UP}`)
  const { numberReady = 0, desiredNumberScheduled: wanted = 0 } = agents.status ?? {}
  if (server.status?.availableReplicas && numberReady >= wanted) return ok(`Velero runs, with ${numberReady} node agents`)
  const parts = [...(server.status?.availableReplicas ? [] : ['its server is not available']), ...(numberReady < wanted ? [`${numberReady} of ${wanted} node agents are ready`] : [])]
  return bad(`Velero does not run as it should: ${parts.join(', ')}`, await noRoom() ?? `See why: ${line(kubectl(['get', 'pods', '-o', 'wide'], 'Pod', VELERO))}`)
})

/** The bucket answers to Velero, and did so a short while ago. */
export const locationAnswersNow = () => preflight('location', 'the bucket of the backups answers to Velero', async () => {
  const place = await read(location)
  if (!place) return bad('Velero has no backup storage location named default, which is the one that KOTS uses', SET_UP)
  const { bucket, prefix } = place.spec.objectStorage ?? {}
  const where = `${bucket}${prefix ? `/${prefix}` : ''}`
  const { phase, message = '', lastValidationTime } = place.status ?? {}
  if (phase !== 'Available') return bad(`the bucket ${where} does not answer to Velero: ${message ? message.split('\n')[0]?.replace(/^.*desc = /, '') : `it is ${phase ?? 'not looked at yet'}`}`, veleroHint(message, place.spec.provider) ?? `Velero's own words: ${logs()}`)
  const looked = clock.now() - time(lastValidationTime)
  return lastValidationTime && looked > minutes(15) ? warning(`Velero looked at the bucket ${where} ${ago(looked)} ago, and not since`, `See whether it works: ${logs()}`) : ok(`${where} answers to Velero`)
})

/** What the hint calls "the line" is that of the runbook that set Velero up. */
const veleroHint = (message: string, provider = 'aws'): string | undefined =>
  locationHint(message)?.replace(/(r)epeat the (?:same )?line/gi, (_, first: string) => `${first}un velero-${provider === 'gcp' ? 'gcp' : 'aws'} again`)

/** One location is the default one: with two, backups go where nobody looks. */
const onlyOneLocation = () => preflight('locations', 'there is one backup storage location', async () => {
  const all = await list('BackupStorageLocation', {}, VELERO)
  return all.length > 1 ? warning(`there are ${all.length} backup storage locations: ${all.map(({ metadata }) => metadata.name).join(', ')}; KOTS uses the one named default`, `See which you need: ${line(velero('backup-location', 'get'))}`) : ok('there is one backup storage location')
})

/** 4XX answers in Velero's log, which the guide says to look for first. */
const logIsClean = () => preflight('velero-log', 'no 4XX answers in the log of Velero', async () => {
  const { code, stdout } = await readTool(kubectl(['logs', 'deployment/velero', '-c', 'velero', '--since=24h', '--tail=2000'], 'Pod', VELERO))
  if (code !== 0) return warning('Velero\'s log cannot be read', logs())
  const lines = stdout.split('\n').filter((one) => /level=error/.test(one) && /status code: 4\d\d|\b40[0-9]\b|AccessDenied|NoSuchBucket|InvalidAccessKeyId/.test(one))
  const last = lines.at(-1)
  return last ? bad(`4XX answers of the bucket in the last 24 h: ${lines.length}; the last: ${/error="([^"]{0,200})/.exec(last)?.[1] ?? /msg="([^"]{0,200})/.exec(last)?.[1] ?? last.slice(0, 200)}`, veleroHint(last) ?? `Confirm that the bucket exists, is in the region that you expect, and that the credentials may use it. ${logs()}`)
    : ok('no 4XX answers in the last 24 h')
})

/** The newest backup is complete and not old. */
const newestIsGood = () => preflight('newest-backup', 'the newest backup is complete, and not older than a day', async () => {
  const newest = (await backups())[0]
  const make = 'Make one: npx tsx runbooks/backup-restore.ts backup'
  if (!newest) return warning('there is no backup yet', make)
  const age = clock.now() - startOf(newest)
  const { name } = newest.metadata
  if (isRunning(newest)) return age > hours(4) ? bad(`${name} is in progress for ${ago(age)}`, `See what it waits for: ${line(velero('backup', 'describe', name, '--details'))}`) : ok(`${name} is in progress for ${ago(age)}`)
  if (phaseOf(newest) !== 'Completed') return bad(`${name} is ${phaseOf(newest)}: ${newest.status?.errors ?? 0} errors${newest.status?.failureReason ? `, ${newest.status.failureReason}` : ''}`, `What Velero said: ${line(velero('backup', 'logs', name))}`)
  return age > hours(24) ? warning(`the newest complete backup is ${ago(age)} old`, make) : ok(`${name} is complete, ${ago(age)} old`)
})

/** The guide's troubleshooting, all of it. */
export const troubleshooting = (): Preflight[] => [
  kotsKnowsSnapshots(), licenceHasSnapshots(), kotsMayUseVelero(), veleroRuns(), locationAnswersNow(), onlyOneLocation(), logIsClean(), newestIsGood(),
]
