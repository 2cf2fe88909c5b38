/**
 * What CircleCI server asks of a cluster before it is installed there: size, Kubernetes, rights, storage. Installation
 * guide 3.3.0, phase 1, "Create a Kubernetes cluster".
 */
import type { V1Node } from '@kubernetes/client-node'
import type { Preflight, Verdict } from '../effect.ts'
import { bad, ok, preflight, todo, warning } from '../effect.ts'
import { Fail, lacksCredentials, Refused } from '../fail.ts'
import { cluster, connect, request } from './kubernetes.ts'
import { nodeIsReady, shapeOf } from './nodes.ts'
import type { ClusterOptions } from './kubeconfig.ts'
import { EVERYTHING, kubectl, list, missingPermissions, type Permission } from './objects.ts'
import { line } from '../shell.ts'
import { kubernetesFits, lacksOf, rangeText, sizingOf, supportedKubernetes } from './sizing.ts'

/** Whether a cluster answers; what it is, or why there is none. */
export interface Seen { there: boolean; verdict: Verdict }

/**
 * Connects to a cluster where one answers. Where none does there is none yet, as long as nobody named one: a kubeconfig may
 * lead to others. `make` is what makes it.
 */
export const clusterIsThere = async (way: ClusterOptions, make: string): Promise<Seen> => {
  try {
    const { name, context } = await connect(way)
    await request('GET', '/version', { attempts: 1 }).catch((error: unknown) => {
      // Who may not ask has been answered.
      if (!(error instanceof Refused && error.status === 403)) throw error
    })
    return { there: true, verdict: ok(`${name} answers (context ${context})`) }
  } catch (error) {
    if (!(error instanceof Fail)) throw error
    return { there: false, verdict: way.context && lacksCredentials(error) ? bad(error.message, error.next) : todo(`no cluster yet. ${error.message}`, elsewhere(make)) }
  }
}

const elsewhere = (make: string): string => `Where there is one, name it with --context or CIRCLECI_CONTEXT. ${make}`

/** The same, where its nodes are of a cloud: the current context may lead to anything. `provider` begins their ids. */
export const clusterIsIn = async (way: ClusterOptions, provider: string | undefined, make: string): Promise<Seen> => {
  const seen = await clusterIsThere(way, make)
  if (!seen.there || !provider) return seen
  const ids = (await list('Node').catch(() => [])).map(({ spec }) => spec?.providerID ?? 'nothing that is told')
  if (!ids.length || ids.some((id) => id.startsWith(`${provider}:`))) return seen
  return { there: false, verdict: warning(`context ${cluster().context} leads to a cluster somewhere else: its nodes are ${ids[0]}`, elsewhere(make)) }
}

/** Those that take pods now. */
const takePods = (nodes: V1Node[]): V1Node[] => nodes.filter((node) => nodeIsReady(node) && !node.spec?.unschedulable)

export const clusterIsBigEnough = (users: number) => preflight('size', 'the nodes that are ready have the cores and the memory of the guide\'s table', async () => {
  const shape = shapeOf(takePods(await list('Node'))), row = sizingOf(users)
  const found = `${shape.nodes} nodes, ${Math.floor(shape.cores)} cores, ${Math.floor(shape.gigabytes)} GB`
  const lacks = lacksOf(shape, row)
  return lacks.length ? bad(`${found}: too small for ${row.users} (${lacks.join(', ')})`, `Add nodes, or take bigger ones; those that there are: ${line(kubectl(['get', 'nodes'], 'Node'))}`)
    : ok(`${found}: enough for ${row.users}; that each node has ${row.gigabits} Gbps is not seen from here`)
})

export const kubernetesIsSupported = (server: string) => preflight('kubernetes', 'the cluster\'s Kubernetes is one that this release of the server runs on', async () => {
  const { gitVersion } = await request<{ gitVersion: string }>('GET', '/version')
  const range = rangeText(supportedKubernetes(server))
  return kubernetesFits(gitVersion, server) ? ok(`${gitVersion} (server ${server}: ${range})`)
    : bad(`Kubernetes ${gitVersion}, and server ${server} runs on ${range}`, 'Take another cluster, or upgrade this one: Kubernetes does not go back.')
})

/** "edit", as the guide has it, is no verb: update and patch are meant. */
const PODS: Permission = { verbs: ['list', 'create', 'update', 'patch', 'delete'], resource: 'pods' }

export const youMayInstall = () => preflight('permissions', 'you may list, create, update, patch and delete pods, and are cluster admin, for KOTS is given that role', async () => {
  const [pods, all] = await Promise.all([missingPermissions([PODS]), missingPermissions([EVERYTHING])])
  if (pods.length) return bad(`you may not: ${pods.join(', ')}`, 'Ask a cluster administrator for these.')
  return all.length ? warning('you are no cluster admin, and KOTS is given that role', 'Ask for cluster-admin, or let an administrator install.') : ok('you are cluster admin')
})

const DEFAULT = /^storageclass\.(beta\.)?kubernetes\.io\/is-default-class$/

export const oneDefaultClass = () => preflight('storage-class', 'one storage class, and no more, is the default one', async () => {
  const classes = await list('StorageClass')
  const named = (all: typeof classes) => all.map(({ metadata }) => metadata?.name ?? '')
  const chosen = named(classes.filter(({ metadata }) => Object.entries(metadata?.annotations ?? {}).some(([key, value]) => DEFAULT.test(key) && value === 'true')))
  const mark = (name: string, is: boolean) => line(kubectl(['patch', 'storageclass', name, '-p', JSON.stringify({ metadata: { annotations: { 'storageclass.kubernetes.io/is-default-class': String(is) } } })], 'StorageClass'))
  if (chosen.length === 1) return ok(`${chosen[0]} is the default one`)
  if (chosen.length) return bad(`${chosen.join(' and ')} are default storage classes: claims that name none are refused`, `Leave one: ${mark(chosen.at(-1) ?? '', false)}`)
  const [first] = named(classes)
  return first ? bad(`no storage class is the default one (there are ${named(classes).join(', ')}): the databases would get no volumes`, `Make one the default: ${mark(first, true)}`)
    : bad('there is no storage class: the databases would get no volumes', 'Install a driver of volumes with a default class; on EKS that is the add-on aws-ebs-csi-driver.')
})

/** All of them. */
export const clusterSuits = (users: number, server: string): Preflight[] => [clusterIsBigEnough(users), kubernetesIsSupported(server), youMayInstall(), oneDefaultClass()]
