/**
 * Google Cloud through `gcloud`: one way to ask, `--format=json`, and one way to change. Every line names the project.
 */
import type { Effect } from '../effect.ts'
import type { Command } from '../shell.ts'
import { askedAgain } from '../again.ts'
import { bad, minutes, ok, preflight } from '../effect.ts'
import { EXIT, Refused, Unanswered, fail } from '../fail.ts'
import { line } from '../shell.ts'
import { installing } from '../software.ts'
import { readTool, runTool } from '../tools.ts'

const ABSENT = /NOT_FOUND|matched no objects|not found: 404|HTTPError 404|code=404|Requested entity was not found|The resource '[^']*' was not found/
const REFUSED = /PERMISSION_DENIED|does not have permission|HTTPError 403|code=403|Required '[\w.]+' permission/
const NOBODY = /do(es)? not currently have an active account|invalid_grant|Reauthentication|problem refreshing your current auth|UNAUTHENTICATED|HTTPError 401/

// gcloud tells a network that fails on the way to a token as a trouble with it.
const UNREACHED = /Max retries exceeded|Failed to resolve|Connection (refused|reset|aborted)/

export interface Gcp {
  project: string
  /** A line that says where it goes. */
  words(...words: string[]): string[]
  /** What is asked; undefined where Google says that there is none. Asked again while nobody answers. */
  read<T>(...words: string[]): Promise<T | undefined>
  /** A change: what is run is what is shown. */
  effect(id: string, words: string[], more: Pick<Effect, 'again' | 'danger' | 'subject'>): Effect
}

export const gcpIn = (project: string): Gcp => {
  const words = (...own: string[]) => ['gcloud', ...own, `--project=${project}`]
  return {
    project, words,
    read: async <T>(...own: string[]) => {
      // storage ls has a flag of its own for that, and refuses the other one.
      const asked = [...words(...own), ...(own.includes('--json') ? [] : ['--format=json']), '--quiet']
      const said = await askGcloud(asked, own.slice(0, 3).join(' '), (text, status) => (status === 401
        ? fail(`gcloud has no credentials that Google accepts: ${text}`, 'Log in again: gcloud auth login', { code: EXIT.preflight })
        : new Refused(`Google refuses gcloud ${own.slice(0, 3).join(' ')}: ${text}`, `Ask whoever administers project ${project} for this permission, then repeat the same line.`, { status, reason: 'PERMISSION_DENIED' })))
      return said === undefined ? undefined : JSON.parse(said.trim() || 'null') as T
    },
    effect: (id, own, more) => {
      const command: Command = { words: [...words(...own), '--quiet'] }
      return { id, ...more, command, call: async () => runTool(command.words, NEXT, minutes(3)) }
    },
  }
}

/** What gcloud prints; undefined where Google says that there is none. Asked again while nobody answers. */
export const askGcloud = async (asked: string[], what: string, refused: (text: string, status: 401 | 403) => Error): Promise<string | undefined> => {
  return askedAgain(async () => {
    const { code, stdout, stderr } = await readTool(asked)
    if (code === 0) return stdout
    const text = complaintIn(stderr) || `it ended with ${code}`
    if (ABSENT.test(text)) return undefined
    if (NOBODY.test(text) && !UNREACHED.test(text)) throw refused(text, 401)
    if (REFUSED.test(text)) throw refused(text, 403)
    throw new Unanswered(`Google does not answer gcloud ${what}: ${text}`, `Check the network and HTTPS_PROXY; this should answer: ${line(asked)}`)
  })
}

export const NEXT = 'Look at what Google says, mend it, then repeat the same line; it goes on where it stopped.'

/** The error in what gcloud says, with the resource that it is about, without its usage and its hints. */
const complaintIn = (stderr: string): string => {
  const rows = stderr.split('\n'), at = rows.findIndex((row) => row.startsWith('ERROR:'))
  if (at < 0) return rows.filter((row) => row.trim()).at(-1) ?? ''
  return [rows[at]?.slice(7).trim(), ...(rows[at + 1]?.startsWith(' - ') ? [rows[at + 1]?.slice(3)] : [])].join(' ')
}

/** Someone is logged in, and gcloud points to the project that was named: a mistyped one is somebody else's. */
export const projectAnswers = (gcp: Gcp) => preflight('gcloud', 'gcloud is logged in, and works on the project that is named', async () => {
  const { project } = gcp
  const { code } = await readTool(['gcloud', '--version'])
  if (code !== 0) return bad('the command gcloud is not installed', installing('gcloud'))
  const config = JSON.parse((await readTool(['gcloud', 'config', 'list', '--format=json'])).stdout || '{}') as { core?: { account?: string; project?: string } }
  const { account, project: configured } = config.core ?? {}
  if (!account && !process.env['CLOUDSDK_AUTH_ACCESS_TOKEN_FILE']) return bad('nobody is logged in', 'gcloud auth login')
  if (configured && configured !== project) return bad(`gcloud points to project ${configured}, not to ${project}`, `Name that one with --project, or point gcloud to it: ${line(['gcloud', 'config', 'set', 'project', project])}`)
  const found = await gcp.read<{ projectId: string }>('projects', 'describe', project)
  return found ? ok(`project ${project}, as ${account ?? 'the owner of the token'}`) : bad(`there is no project ${project}, or you may not see it`, 'Those that you see: gcloud projects list')
})
