/**
 * A new world: the installation with the marks that a server and its controllers leave, and what a scenario makes of it.
 */
import { MARK } from '../cloud/iam.ts'
import { veleroPolicy } from '../cloud/policies.ts'
import { REHEARSED_TOKEN } from '../server/circleci-cli.ts'
import { awsWorld, playAws, secretKey } from './aws.ts'
import { certificateSecrets } from './certificates.ts'
import { runnerWorld } from './circleci-cli.ts'
import { circleWorld } from './circleci.ts'
import { reconcile, revisionOf } from './controllers.ts'
import { furnish, furnishBackup } from './furnish.ts'
import { computeWorld } from './compute.ts'
import { ec2World } from './ec2.ts'
import { eksWorld } from './eks.ts'
import { gcpWorld } from './gcp.ts'
import { gkeWorld } from './gke.ts'
import { githubSecrets } from './github.ts'
import { installation, STARTS, used } from './installation.ts'
import { keysetSecrets } from './keysets.ts'
import { kotsState, newest, type Kots } from './kots.ts'
import { pluralOf } from './resources.ts'
import { storeSecrets, storeWorld } from './mc.ts'
import { bytes } from './quantity.ts'
import { named } from './scenarios.ts'
import { secret } from './secret.ts'
import { installVelero, node, NODES, startVelero, validateLocation } from './velero.ts'
import { create, type KubeObject, type World } from './world.ts'

/** How long ago it was installed. */
const AGE = 20 * 24 * 3_600_000

const secretsOf = (objects: KubeObject[], kots: Kots): string[] => {
  const stored = objects.filter((object) => object.kind === 'Secret').flatMap((object) => Object.values(object.data as Record<string, string>))
  const passwords = kots.items.filter((one) => one.type === 'password').map((one) => newest(kots).values[one.name]?.value ?? '')
  const plain = [...stored.map((value) => Buffer.from(value, 'base64').toString()), ...passwords, secret('mongodb circle')].filter(Boolean)
  return [...new Set([...plain, ...plain.map((value) => Buffer.from(value).toString('base64'))])]
}

/** Velero as its runbook sets it up: user, key and policy, the installation, its pods. */
const withVelero = (world: World): void => {
  const bucket = 'circleci-backups', user = 'velero'
  playAws(world, { region: 'us-east-1', service: 'iam', command: 'CreateUser', input: { UserName: user, Tags: [MARK] } })
  playAws(world, { region: 'us-east-1', service: 'iam', command: 'PutUserPolicy', input: { UserName: user, PolicyName: 'velero', PolicyDocument: JSON.stringify(veleroPolicy(bucket, 'us-east-1')) } })
  const { AccessKey: { AccessKeyId: id } } = playAws(world, { region: 'us-east-1', service: 'iam', command: 'CreateAccessKey', input: { UserName: user } }) as { AccessKey: { AccessKeyId: string } }
  installVelero(world, {
    provider: 'aws', plugin: 'velero/velero-plugin-for-aws:v1.5.0', image: 'velero/velero:v1.9.0', bucket, location: { region: 'us-east-1' }, snapshots: { region: 'us-east-1' },
    credentials: `[default]\naws_access_key_id=${id}\naws_secret_access_key=${secretKey(user, id)}\n`, agents: true,
  })
  startVelero(world)
  validateLocation(world)
}

/** A new world: the installation with the marks that a server and its controllers leave, then the scenario. */
export const freshWorld = (scenario: string, pace: number): World => {
  const chosen = named(scenario)
  const objects = installation(), kots = kotsState(STARTS)
  const world: World = {
    schema: 1, scenario, time: STARTS - AGE, pace, revision: 1000, born: {}, rules: {}, objects: {}, kots, aws: awsWorld(), store: storeWorld(), compute: computeWorld(), ec2: ec2World(), eks: eksWorld(), gke: gkeWorld(), gcp: gcpWorld(), circleci: circleWorld(), runners: runnerWorld(), files: {}, modified: {}, due: [],
    secrets: [...secretsOf(objects, kots), ...storeSecrets, ...keysetSecrets, ...certificateSecrets, ...githubSecrets, REHEARSED_TOKEN],
  }
  const sets = objects.filter((object) => object.kind === 'StatefulSet')
  for (const object of objects) {
    const set = object.kind === 'Pod' && sets.find((one) => object.metadata.name === `${one.metadata.name}-0`)
    if (set) object.metadata.labels = { ...object.metadata.labels, 'controller-revision-hash': revisionOf(set) }
    if (['StatefulSet', 'Deployment'].includes(object.kind)) object.metadata.generation = 1
    create(world, pluralOf(object.kind), object)
    if (object.kind === 'PersistentVolumeClaim') {
      world.files[object.metadata.name] = { size: bytes(object.status.capacity.storage), used: used[object.metadata.name] ?? 60 * 2 ** 20 }
    }
  }
  for (const name of NODES) create(world, 'nodes', node(name))
  withVelero(world)
  furnish(world)
  reconcile(world)
  furnishBackup(world)
  reconcile(world)
  // It is weeks old: whatever its controllers had to do is done.
  world.due = []
  world.time = STARTS
  chosen.apply(world)
  reconcile(world)
  return world
}
