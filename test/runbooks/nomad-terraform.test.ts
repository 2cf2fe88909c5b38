/** The Nomad clients: what is found and where from, what Terraform is let do, what KOTS gets, and what one is told where it goes wrong. */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { thirdAddress } from '../../lib/cloud/cidr.ts'
import type { World } from '../../lib/rehearsal/index.ts'
import { classFor } from '../../lib/server/nomad-looks.ts'
import { stage } from './harness.ts'

const GROUP = 'server_circleci_nomad_clients_asg'
const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')
const AWS = ['--provider', 'aws', '--region', 'us-east-1'], GCP = ['--provider', 'gcp', '--project', 'my-project', '--zone', 'europe-west1-b']

const begin = (words: string[], scenario = 'no-clients', change?: (world: World) => void) => {
  const world = stage(scenario, change)
  const bytes = world.bytes()
  const path = (name: string) => join(world.state, 'circleci-runbooks', 'rehearsal.files', name)
  return { world, path, untouched: () => expect(world.bytes()).toBe(bytes), run: (...more: string[]) => world.run('nomad-terraform', [...words, ...more]), file: (name: string) => readFileSync(path(name), 'utf8') }
}
const deployed = (world: World): Record<string, string | undefined> => Object.fromEntries(Object.entries(world.kots.versions.find(({ status }) => status === 'deployed')?.values ?? {}).map(([name, { value }]) => [name, value]))

test('AWS: main.tf says what was found and where; the keys are in files and in KOTS; the servers are new', async () => {
  const { world, run, file, path } = begin(AWS)
  const pod = world.world().objects['pods/circleci-server/nomad-server-0']?.metadata.uid
  const { code, stderr } = await run()
  expect(code, stderr).toBe(0)
  const main = file('main.tf')
  expect(main).toContain('//nomad-aws?ref=3.4.0"')
  expect(main).toMatch(/description = "address of the service nomad-server-external"\n.*\n {2}default {5}= "\w+\.us-east-1\.elb\.amazonaws\.com:4647"/)
  expect(main).toMatch(/description = "the third address of the VPC, 192\.168\.0\.0\/16"\n.*\n {2}default {5}= "192\.168\.0\.2"/)
  expect(main).toMatch(/enable_mtls +\s*= true/)
  expect(main).toContain('default     = ["subnet-0aaa1111bbbb22221", "subnet-0aaa1111bbbb22222"]')
  for (const name of ['main.tf', 'nomad-server-cert.pem', 'nomad-server-key.pem', 'nomad-ca.pem']) expect(statSync(path(name)).mode & 0o777, name).toBe(0o600)
  const values = deployed(world.world())
  expect([values['nomad_server_cert'], values['nomad_server_key'], values['nomad_server_ca']]).toEqual(['nomad-server-cert.pem', 'nomad-server-key.pem', 'nomad-ca.pem'].map((name) => file(name).trim()))
  expect(main).toContain(`"${values['nomad_server_load_balancer']}:4647"`)
  expect(world.world().objects['pods/circleci-server/nomad-server-0']?.metadata.uid).not.toBe(pod)
  expect(flat(stderr)).toMatch(/nomad\.tfplan: 10 to add, 0 to change, 0 to destroy.*t3\.2xlarge: 8 CPUs, 32 GB: jobs up to resource class xlarge.*0 ready → 4 ready/)
})

test('Google Cloud: network of the cluster, mutual TLS, nothing preemptible; a shared VPC by its whole address', async () => {
  const { run, file } = begin(GCP)
  const { code, stderr } = await run()
  expect(code, stderr).toBe(0)
  expect(file('main.tf')).toContain('//nomad-gcp?ref=3.4.0"')
  expect(file('main.tf')).toMatch(/unsafe_disable_mtls +\s*= false/)
  expect(file('main.tf')).toMatch(/variable "preemptible" \{\n.*\n.*\n {2}default {5}= false/)
  expect(file('main.tf')).toMatch(/variable "region" \{\n.*\n.*\n {2}default {5}= "europe-west1"/)
  const far = await run('--zone', 'us-east1-b', '--dry-run')
  expect([far.code, flat(far.stderr)]).toEqual([3, expect.stringContaining('The zone us-east1-b is not in europe-west1, where the subnetwork of the cluster is')])
})

test('the state is kept where it is said, and locked there', async () => {
  const text = async (...flags: string[]) => flat((await begin(AWS).run(...flags, '--dry-run')).stderr)
  expect(await text('--state', 's3://my-states/a/nomad.tfstate')).toContain('Terraform 1.5.7 locks a state in S3 by a table of DynamoDB only')
  expect(await text('--state', 's3://my-states/a/nomad.tfstate', '--state-table', 'locks')).toContain('backend "s3" { bucket = "my-states" key = "a/nomad.tfstate" region = "us-east-1" encrypt = true dynamodb_table = "locks" }')
  expect(await text('--state', 'gs://my-states')).toContain('backend "gcs" { bucket = "my-states" prefix = "nomad" }')
})

test('server 3.3 gets the module of its time, which knows no IRSA', async () => {
  const { run, file } = begin(AWS, 'no-clients', ({ kots }) => { for (const one of kots.versions) one.versionLabel = '3.3.1' })
  expect((await run()).code).toBe(0)
  expect(file('main.tf')).toContain('//nomad-aws?ref=3.3.0"')
  const { code, stderr } = await run('--autoscaler', '--irsa')
  expect([code, flat(stderr)]).toEqual([1, expect.stringContaining('The module for server 3.3 knows no IRSA.')])
})

test('AWS: the autoscaler by a role of its account in the cluster, from 3.4 on, where IAM trusts the issuer', async () => {
  const { run, file, world } = begin(AWS)
  const { code, stderr } = await run('--autoscaler', '--irsa')
  expect(code, stderr).toBe(0)
  const [, trusted = ''] = /variable "enable_irsa" \{\n.*\n {2}type {8}= map\(string\)\n {2}default {5}= (.*)\n/.exec(file('main.tf')) ?? []
  expect(trusted).toMatch(/^\{ oidc_principal_id = "arn:aws:iam::111122223333:oidc-provider\/(oidc\.eks\.us-east-1\.amazonaws\.com\/id\/\w+)", oidc_eks_variable = "\1:sub", k8s_service_account = "system:serviceaccount:circleci-server:nomad-autoscaler" \}$/)
  expect(file('main.tf')).toMatch(/enable_irsa +\s*= var\.enable_irsa/)
  const again = await run('--autoscaler', '--irsa')
  expect([again.code, again.stderr]).toEqual([0, expect.stringContaining('Nothing to do')])
  world.change(({ eks }) => { for (const one of Object.values(eks?.clusters ?? {})) delete one.issuer })
  const strange = await run('--autoscaler', '--irsa', '--nodes', '3')
  expect([strange.code, flat(strange.stderr)]).toEqual([1, expect.stringContaining('IAM does not trust the issuer of cluster circleci-server.')])
})

test('tags and schedules stand in main.tf as HCL, and are the same in the plan', async () => {
  const aws = begin(AWS), gcp = begin(GCP)
  const tagged = await aws.run('--instance-tags', 'vendor=circleci,team=ci,cost:center=a b')
  expect(tagged.code, tagged.stderr).toBe(0)
  expect(aws.file('main.tf')).toContain('default     = { "cost:center" = "a b", team = "ci", vendor = "circleci" }')
  const schedule = { name: 'office', schedule: '0 8 * * MON-FRI', time_zone: 'Europe/Berlin', duration_sec: 36_000, min_required_replicas: 4, disabled: false, description: 'a = b' }
  const scheduled = await gcp.run('--autoscaling-schedules', JSON.stringify([schedule]))
  expect(scheduled.code, scheduled.stderr).toBe(0)
  expect(gcp.file('main.tf')).toContain('default     = [{ description = "a = b", disabled = false, duration_sec = 36000, min_required_replicas = 4, name = "office", schedule = "0 8 * * MON-FRI", time_zone = "Europe/Berlin" }]')
  for (const { run, flags } of [{ ...aws, flags: ['--instance-tags', 'vendor=circleci,team=ci,cost:center=a b'] }, { ...gcp, flags: ['--autoscaling-schedules', JSON.stringify([schedule])] }]) {
    const { code, stderr } = await run(...flags)
    expect([code, stderr]).toEqual([0, expect.stringContaining('Nothing to do')])
  }
})

test('clients that take no jobs do not count', async () => {
  const { run, world } = begin(AWS)
  expect((await run()).code).toBe(0)
  world.change((one) => { one.ineligible = 1 })
  const { code, stderr } = await run('--timeout', '60s')
  expect([code, flat(stderr)]).toEqual([1, expect.stringMatching(/4 Nomad clients are ready.*3 of 4/)])
})

test('each line of Terraform names the profile', async () => {
  const { code, stderr } = await begin(AWS).run('--profile', 'prod', '--dry-run')
  expect(code, stderr).toBe(0)
  expect(flat(stderr)).toContain('AWS_PROFILE=prod terraform -chdir=nomad-clients init')
})

test.each<[string, string[], string[], number, string]>([
  ['a machine that there is not', GCP, ['--machine-type', 'n2-standard-9'], 3, 'Google Cloud does not know n2-standard-9 in europe-west1-b'],
  ['one with an ARM processor', GCP, ['--machine-type', 't2a-standard-8'], 3, 't2a-standard-8 has an ARM processor, and the image of the clients is made for x86'],
  ['one that is too big', GCP, ['--machine-type', 'm2-ultramem-416'], 3, '416 CPUs, 11776 GB, and a Nomad client may have 64 CPUs and 128 GB'],
  ['a network that there is not', GCP, ['--network', 'mistyped'], 3, 'There is no network mistyped in project my-project.'],
  ['a subnetwork that there is not', GCP, ['--subnetwork', 'mistyped'], 3, 'There is no subnetwork mistyped in europe-west1.'],
  ['an ARM processor in EC2', AWS, ['--instance-type', 'm6g.2xlarge'], 3, 'm6g.2xlarge has an ARM processor, and the image of the clients is made for x86'],
  ['IRSA without the autoscaler', AWS, ['--irsa'], 2, '--irsa is the identity of the autoscaler.'],
  ['a tag that is none', AWS, ['--instance-tags', 'team'], 2, 'team is no tag.'],
  ['a tag of AWS\'s own', AWS, ['--instance-tags', 'aws:name=x'], 2, 'aws:name=x is no tag.'],
  ['a schedule that lacks something', GCP, ['--autoscaling-schedules', '[{"name": "office"}]'], 2, 'This is no list of schedules.'],
])('%s: nothing is changed', async (_, words, flags, wanted, said) => {
  const { run, untouched } = begin(words)
  const { code, stderr } = await run(...flags)
  expect([code, flat(stderr)]).toEqual([wanted, expect.stringContaining(said)])
  untouched()
})

test.each<[string, string[], ((world: World) => void) | undefined, number, string]>([
  ['an address from outside', [], ({ objects }) => { delete objects['services/circleci-server/nomad-server-external']?.metadata.annotations }, 3, 'does not look internal'],
  ['no address yet', [], ({ objects }) => { Object.assign(objects['services/circleci-server/nomad-server-external'] ?? {}, { status: {} }) }, 3, 'The service nomad-server-external has no address yet.'],
  ['a machine that is too big', ['--instance-type', 'm5.24xlarge'], undefined, 3, '96 CPUs, 384 GB, and a Nomad client may have 64 CPUs and 128 GB'],
  ['another cluster', ['--cluster', 'mistyped'], undefined, 3, 'There is no cluster mistyped in us-east-1'],
  ['a subnet that is not there', ['--subnets', 'subnet-0dead000'], undefined, 3, 'One of the subnets subnet-0dead000 is not there.'],
  ['more clients than there may be', ['--nodes', '6'], undefined, 2, '--max-nodes 5 is less than --nodes 6.'],
  ['clients that the state does not know', [], (world) => { delete world.terraform }, 5, '2 Nomad clients are connected, and Terraform\'s state (local, in nomad-clients) knows none.'],
  ['a state that is not seen yet', ['--state', 's3://my-states/nomad.tfstate', '--state-table', 'locks'], (world) => { delete world.terraform }, 5, 'Whether Terraform\'s state in s3://my-states/nomad.tfstate knows them is seen after init'],
])('%s: nothing is changed', async (_, flags, change, wanted, said) => {
  const { run, untouched } = begin(AWS, 'no-clients', change)
  const { code, stderr } = await run(...flags)
  expect([code, flat(stderr)]).toEqual([wanted, expect.stringContaining(said)])
  untouched()
})

test('an address from outside is taken where it is meant, with a warning', async () => {
  const { run } = begin(AWS, 'no-clients', ({ objects }) => { delete objects['services/circleci-server/nomad-server-external']?.metadata.annotations })
  const { code, stderr } = await run('--public-endpoint')
  expect(code, stderr).toBe(0)
  expect(flat(stderr)).toContain('is reached from outside too, as allowed')
})

test('a main.tf of somebody else is left alone', async () => {
  const { run, path, untouched } = begin(AWS)
  expect((await run('--dry-run')).code).toBe(0)
  writeFileSync(path('main.tf'), 'module "mine" {}\n')
  const { code, stderr } = await run()
  expect([code, flat(stderr)]).toEqual([3, expect.stringContaining('main.tf was not written by this runbook, and would be overwritten')])
  untouched()
})

describe('what does more than add', () => {
  test('is shown and asked: a new endpoint makes the certificates anew, and all that has them follows', async () => {
    const { world, run, file } = begin(AWS)
    expect((await run()).code).toBe(0)
    const [main, cert] = [file('main.tf'), file('nomad-server-cert.pem')]
    const asked = await run('--endpoint', '10.0.3.4')
    expect(asked.code).toBe(5)
    expect(flat(asked.stderr)).toMatch(/the certificates are made anew for 10\.0\.3\.4:4647: until they are deployed, and the clients replaced \(aws autoscaling start-instance-refresh --auto-scaling-group-name server_circleci_nomad_clients_asg --region us-east-1\), no job runs; Terraform replaces .*tls_locally_signed_cert/)
    expect(file('main.tf')).toBe(main)
    // The clients of the rehearsal know the address of the service alone: they are waited for.
    const { code, stderr } = await run('--endpoint', '10.0.3.4', '--yes')
    expect([code, flat(stderr)]).toEqual([1, expect.stringContaining('It did not come true within 15 m that 4 Nomad clients are ready')])
    expect(file('nomad-server-cert.pem')).not.toBe(cert)
    expect(deployed(world.world())).toMatchObject({ nomad_server_load_balancer: '10.0.3.4', nomad_server_cert: file('nomad-server-cert.pem').trim() })
  })

  test('fewer clients are asked for; a reviewed plan holds for what Terraform would do then, and for nothing else', async () => {
    const { world, run } = begin(AWS)
    expect((await run()).code).toBe(0)
    const plan = await run('--nodes', '2', '--dry-run', '--json')
    writeFileSync(`${world.state}/plan.json`, plan.stdout)
    expect(plan.stdout).toContain('clients may end, with the jobs on them; Terraform updates module.nomad.aws_autoscaling_group.clients_asg')
    world.change(({ terraform }) => { if (terraform?.state) terraform.state.variables['instance_type'] = '"m5.large"' })
    const stale = await world.run('nomad-terraform', ['--plan', 'plan.json'])
    expect(stale.code, stale.stderr).toBe(6)
    world.change(({ terraform }) => { if (terraform?.state) terraform.state.variables['instance_type'] = '"t3.2xlarge"' })
    const { code, stderr } = await world.run('nomad-terraform', ['--plan', 'plan.json'])
    expect(code, stderr).toBe(0)
    expect(world.world().terraform?.state?.variables['nodes']).toBe('2')
  })
})

test('the number that the autoscaler has set stays, also where something else is applied', async () => {
  const { world, run } = begin(AWS)
  await run('--autoscaler')
  const scaler = await world.run('nomad-autoscaler', AWS)
  expect(scaler.code, scaler.all).toBe(0)
  const set = (desired: number) => world.change(({ ec2 }) => { if (ec2?.scaling[GROUP]) ec2.scaling[GROUP].desired = desired })
  set(2)
  const before = world.bytes()
  const idle = await run('--autoscaler')
  expect([idle.code, idle.stderr]).toEqual([0, expect.stringContaining('Nothing to do')])
  expect(world.bytes()).toBe(before)
  for (const flags of [['--volume-type', 'gp2'], ['--volume-type', 'gp2', '--max-nodes', '6']]) {
    const changed = await run('--autoscaler', ...flags, '--yes')
    expect(changed.code, changed.all).toBe(0)
  }
  expect(world.world().ec2?.scaling[GROUP]).toEqual({ min: 1, max: 6, desired: 2 })
})

test('terraform-locked: who holds the lock, since when, and the line that takes it away', async () => {
  const { world, run } = begin(AWS, 'terraform-locked')
  const { code, stderr } = await run()
  expect(code).toBe(1)
  expect(flat(stderr)).toContain('Terraform\'s state is locked: by operator@laptop-3, since 2022-11-22 02:41:09 UTC.')
  expect(flat(stderr)).toContain('terraform -chdir=nomad-clients force-unlock 2a8e4c1f-6f0b-5c1d-9f0e-3b7c1d2e4f5a')
  world.change(({ terraform }) => { delete terraform?.lock })
  expect((await run()).code).toBe(0)
})

test('terraform-fails: half is there, the same line plans anew and makes the rest', async () => {
  const { run } = begin(AWS, 'terraform-fails')
  const first = await run()
  expect([first.code, flat(first.stderr)]).toEqual([1, expect.stringContaining('terraform apply failed: creating Auto Scaling Group: AccessDenied')])
  const { code, stderr } = await run()
  expect(code, stderr).toBe(0)
  expect(stderr).toContain('nomad.tfplan: 2 to add')
})

test('a KOTS that cannot be read: what to fill in by hand is said, and no key', async () => {
  const { run, file, path } = begin(AWS, 'no-clients', ({ kots }) => { kots.version = '1.47.3' })
  const { code, stderr } = await run('--until', 'configure', '--timeout', '90s', '--yes')
  expect(code).toBe(1)
  expect(flat(stderr)).toContain(`Nomad Server Private Key from ${path('nomad-server-key.pem')}`)
  expect(stderr).not.toContain(file('nomad-server-key.pem').split('\n')[1])
})

test('third addresses, and classes that fit', () => {
  expect(['192.168.0.0/16', '10.0.255.254/31', '172.31.0.0/20'].map(thirdAddress)).toEqual(['192.168.0.2', '10.1.0.0', '172.31.0.2'])
  expect([classFor(8, 32), classFor(64, 128), classFor(2, 4), classFor(1, 1)]).toEqual(['xlarge', '2xlarge+', 'medium', undefined])
})
