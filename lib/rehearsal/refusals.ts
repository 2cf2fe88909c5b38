/**
 * What the API server refuses, in the words of version 1.20: validation, immutable fields, admission.
 * test/refusals.ts holds the same cases for a real server.
 */
import { bytes, canonical, isQuantity, matches } from './quantity.ts'
import { keyOf, same, type KubeObject, type World } from './world.ts'

/** An answer that is a Status with a reason; thrown where it is found. */
export class Refusal extends Error {
  readonly code: number
  readonly reason: string | undefined
  readonly details: object | undefined
  constructor(code: number, reason: string | undefined, message: string, details?: object) {
    super(message)
    this.code = code
    this.reason = reason
    this.details = details
  }
  body(): object {
    const { code, reason, message, details } = this
    return {
      kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message,
      ...(reason ? { reason } : {}), ...(details ? { details } : {}), code,
    }
  }
}

export interface Resource { plural: string; group: string; version: string; kind: string; namespaced: boolean; verbs: string }

const named = (resource: Resource, kind: string): string => (resource.group ? `${kind}.${resource.group}` : kind)
const details = (resource: Resource, name: string, kind: string, more: object = {}): object =>
  ({ name, ...(resource.group ? { group: resource.group } : {}), kind, ...more })

export const notFound = (resource: Resource, name: string): Refusal =>
  new Refusal(404, 'NotFound', `${named(resource, resource.plural)} "${name}" not found`, details(resource, name, resource.plural))

export const alreadyExists = (resource: Resource, name: string, going: boolean): Refusal =>
  new Refusal(409, 'AlreadyExists', `${going ? 'object is being deleted: ' : ''}${named(resource, resource.plural)} "${name}" already exists`, details(resource, name, resource.plural))

export const forbidden = (resource: Resource, name: string, why: string): Refusal =>
  new Refusal(403, 'Forbidden', `${named(resource, resource.plural)} "${name}" is forbidden: ${why}`, details(resource, name, resource.plural))

export const badRequest = (message: string): Refusal => new Refusal(400, 'BadRequest', message)

export const conflict = (resource: Resource, name: string, why: string, kind = resource.plural): Refusal =>
  new Refusal(409, 'Conflict', `Operation cannot be fulfilled on ${named(resource, kind)} "${name}": ${why}`, details(resource, name, kind))

export const STALE = 'the object has been modified; please apply your changes to the latest version and try again'

export const invalid = (resource: Resource, name: string, field: string, message: string, kind = resource.kind): Refusal => {
  const reason = message.startsWith('Forbidden') ? 'FieldValueForbidden' : message.startsWith('Required') ? 'FieldValueRequired' : 'FieldValueInvalid'
  return new Refusal(422, 'Invalid', `${named(resource, kind)} "${name}" is invalid: ${field}: ${message}`,
    details(resource, name, kind, { causes: [{ reason, message, field }] }))
}

/** Words of `DeleteOptions`, `CreateOptions` and their kind, which have no name. */
export const badOption = (kind: string, field: string, message: string): Refusal =>
  new Refusal(422, 'Invalid', `${kind}.meta.k8s.io "" is invalid: ${field}: ${message}`,
    { group: 'meta.k8s.io', kind, causes: [{ reason: 'FieldValueNotSupported', message, field }] })

export const notPlayed = (method: string, path: string, file: string): Refusal =>
  new Refusal(501, undefined, `rehearsal: ${method} ${path} is not played; extend lib/rehearsal/${file}`)

export const parse = (body: string): any => {
  try {
    return JSON.parse(body)
  } catch {
    throw badRequest('the object provided is unrecognized (must be of type Object)')
  }
}

/** Brings an object into the form in which the server stores it; refuses what it cannot read. */
export const normalise = (resource: Resource, object: KubeObject, patched: boolean): void => {
  const sizes: Record<string, unknown>[] = []
  if (resource.plural === 'persistentvolumeclaims') sizes.push(object.spec?.resources?.requests)
  if (resource.plural === 'statefulsets') {
    for (const template of object.spec?.volumeClaimTemplates ?? []) sizes.push(template.spec?.resources?.requests)
  }
  if (resource.plural === 'resourcequotas') sizes.push(object.spec?.hard)
  for (const requests of sizes.filter(Boolean)) {
    for (const [name, value] of Object.entries(requests)) {
      if (!isQuantity(value)) {
        const why = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        if (patched) throw new Refusal(422, 'Invalid', ` "" is invalid: patch: Invalid value: ${JSON.stringify(value)}: ${why}`,
          { causes: [{ reason: 'FieldValueInvalid', message: `Invalid value: ${JSON.stringify(value)}: ${why}`, field: 'patch' }] })
        throw badRequest(`${resource.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: ${why}`)
      }
      requests[name] = canonical(value)
    }
  }
  if (resource.plural === 'leases') {
    for (const field of ['renewTime', 'acquireTime']) {
      const time = object.spec?.[field]
      if (time && !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/.test(time)) {
        throw badRequest(`Lease in version "v1" cannot be handled as a Lease: parsing time "${time}" as "2006-01-02T15:04:05.000000Z07:00"`)
      }
    }
  }
  if (resource.plural === 'secrets') {
    for (const [key, text] of Object.entries(object.stringData ?? {})) {
      object.data = { ...object.data, [key]: Buffer.from(String(text)).toString('base64') }
    }
    delete object.stringData
    object.type ??= 'Opaque'
    for (const value of Object.values(object.data ?? {})) {
      if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(String(value))) {
        throw badRequest('Secret in version "v1" cannot be handled as a Secret: v1.Secret.Data: decode base64: illegal base64 data')
      }
    }
  }
}

/** What holds for new and changed objects alike. */
export const validate = (resource: Resource, object: KubeObject): void => {
  const { name } = object.metadata
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name)) {
    throw invalid(resource, name, 'metadata.name', `Invalid value: ${JSON.stringify(name)}: a DNS-1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'`)
  }
  if (resource.plural === 'leases' && object.spec?.leaseDurationSeconds !== undefined && object.spec.leaseDurationSeconds <= 0) {
    throw invalid(resource, name, 'spec.leaseDurationSeconds', `Invalid value: ${object.spec.leaseDurationSeconds}: must be greater than 0`)
  }
  if (resource.plural === 'statefulsets' && !object.spec?.selector) throw invalid(resource, name, 'spec.selector', 'Required value')
  if (resource.plural === 'statefulsets' && !matches(object.spec.selector.matchLabels, object.spec.template?.metadata?.labels)) {
    throw invalid(resource, name, 'spec.template.metadata.labels', 'Invalid value: `selector` does not match template `labels`')
  }
}

const CLASS_FIXED: Record<string, string> = {
  provisioner: 'Forbidden: updates to provisioner are forbidden.',
  parameters: 'Forbidden: updates to parameters are forbidden.',
  reclaimPolicy: 'Forbidden: updates to reclaimPolicy are forbidden.',
}

/** What a change may not do, given the object as it is. */
export const validateChange = (world: World, resource: Resource, old: KubeObject, next: KubeObject): void => {
  const { name } = old.metadata
  if (resource.plural === 'statefulsets') {
    const fixed = (spec: object) => ({ ...spec, replicas: 0, template: 0, updateStrategy: 0 })
    if (!same(fixed(old.spec), fixed(next.spec))) {
      throw invalid(resource, name, 'spec',
        "Forbidden: updates to statefulset spec for fields other than 'replicas', 'template', and 'updateStrategy' are forbidden")
    }
  }
  if (resource.plural === 'storageclasses') {
    for (const [field, message] of Object.entries(CLASS_FIXED)) if (!same(old[field], next[field])) throw invalid(resource, name, field, message)
  }
  if (resource.plural === 'secrets' && old.type !== next.type) {
    throw invalid(resource, name, 'type', `Invalid value: ${JSON.stringify(next.type)}: field is immutable`)
  }
  if (resource.plural === 'persistentvolumeclaims') changeClaim(world, resource, old, next)
}

const changeClaim = (world: World, resource: Resource, old: KubeObject, next: KubeObject): void => {
  const { name, namespace } = old.metadata
  const size = (claim: KubeObject) => bytes(claim.spec.resources.requests.storage)
  const rest = (claim: KubeObject) => ({ ...claim.spec, resources: { ...claim.spec.resources, requests: {} } })
  const grows = size(next) !== size(old)
  if (!same(rest(old), rest(next)) || (grows && old.status?.phase !== 'Bound')) {
    throw invalid(resource, name, 'spec', 'Forbidden: spec is immutable after creation except resources.requests for bound claims')
  }
  if (size(next) < size(old)) throw invalid(resource, name, 'spec.resources.requests.storage', 'Forbidden: field can not be less than previous value')
  if (!grows) return
  if (!world.objects[keyOf('storageclasses', old.spec.storageClassName)]?.allowVolumeExpansion) {
    throw forbidden(resource, name, 'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize')
  }
  for (const quota of Object.values(world.objects)) {
    if (quota.kind !== 'ResourceQuota' || quota.metadata.namespace !== namespace) continue
    const limit = quota.spec.hard['requests.storage'], usedNow = quota.status?.used?.['requests.storage']
    const more = size(next) - size(old)
    if (limit === undefined || bytes(usedNow) + more <= bytes(limit)) continue
    throw forbidden(resource, name,
      `exceeded quota: ${quota.metadata.name}, requested: requests.storage=${canonical(`${more / 2 ** 20}Mi`)}, used: requests.storage=${usedNow}, limited: requests.storage=${limit}`)
  }
}
