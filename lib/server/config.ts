/**
 * Fills in the Config screen of the admin console in one pass: finds the key of each field by its label on the live
 * system, and saves and deploys them all together. Where a field is not found, a person fills the screen in, and is
 * told what with. Installation guide 3.3.0, phases 2 and 3.
 */
import type { Done, Effect } from '../effect.ts'
import { oncePerLook } from '../door.ts'
import { read, ref } from '../cluster/objects.ts'
import { done, minutes } from '../effect.ts'
import { fail, Unanswered } from '../fail.ts'
import { placeOf, readSecret } from '../files.ts'
import { line, quote, type Pipe } from '../shell.ts'
import { runTool } from '../tools.ts'
import { CONFIG, type Field, type FieldName } from './config-screen.ts'
import { adminConsole, appIsThere, configYaml, inForce, isOlder, itemsInForce, kots, kotsCli, kotsVersions, mustBeNewest, READABLE, SLUG, valueOf } from './kots.ts'
import { askConsole } from './kotsadm.ts'

/**
 * What goes into a field: a text; what a file holds, whole or behind the beginning of a line, with `later` where an
 * earlier step writes it; or what only the world tells once an earlier step is done.
 */
export type Value = string | { file: string; after?: string; later?: true } | Told
/** A question in its two forms: a command that prints the answer, and the read; undefined while there is none. No secret. */
export interface Told { say: string; words: string[]; read(): Promise<string | undefined> }
export type Filled = Partial<Record<FieldName, Value>>

/**
 * The text itself, as it is or without the space around it. It may be a secret. Undefined where it is not there yet, and
 * an earlier step makes it; throws where nobody does.
 */
const textOf = async (value: Value, asItIs = false): Promise<string | undefined> => {
  if (typeof value === 'string') return value
  if ('read' in value) return value.read()
  return value.later && lacks(value) ? undefined : inFile(value, asItIs)
}

const inFile = ({ file, after }: { file: string; after?: string }, asItIs = false): string => {
  const held = readSecret(file)
  const found = after === undefined ? (asItIs ? held : held?.trim()) : held?.split('\n').find((row) => row.startsWith(after))?.slice(after.length).trim()
  if (!found) throw fail(`${placeOf(file)} ${held === undefined ? 'is not there' : after ? `has no line that begins with ${after}` : 'is empty'}.`, 'Name the file that holds it, or run the runbook that writes it; then repeat the same line.')
  return found
}

/** Whether the file of a value is there, and holds it. */
export const lacks = (value: Value): string | undefined => {
  try {
    if (typeof value !== 'string' && 'file' in value) inFile(value)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

interface Item { name: string; type: string; title?: string; value?: string; default?: string; items?: { name: string; title?: string }[] }
interface Group { name: string; title: string; items?: Item[] }
type OnScreen = Item & { group: string }

/** The items of the newest version with their labels, as the console draws them. */
const screen = oncePerLook(async (): Promise<OnScreen[]> => {
  const app = await askConsole<{ currentSequence?: number }>(`/api/v1/app/${SLUG}`)
  const { body } = await askConsole<{ configGroups?: Group[] }>(`/api/v1/app/${SLUG}/config/${app.body.currentSequence ?? 0}`)
  return (body.configGroups ?? []).flatMap(({ name, title, items = [] }) => items.map((item) => ({ ...item, group: `${name} ${title}` })))
})

const plain = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]+/g, ' ').trim()

/** The one item of a field; where several have its label, what tells them apart is looked for in key and section. */
export const itemFor = ({ section, label, key }: Field, items: OnScreen[]): OnScreen | undefined => {
  const labels = label.split('|').map(plain)
  let found = items.filter(({ title }) => labels.includes(plain(title ?? '')))
  if (found.length > 1 && key) {
    const named = found.filter(({ name }) => key.test(name))
    found = named.length ? named : found.filter(({ group }) => key.test(group))
  }
  if (found.length > 1) found = found.filter(({ group }) => plain(group).includes(plain(section)))
  return found.length === 1 ? found[0] : undefined
}

/** A value as the item stores it: of a choice its key, of a file base64. */
const stored = ({ type, items = [] }: Item, text: string): string | undefined => {
  if (items.length) return items.find(({ title }) => plain(title ?? '').includes(plain(text)))?.name
  return type === 'file' ? Buffer.from(text).toString('base64') : text
}

interface Placed { name: string; value: Value; text: string | undefined; encoded: boolean }

/** What each item gets, by its key, and no text of what is not there yet; undefined where one of them is not found, or has no such choice. */
const placed = async (filled: Filled): Promise<Placed[] | undefined> => {
  const items = await screen()
  const all = await Promise.all(Object.entries(filled).map(async ([field, value]) => {
    const item = itemFor(CONFIG[field as FieldName], items)
    const given = item && await textOf(value, item.type === 'file'), text = item && given !== undefined ? stored(item, given) : undefined
    return item && (given === undefined || text !== undefined) ? { name: item.name, value, text, encoded: item.type === 'file' } : undefined
  }))
  return all.every((one) => one !== undefined) ? all : undefined
}

/** The text of each item; undefined where one of them is not there yet. */
const texts = (all: Placed[]): Record<string, string> | undefined =>
  (all.every(({ text }) => text !== undefined) ? Object.fromEntries(all.map(({ name, text }) => [name, text as string])) : undefined)

/** The keys and values that were saved, to wait for their deploy; undefined where the keys are not known. */
export const savedAs = async (filled: Filled): Promise<Record<string, string> | undefined> => {
  const all = await appIsThere() ? await placed(filled) : undefined
  return all && texts(all)
}

/** What is chosen among a few: stored under a key. */
const CHOICES: FieldName[] = ['githubType', 'storage', 's3Authentication', 'vmProvider', 'vmAuthentication', 'vmAccount', 'autoscalerProvider', 'autoscalerAuthentication', 'autoscalerType']

/** How one knows that all of it holds, whoever filled it in, and under whatever keys. */
const holds = async (filled: Filled): Promise<string | undefined> => {
  const [versions, items] = [await kotsVersions(), await itemsInForce()]
  if (typeof items === 'string') return showsAll(filled)
  const all = await placed(filled)
  const known = all && texts(all)
  if (all) return known && inForce(known)
  if (versions && !versions.some(({ status }) => status === 'deployed')) return undefined
  const there = new Set(items.map((item) => (valueOf(item) ?? '').trim()))
  const wanted = await Promise.all(Object.entries(filled).filter(([field]) => !CHOICES.includes(field as FieldName)).map(([, value]) => textOf(value)))
  return wanted.every((text) => text !== undefined && there.has(text)) ? 'each value stands in the deployed configuration' : undefined
}

/** What a field holds in the version that is deployed or on its way. It may be a secret. */
export const heldBy = async (name: FieldName): Promise<string | undefined> => {
  const [item, items] = [itemFor(CONFIG[name], await screen()), await itemsInForce()]
  // One that cannot print it shows what is no secret on its screen.
  if (typeof items === 'string') {
    await mustBeTooOld(items)
    return item && item.type !== 'password' ? item.value || item.default : undefined
  }
  return item && valueOf(items.find(({ key }) => key === item.name))
}

/** This KOTS is too old to print its configuration; throws where it did not answer, for then nobody knows. */
const mustBeTooOld = async (why: string): Promise<void> => {
  const cli = await kotsCli()
  if (cli !== undefined && !isOlder(cli, READABLE)) throw new Unanswered(`KOTS does not print its configuration: ${why}.`, `See whether the admin console is well, then repeat the same line: ${adminConsole()}`)
}

/** Where KOTS does not print its configuration: its screen shows what is no secret, and what a deploy makes tells that there was one. */
const showsAll = async (filled: Filled): Promise<string | undefined> => {
  if (!await read(ref('Deployment', 'frontend'))) return undefined
  const items = await screen()
  const shown = (await Promise.all(Object.entries(filled).map(async ([name, value]) => {
    const field: Field = CONFIG[name as FieldName], item = itemFor(field, items)
    if (!item || field.secret || item.type === 'password') return []
    const text = await textOf(value, item.type === 'file')
    return [text !== undefined && (item.value || item.default || '').trim() === stored(item, text)]
  }))).flat()
  return shown.length && shown.every(Boolean) ? `it is deployed, and the Config screen shows ${shown.length} of the values; the secret ones it does not` : undefined
}

/** Labels of the fields that the deployed version holds otherwise than they are given here. */
export const deployedOtherwise = async (filled: Filled): Promise<string[]> => {
  if (!await appIsThere() || !(await kotsVersions())?.some(({ status }) => status === 'deployed')) return []
  const [all, items] = [await screen(), await itemsInForce()]
  if (typeof items === 'string') {
    await mustBeTooOld(items)
    return []
  }
  return (await Promise.all(Object.entries(filled).map(async ([name, value]) => {
    const field = CONFIG[name as FieldName], item = itemFor(field, all), text = item && await textOf(value, item.type === 'file')
    const [held, wanted] = [item && valueOf(items.find(({ key }) => key === item.name)), item && text !== undefined ? stored(item, text) : undefined]
    return held && wanted !== undefined && held.trim() !== wanted.trim() ? [labelOf(field)] : []
  }))).flat()
}

/** Whether an item is one of these fields: what an interrupted run of the same procedure saved is no news. */
export const isOneOf = (fields: FieldName[]) => async (key: string): Promise<boolean> => {
  const items = await screen()
  return fields.some((field) => itemFor(CONFIG[field], items)?.name === key)
}

/** What awk puts in the place of each item: a text, what the file holds, what a command prints. Secrets are read by awk itself. */
const program = (all: Placed[]): string => {
  const quoted = (text: string) => JSON.stringify(text)
  const rows = all.map(({ name, value, text = '', encoded }) => (typeof value === 'string' ? `t[${quoted(name)}]=${quoted(text)}`
    : 'words' in value ? `p[${quoted(name)}]=${quoted(line(value.words))}`
    : `f[${quoted(name)}]=${quoted(value.file)}${value.after === undefined ? '' : `; a[${quoted(name)}]=${quoted(value.after)}`}${encoded ? `; b[${quoted(name)}]=${quoted(`base64 < ${quote(value.file)}`)}` : ''}`))
  return `BEGIN { ${rows.join('; ')} } /^    [^ ]/ { k = $1; sub(/:.*/, "", k); mine = (k in t || k in p || k in f); if (mine) { print "    " k ":"; print "      value: |-"; `
    + 'if (k in t) print "        " t[k]; else if (k in p) { p[k] | getline row; print "        " row } else if (k in b) { printf "        "; while ((b[k] | getline row) > 0) printf "%s", row; print "" } '
    // One file may hold the values of several items: it is read again from its beginning.
    + 'else { while ((getline row < f[k]) > 0) if (!(k in a)) print "        " row; else if (index(row, a[k]) == 1) print "        " substr(row, length(a[k]) + 1); close(f[k]) } } } '
    + '!mine || /^[^ ]|^  [^ ]/ { print }'
}

/** The whole configuration with ours in it: what is not in it would be cleared. */
const whole = (all: Placed[]): Pipe => ({
  say: 'the configuration, filled in',
  commands: [kots('get', 'config', '--appslug', SLUG), ['awk', program(all)]],
  read: async () => {
    const { parse } = await import('yaml')
    const document = parse(await configYaml()) as { spec: { values: Record<string, { value?: string } | null> } }
    for (const { name, text, value } of all) {
      if (text === undefined) throw fail(`Not there: ${typeof value !== 'string' && 'say' in value ? value.say : lacks(value)}.`, 'Repeat the same line: it looks at the steps before this one.')
      document.spec.values[name] = { value: text }
    }
    // JSON is YAML too.
    return JSON.stringify(document)
  },
})

const WORDS = () => kots('set', 'config', SLUG, '--config-file', '/dev/stdin', '--deploy')

/**
 * `risk` is what nobody can change any more once it is deployed, before the first deploy; `later` are fields that another
 * step changes then.
 */
export interface Configuration { filled: Filled; risk?: string; later?: FieldName[] }

/**
 * All fields hold their values, in the version that is deployed or on its way. It builds on the newest version, and takes
 * along what else was saved: after the first deploy it holds for that version of the plan, and for no later one.
 */
export const haveConfig = async ({ filled, risk, later = [] }: Configuration): Promise<Done | Effect[]> => {
  const running = await appIsThere()
  const why = running ? await holds(Object.fromEntries(Object.entries(filled).filter(([field]) => !later.includes(field as FieldName)))) : undefined
  if (why) return done(why)
  const all = running ? await placed(filled) : undefined
  if (running && (!all || typeof await itemsInForce() === 'string')) return []
  const versions = running ? await kotsVersions() : undefined
  const first = risk !== undefined && !versions?.some(({ status }) => status === 'deployed')
  const newest = first ? undefined : versions?.[0]?.sequence
  return [{
    id: `kots set ${risk ? 'config' : labels(filled).join(', ')}`, again: 'mint', ...(first ? { danger: risk, final: 'This cannot be changed later' } : {}), ...(newest === undefined ? {} : { subject: `version ${newest}` }),
    command: { words: WORDS(), stdin: all ? whole(all) : { say: 'the configuration, filled in', commands: [kots('get', 'config', '--appslug', SLUG)], read: async () => '' } },
    ...(all ? {} : { onlyInCall: `The runbook fills in, once KOTS tells their keys: ${labels(filled).join(', ')}.` }),
    call: async () => {
      if (newest !== undefined) await mustBeNewest(newest)
      const now = await placed(filled)
      if (!now) throw fail('KOTS does not tell the keys of all fields.', 'Repeat the same line: it lists what to fill in by hand.')
      return runTool(WORDS(), `Look at the admin console, Config: ${adminConsole()}. What it lacks is marked there.`, minutes(10), { stdin: await whole(now).read() })
    },
  }]
}

const labels = (filled: Filled): string[] => Object.keys(filled).map((field) => labelOf(CONFIG[field as FieldName]))
const labelOf = ({ label }: Field): string => label.split('|')[0] ?? label

/** What a person fills in, in the order of the screen. What is no secret is told as far as it is known. */
export const byHand = async (filled: Filled): Promise<string> => {
  const told = await Promise.all(Object.entries(filled).map(async ([name, value]) => [name, typeof value === 'string' || !('read' in value) ? value : await value.read() ?? value] as const))
  const given: Filled = Object.fromEntries(told)
  const ours = Object.entries(CONFIG).flatMap(([name, field]) => (given[name as FieldName] === undefined ? [] : [{ field, value: given[name as FieldName] as Value }]))
  const column = Math.max(...ours.map(({ field }) => labelOf(field).length))
  const rows = ours.map(({ field, value }, n) => [
    ...(ours[n - 1]?.field.section === field.section ? [] : [`  ${field.section}`]),
    `    ${labelOf(field).padEnd(column)}  ${typeof value === 'string' ? value : 'words' in value ? `what this prints then: ${line(value.words)}` : `from ${placeOf(value.file)}${value.after ? `, behind ${value.after}` : ''}`}`,
  ]).flat()
  return [`fill in the Config screen (${adminConsole()}), then Save config, Go to new version, Deploy:`, ...rows].join('\n')
}
