/**
 * How big a cluster has to be, and which Kubernetes each release of the server runs on. Installation guide 3.3.0,
 * phase 1, "Create a Kubernetes cluster"; its ">= 1.16" for 3.3 has an end, which the notes of later releases name.
 */
import { bad, ok, preflight } from '../effect.ts'
import { count, text } from '../inputs.ts'
import { isOlder } from '../server/kots.ts'

/** As an input; 3.x ended with 3.4. */
export const SERVER_VERSION = text('version', 'release of CircleCI server that is to run there', { env: 'CIRCLECI_SERVER_VERSION', otherwise: '3.4.0', pattern: /^3\.[0-4]\.\d+$/, looks: 'a release of 3.x: 3.4.0' })

/** As an input; who says nothing is a small installation. */
export const DAILY_USERS = count('daily active users', { env: 'CIRCLECI_DAILY_USERS', otherwise: 100 })

/**
 * What a cluster has in all. Gigabytes are of 10⁹ bytes: what a node keeps for itself does not make it too small.
 * `gigabits` is what each node's network carries in a second, where that is known.
 */
export interface Shape { nodes: number; cores: number; gigabytes: number; gigabits?: number | undefined }

/** A row of the guide's table. */
export interface Sizing extends Shape { from: number; users: string; gigabits: number }

export const SIZINGS: readonly Sizing[] = [
  { from: 0, users: 'fewer than 500 daily users', nodes: 3, cores: 12, gigabytes: 32, gigabits: 1 },
  { from: 500, users: '500 daily users and more', nodes: 3, cores: 48, gigabytes: 240, gigabits: 10 },
]

/** The row for a number of daily users. */
export const sizingOf = (users: number): Sizing => SIZINGS.findLast(({ from }) => users >= from) as Sizing

const UNITS = { nodes: 'nodes', cores: 'cores', gigabytes: 'GB of memory', gigabits: 'Gbps' } as const

/** What a cluster lacks of a row: '8 of 12 cores'; nothing where it is big enough. */
export const lacksOf = (shape: Shape, row: Sizing): string[] => (['nodes', 'cores', 'gigabytes', 'gigabits'] as const).flatMap((what) => {
  const has = shape[what] ?? row[what]
  return has < row[what] ? [`${Math.floor(has)} of ${row[what]} ${UNITS[what]}`] : []
})

/** The highest row that a cluster meets; undefined where it is too small for any. */
export const sizingFor = (shape: Shape): Sizing | undefined => SIZINGS.findLast((row) => !lacksOf(shape, row).length)

const textOf = ({ nodes, cores, gigabytes, gigabits }: Shape): string =>
  `${nodes} ${nodes === 1 ? 'node' : 'nodes'}, ${cores} cores, ${Math.round(gigabytes)} GB${gigabits ? `, ${gigabits} Gbps` : ''}`

/** Which row of the table a cluster meets: '4 nodes, 16 cores, 64 GB: enough for fewer than 500 daily users'. */
export const sizeSays = (shape: Shape): string => {
  const met = sizingFor(shape)
  const next = met ? SIZINGS[SIZINGS.indexOf(met) + 1] : SIZINGS[0]
  return `${textOf(shape)}: ${met ? `enough for ${met.users}` : 'too small'}${next ? `; ${next.users} want ${textOf(next)}` : ''}`
}

/** The cluster that would be made meets a row; `shape` is a sentence where nobody knows the machine, `next` how to name another. */
export const shapeIsEnough = (shape: () => Promise<Shape | string>, next: string) => preflight('size', 'the nodes meet a row of the guide\'s table by daily users', async () => {
  const found = await shape()
  if (typeof found === 'string') return bad(found, next)
  return sizingFor(found) ? ok(sizeSays(found)) : bad(sizeSays(found), next)
})

/** Minor releases of Kubernetes 1, first and last; the oldest servers name no first one. */
export interface Range { from?: number; to: number }

const RANGES: readonly (Range & { since: string })[] = [
  { since: '3.4.0', from: 16, to: 23 },
  { since: '3.2.2', from: 16, to: 21 },
  { since: '3.0.0', to: 20 },
]

/** Which Kubernetes a release of server 3.x runs on. */
export const supportedKubernetes = (server: string): Range => RANGES.find(({ since }) => !isOlder(server, since)) ?? RANGES.at(-1) as Range

/** '1.16 to 1.23', 'up to 1.20'. */
export const rangeText = ({ from, to }: Range): string => (from === undefined ? `up to 1.${to}` : `1.${from} to 1.${to}`)

/** Whether a release of server 3.x runs on a Kubernetes: '1.22', 'v1.22.17-eks-0a21954'. */
export const kubernetesFits = (kubernetes: string, server: string): boolean => {
  const minor = Number(/^v?1\.(\d+)/.exec(kubernetes)?.[1] ?? Number.NaN)
  const { from = 0, to } = supportedKubernetes(server)
  return minor >= from && minor <= to
}
