import { spawn } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { useClock } from '../../lib/clock.ts'
import { Stopped } from '../../lib/fail.ts'
import { connect } from '../../lib/cluster/kubernetes.ts'
import { LEASE, identityOf, me, sweepLock, takeLock, type Lock } from '../../lib/lock.ts'
import { processStart } from '../../lib/journal.ts'
import { openDoor } from '../../lib/door.ts'
import { remove, restart } from '../../lib/cluster/changes.ts'
import { ref } from '../../lib/cluster/objects.ts'
import { sets, start } from '../rehearsal/helpers.ts'

const leases = '/apis/coordination.k8s.io/v1/namespaces/circleci-server/leases'
const lease = `${leases}/${LEASE}`
let world: Awaited<ReturnType<typeof start>>
let told: string[]
let stop: AbortController
const open: Lock[] = []

beforeEach(async () => {
  world = await start()
  useClock(world.clock)
  await connect({ kubeconfig: world.kubeconfig })
  told = []
  stop = new AbortController()
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((lock) => lock.release().catch(() => {})))
})

const take = async (): Promise<Lock> => {
  const lock = await takeLock('expand-pvc', { stop: stop.signal, waiting: (holder) => { told.push(holder) } })
  open.push(lock)
  return lock
}
const now = async () => (await world.send('GET', lease)).body
const held = (holder: string) => {
  const time = new Date(world.clock.now()).toISOString().replace('Z', '000Z')
  return world.send('POST', leases, {
    apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: LEASE, annotations: { 'circleci-runbooks/runbook': 'migrate', 'circleci-runbooks/step': 'step 7 of 12, copy' } },
    spec: { holderIdentity: holder, leaseDurationSeconds: 60, acquireTime: time, renewTime: time },
  })
}

/** Another user of this machine. */
const somebody = async (pid: number, start?: string): Promise<string> => (await identityOf(pid, start)).replace(/^[^@]+/, 'somebody')
/** The same name and number where our processes are not seen: another boot, another namespace of pids, or an older runbook that told neither. */
const LIKE_US: [string, (holder: string) => string][] = [
  ['a run of another machine of this name', (holder) => holder.replace(/ [\da-f]{8}-/, ' 00000000-')],
  ['a run in another container', (holder) => holder.replace(/\/\d+ /, '/4026539999 ')],
  ['a run that does not tell where', (holder) => holder.replace(/ \S+\/\d+ /, ' ')],
]

test('a free lock is taken at once, and names its holder and what runs', async () => {
  const lock = await take()
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  const pids = /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0]
  expect((await now()).spec.holderIdentity).toBe(`${me()} ${process.pid} ${boot}/${pids} ${processStart(process.pid)}`)
  expect((await now()).metadata.annotations).toMatchObject({ 'circleci-runbooks/runbook': 'expand-pvc' })
  expect(told).toEqual([])
  await lock.release()
  expect((await now()).code).toBe(404)
})

test('what it does now is told with the next renewal', async () => {
  const lock = await take()
  lock.at('step 3 of 9, grow')
  const before = (await now()).spec.renewTime
  await world.clock.sleep(21_000)
  await lock.hold()
  expect((await now()).metadata.annotations['circleci-runbooks/step']).toBe('step 3 of 9, grow')
  expect((await now()).spec.renewTime > before).toBe(true)
})

describe('held by somebody', () => {
  test('on this machine, whose process is gone: taken over at once', async () => {
    const child = spawn('true')
    const pid = child.pid as number
    const began = processStart(pid)
    await new Promise((resolve) => child.on('close', resolve))
    await held(await somebody(pid, began))
    await take()
    expect(told).toEqual([])
  })

  test('on this machine, whose process is alive: refused with its name, what it does and its pid', async () => {
    const pid = process.ppid
    await held(await somebody(pid))
    const began = world.clock.now()
    await expect(take()).rejects.toMatchObject({
      code: 4, message: expect.stringMatching(new RegExp(`^somebody@${hostname()} is running migrate on this installation since .*step 7 of 12, copy`)),
      state: expect.stringContaining(`process ${pid}`),
    })
    expect(world.clock.now(), 'one look is enough').toBe(began)
    expect(told).toEqual([])
  })

  test('on this machine, by a run that is alive: who brings patience waits for its end', async () => {
    const pid = process.ppid
    await held(await somebody(pid))
    void world.clock.sleep(100_000).then(() => world.send('DELETE', lease))
    open.push(await takeLock('backup', { patience: 600_000, stop: stop.signal, waiting: (holder) => { told.push(holder) } }))
    expect(told[0]).toMatch(/waiting for up to 10 m\.$/)
    expect((await now()).metadata.annotations).toMatchObject({ 'circleci-runbooks/runbook': 'backup' })
  })

  test.each(LIKE_US)('by %s, with a number that no process has here: not taken for gone', async (_, elsewhere) => {
    const holder = elsewhere(await somebody(4194305, '1'))
    await held(holder)
    const began = world.clock.now()
    void world.clock.sleep(30_000).then(async () => {
      const body = await now()
      await world.send('PUT', lease, { ...body, spec: { ...body.spec, renewTime: new Date(world.clock.now()).toISOString().replace('Z', '000Z') } })
    })
    await expect(take()).rejects.toMatchObject({ code: 4, message: expect.stringMatching(/^somebody@/), state: 'Nothing was changed.' })
    expect(world.clock.now() - began).toBeGreaterThanOrEqual(30_000)
    await sweepLock()
    expect((await now()).spec.holderIdentity).toBe(holder)
  })

  test('on another machine, who does not renew it: taken over after one duration', async () => {
    await held('somebody@elsewhere 1 1')
    const began = world.clock.now()
    await take()
    expect(world.clock.now() - began).toBeGreaterThanOrEqual(60_000)
    expect(told[0]).toMatch(/The lock is held by somebody@elsewhere; waiting for up to 1 m/)
  })

  test('on another machine, who renews it: refused', async () => {
    const other = await start({ scenario: 'two-operators' })
    useClock(other.clock)
    await connect({ kubeconfig: other.kubeconfig })
    await expect(take()).rejects.toMatchObject({ code: 4, message: expect.stringContaining('operator@laptop-3'), state: 'Nothing was changed.' })
  })

  test('an operator who asks to stop does not wait for the end of it', async () => {
    await held('somebody@elsewhere 1 1')
    const began = world.clock.now()
    void world.clock.sleep(9000).then(() => stop.abort())
    await expect(take()).rejects.toBeInstanceOf(Stopped)
    expect(world.clock.now() - began).toBeLessThan(30_000)
    expect((await now()).spec.holderIdentity).toBe('somebody@elsewhere 1 1')
  })

  test('nobody any more (an empty holder): taken', async () => {
    await held('')
    await take()
    expect(told).toEqual([])
  })
})

describe('lost', () => {
  test('to another: the next hold stops the run, and the release leaves the other one alone', async () => {
    const lock = await take()
    const body = await now()
    await world.send('PUT', lease, { ...body, spec: { ...body.spec, holderIdentity: 'other@elsewhere 1 1' } })
    await world.clock.sleep(21_000)
    await expect(lock.hold()).rejects.toMatchObject({ code: 4, message: expect.stringContaining('to other@elsewhere') })
    await lock.release()
    expect((await now()).spec.holderIdentity).toBe('other@elsewhere 1 1')
  })

  test('to another, a moment ago: what is destructive or made once is not sent', async () => {
    const lock = await take()
    const door = openDoor({ lockIsOurs: lock.hold, confirmed: () => true, record: () => {} })
    const set = ref('StatefulSet', 'mongodb')
    const body = await now()
    await world.send('PUT', lease, { ...body, spec: { ...body.spec, holderIdentity: 'other@elsewhere 1 1' } })
    await expect(door.apply(remove(set, undefined, { orphan: true, danger: 'it is away' }))).rejects.toMatchObject({ code: 4, message: expect.stringContaining('to other@elsewhere') })
    await expect(door.apply(restart(set, 'it is down'))).rejects.toMatchObject({ code: 4 })
    expect((await world.get(`${sets}/mongodb`)).metadata).toMatchObject({ generation: 1 })
    expect((await world.get(`${sets}/mongodb`)).metadata.deletionTimestamp).toBeUndefined()
  })

  test('deleted by somebody, a moment ago: it is taken again before what is destructive', async () => {
    const lock = await take()
    await world.send('DELETE', lease)
    await lock.hold(true)
    expect((await now()).spec.holderIdentity).toContain(me())
  })

  test('deleted by somebody: it is taken again with the next renewal, as the API server does with leases', async () => {
    const lock = await take()
    await world.send('DELETE', lease)
    await world.clock.sleep(21_000)
    await lock.hold()
    expect((await now()).spec.holderIdentity).toContain(me())
    await lock.release()
    expect((await now()).code).toBe(404)
  })

  test('changed by us with the answer lost: it is still ours', async () => {
    const lock = await take()
    const body = await now()
    await world.send('PUT', lease, { ...body, spec: { ...body.spec, renewTime: body.spec.acquireTime } })
    await world.clock.sleep(21_000)
    await lock.hold()
    expect((await now()).spec.holderIdentity).toContain(me())
  })
})

test('what a killed run of this machine left is swept; a live one is not', async () => {
  await held(await somebody(4194305, '1'))
  await sweepLock()
  expect((await now()).code).toBe(404)
  await held('somebody@elsewhere 1 1')
  await sweepLock()
  expect((await now()).spec.holderIdentity).toBe('somebody@elsewhere 1 1')
})
