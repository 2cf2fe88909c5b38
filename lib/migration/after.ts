/**
 * What makes 3.x take the place of 2.19 once its data is there: the bucket, the webhooks of projects, and 2.19 itself, which
 * never runs beside it. Installation guide 3.3.0, "Migration", steps 5 and 6, and its questions and answers.
 */
import type { Check, Done, Effect, Step } from '../effect.ts'
import { done, hours, isDone } from '../effect.ts'
import { EXIT, fail } from '../fail.ts'
import { heldBy, type Filled } from '../server/config.ts'
import { list, ref, remove } from '../cluster/objects.ts'
import { line } from '../shell.ts'
import { readTool, runTool } from '../tools.ts'
import type { Box } from './box.ts'
import { isStopped, stillRuns, tell } from './box.ts'
import { isHeld } from './held.ts'
import type { Given } from './inputs.ts'

/** Nothing of 3.x is started while 2.19 runs. */
export const mayStart = (box: Box) => async () => {
  const seen = await box.look()
  return isStopped(seen) ? undefined : fail(`2.19 runs: ${stillRuns(seen)}. 3.x is not started beside it.`, 'Repeat the same line: it stops 2.19, and moves what it wrote meanwhile.', { code: EXIT.stale })
}

/** A step of which nothing is sent while 2.19 runs. */
export const besides219 = (box: Box, step: Step): Step => ({
  ...step, todo: async () => {
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
  command: { words: box.words("replicatedctl app status --template '{{range .}}{{.State}}{{end}}'") },
  holds: async () => {
    const seen = await box.look()
    return isStopped(seen) || stillRuns(seen)
  },
  hint: async () => `See what keeps it: ${line(box.words('docker ps'))}; or stop it in its console, port 8800 of the box.`,
})

/** 2.19 runs again, and 3.x does not. */
export const haveStarted219 = (box: Box, risk: string | undefined) => async (): Promise<Done | Effect[]> => {
  const seen = await box.look()
  if (seen.state === 'started') return done('2.19 runs')
  if (seen.state === 'starting') return []
  return [tell(box, 'start', { ...(risk ? { danger: risk } : {}), unfit: async () => {
    const held = await isHeld()
    return held === true ? undefined : fail(`3.x runs: ${held}. 2.19 is not started beside it.`, 'Repeat the same line: it scales 3.x down first.', { code: EXIT.stale })
  } })]
}

export const startedCheck219 = (box: Box): Check => ({
  say: '2.19 is started', within: 30 * 60_000, prints: 'started',
  command: { words: box.words("replicatedctl app status --template '{{range .}}{{.State}}{{end}}'") },
  holds: async () => {
    const { state } = await box.look()
    return state === 'started' || `replicatedctl says ${state}`
  },
  hint: async () => 'See its console, port 8800 of the box, for what keeps it.',
})

/** The job that puts the token of CircleCI's bot into the database ran on the one of before; the next deploy makes it anew where it is gone. */
export const haveTokenInjectedAnew = (came: () => Promise<number>) => async (): Promise<Done | Effect[]> => {
  const jobs = (await list('Job')).filter(({ metadata }) => metadata?.name?.startsWith('inject-bottoken'))
  const since = await came()
  const old = jobs.filter(({ metadata }) => !since || Date.parse(String(metadata?.creationTimestamp)) < since)
  return old.length ? old.map(({ metadata }) => remove(ref('Job', metadata?.name ?? ''), metadata?.uid)) : done(jobs.length ? 'it ran on the data of 2.19' : 'it is gone, and comes with the next deploy')
}

export const CLOUDS = ['aws', 'gcp', 's3'] as const
/** How a bucket is copied, and its objects counted, on each. */
const BUCKETS: Record<(typeof CLOUDS)[number], { copy(from: string, to: string): string[]; count(bucket: string): string }> = {
  aws: { copy: (from, to) => ['aws', 's3', 'sync', `s3://${from}`, `s3://${to}`, '--only-show-errors'], count: (bucket) => `${line(['aws', 's3', 'ls', '--recursive', `s3://${bucket}`])} | wc -l` },
  gcp: { copy: (from, to) => ['gsutil', '-m', 'rsync', '-r', `gs://${from}`, `gs://${to}`], count: (bucket) => `${line(['gsutil', 'ls', `gs://${bucket}/**`])} | wc -l` },
  s3: { copy: (from, to) => ['mc', 'mirror', '--quiet', from, to], count: (bucket) => `${line(['mc', 'ls', '--recursive', bucket])} | wc -l` },
}

export interface Storage extends Pick<Given, 'storage' | 'bucket'> { cloud: (typeof CLOUDS)[number]; handOver: boolean }

/** What the Config screen gets for the bucket: that of 2.19, where it is kept. */
export const bucketField = ({ storage, bucket, cloud }: Storage): Filled =>
  (storage === 'keep' ? cloud === 'gcp' ? { gcsBucket: bucket } : { s3Bucket: bucket } : {})

const objectsIn = async ({ cloud }: Storage, bucket: string): Promise<number> => {
  const { code, stdout, stderr } = await readTool(['bash', '-c', `set -o pipefail; ${BUCKETS[cloud].count(bucket)}`], { within: hours(1) })
  if (code !== 0) throw fail(`The objects of ${bucket} cannot be counted: ${stderr.trim().split('\n').at(-1)}.`, `This should count them: ${BUCKETS[cloud].count(bucket)}`)
  return Number(stdout.trim())
}

/** The objects of 2.19 are in the bucket of 3.x: it is the same one, or all of it is copied, as their number tells. */
export const haveObjects = (given: Storage) => async (): Promise<Done | Effect[]> => {
  const { storage, bucket, cloud, handOver } = given
  if (storage === 'keep') return done(`3.x takes ${bucket} itself`)
  const to = await heldBy(cloud === 'gcp' ? 'gcsBucket' : 's3Bucket')
  if (!to || to === bucket) throw fail(`3.x has ${to ? `the bucket ${bucket} of 2.19 itself` : 'no bucket'} in its Config screen, and was to have a copy of ${bucket}.`, 'Give it a bucket of its own (npx tsx runbooks/object-storage-aws.ts), put it into the Config screen, and repeat the same line.')
  const [there, here] = [await objectsIn(given, bucket), await objectsIn(given, to)]
  if (here >= there) return done(`${to} has ${here} objects, ${bucket} ${there}`)
  const words = BUCKETS[cloud].copy(bucket, to)
  if (handOver) return done(`handed over: ${there - here} objects are missing in ${to}: ${line(words)}`)
  return [{ id: `copy ${bucket} to ${to}`, again: 'safe', command: { words }, call: () => runTool(words, `See what it says; what was copied stays: ${line(words)}`, hours(24)), watch: async () => `${await objectsIn(given, to)} of ${there} objects` }]
}
