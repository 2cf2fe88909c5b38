/**
 * Fills in the Config screen of the admin console in one pass: finds the key of each field by its label on the live
 * system, and saves and deploys them all together. Where a field is not found, a person fills the screen in, and is
 * told what with. Installation guide 3.3.0, phase 2.
 */
import type { Done, Effect } from '../effect.ts'
import type { Pipe } from '../shell.ts'
import { oncePerLook } from '../door.ts'
import { done, minutes } from '../effect.ts'
import { fail } from '../fail.ts'
import { placeOf, readSecret } from '../files.ts'
import { runTool } from '../tools.ts'
import { CONFIG, type Field, type FieldName } from './config-screen.ts'
import { adminConsole, appIsThere, configYaml, inForce, itemsInForce, kots, kotsVersions, mustBeNewest, SLUG, valueOf } from './kots.ts'
import { askConsole } from './kotsadm.ts'

/** What goes into a field: a text, or what a file holds, whole or behind the beginning of a line. */
export type Value = string | { file: string; after?: string }
export type Filled = Partial<Record<FieldName, Value>>

/** The text itself. It may be a secret. Throws where the file does not hold it. */
const textOf = (value: Value): string => {
  if (typeof value === 'string') return value
  const { file, after } = value
  const held = readSecret(file)
  const found = after === undefined ? held?.trim() : held?.split('\n').find((row) => row.startsWith(after))?.slice(after.length).trim()
  if (!found) throw fail(`${placeOf(file)} ${held === undefined ? 'is not there' : after ? `has no line that begins with ${after}` : 'is empty'}.`, 'Name the file that holds it, or run the runbook that writes it; then repeat the same line.')
  return found
}

/** Whether the file of a value is there, and holds it. */
export const lacks = (value: Value): string | undefined => {
  try {
    textOf(value)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

/** Each of its values is there: those in files, too. */
export const isWhole = (filled: Filled): boolean => Object.values(filled).every((value) => lacks(value) === undefined)

interface Item { name: string; type: string; title?: string; items?: { name: string; title?: string }[] }
interface Group { name: string; title: string; items?: Item[] }
type Placed = Item & { group: string }

/** The items of the newest version with their labels, as the console draws them. */
const screen = oncePerLook(async (): Promise<Placed[]> => {
  const app = await askConsole<{ currentSequence?: number }>(`/api/v1/app/${SLUG}`)
  const { body } = await askConsole<{ configGroups?: Group[] }>(`/api/v1/app/${SLUG}/config/${app.body.currentSequence ?? 0}`)
  return (body.configGroups ?? []).flatMap(({ name, title, items = [] }) => items.map((item) => ({ ...item, group: `${name} ${title}` })))
})

const plain = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]+/g, ' ').trim()

/** The one item of a field; where several have its label, what tells them apart is looked for in key and section. */
export const itemFor = ({ section, label, key }: Field, items: Placed[]): Placed | undefined => {
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

interface Ready { name: string; value: Value; text: string; encoded: boolean }

/** What each item gets, by its key; undefined where one of them is not found, or has no such choice. */
const placed = async (filled: Filled): Promise<Ready[] | undefined> => {
  const items = await screen()
  const all = Object.entries(filled).map(([field, value]) => {
    const item = itemFor(CONFIG[field as FieldName], items)
    const text = item && stored(item, textOf(value))
    return item && text !== undefined ? { name: item.name, value, text, encoded: item.type === 'file' } : undefined
  })
  return all.every((one) => one !== undefined) ? all : undefined
}

const texts = (all: { name: string; text: string }[]): Record<string, string> => Object.fromEntries(all.map(({ name, text }) => [name, text]))

/** The keys and values that were saved, to wait for their deploy; undefined where the keys are not known. */
export const savedAs = async (filled: Filled): Promise<Record<string, string> | undefined> => {
  const all = await appIsThere() && isWhole(filled) ? await placed(filled) : undefined
  return all && texts(all)
}

/** How one knows that all of it holds, whoever filled it in, and under whatever keys. */
const holds = async ({ noProxy: _secondPass, ...filled }: Filled): Promise<string | undefined> => {
  const all = await placed(filled)
  if (all) return inForce(texts(all))
  const [versions, items] = [await kotsVersions(), await itemsInForce()]
  if (typeof items === 'string' || (versions && !versions.some(({ status }) => status === 'deployed'))) return undefined
  const there = new Set(items.map((item) => (valueOf(item) ?? '').trim()))
  // A choice is stored under a key that nobody outside knows.
  const wanted = Object.entries(filled).flatMap(([field, value]) => (['githubType', 'storage', 's3Authentication'].includes(field) ? [] : [textOf(value)]))
  return wanted.every((text) => there.has(text)) ? 'each value stands in the deployed configuration' : undefined
}

/** What a field holds in the version that is deployed or on its way. It may be a secret. */
export const heldBy = async (name: FieldName): Promise<string | undefined> => {
  const [item, items] = [itemFor(CONFIG[name], await screen()), await itemsInForce()]
  return item && typeof items !== 'string' ? valueOf(items.find(({ key }) => key === item.name)) : undefined
}

/** Labels of the fields that the deployed version holds otherwise than they are given here. */
export const deployedOtherwise = async (filled: Filled): Promise<string[]> => {
  if (!await appIsThere() || !(await kotsVersions())?.some(({ status }) => status === 'deployed')) return []
  const [all, items] = [await screen(), await itemsInForce()]
  if (typeof items === 'string') return []
  return Object.entries(filled).flatMap(([name, value]) => {
    const field = CONFIG[name as FieldName], item = itemFor(field, all)
    const held = item && valueOf(items.find(({ key }) => key === item.name))
    return held && held !== stored(item, textOf(value)) ? [labelOf(field)] : []
  })
}

/** What awk puts in the place of each item: a text, or what the file holds. Secrets are read by awk itself. */
const program = (all: Ready[]): string => {
  const quoted = (text: string) => JSON.stringify(text)
  const rows = all.map(({ name, value, text, encoded }) => (typeof value === 'string' ? `t[${quoted(name)}]=${quoted(text)}`
    : `f[${quoted(name)}]=${quoted(value.file)}${value.after === undefined ? '' : `; a[${quoted(name)}]=${quoted(value.after)}`}${encoded ? `; b[${quoted(name)}]` : ''}`))
  return `BEGIN { ${rows.join('; ')} } /^    [^ ]/ { k = $1; sub(/:.*/, "", k); mine = (k in t || k in f); if (mine) { print "    " k ":"; print "      value: |-"; `
    + 'if (k in t) print "        " t[k]; else if (k in b) { printf "        "; c = "base64 < " f[k]; while ((c | getline row) > 0) printf "%s", row; print "" } else while ((getline row < f[k]) > 0) if (!(k in a)) print "        " row; else if (index(row, a[k]) == 1) print "        " substr(row, length(a[k]) + 1) } } '
    + '!mine || /^[^ ]|^  [^ ]/ { print }'
}

/** The whole configuration with ours in it: what is not in it would be cleared. */
const whole = (all: Ready[]): Pipe => ({
  say: 'the configuration, filled in',
  commands: [kots('get', 'config', '--appslug', SLUG), ['awk', program(all)]],
  read: async () => {
    const { parse, stringify } = await import('yaml')
    const document = parse(await configYaml()) as { spec: { values: Record<string, { value?: string } | null> } }
    for (const { name, text } of all) document.spec.values[name] = { value: text }
    return stringify(document)
  },
})

const WORDS = () => kots('set', 'config', SLUG, '--config-file', '/dev/stdin', '--deploy')

/** `risk` is what nobody can change any more once it is deployed, before the first deploy. */
export interface Configuration { filled: Filled; risk?: string }

/**
 * All fields hold their values, in the version that is deployed or on its way. It builds on the newest version, and takes
 * along what else was saved: after the first deploy it holds for that version of the plan, and for no later one.
 */
export const haveConfig = async ({ filled, risk }: Configuration): Promise<Done | Effect[]> => {
  const running = await appIsThere() && isWhole(filled)
  const why = running ? await holds(filled) : undefined
  if (why) return done(why)
  const all = running ? await placed(filled) : undefined
  if (running && (!all || typeof await itemsInForce() === 'string')) return []
  const newest = risk ? undefined : (await kotsVersions())?.[0]?.sequence
  return [{
    id: `kots set ${risk ? 'config' : labels(filled).join(', ')}`, again: 'mint', ...(risk ? { danger: risk, final: 'This cannot be changed later' } : {}), ...(newest === undefined ? {} : { subject: `version ${newest}` }),
    command: { words: WORDS(), stdin: all ? whole(all) : { say: 'the configuration, filled in', commands: [kots('get', 'config', '--appslug', SLUG)], read: async () => '' } },
    ...(all ? {} : { onlyInCall: `The runbook fills in, once KOTS tells their keys and the files are there: ${labels(filled).join(', ')}.` }),
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

/** What a person fills in, in the order of the screen. */
export const byHand = (filled: Filled): string => {
  const ours = Object.entries(CONFIG).flatMap(([name, field]) => (filled[name as FieldName] === undefined ? [] : [{ field, value: filled[name as FieldName] as Value }]))
  const column = Math.max(...ours.map(({ field }) => labelOf(field).length))
  const rows = ours.map(({ field, value }, n) => [
    ...(ours[n - 1]?.field.section === field.section ? [] : [`  ${field.section}`]),
    `    ${labelOf(field).padEnd(column)}  ${typeof value === 'string' ? value : `from ${placeOf(value.file)}${value.after ? `, behind ${value.after}` : ''}`}`,
  ]).flat()
  return [`fill in the Config screen (${adminConsole()}), then Save config, Go to new version, Deploy:`, ...rows].join('\n')
}
