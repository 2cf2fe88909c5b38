/**
 * Velero in the cluster of the tests: what its installation makes, a stand-in for its server, and the turn of the test
 * files, for there is one namespace of its name.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach } from 'vitest'
import { pause } from '../../lib/clock.ts'
import { minutes } from '../../lib/effect.ts'
import type { Cluster } from './cluster.ts'
import { CLUSTER, lacking, type ComponentName } from './components.ts'
import type { Installation } from './installation.ts'
import { until } from './processes.ts'
import { onCluster } from './real.ts'
import { good } from './request.ts'

export const inVelero = (group: string, plural: string) => `/${group === 'v1' ? 'api' : 'apis'}/${group}/namespaces/velero/${plural}`

export const SECRET = `${inVelero('v1', 'secrets')}/cloud-credentials`
export const LOCATION = `${inVelero('velero.io/v1', 'backupstoragelocations')}/default`
const AGENTS = `${inVelero('apps/v1', 'daemonsets')}/restic`

/** What velero install makes, less the namespace and the definitions. */
const MADE = [`${inVelero('apps/v1', 'deployments')}/velero`, AGENTS, SECRET, LOCATION, `${inVelero('velero.io/v1', 'volumesnapshotlocations')}/default`]

export const removeVelero = async (cluster: Cluster): Promise<void> => {
  for (const path of MADE) await cluster.request('DELETE', path)
}

const TURN = '/api/v1/namespaces/default/configmaps'

/**
 * Waits until no other test file works in the namespace of Velero. Those of one cluster may run at the same time, and
 * what they set up has one name.
 */
export const takeTurn = async (cluster: Cluster, within: number): Promise<() => Promise<void>> => {
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'turn-in-velero' } }
  await until('the other test of Velero', async () => (await cluster.request('POST', TURN, { body })).status === 201, { within, every: 500 })
  return async () => void await good(cluster.request('DELETE', `${TURN}/${body.metadata.name}`))
}

/** Stand-in for the Velero server: its location is available as soon as it was looked at. */
export const veleroServer = (cluster: Cluster): { stop(): Promise<void> } => {
  const over = new AbortController()
  const work = (async () => {
    while (!over.signal.aborted) {
      const { status, body } = await cluster.request('GET', LOCATION).catch(() => ({ status: 0, body: undefined }))
      if (status === 200 && body.spec) {
        await cluster.request('PATCH', `${LOCATION}?fieldManager=velero-server`, { body: { status: { phase: 'Available', lastValidationTime: new Date().toISOString() } } }).catch(() => {})
      }
      await pause(1000, over.signal)
    }
  })()
  return { stop: async () => { over.abort(); await work } }
}

/** What the cluster has of an installation of Velero; undefined in place of what is not there. */
export const veleroHas = async (cluster: Cluster) => {
  const get = async (path: string) => {
    const { status, body } = await cluster.request('GET', path)
    return status === 200 ? body : undefined
  }
  const secret = (await get(SECRET))?.data?.cloud
  return {
    credentials: secret === undefined ? undefined : Buffer.from(secret, 'base64').toString(),
    location: (await get(LOCATION))?.spec,
    agents: (await get(AGENTS))?.status,
    server: (await get(`${inVelero('apps/v1', 'deployments')}/velero`))?.status,
  }
}

/** What stands in for the cloud of a test file: begun once, and empty before each test. */
interface Cloud { start(here: Installation): Promise<unknown>; reset(): unknown; stop(): unknown }

/** What a test file of a runbook that sets Velero up begins with: its turn, an installation, Velero's server, the cloud. */
export const onVelero = (needed: ComponentName[], { start, reset, stop }: Cloud): { cluster(): Cluster; home(): string } => {
  const { cluster, shared } = onCluster('velero', ...needed)
  const missing = lacking('velero', 'kubectl', ...needed, ...CLUSTER)
  let here: Installation
  let server: { stop(): Promise<void> }
  let leave: () => Promise<void>
  const home = () => here.env['HOME'] as string
  beforeAll(async () => {
    if (missing) return
    leave = await takeTurn(cluster(), minutes(10))
    here = await shared()
    await start(here)
    server = veleroServer(cluster())
  }, minutes(11))
  afterAll(async () => {
    await server?.stop()
    if (here) await stop()
    await leave?.()
  })
  beforeEach(async () => {
    if (missing) return
    await reset()
    await removeVelero(cluster())
    for (const name of ['credentials-velero', 'credentials-velero.part']) rmSync(join(home(), name), { force: true })
  })
  return { cluster, home }
}
