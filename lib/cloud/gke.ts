/**
 * A cluster of GKE, through gcloud. What is begun goes on in Google Cloud without whoever began it; the state of the
 * cluster tells how far it is.
 */
import type { Gcp } from './gcp.ts'
import type { Check, Done, Effect } from '../effect.ts'
import type { Machine } from './ec2.ts'
import type { Fresh } from '../cluster/fresh.ts'
import type { Shape } from '../cluster/sizing.ts'
import type { Offer } from '../cluster/versions.ts'
import { oncePerLook } from '../door.ts'
import { done, impossible, minutes, ok, preflight } from '../effect.ts'
import { Refused, fail } from '../fail.ts'
import { MARK } from './iam.ts'
import { line } from '../shell.ts'

interface Cluster { status: string; statusMessage?: string; conditions?: { message?: string }[]; endpoint?: string; currentMasterVersion?: string; currentNodeCount?: number; autopilot?: { enabled?: boolean } }

export interface Gke extends Fresh {
  gcp: Gcp
  name: string
  region: string
  offer: Offer
  isEnabled(): Promise<boolean>
  cluster(): Promise<Cluster | undefined>
}
export interface Wanted { version: string; nodesPerZone: number; type: string }

/** A cluster of a region has nodes in so many of its zones, and `--num-nodes` is for each. */
const ZONES = 3
const API = 'container.googleapis.com'

export const gkeIn = (gcp: Gcp, region: string, name: string): Gke => {
  const isEnabled = oncePerLook(async () => {
    try {
      return Boolean((await gcp.read<object[]>('services', 'list', '--enabled', `--filter=config.name=${API}`))?.length)
    } catch (error) {
      // Who may make clusters may not always list services; where it is off, GKE itself says so.
      if (error instanceof Refused && error.status === 403) return true
      throw error
    }
  })
  const cluster = oncePerLook(async () => (await isEnabled() ? gcp.read<Cluster>('container', 'clusters', 'describe', name, `--region=${region}`) : undefined))
  return {
    gcp, name, region, isEnabled, cluster,
    endpoint: async () => (await cluster())?.endpoint,
    offer: {
      cloud: 'GKE', silent: 'its API is not enabled',
      versions: oncePerLook(async () => (await isEnabled()
        ? (await gcp.read<{ validMasterVersions?: string[] }>('container', 'get-server-config', `--region=${region}`))?.validMasterVersions?.map((version) => version.split('.', 2).join('.')) : undefined)),
    },
  }
}

const describe = ({ gcp, name, region }: Gke): string[] => gcp.words('container', 'clusters', 'describe', name, `--region=${region}`)

/** The API of GKE is on; without it nothing of GKE can even be asked. */
export const haveApi = async (gke: Gke): Promise<Done | Effect[]> =>
  (await gke.isEnabled() ? done(`${API} is enabled`) : [gke.gcp.effect(`gcp enable ${API}`, ['services', 'enable', API], { again: 'safe' })])

export const apiIsOn = ({ gcp, isEnabled }: Gke): Check => ({
  say: `${API} is enabled`, within: minutes(5), prints: API,
  command: { words: gcp.words('services', 'list', '--enabled', `--filter=config.name=${API}`, '--format=value(config.name)') },
  holds: async () => await isEnabled() || 'not yet',
})

const UP = ['RUNNING', 'DEGRADED']

/**
 * The cluster is there, or on its way. Without a release channel and without upgrades of the nodes by themselves, which
 * would lead it beyond what the server supports.
 */
export const haveCluster = async (gke: Gke, wanted: () => Promise<Wanted>): Promise<Done | Effect[]> => {
  const { gcp, name, region } = gke
  const cluster = await gke.cluster()
  if (cluster) return mayBecome(gke, cluster) && UP.includes(cluster.status) ? done(`${name} is there, Kubernetes ${cluster.currentMasterVersion}`) : []
  const { version, nodesPerZone, type } = await wanted()
  return [gcp.effect(`gcp cluster ${name}`, [
    'container', 'clusters', 'create', name, `--region=${region}`, `--num-nodes=${nodesPerZone}`, `--machine-type=${type}`, `--cluster-version=${version}`,
    '--release-channel=None', '--no-enable-autoupgrade', `--labels=${MARK.Key}=${MARK.Value}`, '--async',
  ], { again: 'guarded' })]
}

/** True where waiting for it is of use; throws where it is not. */
const mayBecome = ({ gcp, name, region }: Gke, { status, statusMessage, conditions }: Cluster): true => {
  if (status === 'STOPPING') throw fail(`The cluster ${name} is being deleted.`, 'Repeat the same line when it is gone, in some minutes.')
  if (status !== 'ERROR') return true
  const why = statusMessage ?? conditions?.map(({ message }) => message).filter(Boolean).join('; ')
  throw fail(`The cluster ${name} failed${why ? `: ${why}` : ''}.`, `Mend what it names, and repeat the same line once what is left is removed: ${line(gcp.words('container', 'clusters', 'delete', name, `--region=${region}`))}`)
}

export const clusterIsUp = (gke: Gke): Check => ({
  say: `${gke.name} runs`, within: minutes(40), prints: 'RUNNING',
  command: { words: [...describe(gke), '--format=value(status)'] },
  holds: async () => {
    const cluster = await gke.cluster()
    return cluster === undefined ? 'absent' : (mayBecome(gke, cluster) && UP.includes(cluster.status)) || cluster.status + (cluster.statusMessage ? ` (${cluster.statusMessage})` : '')
  },
  hint: async () => `See what it waits for: ${line(gke.gcp.words('container', 'operations', 'list', `--region=${gke.region}`))}`,
})

/** What writes the credentials of the cluster into the kubeconfig. */
export const writeContext = ({ gcp, name, region }: Gke): Effect =>
  gcp.effect(`gcp context of ${name}`, ['container', 'clusters', 'get-credentials', name, `--region=${region}`], { again: 'safe' })

/** The name is free, or its cluster is none of Autopilot, on which the server does not run. */
export const nameIsForUs = (gke: Gke) => preflight('cluster', `the name ${gke.name} is free in ${gke.region}, or its cluster is not one of Autopilot`, async () => {
  const cluster = await gke.cluster()
  if (!cluster) return ok(`${gke.name} will be made`)
  if (cluster.autopilot?.enabled) return impossible(`${gke.name} is a cluster of Autopilot, on which the server does not run`, 'Name another one with --name.')
  return mayBecome(gke, cluster) && ok(`${gke.name} is there (${cluster.status})`)
})

/** How many nodes there have to be: as many as were made, or are named. */
export const nodesWanted = async (gke: Gke, nodesPerZone: number): Promise<number> => (await gke.cluster())?.currentNodeCount ?? nodesPerZone * ZONES

export const zonesSay = (nodesPerZone: number): string => `${nodesPerZone} in each of ${ZONES} zones: ${nodesPerZone * ZONES}`

/** GB for each core, by the families of Google's machine types. */
const MEMORY: Record<string, Record<string, number>> = { n1: { standard: 3.75, highmem: 6.5, highcpu: 0.9 }, others: { standard: 4, highmem: 8, highcpu: 1 } }

/** What a machine of a type is in a zone; a sentence where Google Cloud knows none of that name. */
export const machineIn = async (gcp: Gcp, zone: string, type: string): Promise<Machine | string> => {
  const found = await gcp.read<{ guestCpus: number; memoryMb: number; architecture?: string }>('compute', 'machine-types', 'describe', type, `--zone=${zone}`)
  return found ? { cores: found.guestCpus, gigabytes: found.memoryMb / 1024, arm: found.architecture === 'ARM64' } : `Google Cloud does not know ${type} in ${zone}`
}

/** What a machine of a type has, by its name; a sentence where the name does not tell. */
export const machineOf = (type: string): { cores: number; gigabytes: number } | string => {
  const [, family = '', kind = '', cores = 0] = /^([a-z]\d[a-z]?)-(standard|highmem|highcpu)-(\d+)$/.exec(type) ?? []
  const each = (MEMORY[family] ?? MEMORY['others'])?.[kind]
  return each ? { cores: Number(cores), gigabytes: Number(cores) * each } : `the size of ${type} is not known here`
}

/** The nodes that are wanted, measured by the name of their type. */
export const shapeOf = (nodesPerZone: number, type: string): Shape | string => {
  const machine = machineOf(type), nodes = nodesPerZone * ZONES
  return typeof machine === 'string' ? machine : { nodes, cores: nodes * machine.cores, gigabytes: nodes * machine.gigabytes }
}
