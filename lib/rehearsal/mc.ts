/**
 * An S3-compatible store and MinIO's `mc`, as far as runbooks use them. Answers and refusals as mc of 2025 and its
 * server gave them; the verbs before spring 2023 as their sources show them.
 */
import { secret } from './secret.ts'
import type { Call, Output, Tool } from './tool.ts'
import type { World } from './world.ts'

export interface StoreWorld {
  /** The region that the server was given; without one it takes any. */
  region: string
  users: Record<string, { secret: string; policies: string[] }>
  policies: Record<string, object>
  /** What lies at the top of each bucket. */
  buckets: Record<string, string[]>
  /** The text of objects, by bucket and key. */
  texts?: Record<string, string>
  /** mc of before spring 2023. */
  oldVerbs?: boolean
}

const ADMIN = secret('administrator of the store', 20)
export const STORE = { alias: 'my-provider', url: 'https://minio.example.com:9000' }

/** The secret that a runbook makes in a rehearsal. */
export const madeSecret = (digits: number): string => Buffer.from(secret('made here', 40)).toString('hex').slice(0, digits)
export const storeSecrets = [ADMIN, madeSecret(40), Buffer.from(madeSecret(40)).toString('base64')]

export const storeWorld = (): StoreWorld => ({ region: '', users: {}, policies: {}, buckets: { builds: ['artifacts/'] } })

const MUTATES = /^(mb |pipe |rm |admin user add |admin policy (create|add|attach|set|detach) )/
/** A call of mc by the words that tell what it does. */
const mcName = ({ argv }: Call): string => `mc ${argv.slice(0, argv[0] === 'admin' ? 3 : argv[0] === 'alias' ? 2 : 1).join(' ')}`
const mcMutates = ({ argv }: Call): boolean => MUTATES.test(`${argv.join(' ')} `) && !argv.includes('--help')

const success = (...said: object[]): Output => ({ stdout: said.map((one) => `${JSON.stringify({ status: 'success', ...one })}\n`).join(''), stderr: '', code: 0 })
const printed = (text: string): Output => ({ stdout: `${text}\n`, stderr: '', code: 0 })

/** A failure, as `--json` shows it and as people read it. */
const failed = (json: boolean, message: string, cause: string, Code?: string): Output => json
  ? { stdout: `${JSON.stringify({ status: 'error', error: { message, cause: { message: cause, error: Code ? { Code, Message: cause } : {} }, type: 'error' } })}\n`, stderr: '', code: 1 }
  : { stdout: '', stderr: `mc: <ERROR> ${message} ${cause}\n`, code: 1 }

const SIGNATURE = 'The request signature we calculated does not match the signature you provided. Check your key and signing method.'
const NO_KEY = 'The Access Key Id you provided does not exist in our records.'

/** Who asks, by the alias; a sentence with its code where the store does not take it. */
const askedBy = (store: StoreWorld, alias: string, env: Record<string, string>): { admin: true } | { user: string } | [string, string?] => {
  const [, id, key] = /^https?:\/\/([^:]+):(.+)@/.exec(env[`MC_HOST_${alias}`] ?? '') ?? []
  if (alias === STORE.alias && !id) return { admin: true }
  if (!id) return [`Use \`mc alias set mycloud ${alias} ...\` to add an alias. Use the alias for S3 operations.`]
  const user = store.users[id]
  return !user ? [NO_KEY, 'InvalidAccessKeyId'] : user.secret === key ? { user: id } : [SIGNATURE, 'SignatureDoesNotMatch']
}

/** Whether the policies of a user name this bucket. */
const allows = (store: StoreWorld, user: string, bucket: string): boolean =>
  store.users[user]?.policies.some((name) => JSON.stringify(store.policies[name] ?? '').includes(`arn:aws:s3:::${bucket}"`)) ?? false

const FLAGS: Record<string, string[]> = { mb: ['--ignore-existing'], 'admin policy attach': ['--user'], 'admin policy detach': ['--user'] }

/** mc in the world, which it may change. */
const playMc = (world: World, { argv, stdin, env = {} }: Call): Output => {
  const store = (world.store ??= storeWorld())
  if (argv.join(' ') === '--version') return printed('mc version RELEASE.2025-08-13T08-35-41Z (commit-id=7394ce0dd2a80935aded936b09fa12cbb3cb8096)\nRuntime: go1.24.6 linux/amd64')
  const json = argv.includes('--json')
  const words = argv.filter((word) => word !== '--json')
  const command = words.slice(0, words[0] === 'admin' ? 3 : words[0] === 'alias' ? 2 : 1).join(' ')
  if (words.join(' ') === 'admin policy --help') {
    return printed(`COMMANDS:\n${(store.oldVerbs ? ['add', 'remove', 'list', 'info', 'set', 'unset', 'update'] : ['create', 'remove, rm', 'list, ls', 'info', 'attach', 'detach', 'entities']).map((verb) => `  ${verb}  …`).join('\n')}`)
  }
  const unknown = words.find((word) => word.startsWith('-') && !FLAGS[command]?.includes(word))
  if (unknown) return { stdout: '', stderr: `flag provided but not defined: ${unknown.replace(/^--/, '-')}\n`, code: 1 }
  const rest = words.slice(command.split(' ').length).filter((word) => word !== '--ignore-existing')
  const [alias = '', bucket = '', key = ''] = (rest[0] ?? '').split('/')
  const who = askedBy(store, alias, env)
  if (Array.isArray(who) && !who[1] && command !== 'alias list') return failed(json, 'Unable to list folder.', `Requested path \`/root/${alias}\` not found`)
  if (Array.isArray(who)) return failed(json, who[1] ? 'Unable to list folder.' : `No such alias \`${alias}\` found.`, ...(who as [string, string?]))
  if ('user' in who && (!['ls', 'pipe', 'cat', 'rm'].includes(command) || !allows(store, who.user, bucket))) return failed(json, 'Unable to list folder.', 'Access Denied.', 'AccessDenied')
  const play = (store.oldVerbs ? { ...COMMON, ...BEFORE_2023 } : { ...COMMON, ...SINCE_2023 })[command]
  return play ? play({ world, store, json, rest, alias, bucket, key, stdin }) : failed(json, `rehearsal: mc ${command} is not played;`, 'extend lib/rehearsal/mc.ts')
}

interface Asked { world: World; store: StoreWorld; json: boolean; rest: string[]; alias: string; bucket: string; key: string; stdin: string }
type Play = (asked: Asked) => Output

const put: Play = ({ store, rest: [, name = ''], stdin }) => {
  try {
    store.policies[name] = JSON.parse(stdin) as object
  } catch {
    return failed(false, 'Unable to create new policy.', 'policy has invalid JSON')
  }
  return printed(`Created policy \`${name}\` successfully.`)
}

const NO_USER = ['The specified user does not exist. (Specified user does not exist)', 'XMinioAdminNoSuchUser'] as const

const COMMON: Record<string, Play> = {
  'alias list': ({ alias }) => success({ alias, URL: STORE.url, accessKey: 'admin', secretKey: ADMIN, api: 'S3v4', src: '/root/.mc/config.json' }),
  ls: ({ store, bucket, json }) => {
    const there = bucket ? store.buckets[bucket] : Object.keys(store.buckets).map((name) => `${name}/`)
    return there ? success(...there.map((key) => ({ type: key.endsWith('/') ? 'folder' : 'file', key })))
      : failed(json, 'Unable to list folder.', `Bucket \`${bucket}\` does not exist.`)
  },
  stat: ({ store, bucket, json }) => (store.buckets[bucket] ? success({ name: `${bucket}/`, location: store.region || 'us-east-1' }) : failed(json, `Unable to stat \`${bucket}\`.`, 'Object does not exist')),
  mb: ({ store, bucket, alias }) => {
    store.buckets[bucket] ??= []
    return printed(`Bucket created successfully \`${alias}/${bucket}\`.`)
  },
  cat: ({ store, bucket, key, json, rest }) => {
    const text = store.texts?.[`${bucket}/${key}`]
    return text === undefined ? failed(json, `Unable to read from \`${rest[0]}\`.`, store.buckets[bucket] ? 'Object does not exist' : `Bucket \`${bucket}\` does not exist.`) : { stdout: text, stderr: '', code: 0 }
  },
  pipe: ({ store, bucket, key, stdin, rest, json }) => {
    const top = store.buckets[bucket]
    if (!top) return failed(json, 'Unable to write to one or more targets.', `Bucket \`${bucket}\` does not exist.`)
    store.buckets[bucket] = [...new Set([...top, key])]
    store.texts = { ...store.texts, [`${bucket}/${key}`]: stdin }
    return printed(`${stdin.length} bytes -> \`${rest[0]}\``)
  },
  rm: ({ store, bucket, key, rest, json }) => {
    if (store.texts?.[`${bucket}/${key}`] === undefined) return failed(json, `Failed to remove \`${rest[0]}\`.`, 'Object does not exist')
    store.buckets[bucket] = (store.buckets[bucket] ?? []).filter((name) => name !== key)
    delete store.texts[`${bucket}/${key}`]
    return printed(`Removed \`${rest[0]}\`.`)
  },
  'admin user info': ({ store, rest: [, name = ''], json }) => {
    const user = store.users[name]
    return user ? success({ accessKey: name, ...(user.policies.length ? { policyName: user.policies.join(',') } : {}), userStatus: 'enabled' })
      : failed(json, 'Unable to get user info', ...NO_USER)
  },
  'admin user add': ({ world, store, rest, stdin }) => {
    const [name, key, ...more] = rest.length === 1 ? stdin.split('\n') : rest.slice(1)
    if (!name || !key || key.length < 8 || more.some(Boolean)) return failed(false, 'Unable to add new user.', 'The secret key is invalid.')
    store.users[name] = { policies: [], ...store.users[name], secret: key }
    world.secrets.push(...[key, Buffer.from(key).toString('base64')].filter((text) => !world.secrets.includes(text)))
    return printed(`Added user \`${name}\` successfully.`)
  },
  'admin policy info': ({ store, rest: [, name = ''], json }) => {
    const Policy = store.policies[name]
    return Policy ? success({ policy: name, policyInfo: { PolicyName: name, Policy }, isGroup: false })
      : failed(json, 'Unable to fetch policy', 'The canned policy does not exist. (Specified canned policy does not exist)', 'XMinioAdminNoSuchPolicy')
  },
}

/** Changes which policies a user has. */
const change = (how: (has: string[], policy: string) => string[], userIn: (rest: string[]) => string): Play => ({ store, rest }) => {
  const user = store.users[userIn(rest)], policy = rest[1] ?? ''
  if (!user) return failed(false, 'Unable to make user/group policy association.', ...NO_USER)
  if (!store.policies[policy]) return failed(false, 'Unable to make user/group policy association.', 'The canned policy does not exist.')
  user.policies = how(user.policies, policy)
  return printed(`Attached Policies: [${policy}]`)
}
const behindFlag = (rest: string[]): string => rest[rest.indexOf('--user') + 1] ?? ''

const SINCE_2023: Record<string, Play> = {
  'admin policy create': put,
  'admin policy attach': change((has, policy) => [...new Set([...has, policy])].toSorted(), behindFlag),
  'admin policy detach': change((has, policy) => has.filter((one) => one !== policy), behindFlag),
}

const BEFORE_2023: Record<string, Play> = {
  'admin policy add': put,
  'admin policy set': change((_, policy) => [policy], (rest) => /^user=(.*)/.exec(rest[2] ?? '')?.[1] ?? ''),
}

/** What Velero's look at its location finds; undefined where all is well. */
export const storeTrouble = (world: World, bucket: string, region: string, credentials: string): string | undefined => {
  const store = (world.store ??= storeWorld())
  const [, id = '', key] = /aws_access_key_id\s*=\s*(\S+)\s+aws_secret_access_key\s*=\s*(\S+)/.exec(credentials) ?? []
  const user = store.users[id]
  if (!user) return `InvalidAccessKeyId: ${NO_KEY}\n\tstatus code: 403`
  if (user.secret !== key) return `SignatureDoesNotMatch: ${SIGNATURE}\n\tstatus code: 403`
  if (store.region && store.region !== region) return `AuthorizationHeaderMalformed: The authorization header is malformed; the region is wrong; expecting '${store.region}'.\n\tstatus code: 400`
  if (!allows(store, id, bucket)) return 'AccessDenied: Access Denied.\n\tstatus code: 403'
  const others = store.buckets[bucket]?.filter((name) => !/^(backups|restores|restic|metadata|plugins)\/$/.test(name))
  if (!others) return 'NoSuchBucket: The specified bucket does not exist\n\tstatus code: 404'
  return others.length ? `Backup store contains invalid top-level directories: [${others.join(' ').replaceAll('/', '')}]` : undefined
}

export const mc: Tool = { name: mcName, mutates: mcMutates, play: playMc }
