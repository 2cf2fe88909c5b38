/** VM service: who may reach the VMs, what its identity may do, and what the Config screen is told. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MARK } from '../../lib/cloud/iam.ts'
import { vmPolicy } from '../../lib/cloud/policies.ts'
import { LINUX, WINDOWS } from '../../lib/rehearsal/ec2.ts'
import { withWorkloadIdentity } from '../../lib/rehearsal/stores.ts'
import type { World } from '../../lib/rehearsal/index.ts'
import { stage } from './harness.ts'

const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')
const ROLE = 'arn:aws:iam::111122223333:role/vm-service'
const VPC = 'arn:aws:ec2:us-east-1:111122223333:vpc/vpc-0aaa1111bbbb22223'

const WORDS = ['--region', 'us-east-1', '--subnets', 'subnet-0aaa1111bbbb22220', '--nomad-subnets', 'subnet-0aaa1111bbbb22221']
const begin = (scenario = 'on-eks', change?: (world: World) => void) => {
  const world = stage(scenario, change)
  const bytes = world.bytes()
  return {
    world, untouched: () => expect(world.bytes()).toBe(bytes),
    run: (...more: string[]) => world.run('vm-service-aws', [...WORDS, '--users-cidr', '203.0.113.0/24', ...more]),
    group: () => Object.entries(world.world().ec2?.groups ?? {})[0] ?? ['', undefined] as const,
    rules: () => Object.values(world.world().ec2?.groups ?? {}).flatMap(({ rules }) => rules.map(({ port, from }) => `${port} ${from}`)).toSorted(),
    held: () => world.world().kots.versions[0]?.values ?? {},
  }
}
const INSIDE = ['22 10.100.0.0/16', '22 192.168.32.0/19', '2376 10.100.0.0/16', '2376 192.168.32.0/19']

describe('vm-service-aws', () => {
  test('the guide\'s rules and no other, its policy on this group and this VPC, and the Config screen', async () => {
    const { world, run, group, rules, held } = begin()
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    const [id, made] = group()
    expect(made).toMatchObject({ name: 'circleci-vm-service-sg', tags: expect.arrayContaining([MARK]) })
    expect(rules()).toEqual([...INSIDE, '54782 203.0.113.0/24'].toSorted())
    const user = world.world().aws.users['circleci-vm-service']
    expect(user?.keys).toHaveLength(1)
    expect(JSON.parse(user?.policies['circleci-vm-service'] ?? '')).toEqual(vmPolicy('us-east-1', VPC, id))
    expect(held()).toMatchObject({
      vm_service_provider: { value: 'vm_service_ec2' }, vm_service_load_balancer: { value: expect.stringMatching(/elb\.amazonaws\.com$/) }, vm_service_public: { value: '1' },
      vm_service_region: { value: 'us-east-1' }, vm_service_subnets: { value: 'subnet-0aaa1111bbbb22220' }, vm_service_security_group: { value: id },
      vm_service_auth: { value: 'vm_service_keys' }, vm_service_access_key_id: { value: user?.keys[0]?.id }, vm_service_access_key_secret: { value: expect.stringMatching(/^\S{40}$/) },
    })
    // Left to its default: nothing is stored.
    for (const name of ['vm_service_port', 'vm_service_linux_ami', 'vm_service_windows_ami', 'vm_service_prescaled_docker']) expect(held()[name]?.value, name).toBeUndefined()
    expect(flat(stderr)).toContain('Retry with SSH shows the private address of a VM in 3.3 and 3.4, which is a known issue')
  })

  test('who may log in by SSH has to be said, and everybody only where somebody types it', async () => {
    const { world, run, rules, untouched } = begin()
    const { code, stderr } = await world.run('vm-service-aws', WORDS)
    expect([code, flat(stderr)]).toEqual([2, expect.stringContaining('--users-cidr')])
    for (const wrong of ['10.0.0.0', '10.0.0.0/33', 'everybody']) expect((await run('--users-cidr', wrong)).code, wrong).toBe(2)
    untouched()
    expect((await run('--users-cidr', '0.0.0.0/0')).code).toBe(0)
    expect(rules()).toEqual([...INSIDE, '54782 0.0.0.0/0'].toSorted())
  })

  test.each([
    ['on-eks', ['--subnets', 'subnet-0aaa1111bbbb22220,subnet-0aaa1111bbbb22222'], 'they are in 2 zones: subnet-0aaa1111bbbb22220 in us-east-1a, subnet-0aaa1111bbbb22222 in us-east-1b'],
    ['on-eks', ['--subnets', 'subnet-0ccc3333dddd44440'], 'and the cluster in vpc-0aaa1111bbbb22223'],
    ['on-eks', ['--nomad-subnets', 'subnet-0fff1111bbbb22220'], 'One of the subnets subnet-0fff1111bbbb22220 is not there'],
    ['on-eks', ['--region', 'eu-north-1'], 'VM service has no default image in eu-north-1'],
    ['on-eks', ['--cluster', 'another'], 'There is no cluster another in us-east-1'],
    ['on-eks', ['--linux-ami', WINDOWS], `${WINDOWS} is an image of Windows`],
    ['on-eks', ['--role', ROLE], `there is no role ${ROLE}`],
    ['no-default-images', [], 'the default image of us-east-1, ami-04f249339fa8afc90, is there no more'],
    ['group-open', [], 'circleci-vm-service-sg is open to everybody: 2376 to 0.0.0.0/0'],
  ])('%s %j: nothing is changed', async (scenario, flags, said) => {
    const { run, untouched } = begin(scenario)
    const { code, stderr } = await run(...flags, '--yes')
    expect(code, stderr).toBe(3)
    expect(flat(stderr)).toContain(said)
    untouched()
  })

  test.each<[string, { port: number; to?: number; from: string }]>([
    ['0-65535/tcp to 0.0.0.0/0', { port: 0, to: 65_535, from: '0.0.0.0/0' }], ['20-30/tcp to 0.0.0.0/0', { port: 20, to: 30, from: '0.0.0.0/0' }], ['22 to ::/0', { port: 22, from: '::/0' }],
  ])('a group that opens %s is open to everybody: nothing is changed', async (said, rule) => {
    const { run, untouched } = begin('group-open', ({ ec2 }) => { for (const one of Object.values(ec2?.groups ?? {})) one.rules = [{ ...rule, why: '' }] })
    const { code, stderr } = await run('--yes')
    expect([code, flat(stderr)]).toEqual([3, expect.stringContaining(`circleci-vm-service-sg is open to everybody: ${said}`)])
    untouched()
  })

  test('images, private VMs and some that always run: into the screen, with what that costs', async () => {
    const { run, held } = begin('no-default-images')
    const { code, stderr } = await run('--linux-ami', LINUX, '--windows-ami', WINDOWS, '--private-ips', '--prescaled-docker', '2', '--prescaled-machine', '0')
    expect(code, stderr).toBe(0)
    expect(held()).toMatchObject({
      vm_service_linux_ami: { value: LINUX }, vm_service_windows_ami: { value: WINDOWS }, vm_service_public: { value: '0' },
      vm_service_prescaled_docker: { value: '2' }, vm_service_prescaled_machine: { value: '0' },
    })
    expect(flat(stderr)).toContain('2 VMs for remote Docker will always run, and be paid for; a job with Docker layer caching waits')
    expect((await run('--prescaled-docker', '6')).code).toBe(2)
  })

  test('VMs that the screen keeps running are told too, and for Windows there has to be an image', async () => {
    const { run } = begin('on-eks', ({ kots }) => { for (const { values } of kots.versions) values['vm_service_prescaled_machine'] = { value: '3' } })
    expect(flat((await run('--dry-run')).stderr)).toContain('3 VMs for machine will always run, and be paid for')
    const without = await run('--prescaled-windows', '1')
    expect([without.code, flat(without.stderr)]).toEqual([3, expect.stringContaining('1 VMs for Windows are to run always, and there is no image for them')])
    expect((await run('--prescaled-windows', '1', '--windows-ami', WINDOWS, '--dry-run')).code).toBe(0)
  })

  test('with a role: its policy, no user and no key', async () => {
    const { world, run, group, held } = begin('on-eks', ({ aws }) => { aws.roles['vm-service'] = { trust: 'system:serviceaccount:circleci-server:vm-service' } })
    const { code, stderr } = await run('--role', ROLE)
    expect(code, stderr).toBe(0)
    const { users, roles } = world.world().aws
    expect(users['circleci-vm-service']).toBeUndefined()
    expect(JSON.parse(roles['vm-service']?.policies?.['circleci-vm-service'] ?? '')).toEqual(vmPolicy('us-east-1', VPC, group()[0]))
    expect(held()).toMatchObject({ vm_service_auth: { value: 'vm_service_irsa' }, vm_service_role: { value: ROLE } })
    expect((await run('--role', ROLE)).stderr).toContain('Nothing to do')
  })

  test('where no subnets of the clients are named, they are in the private ones of the cluster', async () => {
    const { world, rules } = begin()
    const { code, stderr } = await world.run('vm-service-aws', [...WORDS.slice(0, 4), '--users-cidr', '203.0.113.0/24'])
    expect(code, stderr).toBe(0)
    expect(rules()).toEqual([...INSIDE, '22 192.168.64.0/19', '2376 192.168.64.0/19', '54782 203.0.113.0/24'].toSorted())
  })

  test('other people: they come in too, and those of before are named', async () => {
    const { run, rules } = begin()
    expect((await run()).code).toBe(0)
    const { code, stderr } = await run('--users-cidr', '198.51.100.0/24')
    expect(code, stderr).toBe(0)
    expect(flat(stderr)).toContain('circleci-vm-service-sg opens more than is asked for: 54782 to 203.0.113.0/24')
    expect(rules()).toEqual([...INSIDE, '54782 198.51.100.0/24', '54782 203.0.113.0/24'].toSorted())
  })

  test('the file of the key may go once the key is deployed', async () => {
    const { world, run } = begin()
    expect((await run()).code).toBe(0)
    rmSync(join(world.state, 'circleci-runbooks', 'rehearsal.files', 'credentials-vm-service'))
    const { code, stderr } = await run()
    expect([code, stderr]).toEqual([0, expect.stringContaining('Nothing to do')])
  })
})

describe('vm-service-gcp', () => {
  const GCP = ['--project', 'my-project', '--zone', 'us-east1-b', '--users-cidr', '203.0.113.0/24']
  const onGcp = (change?: (world: World) => void) => {
    const world = stage('on-gke', change)
    const bytes = world.bytes()
    return {
      world, untouched: () => expect(world.bytes()).toBe(bytes), run: (...more: string[]) => world.run('vm-service-gcp', [...GCP, ...more]),
      held: () => world.world().kots.versions[0]?.values ?? {},
    }
  }
  const EMAIL = 'circleci-server-vm@my-project.iam.gserviceaccount.com'

  test('three rules, each with a source and a tag; two roles, a key, and the Config screen', async () => {
    const { world, run, held } = onGcp()
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    const common = { network: 'default', tags: ['circleci-vm'], description: 'managed-by circleci-server-runbooks' }
    expect(world.world().compute?.firewalls).toEqual({
      'circleci-vm-service-internal-nomad-fw': { ...common, ports: [22, 2376], sources: ['10.142.0.0/20'] },
      'circleci-vm-service-internal-k8s-fw': { ...common, ports: [22, 2376], sources: ['10.100.0.0/14'] },
      'circleci-vm-service-external-fw': { ...common, ports: [54782], sources: ['203.0.113.0/24'] },
    })
    for (const role of ['roles/compute.instanceAdmin', 'roles/iam.serviceAccountUser']) expect(world.world().gcp?.bindings).toContainEqual({ role, members: [`serviceAccount:${EMAIL}`] })
    expect(held()).toMatchObject({
      vm_service_provider: { value: 'vm_service_gcp' }, vm_service_load_balancer: { value: expect.stringMatching(/amazonaws\.com$/) }, vm_service_public: { value: '1' }, vm_service_project: { value: 'my-project' },
      vm_service_zone: { value: 'us-east1-b' }, vm_service_network: { value: 'default' }, vm_service_gcp_auth: { value: 'vm_service_gcp_key' },
    })
    // The network makes a subnet in each region by itself: the field stays empty.
    for (const name of ['vm_service_subnet', 'vm_service_windows_image', 'vm_service_identity']) expect(held()[name]?.value, name).toBeUndefined()
    expect(JSON.parse(held()['vm_service_json']?.value ?? '{}')).toMatchObject({ client_email: EMAIL })
    expect(flat(stderr)).toContain('Retry with SSH shows the private address')
  })

  test('a rule that lets everybody into every machine is narrowed, once somebody says yes to it', async () => {
    const { world, run, untouched } = onGcp(({ compute }) => {
      if (compute) compute.firewalls['circleci-vm-service-internal-nomad-fw'] = { network: 'default', sources: ['0.0.0.0/0'], ports: [22, 2376], tags: [], description: '' }
    })
    const asked = await run()
    expect([asked.code, flat(asked.stderr)]).toEqual([5, expect.stringContaining('the rule circleci-vm-service-internal-nomad-fw, which was not made here, no longer lets in 0.0.0.0/0')])
    untouched()
    expect((await run('--yes')).code).toBe(0)
    expect(world.world().compute?.firewalls['circleci-vm-service-internal-nomad-fw']).toMatchObject({ sources: ['10.142.0.0/20'], tags: ['circleci-vm'] })
  })

  test('a rule that is switched off is switched on again, which is told; one that lets machines with a tag in too, no longer does', async () => {
    const RULE = 'circleci-vm-service-internal-nomad-fw'
    const { world, run } = onGcp()
    expect((await run()).code).toBe(0)
    const rules = world.world().compute?.firewalls
    const change = (more: object) => world.change(({ compute }) => { Object.assign(compute?.firewalls[RULE] ?? {}, more) })
    change({ off: true })
    const on = await run()
    expect(on.code, on.stderr).toBe(0)
    expect(flat(on.stderr)).toContain(`${RULE} is switched off, and will be switched on`)
    expect(world.world().compute?.firewalls).toEqual(rules)
    change({ fromTags: ['build'] })
    const asked = await run()
    expect([asked.code, flat(asked.stderr)]).toEqual([5, expect.stringContaining(`the rule ${RULE} no longer lets in build`)])
    expect((await run('--yes')).code).toBe(0)
    expect(world.world().compute?.firewalls).toEqual(rules)
  })

  test.each([
    [3, ['--cluster', 'another'], 'There is no cluster another in project my-project'],
    [3, ['--network', 'another'], 'There is no network another'],
    [3, ['--subnet', 'another'], 'there is no subnetwork another for us-east1-b'],
    [3, ['--workload-identity'], 'Workload Identity is not on'],
    [2, ['--users-cidr', 'office'], 'office is no range of addresses'],
  ])('%i %j: nothing is changed', async (wanted, flags, said) => {
    const { run, untouched } = onGcp()
    const { code, stderr } = await run(...flags)
    expect(code, stderr).toBe(wanted)
    expect(flat(stderr)).toContain(said)
    untouched()
  })

  test('with Workload Identity: the account of the cluster, no key; private, with Windows', async () => {
    const { world, run, held } = onGcp(withWorkloadIdentity)
    const { code, stderr } = await run('--workload-identity', '--private-ips', '--windows-image', 'windows-2019', '--subnet', 'default')
    expect(code, stderr).toBe(0)
    expect(world.world().gcp?.accounts[EMAIL]).toMatchObject({ keys: [], bindings: [{ members: ['serviceAccount:my-project.svc.id.goog[circleci-server/vm-service]'] }] })
    expect(held()).toMatchObject({
      vm_service_gcp_auth: { value: 'vm_service_gcp_identity' }, vm_service_identity: { value: EMAIL }, vm_service_public: { value: '0' }, vm_service_windows_image: { value: 'windows-2019' }, vm_service_subnet: { value: 'default' },
    })
  })
})
