/**
 * Networks of Google Cloud: that of a cluster, shared or not, and its subnetworks. In a shared VPC they are of another
 * project, and are named by their whole address. Operations guide 3.4.1, "VM Service", Google Cloud Platform.
 */
import type { Gcp } from './gcp.ts'
import { oncePerLook } from '../door.ts'
import { bad, ok, preflight } from '../effect.ts'
import { fail } from '../fail.ts'
import { line } from '../shell.ts'

/** By its name, or its whole address. */
const COMPUTE = 'https://www.googleapis.com/compute/v1/'
/** The project that has what is named so. */
export const ownerOf = (named: string, project: string): string => /\/projects\/([^/]+)\//.exec(named)?.[1] ?? project

/** `pods` is the range of the cluster's pods. */
export interface ClusterNetwork { pods: string; network: string; subnetwork: string; region: string }
export interface Networks {
  gcp: Gcp
  cluster: string
  /** Undefined where there is no such cluster. */
  ofCluster(): Promise<ClusterNetwork | undefined>
  /** The range of a subnetwork; undefined where there is none. */
  range(subnetwork: string, region: string): Promise<string | undefined>
  /** Whether it makes a subnetwork in each region by itself; undefined where there is no such network. */
  isAuto(network: string): Promise<boolean | undefined>
}

export const networksIn = (gcp: Gcp, cluster: string): Networks => {
  /** The whole address where it is of another project. */
  const named = (path: string | undefined, name: string): string => (path && ownerOf(`/${path}`, gcp.project) !== gcp.project ? COMPUTE + path : name)
  return {
    gcp, cluster,
    ofCluster: oncePerLook(async () => {
      interface Found { clusterIpv4Cidr?: string; network?: string; subnetwork?: string; location?: string; networkConfig?: { network?: string; subnetwork?: string } }
      const found = (await gcp.read<Found[]>('container', 'clusters', 'list', `--filter=name=${cluster}`))?.[0]
      const { clusterIpv4Cidr: pods, network = 'default', subnetwork = 'default', location = '', networkConfig: paths = {} } = found ?? {}
      return pods ? {
        pods, network: named(paths.network, network), subnetwork: named(paths.subnetwork, subnetwork),
        region: /regions\/([^/]+)\//.exec(paths.subnetwork ?? '')?.[1] ?? location.replace(/-[a-z]$/, ''),
      } : undefined
    }),
    range: async (subnetwork, region) => (await gcp.read<{ ipCidrRange?: string }>('compute', 'networks', 'subnets', 'describe', subnetwork, ...(subnetwork.startsWith(COMPUTE) ? [] : [`--region=${region}`])))?.ipCidrRange,
    isAuto: async (network) => {
      const found = await gcp.read<{ autoCreateSubnetworks?: boolean }>('compute', 'networks', 'describe', network)
      return found && (found.autoCreateSubnetworks ?? false)
    },
  }
}

/** The same, for a step: the preflight has seen it. */
export const clusterNetwork = async ({ ofCluster, cluster, gcp }: Networks): Promise<ClusterNetwork> => {
  const found = await ofCluster()
  if (!found) throw fail(`There is no cluster ${cluster} in project ${gcp.project}, or GKE does not tell the range of its pods.`, `Name it with --cluster; those of the project: ${line(gcp.words('container', 'clusters', 'list'))}`)
  return found
}

/** Where VMs are to be: the names are those of the Config screen, the subnet empty where the network makes one in each region. */
export interface Place { zone: string; network: string | undefined; subnet: string | undefined; nomad: string | undefined }
export interface Chosen { network: string; subnet: string | undefined; pods: string; clients: string }

/** What is named, or else what the cluster has. Throws where that does not fit the zone. */
export const chosenNetwork = async (networks: Networks, { zone, network: named, subnet, nomad }: Place): Promise<Chosen> => {
  const { pods, network: own, subnetwork, region } = await clusterNetwork(networks), network = named ?? own
  const auto = await networks.isAuto(network)
  if (auto === undefined) throw fail(`There is no network ${network}.`, `Name it with --network, in a shared VPC by its whole address (${COMPUTE}projects/HOST/global/networks/NAME).`)
  const regionOfZone = zone.replace(/-[a-z]$/, '')
  if (!subnet && !auto && region !== regionOfZone) throw fail(`The subnetwork of the cluster is in ${region}, and ${zone} is not; ${network} makes none by itself.`, `Name a subnetwork of ${regionOfZone} with --subnet, or a zone of ${region} with --zone.`)
  const clients = await networks.range(nomad ?? subnetwork, nomad ? regionOfZone : region)
  if (!clients) throw fail(`There is no subnetwork ${nomad ?? subnetwork} of the Nomad clients in ${nomad ? regionOfZone : region}.`, 'Name the one that Terraform was given with --nomad-subnetwork.')
  return { network, subnet: subnet ?? (auto ? undefined : subnetwork), pods, clients }
}

export const networkIsChosen = (networks: Networks, place: Place) => preflight('network', 'the network of the cluster and of the Nomad clients is told, and the VMs have a place in it', async () => {
  const { network, subnet, pods, clients } = await chosenNetwork(networks, place)
  const there = !subnet || await networks.range(subnet, place.zone.replace(/-[a-z]$/, ''))
  return there ? ok(`${network}${subnet ? `, ${subnet}` : ', a subnet of its own in each region'}; pods ${pods}, Nomad clients ${clients}`) : bad(`there is no subnetwork ${subnet} for ${place.zone}`, 'Name one of its region with --subnet.')
})
