/**
 * The runbooks that the shared guarantees are tested with. A new runbook joins the crash, fault, re-run, dry-run
 * and secrets tests by a line here.
 */
import { MARK } from '../../lib/cloud/iam.ts'
import type { World } from '../../lib/rehearsal/index.ts'
import { newest } from '../../lib/rehearsal/kots.ts'
import { named } from '../../lib/rehearsal/scenarios.ts'
import { withWorkloadIdentity } from '../../lib/rehearsal/stores.ts'
import type { KubeObject } from '../../lib/rehearsal/world.ts'

export interface Case {
  runbook: string
  /** Flags of a run that has everything to do in a fresh rehearsal world. */
  args: string[]
  scenario?: string
  /** The first of the arguments is a verb. */
  verb?: true
  /** Data can be lost: the name of the installation is typed. */
  losesData?: true
  /** Something that happens after a plan was reviewed, and makes it stale. */
  meanwhile?(world: World): void
  /** What its world needs, where the scenario of a test is another one. */
  also?(world: World): void
  /** It needs no cluster: its lock is one of this machine, and its files are on it. */
  local?: true
  /** It asks nothing in that world: no data is at risk. */
  unasked?: boolean
}

/** What says yes to all that a run asks. */
export const consent = ({ losesData }: Case): string[] => ['--yes', ...(losesData ? ['--confirm', 'rehearsal'] : [])]
/** What stands in front of --plan, and behind it. */
export const reviewedLine = ({ args, verb, losesData }: Case): string[] => [...(verb ? args.slice(0, 1) : []), '--plan', 'plan.json', ...(losesData ? ['--confirm', 'rehearsal'] : [])]

/** Somebody made an object anew under its name. */
const rename = ({ objects }: World, key: string): void => { if (objects[key]) objects[key].metadata.uid = 'ffffffff-0000-4000-a000-000000000000' }

/** Somebody saved something else in KOTS. */
const saveElse = ({ kots }: World): void => { kots.versions.unshift({ ...newest(kots), sequence: newest(kots).sequence + 1, status: 'pending', deployedAt: null }) }

/** The organisation was made anew under its name. */
const otherOrganisation = ({ circleci }: World): void => { for (const one of circleci?.organisations ?? []) one.id = 'ffffffff-0000-4000-a000-000000000000' }

const VM_AWS = ['--region', 'us-east-1', '--subnets', 'subnet-0aaa1111bbbb22220', '--nomad-subnets', 'subnet-0aaa1111bbbb22221', '--users-cidr', '203.0.113.0/24']

const ALL: Case[] = [
  { runbook: 'gen-keysets', verb: true, local: true, args: ['make'], unasked: true },
  { runbook: 'gen-keysets', verb: true, local: true, args: ['make', '--native'], unasked: true },
  {
    runbook: 'object-storage-aws', local: true, args: ['--bucket', 'my-objects', '--region', 'us-east-1', '--expiry', '30'], unasked: true,
    meanwhile: ({ aws }) => { aws.users['circleci-server'] = { tags: [MARK], policies: {}, keys: [{ id: 'AKIALOST', created: '' }], created: '' } },
  },
  {
    runbook: 'object-storage-gcp', local: true, args: ['--bucket', 'my-objects', '--project', 'my-project', '--expiry', '30'], unasked: true,
    meanwhile: ({ gcp }) => { if (gcp) gcp.buckets['my-objects'] = { number: gcp.number, location: 'US', closed: false, top: [], bindings: [] } },
  },
  {
    runbook: 'object-storage-s3', local: true, args: ['--bucket', 'my-objects', '--alias', 'my-provider', '--endpoint', 'https://minio.example.com:9000', '--expiry', '30'], unasked: true,
    meanwhile: ({ store }) => { if (store) store.users['circleci-server'] = { secret: 'somebody-else', policies: [] } },
  },
  { runbook: 'tls-certificates', verb: true, local: true, args: ['issue', '--dns', 'route53', '--domain', 'circleci.example.com', '--mail', 'ops@example.com'] },
  { runbook: 'tls-certificates', verb: true, local: true, args: ['renew', '--domain', 'circleci.example.com'], scenario: 'certificate-expires', unasked: true },
  { runbook: 'github-oauth-app', local: true, args: ['--domain', 'circleci.example.com'] },
  { runbook: 'github-oauth-app', local: true, args: ['--domain', 'circleci.example.com', '--enterprise', 'github.example.com'] },
  {
    runbook: 'install-server', args: ['--domain', 'circleci.example.com', '--storage', 'aws', '--bucket', 'my-objects', '--region', 'us-east-1', '--expiry', '30', '--dns', 'route53'],
    scenario: 'no-server', losesData: true,
    also: (world) => {
      const lease = world.objects['leases/circleci-server/circleci-runbooks'] as KubeObject
      named('no-server').apply(world)
      world.objects['leases/default/circleci-runbooks'] = { ...lease, metadata: { ...lease.metadata, namespace: 'default' } }
    },
  },
  {
    runbook: 'create-eks', local: true, args: ['--region', 'us-east-1'], unasked: true,
    meanwhile: ({ eks, time }) => { if (eks) eks.clusters['circleci-server'] = { created: time - 3_600_000, region: 'us-east-1', version: '1.22', own: true, addons: {} } },
  },
  {
    runbook: 'create-gke', local: true, args: ['--project', 'my-project', '--region', 'europe-west1'], unasked: true,
    meanwhile: ({ gke }) => { if (gke) Object.assign(gke, { enabled: true, offered: ['1.22.15-gke.100'] }) },
  },
  { runbook: 'output-processor', args: ['--replicas', '3'], unasked: true, meanwhile: saveElse },
  {
    runbook: 'nomad-terraform', args: ['--provider', 'aws', '--region', 'us-east-1'], scenario: 'no-clients', unasked: true,
    also: (world) => named('no-clients').apply(world), meanwhile: saveElse,
  },
  {
    runbook: 'nomad-terraform', args: ['--provider', 'gcp', '--project', 'my-project', '--zone', 'europe-west1-b'], scenario: 'no-clients', unasked: true,
    also: (world) => named('no-clients').apply(world), meanwhile: saveElse,
  },
  { runbook: 'nomad-autoscaler', args: ['--provider', 'aws', '--region', 'us-east-1'], unasked: true, meanwhile: saveElse },
  { runbook: 'nomad-autoscaler', args: ['--provider', 'gcp', '--project', 'my-project', '--location', 'us-east1-b'], unasked: true, meanwhile: saveElse },
  {
    runbook: 'vm-service-gcp', args: ['--project', 'my-project', '--zone', 'us-east1-b', '--users-cidr', '203.0.113.0/24'], scenario: 'on-gke', unasked: true, meanwhile: saveElse,
    also: (world) => named('on-gke').apply(world),
  },
  { runbook: 'vm-service-aws', args: VM_AWS, scenario: 'on-eks', unasked: true, meanwhile: saveElse, also: (world) => named('on-eks').apply(world) },
  { runbook: 'realitycheck', local: true, args: ['--domain', 'circleci.example.com', '--org', 'my-org', '--provider', 'aws'], unasked: true, meanwhile: otherOrganisation },
  {
    runbook: 'realitycheck', local: true, args: ['--domain', 'circleci.example.com', '--org', 'my-org', '--provider', 'gcp', '--enterprise', 'github.example.com'], unasked: true,
    meanwhile: otherOrganisation,
  },
  {
    runbook: 'migrate-2.19', verb: true, args: ['move', '--host', 'ubuntu@old.example.com', '--storage', 'keep', '--bucket', 'circleci-2'], scenario: 'migration', losesData: true,
    also: (world) => named('migration').apply(world), meanwhile: (world) => rename(world, 'persistentvolumeclaims/circleci-server/data-vault-0'),
  },
  {
    runbook: 'migrate-2.19', verb: true, args: ['back', '--host', 'ubuntu@old.example.com'], scenario: 'migrated',
    also: (world) => named('migrated').apply(world), meanwhile: ({ box }) => { if (box) box.ours = ['runbooks-mongodb'] },
  },
  {
    runbook: 'runner', local: true, args: ['--domain', 'circleci.example.com', '--org', 'my-org', '--runner-namespace', 'my-org', '--class', 'linux'],
    meanwhile: (world) => named('runner-token-lost').apply(world),
  },
  { runbook: 'expand-pvc', args: ['--db', 'mongodb', '--size', '10Gi'], meanwhile: (world) => rename(world, 'statefulsets/circleci-server/mongodb') },
  { runbook: 'velero-aws', args: ['--bucket', 'my-backups', '--region', 'us-east-1'], scenario: 'no-velero', unasked: true, meanwhile: ({ aws }) => { aws.users['velero'] = { tags: [MARK], policies: {}, keys: [{ id: 'AKIALOST', created: '' }], created: '' } } },
  {
    runbook: 'velero-s3', args: ['--bucket', 'my-backups', '--alias', 'my-provider', '--endpoint', 'https://minio.example.com:9000'], scenario: 'no-velero', unasked: true,
    meanwhile: ({ store }) => { if (store) store.users['velero'] = { secret: 'somebody-else', policies: [] } },
  },
  { runbook: 'velero-gcp', args: ['--bucket', 'my-backups', '--project', 'my-project'], scenario: 'no-velero', unasked: true, meanwhile: ({ gcp }) => { if (gcp) gcp.roles['velero.server'] = { permissions: [] } } },
  {
    runbook: 'velero-gcp', args: ['--bucket', 'my-backups', '--project', 'my-project', '--workload-identity'], scenario: 'gke', also: withWorkloadIdentity, unasked: true,
    meanwhile: ({ gcp }) => { if (gcp) gcp.roles['velero.server'] = { permissions: [] } },
  },
  { runbook: 'backup-restore', verb: true, args: ['backup'], unasked: true },
  { runbook: 'backup-restore', verb: true, args: ['restore', 'instance-7k2fq'], losesData: true, meanwhile: (world) => rename(world, 'backups/velero/instance-7k2fq') },
  { runbook: 'backup-restore', verb: true, args: ['delete', 'instance-7k2fq'], losesData: true, meanwhile: (world) => rename(world, 'backups/velero/instance-7k2fq') },
  { runbook: 'backup-restore', verb: true, args: ['schedule', '--in-cluster', '--image', 'registry.example.com/runbooks:1'], unasked: true, meanwhile: ({ kots }) => { kots.snapshots = { schedule: '0 4 * * *', ttl: '24h' } } },
]

/** All of them; those of one runbook where RUNBOOK names it, for whoever works on that. */
export const CASES = ALL.filter(({ runbook }) => [undefined, '', runbook].includes(process.env['RUNBOOK']))

/** So many of them at the most, from the first to the last; all where the whole matrix is asked for. */
export const sampled = <T>(all: T[], most: number): T[] =>
  (process.env['MATRIX'] === 'full' || all.length <= most ? all : Array.from({ length: most }, (_, n) => all[Math.floor((n * (all.length - 1)) / (most - 1))] as T))
