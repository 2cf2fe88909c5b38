/** The object storage of the server in each cloud: whose bucket, which rights, what is proven, and what is left for the Config screen. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MARK } from '../../lib/cloud/iam.ts'
import { serverPolicy } from '../../lib/cloud/policies.ts'
import type { World } from '../../lib/rehearsal/index.ts'
import { stage } from './harness.ts'

const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')

const begin = (cloud: 'aws' | 'gcp' | 's3', words: string[]) => (scenario?: string, change?: (world: World) => void) => {
  const world = stage(scenario, change)
  const bytes = world.bytes()
  const path = (name: string) => join(world.state, 'circleci-runbooks', 'rehearsal.files', name)
  return {
    world, untouched: () => expect(world.bytes()).toBe(bytes),
    run: (...more: string[]) => world.run(`object-storage-${cloud}`, [...words, '--expiry', '30', ...more]),
    file: (name = 'credentials-circleci-server') => readFileSync(path(name), 'utf8'), path,
  }
}
const aws = begin('aws', ['--bucket', 'my-objects', '--region', 'us-east-1'])
const gcp = begin('gcp', ['--bucket', 'my-objects', '--project', 'my-project'])
const s3 = begin('s3', ['--bucket', 'my-objects', '--alias', 'my-provider', '--endpoint', 'https://minio.example.com:9000'])

describe.each([['aws', aws], ['gcp', gcp], ['s3', s3]] as const)('object-storage-%s', (cloud, start) => {
  test('the days are asked for, and have to be days', async () => {
    const { world, run, untouched } = start()
    for (const wrong of ['30d', '-1', 'never', '1.5']) {
      const { code, stderr } = await run('--expiry', wrong)
      expect(code, wrong).toBe(2)
      expect(flat(stderr)).toMatch(/--expiry \S+ is no number of days\..*Write 30, or 0: they are kept for ever\./)
    }
    const { code, stderr } = await world.run(`object-storage-${cloud}`, [])
    expect(code).toBe(2)
    expect(stderr).toContain('OBJECT_STORAGE_EXPIRY')
    untouched()
  })

  test('what the Config screen asks for is shown by its labels, and no secret', async () => {
    const { run } = start()
    const { code, stderr } = await run('--expiry', '0')
    expect(code, stderr).toBe(0)
    expect(flat(stderr)).toContain('Storage Bucket Name my-objects, which is not there → my-objects')
    expect(flat(stderr)).toContain('Storage Object Expiry 0 (kept for ever)')
  })

  test('an object is written, read and deleted by the new key, and one stays that says so', async () => {
    const { world, run, file } = start()
    expect((await run()).code).toBe(0)
    const { aws: { buckets }, gcp: google, store } = world.world()
    const texts = cloud === 'aws' ? buckets['my-objects']?.texts : cloud === 'gcp' ? google?.buckets['my-objects']?.texts : store?.texts
    expect(Object.keys(texts ?? {})).toEqual([cloud === 's3' ? 'my-objects/circleci-runbooks-proof' : 'circleci-runbooks-proof'])
    const said = Object.values(texts ?? {})[0] ?? ''
    if (cloud === 's3') expect(said).toMatch(/^[0-9a-f]{8}\n$/)
    else expect(file(cloud === 'gcp' ? 'circleci-server-keyfile' : undefined)).toContain(said.trim())
  })

  test('rights that somebody took away come back, and the proof is found again', async () => {
    const { world, run } = start()
    expect((await run()).code).toBe(0)
    const before = world.essence()
    world.change((now) => {
      for (const user of Object.values(now.aws.users)) user.policies = {}
      for (const bucket of Object.values(now.gcp?.buckets ?? {})) bucket.bindings = []
      for (const user of Object.values(now.store?.users ?? {})) user.policies = []
    })
    const again = await run()
    expect(again.code, again.stderr).toBe(0)
    expect(flat(again.stderr)).not.toContain('Nothing to do')
    expect((world.essence() as { files: unknown }).files).toEqual((before as { files: unknown }).files)
    expect((await run()).stderr).toContain('Nothing to do')
  })
})

describe('object-storage-aws', () => {
  test('private, encrypted, without versions; the guide\'s policy on this bucket', async () => {
    const { world, run } = aws()
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    const { buckets, users } = world.world().aws
    expect(buckets['my-objects']).toMatchObject({ region: 'us-east-1', tags: [MARK], publicAccessBlock: { RestrictPublicBuckets: true }, encryption: expect.anything() })
    expect(buckets['my-objects']?.versioning).toBeUndefined()
    expect(JSON.parse(users['circleci-server']?.policies['circleci-server'] ?? '')).toEqual(serverPolicy('my-objects', 'us-east-1'))
    expect(flat(stderr)).toContain('last seen: AWS does not accept key')
  })

  test.each([
    ['all-well', ['--bucket', 'backups'], 'bucket backups belongs to somebody else'],
    ['all-well', ['--bucket', 'b'.repeat(55)], 'the policy has 2053 characters, and AWS takes 2048 of a user: the bucket stands in it twice'],
    ['second-policy', [], 'user circleci-server has other inline policies (legacy): with this one 2'],
    ['all-well', ['--role', 'arn:aws:iam::111122223333:role/none'], 'there is no role arn:aws:iam::111122223333:role/none'],
  ])('%s %j: nothing is changed', async (scenario, flags, said) => {
    const { run, untouched } = aws(scenario)
    const { code, stderr } = await run(...flags, '--yes')
    expect(code, stderr).toBe(3)
    expect(flat(stderr)).toContain(said)
    untouched()
  })

  test('a bucket that is there is used: what is in it stays, and its tags; versions and backups in it are warned of', async () => {
    const { world, run } = aws('all-well', ({ aws: { buckets } }) => { Object.assign(buckets['circleci-server-data'] ?? {}, { versioning: 'Enabled' }) })
    const { code, stderr } = await run('--bucket', 'circleci-server-data')
    expect(code, stderr).toBe(0)
    expect(flat(stderr)).toContain('bucket circleci-server-data keeps versions: those of expired objects stay, and are paid for')
    const bucket = world.world().aws.buckets['circleci-server-data']
    expect([bucket?.objects, bucket?.tags, bucket?.versioning]).toEqual([['artifacts/1', 'circleci-runbooks-proof'], undefined, 'Enabled'])
    expect(flat((await run('--bucket', 'circleci-backups', '--dry-run')).stderr)).toContain('bucket circleci-backups holds backups of Velero (backups/)')
  })

  test('a key that somebody deleted is made again, and proves itself', async () => {
    const { world, run, file } = aws()
    expect((await run()).code).toBe(0)
    const old = file()
    world.change(({ aws: { users } }) => { Object.assign(users['circleci-server'] ?? {}, { keys: [{ id: 'AKIAUSED', created: '2022-11-01T00:00:00Z', used: '2022-11-02T00:00:00Z' }] }) })
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(world.world().aws.users['circleci-server']?.keys.map(({ id }) => id)).toEqual(['AKIAUSED', expect.stringMatching(/^AKIA/)])
    expect(old).toMatch(/^\[default\]\naws_access_key_id=AKIA/)
    expect(flat(stderr)).toMatch(/waiting until my-objects answers to the key/)
  })

  test('a file that is lost: the key that was used stays, and a second one is made', async () => {
    const { world, run, path } = aws()
    expect((await run()).code).toBe(0)
    rmSync(path('credentials-circleci-server'))
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(world.world().aws.users['circleci-server']?.keys).toHaveLength(2)
    rmSync(path('credentials-circleci-server'))
    const third = await run()
    expect(third.code).toBe(1)
    expect(flat(third.stderr)).toContain('User circleci-server has two access keys already, and the secret of neither is in credentials-circleci-server.')
  })

  test.each([
    ['[default]\naws_access_key_id=AKIAOPERATOR\naws_secret_access_key=x\n\n[other]\naws_access_key_id=AKIAOTHER\naws_secret_access_key=y\n', 'holds several keys: it would be overwritten'],
    ['[default]\naws_access_key_id=AKIAOPERATOR\naws_secret_access_key=x\n', 'holds key AKIAOPERATOR of user operator: it would be overwritten'],
    ['no credentials', 'is no credentials file: it would be overwritten'],
  ])('a file of somebody else is left alone: %j', async (text, said) => {
    const { run, path, untouched } = aws('all-well', ({ aws: { users } }) => { users['operator'] = { tags: [], policies: {}, created: '', keys: [{ id: 'AKIAOPERATOR', created: '2022-11-01T00:00:00Z' }] } })
    expect((await run('--dry-run')).code).toBe(0)
    writeFileSync(path('credentials-circleci-server'), text)
    const { code, stderr } = await run('--yes')
    expect(code, stderr).toBe(3)
    expect(flat(stderr)).toContain(said)
    untouched()
  })

  test('with a role: its policy, no user, and the proof is said to be for later', async () => {
    const role = 'arn:aws:iam::111122223333:role/circleci-server'
    const { world, run } = aws('all-well', ({ aws: { roles } }) => { roles['circleci-server'] = { trust: 'system:serviceaccount:circleci-server:object-storage' } })
    const { code, stderr } = await run('--role', role)
    expect(code, stderr).toBe(0)
    const { roles, users } = world.world().aws
    expect(JSON.parse(roles['circleci-server']?.policies?.['circleci-server'] ?? '')).toEqual(serverPolicy('my-objects', 'us-east-1', role))
    expect(users['circleci-server']).toBeUndefined()
    expect(flat(stderr)).toContain('not from here: only the server\'s pods can take the role')
    expect(flat(stderr)).toContain(`Role ARN ${role}`)
    expect((await run('--role', role)).stderr).toContain('Nothing to do')
    expect(flat((await run('--role', role, '--server-namespace', 'ci', '--dry-run')).stderr)).toContain('the role\'s trust does not name system:serviceaccount:ci:object-storage')
  })
})

describe('object-storage-gcp', () => {
  const EMAIL = 'circleci-server@my-project.iam.gserviceaccount.com'

  test('the right is given on the bucket alone, and no role with disks is made', async () => {
    const { world, run } = gcp()
    expect((await run()).code).toBe(0)
    const { buckets, roles, bindings } = world.world().gcp as NonNullable<World['gcp']>
    expect(buckets['my-objects']).toMatchObject({ closed: true, bindings: [{ role: 'roles/storage.objectAdmin', members: [`serviceAccount:${EMAIL}`] }] })
    expect(roles).toEqual({})
    expect(JSON.stringify(bindings)).not.toContain(EMAIL)
  })

  test.each([
    [['--bucket', 'backups'], 'bucket backups belongs to somebody else'],
    [['--project', 'my-projekt'], 'gcloud points to project my-project, not to my-projekt'],
  ])('%j: nothing is changed', async (flags, said) => {
    const { run, untouched } = gcp()
    const { code, stderr } = await run(...flags, '--yes')
    expect(code, stderr).toBe(3)
    expect(flat(stderr)).toContain(said)
    untouched()
  })

  test('bucket-shared: Velero\'s backups in it are warned of', async () => {
    const { run } = gcp('bucket-shared')
    const { code, stderr } = await run('--bucket', 'my-backups', '--dry-run')
    expect(code, stderr).toBe(0)
    expect(flat(stderr)).toContain('bucket my-backups holds backups of Velero (backups/)')
  })

  test('no-google-keys: what Google says, and with Workload Identity it goes on', async () => {
    const { world, run } = gcp('no-google-keys')
    const { code, stderr } = await run()
    expect(code).toBe(1)
    expect(flat(stderr)).toContain('Key creation is not allowed on this service account')
    expect(flat(stderr)).toContain('--workload-identity')
    const other = await run('--workload-identity')
    expect(other.code, other.stderr).toBe(0)
    expect(flat(other.stderr)).toContain('not from here: only the server\'s pods can be the account')
    expect(world.world().gcp?.accounts[EMAIL]?.bindings).toEqual([
      { role: 'roles/iam.workloadIdentityUser', members: ['serviceAccount:my-project.svc.id.goog[circleci-server/object-storage]'] },
      { role: 'roles/iam.serviceAccountTokenCreator', members: [`serviceAccount:${EMAIL}`] },
    ])
    expect((await run('--workload-identity')).stderr).toContain('Nothing to do')
  })
})

describe('object-storage-s3', () => {
  test('bucket-shared: a bucket that Velero uses is refused', async () => {
    const { run, untouched } = s3('bucket-shared')
    const { code, stderr } = await run('--bucket', 'my-backups', '--yes')
    expect(code, stderr).toBe(3)
    expect(flat(stderr)).toContain('bucket my-backups holds backups of Velero (backups/), which cannot share it')
    untouched()
  })

  test('a bucket with content is used; the user has a policy of its own name', async () => {
    const { world, run } = s3()
    const { code, stderr } = await run('--bucket', 'builds')
    expect(code, stderr).toBe(0)
    const { buckets, users } = world.world().store as NonNullable<World['store']>
    expect(buckets['builds']).toEqual(['artifacts/', 'circleci-runbooks-proof'])
    expect(users['circleci-server']?.policies).toEqual(['circleci-server-builds'])
  })

  test('a file that holds something else is left alone', async () => {
    const { run, path, untouched } = s3()
    expect((await run('--dry-run')).code).toBe(0)
    writeFileSync(path('credentials-circleci-server'), '[default]\naws_access_key_id=velero\naws_secret_access_key=of-somebody\n')
    const { code, stderr } = await run('--yes')
    expect(code, stderr).toBe(3)
    expect(flat(stderr)).toContain('holds no secret of circleci-server: it would be overwritten')
    untouched()
  })
})
