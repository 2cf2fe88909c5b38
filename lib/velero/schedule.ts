/**
 * When backups are made by themselves, and how long they are kept. KOTS can do it, and has no command for it: its
 * API is told. Or a CronJob does, which runs `backup` and fails where that does: KOTS's own schedule fails silently.
 * Operations guide 3.4.1, "Scheduling backups with KOTS".
 */
import type { Check, Done, Effect, Step } from '../effect.ts'
import { span } from './backups.ts'
import { cronObjects, have, leaveOut } from './cronjob.ts'
import { bad, done, forEach, hours, minutes, ok, preflight, step, warning } from '../effect.ts'
import { Fail } from '../fail.ts'
import { askConsole, consolePrints, consoleRequest, tellConsole } from '../server/kotsadm.ts'

const CONFIG = '/api/v1/snapshot/config'
interface Config { autoEnabled?: boolean; autoSchedule?: { schedule?: string }; ttl?: { converted?: string } }

export interface Schedule { cron: string; keep: string; off: boolean; inCluster: boolean; image: string | undefined }

/** KOTS counts in its own units; whole hours are one of them, and what it answers with. */
const keptFor = (keep: string): string => `${span(keep) / hours(1)}h`

const seen = async (): Promise<Config> => {
  const { status, body } = await askConsole<Config>(CONFIG)
  if (status !== 200) throw new Fail(`The admin console answers ${status} when it is asked for its schedule.`, 'See what is wrong: npx tsx runbooks/backup-restore.ts diagnose')
  return body
}

const text = ({ autoEnabled, autoSchedule, ttl }: Config): string => `${autoEnabled ? autoSchedule?.schedule : 'never'}, kept for ${ttl?.converted ?? '?'}`

/** KOTS keeps backups as long as asked, and makes them when asked: never, where the CronJob does. */
const haveInKots = ({ cron, keep, off, inCluster }: Schedule) => async (): Promise<Done | Effect[]> => {
  const now = await seen()
  const enabled = !off && !inCluster
  const wanted: Config = { autoEnabled: enabled, autoSchedule: { schedule: cron }, ttl: { converted: keptFor(keep) } }
  if (text(now) === text(wanted)) return done(`KOTS: ${text(now)}`)
  const body = { autoEnabled: enabled, schedule: enabled ? cron : '', inputValue: String(span(keep) / hours(1)), inputTimeUnit: 'hours' }
  return [{
    id: 'tell KOTS the schedule', again: 'safe', command: await consoleRequest('PUT', CONFIG, body),
    call: () => tellConsole(CONFIG, body),
    preview: async () => ({ changes: [{ what: 'KOTS schedule', from: text(now), to: text(wanted) }] }),
  }]
}

const readBack = async ({ cron, off, inCluster }: Schedule): Promise<Check[]> => {
  const enabled = !off && !inCluster
  const printed = enabled ? cron : 'false'
  return [{
    say: 'KOTS has it', within: minutes(1), prints: printed,
    command: await consolePrints(CONFIG, enabled ? 's/.*"schedule":"\\([^"]*\\)".*/\\1/p' : 's/.*"autoEnabled":\\([a-z]*\\).*/\\1/p'),
    holds: async () => {
      const now = await seen()
      return (enabled ? now.autoSchedule?.schedule : String(now.autoEnabled)) === printed || text(now)
    },
  }]
}

/** One place makes backups: KOTS, or the CronJob. */
export const scheduleSteps = (schedule: Schedule): Step[] => {
  const { cron, off, inCluster, image } = schedule
  const objects = () => cronObjects({ cron, image: image ?? '' })
  const kots = step('kots', 'Tell KOTS when to make backups, and how long to keep them', haveInKots(schedule), { verify: () => readBack(schedule) })
  const cronjob = step('cronjob', inCluster && !off ? 'Make the CronJob, with the rights that it needs' : 'See that no CronJob makes backups', async () =>
    forEach(await objects(), inCluster && !off ? have : leaveOut))
  // Whoever stops in between has two schedules, and never none.
  return inCluster && !off ? [cronjob, kots] : [kots, cronjob]
}

/** The CronJob needs an image, and that has to hold the runbooks. */
export const imageIsNamed = ({ inCluster, off, image }: Schedule) => preflight('image', 'with --in-cluster, --image names an image that holds the runbooks', async () => {
  if (!inCluster || off) return image ? warning('--image is of no use without --in-cluster', 'KOTS itself makes the backups.') : ok('KOTS makes the backups')
  return image ? ok(`${image}; it has to hold this folder, built, as /runbooks, with node, kubectl and its KOTS plugin`)
    : bad('--in-cluster wants an image', 'Name one that holds this folder, built, as /runbooks, with node, kubectl and its KOTS plugin: --image registry.example.com/runbooks:1')
})

export const scheduleFacts = async (): Promise<Record<string, string>> => ({ 'KOTS schedule': text(await seen()) })
