/**
 * A listener of plain HTTP in front of the API server, through which one run goes. It names the requests that change
 * the world, and at one of them does what the test asks: before it is sent on, when the server has answered and
 * nobody knows yet, or when the answer has been passed on.
 */
import { writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { Agent, request } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { join } from 'node:path'
import type { Cluster } from './cluster.ts'
import { CONTEXT } from './cluster.ts'

export interface Moment {
  /** As `PATCH persistentvolumeclaims`. */
  request: string
  when: 'before' | 'inside' | 'after'
}

export interface Proxy {
  kubeconfig: string
  /** Requests that changed the world, in order; renewals of the lease are left out, since time decides about them. */
  seen: string[]
  close(): Promise<void>
}

/** `DELETE statefulsets`, for what changes the world. */
const nameOf = ({ method = 'GET', url = '/' }: IncomingMessage): string | undefined => {
  const { pathname, searchParams } = new URL(url, 'http://proxy')
  if (method === 'GET' || searchParams.get('dryRun') === 'All' || pathname.endsWith('/selfsubjectaccessreviews')) return undefined
  const [, , plural] = /^\/(?:api\/v1|apis\/[^/]+\/[^/]+)(\/namespaces\/[^/]+)?\/([a-z]+)/.exec(pathname) ?? []
  const name = `${method} ${plural}`
  return name === 'PUT leases' ? undefined : name
}

/** Listens; `act` is called once, at the moment. Where it says nothing more, the connection is cut at `before` and `inside`. */
export const proxy = async (cluster: Cluster, folder: string, moment?: Moment, act: () => void = () => {}): Promise<Proxy> => {
  const agent = new Agent({ ca: cluster.ca, keepAlive: true })
  const seen: string[] = []
  let armed = moment

  const onward = ({ method, url, headers }: IncomingMessage, tls: object = { agent }) =>
    request(new URL(url ?? '/', cluster.server), {
      ...tls, method, headers: { ...headers, host: new URL(cluster.server).host, authorization: `Bearer ${cluster.tokens.admin}` },
    })

  const serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await buffer(incoming)
    const name = nameOf(incoming)
    const when = name !== undefined && name === armed?.request ? armed.when : undefined
    if (when) armed = undefined
    if (name !== undefined) seen.push(name)
    if (when === 'before') {
      act()
      return void response.destroy()
    }
    const answer = await new Promise<IncomingMessage>((resolve, reject) => onward(incoming).once('response', resolve).once('error', reject).end(body))
    const content = await buffer(answer)
    if (when === 'inside') {
      act()
      return void response.destroy()
    }
    const { 'transfer-encoding': _chunked, ...headers } = answer.headers
    // What has left is not yet read: the client gets a moment to note it.
    if (when === 'after') response.once('finish', () => setTimeout(act, 25))
    response.writeHead(answer.statusCode ?? 502, headers).end(content)
  }

  const server = createServer((incoming, response) => void serve(incoming, response).catch(() => response.destroy()))
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => sockets.add(socket.once('close', () => sockets.delete(socket))))
  server.on('upgrade', (incoming: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', () => {})
    const outgoing = onward(incoming, { ca: cluster.ca })
    outgoing.on('error', () => socket.destroy())
    outgoing.on('upgrade', (answer, other, first) => {
      const headers = answer.rawHeaders.map((text, at) => (at % 2 ? `${text}\r\n` : `${text}: `)).join('')
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${headers}\r\n`)
      socket.write(first)
      other.write(head)
      other.on('error', () => socket.destroy())
      other.pipe(socket).pipe(other)
    })
    outgoing.on('response', (answer) => {
      socket.write(`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\nconnection: close\r\n\r\n`)
      answer.pipe(socket)
    })
    outgoing.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  const kubeconfig = join(folder, 'proxy.kubeconfig')
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  writeFileSync(kubeconfig, JSON.stringify({
    apiVersion: 'v1', kind: 'Config', 'current-context': CONTEXT,
    contexts: [{ name: CONTEXT, context: { cluster: CONTEXT, user: CONTEXT } }],
    clusters: [{ name: CONTEXT, cluster: { server: address } }],
    users: [{ name: CONTEXT, user: {} }],
  }))
  return {
    kubeconfig, seen,
    close: () => new Promise((resolve) => {
      server.close(() => resolve())
      for (const socket of sockets) socket.destroy()
      agent.destroy()
    }),
  }
}
