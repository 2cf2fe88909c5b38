/**
 * What an installation has beside its databases, for backups and restores: load balancers, Nomad servers, a whole
 * backup.
 */
import { BALANCERS, balance, copyVolumes, get, hostname, ITEMS, service } from './backups.ts'
import { runOutput, scaleOutput } from './execution.ts'
import { NAMESPACE, podStatus } from './installation.ts'
import { newest } from './kots.ts'
import { create, iso, list, type KubeObject, type World } from './world.ts'

const MINUTE = 60_000

const labels = { app: 'nomad-server', layer: 'execution', 'kots.io/app-slug': 'circleci-server' }
export const nomadServer = (): KubeObject => ({
  apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 'nomad-server', namespace: NAMESPACE, generation: 1, labels },
  spec: {
    replicas: 1, serviceName: 'nomad-server', selector: { matchLabels: { app: 'nomad-server' } }, updateStrategy: { type: 'RollingUpdate' },
    template: { metadata: { labels }, spec: { containers: [{ name: 'nomad-server', image: 'circleci/nomad-server:3.4.0' }] } },
  },
})

export const furnish = (world: World): void => {
  for (const name of BALANCERS) {
    create(world, 'services', service(name))
    balance(world, name)
  }
  world.dns = { 'circleci.example.com': hostname(world, BALANCERS[0] as string) }
  world.nomadServer = hostname(world, 'nomad-server-external')
  create(world, 'statefulsets', nomadServer())
  scaleOutput(world, newest(world.kots))
  runOutput(world)
  for (const version of world.kots.versions) Object.assign(version.values, { vm_service_load_balancer: { value: hostname(world, 'vm-service') }, nomad_server_load_balancer: { value: hostname(world, 'nomad-server-external') } })
}

export const furnishBackup = (world: World): void => {
  const backup = get(world, 'backups', 'instance-7k2fq')
  if (!backup) return
  const ended = new Date(backup.status.completionTimestamp).getTime()
  backup.metadata.annotations = { ...backup.metadata.annotations, 'kots.io/kotsadm-image': 'kotsadm/kotsadm:v1.65.0' }
  Object.assign(backup.status, { startTimestamp: iso(ended - 6 * MINUTE), expiration: iso(ended + 30 * 24 * 60 * MINUTE), progress: { totalItems: ITEMS, itemsBackedUp: ITEMS } })
  copyVolumes(world, 'PodVolumeBackup', backup.metadata.name, 1)
  for (const pod of list(world, 'pods', NAMESPACE)) if (pod.metadata.name === 'nomad-server-0') pod.status = podStatus(['nomad-server'], true)
  world.due = world.due.filter((one) => one.name !== 'nomad-server-0')
}
