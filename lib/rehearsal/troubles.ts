/**
 * Scenarios of backups and restores: what the guide's troubleshooting names, and where KOTS says less than is so.
 */
import { startBackup } from './backups.ts'
import { startVelero, validateLocation, VELERO } from './velero.ts'
import { change, keyOf, later, type World } from './world.ts'

const MINUTE = 60_000

export const backupScenarios: Record<string, { about: string; apply(world: World): void }> = {
  'bucket-403': {
    about: 'the bucket of the backups answers Velero with 403',
    apply: (world) => {
      for (const user of Object.values(world.aws.users)) user.policies = {}
      validateLocation(world)
    },
  },
  'agents-pending': {
    about: 'the cluster has no room for two of the three node agents',
    apply: (world) => {
      world.rules.veleroPending = true
      for (const [key, { metadata }] of Object.entries(world.objects)) if (metadata.name.startsWith('restic-')) delete world.objects[key]
      startVelero(world)
    },
  },
  'backup-partial': {
    about: 'the volume of MongoDB cannot be copied: backups fail in part',
    apply: (world) => {
      world.rules.backupFails = true
    },
  },
  'backup-running': {
    about: 'a backup of the schedule has just begun',
    apply: (world) => void startBackup(world, 'schedule'),
  },
  'newer-velero': {
    about: 'Velero 1.11 runs in the cluster, whose node agents KOTS does not find',
    apply: (world) => {
      const server = world.objects[keyOf('deployments', VELERO, VELERO)]
      if (server) change(world, server, ({ spec }) => { spec.template.spec.containers[0].image = 'velero/velero:v1.11.0' })
      for (const [key, object] of Object.entries(world.objects)) {
        if (!/^(pods|daemonsets)\/velero\/restic/.test(key)) continue
        delete world.objects[key]
        const name = object.metadata.name.replace('restic', 'node-agent')
        if (key.startsWith('pods/')) world.objects[keyOf('pods', name, VELERO)] = { ...object, metadata: { ...object.metadata, name, labels: { name: 'node-agent' } } }
      }
    },
  },
  'old-kots': {
    about: 'KOTS 1.39.0, which knows no snapshots',
    apply: ({ kots }) => {
      kots.version = '1.39.0'
    },
  },
  'minimal-rbac': {
    about: 'KOTS runs with rights in its own namespace alone, and may not use Velero',
    apply: (world) => {
      world.rules.minimalRbac = true
    },
  },
  'no-snapshots': {
    about: 'the licence does not allow snapshots',
    apply: (world) => {
      world.rules.noSnapshots = true
    },
  },
  'not-listed': {
    about: 'Velero was installed a moment ago, and has not listed the bucket yet',
    apply: (world) => {
      const listed = Object.entries(world.objects).filter(([key]) => /^(backups|podvolumebackups)\//.test(key))
      world.unlisted = listed.map(([, object]) => object)
      for (const [key] of listed) delete world.objects[key]
      const place = world.objects[keyOf('backupstoragelocations', 'default', VELERO)]
      if (place) change(world, place, ({ status }) => { delete status.lastSyncedTime })
      later(world, MINUTE, { do: 'run-velero', name: 'sync/' })
    },
  },
  'restore-partial': {
    about: 'the volume of MongoDB cannot be restored: restores fail in part',
    apply: (world) => {
      world.rules.restoreFails = true
    },
  },
  'restore-nothing': {
    about: 'kubectl kots restore ends with 0 and restores nothing',
    apply: (world) => {
      world.rules.restoreDoesNothing = true
    },
  },
}
