/**
 * nomad-autoscaler on a real AWS API server, with a cluster's API server and a stand-in for KOTS: EC2 has a group that
 * Terraform would have made; IAM has exactly the user and the policy for it afterwards, and KOTS what the Config screen
 * asks for.
 */
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { MARK } from '../../lib/cloud/iam.ts'
import { scalerPolicy } from '../../lib/cloud/policies.ts'
import { kotsState } from '../../lib/rehearsal/kots.ts'
import { processesDuring } from '../processes-seen.ts'
import { accountHas, cuttingProxy, startAws, type AwsServer } from './aws.ts'
import { CONTEXT } from './cluster.ts'
import { CLUSTER, lacking } from './components.ts'
import type { Installation } from './installation.ts'
import { onCluster } from './real.ts'
import { journals, start, startBash, type Ended } from './runs.ts'

const BUNDLE = new URL('../../dist/nomad-autoscaler.mjs', import.meta.url).pathname
const USER = 'circleci-nomad-autoscaler', FILE = 'nomad-as-key', GROUP = 'server_circleci_nomad_clients_asg'

const { shared } = onCluster('moto_server', 'aws', 'terraform')
const missing = lacking('moto_server', 'aws', 'kubectl', 'terraform', ...CLUSTER)
let aws: AwsServer
let here: Installation
let arn: string

const cli = async (...words: string[]) => {
  const { code, all, stdout } = await start(here, ['aws', ...words, '--region', 'us-east-1', '--output', 'json'], { env: aws.env }).ended
  if (code !== 0) throw new Error(all)
  return JSON.parse(stdout || '{}') as Record<string, any>
}

beforeAll(async () => {
  if (missing) return
  here = await shared()
  aws = await startAws()
}, 300_000)
afterAll(() => aws?.stop())
beforeEach(async () => {
  if (missing) return
  await aws.reset()
  await here.standIns.kots.settled()
  Object.assign(here.standIns.kots.state, kotsState(Date.now()))
  rmSync(join(here.env['HOME'] as string, FILE), { force: true })
  const { Images } = await cli('ec2', 'describe-images', '--owners', '099720109477')
  await cli('autoscaling', 'create-launch-configuration', '--launch-configuration-name', 'clients', '--image-id', Images[0].ImageId, '--instance-type', 't3.2xlarge')
  await cli('autoscaling', 'create-auto-scaling-group', '--auto-scaling-group-name', GROUP, '--launch-configuration-name', 'clients', '--min-size', '1', '--max-size', '5', '--desired-capacity', '2', '--availability-zones', 'us-east-1a')
  arn = (await cli('autoscaling', 'describe-auto-scaling-groups'))['AutoScalingGroups'][0].AutoScalingGroupARN
})

const begin = (flags: string[] = [], env: Record<string, string> = {}) =>
  start(here, [process.execPath, BUNDLE, '--provider', 'aws', '--region', 'us-east-1', '--context', CONTEXT, '--namespace', here.namespace, ...flags], { env: { ...aws.env, ...env } })
const run = (flags?: string[], env?: Record<string, string>): Promise<Ended> => begin(flags, env).ended
const file = () => readFileSync(join(here.env['HOME'] as string, FILE), 'utf8')
const secretIn = () => /^\[default\]\naws_access_key_id=\S+\naws_secret_access_key=(\S{40})\n$/.exec(file())?.[1] ?? ''

const expectSetUp = async () => {
  const { keys, tags, policy } = await accountHas(USER, 'none', USER)
  expect([tags, policy]).toEqual([[MARK], scalerPolicy(arn)])
  expect((await cli('iam', 'list-users'))['Users'].map(({ UserName }: { UserName: string }) => UserName)).toEqual([USER])
  expect(keys).toHaveLength(1)
  expect(statSync(join(here.env['HOME'] as string, FILE)).mode & 0o777).toBe(0o600)
  await here.standIns.kots.settled()
  const [newest] = here.standIns.kots.state.versions
  expect(newest?.status).toBe('deployed')
  expect(newest?.values).toMatchObject(Object.fromEntries(Object.entries({
    nomad_autoscaler_enabled: '1', nomad_autoscaler_min: '1', nomad_autoscaler_max: '5', nomad_autoscaler_provider: 'nomad_autoscaler_ec2', nomad_autoscaler_region: 'us-east-1',
    nomad_autoscaler_auth: 'nomad_autoscaler_keys', nomad_autoscaler_access_key_id: keys[0], nomad_autoscaler_secret: secretIn(), nomad_autoscaler_asg: GROUP,
  }).map(([name, value]) => [name, { value }])))
}

test('looking changes nothing; a run sets it up; the same line again has nothing to do', async () => {
  for (const flags of [['--dry-run'], ['--dry-run', '--json'], ['--shell']]) {
    const { code, all } = await run(flags)
    expect(code, all).toBe(0)
  }
  expect([(await cli('iam', 'list-users'))['Users'], here.standIns.kots.state.versions.length]).toEqual([[], 2])
  const first = await run()
  expect(first.code, first.all).toBe(0)
  await expectSetUp()
  const second = await run()
  expect([second.code, second.stderr]).toEqual([0, expect.stringContaining('Nothing to do')])
  await expectSetUp()
})

test('an answer that was lost (the key) leaves the same in the end', async () => {
  const proxy = await cuttingProxy(aws.url, 'Action=CreateAccessKey')
  onTestFinished(proxy.close)
  await run(['--yes'], { AWS_ENDPOINT_URL: proxy.url })
  const again = await run(['--yes'])
  expect(again.code, again.all).toBe(0)
  await expectSetUp()
})

test('the script of --shell leaves what the run leaves; no secret is an argument of a process, or said', async () => {
  const text = (await run(['--shell'])).stdout
  const { result: { code, all }, shown } = await processesDuring(() => startBash(here, text, { env: aws.env }).ended)
  expect(code, all).toBe(0)
  await expectSetUp()
  expect(secretIn()).toHaveLength(40)
  expect(shown.filter((one) => one.includes(secretIn()))).toEqual([])
  expect(all + journals(here)).not.toContain(secretIn())
  const after = await run()
  expect(after.stderr, after.all).toContain('Nothing to do')
})

test('where Terraform made a user: its key, from what Terraform tells; no secret is an argument of a process, or said', async () => {
  const theirs = 'server-nomad-asg-user', made = ['nomad_asg_user_access_key', 'nomad_asg_user_secret_key']
  await cli('iam', 'create-user', '--user-name', theirs)
  const { AccessKey: { AccessKeyId: id, SecretAccessKey: secret } } = await cli('iam', 'create-access-key', '--user-name', theirs)
  const folder = join(here.env['HOME'] as string, 'nomad-clients')
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(folder, { mode: 0o700 })
  writeFileSync(join(folder, 'main.tf'), [id, secret].map((value, n) => `output "${made[n]}" {\n  value     = "${value}"\n  sensitive = true\n}\n`).join(''))
  const applied = await start(here, ['terraform', `-chdir=${folder}`, 'apply', '-auto-approve', '-input=false'], {}).ended
  expect(applied.code, applied.all).toBe(0)
  for (const way of ['script', 'run']) {
    rmSync(join(here.env['HOME'] as string, FILE), { force: true })
    Object.assign(here.standIns.kots.state, kotsState(Date.now()))
    const text = way === 'script' ? (await run(['--shell'])).stdout : ''
    const { result: { code, all }, shown } = await processesDuring(() => (way === 'script' ? startBash(here, text, { env: aws.env }).ended : run()))
    expect(code, all).toBe(0)
    expect([file(), statSync(join(here.env['HOME'] as string, FILE)).mode & 0o777]).toEqual([`[default]\naws_access_key_id=${id}\naws_secret_access_key=${secret}\n`, 0o600])
    expect((await cli('iam', 'list-users'))['Users'].map(({ UserName }: { UserName: string }) => UserName)).toEqual([theirs])
    await here.standIns.kots.settled()
    expect(here.standIns.kots.state.versions[0]?.values).toMatchObject({ nomad_autoscaler_access_key_id: { value: id }, nomad_autoscaler_secret: { value: secret } })
    expect(shown.filter((one) => one.includes(secret))).toEqual([])
    expect(text + all + journals(here)).not.toContain(secret)
  }
})
