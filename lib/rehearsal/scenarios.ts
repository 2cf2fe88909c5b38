/**
 * Worlds that are not well: each scenario changes a healthy one before the rehearsal begins.
 */
import { EXIT, fail } from '../fail.ts'
import { withoutInstallation } from './bare.ts'
import { rateExceeded } from './controllers.ts'
import { tlsScenarios } from './certbot.ts'
import { runnerScenarios } from './circleci-cli.ts'
import { clusterScenarios } from './clusters.ts'
import { executionScenarios } from './execution-scenarios.ts'
import { NAMESPACE, podStatus } from './installation.ts'
import { newest, type Kots } from './kots.ts'
import { backupScenarios } from './troubles.ts'
import { migrationScenarios } from './migration-scenarios.ts'
import { storeScenarios } from './stores.ts'
import { terraformScenarios } from './terraform.ts'
import { VELERO } from './velero.ts'
import { change, create, iso, keyOf, type KubeObject, type World } from './world.ts'

const MINUTE = 60_000, HOUR = 60 * MINUTE

const get = (world: World, plural: string, name: string, namespace?: string): KubeObject =>
  world.objects[keyOf(plural, name, namespace)] as KubeObject

const edit = (world: World, plural: string, name: string, namespace: string | undefined, how: (object: KubeObject) => void): void => {
  const object = get(world, plural, name, namespace)
  change(world, object, how)
}

const claimNames = { mongodb: 'datadir-mongodb-0', postgresql: 'data-postgresql-0' }

const volumeId = (world: World, claim: string): string =>
  get(world, 'persistentvolumes', get(world, 'persistentvolumeclaims', claim, NAMESPACE).spec.volumeName).spec.awsElasticBlockStore.volumeID

const changedAgo = (world: World, ago: number): void => {
  for (const claim of Object.values(claimNames)) world.modified[volumeId(world, claim)] = world.time - ago
}

const drop = (world: World, plural: string, name: string, namespace?: string): void => {
  delete world.objects[keyOf(plural, name, namespace)]
}

const dropVolume = (world: World, claim: string): void =>
  drop(world, 'persistentvolumes', get(world, 'persistentvolumeclaims', claim, NAMESPACE).spec.volumeName)

const label = (kots: Kots, version: string): void => {
  for (const one of kots.versions) one.versionLabel = version
}

interface Scenario { about: string; apply(world: World): void }

const all: Record<string, Scenario> = {
  'all-well': { about: 'nothing is wrong (the default)', apply: () => undefined },
  'modification-rate': {
    about: 'the volumes were changed 20 minutes ago, so that AWS refuses the next change for 6 hours',
    apply: (world) => changedAgo(world, 20 * MINUTE),
  },
  'recent-modification': {
    about: 'an event 20 minutes old says that AWS refused to change the volume so soon',
    apply: (world) => {
      changedAgo(world, 20 * MINUTE)
      world.time -= 20 * MINUTE
      for (const name of Object.values(claimNames)) rateExceeded(world, get(world, 'persistentvolumeclaims', name, NAMESPACE), volumeId(world, name))
      world.time += 20 * MINUTE
    },
  },
  'expansion-refused': {
    about: 'you may not change the storage class',
    apply: (world) => {
      world.rules.denied = [{ verb: 'patch', group: 'storage.k8s.io', resource: 'storageclasses' }]
    },
  },
  'resize-pending': {
    about: 'the file system grows only once the pod is restarted',
    apply: (world) => {
      world.rules.growFilesAtRestart = true
    },
  },
  'deploy-fails': {
    about: 'the KOTS deploy fails and creates nothing',
    apply: (world) => {
      world.rules.deployFails = true
    },
  },
  'deploy-slow': {
    about: 'the KOTS deploy takes 14 minutes',
    apply: (world) => {
      world.rules.deployTakes = 14 * MINUTE
    },
  },
  throttling: {
    about: 'every third request is answered with 429 Too Many Requests',
    apply: (world) => {
      world.rules.throttleEvery = 3
    },
  },
  'lost-connection': {
    about: 'every fourth change is made, but the connection is lost before the answer',
    apply: (world) => {
      world.rules.loseEvery = 4
    },
  },
  'no-kots-config': {
    about: 'KOTS 1.47.3, which cannot show its config',
    apply: ({ kots }) => {
      kots.version = '1.47.3'
    },
  },
  'undeployed-change': {
    about: 'somebody saved another change in KOTS and never deployed it',
    apply: ({ kots, time }) => {
      const values = { ...structuredClone(newest(kots).values), domain_name: { value: 'circleci.internal.example.com' } }
      kots.versions.unshift({
        ...newest(kots), sequence: newest(kots).sequence + 1, createdOn: iso(time - 26 * HOUR), status: 'pending', deployedAt: null, source: 'Config Change', values,
      })
    },
  },
  'external-database': {
    about: 'MongoDB is external',
    apply: (world) => {
      for (const version of world.kots.versions) version.values['mongodb_type'] = { default: 'internal_mongodb', value: 'external_mongodb' }
      dropVolume(world, claimNames.mongodb)
      drop(world, 'statefulsets', 'mongodb', NAMESPACE)
      drop(world, 'pods', 'mongodb-0', NAMESPACE)
      drop(world, 'persistentvolumeclaims', claimNames.mongodb, NAMESPACE)
      delete world.files[claimNames.mongodb]
    },
  },
  'old-server': {
    about: 'CircleCI server 3.1.0, which cannot grow its volumes',
    apply: ({ kots }) => label(kots, '3.1.0'),
  },
  'no-backup': {
    about: 'the newest completed backup is 31 hours old',
    apply: (world) => edit(world, 'backups', 'instance-7k2fq', 'velero', (backup) => {
      const completed = iso(world.time - 31 * HOUR)
      backup.metadata.annotations = { ...backup.metadata.annotations, 'kots.io/snapshot-requested': completed }
      Object.assign(backup.status, { startTimestamp: completed, completionTimestamp: completed })
    }),
  },
  quota: {
    about: 'a resource quota leaves 1Gi of storage',
    apply: (world) => {
      create(world, 'resourcequotas', {
        apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'storage', namespace: NAMESPACE }, spec: { hard: { 'requests.storage': '41Gi' } },
      })
    },
  },
  'unbound-claim': {
    about: 'the claim of MongoDB has no volume',
    apply: (world) => {
      dropVolume(world, claimNames.mongodb)
      edit(world, 'persistentvolumeclaims', claimNames.mongodb, NAMESPACE, (claim) => {
        delete claim.spec.volumeName
        delete claim.metadata.annotations
        claim.status = { phase: 'Pending' }
      })
      edit(world, 'pods', 'mongodb-0', NAMESPACE, (pod) => {
        delete pod.spec.nodeName
        pod.status = { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable' }] }
      })
      delete world.files[claimNames.mongodb]
    },
  },
  'pod-not-ready': {
    about: 'mongodb-0 runs, but is not ready',
    apply: (world) => edit(world, 'pods', 'mongodb-0', NAMESPACE, (pod) => {
      pod.status = podStatus(['mongodb'], false)
    }),
  },
  'two-operators': {
    about: 'somebody else is at work on this installation and does not stop',
    apply: (world) => {
      world.rules.renewed = 'operator@laptop-3'
      create(world, 'leases', {
        apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: {
          name: 'circleci-runbooks', namespace: NAMESPACE,
          annotations: { 'circleci-runbooks/runbook': 'migrate', 'circleci-runbooks/step': 'step 7 of 12, copy' },
        },
        spec: {
          holderIdentity: 'operator@laptop-3', leaseDurationSeconds: 60, leaseTransitions: 0,
          acquireTime: iso(world.time - 14 * MINUTE).replace('Z', '.000000Z'), renewTime: iso(world.time - 9_000).replace('Z', '.000000Z'),
        },
      })
    },
  },
  'no-velero': {
    about: 'Velero was never installed, and AWS knows nothing of it',
    apply: (world) => withoutVelero(world),
  },
  nothing: {
    about: 'an empty account: no cluster, no bucket, no user; of all that an installation needs the licence alone',
    apply: (world) => {
      withoutInstallation(world)
      for (const [key, { kind }] of Object.entries(world.objects)) if (kind === 'Node') delete world.objects[key]
      Object.assign(world, { bare: true, aws: { ...world.aws, users: {}, buckets: {} }, tls: { zone: 'route53' } })
    },
  },
  'no-server': {
    about: 'a cluster in which nothing is installed, and the files of all that comes before the installation',
    apply: (world) => {
      withoutInstallation(world)
      world.aws.users = {}
      world.prepared = true
      world.tls = { zone: 'route53', held: 'new' }
    },
  },
  ...migrationScenarios,
  ...migrationScenarios,
  ...storeScenarios((world) => withoutVelero(world)),
  ...backupScenarios,
  ...tlsScenarios,
  ...clusterScenarios,
  ...terraformScenarios,
  ...executionScenarios,
  ...runnerScenarios,
}

const withoutVelero = (world: World): void => {
  for (const key of Object.keys(world.objects)) if (key.includes(`/${VELERO}/`) || key === keyOf('namespaces', VELERO)) delete world.objects[key]
  world.aws.users = {}
  for (const name of Object.keys(world.aws.buckets)) if (name === 'circleci-backups') delete world.aws.buckets[name]
  delete world.validated
}

/** Every scenario with one sentence for `--help`. */
export const scenarios: Record<string, string> = Object.fromEntries(Object.entries(all).map(([name, { about }]) => [name, about]))

export const DEFAULT = 'all-well'

/** The scenario of this name; a wrong one is said before anything is made of a world that is there. */
export const named = (scenario: string): Scenario => {
  const chosen = Object.hasOwn(all, scenario) ? all[scenario] : undefined
  if (!chosen) throw fail(`There is no scenario ${scenario}.`, `There are: ${Object.keys(all).join(', ')}.`, { code: EXIT.usage })
  return chosen
}
