/**
 * The part of the Kubernetes API that runbooks use: verbs, patches, selectors, deletion, of what resources.ts lists.
 * One request changes the world that it is given, and answers; who may keep that world decides elsewhere.
 */
import { finishOrphan, startLater } from './controllers.ts'
import { edited } from './patch.ts'
import { matches } from './quantity.ts'
import {
  alreadyExists, badOption, badRequest, conflict, forbidden, invalid, normalise, notFound, notPlayed, parse, Refusal, STALE, validate, validateChange,
  type Resource,
} from './refusals.ts'
import { locate, type Place } from './resources.ts'
import { change, create, iso, keyOf, list, same, type KubeObject, type World } from './world.ts'

export interface Request { method: string; path: string; query: URLSearchParams; body: string; contentType: string }
export interface Answer { code: number; body: unknown }

/** Deletion takes its options from the body, and with a body does not look at the query at all. */
const options = (request: Request): any => {
  if (request.method === 'DELETE' && request.body) return parse(request.body)
  const dryRun = request.query.getAll('dryRun')
  return { ...(dryRun.length ? { dryRun } : {}), propagationPolicy: request.query.get('propagationPolicy') ?? undefined }
}

const REVIEW = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'

/** Whether the request may change the world: not a read, a dry run, or a question about rights. */
export const mutates = (request: Request): boolean => {
  if (request.method === 'GET' || request.path === REVIEW) return false
  try {
    return !options(request).dryRun?.length
  } catch {
    return false
  }
}

export const answer = (world: World, request: Request): Answer => {
  try {
    return play(world, request)
  } catch (error) {
    if (error instanceof Refusal) return { code: error.code, body: error.body() }
    throw error
  }
}

const play = (world: World, request: Request): Answer => {
  const { method, path } = request
  if (path === '/version') return { code: 200, body: { major: '1', minor: '20+', gitVersion: 'v1.20.15-eks-84b4fe6', platform: 'linux/amd64' } }
  if (path === REVIEW && method === 'POST') return review(world, parse(request.body))
  const place = locate(path)
  if (!place || place.sub || request.query.has('watch') || !place.resource.verbs.includes(method)) throw notPlayed(request.method, path, 'kubernetes.ts')
  const { resource, namespace, name } = place
  if (world.rules.denied?.some((one) => one.verb === verbOf(method) && one.group === resource.group && one.resource === resource.plural)) {
    const group = resource.group ? ` in API group "${resource.group}"` : ' in API group ""'
    throw forbidden(resource, name ?? '', `User "operator" cannot ${verbOf(method)} resource "${resource.plural}"${group} `
      + (namespace ? `in the namespace "${namespace}"` : 'at the cluster scope'))
  }
  const { dryRun } = options(request)
  if (dryRun && (dryRun.length !== 1 || dryRun[0] !== 'All')) {
    const kind = { POST: 'CreateOptions', PUT: 'UpdateOptions', PATCH: 'PatchOptions', DELETE: 'DeleteOptions' }[method] ?? ''
    throw badOption(kind, 'dryRun', `Unsupported value: []string{${dryRun.map((one: string) => JSON.stringify(one))}}: supported values: "All"`)
  }
  if (method === 'POST') return add(world, place, parse(request.body), Boolean(dryRun))
  if (!name) return { code: 200, body: listed(world, place, request.query) }
  const object = world.objects[keyOf(resource.plural, name, namespace)]
  // Leases are the one kind here that PUT creates; a resourceVersion does not stop it.
  if (!object && method === 'PUT' && resource.plural === 'leases') {
    const body = parse(request.body)
    delete body.metadata.resourceVersion
    return add(world, place, body, Boolean(dryRun))
  }
  if (!object) throw notFound(resource, name)
  if (method === 'GET') return { code: 200, body: shown(world, object) }
  if (method === 'DELETE') return remove(world, place, object, options(request))
  return { code: 200, body: update(world, resource, object, edited(request, resource, object), method === 'PATCH') }
}

const verbOf = (method: string): string =>
  ({ GET: 'get', POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' })[method] ?? method

const review = (world: World, body: any): Answer => {
  const { verb, group = '', resource } = body.spec?.resourceAttributes ?? {}
  const allowed = !world.rules.denied?.some((one) => one.verb === verb && one.group === group && one.resource === resource)
  return { code: 201, body: { ...body, metadata: { creationTimestamp: null }, status: { allowed } } }
}

/** Velero looks at its location every minute, unless it is about to for a reason. */
const looked = (world: World, object: KubeObject): KubeObject =>
  object.status?.lastValidationTime && !world.due.some((one) => one.do === 'validate-location' && one.at > world.time)
    ? { ...object, status: { ...object.status, lastValidationTime: iso(world.time - 30_000) } } : object

/** An object as a reader sees it: a lease that somebody renews for ever is always fresh. */
const shown = (world: World, object: KubeObject): KubeObject => object.kind === 'BackupStorageLocation' ? looked(world, object) :
  object.kind === 'Lease' && world.rules.renewed && object.spec.holderIdentity === world.rules.renewed
    ? { ...object, spec: { ...object.spec, renewTime: iso(world.time - 9_000).replace('Z', '.000000Z') } }
    : object

const FIELDS = /^(metadata\.(name|namespace)|involvedObject\.(kind|name|namespace|uid|apiVersion|fieldPath)|reason|type|source)$/

const listed = (world: World, { resource, namespace }: Place, query: URLSearchParams): object => {
  const terms = (text: string | null) => (text ?? '').split(',').filter(Boolean).map((term) => {
    const [, name, operator, value] = /^([^=!]+?)\s*(==?|!=)\s*([^=]*)$/.exec(term) ?? []
    if (name === undefined) throw badRequest(`unable to parse requirement: ${term}`)
    return { name, equal: operator !== '!=', value: value ?? '' }
  })
  const labels = terms(query.get('labelSelector')), fields = terms(query.get('fieldSelector'))
  for (const { name } of fields) {
    const general = name.startsWith('metadata.')
    if (!FIELDS.test(name) || (!general && resource.plural !== 'events')) throw badRequest(`field label not supported: ${name}`)
  }
  const field = (object: any, name: string): string => String(name.split('.').reduce((value, part) => value?.[part], object) ?? '')
  const items = list(world, resource.plural, namespace).filter((object) =>
    labels.every(({ name, equal, value }) => matches({ [name]: value }, object.metadata.labels) === equal)
    && fields.every(({ name, equal, value }) => (field(object, name) === value) === equal))
  const builtIn = !resource.group.includes('velero')
  return {
    kind: `${resource.kind}List`, apiVersion: resource.group ? `${resource.group}/${resource.version}` : resource.version,
    metadata: { resourceVersion: String(world.revision) },
    // In a list of a built-in kind the items do not repeat it.
    items: items.map((object) => {
      const { apiVersion, kind, ...rest } = shown(world, object)
      return builtIn ? rest : { apiVersion, kind, ...rest }
    }),
  }
}

const add = (world: World, { resource, namespace, name: asked }: Place, object: KubeObject, dry: boolean): Answer => {
  if (object?.kind !== resource.kind) {
    throw badRequest(`${object?.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: unknown conversion`)
  }
  // The real suffix is random.
  const prefix = object.metadata?.generateName
  const name = object.metadata?.name ?? asked ?? (prefix && `${prefix}x${(world.born[prefix] = (world.born[prefix] ?? 0) + 1)}`)
  if (!name) throw invalid(resource, '', 'metadata.name', 'Required value: name or generateName is required')
  if (namespace && !world.objects[keyOf('namespaces', namespace)]) {
    throw new Refusal(404, 'NotFound', `namespaces "${namespace}" not found`, { name: namespace, kind: 'namespaces' })
  }
  if ((object.metadata.namespace ?? namespace) !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
  }
  if (object.metadata.resourceVersion) throw new Refusal(500, undefined, 'resourceVersion should not be set on objects to be created')
  normalise(resource, object, false)
  validate(resource, object)
  const there = world.objects[keyOf(resource.plural, name, namespace)]
  if (there) throw alreadyExists(resource, name, Boolean(there.metadata.deletionTimestamp))
  const { labels, annotations, ownerReferences, finalizers } = object.metadata
  const metadata = {
    name, ...(namespace ? { namespace } : {}), ...(resource.plural === 'statefulsets' ? { generation: 1 } : {}),
    ...only({ labels, annotations, ownerReferences, finalizers }),
  }
  const created = structuredClone(create(world, resource.plural, {
    ...object, metadata, ...(resource.plural === 'statefulsets' ? { status: { replicas: 0 } } : {}),
  }))
  if (dry) delete created.metadata.resourceVersion
  const held = world.objects[keyOf(resource.plural, name, namespace)]
  if (resource.plural === 'persistentvolumeclaims' && held) held['status'] = { phase: 'Pending' }
  if (resource.plural === 'pods' && held) {
    held['status'] = { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'True' }] }
    startLater(world, held)
  }
  return { code: 201, body: created }
}

const update = (world: World, resource: Resource, old: KubeObject, next: KubeObject, patched: boolean): KubeObject => {
  const { name, uid, resourceVersion } = old.metadata
  if (next.metadata.resourceVersion && next.metadata.resourceVersion !== resourceVersion) throw conflict(resource, name, STALE)
  if (next.metadata.uid && next.metadata.uid !== uid) {
    throw invalid(resource, name, 'metadata.uid', `Invalid value: ${JSON.stringify(next.metadata.uid)}: field is immutable`)
  }
  normalise(resource, next, patched)
  validate(resource, next)
  validateChange(world, resource, old, next)
  const { resourceVersion: _, ...given } = next.metadata
  const { creationTimestamp, generation } = old.metadata
  const whole: KubeObject = { ...next, metadata: { ...given, ...only({ uid, resourceVersion, creationTimestamp, generation }) }, ...only({ status: old.status }) }
  if (!same(whole, old)) {
    change(world, old, () => {
      if (generation !== undefined && !same(whole.spec, old.spec)) whole.metadata.generation = generation + 1
      for (const field of Object.keys(old)) delete old[field]
      Object.assign(old, whole)
    })
  }
  return structuredClone(old)
}

const only = <T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as any

const POLICIES = ['Foreground', 'Background', 'Orphan']

const remove = (world: World, { resource, name = '', namespace }: Place, object: KubeObject, options: any): Answer => {
  const policy = options.propagationPolicy ?? (options.orphanDependents ? 'Orphan' : 'Background')
  if (!POLICIES.includes(policy)) {
    throw badOption('DeleteOptions', 'propagationPolicy',
      `Unsupported value: ${JSON.stringify(policy)}: supported values: "Foreground", "Background", "Orphan", "nil"`)
  }
  const { uid, resourceVersion } = options.preconditions ?? {}
  if (uid && uid !== object.metadata.uid) {
    throw conflict(resource, name, `the UID in the precondition (${uid}) does not match the UID in record (${object.metadata.uid}). `
      + 'The object might have been deleted and then recreated', resource.kind)
  }
  if (resourceVersion && resourceVersion !== object.metadata.resourceVersion) {
    throw conflict(resource, name, `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record `
      + `(${object.metadata.resourceVersion}). The object might have been modified`, resource.kind)
  }
  if (policy === 'Orphan') {
    // The object stays until the garbage collector has let its dependents go.
    change(world, object, () => {
      Object.assign(object.metadata, { deletionTimestamp: object.metadata.deletionTimestamp ?? iso(world.time), deletionGracePeriodSeconds: 0, finalizers: ['orphan'] })
    })
    finishOrphan(world, resource.plural, object)
    return { code: 200, body: structuredClone(object) }
  }
  delete world.objects[keyOf(resource.plural, name, namespace)]
  world.revision += 1
  for (const [key, dependent] of Object.entries(world.objects)) {
    if (dependent.metadata.ownerReferences?.some((owner) => owner.uid === object.metadata.uid)) delete world.objects[key]
  }
  if (policy === 'Background') {
    const details = { name, ...(resource.group ? { group: resource.group } : {}), kind: resource.plural, uid: object.metadata.uid }
    return { code: 200, body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details } }
  }
  // The real server answers the object while its garbage collector is still at work; here that is done at once.
  return {
    code: 200,
    body: { ...object, metadata: { ...object.metadata, deletionTimestamp: iso(world.time), deletionGracePeriodSeconds: 0, finalizers: ['foregroundDeletion'] } },
  }
}
