/**
 * Raw requests to the API server of the tests: what was sent and what was answered, with no client between.
 */
import { Agent, request as send } from 'node:https'

export interface KubeObject {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; uid?: string; resourceVersion?: string; [key: string]: any }
  [key: string]: any
}

export interface RequestOptions {
  query?: Record<string, string | string[]>
  body?: unknown
  contentType?: string
  /** Another user than the administrator. */
  token?: string
}

export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
  /** The parsed JSON, or undefined where there is none. */
  body: any
}

export type Request = (method: string, path: string, options?: RequestOptions) => Promise<Answer>

export const PATCH = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
}

/** A function that sends to this server; every HTTP status is an answer, only a lost connection throws. */
export const requester = (server: string, ca: string, admin: string): Request => {
  const agent = new Agent({ ca, keepAlive: true })
  return (method, path, { query = {}, body, contentType, token = admin } = {}) =>
    new Promise((resolve, reject) => {
      const url = new URL(path, server)
      for (const [name, value] of Object.entries(query)) for (const one of [value].flat()) url.searchParams.append(name, one)
      const data = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
      const type = contentType ?? (method === 'PATCH' ? PATCH.merge : 'application/json')
      const headers = {
        accept: 'application/json',
        authorization: `Bearer ${token}`,
        ...(data === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(data) }),
      }
      const sent = send(url, { method, agent, headers }, (response) => {
        const parts: Buffer[] = []
        response.on('data', (part) => parts.push(part))
        response.once('error', reject)
        response.once('end', () => {
          const text = Buffer.concat(parts).toString()
          resolve({ status: response.statusCode!, headers: response.headers, text, body: parsed(text) })
        })
      })
      sent.once('error', reject)
      sent.end(data)
    })
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The body of a good answer; throws the server's own message for any other. */
export const good = async (asked: Promise<Answer>): Promise<any> => {
  const answer = await asked
  if (answer.status >= 200 && answer.status < 300) return answer.body
  throw new Error(`HTTP ${answer.status}: ${answer.body?.message ?? answer.text}`)
}

const PLURALS: Record<string, string> = { StorageClass: 'storageclasses', NetworkPolicy: 'networkpolicies', Ingress: 'ingresses' }
const CLUSTER_WIDE = new Set([
  'Namespace',
  'Node',
  'PersistentVolume',
  'StorageClass',
  'ClusterRole',
  'ClusterRoleBinding',
  'CustomResourceDefinition',
])

/** Where objects of this kind are listed and created. */
export const collection = ({ apiVersion, kind, metadata }: Pick<KubeObject, 'apiVersion' | 'kind' | 'metadata'>): string => {
  const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const plural = PLURALS[kind] ?? `${kind.toLowerCase()}s`
  return CLUSTER_WIDE.has(kind) ? `${group}/${plural}` : `${group}/namespaces/${metadata.namespace ?? 'default'}/${plural}`
}
