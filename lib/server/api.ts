/**
 * The API of an installation, v1.1 and v2 as CircleCI documents them, asked with a personal token. Its lines are those of
 * curl, which reads the token on standard input.
 */
import { askedAgain } from '../again.ts'
import { askHost, parsed, unanswered } from '../cloud/web.ts'
import { mustBeInDoor, oncePerLook } from '../door.ts'
import type { Effect } from '../effect.ts'
import { Lost, Refused } from '../fail.ts'
import { Once } from '../files.ts'
import type { Command } from '../shell.ts'

/** Where it is, and as whom it is asked. */
export interface Access { domain: string; token: Once }

/** What is sent; the field that `token` names gets the token itself. */
interface Sent { body?: Record<string, unknown>; token?: string }

export interface Api {
  /** The answer, remembered within one look; undefined where there is no such thing. */
  read<T>(path: string): Promise<T | undefined>
  /** The items of all pages; undefined where the installation has no such list. */
  list<T>(path: string): Promise<T[] | undefined>
  /** A change, as an effect. */
  effect(id: string, again: Effect['again'], method: string, path: string, sent?: Sent): Effect
  /** The same, for an effect that finds out its path just before. */
  change(method: string, path: string, sent?: Sent): Promise<void>
}

/** For sh: curl's configuration with the token. printf is the shell's own, so that the token is no word of a process. */
const config = (data = ''): string => `printf "header = \\"Circle-Token: %s\\"\\n${data}" "\${CIRCLECI_TOKEN:?export it first}"`

/** For sh: `api`, which takes words of curl; and `objects`, which puts each object of a list on a line of its own. */
export const FUNCTIONS = `api() { ${config()} | curl -fsS --config - "$@"; }; objects() { tr -d "\\n" | grep -o "{[^{}]*}"; }`

/** The page that makes a token. */
export const tokensPage = (domain: string): string => `https://app.${domain}/settings/user/tokens`

export const apiOf = ({ domain, token }: Access): Api => {
  const reads = new Map<string, () => Promise<unknown>>()
  const headers = () => ({ 'circle-token': Once.join([token]) })

  const read = <T>(path: string): Promise<T | undefined> => {
    const ask = () => askedAgain(async () => {
      const { status, text } = await askHost(domain, { method: 'GET', path: `/api${path}`, headers: headers() }).catch((error: unknown) => { throw unanswered(domain, error) })
      if (status === 404) return undefined
      if (status !== 200) throw refused(domain, `GET ${path}`, status, text)
      return parsed(text)
    })
    if (!reads.has(path)) reads.set(path, oncePerLook(ask))
    return (reads.get(path) as () => Promise<unknown>)() as Promise<T | undefined>
  }

  const change = async (method: string, path: string, { body = {}, token: field }: Sent = {}): Promise<void> => {
    mustBeInDoor(`${method} https://${domain}/api${path}`)
    const text = JSON.stringify({ ...body, ...(field ? { [field]: Once.join([token]) } : {}) })
    const { status, text: said } = await askHost(domain, { method, path: `/api${path}`, headers: { ...headers(), 'content-type': 'application/json' }, body: text }).catch((error: unknown) => {
      // Whoever was not reached has done nothing; of all others nobody knows.
      if (/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN)$/.test((error as { code?: string }).code ?? '')) throw unanswered(domain, error)
      throw new Lost(`the answer of ${domain} to ${method} ${path} was lost (${(error as Error).message})`)
    })
    if (status < 200 || status > 299) throw refused(domain, `${method} ${path}`, status, said)
  }

  const command = (method: string, path: string, { body, token: field }: Sent = {}): Command => ({
    words: ['curl', '-fsS', '--config', '-', '-X', method, '-H', 'Content-Type: application/json', ...(field ? [] : ['-d', JSON.stringify(body ?? {})]), `https://${domain}/api${path}`],
    stdin: {
      say: 'the token',
      commands: [['sh', '-c', config(field && `data = ${JSON.stringify({ ...body, [field]: '%s' }).replaceAll('"', '\\"')}\\n`) + (field ? ' "$CIRCLECI_TOKEN"' : '')]],
      read: async () => Once.join(['header = "Circle-Token: ', token, '"\n']),
    },
  })

  return {
    read, change,
    list: async <T>(path: string) => {
      const items: T[] = []
      for (let page = ''; ;) {
        const more = page ? `${path}${path.includes('?') ? '&' : '?'}page-token=${encodeURIComponent(page)}` : path
        const answer = await read<{ items?: T[]; next_page_token?: string | null }>(more)
        if (!answer) return undefined
        items.push(...answer.items ?? [])
        if (!answer.next_page_token) return items
        page = answer.next_page_token
      }
    },
    effect: (id, again, method, path, sent) => ({ id, again, command: command(method, path, sent), call: () => change(method, path, sent) }),
  }
}

/** The installation's no, with its remedy. */
const refused = (domain: string, what: string, status: number, text: string): Refused => {
  const { message } = parsed(text) as { message?: string }
  const said = `${domain} answers ${what} with ${status}${message ? `: ${message}` : ''}`
  const next = status === 401 ? `Make a new token, and put it into CIRCLECI_TOKEN: ${tokensPage(domain)}`
    : status === 403 ? 'Take a token of somebody who administers the organisation, and may write to the repository.'
    : status === 404 ? 'See that the repository is there, and that whoever has the token may see it; then repeat the same line.'
    : status >= 500 || status === 429 ? `Repeat the same line in a minute; where it stays so, see whether the installation is well: curl -fsS https://${domain}/status`
    : 'Mend what it says, then repeat the same line.'
  return new Refused(said, next, { status, reason: message ?? String(status) })
}
