/**
 * A cluster of EKS that eksctl makes: its control plane, its nodes, its addons. Each part is looked at where it is, in EKS
 * and in CloudFormation, so that a run that was cut off goes on, whoever began it.
 */
import type { Aws } from './aws.ts'
import type { Check, Done, Effect } from '../effect.ts'
import type { Fresh } from '../cluster/fresh.ts'
import type { Offer } from '../cluster/versions.ts'
import type { Shape } from '../cluster/sizing.ts'
import type { Trouble } from '../runbook.ts'
import { machineOf } from './ec2.ts'
import { oncePerLook } from '../door.ts'
import { done, impossible, minutes, ok, preflight } from '../effect.ts'
import { fail, type Fail } from '../fail.ts'
import { createAddon, createCluster, createNodes, eksctlIn, type Configuration, type Eksctl, type Shaped, type Wanted } from './eksctl.ts'
import { newContextsGoTo } from '../cluster/kubeconfig.ts'
import { line } from '../shell.ts'
import { newestEvent, outputOf, progressOf, type Progress } from './stacks.ts'

interface Cluster { status: string; version: string; endpoint?: string; identity?: { oidc?: { issuer?: string } }; tags?: Record<string, string> }
interface Group { nodegroupName: string; status: string; instanceTypes?: string[]; scalingConfig?: { desiredSize?: number }; health?: { issues?: { code: string; message: string }[] } }
interface Addon { status: string; serviceAccountRoleArn?: string; podIdentityAssociations?: string[]; health?: { issues?: { code: string; message: string }[] } }

export interface Eks extends Fresh {
  aws: Aws
  name: string
  eksctl: Eksctl
  offer: Offer
  cluster(): Promise<Cluster | undefined>
  group(): Promise<Group | undefined>
}

/** Name of the nodes that are made here. */
export const GROUP = 'server'

export const eksIn = (aws: Aws, name: string): Eks => {
  const cluster = oncePerLook(async () => (await aws.read<{ cluster: Cluster }>('eks', 'DescribeCluster', { name }))?.cluster)
  return {
    aws, name, eksctl: eksctlIn(aws.region), cluster,
    endpoint: async () => (await cluster())?.endpoint,
    // Those of the guide's own line have a name that eksctl made up: whatever nodes there are, are the nodes.
    group: oncePerLook(async () => {
      if (!await cluster()) return undefined
      const names = (await aws.read<{ nodegroups: string[] }>('eks', 'ListNodegroups', { clusterName: name }))?.nodegroups ?? []
      const nodegroupName = names.find((one) => one === GROUP) ?? names[0]
      return nodegroupName === undefined ? undefined : (await aws.read<{ nodegroup: Group }>('eks', 'DescribeNodegroup', { clusterName: name, nodegroupName }))?.nodegroup
    }),
    offer: {
      cloud: 'EKS', silent: 'it does not tell',
      versions: oncePerLook(async () => (await aws.read<{ clusterVersions?: { clusterVersion: string }[] }>('eks', 'DescribeClusterVersions', {}))?.clusterVersions?.map(({ clusterVersion }) => clusterVersion)),
    },
  }
}

const stackName = ({ name }: Eks, part = 'cluster'): string => `eksctl-${name}-${part}`
const deleteStack = ({ aws }: Eks, StackName: string): string => line(aws.words('cloudformation', 'DeleteStack', { StackName }))
/** It needs force where its stack failed before there was a cluster. */
const deleteCluster = ({ name, eksctl }: Eks): string => line(eksctl.words('delete', 'cluster', '--name', name, '--wait', '--force'))

const progressOfCluster = (eks: Eks): Promise<Progress> => progressOf(eks.aws, stackName(eks), deleteCluster(eks))
const progressOfNodes = (eks: Eks): Promise<Progress> => progressOf(eks.aws, stackName(eks, `nodegroup-${GROUP}`), deleteStack(eks, stackName(eks, `nodegroup-${GROUP}`)))

/** Somebody deleted it by hand; eksctl would not make it a second time beside its stack. */
const emptyStack = (stack: string, cleanUp: string): Fail => fail(`The stack ${stack} is there, and what it made is gone.`, `Repeat the same line once the stack is removed: ${cleanUp}`)

/** The control plane is there, or on its way. */
export const haveControlPlane = async (eks: Eks, wanted: () => Promise<Wanted>, config: () => Promise<Configuration>): Promise<Done | Effect[]> => {
  const [cluster, progress] = await Promise.all([eks.cluster(), progressOfCluster(eks)])
  if (cluster?.status === 'FAILED') throw fail(`The cluster ${eks.name} failed.`, `Repeat the same line once what is left of it is removed: ${deleteCluster(eks)}`)
  if (progress === 'going') return []
  if (cluster) return cluster.status === 'ACTIVE' ? done(`${eks.name} is there, Kubernetes ${cluster.version}`) : []
  if (progress === 'made') throw emptyStack(stackName(eks), deleteCluster(eks))
  return [eks.eksctl.effect(`eksctl cluster ${eks.name}`, createCluster(await wanted()), {
    again: 'guarded', far: () => progressOfCluster(eks), watch: () => newestEvent(eks.aws, stackName(eks)),
    preview: async () => ({ changes: (await config()).cluster }),
  })]
}

/** It takes about twelve minutes; its stack goes on without eksctl. */
export const controlPlaneIsActive = (eks: Eks): Check => ({
  say: `the control plane of ${eks.name} is active`, within: minutes(40), prints: 'ACTIVE',
  command: { words: [...eks.aws.words('eks', 'DescribeCluster', { name: eks.name }), '--query', 'cluster.status', '--output', 'text'] },
  holds: async () => {
    const [cluster, progress] = await Promise.all([eks.cluster(), progressOfCluster(eks)])
    return (cluster?.status === 'ACTIVE' && progress !== 'going') || (progress === 'going' ? newestEvent(eks.aws, stackName(eks)) : cluster?.status ?? 'absent')
  },
  hint: async () => `See what its stack waits for: ${line(eks.aws.words('cloudformation', 'DescribeStackEvents', { StackName: stackName(eks) }))}`,
})

/** The cluster's issuer, once IAM trusts it, by its name and by its ARN there. */
export const issuerOf = async ({ aws, cluster }: Eks): Promise<{ name: string; arn: string } | undefined> => {
  const name = (await cluster())?.identity?.oidc?.issuer?.replace('https://', '')
  const { OpenIDConnectProviderList: known = [] } = name ? await aws.read<{ OpenIDConnectProviderList?: { Arn: string }[] }>('iam', 'ListOpenIDConnectProviders', {}) ?? {} : {}
  const found = known.find(({ Arn }) => name && Arn.endsWith(`/${name}`))
  return name && found ? { name, arn: found.Arn } : undefined
}

/** Pods can have identities of AWS: IAM trusts the cluster's issuer. */
export const haveIssuer = async (eks: Eks): Promise<Done | Effect[]> => {
  if (await issuerOf(eks)) return done('IAM trusts the cluster\'s issuer')
  return [eks.eksctl.effect(`eksctl issuer of ${eks.name}`, ['utils', 'associate-iam-oidc-provider', '--cluster', eks.name, '--approve'], { again: 'safe', far: async () => 'absent' })]
}

/** Nodes are there, or on their way. */
export const haveNodes = async (eks: Eks, wanted: Shaped, config: () => Promise<Configuration>): Promise<Done | Effect[]> => {
  const [group, progress] = await Promise.all([eks.group(), progressOfNodes(eks)])
  if (group && /FAILED/.test(group.status)) throw fail(`The nodes ${group.nodegroupName} of ${eks.name} failed: ${troublesOf(group) || group.status}.`, `Repeat the same line once what is left of them is removed: ${line(eks.eksctl.words('delete', 'nodegroup', '--cluster', eks.name, '--name', group.nodegroupName, '--wait'))}`)
  if (progress === 'going') return []
  if (group) return group.status === 'ACTIVE' ? done(nodesText(eks, group, wanted)) : []
  if (progress === 'made') throw emptyStack(stackName(eks, `nodegroup-${GROUP}`), deleteStack(eks, stackName(eks, `nodegroup-${GROUP}`)))
  return [eks.eksctl.effect(`eksctl nodes of ${eks.name}`, createNodes(wanted), {
    again: 'guarded', far: () => progressOfNodes(eks), watch: () => newestEvent(eks.aws, stackName(eks, `nodegroup-${GROUP}`)),
    preview: async () => ({ changes: (await config()).nodes }),
  })]
}

const nodesText = ({ name, eksctl }: Eks, { nodegroupName, instanceTypes = [], scalingConfig }: Group, { nodes, type }: Shaped): string => {
  const has = scalingConfig?.desiredSize ?? 0
  const other = has !== nodes || !instanceTypes.includes(type)
  return `${has} × ${instanceTypes.join(', ')}${other ? `, not ${nodes} × ${type} as named: what is there is left as it is (${line(eksctl.words('scale', 'nodegroup', '--cluster', name, '--name', nodegroupName, '--nodes', String(nodes), '--nodes-max', String(nodes)))} changes the number)` : ''}`
}

const troublesOf = ({ health }: Group | Addon): string => (health?.issues ?? []).map(({ code, message }) => `${code}: ${message}`).join('; ')

export const nodesAreActive = (eks: Eks): Check => ({
  say: `the nodes of ${eks.name} are active`, within: minutes(30), prints: 'ACTIVE',
  command: { words: [...eks.aws.words('eks', 'DescribeNodegroup', { clusterName: eks.name, nodegroupName: GROUP }), '--query', 'nodegroup.status', '--output', 'text'] },
  holds: async () => {
    const [group, progress] = await Promise.all([eks.group(), progressOfNodes(eks)])
    if (group?.status === 'ACTIVE') return true
    return (group && troublesOf(group)) || (progress === 'going' ? newestEvent(eks.aws, stackName(eks, `nodegroup-${GROUP}`)) : group?.status ?? 'absent')
  },
})

const addonOf = async ({ aws, name }: Eks, addonName: string): Promise<Addon | undefined> =>
  (await aws.read<{ addon: Addon }>('eks', 'DescribeAddon', { clusterName: name, addonName }))?.addon

/** An addon of EKS is there, or on its way; `role` is what eksctl is told of the role that it has in AWS. */
export const haveAddon = async (eks: Eks, addon: string, role: string[] = []): Promise<Done | Effect[]> => {
  const found = await addonOf(eks, addon)
  if (found && found.status !== 'CREATE_FAILED') return found.status === 'ACTIVE' ? done(`${addon} is active`) : []
  // eksctl makes them with the control plane.
  if (!await eks.cluster() && !role.length) return []
  return [eks.eksctl.effect(`eksctl addon ${addon}`, createAddon(eks.name, addon, ...role), {
    again: 'safe', far: async () => (await addonOf(eks, addon) ? 'going' : 'absent'), watch: async () => (await addonOf(eks, addon))?.status ?? 'no such addon yet',
  })]
}

export const addonIsActive = (eks: Eks, addon: string): Check => ({
  say: `${addon} is active`, within: minutes(20), prints: 'ACTIVE',
  command: { words: [...eks.aws.words('eks', 'DescribeAddon', { clusterName: eks.name, addonName: addon }), '--query', 'addon.status', '--output', 'text'] },
  holds: async () => {
    const found = await addonOf(eks, addon)
    return found?.status === 'ACTIVE' || (found && troublesOf(found)) || (found?.status ?? 'absent')
  },
})

const DRIVER = 'aws-ebs-csi-driver'
const partitionOf = (region: string): string => (region.startsWith('cn-') ? 'aws-cn' : region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws')

/** The driver without which claims wait for ever, with the role that lets it make volumes. A role whose making outlived its run is used. */
export const haveDriver = async (eks: Eks): Promise<Done | Effect[]> => {
  const stack = stackName(eks, `addon-${DRIVER}`)
  const found = await addonOf(eks, DRIVER)
  if (found && !found.serviceAccountRoleArn && !found.podIdentityAssociations?.length && found.status !== 'CREATE_FAILED') {
    throw fail(`${DRIVER} of ${eks.name} has no role in AWS, and can make no volume.`, `Repeat the same line once it is removed; it makes it with one then: ${line(eks.eksctl.words('delete', 'addon', '--cluster', eks.name, '--name', DRIVER))}`)
  }
  const role = !found && await progressOf(eks.aws, stack, deleteStack(eks, stack)) === 'made' ? await outputOf(eks.aws, stack, 'Role1') : undefined
  return haveAddon(eks, DRIVER, role ? ['--service-account-role-arn', role] : ['--attach-policy-arn', `arn:${partitionOf(eks.aws.region)}:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy`])
}

export const driverIsActive = (eks: Eks): Check => addonIsActive(eks, DRIVER)

/** The role that an earlier run began to make is there, or was never begun. */
export const driversRoleIsSettled = (eks: Eks): Check => {
  const stack = stackName(eks, `addon-${DRIVER}`)
  return {
    say: `nothing is at work on ${stack}`, within: minutes(10), prints: '',
    command: { words: [...eks.aws.words('cloudformation', 'ListStacks', {}), '--query', `StackSummaries[?StackName==\`${stack}\`&&ends_with(StackStatus,\`IN_PROGRESS\`)].StackStatus`, '--output', 'text'] },
    holds: async () => (await progressOf(eks.aws, stack, deleteStack(eks, stack)) === 'going' ? newestEvent(eks.aws, stack) : true),
  }
}

/** What is known to go wrong. Installation guide 3.3.0, "EKS". */
export const troublesOfEks = (eks: Eks): Trouble[] => [
  {
    sign: 'AWS STS Access - cannot get role ARN for current session: InvalidClientTokenID',
    remedy: 'The credentials are not valid, or may not make a cluster of EKS: log in again, or take those of somebody who may. Who you are for AWS:', lines: ['aws sts get-caller-identity'],
  },
  { sign: 'A stack failed.', remedy: 'Its first event that failed says why; mend that, remove the cluster, and run the same line again.', lines: [line(eks.aws.words('cloudformation', 'DescribeStackEvents', { StackName: stackName(eks) })), deleteCluster(eks)] },
  { sign: 'Pods of databases stay Pending, and their claims too.', remedy: 'The driver of volumes is not there, or no storage class is the default: the same line looks at both, and mends them.' },
]

/** How many nodes there have to be: as many as were made, or are named. */
export const nodesWanted = async (eks: Eks, named: number): Promise<number> => (await eks.group())?.scalingConfig?.desiredSize ?? named

/** What writes the credentials of the cluster into the kubeconfig. */
export const writeContext = (eks: Eks): Effect => {
  const file = newContextsGoTo()
  return eks.eksctl.effect(`eksctl context of ${eks.name}`, ['utils', 'write-kubeconfig', '--cluster', eks.name, ...(file ? ['--kubeconfig', file] : [])], { again: 'safe', far: async () => 'absent' })
}

/** The name is free, or the cluster of that name was made by eksctl: only that one can be gone on with. */
export const nameIsOursOrFree = (eks: Eks) => preflight('cluster', `the name ${eks.name} is free in ${eks.aws.region}, or its cluster was made by eksctl`, async () => {
  const [cluster, progress] = await Promise.all([eks.cluster(), progressOfCluster(eks)])
  if (!cluster) return ok(`${eks.name} ${progress === 'going' ? 'is being made' : 'will be made'}`)
  return cluster.tags?.['alpha.eksctl.io/cluster-name'] === eks.name || progress !== 'absent' ? ok(`${eks.name} is there (${cluster.status}), made by eksctl`)
    : impossible(`there is a cluster ${eks.name} in ${eks.aws.region} that eksctl did not make`, 'Name another one with --name; those of the region: ' + line(eks.aws.words('eks', 'ListClusters', {})))
})

/** The nodes that are wanted, measured by what EC2 says of their type; a sentence where it knows none. */
export const shapeOf = async ({ aws }: Eks, nodes: number, type: string): Promise<Shape | string> => {
  const machine = await machineOf(aws, type)
  return typeof machine === 'string' ? machine : { nodes, cores: nodes * machine.cores, gigabytes: nodes * machine.gigabytes, gigabits: machine.network }
}
