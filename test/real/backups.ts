/**
 * What the tests of backups begin with: Velero by its own command, one installation with its load balancers and
 * Nomad servers, the lines of the runbook, and what is on the server afterwards.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pause } from '../../lib/clock.ts'
import { watchProcesses } from '../processes-seen.ts'
import type { AwsServer } from './aws.ts'
import type { Cluster } from './cluster.ts'
import { CONTEXT } from './cluster.ts'
import type { Installation } from './installation.ts'
import { until } from './processes.ts'
import { good } from './request.ts'
import type { Ended, Running, Surroundings } from './runs.ts'
import { bash, journals, start } from './runs.ts'
import { removeVelero, takeTurn } from './velero.ts'
import type { PlayedVelero } from './velero-played.ts'
import { HASTE, playVelero } from './velero-played.ts'

export const BUNDLE = new URL('../../dist/backup-restore.mjs', import.meta.url).pathname
export const BUCKET = 'backups-of-the-test'
const SECRET = 'a-secret-of-the-cloud-0123456789abcdef'
const KINDS = ['backups', 'restores', 'podvolumebackups', 'podvolumerestores', 'deletebackuprequests'] as const

export interface Backups {
  here: Installation
  velero: PlayedVelero
  /** The words of a line, which says where it goes. */
  words(...verb: string[]): [string, ...string[]]
  begin(verb: string[], surroundings?: Surroundings): Running
  run(...verb: string[]): Promise<Ended>
  /** Objects of one of Velero's kinds, by name; backups of other installations are left out. */
  all(kind: (typeof KINDS)[number]): Promise<any[]>
  /** Version of everything in the installation's namespace and in Velero's: equal only where nothing was touched. */
  versions(): Promise<Record<string, string>>
  /** Velero leaves the objects alone; by itself it looks at its bucket all the time. */
  rest(): Promise<void>
  /** As it was before any test. */
  clean(): Promise<void>
  /** Where a secret was seen: arguments of processes, journals, outputs. */
  leaks(): Promise<string[]>
  stop(): Promise<void>
}

/** A test file of Velero waits for the others, which may take long. */
export const TURN = 900_000

export const startBackups = async (cluster: Cluster, here: Installation, aws: AwsServer): Promise<Backups> => {
  const file = join(here.env['HOME'] as string, 'credentials-velero')
  writeFileSync(file, `[default]\naws_access_key_id=testing\naws_secret_access_key=${SECRET}\n`, { mode: 0o600 })
  const install = ['velero', 'install', '--provider', 'aws', '--plugins', 'velero/velero-plugin-for-aws:v1.5.0', '--bucket', BUCKET, '--secret-file', file,
    '--backup-location-config', 'region=us-east-1', '--snapshot-location-config', 'region=us-east-1', '--use-restic', '--kubecontext', CONTEXT]
  const pass = await takeTurn(cluster, TURN)
  await removeVelero(cluster)
  const installed = await bash(here, install.join(' '))
  if (installed.code !== 0) {
    await pass()
    throw new Error(installed.all)
  }
  await fetch(`${aws.url}/${BUCKET}`, { method: 'PUT' })
  const velero = await playVelero(cluster, here, BUCKET)
  const all = async (plural: string): Promise<any[]> => (await good(cluster.request('GET', `/apis/velero.io/v1/namespaces/velero/${plural}`))).items
    .filter(({ metadata: { name } }: any) => !/^circleci-\d+-/.test(name))
  await until('Velero, and the Nomad server', async () => {
    const [server, agents, nomad] = await Promise.all([here.get('/apis/apps/v1/namespaces/velero/deployments/velero'), here.get('/apis/apps/v1/namespaces/velero/daemonsets/restic'), here.get('apps/v1/statefulsets/nomad-server')])
    return server.status?.availableReplicas && agents.status?.numberReady && nomad.status?.readyReplicas && true
  }, { within: 60_000 })
  const processes = watchProcesses('cmdline')
  const outputs: string[] = []

  const words = (...verb: string[]): [string, ...string[]] => [process.execPath, BUNDLE, ...verb, '--context', CONTEXT, '--namespace', here.namespace]
  const begin = (verb: string[], { env }: Surroundings = {}): Running => {
    const running = start(here, words(...verb), { env: { ...aws.env, ...env } })
    void running.ended.then((ended) => outputs.push(ended.all))
    return running
  }
  const everything = async (): Promise<any[]> => {
    const core = ['services', 'configmaps', 'secrets', 'serviceaccounts', 'pods', 'persistentvolumeclaims'].map((plural) => `/api/v1/namespaces/${here.namespace}/${plural}`)
    const groups = [['apps/v1', 'deployments'], ['apps/v1', 'statefulsets'], ['batch/v1beta1', 'cronjobs'], ['coordination.k8s.io/v1', 'leases'], ['rbac.authorization.k8s.io/v1', 'roles'], ['rbac.authorization.k8s.io/v1', 'rolebindings']]
      .flatMap(([group, plural]) => [here.namespace, 'velero'].map((namespace) => `/apis/${group}/namespaces/${namespace}/${plural}`))
    const velero = [...KINDS, 'backupstoragelocations'].map((plural) => `/apis/velero.io/v1/namespaces/velero/${plural}`)
    const lists = await Promise.all([...core, ...groups, ...velero].map(async (path) => (await good(cluster.request('GET', path))).items.map((item: any) => ({ ...item, at: `${path}/${item.metadata.name}` }))))
    return lists.flat().filter(({ metadata: { name } }) => !/^circleci-\d+-/.test(name) || name.startsWith(`${here.namespace}-`))
  }
  return {
    here, velero, words, begin, all,
    run: (...verb) => begin(verb).ended,
    versions: async () => ({
      ...Object.fromEntries((await everything()).map(({ at, metadata }) => [at, metadata.resourceVersion])),
      kots: JSON.stringify([here.standIns.kots.state.versions, here.standIns.kots.state.snapshots]), bucket: velero.bucket().join(),
    }),
    rest: async () => {
      velero.paused = true
      await pause(1000)
    },
    clean: async () => {
      for (const rule of Object.keys(velero.rules)) delete (velero.rules as Record<string, unknown>)[rule]
      Object.assign(velero, { paused: false, haste: HASTE })
      here.standIns.kots.slow = 0
      for (const plural of KINDS) for (const { metadata: { name } } of await all(plural)) await cluster.request('DELETE', `/apis/velero.io/v1/namespaces/velero/${plural}/${name}`)
      for (const path of ['v1/configmaps/circleci-runbooks-restore', 'coordination.k8s.io/v1/leases/circleci-runbooks']) await here.send('DELETE', path)
    },
    leaks: async () => {
      const key = Buffer.from((await here.get('v1/secrets/kotsadm-authstring')).data['kotsadm-authstring'], 'base64').toString()
      const secrets = [SECRET, key, ...[SECRET, key].map((one) => Buffer.from(one).toString('base64'))]
      const where = { 'an argument': [...processes.seen].join('\n'), 'a journal': journals(here), 'an output': outputs.join('\n') }
      return Object.entries(where).flatMap(([place, text]) => secrets.filter((one) => text.includes(one)).map((one) => `${one.slice(0, 8)}… in ${place}`))
    },
    stop: async () => {
      processes.stop()
      await velero.stop()
      await removeVelero(cluster)
      await pass()
    },
  }
}
