/** runner with the real circleci CLI, over TLS, to a stand-in of the server that a private authority vouches for. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { processesDuring } from '../processes-seen.ts'
import { authority } from './authority.ts'
import { startCircleciApi, type CircleciApi } from './circleci-api.ts'
import { lacking, must, needs } from './components.ts'

const DIST = new URL('../../dist', import.meta.url).pathname
const DOMAIN = 'circleci.example.com', TOKEN = 'f0e1d2c3b4a5968778695a4b3c2d1e0f00112233'
const ARGS = ['--domain', DOMAIN, '--org', 'my-org', '--runner-namespace', 'my-ns', '--class', 'linux']
const folder = mkdtempSync(join(tmpdir(), 'real-runner-'))
let files: { cert: string; key: string }

beforeEach(needs('circleci', 'openssl'))
beforeAll(() => {
  if (lacking('openssl')) return
  const ca = authority(join(folder, 'ca'))
  const { certificate, key } = ca.issue([DOMAIN])
  files = { cert: certificate + ca.intermediate, key }
  writeFileSync(join(folder, 'root.pem'), ca.root)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Ended { code: number; stdout: string; all: string }
interface Here { home: string; api: CircleciApi; config(): string; start(words: string[], env?: Record<string, string>): Promise<Ended>; run(args?: string[], env?: Record<string, string>): Promise<Ended> }

let count = 0
const here = async (): Promise<Here> => {
  const api = await startCircleciApi(files, { token: TOKEN, org: 'my-org' })
  onTestFinished(api.stop)
  const home = mkdtempSync(join(folder, `home-${count++}-`))
  symlinkSync(DIST, join(home, 'dist'))
  const start = (words: string[], env: Record<string, string> = {}): Promise<Ended> => new Promise((resolve) => {
    const [command = '', ...args] = words
    const child = spawn(command, args, {
      cwd: home, stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: `${dirname(must('circleci'))}:${process.env['PATH']}`, HOME: home, XDG_STATE_HOME: join(home, 'state'), SSL_CERT_FILE: join(folder, 'root.pem'), HTTPS_PROXY: api.proxy, CIRCLECI_CLI_TOKEN: TOKEN, ...env },
    })
    let stdout = '', all = ''
    child.stdout.on('data', (part: Buffer) => { stdout += part.toString(); all += part.toString() })
    child.stderr.on('data', (part: Buffer) => { all += part.toString() })
    child.on('close', (code) => resolve({ code: code ?? 1, stdout, all }))
  })
  return { home, api, start, config: () => readFileSync(join(home, 'launch-agent-config.yaml'), 'utf8'), run: (args = [], env = {}) => start([process.execPath, 'dist/runner.mjs', ...ARGS, ...args], env) }
}
const whole = (token: string | undefined): string => `# Runner of my-ns/linux on https://${DOMAIN}, token circleci-runbooks.
api:
  auth_token: ${token}
  url: https://${DOMAIN}
runner:
  name: runner
  working_directory: /var/opt/circleci/workdir
  cleanup_working_directory: true
`

test('namespace, resource class and token are made once; the configuration is whole, and nothing of it is shown', async () => {
  const { home, api, run, config } = await here()
  const { result: [first, second, third], shown } = await processesDuring(async () => [await run(['--hand-over', '--yes', '--verbose']), await run(['--hand-over']), await run(['--dry-run', '--json'])])
  expect(first?.code, first?.all).toBe(0)
  expect(api.changes).toEqual(['namespace my-ns', 'class my-ns/linux', 'token circleci-runbooks'])
  expect(config()).toBe(whole(api.tokens[0]?.token))
  expect(statSync(join(home, 'launch-agent-config.yaml')).mode & 0o777).toBe(0o600)
  expect([second?.code, second?.all]).toEqual([0, expect.stringContaining('Nothing to do')])
  const text = [first, second, third].map((one) => one?.all).join('') + shown.join('\n')
  expect([TOKEN, api.tokens[0]?.token ?? TOKEN].filter((secret) => text.includes(secret))).toEqual([])
})

test('a token whose answer was lost is deleted, and made again', async () => {
  const { api, run, config } = await here()
  expect((await run(['--hand-over', '--yes', '--until', 'class'])).code).toBe(0)
  api.lose()
  const lost = await run(['--hand-over', '--yes'])
  expect([lost.code, lost.all]).toEqual([1, expect.stringContaining('Do now')])
  const [old] = api.tokens
  const asked = await run(['--hand-over'])
  expect([asked.code, asked.all.replaceAll(/\s+/g, ' ')]).toEqual([5, expect.stringContaining('agents that have the token circleci-runbooks of my-ns/linux get no more jobs')])
  const again = await run(['--hand-over', '--yes'])
  expect(again.code, again.all).toBe(0)
  expect(api.tokens.map(({ id }) => id)).not.toContain(old?.id)
  expect([api.tokens.length, config()]).toEqual([1, whole(api.tokens[0]?.token)])
})

test('the script does the same, and waits for the agent', async () => {
  const { home, api, run, start, config } = await here()
  const { stdout } = await run(['--shell'])
  writeFileSync(join(home, 'runner.sh'), stdout)
  const script = start(['bash', 'runner.sh'])
  api.connected.push('my-ns/linux')
  const ended = await script
  expect(ended.code, ended.all).toBe(0)
  expect(api.changes).toEqual(['namespace my-ns', 'class my-ns/linux', 'token circleci-runbooks'])
  expect(config()).toBe(whole(api.tokens[0]?.token))
  expect(await run()).toMatchObject({ code: 0, all: expect.stringContaining('ops-7 (ops-7) is connected') as unknown })
})

test('a token that the server does not know, an organisation that is not there, an authority that nobody knows', async () => {
  const { api, run } = await here()
  const flat = async (ended: Promise<Ended>) => { const { code, all } = await ended; return [code, all.replaceAll(/\s+/g, ' ')] }
  expect(await flat(run(['--hand-over', '--yes'], { CIRCLECI_CLI_TOKEN: TOKEN.replace('f', 'e') }))).toEqual([3, expect.stringContaining(`https://${DOMAIN}/account/api`)])
  expect(await flat(run(['--hand-over', '--yes', '--org', 'another']))).toEqual([1, expect.stringContaining('There is no such organization')])
  expect(await flat(run(['--hand-over', '--yes'], { SSL_CERT_FILE: '/dev/null' }))).toEqual([3, expect.stringContaining('SSL_CERT_FILE=root.pem')])
  expect(api.changes).toEqual([])
})
