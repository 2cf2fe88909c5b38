/** Scenarios of the execution environment: the cloud in which the cluster is, builds, and what is amiss there. */
import { circleOf } from './circleci.ts'
import { ec2Of } from './ec2.ts'
import { eksOf } from './eks.ts'
import { gkeOf } from './gke.ts'
import type { World } from './world.ts'

const NAME = 'circleci-server', WEEKS = 20 * 24 * 3_600_000

const onEks = (world: World): void => {
  const created = world.time - WEEKS
  eksOf(world).clusters[NAME] = { created, region: 'us-east-1', version: '1.22', own: true, issuer: true, addons: {}, nodes: { created, name: 'server', count: 4, type: 'm5.xlarge' } }
}

export const executionScenarios: Record<string, { about: string; apply(world: World): void }> = {
  'on-eks': { about: `the cluster is the one of EKS that is called ${NAME}`, apply: onEks },
  'on-gke': {
    about: `the cluster is the one of GKE that is called ${NAME}`,
    apply: (world) => {
      Object.assign(gkeOf(world), { enabled: true, clusters: { [NAME]: { created: world.time - WEEKS, region: 'us-east1', version: '1.22.15-gke.100', nodes: 9, type: 'n1-standard-4' } } })
    },
  },
  'no-default-images': {
    about: 'the default images of VM service were deregistered',
    apply: (world) => {
      onEks(world)
      ec2Of(world).noImages = true
    },
  },
  'group-open': {
    about: 'there is a security group circleci-vm-service-sg that somebody opened to everybody',
    apply: (world) => {
      onEks(world)
      ec2Of(world).groups['sg-0bbb2222cccc33334'] = { name: 'circleci-vm-service-sg', vpc: 'vpc-0aaa1111bbbb22223', tags: [], rules: [{ port: 2376, from: '0.0.0.0/0', why: '' }] }
    },
  },
  'no-contexts': {
    about: 'the API of the installation shows no contexts, and nobody has made them',
    apply: (world) => { circleOf(world).noContexts = true },
  },
  'no-fork': {
    about: 'nobody has forked realitycheck yet; somebody does so some minutes later',
    apply: (world) => { circleOf(world).repositories['github.com/my-org/realitycheck'] = world.time + 4 * 60_000 },
  },
}
