/** A stand-in of GitHub's endpoints over HTTPS, with a certificate of an authority that nobody knows. */
import { readFileSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { TLSSocket } from 'node:tls'

export interface GithubServer {
  host: string
  /** What it was asked, in order. */
  seen: { method: string; url: string; body: string; headers: IncomingHttpHeaders }[]
  /** Answers so in place of itself, for so many requests; 0 never answers. */
  instead(status: number, times: number): void
  stop(): void
}

export const startGithub = async (files: { certificate: string; key: string }, app: { id: string; secret: string; token: string }): Promise<GithubServer> => {
  const seen: GithubServer['seen'] = []
  const sockets = new Set<TLSSocket>()
  let [status, times] = [0, 0]
  const server = createServer({ cert: readFileSync(files.certificate), key: readFileSync(files.key) }, (request, response) => {
    void (async () => {
      const body = (await buffer(request)).toString()
      const { method = '', url = '', headers } = request
      seen.push({ method, url, body, headers })
      const answer = (code: number, said: object) => response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(said))
      if (times-- > 0) return status ? answer(status, {}) : undefined
      if (url === '/api/v3/user') return headers.authorization === `Bearer ${app.token}` ? answer(200, { login: 'circleci-bot' }) : answer(401, { message: 'Bad credentials' })
      const form = new URLSearchParams(body)
      if (method !== 'POST' || url !== '/login/oauth/access_token' || form.get('client_id') !== app.id) return answer(404, { error: 'Not Found' })
      return answer(200, { error: form.get('client_secret') === app.secret ? 'bad_verification_code' : 'incorrect_client_credentials' })
    })().catch(() => response.destroy())
  })
  server.on('secureConnection', (socket) => sockets.add(socket.once('close', () => sockets.delete(socket))))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    host: `localhost:${(server.address() as AddressInfo).port}`, seen,
    instead: (code, count) => { [status, times] = [code, count] },
    stop: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
