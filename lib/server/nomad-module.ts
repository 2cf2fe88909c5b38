/**
 * main.tf of the Nomad clients: CircleCI's module for the cloud, at the tag that fits the server; each value with where it
 * came from. Mutual TLS is on, whatever the guide's example says. Installation guide 3.3.0, phase 3.
 */
import { gcpIn } from '../cloud/gcp.ts'
import { clusterNetwork, networksIn } from '../cloud/networks.ts'
import { thirdAddress } from '../cloud/cidr.ts'
import { awsIn } from '../cloud/aws.ts'
import { eksIn, issuerOf } from '../cloud/eks.ts'
import { awsGroup } from '../cloud/scaling.ts'
import { hcl, type Value } from '../cloud/hcl.ts'
import type { Look, Main, Variable } from '../cloud/terraform.ts'
import { clientsSubnets, networkOf as networkInAws, rangeOfVpc, vpcOf } from '../cloud/vpc.ts'
import { cluster } from '../cluster/kubernetes.ts'
import { fail } from '../fail.ts'
import { flagOf } from '../inputs.ts'
import type { Trouble } from '../runbook.ts'
import { line } from '../shell.ts'
import { clientsSet, NAME as AUTOSCALER } from './autoscaler.ts'
import { addressOf, hasAddress } from './balancers.ts'
import { isOlder, serverVersion } from './kots.ts'
import { RPC } from './nomad.ts'
import { groupName, type Given } from './nomad-inputs.ts'

export const SERVICE = 'nomad-server-external'
/** What a main.tf of ours begins with. */
export const MARK = '# Nomad clients of CircleCI server, by the runbook nomad-terraform'

/** Where the clients find the servers, without the port. Throws while there is no such address. */
export const serverAddress = async ({ endpoint }: Pick<Given, 'endpoint'>): Promise<string> => {
  const address = endpoint ?? await addressOf(SERVICE)
  if (address) return address
  throw fail(`The service ${SERVICE} has no address yet.`, await hasAddress(SERVICE).hint?.() ?? '')
}

const listOf = (text: string | undefined): string[] => text?.split(',') ?? []

interface Network { variables: Record<string, Variable>; say: string }

/** VPC, its DNS server and the subnets, of the cluster in EKS. */
const inAws = async (given: Given): Promise<Network> => {
  const aws = awsIn(given.region ?? '', given.profile), vpc = vpcOf(aws, given.cluster)
  const { id: vpcId } = await networkInAws(vpc)
  const [cidr, clients] = [await rangeOfVpc(vpc, vpcId), await clientsSubnets(vpc, given.subnets)]
  const strange = clients.find((one) => one.VpcId !== vpcId)
  if (strange) throw fail(`The subnet ${strange.SubnetId} is in ${strange.VpcId}, and not in ${vpcId}, the VPC of the cluster.`, `Name others with --subnets: ${line(aws.words('ec2', 'DescribeSubnets', { Filters: [{ Name: 'vpc-id', Values: [vpcId] }] }))}`)
  const chosen = clients.map(({ SubnetId }) => SubnetId).toSorted(), isPrivate = clients.every(({ MapPublicIpOnLaunch }) => !MapPublicIpOnLaunch)
  const from = `of cluster ${given.cluster}`
  return {
    say: `${vpcId} of cluster ${given.cluster}, ${cidr}; ${chosen.join(', ')}`,
    variables: {
      vpc_id: { value: vpcId, from: `the VPC ${from}` },
      subnets: { value: chosen, from: given.subnets ? '--subnets' : isPrivate ? `the private subnets ${from}` : `the subnets ${from}, none of which is private` },
      dns_server: given.dnsServer ? { value: given.dnsServer, from: '--dns-server' } : { value: thirdAddress(cidr), from: `the third address of the VPC, ${cidr}` },
    },
  }
}

/** Network and subnetwork, of the cluster in GKE; of a shared VPC their whole addresses. Those that are named have to be there. */
const inGcp = async (given: Given): Promise<Network> => {
  const gcp = gcpIn(given.project ?? ''), networks = networksIn(gcp, given.cluster), region = regionOf(given)
  const ofCluster = given.network ? undefined : await clusterNetwork(networks)
  if (given.network) {
    const isAuto = await networks.isAuto(given.network)
    if (isAuto === undefined) throw fail(`There is no network ${given.network} in project ${gcp.project}.`, `Those that there are: ${line(gcp.words('compute', 'networks', 'list'))}`)
    if (!isAuto && !given.subnetwork) throw fail(`The network ${given.network} does not have a subnetwork in each region by itself.`, `Name one with --subnetwork: ${line(gcp.words('compute', 'networks', 'subnets', 'list', `--network=${given.network}`))}`)
  }
  if (given.subnetwork && !await networks.range(given.subnetwork, region)) throw fail(`There is no subnetwork ${given.subnetwork} in ${region}.`, `Those that there are: ${line(gcp.words('compute', 'networks', 'subnets', 'list', `--regions=${region}`))}`)
  if (!given.subnetwork && ofCluster && ofCluster.region !== region) throw fail(`The zone ${given.zone} is not in ${ofCluster.region}, where the subnetwork of the cluster is.`, `Name one of its zones with --zone: ${ofCluster.region}-b`)
  const from = `of cluster ${given.cluster}`
  const variables = {
    project: { value: gcp.project, from: '--project' }, zone: { value: given.zone ?? '', from: '--zone' }, region: { value: region, from: 'that of the zone' },
    network: ofCluster ? { value: ofCluster.network, from: `the network ${from}` } : { value: given.network ?? '', from: '--network' },
    subnetwork: given.subnetwork || !ofCluster ? { value: given.subnetwork ?? '', from: given.subnetwork ? '--subnetwork' : 'the network\'s own in the region' } : { value: ofCluster.subnetwork, from: `the subnetwork ${from}` },
  }
  return { say: `${variables.network.value}${variables.subnetwork.value ? `, ${variables.subnetwork.value}` : ''}, in ${given.zone}`, variables }
}

const regionOf = ({ zone = '' }: { zone?: string | undefined }): string => zone.replace(/-[a-z]$/, '')

/** The network of the clients, in a sentence and as variables. */
export const networkOf = (given: Given): Promise<Network> => (given.provider === 'aws' ? inAws(given) : inGcp(given))

/** The tag of the module that fits the server: that which is deployed, where KOTS tells. */
const tagFor = async ({ serverVersion: named }: Given): Promise<{ tag: '3.3.0' | '3.4.0'; server: string }> => {
  const server = await serverVersion() ?? named
  return { server, tag: isOlder(server, '3.4.0') ? '3.3.0' : '3.4.0' }
}

/** Those that have a value, each with the flag that it is from. */
const by = (all: Record<string, [keyof Given, Value | undefined]>): Record<string, Variable> => Object.fromEntries(Object.entries(all).flatMap(([name, [key, value]]) => (value === undefined ? [] : [[name, { value, from: flagOf(key) }]])))

/** What IAM is to trust: the account of the autoscaler in the cluster, as the cluster's issuer names it. */
const identityInCluster = async (values: Given, tag: string): Promise<Variable | undefined> => {
  if (!values.irsa) return undefined
  if (tag === '3.3.0') throw fail('The module for server 3.3 knows no IRSA.', 'Leave --irsa out, or upgrade the server to 3.4 first.')
  const aws = awsIn(values.region ?? '', values.profile), issuer = await issuerOf(eksIn(aws, values.cluster))
  if (!issuer) throw fail(`IAM does not trust the issuer of cluster ${values.cluster}.`, `Let it: ${line(['eksctl', 'utils', 'associate-iam-oidc-provider', '--cluster', values.cluster, '--region', aws.region, '--approve'])}`)
  return { value: { oidc_principal_id: issuer.arn, oidc_eks_variable: `${issuer.name}:sub`, k8s_service_account: `system:serviceaccount:${cluster().namespace}:${AUTOSCALER}` }, from: `--irsa, and the issuer of cluster ${values.cluster}` }
}

const ofAws = async (values: Given, tag: string): Promise<Record<string, Variable>> => {
  const trusted = await identityInCluster(values, tag)
  if (values.clientRole && tag === '3.3.0') throw fail('The module for server 3.3 gives clients no role.', 'Leave --client-role out, or upgrade the server to 3.4 first.')
  return { ...by({
    blocked_cidrs: ['blockedCidrs', values.blockedCidrs ?? []], nodes: ['nodes', values.nodes], max_nodes: ['maxNodes', values.maxNodes], instance_type: ['instanceType', values.instanceType], volume_type: ['volumeType', values.volumeType],
    nomad_auto_scaler: ['autoscaler', values.autoscaler], basename: ['basename', values.basename], ssh_key: ['sshKey', values.sshKey], role_name: ['clientRole', values.clientRole],
    security_group_id: ['securityGroups', values.securityGroups === undefined ? undefined : listOf(values.securityGroups)], instance_tags: ['instanceTags', values.instanceTags],
  }), ...(trusted ? { enable_irsa: trusted } : {}) }
}

const ofGcp = (values: Given, tag: string): Record<string, Variable> => {
  if (values.workloadIdentity && tag === '3.3.0') throw fail('The module for server 3.3 knows no Workload Identity.', 'Leave --workload-identity out, or upgrade the server to 3.4 first.')
  return {
    ...by({
      name: ['name', values.name], min_replicas: ['nodes', values.nodes], max_replicas: ['maxNodes', values.maxNodes], machine_type: ['machineType', values.machineType], disk_type: ['diskType', values.diskType], disk_size_gb: ['diskSize', values.diskSize],
      assign_public_ip: ['privateIp', !values.privateIp], preemptible: ['preemptible', values.preemptible], autoscaling_mode: ['autoscalingMode', values.autoscalingMode], target_cpu_utilization: ['targetCpu', Number(values.targetCpu)],
      blocked_cidrs: ['blockedCidrs', values.blockedCidrs ?? []], retry_with_ssh_allowed_cidr_blocks: ['sshCidrs', values.sshCidrs], nomad_auto_scaler: ['autoscalerAccount', values.autoscalerAccount], autoscaling_schedules: ['autoscalingSchedules', values.autoscalingSchedules],
      add_server_join: ['noServerJoin', values.noServerJoin ? false : undefined], enable_workload_identity: ['workloadIdentity', values.workloadIdentity || undefined],
    }),
    ...(values.workloadIdentity ? { k8s_namespace: { value: cluster().namespace, from: 'namespace of the installation' } } : {}),
  }
}

/** What the root puts out, and the module's name of it. The first three are for KOTS, the others for the autoscaler. */
const OUTPUTS = {
  aws: { nomad_asg_name: 'nomad_asg_name', nomad_asg_user_access_key: 'nomad_asg_user_access_key', nomad_asg_user_secret_key: 'nomad_asg_user_secret_key' },
  gcp: { managed_instance_group_name: 'managed_instance_group_name', managed_instance_group_type: 'managed_instance_group_type', service_account_key_location: 'service_account_key_location' },
} as const
const FOR_KOTS = { nomad_server_cert: 'nomad_server_cert', nomad_server_key: 'nomad_server_key', nomad_ca: 'nomad_tls_ca' }

const backend = ({ state, stateTable, region }: Given): string[] => {
  const [, kind, bucket = '', path = ''] = /^(s3|gs):\/\/([^/]+)\/?(.*)$/.exec(state) ?? []
  const inner = (pairs: [string, string][]) => aligned(pairs).map((row) => `  ${row}`)
  if (kind === 's3') return ['backend "s3" {', ...inner([['bucket', hcl(bucket)], ['key', hcl(path)], ['region', hcl(region ?? '')], ['encrypt', 'true'], stateTable ? ['dynamodb_table', hcl(stateTable)] : ['use_lockfile', 'true']]), '}']
  return kind === 'gs' ? ['backend "gcs" {', ...inner([['bucket', hcl(bucket)], ['prefix', hcl(path || 'nomad')]]), '}'] : ['backend "local" {}']
}

const typeOf = (value: Value): string => {
  if (Array.isArray(value)) return value.every((one) => typeof one === 'string') ? 'list(string)' : 'any'
  return { string: 'string', number: 'number', boolean: 'bool', object: 'map(string)' }[typeof value as 'string' | 'number' | 'boolean' | 'object']
}
const block = (head: string, rows: string[]): string[] => [`${head} {`, ...rows.map((row) => (row ? `  ${row}` : '')), '}', '']
const aligned = (pairs: [string, string][]): string[] => pairs.map(([name, value]) => `${name.padEnd(Math.max(...pairs.map(([one]) => one.length)))} = ${value}`)

/** main.tf for these values. */
export const mainFor = async (values: Given): Promise<Main> => {
  const provider = values.provider as 'aws' | 'gcp'
  const [{ tag, server }, network, address] = [await tagFor(values), await networkOf(values), await serverAddress(values)]
  const variables: Record<string, Variable> = {
    server_endpoint: { value: `${address}:${RPC}`, from: values.endpoint ? '--endpoint' : `address of the service ${SERVICE}` },
    ...(provider === 'aws' ? { region: { value: values.region ?? '', from: '--region' } } : {}), ...network.variables, ...(provider === 'aws' ? await ofAws(values, tag) : ofGcp(values, tag)),
  }
  const set = provider === 'aws' ? await clientsSet(awsGroup(awsIn(values.region ?? '', values.profile), groupName(values))) : undefined
  return { text: textFor(provider, { tag, server }, variables, backend(values)), variables, ...(set === undefined ? {} : { moved: { nodes: set } }) }
}

/** The text of main.tf: the back end, a variable for each value, the module, what it puts out. */
export const textFor = (provider: 'aws' | 'gcp', { tag, server }: { tag: string; server: string }, variables: Record<string, Variable>, stateIn: string[]): string => {
  const own = provider === 'aws' ? ['region'] : ['project']
  const inputs = Object.keys(variables).filter((name) => !own.includes(name))
  const outputs: Record<string, string> = { ...FOR_KOTS, ...OUTPUTS[provider], ...(provider === 'aws' && tag === '3.4.0' ? { nomad_role: 'nomad_role' } : {}) }
  const rows = [
    `${MARK}, for server ${server}.`, '# It is written anew where a value changes: change values there, and not here.', '',
    ...block('terraform', ['required_version = ">= 0.15.4"', 'required_providers {', provider === 'aws' ? '  aws = { source = "hashicorp/aws", version = "~> 3.0" }' : '  google-beta = { source = "hashicorp/google-beta", version = "~> 3.0" }', '}', ...stateIn]),
    ...Object.entries(variables).flatMap(([name, { value, from }]) => block(`variable "${name}"`, [`description = ${hcl(from)}`, `type        = ${typeOf(value)}`, `default     = ${hcl(value)}`])),
    ...(provider === 'aws' ? block('provider "aws"', ['region = var.region']) : block('provider "google-beta"', ['project = var.project', 'region  = var.region', 'zone    = var.zone'])),
    ...block('module "nomad"', [
      `source = "git::https://github.com/CircleCI-Public/server-terraform.git//nomad-${provider}?ref=${tag}"`, '',
      ...aligned([...inputs.map((name): [string, string] => [name, `var.${name}`]), provider === 'aws' ? ['enable_mtls', 'true'] : ['unsafe_disable_mtls', 'false']]),
    ]),
    ...Object.entries(outputs).flatMap(([name, output]) => block(`output "${name}"`, aligned([['value', `module.nomad.${output}`], ...(name.endsWith('_key') ? [['sensitive', 'true'] as [string, string]] : [])]))),
  ]
  return `${rows.join('\n').trimEnd()}\n`
}

/** The line that makes clients anew: those that run keep the certificate, and the address, that they were started with. */
const replaceClients = (values: Given): string => line(values.provider === 'aws'
  ? ['aws', 'autoscaling', 'start-instance-refresh', '--auto-scaling-group-name', groupName(values), '--region', values.region ?? '']
  : ['gcloud', 'compute', 'instance-groups', 'managed', 'rolling-action', 'replace', groupName(values), `--zone=${values.zone}`, `--project=${values.project}`])

/** What comes of a plan that does not only add. */
export const riskOf = async (values: Given, seen: Look): Promise<string | undefined> =>
  (seen.is === 'planned' && seen.outputs.includes('nomad_server_cert')
    ? `the certificates are made anew for ${await serverAddress(values)}:${RPC}: until they are deployed, and the clients replaced (${replaceClients(values)}), no job runs`
    : 'clients may end, with the jobs on them')

/** What Terraform may fail of, for the page. */
export const TROUBLES: Trouble[] = [
  { sign: 'terraform apply fails at aws_launch_configuration:', remedy: 'AWS lets accounts that are new make no launch configurations any more, and the module of server 3.x makes one. Ask AWS support to let this account, or make the clients in an account that may.' },
  { sign: 'terraform init fails at hashicorp/template:', remedy: 'that provider, which the module for server 3.3 wants, has no build for Macs with an ARM processor: run it on another machine.' },
]

/** Why clients may not connect. */
export const whyNone = async (values: Given): Promise<string> =>
  `A new client takes some minutes. Where none comes: it has to reach ${await serverAddress(values)}:${RPC} and the internet. Clients of before the certificates were made anew are to be replaced: ${replaceClients(values)}`
