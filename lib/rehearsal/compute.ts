/**
 * Google Compute Engine in a rehearsal, through `gcloud compute`: networks with their subnets, firewall rules, and the
 * group in which the Nomad clients are. Flags and refusals as gcloud 528 has them.
 */
import type { World } from './world.ts'

interface Firewall { network: string; sources: string[]; ports: number[]; tags: string[]; description: string; off?: true; /** Machines that it lets in too, by their tags. */ fromTags?: string[] }
export interface ComputeWorld {
  firewalls: Record<string, Firewall>
  /** Managed instance groups: what Terraform made them with. */
  groups: Record<string, { zone?: string; region?: string; min: number; max: number }>
}

/** The group of the Nomad clients, and the network of the cluster, as Terraform and gcloud name them. */
const CLIENTS = 'nomad', NETWORK = 'default', SUBNET = 'default'
/** What of the machine types is known here: CPUs, MB, and an architecture where it is not that of all others. */
const MACHINES: Record<string, { guestCpus: number; memoryMb: number; architecture?: string }> = {
  'n2-standard-8': { guestCpus: 8, memoryMb: 32_768 }, 'e2-standard-8': { guestCpus: 8, memoryMb: 32_768 }, 'n1-standard-8': { guestCpus: 8, memoryMb: 30_720 },
  'e2-micro': { guestCpus: 2, memoryMb: 1024 }, 'm2-ultramem-416': { guestCpus: 416, memoryMb: 12_058_624 }, 't2a-standard-8': { guestCpus: 8, memoryMb: 32_768, architecture: 'ARM64' },
}
export const computeWorld = (): ComputeWorld => ({ firewalls: {}, groups: { [CLIENTS]: { zone: 'us-east1-b', min: 1, max: 4 } } })
/** A world of before it was played has none yet. */
export const computeOf = (world: World): ComputeWorld => (world.compute ??= computeWorld())

export const COMPUTE_FLAGS: Record<string, string[]> = {
  'compute instance-groups managed describe': ['zone', 'region'], 'compute machine-types describe': ['zone'],
  'compute networks describe': [], 'compute networks subnets describe': ['region'],
  'compute firewall-rules describe': [],
  'compute firewall-rules create': ['network', 'direction', 'action', 'rules', 'source-ranges', 'target-tags', 'description'],
  'compute firewall-rules update': ['rules', 'source-ranges', 'target-tags', 'source-tags', 'no-disabled'],
}

interface Asked { world: World; on: string; flag: Record<string, string>; refuse(text: string): Error }
type Play = (asked: Asked) => object

const list = (text = ''): string[] => text.split(',').filter(Boolean)
const ports = (text = ''): number[] => list(text).map((one) => Number(/^tcp:(\d+)$/i.exec(one)?.[1]))
const absent = ({ refuse }: Asked, what: string) => refuse(`Could not fetch resource:\n - The resource 'projects/my-project/${what}' was not found`)

export const COMPUTE: Record<string, Play> = {
  'compute instance-groups managed describe': (asked) => {
    const group = computeOf(asked.world).groups[asked.on]
    if (!group || group.zone !== asked.flag['zone'] || group.region !== asked.flag['region']) throw absent(asked, `zones/${asked.flag['zone']}/instanceGroupManagers/${asked.on}`)
    return { name: asked.on, autoscaler: { autoscalingPolicy: { minNumReplicas: group.min, maxNumReplicas: group.max } } }
  },
  'compute machine-types describe': (asked) => {
    const machine = MACHINES[asked.on]
    if (!machine) throw absent(asked, `zones/${asked.flag['zone']}/machineTypes/${asked.on}`)
    return { name: asked.on, architecture: 'X86_64', ...machine }
  },
  'compute networks describe': (asked) => {
    if (asked.on !== NETWORK) throw absent(asked, `global/networks/${asked.on}`)
    return { name: NETWORK, autoCreateSubnetworks: true, selfLink: `https://www.googleapis.com/compute/v1/projects/my-project/global/networks/${NETWORK}` }
  },
  'compute networks subnets describe': (asked) => {
    if (asked.on !== SUBNET) throw absent(asked, `regions/${asked.flag['region']}/subnetworks/${asked.on}`)
    return { name: SUBNET, ipCidrRange: '10.142.0.0/20', network: `https://www.googleapis.com/compute/v1/projects/my-project/global/networks/${NETWORK}` }
  },
  'compute firewall-rules describe': (asked) => {
    const rule = computeOf(asked.world).firewalls[asked.on]
    if (!rule) throw absent(asked, `global/firewalls/${asked.on}`)
    return {
      name: asked.on, direction: 'INGRESS', network: `https://www.googleapis.com/compute/v1/projects/my-project/global/networks/${rule.network}`, description: rule.description,
      sourceRanges: rule.sources, ...(rule.fromTags ? { sourceTags: rule.fromTags } : {}), targetTags: rule.tags, disabled: rule.off ?? false, allowed: rule.ports.map((port) => ({ IPProtocol: 'tcp', ports: [String(port)] })),
    }
  },
  'compute firewall-rules create': ({ world, on, flag, refuse }) => {
    const { firewalls } = computeOf(world)
    if (firewalls[on]) throw refuse(`Could not fetch resource:\n - The resource 'projects/my-project/global/firewalls/${on}' already exists`)
    if (!flag['source-ranges'] || !flag['target-tags']) throw refuse('rehearsal: rules without a source or a tag are not played; extend lib/rehearsal/compute.ts')
    firewalls[on] = { network: flag['network']?.split('/').at(-1) ?? 'default', sources: list(flag['source-ranges']), ports: ports(flag['rules']), tags: list(flag['target-tags']), description: flag['description'] ?? '' }
    return {}
  },
  'compute firewall-rules update': (asked) => {
    const rule = computeOf(asked.world).firewalls[asked.on]
    if (!rule) throw absent(asked, `global/firewalls/${asked.on}`)
    Object.assign(rule, { sources: list(asked.flag['source-ranges']), ports: ports(asked.flag['rules']), tags: list(asked.flag['target-tags']) })
    if (asked.flag['source-tags'] === '') delete rule.fromTags
    if ('no-disabled' in asked.flag) delete rule.off
    return {}
  },
}
