/**
 * Backups and restores in the rehearsal: what Velero and KOTS make of them as time goes by, as Velero 1.9 and KOTS
 * 1.65 do it. The commands are in tools.ts.
 */
import { NAMESPACE } from './installation.ts'
import { newest } from './kots.ts'
import { terraformClients } from './terraform.ts'
import { change, create, digest, iso, keyOf, later, list, type KubeObject, type World } from './world.ts'

const VELERO = 'velero'
const TICK = 20_000, MINUTE = 60_000
const BACKUP_TAKES = 5 * MINUTE, CONSOLE_TAKES = MINUTE, APP_TAKES = 11 * MINUTE
export const ITEMS = 845

/** Where no time passes nobody watches either: it is over sooner. */
const takes = (world: World, ms: number): number => ms / (world.haste ?? (world.pace === 0 ? 5 : 1))
/** It was begun one step ago, unless it says when. */
const begun = (world: World, { status }: KubeObject): string => status.startTimestamp ?? iso(world.time - (world.haste ? 0 : TICK))

export const get = (world: World, plural: string, name: string, namespace = VELERO): KubeObject | undefined => world.objects[keyOf(plural, name, namespace)]
const share = (whole: number, part: number): number => Math.floor(whole * Math.max(0, Math.min(1, part)))

/** Volumes that restic copies: those of the pods that KOTS marks. */
const volumesIn = (world: World) => list(world, 'pods', NAMESPACE).filter(({ metadata }) => metadata.labels?.['kots.io/backup'] === 'velero').flatMap((pod) =>
  (pod.spec.volumes ?? []).flatMap((volume: any) => {
    const claim = volume.persistentVolumeClaim?.claimName
    return claim ? [{ pod: pod.metadata.name, node: pod.spec.nodeName as string, volume: volume.name as string, claim: claim as string, bytes: world.files[claim]?.used ?? 60 * 2 ** 20 }] : []
  }))

const podVolume = (kind: 'PodVolumeBackup' | 'PodVolumeRestore', of: string, n: number, one: ReturnType<typeof volumesIn>[number]): KubeObject => ({
  apiVersion: 'velero.io/v1', kind,
  metadata: {
    name: `${of}-${digest(`${of} ${n}`).slice(0, 5)}`, namespace: VELERO, annotations: { 'velero.io/pvc-name': one.claim },
    labels: { [kind === 'PodVolumeBackup' ? 'velero.io/backup-name' : 'velero.io/restore-name']: of },
  },
  // Velero's definitions want all of these.
  spec: {
    pod: { kind: 'Pod', namespace: NAMESPACE, name: one.pod }, volume: one.volume, backupStorageLocation: 'default',
    repoIdentifier: `s3:s3-us-east-1.amazonaws.com/circleci-backups/restic/${NAMESPACE}`,
    ...(kind === 'PodVolumeBackup' ? { node: one.node } : { snapshotID: digest(one.claim).slice(0, 8) }),
  },
  status: { phase: 'InProgress', progress: { totalBytes: one.bytes, bytesDone: 0 } },
})

/** Where each volume stands when `part` of the time is over: one after the other. */
export const copyVolumes = (world: World, kind: 'PodVolumeBackup' | 'PodVolumeRestore', of: string, part: number, fails?: string): number => {
  const plural = kind === 'PodVolumeBackup' ? 'podvolumebackups' : 'podvolumerestores'
  let failed = 0
  for (const [n, one] of volumesIn(world).entries()) {
    const own = part * volumesIn(world).length - n
    if (own <= 0) continue
    const model = podVolume(kind, of, n, one)
    const object = get(world, plural, model.metadata.name) ?? create(world, plural, model)
    const bad = fails === one.claim && own >= 1
    failed += bad ? 1 : 0
    change(world, object, () => {
      object.status = {
        phase: bad ? 'Failed' : own >= 1 ? 'Completed' : 'InProgress', progress: { totalBytes: one.bytes, bytesDone: share(one.bytes, bad ? 0.4 : own) },
        ...(bad ? { message: `error running restic ${kind === 'PodVolumeBackup' ? 'backup' : 'restore'}, stderr=Fatal: write /bitnami/mongodb: no space left on device: exit status 1` } : {}),
      }
    })
  }
  return failed
}

/** Makes the object of a backup, as kotsadm does; Velero goes on with it. */
export const startBackup = (world: World, trigger: 'manual' | 'schedule' = 'manual'): string => {
  const n = (world.born['kots backup'] ?? 0) + 1
  world.born['kots backup'] = n
  const name = `instance-${digest(`backup ${n}`).slice(0, 5)}`
  create(world, 'backups', {
    apiVersion: 'velero.io/v1', kind: 'Backup',
    metadata: {
      name, namespace: VELERO, labels: { 'velero.io/storage-location': 'default' },
      annotations: {
        'kots.io/instance': 'true', 'kots.io/snapshot-trigger': trigger, 'kots.io/snapshot-requested': iso(world.time), 'kots.io/kotsadm-image': `kotsadm/kotsadm:v${world.kots.version}`,
        'kots.io/kotsadm-deploy-namespace': NAMESPACE, 'kots.io/apps-sequences': JSON.stringify({ 'circleci-server': newest(world.kots).sequence }),
      },
    },
    spec: { includedNamespaces: [NAMESPACE], storageLocation: 'default', ttl: world.kots.snapshots?.ttl ?? '720h0m0s' },
    status: { phase: 'New' },
  })
  later(world, TICK, { do: 'run-velero', name: `backups/${name}` })
  return name
}

/** One step of a backup, a restore or a deletion. */
export const runVelero = (world: World, what: string): void => {
  const [plural = '', name = ''] = what.split(/\/(.*)/)
  if (plural === 'sync') return syncBackups(world)
  if (plural === 'somebody') return somebody(world)
  const object = get(world, plural, name)
  if (!object) return
  const ended = plural === 'backups' ? backupStep(world, object) : plural === 'restores' ? restoreStep(world, object) : deletionStep(world, object)
  if (!ended) later(world, TICK, { do: 'run-velero', name: what })
}

const backupStep = (world: World, backup: KubeObject): boolean => {
  const place = get(world, 'backupstoragelocations', 'default')
  if (backup.status.phase === 'New' && place?.status?.phase !== 'Available') {
    change(world, backup, () => {
      backup.status = { phase: 'FailedValidation', validationErrors: ["backup can't be created because backup storage location default is currently in Unavailable state."] }
    })
    return true
  }
  const started = begun(world, backup)
  const part = (world.time - new Date(started).getTime()) / takes(world, BACKUP_TAKES)
  const failed = copyVolumes(world, 'PodVolumeBackup', backup.metadata.name, part, world.rules.backupFails ? 'datadir-mongodb-0' : undefined)
  const over = part >= 1
  change(world, backup, () => {
    backup.status = {
      ...backup.status, phase: !over ? 'InProgress' : failed ? 'PartiallyFailed' : 'Completed', startTimestamp: started,
      progress: { totalItems: ITEMS, itemsBackedUp: share(ITEMS, part * 2) }, expiration: iso(new Date(started).getTime() + 30 * 24 * 60 * MINUTE),
      ...(over ? { completionTimestamp: iso(world.time), ...(failed ? { errors: failed, warnings: 1 } : {}) } : {}),
    }
  })
  const bucket = world.aws.buckets[place?.spec.objectStorage?.bucket]
  if (over && bucket) bucket.objects = [...bucket.objects ?? [], ...['velero-backup.json', `${backup.metadata.name}.tar.gz`].map((file) => `backups/${backup.metadata.name}/${file}`)]
  return over
}

// Restores

const restore = (world: World, backup: string, part: string, label: Record<string, string>): void => {
  const name = `${backup}.${part}`
  delete world.objects[keyOf('restores', name, VELERO)]
  create(world, 'restores', {
    apiVersion: 'velero.io/v1', kind: 'Restore', metadata: { name, namespace: VELERO, annotations: { 'kots.io/instance': 'true' } },
    spec: { backupName: backup, labelSelector: { matchLabels: label }, restorePVs: true, includeClusterResources: true }, status: { phase: 'New' },
  })
  later(world, TICK, { do: 'run-velero', name: `restores/${name}` })
}

/** As the command of KOTS: of a backup that is not good it restores nothing, and says nothing. */
export const startRestore = (world: World, name: string): string | undefined => {
  const backup = get(world, 'backups', name)
  if (!backup) return `failed to restore instance backup: failed to find backup: backups.velero.io "${name}" not found`
  const { annotations = {} } = backup.metadata
  if (annotations['kots.io/instance'] !== 'true' || !annotations['kots.io/kotsadm-image'] || backup.status?.phase !== 'Completed' || world.rules.restoreDoesNothing) return undefined
  restore(world, name, 'kotsadm', { 'kots.io/kotsadm': 'true' })
  return undefined
}

export const BALANCERS = ['circleci-server-traefik', 'nomad-server-external', 'output-processor', 'vm-service']
export const hostname = (world: World, service: string): string =>
  `${digest(`${service} ${world.born[keyOf('services', service, NAMESPACE)]}`).slice(0, 20)}.us-east-1.elb.amazonaws.com`

export const service = (name: string): KubeObject => ({
  apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: NAMESPACE, ...(name === BALANCERS[0] ? {} : { annotations: { 'service.beta.kubernetes.io/aws-load-balancer-internal': 'true' } }), labels: { 'kots.io/app-slug': 'circleci-server', 'kots.io/backup': 'velero' } },
  spec: { type: 'LoadBalancer', selector: { app: name }, ports: [{ port: 443 }] }, status: { loadBalancer: {} },
})

export const balance = (world: World, name: string): void => {
  const one = get(world, 'services', name, NAMESPACE)
  if (one) change(world, one, () => { one.status = { loadBalancer: { ingress: [{ hostname: hostname(world, name) }] } } })
}

const restoreStep = (world: World, object: KubeObject): boolean => {
  const ofConsole = object.metadata.name.endsWith('.kotsadm')
  const started = begun(world, object)
  const part = (world.time - new Date(started).getTime()) / takes(world, ofConsole ? CONSOLE_TAKES : APP_TAKES)
  const over = part >= 1
  if (!ofConsole && !object.status.startTimestamp) for (const name of BALANCERS) delete world.objects[keyOf('services', name, NAMESPACE)]
  const failed = ofConsole ? 0 : copyVolumes(world, 'PodVolumeRestore', object.metadata.name, part, world.rules.restoreFails ? 'datadir-mongodb-0' : undefined)
  if (!ofConsole && part >= 0.3 && !get(world, 'services', BALANCERS[0] as string, NAMESPACE)) for (const name of BALANCERS) create(world, 'services', service(name))
  change(world, object, () => {
    object.status = {
      ...object.status, phase: !over ? 'InProgress' : failed ? 'PartiallyFailed' : 'Completed', startTimestamp: started,
      progress: { totalItems: ofConsole ? 61 : ITEMS - 61, itemsRestored: share(ofConsole ? 61 : ITEMS - 61, part * 1.5) },
      ...(over ? { completionTimestamp: iso(world.time), ...(failed ? { errors: failed } : {}) } : {}),
    }
  })
  if (!over) return false
  if (ofConsole) restore(world, object.spec.backupName, 'circleci-server', { 'kots.io/app-slug': 'circleci-server' })
  else {
    for (const name of BALANCERS) balance(world, name)
    later(world, 3 * MINUTE, { do: 'run-velero', name: 'somebody/' })
  }
  return true
}

/** What only people can do after a restore is done by somebody, some minutes later. */
const somebody = (world: World): void => {
  world.dns = { 'circleci.example.com': hostname(world, BALANCERS[0] as string) }
  world.nomadServer = hostname(world, 'nomad-server-external')
}

/** Addresses of a name: of a load balancer, or of what the DNS lets lead to one. */
export const resolved = (world: World, name: string): string[] => {
  const target = world.dns?.[name] ?? name
  return target.endsWith('.amazonaws.com') ? [`203.0.113.${Number.parseInt(digest(target).slice(0, 2), 16)}`] : []
}

/** `nomad node status` in a server: clients are connected that know its address. */
export const nomadNodes = (world: World): string => {
  const made = world.terraform && terraformClients(world)
  const ready = made ? made.ready : world.nomadServer === undefined || world.nomadServer === hostname(world, 'nomad-server-external')
  const row = (id: string, name: string, n: number) => `${id}  default  ${name}  linux-64bit  false  ${n < (world.ineligible ?? 0) ? 'ineligible' : 'eligible  '}   ${ready ? 'ready' : 'down'}\n`
  return 'ID        DC       Name              Class        Drain  Eligibility  Status\n' + (made ? Array.from({ length: made.count }, (_, n) => row(digest(`client ${n}`).slice(0, 8), `ip-10-0-9-${21 + n}`, n)).join('')
    : row('f3b1c7a2', 'ip-10-0-9-21', 0) + row('9ad0e655', 'ip-10-0-9-44', 1))
}

// Deletions

const deletionStep = (world: World, asked: KubeObject): boolean => {
  const name = asked.spec.backupName as string
  const backup = get(world, 'backups', name)
  if (backup && backup.status.phase !== 'Deleting') {
    change(world, backup, () => { backup.status.phase = 'Deleting' })
    change(world, asked, () => { asked.status = { phase: 'InProgress' } })
    return false
  }
  delete world.objects[keyOf('backups', name, VELERO)]
  for (const one of list(world, 'podvolumebackups', VELERO)) if (one.metadata.labels?.['velero.io/backup-name'] === name) delete world.objects[keyOf('podvolumebackups', one.metadata.name, VELERO)]
  for (const bucket of Object.values(world.aws.buckets)) bucket.objects = bucket.objects?.filter((key) => !key.startsWith(`backups/${name}/`)) ?? []
  delete world.objects[keyOf('deletebackuprequests', asked.metadata.name, VELERO)]
  world.revision += 1
  return true
}

/** Requests to delete are looked at when they come. */
export const reconcileBackups = (world: World): void => {
  for (const one of list(world, 'deletebackuprequests', VELERO)) if (!one.status?.phase) later(world, TICK, { do: 'run-velero', name: `deletebackuprequests/${one.metadata.name}` })
}

/** A location that Velero has not listed yet: what is in the bucket appears with the first look into it. */
const syncBackups = (world: World): void => {
  const place = get(world, 'backupstoragelocations', 'default')
  if (place) change(world, place, () => { place.status = { ...place.status, lastSyncedTime: iso(world.time) } })
  for (const one of world.unlisted ?? []) create(world, one.kind === 'Backup' ? 'backups' : 'podvolumebackups', one)
  delete world.unlisted
}
