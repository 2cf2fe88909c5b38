/**
 * One request over HTTPS, for what has no client of its own: GitHub, and the hosts that an installation fetches from. It
 * goes through the proxy that HTTPS_PROXY names.
 */
import { agentFor } from './proxy.ts'

export interface Question { method: string; path: string; token?: string; body?: string }

/** What carries a question out. Rejects where there is no answer, with the reason in `code`, or as a TimeoutError. */
export type Carrier = (host: string, asked: Question) => Promise<{ status: number; text: string }>

/** How long an answer may take. */
export const PATIENCE = 30_000

let carry: Carrier = async (host, { method, path, token, body }) => {
  const { request } = await import('node:https')
  const agent = await agentFor(`https://${host}`)
  const headers = {
    accept: 'application/json', 'user-agent': 'circleci-server-runbooks', ...(token ? { authorization: `Bearer ${token}` } : {}),
    ...(body ? { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body) } : {}),
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
