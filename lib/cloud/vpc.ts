/** The network of a cluster of EKS, and the subnets in it. Installation guide 3.3.0, phase 3, "VM service", EKS, step 1. */
import type { Aws } from './aws.ts'
import { oncePerLook } from '../door.ts'
import { bad, ok, preflight } from '../effect.ts'
import { EXIT, fail } from '../fail.ts'
import type { Input } from '../inputs.ts'
import { line } from '../shell.ts'

/** `services` is the range of the cluster's services, `subnets` are those of the cluster. */
export interface Network { id: string; services: string; subnets: string[] }
export interface Subnet { SubnetId: string; VpcId: string; CidrBlock: string; AvailabilityZone: string; MapPublicIpOnLaunch?: boolean }

/** One or more subnets with commas; sorted, each once. */
export const subnetsInput = (say: string, env: string): Input<string[]> => ({
  say, env, takes: 'ids',
  parse: (text) => {
    const ids = [...new Set(text.split(',').map((one) => one.trim()).filter(Boolean))].toSorted()
    const wrong = ids.find((id) => !/^subnet-[0-9a-f]{8}([0-9a-f]{9})?$/.test(id)) ?? (ids.length ? undefined : 'Nothing')
    if (wrong) throw fail(`${wrong} is no id of a subnet.`, 'Write one, or several with a comma: subnet-0aaa1111bbbb2222c.', { code: EXIT.usage })
    return ids
  },
  text: (value) => value.join(','),
})

export interface Vpc {
  aws: Aws
  cluster: string
  /** Undefined where there is no such cluster. */
  network(): Promise<Network | undefined>
  /** Of these ids; undefined where there is none of one of them. */
  subnets(ids: string[]): Promise<Subnet[] | undefined>
}

export const vpcOf = (aws: Aws, cluster: string): Vpc => ({
  aws, cluster,
  network: oncePerLook(async () => {
    const found = await aws.read<{ cluster: { resourcesVpcConfig?: { vpcId?: string; subnetIds?: string[] }; kubernetesNetworkConfig?: { serviceIpv4Cidr?: string } } }>('eks', 'DescribeCluster', { name: cluster })
    const { resourcesVpcConfig: { vpcId: id, subnetIds: subnets = [] } = {}, kubernetesNetworkConfig: { serviceIpv4Cidr: services } = {} } = found?.cluster ?? {}
    return id && services ? { id, services, subnets } : undefined
  }),
  subnets: async (SubnetIds) => (await aws.read<{ Subnets: Subnet[] }>('ec2', 'DescribeSubnets', { SubnetIds }))?.Subnets,
})

/** The same, for a step: the preflight has seen it. */
export const networkOf = async ({ network, cluster, aws }: Vpc): Promise<Network> => {
  const found = await network()
  if (!found) throw fail(`There is no cluster ${cluster} in ${aws.region}, or EKS does not tell its network.`, `Name it with --cluster; those of the region: ${line(aws.words('eks', 'ListClusters', {}))}`)
  return found
}

export const networkIsTold = (vpc: Vpc) => preflight('network', 'EKS tells the network of the cluster', async () => {
  const { id, services } = await networkOf(vpc)
  return ok(`VPC ${id}, services ${services}`)
})

/**
 * Subnets for VMs where none are named: those of the cluster in the first of its zones, public ones where the VMs get public
 * addresses. They have ids only once the cluster is made.
 */
export const subnetsForVms = async (vpc: Vpc, open: boolean): Promise<string[]> => {
  const found = (await vpc.subnets((await networkOf(vpc)).subnets) ?? []).filter(({ MapPublicIpOnLaunch = false }) => MapPublicIpOnLaunch === open)
  const [zone] = found.map(({ AvailabilityZone }) => AvailabilityZone).toSorted()
  if (zone === undefined) throw fail(`The cluster has no ${open ? 'public' : 'private'} subnet for the VMs.`, `Name theirs with --subnets${open ? ', or give them no public addresses (--private-ips)' : ''}.`)
  return found.filter(({ AvailabilityZone }) => AvailabilityZone === zone).map(({ SubnetId }) => SubnetId).toSorted()
}

/** The VMs' subnets are of the cluster's VPC, and of one zone: a volume is of one zone, and a VM has to be where it is. */
export const subnetsAreOfOneZone = (vpc: Vpc, chosen: () => Promise<string[]>) => preflight('subnets', 'the subnets of the VMs are in the VPC of the cluster, and all in one availability zone', async () => {
  const [{ id }, ids] = [await networkOf(vpc), await chosen()], found = await vpc.subnets(ids)
  const list = `Those of the VPC: ${line([...vpc.aws.words('ec2', 'DescribeSubnets', { Filters: [{ Name: 'vpc-id', Values: [id] }] }), '--query', 'Subnets[].[SubnetId,AvailabilityZone,CidrBlock]', '--output', 'text'])}`
  if (!found) return bad(`one of ${ids.join(', ')} is not there`, list)
  const elsewhere = found.filter(({ VpcId }) => VpcId !== id)
  if (elsewhere.length) return bad(`${elsewhere.map(({ SubnetId, VpcId }) => `${SubnetId} is in ${VpcId}`).join(', ')}, and the cluster in ${id}`, list)
  const zones = [...new Set(found.map(({ AvailabilityZone }) => AvailabilityZone))]
  return zones.length > 1 ? bad(`they are in ${zones.length} zones: ${found.map(({ SubnetId, AvailabilityZone }) => `${SubnetId} in ${AvailabilityZone}`).join(', ')}`, `Name those of one zone with --subnets. ${list}`)
    : ok(`${ids.join(', ')} in ${zones[0]}`)
})

/** Where the Nomad clients are: in the subnets that are named, else in the private ones of the cluster; in all of it where none is private. */
export const clientsSubnets = async (vpc: Vpc, named: string[] | undefined): Promise<Subnet[]> => {
  const ids = named ?? (await networkOf(vpc)).subnets, found = await vpc.subnets(ids)
  if (!found) throw fail(`One of the subnets ${ids.join(', ')} is not there.`, 'Name the subnets that Terraform was given for the Nomad clients.')
  const hidden = found.filter(({ MapPublicIpOnLaunch }) => !MapPublicIpOnLaunch)
  return named || !hidden.length ? found : hidden
}

/** They are there: their ranges may reach the VMs. They may be of another VPC that is joined to it. */
export const clientsSubnetsAreThere = (vpc: Vpc, named: string[] | undefined) => preflight('nomad-subnets', 'the subnets of the Nomad clients are there', async () =>
  ok((await clientsSubnets(vpc, named)).map(({ SubnetId, CidrBlock }) => `${SubnetId} ${CidrBlock}`).join(', ')))

/** The addresses of a VPC: 192.168.0.0/16. */
export const rangeOfVpc = async ({ aws }: Vpc, id: string): Promise<string> => {
  const [found] = (await aws.read<{ Vpcs?: { CidrBlock: string }[] }>('ec2', 'DescribeVpcs', { VpcIds: [id] }))?.Vpcs ?? []
  if (!found) throw fail(`There is no VPC ${id} in ${aws.region}.`, `Those that are there: ${line(aws.words('ec2', 'DescribeVpcs', {}))}`)
  return found.CidrBlock
}
