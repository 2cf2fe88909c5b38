/**
 * Nomad in the installation: its servers, which are pods, and its clients, which are machines outside of the cluster.
 * Installation guide 3.3.0, phase 3, "Nomad Clients".
 */
import type { Check, Done, Effect } from '../effect.ts'
import { done, minutes } from '../effect.ts'
import { lacks, savedAs, type Filled } from './config.ts'
import { isReady } from './databases.ts'
import { inForceSince } from './kots.ts'
import { startAnew } from '../cluster/changes.ts'
import { kubectl, list } from '../cluster/objects.ts'
import { line } from '../shell.ts'
import { readTool } from '../tools.ts'

/** Port of the servers, to which the clients go. */
export const RPC = 4647

export const nomadServers = () => list('Pod', { labelSelector: 'app=nomad-server' })

/** Nomad clients that are connected and take jobs, or undefined where Nomad does not tell. */
export const clients = async (): Promise<number | undefined> => {
  const pod = (await nomadServers()).find(isReady)?.metadata?.name
  if (!pod) return undefined
  const { code, stdout } = await readTool(kubectl(['exec', pod, '--', 'nomad', 'node', 'status'], 'Pod'))
  return code === 0 ? stdout.split('\n').filter((row) => /\seligible\s+ready\s*$/.test(row)).length : undefined
}

export const nomadServersRun = async (): Promise<Check[]> => [{
  say: 'every Nomad server is ready', within: minutes(10), prints: 'all ready',
  command: { words: ['sh', '-c', `${line(kubectl(['wait', 'pods', '-l', 'app=nomad-server', '--for=condition=Ready', '--timeout=10s'], 'Pod'))} >/dev/null 2>&1 && echo all ready`] },
  holds: async () => {
    const pods = await nomadServers()
    const ready = pods.filter(isReady).length
    return (pods.length > 0 && ready === pods.length) || `${ready} of ${pods.length} ready`
  },
}]

/** Every Nomad server was started after KOTS deployed these values; all of them are to be, while it has not. */
export const serversHave = async (filled: Filled): Promise<Done | Effect[]> => {
  const [values, pods] = [await savedAs(filled), await nomadServers()]
  const since = values ? await inForceSince(values) : Object.values(filled).some(lacks) ? undefined : 'never told'
  if (since === 'never told') return done(`KOTS does not tell since when they hold; where the servers are older: ${line(kubectl(['delete', 'pods', '-l', 'app=nomad-server'], 'Pod'))}`)
  const old = since ? pods.filter(({ metadata }) => Date.parse(String(metadata?.creationTimestamp)) < Date.parse(since)) : pods
  return old.length || !pods.length ? old.map((pod) => startAnew('Pod', pod)) : done('every Nomad server was started after that')
}

/** So many clients are connected and ready; `hint` is what is likely wrong where they are not. */
export const clientsAreReady = async (wanted: number, hint: () => Promise<string>): Promise<Check> => {
  const pod = (await nomadServers())[0]?.metadata?.name ?? 'NOMAD-SERVER'
  const status = line(kubectl(['exec', pod, '--', 'nomad', 'node', 'status'], 'Pod'))
  return {
    say: `${wanted} Nomad clients are ready`, within: minutes(15), prints: 'ready',
    command: { words: ['sh', '-c', `[ "$(${status} | grep -c " eligible  *ready *$")" -ge ${wanted} ] && echo ready || echo "not yet"`] },
    holds: async () => {
      const now = await clients()
      return (now ?? 0) >= wanted || `${now ?? 'unknown how many'} of ${wanted}`
    },
    hint: async () => `${await hint()} This shows them: ${status}`,
  }
}
