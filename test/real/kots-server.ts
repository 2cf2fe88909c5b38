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
import { parse } from 'yaml'
import { pause } from '../../lib/clock.ts'
import { nomadNodes } from '../../lib/rehearsal/backups.ts'
import { install } from '../../lib/rehearsal/bare.ts'
import { exec } from '../../lib/rehearsal/console.ts'
import { NAMESPACE } from '../../lib/rehearsal/installation.ts'
import type { Kots, Version } from '../../lib/rehearsal/kots.ts'
import { kotsState, rendered } from '../../lib/rehearsal/kots.ts'
import type { Output } from '../../lib/rehearsal/tool.ts'
import { runTool } from '../../lib/rehearsal/tools.ts'
import type { World } from '../../lib/rehearsal/world.ts'
import { keyOf } from '../../lib/rehearsal/world.ts'
import type { Cluster } from './cluster.ts'
import { CONTEXT } from './cluster.ts'
import { apply, deployAll, makeAll } from './kots-made.ts'
import { consoleFile } from './kwok.ts'
import type { KubeObject } from './request.ts'

export interface KotsServer {
  /** What KOTS knows: config items, and versions with their values, newest first. */
  state: Kots
  /** Every command line that reached the server. */
  calls: string[][]
  /** Milliseconds from the order to its deploy; a shorter one ends a wait that has begun. */
  delay: number
  /** How a deploy ends: never means that it stays `deploying`. */
  deploys: 'well' | 'badly' | 'never'
  /** Milliseconds that it takes to start and to take the licence, and to have a load balancer after the first deploy. */
  starts: number
  /** How many have logged in. */
  users: number
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
const { KOTS_SHARED_PASSWORD: password } = process.env
// As the plugin itself does: /dev/stdin is a file that is opened.
const fileOf = (flag) => {
  const at = process.argv.indexOf(flag)
  try { return at < 0 ? '' : readFileSync(process.argv[at + 1], 'utf8') } catch (error) { console.error('Error: ' + error.message); process.exit(1) }
}
const sees = { argv: process.argv.slice(2), stdin: fileOf('--config-file'), licensed: fileOf('--license-file') !== '', env: password ? { KOTS_SHARED_PASSWORD: password } : {} }
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
  sent.end(JSON.stringify(sees))
}
const slow = ${JSON.stringify(slow)}
if (['install', 'set', 'backup', 'restore'].includes(process.argv[2]) && existsSync(slow)) setTimeout(send, Number(readFileSync(slow, 'utf8')))
else send()
`

/** The words of a test's installation as those that the rehearsal plays. */
const asRehearsed = (argv: string[], namespace: string): string[] =>
  argv.map((word, at) => {
    const [flag, value] = word.startsWith('-') ? (word.split(/=(.*)/s) as [string, string?]) : [argv[at - 1] ?? '', word]
    const ours = /^(-n|--namespace)$/.test(flag) && value === namespace ? NAMESPACE : flag === '--context' && value === CONTEXT ? 'rehearsal' : undefined
    if (ours === undefined) return word
    return word.startsWith('-') ? `${flag}=${ours}` : ours
  })

/** What the plugin sees where it was started. */
interface Seen { argv: string[]; stdin: string; licensed: boolean; env: Record<string, string> }

/** `here` moves an object of the rehearsal's installation to the namespace of the test; what is not `installed` waits for its install. */
export const kotsServer = async (
  cluster: Cluster,
  namespace: string,
  folder: string,
  here: (object: KubeObject) => KubeObject,
  installed = true,
): Promise<KotsServer> => {
  const over = new AbortController()
  const under = new Set<Promise<void>>()
  const state = kotsState(Date.now())
  if (!installed) Object.assign(state, { state: 'absent', versions: [] })
  /** Of a world, the tools know KOTS, the time, and what they make; what is due is done here, for real. */
  const world = (more: object = {}) => ({ kots: state, time: Date.now(), pace: 1, rules: {}, due: [], objects: {}, born: {}, revision: 0, ...more }) as unknown as World
  const background = (what: () => Promise<void>): void => {
    const work = what().finally(() => under.delete(work))
    under.add(work)
  }

  const deploy = async (version: Version): Promise<void> => {
    const began = Date.now()
    while (Date.now() < began + self.delay && !over.signal.aborted) await pause(Math.min(50, self.delay), over.signal)
    if (over.signal.aborted || self.deploys === 'never') return
    try {
      if (self.deploys === 'badly') throw new Error('error validating data: the deploy was to fail')
      for (const object of rendered(version)) await apply(cluster, here(object))
      if (!installed) await first()
      version.status = 'deployed'
    } catch (error) {
      self.error = (error as Error).message
      version.status = 'failed'
    }
  }

  /** The first deploy makes all of it, and the cloud takes its time. */
  const first = async (): Promise<void> => {
    const { give } = await deployAll(cluster, world(), here)
    background(() => pause(self.starts, over.signal).then(give))
  }

  const startConsole = async (): Promise<void> => {
    await pause(self.starts, over.signal)
    if (over.signal.aborted || state.state === 'ready') return
    const played = world()
    install(played, 'console')
    Object.assign(state, played.kots)
  }

  const answer = async ({ argv, ...seen }: Seen): Promise<Output> => {
    const call = { tool: 'kubectl', argv: asRehearsed(['kots', ...argv], namespace), ...seen }
    if (self.velero && /^(backup|restore)$/.test(argv[0] ?? '')) return self.velero.play((one) => runTool(one, call))
    const played = world({ licensed: seen.licensed })
    const output = runTool(played, call)
    await makeAll(cluster, played, here)
    for (const { do: what, sequence } of played.due) {
      const version = state.versions.find((one) => one.sequence === sequence)
      if (version) background(() => deploy(version))
      if (what === 'install') background(startConsole)
    }
    return output
  }

  /** What runs in a pod: the request of curl to the admin console, and Nomad's own command. */
  const inPod = async ({ method, url: path, headers }: IncomingMessage, body: string): Promise<{ status: number; text: string }> => {
    if (path === '/mongo/users') return { status: 200, text: `users ${self.users}\n` }
    if (path === '/nomad/node/status') return { status: 200, text: await play(nomadNodes) }
    const argv = ['-X', method ?? 'GET', ...(body ? ['-d', body] : []), `http://localhost:3000${path}`]
    const { stdout } = await play((one) => exec(one, ['--', 'curl', ...argv], `header = "Authorization: ${headers.authorization}"`))
    return { status: Number(stdout.slice(-3)), text: stdout.slice(0, -4) }
  }

  /** On what Velero has, or on what the console itself knows: its key. */
  const play = async <T>(work: (one: World) => T): Promise<T> => {
    if (self.velero) return self.velero.play(work)
    const key = 'kotsadm-authstring'
    const { body } = await cluster.request('GET', `/api/v1/namespaces/${namespace}/secrets/${key}`)
    return work(world({ objects: { [keyOf('secrets', key, NAMESPACE)]: body } }))
  }

  const server = createServer((request, response) => {
    let text = ''
    const respond = async (): Promise<void> => {
      if (request.url !== '/plugin') {
        const { status, text: said } = await inPod(request, text)
        return void response.writeHead(status).end(said)
      }
      const sent = JSON.parse(text) as Seen
      // KOTS reads YAML, of which the rehearsal plays the part that is JSON.
      const seen = { ...sent, stdin: sent.stdin && JSON.stringify(parse(sent.stdin)) }
      self.calls.push(seen.argv)
      response.end(JSON.stringify(await answer(seen)))
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
    starts: 2000,
    users: 0,
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
