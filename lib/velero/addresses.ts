/**
 * A restore makes the load balancers anew, and so their addresses. Those of before are kept in a ConfigMap, for the
 * world forgets them; what holds them afterwards (DNS, KOTS, Nomad's servers and clients) is found by them.
 * Operations guide 3.4.1, "Restoring backups", the notes.
 */
import type { V1ConfigMap } from '@kubernetes/client-node'
import type { Check, Done, Effect, Step } from '../effect.ts'
import { time } from './backups.ts'
import { done, minutes, verifyStep } from '../effect.ts'
import { addresses, BALANCERS, FRONT, hasAddress } from '../server/balancers.ts'
import { Unanswered } from '../fail.ts'
import { adminConsole, kotsItems, setAndDeploy, valueOf } from '../server/kots.ts'
import { clients, clientsAreReady, nomadServers } from '../server/nomad.ts'
import { request } from '../cluster/kubernetes.ts'
import { leadsTo, leadsToLine } from '../names.ts'
import { remove, startAnew } from '../cluster/changes.ts'
import { collection, kubectl, read, ref } from '../cluster/objects.ts'

const KEPT = ref('ConfigMap', 'circleci-runbooks-restore')

/** What was noted down before the restore of this backup, while it is under way. */
export const keptOf = async (backup: string): Promise<V1ConfigMap | undefined> => {
  const kept = await read(KEPT)
  return kept?.data?.['backup'] === backup ? kept : undefined
}

/** Load balancers whose address is another one than before: [name, old, new]. */
const changed = async (backup: string): Promise<[string, string, string | undefined][]> => {
  const [kept, now] = [await keptOf(backup), await addresses()]
  return BALANCERS.flatMap((name): [string, string, string | undefined][] => {
    const old = kept?.data?.[name]
    return old && old !== now[name] ? [[name, old, now[name]]] : []
  })
}

/** Notes down the addresses as they are, before the restore takes them away. */
export const keepAddresses = (backup: string, begun: () => Promise<boolean>) => async (): Promise<Done | Effect[]> => {
  const there = await read(KEPT)
  if (there?.data?.['backup'] === backup) return done('the addresses of before are noted down')
  if (await begun()) return done('the restore has begun')
  const data = { backup, ...await addresses(), clients: String(await clients() ?? 0) }
  return [
    ...(there ? [remove(KEPT, undefined)] : []),
    {
      id: 'keep addresses', again: 'guarded',
      command: { words: kubectl(['create', 'configmap', KEPT.name, ...Object.entries(data).map(([key, value]) => `--from-literal=${key}=${value}`)], 'ConfigMap') },
      call: () => request('POST', collection('ConfigMap'), { body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: KEPT.name }, data } }),
    },
  ]
}

export const forgetAddresses = (after: After) => async (): Promise<Done | Effect[]> => {
  if (await stands(after) === 'not yet') return []
  const there = await read(KEPT)
  return there ? [remove(KEPT, undefined)] : done('nothing is noted down any more')
}

/** The load balancers that were there have an address again. */
export const balancersAnswer = (backup: string) => async (): Promise<Check[]> => {
  const kept = await keptOf(backup)
  return BALANCERS.filter((name) => kept?.data?.[name]).map(hasAddress)
}

/** Items of KOTS that still hold an address of before, with what they should hold. */
const outdated = async (backup: string): Promise<Record<string, string> | string> => {
  const items = await kotsItems().catch((error: unknown) => {
    if (error instanceof Unanswered) return error.message
    throw error
  })
  if (typeof items === 'string') return items
  const moved = await changed(backup)
  return Object.fromEntries(items.flatMap((item) => {
    const value = valueOf(item) ?? ''
    const found = moved.find(([, old, now]) => now && value.includes(old))
    return found ? [[item.key, value.replace(found[1], () => found[2] ?? '')]] : []
  }))
}

/** What comes after a restore waits for it; without what was noted down before, it was seen to. */
export interface After { backup: string; restored(): Promise<number | undefined>; handOver: boolean }

const stands = async ({ backup, restored }: After): Promise<Done | undefined | 'not yet'> =>
  await restored() === undefined ? 'not yet' : await keptOf(backup) ? undefined : done('seen to before')

/** A step that comes after the restore and is done, as `agreed` says, when its checks hold. */
export const afterRestore = (after: After, id: string, title: string, agreed: string, checks: () => Promise<Check[]>): Step => {
  const waits = verifyStep(id, title, agreed, checks)
  return { ...waits, todo: async () => (await stands(after) === 'not yet' ? [] : waits.todo()) }
}

/** KOTS is told the new addresses, where it held old ones. */
export const kotsHasAddresses = (after: After) => async (): Promise<Done | Effect[]> => {
  const early = await stands(after)
  if (early) return early === 'not yet' ? [] : early
  const items = await outdated(after.backup)
  if (typeof items !== 'string') return Object.keys(items).length ? [setAndDeploy(items)] : done('KOTS holds no address of before')
  const moved = await changed(after.backup)
  return done(moved.length ? `handed over, for this KOTS cannot list its items: in the admin console (${adminConsole()}), Config, replace and deploy: ${moved.map(([, old, now]) => `${old} → ${now ?? 'the new one'}`).join('; ')}` : 'no address has changed')
}

/** Nomad's servers are started anew, so that they advertise the new address. */
export const nomadAdvertises = (after: After) => {
  // Times are whole seconds: a pod that this run had started anew may be as old as the restore.
  let first: Set<string | undefined> | undefined
  return async (): Promise<Done | Effect[]> => {
    const early = await stands(after)
    if (early) return early === 'not yet' ? [] : early
    if (!(await changed(after.backup)).some(([name]) => name === 'nomad-server-external')) return done('the address for Nomad clients is the same')
    const [pods, since] = [await nomadServers(), await after.restored() ?? 0]
    if (!pods.length) return []
    first ??= new Set(pods.flatMap(({ metadata }) => (time(String(metadata?.creationTimestamp)) <= since ? [metadata?.uid] : [])))
    const old = pods.filter(({ metadata }) => first?.has(metadata?.uid))
    return old.length ? old.map((pod) => startAnew('Pod', pod)) : done(`${pods.length === 1 ? 'the Nomad server' : 'every Nomad server'} was started after the restore`)
  }
}

const domain = async (): Promise<string | undefined> => {
  const items = await kotsItems().catch(() => '')
  return typeof items === 'string' ? undefined : valueOf(items.find(({ key }) => /domain.?name|^domain$|hostname/i.test(key)))
}

const front = async (backup: string): Promise<{ name: string; old: string; now: string } | undefined> => {
  const [, old, now] = (await changed(backup)).find(([name]) => name === FRONT) ?? []
  return old && now ? { name: await domain() ?? 'DOMAIN', old, now } : undefined
}

/** The name of the installation leads to the new load balancer: only whoever keeps its DNS can see to it. */
export const dnsLeadsThere = (after: After) => async (): Promise<Done | Effect[]> => {
  const early = await stands(after)
  if (early) return early === 'not yet' ? [] : early
  const moved = await front(after.backup)
  if (!moved) return done('the address of the load balancer is the same')
  if (await leadsTo(moved.name, moved.now) === true) return done(`${moved.name} leads to ${moved.now}`)
  return after.handOver ? done(`handed over: let ${moved.name} lead to ${moved.now} (was ${moved.old}); check: dig +short ${moved.name}`) : []
}

export const dnsChecks = (backup: string) => async (): Promise<Check[]> => {
  const moved = await front(backup)
  return moved ? [{
    say: `${moved.name} leads to ${moved.now} (was ${moved.old}): change that where its DNS is kept`, within: minutes(60), prints: 'same',
    command: { words: ['sh', '-c', `${leadsToLine(moved.name, moved.now)} || echo different`] },
    holds: () => leadsTo(moved.name, moved.now),
    hint: async () => `Let ${moved.name} (and app.${moved.name}) lead to ${moved.now} where its DNS is kept, or repeat the line with --hand-over; this should show it: dig +short ${moved.name}`,
  }] : []
}

/** As many Nomad clients as before are connected: they keep the address that they were started with. */
export const nomadClientsAreBack = (after: After) => async (): Promise<Done | Effect[]> => {
  const early = await stands(after)
  if (early) return early === 'not yet' ? [] : early
  const wanted = await clientsBefore(after.backup)
  if (!wanted) return done('no Nomad client was connected before')
  const now = await clients() ?? 0
  if (now >= wanted) return done(`${now} Nomad clients are connected`)
  return after.handOver ? done(`handed over: ${await restartClients(after.backup)}`) : []
}

const clientsBefore = async (backup: string): Promise<number> => Number((await keptOf(backup))?.data?.['clients'] ?? 0)

const restartClients = async (backup: string): Promise<string> => {
  const [, old, now] = (await changed(backup)).find(([name]) => name === 'nomad-server-external') ?? []
  return old ? `set server_endpoint of the Nomad clients' Terraform to ${now ?? 'the new address'}:4647 (was ${old}:4647), apply it, put its new certificates into KOTS, and restart the clients`
    : 'restart the Nomad clients (sudo systemctl restart nomad, on each)'
}

export const clientChecks = (backup: string) => async (): Promise<Check[]> => {
  const wanted = await clientsBefore(backup)
  return wanted ? [{
    ...await clientsAreReady(wanted, async () => `By hand: ${await restartClients(backup)}; or repeat the line with --hand-over.`),
    say: `${wanted} Nomad clients are connected again: ${await restartClients(backup)}`, within: minutes(60),
  }] : []
}
