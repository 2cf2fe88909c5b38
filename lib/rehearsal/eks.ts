/**
 * EKS and CloudFormation in a rehearsal: clusters, their nodes and addons, and the stacks in which eksctl makes them. How
 * far each is follows from the time since it was begun.
 */
import { AwsRefusal } from './aws.ts'
import { networkOfCluster } from './ec2.ts'
import { digest, iso, later, type World } from './world.ts'

const SECOND = 1000, MINUTE = 60_000

/** How long each takes. */
export const TAKES = { 'control-plane': 11 * MINUTE, nodes: 4 * MINUTE, addon: 40 * SECOND, role: MINUTE }

/** `created` is when it was begun, in milliseconds of the rehearsal. */
interface Begun { created: number }
export interface EksCluster extends Begun {
  region: string
  version: string
  /** False: eksctl did not make it. */
  own: boolean
  issuer?: true
  nodes?: Begun & { name: string; count: number; type: string }
  addons: Record<string, Begun & { role?: true }>
  /** The stack of the driver's role. */
  role?: Begun
  /** Its credentials are in the kubeconfig. */
  context?: true
  /** What of it fails, and why. */
  fails?: { part: 'control-plane' | 'nodes'; resource: string; reason: string }
}
export interface EksWorld {
  clusters: Record<string, EksCluster>
  /** Versions of Kubernetes for new clusters. */
  offered: string[]
  /** What IAM does not allow. */
  denied?: string[]
  /** What the next cluster fails of. */
  fails?: EksCluster['fails']
}

/** As EKS was at the time of the rehearsal. */
export const eksWorld = (): EksWorld => ({ clusters: {}, offered: ['1.21', '1.22', '1.23', '1.24'] })
/** A world of before it was played has none yet. */
export const eksOf = (world: World): EksWorld => (world.eks ??= eksWorld())

type Part = keyof typeof TAKES
const isOver = ({ time }: World, begun: Begun, part: Part): boolean => time >= begun.created + TAKES[part]
const failed = (cluster: EksCluster, part: Part): boolean => cluster.fails?.part === part

/** Some cluster was made, and its API server answers. */
export const eksIs = (world: World): boolean => Object.values(world.eks?.clusters ?? {}).some((one) => isOver(world, one, 'control-plane') && !failed(one, 'control-plane'))

export const addonStatus = (world: World, cluster: EksCluster, name: string): 'ACTIVE' | 'CREATING' | 'DEGRADED' | undefined => {
  const addon = cluster.addons[name]
  if (!addon || world.time < addon.created) return undefined
  if (['coredns', 'metrics-server', 'aws-ebs-csi-driver'].includes(name) && !(cluster.nodes && isOver(world, cluster.nodes, 'nodes'))) return 'DEGRADED'
  return isOver(world, addon, 'addon') ? 'ACTIVE' : 'CREATING'
}

/** Another spelling of this machine: the same server as that of the installation, and another address. */
const spelled = (url: string): string => url.replace('127.0.0.1', '127.1')
const id = (name: string): string => digest(`cluster ${name}`).slice(0, 32).toUpperCase()
const issuerOf = ({ region }: EksCluster, name: string): string => `oidc.eks.${region}.amazonaws.com/id/${id(name)}`

/** What stands in the kubeconfig of it. */
export const eksContexts = (world: World, url: string) => Object.entries(world.eks?.clusters ?? {}).filter(([, { context }]) => context)
  .map(([name, { region }]) => ({ cluster: `${name}.${region}.eksctl.io`, user: `operator@${name}.${region}.eksctl.io`, server: spelled(url) }))

const notFound = (what: string) => new AwsRefusal('ResourceNotFoundException', 404, what)

/** There is one from when its stack has come so far; one that failed is gone again. */
const clusterOf = (world: World, region: string, name: string): EksCluster => {
  const cluster = eksOf(world).clusters[name]
  if (cluster?.region !== region || world.time < cluster.created + 2 * MINUTE || failed(cluster, 'control-plane')) throw notFound(`No cluster found for name: ${name}.`)
  return cluster
}

interface Stack { begun: Begun; part: Part; resources: string[] }
/** Events of a stack: what it makes, in order; the newest comes first. */
const stackOf = (world: World, region: string, name: string): Stack & { cluster: EksCluster } => {
  const [, clusterName = '', what = ''] = /^eksctl-(.+?)-(cluster|nodegroup-.+|addon-aws-ebs-csi-driver)$/.exec(name) ?? []
  const cluster = eksOf(world).clusters[clusterName]
  const found: Stack | undefined = !cluster || cluster.region !== region || !cluster.own ? undefined
    : what === 'cluster' ? { begun: cluster, part: 'control-plane', resources: ['VPC', 'InternetGateway', 'ServiceRole', 'NATGateway', 'ControlPlane'] }
    : what.startsWith('addon') ? cluster.role && { begun: cluster.role, part: 'role', resources: ['Role1'] }
    : cluster.nodes?.name === what.replace('nodegroup-', '') ? { begun: cluster.nodes, part: 'nodes', resources: ['NodeInstanceRole', 'LaunchTemplate', 'ManagedNodeGroup'] } : undefined
  if (!cluster || !found) throw new AwsRefusal('ValidationError', 400, `Stack with id ${name} does not exist`)
  return { ...found, cluster }
}

const statusOf = (world: World, { begun, part, cluster }: Stack & { cluster: EksCluster }): string =>
  (!isOver(world, begun, part) ? 'CREATE_IN_PROGRESS' : failed(cluster, part) ? 'ROLLBACK_COMPLETE' : 'CREATE_COMPLETE')

const eventsOf = (world: World, name: string, stack: Stack & { cluster: EksCluster }): object[] => {
  const { begun, part, resources, cluster: { fails } } = stack
  const each = TAKES[part] / resources.length / 2
  const events = resources.flatMap((LogicalResourceId, n) => [
    { LogicalResourceId, at: begun.created + each * 2 * n, ResourceStatus: 'CREATE_IN_PROGRESS' },
    { LogicalResourceId, at: begun.created + each * (2 * n + 2), ...(fails?.part === part && fails.resource === LogicalResourceId ? { ResourceStatus: 'CREATE_FAILED', ResourceStatusReason: fails.reason } : { ResourceStatus: 'CREATE_COMPLETE' }) },
  ])
  const end = { LogicalResourceId: name, at: begun.created + TAKES[part], ResourceStatus: statusOf(world, stack) }
  return [...events, end].filter(({ at }) => at <= world.time).map(({ at, ...event }) => ({ StackName: name, Timestamp: iso(at), ...event })).toReversed()
}

type Play = (world: World, input: any, region: string, url: string) => object

export const EKS: Record<string, Play> = {
  'eks.DescribeClusterVersions': (world) => ({ clusterVersions: eksOf(world).offered.map((clusterVersion) => ({ clusterVersion, clusterType: 'eks' })) }),
  'eks.DescribeCluster': (world, { name }, region, url) => {
    const cluster = clusterOf(world, region, name)
    const active = isOver(world, cluster, 'control-plane')
    return { cluster: {
      name, version: cluster.version, status: active ? 'ACTIVE' : 'CREATING', ...(active ? { endpoint: spelled(url), identity: { oidc: { issuer: `https://${issuerOf(cluster, name)}` } } } : {}),
      ...networkOfCluster(), tags: cluster.own ? { 'alpha.eksctl.io/cluster-name': name } : {},
    } }
  },
  'eks.ListNodegroups': (world, { clusterName }, region) => {
    const { nodes } = clusterOf(world, region, clusterName)
    return { nodegroups: nodes && world.time >= nodes.created + MINUTE ? [nodes.name] : [] }
  },
  'eks.DescribeNodegroup': (world, { clusterName, nodegroupName }, region) => {
    const { nodes } = clusterOf(world, region, clusterName)
    if (!nodes || nodes.name !== nodegroupName) throw notFound(`No node group found for name: ${nodegroupName}.`)
    const { count, type } = nodes
    return { nodegroup: { nodegroupName, status: isOver(world, nodes, 'nodes') ? 'ACTIVE' : 'CREATING', instanceTypes: [type], scalingConfig: { minSize: count, maxSize: count, desiredSize: count } } }
  },
  'eks.DescribeAddon': (world, { clusterName, addonName }, region) => {
    const cluster = clusterOf(world, region, clusterName)
    const status = addonStatus(world, cluster, addonName)
    if (!status) throw notFound(`No addon: ${addonName} found in cluster: ${clusterName}`)
    const issues = status === 'DEGRADED' ? [{ code: 'InsufficientNumberOfReplicas', message: 'The add-on is unhealthy because it doesn\'t have the desired number of replicas.' }] : []
    return { addon: { addonName, status, health: { issues }, ...(cluster.addons[addonName]?.role ? { serviceAccountRoleArn: `arn:aws:iam::${world.aws.account}:role/eksctl-${clusterName}-addon-${addonName}-Role1` } : {}) } }
  },
  'cloudformation.DescribeStacks': (world, { StackName }, region) => {
    const stack = stackOf(world, region, StackName)
    return { Stacks: [{ StackName, StackStatus: statusOf(world, stack), ...(stack.part === 'role' ? { Outputs: [{ OutputKey: 'Role1', OutputValue: `arn:aws:iam::${world.aws.account}:role/${StackName}-Role1` }] } : {}) }] }
  },
  'cloudformation.DescribeStackEvents': (world, { StackName }, region) => ({ StackEvents: eventsOf(world, StackName, stackOf(world, region, StackName)) }),
  'iam.SimulatePrincipalPolicy': (world, { ActionNames }) => ({
    EvaluationResults: (ActionNames as string[]).map((EvalActionName) => ({ EvalActionName, EvalDecision: eksOf(world).denied?.includes(EvalActionName) ? 'implicitDeny' : 'allowed' })),
  }),
  'iam.ListOpenIDConnectProviders': (world) => ({
    OpenIDConnectProviderList: Object.entries(eksOf(world).clusters).filter(([, { issuer }]) => issuer).map(([name, cluster]) => ({ Arn: `arn:aws:iam::${world.aws.account}:oidc-provider/${issuerOf(cluster, name)}` })),
  }),
}

export const beginNodes = (world: World, name: string, cluster: EksCluster, nodes: NonNullable<EksCluster['nodes']>): void => {
  cluster.nodes = nodes
  if (!failed(cluster, 'nodes')) later(world, TAKES.nodes - 20 * SECOND, { do: 'join-nodes', name: `eks ${name}` })
}
