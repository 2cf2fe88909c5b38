/** Stores that are not as they should be: what velero-s3 and velero-gcp say of them, and what they leave. */
import { describe, expect, test } from 'vitest'
import type { World } from '../../lib/rehearsal/index.ts'
import { stage } from './harness.ts'

const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')
const ENDPOINT = 'https://minio.example.com:9000'

const begin = (scenario = 'no-velero', change?: (world: World) => void) => {
  const world = stage(scenario, change)
  const bytes = world.bytes()
  return {
    world, store: () => world.world().store as NonNullable<World['store']>,
    run: (...more: string[]) => world.run('velero-s3', ['--bucket', 'my-backups', '--alias', 'my-provider', '--endpoint', ENDPOINT, ...more]),
    untouched: () => expect(world.bytes()).toBe(bytes),
  }
}
const withUser = (policies: string[]) => (world: World): void => {
  if (world.store) Object.assign(world.store, { users: { velero: { secret: 'made elsewhere', policies } }, policies: { readwrite: {} } })
}

describe.concurrent('velero-s3', () => {
  test('bucket-shared: nothing is changed', async () => {
    const { run, untouched } = begin('bucket-shared')
    const { code, stderr } = await run('--yes')
    expect(code, stderr).toBe(3)
    expect(flat(stderr)).toContain('bucket my-backups holds other content (artifacts/): Velero cannot share one')
    expect(flat(stderr)).toContain('mc ls my-provider')
    untouched()
  })

  test('store-region: Velero is told why, and with the right region it goes on', async () => {
    const { run } = begin('store-region')
    const first = await run('--yes')
    expect(first.code, first.stderr).toBe(1)
    expect(flat(first.stderr)).toContain("the region is wrong; expecting 'eu-central-1'")
    expect(flat(first.stderr)).toContain('Name it with --region')
    const again = await run('--yes')
    expect(again.code).toBe(3)
    expect(flat(again.stderr)).toContain('bucket my-backups is in region eu-central-1, not in minio')
    const right = await run('--region', 'eu-central-1', '--yes')
    expect(right.code, right.stderr).toBe(0)
  })

  test('policy-missing: the policy is put right, and nothing else is touched', async () => {
    const { run, store } = begin('policy-missing')
    const before = store().users['velero']?.secret
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(flat(stderr)).toContain('2 changes')
    expect(store().users['velero']).toEqual({ secret: before, policies: ['velero-my-backups'] })
  })

  test('mc of before 2023: its verbs', async () => {
    const { run, store } = begin('no-velero', (world) => { if (world.store) world.store.oldVerbs = true })
    const plan = flat((await run('--dry-run', '--verbose')).stderr)
    expect(plan).toContain('mc admin policy add my-provider velero-my-backups /dev/stdin')
    expect(plan).toContain('mc admin policy set my-provider velero-my-backups user=velero')
    expect((await run('--yes')).code).toBe(0)
    expect(store().users['velero']?.policies).toEqual(['velero-my-backups'])
  })

  test('a user whose secret is nowhere gets a new one, once that was confirmed', async () => {
    const { run, store, untouched } = begin('no-velero', withUser([]))
    const asked = await run()
    expect(asked.code).toBe(5)
    expect(flat(asked.stderr)).toContain('user velero of my-provider gets a new secret')
    untouched()
    expect((await run('--yes')).code).toBe(0)
    expect(Object.keys(store().users)).toEqual(['velero'])
  })

  test.each([[false], [true]])('other policies of the user are taken away (old verbs: %s)', async (oldVerbs) => {
    const { run, store } = begin('no-velero', (world) => { withUser(['readwrite'])(world); if (world.store) world.store.oldVerbs = oldVerbs })
    const { code, stderr } = await run('--yes')
    expect(code, stderr).toBe(0)
    expect(flat(stderr)).toContain('user velero of my-provider loses the policy readwrite')
    expect(store().users['velero']?.policies).toEqual(['velero-my-backups'])
  })

  test('an alias that there is not', async () => {
    const { world, untouched } = begin()
    const { code, stderr } = await world.run('velero-s3', ['--bucket', 'my-backups', '--alias', 'other', '--endpoint', ENDPOINT, '--yes'])
    expect(code).toBe(3)
    expect(flat(stderr)).toContain('No such alias `other` found')
    untouched()
  })

  test.each([[`${ENDPOINT}/path`], ['minio:9000'], [`${ENDPOINT},region=x`]])('--endpoint %s is refused', async (endpoint) => {
    const { world } = begin()
    const { code, stderr } = await world.run('velero-s3', ['--bucket', 'my-backups', '--alias', 'my-provider', '--endpoint', endpoint])
    expect(code).toBe(2)
    expect(flat(stderr)).toContain('https://minio.example.com:9000')
  })
})

describe.concurrent('velero-gcp', () => {
  const start = (scenario = 'no-velero', change?: (world: World) => void) => {
    const world = stage(scenario, change)
    const bytes = world.bytes()
    return {
      world, gcp: () => world.world().gcp as NonNullable<World['gcp']>, untouched: () => expect(world.bytes()).toBe(bytes),
      run: (...more: string[]) => world.run('velero-gcp', ['--bucket', 'my-backups', '--project', 'my-project', ...more]),
    }
  }
  const EMAIL = 'velero@my-project.iam.gserviceaccount.com'

  test.each([
    ['bucket-shared', [], 'bucket my-backups holds other content (artifacts/): Velero cannot share one'],
    ['no-velero', ['--bucket', 'backups'], 'bucket backups belongs to somebody else'],
    ['no-velero', ['--project', 'my-projekt'], 'gcloud points to project my-project, not to my-projekt'],
    ['no-velero', ['--workload-identity'], 'Workload Identity is not on for 3 nodes'],
  ])('%s %j: nothing is changed', async (scenario, flags, said) => {
    const { run, untouched } = start(scenario)
    const { code, stderr } = await run(...flags, '--yes')
    expect(code, stderr).toBe(3)
    expect(flat(stderr)).toContain(said)
    untouched()
  })

  test('the rights that the guide asks for, and no others', async () => {
    const { run, gcp } = start('gke')
    expect((await run('--workload-identity', '--yes')).code).toBe(0)
    const { roles, accounts, buckets, bindings } = gcp()
    expect(roles['velero.server']?.permissions.toSorted()).toEqual(['compute.disks.create', 'compute.disks.createSnapshot', 'compute.disks.get', 'compute.snapshots.create',
      'compute.snapshots.delete', 'compute.snapshots.get', 'compute.snapshots.useReadOnly', 'compute.zones.get', 'iam.serviceAccounts.signBlob'])
    expect(accounts[EMAIL]).toMatchObject({ keys: [], bindings: [{ role: 'roles/iam.workloadIdentityUser', members: ['serviceAccount:my-project.svc.id.goog[velero/velero]'] }] })
    expect(buckets['my-backups']?.bindings).toEqual([{ role: 'roles/storage.objectAdmin', members: [`serviceAccount:${EMAIL}`] }])
    expect(bindings.filter(({ members }) => members.includes(`serviceAccount:${EMAIL}`)).map(({ role }) => role)).toEqual(['projects/my-project/roles/velero.server'])
  })

  test('a role that allows more loses it, once that was confirmed; one that was deleted comes back', async () => {
    const { run, gcp } = start('no-velero', (world) => { if (world.gcp) world.gcp.roles['velero.server'] = { permissions: ['compute.disks.delete'], deleted: true } })
    const asked = await run()
    expect(asked.code).toBe(5)
    expect(flat(asked.stderr)).toContain('the role velero.server of my-project loses compute.disks.delete')
    expect((await run('--yes')).code).toBe(0)
    expect(gcp().roles['velero.server']).toEqual({ permissions: expect.not.arrayContaining(['compute.disks.delete']) })
  })

  test('keys of an account that was not made here, and keys that were used, stay', async () => {
    for (const [description, used] of [['of somebody', undefined], ['managed-by circleci-server-runbooks', '2022-11-01T00:00:00Z']] as const) {
      const { run, gcp } = start('no-velero', (world) => {
        if (world.gcp) world.gcp.accounts[EMAIL] = { description, bindings: [], keys: [{ id: 'feed', created: '2022-11-01T00:00:00Z', ...(used ? { used } : {}) }] }
      })
      const { code, stderr } = await run('--yes')
      expect(code, stderr).toBe(0)
      expect(gcp().accounts[EMAIL]?.keys.map(({ id }) => id)).toEqual(['feed', expect.stringMatching(/^[0-9a-f]{40}$/)])
    }
  })

  test('the twin that gcloud made where an answer was lost is deleted, once that was confirmed; the key in use stays', async () => {
    const { run, gcp, world } = start()
    expect((await run('--yes')).code).toBe(0)
    const [own] = gcp().accounts[EMAIL]?.keys ?? []
    world.change(({ gcp }) => gcp?.accounts[EMAIL]?.keys.unshift({ id: 'feed', created: own?.created ?? '' }))
    const asked = await run()
    expect(asked.code, asked.stderr).toBe(5)
    expect(flat(asked.stderr)).toContain(`key feed of ${EMAIL} is deleted: Google has not seen it used`)
    const { code, stderr } = await run('--yes')
    expect(code, stderr).toBe(0)
    expect(gcp().accounts[EMAIL]?.keys).toEqual([own])
  })
})
