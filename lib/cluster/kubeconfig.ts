/**
 * The kubeconfig: which cluster this run goes to, and how it says who it is. client-node brings what is hard:
 * credential plugins, certificates, WebSockets.
 */
import type { KubeConfig } from '@kubernetes/client-node'
import { existsSync } from 'node:fs'
import type { RequestOptions } from 'node:https'
import { delimiter } from 'node:path'
import { EXIT, NoCredentials, fail, sentence } from '../fail.ts'

/** What client-node calls the context that it makes up in a pod, from the pod's account. */
const IN_CLUSTER = 'inClusterContext'

export interface ClusterOptions { kubeconfig?: string | undefined; context?: string | undefined; namespace?: string | undefined }

export interface Cluster {
  /** As the kubeconfig names them. */
  context: string
  name: string
  server: string
  namespace: string
  /** What goes behind each command line, so that a pasted line goes where this run went. */
  flags: string[]
  kubeconfig: string | undefined
}

interface Connection extends Cluster { config: KubeConfig }

let connection: Connection | undefined

/** The cluster of this run. */
export const cluster = (): Cluster => connected()

export const connected = (): Connection => {
  if (!connection) throw new Error('no cluster was connected')
  return connection
}

/** client-node: as one file where `npm ci` made it, which is ten times faster; a built runbook holds it already. */
export const client = async (): Promise<typeof import('./client.ts')> => {
  const bundled = new URL('../../node_modules/.cache/circleci-runbooks/client.mjs', import.meta.url)
  return import.meta.url.endsWith('.ts') && existsSync(bundled) ? import(bundled.href) : import('./client.ts')
}

const load = async (options: ClusterOptions): Promise<Connection> => {
  const { KubeConfig } = await client()
  const config = new KubeConfig()
  try {
    if (options.kubeconfig) config.loadFromFile(options.kubeconfig)
    else config.loadFromDefault()
  } catch (error) {
    throw fail(`The kubeconfig${options.kubeconfig ? ` ${options.kubeconfig}` : ''} cannot be read: ${error instanceof TypeError ? 'it is empty, or no kubeconfig' : sentence(error).split('\n')[0]}.`, 'Name another one with --kubeconfig, or set KUBECONFIG.', { code: EXIT.usage })
  }
  // With nothing to load, client-node makes up a cluster at localhost:8080.
  if (config.currentContext === 'loaded-context') {
    throw fail('There is no kubeconfig: neither --kubeconfig, nor KUBECONFIG, nor ~/.kube/config.',
      'On EKS: aws eks update-kubeconfig --name CLUSTER; on GKE: gcloud container clusters get-credentials CLUSTER.', { code: EXIT.usage })
  }
  if (!config.contexts?.length) {
    throw fail(`The kubeconfig${options.kubeconfig ? ` ${options.kubeconfig}` : ''} has no context: it is empty.`, 'Fetch credentials of the cluster first (aws eks update-kubeconfig, gcloud container clusters get-credentials).', { code: EXIT.usage })
  }
  if (options.context) config.setCurrentContext(options.context)
  const chosen = config.getContextObject(config.getCurrentContext())
  const server = config.getCurrentCluster()
  if (!chosen || !server) {
    const known = config.getContexts().map(({ name }) => name)
    throw fail(options.context ? `The kubeconfig has no context ${options.context}.` : 'The kubeconfig has no current context.',
      known.length ? `It has: ${known.join(', ')}. Name one with --context.` : 'It has no context at all: fetch credentials of the cluster first.', { code: EXIT.usage })
  }
  const { getProxyForUrl } = await import('proxy-from-env')
  // As kubectl does, whatever NO_PROXY says: no proxy leads to this machine itself.
  const proxyUrl = isLoopback(server.server) ? '' : getProxyForUrl(server.server)
  config.clusters = config.clusters.map((one) => (one !== server ? one : {
    ...one,
    ...(proxyUrl && !one.proxyUrl ? { proxyUrl } : {}),
    // client-node refuses plain HTTP otherwise; kubectl does not.
    ...(one.server.startsWith('http:') ? { skipTLSVerify: true } : {}),
  }))
  const namespace = options.namespace ?? chosen.namespace ?? ''
  return {
    config, namespace, context: chosen.name, name: server.name, server: server.server, kubeconfig: options.kubeconfig,
    // In a pod there is no kubeconfig, and so no context that a command would find; it finds the cluster by itself.
    flags: chosen.name === IN_CLUSTER ? [] : [...(options.kubeconfig && options.kubeconfig !== own ? ['--kubeconfig', options.kubeconfig] : []), '--context', chosen.name],
  }
}

const isLoopback = (url: string): boolean => URL.canParse(url) && /^(localhost|127\.[\d.]+|\[::1\])$/.test(new URL(url).hostname)

let own: string | undefined

/** A rehearsal has a kubeconfig of its own; its lines do not name it. */
export const useKubeconfig = (file: string): void => { own = file }

/** Loads the kubeconfig and picks the context; sends nothing yet. */
export const connect = async (options: ClusterOptions): Promise<Cluster> => {
  connection = await load(options)
  credentials = undefined
  return connection
}

/** Where the credentials of a new cluster go, for tools that would take several files in KUBECONFIG for one. */
export const newContextsGoTo = (): string | undefined => {
  const [first, ...others] = (process.env['KUBECONFIG'] ?? '').split(delimiter).filter(Boolean)
  return others.length ? first : undefined
}

/** Not each cloud tells the scheme. */
const addressIn = (server: string): string => server.replace(/^https?:\/\//, '').replace(/\/$/, '').toLowerCase()

/**
 * Goes to the cluster whose API server this is, where the kubeconfig has a context of it: the current one, or else the
 * first. Its name; undefined where there is none yet.
 */
export const connectTo = async (server: string): Promise<string | undefined> => {
  const wanted = addressIn(server)
  if (connection && addressIn(connection.server) === wanted) return connection.context
  const { KubeConfig } = await client()
  const config = new KubeConfig()
  try {
    if (own) config.loadFromFile(own)
    else config.loadFromDefault()
  } catch {
    // A broken one is told by the tool that is about to write into it.
    return undefined
  }
  const names = (config.clusters ?? []).filter((one) => addressIn(one.server) === wanted).map(({ name }) => name)
  const contexts = (config.contexts ?? []).filter((one) => names.includes(one.cluster)).map(({ name }) => name)
  const context = contexts.find((name) => name === config.currentContext) ?? contexts[0]
  if (context === undefined) return undefined
  const reached = await connect({ kubeconfig: own, context })
  if (own) reached.flags = ['--context', context]
  return context
}

let credentials: { options: Promise<RequestOptions>; until: number } | undefined

/** TLS and headers for a request; asked again after a minute, since tokens of cloud clusters live for minutes. */
export const credential = (): Promise<RequestOptions> => {
  if (credentials && credentials.until > Date.now()) return credentials.options
  const asked = { options: ask(connected()), until: Date.now() + 60_000 }
  credentials = asked
  asked.options.catch(() => { if (credentials === asked) credentials = undefined })
  return asked.options
}

const ask = async ({ config, context }: Connection): Promise<RequestOptions> => {
  const options: RequestOptions = {}
  try {
    await config.applyToHTTPSOptions(options as Parameters<KubeConfig['applyToHTTPSOptions']>[0])
  } catch (error) {
    const missing = sentence(error).includes('ENOENT')
    throw new NoCredentials(`No credentials for context ${context}: ${missing ? 'the program that its kubeconfig asks for them is not on the PATH' : sentence(error).split('\n')[0]}.`,
      missing ? 'Install it (aws, gke-gcloud-auth-plugin, …): `kubectl config view` names it under exec.' : 'Log in again (aws sso login, gcloud auth login), then repeat the same line.', { code: EXIT.preflight })
  }
  if (options.agent && typeof options.agent === 'object') Object.assign(options.agent, { keepAlive: true })
  return options
}

/**
 * The server does not accept these: drops them, and reads the kubeconfig afresh, for somebody may have logged in
 * again (client-node keeps what a plugin said until it ends). One that names another cluster by now is not followed.
 */
export const renewCredentials = async (refused: RequestOptions): Promise<void> => {
  const [asked, now] = [credentials, connected()]
  if (await asked?.options.catch(() => undefined) !== refused || credentials !== asked) return
  credentials = undefined
  const fresh = await load(now).catch(() => undefined)
  if (fresh?.server === now.server) now.config = fresh.config
}
