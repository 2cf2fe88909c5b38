/**
 * Requests to the cluster, and commands in its pods. Bodies stay the JSON that the server sent (typed models would
 * drop the fields that they do not know, and a kept manifest must lose nothing).
 */
import { askedAgain } from '../again.ts'
import { clock } from '../clock.ts'
import { mustBeInDoor } from '../door.ts'
import { EXIT, Lost, Refused, Unanswered, fail, isForNow, sentence } from '../fail.ts'
import { client, connected, credential, renewCredentials } from './kubeconfig.ts'

export { cluster, connect } from './kubeconfig.ts'

export interface Request {
  query?: Record<string, string>
  body?: unknown
  /** Content type of the body; JSON when nothing is said. */
  type?: string
  /** How often a read is tried. */
  attempts?: number
}

/** Longest time that one request may take. */
const REQUEST_TIMEOUT = 30_000

/**
 * One request. Reads are repeated while a trouble may pass; writes are sent once (the door repeats them).
 * Throws `Refused` for a server's no, `Lost` when the answer of a write was lost.
 */
export const request = async <T>(method: string, path: string, { query = {}, body, type, attempts }: Request = {}): Promise<T> => {
  const reads = method === 'GET' || query['dryRun'] === 'All' || path.endsWith('/selfsubjectaccessreviews')
  if (!reads) mustBeInDoor(`${method} ${path}`)
  const ask = () => accepted(() => send<T>(method, path, query, body, type))
  try {
    return await (reads ? askedAgain(ask, { passes: (error) => isForNow(error) || error instanceof Unreachable, ...(attempts ? { attempts } : {}) }) : ask())
  } catch (error) {
    throw explain(error, reads)
  }
}

/**
 * A token may end, or be taken back, in the middle of a run: on a 401 it is asked for afresh, and sent once more.
 * Whoever answers so has not looked at what was asked, so that this holds for writes too.
 */
const accepted = async <T>(act: () => Promise<T>): Promise<T> => {
  const used = await credential()
  try {
    return await act()
  } catch (error) {
    if (!(error instanceof Refused && error.status === 401)) throw error
    await renewCredentials(used)
    return await act()
  }
}

const TROUBLES: Record<string, string> = {
  ECONNREFUSED: 'connection refused (ECONNREFUSED)', ECONNRESET: 'the connection was cut (ECONNRESET)', ENOTFOUND: 'its name cannot be resolved (ENOTFOUND)',
  EAI_AGAIN: 'its name cannot be resolved (EAI_AGAIN)',
  ETIMEDOUT: 'no answer (ETIMEDOUT)', EHOSTUNREACH: 'no route to it (EHOSTUNREACH)', CERT_HAS_EXPIRED: 'its certificate has expired',
}

class Unreachable extends Error {
  readonly neverSent: boolean
  constructor(message: string, neverSent: boolean) {
    super(message)
    this.neverSent = neverSent
  }
}

const explain = (error: unknown, reads: boolean): unknown => {
  if (!(error instanceof Unreachable)) return error
  const { server, context } = connected()
  if (!reads && !error.neverSent) return new Lost(`the answer of ${server} was lost (${error.message})`)
  return new Unanswered(`The API server ${server} (context ${context}) does not answer: ${error.message}.`,
    'Check the network, the VPN and HTTPS_PROXY, then repeat the same line; `kubectl cluster-info` should answer.')
}

const send = async <T>(method: string, path: string, query: Record<string, string>, body: unknown, type = 'application/json'): Promise<T> => {
  const { server, context } = connected()
  const url = new URL(server.replace(/\/$/, '') + path)
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value)
  const options = await credential()
  const { request: open } = await import(url.protocol === 'http:' ? 'node:http' : 'node:https')
  const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
  const { status, text, retryAfter } = await new Promise<{ status: number; text: string; retryAfter: string | undefined }>((resolve, reject) => {
    let connectedOnce = false
    const lost = (error: Error & { code?: string }) =>
      reject(new Unreachable(TROUBLES[error.code ?? ''] ?? error.code ?? error.message, !connectedOnce))
    const outgoing = (open as typeof import('node:https').request)(url, {
      ...options, method,
      headers: {
        ...options.headers, accept: 'application/json', 'user-agent': 'circleci-server-runbooks',
        ...(payload ? { 'content-type': type, 'content-length': payload.length } : {}),
      },
    }, (incoming) => {
      const parts: Buffer[] = []
      incoming.on('data', (part: Buffer) => parts.push(part))
      incoming.on('error', lost)
      incoming.on('aborted', () => lost(new Error('connection lost')))
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(parts).toString(), retryAfter: incoming.headers['retry-after'] }))
    })
    outgoing.on('socket', (socket) => {
      if (!socket.connecting) connectedOnce = true
      else socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => { connectedOnce = true })
    })
    const forget = onTimeout(() => outgoing.destroy(new Error(`no answer in ${REQUEST_TIMEOUT / 1000} s`)))
    outgoing.on('close', forget)
    outgoing.on('error', lost)
    outgoing.end(payload)
  })
  const answer = parse(text)
  if (status >= 200 && status < 300 && answer !== undefined) return answer as T
  throw refusal(status, answer, text, `${method} ${path}`, context, retryAfter ? Number(retryAfter) * 1000 : undefined)
}

/** Calls back when a request has had its time; returns what calls that off. */
const onTimeout = (act: () => void): (() => void) => {
  const ended = new AbortController()
  void clock.sleep(REQUEST_TIMEOUT, ended.signal).then(() => { if (!ended.signal.aborted) act() })
  return () => ended.abort()
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const refusal = (status: number, answer: unknown, text: string, what: string, context: string, retryAfter: number | undefined): Refused => {
  const said = (answer ?? {}) as { message?: string; reason?: string }
  const message = said.message ?? (text.split('\n')[0]?.slice(0, 200) || `HTTP ${status}`)
  const next = status === 401
    ? `The credentials of context ${context} are not accepted (expired?). Log in again, then repeat the same line.`
    : status === 403
      ? `Ask a cluster administrator for this permission, then repeat the same line. To see what you may do: kubectl --context ${context} auth can-i --list`
      : 'Look at what the server says, mend it, then repeat the same line; it goes on where it stopped.'
  return new Refused(status === 401 ? `The API server refuses the credentials (401 ${message}).` : `The API server refuses ${what}: ${message}`,
    next, { status, reason: said.reason ?? String(status), retryAfter, ...(status === 401 ? { code: EXIT.preflight } : {}) })
}

/** Commands that only read; anything else in a pod goes through the door. */
const READING = new Set(['df'])

/** Runs a command in a pod's first container, as kubectl does, and returns its standard output. Throws where it ends non-zero. */
export const exec = async (pod: string, words: string[]): Promise<string> => {
  if (!READING.has(words[0] ?? '')) mustBeInDoor(`exec ${pod} ${words[0]}`)
  const { namespace } = connected()
  const { spec } = await request<{ spec: { containers: [{ name: string }] } }>('GET', `/api/v1/namespaces/${namespace}/pods/${pod}`)
  const { config } = connected()
  const [{ Exec }, { Writable }] = await Promise.all([client(), import('node:stream')])
  const taken: [string, string] = ['', '']
  const into = (index: 0 | 1) => new Writable({
    write: (chunk: Buffer, _encoding, next) => { taken[index] += chunk.toString(); next() },
  })
  const status = await new Promise<{ status?: string; message?: string }>((resolve, reject) => {
    const forget = onTimeout(() => broke(new Error(`no answer in ${REQUEST_TIMEOUT / 1000} s`)))
    const ended = (status: { status?: string; message?: string }) => { forget(); resolve(status) }
    const broke = (error: unknown) => { forget(); reject(error) }
    new Exec(config).exec(namespace, pod, spec.containers[0].name, words, into(0), into(1), null, false, ended)
      .then((socket) => socket.on('close', () => broke(new Error('the connection was closed'))), broke)
  }).catch((error: unknown) => {
    throw fail(`“${words.join(' ')}” cannot be run in pod ${pod}: ${sentence(error) || String((error as { error?: Error }).error?.message ?? error)}.`,
      `kubectl ${connected().flags.join(' ')} -n ${namespace} describe pod ${pod}`)
  })
  if (status.status !== 'Success') {
    throw fail(`“${words.join(' ')}” failed in pod ${pod}: ${taken[1].trim() || status.message}.`,
      `kubectl ${connected().flags.join(' ')} -n ${namespace} logs ${pod}`)
  }
  return taken[0]
}
