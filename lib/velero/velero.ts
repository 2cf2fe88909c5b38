/**
 * Velero in the cluster: which version goes with what, its installation, where it keeps backups, and the checks that
 * it works. Installation guide 3.3.0, "Set up backup and restore".
 */
import type { V1Deployment } from '@kubernetes/client-node'
import type { Check, Done, Effect } from '../effect.ts'
import { once } from '../door.ts'
import { bad, done, minutes, ok, preflight, warning } from '../effect.ts'
import { Refused } from '../fail.ts'
import { placeOf, readSecret } from '../files.ts'
import { cluster, request } from '../cluster/kubernetes.ts'
import { patch } from '../cluster/changes.ts'
import { allAvailable, onEachNode, prints } from '../cluster/checks.ts'
import { collection, EVERYTHING, kubectl, list, missingPermissions, nameOf, read, ref } from '../cluster/objects.ts'
import { line } from '../shell.ts'
import { installing } from '../software.ts'
import { readTool, runTool } from '../tools.ts'

export const VELERO = 'velero'

/** A velero line that says where it goes. */
export const velero = (...words: string[]): string[] => {
  const { context, kubeconfig } = cluster()
  return ['velero', ...words, ...(kubeconfig ? ['--kubeconfig', kubeconfig] : []), '--kubecontext', context]
}

/** `1.9.0` of the command, or undefined where there is none. */
export const veleroCli = once(async (): Promise<string | undefined> => {
  const { code, stdout } = await readTool(['velero', 'version', '--client-only'])
  return code === 0 ? /v(\d+\.\d+\.\d+)/.exec(stdout)?.[1] : undefined
})

/**
 * KOTS up to the newest that server 3.x was tested with finds the node agents by their pod label `name=restic`, which
 * Velero 1.10 took away; the API that KOTS wants is there from 1.6 on.
 */
const FROM = 6, TO = 9
const minorOf = (version: string): number => Number(version.split('.')[1])
const fits = (version: string): boolean => version.startsWith('1.') && minorOf(version) >= FROM && minorOf(version) <= TO
const WANTED = `Velero 1.${FROM} to 1.${TO}`

/** The plugin's release that goes with a Velero release: 1.2 with 1.6, 1.5 with 1.9. */
export const pluginFor = (provider: 'aws' | 'gcp', version: string): string => `velero/velero-plugin-for-${provider}:v1.${minorOf(version) - 4}.0`

/** The flags that ask for node agents and for restic in them. */
const agentFlags = (version: string): string[] => (minorOf(version) < 10 ? ['--use-restic'] : ['--use-node-agent', '--uploader-type=restic'])

/** The command is one that goes with server 3.x. */
export const veleroIsThere = () => preflight('velero', `the command velero is of ${WANTED}`, async () => {
  const cli = await veleroCli()
  if (!cli) return bad(`the command velero is not installed: ${WANTED} is wanted`, installing('velero'))
  return fits(cli) ? ok(`${cli} (${WANTED})`) : bad(`velero ${cli}: KOTS finds the node agents only of ${WANTED}`, installing('velero'))
})

export const veleroFits = () => preflight('velero-version', `the command velero is of ${WANTED}, and so is what runs in the cluster`, async () => {
  const command = await veleroIsThere().look()
  if (command.is !== 'ok') return command
  const there = await imageVersion()
  if (there && !fits(there)) return bad(`Velero ${there} runs in the cluster, whose node agents KOTS does not find`, `Back up what you need, then: ${line(velero('uninstall'))}`)
  return ok(`velero ${await veleroCli()}${there ? `, ${there} in the cluster` : ''}`)
})

/** What is wrong with the release that runs in the cluster, where something is. */
export const runsOther = async (): Promise<{ say: string; next: string } | undefined> => {
  const there = await imageVersion()
  return there && !fits(there) ? {
    say: `Velero ${there} runs in the cluster: KOTS finds node agents by the label name=restic of their pods, which only ${WANTED} give them`,
    next: `Back up what you need, then ${line(velero('uninstall'))}, and set ${WANTED} up: npx tsx runbooks/velero-aws.ts --help (or velero-gcp, velero-s3)`,
  } : undefined
}

/** The release that runs in the cluster. */
const imageVersion = async (): Promise<string | undefined> =>
  /:v?(\d+\.\d+\.\d+)/.exec((await read(server))?.spec?.template.spec?.containers[0]?.image ?? '')?.[1]

const server = ref('Deployment', VELERO, VELERO)
const agents = ref('DaemonSet', 'restic', VELERO)
const location = ref('BackupStorageLocation', 'default', VELERO)
const snapshots = ref('VolumeSnapshotLocation', 'default', VELERO)
const credentials = ref('Secret', 'cloud-credentials', VELERO)

/** Where backups are kept, and how Velero gets there. */
export interface Storage {
  provider: 'aws' | 'gcp'
  bucket: string
  /** Keys of the provider's plugin: region, s3Url, serviceAccount. */
  config: Record<string, string>
  /** The same for snapshots of volumes; undefined where the store has none. */
  snapshotConfig: Record<string, string> | undefined
  /** The credentials file, or annotations of the service account where an identity of the cloud is used in its place. */
  access: { file: string } | { annotations: Record<string, string> }
}

const pairs = (values: Record<string, string>): string => Object.entries(values).map(([key, value]) => `${key}=${value}`).join(',')

/** What the cluster's Secret holds: the text of the credentials file. */
export const deployedCredentials = async (): Promise<string | undefined> => {
  const held = (await read(credentials))?.data?.['cloud']
  return held === undefined ? undefined : Buffer.from(held, 'base64').toString()
}

/** Velero is installed: server, node agents, a location. What is there stays as it is. */
export const haveVelero = async ({ provider, bucket, config, snapshotConfig, access }: Storage): Promise<Done | Effect[]> => {
  const parts = await Promise.all([read(server), read(agents), read(location), 'file' in access ? read(credentials) : true])
  if (parts.every(Boolean)) return done(`Velero ${await imageVersion()} is installed`)
  const version = await veleroCli() ?? ''
  const words = velero('install', '--provider', provider, '--plugins', pluginFor(provider, version), '--bucket', bucket,
    ...(Object.keys(config).length ? ['--backup-location-config', pairs(config)] : []),
    ...(snapshotConfig ? Object.keys(snapshotConfig).length ? ['--snapshot-location-config', pairs(snapshotConfig)] : [] : ['--use-volume-snapshots=false']),
    ...('file' in access ? ['--secret-file', access.file] : ['--no-secret', '--sa-annotations', pairs(access.annotations)]),
    ...agentFlags(version))
  return [{
    id: 'velero install', again: 'safe', command: { words },
    call: () => runTool(words.map((word) => ('file' in access && word === access.file ? placeOf(word) : word)), `See what is there: ${line(kubectl(['get', 'all'], undefined, VELERO))}`, minutes(10)),
  }]
}

/** The one location keeps backups where it should; an installation that is moved keeps no second one. */
export const haveLocation = async ({ bucket, config, snapshotConfig, provider }: Storage): Promise<Done | Effect[]> => {
  const [now, shots] = await Promise.all([read(location), snapshotConfig ? read(snapshots) : undefined])
  const right = now?.spec.objectStorage?.bucket === bucket && same(now.spec.config, config) && now.spec.provider === provider
  const moved = now?.spec.objectStorage?.bucket
  const effects = [
    ...(!now || right ? [] : [patch(location, { spec: { provider, objectStorage: { bucket }, config } },
      moved && moved !== bucket ? { danger: `the backups in ${moved} are no longer listed, and cannot be restored from here; they stay in that bucket` } : {})]),
    ...(!snapshotConfig || !shots || same(shots.spec.config, snapshotConfig) ? [] : [patch(snapshots, { spec: { provider, config: snapshotConfig } })]),
  ]
  return now && !effects.length ? done(`backups go to ${bucket}`) : effects
}

const same = (one: Record<string, string> | undefined, other: Record<string, string>): boolean =>
  Object.keys({ ...one, ...other }).every((key) => one?.[key] === other[key])

/** The cluster has the credentials of the file, where the file is there; without it, the ones that it has. */
export const haveCredentials = async (file: string, idIn: (text: string | undefined) => string | undefined): Promise<Done | Effect[]> => {
  const [held, text] = [await deployedCredentials(), readSecret(file)]
  if (held !== undefined && (text === undefined || idIn(held) === idIn(text))) return done(`the cluster has ${idIn(held) ?? 'its credentials'}`)
  // velero install brings it.
  if (held === undefined) return []
  const make = [...kubectl(['create', 'secret', 'generic', credentials.name], 'Secret', VELERO), `--from-file=cloud=${file}`, '--dry-run=client', '-o', 'json']
  return [{
    id: `patch ${nameOf(credentials)}`, again: 'safe',
    command: {
      words: kubectl(['patch', ...nameOf(credentials).split('/'), '--type=merge', '--patch-file=/dev/stdin'], 'Secret', VELERO),
      stdin: { say: `the Secret of ${file}`, commands: [make], read: async () => readSecret(file) ?? '' },
    },
    call: () => request('PATCH', `${collection('Secret', VELERO)}/${credentials.name}`, {
      type: 'application/merge-patch+json', body: { data: { cloud: Buffer.from(readSecret(file) ?? '').toString('base64') } },
    }),
  }]
}

/** Server and node agents run, and the location answers to them. */
export const veleroWorks = (): Check[] => [
  { ...allAvailable(server), hint: noRoom },
  { ...onEachNode(agents), hint: noRoom },
  locationAnswers(),
]

/** A pod without a node: what the scheduler says. */
export const noRoom = async (): Promise<string | undefined> => {
  const waiting = (await list('Pod', {}, VELERO)).flatMap(({ metadata, status }) =>
    status?.conditions?.flatMap(({ type, status: is, message }) => (type === 'PodScheduled' && is === 'False' ? [`${metadata?.name}: ${message}`] : [])) ?? [])
  return waiting.length ? `The cluster has no room for ${waiting.length === 1 ? 'a pod' : `${waiting.length} pods`} of Velero (${waiting[0]}). Add nodes, or make room: ${line(kubectl(['describe', 'nodes'], 'Node'))}` : undefined
}

/** When somebody else than Velero last changed an object: an older finding is of no use. */
const changedAt = (object: { metadata?: { managedFields?: { manager?: string | undefined; time?: unknown }[] } } | undefined): number =>
  Math.max(0, ...(object?.metadata?.managedFields ?? []).filter(({ manager }) => manager !== 'velero-server').map(({ time }) => new Date(time as string).getTime() || 0))

const locationAnswers = (): Check => ({
  ...prints(location, 'jsonpath={.status.phase}', 'Available', ({ status }) => status?.phase, minutes(5)),
  say: 'the bucket answers to Velero',
  holds: async () => {
    const [now, secret] = [await read(location), await read(credentials)]
    const looked = new Date(now?.status?.lastValidationTime ?? 0).getTime()
    if (looked < Math.max(changedAt(now), changedAt(secret))) return 'Velero has not looked at it yet'
    return now?.status?.phase === 'Available' || `${now?.status?.phase ?? 'not looked at'}${now?.status?.message ? `: ${now.status.message.split('\n')[0]?.replace(/^.*desc = /, '')}` : ''}`
  },
  hint: async () => locationHint((await read(location))?.status?.message ?? ''),
})

/** What the guide's troubleshooting says of 4XX answers, by what the bucket answered. */
export const locationHint = (message: string): string | undefined => {
  if (/NoSuchBucket/.test(message)) return 'The bucket does not exist. Name one that does with --bucket, and repeat the line.'
  if (/BucketRegionError|incorrect region|AuthorizationHeaderMalformed|PermanentRedirect|301/.test(message)) return 'The bucket is in another region. Name it with --region, and repeat the line.'
  if (/InvalidAccessKeyId|SignatureDoesNotMatch/.test(message)) return 'The access key is not valid (any more). Remove the credentials file and repeat the line: it makes a new key.'
  if (/AccessDenied|403/.test(message)) return 'The identity may not use this bucket. Repeat the line: it puts the policy right.'
  if (/storage: bucket doesn't exist/.test(message)) return 'The bucket does not exist. Name one that does with --bucket, and repeat the line.'
  if (/invalid_grant|Invalid JWT Signature/.test(message)) return 'The key is not valid (any more). Remove the credentials file and repeat the line: it makes a new one.'
  return message ? `Velero says: ${message.split('\n')[0]}` : undefined
}

export const clusterAllowsVelero = () => preflight('cluster-admin', 'you are cluster admin, for Velero is given that role', async () => {
  return (await missingPermissions([EVERYTHING])).length === 0 ? ok('you are cluster admin') : warning('you are no cluster admin, and Velero is given that role', 'Ask for cluster-admin where the installation is refused.')
})

/** What an operator wants to see of Velero before and after. */
export const veleroFacts = async (): Promise<Record<string, string>> => {
  const [running, each, place] = await Promise.all([read(server), read(agents), read(location)]).catch((error: unknown) => {
    // Without Velero the API does not know its kinds.
    if (error instanceof Refused && error.status === 404) return [undefined, undefined, undefined]
    throw error
  })
  return {
    Velero: running ? `${await imageVersion()}, ${available(running) ? 'available' : 'not available'}` : 'not installed',
    'node agents': each ? `${each.status?.numberReady ?? 0} of ${each.status?.desiredNumberScheduled ?? '?'} ready` : 'none',
    location: place ? `${place.spec.objectStorage?.bucket}, ${place.status?.phase ?? 'not looked at yet'}` : 'none',
  }
}

const available = ({ status }: V1Deployment): boolean => (status?.availableReplicas ?? 0) > 0
