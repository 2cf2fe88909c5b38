/**
 * eksctl in a rehearsal: its flags as the sources of 0.230 have them, its refusals as it words them. It waits for
 * what it begins, which goes on by itself where it is killed; what comes after that is left undone then.
 */
import { addonStatus, beginNodes, eksOf, TAKES, type EksCluster } from './eks.ts'
import { failed, flags, notPlayed, parse, printed, type Call, type Output, type Tool } from './tool.ts'
import type { World } from './world.ts'

const COMMON = flags('', 'region r profile p verbose v color C')
const COMMANDS: Record<string, Record<string, boolean>> = {
  'create cluster': flags('dry-run without-nodegroup write-kubeconfig with-oidc managed enable-auto-mode', 'name n version tags timeout nodegroup-name node-type t nodes N nodes-min m nodes-max M'),
  'create nodegroup': flags('dry-run managed', 'cluster c name n version tags timeout node-type t nodes N nodes-min m nodes-max M'),
  'create addon': flags('force wait', 'cluster c name version tags timeout attach-policy-arn service-account-role-arn'),
  'utils associate-iam-oidc-provider': flags('approve', 'cluster c'),
  'utils write-kubeconfig': flags('set-kubeconfig-context', 'cluster c kubeconfig timeout authenticator-role-arn'),
}

const nameOf = ({ argv }: Call): string => `eksctl ${argv.filter((word) => !word.startsWith('-')).slice(0, argv[0] === 'version' ? 1 : 2).join(' ')}${argv.includes('--dry-run') ? ' --dry-run' : ''}`

/** What of a configuration it would make is of interest, in its own form. */
const configuration = (flag: Record<string, string>): string => `\
apiVersion: eksctl.io/v1alpha5
availabilityZones:
- us-east-1b
- us-east-1d
cloudWatch:
  clusterLogging: {}
iam:
  vpcResourceControllerPolicy: true
  withOIDC: false
kind: ClusterConfig
kubernetesNetworkConfig:
  ipFamily: IPv4
managedNodeGroups:
- amiFamily: AmazonLinux2
  desiredCapacity: ${flag['nodes'] ?? 2}
  disableIMDSv1: true
  instanceType: ${flag['node-type'] ?? 'm5.large'}
  labels:
    alpha.eksctl.io/cluster-name: ${flag['name']}
    alpha.eksctl.io/nodegroup-name: ${flag['nodegroup-name'] ?? 'ng-4aba8a47'}
  maxSize: ${flag['nodes'] ?? 2}
  minSize: ${flag['nodes'] ?? 2}
  name: ${flag['nodegroup-name'] ?? 'ng-4aba8a47'}
  privateNetworking: false
  volumeSize: 80
  volumeType: gp3
metadata:
  name: ${flag['name']}
  region: ${flag['region']}
  version: "${flag['version'] ?? '1.23'}"
privateCluster:
  enabled: false
vpc:
  autoAllocateIPv6: false
  cidr: 192.168.0.0/16
  clusterEndpoints:
    privateAccess: false
    publicAccess: true
  manageSharedNodeSecurityGroupRules: true
  nat:
    gateway: Single
`

const play = (world: World, call: Call): Output => {
  const { argv } = call
  const command = argv.slice(0, 2).join(' ')
  const known = COMMANDS[command]
  if (!known) return notPlayed(`eksctl ${command}`, 'eksctl.ts')
  const { flag } = parse(argv.slice(2), { ...COMMON, ...known })
  const region = flag['region'] ?? ''
  if (command === 'create cluster') return createCluster(world, flag, region)
  const name = flag['cluster'] ?? ''
  const cluster = eksOf(world).clusters[name]
  if (!cluster || cluster.region !== region || world.time < cluster.created + TAKES['control-plane']) return failed(`unable to describe cluster control plane: operation error EKS: DescribeCluster, https response error StatusCode: 404, ResourceNotFoundException: No cluster found for name: ${name}.`)
  if (command === 'create nodegroup') return createNodes(world, name, cluster, flag)
  if (command === 'create addon') return createAddon(world, name, flag)
  if (command === 'utils associate-iam-oidc-provider') Object.assign(cluster, flag['approve'] ? { issuer: true } : {})
  else cluster.context = true
  return printed('')
}

const createCluster = (world: World, flag: Record<string, string>, region: string): Output => {
  const { clusters, offered, fails } = eksOf(world)
  const { name = '', version = '' } = flag
  if (!offered.includes(version)) return failed(`invalid version, supported values: ${offered.join(', ')}`)
  if (flag['dry-run']) {
    const refused = ['profile', 'timeout', 'write-kubeconfig'].find((one) => flag[one] !== undefined)
    return refused ? failed(`cannot use --${refused} with --dry-run as this option cannot be represented in ClusterConfig`) : printed(configuration(flag))
  }
  if (clusters[name]) return { stdout: `[✖]  creating CloudFormation stack "eksctl-${name}-cluster": operation error CloudFormation: CreateStack, AlreadyExistsException: Stack [eksctl-${name}-cluster] already exists\n`, stderr: `Error: failed to create cluster "${name}"\n`, code: 1 }
  if (!flag['without-nodegroup']) return notPlayed('eksctl create cluster with nodes', 'eksctl.ts')
  clusters[name] = { created: world.time, region, version, own: true, addons: {}, ...(fails ? { fails } : {}) }
  const failing = fails?.part === 'control-plane'
  return {
    ...(failing ? { stdout: `[✖]  ${fails.resource}: CREATE_FAILED – "${fails.reason}"\n`, stderr: `Error: failed to create cluster "${name}"\n`, code: 1 } : printed('')),
    takes: {
      ms: TAKES['control-plane'],
      end: (later) => {
        const made = eksOf(later).clusters[name]
        if (made && !failing) for (const addon of ['vpc-cni', 'kube-proxy', 'coredns']) made.addons[addon] ??= { created: later.time }
      },
    },
  }
}

const createNodes = (world: World, name: string, cluster: EksCluster, flag: Record<string, string>): Output => {
  if (cluster.nodes) return failed(`creating CloudFormation stack "eksctl-${name}-nodegroup-${flag['name']}": AlreadyExistsException: Stack [eksctl-${name}-nodegroup-${flag['name']}] already exists`)
  beginNodes(world, name, cluster, { created: world.time, name: flag['name'] ?? 'ng-4aba8a47', count: Number(flag['nodes'] ?? 2), type: flag['node-type'] ?? 'm5.large' })
  return { ...printed(''), takes: { ms: TAKES.nodes, end: () => undefined } }
}

const createAddon = (world: World, name: string, flag: Record<string, string>): Output => {
  const cluster = eksOf(world).clusters[name]
  const { name: addon = '' } = flag
  // One that is there is left alone.
  if (!cluster || addonStatus(world, cluster, addon)) return printed('')
  const policy = flag['attach-policy-arn'] !== undefined
  if (policy && cluster.role) return failed('creating CloudFormation stack: AlreadyExistsException: Stack already exists')
  if (policy && cluster.issuer) cluster.role = { created: world.time }
  const role = cluster.role || flag['service-account-role-arn'] ? { role: true as const } : {}
  const make = (now: World): void => { (eksOf(now).clusters[name]?.addons ?? {})[addon] = { created: now.time, ...role } }
  if (policy) return { ...printed(''), takes: { ms: TAKES.role, end: make } }
  make(world)
  return printed('')
}

export const eksctl: Tool = {
  name: nameOf,
  mutates: (call) => !/^eksctl version|--dry-run$/.test(nameOf(call)),
  play,
}
