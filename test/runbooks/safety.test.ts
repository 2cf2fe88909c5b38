/**
 * Runs that go wrong while the stateful set is away, or on its way to be: whatever happens, it is brought back,
 * or the operator reads that it is not.
 */
import { describe, expect, test } from 'vitest'
import type { World } from '../../lib/rehearsal/index.ts'
import { stage, type Stage } from './harness.ts'

const line = ['--db', 'mongodb', '--size', '10Gi', '--yes']
const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')

/** What stands of a database: the size that its stateful set asks for, and its pod. */
const look = (world: Stage, db = 'mongodb') => {
  const { objects } = world.world()
  const set = objects[`statefulsets/circleci-server/${db}`]
  const asks = set?.['spec'].volumeClaimTemplates[0].spec.resources.requests.storage as string | undefined
  return { set: set?.metadata.deletionTimestamp ? 'going' : asks ?? 'absent', pod: objects[`pods/circleci-server/${db}-0`]?.metadata.uid }
}

/** The state that an undisturbed run leaves. */
let undisturbed: Promise<unknown> | undefined
const goal = () => (undisturbed ??= (async () => {
  const world = stage()
  expect(await world.run('expand-pvc', line)).toMatchObject({ code: 0 })
  return world.essence()
})())

/** The same line, once the trouble is over, ends as if nothing had happened. */
const goesOn = async (world: Stage, essence = goal()): Promise<void> => {
  const again = await world.run('expand-pvc', line)
  expect(again.code, again.all).toBe(0)
  expect(world.essence()).toEqual(await essence)
}

describe.concurrent('a stateful set that the garbage collector is slow to let go', () => {
  const slow = (ms: number, pace = 0) => (world: World) => {
    world.rules.orphanTakes = ms
    world.pace = pace
  }

  test('the wait for it ends before it is gone: it is brought back once it is', async () => {
    const world = stage(undefined, slow(25_000))
    const { pod } = look(world)
    const { code, stderr } = await world.run('expand-pvc', [...line, '--timeout', '10s'])
    expect(code, stderr).toBe(1)
    expect(flat(stderr)).toContain('did not come true within 10 s that statefulset/mongodb is gone')
    expect(look(world)).toEqual({ set: '10Gi', pod })
    await goesOn(world)
  })

  test('longer than anybody waits: the screen says that it is being deleted', async () => {
    const world = stage(undefined, slow(3_600_000))
    const { code, stderr } = await world.run('expand-pvc', line)
    expect(code, stderr).toBe(1)
    expect(look(world).set).toBe('going')
    expect(flat(stderr)).toContain('set mongodb being deleted; its pods are not replaced if they die')
  })

  test('Ctrl-C meanwhile: the operator reads that it will be away', async () => {
    // Slow enough that a busy machine answers in time.
    const world = stage(undefined, slow(60_000, 1 / 4))
    let watch: NodeJS.Timeout | undefined
    const ended = await world.run('expand-pvc', line, { onStart: (pid) => {
      watch = setInterval(() => {
        if (look(world).set !== 'going') return
        clearInterval(watch)
        process.kill(pid, 'SIGINT')
      }, 20)
    } }).finally(() => clearInterval(watch))
    expect(ended.code, ended.all).toBe(130)
    expect(look(world).set).toBe('going')
    expect(flat(ended.stderr)).toContain('mongodb may have no stateful set now: the pods run, but would not be replaced if they died')
    world.change((one) => { one.pace = 0 })
    await goesOn(world)
  })
})

describe.concurrent('two databases, of which one is absent and the other one stands with its old size', () => {
  const both = ['--db', 'mongodb,postgresql', '--size', '10Gi', '--yes']
  /** postgresql is away; mongodb may not be removed. */
  const half = async (): Promise<Stage> => {
    const world = stage()
    expect(await world.run('expand-pvc', ['--db', 'postgresql', '--size', '10Gi', '--yes', '--until', 'remove-set'])).toMatchObject({ code: 0 })
    expect([look(world).set, look(world, 'postgresql').set]).toEqual(['8Gi', 'absent'])
    world.change((one) => { one.fault = { request: 'DELETE /apis/apps/v1/namespaces/circleci-server/statefulsets/mongodb', what: 403 } })
    return world
  }

  test('the absent one is brought back, the other one is left as it is', async () => {
    const world = await half()
    const pods = [look(world).pod, look(world, 'postgresql').pod]
    const { code, stderr } = await world.run('expand-pvc', both)
    expect(code, stderr).toBe(1)
    expect([look(world), look(world, 'postgresql')]).toEqual([{ set: '8Gi', pod: pods[0] }, { set: '10Gi', pod: pods[1] }])
    expect(flat(stderr)).toContain('bring-back statefulset/mongodb is there, and not as it is wanted')
    const again = await world.run('expand-pvc', both)
    expect(again.code, again.all).toBe(0)
    expect([look(world), look(world, 'postgresql')]).toEqual([{ set: '10Gi', pod: pods[0] }, { set: '10Gi', pod: pods[1] }])
  })
})

describe.concurrent('credentials that are not accepted any more', () => {
  const expired = (request: string, lasts?: number, scenario?: string) => stage(scenario, (world) => { world.fault = { request, what: 401, ...(lasts ? { lasts } : {}) } })
  const sets = '/apis/apps/v1/namespaces/circleci-server/statefulsets'

  test('once: they are asked for again, and the run goes on', async () => {
    const world = expired(`DELETE ${sets}/mongodb`)
    expect(await world.run('expand-pvc', line)).toMatchObject({ code: 0 })
    expect(world.essence()).toEqual(await goal())
  })

  test('until the operator has logged in again: the set is brought back, and the end is no 3', async () => {
    const world = expired('kubectl kots set config', 100_000)
    const { pod } = look(world)
    const { code, stderr } = await world.run('expand-pvc', line)
    expect(code, stderr).toBe(1)
    expect(look(world)).toEqual({ set: '10Gi', pod })
    expect(flat(stderr)).toMatch(/trying again · last seen: The API server refuses the credentials.*Log in again/)
    await goesOn(world)
  })

  test('in the step itself that brings it back', async () => {
    const world = expired(`POST ${sets}`, 60_000, 'deploy-slow')
    const { code, stderr } = await world.run('expand-pvc', line)
    expect(code, stderr).toBe(1)
    expect(look(world).set).toBe('10Gi')
  })
})

describe.concurrent('a resize that failed', () => {
  const claim = 'persistentvolumeclaims/circleci-server/datadir-mongodb-0'
  const failed = (after: number) => stage('all-well', (world) => {
    const at = new Date(world.time + after).toISOString().replace('.000', '')
    const metadata = { name: 'datadir-mongodb-0.1', namespace: 'circleci-server', uid: '1', creationTimestamp: at, resourceVersion: '5' }
    world.objects['events/circleci-server/datadir-mongodb-0.1'] = {
      apiVersion: 'v1', kind: 'Event', metadata, type: 'Warning', reason: 'VolumeResizeFailed', count: 1, firstTimestamp: at, lastTimestamp: at,
      involvedObject: { kind: 'PersistentVolumeClaim', name: 'datadir-mongodb-0', namespace: 'circleci-server', uid: world.objects[claim]?.metadata.uid },
      message: 'error expanding volume: RequestError: send request failed: net/http: TLS handshake timeout',
    }
  })

  test('before this one was asked for is no failure of it', async () => {
    const world = failed(-600_000)
    const { code, stderr } = await world.run('expand-pvc', line)
    expect(code, stderr).toBe(0)
    expect(world.world().objects[claim]?.['status'].capacity.storage).toBe('10Gi')
  })

  test('after that ends the run at its step, with the stateful set back', async () => {
    const world = failed(3_600_000)
    const { code, stderr } = await world.run('expand-pvc', line)
    expect(code, stderr).toBe(1)
    expect(look(world).set).toBe('10Gi')
    expect(flat(stderr)).toContain('The volume of datadir-mongodb-0 could not be grown: error expanding volume: RequestError')
  })
})
