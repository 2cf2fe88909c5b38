/**
 * What runs in a pod when kubectl is asked to: curl to the API of the admin console, and Nomad's own command. Also
 * Velero's log.
 */
import { nomadNodes } from './backups.ts'
import { newest } from './kots.ts'
import { screenOf } from './kots-screen.ts'
import { inStore, playStore } from './services-box.ts'
import { list, keyOf, type World } from './world.ts'

interface Output { stdout: string; stderr: string; code: number }

/** A request to the admin console among the words of a command. */
export const toConsole = (argv: string[]): { method: string; path: string } | undefined => {
  const path = /^http:\/\/localhost:3000(\/.*)$/.exec(argv.at(-1) ?? '')?.[1]
  return path === undefined ? undefined : { method: argv[argv.indexOf('-X') + 1] && argv.includes('-X') ? String(argv[argv.indexOf('-X') + 1]) : 'GET', path }
}

export const exec = (world: World, argv: string[], stdin: string, bytes: Buffer = Buffer.from(stdin)): Output => {
  const asked = toConsole(argv)
  if (asked) {
    const { status, body } = answer(world, asked, argv, stdin)
    return { stdout: `${JSON.stringify(body)}\n${status}`, stderr: '', code: 0 }
  }
  const store = inStore(argv)
  if (store) return playStore(world, store, bytes)
  if (argv.slice(argv.indexOf('--') + 1).join(' ') === 'nomad node status') return { stdout: nomadNodes(world), stderr: '', code: 0 }
  if (argv.at(-1)?.includes('circle_ghe')) return { stdout: `users ${world.users ?? 0}\n`, stderr: '', code: 0 }
  return { stdout: '', stderr: `rehearsal: not played: ${argv.join(' ')}; extend lib/rehearsal/console.ts\n`, code: 1 }
}

const answer = (world: World, { method, path }: { method: string; path: string }, argv: string[], stdin: string): { status: number; body: unknown } => {
  const key = Buffer.from(world.objects[keyOf('secrets', 'kotsadm-authstring', 'circleci-server')]?.['data']['kotsadm-authstring'] ?? '', 'base64').toString()
  if (!key || !stdin.includes(`header = "Authorization: ${key}"`)) return { status: 401, body: { error: 'failed to parse authorization header' } }
  const { kots, rules } = world
  const config = /^\/api\/v1\/snapshot\/config$/.test(path)
  if (rules.minimalRbac && (path === '/api/v1/snapshots/settings' || (config && method === 'PUT'))) {
    return { status: 409, body: { success: false, error: 'kotsadm does not have access to velero', kotsadmNamespace: 'circleci-server', kotsadmRequiresVeleroAccess: true } }
  }
  if (path === '/api/v1/snapshots/settings') {
    const agents = list(world, 'pods', 'velero').filter(({ metadata, status }) => metadata.labels?.['name'] === 'restic' && status.phase === 'Running')
    return { status: 200, body: { veleroVersion: 'v1.9.0', isVeleroRunning: Boolean(world.objects[keyOf('deployments', 'velero', 'velero')]), isResticRunning: agents.length > 0, success: true } }
  }
  if (path === `/api/v1/app/${kots.slug}`) return { status: 200, body: { slug: kots.slug, currentSequence: newest(kots).sequence, allowSnapshots: !rules.noSnapshots } }
  if (path === `/api/v1/app/${kots.slug}/config/${newest(kots).sequence}`) return { status: 200, body: screenOf(kots) }
  if (config && method === 'GET') {
    const { schedule = '', ttl = '720h' } = kots.snapshots ?? {}
    return { status: 200, body: { autoEnabled: schedule !== '', autoSchedule: { schedule: schedule || '0 0 * * MON' }, ttl: { inputValue: '1', inputTimeUnit: 'month', converted: ttl } } }
  }
  if (config) return save(world, JSON.parse(argv[argv.indexOf('-d') + 1] ?? '{}'))
  const [, name] = /^\/api\/v1\/snapshot\/([^/]+)$/.exec(path) ?? []
  const backup = name && world.objects[keyOf('backups', name, 'velero')]
  if (!backup) return { status: 404, body: {} }
  const errors = backup['status'].errors ? [{ title: 'mongodb-0', message: 'pod volume backup failed: error running restic backup', namespace: 'circleci-server' }] : []
  return { status: 200, body: { success: true, backupDetail: { name, status: backup['status'].phase, errors, warnings: errors.length ? [{ title: '', message: 'a hook of pod postgresql-0 took longer than usual', namespace: 'circleci-server' }] : [] } } }
}

const HOURS: Record<string, number> = { hours: 1, days: 24, weeks: 168, months: 720, years: 8766 }

const save = (world: World, asked: { autoEnabled?: boolean; schedule?: string; inputValue?: string; inputTimeUnit?: string }): { status: number; body: unknown } => {
  const hours = HOURS[asked.inputTimeUnit ?? '']
  if (!hours || !/^\d+$/.test(asked.inputValue ?? '')) return { status: 400, body: { error: `Invalid instance snapshot retention: ${asked.inputValue} ${asked.inputTimeUnit}` } }
  if (asked.autoEnabled && (asked.schedule ?? '').trim().split(/\s+/).length !== 5) return { status: 400, body: { error: `Invalid cron schedule expression: ${asked.schedule}` } }
  world.kots.snapshots = { schedule: asked.autoEnabled ? asked.schedule ?? '' : '', ttl: `${Number(asked.inputValue) * hours}h` }
  return { status: 200, body: { success: true } }
}

/** What Velero logs where its bucket does not answer. */
export const veleroLog = (world: World): string => {
  const place = world.objects[keyOf('backupstoragelocations', 'default', 'velero')]
  const trouble = place?.['status']?.message as string | undefined
  return `time="2022-11-22T02:58:04Z" level=info msg="Validating BackupStorageLocation" controller=backup-storage-location\n${trouble ? `time="2022-11-22T02:58:05Z" level=error msg="Error getting a backup store" error="${trouble.replaceAll('\n', '\\n').replaceAll('"', '\'')}"\n` : ''}`
}
