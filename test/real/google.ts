/**
 * As much of Google's APIs as velero-gcp and create-gke need of them, for the real gcloud: one project on loopback. What it holds is
 * looked at directly; an answer can get lost.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

interface Binding { role: string; members: string[]; condition?: object }
interface Policy { bindings: Binding[]; etag: string; version?: number }
interface Bucket { name: string; location: string; projectNumber: string; iamConfiguration?: object; objects: string[]; policy: Policy }
interface Account { name: string; email: string; description?: string; policy: Policy; keys: { name: string; validAfterTime: string; keyType: string }[] }
interface Cluster { name: string; status: string; endpoint: string; currentMasterVersion: string; currentNodeCount: number; nodePools?: { initialNodeCount: number }[]; initialClusterVersion?: string; [field: string]: unknown }
interface Role { name: string; title?: string; includedPermissions: string[]; etag: string }

export interface Google {
  project: string
  /** For a run under test. */
  env: Record<string, string>
  buckets: Record<string, Bucket>
  accounts: Record<string, Account>
  roles: Record<string, Role>
  clusters: Record<string, Cluster>
  /** Whether the API of GKE is on. */
  gke: boolean
  policy: Policy
  /** Each request, as `POST /v1/projects/…`. */
  requests: string[]
  /** Carries out the next request that this matches, and loses the answer. */
  lose(request: RegExp, lost?: () => void): void
  reset(): void
  stop(): void
}

class Refusal extends Error {
  readonly code: number
  readonly status: string
  constructor(code: number, status: string, message: string) {
    super(message)
    this.code = code
    this.status = status
  }
}
const absent = (what: string) => new Refusal(404, 'NOT_FOUND', `${what} was not found.`)
const fresh = (): Policy => ({ bindings: [], etag: 'BwX=' })
const PROJECT = 'my-project', NUMBER = '471100000042'

export const startGoogle = async (): Promise<Google> => {
  const folder = mkdtempSync(join(tmpdir(), 'real-google-'))
  const state: Pick<Google, keyof State | 'requests'> = { ...empty(), requests: [] }
  let losing: { request: RegExp; lost(): void } | undefined
  const server = createServer((incoming, response) => {
    void (async () => {
      const name = `${incoming.method} ${incoming.url}`
      state.requests.push(name)
      const [code, body] = await answer(state, incoming)
      if (losing?.request.test(name)) {
        const { lost } = losing
        losing = undefined
        lost()
        response.destroy()
      } else response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })().catch((error: unknown) => response.destroy(error as Error))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  writeFileSync(join(folder, 'token'), 'token-of-the-operator\n', { mode: 0o600 })
  const at = (...names: string[]) => Object.fromEntries(names.map((name) => [`CLOUDSDK_API_ENDPOINT_OVERRIDES_${name}`, url]))
  return Object.assign(state, {
    project: PROJECT,
    env: {
      ...at('IAM', 'CLOUDRESOURCEMANAGER', 'POLICYANALYZER', 'CONTAINER', 'SERVICEUSAGE'), CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE: `${url}storage/v1/`,
      CLOUDSDK_CONFIG: folder, CLOUDSDK_AUTH_ACCESS_TOKEN_FILE: join(folder, 'token'),
      CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: '1', CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK: '1',
    },
    lose: (request: RegExp, lost = () => {}) => { losing = { request, lost } },
    reset: () => void Object.assign(state, empty(), { requests: [] }),
    stop: () => {
      server.closeAllConnections()
      server.close()
      rmSync(folder, { recursive: true, force: true })
    },
  })
}

type State = Pick<Google, 'buckets' | 'accounts' | 'roles' | 'clusters' | 'gke' | 'policy'>
const empty = (): State => ({ buckets: {}, accounts: {}, roles: {}, clusters: {}, gke: false, policy: fresh() })

const answer = async (state: State, incoming: IncomingMessage): Promise<[number, unknown]> => {
  const { pathname } = new URL(incoming.url ?? '', 'http://google')
  const sent = await text(incoming)
  try {
    const path = decodeURIComponent(pathname)
    for (const [pattern, play] of PLAYED) {
      const found = pattern.exec(`${incoming.method} ${path}`)
      if (found) return [200, play(state, (sent ? JSON.parse(sent) : {}) as Record<string, any>, found[1] ?? '', found[2] ?? '')]
    }
    throw new Refusal(501, 'UNIMPLEMENTED', `${incoming.method} ${path} is not played: extend test/real/google.ts`)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return [error.code, { error: { code: error.code, status: error.status, message: error.message } }]
  }
}

type Play = (state: State, sent: Record<string, any>, one: string, two: string) => unknown

const bucketOf = ({ buckets }: State, name: string): Bucket => {
  if (!buckets[name]) throw absent('The specified bucket')
  return buckets[name]
}
const accountOf = ({ accounts }: State, email: string): Account => {
  if (!accounts[email]) throw new Refusal(404, 'NOT_FOUND', 'Unknown service account')
  return accounts[email]
}
const roleOf = ({ roles }: State, name: string): Role => {
  if (!roles[name]) throw absent(`The role named ${name}`)
  return roles[name]
}
const ACCOUNT = `/v1/projects/[^/]+/serviceAccounts/([^/:]+)`

const API = { name: `projects/${NUMBER}/services/container.googleapis.com`, config: { name: 'container.googleapis.com' } }
const clusterOf = ({ clusters }: State, name: string): Cluster => {
  if (!clusters[name]) throw new Refusal(404, 'NOT_FOUND', `Not found: projects/${PROJECT}/locations/europe-west1/clusters/${name}.`)
  return clusters[name]
}
const GKE: [RegExp, Play][] = [
  [/^GET \/v1\/projects\/my-project\/services$/, ({ gke }) => ({ services: gke ? [{ ...API, state: 'ENABLED' }] : [] })],
  [/^GET \/v1\/projects\/my-project\/services\/container\.googleapis\.com$/, ({ gke }) => ({ ...API, state: gke ? 'ENABLED' : 'DISABLED' })],
  [/^POST \/v1\/projects\/my-project\/services\/container\.googleapis\.com:enable$/, (state) => {
    state.gke = true
    return { name: 'operations/acf.1', done: true, response: { service: { ...API, state: 'ENABLED' } } }
  }],
  [/^GET \/v1\/projects\/my-project\/locations\/europe-west1\/serverConfig$/, () => ({ validMasterVersions: ['1.24.5-gke.600', '1.23.12-gke.100', '1.22.15-gke.100'] })],
  [/^GET \/v1\/projects\/my-project\/locations\/europe-west1\/clusters\/([^/]+)$/, (state, _, name) => {
    const cluster = clusterOf(state, name)
    // Once it was asked for it is there.
    state.clusters[name] = { ...cluster, status: 'RUNNING', endpoint: '127.0.0.1:9', masterAuth: { clusterCaCertificate: 'Y2VydA==' } }
    return cluster
  }],
  // Of one that it does not find, gcloud looks for the place.
  [/^GET \/v1\/projects\/my-project\/locations\/-\/clusters$/, ({ clusters }) => ({ clusters: Object.values(clusters) })],
  [/^POST \/v1\/projects\/my-project\/locations\/europe-west1\/clusters$/, ({ clusters }, { cluster }) => {
    if (clusters[cluster.name]) throw new Refusal(409, 'ALREADY_EXISTS', `Already exists: projects/${PROJECT}/locations/europe-west1/clusters/${cluster.name}.`)
    clusters[cluster.name] = { ...cluster, status: 'PROVISIONING', location: 'europe-west1', currentMasterVersion: `${cluster.initialClusterVersion}.12-gke.100`, currentNodeVersion: `${cluster.initialClusterVersion}.12-gke.100`, currentNodeCount: 9 }
    return { name: 'operation-1', operationType: 'CREATE_CLUSTER', status: 'RUNNING', zone: 'europe-west1', targetLink: `https://container.googleapis.com/v1/projects/${NUMBER}/locations/europe-west1/clusters/${cluster.name}` }
  }],
]

const PLAYED: [RegExp, Play][] = [
  ...GKE,
  [/^GET \/v1\/projects\/my-project$/, () => ({ projectId: PROJECT, projectNumber: NUMBER, lifecycleState: 'ACTIVE' })],
  [/^POST \/v1\/projects\/my-project:getIamPolicy$/, ({ policy }) => policy],
  [/^POST \/v1\/projects\/my-project:setIamPolicy$/, ({ policy }, sent) => Object.assign(policy, sent['policy'])],
  [/^GET \/v1\/.*\/activities:query$/, () => ({ activities: [] })],
  [/^POST \/storage\/v1\/b$/, ({ buckets }, sent) => {
    if (buckets[sent['name']]) throw new Refusal(409, 'ALREADY_EXISTS', 'Your previous request to create the named bucket succeeded and you already own it.')
    return (buckets[sent['name']] = { location: 'US', projectNumber: NUMBER, objects: [], policy: fresh(), ...sent } as unknown as Bucket)
  }],
  [/^GET \/storage\/v1\/b\/([^/]+)\/o$/, (state, _, name) => ({ prefixes: bucketOf(state, name).objects })],
  [/^GET \/storage\/v1\/b\/([^/]+)\/iam$/, (state, _, name) => bucketOf(state, name).policy],
  [/^PUT \/storage\/v1\/b\/([^/]+)\/iam$/, (state, sent, name) => Object.assign(bucketOf(state, name).policy, sent)],
  [/^GET \/storage\/v1\/b\/([^/]+)$/, (state, _, name) => bucketOf(state, name)],
  [/^PATCH \/storage\/v1\/b\/([^/]+)$/, (state, sent, name) => Object.assign(bucketOf(state, name), sent)],
  [/^POST \/v1\/projects\/my-project\/serviceAccounts$/, ({ accounts }, { accountId, serviceAccount }) => {
    const email = `${accountId}@${PROJECT}.iam.gserviceaccount.com`
    if (accounts[email]) throw new Refusal(409, 'ALREADY_EXISTS', `Service account ${accountId} already exists within project projects/${PROJECT}.`)
    return (accounts[email] = { ...serviceAccount, name: `projects/${PROJECT}/serviceAccounts/${email}`, email, keys: [], policy: fresh() })
  }],
  [new RegExp(`^GET ${ACCOUNT}$`), (state, _, email) => ({ ...accountOf(state, email), keys: undefined, policy: undefined })],
  [new RegExp(`^GET ${ACCOUNT}:getIamPolicy$|^POST ${ACCOUNT}:getIamPolicy$`), (state, _, one, two) => accountOf(state, one || two).policy],
  [new RegExp(`^POST ${ACCOUNT}:setIamPolicy$`), (state, sent, email) => Object.assign(accountOf(state, email).policy, sent['policy'])],
  [new RegExp(`^GET ${ACCOUNT}/keys$`), (state, _, email) => ({ keys: accountOf(state, email).keys })],
  [new RegExp(`^POST ${ACCOUNT}/keys$`), (state, _, email) => {
    const { keys } = accountOf(state, email)
    const id = randomBytes(20).toString('hex')
    const key = { name: `projects/${PROJECT}/serviceAccounts/${email}/keys/${id}`, validAfterTime: new Date().toISOString().replace(/\.\d+/, ''), keyType: 'USER_MANAGED' }
    keys.push(key)
    const file = { type: 'service_account', project_id: PROJECT, private_key_id: id, private_key: `-----BEGIN PRIVATE KEY-----\n${randomBytes(30).toString('hex')}\n-----END PRIVATE KEY-----\n`, client_email: email }
    return { ...key, privateKeyType: 'TYPE_GOOGLE_CREDENTIALS_FILE', privateKeyData: Buffer.from(`${JSON.stringify(file, null, 2)}\n`).toString('base64') }
  }],
  [new RegExp(`^DELETE ${ACCOUNT}/keys/([^/]+)$`), (state, _, email, id) => {
    const account = accountOf(state, email)
    if (!account.keys.some(({ name }) => name.endsWith(id))) throw absent(`Service account key ${id}`)
    account.keys = account.keys.filter(({ name }) => !name.endsWith(id))
    return {}
  }],
  [/^GET \/v1\/projects\/my-project\/roles\/([^/]+)$/, (state, _, name) => roleOf(state, name)],
  [/^PATCH \/v1\/projects\/my-project\/roles\/([^/]+)$/, (state, sent, name) => Object.assign(roleOf(state, name), sent)],
  [/^POST \/v1\/projects\/my-project\/roles$/, ({ roles }, { roleId, role }) => {
    if (roles[roleId]) throw new Refusal(409, 'ALREADY_EXISTS', `A role named ${roleId} in projects/${PROJECT} already exists.`)
    return (roles[roleId] = { etag: 'BwX=', ...role, name: `projects/${PROJECT}/roles/${roleId}` })
  }],
]
