/** realitycheck over real HTTPS, with the real curl and git: to a stand-in of the API, and to repositories of this machine. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { processesDuring } from '../processes-seen.ts'
import { authority } from './authority.ts'
import { startCircle, type Circle } from './circleci.ts'
import { lacking, must, needs } from './components.ts'
import { homeAt, journals, start, type Ended } from './runs.ts'

const BUNDLE = new URL('../../dist/realitycheck.mjs', import.meta.url).pathname
/** Of CircleCI's repository, as it was when server 3.4 came out. */
const COMMIT = '9058f9bac75a29a13f89cb8b52ae920030f74c9a'
const DOMAIN = 'circleci.example.com', TOKEN = 'c1c1e70cea'.repeat(4)
const folder = mkdtempSync(join(tmpdir(), 'real-circleci-'))
let circle: Circle

beforeEach(needs('openssl', 'curl', 'git'))
beforeAll(async () => {
  if (lacking('openssl', 'git')) return
  const ca = authority(join(folder, 'ca')), { certificate, key } = ca.issue([DOMAIN])
  const files = { certificate: join(folder, 'server.pem'), key: join(folder, 'server.key') }
  writeFileSync(files.certificate, certificate + ca.intermediate)
  writeFileSync(files.key, key)
  writeFileSync(join(folder, 'root.pem'), ca.root)
  circle = await startCircle(files, TOKEN)
})
beforeEach(() => circle?.fresh())
afterAll(() => {
  circle?.stop()
  rmSync(folder, { recursive: true, force: true })
})

let runs = 0
/** A home with a git that finds the repositories of this machine in place of those at GitHub: CircleCI's own, a fork, an empty one. */
const here = () => {
  const home = join(folder, `home-${runs++}`), temporary = join(home, 'tmp'), at = (name: string) => join(home, 'git', name)
  mkdirSync(temporary, { recursive: true })
  const git = (...args: string[]) => execFileSync(must('git'), args, { env: { ...env, GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@example.com', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@example.com' }, stdio: ['ignore', 'pipe', 'pipe'] }).toString().trim()
  const env = {
    ...homeAt(home).env, ...circle.env, TMPDIR: temporary, CIRCLECI_TOKEN: TOKEN, NODE_EXTRA_CA_CERTS: join(folder, 'root.pem'), CURL_CA_BUNDLE: join(folder, 'root.pem'),
    GIT_CONFIG_COUNT: '3', ...Object.fromEntries([['github.com/circleci/', 'circleci/'], ['github.com/my-org/', 'fork/'], ['github.example.com/my-org/', 'empty/']].flatMap(([from = '', to = ''], n) => [[`GIT_CONFIG_KEY_${n}`, `url.${at(to)}.insteadOf`], [`GIT_CONFIG_VALUE_${n}`, `https://${from}`]])),
  }
  git('init', '--quiet', '--initial-branch=main', join(home, 'work'))
  git('-C', join(home, 'work'), 'commit', '--quiet', '--allow-empty', '-m', 'realitycheck')
  // git takes the name of a tag before that of a commit: so is here the one that is pushed.
  git('-C', join(home, 'work'), 'update-ref', `refs/tags/${COMMIT}`, 'HEAD')
  git('-C', join(home, 'work'), 'commit', '--quiet', '--allow-empty', '-m', 'newer')
  git('clone', '--quiet', '--bare', join(home, 'work'), at('circleci/realitycheck'))
  git('clone', '--quiet', '--bare', join(home, 'work'), at('fork/realitycheck.git'))
  git('init', '--quiet', '--bare', at('empty/realitycheck.git'))
  const it = { env }
  return {
    it, temporary, tip: (name: string, ref: string) => git('-C', at(name), 'rev-parse', ref),
    run: (args: string[] = [], more: Record<string, string> = {}): Promise<Ended> => start(it, [process.execPath, BUNDLE, '--domain', DOMAIN, '--org', 'my-org', '--provider', 'aws', ...args], { env: more }).ended,
  }
}
const flat = (text: string) => text.replaceAll(/\s+/g, ' ')
const READY = {
  followed: ['realitycheck'], pipelines: 1, variables: { CIRCLE_HOSTNAME: `https://${DOMAIN}`, CIRCLE_TOKEN: TOKEN, CIRCLE_CLOUD_PROVIDER: 'aws' },
  contexts: { 'org-global': ['CONTEXT_END_TO_END_TEST_VAR'], 'individual-local': ['MULTI_CONTEXT_END_TO_END_VAR'] },
}

describe('a fork that is there', () => {
  test('is set up, run and followed; then there is nothing to do; and no secret is shown', async () => {
    const { it, run } = here()
    const { result: first, shown } = await processesDuring(() => run(['--verbose']))
    expect(first.code, first.all).toBe(0)
    expect(circle.left()).toEqual(READY)
    expect(flat(first.stderr)).toContain('client to object storage 443 proven by save_and_restore_cache')
    expect(flat(first.stderr)).toContain('client to vm-service 3000 open: no job proves it')
    const second = await run()
    expect([second.code, second.stderr]).toEqual([0, expect.stringContaining('Nothing to do')])
    expect(circle.left().pipelines).toBe(1)
    // One that is older than was allowed counts no more.
    expect((await run(['--max-age', '0m'])).code).toBe(0)
    expect(circle.left().pipelines).toBe(2)
    const text = [first, second].map(({ all }) => all).join('') + shown.join('\n') + journals(it as never)
    expect(text).not.toContain(TOKEN)
  })

  test('its script does the same with curl, and its lines hold no secret', async () => {
    const { it, run } = here()
    const { stdout, code } = await run(['--shell'])
    expect([code, circle.left().pipelines]).toEqual([0, 0])
    expect(stdout).not.toContain(TOKEN)
    const { result, shown } = await processesDuring(() => start(it, ['bash', '-c', stdout], {}).ended)
    expect(result.code, result.all).toBe(0)
    expect(circle.left()).toEqual(READY)
    expect(shown.join('\n')).not.toContain(TOKEN)
    expect(await run()).toMatchObject({ code: 0, stderr: expect.stringContaining('Nothing to do') })
  })

  test('a script without a token changes nothing', async () => {
    const { it, run } = here()
    const { CIRCLECI_TOKEN: _none, ...env } = it.env
    const { code, stderr } = await start({ env }, ['bash', '-c', (await run(['--shell'])).stdout], {}).ended
    expect([code === 0, stderr]).toEqual([false, expect.stringContaining('export it first')])
    expect(circle.left()).toMatchObject({ followed: [], pipelines: 0 })
  })
})

test('what is empty at a GitHub Enterprise is filled by a push, by run and script alike', async () => {
  for (const way of ['run', 'script']) {
    circle.fresh()
    const { it, run, tip, temporary } = here()
    const line = ['--enterprise', 'github.example.com']
    const ended = way === 'run' ? await run(line) : await start(it, ['bash', '-c', (await run([...line, '--shell'])).stdout], {}).ended
    expect(ended.code, ended.all).toBe(0)
    expect(tip('empty/realitycheck.git', 'refs/heads/master')).toBe(tip('circleci/realitycheck', `refs/tags/${COMMIT}`))
    expect(tip('empty/realitycheck.git', 'refs/heads/master')).not.toBe(tip('circleci/realitycheck', 'main'))
    expect(circle.left()).toEqual(READY)
    expect(readdirSync(temporary)).toEqual([])
  }
})

test.each(['POST /api/v2/project/gh/my-org/realitycheck/pipeline', 'POST /api/v2/context', 'POST /api/v1.1/'])('the answer to %s is lost: it was carried out, and is not doubled', async (request) => {
  circle.lose(request)
  const { code, all } = await here().run()
  expect(code, all).toBe(0)
  expect(circle.left()).toEqual(READY)
})

describe('what goes wrong is told with its cause', () => {
  test('a job that ends red: its step, what that means, and the same line starts another run', async () => {
    circle.red['save_and_restore_cache'] = 'Saving Cache'
    const { run } = here()
    const { code, stderr } = await run()
    expect([code, flat(stderr)]).toEqual([1, expect.stringContaining('save_and_restore_cache (at “Saving Cache”) is red')])
    expect(flat(stderr)).toContain('does not reach the object storage')
    delete circle.red['save_and_restore_cache']
    expect((await run()).code).toBe(0)
    expect(circle.left().pipelines).toBe(2)
  })

  test('jobs that wait for VM service: waited for only where that is asked', async () => {
    const { code, stderr } = await here().run(['--groups', 'resource,feature,vm', '--timeout', '5s'])
    expect([code, flat(stderr)]).toEqual([1, expect.stringContaining('vm_jobs wait for VM service')])
  })

  test.each<[string, string[], Record<string, string>, string]>([
    ['a token that nobody knows', [], { CIRCLECI_TOKEN: 'f'.repeat(40) }, 'https://app.circleci.example.com/settings/user/tokens'],
    ['an authority that nobody named', [], { NODE_EXTRA_CA_CERTS: '' }, 'NODE_EXTRA_CA_CERTS=root.pem'],
    ['no way there', [], { HTTPS_PROXY: 'http://127.0.0.1:9' }, 'cannot be asked'],
  ])('%s: nothing is changed', async (_, args, env, said) => {
    const { code, stderr } = await here().run(args, env)
    expect([code, flat(stderr)]).toEqual([3, expect.stringContaining(said)])
    expect(stderr).not.toContain('defect')
    expect(circle.left()).toMatchObject({ followed: [], pipelines: 0 })
  })

  test('an installation that is busy is asked again', async () => {
    circle.instead(503, 3)
    expect(await here().run()).toMatchObject({ code: 0 })
  })
})
