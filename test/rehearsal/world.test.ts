import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { buildSync } from 'esbuild'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { essence, rehearse, scenarios, type World } from '../../lib/rehearsal/index.ts'
import { freshWorld } from '../../lib/rehearsal/fresh.ts'
import { client, core, gp2, kept, leases, orphan, runTool, sets, start, worldFile } from './helpers.ts'

const load = (file: string): World => JSON.parse(readFileSync(file, 'utf8'))
const HOUR = 3_600_000

describe('the file', () => {
  test('is for its owner only, and is there from the beginning', async () => {
    const { file, kubeconfig } = await start({ file: join(worldFile(), 'deeper', 'world.json') })
    expect([statSync(file).mode & 0o777, statSync(dirname(file)).mode & 0o777, statSync(kubeconfig).mode & 0o777]).toEqual([0o600, 0o700, 0o600])
    expect(load(file)).toMatchObject({ schema: 1, scenario: 'all-well' })
    rmSync(dirname(dirname(file)), { recursive: true })
  })

  test('is the same for every fresh world', async () => {
    const [one, other] = [await start(), await start()]
    expect(readFileSync(one.file, 'utf8')).toBe(readFileSync(other.file, 'utf8'))
    for (const { grow } of [one, other]) await grow('datadir-mongodb-0', '10Gi')
    for (const { clock } of [one, other]) await clock.sleep(HOUR)
    expect(readFileSync(one.file, 'utf8')).toBe(readFileSync(other.file, 'utf8'))
  })

  test('outlives the process, with what is due', async () => {
    const first = await start()
    await first.grow('datadir-mongodb-0', '10Gi')
    await first.clock.sleep(10_000)
    await first.close()
    const second = await start({ file: first.file })
    expect(second.clock.now()).toBe(first.world().time)
    await second.clock.sleep(30_000)
    expect((await second.get(`${core}/persistentvolumeclaims/datadir-mongodb-0`)).status.capacity.storage).toBe('10Gi')
  })

  test('plays one scenario', async () => {
    const { file } = await start({ scenario: 'throttling' })
    await expect(rehearse({ file, scenario: 'quota' })).rejects.toMatchObject({ code: 2, next: 'make rehearse-reset starts afresh.' })
    await expect(rehearse({ file: worldFile(), scenario: 'no-such' })).rejects.toMatchObject({ next: expect.stringContaining('all-well') })
    await (await rehearse({ file })).close()
  })

  test('without an installation there is a cluster; of an empty account nobody answers', async () => {
    const [bare, nothing] = [await start({ scenario: 'no-server' }), await start({ scenario: 'nothing' })]
    expect((await bare.get(`${sets}/vault`)).code).toBe(404)
    await expect(nothing.get('/version')).rejects.toThrow('fetch failed')
  })

  test.each(Object.keys(scenarios).filter((name) => !['no-server', 'nothing'].includes(name)))('every scenario makes a world: %s', async (scenario) => {
    const { get } = await start({ scenario })
    expect((await get(`${sets}/vault`)).status.readyReplicas ?? 'throttled').toBe(1)
  })

  test('knows its secrets', async () => {
    const { world, get } = await start()
    const { data } = await get(`${core}/secrets/mongodb`)
    expect(world().secrets).toContain(Buffer.from(data['mongodb-root-password'], 'base64').toString())
    const [container] = (await get(`${sets}/mongodb`)).spec.template.spec.containers
    expect(world().secrets).toContain(container.env.find((one: any) => one.name === 'MONGODB_PASSWORD').value)
  })
})

describe('time', () => {
  test('moves only while somebody sleeps, and earlier sleepers wake first', async () => {
    const { clock } = await start()
    const begin = clock.now()
    const order: string[] = []
    await Promise.all([300, 100, 200].map(async (s) => {
      await clock.sleep(s * 1000)
      order.push(`${s} at ${(clock.now() - begin) / 1000}`)
    }))
    expect(order).toEqual(['100 at 100', '200 at 200', '300 at 300'])
  })

  test('an aborted sleep ends at once', async () => {
    const { clock } = await start()
    const begin = clock.now(), stop = new AbortController()
    const sleep = clock.sleep(HOUR, stop.signal)
    stop.abort()
    await sleep
    expect(clock.now()).toBe(begin)
  })

  test('does not run away while a command runs', async () => {
    const rehearsal = await start()
    const begin = rehearsal.clock.now(), stop = new AbortController()
    const beat = async () => {
      while (!stop.signal.aborted) await rehearsal.clock.sleep(20_000, stop.signal)
    }
    const beating = beat()
    for (let n = 0; n < 5; n += 1) await rehearsal.tool('kots', 'version')
    expect(rehearsal.clock.now() - begin).toBeLessThanOrEqual(10 * 20_000)
    stop.abort()
    await beating
  })

  test('a pace makes it pass', async () => {
    const { clock } = await start({ pace: 1 / 1000 })
    const begin = performance.now(), now = clock.now()
    await Promise.all([clock.sleep(60_000), clock.sleep(30_000)])
    expect(clock.now() - now).toBe(60_000)
    expect(performance.now() - begin).toBeGreaterThan(50)
  })

  test('a short wait leaves no trace in the file', async () => {
    const { clock, file } = await start()
    const before = readFileSync(file, 'utf8')
    for (let n = 0; n < 10; n += 1) await clock.sleep(2_000)
    expect(readFileSync(file, 'utf8')).toBe(before)
  })
})

const folder = mkdtempSync(join(tmpdir(), 'rehearsal-serve-'))
const bundle = join(folder, 'serve.mjs')
const children: ChildProcess[] = []

beforeAll(() => {
  const banner = { js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url)" }
  buildSync({ entryPoints: [join(import.meta.dirname, 'serve.ts')], outfile: bundle, bundle: true, platform: 'node', format: 'esm', logLevel: 'error', banner })
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})
afterAll(() => rmSync(folder, { recursive: true }))

const serve = async (file: string, scenario = '') => {
  const child = spawn(process.execPath, [bundle, file, ...(scenario ? [scenario] : [])], { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  const gone = once(child, 'exit').then(([, signal]) => signal)
  child.stdin.on('error', () => undefined) // It was killed; `said` tells.
  // One that was killed says nothing more: who waits for it is told, instead of waiting for good.
  const said = async () => String((await Promise.race([once(child.stdout, 'data'), gone.then((signal) => { throw new Error(`it is gone: ${signal}`) })]))[0])
  const served = JSON.parse(await said())
  return {
    ...served, ...client(served.url), child,
    tool: (...argv: string[]) => runTool(served, argv),
    gone,
    sleep: async (ms: number) => {
      child.stdin.write(`${ms}\n`)
      await said()
    },
  }
}

describe('two processes on one world', () => {
  test('see and do not lose what the other does', async () => {
    const file = worldFile()
    const [one, two] = [await serve(file), await serve(file)]
    expect(one.kubeconfig).not.toBe(two.kubeconfig)
    const secret = (name: string) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name } })
    await Promise.all(Array.from({ length: 40 }, (_, n) => (n % 2 ? one : two).send('POST', `${core}/secrets`, secret(`s${n}`))))
    for (const { get } of [one, two]) expect((await get(`${core}/secrets`)).items.filter((item: any) => /^s\d/.test(item.metadata.name))).toHaveLength(40)
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'l' }, spec: { holderIdentity: 'x' } }
    const codes = await Promise.all([one, two].map(({ send }) => send('POST', leases, lease).then(({ code }: any) => code)))
    expect(codes.sort()).toEqual([201, 409])
    expect(existsSync(`${file}.lock`)).toBe(false)
  })

  test('a lock whose owner was killed is taken over', async () => {
    const { file, patch } = await start()
    const dead = spawn(process.execPath, ['-e', ''])
    await once(dead, 'exit')
    symlinkSync(String(dead.pid), `${file}.lock`)
    expect(lstatSync(`${file}.lock`).isSymbolicLink()).toBe(true)
    expect((await patch(gp2, { allowVolumeExpansion: true })).code).toBe(200)
  })
})

describe('a crash', () => {
  /** The changes of the whole procedure, each made only if the world does not show it yet. */
  const procedure = async (rehearsal: Awaited<ReturnType<typeof serve>>, begun: any): Promise<void> => {
    const { get, send, patch, grow, sleep, tool } = rehearsal
    if (!(await get(gp2)).allowVolumeExpansion) await patch(gp2, { allowVolumeExpansion: true })
    const live = await get(`${sets}/mongodb`)
    if (live.metadata?.uid === begun.metadata.uid) await send('DELETE', `${sets}/mongodb`, orphan(live.metadata.uid))
    const claim = await get(`${core}/persistentvolumeclaims/datadir-mongodb-0`)
    if (claim.spec.resources.requests.storage !== '10Gi') await grow('datadir-mongodb-0', '10Gi')
    const config = await tool('kots', 'get', 'config', '--appslug', 'circleci-server', '--namespace', 'circleci-server')
    if (!config.stdout.includes('value: "10"')) {
      const set = await tool('kots', 'set', 'config', 'circleci-server', 'mongodb_pvc_size=10', '--deploy', '--namespace', 'circleci-server')
      if (set.code !== 0) throw new Error(set.stderr)
    }
    await sleep(120_000)
  }

  test.each([1, 2, 3, 4].flatMap((at) => (['before', 'inside', 'after'] as const).map((when) => [at, when] as const)))(
    'at change %i, %s it, and the same again ends in the same world', async (at, when) => {
      const quiet = worldFile(), file = worldFile()
      const undisturbed = await serve(quiet)
      const begun = await undisturbed.get(`${sets}/mongodb`)
      await procedure(undisturbed, begun)
      const first = await serve(file)
      const world = load(file)
      writeFileSync(file, JSON.stringify({ ...world, crash: { at, when } }))
      await procedure(first, begun).catch(() => undefined)
      expect(await first.gone).toBe('SIGKILL')
      expect(load(file).crash).toBeUndefined()
      const second = await serve(file)
      await procedure(second, begun)
      expect(essence(load(file))).toEqual(essence(load(quiet)))
      expect(readdirSync(dirname(file)).filter((name) => /lock|part/.test(name))).toEqual([])
    })
})

const worldWith = (fault: World['fault']): string => {
  const file = worldFile()
  writeFileSync(file, JSON.stringify({ ...freshWorld('all-well', 0), fault }))
  return file
}

describe('faults', () => {
  test.each([
    ['reset', false], ['reset-after', true], [429, false], [500, false], [403, false], [409, false],
  ] as const)('%s: changed or not', async (fault, changed) => {
    const world = await start({ file: worldWith({ request: `PATCH ${gp2}`, what: fault }) })
    await world.get('/version')
    const reply = await world.patch(gp2, { allowVolumeExpansion: true }).catch(() => 'no answer')
    expect(reply).toEqual(typeof fault === 'number' ? expect.objectContaining({ code: fault }) : 'no answer')
    expect((await world.get(gp2)).allowVolumeExpansion).toBe(changed)
  })

  test('timeout: no answer, and time still passes', async () => {
    const world = await start({ file: worldWith({ request: 'GET /version', what: 'timeout' }) })
    const stop = new AbortController()
    const asked = fetch(`${world.url}/version`, { signal: stop.signal }).then(() => 'answered', () => 'no answer')
    expect(await Promise.race([asked, world.clock.sleep(30_000).then(() => 'slept')])).toBe('slept')
    stop.abort()
    expect(await asked).toBe('no answer')
  })

  test('throttling and lost connections come from the scenario', async () => {
    const throttled = await start({ scenario: 'throttling' })
    const codes: number[] = []
    for (let n = 0; n < 6; n += 1) codes.push((await throttled.send('GET', '/version')).code)
    expect(codes).toEqual([200, 200, 429, 200, 200, 429])
    const lossy = await start({ scenario: 'lost-connection' })
    const replies: unknown[] = []
    for (let n = 0; n < 5; n += 1) {
      const body = { apiVersion: 'v1', kind: 'Secret', metadata: { name: `s${n}` } }
      replies.push(await lossy.send('POST', `${core}/secrets`, body).then(({ code }) => code, () => 'lost'))
    }
    expect(replies).toEqual([201, 201, 201, 'lost', 201])
    expect((await lossy.send('GET', `${core}/secrets/s3`)).code).toBe(200)
  })
})

test('a kept manifest creates the same stateful set', async () => {
  const { get, send, clock } = await start()
  const live = await get(`${sets}/mongodb`)
  await send('DELETE', `${sets}/mongodb`, orphan())
  expect((await send('POST', sets, kept(live, '10Gi'))).body.message).toBe('object is being deleted: statefulsets.apps "mongodb" already exists')
  await clock.sleep(2000)
  const { body } = await send('POST', sets, kept(live, '10Gi'))
  expect(body.metadata.uid).not.toBe(live.metadata.uid)
  expect(body.spec.template).toEqual(live.spec.template)
})
