/**
 * EC2 in a rehearsal, as far as a network goes: the VPC of a cluster with its subnets, security groups with their rules,
 * images; and the group in which the Nomad clients are.
 */
import { DEFAULT_AMIS } from '../cloud/amis.ts'
import { AwsRefusal } from './aws.ts'
import { digest, type World } from './world.ts'

type Tags = { Key: string; Value: string }[]
/** `to` is the last of several ports. */
interface Rule { port: number; to?: number; from: string; why: string }
export interface Ec2World {
  groups: Record<string, { name: string; vpc: string; tags: Tags; rules: Rule[] }>
  /** The default images of VM service were deregistered. */
  noImages?: boolean
  /** Groups of autoscaling: what Terraform made them with. */
  scaling: Record<string, { min: number; max: number; desired: number }>
}

/** The group of the Nomad clients, as Terraform names it. */
const CLIENTS = 'server_circleci_nomad_clients_asg'
export const ec2World = (): Ec2World => ({ groups: {}, scaling: { [CLIENTS]: { min: 1, max: 5, desired: 2 } } })
/** A world of before it was played has none yet. */
export const ec2Of = (world: World): Ec2World => (world.ec2 ??= ec2World())

const SUBNETS: Record<string, { range: string; zone: string; elsewhere?: true; open?: true }> = {
  'subnet-0aaa1111bbbb22220': { range: '192.168.0.0/19', zone: 'a', open: true },
  'subnet-0aaa1111bbbb22221': { range: '192.168.32.0/19', zone: 'a' },
  'subnet-0aaa1111bbbb22222': { range: '192.168.64.0/19', zone: 'b' },
  'subnet-0ccc3333dddd44440': { range: '172.31.0.0/20', zone: 'a', elsewhere: true },
}
export const WINDOWS = 'ami-0aaaa2222bbbb3333', LINUX = 'ami-0aaaa2222bbbb4444'

const VPC = 'vpc-0aaa1111bbbb22223'
/** What EKS tells of the network of a cluster. */
export const networkOfCluster = () => ({ resourcesVpcConfig: { vpcId: VPC, subnetIds: Object.keys(SUBNETS).slice(0, 3) }, kubernetesNetworkConfig: { serviceIpv4Cidr: '10.100.0.0/16' } })

const refused = (name: string, message: string) => new AwsRefusal(name, 400, message)
const groupOf = (world: World, id: string) => {
  const group = ec2Of(world).groups[id]
  if (!group) throw refused('InvalidGroup.NotFound', `The security group '${id}' does not exist`)
  return group
}

const shown = (id: string, { name, vpc, tags, rules }: Ec2World['groups'][string]) => ({
  GroupId: id, GroupName: name, VpcId: vpc, Tags: tags,
  IpPermissions: [...new Set(rules.map(({ port, to = port }) => `${port} ${to}`))].map((ports) => {
    const own = rules.filter(({ port, to = port }) => `${port} ${to}` === ports), [first, last] = ports.split(' ').map(Number)
    const of = (family: 4 | 6) => own.filter(({ from }) => from.includes(':') === (family === 6))
    return {
      IpProtocol: 'tcp', FromPort: first, ToPort: last, IpRanges: of(4).map(({ from, why }) => ({ CidrIp: from, Description: why })),
      Ipv6Ranges: of(6).map(({ from, why }) => ({ CidrIpv6: from, Description: why })),
    }
  }),
})

type Play = (world: World, input: any, region: string) => object

export const EC2: Record<string, Play> = {
  'ec2.DescribeSubnets': (_, { SubnetIds }, region) => {
    const unknown = (SubnetIds as string[]).filter((id) => !SUBNETS[id])
    if (unknown.length) throw refused('InvalidSubnetID.NotFound', `The subnet ID '${unknown.join(', ')}' does not exist`)
    return { Subnets: (SubnetIds as string[]).map((id) => ({ SubnetId: id, VpcId: SUBNETS[id]?.elsewhere ? 'vpc-0ccc3333dddd44445' : VPC, CidrBlock: SUBNETS[id]?.range, AvailabilityZone: `${region}${SUBNETS[id]?.zone}`, MapPublicIpOnLaunch: SUBNETS[id]?.open ?? false })) }
  },
  'ec2.DescribeVpcs': (_, { VpcIds }) => ({ Vpcs: (VpcIds as string[]).filter((id) => id === VPC).map((VpcId) => ({ VpcId, CidrBlock: '192.168.0.0/16', State: 'available' })) }),
  'ec2.DescribeImages': (world, { ImageIds }, region) => {
    const [id] = ImageIds as string[]
    const there = id === WINDOWS || id === LINUX || (id === DEFAULT_AMIS[region] && !ec2Of(world).noImages)
    if (!there) throw refused('InvalidAMIID.NotFound', `The image id '[${id}]' does not exist`)
    return { Images: [{ ImageId: id, State: 'available', ...(id === WINDOWS ? { Platform: 'windows' } : {}) }] }
  },
  'ec2.DescribeSecurityGroups': (world, { Filters }) => {
    const wanted = (name: string) => (Filters as { Name: string; Values: string[] }[]).find((one) => one.Name === name)?.Values ?? []
    return { SecurityGroups: Object.entries(ec2Of(world).groups).filter(([, { name, vpc }]) => wanted('vpc-id').includes(vpc) && wanted('group-name').includes(name)).map(([id, group]) => shown(id, group)) }
  },
  'ec2.CreateSecurityGroup': (world, { GroupName, VpcId, TagSpecifications }) => {
    const { groups } = ec2Of(world)
    if (Object.values(groups).some(({ name, vpc }) => name === GroupName && vpc === VpcId)) throw refused('InvalidGroup.Duplicate', `The security group '${GroupName}' already exists for VPC '${VpcId}'`)
    const id = `sg-0${digest(`${VpcId} ${GroupName}`).slice(0, 16)}`
    groups[id] = { name: GroupName, vpc: VpcId, tags: TagSpecifications?.[0].Tags ?? [], rules: [] }
    return { GroupId: id }
  },
  'ec2.AuthorizeSecurityGroupIngress': (world, { GroupId, IpPermissions }) => {
    const { rules } = groupOf(world, GroupId)
    const asked: Rule[] = (IpPermissions as any[]).flatMap(({ FromPort, ToPort, IpProtocol, IpRanges = [] }) => {
      if (IpProtocol !== 'tcp' || FromPort !== ToPort || !IpRanges.length) throw refused('MissingParameter', 'rehearsal: one port of TCP, and a range, are played; extend lib/rehearsal/ec2.ts')
      return IpRanges.map(({ CidrIp, Description }: { CidrIp: string; Description: string }) => ({ port: FromPort, from: CidrIp, why: Description }))
    })
    const twice = asked.find((one) => rules.some(({ port, from }) => port === one.port && from === one.from))
    if (twice) throw refused('InvalidPermission.Duplicate', `the specified rule "peer: ${twice.from}, TCP, from port: ${twice.port}, to port: ${twice.port}, ALLOW" already exists`)
    rules.push(...asked)
    return { Return: true }
  },
  'autoscaling.DescribeAutoScalingGroups': (world, { AutoScalingGroupNames }, region) => ({
    AutoScalingGroups: (AutoScalingGroupNames as string[]).flatMap((name) => {
      const group = ec2Of(world).scaling[name]
      const arn = `arn:aws:autoscaling:${region}:${world.aws.account}:autoScalingGroup:${digest(name).slice(0, 8)}-1111-4222-a333-444455556666:autoScalingGroupName/${name}`
      return group ? [{ AutoScalingGroupName: name, AutoScalingGroupARN: arn, MinSize: group.min, MaxSize: group.max, DesiredCapacity: group.desired }] : []
    }),
  }),
}
