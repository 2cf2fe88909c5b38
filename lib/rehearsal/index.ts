/**
 * The embedded rehearsal installation: an installation of CircleCI server 3.x on loopback, with its
 * own time, kept in one file, for newcomers, for practice, and for the tests.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { dirname, join } from 'node:path'
import type { Carrier } from '../cloud/aws.ts'
import { PATIENCE, type Carrier as WebCarrier } from '../cloud/web.ts'
import type { Clock } from '../clock.ts'
import { EXIT, fail } from '../fail.ts'
import { Once, type Moment } from '../files.ts'
import { tilde } from '../journal.ts'
import type { Resolver } from '../names.ts'
import { virtualClock } from './clock.ts'
import { resolved } from './backups.ts'
import { writeFiles } from './certbot.ts'
import { ROOTS } from './certificates.ts'
import { contexts as contextsOf } from './clusters.ts'
import { refuseUpgrade, serveExec } from './exec.ts'
import { NAMESPACE } from './installation.ts'
import { madeSecret } from './mc.ts'
import { injectedRefusal, plannedFault, send, serve, trace, writing, type Traffic } from './server.ts'
import { freshWorld } from './fresh.ts'
import { DEFAULT, named, scenarios } from './scenarios.ts'
import { writeTools } from './tools.ts'
import { openStore } from './world-file.ts'
import type { World } from './world.ts'

export { essence, type World } from './world.ts'
export { scenarios }

export interface Rehearsal {
  /** The Kubernetes API, and POST /tools for the tools. */
  url: string
  /** A kubeconfig: the context `rehearsal`, and those of clusters that were made in it. */
  kubeconfig: string
  /** The folder to put first on PATH. */
  bin: string
  /** What the tools in `bin` need to find this process. */
  env: Record<string, string>
  clock: Clock
  /** Where files that an operator names lie, so that none of his own is touched. */
  files: string
  /** Told of each moment of writing one of them. */
  writing(moment: Moment, name: string): void
  /** Answers what would go to AWS. */
  aws: Carrier
  /** Answers what would go to GitHub and to other hosts. */
  web: WebCarrier
  /** Has an account of Google sign. */
  sign(email: string): Promise<void>
  /** Secrets that are made here: the same each time. */
  random(digits: number): string
  /** The roots that are trusted. */
  roots: string[]
  /** Resolves names of hosts. */
  resolve: Resolver
  /** The world as it is now; not to be changed. */
  world(): World
  close(): Promise<void>
}

export interface Options {
  /** The world file; it is made when there is none. */
  file: string
  scenario?: string
  /** Scenario of a new world, where none is named. */
  otherwise?: string | undefined
  /** Real milliseconds for each virtual one, for a new world; 0 does not wait at all. */
  pace?: number
}

export const rehearse = async ({ file, scenario, otherwise, pace }: Options): Promise<Rehearsal> => {
  if (scenario !== undefined) named(scenario)
  const store = openStore(file, () => freshWorld(scenario ?? otherwise ?? DEFAULT, pace ?? 1 / 40))
  const found = store.read().scenario
  if (scenario !== undefined && found !== scenario) {
    throw fail(`The rehearsal in ${tilde(file)} plays the scenario ${found}, not ${scenario}.`, 'make rehearse-reset starts afresh.', { code: EXIT.usage })
  }
  const files = `${file.replace(/\.json$/, '')}.files`
  mkdirSync(files, { recursive: true, mode: 0o700 })
  writeFiles(store.read(), files)
  const traffic: Traffic = { busy: 0, hung: 0, asleep: 0, requests: 0, mutations: 0, sleep: (ms) => clock.sleep(ms) }
  const server = createServer((request, response) => {
    traffic.busy += 1
    response.on('close', () => {
      traffic.busy -= 1
    })
    serve(store, request, response, traffic, written).catch((error: unknown) => {
      send(response, 500, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: `rehearsal: ${error}`, reason: 'InternalError', code: 500 })
    })
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    traffic.requests += 1
    const path = new URL(request.url ?? '/', 'http://rehearsal').pathname
    trace(`GET ${path}`, 'read')
    const injected = plannedFault(store, `GET ${path}`)
    if (injected === 'timeout') return
    if (injected === 'reset' || injected === 'reset-after' || injected === '504-after') return void socket.destroy()
    if (typeof injected === 'number') return refuseUpgrade(socket, injectedRefusal(injected))
    serveExec(store.read(), request, socket, head)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const bin = join(dirname(file), 'bin')
  writeTools(bin)
  const place = placeOfKubeconfig(`${file}.kubeconfig`, url)
  const written = (world: World): void => {
    writeFiles(world, files)
    writeKubeconfig(place, url, world)
  }
  const { clock, stop } = virtualClock(store, traffic)
  const kubeconfig = store.change((world) => writeKubeconfig(place, url, world))
  return {
    url, kubeconfig, bin, clock, files, roots: ROOTS, aws: carrier(url, clock), web: webCarrier(url, clock), resolve: async (name) => resolved(store.read(), name), random: madeSecret, sign: signer(url),
    writing: (moment, name) => writing(store, traffic, moment, name),
    env: { REHEARSAL_URL: url },
    world: () => store.read(),
    close: () => new Promise((resolve) => {
      stop()
      rmSync(kubeconfig, { force: true })
      server.close(() => resolve())
      for (const socket of sockets) socket.destroy()
    }),
  }
}

/** Time that a call to AWS may take. */
const AWS_TIMEOUT = 30_000

/** Calls to AWS take the way of all others, so that crashes and faults meet them too. */
const carrier = (url: string, clock: Required<Clock>): Carrier => async (region, service, command, input, as) => {
  const { late, ended } = limited(clock, AWS_TIMEOUT)
  try {
    const response = await fetch(`${url}/aws`, { method: 'POST', body: JSON.stringify({ region, service, command, input, ...(as ? { as: { id: as.id, secret: Once.join([as.secret]) } } : {}) }), signal: late.signal, headers: { connection: 'close' } })
    const answer = await response.json() as { refused?: { name: string; message: string; status: number }; AccessKey?: { SecretAccessKey: string } }
    if (!response.ok) throw Object.assign(new Error('the gateway gave up'), { name: 'GatewayTimeout', $metadata: { httpStatusCode: response.status } })
    if (answer.refused) throw Object.assign(new Error(answer.refused.message), { name: answer.refused.name, $metadata: { httpStatusCode: answer.refused.status } })
    return answer.AccessKey ? { ...answer, AccessKey: { ...answer.AccessKey, SecretAccessKey: new Once(answer.AccessKey.SecretAccessKey) } } : answer
  } catch (error) {
    if (error instanceof Error && '$metadata' in error) throw error
    throw Object.assign(new Error(late.signal.aborted ? 'no answer in 30 s' : 'the connection was cut'), { name: 'NetworkError' })
  } finally {
    ended.abort()
  }
}

/** A time limit: the request is a real one, and as slow as the machine. */
const limited = (clock: Required<Clock>, ms: number) => {
  const [ended, late] = [new AbortController(), new AbortController()]
  void clock.limit(ms, ended.signal).then(() => { if (!ended.signal.aborted) late.abort() })
  return { ended, late }
}

/** The code of a question that does not reach its host. */
const NO_WAY = '7'

/** Questions to hosts too; what is secret in them is no word. */
const webCarrier = (url: string, clock: Required<Clock>): WebCarrier => async (host, { method, path, ...secrets }) => {
  const { ended, late } = limited(clock, PATIENCE)
  try {
    const words = [host, method, path]
    const response = await fetch(`${url}/tools`, { method: 'POST', body: words.join('') + JSON.stringify(secrets), signal: late.signal, headers: { connection: 'close', 'x-tool': 'web', 'x-lengths': words.map((word) => word.length).join(' ') } })
    const said = await response.text()
    if (response.headers.get('x-code') === NO_WAY) throw new Error(said)
    if (response.headers.get('x-code') !== '0') return { status: 503, text: '' }
    return JSON.parse(said) as { status: number; text: string }
  } catch {
    throw Object.assign(new Error('the connection was cut'), late.signal.aborted ? { name: 'TimeoutError' } : { code: 'ECONNRESET' })
  } finally {
    ended.abort()
  }
}

/** Google's credentials service takes the way of all others too. */
const signer = (url: string) => async (email: string): Promise<void> => {
  const argv = ['signBlob', email]
  const response = await fetch(`${url}/tools`, { method: 'POST', body: argv.join(''), headers: { connection: 'close', 'x-tool': 'iamcredentials', 'x-lengths': argv.map((word) => word.length).join(' ') } })
  const said = await response.text()
  if (response.headers.get('x-code') !== '0') throw new Error(said)
}

/** A stable name, so that a printed command line stays right from run to run; a second process on the world takes another. */
const placeOfKubeconfig = (wanted: string, url: string): string => (servedByAnother(wanted) ? `${wanted}.${new URL(url).port}` : wanted)

const writeKubeconfig = (file: string, url: string, world: World): string => {
  const contexts = [{ cluster: 'rehearsal', user: 'rehearsal', server: url }, ...contextsOf(world, url)]
  const config = {
    apiVersion: 'v1', kind: 'Config', 'current-context': 'rehearsal', preferences: {},
    clusters: contexts.map(({ cluster, server }) => ({ name: cluster, cluster: { server } })),
    users: contexts.map(({ user }) => ({ name: user, user: {} })),
    contexts: contexts.map(({ cluster, user }) => ({ name: user, context: { cluster, user, ...(user === 'rehearsal' ? { namespace: NAMESPACE } : {}) } })),
  }
  // JSON is YAML too. The first line says whose it is.
  writeFileSync(`${file}.part`, `# served by process ${process.pid}\n${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 })
  renameSync(`${file}.part`, file)
  return file
}

const servedByAnother = (file: string): boolean => {
  try {
    process.kill(Number(/served by process (\d+)/.exec(readFileSync(file, 'utf8'))?.[1] ?? -1), 0)
    return true
  } catch {
    return false
  }
}
