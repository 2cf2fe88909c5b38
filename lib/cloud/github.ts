/**
 * GitHub.com or a GitHub Enterprise, asked whether it knows an OAuth app, or a token. Nothing here changes anything.
 */
import { askedAgain } from '../again.ts'
import type { Verdict } from '../effect.ts'
import { bad, ok, warning } from '../effect.ts'
import { Once } from '../files.ts'
import { askHost, parsed, unanswered, type Question } from './web.ts'

const ask = (host: string, asked: Question): Promise<{ status: number; said: Record<string, unknown> }> => askedAgain(async () => {
  const { status, text } = await askHost(host, asked).catch((error: unknown) => { throw unanswered(host, error) })
  if (status === 429 || status >= 500) throw unanswered(host, new Error(`it answers with ${status}`))
  return { status, said: parsed(text) as Record<string, unknown> }
})

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
