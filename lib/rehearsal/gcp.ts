/**
 * The part of Google Cloud that runbooks use, through `gcloud`: a project, buckets, accounts with their keys, roles and
 * policies. Flags, answers and refusals as gcloud 528 gave them.
 */
import { readFileSync } from 'node:fs'
import { googleZones } from './certbot.ts'
import { COMPUTE, COMPUTE_FLAGS } from './compute.ts'
import { GKE, GKE_FLAGS, type GkeAsked } from './gke.ts'
import { secret } from './secret.ts'
import type { Call, Output, Tool } from './tool.ts'
import { digest, iso, type World } from './world.ts'

interface Binding { role: string; members: string[] }
export interface GcpWorld {
  project: string
  number: string
  buckets: Record<string, { number: string; location: string; closed: boolean; top: string[]; bindings: Binding[]; texts?: Record<string, string> }>
  /** The organisation lets nobody make keys. */
  noKeys?: boolean
  accounts: Record<string, { description: string; bindings: Binding[]; keys: { id: string; created: string; used?: string }[] }>
  roles: Record<string, { permissions: string[]; deleted?: boolean }>
  bindings: Binding[]
}

export const gcpWorld = (): GcpWorld => ({
  project: 'my-project', number: '471100000042', accounts: {}, roles: {},
  buckets: { backups: { number: '999900000001', location: 'EU', closed: false, top: [], bindings: [] } },
  bindings: [{ role: 'roles/owner', members: ['user:operator@example.com'] }],
})

const FLAGS: Record<string, string[]> = {
  'storage ls': ['json'], 'storage cp': [], 'storage cat': [], 'storage rm': [],
  'storage buckets describe': ['raw'], 'storage buckets create': ['location', 'uniform-bucket-level-access', 'public-access-prevention'],
  'storage buckets update': ['uniform-bucket-level-access', 'public-access-prevention'], 'iam service-accounts create': ['display-name', 'description'],
  'iam service-accounts keys list': ['iam-account', 'managed-by'], 'iam service-accounts keys create': ['iam-account'], 'iam service-accounts keys delete': ['iam-account'],
  'iam roles create': ['title', 'permissions'], 'iam roles update': ['permissions'],
  'projects add-iam-policy-binding': ['member', 'role', 'condition'], 'storage buckets add-iam-policy-binding': ['member', 'role', 'condition'],
  ...GKE_FLAGS,
  ...COMPUTE_FLAGS,
  'iam service-accounts add-iam-policy-binding': ['member', 'role', 'condition'], 'policy-intelligence query-activity': ['activity-type', 'query-filter'],
}

const commandOf = (argv: string[]): string => {
  const plain = argv.filter((word) => !word.startsWith('-'))
  return [4, 3, 2, 1].map((length) => plain.slice(0, length).join(' ')).find((one) => PLAYED[one]) ?? plain.slice(0, 3).join(' ')
}
const gcloudName = ({ argv }: Call): string => `gcloud ${commandOf(argv)}`
const gcloudMutates = ({ argv }: Call): boolean => /(create|update|delete|undelete|add-iam-policy-binding|storage cp|storage rm|services enable|get-credentials)$/.test(commandOf(argv))

/** gcloud in the world, which it may change. */
const playGcloud = (world: World, { argv, stdin, env, url = '' }: Call): Output => {
  if (argv[0] === '--version') return { stdout: 'Google Cloud SDK 528.0.0\n', stderr: '', code: 0 }
  const command = commandOf(argv)
  const refuse = (text: string): Output => ({ stdout: '', stderr: `ERROR: (gcloud.${command.replaceAll(' ', '.')}) ${text}\n`, code: 1 })
  const flag = Object.fromEntries(argv.filter((word) => word.startsWith('--')).map((word) => { const [name, ...value] = word.slice(2).split('='); return [name, value.join('=')] })) as Record<string, string>
  const unknown = Object.keys(flag).find((name) => !['project', 'format', 'quiet', ...(FLAGS[command] ?? [])].includes(name))
  if (unknown) return { ...refuse(`unrecognized arguments: --${unknown}`), code: 2 }
  if (command === 'storage ls' && 'format' in flag) return refuse('The only valid format value for ls and du is "gsutil" (e.g. "--format=gsutil"). See other flags and commands for additional formatting options.')
  const gcp = (world.gcp ??= gcpWorld())
  const key = env?.['CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE']
  const rest = argv.filter((word) => word === '-' || !word.startsWith('-')).slice(command.split(' ').length)
  if (!key && flag['project'] !== undefined && flag['project'] !== gcp.project) return refuse(`[operator@example.com] does not have permission to access projects instance [${flag['project']}] (or it may not exist): The caller does not have permission`)
  try {
    const answer = PLAYED[command]?.({ world, gcp, stdin, url, refuse: (text) => new Refused(text), as: key === undefined ? undefined : accountBy(gcp, readFileSync(key, 'utf8')), on: (rest.find((word) => word !== '-') ?? '').replace(/^gs:\/\//, '').replace(/\/$/, ''), flag })
    if (answer === undefined) return refuse('rehearsal: this is not played; extend lib/rehearsal/gcp.ts')
    return { stdout: typeof answer === 'string' ? answer : flag['format'] === 'json' || 'json' in flag ? `${JSON.stringify(answer, null, 2)}\n` : '', stderr: '', code: 0 }
  } catch (error) {
    if (error instanceof Refused) return refuse(error.message)
    throw error
  }
}

class Refused extends Error {}
const absent = (what: string) => new Refused(`NOT_FOUND: ${what}`)

/** `as` is the account of a key that asks in place of the operator. */
interface Asked extends GkeAsked { gcp: GcpWorld; stdin: string; as: string | undefined }
type Play = (asked: Asked) => object | string

const bucketOf = ({ gcp, on }: Asked) => {
  const bucket = gcp.buckets[on]
  if (!bucket) throw new Refused(`gs://${on} not found: 404.`)
  if (bucket.number !== gcp.number) throw new Refused(`[operator@example.com] does not have permission to access b instance [${on}] (or it may not exist): operator@example.com does not have storage.buckets.get access to the Google Cloud Storage bucket.`)
  return bucket
}
/** Whose key it is. */
const accountBy = (gcp: GcpWorld, text: string): string => {
  const { client_email: email, private_key_id: id } = JSON.parse(text) as { client_email: string; private_key_id: string }
  if (!gcp.accounts[email]?.keys.some((key) => key.id === id)) throw new Refused(`There was a problem refreshing auth tokens for account ${email}: ('invalid_grant: Invalid JWT Signature.')`)
  return email
}

/** The texts of a bucket, for an account that may use it. */
const textsOf = (asked: Asked): { bucket: GcpWorld['buckets'][string]; key: string } => {
  const [name = '', key = ''] = asked.on.split('/')
  const bucket = bucketOf({ ...asked, on: name })
  if (asked.as && !has(bucket.bindings, 'roles/storage.objectAdmin', `serviceAccount:${asked.as}`)) throw new Refused(`[${asked.as}] does not have permission to access b instance [${name}] (or it may not exist): ${asked.as} does not have storage.objects.get access to the Google Cloud Storage object.`)
  return { bucket, key }
}
const noObject = (on: string) => new Refused(`The following URLs matched no objects or files:\n-gs://${on}`)

const accountOf = ({ gcp }: Asked, email: string) => {
  const account = gcp.accounts[email]
  if (!account) throw absent('Unknown service account.')
  return account
}
const roleOf = ({ gcp, on }: Asked) => {
  const role = gcp.roles[on]
  if (!role) throw absent(`The role named projects/${gcp.project}/roles/${on} was not found.`)
  return role
}
const bind = (bindings: Binding[], { gcp, flag }: Asked): object => {
  const { role = '', member = '' } = flag
  const [, email] = /^serviceAccount:(.+@.+)$/.exec(member) ?? []
  if (email && !gcp.accounts[email]) throw new Refused(`INVALID_ARGUMENT: Service account ${email} does not exist.`)
  const there = bindings.find((one) => one.role === role)
  if (there) there.members = [...new Set([...there.members, member])]
  else bindings.push({ role, members: [member] })
  return { bindings }
}
const closed = (flag: Record<string, string>) => 'uniform-bucket-level-access' in flag && 'public-access-prevention' in flag

const PLAYED: Record<string, Play> = {
  ...GKE,
  ...COMPUTE,
  'config list': ({ gcp }) => ({ core: { account: 'operator@example.com', project: gcp.project } }),
  'projects describe': ({ gcp }) => ({ projectId: gcp.project, projectNumber: gcp.number, lifecycleState: 'ACTIVE' }),
  'projects get-iam-policy': ({ gcp }) => ({ bindings: gcp.bindings, version: 1 }),
  'projects add-iam-policy-binding': (asked) => bind(asked.gcp.bindings, asked),
  'dns managed-zones list': ({ world }) => googleZones(world),
  'storage ls': (asked) => bucketOf(asked).top.map((name) => ({ url: `gs://${asked.on}/${name}`, type: 'prefix' })),
  'storage cat': (asked) => {
    const { bucket, key } = textsOf(asked)
    const text = bucket.texts?.[key]
    if (text === undefined) throw noObject(asked.on)
    return text
  },
  'storage cp': (asked) => {
    const { bucket, key } = textsOf(asked)
    bucket.texts = { ...bucket.texts, [key]: asked.stdin }
    bucket.top = [...new Set([...bucket.top, key])]
    return {}
  },
  'storage rm': (asked) => {
    const { bucket, key } = textsOf(asked)
    if (bucket.texts?.[key] === undefined) throw noObject(asked.on)
    delete bucket.texts[key]
    bucket.top = bucket.top.filter((name) => name !== key)
    return {}
  },
  'storage buckets describe': (asked) => {
    const { location, closed: shut, number } = bucketOf(asked)
    return { name: asked.on, location, projectNumber: number, iamConfiguration: { publicAccessPrevention: shut ? 'enforced' : 'inherited', uniformBucketLevelAccess: { enabled: shut } } }
  },
  'storage buckets create': ({ gcp, on, flag }) => {
    if (gcp.buckets[on]) throw new Refused('HTTPError 409: Your previous request to create the named bucket succeeded and you already own it.')
    gcp.buckets[on] = { number: gcp.number, location: (flag['location'] ?? 'US').toUpperCase(), closed: closed(flag), top: [], bindings: [] }
    return {}
  },
  'storage buckets update': (asked) => Object.assign(bucketOf(asked), { closed: closed(asked.flag) }) && {},
  'storage buckets get-iam-policy': (asked) => ({ bindings: bucketOf(asked).bindings }),
  'storage buckets add-iam-policy-binding': (asked) => bind(bucketOf(asked).bindings, asked),
  'iam service-accounts describe': (asked) => ({ email: asked.on, description: accountOf(asked, asked.on).description, disabled: false }),
  'iam service-accounts create': ({ gcp, on, flag }) => {
    const email = `${on}@${gcp.project}.iam.gserviceaccount.com`
    if (gcp.accounts[email]) throw new Refused(`Resource in projects [${gcp.project}] is the subject of a conflict: Service account ${on} already exists within project projects/${gcp.project}.`)
    gcp.accounts[email] = { description: flag['description'] ?? '', bindings: [], keys: [] }
    return { email }
  },
  'iam service-accounts get-iam-policy': (asked) => ({ bindings: accountOf(asked, asked.on).bindings }),
  'iam service-accounts add-iam-policy-binding': (asked) => bind(accountOf(asked, asked.on).bindings, asked),
  'iam service-accounts keys list': (asked) => accountOf(asked, asked.flag['iam-account'] ?? '').keys.map(({ id, created }) =>
    ({ name: `projects/${asked.gcp.project}/serviceAccounts/${asked.flag['iam-account']}/keys/${id}`, keyType: 'USER_MANAGED', validAfterTime: created })),
  'iam service-accounts keys create': (asked) => {
    const email = asked.flag['iam-account'] ?? '', { keys } = accountOf(asked, email)
    if (asked.gcp.noKeys) throw new Refused('FAILED_PRECONDITION: Key creation is not allowed on this service account.')
    if (keys.length >= 10) throw new Refused('FAILED_PRECONDITION: Precondition check failed.')
    // The first free one, as if none had been made and lost.
    const id = [...Array(10).keys()].map((n) => digest(`key ${n} of ${email}`).slice(0, 40)).find((one) => keys.every((key) => key.id !== one)) as string
    keys.push({ id, created: iso(asked.world.time) })
    const text = `${JSON.stringify({ type: 'service_account', project_id: asked.gcp.project, private_key_id: id, private_key: `-----BEGIN PRIVATE KEY-----\n${googleSecret(id)}\n-----END PRIVATE KEY-----\n`, client_email: email }, null, 2)}\n`
    asked.world.secrets.push(googleSecret(id), Buffer.from(text).toString('base64'))
    return text
  },
  'iam service-accounts keys delete': (asked) => {
    const account = accountOf(asked, asked.flag['iam-account'] ?? '')
    if (!account.keys.some(({ id }) => id === asked.on)) throw absent(`Service account key ${asked.on} does not exist.`)
    account.keys = account.keys.filter(({ id }) => id !== asked.on)
    return {}
  },
  'policy-intelligence query-activity': ({ gcp, flag }) => {
    const id = /keys\/(\w+)"/.exec(flag['query-filter'] ?? '')?.[1]
    const used = Object.values(gcp.accounts).flatMap(({ keys }) => keys).find((key) => key.id === id)?.used
    return used ? [{ activity: { lastAuthenticatedTime: used } }] : []
  },
  'iam roles describe': (asked) => {
    const { permissions, deleted } = roleOf(asked)
    return { name: `projects/${asked.gcp.project}/roles/${asked.on}`, includedPermissions: permissions, ...(deleted ? { deleted } : {}) }
  },
  'iam roles create': ({ gcp, on, flag }) => {
    if (gcp.roles[on]) throw new Refused(`Resource in projects [${gcp.project}] is the subject of a conflict: A role named ${on} in projects/${gcp.project} already exists.`)
    gcp.roles[on] = { permissions: (flag['permissions'] ?? '').split(',') }
    return {}
  },
  'iam roles update': (asked) => Object.assign(roleOf(asked), { permissions: (asked.flag['permissions'] ?? '').split(',') }) && {},
  'iam roles undelete': (asked) => {
    delete roleOf(asked).deleted
    return {}
  },
}

const googleSecret = (id: string): string => secret(`private key ${id}`, 40)

const has = (bindings: Binding[], role: string, member: string) => bindings.some((one) => one.role === role && one.members.includes(member))

/** What Velero's look at its location finds: which account it is, and whether that may use the bucket. */
export const gcpTrouble = (world: World, bucket: string, credentials: string, annotation: string | undefined): string | undefined => {
  const gcp = (world.gcp ??= gcpWorld())
  const key = credentials ? JSON.parse(credentials) as { client_email: string; private_key_id: string } : undefined
  const email = key?.client_email ?? annotation ?? ''
  const account = gcp.accounts[email]
  if (key && !account?.keys.some(({ id }) => id === key.private_key_id)) return 'oauth2: "invalid_grant" "Invalid JWT Signature."'
  if (!key && !has(account?.bindings ?? [], 'roles/iam.workloadIdentityUser', `serviceAccount:${gcp.project}.svc.id.goog[velero/velero]`)) return 'compute: Received 403 `Unable to generate access token; IAM returned 403 Forbidden`'
  const found = gcp.buckets[bucket]
  if (!found) return 'storage: bucket doesn\'t exist'
  return has(found.bindings, 'roles/storage.objectAdmin', `serviceAccount:${email}`) ? undefined : `googleapi: Error 403: ${email} does not have storage.objects.list access to the Google Cloud Storage bucket., forbidden`
}

/** What Google says where an account is asked to sign; undefined where it does. */
const signTrouble = (world: World, email: string): string | undefined => {
  const gcp = (world.gcp ??= gcpWorld())
  const member = `serviceAccount:${email}`
  const role = gcp.bindings.find((one) => one.members.includes(member))?.role.split('/').at(-1) ?? ''
  return gcp.roles[role]?.permissions.includes('iam.serviceAccounts.signBlob') ? undefined : "7 PERMISSION_DENIED: Permission 'iam.serviceAccounts.signBlob' denied on resource (or it may not exist)."
}

export const gcloud: Tool = { name: gcloudName, mutates: gcloudMutates, play: playGcloud }

/** Google's credentials service, which takes the way of the tools. */
export const iamcredentials: Tool = {
  name: ({ argv }) => `iamcredentials ${argv[0] ?? ''}`,
  mutates: () => false,
  play: (world, { argv }) => {
    const trouble = signTrouble(world, argv[1] ?? '')
    return { stdout: '', stderr: trouble ?? '', code: trouble ? 1 : 0 }
  },
}
