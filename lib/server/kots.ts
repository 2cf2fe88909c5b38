/**
 * KOTS, the admin console of the installation, through its kubectl plugin: what it is told, which versions it
 * holds, and how it is told something new. The item keys of circleci-server are not public, so they are looked
 * up by what they are called on the live system.
 */
import type { Check, Effect } from '../effect.ts'
import type { Command } from '../shell.ts'
import type { Outcome } from '../tools.ts'
import { once, oncePerLook } from '../door.ts'
import { minutes } from '../effect.ts'
import { EXIT, Unanswered, fail } from '../fail.ts'
import { cluster } from '../cluster/kubernetes.ts'
import { read, ref } from '../cluster/objects.ts'
import { line } from '../shell.ts'
import { TOO_LATE, complaint, readTool, runTool } from '../tools.ts'

export const SLUG = 'circleci-server'
/** The first KOTS that prints its configuration. */
export const READABLE = '1.59.0'

/** Whether the admin console is installed. */
export const consoleRuns = oncePerLook(async () => Boolean(await read(ref('Deployment', 'kotsadm')) ?? await read(ref('StatefulSet', 'kotsadm'))))

/** `kubectl kots …`; a plugin takes the flags of kubectl only behind its own words. */
export const kots = (...words: string[]): string[] => {
  const { flags, namespace } = cluster()
  return ['kubectl', 'kots', ...words, ...flags, '-n', namespace]
}

export interface KotsVersion { versionLabel: string; sequence: number; status: string; createdOn?: string; deployedAt?: string | null; source?: string }

/** One item of the Config screen: what is stored, and what holds where nothing is. */
export interface Item { key: string; value: string; fallback: string }

/** The value in force. */
export const valueOf = (item: Item | undefined): string | undefined => item && (item.value || item.fallback)

/** What the shell says of no kubectl, and kubectl of no plugin. */
const isMissing = ({ code, stderr }: Outcome): boolean => code === 127 || /unknown command "kots"/.test(stderr)

/** What the plugin says of itself. Asked once: it does not change under a run. */
const plugin = once(async (): Promise<{ version?: string; missing?: true; trouble?: string }> => {
  const outcome = await readTool(['kubectl', 'kots', 'version'])
  if (outcome.code === 0) return { version: /(\d+\.\d+\.\d+)/.exec(outcome.stdout)?.[1] ?? 'of an unknown version' }
  if (isMissing(outcome)) return { missing: true }
  return { trouble: outcome.code === TOO_LATE ? complaint(outcome) : `kubectl kots version ended with ${outcome.code}: ${complaint(outcome)}` }
})

/** Version of the plugin; undefined where it is missing, or does not say. */
export const kotsCli = async (): Promise<string | undefined> => (await plugin()).version
/** Why the plugin, which is there, does not say its version. */
export const kotsTrouble = async (): Promise<string | undefined> => (await plugin()).trouble

/** Release of CircleCI server that is deployed, where KOTS tells. */
export const serverVersion = oncePerLook(async (): Promise<string | undefined> => {
  const { stdout } = await ask('get', 'apps', '-o', 'json')
  return json<{ slug: string; versionlabel: string }[]>(stdout)?.find(({ slug }) => slug === SLUG)?.versionlabel || undefined
})

/** The console answers, and has taken the licence: the application is there, whatever its state. */
export const appIsThere = oncePerLook(async (): Promise<boolean> => {
  if (!await consoleRuns()) return false
  const { stdout } = await ask('get', 'apps', '-o', 'json')
  return json<{ slug: string }[]>(stdout)?.some(({ slug }) => slug === SLUG) ?? false
})

/** All versions, newest first; undefined where this KOTS cannot list them (before 1.61). */
export const kotsVersions = oncePerLook(() => readVersions())

/** A plugin that is known to be older than what a question needs is not asked. */
const predates = async (release: string): Promise<boolean> => {
  const cli = await kotsCli()
  return cli !== undefined && /^\d/.test(cli) && isOlder(cli, release)
}

const readVersions = async (): Promise<KotsVersion[] | undefined> => {
  if (await predates('1.61.0')) return undefined
  const { code, stdout } = await ask('get', 'versions', SLUG, '-o', 'json')
  const versions = code === 0 ? json<KotsVersion[]>(stdout)?.sort((a, b) => b.sequence - a.sequence) : undefined
  const cli = await kotsCli()
  if (versions || !cli || isOlder(cli, '1.61.0')) return versions
  throw new Unanswered('KOTS does not list its versions now.', `See whether the admin console is well, then repeat the same line: ${line(kots('get', 'versions', SLUG))}`)
}

/**
 * Items of the newest version, deployed or not; a sentence where this KOTS cannot list them (before 1.59).
 * They include passwords: only keys, and values of items that are no secrets, are ever shown.
 */
export const kotsItems = oncePerLook(async (): Promise<Item[] | string> => {
  if (await predates(READABLE)) return `KOTS ${await kotsCli()} cannot list its configuration`
  return itemsOf(await ask('get', 'config', '--appslug', SLUG))
})

/** The version that is deployed: of all that once were, the last one. */
export const deployedOf = (versions: KotsVersion[]): KotsVersion | undefined =>
  versions.filter(({ status }) => status === 'deployed').sort((a, b) => (b.deployedAt ?? '').localeCompare(a.deployedAt ?? '') || b.sequence - a.sequence)[0]

/** The version that holds, or is about to: one on its way, else the deployed one. What was only saved does not. */
const versionInForce = async (): Promise<KotsVersion | undefined> => {
  const versions = await kotsVersions()
  const deployed = versions && deployedOf(versions)
  return versions?.find(({ sequence, status }) => isOnItsWay(status) && status !== 'deployed' && sequence > (deployed?.sequence ?? -1)) ?? deployed
}

const itemsAt = async (sequence: number): Promise<Item[] | string> => itemsOf(await ask('get', 'config', '--appslug', SLUG, '--sequence', String(sequence)))

export const itemsInForce = oncePerLook(async (): Promise<Item[] | string> => {
  const [version, newest] = [await versionInForce(), (await kotsVersions())?.[0]]
  return version && version.sequence !== newest?.sequence ? itemsAt(version.sequence) : kotsItems()
})

/** How one knows that these values hold, or are about to: in the version in force, whatever else was saved since. */
export const inForce = async (values: Record<string, string>): Promise<string | undefined> => {
  const [versions, version, items] = [await kotsVersions(), await versionInForce(), await itemsInForce()]
  if ((versions && !version) || typeof items === 'string') return undefined
  if (Object.entries(values).some(([key, value]) => valueOf(items.find((item) => item.key === key)) !== value)) return undefined
  return version ? `version ${version.sequence} is ${version.status}` : 'it does not list its versions'
}

/** Since when these values hold, through the versions that came after; undefined while they do not, 'never told' where this KOTS does not say. */
export const inForceSince = async (values: Record<string, string>): Promise<string | undefined> => {
  if (await inForce(values) === undefined) return undefined
  const version = await versionInForce()
  let since = version?.deployedAt
  const before = (await kotsVersions() ?? []).filter(({ sequence, deployedAt }) => deployedAt && sequence < (version?.sequence ?? 0))
  for (const { sequence, deployedAt } of before) {
    const items = await itemsAt(sequence)
    // Where one of them cannot be read nobody knows, and nothing is started anew for it.
    if (typeof items === 'string') return 'never told'
    if (Object.entries(values).some(([key, value]) => valueOf(items.find((item) => item.key === key)) !== value)) break
    since = deployedAt
  }
  return since ?? 'never told'
}

/** Nothing is asked of a plugin that is not there, or does not answer. */
const ask = async (...words: string[]): Promise<Outcome> =>
  await kotsCli() ? readTool(kots(...words)) : { code: 127, stdout: '', stderr: await kotsTrouble() ?? 'kubectl, or its KOTS plugin, is not installed' }

const json = <T>(text: string): T | undefined => {
  try {
    return JSON.parse(text) as T
  } catch {
    return undefined
  }
}

const UNREADABLE = 'what it printed is no configuration'

/** What it prints are passwords too: no word of it gets into a message, neither of a part of it nor by the parser. */
const itemsOf = async ({ code, stdout, stderr }: Outcome): Promise<Item[] | string> => {
  if (code !== 0) return `kubectl kots get config ended with ${code}: ${complaint({ code, stdout: '', stderr })}`
  const { parse } = await import('yaml')
  try {
    const { spec } = parse(stdout, { prettyErrors: false, logLevel: 'error' }) as { spec: { values?: Record<string, { value?: unknown; default?: unknown } | null> } }
    return Object.entries(spec.values ?? {}).map(([key, item]) => ({ key, value: String(item?.value ?? ''), fallback: String(item?.default ?? '') }))
  } catch {
    return UNREADABLE
  }
}

/** The newest version's configuration as KOTS prints it, with its passwords. Throws where it does not. */
export const configYaml = async (): Promise<string> => {
  const { code, stdout, stderr } = await ask('get', 'config', '--appslug', SLUG)
  if (code === 0) return stdout
  throw new Unanswered(`KOTS does not print its configuration: ${complaint({ code, stdout: '', stderr })}.`, `See whether the admin console is well, then repeat the same line: ${adminConsole()}`)
}

/** Names of the items whose stored value differs between a version and the newest one; values are not shown. */
export const changedItems = async (sequence: number): Promise<string[] | undefined> => {
  const [then, now] = await Promise.all([itemsAt(sequence), kotsItems()])
  if (typeof then === 'string' || typeof now === 'string') return undefined
  const before = new Map(then.map((item) => [item.key, item.value]))
  return now.filter(({ key, value }) => before.get(key) !== value).map(({ key }) => key)
}

/** Throws where somebody saved another version since the plan was made: a deploy would take it along. */
export const mustBeNewest = async (sequence: number): Promise<void> => {
  const now = (await readVersions())?.[0]
  if (!now || now.sequence === sequence) return
  throw fail(`Somebody saved version ${now.sequence} (${now.versionLabel}) in KOTS just now, and this would have deployed it too.`,
    'Nothing was sent to KOTS. Repeat the same line; it looks at that version, and asks.', { code: EXIT.stale })
}

/**
 * Saves items and deploys the newest version with them. Each call makes one more version, and takes along
 * whatever else was saved before and never deployed (`set config` builds on the newest version): it holds for the
 * newest version of the plan that was confirmed, and for no later one.
 */
export const setAndDeploy = (values: Record<string, string>, newest?: number): Effect => {
  const words = kots('set', 'config', SLUG, ...Object.entries(values).map(([key, value]) => `${key}=${value}`), '--deploy')
  return {
    id: `kots set ${Object.keys(values).join(' ')}`, again: 'mint',
    ...(newest === undefined ? {} : { subject: `version ${newest}`, onlyInCall: `The runbook sends it only while version ${newest} is the newest one.` }),
    command: { words },
    call: async () => {
      if (newest !== undefined) await mustBeNewest(newest)
      return runTool(words, `Look at the admin console: ${adminConsole()}. Where it said “failed to create new config”, an item was never saved: press Save config there once.`, minutes(10))
    },
    preview: async () => {
      const items = await kotsItems()
      return { changes: Object.entries(values).map(([key, to]) => ({
        what: `KOTS ${key}`, from: typeof items === 'string' ? '?' : valueOf(items.find((item) => item.key === key)) ?? '?', to,
      })) }
    },
  }
}

/** Whether a version, of KOTS or the server, comes before another. */
export const isOlder = (version: string, than: string): boolean => {
  const [parts, others] = [version, than].map((text) => text.split(/[.-]/).map((part) => Number.parseInt(part, 10) || 0)) as [number[], number[]]
  const at = others.findIndex((n, i) => (parts[i] ?? 0) !== n)
  return at >= 0 && (parts[at] ?? 0) < (others[at] ?? 0)
}

/** Prints all items with their values; among them are passwords. */
export const listItems = (): string[] => kots('get', 'config', '--appslug', SLUG)

/** Prints the status of the newest version of those that were not only saved. */
const newestStatus = (): Command => ({
  words: ['sh', '-c', `${line(kots('get', 'versions', SLUG, '-o', 'json'))} | sed -n 's/.*"status": "\\([a-z_]*\\)".*/\\1/p' | grep -vx pending | head -n 1`],
})

/** The line that opens the admin console at http://localhost:8800. */
export const adminConsole = (): string => kots('admin-console').join(' ')

/** The newest version of those that were not only saved, where it could not be deployed. */
const failedVersion = async (): Promise<KotsVersion | undefined> => {
  const tried = (await kotsVersions())?.find(({ status }) => status !== 'pending')
  return tried?.status === 'failed' ? tried : undefined
}

/** That the newest version could not be deployed, where that is so. */
export const failedDeploy = async (): Promise<string | undefined> => {
  const failed = await failedVersion()
  return failed && `KOTS could not deploy version ${failed.sequence}`
}

/** A KOTS version that is deployed, or is being deployed. */
export const isOnItsWay = (status: string): boolean => ['deployed', 'deploying', 'pending_preflight'].includes(status)

/**
 * The version that holds these values has got as far as `reached` says; where their items are not known, the newest
 * one. No check where KOTS is there and cannot list its versions.
 */
export const kotsReaches = async (reached: (status: string) => boolean, say: string, values: Record<string, string> | undefined): Promise<Check[]> =>
  await appIsThere() && await kotsVersions() === undefined ? [] : [{
    say, within: minutes(10), prints: 'deployed', command: newestStatus(),
    holds: async () => {
      const newest = (await kotsVersions())?.[0]
      const version = values ? await versionInForce() : newest
      if (!newest || (version && reached(version.status) && (!values || await inForce(values) !== undefined))) return true
      const failed = await failedVersion()
      if (failed) {
        throw fail(`KOTS could not deploy version ${failed.sequence}.`, `See why under Version History: ${adminConsole()}; then the same line deploys again.`,
          { why: 'A deploy fails when an object of it is refused; the log is in the admin console.', state: 'The databases run; what was done so far stays.' })
      }
      return `version ${newest.sequence} is ${newest.status}`
    },
  }]
