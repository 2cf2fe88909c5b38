/**
 * Projects whose webhooks still lead to the name of 2.19, where 3.x has another one: each is set up anew by a person, and
 * GitHub tells which are left. Installation guide 3.3.0, "Migration".
 */
import { webhooksOf } from '../cloud/github.ts'
import { oncePerLook } from '../door.ts'
import type { Check, Done, Effect } from '../effect.ts'
import { done, hours } from '../effect.ts'
import { Unanswered } from '../fail.ts'
import type { Once } from '../files.ts'
import { readTool } from '../tools.ts'
import { heldBy } from '../server/config.ts'
import { read, ref } from '../cluster/objects.ts'
import { mongo } from '../server/mongodb.ts'

/** The page of each project, as MongoDB has it; undefined where it is outside. */
const PROJECTS = 'db.getSiblingDB("circle_ghe").projects.find({}, { vcs_url: 1 }).forEach(function (one) { if (one.vcs_url) print("project " + one.vcs_url) })'
export const projects = oncePerLook(async (): Promise<string[] | undefined> => {
  if (!await read(ref('Pod', 'mongodb-0'))) return undefined
  const { code, stdout, stderr } = await readTool(mongo(PROJECTS), { within: hours(1) })
  if (code !== 0) throw new Unanswered(`MongoDB of 3.x does not tell its projects: ${stderr.trim().split('\n').at(-1)}.`, 'See that its pod runs, then repeat the same line.')
  return [...stdout.matchAll(/^project (\S+)$/gm)].map(([, url]) => url as string).sort()
})

export interface Webhooks { oldDomain: string | undefined; githubToken: Once | undefined; handOver: boolean }

/** Those that lead to the old name; undefined where GitHub does not tell. */
export const webhooksLeft = async ({ oldDomain, githubToken }: Pick<Webhooks, 'oldDomain' | 'githubToken'>): Promise<string[] | undefined> => {
  if (!githubToken || !await projects()) return undefined
  const found: string[] = []
  for (const url of await projects() ?? []) {
    const { host, pathname } = new URL(url)
    const hooks = await webhooksOf(host, pathname.slice(1), githubToken)
    if (hooks === undefined || hooks.some((hook) => URL.canParse(hook) && new URL(hook).hostname === oldDomain)) found.push(url)
  }
  return found
}

/** All of them lead to 3.x. */
export const haveWebhooks = (given: Webhooks) => async (): Promise<Done | Effect[]> => {
  const { oldDomain, handOver } = given
  if (!oldDomain || oldDomain === await heldBy('domain')) return done('3.x has the name of 2.19, to which they lead')
  const open = await webhooksLeft(given), all = await projects()
  if (!all) return done('handed over: MongoDB is outside, and does not tell the projects; each whose webhook leads to the old name is set up anew')
  if (open === undefined) return done(`handed over, for nobody can see them without GITHUB_TOKEN: ${all.length} projects, which the report lists`)
  if (!open.length) return done(`those of ${all.length} projects lead to 3.x`)
  return handOver ? done(`handed over: ${open.length} of ${all.length} projects, which the report lists`) : []
}

export const webhooksByHand = async (given: Webhooks): Promise<string> => {
  const open = await webhooksLeft(given) ?? await projects() ?? []
  return `on the page of each of these projects in 3.x: Project Settings, Stop Building, then Set Up Project; contexts and variables stay:\n${open.slice(0, 20).map((url) => `  ${url}`).join('\n')}${open.length > 20 ? `\n  and ${open.length - 20} more, which the report lists` : ''}`
}

export const webhooksCheck = (given: Webhooks): Check => ({
  say: 'no webhook leads to 2.19 any more', within: hours(8), prints: '', command: { words: ['true'] },
  holds: async () => {
    const open = await webhooksLeft(given)
    return !open?.length || `${open.length} are left: ${open.slice(0, 2).join(', ')}`
  },
  hint: async () => 'Set up the projects that are left, or repeat the line with --hand-over.',
})
