/** What is special about realitycheck: groups, what a red job means, a repository that is not there yet. */
import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { rehearse, type World } from '../../lib/rehearsal/index.ts'
import { REHEARSED } from '../../lib/server/realitycheck-project.ts'
import { stage, type Stage } from './harness.ts'

const LINE = ['--domain', 'circleci.example.com', '--org', 'my-org', '--provider', 'aws']
const flat = (text: string) => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')
const run = (args: string[] = [], world: Stage = stage()) => world.run('realitycheck', [...LINE, ...args])
const pipelines = (world: Stage) => world.world().circleci?.pipelines.filter(({ type }) => type === 'api').length
/** VM service is set up, as its runbook does it. */
const withVms = ({ kots }: World): void => { for (const version of kots.versions) version.values['vm_service_provider'] = { value: 'vm_service_ec2' } }

describe('groups', () => {
  test('without VM service its jobs are told, and not waited for; demanded, they are red, with the cause', async () => {
    const world = stage()
    const first = await run([], world)
    expect([first.code, flat(first.stderr)]).toEqual([0, expect.stringMatching(/vm_jobs .*not waited for/)])
    expect(flat(first.stderr)).toContain('client to vm-service 3000 open: no job proves it. On a client, with the address of vm-service: nc -vz ADDRESS 3000')
    expect(flat(first.stderr)).toContain('client to GitHub 443 open: no job proves it. On a client: nc -vz github.com 443')
    const second = await run(['--groups', 'resource,feature,vm'], world)
    expect([second.code, flat(second.stderr)]).toEqual([1, expect.stringContaining('VM service is not set up')])
    // What was started for the others was followed, and no second one started.
    expect(pipelines(world)).toBe(1)
  })

  test('with it they are green, and prove that it is reached', async () => {
    const { code, stderr } = await run(['--groups', 'vm,feature'], stage(undefined, withVms))
    expect([code, flat(stderr)]).toEqual([0, expect.stringContaining('client to vm-service 3000 proven by machine, remote_docker')])
  })
})

describe('what is wrong', () => {
  test('no Nomad clients: the jobs stay queued, and what that means is told, with a line for where the installation is', async () => {
    const { code, stderr } = await stage('no-clients').run('realitycheck', LINE, { env: { CIRCLECI_NAMESPACE: 'ci', CIRCLECI_CONTEXT: 'prod' } })
    expect([code, flat(stderr)]).toEqual([1, expect.stringContaining('no Nomad client is connected')])
    expect(flat(stderr)).toContain('all 11 jobs are queued')
    expect(flat(stderr)).toContain('kubectl --context prod -n ci exec $(kubectl --context prod -n ci get pod -l app=nomad-server -o name | head -n 1) -- nomad node status')
  })

  test('a domain that begins with app. is warned of', async () => {
    const { stderr } = await run(['--domain', 'app.circleci.example.com', '--dry-run'])
    expect(flat(stderr)).toContain('app.circleci.example.com begins with app., and the jobs of realitycheck want the name without it')
  })

  test('what is pushed to a GitHub Enterprise is of the time of server 3.4, onto the branch that is built', async () => {
    const said = async (...more: string[]) => flat((await run(['--enterprise', 'github.example.com', '--dry-run', ...more])).stderr)
    expect(await said()).toMatch(/https:\/\/github\.example\.com\/my-org\/realitycheck\.git 9058f9bac75a29a13f89cb8b52ae920030f74c9a master/)
    expect(await said('--branch', 'ci')).toMatch(/realitycheck\.git 9058f9bac75a29a13f89cb8b52ae920030f74c9a ci/)
  })

  test('contexts that nobody made, and the API does not show: their jobs tell', async () => {
    const world = stage('no-contexts')
    const { code, stderr } = await run([], world)
    expect(code).toBe(1)
    expect(flat(stderr)).toContain('contexts (at “env | grep”), multi-contexts (at “env | grep”) are red')
    expect(flat(stderr)).toContain('org-global with CONTEXT_END_TO_END_TEST_VAR')
    world.change(({ circleci }) => { for (const name of ['org-global', 'individual-local']) circleci?.contexts.push({ id: name, name, variables: [{ name: 'ANY', createdTime: 0 }] }) })
    expect((await run([], world)).code).toBe(0)
    expect(pipelines(world)).toBe(2)
  })

  test('nobody has forked it: told, asked for, and gone on once somebody has', async () => {
    const world = stage('no-fork')
    const asked = await run([], world)
    expect([asked.code, flat(asked.stderr)]).toEqual([5, expect.stringContaining('Will somebody do it?')])
    const { code, stderr } = await run(['--yes'], world)
    expect([code, flat(stderr)]).toEqual([0, expect.stringContaining('fork https://github.com/circleci/realitycheck')])
  })

  test.each([
    [['--token', 'abc'], 'There is no flag --token'],
    [['--windows'], '--windows belongs to the jobs in VMs'],
    [['--groups', 'docker'], 'docker is none of resource, feature, vm'],
    [['--enterprise', 'https://github.example.com'], 'Write the name alone'],
    [['--provider', 'azure'], 'Write aws, gcp or other'],
  ])('%j is refused', async (args, said) => {
    const { code, stderr } = await run(args)
    expect([code, flat(stderr)]).toEqual([2, expect.stringContaining(said)])
  })

  test('without a token it is told where one is made, and what was typed is not shown', () => {
    const { state } = stage()
    const real = (env: Record<string, string>) => spawnSync(process.execPath, [join(new URL('../..', import.meta.url).pathname, 'dist/realitycheck.mjs'), ...LINE], { cwd: state, encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: state, XDG_STATE_HOME: state, ...env } })
    expect(flat(real({}).stderr)).toContain('Make a personal API token, not one of a project: https://app.circleci.example.com/settings/user/tokens')
    expect(real({ CIRCLECI_TOKEN: 'no token!' })).toMatchObject({ status: 2, stderr: expect.not.stringContaining('no token!') })
  })
})

test('a store of your own, and Windows: the variables that realitycheck knows', async () => {
  const world = stage(undefined, withVms)
  const { code } = await world.run('realitycheck', ['--domain', 'circleci.example.com', '--org', 'my-org', '--groups', 'resource,feature,vm', '--windows'], { env: { CIRCLECI_CLOUD: 's3' } })
  expect(code).toBe(0)
  expect(world.world().circleci?.variables['gh/my-org/realitycheck']).toMatchObject({ CIRCLE_CLOUD_PROVIDER: 'other', CIRCLE_WINDOWS_EXECUTOR: 'true', CIRCLE_HOSTNAME: 'https://circleci.example.com' })
})

test('somebody else\'s green run is enough, and an old one is not', async () => {
  const world = stage()
  expect((await run([], world)).code).toBe(0)
  world.change(({ circleci }) => { for (const one of circleci?.pipelines ?? []) if (one.type === 'api') one.type = 'webhook' })
  expect(flat((await run([], world)).stderr)).toContain('Nothing to do')
  world.change((draft) => { draft.time += 2 * 3_600_000 })
  expect((await run([], world)).code).toBe(0)
  expect(pipelines(world)).toBe(1)
})

test('its script runs in a rehearsal too, with the same end', async () => {
  const world = stage()
  const { stdout } = await run(['--shell'], world)
  const { bin, env, clock, close } = await rehearse({ file: world.worldFile })
  const bash = (script: string) => new Promise((resolve) => spawn('bash', ['-c', script], { env: { ...process.env, ...env, PATH: `${bin}:${process.env['PATH']}`, CIRCLECI_TOKEN: REHEARSED }, stdio: 'ignore' }).on('close', resolve))
  // The time of a rehearsal does not go on while bash sleeps.
  const last = stdout.indexOf("say '7 jobs"), helpers = stdout.slice(0, stdout.indexOf("say '2 follow"))
  expect(await bash(stdout.slice(0, last))).toBe(0)
  await clock.sleep(60_000)
  expect(await bash(helpers + stdout.slice(last))).toBe(0)
  await close()
  const other = stage()
  expect((await run([], other)).code).toBe(0)
  expect(world.essence()).toEqual(other.essence())
})
