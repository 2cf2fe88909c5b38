/** The migration from server 2.19 on the rehearsal's services box: what it leaves, what it survives, and the way back. */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { BUCKETS } from '../../lib/migration/after.ts'
import type { World } from '../../lib/rehearsal/index.ts'
import { keysetOf } from '../../lib/rehearsal/keysets.ts'
import { newest } from '../../lib/rehearsal/kots.ts'
import { named } from '../../lib/rehearsal/scenarios.ts'
import { stage, type Stage } from './harness.ts'

const FROM = ['--host', 'ubuntu@old.example.com'], STORAGE = ['--storage', 'keep', '--bucket', 'circleci-2'], YES = ['--yes', '--confirm', 'rehearsal']
const MOVE = ['move', ...FROM, ...STORAGE]
const move = (world: Stage, ...more: string[]) => world.run('migrate-2.19', [...MOVE, ...more, ...YES])
const back = (world: Stage) => world.run('migrate-2.19', ['back', ...FROM, '--yes'])

const replicas = ({ objects }: World) => Object.fromEntries(Object.values(objects).flatMap(({ kind, metadata, spec }) =>
  (kind === 'Deployment' && metadata.labels?.['layer'] === 'application' ? [[metadata.name, spec.replicas]] : [])))
const BEFORE = { 'api-service': 1, 'contexts-service': 2, frontend: 1, 'output-processor': 2, 'workflows-conductor-event-consumer': 1 }
const NONE = Object.fromEntries(Object.keys(BEFORE).map((name) => [name, 0]))
const claim = ({ objects }: World) => objects['persistentvolumeclaims/circleci-server/data-vault-0']
const came = ({ volumes = {} }: World) => Object.values(volumes).map(({ sum }) => sum).sort()
const sentOf = ({ box }: World) => Object.fromEntries(Object.entries(box?.sent ?? {}).map(([store, { sum, of }]) => [store, `${of} ${sum}`]))

describe('a migration', () => {
  test('leaves 3.x with the data, the keys and the numbers that it had, and 2.19 stopped', async () => {
    const world = stage('migration')
    const { code, all } = await move(world)
    expect(code, all).toBe(0)
    const after = world.world()
    expect(after.box?.state).toBe('stopped')
    expect(after.box?.ours).toEqual([])
    expect(came(after)).toEqual(Object.values(after.box?.sent ?? {}).map(({ sum }) => sum).sort())
    expect(replicas(after)).toEqual(BEFORE)
    expect(claim(after)?.['spec']).toMatchObject({ storageClassName: 'gp2', resources: { requests: { storage: '8Gi' } } })
    expect(after.objects['pods/circleci-server/runbooks-vault']).toBeUndefined()
    const env = after.objects['deployments/circleci-server/frontend']?.['spec'].template.spec.containers[0].env
    expect(env?.map(({ value }: { value: string }) => value)).toEqual([keysetOf('signing', 'old'), keysetOf('encryption', 'old')])
    expect(newest(after.kots).values['storage_s3_bucket']?.value).toBe('circleci-2')
  })

  test('takes a claim of another size and class as it is', async () => {
    const world = stage('migration', ({ objects }) => {
      const held = objects['persistentvolumeclaims/circleci-server/data-vault-0']
      if (held) Object.assign(held['spec'], { storageClassName: 'io1', resources: { requests: { storage: '20Gi' } } })
    })
    expect((await move(world, '--until', 'vault-new')).code).toBe(0)
    expect(claim(world.world())?.['spec']).toMatchObject({ storageClassName: 'io1', resources: { requests: { storage: '20Gi' } } })
  })

  test('survives a connection that breaks twice: the store is sent again, and no other', async () => {
    const world = stage('box-connection-breaks')
    const { code, all } = await move(world)
    expect(code, all).toBe(0)
    expect(all).toMatch(/connection of ssh broke|lost the answer/)
    expect(came(world.world())).toHaveLength(3)
  })

  test('volume-full: it stops; once there is room it goes on at that store', async () => {
    const world = stage('volume-full', ({ box }) => { if (box) box.rules.full = false })
    expect((await move(world, '--until', 'mongodb')).code).toBe(0)
    const first = world.world().box?.sent['mongodb']
    world.change(({ box }) => { if (box) box.rules.full = true })
    const full = await move(world)
    expect(full.code).toBe(1)
    expect(full.stderr).toContain('No space left on device')
    expect(world.world().box?.state).toBe('stopped')
    world.change(({ box }) => { if (box) box.rules.full = false })
    expect((await move(world)).code).toBe(0)
    expect(world.world().box?.sent['mongodb']).toEqual(first)
  })

  test('3.x is not started with fewer rows than 2.19 had', async () => {
    const world = stage('rows-missing')
    const { code, stderr } = await move(world)
    expect(code).toBe(1)
    expect(stderr).toContain('circle_ghe.builds: 151204 in 2.19, 1 in 3.x')
    expect(replicas(world.world())).toEqual(NONE)
  })

  test('what was exported before 2.19 ran again is not taken for this one', async () => {
    const world = stage('migration')
    expect((await move(world, '--until', 'postgresql')).code).toBe(0)
    const before = sentOf(world.world())
    // Somebody started it, and stopped it again.
    world.change(({ box }) => { if (box) box.runs += 1 })
    expect((await move(world)).code).toBe(0)
    const after = sentOf(world.world())
    expect(after['mongodb']).not.toBe(before['mongodb'])
    expect(came(world.world())).toEqual(Object.values(world.world().box?.sent ?? {}).map(({ sum }) => sum).sort())
  })

  test('3.x is not started while 2.19 runs', async () => {
    const world = stage('migration')
    expect((await move(world, '--until', 'deployed')).code).toBe(0)
    world.change(({ box }) => { if (box) Object.assign(box, { state: 'started', runs: box.runs + 1 }) })
    const dry = world.bytes()
    expect((await world.run('migrate-2.19', [...MOVE, '--dry-run'])).stderr).toContain('replicatedctl app stop')
    expect(world.bytes()).toBe(dry)
  })

  test('a bucket is copied while 2.19 runs, and again once it is stopped; its objects are counted', async () => {
    const world = stage('migration'), line = ['move', ...FROM, '--storage', 'copy', '--bucket', 'circleci-2', ...YES]
    const first = await world.run('migrate-2.19', [...line, '--until', 'objects-first'])
    expect(first.code, first.all).toBe(0)
    expect(world.world().box).toMatchObject({ state: 'started', objects: { 'circleci-2': 4213, 'circleci-server-data': 4213 } })
    world.change(({ box }) => { if (box) box.objects['circleci-2'] = 4300 })
    const { code, all } = await world.run('migrate-2.19', line)
    expect(code, all).toBe(0)
    expect(all).toContain('has all but 87 of the 4300 objects of circleci-2')
    expect(world.world().box?.objects).toEqual({ 'circleci-2': 4300, 'circleci-server-data': 4300 })
    expect(newest(world.world().kots).values['storage_s3_bucket']?.value).toBe('circleci-server-data')
  })

  test('webhooks that lead to the old name are waited for, as GitHub tells; the token is shown nowhere', async () => {
    const world = stage('migration'), token = 'ghp_thetokenofthetestthatmayseehooks'
    const { code, all } = await world.run('migrate-2.19', [...MOVE, '--old-domain', 'old.example.com', ...YES], { env: { GITHUB_TOKEN: token } })
    expect(code, all).toBe(0)
    expect(all).toContain('https://github.com/acme/api')
    expect(all).toContain('those of 3 projects lead to 3.x')
    const report = await world.run('migrate-2.19', ['report', ...FROM, ...STORAGE, '--old-domain', 'old.example.com'], { env: { GITHUB_TOKEN: token } })
    expect(report.stdout).toContain('None is left')
    expect(all + report.all).not.toContain(token)
  })

  test('the job of the bot\'s token runs again, on the data that came', async () => {
    const world = stage('migration')
    const job = () => Object.values(world.world().objects).find(({ kind }) => kind === 'Job')?.metadata
    const before = job()
    expect((await move(world)).code).toBe(0)
    expect(job()?.uid).not.toBe(before?.uid)
  })

  test('3.x that people build on is not replaced by the same line, whatever ran on the box since or is kept beside; after the way back it is', async () => {
    const world = stage('migration')
    expect((await move(world)).code).toBe(0)
    const data = came(world.world())
    world.change(({ box }) => { if (box) box.runs += 1 })
    for (const more of [[], ['--export-dir', 'archive']]) {
      const again = await move(world, ...more)
      expect([again.code, again.stderr], again.all).toEqual([0, expect.stringContaining('Nothing to do')])
    }
    expect((await world.run('migrate-2.19', ['report', ...FROM, ...STORAGE])).stdout).toContain('All data has come')
    expect(came(world.world())).toEqual(data)
    expect((await back(world)).code).toBe(0)
    expect((await move(world)).code).toBe(0)
    expect(came(world.world())).not.toEqual(data)
  })

  test('an application of which none ran has none afterwards', async () => {
    const world = stage('migration', ({ objects }) => {
      const one = objects['deployments/circleci-server/api-service']
      if (one) Object.assign(one['spec'], { replicas: 0 })
    })
    expect((await move(world)).code).toBe(0)
    expect(replicas(world.world())).toEqual({ ...BEFORE, 'api-service': 0 })
  })

  test('a pod that was to fill Vault\'s volume, and has ended, gives way to another', async () => {
    const world = stage('migration')
    expect((await move(world, '--until', 'vault-pod')).code).toBe(0)
    world.change(({ objects }) => { Object.assign(objects['pods/circleci-server/runbooks-vault']?.['status'], { phase: 'Failed' }) })
    const { code, all } = await move(world)
    expect(code, all).toBe(0)
    expect(came(world.world())).toHaveLength(3)
  })

  test('Vault is not left out where 3.x has its own', async () => {
    const world = stage('migration'), before = world.bytes()
    const { code, stderr } = await move(world, '--skip-vault')
    expect([code, stderr]).toEqual([3, expect.stringContaining('Leave --skip-vault out')])
    expect(world.bytes()).toBe(before)
  })

  test('what counts objects fails where its tool does, and sees those that have changed', () => {
    const bin = mkdtempSync(join(tmpdir(), 'tools-'))
    onTestFinished(() => rmSync(bin, { recursive: true }))
    const count = (cloud: 'gcp' | 's3', tool: string) => {
      for (const name of ['gsutil', 'mc']) writeFileSync(join(bin, name), `#!/bin/bash\n${tool}\n`, { mode: 0o755 })
      return spawnSync('bash', ['-c', `set -o pipefail; ${BUCKETS[cloud].missing('one', 'two')}`], { env: { PATH: `${bin}:${process.env['PATH']}` }, encoding: 'utf8' })
    }
    for (const cloud of ['gcp', 's3'] as const) expect(count(cloud, 'echo no access >&2; exit 1')).toMatchObject({ status: 1, stderr: expect.stringContaining('no access') })
    expect(count('s3', 'printf "< one/a\\n> two/b\\n! two/c\\n"').stdout).toBe('2\n')
    expect(count('gcp', 'echo "Would copy gs://one/a to gs://two/a" >&2').stdout).toBe('1\n')
    expect(count('s3', 'true').stdout).toBe('0\n')
  })

  test('where all stores are outside, their numbers stay, and the keys are moved', async () => {
    const world = stage('migration')
    const line = [...MOVE, '--skip-mongo', '--skip-postgres', '--skip-vault', '--ignore-preflight', 'datastores', ...YES]
    const { code, all } = await world.run('migrate-2.19', line)
    expect(code, all).toBe(0)
    expect(world.world().box?.state).toBe('stopped')
    expect(newest(world.world().kots).values['signing_keyset']?.value?.trim()).toBe(keysetOf('signing', 'old'))
    expect((await world.run('migrate-2.19', line)).stderr).toContain('Nothing to do')
  })

  test('a store that is outside is left out', async () => {
    const world = stage('migration', (made) => named('external-database').apply(made))
    const refused = await move(world)
    expect(refused.code).toBe(3)
    expect(refused.stderr).toContain('--skip-mongo')
    world.change(({ box }) => { if (box) box.rules.small = true })
    const { code, all } = await move(world, '--skip-mongo', '--hand-over', '--old-domain', 'old.example.com')
    expect(code, all).toBe(0)
    expect(all).toContain('MongoDB is outside, and does not tell the projects')
    expect((await world.run('migrate-2.19', ['report', ...FROM, ...STORAGE, '--skip-mongo', '--old-domain', 'old.example.com'])).stdout).toContain('All data has come')
    expect(Object.keys(world.world().box?.sent ?? {}).sort()).toEqual(['postgresql', 'vault'])
  })

  test.each([['box-unreachable', 'does not answer by ssh'], ['box-no-sudo', 'sudo without a password'], ['box-2.18', 'only 2.19 can be moved']])('%s: nothing is touched', async (scenario, words) => {
    const world = stage(scenario)
    const before = world.bytes()
    const { code, stderr } = await move(world)
    expect(code).toBe(3)
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(words)
    expect(world.bytes()).toBe(before)
  })
})

describe('the way back', () => {
  test.each(['stop', 'hold', 'mongodb', 'postgresql', 'vault-down', 'vault-old', 'vault-new', 'vault-pod', 'vault', 'vault-up', 'vault-open', 'keys', 'configure', 'start'])('after step %s: 2.19 runs with its data, 3.x does not; and the same migration brings all of it anew', async (until) => {
    const world = stage('migration')
    expect((await move(world, '--until', until)).code).toBe(0)
    const gone = await back(world)
    expect(gone.code, gone.all).toBe(0)
    expect(world.world().box).toMatchObject({ state: 'started', ours: [], runs: 2 })
    expect(replicas(world.world())).toEqual(NONE)
    const before = sentOf(world.world())
    const again = await move(world)
    expect(again.code, again.all).toBe(0)
    expect(replicas(world.world())).toEqual(BEFORE)
    for (const [store, sent] of Object.entries(before)) expect(sentOf(world.world())[store]).not.toBe(sent)
  })
})

describe('a trial', () => {
  const TRIAL = ['move', ...FROM, '--storage', 'copy', '--bucket', 'circleci-2', '--trial', ...YES]
  test('has a name, a bucket and an app of its own', async () => {
    const world = stage('trial-same-app')
    const before = world.bytes()
    const same = await world.run('migrate-2.19', [...TRIAL, '--old-domain', 'old.example.com'])
    expect([same.code, same.stderr]).toEqual([3, expect.stringContaining('the OAuth app of 2.19')])
    const named = await world.run('migrate-2.19', TRIAL)
    expect([named.code, named.stderr]).toEqual([3, expect.stringContaining('--old-domain')])
    expect(world.bytes()).toBe(before)
  })

  test('ends when somebody says so: 2.19 runs again, 3.x does not; the same line does nothing more', async () => {
    const world = stage('migration'), line = [...TRIAL, '--old-domain', 'old.example.com']
    const first = await world.run('migrate-2.19', [...line, '--until', 'start'])
    expect(first.code, first.all).toBe(0)
    expect(replicas(world.world())).toEqual(BEFORE)
    world.change(({ objects }) => { Object.assign(objects['configmaps/circleci-server/circleci-runbooks-migration']?.['data'], { trial: 'over' }) })
    const ended = await world.run('migrate-2.19', line)
    expect(ended.code, ended.all).toBe(0)
    expect(world.world().box?.state).toBe('started')
    expect(replicas(world.world())).toEqual(NONE)
    expect((await world.run('migrate-2.19', line)).stderr).toContain('Nothing to do')
    expect(ended.all).not.toContain('must not be started any more')
  })

  test('that ends while KOTS deploys, or after an export that was cut off, leaves 2.19 alone, and nothing of ours on its data', async () => {
    const world = stage('migration'), line = [...TRIAL, '--old-domain', 'old.example.com']
    const first = await world.run('migrate-2.19', [...line, '--until', 'configure'])
    expect(first.code, first.all).toBe(0)
    world.change(({ objects, box }) => {
      Object.assign(objects['configmaps/circleci-server/circleci-runbooks-migration']?.['data'], { trial: 'over' })
      if (box) box.ours = ['runbooks-postgresql']
    })
    const ended = await world.run('migrate-2.19', line)
    expect(ended.code, ended.all).toBe(0)
    expect(world.world().box).toMatchObject({ state: 'started', ours: [] })
    expect(replicas(world.world())).toEqual(NONE)
  })
})

describe('an archive', () => {
  const filesOf = (world: Stage) => join(world.state, 'circleci-runbooks', 'rehearsal.files')
  test('is kept in the layout of the guide\'s script, only for its owner, and can be imported from into another 3.x', async () => {
    const world = stage('migration')
    const { code, all } = await move(world, '--export-dir', 'archive')
    expect(code, all).toBe(0)
    const at = (path: string) => join(filesOf(world), 'archive/circleci_export', path)
    expect(readFileSync(at('circleci-pg-export/circle.sql'), 'utf8')).toContain('postgresql of ')
    for (const path of ['circleci-pg-export/circle.sql', 'circleci-vault/vault-backup.tar.gz', 'circle-data/signing', 'circle-data/encryption', 'circleci-mongo-export/circle_ghe/organizations.bson']) expect(statSync(at(path)).mode & 0o077).toBe(0)
    const other = stage('migration', ({ box }) => { if (box) box.rules.unreachable = true })
    await other.run('migrate-2.19', ['report', ...FROM, ...STORAGE])
    cpSync(join(filesOf(world), 'archive'), join(filesOf(other), 'archive'), { recursive: true, preserveTimestamps: true })
    const line = ['move', '--from', 'archive', '--storage', 'copy', '--bucket', 'circleci-2', ...YES]
    expect((await other.run('migrate-2.19', ['move', '--from', 'archive', ...STORAGE, ...YES])).stderr).toContain('Add --host')
    const part = await other.run('migrate-2.19', [...line, '--until', 'postgresql'])
    expect(part.code, part.all).toBe(0)
    // Another archive in its place is another one, whatever notes lie beside it.
    const sql = join(filesOf(other), 'archive/circleci_export/circleci-pg-export/circle.sql'), whole = readFileSync(sql), before = came(other.world())
    writeFileSync(sql, 'postgresql of another\n-- PostgreSQL database dump complete\n')
    expect((await other.run('migrate-2.19', [...line, '--until', 'postgresql'])).code).toBe(0)
    expect(came(other.world())).not.toEqual(before)
    writeFileSync(sql, whole)
    const imported = await other.run('migrate-2.19', line)
    expect(imported.code, imported.all).toBe(0)
    expect(came(other.world())).toHaveLength(3)
    expect((await other.run('migrate-2.19', line)).stderr).toContain('Nothing to do')
  })

  test('that is not of what 2.19 has now, or has two keys of one kind, is refused', async () => {
    const world = stage('migration'), line = ['move', ...FROM, ...STORAGE, '--from', 'archive', ...YES]
    expect((await move(world, '--export-dir', 'archive', '--until', 'export-keys')).code).toBe(0)
    expect((await world.run('migrate-2.19', [...line, '--dry-run'])).code).toBe(0)
    const keys = join(filesOf(world), 'archive/circleci_export/circle-data')
    cpSync(join(keys, 'signing'), join(keys, 'a-retired'))
    const twice = await world.run('migrate-2.19', ['move', '--from', 'archive', '--storage', 'copy', '--bucket', 'circleci-2', ...YES])
    expect([twice.code, twice.stderr.replaceAll(/\s+/g, ' ')]).toEqual([3, expect.stringContaining('2 keys of one kind: a-retired, signing')])
    rmSync(join(keys, 'a-retired'))
    world.change(({ box }) => { if (box) box.runs += 1 })
    const stale = await world.run('migrate-2.19', line)
    expect([stale.code, stale.stderr.replaceAll(/\s+/g, ' ')]).toEqual([3, expect.stringContaining('2.19 has run since')])
    expect(came(world.world())).toEqual([])
  })

  test('that lacks a store is refused', async () => {
    const world = stage('migration')
    const { code, stderr } = await world.run('migrate-2.19', ['move', '--from', 'nowhere', '--storage', 'copy', '--bucket', 'circleci-2', ...YES])
    expect([code, stderr]).toEqual([3, expect.stringContaining('circle.sql')])
    expect(existsSync(join(filesOf(world), 'nowhere'))).toBe(false)
  })
})

test('the report tells what came, what the keys are by their fingerprints, and what to say; no secret is in it', async () => {
  const world = stage('migration')
  const done = await move(world, '--old-domain', 'old.example.com', '--hand-over')
  expect(done.code, done.all).toBe(0)
  const { code, stdout } = await world.run('migrate-2.19', ['report', ...FROM, ...STORAGE, '--old-domain', 'old.example.com'])
  expect(code).toBe(0)
  for (const words of ['All data has come, and is the same on both sides', '| MongoDB | moved |', 'https://github.com/acme/web', 'legacy jobs', 'it was https://old.example.com', 'NotFound']) expect(stdout).toContain(words)
  const [signing = ''] = stdout.split('\n').filter((row) => row.startsWith('| signing key'))
  expect(new Set(signing.split('|').slice(2, 5).map((cell) => cell.trim())).size).toBe(1)
  for (const secret of world.world().secrets) expect(stdout).not.toContain(secret)
})
