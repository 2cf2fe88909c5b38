/**
 * A cluster that was just made: reached once its kubeconfig is there; its nodes, and the one storage class that claims
 * get which name none.
 */
import type { V1StorageClass } from '@kubernetes/client-node'
import type { Check, Done, Effect } from '../effect.ts'
import type { Shape } from './sizing.ts'
import { oncePerLook } from '../door.ts'
import { done, minutes } from '../effect.ts'
import { fail } from '../fail.ts'
import { connectTo } from './kubeconfig.ts'
import { nodeIsReady, shapeOf } from './nodes.ts'
import { patch } from './changes.ts'
import { EVERYTHING, kubectl, list, missingPermissions, ref, type Kind } from './objects.ts'
import { sizeSays } from './sizing.ts'

/** A cluster that may not be there yet. */
export interface Fresh {
  /** The address of its API server, as the cloud tells it; undefined before there is one. */
  endpoint(): Promise<string | undefined>
}

/** The context of the kubeconfig that leads to it, by the address of its server; from then on it is the cluster of this run. */
export const contextOf = async ({ endpoint }: Fresh): Promise<string | undefined> => {
  const server = await endpoint()
  return server === undefined ? undefined : connectTo(server)
}

/** The kubeconfig has a context of it; `write` is what puts one there. */
export const haveContext = async (fresh: Fresh, write: Effect): Promise<Done | Effect[]> => {
  const context = await contextOf(fresh)
  return context ? done(`context ${context}`) : [write]
}

/** A line for a cluster that has no context yet: the one that its credentials make the current one. */
const line = async (fresh: Fresh, words: string[], kind: Kind): Promise<string[]> => (await contextOf(fresh) ? kubectl(words, kind) : ['kubectl', ...words])

/** The nodes that are ready, and what they have together. */
export const readyNodes = async (fresh: Fresh): Promise<Shape | undefined> => {
  if (!await contextOf(fresh)) return undefined
  return shapeOf((await list('Node')).filter(nodeIsReady))
}

/** So many nodes have joined, and are ready. */
export const nodesAreReady = async (fresh: Fresh, wanted: number): Promise<Check> => ({
  say: `${wanted} nodes are ready`, within: minutes(15), prints: 'x'.repeat(wanted),
  command: { words: await line(fresh, ['get', 'nodes', '-o', 'go-template={{range .items}}{{range .status.conditions}}{{if eq .type "Ready"}}{{if eq .status "True"}}x{{end}}{{end}}{{end}}{{end}}'], 'Node') },
  holds: async () => {
    const shape = await readyNodes(fresh)
    return shape ? shape.nodes >= wanted || `${shape.nodes} of ${wanted} ready` : 'no context of it'
  },
  hint: async () => `See what keeps them: ${(await line(fresh, ['describe', 'nodes'], 'Node')).join(' ')}`,
})

export const nodesSay = async (fresh: Fresh): Promise<string> => {
  const shape = await readyNodes(fresh)
  return shape ? sizeSays(shape) : await fresh.endpoint() ? 'not seen: the kubeconfig has no context of it yet' : 'none'
}

/** Who makes the installation makes roles of the cluster too, which only its administrator may. `give` is the line that makes you one. */
export const youAreAdmin = async (fresh: Fresh, give: string): Promise<Check> => ({
  say: 'you are administrator of the cluster', within: minutes(1), prints: 'yes',
  command: { words: await line(fresh, ['auth', 'can-i', '*', '*', '--all-namespaces'], 'Node') },
  holds: async () => {
    if (!await contextOf(fresh)) return 'no context of it'
    return (await missingPermissions([EVERYTHING])).length ? 'you are not' : true
  },
  hint: async () => `Have somebody who is one give it to you: ${give}`,
})

const DEFAULT = 'storageclass.kubernetes.io/is-default-class'
const isDefault = ({ metadata }: V1StorageClass): boolean => metadata?.annotations?.[DEFAULT] === 'true'
/** As the server sent it: text, whatever its type says. */
const madeAt = ({ metadata }: V1StorageClass): string => String(metadata?.creationTimestamp ?? '')
const annotated = (value: boolean): object => ({ metadata: { annotations: { [DEFAULT]: String(value) } } })
const setDefault = (name: string, value: boolean): Effect => patch(ref('StorageClass', name), annotated(value))

/** The same for a cluster that is not there yet: a line of the plan, which is made anew when it is. */
const foreseen = (name: string): Effect => ({
  id: `patch storageclass/${name}`, again: 'safe', command: { words: ['kubectl', 'patch', 'storageclass', name, '--type=merge', '-p', JSON.stringify(annotated(true))] },
  call: async () => { throw fail('The kubeconfig has no context of the new cluster.', 'Repeat the same line: it writes one first.') },
})

const classes = oncePerLook(() => list('StorageClass'))

/**
 * Exactly one storage class is the default: with none the claims of the server wait for ever, with two they are refused by
 * an old Kubernetes. Of several the newest stays, as a new Kubernetes takes it. `expected` is what a new cluster has that is
 * not the default yet.
 */
export const haveOneDefaultClass = async (fresh: Fresh, expected: () => Promise<string | undefined> = async () => undefined): Promise<Done | Effect[]> => {
  if (!await contextOf(fresh)) {
    const name = await expected()
    return name ? [foreseen(name)] : []
  }
  const all = await classes()
  const defaults = all.filter(isDefault).toSorted((a, b) => madeAt(b).localeCompare(madeAt(a)))
  const [kept, ...others] = defaults.map(({ metadata }) => metadata?.name ?? '')
  if (kept !== undefined) return others.length ? others.map((name) => setDefault(name, false)) : done(`${kept} is the default`)
  const [first] = all
  if (!first?.metadata?.name) throw fail('The cluster has no storage class.', 'Make one for its volumes, and repeat the same line: it makes that the default.')
  return [setDefault(first.metadata.name, true)]
}

export const oneClassIsDefault = async (fresh: Fresh): Promise<Check> => ({
  say: 'one storage class is the default', within: minutes(2), prints: 'x',
  command: { words: await line(fresh, ['get', 'storageclass', '-o', `jsonpath={range .items[?(@.metadata.annotations.${DEFAULT.replaceAll('.', '\\.')}=="true")]}x{end}`], 'StorageClass') },
  holds: async () => {
    if (!await contextOf(fresh)) return 'no context of it'
    const found = (await classes()).filter(isDefault).length
    return found === 1 || `${found} are`
  },
})
