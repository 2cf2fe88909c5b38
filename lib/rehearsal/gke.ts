/**
 * GKE in a rehearsal, through gcloud: its API, its versions, clusters. How far a cluster is follows from the time since it
 * was begun.
 */
import { later, type World } from './world.ts'

const MINUTE = 60_000

/** How long a cluster takes. */
const TAKES = 6 * MINUTE

export interface GkeCluster {
  /** When it was begun, in milliseconds of the rehearsal. */
  created: number
  region: string
  version: string
  nodes: number
  type: string
  autopilot?: true
  /** Its credentials are in the kubeconfig. */
  context?: true
  /** Why it fails. */
  fails?: string
}
export interface GkeWorld {
  /** The API of GKE is on. */
  enabled?: true
  clusters: Record<string, GkeCluster>
  offered: string[]
  /** What the next cluster fails of. */
  fails?: string
}

/** As GKE was at the time of the rehearsal. */
export const gkeWorld = (): GkeWorld => ({ clusters: {}, offered: ['1.24.5-gke.600', '1.23.12-gke.100', '1.22.15-gke.100', '1.21.14-gke.4300'] })
/** A world of before it was played has none yet. */
export const gkeOf = (world: World): GkeWorld => (world.gke ??= gkeWorld())

const isOver = ({ time }: World, { created }: GkeCluster): boolean => time >= created + TAKES

/** Some cluster was made, and its API server answers. */
export const gkeIs = (world: World): boolean => Object.values(world.gke?.clusters ?? {}).some((one) => isOver(world, one) && !one.fails)

/** Another spelling of this machine: the same server as that of the installation, and another address. */
const spelled = (url: string): string => url.replace('127.0.0.1', '127.0.1')

const PROJECT = 'my-project'
/** What stands in the kubeconfig of it. */
export const gkeContexts = (world: World, url: string) => Object.entries(world.gke?.clusters ?? {}).filter(([, { context }]) => context)
  .map(([name, { region }]) => ({ cluster: `gke_${PROJECT}_${region}_${name}`, user: `gke_${PROJECT}_${region}_${name}`, server: spelled(url) }))

const statusOf = (world: World, cluster: GkeCluster): string => (!isOver(world, cluster) ? 'PROVISIONING' : cluster.fails ? 'ERROR' : 'RUNNING')

/** `refuse` is an error in gcloud's words. */
export interface GkeAsked { world: World; on: string; flag: Record<string, string>; url: string; refuse(text: string): Error }

const clusterOf = ({ world, on, flag, refuse }: GkeAsked): GkeCluster => {
  const gke = gkeOf(world)
  if (!gke.enabled) throw disabled(refuse)
  const cluster = gke.clusters[on]
  if (!cluster || cluster.region !== flag['region']) throw refuse(`ResponseError: code=404, message=Not found: projects/${PROJECT}/locations/${flag['region']}/clusters/${on}.`)
  return cluster
}
/** Begins a cluster, or has begun it before: its nodes join by themselves. */
export const begin = (world: World, name: string, cluster: GkeCluster): void => {
  gkeOf(world).clusters[name] = cluster
  const left = cluster.created + TAKES - 20_000 - world.time
  if (!cluster.fails && left > 0) later(world, left, { do: 'join-nodes', name: `gke ${name}` })
}
const disabled = (refuse: GkeAsked['refuse']) => refuse('ResponseError: code=403, message=Kubernetes Engine API has not been used in project my-project before or it is disabled.')

export const GKE: Record<string, (asked: GkeAsked) => object | string> = {
  'services list': ({ world }) => (gkeOf(world).enabled ? [{ config: { name: 'container.googleapis.com' }, state: 'ENABLED' }] : []),
  'services enable': ({ world, on }) => Object.assign(gkeOf(world), on === 'container.googleapis.com' ? { enabled: true } : {}) && {},
  'container get-server-config': ({ world, refuse }) => {
    const { enabled, offered } = gkeOf(world)
    if (!enabled) throw disabled(refuse)
    return { defaultClusterVersion: offered[0], validMasterVersions: offered, validNodeVersions: offered }
  },
  'container clusters describe': (asked) => {
    const cluster = clusterOf(asked)
    const status = statusOf(asked.world, cluster)
    return {
      name: asked.on, status, ...(status === 'ERROR' ? { statusMessage: cluster.fails } : {}), currentMasterVersion: cluster.version, currentNodeCount: cluster.nodes,
      ...(status === 'PROVISIONING' ? {} : { endpoint: spelled(asked.url).replace('http://', '') }), ...(cluster.autopilot ? { autopilot: { enabled: true } } : {}),
    }
  },
  'container clusters list': ({ world, flag }) => Object.entries(gkeOf(world).clusters).filter(([name]) => flag['filter'] === `name=${name}`).map(([name, { region }]) => ({
    name, location: region, clusterIpv4Cidr: '10.100.0.0/14', network: 'default', subnetwork: 'default',
    networkConfig: { network: `projects/${PROJECT}/global/networks/default`, subnetwork: `projects/${PROJECT}/regions/${region}/subnetworks/default` },
  })),
  'container clusters create': ({ world, on, flag, refuse }) => {
    const { enabled, clusters, offered, fails } = gkeOf(world)
    if (!enabled) throw disabled(refuse)
    if (clusters[on]) throw refuse(`ResponseError: code=409, message=Already exists: projects/${PROJECT}/locations/${flag['region']}/clusters/${on}.`)
    const version = offered.find((one) => one.startsWith(`${flag['cluster-version']}.`))
    if (!version) throw refuse(`ResponseError: code=400, message=No valid versions with the prefix "${flag['cluster-version']}" found.`)
    begin(world, on, { created: world.time, region: flag['region'] ?? '', version, nodes: 3 * Number(flag['num-nodes']), type: flag['machine-type'] ?? '', ...(fails ? { fails } : {}) })
    return {}
  },
  'container clusters get-credentials': (asked) => {
    clusterOf(asked).context = true
    return {}
  },
}

export const GKE_FLAGS: Record<string, string[]> = {
  'services list': ['enabled', 'filter'], 'services enable': [], 'container get-server-config': ['region'], 'container clusters describe': ['region'], 'container clusters list': ['filter'],
  'container clusters create': ['region', 'num-nodes', 'machine-type', 'cluster-version', 'release-channel', 'no-enable-autoupgrade', 'labels', 'async'],
  'container clusters get-credentials': ['region'],
}
