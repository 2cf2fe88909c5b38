/**
 * One request over HTTPS, for what has no client of its own: GitHub, the API of CircleCI, and the hosts that an
 * installation fetches from. It goes through the proxy that HTTPS_PROXY names.
 */
import { EXIT, Unanswered, fail } from '../fail.ts'
import { agentFor } from './proxy.ts'

/** A token is one of GitHub; others go into the headers. A body is a form, unless the headers say otherwise. */
export interface Question { method: string; path: string; token?: string; headers?: Record<string, string>; body?: string }

/** What carries a question out. Rejects where there is no answer, with the reason in `code`, or as a TimeoutError. */
export type Carrier = (host: string, asked: Question) => Promise<{ status: number; text: string }>

/** How long an answer may take. */
export const PATIENCE = 30_000

let carry: Carrier = async (host, { method, path, token, headers: more, body }) => {
  const { request } = await import('node:https')
  const agent = await agentFor(`https://${host}`)
  const headers = {
    accept: 'application/json', 'user-agent': 'circleci-server-runbooks', ...(token ? { authorization: `Bearer ${token}` } : {}),
    ...(body ? { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body) } : {}), ...more,
  }
  return new Promise((resolve, reject) => {
    const sent = request(`https://${host}${path}`, { method, headers, ...(agent ? { agent } : {}), signal: AbortSignal.timeout(PATIENCE) }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part)).on('error', reject)
        .on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() }))
    })
    sent.on('error', reject).end(body)
  })
}

/** A rehearsal plays the hosts itself. */
export const useWeb = (other: Carrier): void => { carry = other }

export const askHost: Carrier = (host, asked) => carry(host, asked)

/** Why there was no answer, in a few words. */
export const troubleOf = (error: unknown): string => {
  const { code, name, message } = error as Error & { code?: string }
  return name === 'AbortError' || name === 'TimeoutError' ? `no answer in ${PATIENCE / 1000} s` : code ?? message
}

/** Authorities that Node does not know. */
const UNKNOWN = /SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|DEPTH_ZERO/

/** What is said where there was no answer, or none that counts: an authority that nobody knows is not mended by waiting. */
export const unanswered = (host: string, error: unknown): Error => {
  const { code } = error as { code?: string }
  if (UNKNOWN.test(code ?? '')) {
    return fail(`This machine does not know who signed the certificate of ${host} (${code})`,
      'Where a private authority signed it, name its root: NODE_EXTRA_CA_CERTS=root.pem in front of the same line.', { code: EXIT.preflight })
  }
  return new Unanswered(`${host} cannot be asked: ${troubleOf(error)}`, `Check the name, the network and HTTPS_PROXY, then repeat the same line; this should answer: curl -sSI https://${host}`, { code: EXIT.preflight })
}

/** The JSON of an answer, as far as it is any. */
export const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}
