/** Backups and restores: what is special of each verb, beside the guarantees that all runbooks share. */
import { describe, expect, test } from 'vitest'
import { journals, stage, type Stage } from './harness.ts'

/** The text of a screen without its line breaks, also those of commands. */
const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')
const NAME = 'instance-7k2fq'
const RESTORE = ['restore', NAME, '--yes', '--confirm', 'rehearsal']

const begin = (scenario?: string) => {
  const world = stage(scenario)
  const before = world.bytes()
  return { world, run: (...args: string[]) => world.run('backup-restore', args), untouched: () => expect(world.bytes()).toBe(before) }
}
const phases = (world: Stage): string[] =>
  Object.entries(world.world().objects).flatMap(([key, object]) => (key.startsWith('backups/') ? [object['status'].phase as string] : []))
const dataOf = (stdout: string) => stdout.trim().split('\n').map((text) => JSON.parse(text) as { event: string; [field: string]: unknown }).find(({ event }) => event === 'report')

describe('readers', () => {
  const readers = [['list'], ['verify', NAME], ['diagnose']]
  test.each(readers)('%s %s changes nothing, takes no lock, and writes no journal', async (...args) => {
    const { world, run, untouched } = begin('two-operators')
    const { code, stdout } = await run(...args)
    expect(code, stdout).toBe(0)
    untouched()
    expect(journals(world.state)).toBe('')
  })

  test('list: a table for people, the same for machines, what a restore needs, what is not in it', async () => {
    const { run } = begin('external-database')
    const { stdout } = await run('list')
    expect(stdout).toMatch(/^NAME\s+PHASE\s+AGE\s+SIZE\s+VOLUMES\s+EXPIRES\s+SERVER\ninstance-7k2fq\s+Completed\s+5 h\s+1\.1G\s+5 of 5\s+in 29 d\s+3\.4\.0 \(seq\. 1\)\n/)
    expect(stdout).toContain('same bucket (circleci-backups)')
    expect(stdout).toMatch(/! external MongoDB\n\s+mongodump /)
    expect(stdout).toContain('aws s3 sync s3://circleci-server-data')
    expect(dataOf((await run('list', '--json')).stdout)).toMatchObject({ backups: [{ name: NAME, phase: 'Completed', volumes: '5 of 5', release: '3.4.0', sequence: 1 }] })
  })

  test('verify: all that can be proven is; what is missing in the bucket or of the volumes is found', async () => {
    const { world, run } = begin()
    expect(await run('verify', NAME)).toMatchObject({ code: 0, stdout: expect.stringContaining('All 7 hold.') })
    expect((await run('verify', NAME)).stdout).toMatch(/What no backup of KOTS contains.*\n.*object storage.*\n\s+aws s3 sync s3:\/\/circleci-server-data/)
    world.change(({ aws }) => { aws.buckets['circleci-backups']!.objects = [`backups/${NAME}/velero-backup.json`] })
    const lost = await run('verify', NAME)
    expect(lost.code).toBe(1)
    expect(flat(lost.stdout)).toContain(`lacks ${NAME}.tar.gz`)
    world.change(({ objects }) => { for (const key of Object.keys(objects)) if (key.startsWith('podvolumebackups/') && objects[key]?.metadata.annotations?.['velero.io/pvc-name'] === 'data-vault-0') delete objects[key] })
    expect(flat((await run('verify', NAME)).stdout)).toContain('not in it: data-vault-0')
    expect(await run('verify', 'instance-zzzzz')).toMatchObject({ code: 1, stdout: expect.stringContaining('there is no backup instance-zzzzz') })
  })

  test('verify: an external database is not in it, and the line that backs it up is', async () => {
    const { code, stdout } = await begin('external-database').run('verify', NAME)
    expect(code, stdout).toBe(0)
    expect(flat(stdout)).toMatch(/! contents external MongoDB is not in a backup of KOTS.*mongodump .*! external MongoDB mongodump/)
  })

  test('list: the newest first', async () => {
    const { run } = begin()
    await run('backup', '--max-age', '0m')
    expect((await run('list')).stdout).toMatch(/^NAME.*\ninstance-(?!7k2fq)\w+ .*\ninstance-7k2fq /)
  })

  test('verify: what cannot be proven is said, and is no failure', async () => {
    const { world, run } = begin()
    world.change(({ aws }) => { aws.buckets['circleci-backups']!.own = false })
    const { code, stdout } = await run('verify', NAME)
    expect(code).toBe(0)
    expect(flat(stdout)).toContain('not proven with your own credentials')
  })

  test.each([
    ['old-kots', 'kots', /KOTS 1\.39\.0.*1\.40\.0/], ['no-snapshots', 'licence', /licence does not allow snapshots/], ['minimal-rbac', 'kots-access', /kubectl kots velero ensure-permissions/],
    ['agents-pending', 'velero', /1 of 3 node agents.*Insufficient cpu.*Add nodes/], ['bucket-403', 'location', /AccessDenied.*run velero-aws again/i],
    ['bucket-403', 'velero-log', /4XX answers of the bucket.*: 1; .*AccessDenied/], ['no-velero', 'velero', /Velero is not installed.*velero-aws\.ts/],
    ['newer-velero', 'velero', /Velero 1\.11\.0 runs in the cluster.*name=restic.*Velero 1\.6 to 1\.9.*velero uninstall/], ['newer-velero', 'kots-access', /KOTS does not find the node agents.*name=restic/],
  ])('diagnose, %s: %s', async (scenario, check, say) => {
    const { run, untouched } = begin(scenario)
    const { code, stdout } = await run('diagnose')
    expect(code).toBe(1)
    const row = stdout.slice(stdout.indexOf(`✗ ${check}`))
    expect(stdout).toContain(`✗ ${check}`)
    expect(flat(row)).toMatch(say)
    untouched()
  })
})

describe('backup', () => {
  test('a recent one counts as done; an older one does not', async () => {
    const { world, run, untouched } = begin()
    expect(await run('backup', '--max-age', '6h')).toMatchObject({ code: 0, stderr: expect.stringContaining('Nothing to do') })
    untouched()
    const { code, stderr } = await run('backup', '--max-age', '0m')
    expect(code, stderr).toBe(0)
    expect(stderr).toMatch(/of 845 items · \d+M of \d.* in \d volumes · earlier ones took 6 m · [\dms ]+ of 4 h/)
    expect(phases(world)).toEqual(['Completed', 'Completed'])
  })

  test('one that runs is followed, and no second one is made', async () => {
    const { world, run } = begin('backup-running')
    const { code, stderr } = await run('backup', '--max-age', '0m')
    expect(code, stderr).toBe(0)
    expect(stderr).toContain('is followed')
    expect(phases(world)).toHaveLength(2)
  })

  test('one that fails in part: 1, with its errors and warnings; the same line makes another one', async () => {
    const { world, run } = begin('backup-partial')
    const { code, stderr } = await run('backup')
    expect(code).toBe(1)
    expect(flat(stderr)).toMatch(/is PartiallyFailed: 1 error, 1 warning\..*volume datadir of pod mongodb-0: .*no space left.*warning: .*a hook of pod postgresql-0.*velero backup logs instance-/)
    expect((await run('backup')).code).toBe(1)
    expect(phases(world).filter((phase) => phase === 'PartiallyFailed')).toHaveLength(2)
  })

  test('KOTS that ends well and does nothing is no success', async () => {
    const { world, run } = begin('minimal-rbac')
    const { code, stderr } = await run('backup', '--ignore-preflight', 'kots-access')
    expect(code).toBe(1)
    expect(flat(stderr)).toMatch(/may not use Velero\..*kubectl kots velero ensure-permissions --velero-namespace velero/)
    expect(phases(world)).toHaveLength(1)
  })

  test.each([['old-kots', 'kots'], ['no-snapshots', 'licence'], ['bucket-403', 'location'], ['agents-pending', 'velero']])('%s stops at the preflight', async (scenario, check) => {
    const { run, untouched } = begin(scenario)
    const { code, stderr } = await run('backup')
    expect(code).toBe(3)
    expect(flat(stderr)).toContain(`Preflight failed: ${check}`)
    untouched()
  })

  test('an external database is a warning with the line that backs it up', async () => {
    const { run } = begin('external-database')
    const { code, stderr } = await run('backup')
    expect(code).toBe(0)
    expect(flat(stderr)).toMatch(/! contents external MongoDB is not in a backup of KOTS.*mongodump/)
  })

  test('it waits for the lock, longer than the others do', async () => {
    const { code, stderr } = await begin('two-operators').run('backup')
    expect(code).toBe(4)
    expect(flat(stderr)).toMatch(/held by operator@laptop-3; waiting for up to 30 m/)
  })
})

describe('restore', () => {
  test('what held the old addresses has the new ones; the old ones are told beside them', async () => {
    const { world, run } = begin()
    const old = world.world().objects['services/circleci-server/nomad-server-external']?.['status'].loadBalancer.ingress[0].hostname as string
    const { code, stderr } = await run(...RESTORE)
    expect(code, stderr).toBe(0)
    const { objects, kots } = world.world()
    const now = objects['services/circleci-server/nomad-server-external']?.['status'].loadBalancer.ingress[0].hostname as string
    expect(now).not.toBe(old)
    expect(kots.versions[0]?.values['nomad_server_load_balancer']?.value).toBe(now)
    expect(flat(stderr)).toContain(`${old} → ${now}`)
    expect(objects['configmaps/circleci-server/circleci-runbooks-restore']).toBeUndefined()
    expect(stderr).toContain('10 to 15 minutes are normal')
  })

  test('--hand-over does not wait for people, and tells them what to do', async () => {
    const { run } = begin()
    const { code, stderr } = await run(...RESTORE, '--hand-over')
    expect(code, stderr).toBe(0)
    expect(flat(stderr)).toMatch(/handed over: let circleci\.example\.com lead to .*amazonaws\.com \(was /)
    expect(flat(stderr)).toMatch(/handed over: set server_endpoint of the Nomad clients' Terraform/)
  })

  test.each([[['--yes'], 'nobody confirmed'], [['--yes', '--confirm', 'prod-ci'], '“prod-ci” is not this installation']])('with %j alone: 5, nothing changed', async (flags, say) => {
    const { run, untouched } = begin()
    const { code, stderr } = await run('restore', NAME, ...flags)
    expect(code).toBe(5)
    expect(flat(stderr)).toContain(say)
    untouched()
  })

  test('a backup of which KOTS would restore nothing, and say nothing, is refused', async () => {
    const { world, run } = begin('backup-partial')
    await run('backup')
    const [bad = ''] = Object.values(world.world().objects).flatMap((object) => (object['status']?.phase === 'PartiallyFailed' ? [object.metadata.name] : []))
    const { code, stderr } = await run('restore', bad, '--yes', '--confirm', 'rehearsal')
    expect(code).toBe(3)
    expect(flat(stderr)).toMatch(new RegExp(`${bad} is PartiallyFailed: kubectl kots restore would end with 0 and do nothing The newest that can be restored is ${NAME}`))
    expect(await run('restore', 'instance-zzzzz', '--yes', '--confirm', 'rehearsal')).toMatchObject({ code: 3, stderr: expect.stringContaining('there is no backup instance-zzzzz') })
  })

  test('a fresh cluster: Velero is given the time to list the bucket', async () => {
    const { code, stderr } = await begin('not-listed').run(...RESTORE)
    expect(code, stderr).toBe(0)
  })

  test('a backup in another location than that of KOTS', async () => {
    const { world, run } = begin()
    world.change(({ objects }) => { objects[`backups/velero/${NAME}`]!['spec'].storageLocation = 'elsewhere' })
    const { code, stderr } = await run(...RESTORE)
    expect(code).toBe(3)
    expect(flat(stderr)).toMatch(/lies in the location elsewhere, and KOTS knows only the one named default.*velero backup-location get/)
  })

  test('EKS without an installed server', async () => {
    const { world, run } = begin()
    world.change(({ objects }) => { for (const [key, { metadata }] of Object.entries(objects)) if (key.startsWith('deployments/') && metadata.labels?.['kots.io/app-slug']) delete objects[key] })
    const { code, stderr } = await run(...RESTORE)
    expect(code).toBe(3)
    expect(flat(stderr)).toContain('no CircleCI server is installed here, and on EKS a restore needs one')
  })

  test('an older server than the one in the backup', async () => {
    const { world, run } = begin()
    world.change(({ kots }) => { for (const version of kots.versions) if (version.sequence === 0) version.versionLabel = '3.1.0'; else version.status = 'pending' })
    const { code, stderr } = await run(...RESTORE)
    expect(code).toBe(3)
    expect(flat(stderr)).toContain('server 3.1.0 runs here, and the backup is of 3.4.0')
  })

  test.each([['restore-nothing', /ended with 0 and restored nothing/], ['restore-partial', /circleci-server is PartiallyFailed: 1 error.*volume datadir of pod mongodb-0/]])('%s: 1, and why', async (scenario, say) => {
    const { code, stderr } = await begin(scenario).run(...RESTORE)
    expect(code).toBe(1)
    expect(flat(stderr)).toMatch(say)
  })
})

describe('delete', () => {
  test('with the typed name it is gone, in the bucket too', async () => {
    const { world, run } = begin()
    const { code, stderr } = await run('delete', NAME, '--yes', '--confirm', 'rehearsal')
    expect(code, stderr).toBe(0)
    expect(flat(stderr)).toContain(`${NAME} is the only complete backup`)
    expect(phases(world)).toEqual([])
    expect(world.world().aws.buckets['circleci-backups']?.objects).toEqual([])
    expect(await run('list')).toMatchObject({ code: 0, stdout: expect.stringContaining('There is no backup of this installation') })
  })
})

describe('schedule', () => {
  test('through KOTS, read back; wrong values are refused', async () => {
    const { world, run, untouched } = begin()
    expect(await run('schedule', '--cron', 'daily')).toMatchObject({ code: 2 })
    expect(await run('schedule', '--keep', '1 month')).toMatchObject({ code: 2 })
    expect(await run('schedule', '--in-cluster')).toMatchObject({ code: 3, stderr: expect.stringContaining('wants an image') })
    untouched()
    expect(await run('schedule', '--cron', '30 3 * * *', '--keep', '14d')).toMatchObject({ code: 0 })
    expect(world.world().kots.snapshots).toEqual({ schedule: '30 3 * * *', ttl: '336h' })
    expect(await run('schedule', '--off', '--keep', '14d')).toMatchObject({ code: 0 })
    expect(world.world().kots.snapshots).toEqual({ schedule: '', ttl: '336h' })
  })

  test('by a CronJob: one Job a time, no second try, failed ones kept, no right beyond what a backup asks; and back', async () => {
    const { world, run } = begin()
    const { code, stderr } = await run('schedule', '--in-cluster', '--image', 'registry.example.com/runbooks:1')
    expect(code, stderr).toBe(0)
    const { objects, kots } = world.world()
    const job = objects['cronjobs/circleci-server/circleci-backup']?.['spec']
    expect(job).toMatchObject({ schedule: '0 2 * * *', concurrencyPolicy: 'Forbid', failedJobsHistoryLimit: 5, jobTemplate: { spec: { backoffLimit: 0 } } })
    expect(job.jobTemplate.spec.template.spec.containers[0].command.slice(2)).toEqual(['backup', '--max-age', '0m', '--namespace', 'circleci-server', '--yes'])
    expect(kots.snapshots?.schedule ?? '').toBe('')
    const rules = ['circleci-server', 'velero'].flatMap((namespace) => objects[`roles/${namespace}/circleci-backup`]?.['rules'] as { resources: string[]; verbs: string[]; resourceNames?: string[] }[])
    expect(rules.flatMap(({ resources, verbs }) => [...resources, ...verbs])).not.toContain('*')
    expect(rules.find(({ resources }) => resources.includes('secrets'))?.resourceNames).toEqual(['kotsadm-authstring'])
    expect(await run('schedule', '--in-cluster', '--image', 'registry.example.com/runbooks:2')).toMatchObject({ code: 0, stderr: expect.stringContaining('1 change in') })
    expect(await run('schedule')).toMatchObject({ code: 0 })
    expect(Object.keys(world.world().objects).filter((key) => key.includes('circleci-backup'))).toEqual([])
  })
})
