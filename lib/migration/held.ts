/**
 * CircleCI server 3.x while its data is replaced: its applications scaled to nothing, the databases kept. How many of each
 * ran is noted in a ConfigMap before, for the world forgets it. Installation guide 3.3.0, "Migration": its script scales
 * everything back to one, which is wrong where more ran.
 */
import type { V1Deployment } from '@kubernetes/client-node'
import { clock, stamp } from '../clock.ts'
import { oncePerLook } from '../door.ts'
import type { Check, Done, Effect } from '../effect.ts'
import { done, minutes } from '../effect.ts'
import { patch, scale } from '../cluster/changes.ts'
import { collection, kubectl, list, read, ref } from '../cluster/objects.ts'
import { request } from '../cluster/kubernetes.ts'
import { line } from '../shell.ts'

export const NOTES_NAME = 'circleci-runbooks-migration'
const NOTES = ref('ConfigMap', NOTES_NAME)
const APPLICATIONS = { labelSelector: 'layer=application' }

/** The output processor is two at least: release notes of 3.2. */
const LEAST: Record<string, number> = { 'output-processor': 2 }

/** What was noted of 3.x before it was scaled down. */
export const notes = oncePerLook(async (): Promise<Record<string, string>> => (await read(NOTES))?.data ?? {})

/** Since when 3.x runs with the data of 2.19: from then on people build on it, and nothing of it is replaced by the same line. */
const STARTED = 'startedTime'
export const startedSince = async (): Promise<string | undefined> => {
  const time = (await notes())[STARTED]
  return time && `3.x has run with the data of 2.19 since ${stamp(Date.parse(time))}`
}

/** The line that notes something by hand. */
export const noteLine = (data: Record<string, string | null>): string => line(patch(NOTES, { data }).command.words)

const applications = oncePerLook(async () => list('Deployment', APPLICATIONS))
const nameOf = ({ metadata }: V1Deployment): string => metadata?.name ?? ''

/** True where no pod of an application is left; else what is. */
export const isHeld = async (): Promise<true | string> => {
  const wanted = (await applications()).filter(({ spec }) => (spec?.replicas ?? 1) > 0).map(nameOf)
  if (wanted.length) return `${wanted.slice(0, 3).join(', ')}${wanted.length > 3 ? ` and ${wanted.length - 3} more` : ''} ${wanted.length > 1 ? 'are' : 'is'} to run`
  const left = [...(await list('Pod', APPLICATIONS)).map(({ metadata }) => metadata?.name), ...(await applications()).filter(({ status }) => (status?.replicas ?? 0) > 0).map(nameOf)]
  return left.length === 0 || `${left.length} of their pods are going`
}

export const heldCheck = (): Check => {
  const left = line(kubectl(['get', 'pods', '-l', APPLICATIONS.labelSelector, '-o', 'name'], 'Pod'))
  return {
    say: 'no application of 3.x runs', within: minutes(10), prints: '', command: { words: ['sh', '-c', left] }, holds: isHeld,
    hint: async () => `See what keeps them: ${left}`,
  }
}

/** The same, without waiting for it. */
export const stillHeld = (): Check => ({
  ...heldCheck(), within: 0, hint: async () => 'Two installations on the same builds damage both. Repeat the same line: it scales 3.x down again.',
})

/** Writes notes, and keeps those that are there. */
export const note = async (data: Record<string, string | null>): Promise<Effect> => (await read(NOTES) ? {
  ...patch(NOTES, { data }), id: `note ${Object.keys(data).length} values`,
} : {
  id: `note ${Object.keys(data).length} values`, again: 'guarded',
  command: { words: kubectl(['create', 'configmap', NOTES.name, ...Object.entries(data).filter(([, value]) => value !== null).map(([key, value]) => `--from-literal=${key}=${value}`)], 'ConfigMap') },
  call: () => request('POST', collection('ConfigMap'), { body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: NOTES.name }, data: Object.fromEntries(Object.entries(data).filter(([, value]) => value !== null)) } }),
})

const REPLICAS = 'replicas.'

/** Their numbers as they run now. Once something is noted, one that runs none says nothing: it may have been scaled down here. */
const counted = async (kept: Record<string, string>): Promise<Record<string, string>> => {
  const all = (await applications()).map((one) => [`${REPLICAS}${nameOf(one)}`, one.spec?.replicas ?? 1] as const)
  const isFirst = all.some(([, replicas]) => replicas > 0) && !Object.keys(kept).some((key) => key.startsWith(REPLICAS))
  return Object.fromEntries(all.filter(([, replicas]) => replicas > 0 || isFirst).map(([key, replicas]) => [key, String(replicas)]))
}

/** How 3.x stands is noted: how many of each ran, and `more`. `over` is why nothing of it is wanted any more. */
export const haveNotes = (over: () => Promise<string | undefined>, more: () => Promise<Record<string, string | null>>) => async (): Promise<Done | Effect[]> => {
  const why = await over()
  if (why) return done(why)
  const kept = await notes(), now: Record<string, string | null> = { ...await counted(kept), ...await more() }
  // A deploy on the way, by which one of each runs, is not how many there were.
  const missing = Object.entries(now).filter(([key, value]) => (key.startsWith(REPLICAS) ? Number(kept[key] ?? -1) < Number(value) : (kept[key] ?? null) !== value))
  return missing.length ? [await note(Object.fromEntries(missing))] : done(Object.keys(now).length ? 'it is noted' : 'nothing of it runs')
}

/** No application of 3.x runs. */
export const haveHeld = (over: () => Promise<string | undefined>) => async (): Promise<Done | Effect[]> => {
  const why = await over()
  if (why) return done(why)
  const running = (await applications()).filter(({ spec }) => (spec?.replicas ?? 1) > 0)
  const started = await startedSince() ? [{ ...await note({ [STARTED]: null }), id: 'note that 3.x does not run with it' }] : []
  if (running.length || started.length) return [...running.map((one) => scale(ref('Deployment', nameOf(one)), 0)), ...started]
  return await isHeld() === true ? done('no application of 3.x runs') : []
}

/** How many of an application are to run: as many as before, of some two at least; none, where there were none. */
const wantedOf = (one: V1Deployment, kept: Record<string, string>): number => kept[`${REPLICAS}${nameOf(one)}`] === '0' ? 0
  : Math.max(Number(kept[`${REPLICAS}${nameOf(one)}`] ?? Math.max(1, one.spec?.replicas ?? 1)), LEAST[nameOf(one)] ?? 1)

/** As many of each run as before, once the data has come; and it is noted first, that they do. */
export const haveStarted = (over: () => Promise<string | undefined>) => async (): Promise<Done | Effect[]> => {
  const [kept, come] = [await notes(), await over()]
  const short = (await applications()).filter((one) => {
    const [runs, wanted] = [one.spec?.replicas ?? 1, wantedOf(one, kept)]
    // A deploy starts one of each, also of those of which there was none.
    return wanted === 0 ? runs > 0 : !come || runs < wanted
  })
  const data = { [STARTED]: new Date(clock.now()).toISOString() }
  // Whatever is there now, its notes are there by then.
  const started = await startedSince() ? [] : [{ ...await note(data), id: 'note that 3.x runs with it', command: patch(NOTES, { data }).command }]
  if (short.length || started.length) return [...started, ...short.map((one) => scale(ref('Deployment', nameOf(one)), wantedOf(one, kept)))]
  return (await waiting()).length ? [] : done('as many of each run as before')
}

const waiting = async (): Promise<V1Deployment[]> => (await applications()).filter(({ spec, status }) => (status?.availableReplicas ?? 0) < (spec?.replicas ?? 1))

export const startedCheck = (): Check => ({
  say: 'every application of 3.x is available', within: minutes(20), prints: 'all available',
  command: { words: ['sh', '-c', `${line(kubectl(['wait', 'deployments', '-l', APPLICATIONS.labelSelector, '--for=condition=Available', '--timeout=10s'], 'Deployment'))} >/dev/null 2>&1 && echo all available`] },
  holds: async () => {
    const left = await waiting()
    return left.length === 0 || `${left.length} are not: ${left.slice(0, 3).map(nameOf).join(', ')}`
  },
  hint: async () => `See which and why: ${line(kubectl(['get', 'pods', '-l', APPLICATIONS.labelSelector], 'Pod'))}`,
})
