/** The parts of an installation together: how far it is, and make, which runs them. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { freshWorld } from '../../lib/rehearsal/fresh.ts'
import { essence, type World } from '../../lib/rehearsal/index.ts'
import { partsOf } from '../../lib/parts.ts'
import { filesBelow, stage, type Stage } from './harness.ts'

const root = new URL('../..', import.meta.url).pathname
const VALUES = 'CIRCLECI_NAMESPACE=circleci-server\nOBJECT_STORAGE_BUCKET=my-objects\nOBJECT_STORAGE_EXPIRY=30\nAWS_REGION=us-east-1\nCIRCLECI_DOMAIN=circleci.example.com\nTLS_DNS=route53\nTLS_MAIL=ops@example.com\nVM_USERS_CIDR=203.0.113.0/24\nVELERO_BUCKET=my-backups\nGITHUB_ORG=my-org\n'
const MAIL = { email_smtp_host: 'smtp.example.com', email_smtp_user: 'ops', email_smtp_password: 'not a real one', email_from: 'ci@example.com' }
const flat = (text: string) => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')

describe('status', () => {
  type Parts = { name: string; state: { is: string; open?: string[]; steps?: number; why?: string; waits?: string } }[]
  type ByHand = { name: string; guide: string; done?: string }[]
  /** A cluster, and nothing that a part has made. */
  const begun = (change: (world: World) => void = () => {}): Stage => {
    const world = stage('no-server', (one) => {
      Object.assign(one, { prepared: false, tls: { zone: 'route53' } })
      change(one)
    })
    writeFileSync(join(world.state, '.env'), VALUES)
    return world
  }
  const stateIn = async (world: Stage) => {
    const before = world.bytes()
    const { code, stdout, stderr } = await world.run('status', ['--cloud', 'aws', '--json'])
    expect(world.bytes()).toBe(before)
    const report = stdout.split('\n').filter(Boolean).map((one) => JSON.parse(one)).find(({ event }) => event === 'report') as { parts: Parts; byHand: ByHand } | undefined
    if (!report) throw new Error(stderr + stdout)
    return { code, of: (name: string) => report.parts.find((one) => one.name === name)?.state, parts: report.parts, byHand: (name: string) => report.byHand.find((one) => one.name === name) }
  }

  test('of each part what is done and what is to do, from the world', async () => {
    const world = begun()
    const first = await stateIn(world)
    expect([first.code, first.parts.map(({ name }) => name)]).toEqual([0, partsOf('aws').map(({ name }) => name)])
    expect(first.of('object-storage-aws')).toEqual({ is: 'todo', steps: 6, open: ['bucket', 'protect', 'user', 'policy', 'key', 'prove'] })
    await world.run('object-storage-aws', ['--until', 'user'])
    expect((await stateIn(world)).of('object-storage-aws')).toEqual({ is: 'todo', steps: 6, open: ['policy', 'key', 'prove'] })
    await world.run('object-storage-aws', [])
    expect((await stateIn(world)).of('object-storage-aws')).toEqual({ is: 'done', steps: 6 })
    // Somebody undoes it: no memory says otherwise.
    world.change(({ aws }) => { delete aws.users['circleci-server'] })
    expect((await stateIn(world)).of('object-storage-aws')).toMatchObject({ is: 'todo', open: ['user', 'policy', 'key', 'prove'] })
  })

  test('what builds on an earlier part waits for it; what needs none of it is told', async () => {
    const { code, of } = await stateIn(begun())
    expect([code, of('nomad-terraform'), of('vm-service-aws')?.is, of('velero-aws')]).toEqual([0, { is: 'todo', waits: 'output-processor is done' }, 'todo', expect.objectContaining({ is: 'todo', open: expect.arrayContaining(['bucket', 'works']) })])
  })

  test('the autoscaler is a part where it is wanted', async () => {
    const world = begun()
    writeFileSync(join(world.state, '.env'), `${VALUES}NOMAD_AUTOSCALER=1\n`)
    expect((await stateIn(world)).of('nomad-autoscaler')).toEqual({ is: 'todo', waits: 'nomad-terraform is done' })
    writeFileSync(join(world.state, '.env'), `${VALUES}NOMAD_AUTOSCALER=0\n`)
    expect((await stateIn(world)).of('nomad-autoscaler')).toBeUndefined()
  })

  test('email is done where the Config screen has all that the guide asks for', async () => {
    const world = stage()
    writeFileSync(join(world.state, '.env'), VALUES)
    expect((await stateIn(world)).byHand('email')?.done).toBeUndefined()
    world.change(({ kots }) => { for (const { values } of kots.versions) Object.assign(values, Object.fromEntries(Object.entries(MAIL).map(([name, value]) => [name, { value }]))) })
    expect((await stateIn(world)).byHand('email')?.done).toBe('the Config screen names smtp.example.com')
  })

  test('what cannot be asked is unknown, and the others are told', async () => {
    const { code, of } = await stateIn(begun(({ rules }) => { rules.noCredentials = true }))
    expect([code, of('create-eks')?.is, of('gen-keysets make')?.is]).toEqual([1, 'unknown', 'todo'])
    const world = begun()
    writeFileSync(join(world.state, '.env'), VALUES.replace('us-east-1', 'us-east'))
    expect((await stateIn(world)).of('object-storage-aws')).toMatchObject({ is: 'unknown', why: expect.stringContaining('AWS_REGION') })
  })

  test('a cluster of your own and a certificate of your own are no parts', async () => {
    const world = begun()
    writeFileSync(join(world.state, '.env'), `${VALUES}CIRCLECI_CONTEXT=prod-ci\nTLS_CERTIFICATE=mine.pem\nTLS_KEY=mine.key\n`)
    expect((await stateIn(world)).parts.map(({ name }) => name)).toEqual(['object-storage-aws', 'gen-keysets make', 'github-oauth-app', 'install-server', 'output-processor', 'nomad-terraform', 'vm-service-aws', 'realitycheck', 'velero-aws'])
  })

  test('on the screen, with the lines to type', async () => {
    const world = begun()
    writeFileSync(join(world.state, 'prod.env'), VALUES)
    const { stdout } = await world.run('status', ['--cloud', 'aws'], { env: { ENV_FILE: 'prod.env' } })
    expect(stdout.split('\n').filter((row) => row.startsWith('Phase'))).toEqual(['Phase 1  Prerequisites', 'Phase 2  Core services', 'Phase 3  Execution environment', 'Phase 4  Post installation'])
    expect(flat(stdout)).toContain('• email to do by hand: fill in Email on the Config screen, so that builds send mail; installation guide, phase 4, “Email Notifications”')
    expect(flat(stdout)).toContain('• gen-keysets make to do, 3 of 3 steps: signing, encryption, differ')
    expect(stdout).toMatch(/\nAll that are left, in this order:\n {2}make install-aws ENV=prod\.env REHEARSE=1\n$/)
  })

  test('without a cluster, without credentials: what does not need them is told', () => {
    const { state } = stage()
    writeFileSync(join(state, '.env'), VALUES)
    const { status, stdout } = spawnSync(process.execPath, [join(root, 'dist/status.mjs'), '--cloud', 'aws'], {
      cwd: state, encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: state, XDG_STATE_HOME: state, HTTPS_PROXY: 'http://127.0.0.1:9', AWS_EC2_METADATA_DISABLED: 'true' },
    })
    expect([status, flat(stdout)]).toEqual([1, expect.stringContaining('? object-storage-aws unknown: AWS does not accept the credentials')])
    expect(flat(stdout)).toContain('• github-oauth-app to do, once there is GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET')
    expect(flat(stdout)).toContain('The next one: npx tsx runbooks/create-eks.ts All that are left, in this order: make install-aws')
  })
})

const folders: string[] = []
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })))

interface Made { code: number | null; stdout: string; all: string }
/** make, with a state folder; `variables` are those that are typed. */
const make = (state: string, target: string, ...variables: string[]): Promise<Made> => new Promise((resolve) => {
  // What a shell has as ENV is no env file. The packages are there: nobody installs them in the middle of a test.
  const child = spawn('make', ['--no-print-directory', '-o', 'node_modules', target, ...variables], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], HOME: state, XDG_STATE_HOME: state, ENV: '/no/such/file' } })
  let stdout = '', all = ''
  child.stdout.on('data', (part: Buffer) => { stdout += part.toString(); all += part.toString() })
  child.stderr.on('data', (part: Buffer) => { all += part.toString() })
  child.on('close', (code) => resolve({ code, stdout, all }))
})
/** A state folder with a world in which time takes none. */
const fresh = (cloud: string): string => {
  const state = mkdtempSync(join(tmpdir(), 'install-'))
  folders.push(state)
  mkdirSync(dirname(worldFile(state, cloud)), { recursive: true, mode: 0o700 })
  writeFileSync(worldFile(state, cloud), JSON.stringify(freshWorld('nothing', 0)), { mode: 0o600 })
  return state
}
const worldFile = (state: string, cloud: string): string => join(state, `circleci-runbooks/rehearsal.install-${cloud}/circleci-runbooks/rehearsal.json`)
const worldOf = (state: string, cloud: string): string => readFileSync(worldFile(state, cloud), 'utf8')

describe('make', () => {
  /** What a run that nothing disturbs leaves. */
  const ends: Record<string, unknown> = {}
  test.each(['aws', 'gcp'] as const)('install-%s REHEARSE=1: from nothing to the end, and a second time nothing', { timeout: 900_000 }, async (cloud) => {
    const state = fresh(cloud)
    // A rehearsal wants the autoscaler too.
    const count = partsOf(cloud, (name) => (name === 'NOMAD_AUTOSCALER' ? '1' : undefined)).length
    const plan = await make(state, `install-${cloud}`, 'REHEARSE=1', 'DRY_RUN=1')
    expect(plan.code, plan.all).toBe(0)
    expect(plan.all).toContain(`Nothing was changed. To run it:\n  make install-${cloud} REHEARSE=1\n`)
    const before = worldOf(state, cloud)
    const first = await make(state, `install-${cloud}`, 'REHEARSE=1')
    expect(first.code, first.all).toBe(0)
    expect(first.all).toContain(`All ${count} parts that have a runbook are done.`)
    const after = worldOf(state, cloud)
    ends[cloud] = essence(JSON.parse(after) as World)
    expect(after).not.toBe(before)
    const second = await make(state, `install-${cloud}`, 'REHEARSE=1')
    expect([second.code, second.all]).toEqual([0, expect.stringMatching(new RegExp(`^✓ All ${count} parts that have a runbook are done\\. Nothing to do\\.\nThere is no runbook yet for the rest:\n  • orbs [^]*\n  • email `))])
    expect(worldOf(state, cloud)).toBe(after)
    const status = await make(state, 'status', 'REHEARSE=1', `CLOUD=${cloud}`)
    expect([status.code, status.stdout]).toEqual([0, expect.stringContaining(`All ${count} parts that have a runbook are done.`)])
    // Another rehearsal does not see it, and a fresh start takes it away.
    expect(filesBelow(join(state, 'circleci-runbooks')).filter((path) => !path.startsWith(`rehearsal.install-${cloud}/`))).toEqual([])
    await make(state, 'rehearse-reset')
    expect(filesBelow(join(state, 'circleci-runbooks'))).toEqual([])
  })

  test('killed in one part after the other, the same line goes on to the same end', { timeout: 900_000 }, async () => {
    const state = fresh('aws')
    const stopped: string[] = []
    for (;;) {
      const world = JSON.parse(worldOf(state, 'aws')) as World
      writeFileSync(worldFile(state, 'aws'), JSON.stringify({ ...world, crash: { at: 9, when: 'inside' } }), { mode: 0o600 })
      const { code, all } = await make(state, 'install-aws', 'REHEARSE=1')
      if (code === 0) break
      stopped.push(/stopped at ([\w -]+) \(/.exec(all)?.[1] ?? all)
      if (stopped.length > 12) break
    }
    expect(stopped).toEqual(['object-storage-aws', 'install-server', 'nomad-terraform', 'vm-service-aws', 'realitycheck', 'velero-aws'])
    expect(essence(JSON.parse(worldOf(state, 'aws')) as World)).toEqual(ends['aws'])
  })

  test('it stops at what fails, with the line that goes on; of an env file the rehearsal keeps its own domain', async () => {
    const state = fresh('aws')
    const file = join(state, 'prod.env')
    const other = `${VALUES.replace('circleci.example.com', 'ci.example.org').replace('route53', 'google')}TLS_CREDENTIALS=dns.json\n`
    writeFileSync(file, other.replace('=30', '=a month'))
    const failed = await make(state, 'install-aws', 'REHEARSE=1', `ENV=${file}`)
    expect(failed.code).not.toBe(0)
    expect(flat(failed.all)).toContain('OBJECT_STORAGE_EXPIRY (environment) a month is no number of days. Write 30')
    expect(flat(failed.all)).toContain(`make install-aws ENV=${file} REHEARSE=1 stopped at preflight (before any change).`)
    writeFileSync(file, other)
    expect(await make(state, 'install-aws', 'REHEARSE=1', `ENV=${file}`, 'DRY_RUN=1')).toMatchObject({ code: 0 })
  })

  test('DRY_RUN=y is no real run', async () => {
    const { code, all } = await make(fresh('aws'), 'install-aws', 'REHEARSE=1', 'DRY_RUN=y')
    expect([code, all]).toEqual([2, expect.stringContaining('DRY_RUN=y is neither yes nor no. Nothing was changed.')])
  })

  test('an env file that is not there', async () => {
    const { code, all } = await make(fresh('aws'), 'status', 'ENV=/no/such.env')
    expect([code, all]).toEqual([2, expect.stringContaining('The env file /no/such.env does not exist.')])
  })
})
