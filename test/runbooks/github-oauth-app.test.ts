/** What is special about the OAuth app: the page, filled in; a pair that is wrong; a secret that is typed. */
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { REHEARSED } from '../../lib/server/oauth-app.ts'
import { stage } from './harness.ts'

const root = new URL('../..', import.meta.url).pathname
const DOMAIN = ['--domain', 'circleci.example.com']
const flat = (text: string) => text.replaceAll(/\s+/g, ' ')
const run = async (args: string[], world = stage()) => world.run('github-oauth-app', [...DOMAIN, ...args])

/** The runbook outside of a rehearsal, where nobody can be asked. */
const real = (args: string[], env: Record<string, string> = {}) => {
  const { state } = stage()
  return spawnSync(process.execPath, [join(root, 'dist/github-oauth-app.mjs'), ...args], { cwd: state, encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: state, XDG_STATE_HOME: state, ...env } })
}

describe('the page', () => {
  test.each([
    [[], 'https://github.com/settings/applications/new'],
    [['--org', 'my-org'], 'https://github.com/organizations/my-org/settings/applications/new'],
    [['--enterprise', 'github.example.com'], 'https://github.example.com/settings/applications/new'],
  ])('%j: each field is filled in', (args, address) => {
    const { status, stderr } = real([...DOMAIN, '--name', 'CircleCI & more', ...args])
    expect(status).toBe(2)
    const page = new URL(/https:\S+applications\/new\S+/.exec(stderr)?.[0] ?? '')
    expect(page.origin + page.pathname).toBe(address)
    expect(Object.fromEntries(page.searchParams)).toEqual({
      'oauth_application[name]': 'CircleCI & more', 'oauth_application[url]': 'https://circleci.example.com', 'oauth_application[callback_url]': 'https://circleci.example.com/auth/github',
    })
    expect(stderr.includes('GITHUB_ENTERPRISE_TOKEN')).toBe(args[0] === '--enterprise')
  })

  test('of the on-call docs names no example\'s ID in the line to run', async () => {
    const { stdout } = await run(['--markdown'])
    expect(stdout).toContain('npx tsx runbooks/github-oauth-app.ts --domain circleci.example.com\n')
    expect(stdout).toContain('oauth_application%5Bcallback_url%5D=https%3A%2F%2Fcircleci.example.com%2Fauth%2Fgithub')
  })
})

describe('what is wrong', () => {
  test('an ID that GitHub does not know', async () => {
    const { code, stderr } = await run(['--client-id', 'Ov23liNobodyHasThis0', '--yes'])
    expect([code, flat(stderr)]).toEqual([3, expect.stringContaining('github.com has no app with the client ID Ov23liNobodyHasThis0')])
  })

  test('a file that holds another app is never overwritten', async () => {
    const world = stage()
    await run(['--yes'], world)
    const file = join(world.state, 'circleci-runbooks/rehearsal.files/github-oauth-app')
    const other = 'GITHUB_CLIENT_ID=another\nGITHUB_CLIENT_SECRET=x\n'
    writeFileSync(file, other)
    const { code, stderr } = await run(['--yes'], world)
    expect([code, flat(stderr)]).toEqual([3, expect.stringContaining('holds the app another: it is never overwritten')])
    expect(readFileSync(file, 'utf8')).toBe(other)
  })

  test('a GitHub Enterprise in another domain: images', async () => {
    expect(flat((await run(['--enterprise', 'github.example.org', '--dry-run'])).stderr)).toContain('images will fail to load')
    expect((await run(['--enterprise', 'github.example.com', '--dry-run'])).stderr).not.toContain('images')
  })

  test.each([
    [['--client-secret', 'abc'], 'There is no flag --client-secret'],
    [['--token=abc'], 'There is no flag --token'],
    [['--enterprise', 'https://github.example.com'], 'Write the name alone'],
    [['--enterprise', 'github.com'], 'for a GitHub Enterprise of your own'],
  ])('%j is refused', async (args, said) => {
    const { code, stderr } = await run(args)
    expect([code, flat(stderr)]).toEqual([2, expect.stringContaining(said)])
  })

  test('a secret that cannot be one is not repeated', () => {
    const { status, stderr } = real(DOMAIN, { GITHUB_CLIENT_ID: REHEARSED.id, GITHUB_CLIENT_SECRET: 'not a secret' })
    expect([status, flat(stderr)]).toEqual([2, expect.stringContaining('GITHUB_CLIENT_SECRET (environment) is no client secret')])
    expect(stderr).not.toContain('not a secret')
  })
})

test('a rehearsal reads no secret of the operator, and asks for none', async () => {
  const secret = 'c'.repeat(40)
  const world = stage()
  const { code } = await world.run('github-oauth-app', [...DOMAIN, '--yes'], { env: { GITHUB_CLIENT_SECRET: secret } })
  expect(code).toBe(0)
  expect(readFileSync(join(world.state, 'circleci-runbooks/rehearsal.files/github-oauth-app'), 'utf8')).not.toContain(secret)
})

const hasScript = spawnSync('script', ['-qec', 'echo here', '/dev/null'], { encoding: 'utf8' }).stdout?.includes('here')

test.runIf(hasScript)('at a terminal the page is told once, and the secret is typed without being shown', async () => {
  const { state } = stage()
  const secret = 'd4'.repeat(20)
  const command = `stty cols 80 rows 60; exec '${process.execPath}' '${join(root, 'dist/github-oauth-app.mjs')}' --domain circleci.example.com --enterprise 127.0.0.1:9`
  const child = spawn('script', ['-qec', command, '/dev/null'], { cwd: state, env: { PATH: process.env['PATH'], HOME: state, XDG_STATE_HOME: state, TERM: 'xterm', SHELL: '/bin/sh' } })
  const over = setTimeout(() => child.kill('SIGKILL'), 60_000)
  let said = ''
  const answers: [RegExp, string][] = [[/client ID, as/, REHEARSED.id], [/client secret, as/, secret], [/access token there/, secret]]
  child.stdout.on('data', (part: Buffer) => {
    said += part.toString()
    if (!answers[0]?.[0].test(said)) return
    const answer = answers.shift()?.[1]
    setTimeout(() => child.stdin.write(`${answer}\r`), 150)
  })
  await new Promise((resolve) => child.on('close', resolve))
  clearTimeout(over)
  expect(said).toContain('127.0.0.1:9 cannot be asked')
  expect(said.match(/Homepage URL/g)).toHaveLength(1)
  expect(said).not.toContain(secret)
})
