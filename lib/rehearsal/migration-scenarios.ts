/**
 * Scenarios of a migration from server 2.19: its services box beside an installation of 3.x, and what goes wrong there.
 */
import { keysetOf } from './keysets.ts'
import { NAMESPACE } from './installation.ts'
import { newest } from './kots.ts'
import { injectToken, services, type BoxWorld } from './services-box.ts'
import { create, type World } from './world.ts'

/** Applications beside the frontend, and how many of each run. */
const APPLICATIONS: Record<string, number> = { 'api-service': 1, 'contexts-service': 2, 'workflows-conductor-event-consumer': 1 }

const migration = (rules: BoxWorld['rules'] = {}) => (world: World): void => {
  world.box = { ...services(), rules: { ...rules } }
  for (const [name, replicas] of Object.entries(APPLICATIONS)) {
    const labels = { app: name, layer: 'application', 'kots.io/app-slug': 'circleci-server' }
    create(world, 'deployments', {
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace: NAMESPACE, generation: 1, labels },
      spec: { replicas, selector: { matchLabels: { app: name } }, template: { metadata: { labels }, spec: { containers: [{ name, image: `circleci/${name}:3.4.0` }] } } },
      status: { observedGeneration: 1, replicas, updatedReplicas: replicas, readyReplicas: replicas, availableReplicas: replicas },
    })
  }
  world.time -= 7 * 24 * 3_600_000
  injectToken(world)
  world.time += 7 * 24 * 3_600_000
  world.dns = { ...world.dns, 'app.circleci.example.com': world.dns?.['circleci.example.com'] ?? '' }
  // It was installed a week ago, with keysets of its own.
  Object.assign(newest(world.kots).values, { signing_keyset: { value: keysetOf('signing') }, encryption_keyset: { value: keysetOf('encryption') } })
}

export const migrationScenarios: Record<string, { about: string; apply(world: World): void }> = {
  migration: { about: 'there is a services box of 2.19 at old.example.com, to be moved to this installation', apply: migration() },
  migrated: {
    about: 'the same, and 2.19 was stopped for the migration',
    apply: (world) => {
      migration()(world)
      Object.assign(world.box as BoxWorld, { state: 'stopped', ours: ['runbooks-postgresql'] })
    },
  },
  'box-unreachable': { about: 'the services box of 2.19 does not answer by ssh', apply: migration({ unreachable: true }) },
  'box-no-sudo': { about: 'the user of the services box needs a password for sudo', apply: migration({ noSudo: true }) },
  'box-2.18': { about: 'the services box has 2.18', apply: migration({ version: '2.18.3' }) },
  'box-connection-breaks': { about: 'the connection to the services box breaks twice in the middle of an export', apply: migration({ loses: 2 }) },
  'volume-full': { about: 'the volume of a database of 3.x is full in the middle of an import', apply: migration({ full: true }) },
  'rows-missing': { about: 'a database of 3.x has fewer rows after the import than 2.19 had', apply: migration({ drops: true }) },
  'trial-same-app': { about: 'server 3.x has the OAuth app of 2.19', apply: migration({ sameApp: true }) },
}
