/**
 * Two forms, one meaning: each effect by its call and by its printed line, the whole procedure by the runbook and by
 * its script, the same scenario here and on the rehearsal installation. All end in the same world.
 */
import type { TestContext } from 'vitest'
import { describe, expect, test } from 'vitest'
import { asRunner } from '../../lib/door.ts'
import type { Effect } from '../../lib/effect.ts'
import { keep } from '../../lib/cluster/keep.ts'
import { connect } from '../../lib/cluster/kubernetes.ts'
import { patch, remove, restart } from '../../lib/cluster/changes.ts'
import { ref } from '../../lib/cluster/objects.ts'
import { setAndDeploy } from '../../lib/server/kots.ts'
import { prepareTools } from '../../lib/tools.ts'
import { commandLine } from '../../lib/shell.ts'
import { stage } from '../runbooks/harness.ts'
import { CONTEXT } from './cluster.ts'
import type { Installation } from './installation.ts'
import { until } from './processes.ts'
import { onCluster } from './real.ts'
import { bash, freshFor, run, startBash } from './runs.ts'
import { GROWN, essence, everything, gist, gistOf, identities, sizes, withoutRevisions } from './state.ts'

const { cluster } = onCluster()
const fresh = (context: TestContext) => freshFor(cluster(), context)

const set = ref('StatefulSet', 'mongodb')
const claim = ref('PersistentVolumeClaim', 'datadir-mongodb-0')
const template = '/spec/volumeClaimTemplates/0/spec/resources/requests/storage'
const uidOf = async (here: Installation) => (await here.get('apps/v1/statefulsets/mongodb')).metadata.uid as string
const call = (effect: Effect) => asRunner('a test', () => effect.call())
const allow = (here: Installation) => patch(ref('StorageClass', here.storageClass), { allowVolumeExpansion: true })
const kept = async (here: Installation) => keep(set).write({ pods: `mongodb-0=${(await identities(here)).pod}` })
const orphan = async (here: Installation) => remove(set, await uidOf(here), { orphan: true })
const gone = (here: Installation) => until('no set', async () => (await here.send('GET', 'apps/v1/statefulsets/mongodb')).status === 404)

/** An effect, and those that come before it, which are called in both worlds. */
const FORMS: Record<string, [...((here: Installation) => Effect | Promise<Effect>)[]]> = {
  'the storage class allows expansion': [allow],
  'the manifest is kept': [kept],
  'the set is deleted, its pods are not': [kept, orphan],
  'the claim asks for more': [allow, () => patch(claim, { spec: { resources: { requests: { storage: '10Gi' } } } })],
  'KOTS is told': [kept, orphan, () => setAndDeploy({ mongodb_pvc_size: '10' })],
  'the set is made from the kept manifest': [kept, orphan, () => keep(set).recreate([{ path: template, value: '10Gi' }])],
  'the pods are replaced': [() => restart(set, 'a moment')],
  'the kept manifest is removed': [kept, () => keep(set).forget()],
}

/** What became of each object: it is the one that it was, another one, new, or gone. */
const fates = async (here: Installation, act: () => Promise<void>): Promise<Record<string, string>> => {
  const uids = async () => new Map((await everything(cluster(), here))
    .filter(({ kind }) => !['ControllerRevision', 'Event'].includes(kind)).map(({ kind, metadata }) => [`${kind}/${metadata.name}`, metadata.uid]))
  const before = await uids()
  await act()
  await essence(cluster(), here)
  const after = await uids()
  const fate = (id: string) => (!after.has(id) ? 'gone' : !before.has(id) ? 'new' : before.get(id) === after.get(id) ? 'the same' : 'another')
  const names = [...new Set([...before.keys(), ...after.keys()])].sort()
  // What has another name in each installation.
  const plain = (id: string) => id.replaceAll(here.namespace, 'NAMESPACE').replace(/-[a-z0-9]{5}$/, '').replace(/-[a-z0-9]{8,10}$/, '')
  return Object.fromEntries(names.map((id) => [plain(id), fate(id)]))
}

// One after the other: there is one connection in a process.
describe('an effect by its call and by its line', () => {
  test.for(Object.entries(FORMS))('%s', { timeout: 120_000 }, async ([name, effects], context) => {
    const worlds = []
    for (const form of ['call', 'line'] as const) {
      const here = await fresh(context)
      prepareTools({ env: here.env })
      await connect({ kubeconfig: here.kubeconfig, context: CONTEXT, namespace: here.namespace })
      const [last, ...first] = effects.toReversed()
      for (const earlier of first.toReversed()) {
        await call(await earlier(here))
        if (earlier === orphan) await gone(here)
      }
      const effect = await last!(here)
      const fate = await fates(here, async () => {
        if (form === 'call') return void (await call(effect))
        const { code, all } = await bash(here, commandLine(effect.command))
        expect(code, all).toBe(0)
      })
      await here.standIns.kots.settled()
      const all = await essence(cluster(), here)
      worlds.push({ fate, all: name === 'the pods are replaced' ? withoutRevisions(all) : all })
    }
    expect(worlds[1]).toEqual(worlds[0])
  })

  test('a delete is refused where the object is another one than was planned', async (context) => {
    const here = await fresh(context)
    await connect({ kubeconfig: here.kubeconfig, context: CONTEXT, namespace: here.namespace })
    const before = await identities(here)
    await expect(call(remove(set, '00000000-0000-4000-8000-000000000000', { orphan: true }))).rejects.toMatchObject({ status: 409 })
    expect(await uidOf(here)).toBeTruthy()
    expect(await identities(here)).toEqual(before)
  })
})

const scriptOf = async (here: Installation, flags: string[] = []): Promise<string> => {
  const { code, stdout, stderr } = await run(here, ['--shell', ...flags])
  expect(code, stderr).toBe(0)
  return stdout
}
const setIsGone = async (here: Installation) => (await sizes(cluster(), here)).set === 'absent'

describe.concurrent('the script of --shell', { timeout: 180_000 }, () => {
  test('ends in the same world as the run', async (context) => {
    const [one, two] = await Promise.all([fresh(context), fresh(context)])
    const before = await identities(two)
    const ran = await run(one)
    expect(ran.code, ran.all).toBe(0)
    const { code, all } = await bash(two, await scriptOf(two))
    expect(code, all).toBe(0)
    expect(await identities(two)).toEqual(before)
    expect(await sizes(cluster(), two)).toEqual(GROWN)
    expect(await essence(cluster(), two)).toEqual(await essence(cluster(), one))
    const after = await run(two, [])
    expect(after.stderr).toContain('Nothing to do')
  })

  test('with --allow-restart, where the file system waits for it, ends in the same world as the run', async (context) => {
    const [one, two] = await Promise.all([fresh(context), fresh(context)])
    for (const { standIns } of [one, two]) standIns.resizer.untilRestart = true
    const ran = await run(one, ['--yes', '--allow-restart', '--timeout', '10s'])
    expect(ran.code, ran.all).toBe(0)
    // Its patience is five minutes.
    const script = (await scriptOf(two, ['--allow-restart'])).replaceAll('await 300', 'await 20')
    const { code, all } = await bash(two, script)
    expect(code, all).toBe(0)
    expect(withoutRevisions(await essence(cluster(), two))).toEqual(withoutRevisions(await essence(cluster(), one)))
  })

  test.for(['SIGKILL', 'SIGTERM'] as const)('%s while the set is away: the runbook goes on where it was cut off', async (signal, context) => {
    const here = await fresh(context)
    const before = await identities(here)
    const script = startBash(here, await scriptOf(here))
    await until('no set', () => setIsGone(here))
    script.signal(signal)
    const cut = await script.ended
    expect(cut.code).not.toBe(0)
    // Nothing runs after a SIGKILL; after any other end the script brings the set back first.
    if (signal === 'SIGTERM') expect((await sizes(cluster(), here)).set, cut.all).toBe('10Gi')
    const { code, all } = await run(here)
    expect(code, all).toBe(0)
    expect(await sizes(cluster(), here)).toEqual(GROWN)
    expect(await identities(here)).toEqual(before)
  })

  test('KOTS cannot deploy: it ends with an error, and the set is back', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    here.standIns.kots.deploys = 'badly'
    // Its patience is ten minutes.
    const { code, all } = await bash(here, (await scriptOf(here)).replaceAll('await 600', 'await 5'))
    expect(code, all).not.toBe(0)
    expect(await sizes(cluster(), here)).toMatchObject({ asked: '10Gi', set: '10Gi', left: ['secret/runbooks-kept-mongodb'] })
    expect(await identities(here)).toEqual(before)
    here.standIns.kots.deploys = 'well'
    const again = await run(here)
    expect(again.code, again.all).toBe(0)
    expect(await sizes(cluster(), here)).toEqual(GROWN)
  })

  test('run twice it does all of it twice, and ends in the same state', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    const script = await scriptOf(here)
    for (const time of ['first', 'second']) {
      const { code, all } = await bash(here, script)
      expect(code, `${time}: ${all}`).toBe(0)
      expect(await sizes(cluster(), here)).toEqual(GROWN)
      expect(await identities(here)).toEqual(before)
    }
  })
})

/** The same fault, here by a switch and there by a scenario; both end with this code. */
const BOTH: { scenario: string; prepare(here: Installation): void; flags: string[]; real?: string[]; code: number }[] = [
  { scenario: 'all-well', prepare: () => {}, flags: [], code: 0 },
  { scenario: 'deploy-fails', prepare: ({ standIns }) => void (standIns.kots.deploys = 'badly'), flags: [], code: 1 },
  // Patience is five minutes, which pass at once there.
  { scenario: 'resize-pending', prepare: ({ standIns }) => void (standIns.resizer.untilRestart = true), flags: ['--allow-restart'], real: ['--timeout', '10s'], code: 0 },
  { scenario: 'resize-pending', prepare: ({ standIns }) => void (standIns.resizer.untilRestart = true), flags: [], real: ['--timeout', '10s'], code: 1 },
  { scenario: 'modification-rate', prepare: ({ standIns }) => void (standIns.resizer.rateExceeded = true), flags: [], code: 1 },
]

describe.concurrent('the rehearsal and the real API server agree', { timeout: 120_000 }, () => {
  test.for(BOTH)('$scenario $flags', async ({ scenario, prepare, flags, real = [], code }, context) => {
    const here = await fresh(context)
    prepare(here)
    const ended = await run(here, ['--yes', ...flags, ...real])
    expect(ended.code, ended.all).toBe(code)
    const played = stage(scenario)
    const rehearsed = await played.run('expand-pvc', ['--db', 'mongodb', '--size', '10Gi', '--yes', ...flags])
    expect(rehearsed.code, rehearsed.all).toBe(code)
    const { objects, kots } = played.world()
    // Velero and Nomad's server, which the rehearsal has besides, are not what this runbook is about.
    const about = Object.values(objects).filter(({ metadata: { name, namespace } }) => namespace !== 'velero' && !name.startsWith('nomad-server'))
    expect(await gist(cluster(), here)).toEqual(gistOf(about as never, kots.versions, 'circleci-server'))
  })
})
