/**
 * MinIO's client `mc`, for stores that speak S3. An alias names the store; the administrator's credentials behind it lie
 * in mc's own configuration or in MC_HOST_<alias>, and stand in no line.
 */
import type { Effect } from '../effect.ts'
import type { Command } from '../shell.ts'
import { askedAgain } from '../again.ts'
import { once } from '../door.ts'
import { bad, minutes, ok, preflight, warning } from '../effect.ts'
import { EXIT, Refused, Unanswered, fail } from '../fail.ts'
import { line } from '../shell.ts'
import { installing } from '../software.ts'
import { readTool, runTool } from '../tools.ts'

/** One line of `--json`. */
export interface Said { [field: string]: unknown; error?: { message?: string; cause?: { message?: string; error?: { Code?: string } } } }

const ABSENT = /NoSuchUser|NoSuchPolicy|NoSuchBucket|(bucket|user|policy|object)\b.* does not exist/i
/** What the store says of credentials that it does not know. */
export const UNKNOWN_KEY = /InvalidAccessKeyId|SignatureDoesNotMatch|signature we calculated|Access Key Id you provided does not exist/
const REFUSED = /AccessDenied|Access Denied|Insufficient permissions/

/** What mc reads, one object a line; undefined where the store says that there is none. */
export const askMc = async (words: string[], env: Record<string, string> = {}): Promise<Said[] | undefined> =>
  (await askMcText(words, env))?.split('\n').flatMap(parse)

/** The same as text. Asked again while nobody answers. */
export const askMcText = async (words: string[], env: Record<string, string> = {}): Promise<string | undefined> => {
  return askedAgain(async () => {
    const { code, stdout, stderr } = await readTool(['mc', ...words, '--json'], { env })
    const error = `${stdout}\n${stderr}`.split('\n').flatMap(parse).find((one) => one.error)?.error
    if (code === 0 && !error) return stdout
    const text = error ? [error.cause?.error?.Code, error.cause?.message ?? error.message].filter(Boolean).join(': ') : (stderr.trim().split('\n').at(-1) || `it ended with ${code}`)
    if (ABSENT.test(text)) return undefined
    if (UNKNOWN_KEY.test(text)) throw new Refused(`The store does not accept the credentials: ${text}`, 'Set the alias again (mc alias set, or MC_HOST_<alias>), then repeat the same line.', { status: 401, reason: 'Unauthorized', code: EXIT.preflight })
    if (REFUSED.test(text)) throw new Refused(`The store refuses mc ${words.slice(0, 3).join(' ')}: ${text}`, 'The alias needs credentials of an administrator of the store.', { status: 403, reason: 'AccessDenied' })
    // Its advice stands in the cause. Where it expects a store or a folder, it takes an alias that it does not know for a folder.
    const noAlias = [error?.message, text].find((one) => one && /No such alias|Requested path .* not found/.test(one))
    if (noAlias) throw fail(noAlias, 'Name an alias that there is: mc alias list', { code: EXIT.preflight })
    throw new Unanswered(`The store does not answer mc ${words.slice(0, 3).join(' ')}: ${text}`, `Check the network, and whether the store runs; this should answer: ${line(['mc', ...words])}`)
  })
}

const parse = (text: string): Said[] => {
  try {
    return text ? [JSON.parse(text) as Said] : []
  } catch {
    return []
  }
}

/** A change by mc: what is run is what is shown. Each can be sent twice without harm. */
export const mcEffect = (id: string, words: string[], { stdin, ...more }: Pick<Effect, 'danger'> & Pick<Command, 'stdin'> = {}): Effect => {
  const command = { words: ['mc', ...words], ...(stdin ? { stdin } : {}) }
  return {
    id, again: 'safe', ...more, command,
    call: async () => runTool(command.words, 'Look at what the store says, mend it, then repeat the same line; it goes on where it stopped.', minutes(2), { stdin: await stdin?.read() }),
  }
}

/** In spring 2023 mc renamed `policy add` and `policy set`; what its help lists decides, for a build may not tell its release. */
const verbs = once(async (): Promise<'create' | 'add'> =>
  (/^\s+create\b/m.test((await readTool(['mc', 'admin', 'policy', '--help'])).stdout) ? 'create' : 'add'))

export const createPolicyWords = async (alias: string, name: string): Promise<string[]> => ['admin', 'policy', await verbs(), alias, name, '/dev/stdin']

/** Gives a user a policy; the older verb takes every other one away. */
export const attachWords = async (alias: string, policy: string, user: string): Promise<string[]> =>
  (await verbs() === 'create' ? ['admin', 'policy', 'attach', alias, policy, '--user', user] : ['admin', 'policy', 'set', alias, policy, `user=${user}`])

/** Takes a policy from a user; nothing where attaching another one does that. */
export const detachWords = async (alias: string, policy: string, user: string): Promise<string[] | undefined> =>
  (await verbs() === 'create' ? ['admin', 'policy', 'detach', alias, policy, '--user', user] : undefined)

/** Address behind an alias. Its answer holds the administrator's secret too, which goes no further. */
export const addressOf = async (alias: string): Promise<string | undefined> => {
  const url = (await askMc(['alias', 'list', alias]))?.[0]?.['URL']
  return typeof url === 'string' ? url.replace(/\/$/, '') : undefined
}

export const mcIsThere = () => preflight('mc', 'the command mc is installed, and is MinIO\'s', async () => {
  const { code, stdout } = await readTool(['mc', '--version'])
  if (code !== 0) return bad('the command mc is not installed', installing('mc'))
  // Midnight Commander has the same name.
  const version = /^mcl?i? version (\S+)/.exec(stdout)?.[1]
  return version ? ok(`mc ${version}`) : bad(`mc is another program here: ${stdout.split('\n')[0]}`, `Put MinIO's client first on the PATH. ${installing('mc')}`)
})

/** The alias leads to a store that knows it, at the address that the cluster will use. */
export const storeAnswers = (alias: string, endpoint: string, who: string, seen: string) => preflight('store', 'the store answers to the alias, at the endpoint that is named', async () => {
  const address = await addressOf(alias)
  await askMc(['ls', alias])
  return address === endpoint ? ok(`${alias} is ${endpoint}`)
    : warning(`${alias} is ${address}, and ${who} will use ${endpoint}`, `Fine where both lead to the same store; ${seen}.`)
})
