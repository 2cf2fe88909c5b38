/**
 * The world of a rehearsal as plain data, and how its objects are made, changed and listed.
 */
import { createHash } from 'node:crypto'
import type { AwsWorld } from './aws.ts'
import type { TlsWorld } from './certbot.ts'
import type { CircleWorld } from './circleci.ts'
import type { RunnerWorld } from './circleci-cli.ts'
import type { ComputeWorld } from './compute.ts'
import type { Ec2World } from './ec2.ts'
import type { EksWorld } from './eks.ts'
import type { GcpWorld } from './gcp.ts'
import type { GkeWorld } from './gke.ts'
import type { Kots } from './kots.ts'
import type { StoreWorld } from './mc.ts'
import type { BoxWorld, Volume } from './services-box.ts'
import type { TerraformWorld } from './terraform.ts'

export interface KubeObject {
  apiVersion: string
  kind: string
  metadata: {
    name: string; generateName?: string; namespace?: string; uid?: string; resourceVersion?: string; generation?: number
    creationTimestamp?: string; labels?: Record<string, string>; annotations?: Record<string, string>
    ownerReferences?: Owner[]; finalizers?: string[]; deletionTimestamp?: string; deletionGracePeriodSeconds?: number
  }
  // Manifests are as free as their authors; each place that reads one knows what it looks for.
  [field: string]: any
}

export interface Owner { apiVersion: string; kind: string; name: string; uid: string; controller?: boolean; blockOwnerDeletion?: boolean }

export interface Due { at: number; do: 'orphan' | 'start-pod' | 'grow-volume' | 'grow-files' | 'finish-deploy' | 'start-velero' | 'validate-location' | 'run-velero' | 'install' | 'join-nodes' | 'run-output' | 'settle-box' | 'end-jobs'; name: string; uid?: string; sequence?: number }

/** What this installation does otherwise than a healthy one; scenarios set it. */
export interface Rules {
  denied?: { verb: string; group: string; resource: string }[]
  growFilesAtRestart?: boolean
  /** How long the garbage collector takes to let go of what a deleted object owns. */
  orphanTakes?: number
  deployTakes?: number
  deployFails?: boolean
  throttleEvery?: number
  loseEvery?: number
  /** The cluster has no room for the node agents. */
  veleroPending?: boolean
  /** A volume cannot be copied; a restore ends in part; KOTS ends with 0 and restores nothing. */
  backupFails?: boolean
  restoreFails?: boolean
  restoreDoesNothing?: boolean
  /** KOTS may not use Velero; the licence has no snapshots. */
  minimalRbac?: boolean
  noSnapshots?: boolean
  /** Docker does not answer. */
  noDocker?: boolean
  /** What programs say of their release, by the words of the question: '' where one is not installed. */
  software?: Record<string, string>
  /** Hosts outside to which there is no way. */
  unreachable?: string[]
  /** AWS does not know who asks. */
  noCredentials?: boolean
  /** Name of a lease whose holder renews it for ever. */
  renewed?: string
}

/** No answer; the connection cut before or after it was carried out; carried out, and 504; a refusal; a full disk. */
export type Fault = 'timeout' | 'reset' | 'reset-after' | '504-after' | 429 | 500 | 401 | 403 | 409 | 'full'

export interface World {
  schema: 1
  scenario: string
  /** Virtual milliseconds since the epoch. */
  time: number
  /** Real milliseconds for each virtual one; 0 does not wait at all. */
  pace: number
  /** How many times faster backups and restores are than Velero's own: for stand-ins, whose clock is that of the machine. */
  haste?: number
  /** The last resourceVersion given out. */
  revision: number
  /** How often an object of each key was created: a uid is made from the key and this number. */
  born: Record<string, number>
  rules: Rules
  objects: Record<string, KubeObject>
  kots: Kots
  aws: AwsWorld
  /** An S3-compatible store; a world of before it was played has none yet. */
  store?: StoreWorld
  gcp?: GcpWorld
  compute?: ComputeWorld
  ec2?: Ec2World
  eks?: EksWorld
  gke?: GkeWorld
  tls?: TlsWorld
  /** The services box of 2.19; what came from it, by the uid of the claim on whose volume it is. */
  box?: BoxWorld
  volumes?: Record<string, Volume>
  circleci?: CircleWorld
  /** Nomad clients are those of Terraform; without it they were made by hand. */
  terraform?: TerraformWorld
  runners?: RunnerWorld
  /** The file system on the volume of each claim, in bytes. */
  files: Record<string, { size: number; used: number }>
  /** When each cloud volume was last modified. */
  modified: Record<string, number>
  due: Due[]
  /** There is no cluster until one is made. */
  bare?: boolean
  /** CircleCI sent a licence; the files of the earlier runbooks lie there. */
  licensed?: boolean
  prepared?: boolean
  /** How many have logged in. */
  users?: number
  /** Host names of people's DNS, and the address that the Nomad clients know. */
  dns?: Record<string, string>
  nomadServer?: string
  /** So many of the clients take no jobs. */
  ineligible?: number
  /** Objects of the bucket that Velero has not listed yet. */
  unlisted?: KubeObject[]
  /** What Velero's location and credentials were when they were last looked at. */
  validated?: string
  crash?: { at: number; when: 'before' | 'inside' | 'after' }
  /**
   * For tests: what goes wrong with the next request of this name, once: 'PATCH /api/…', 'kubectl kots set config'.
   * With `lasts`, with it and with everything else, for so many milliseconds.
   */
  fault?: { request: string; what: Fault; lasts?: number; until?: number }
  secrets: string[]
}

export const digest = (text: string): string => createHash('sha256').update(text).digest('hex')

const sorted = (value: any): any =>
  Array.isArray(value) ? value.map(sorted)
  : value && typeof value === 'object' ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
  : value

/** A text that is the same for equal values, whatever the order of their fields. */
export const canon = (value: unknown): string => JSON.stringify(sorted(value)) ?? ''

export const same = (a: unknown, b: unknown): boolean => canon(a) === canon(b)

export const iso = (time: number): string => new Date(time).toISOString().replace(/\.\d+Z$/, 'Z')

export const keyOf = (plural: string, name: string, namespace?: string): string => `${plural}/${namespace ?? ''}/${name}`

/** All objects of one plural, sorted by key, as the API server lists them. */
export const list = (world: World, plural: string, namespace?: string): KubeObject[] =>
  Object.keys(world.objects).sort()
    .filter((key) => key.startsWith(namespace === undefined ? `${plural}/` : `${plural}/${namespace}/`))
    .map((key) => world.objects[key] as KubeObject)

const uidFor = (key: string, n: number): string => {
  const hex = digest(`${key}#${n}`)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

export const create = (world: World, plural: string, object: KubeObject): KubeObject => {
  const key = keyOf(plural, object.metadata.name, object.metadata.namespace)
  const n = (world.born[key] ?? 0) + 1
  world.born[key] = n
  const created = structuredClone(object)
  created.metadata = {
    ...created.metadata, uid: uidFor(key, n), resourceVersion: String(++world.revision), creationTimestamp: iso(world.time),
  }
  world.objects[key] = created
  return created
}

/** Changes an object in place; like the real server, a change of nothing makes no new version. */
export const change = (world: World, object: KubeObject, edit: (object: KubeObject) => void): boolean => {
  const before = JSON.stringify(object)
  edit(object)
  if (JSON.stringify(object) === before) return false
  object.metadata.resourceVersion = String(++world.revision)
  return true
}

/** What two worlds must have in common to be the same: no times, versions, or counts of attempts. */
export const essence = (world: World): unknown => {
  const timeless = (value: any): any =>
    Array.isArray(value) ? value.map(timeless)
    : value && typeof value === 'object'
      ? Object.fromEntries(Object.keys(value).sort().filter((name) => !/^(resourceVersion|creationTimestamp|.*Time|createdOn|deployedAt|.*Timestamp|created|used|expiration|kots\.io\/snapshot-requested)$/.test(name))
        .map((name) => [name, timeless(value[name])]))
    : value
  const { objects, kots, aws, compute, ec2, eks, gke, gcp, store, terraform, runners, circleci, box, volumes, files, due } = world
  return timeless({ objects, kots, aws, compute, ec2, eks, gke, gcp, store, terraform, runners, circleci, box, volumes, files, due: due.filter((one) => one.do !== 'end-jobs').map((one) => ({ ...one, at: 0 })) })
}

/** Puts something on the list of what happens by itself, unless it stands there already. */
export const later = (world: World, after: number, due: Omit<Due, 'at'>): void => {
  if (!world.due.some((one) => one.do === due.do && one.name === due.name && one.uid === due.uid && one.sequence === due.sequence)) {
    world.due.push({ at: world.time + after, ...due })
  }
}
