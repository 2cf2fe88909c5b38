/**
 * What makes 3.x take the place of 2.19 once its data is there: the bucket, the webhooks of projects, and 2.19 itself, which
 * never runs beside it. Installation guide 3.3.0, "Migration", steps 5 and 6, and its questions and answers.
 */
import type { Check, Done, Effect, Step } from '../effect.ts'
import { done, hours, isDone } from '../effect.ts'
import { EXIT, fail } from '../fail.ts'
import { heldBy, savedAs, type Filled } from '../server/config.ts'
import { setAndDeploy } from '../server/kots.ts'
import { startAnew } from '../cluster/changes.ts'
import { kubectl, list } from '../cluster/objects.ts'
import { line, quote } from '../shell.ts'
import { readTool, runTool } from '../tools.ts'
import type { Box } from './box.ts'
import { isStopped, STATE, stillRuns, tell } from './box.ts'
import { isHeld, notes, NOTES_NAME } from './held.ts'
import type { Given } from './inputs.ts'

/** Nothing of 3.x is started while 2.19 runs. */
const mayStart = (box: Box) => async () => {
  const seen = await box.look()
  return isStopped(seen) ? undefined : fail(`2.19 runs: ${stillRuns(seen)}. 3.x is not started beside it.`, 'Repeat the same line: it stops 2.19, and moves what it wrote meanwhile.', { code: EXIT.stale })
}

/** A step of which nothing is sent while 2.19 runs; a script asks that too. */
export const besides219 = (box: Box, step: Step): Step => ({
  ...step, ...(box.archive ? {} : { before: async () => [...await step.before?.() ?? [], stillStopped(box)] }), todo: async () => {
    const answer = await step.todo()
    return isDone(answer) ? answer : answer.map((effect) => ({ ...effect, unfit: async () => await mayStart(box)() ?? effect.unfit?.() }))
  },
})

/** 2.19 has ended. */
export const haveStopped = (box: Box) => async (): Promise<Done | Effect[]> => {
  const seen = await box.look()
  if (isStopped(seen)) return done('2.19 is stopped')
  return seen.state === 'stopping' ? [] : [tell(box, 'stop', { danger: 'nobody can build until 3.x has taken over' })]
}

export const stoppedCheck = (box: Box): Check => ({
  say: '2.19 is stopped, with all of its containers', within: 20 * 60_000, prints: 'stopped',
  command: { words: box.words(STATE) },
  holds: async () => {
    const seen = await box.look()
    return isStopped(seen) || stillRuns(seen)
  },
  hint: async () => `See what keeps it: ${line(box.words('docker ps'))}; or stop it in its console, port 8800 of the box.`,
})

/** The same, without waiting for it. */
export const stillStopped = (box: Box): Check => ({
  ...stoppedCheck(box), within: 0, hint: async () => `Two installations on the same builds damage both. Stop 2.19 now: ${line(box.words('replicatedctl app stop'))}`,
})

/** 2.19 runs again, and 3.x does not. */
export const haveStarted219 = (box: Box, risk: string | undefined) => async (): Promise<Done | Effect[]> => {
  const seen = await box.look()
  if (seen.state === 'started') return done('2.19 runs')
  if (seen.state === 'starting') return []
  return [tell(box, 'start', { ...(risk ? { danger: risk } : {}), unfit: async () => {
    const { ours } = await box.look(), held = await isHeld()
    if (ours.length) return fail(`${ours.join(', ')} still runs on the data of 2.19.`, 'Repeat the same line: it ends that first.', { code: EXIT.stale })
    return held === true ? undefined : fail(`3.x runs: ${held}. 2.19 is not started beside it.`, 'Repeat the same line: it scales 3.x down first.', { code: EXIT.stale })
  } })]
}

export const startedCheck219 = (box: Box): Check => ({
  say: '2.19 is started', within: 30 * 60_000, prints: 'started',
  command: { words: box.words(STATE) },
  holds: async () => {
    const { state } = await box.look()
    return state === 'started' || `replicatedctl says ${state}`
  },
  hint: async () => 'See its console, port 8800 of the box, for what keeps it.',
})

/** The jobs that put the token of CircleCI's bot into the database; each deploy makes it where it is not there. */
const jobs = async () => (await list('Job')).filter(({ metadata }) => metadata?.name?.startsWith('inject-bottoken'))
const madeAt = ({ metadata }: { metadata?: { creationTimestamp?: Date } }): number => Date.parse(String(metadata?.creationTimestamp))

/** That this installation has one: afterwards it is to have one again. */
export const tokenNotes = async (): Promise<Record<string, string>> => ((await jobs()).length ? { bot: 'injected' } : {})

/** When the data had come; undefined while not all of it has. */
export type Came = () => Promise<number | undefined>

/** The job that ran on the data of before is gone. */
export const haveTokenForgotten = (came: Came) => async (): Promise<Done | Effect[]> => {
  const since = await came()
  if (since === 0) return done('no store is moved')
  const old = (await jobs()).filter((job) => since === undefined || madeAt(job) < since)
  return old.length ? old.map((job) => startAnew('Job', job)) : done('none of before is left')
}

/** It ran again, on the data of 2.19: with the deploy of the keys, or with one more where they were deployed already. */
export const haveTokenInjected = (came: Came) => async (): Promise<Done | Effect[]> => {
  const since = await came()
  if (since === 0 || !(await notes())['bot']) return done(since === 0 ? 'no store is moved' : 'this installation had none')
  if (since !== undefined && (await jobs()).some((job) => madeAt(job) >= since)) return done('it runs on the data of 2.19')
  const same = await savedAs({ domain: await heldBy('domain') ?? '' })
  return same ? [setAndDeploy(same)] : []
}

export const tokenCheck = (): Check => ({
  say: 'the job of the bot\'s token is there again', within: 10 * 60_000, prints: 'yes',
  command: { words: ['sh', '-c', `${line(kubectl(['get', 'jobs', '-o', 'name'], 'Job'))} | grep -q inject-bottoken && echo yes || ${line(kubectl(['get', 'configmap', NOTES_NAME, '-o', 'go-template={{if not .data.bot}}yes{{end}}'], 'ConfigMap'))}`] },
  holds: async () => (await jobs()).length > 0 || !(await notes())['bot'] || 'it is not there yet',
  hint: async () => 'Deploy once more in the admin console; it makes the job.',
})

export const CLOUDS = ['aws', 'gcp', 's3'] as const
/** A script that counts the lines of a tool's output that match; it fails where the tool does. */
const matching = (words: string[], pattern: string): string => `said=$(${line(words)} 2>&1) || { echo "$said" >&2; exit 1; }; grep -cE ${quote(pattern)} <<<"$said" || true`
/** How a bucket is copied, and its objects counted, on each. */
export const BUCKETS: Record<(typeof CLOUDS)[number], { copy(from: string, to: string): string[]; missing(from: string, to: string): string; count(bucket: string): string }> = {
  aws: { copy: (from, to) => ['aws', 's3', 'sync', `s3://${from}`, `s3://${to}`, '--only-show-errors'], missing: (from, to) => `${line(['aws', 's3', 'sync', `s3://${from}`, `s3://${to}`, '--dryrun'])} | wc -l`, count: (bucket) => `${line(['aws', 's3', 'ls', '--recursive', `s3://${bucket}`])} | wc -l` },
  gcp: { copy: (from, to) => ['gsutil', '-m', 'rsync', '-r', `gs://${from}`, `gs://${to}`], missing: (from, to) => matching(['gsutil', '-m', 'rsync', '-n', '-r', `gs://${from}`, `gs://${to}`], '^Would copy'), count: (bucket) => `${line(['gsutil', 'ls', `gs://${bucket}/**`])} | wc -l` },
  s3: { copy: (from, to) => ['mc', 'mirror', '--quiet', '--overwrite', from, to], missing: (from, to) => matching(['mc', 'diff', from, to], '^[<!]'), count: (bucket) => `${line(['mc', 'ls', '--recursive', bucket])} | wc -l` },
}

export interface Storage extends Pick<Given, 'storage' | 'bucket'> { cloud: (typeof CLOUDS)[number]; handOver: boolean }

/** What the Config screen gets for the bucket: that of 2.19, where it is kept. */
export const bucketField = ({ storage, bucket, cloud }: Storage): Filled =>
  (storage === 'keep' ? cloud === 'gcp' ? { gcsBucket: bucket } : { s3Bucket: bucket.split('/').at(-1) ?? bucket } : {})

const counted = async (script: string): Promise<number> => {
  const { code, stdout, stderr } = await readTool(['bash', '-c', `set -o pipefail; ${script}`], { within: hours(1) })
  if (code !== 0) throw fail(`The objects cannot be counted: ${stderr.trim().split('\n').at(-1)}.`, `This should count them: ${script}`)
  const count = Number(stdout.trim() || Number.NaN)
  if (!Number.isInteger(count)) throw fail(`The objects cannot be counted: ${stdout.trim() || 'nothing'} is no number.`, `This should count them: ${script}`)
  return count
}
const objectsIn = ({ cloud }: Storage, bucket: string): Promise<number> => counted(BUCKETS[cloud].count(bucket))

/** Most of the objects of 2.19 are in the copy before 2.19 is stopped: what it writes meanwhile is little, and comes later. */
export const haveMostObjects = (given: Storage, old: Box) => async (): Promise<Done | Effect[]> =>
  (isStopped(await old.look()) ? done('2.19 is stopped: what is missing is copied in step objects') : haveObjects(given, MOST)())
const MOST = 0.95

/** The objects of 2.19 are in the bucket of 3.x: it is the same one, or all of it, or this `part` of it, is copied, as their number tells. */
export const haveObjects = (given: Storage, part = 1) => async (): Promise<Done | Effect[]> => {
  const { storage, bucket, cloud, handOver } = given
  if (storage === 'keep') return done(`3.x takes ${bucket} itself`)
  const held = await heldBy(cloud === 'gcp' ? 'gcsBucket' : 's3Bucket'), alias = cloud === 's3' && bucket.includes('/') ? `${bucket.split('/')[0]}/` : ''
  const to = held && `${alias}${held}`
  if (!to || to === bucket) throw fail(`3.x has ${to ? `the bucket ${bucket} of 2.19 itself` : 'no bucket'} in its Config screen, and was to have a copy of ${bucket}.`, 'Give it a bucket of its own (npx tsx runbooks/object-storage-aws.ts), put it into the Config screen, and repeat the same line.')
  const missing = await counted(BUCKETS[cloud].missing(bucket, to)), [there, here] = [await objectsIn(given, bucket), await objectsIn(given, to)]
  if (!missing) return done(`each of the ${there} objects of ${bucket} is in ${to}, which has ${here}`)
  if (missing <= there * (1 - part)) return done(`${to} has all but ${missing} of the ${there} objects of ${bucket}, which come in step objects`)
  const words = BUCKETS[cloud].copy(bucket, to)
  if (handOver) return done(`handed over: ${missing} objects are missing in ${to}: ${line(words)}`)
  return [{ id: `copy ${part < 1 ? '' : 'what is left of '}${bucket} to ${to}`, again: 'safe', command: { words }, call: () => runTool(words, `See what it says; what was copied stays: ${line(words)}`, hours(24)), watch: async () => `${await objectsIn(given, to)} of ${there} objects` }]
}
