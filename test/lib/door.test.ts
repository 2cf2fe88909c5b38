import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { lookAgain, mustBeInDoor, once, oncePerLook, openDoor, type EffectEvent } from '../../lib/door.ts'
import type { Effect } from '../../lib/effect.ts'
import { Lost, Refused, fail } from '../../lib/fail.ts'
import { connect, exec, request } from '../../lib/cluster/kubernetes.ts'
import { prepareTools, readTool, runTool } from '../../lib/tools.ts'
import { testClock } from './clock.ts'

const refusal = (status: number, retryAfter?: number) => new Refused(`no ${status}`, 'mend it', { status, reason: 'x', retryAfter })
const effect = (again: Effect['again'], call: () => Promise<unknown>, more: Partial<Effect> = {}): Effect =>
  ({ id: 'do it', again, command: { words: ['do', 'it'] }, call, ...more })

const open = (guard: { lockIsOurs?: () => Promise<void>; confirmed?: boolean } = {}) => {
  const records: EffectEvent[] = []
  const door = openDoor({
    lockIsOurs: guard.lockIsOurs ?? (async () => {}), confirmed: () => guard.confirmed ?? true,
    record: (event) => { records.push(event) },
  })
  return { door, records }
}

let time: ReturnType<typeof testClock>
beforeEach(() => { time = testClock() })

describe('the door', () => {
  test('notes an effect before it is sent and after it', async () => {
    const order: string[] = []
    const door = openDoor({ lockIsOurs: async () => { order.push('lock') }, confirmed: () => true, record: ({ event }) => { order.push(event) } })
    await door.apply(effect('safe', async () => { order.push('sent') }))
    expect(order).toEqual(['lock', 'effect-start', 'sent', 'effect-end'])
  })

  test.each([{ danger: 'it is gone' }, { final: 'Data can be lost' }])('refuses what is destructive and was not confirmed: %j', async (more) => {
    const call = vi.fn()
    await expect(open({ confirmed: false }).door.apply(effect('safe', call, more))).rejects.toMatchObject({ code: 6 })
    expect(call).not.toHaveBeenCalled()
    await open({ confirmed: true }).door.apply(effect('safe', call, more))
    expect(call).toHaveBeenCalledTimes(1)
  })

  test('what is not destructive needs no confirmation', async () => {
    const call = vi.fn()
    await open({ confirmed: false }).door.apply(effect('safe', call))
    expect(call).toHaveBeenCalledTimes(1)
  })

  test('a lost lock stops before the next effect, and before each further attempt', async () => {
    const lost = fail('The lock was lost.', 'see', { code: 4 })
    const call = vi.fn()
    await expect(open({ lockIsOurs: async () => { throw lost } }).door.apply(effect('safe', call))).rejects.toBe(lost)
    expect(call).not.toHaveBeenCalled()

    let asked = 0
    const failing = vi.fn(async () => { throw refusal(503) })
    const { door } = open({ lockIsOurs: async () => { if (++asked > 2) throw lost } })
    await expect(door.apply(effect('safe', failing))).rejects.toBe(lost)
    expect(failing).toHaveBeenCalledTimes(2)
  })

  test('a journal that cannot be written stops before the effect is sent', async () => {
    const call = vi.fn()
    const door = openDoor({ lockIsOurs: async () => {}, confirmed: () => true, record: () => { throw fail('The disk is full.', 'make room') } })
    await expect(door.apply(effect('safe', call))).rejects.toThrow('The disk is full')
    expect(call).not.toHaveBeenCalled()
  })

  test.each([['a lost answer', new Lost('lost')], ['429', refusal(429)], ['500', refusal(500)], ['503', refusal(503)], ['409', refusal(409)]])(
    'a mint is never sent twice: %s', async (_, error) => {
      const call = vi.fn(async () => { throw error })
      await expect(open().door.apply(effect('mint', call))).rejects.toBe(error)
      expect(call).toHaveBeenCalledTimes(1)
    })

  test.each([['a lost answer', new Lost('lost')], ['429', refusal(429)], ['500', refusal(500)], ['409', refusal(409)]])('what is safe is sent again after %s', async (_, error) => {
    let attempt = 0
    const { door, records } = open()
    await door.apply(effect('safe', async () => { if (++attempt < 3) throw error }))
    expect(attempt).toBe(3)
    expect(records.map(({ event, error: said }) => [event, said !== undefined])).toEqual(
      [['effect-start', false], ['effect-end', true], ['effect-start', false], ['effect-end', true], ['effect-start', false], ['effect-end', false]])
  })

  test('at most five times, longer apart each time', async () => {
    const call = vi.fn(async () => { throw refusal(503) })
    await expect(open().door.apply(effect('safe', call))).rejects.toThrow('no 503')
    expect(call).toHaveBeenCalledTimes(5)
    expect(time.slept).toEqual([1000, 2000, 4000, 8000])
  })

  test('after as long as the server asks for', async () => {
    let attempt = 0
    await open().door.apply(effect('safe', async () => { if (++attempt < 2) throw refusal(429, 7000) }))
    expect(time.slept).toEqual([7000])
  })

  test.each([400, 401, 403, 404, 422])('a plain no (%d) is not sent again', async (status) => {
    const call = vi.fn(async () => { throw refusal(status) })
    for (const again of ['safe', 'guarded', 'mint'] as const) {
      call.mockClear()
      await expect(open().door.apply(effect(again, call))).rejects.toThrow(`no ${status}`)
      expect(call).toHaveBeenCalledTimes(1)
    }
  })

  const UNCERTAIN = [new Lost('lost'), refusal(500), refusal(504)]
  test.each([404, 409].flatMap((status) => UNCERTAIN.map((first) => [status, first] as const)))('guarded: a refusal (%d) after “%s” says that it was carried out', async (status, first) => {
    const answers = [first, refusal(status)]
    const { door, records } = open()
    await door.apply(effect('guarded', async () => { throw answers.shift() }))
    expect(answers).toEqual([])
    expect(records.at(-1)).toMatchObject({ event: 'effect-end', carriedOutBefore: true })
    expect(records.at(-1)?.error).toBeUndefined()
    // The refusal is no error of its own: one trouble, and that it was none.
    expect(records.map(({ event, retry, error }) => [event, retry, error])).toEqual([
      ['effect-start', undefined, undefined], ['effect-end', { lost: true, ms: 1000, attempt: 2, of: 5 }, first.message], ['effect-start', undefined, undefined], ['effect-end', undefined, undefined],
    ])
  })

  test.each([404, 409])('guarded: after an answer that nothing was done, a refusal (%d) is a failure', async (status) => {
    const answers = [refusal(429), refusal(status)]
    await expect(open().door.apply(effect('guarded', async () => { throw answers.shift() }))).rejects.toThrow(`no ${status}`)
  })

  test('what is sent again says when and for which time; what is not is an error and nothing else', async () => {
    let attempt = 0
    const passing = open()
    await passing.door.apply(effect('safe', async () => { if (++attempt < 2) throw refusal(429, 7000) }))
    expect(passing.records[1]).toMatchObject({ error: 'no 429', retry: { lost: false, ms: 7000, attempt: 2, of: 5 } })
    expect(passing.records.at(-1)).not.toHaveProperty('carriedOutBefore')
    const failing = open()
    await failing.door.apply(effect('safe', async () => { throw refusal(403) })).catch(() => {})
    expect(failing.records.at(-1)).not.toHaveProperty('retry')
  })

  test('a defect of the call is not sent again', async () => {
    const call = vi.fn(async () => { throw new TypeError('x is undefined') })
    await expect(open().door.apply(effect('safe', call))).rejects.toThrow(TypeError)
    expect(call).toHaveBeenCalledTimes(1)
  })

  test('after an effect, and after a failed one, reads look again', async () => {
    let reads = 0
    const look = oncePerLook(async () => ++reads)
    expect([await look(), await look()]).toEqual([1, 1])
    await open().door.apply(effect('safe', async () => {}))
    expect(await look()).toBe(2)
    await open().door.apply(effect('mint', async () => { throw refusal(500) })).catch(() => {})
    expect(await look()).toBe(3)
    lookAgain()
    expect(await look()).toBe(4)
  })

  test('what does not change under a run is read once', async () => {
    let reads = 0
    const look = once(async () => ++reads)
    await look()
    lookAgain()
    expect(await look()).toBe(1)
  })
})

describe('below the clients', () => {
  const folder = mkdtempSync(join(tmpdir(), 'door-'))
  let server: Server
  let seen: string[] = []
  let reply: (incoming: IncomingMessage, response: ServerResponse) => void
  beforeEach(async () => {
    testClock(20_000)
    seen = []
    reply = (_, response) => { response.end('{}') }
    server = createServer((incoming, response) => {
      seen.push(`${incoming.method} ${incoming.url}`)
      reply(incoming, response)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const file = join(folder, 'config')
    writeFileSync(file, JSON.stringify({
      apiVersion: 'v1', kind: 'Config', 'current-context': 'c', users: [{ name: 'u', user: {} }],
      clusters: [{ name: 'k', cluster: { server: `http://127.0.0.1:${(server.address() as { port: number }).port}` } }],
      contexts: [{ name: 'c', context: { cluster: 'k', user: 'u', namespace: 'n' } }],
    }))
    await connect({ kubeconfig: file })
  })
  afterEach(() => new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  }))

  test.each(['POST', 'PUT', 'PATCH', 'DELETE'])('%s outside of an effect is refused before it is sent', async (method) => {
    await expect(request(method, '/api/v1/namespaces/n/secrets/s', { body: {} })).rejects.toThrow('outside of an effect; nothing was sent')
    expect(seen).toEqual([])
  })

  test('a read, a server-side dry run and an access review pass', async () => {
    await request('GET', '/version')
    await request('PATCH', '/api/v1/x', { query: { dryRun: 'All' }, body: {} })
    await request('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { body: {} })
    expect(seen).toHaveLength(3)
  })

  test('within an effect it is sent, and once the effect is over it is not', async () => {
    let later: Promise<unknown> = Promise.resolve()
    await open().door.apply(effect('safe', () => request('DELETE', '/api/v1/x')))
    expect(seen).toEqual(['DELETE /api/v1/x'])
    later = request('DELETE', '/api/v1/y')
    await expect(later).rejects.toThrow('outside of an effect')
  })

  test('a command in a pod that is more than a read is refused', async () => {
    await expect(exec('mongodb-0', ['rm', '-rf', '/'])).rejects.toThrow('outside of an effect')
    expect(seen).toEqual([])
  })

  test('a tool is a write unless it is called as a read', async () => {
    const file = join(folder, 'touched')
    await expect(runTool(['sh', '-c', `echo touched > ${file}`], 'next', 60_000)).rejects.toThrow('outside of an effect')
    expect(() => readFileSync(file)).toThrow()
    await open().door.apply(effect('safe', () => runTool(['sh', '-c', `echo touched > ${file}`], 'next', 60_000)))
    expect(readFileSync(file, 'utf8')).toBe('touched\n')
    expect(await readTool(['echo', "it's", '$HOME'])).toMatchObject({ code: 0, stdout: "it's $HOME\n" })
    rmSync(file)
  })

  test('a tool of which a note cannot be made does nothing', async () => {
    const file = join(folder, 'noted')
    const touch = effect('mint', () => runTool(['sh', '-c', `echo $$ >> ${file}; cat >> ${file}`], 'next', 60_000))
    prepareTools({ onStart: () => { throw fail('The disk is full.', 'make room') } })
    await expect(open().door.apply(touch)).rejects.toThrow('The disk is full.')
    expect(existsSync(file)).toBe(false)
    let noted: number | undefined
    prepareTools({ onStart: (pid) => {
      expect(existsSync(file), 'it began before it was noted').toBe(false)
      noted = pid
    } })
    await open().door.apply(touch)
    // The pid is the tool's own, and nothing is on its standard input.
    expect(readFileSync(file, 'utf8')).toBe(`${noted}\n`)
    prepareTools({ onStart: () => {} })
    rmSync(file)
  })

  test('a tool that fails says with what, and what to do', async () => {
    await expect(open().door.apply(effect('mint', () => runTool(['sh', '-c', 'echo first >&2; echo it broke >&2; exit 3'], 'mend it', 60_000))))
      .rejects.toMatchObject({ message: expect.stringMatching(/ended with 3: .*it broke/), next: 'mend it' })
    await expect(open().door.apply(effect('mint', () => runTool(['no-such-tool-here'], 'mend it', 60_000)))).rejects.toThrow('ended with 127')
  })

  test('a read is asked again while the trouble may pass, a write is not: the door decides', async () => {
    let n = 0
    reply = (_, response) => { response.writeHead(++n < 3 ? 503 : 200).end('{"ok":true}') }
    expect(await request('GET', '/version')).toEqual({ ok: true })
    expect(seen).toHaveLength(3)
    seen = []
    n = 0
    await expect(open().door.apply(effect('mint', () => request('POST', '/api/v1/x', { body: {} })))).rejects.toMatchObject({ status: 503 })
    expect(seen).toHaveLength(1)
  })

  test('a token that ended is asked for again, of the plugin and of the kubeconfig; what is refused twice is refused', async () => {
    const [plugin, told] = [join(folder, 'plugin'), join(folder, 'told')]
    const config = (token: object) => JSON.stringify({
      apiVersion: 'v1', kind: 'Config', 'current-context': 'c', users: [{ name: 'u', user: token }],
      clusters: [{ name: 'k', cluster: { server: `http://127.0.0.1:${(server.address() as { port: number }).port}` } }],
      contexts: [{ name: 'c', context: { cluster: 'k', user: 'u', namespace: 'n' } }],
    })
    const file = join(folder, 'tokens')
    // As it says itself, each token is good for years.
    writeFileSync(plugin, `#!/bin/sh\necho asked >> ${told}\necho '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"expirationTimestamp":"2099-01-01T00:00:00Z","token":"'$(wc -l < ${told} | tr -d ' ')'"}}'\n`, { mode: 0o700 })
    writeFileSync(file, config({ exec: { apiVersion: 'client.authentication.k8s.io/v1', command: plugin } }))
    await connect({ kubeconfig: file })
    let good = '1'
    reply = (incoming, response) => { response.writeHead(incoming.headers.authorization === `Bearer ${good}` ? 200 : 401).end('{}') }
    await request('GET', '/version')
    good = '2'
    await Promise.all([request('GET', '/version'), request('GET', '/version'), open().door.apply(effect('mint', () => request('POST', '/api/v1/x', { body: {} })))])
    expect(readFileSync(told, 'utf8')).toBe('asked\nasked\n')
    good = 'from a new kubeconfig'
    writeFileSync(file, config({ token: good }))
    await request('GET', '/version')
    good = 'another'
    seen = []
    await expect(open().door.apply(effect('safe', () => request('POST', '/api/v1/x', { body: {} })))).rejects.toMatchObject({ status: 401 })
    expect(seen).toHaveLength(2)
    rmSync(told)
  })

  test('a write whose connection breaks is lost, not failed; one that was never sent failed', async () => {
    reply = (incoming) => { incoming.socket.destroy() }
    await expect(open().door.apply(effect('mint', () => request('POST', '/api/v1/x', { body: {} })))).rejects.toBeInstanceOf(Lost)
    await new Promise<void>((resolve) => server.close(() => resolve()))
    await expect(open().door.apply(effect('mint', () => request('POST', '/api/v1/x', { body: {} })))).rejects.toMatchObject({ name: 'Fail', message: expect.stringContaining('ECONNREFUSED') })
  })

  test('nothing that is not a read passes without a door at all', () => {
    expect(() => mustBeInDoor('writing')).toThrow('writing would change the world outside of an effect')
  })
})
