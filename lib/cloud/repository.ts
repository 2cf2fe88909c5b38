/**
 * A repository at GitHub, or at a GitHub Enterprise, as git on this machine sees it, with the credentials that git has
 * there; and how one that is empty gets the contents of another.
 */
import { oncePerLook } from '../door.ts'
import type { Effect } from '../effect.ts'
import { minutes } from '../effect.ts'
import { line } from '../shell.ts'
import { complaint, readTool, runTool } from '../tools.ts'

export interface Repository { host: string; org: string; repo: string }

export const pageOf = ({ host, org, repo }: Repository): string => `https://${host}/${org}/${repo}`
const urlOf = (repository: Repository): string => `${pageOf(repository)}.git`

/** Nobody is there to type a password. */
const env = { GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' }
const asking = (repository: Repository): string[] => ['git', 'ls-remote', urlOf(repository), 'refs/heads/*']

/** What git sees of it: branches, nothing in it, or no repository; then with git's reason. */
export type Sight = { is: 'filled' } | { is: 'empty' } | { is: 'unseen'; why: string }

/** Looked at once within one look at the world. */
export const sightOf = (repository: Repository): (() => Promise<Sight>) => oncePerLook(async (): Promise<Sight> => {
  const outcome = await readTool(asking(repository), { env })
  if (outcome.code !== 0) return { is: 'unseen', why: complaint(outcome, /^(Please make sure|and the repository exists)/) }
  return outcome.stdout.trim() ? { is: 'filled' } : { is: 'empty' }
})

/** The line that shows whether git sees it. */
export const seeing = (repository: Repository): string => line(asking(repository))

const PUSH = 'd=$(mktemp -d) && trap "rm -rf $d" EXIT && git clone --quiet "$1" "$d" && git -C "$d" push --quiet "$2" "$3:refs/heads/$4"'

/** Pushes a commit of another repository, as a branch; over one that has something else it is refused. */
export const push = ({ url, commit }: { url: string; commit: string }, into: Repository, branch: string): Effect => {
  const words = ['sh', '-c', PUSH, 'push', url, urlOf(into), commit, branch]
  return {
    id: `push ${into.org}/${into.repo}`, again: 'safe', command: { words },
    call: async () => runTool(words, `git wants credentials that may push there: ${seeing(into)}`, minutes(5), { env }),
  }
}
