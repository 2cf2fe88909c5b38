/**
 * vm-service-aws on a real AWS API server, with a cluster's API server and a stand-in for KOTS: EC2 and IAM have exactly
 * the rules and the policy of the guide's table afterwards, and KOTS what the Config screen asks for.
 */
import { expect, test } from 'vitest'
import { awsIn } from '../../lib/cloud/aws.ts'
import { vmPolicy, vpcArn } from '../../lib/cloud/policies.ts'
import { service } from '../../lib/rehearsal/backups.ts'
import { accountHas } from './aws.ts'
import { CONTEXT } from './cluster.ts'
import { kotsOnAws, proves } from './kots-on-aws.ts'
import { start } from './runs.ts'

const BUNDLE = new URL('../../dist/vm-service-aws.mjs', import.meta.url).pathname
const MARK = { Key: 'managed-by', Value: 'circleci-server-runbooks' }
const USER = 'circleci-vm-service', ADDRESS = 'vm-service.elb.example.com'

/** What moto gave ids to. */
let made: { vpc: string; subnets: string[]; image: string }
const words = () => ['--region', 'us-east-1', '--subnets', made.subnets[0] as string, '--nomad-subnets', made.subnets[1] as string, '--users-cidr', '203.0.113.0/24', '--linux-ami', made.image]

const setting = kotsOnAws({
  runbook: 'vm-service-aws', file: 'credentials-vm-service', words,
  furnish: async (here) => {
    const { kind, metadata, spec, apiVersion } = service('vm-service')
    await here.send('POST', 'v1/services', { body: { apiVersion, kind, metadata: { ...metadata, namespace: here.namespace }, spec } })
    await here.send('PATCH', 'v1/services/vm-service/status', { body: { status: { loadBalancer: { ingress: [{ hostname: ADDRESS }] } } } })
  },
  fill: async () => {
    const { Vpc: { VpcId: vpc } } = await cli('ec2', 'create-vpc', '--cidr-block', '192.168.0.0/16')
    const subnet = async (range: string, zone: string) => (await cli('ec2', 'create-subnet', '--vpc-id', vpc, '--cidr-block', range, '--availability-zone', `us-east-1${zone}`))['Subnet'].SubnetId as string
    const subnets = [await subnet('192.168.0.0/19', 'a'), await subnet('192.168.32.0/19', 'a'), await subnet('192.168.64.0/19', 'b')]
    // What EKS tells of its VPC nobody may say to it, and moto repeats what it is told: not through the CLI, then.
    await fetch(`${aws().url}/clusters`, {
      method: 'POST', headers: { authorization: 'AWS4-HMAC-SHA256 Credential=testing/20221122/us-east-1/eks/aws4_request, SignedHeaders=host, Signature=0', 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'circleci-server', roleArn: 'arn:aws:iam::123456789012:role/eks', resourcesVpcConfig: { subnetIds: subnets, vpcId: vpc }, kubernetesNetworkConfig: { serviceIpv4Cidr: '10.100.0.0/16' } }),
    })
    const { Images } = await cli('ec2', 'describe-images', '--owners', '099720109477')
    made = { vpc, subnets, image: Images.find(({ Platform }: { Platform?: string }) => Platform !== 'windows').ImageId }
  },
})
const { aws, here, cli, run, secret, expectPrivate, expectDeployed } = setting

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
  expectPrivate()
  await expectDeployed({
    vm_service_provider: 'vm_service_ec2', vm_service_load_balancer: ADDRESS, vm_service_public: '1', vm_service_region: 'us-east-1', vm_service_linux_ami: made.image,
    vm_service_subnets: made.subnets[0], vm_service_security_group: GroupId, vm_service_auth: 'vm_service_keys', vm_service_access_key_id: keys[0], vm_service_access_key_secret: secret(),
  })
}

proves(setting, { made: groups, expectSetUp, lost: ['Action=CreateSecurityGroup', 'Action=AuthorizeSecurityGroupIngress', 'Action=CreateAccessKey'] })

test('subnets of two zones, and a region without an image: said before anything is made', async () => {
  const zones = await run(['--subnets', made.subnets.join(',')])
  expect([zones.code, zones.all]).toEqual([3, expect.stringContaining('they are in 2 zones')])
  const image = await start(here(), [process.execPath, BUNDLE, ...words().slice(0, -2), '--context', CONTEXT, '--namespace', here().namespace, '--region', 'eu-north-1'], { env: aws().env }).ended
  expect([image.code, image.all]).toEqual([3, expect.stringContaining('no default image in eu-north-1')])
  expect(await groups()).toEqual([])
})
