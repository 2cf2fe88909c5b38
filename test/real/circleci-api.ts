/**
 * A stand-in of what a server answers the circleci CLI: namespaces through GraphQL, resource classes, tokens and runners
 * through REST. It is reached by its domain through a proxy of its own, over TLS.
 */
import { createServer as plain } from 'node:http'
import { createServer } from 'node:https'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'

interface Token { id: string; resource_class: string; nickname: string; token: string }
export interface CircleciApi {
  /** For HTTPS_PROXY. */
  proxy: string
  namespaces: Record<string, string>
  classes: { id: string; resource_class: string; description: string }[]
  tokens: Token[]
  /** Resource classes of which a runner is connected. */
  connected: string[]
  /** Each request that changes something. */
  changes: string[]
  /** The answer to the next change is lost once it was made. */
  lose(): void
  stop(): Promise<void>
}

const ORGANISATION = 'b9291e0d-a11e-41fb-8517-c545388b5953'

export const startCircleciApi = async (files: { cert: string; key: string }, known: { token: string; org: string }): Promise<CircleciApi> => {
  let lost = false, made = 0
  const state: Pick<CircleciApi, 'namespaces' | 'classes' | 'tokens' | 'connected' | 'changes'> = { namespaces: {}, classes: [], tokens: [], connected: [], changes: [] }
  const id = () => `00000000-0000-4000-8000-${String(made += 1).padStart(12, '0')}`

  const graphql = (query: string, variables: Record<string, string>): object => {
    const own = Object.entries(state.namespaces).find(([name]) => name === variables['namespace'])?.[1]
    if (query.includes('registryNamespace')) return { registryNamespace: own ? { name: variables['namespace'], id: own, orbs: { edges: [], totalCount: 0, pageInfo: { hasNextPage: false } } } : null }
    if (query.includes('createNamespace')) {
      if (variables['organizationId'] !== ORGANISATION) return { createNamespace: { namespace: null, errors: [{ type: 'ORGANIZATION_NOT_FOUND', message: 'There is no such organization.' }] } }
      if (Object.keys(state.namespaces).length) return { createNamespace: { namespace: null, errors: [{ type: 'NAMESPACE_ALREADY_EXISTS', message: 'Organizations may only create one namespace.' }] } }
      state.namespaces[variables['name'] ?? ''] = id()
      state.changes.push(`namespace ${variables['name']}`)
      return { createNamespace: { namespace: { id: state.namespaces[variables['name'] ?? ''] }, errors: [] } }
    }
    if (query.includes('organization(')) return { organization: (variables['orgName'] ?? variables['organizationName']) === known.org ? { id: ORGANISATION } : null }
    return { me: { name: 'operator' } }
  }

  const rest = (method: string, { pathname, searchParams }: URL, sent: Record<string, string>): [number, object] => {
    const of = pathname.replace('/api/v2/runner', '')
    const change = (what: string) => state.changes.push(what)
    if (method === 'GET' && of === '/resource') {
      const namespace = searchParams.get('namespace') ?? ''
      return state.namespaces[namespace] ? [200, { items: state.classes.filter((one) => one.resource_class.startsWith(`${namespace}/`)) }] : [404, { message: `namespace ${namespace} not found` }]
    }
    if (method === 'POST' && of === '/resource') {
      if (state.classes.some((one) => one.resource_class === sent['resource_class'])) return [409, { message: 'resource class already exists' }]
      const one = { id: id(), resource_class: sent['resource_class'] ?? '', description: sent['description'] ?? '' }
      state.classes.push(one)
      change(`class ${one.resource_class}`)
      return [200, one]
    }
    if (method === 'GET' && of === '/token') return [200, { items: state.tokens.filter((one) => one.resource_class === searchParams.get('resource-class')).map(({ token: _told, ...one }) => ({ ...one, created_at: '2022-11-22T03:10:00Z' })) }]
    if (method === 'POST' && of === '/token') {
      const one = { id: id(), resource_class: sent['resource_class'] ?? '', nickname: sent['nickname'] ?? '', token: `${made}0f1e2d3c4b5a69788796a5b4c3d2e1f0`.padEnd(80, 'c') }
      state.tokens.push(one)
      change(`token ${one.nickname}`)
      return [200, { ...one, created_at: '2022-11-22T03:10:00Z' }]
    }
    const [, gone] = /^\/token\/(.+)$/.exec(of) ?? []
    if (method === 'DELETE' && gone) {
      state.tokens = state.tokens.filter((one) => one.id !== gone)
      change(`no token ${gone}`)
      return [200, { message: 'deleted' }]
    }
    if (method === 'GET' && of === '') {
      const named = searchParams.get('resource-class')
      return [200, { items: state.connected.filter((one) => one === named).map((one) => ({ resource_class: one, hostname: 'ops-7', name: 'ops-7', first_connected: '2022-11-22T03:10:00Z', last_connected: '2022-11-22T03:11:00Z', version: '1.0.0' })) }]
    }
    return [404, { message: `${method} ${pathname} is not played` }]
  }

  const server = createServer(files, (request, response) => {
    void (async () => {
      const [text, before] = [(await buffer(request)).toString(), state.changes.length]
      const { method = '', url = '/', headers } = request
      const answer = (code: number, said: object) => {
        if (!lost || state.changes.length === before) return response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(said))
        lost = false
        return response.destroy()
      }
      const sent = (text ? JSON.parse(text) : {}) as { query?: string; variables?: Record<string, string> }
      if ((headers.authorization ?? headers['circle-token']) !== known.token) return answer(401, { message: 'You must log in first.' })
      if (url === '/graphql-unstable') return answer(200, { data: graphql(sent.query ?? '', sent.variables ?? {}) })
      return answer(...rest(method, new URL(url, 'https://server'), sent as Record<string, string>))
    })().catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const sockets = new Set<Socket>()
  const way = plain().on('connect', (_request, socket: Socket, head: Buffer) => {
    const onward = connect((server.address() as AddressInfo).port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      onward.write(head)
      onward.pipe(socket).pipe(onward)
    })
    for (const one of [socket, onward]) sockets.add(one.on('error', () => { socket.destroy(); onward.destroy() }))
  })
  await new Promise<void>((resolve) => way.listen(0, '127.0.0.1', resolve))
  return Object.assign(state, {
    proxy: `http://127.0.0.1:${(way.address() as AddressInfo).port}`,
    lose: () => { lost = true },
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      await Promise.all([server, way].map((one) => new Promise((resolve) => { one.close(resolve) })))
    },
  })
}
