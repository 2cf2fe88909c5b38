/** A runner: what its configuration holds, what is asked and what is left alone, and what the server refuses. */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { rowsOf } from '../../lib/server/circleci-cli.ts'
import { stage, type Stage } from './harness.ts'

const ARGS = ['--domain', 'circleci.example.com', '--org', 'my-org', '--runner-namespace', 'my-org', '--class', 'linux', '--hand-over']
const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')
const fileOf = ({ state }: Stage): string => join(state, 'circleci-runbooks/rehearsal.files/launch-agent-config.yaml')

test('the configuration is that of an agent of this server; another name of it takes no other token', async () => {
  const world = stage()
  expect((await world.run('runner', [...ARGS, '--yes'])).code).toBe(0)
  const text = readFileSync(fileOf(world), 'utf8')
  expect(text).toMatch(/^# Runner of my-org\/linux on https:\/\/circleci\.example\.com, token circleci-runbooks\.\napi:\n {2}auth_token: \S+\n {2}url: https:\/\/circleci\.example\.com\nrunner:\n {2}name: runner\n {2}working_directory: \/var\/opt\/circleci\/workdir\n {2}cleanup_working_directory: true\n$/)
  expect(statSync(fileOf(world)).mode & 0o777).toBe(0o600)
  const [token] = world.world().runners?.tokens ?? []
  const renamed = await world.run('runner', [...ARGS, '--name', 'build-1'])
  expect(renamed.code, renamed.all).toBe(0)
  expect(readFileSync(fileOf(world), 'utf8')).toBe(text.replace('name: runner', 'name: build-1'))
  expect(world.world().runners?.tokens).toEqual([token])
})

test('a namespace is for good: it is asked, and one that is there is taken as it is', async () => {
  const first = await stage().run('runner', ARGS)
  expect([first.code, flat(first.stderr)]).toEqual([5, expect.stringContaining('it has one only, orbs have the same, and no one can rename it')])
  const world = stage('all-well', (one) => { one.runners = { namespaces: { 'my-org': 'my-org' }, classes: {}, tokens: [] } })
  expect((await world.run('runner', ARGS)).code).toBe(0)
  const other = await stage('other-namespace').run('runner', [...ARGS, '--yes'])
  expect([other.code, flat(other.stderr)]).toEqual([1, expect.stringMatching(/Organizations may only create one namespace.*--runner-namespace/)])
})

test('runner-token-lost: what comes of another one is asked; a token of another name is left alone', async () => {
  const world = stage('runner-token-lost')
  const asked = await world.run('runner', ARGS)
  expect([asked.code, flat(asked.stderr)]).toEqual([5, expect.stringContaining('agents that have the token circleci-runbooks of my-org/linux get no more jobs')])
  const apart = await world.run('runner', [...ARGS, '--token-name', 'build-1'])
  expect(apart.code, apart.all).toBe(0)
  expect(world.world().runners?.tokens.map(({ nickname }) => nickname)).toEqual(['circleci-runbooks', 'build-1'])
})

test('a token that somebody revoked is made again, into the same file', async () => {
  const world = stage()
  await world.run('runner', [...ARGS, '--yes'])
  world.change(({ runners }) => { if (runners) runners.tokens = [] })
  const again = await world.run('runner', ARGS)
  expect(again.code, again.all).toBe(0)
  expect(world.world().runners?.tokens).toHaveLength(1)
})

test('a file of somebody else is not overwritten; server 3.0 has no runners; a newer CLI is refused', async () => {
  const world = stage()
  mkdirSync(join(world.state, 'circleci-runbooks/rehearsal.files'), { recursive: true, mode: 0o700 })
  writeFileSync(fileOf(world), 'api:\n  auth_token: mine\n', { mode: 0o600 })
  const before = world.bytes()
  const foreign = await world.run('runner', [...ARGS, '--yes'])
  expect([foreign.code, flat(foreign.stderr)]).toEqual([3, expect.stringContaining('it is never overwritten')])
  expect(world.bytes()).toBe(before)
  expect(await stage().run('runner', [...ARGS, '--yes', '--server-version', '3.0.2'])).toMatchObject({ code: 3, stderr: expect.stringContaining('runners work from 3.1 on') as unknown })
  const newer = await stage('all-well', ({ rules }) => { rules.software = { 'circleci version': '1.0.48692+abc (release)\n' } }).run('runner', [...ARGS, '--yes'])
  expect([newer.code, flat(newer.stderr)]).toEqual([3, expect.stringContaining('0.1.20105 to 0.1.30549')])
  const none = await stage('all-well', ({ rules }) => { rules.software = { 'circleci version': '' } }).run('runner', [...ARGS, '--yes'])
  expect([none.code, flat(none.stderr)]).toEqual([3, expect.stringContaining('the command circleci is not installed Install it: curl')])
})

test('a table of the CLI: a text in several lines is one row', () => {
  expect(rowsOf('+---+\n| RESOURCE CLASS | DESCRIPTION |\n+---+\n| my-org/linux | made by the     |\n|              | operator        |\n| my-org/mac   | another         |\n+---+\n').map(([name]) => name)).toEqual(['my-org/linux', 'my-org/mac'])
  expect(rowsOf('+---+\n| ID | NICKNAME |\n+---+\n+---+\n')).toEqual([])
})
