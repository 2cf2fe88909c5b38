/**
 * What KOTS makes in a cluster: the objects of a played world, on the API server; and what the cloud gives them. By the
 * code of the rehearsal: `kots install`, and the first deploy.
 */
import { balance, BALANCERS } from '../../lib/rehearsal/backups.ts'
import { firstDeploy } from '../../lib/rehearsal/bare.ts'
import { NAMESPACE } from '../../lib/rehearsal/installation.ts'
import type { World } from '../../lib/rehearsal/world.ts'
import { keyOf } from '../../lib/rehearsal/world.ts'
import type { Cluster } from './cluster.ts'
import { until } from './processes.ts'
import type { KubeObject } from './request.ts'
import { collection, good } from './request.ts'

/** As kubectl apply: creates what is missing; what is there is patched, and the API server refuses what it must. */
export const apply = async (cluster: Cluster, object: KubeObject): Promise<void> => {
  const path = `${collection(object)}/${object.metadata.name}`
  const live = await cluster.request('GET', path)
  if (live.status === 404) await good(cluster.request('POST', collection(object), { body: object }))
  else await good(cluster.request('PATCH', path, { body: { metadata: object.metadata, spec: object.spec } }))
}

const minorOf = (version: string): number => Number(/^v1\.(\d+)/.exec(version)?.[1])

/** A pod needs the default service account with its token, and a controller that misses it waits longer each time. */
export const hasAccount = async (cluster: Cluster, namespace: string): Promise<void> => {
  await until('the default service account', async () => {
    const { status, body } = await cluster.request('GET', `/api/v1/namespaces/${namespace}/serviceaccounts/default`)
    return status === 200 && (body.secrets?.length > 0 || minorOf(cluster.version) >= 24)
  })
}

/** Its pods are for the controllers to make. */
export const makeAll = async (cluster: Cluster, world: World, here: (object: KubeObject) => KubeObject): Promise<void> => {
  const all = Object.values(world.objects).filter(({ kind }) => kind !== 'Pod').map((one) => {
    const { uid: _uid, resourceVersion: _version, creationTimestamp: _time, generation: _number, ...metadata } = one.metadata
    return here({ ...one, metadata })
  })
  for (const one of all.filter(({ kind }) => kind === 'Namespace')) {
    await apply(cluster, one)
    await hasAccount(cluster, one.metadata.name)
  }
  await Promise.all(all.filter(({ kind }) => kind !== 'Namespace').map((one) => apply(cluster, one)))
}

/** All that a deploy applies; the addresses of its load balancers are for `give`, some time later. */
export const deployAll = async (cluster: Cluster, world: World, here: (object: KubeObject) => KubeObject): Promise<{ give(): Promise<void> }> => {
  firstDeploy(world)
  await makeAll(cluster, world, here)
  return {
    give: async () => {
      for (const name of BALANCERS) {
        balance(world, name)
        const service = world.objects[keyOf('services', name, NAMESPACE)]
        if (service) await good(cluster.request('PATCH', `${collection(here(service))}/${name}/status`, { body: { status: service['status'] } }))
      }
    },
  }
}
