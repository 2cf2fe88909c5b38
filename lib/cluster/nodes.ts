/** Nodes of a cluster: which are ready, and what they have together. */
import type { V1Node } from '@kubernetes/client-node'
import { bytes, bytesOf } from './quantity.ts'
import type { Shape } from './sizing.ts'

export const nodeIsReady = ({ status }: V1Node): boolean => status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true

/** Thousandths of a core: '4' is 4000, '3920m' 3920. */
const millis = (text = '0'): number => (text.endsWith('m') ? Number(text.slice(0, -1)) : Number(bytesOf(text) ?? 0n) * 1000)

/** What these have in all. */
export const shapeOf = (nodes: V1Node[]): Shape => {
  const sum = (of: (node: V1Node) => number) => nodes.reduce((all, node) => all + of(node), 0)
  return {
    nodes: nodes.length, cores: sum(({ status }) => millis(status?.capacity?.['cpu'])) / 1000,
    gigabytes: sum(({ status }) => Number(bytes(status?.capacity?.['memory']))) / 1e9,
  }
}
