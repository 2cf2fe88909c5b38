/** github-oauth-app over real HTTPS: to a stand-in of a GitHub Enterprise, whose certificate a private authority signed. */
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { processesDuring } from '../processes-seen.ts'
import { authority } from './authority.ts'
import { lacking, needs } from './components.ts'
import { startGithub, type GithubServer } from './github.ts'

const BUNDLE = new URL('../../dist/github-oauth-app.mjs', import.meta.url).pathname
const APP = { id: 'Ov23liAbCdEfGh012345', secret: 'a1b2c3d4e5'.repeat(4), token: `ghp_${'Zz9'.repeat(12)}` }
const folder = mkdtempSync(join(tmpdir(), 'real-github-'))
let github: GithubServer

beforeEach(needs('openssl'))
beforeAll(async () => {
  if (lacking('openssl')) return
  const ca = authority(join(folder, 'ca'))
  const { certificate, key } = ca.issue(['localhost'])
  const files = { certificate: join(folder, 'server.pem'), key: join(folder, 'server.key') }
  writeFileSync(files.certificate, certificate + ca.intermediate)
  writeFileSync(files.key, key)
  writeFileSync(join(folder, 'root.pem'), ca.root)
  github = await startGithub(files, APP)
})
afterAll(() => {
  github?.stop()
  rmSync(folder, { recursive: true, force: true })
})

let runs = 0
interface Here { home: string; run(args?: string[], env?: Record<string, string>): Promise<{ code: number; stdout: string; stderr: string }> }
const here = (): Here => {
  const home = mkdtempSync(join(folder, `home-${runs++}-`))
  return {
    home,
    run: (args = [], env = {}) => new Promise((resolve) => {
      const child = spawn(process.execPath, [BUNDLE, '--domain', 'ci.localhost', '--enterprise', github.host, ...args], {
        cwd: home, stdio: ['ignore', 'pipe', 'pipe'],
        env: { PATH: process.env['PATH'], HOME: home, XDG_STATE_HOME: join(home, 'state'), NODE_EXTRA_CA_CERTS: join(folder, 'root.pem'), GITHUB_CLIENT_ID: APP.id, GITHUB_CLIENT_SECRET: APP.secret, GITHUB_ENTERPRISE_TOKEN: APP.token, ...env },
      })
      let stdout = '', stderr = ''
      child.stdout.on('data', (part: Buffer) => { stdout += part.toString() })
      child.stderr.on('data', (part: Buffer) => { stderr += part.toString() })
      child.on('close', (code) => resolve({ code: code ?? 1, stdout, stderr }))
    }),
  }
}
const flat = (text: string) => text.replaceAll(/\s+/g, ' ')

describe('a pair that is right', () => {
  test('is asked for, kept, and not asked of the operator again', async () => {
    const { home, run } = here()
    const { result: first, shown } = await processesDuring(() => run(['--yes', '--verbose']))
    expect(first.code, first.stderr).toBe(0)
    expect(github.seen.find(({ method }) => method === 'POST')).toMatchObject({ url: '/login/oauth/access_token', headers: { accept: 'application/json' } })
    const file = join(home, 'github-oauth-app')
    expect(readFileSync(file, 'utf8')).toBe(`GITHUB_CLIENT_ID=${APP.id}\nGITHUB_CLIENT_SECRET=${APP.secret}\nGITHUB_ENTERPRISE_HOST=${github.host}\nGITHUB_ENTERPRISE_TOKEN=${APP.token}\n`)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    // Nothing in the environment: what was kept is enough.
    const none = { GITHUB_CLIENT_ID: '', GITHUB_CLIENT_SECRET: '', GITHUB_ENTERPRISE_TOKEN: '' }
    const second = await run([], none)
    expect([second.code, second.stderr]).toEqual([0, expect.stringContaining('Nothing to do')])
    const text = [first, second].map(({ stdout, stderr }) => stdout + stderr).join('') + shown.join('\n')
    expect([APP.secret, APP.token].filter((secret) => text.includes(secret))).toEqual([])
    chmodSync(file, 0o640)
    expect(await run([], none)).toMatchObject({ code: 3, stderr: expect.stringContaining('chmod 600 github-oauth-app') })
  })

  test('its script makes the same file, with the secrets from the environment', async () => {
    const { home, run } = here()
    const { stdout } = await run(['--shell'])
    expect(stdout).not.toContain(APP.secret)
    const code = await new Promise((resolve) => spawn('bash', ['-c', stdout], { cwd: home, env: { PATH: process.env['PATH'], GITHUB_CLIENT_SECRET: APP.secret, GITHUB_ENTERPRISE_TOKEN: APP.token } }).on('close', resolve))
    expect(code).toBe(0)
    expect(await run()).toMatchObject({ code: 0, stderr: expect.stringContaining('Nothing to do') })
  })

  test('a plan that was reviewed holds no secret, and runs with those of the environment', async () => {
    const { home, run } = here()
    const plan = await run(['--dry-run', '--json'])
    expect(plan.stdout).not.toMatch(new RegExp(`${APP.secret}|${APP.token}`))
    writeFileSync(join(home, 'plan.json'), plan.stdout)
    const ended = await new Promise((resolve) => {
      const child = spawn(process.execPath, [BUNDLE, '--plan', 'plan.json'], { cwd: home, env: { PATH: process.env['PATH'], HOME: home, XDG_STATE_HOME: join(home, 'state'), NODE_EXTRA_CA_CERTS: join(folder, 'root.pem'), GITHUB_CLIENT_SECRET: APP.secret, GITHUB_ENTERPRISE_TOKEN: APP.token } })
      child.on('close', resolve)
    })
    expect(ended).toBe(0)
  })
})

test.each<[string, Record<string, string>, string]>([
  ['another secret', { GITHUB_CLIENT_SECRET: 'f'.repeat(40) }, 'the client secret is not one of the app'],
  ['an ID that nobody has', { GITHUB_CLIENT_ID: 'Ov23liNobodyHasThis0' }, 'has no app with the client ID'],
  ['a token that is not accepted', { GITHUB_ENTERPRISE_TOKEN: `ghp_${'0'.repeat(36)}` }, 'does not accept the token'],
  ['an authority that nobody named', { NODE_EXTRA_CA_CERTS: '' }, 'NODE_EXTRA_CA_CERTS=root.pem'],
])('%s: nothing is written', async (_, env, said) => {
  const { code, stderr } = await here().run(['--yes'], env)
  expect([code, flat(stderr)]).toEqual([3, expect.stringContaining(said)])
  expect(stderr).not.toContain('defect')
})

test('a GitHub that is busy is asked again; one that is not there is said', async () => {
  github.instead(503, 3)
  expect(await here().run(['--yes'])).toMatchObject({ code: 0 })
  const { code, stderr } = await here().run(['--yes', '--enterprise', 'localhost:9'])
  expect([code, flat(stderr)]).toEqual([3, expect.stringContaining('localhost:9 cannot be asked: ECONNREFUSED')])
})

test('the proxy of the environment is taken, and left out where NO_PROXY says so', async () => {
  const through: string[] = []
  const proxy = createServer().on('connect', ({ url = '' }, socket) => {
    through.push(url)
    const [host, port] = url.split(':')
    const onward = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      onward.pipe(socket).pipe(onward)
    })
    for (const one of [onward, socket]) one.on('error', () => { onward.destroy(); socket.destroy() })
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const HTTPS_PROXY = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  expect(await here().run(['--yes'], { HTTPS_PROXY, NO_PROXY: 'localhost' })).toMatchObject({ code: 0 })
  expect(through).toEqual([])
  const { code, stderr } = await here().run(['--yes'], { HTTPS_PROXY })
  expect([code, stderr]).toEqual([0, expect.any(String)])
  expect([...new Set(through)]).toEqual([github.host])
  proxy.close()
})
