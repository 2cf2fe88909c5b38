/**
 * Requests that the API server refuses, and how: recorded from version 1.20.2 in an installation as
 * lib/rehearsal/installation.ts has it. Played against the rehearsal and against a real server alike.
 */
export interface RefusalCase {
  name: string
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path: string
  query?: Record<string, string>
  /** Sent as JSON; a text is sent as it is. */
  body?: unknown
  contentType?: string
  /** The scenario that the case needs, where a healthy installation does not refuse it. */
  scenario?: 'unbound-claim' | 'quota'
  /** A change to make first. */
  before?: Pick<RefusalCase, 'method' | 'path' | 'body' | 'contentType'>
  code: number
  /** Absent where the server gives none. */
  reason?: string
  /** Each field once. */
  causes?: { field: string }[]
}

const core = '/api/v1/namespaces/circleci-server'
const sets = '/apis/apps/v1/namespaces/circleci-server/statefulsets'
const leases = '/apis/coordination.k8s.io/v1/namespaces/circleci-server/leases'
const classes = '/apis/storage.k8s.io/v1/storageclasses'
const claim = `${core}/persistentvolumeclaims/datadir-mongodb-0`
const merge = 'application/merge-patch+json'

const meta = (name: string, more: object = {}) => ({ name, ...more })
const secret = (metadata: object, more: object = {}) => ({ apiVersion: 'v1', kind: 'Secret', metadata, ...more })
const lease = (metadata: object, spec: object = {}) => ({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec: { holderIdentity: 'a', ...spec } })
const storage = (size: string) => ({ spec: { resources: { requests: { storage: size } } } })
const template = (size: string) => ({ metadata: { name: 'datadir' }, spec: { accessModes: ['ReadWriteOnce'], ...storage(size).spec } })
const set = (name: string, more: object = {}) => ({
  apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name },
  spec: {
    serviceName: name, selector: { matchLabels: { a: 'b' } },
    template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } }, ...more,
  },
})
const deletion = (more: object) => ({ kind: 'DeleteOptions', apiVersion: 'v1', ...more })
const allow = { method: 'PATCH', path: `${classes}/gp2`, body: { allowVolumeExpansion: true }, contentType: merge } as const

const invalid = (...fields: string[]) => ({ code: 422, reason: 'Invalid', causes: fields.map((field) => ({ field })) })
const conflict = { code: 409, reason: 'Conflict' }
const badRequest = { code: 400, reason: 'BadRequest' }
const notFound = { code: 404, reason: 'NotFound' }
const exists = { code: 409, reason: 'AlreadyExists' }
const forbidden = { code: 403, reason: 'Forbidden' }

export const refusals: RefusalCase[] = [
  { name: 'read what is not there', method: 'GET', path: `${sets}/nothing`, ...notFound },
  { name: 'change what is not there', method: 'PATCH', path: `${core}/persistentvolumeclaims/nothing`, body: storage('9Gi'), contentType: merge, ...notFound },
  { name: 'delete what is not there', method: 'DELETE', path: `${leases}/nothing`, body: deletion({}), ...notFound },
  { name: 'create in a namespace that is not there', method: 'POST', path: '/api/v1/namespaces/nothing/secrets', body: secret(meta('s')), ...notFound },
  { name: 'create a secret twice', method: 'POST', path: `${core}/secrets`, body: secret(meta('mongodb')), ...exists },
  { name: 'create a stateful set twice', method: 'POST', path: sets, body: set('mongodb'), ...exists },
  {
    name: 'create a lease twice', method: 'POST', path: leases, body: lease(meta('twice')), ...exists,
    before: { method: 'POST', path: leases, body: lease(meta('twice')) },
  },
  { name: 'create with a version', method: 'POST', path: `${core}/secrets`, body: secret(meta('s', { resourceVersion: '5' })), code: 500 },
  { name: 'create another kind', method: 'POST', path: leases, body: secret(meta('s')), ...badRequest },
  { name: 'create without a name', method: 'POST', path: `${core}/secrets`, body: secret({}), ...invalid('metadata.name') },
  { name: 'create with a bad name', method: 'POST', path: `${core}/secrets`, body: secret(meta('A_b')), ...invalid('metadata.name') },
  { name: 'create for another namespace', method: 'POST', path: `${core}/secrets`, body: secret(meta('s', { namespace: 'default' })), ...badRequest },
  { name: 'create from half a text', method: 'POST', path: `${core}/secrets`, body: '{"kind":', ...badRequest },
  { name: 'create a secret that is not base64', method: 'POST', path: `${core}/secrets`, body: secret(meta('s'), { data: { a: '!!' } }), ...badRequest },
  { name: 'replace an old version', method: 'PUT', path: `${core}/secrets/mongodb`, body: secret(meta('mongodb', { resourceVersion: '1' })), ...conflict },
  { name: 'replace another uid', method: 'PUT', path: `${core}/secrets/mongodb`, body: secret(meta('mongodb', { uid: 'other' })), ...conflict },
  { name: 'replace under another name', method: 'PUT', path: `${core}/secrets/mongodb`, body: secret(meta('other')), ...badRequest },
  {
    name: 'replace a lease without its version', method: 'PUT', path: `${leases}/versionless`, body: lease(meta('versionless')), ...invalid('metadata.resourceVersion'),
    before: { method: 'POST', path: leases, body: lease(meta('versionless')) },
  },
  {
    name: 'replace an old version of a lease', method: 'PUT', path: `${leases}/stale`, body: lease(meta('stale', { resourceVersion: '1' })), ...conflict,
    before: { method: 'POST', path: leases, body: lease(meta('stale')) },
  },
  { name: 'a lease for no time', method: 'POST', path: leases, body: lease(meta('l'), { leaseDurationSeconds: 0 }), ...invalid('spec.leaseDurationSeconds') },
  { name: 'a lease with milliseconds', method: 'POST', path: leases, body: lease(meta('l'), { renewTime: '2022-11-22T03:00:00.123Z' }), ...badRequest },
  { name: 'patch an old version', method: 'PATCH', path: `${core}/secrets/mongodb`, body: { metadata: { resourceVersion: '1' } }, contentType: merge, ...conflict },
  { name: 'patch a uid', method: 'PATCH', path: `${core}/secrets/mongodb`, body: { metadata: { uid: 'other' } }, contentType: merge, ...invalid('metadata.uid') },
  { name: 'patch of no known type', method: 'PATCH', path: claim, body: {}, contentType: 'application/json', code: 415, reason: 'UnsupportedMediaType' },
  { name: 'patch of half a text', method: 'PATCH', path: claim, body: '{"spec":', contentType: merge, code: 500 },
  { name: 'a dry run of another name', method: 'POST', path: leases, query: { dryRun: 'yes' }, body: lease(meta('l')), ...invalid('dryRun') },
  { name: 'delete another uid', method: 'DELETE', path: `${sets}/mongodb`, body: deletion({ propagationPolicy: 'Orphan', preconditions: { uid: 'other' } }), ...conflict },
  { name: 'delete an old version', method: 'DELETE', path: `${core}/secrets/mongodb`, body: deletion({ preconditions: { resourceVersion: '1' } }), ...conflict },
  { name: 'delete with another policy', method: 'DELETE', path: `${sets}/mongodb`, body: deletion({ propagationPolicy: 'None' }), ...invalid('propagationPolicy') },
  {
    name: 'change a claim template', method: 'PATCH', path: `${sets}/mongodb`, body: { spec: { volumeClaimTemplates: [template('10Gi')] } }, contentType: merge,
    ...invalid('spec'),
  },
  { name: 'change the name of a service', method: 'PATCH', path: `${sets}/mongodb`, body: { spec: { serviceName: 'x' } }, contentType: merge, ...invalid('spec') },
  { name: 'a template that the selector does not match', method: 'POST', path: sets, body: set('s', { selector: { matchLabels: { a: 'z' } } }), ...invalid('spec.template.metadata.labels') },
  { name: 'a claim template with no size', method: 'POST', path: sets, body: set('s', { volumeClaimTemplates: [template('10GB')] }), ...badRequest },
  { name: 'change who provisions', method: 'PATCH', path: `${classes}/gp2`, body: { provisioner: 'x' }, contentType: merge, ...invalid('provisioner') },
  { name: 'grow where that is not allowed', method: 'PATCH', path: claim, body: storage('10Gi'), contentType: merge, ...forbidden },
  { name: 'grow where that is not allowed, dry', method: 'PATCH', path: claim, query: { dryRun: 'All' }, body: storage('10Gi'), contentType: merge, ...forbidden },
  { name: 'shrink', method: 'PATCH', path: claim, body: storage('4Gi'), contentType: merge, ...invalid('spec.resources.requests.storage') },
  { name: 'change how a claim is used', method: 'PATCH', path: claim, body: { spec: { accessModes: ['ReadWriteMany'] } }, contentType: merge, ...invalid('spec') },
  { name: 'grow to what is no size', method: 'PATCH', path: claim, body: storage('10GB'), contentType: merge, ...invalid('patch') },
  { name: 'grow a claim without a volume', scenario: 'unbound-claim', method: 'PATCH', path: claim, body: storage('10Gi'), contentType: merge, ...invalid('spec') },
  { name: 'grow above the quota', scenario: 'quota', before: allow, method: 'PATCH', path: claim, body: storage('10Gi'), contentType: merge, ...forbidden },
  { name: 'select events by what they have not', method: 'GET', path: `${core}/events`, query: { fieldSelector: 'bogus=x' }, ...badRequest },
  { name: 'select by what is no label', method: 'GET', path: `${core}/pods`, query: { labelSelector: 'a===b' }, ...badRequest },
]
