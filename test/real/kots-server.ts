/**
 * Stand-in for KOTS: a server that keeps versions and configuration and deploys in the background, and a plugin
 * `kubectl-kots` that sends its words there, found by the real kubectl. A deploy goes on when the command that asked
 * for it was killed, as it does in the admin console.
 */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pause } from '../../lib/clock.ts'
import { nomadNodes } from '../../lib/rehearsal/backups.ts'
import { exec } from '../../lib/rehearsal/console.ts'
import { installation, NAMESPACE } from '../../lib/rehearsal/installation.ts'
import type { Kots, Version } from '../../lib/rehearsal/kots.ts'
import { kotsState, rendered } from '../../lib/rehearsal/kots.ts'
import type { Output } from '../../lib/rehearsal/tool.ts'
import { runTool } from '../../lib/rehearsal/tools.ts'
import { keyOf, type World } from '../../lib/rehearsal/world.ts'
import type { Cluster } from './cluster.ts'
import { CONTEXT } from './cluster.ts'
import { consoleFile } from './kwok.ts'
import type { KubeObject } from './request.ts'
import { collection, good } from './request.ts'

export interface KotsServer {
  /** What KOTS knows: config items, and versions with their values, newest first. */
  state: Kots
  /** Every command line that reached the server. */
  calls: string[][]
  /** Milliseconds from the order to its deploy. */
  delay: number
  /** How a deploy ends: never means that it stays `deploying`. */
  deploys: 'well' | 'badly' | 'never'
  /** Plays Velero, for what KOTS has it do; without it there are no backups. */
  velero: { play<T>(work: (world: World) => T): Promise<T> } | undefined
  /** Why the last deploy failed. */
  error: string | undefined
  /** Milliseconds that the command sleeps before it sends: its parent can be killed, and it still runs. */
  slow: number
  /** The folder to put first on PATH. */
  bin: string
  /** Resolves when no deploy is under way. */
  settled(): Promise<void>
  stop(): Promise<void>
}

const plugin = (url: string, slow: string): string => `#!${process.execPath}
const { request } = require('node:http')
const { existsSync, readFileSync } = require('node:fs')
const send = () => {
  const sent = request(${JSON.stringify(url)}, { method: 'POST' }, (response) => {
    let text = ''
    response.on('data', (part) => (text += part))
    response.on('end', () => {
      const { code, stdout, stderr } = JSON.parse(text)
      process.stdout.write(stdout)
      process.stderr.write(stderr)
      process.exitCode = code
    })
  })
  sent.on('error', (error) => {
    console.error('Error: failed to reach the admin console: ' + error.message)
    process.exitCode = 1
  })
  const stdin = process.argv.includes('/dev/stdin') ? readFileSync(0, 'utf8') : ''
  sent.end(JSON.stringify({ argv: process.argv.slice(2), stdin }))
}
const slow = ${JSON.stringify(slow)}
if (['set', 'backup', 'restore'].includes(process.argv[2]) && existsSync(slow)) setTimeout(send, Number(readFileSync(slow, 'utf8')))
else send()
`

/** As kubectl apply: creates what is missing; what is there is patched, and the API server refuses what it must. */
const apply = async (cluster: Cluster, object: KubeObject): Promise<void> => {
  const path = `${collection(object)}/${object.metadata.name}`
  const live = await cluster.request('GET', path)
  if (live.status === 404) await good(cluster.request('POST', collection(object), { body: object }))
  else await good(cluster.request('PATCH', path, { body: { metadata: object.metadata, spec: object.spec } }))
}

/** The words of a test's installation as those that the rehearsal plays. */
const asRehearsed = (argv: string[], namespace: string): string[] =>
  argv.map((word, at) => {
    const [flag, value] = word.startsWith('-') ? (word.split(/=(.*)/s) as [string, string?]) : [argv[at - 1] ?? '', word]
    const ours = /^(-n|--namespace)$/.test(flag) && value === namespace ? NAMESPACE : flag === '--context' && value === CONTEXT ? 'rehearsal' : undefined
    if (ours === undefined) return word
    return word.startsWith('-') ? `${flag}=${ours}` : ours
  })

/** `here` moves an object of the rehearsal's installation to the namespace of the test. */
export const kotsServer = async (
  cluster: Cluster,
  namespace: string,
  folder: string,
  here: (object: KubeObject) => KubeObject,
): Promise<KotsServer> => {
  const over = new AbortController()
  const under = new Set<Promise<void>>()
  const state = kotsState(Date.now())

  const deploy = async (version: Version): Promise<void> => {
    await pause(self.delay, over.signal)
    if (over.signal.aborted || self.deploys === 'never') return
    try {
      if (self.deploys === 'badly') throw new Error('error validating data: the deploy was to fail')
      for (const object of rendered(version)) await apply(cluster, here(object))
      version.status = 'deployed'
    } catch (error) {
      self.error = (error as Error).message
      version.status = 'failed'
    }
  }

  const answer = async (argv: string[], stdin: string): Promise<Output> => {
    const call = { tool: 'kubectl', argv: asRehearsed(['kots', ...argv], namespace), stdin }
    if (self.velero && /^(backup|restore)$/.test(argv[0] ?? '')) return self.velero.play((world) => runTool(world, call))
    // Of a world, the tools know only KOTS, the time, and what is due; what is due is done here, for real.
    const world = { kots: state, time: Date.now(), rules: {}, due: [] } as unknown as World
    const output = runTool(world, call)
    for (const { sequence } of world.due) {
      const version = state.versions.find((one) => one.sequence === sequence)
      if (!version) continue
      const work = deploy(version).finally(() => under.delete(work))
      under.add(work)
    }
    return output
  }

  /** Of a world, the admin console knows KOTS and its own key, where nobody plays Velero. */
  const console = {
    kots: state, rules: {}, objects: Object.fromEntries(installation().filter(({ metadata }) => metadata.name === 'kotsadm-authstring').map((one) => [keyOf('secrets', one.metadata.name, NAMESPACE), one])),
  } as unknown as World

  /** What runs in a pod: the request of curl to the admin console, and Nomad's own command. */
  const inPod = async ({ method, url: path, headers }: IncomingMessage, body: string): Promise<{ status: number; text: string }> => {
    if (!self.velero && !path?.startsWith('/api/v1/app/')) return { status: 503, text: '' }
    const play = self.velero?.play ?? (async <T>(work: (world: World) => T) => work(console))
    if (path === '/nomad/node/status') return { status: 200, text: await play(nomadNodes) }
    const argv = ['-X', method ?? 'GET', ...(body ? ['-d', body] : []), `http://localhost:3000${path}`]
    const { stdout } = await play((world) => exec(world, ['--', 'curl', ...argv], `header = "Authorization: ${headers.authorization}"`))
    return { status: Number(stdout.slice(-3)), text: stdout.slice(0, -4) }
  }

  const server = createServer((request, response) => {
    let text = ''
    const respond = async (): Promise<void> => {
      if (request.url !== '/plugin') {
        const { status, text: said } = await inPod(request, text)
        return void response.writeHead(status).end(said)
      }
      const { argv, stdin } = JSON.parse(text) as { argv: string[]; stdin: string }
      self.calls.push(argv)
      response.end(JSON.stringify(await answer(argv, stdin)))
    }
    request.on('data', (part) => (text += part))
    request.on('end', () => void respond().catch((error: unknown) => response.writeHead(500).end(JSON.stringify({ code: 1, stdout: '', stderr: `Error: ${String(error)}\n` }))))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  const bin = join(folder, 'bin')
  const slowFile = join(folder, 'slow')
  let slow = 0
  mkdirSync(bin, { recursive: true })
  const file = join(bin, 'kubectl-kots')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  writeFileSync(file, plugin(`${url}/plugin`, slowFile))
  writeFileSync(consoleFile(cluster.folder, namespace), url)
  chmodSync(file, 0o755)

  const self: KotsServer = {
    state,
    calls: [],
    delay: 300,
    deploys: 'well',
    velero: undefined,
    error: undefined,
    bin,
    get slow() {
      return slow
    },
    set slow(ms: number) {
      slow = ms
      if (ms) writeFileSync(slowFile, String(ms))
      else rmSync(slowFile, { force: true })
    },
    settled: async () => void (await Promise.all(under)),
    stop: async () => {
      over.abort()
      server.closeAllConnections()
      await Promise.all([...under, new Promise((resolve) => server.close(resolve))])
    },
  }
  return self
}
