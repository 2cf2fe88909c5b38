/**
 * Cutting expand-pvc off on a real API server: killed at every request, interrupted, doubled, handed over. The same
 * line again ends as if nothing had happened.
 */
import { hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'vitest'
import { afterAll, describe, expect, test } from 'vitest'
import { pause } from '../../lib/clock.ts'
import type { Installation } from './installation.ts'
import { freshInstallation } from './installation.ts'
import { until } from './processes.ts'
import type { Moment } from './proxy.ts'
import { proxy } from './proxy.ts'
import { onCluster } from './real.ts'
import type { Ended, Running } from './runs.ts'
import { bash, freshFor, journals, leftovers, printedLine, run, startRun } from './runs.ts'
import { GROWN, essence, identities, sizes, versions, withoutRevisions } from './state.ts'

const { cluster } = onCluster()
const fresh = (context: TestContext) => freshFor(cluster(), context)

interface Life {
  name: string
  /** The requests that change the world in an undisturbed run, in order. */
  requests: string[]
  prepare(here: Installation): void
  /** Comes right before the line is repeated, also in an undisturbed run. */
  meanwhile(here: Installation): void
  flags: string[]
  /** Exit codes of an undisturbed first line, and of the last one. */
  ends: number[]
}

const USUAL = ['POST leases', 'PATCH storageclasses', 'POST secrets', 'DELETE statefulsets', 'PATCH persistentvolumeclaims', 'DELETE secrets', 'DELETE leases']
const LIVES: Life[] = [
  { name: 'all well', requests: USUAL, prepare: () => {}, meanwhile: () => {}, flags: ['--yes'], ends: [0] },
  {
    name: 'brought back by the runbook', requests: ['POST statefulsets'], flags: ['--yes'], ends: [1, 0],
    prepare: ({ standIns }) => void (standIns.kots.deploys = 'badly'),
    meanwhile: ({ standIns }) => void (standIns.kots.deploys = 'well'),
  },
  {
    name: 'restarted', requests: ['PATCH statefulsets'], flags: ['--yes', '--allow-restart', '--timeout', '10s'], ends: [0],
    prepare: ({ standIns }) => void (standIns.resizer.untilRestart = true), meanwhile: () => {},
  },
]

/** Runs through a proxy that kills it at this moment. */
const killedAt = async (here: Installation, flags: string[], moment?: Moment): Promise<{ ended: Ended; seen: string[] }> => {
  let victim: Running | undefined
  const between = await proxy(cluster(), here.env['HOME']!, moment, () => victim?.signal('SIGKILL'))
  victim = startRun(here, flags, { env: { KUBECONFIG: between.kubeconfig } })
  const ended = await victim.ended
  await between.close()
  return { ended, seen: between.seen }
}

/** Where a deploy fails, each try leaves a version behind, as KOTS does. */
const comparable = ({ name }: Life, { kots, ...all }: Record<string, unknown>): unknown =>
  name === 'all well' ? { kots, ...all } : withoutRevisions(name === 'restarted' ? { kots, ...all } : all)

const stops: (() => Promise<void>)[] = []
afterAll(async () => void (await Promise.all(stops.map((stop) => stop()))))

describe.concurrent.each(LIVES)('$name', { timeout: 240_000 }, (life) => {
  const { requests, prepare, meanwhile, flags, ends } = life
  let undisturbed: Promise<Record<string, unknown>> | undefined
  const goal = () => (undisturbed ??= (async () => {
    // Several tests wait for it, so that it belongs to none.
    const here = await freshInstallation(cluster())
    stops.push(here.stop)
    prepare(here)
    for (const code of ends) {
      const { ended, seen } = await killedAt(here, flags)
      expect(ended.code, ended.all).toBe(code)
      if (requests === USUAL) expect(seen).toEqual(requests)
      else expect(seen).toEqual(code === ends[0] ? expect.arrayContaining(requests) : expect.anything())
      meanwhile(here)
    }
    expect(await sizes(cluster(), here)).toEqual(GROWN)
    return essence(cluster(), here)
  })())

  const moments = requests.flatMap((request) => (['before', 'inside', 'after'] as const).map((when) => ({ request, when })))
  test.for(moments)('killed $when $request, then the same line', async (moment, context) => {
    const here = await fresh(context)
    const before = await identities(here)
    prepare(here)
    const { ended } = await killedAt(here, flags, moment)
    // After the last answer there may be nothing left to kill.
    if (moment.request !== 'DELETE leases' || moment.when !== 'after') expect(ended.signal, ended.all).toBe('SIGKILL')
    for (const code of ends) {
      const again = await run(here, flags)
      expect(again.code, again.all).toBe(code)
      meanwhile(here)
    }
    const { pod, ...kept } = await identities(here)
    expect({ pod: requests.includes('PATCH statefulsets') ? before.pod : pod, ...kept }).toEqual(before)
    expect(comparable(life, await essence(cluster(), here))).toEqual(comparable(life, await goal()))
    expect(leftovers(here)).toEqual([])
  })
})

/** The order to KOTS is on its way: the command runs, as its journal says, and has sent nothing yet. */
const orderUnderWay = (here: Installation) => until('the command', async () => journals(here).includes('"event":"child"'))
const orders = ({ standIns }: Installation) => standIns.kots.calls.filter(([word]) => word === 'set')
const expectGrown = async (here: Installation, before: Awaited<ReturnType<typeof identities>>) => {
  expect(await sizes(cluster(), here)).toEqual(GROWN)
  expect(await identities(here)).toEqual(before)
  expect(here.standIns.kots.state.versions.map(({ status }) => status)).toEqual(['deployed', 'deployed', 'deployed'])
  expect(orders(here)).toHaveLength(1)
}

describe.concurrent('the order to KOTS', { timeout: 180_000 }, () => {
  test('killed while the command runs: the same line waits for it and orders nothing more', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    here.standIns.kots.slow = 15_000
    const first = startRun(here)
    await orderUnderWay(here)
    first.signal('SIGKILL')
    expect(await first.ended).toMatchObject({ signal: 'SIGKILL' })
    expect(orders(here)).toEqual([])
    const again = await run(here)
    expect(again.code, again.all).toBe(0)
    expect(again.stderr.replaceAll(/\s+/g, ' ')).toContain('its command still runs')
    await expectGrown(here, before)
  })

  test('killed while KOTS deploys: the same line orders nothing more', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    here.standIns.kots.delay = 4000
    const first = startRun(here)
    await until('the order', async () => orders(here).length === 1)
    first.signal('SIGKILL')
    await first.ended
    const again = await run(here)
    expect(again.code, again.all).toBe(0)
    await expectGrown(here, before)
  })
})

describe.concurrent('an answer that is lost', { timeout: 180_000 }, () => {
  test.for(USUAL.map((request) => ({ request, when: 'inside' as const })))('of $request: the run goes on by itself', async (moment, context) => {
    const here = await fresh(context)
    const before = await identities(here)
    const between = await proxy(cluster(), here.env['HOME']!, moment)
    const { code, all } = await run(here, ['--yes'], { env: { KUBECONFIG: between.kubeconfig } })
    await between.close()
    expect(code, all).toBe(0)
    await expectGrown(here, before)
  })
})

describe.concurrent('signals', { timeout: 180_000 }, () => {
  test.for([['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const)('%s while it waits: %i, no lease, and the printed line ends it', async ([name, exit], context) => {
    const here = await fresh(context)
    const before = await identities(here)
    here.standIns.kots.delay = 600_000
    const first = startRun(here)
    await first.says('• 5 bring-back')
    await pause(1000)
    first.signal(name)
    const { code, all } = await first.ended
    expect(code, all).toBe(exit)
    expect(all).toContain('Everything so far stays')
    // The set is away: an operator is told so.
    expect(all.replaceAll(/\s+/g, ' ')).toContain('mongodb may have no stateful set now')
    expect((await sizes(cluster(), here)).left).toEqual(['secret/runbooks-kept-mongodb'])
    here.standIns.kots.delay = 0
    const line = printedLine(all, 'Go on with the same line:')
    expect(line).toContain('--db mongodb --size 10Gi')
    const again = await bash(here, line)
    expect(again.code, again.all).toBe(0)
    await expectGrown(here, before)
  })

  test('once while the command runs: it ends first', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    here.standIns.kots.slow = 3000
    const first = startRun(here)
    await orderUnderWay(here)
    first.signal('SIGINT')
    const { code, all } = await first.ended
    expect(code, all).toBe(130)
    expect(all).toContain('finishing “kots set mongodb_pvc_size”')
    expect(orders(here)).toHaveLength(1)
    const again = await run(here)
    expect(again.code, again.all).toBe(0)
    await expectGrown(here, before)
  })

  test('twice while the command runs: it is stopped too, and the same line orders it', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    here.standIns.kots.slow = 8000
    const first = startRun(here)
    await orderUnderWay(here)
    first.signal('SIGINT')
    await first.says('Again to stop at once')
    // Within half a second it is taken for the same one, which tsx relays.
    await pause(700)
    first.signal('SIGINT')
    const { code, all } = await first.ended
    expect(code, all).toBe(130)
    await pause(9000)
    expect(orders(here)).toEqual([])
    here.standIns.kots.slow = 0
    const again = await run(here)
    expect(again.code, again.all).toBe(0)
    await expectGrown(here, before)
  })
})

/** A lease as another machine's run left it. */
const lease = (holder: string, seenAgo: number) => ({
  apiVersion: 'coordination.k8s.io/v1', kind: 'Lease',
  metadata: { name: 'circleci-runbooks', annotations: { 'circleci-runbooks/runbook': 'migrate', 'circleci-runbooks/step': 'step 7 of 12' } },
  spec: {
    holderIdentity: holder, leaseDurationSeconds: 60,
    acquireTime: new Date(Date.now() - 3_600_000).toISOString().replace('Z', '000Z'),
    renewTime: new Date(Date.now() - seenAgo).toISOString().replace('Z', '000Z'),
  },
})
const LEASES = 'coordination.k8s.io/v1/leases'

describe.concurrent('two at once', { timeout: 180_000 }, () => {
  test('one does the work, the other ends with 4 and the name of the one', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    // Longer than the time after which a lease is renewed: only then the other one knows that its holder lives.
    here.standIns.kots.delay = 45_000
    const both = [startRun(here), startRun(here)]
    const loser = await Promise.race(both.map(({ ended }) => ended))
    expect(loser.code, loser.all).toBe(4)
    expect(loser.stderr.replaceAll(/\s+/g, ' ')).toContain(`${userInfo().username}@${hostname()} is running expand-pvc on this installation`)
    expect(loser.stderr).toContain('Nothing was changed')
    const [one, two] = await Promise.all(both.map(({ ended }) => ended))
    expect([one!.code, two!.code].sort()).toEqual([0, 4])
    await expectGrown(here, before)
  })

  test('where both begin at once one of them does it; the other says who, or finds the work done', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    const both = await Promise.all([run(here), run(here)])
    expect([[0, 0], [0, 4]], both.map(({ all }) => all).join('\n---\n')).toContainEqual(both.map(({ code }) => code).sort())
    await expectGrown(here, before)
    const after = await run(here)
    expect(after.stderr, after.all).toContain('Nothing to do')
  })

  test('a run on another machine that lives: 4 and its name, nothing is changed', async (context) => {
    const here = await fresh(context)
    const set = await here.send('POST', LEASES, { body: lease('operator@laptop-3 4711 1', 9000) })
    expect(set.status).toBe(201)
    const before = await versions(cluster(), here)
    const waiting = startRun(here)
    await waiting.says('The lock is held by operator@laptop-3')
    await here.send('PATCH', `${LEASES}/circleci-runbooks`, { body: { spec: lease('operator@laptop-3 4711 1', 0).spec } })
    const { code, stderr } = await waiting.ended
    expect(code, stderr).toBe(4)
    expect({ ...(await versions(cluster(), here)), 'Lease/circleci-runbooks': '' }).toEqual({ ...before, 'Lease/circleci-runbooks': '' })
  })

  test('hand-over: killed on another machine; here, with an empty state folder, a minute later', async (context) => {
    const here = await fresh(context)
    const before = await identities(here)
    const { ended } = await killedAt(here, ['--yes'], { request: 'DELETE statefulsets', when: 'after' })
    expect(ended.signal).toBe('SIGKILL')
    // Of a run on another machine nobody can see here whether it lives.
    const left = lease('operator@laptop-3 4711 1', 9000)
    expect((await here.send('PATCH', `${LEASES}/circleci-runbooks`, { body: { spec: left.spec } })).status).toBe(200)
    const began = Date.now()
    const elsewhere = join(here.env['HOME']!, 'elsewhere')
    const again = await run(here, ['--yes'], { env: { XDG_STATE_HOME: elsewhere } })
    expect(again.code, again.all).toBe(0)
    expect(Date.now() - began).toBeGreaterThan(60_000)
    await expectGrown(here, before)
    expect(journals(here, elsewhere)).toContain('"event":"start"')
  })
})
