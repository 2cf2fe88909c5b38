/**
 * The life of expand-pvc on a real API server: look, run, run again, and what operators meet on the way. What counts
 * is the state of the world that is left.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'vitest'
import { describe, expect, test } from 'vitest'
import { pause } from '../../lib/clock.ts'
import { freshWorld } from '../../lib/rehearsal/fresh.ts'
import { processesDuring } from '../processes-seen.ts'
import type { Installation } from './installation.ts'
import { until } from './processes.ts'
import { onCluster } from './real.ts'
import { BUNDLE, bash, freshFor, journals, leftovers, run, startRun } from './runs.ts'
import { GROWN, identities, sizes, versions } from './state.ts'

const { cluster } = onCluster()
const fresh = (context: TestContext) => freshFor(cluster(), context)

const kotsVersions = ({ standIns }: Installation) =>
  standIns.kots.state.versions.map(({ sequence, status, values }) => ({ sequence, status, size: values['mongodb_pvc_size']?.value }))
const TOLD = { sequence: 2, status: 'deployed', size: '10' }

/** MongoDB has grown, by this many orders to KOTS, and nothing but what had to is another one than before. */
const expectGrown = async (here: Installation, before: Awaited<ReturnType<typeof identities>>, orders = 1) => {
  expect(await sizes(cluster(), here)).toEqual(GROWN)
  expect(await identities(here)).toEqual(before)
  expect(kotsVersions(here)[0]).toEqual({ ...TOLD, sequence: 1 + orders })
  expect(leftovers(here)).toEqual([])
}

describe.concurrent('looking', () => {
  test.for([
    '--dry-run', '--dry-run --verbose', '--dry-run --json', '--shell', '--markdown',
  ])('%s: 0, and every object has the version that it had', async (flags, context) => {
    const here = await fresh(context)
    const before = await versions(cluster(), here)
    const { code, all } = await run(here, flags.split(' '))
    expect(code, all).toBe(0)
    expect(await versions(cluster(), here)).toEqual(before)
    expect(journals(here)).toBe('')
  })

  test('a plan without a yes and without a terminal: 5, and nothing is changed', async (context) => {
    const here = await fresh(context)
    const before = await versions(cluster(), here)
    const { code, stderr } = await run(here, [])
    expect(code, stderr).toBe(5)
    expect(await versions(cluster(), here)).toEqual(before)
  })

  test('a reviewed plan runs as it was reviewed', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    const file = join(here.env['HOME']!, 'plan.json')
    writeFileSync(file, (await run(here, ['--dry-run', '--json'])).stdout)
    const { code, all } = await bash(here, `node ${BUNDLE} --plan plan.json`)
    expect(code, all).toBe(0)
    await expectGrown(here, before)
    const again = await versions(cluster(), here)
    expect(await bash(here, `node ${BUNDLE} --plan plan.json`)).toMatchObject({ code: 0 })
    expect(await versions(cluster(), here)).toEqual(again)
  })
})

describe.concurrent('running', () => {
  test('grows it without another pod, claim or volume; the same line again has nothing to do', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    const first = await run(here)
    expect(first.code, first.all).toBe(0)
    expect(first.stdout).toBe('')
    await expectGrown(here, before)
    expect(kotsVersions(here)).toHaveLength(3)
    const after = await versions(cluster(), here)
    const second = await run(here, [])
    expect(second.code, second.all).toBe(0)
    expect(second.stderr).toContain('Nothing to do')
    expect(await versions(cluster(), here)).toEqual(after)
  })

  test('10240Mi is 10Gi: nothing to do after a run', async (context) => {
    const here = await fresh(context)
    expect(await run(here)).toMatchObject({ code: 0 })
    const after = await versions(cluster(), here)
    const { code, all } = await run(here, ['--yes', '--size', '10240Mi'])
    expect(code, all).toBe(0)
    expect(await versions(cluster(), here)).toEqual(after)
  })

  test('--until stops after a step, and the same line without it goes on', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    const { code, all } = await run(here, ['--yes', '--until', 'allow-expansion'])
    expect(code, all).toBe(0)
    expect(await sizes(cluster(), here)).toEqual({ asked: '8Gi', claim: '8Gi', volume: '8Gi', df: '8Gi', set: '8Gi', left: [] })
    expect((await run(here)).code).toBe(0)
    await expectGrown(here, before)
  })

  test('no secret is in an output, a journal, or the arguments and environment of a process', async (context) => {
    const here = await fresh(context)
    const { secrets } = freshWorld('all-well', 0)
    expect(secrets.length).toBeGreaterThan(5)
    const tokens = Object.values(cluster().tokens)
    const { result: runs, shown } = await processesDuring(async () => {
      const all = [await run(here, ['--shell']), await run(here, ['--dry-run', '--verbose']), await run(here, ['--yes', '--verbose'])]
      const other = await fresh(context)
      return [...all, await bash(other, (await run(other, ['--shell'])).stdout)]
    }, 'cmdline', 'environ')
    expect(runs.map(({ code }) => code)).toEqual([0, 0, 0, 0])
    expect(shown.filter((one) => /kots|expand-pvc/.test(one)).length).toBeGreaterThan(5)
    expect(shown.filter((one) => [...secrets, ...tokens].some((secret) => one.includes(secret))).map((one) => one.slice(0, 80))).toEqual([])
    const text = runs.map(({ all }) => all).join('') + journals(here)
    expect([...secrets, ...tokens].filter((secret) => text.includes(secret))).toEqual([])
  })
})

describe.concurrent('what operators meet', () => {
  test('the cloud refuses the change for hours: 1, the reason and when; then the same line ends well', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    here.standIns.resizer.rateExceeded = true
    const first = await run(here)
    expect(first.code, first.all).toBe(1)
    expect(first.stderr).toContain('VolumeModificationRateExceeded')
    expect(first.stderr).toMatch(/After \d\d:\d\d UTC/)
    expect(await sizes(cluster(), here)).toMatchObject({ asked: '10Gi', claim: '8Gi', set: '10Gi' })
    expect(await identities(here)).toEqual(before)
    here.standIns.resizer.rateExceeded = false
    await until('the volume', async () => (await sizes(cluster(), here)).claim === '10Gi')
    const second = await run(here)
    expect(second.code, second.all).toBe(0)
    await expectGrown(here, before)
  })

  test('the file system waits for a new pod: 1 without --allow-restart and the flag is named; with it, one restart', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    here.standIns.resizer.untilRestart = true
    const first = await run(here, ['--yes', '--timeout', '10s'])
    expect(first.code, first.all).toBe(1)
    expect(first.stderr).toContain('--allow-restart')
    expect(await sizes(cluster(), here)).toMatchObject({ asked: '10Gi', claim: '8Gi', volume: '10Gi', df: '8Gi', set: '10Gi' })
    expect(await identities(here)).toEqual(before)
    const second = await run(here, ['--yes', '--timeout', '10s', '--allow-restart'])
    expect(second.code, second.all).toBe(0)
    const { pod } = await identities(here)
    expect(pod).not.toBe(before.pod)
    await expectGrown(here, { ...before, pod })
    const third = await run(here, ['--yes', '--allow-restart'])
    expect(third.stderr).toContain('Nothing to do')
    expect((await identities(here)).pod).toBe(pod)
  })

  test('KOTS cannot deploy: 1, and the set is back from its kept manifest; when it can, the same line ends well', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    const { uid: _uid, ...kept } = (await here.get('apps/v1/statefulsets/mongodb')).metadata
    here.standIns.kots.deploys = 'badly'
    const first = await run(here)
    expect(first.code, first.all).toBe(1)
    expect(await sizes(cluster(), here)).toMatchObject({ asked: '10Gi', claim: '10Gi', df: '10Gi', set: '10Gi' })
    expect(await identities(here)).toEqual(before)
    const { labels, annotations } = (await here.get('apps/v1/statefulsets/mongodb')).metadata
    // That we brought it back, and not KOTS, is noted on it until KOTS has been told.
    expect({ labels, annotations }).toEqual({ labels: kept.labels, annotations: { ...kept.annotations, 'circleci-runbooks/recreated': '10Gi' } })
    here.standIns.kots.deploys = 'well'
    const second = await run(here)
    expect(second.code, second.all).toBe(0)
    await expectGrown(here, before, 2)
  })

  test('KOTS never ends its deploy: the runbook brings the set back after its patience', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    here.standIns.kots.deploys = 'never'
    const first = await run(here, ['--yes', '--timeout', '8s'])
    expect(first.code, first.all).toBe(1)
    // In a pipe, too, a wait is told when it begins.
    expect(first.stderr).toContain('waiting for the deploy · last seen: mongodb absent')
    expect(await sizes(cluster(), here)).toMatchObject({ asked: '10Gi', claim: '10Gi', df: '10Gi', set: '10Gi' })
    expect(await identities(here)).toEqual(before)
    expect(kotsVersions(here)).toHaveLength(3)
    // It ends after all.
    here.standIns.kots.state.versions[0]!.status = 'deployed'
    const second = await run(here)
    expect(second.code, second.all).toBe(0)
    await expectGrown(here, before)
  })

  test('KOTS 1.47.3 cannot be asked: a person sets the size while the run waits', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    here.standIns.kots.state.version = '1.47.3'
    const waiting = startRun(here)
    await waiting.says('by hand')
    await until('no set', async () => (await sizes(cluster(), here)).set === 'absent')
    await pause(2500)
    const person = await bash(here, `kubectl kots set config circleci-server mongodb_pvc_size=10 --deploy -n ${here.namespace}`)
    expect(person.code, person.all).toBe(0)
    const { code, all } = await waiting.ended
    expect(code, all).toBe(0)
    await expectGrown(here, before)
  })

  test('KOTS does not answer for a moment in the middle of a run', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    const [plugin, away] = ['kubectl-kots', 'away'].map((name) => join(here.standIns.kots.bin, name)) as [string, string]
    const first = startRun(here, ['--yes', '--timeout', '30s'])
    await until('no set', async () => (await sizes(cluster(), here)).set === 'absent')
    renameSync(plugin, away)
    await pause(8000)
    renameSync(away, plugin)
    const { code, all } = await first.ended
    expect(code, all).toBe(0)
    await expectGrown(here, before)
  })

  test('somebody else raised the claim before: only the rest is done', async (context) => {
    const here = await fresh(context)
    await here.send('PATCH', `/apis/storage.k8s.io/v1/storageclasses/${here.storageClass}`, { body: { allowVolumeExpansion: true } })
    await here.send('PATCH', 'v1/persistentvolumeclaims/datadir-mongodb-0', { body: { spec: { resources: { requests: { storage: '10Gi' } } } } })
    await until('the size', async () => (await sizes(cluster(), here)).claim === '10Gi')
    const before = await identities(here)
    const { code, all } = await run(here)
    expect(code, all).toBe(0)
    await expectGrown(here, before)
  })
})

describe.concurrent('refusals: 3, and nothing is changed', () => {
  const refused = async (here: Installation, flags: string[], env: Record<string, string> = {}) => {
    const before = await versions(cluster(), here)
    const ended = await run(here, ['--yes', ...flags], { env })
    expect(ended.code, ended.all).toBe(3)
    expect(await versions(cluster(), here)).toEqual(before)
    expect(journals(here)).toBe('')
    return ended
  }

  test('who may only look gets one list of what is missing', async (context) => {
    const here = await fresh(context)
    const { stderr } = await refused(here, [], { KUBECONFIG: cluster().kubeconfigFor('reader') })
    const text = stderr.replaceAll(/\s+/g, ' ')
    expect(text.match(/you may not:/g)).toHaveLength(1)
    for (const missing of [
      'create statefulsets', 'delete statefulsets', 'patch persistentvolumeclaims', 'patch storageclasses (cluster-wide)',
      'get secrets', 'create secrets', 'delete secrets', 'create leases', 'create pods/exec',
    ]) expect(text).toContain(missing)
    // These it has.
    for (const held of ['get statefulsets', 'get pods,', 'get persistentvolumeclaims']) expect(text).not.toContain(held)
  })

  test('credentials that are not accepted', async (context) => {
    const here = await fresh(context)
    const kubeconfig = join(here.env['HOME']!, 'expired.kubeconfig')
    writeFileSync(kubeconfig, readFileSync(here.kubeconfig, 'utf8').replace(cluster().tokens.admin, 'expired'))
    const { stderr } = await refused(here, [], { KUBECONFIG: kubeconfig })
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain('Log in again')
  })

  test('a namespace that does not exist', async (context) => {
    const { stderr } = await refused(await fresh(context), ['--namespace', 'nowhere'])
    expect(stderr).toContain('There is no namespace nowhere')
  })

  test('a quota without room', async (context) => {
    const here = await fresh(context)
    const body = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'storage' }, spec: { hard: { 'requests.storage': '41Gi' } } }
    await here.send('POST', 'v1/resourcequotas', { body })
    await until('the count', async () => (await here.get('v1/resourcequotas/storage')).status?.used?.['requests.storage'])
    expect((await refused(here, [])).stderr).toContain('quota storage leaves 1Gi')
  })

  test('a size below what the claim has', async (context) => {
    expect((await refused(await fresh(context), ['--size', '4Gi'])).stderr).toContain('never shrink')
  })
})
