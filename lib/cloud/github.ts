/**
 * GitHub.com or a GitHub Enterprise, asked whether it knows an OAuth app, or a token. Nothing here changes anything.
 */
import { clock } from '../clock.ts'
import type { Verdict } from '../effect.ts'
import { bad, ok, warning } from '../effect.ts'
import { EXIT, Unanswered } from '../fail.ts'
import { Once } from '../files.ts'
import { askHost, troubleOf, type Question } from './web.ts'

const ATTEMPTS = 4

/** Authorities that Node does not know. */
const UNKNOWN = /SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|DEPTH_ZERO/

const ask = async (host: string, asked: Question): Promise<{ status: number; said: Record<string, unknown> }> => {
  for (let attempt = 1; ; attempt++) {
    let trouble: string
    try {
      const { status, text } = await askHost(host, asked)
      if (status !== 429 && status < 500) return { status, said: parsed(text) }
      trouble = `it answers with ${status}`
    } catch (error) {
      const { code } = error as { code?: string }
      if (UNKNOWN.test(code ?? '')) {
        throw new Unanswered(`This machine does not know who signed the certificate of ${host} (${code})`,
          'Where a private authority signed it, name its root: NODE_EXTRA_CA_CERTS=root.pem in front of the same line.', { code: EXIT.preflight })
      }
      trouble = troubleOf(error)
    }
    if (attempt >= ATTEMPTS) {
      throw new Unanswered(`${host} cannot be asked: ${trouble}`, `Check the name, the network and HTTPS_PROXY, then repeat the same line; this should answer: curl -sSI https://${host}`, { code: EXIT.preflight })
    }
    await clock.sleep(500 * 2 ** attempt)
  }
}

const parsed = (text: string): Record<string, unknown> => {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return {}
  }
}

/**
 * Whether GitHub knows an app's ID with this secret: it is asked to trade a code that nobody was given, looks at the pair
 * first, and then refuses the code.
 */
export const appIsKnown = async (host: string, id: string, secret: Once, again: string): Promise<Verdict> => {
  const body = new URLSearchParams({ client_id: id, client_secret: Once.join([secret]), code: '0'.repeat(20) }).toString()
  const { status, said } = await ask(host, { method: 'POST', path: '/login/oauth/access_token', body })
  if (said['error'] === 'bad_verification_code') return ok(`${host} knows the app ${id}, and its secret`)
  if (said['error'] === 'incorrect_client_credentials') return bad(`the client secret is not one of the app ${id}`, `Copy it once more; where it is lost, generate a new one: ${again}`)
  if (status === 404) return bad(`${host} has no app with the client ID ${id}`, `Copy the ID once more: ${again}`)
  return warning(`whether the pair is right is not known: ${host} answers with ${status}${typeof said['error'] === 'string' ? `, ${said['error']}` : ''}`, 'The first login tells.')
}

/** Whether a GitHub Enterprise knows a personal access token. */
export const tokenIsKnown = async (host: string, token: Once): Promise<Verdict> => {
  const { status, said } = await ask(host, { method: 'GET', path: '/api/v3/user', token: Once.join([token]) })
  if (status === 200 && typeof said['login'] === 'string') return ok(`it is one of ${said['login']}`)
  if (status === 401) return bad(`${host} does not accept the token`, `Make a new one: https://${host}/settings/tokens`)
  return warning(`whether the token is right is not known: ${host} answers with ${status}`, `This page should name you: https://${host}/api/v3/user`)
}

/** Where the webhooks of a repository lead; undefined where the token may not see them. */
export const webhooksOf = async (host: string, repository: string, token: Once): Promise<string[] | undefined> => {
  const api = host === 'github.com' ? { at: 'api.github.com', root: '' } : { at: host, root: '/api/v3' }
  const { status, said } = await ask(api.at, { method: 'GET', path: `${api.root}/repos/${repository}/hooks?per_page=100`, token: Once.join([token]) })
  return status === 200 && Array.isArray(said) ? (said as { config?: { url?: string } }[]).flatMap(({ config }) => config?.url ?? []) : undefined
}
