/**
 * The two ways to change an object: to put it whole, with its version, or to patch it.
 */
import type { Request } from './kubernetes.ts'
import { badRequest, conflict, invalid, notPlayed, parse, Refusal, type Resource } from './refusals.ts'
import type { KubeObject } from './world.ts'

/** The object as the request wants it: a PUT gives it whole, a PATCH what changes. */
export const edited = (request: Request, resource: Resource, object: KubeObject): KubeObject => {
  if (request.method === 'PUT') {
    const body = parse(request.body) as KubeObject
    if (body.metadata?.name !== object.metadata.name) {
      throw badRequest(`the name of the object (${body.metadata?.name}) does not match the name on the URL (${object.metadata.name})`)
    }
    if (!body.metadata.resourceVersion && resource.plural === 'leases') {
      throw invalid(resource, object.metadata.name, 'metadata.resourceVersion', 'Invalid value: 0x0: must be specified for an update', resource.plural)
    }
    if (body.metadata.uid && body.metadata.uid !== object.metadata.uid) {
      throw conflict(resource, object.metadata.name, `Precondition failed: UID in precondition: ${body.metadata.uid}, UID in object meta: ${object.metadata.uid}`)
    }
    return body
  }
  const type = request.contentType.split(';')[0]
  if (type !== 'application/merge-patch+json' && type !== 'application/strategic-merge-patch+json') {
    if (/json-patch|apply-patch/.test(type ?? '')) throw notPlayed('PATCH', request.path, 'patch.ts')
    throw new Refusal(415, 'UnsupportedMediaType', '415: Unsupported Media Type', {})
  }
  return merge(structuredClone(object), parsePatch(request.body), type.includes('strategic'))
}

/** A merge patch; the strategic one also merges lists of named things by their name. */
const merge = (target: any, patch: any, strategic: boolean): any => {
  if (Array.isArray(patch)) {
    if (!strategic || !Array.isArray(target) || !patch.every((one) => one?.name)) return patch
    const named = new Map(target.map((one) => [one.name, one]))
    for (const one of patch) named.set(one.name, merge(named.get(one.name) ?? {}, one, strategic))
    return [...named.values()]
  }
  if (patch === null || typeof patch !== 'object') return patch
  const result = target && typeof target === 'object' && !Array.isArray(target) ? target : {}
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name]
    else result[name] = merge(result[name], value, strategic)
  }
  return result
}

const parsePatch = (body: string): any => {
  try {
    return JSON.parse(body)
  } catch {
    throw new Refusal(500, undefined, 'Invalid JSON Patch')
  }
}
