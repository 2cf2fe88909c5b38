/**
 * How big a cluster has to be for how many people. Installation guide 3.3.0, "Create a Kubernetes cluster": the table by
 * the number of daily active users.
 */
import { bad, ok, preflight } from '../effect.ts'

/** Nodes of one kind; memory in GB, the network of each in Gbps where it is known. */
export interface Shape { nodes: number; cores: number; memory: number; network?: number | undefined }

const TABLE = [
  { users: 'fewer than 500 daily users', nodes: 3, cores: 12, memory: 32, network: 1 },
  { users: '500 daily users and more', nodes: 3, cores: 48, memory: 240, network: 10 },
]
type Row = typeof TABLE[number]

const meets = (shape: Shape, row: Row): boolean =>
  shape.nodes >= row.nodes && shape.cores >= row.cores && shape.memory >= row.memory && (shape.network ?? row.network) >= row.network

const textOf = ({ nodes, cores, memory, network }: Shape): string =>
  `${nodes} ${nodes === 1 ? 'node' : 'nodes'}, ${cores} cores, ${Math.round(memory)} GB${network ? `, ${network} Gbps` : ''}`

/** Which row of the table a cluster meets: '4 nodes, 16 cores, 64 GB: enough for fewer than 500 daily users'. */
export const sizeSays = (shape: Shape): string => {
  const met = TABLE.findLast((row) => meets(shape, row))
  const next = met ? TABLE[TABLE.indexOf(met) + 1] : TABLE[0]
  return `${textOf(shape)}: ${met ? `enough for ${met.users}` : 'too small'}${next ? `; ${next.users} want ${textOf(next)}` : ''}`
}

/** The cluster that would be made meets a row; `shape` is undefined where nobody knows the machine, `next` how to name another. */
export const shapeIsEnough = (shape: () => Promise<Shape | string>, next: string) => preflight('size', 'the nodes meet a row of the guide\'s table by daily users', async () => {
  const found = await shape()
  if (typeof found === 'string') return bad(found, next)
  return TABLE.some((row) => meets(found, row)) ? ok(sizeSays(found)) : bad(sizeSays(found), next)
})
