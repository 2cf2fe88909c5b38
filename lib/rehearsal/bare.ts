/**
 * A cluster in which nothing is installed yet, and how CircleCI server comes into it: KOTS with its licence, the first
 * deploy, the load balancers, the people who come last.
 */
import { balance, BALANCERS, service } from './backups.ts'
import { computeOf } from './compute.ts'
import { ec2Of } from './ec2.ts'
import { nomadServer } from './furnish.ts'
import { installation, NAMESPACE, podStatus } from './installation.ts'
import { keysetOf } from './keysets.ts'
import { kotsState, newest, type Kots } from './kots.ts'
import { pluralOf } from './resources.ts'
import { REHEARSED } from '../server/oauth-app.ts'
import { secretKey } from './aws.ts'
import { change, create, iso, keyOf, later, list, type KubeObject, type World } from './world.ts'

const SECOND = 1000, MINUTE = 60 * SECOND
/** Where no time passes nobody watches either: it is over sooner. */
const after = (world: World, ms: number, name: string): void => later(world, world.pace === 0 ? ms / 10 : ms, { do: 'install', name })

/** What the account of the operator's machine has lying about where the earlier runbooks have run. */
const ACCESS_KEY = 'AKIAREHEARSEDSERVER0'
export const license = `${JSON.stringify({ apiVersion: 'kots.io/v1beta1', kind: 'License', metadata: { name: 'rehearsal' }, spec: { appSlug: 'circleci-server', licenseID: 'rehearsal' } }, null, 2)}\n`
export const preparedFiles = (): Record<string, string> => ({
  'keyset-signing': `${keysetOf('signing')}\n`, 'keyset-encryption': `${keysetOf('encryption')}\n`,
  'github-oauth-app': `GITHUB_CLIENT_ID=${REHEARSED.id}\nGITHUB_CLIENT_SECRET=${REHEARSED.secret}\n`,
  'credentials-circleci-server': `[default]\naws_access_key_id=${ACCESS_KEY}\naws_secret_access_key=${secretKey('circleci-server', ACCESS_KEY)}\n`,
})

const isOf = (name: string) => ({ kind, metadata }: KubeObject): boolean => kind === 'Deployment' && metadata.name === name

/** Takes the installation out of a world: what is left is the cluster. */
export const withoutInstallation = (world: World): void => {
  for (const [key, { kind }] of Object.entries(world.objects)) if (!['Node', 'StorageClass'].includes(kind)) delete world.objects[key]
  create(world, 'namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' }, status: { phase: 'Active' } })
  Object.assign(world, { files: {}, due: [], dns: {}, modified: {} })
  delete world.nomadServer
  // What Terraform makes is gone with its clients.
  ec2Of(world).scaling = {}
  computeOf(world).groups = {}
  world.terraform = {}
  delete world.validated
  const { versions: _none, ...rest } = world.kots
  world.kots = { ...rest, versions: [], state: 'absent' }
  world.licensed = true
}

/** Whether kotsadm answers. */
export const kotsAnswers = ({ kots }: World): boolean => kots.state === 'ready'

/** `kubectl kots install`: the namespace, kotsadm, its secret; the pod starts, and takes the licence. */
export const installKots = (world: World): void => {
  if (!world.objects[keyOf('namespaces', NAMESPACE)]) create(world, 'namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE }, status: { phase: 'Active' } })
  for (const one of installation().filter((object) => isOf('kotsadm')(object) || object.metadata.name === 'kotsadm-authstring')) {
    const plural = pluralOf(one.kind)
    if (!world.objects[keyOf(plural, one.metadata.name, NAMESPACE)]) create(world, plural, plural === 'deployments' ? { ...one, metadata: { ...one.metadata, generation: 1 } } : one)
  }
  if (!world.objects[keyOf('pods', 'kotsadm-0', NAMESPACE)]) {
    create(world, 'pods', { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'kotsadm-0', namespace: NAMESPACE, labels: { app: 'kotsadm', 'kots.io/kotsadm': 'true' } }, spec: { containers: [{ name: 'kotsadm' }] }, status: { phase: 'Pending', conditions: [] } })
  }
  after(world, 40 * SECOND, 'console')
}

const startConsole = (world: World): void => {
  const pod = world.objects[keyOf('pods', 'kotsadm-0', NAMESPACE)]
  if (pod) change(world, pod, () => { pod.status = podStatus(['kotsadm'], true) })
  const fresh = kotsState(world.time)
  const version = newest(fresh)
  const defaults = Object.fromEntries(fresh.items.flatMap(({ name, default: normally }) => (normally === undefined ? [] : [[name, { default: normally }]])))
  world.kots = { ...fresh, version: world.kots.version, versions: [{ ...version, sequence: 0, status: 'pending_config', createdOn: iso(world.time), deployedAt: null, source: 'Online Install', values: defaults }] } satisfies Kots
}

/** The first deploy of a version made everything but the stateful sets, which each deploy sees to. */
export const firstDeploy = (world: World): void => {
  if (world.objects[keyOf('deployments', 'frontend', NAMESPACE)]) return
  const { values } = newest(world.kots)
  for (const one of installation()) {
    if (!['Secret', 'Deployment'].includes(one.kind) || world.objects[keyOf(pluralOf(one.kind), one.metadata.name, NAMESPACE)]) continue
    const made = structuredClone(one)
    if (made.kind === 'Deployment') Object.assign(made, { metadata: { ...made.metadata, generation: 1 }, status: { observedGeneration: 1, replicas: 1, updatedReplicas: 1, unavailableReplicas: 1 } })
    if (isOf('frontend')(made)) made.spec.template.spec.containers[0].env = [['SIGN', 'signing_keyset'], ['CRYPT', 'encryption_keyset']].map(([env, item]) => ({ name: `CIRCLE_SECRETS__KEYSET__${env}`, value: values[item as string]?.value ?? '' }))
    create(world, pluralOf(one.kind), made)
  }
  for (const one of installation().filter(({ kind, metadata }) => kind === 'StatefulSet' && !['mongodb', 'postgresql'].includes(metadata.name))) create(world, 'statefulsets', { ...one, metadata: { ...one.metadata, generation: 1 } })
  create(world, 'statefulsets', nomadServer())
  for (const name of BALANCERS) create(world, 'services', service(name))
  after(world, 90 * SECOND, 'balancers')
  after(world, 4 * MINUTE, 'frontend')
}

const startFrontend = (world: World): void => {
  for (const one of list(world, 'deployments', NAMESPACE)) change(world, one, ({ spec: { replicas } }) => { one.status = { observedGeneration: 1, replicas, updatedReplicas: replicas, readyReplicas: replicas, availableReplicas: replicas } })
  // Who has no zone that the runbook knows makes the records by hand; and somebody logs in.
  after(world, 3 * MINUTE, 'records')
}

/** One step of it that is due. */
export const install = (world: World, what: string): void => {
  if (what === 'console') startConsole(world)
  if (what === 'balancers') for (const name of BALANCERS) balance(world, name)
  if (what === 'frontend') startFrontend(world)
  if (what === 'records') {
    const lead = balancerOf(world)
    for (const name of ['circleci.example.com', 'app.circleci.example.com']) world.dns = { [name]: lead, ...world.dns }
    after(world, 3 * MINUTE, 'login')
  }
  if (what === 'login') world.users = 1
}

const balancerOf = (world: World): string => (world.objects[keyOf('services', BALANCERS[0] as string, NAMESPACE)]?.['status'].loadBalancer.ingress?.[0].hostname as string | undefined) ?? ''

