/**
 * realitycheck with contexts, on 3.x before anything is moved and again by a fresh commit after it; both are noted.
 * Installation guide 3.3.0, "Migration", prerequisites and step 2.
 */
import { stamp } from '../clock.ts'
import type { Check, Done, Effect } from '../effect.ts'
import { ask, bad, done, hours, minutes, ok, preflight } from '../effect.ts'
import type { Once } from '../files.ts'
import { tokensPage } from '../server/api.ts'
import { heldBy } from '../server/config.ts'
import type { Project } from '../server/realitycheck-project.ts'
import { called, contextsAreGreen, lastRun, stateOf, type Run } from '../server/realitycheck.ts'
import { line } from '../shell.ts'
import { note, notes } from './held.ts'
import { type StoreName } from './scripts.ts'
import { received } from './stores.ts'

export interface Proving { token: Once | undefined; org: string | undefined; repo: string; enterprise: string | undefined; handOver: boolean }

const projectOf = async ({ token, org, repo, enterprise }: Proving): Promise<Project | undefined> => {
  const domain = await heldBy('domain')
  return token && org && domain ? { domain, token, org, repo, host: enterprise ?? 'github.com' } : undefined
}

const start = async ({ org, repo }: Proving): Promise<string> =>
  line(['npx', 'tsx', 'runbooks/realitycheck.ts', '--domain', await heldBy('domain') ?? 'DOMAIN', '--org', org ?? 'ORG', '--repo', repo, '--max-age', '0m'])

/** What speaks against a run; undefined where it is green, with its contexts. */
const trouble = (run: Run): string | undefined => {
  const state = (['resource', 'feature'] as const).map((group) => stateOf(run, group)).find((one) => one !== 'green')
  return state ? `${called(run)} is ${state}` : contextsAreGreen(run) ? undefined : `in ${called(run)} the jobs with contexts are not green`
}

const when = (run: Run): string => `${called(run)}, ${stamp(run.at)}`

const BEFORE = 'realitycheck.before', AFTER = 'realitycheck.after'

/** It has passed on 3.x. Without a token nobody but the operator knows. */
export const provenBefore = (given: Proving, over: () => Promise<string | undefined>) => preflight('realitycheck', 'realitycheck has passed on 3.x, with contexts', async () => {
  if (await over()) return ok('all data has come')
  const project = await projectOf(given)
  if (!project) return ask('Has realitycheck passed on 3.x, with contexts? (With GITHUB_ORG and CIRCLECI_TOKEN it is looked up.)')
  const run = await lastRun(project), wrong = run ? trouble(run) : 'it has never run'
  return run && !wrong ? ok(when(run)) : bad(`${wrong}: where something fails after the migration, nobody could tell whether it was ever well`, `Have it pass first: ${await start(given)}`)
})

/** What is noted of it, before anything is moved. */
export const proofNotes = async (given: Proving): Promise<Record<string, string | null>> => {
  const project = await projectOf(given), run = project && await lastRun(project)
  const before = run && !trouble(run) ? when(run) : (await notes())[BEFORE] ?? 'nobody looked it up; whoever began the migration said that it had passed'
  // What a migration of before has noted says nothing of this one.
  return { [AFTER]: null, [BEFORE]: before }
}

/** When the last store had come, in milliseconds. */
export const cameAt = async (stores: StoreName[]): Promise<number> =>
  Math.max(0, ...await Promise.all(stores.map(async (name) => {
    const got = await received(name)
    return got && got !== 'unknown' ? got.ended * 1000 : 0
  })))

/** A run after the migration that is green. */
const proof = async (given: Proving, stores: StoreName[]): Promise<{ run: Run } | string> => {
  const project = await projectOf(given), run = project && await lastRun(project)
  if (!run || run.at <= await cameAt(stores)) return 'none has begun since the data came'
  return trouble(run) ?? { run }
}

/** It has passed again, on the data of 2.19. */
export const haveProof = (given: Proving, stores: StoreName[]) => async (): Promise<Done | Effect[]> => {
  if ((await notes())[AFTER]) return done(`it has passed: ${(await notes())[AFTER]}`)
  if (!await projectOf(given)) return done(`handed over, for nobody can see it without GITHUB_ORG and CIRCLECI_TOKEN: ${await start(given)}`)
  const found = await proof(given, stores)
  if (typeof found !== 'string') return [await note({ [AFTER]: when(found.run) })]
  return given.handOver ? done(`handed over: ${await start(given)}`) : []
}

export const proofByHand = async (given: Proving): Promise<string> =>
  `push a fresh commit to ${given.org ?? 'ORG'}/${given.repo}, or:\n  ${await start(given)}\nPeople and tokens are those of 2.19 now: a token of before no longer counts. Make one at ${tokensPage(await heldBy('domain') ?? 'DOMAIN')} and repeat the line with it.`

export const proofCheck = (given: Proving, stores: StoreName[]): Check => ({
  say: 'realitycheck has passed on the data of 2.19', within: minutes(60), prints: '', command: { words: ['true'] },
  holds: async () => {
    if ((await notes())[AFTER] || !await projectOf(given)) return true
    const found = await proof(given, stores)
    return typeof found === 'string' ? found : true
  },
  hint: async () => `${await start(given)}; or repeat the line with --hand-over.`,
})

/** How long somebody gets for it. */
export const PROVING = hours(4)

/** Both, for the report. */
export const proofs = async (): Promise<string[]> => {
  const kept = await notes()
  return [`before: ${kept[BEFORE] ?? 'not recorded'}`, `after, on the data of 2.19: ${kept[AFTER] ?? 'not recorded'}`]
}
