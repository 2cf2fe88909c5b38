/**
 * vm-service-aws on a real AWS API server, with a cluster's API server and a stand-in for KOTS: EC2 and IAM have exactly
 * the rules and the policy of the guide's table afterwards, and KOTS what the Config screen asks for.
 */
import { readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { awsIn } from '../../lib/cloud/aws.ts'
import { vmPolicy, vpcArn } from '../../lib/cloud/policies.ts'
import { kotsState } from '../../lib/rehearsal/kots.ts'
import { service } from '../../lib/rehearsal/backups.ts'
import { processesDuring } from '../processes-seen.ts'
import { accountHas, cuttingProxy, startAws, type AwsServer } from './aws.ts'
import { CONTEXT } from './cluster.ts'
import { CLUSTER, lacking } from './components.ts'
import type { Installation } from './installation.ts'
import { onCluster } from './real.ts'
import { journals, start, startBash, type Ended } from './runs.ts'

const BUNDLE = new URL('../../dist/vm-service-aws.mjs', import.meta.url).pathname
const MARK = { Key: 'managed-by', Value: 'circleci-server-runbooks' }
const USER = 'circleci-vm-service', FILE = 'credentials-vm-service', ADDRESS = 'vm-service.elb.example.com'

const { shared } = onCluster('moto_server', 'aws')
const missing = lacking('moto_server', 'aws', 'kubectl', ...CLUSTER)
let aws: AwsServer
let here: Installation
/** What moto gave ids to. */
let made: { vpc: string; subnets: string[]; image: string }

const cli = async (...words: string[]) => {
  const { code, all, stdout } = await start(here, ['aws', ...words, '--region', 'us-east-1', '--output', 'json'], { env: aws.env }).ended
  if (code !== 0) throw new Error(all)
  return JSON.parse(stdout || '{}') as Record<string, any>
}

beforeAll(async () => {
  if (missing) return
  here = await shared()
  aws = await startAws()
  const { kind, metadata, spec, apiVersion } = service('vm-service')
  await here.send('POST', 'v1/services', { body: { apiVersion, kind, metadata: { ...metadata, namespace: here.namespace }, spec } })
  await here.send('PATCH', 'v1/services/vm-service/status', { body: { status: { loadBalancer: { ingress: [{ hostname: ADDRESS }] } } } })
}, 300_000)
afterAll(() => aws?.stop())
beforeEach(async () => {
  if (missing) return
  await aws.reset()
  await here.standIns.kots.settled()
  Object.assign(here.standIns.kots.state, kotsState(Date.now()))
  rmSync(join(here.env['HOME'] as string, FILE), { force: true })
  const { Vpc: { VpcId: vpc } } = await cli('ec2', 'create-vpc', '--cidr-block', '192.168.0.0/16')
  const subnet = async (range: string, zone: string) => (await cli('ec2', 'create-subnet', '--vpc-id', vpc, '--cidr-block', range, '--availability-zone', `us-east-1${zone}`))['Subnet'].SubnetId as string
  const subnets = [await subnet('192.168.0.0/19', 'a'), await subnet('192.168.32.0/19', 'a'), await subnet('192.168.64.0/19', 'b')]
  // What EKS tells of its VPC nobody may say to it, and moto repeats what it is told: not through the CLI, then.
  await fetch(`${aws.url}/clusters`, {
    method: 'POST', headers: { authorization: 'AWS4-HMAC-SHA256 Credential=testing/20221122/us-east-1/eks/aws4_request, SignedHeaders=host, Signature=0', 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'circleci-server', roleArn: 'arn:aws:iam::123456789012:role/eks', resourcesVpcConfig: { subnetIds: subnets, vpcId: vpc }, kubernetesNetworkConfig: { serviceIpv4Cidr: '10.100.0.0/16' } }),
  })
  const { Images } = await cli('ec2', 'describe-images', '--owners', '099720109477')
  made = { vpc, subnets, image: Images.find(({ Platform }: { Platform?: string }) => Platform !== 'windows').ImageId }
})

const words = () => ['--region', 'us-east-1', '--subnets', made.subnets[0] as string, '--nomad-subnets', made.subnets[1] as string, '--users-cidr', '203.0.113.0/24', '--linux-ami', made.image]
const begin = (flags: string[] = [], env: Record<string, string> = {}) =>
  start(here, [process.execPath, BUNDLE, ...words(), '--context', CONTEXT, '--namespace', here.namespace, ...flags], { env: { ...aws.env, ...env } })
const run = (flags?: string[], env?: Record<string, string>): Promise<Ended> => begin(flags, env).ended
const file = () => readFileSync(join(here.env['HOME'] as string, FILE), 'utf8')

interface Group { GroupId: string; GroupName: string; Tags?: { Key: string; Value: string }[]; IpPermissions: { IpProtocol: string; FromPort: number; ToPort: number; IpRanges: { CidrIp: string }[] }[] }
const groups = async () => ((await awsIn('us-east-1').read<{ SecurityGroups: Group[] }>('ec2', 'DescribeSecurityGroups', { Filters: [{ Name: 'vpc-id', Values: [made.vpc] }] }))?.SecurityGroups ?? []).filter(({ GroupName }) => GroupName !== 'default')

const expectSetUp = async () => {
  const all = await groups()
  expect(all.map(({ GroupName }) => GroupName)).toEqual(['circleci-vm-service-sg'])
  const [{ GroupId = '', Tags = [], IpPermissions = [] } = {}] = all
  expect(Tags).toContainEqual(MARK)
  const open = IpPermissions.flatMap(({ IpProtocol, FromPort, ToPort, IpRanges }) => IpRanges.map(({ CidrIp }) => `${IpProtocol} ${FromPort}-${ToPort} ${CidrIp}`)).toSorted()
  expect(open).toEqual([
    ...['10.100.0.0/16', '192.168.32.0/19'].flatMap((from) => [`tcp 22-22 ${from}`, `tcp 2376-2376 ${from}`]), 'tcp 54782-54782 203.0.113.0/24',
  ].toSorted())
  const { keys, tags, policy } = await accountHas(USER, 'none', USER)
  expect([tags, policy]).toEqual([[MARK], vmPolicy('us-east-1', vpcArn('us-east-1', '123456789012', made.vpc), GroupId)])
  expect(keys).toHaveLength(1)
  const [, secret = ''] = /^\[default\]\naws_access_key_id=\S+\naws_secret_access_key=(\S{40})\n$/.exec(file()) ?? []
  expect(statSync(join(here.env['HOME'] as string, FILE)).mode & 0o777).toBe(0o600)
  await here.standIns.kots.settled()
  const [newest] = here.standIns.kots.state.versions
  expect(newest?.status).toBe('deployed')
  expect(newest?.values).toMatchObject(Object.fromEntries(Object.entries({
    vm_service_provider: 'vm_service_ec2', vm_service_load_balancer: ADDRESS, vm_service_public: '1', vm_service_region: 'us-east-1', vm_service_linux_ami: made.image,
    vm_service_subnets: made.subnets[0], vm_service_security_group: GroupId, vm_service_auth: 'vm_service_keys', vm_service_access_key_id: keys[0], vm_service_access_key_secret: secret,
  }).map(([name, value]) => [name, { value }])))
}

test('looking changes nothing; a run sets it up; the same line again has nothing to do', async () => {
  for (const flags of [['--dry-run'], ['--dry-run', '--json'], ['--shell']]) {
    const { code, all } = await run(flags)
    expect(code, all).toBe(0)
  }
  expect([await groups(), here.standIns.kots.state.versions.length]).toEqual([[], 2])
  const first = await run()
  expect(first.code, first.all).toBe(0)
  await expectSetUp()
  const second = await run()
  expect([second.code, second.stderr]).toEqual([0, expect.stringContaining('Nothing to do')])
  await expectSetUp()
})

test.each(['Action=CreateSecurityGroup', 'Action=AuthorizeSecurityGroupIngress', 'Action=CreateAccessKey'])('an answer that was lost (%s) leaves the same in the end', async (request) => {
  const proxy = await cuttingProxy(aws.url, request)
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
  const secret = /secret_access_key=(\S+)/.exec(file())?.[1] as string
  expect(shown.filter((one) => one.includes(secret))).toEqual([])
  expect(all + journals(here)).not.toContain(secret)
  const after = await run()
  expect(after.stderr, after.all).toContain('Nothing to do')
})

test('subnets of two zones, and a region without an image: said before anything is made', async () => {
  const zones = await run(['--subnets', made.subnets.join(',')])
  expect([zones.code, zones.all]).toEqual([3, expect.stringContaining('they are in 2 zones')])
  const image = await start(here, [process.execPath, BUNDLE, ...words().slice(0, -2), '--context', CONTEXT, '--namespace', here.namespace, '--region', 'eu-north-1'], { env: aws.env }).ended
  expect([image.code, image.all]).toEqual([3, expect.stringContaining('no default image in eu-north-1')])
  expect(await groups()).toEqual([])
})
