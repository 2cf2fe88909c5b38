/**
 * A bucket of an S3-compatible store, and a user who may use it and nothing else. The secret is made here: the credentials
 * file has it first, and the user is made from the file, so that a crash loses no secret and leaves no second user.
 */
import { createHash } from 'node:crypto'
import type { Done, Effect } from '../effect.ts'
import type { Policy } from './policies.ts'
import type { Pipe } from '../shell.ts'
import { bad, done, ok, preflight, warning } from '../effect.ts'
import { Refused } from '../fail.ts'
import { onlyYours, newSecret, Once, readSecret, writeSecret } from '../files.ts'
import { keyIdIn } from './iam.ts'
import { addressOf, askMc, attachWords, createPolicyWords, detachWords, mcEffect } from './mc.ts'
import { samePolicy } from './policies.ts'
import { text } from '../inputs.ts'
import { line } from '../shell.ts'

export const ALIAS = text('name', 'alias of the store in mc, with credentials of its administrator', { env: 'MC_ALIAS', pattern: /^[a-zA-Z][\w-]*$/, looks: 'an alias, as mc alias list shows it: my-provider' })
// Velero reads commas and equal signs as its own.
export const ENDPOINT = text('url', 'address of the store, as the cluster reaches it', { env: 'S3_ENDPOINT', pattern: /^https?:\/\/[\w.-]+(:\d+)?$/, looks: 'scheme, host and port, nothing behind: https://minio.example.com:9000' })

/** `who` uses it, by a policy of a name of its own; `deployed` is what a cluster that is given the secret has of it. */
export interface Store { alias: string; bucket: string; user: string; file: string; who: string; policy: string; deployed?(): Promise<string | undefined> }

const deployedIn = async ({ deployed }: Store): Promise<string | undefined> => deployed?.()

/** What Velero makes at the top of its bucket. */
export const OF_VELERO = ['backups/', 'restores/', 'restic/', 'metadata/', 'plugins/', 'kopia/']

/** What lies at the top of a bucket; undefined where there is no bucket. */
const topOf = async ({ alias, bucket }: Store): Promise<string[] | undefined> =>
  (await askMc(['ls', `${alias}/${bucket}`]))?.map(({ key }) => String(key))

export const isStoreBucket = async (store: Store): Promise<boolean> => await topOf(store) !== undefined

/** The region of a bucket that the store names. us-east-1 is what one says that was given none: it takes any. */
const regionOf = async ({ alias, bucket }: Store): Promise<string | undefined> => {
  const place = (await askMc(['stat', `${alias}/${bucket}`]))?.[0]?.['location']
  return typeof place === 'string' && place !== 'us-east-1' ? place || undefined : undefined
}

const another = ({ alias }: Store): string => `Choose another name; those that there are: ${line(['mc', 'ls', alias])}`

export const bucketIsFresh = (store: Store, region: string) => preflight('bucket', 'the bucket is free, or holds nothing but Velero\'s own', async () => {
  const { alias, bucket } = store
  const others = (await topOf(store))?.filter((key) => !OF_VELERO.includes(key))
  if (!others) return ok(`${bucket} will be made in ${alias}`)
  if (others.length) return bad(`bucket ${bucket} holds other content (${others.slice(0, 3).join(', ')}${others.length > 3 ? ', …' : ''}): Velero cannot share one`, another(store))
  const place = await regionOf(store)
  return place && place !== region
    ? bad(`bucket ${bucket} is in region ${place}, not in ${region}: the store refuses what is signed for another one`, `Repeat the line with --region ${place}`)
    : ok(`${bucket} is there, and holds nothing else than Velero's`)
})

/** For the server: a bucket that Velero does not use, on a store that takes any region, for its configuration names none. */
export const bucketIsWithoutVelero = (store: Store) => preflight('bucket', 'the bucket is free, or Velero does not use it', async () => {
  const { alias, bucket } = store
  const top = await topOf(store)
  if (!top) return ok(`${bucket} will be made in ${alias}`)
  const velero = top.filter((key) => OF_VELERO.includes(key))
  if (velero.length) return bad(`bucket ${bucket} holds backups of Velero (${velero.join(', ')}), which cannot share it`, another(store))
  const place = await regionOf(store)
  return place ? warning(`the store says that ${bucket} is in region ${place}, and the configuration has no region beside the S3 Endpoint`, 'Where the server is refused, let the store run without a region of its own.')
    : ok(`${bucket} is there, and is used`)
})

/** The bucket is there. */
export const haveStoreBucket = async (store: Store): Promise<Done | Effect[]> => {
  const { alias, bucket } = store
  return await topOf(store) ? done(`${bucket} is there`) : [mcEffect(`mc mb ${bucket}`, ['mb', '--ignore-existing', `${alias}/${bucket}`])]
}

const FILE = ['[default]\naws_access_key_id=', '\naws_secret_access_key=', '\n'] as const

export const secretIn = (text: string | undefined): string | undefined => /^\s*aws_secret_access_key\s*=\s*(\S+)/m.exec(text ?? '')?.[1]

/** Id and secret, a line each, as mc reads them. */
const pairIn = (text: string | undefined): string | undefined => {
  const secret = secretIn(text)
  return secret && `${keyIdIn(text)}\n${secret}\n`
}

/** A digest of user and secret: another secret of the same user is another key. */
export const digestIn = (text: string | undefined): string | undefined => {
  const pair = pairIn(text)
  return pair && createHash('sha256').update(pair).digest('hex').slice(0, 8)
}

/** Which credentials a text holds. */
export const keyOfStore = (text: string | undefined): string | undefined => {
  const digest = digestIn(text)
  return digest && `${keyIdIn(text)} (${digest})`
}

/** An alias that lasts for one call: the store, asked by the user of a credentials file; nothing where the text has none. */
export const NEW_KEY = 'newkey'
export const aliasOf = async ({ alias, user }: Store, text: string | undefined): Promise<Record<string, string> | undefined> => {
  const [id, secret] = pairIn(text)?.split('\n') ?? []
  const address = await addressOf(alias)
  return id === user && secret && address ? { [`MC_HOST_${NEW_KEY}`]: address.replace('://', `://${id}:${secret}@`) } : undefined
}

/** Whether the store knows this user with this secret, whatever the user may do. */
const knows = async (store: Store, text: string | undefined): Promise<boolean> => {
  const env = await aliasOf(store, text)
  if (!env) return false
  try {
    await askMc(['ls', `${NEW_KEY}/${store.bucket}`], env)
    return true
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return false
    if (error instanceof Refused && error.status === 403) return true
    throw error
  }
}

const inFile = ({ file, user }: Store): string | undefined => {
  const text = readSecret(file)
  return keyIdIn(text) === user && pairIn(text) ? text : undefined
}

/** The secret is at hand: in the file, or in the cluster, where it works. */
export const haveSecret = async (store: Store): Promise<Done | Effect[]> => {
  const { user, file } = store
  if (inFile(store)) return done(`${file} holds the secret of ${user}`)
  if (await knows(store, await deployedIn(store))) return done(`the cluster has the secret of ${user}`)
  const secret: Pipe = { say: 'a new secret', commands: [['openssl', 'rand', '-hex', '20']], read: async () => newSecret(40) }
  const words = ['awk', `{ print "${[FILE[0], FILE[1]].join(user).replaceAll('\n', '\\n')}" $0 }`]
  return [{
    id: `secret of ${user}`, again: 'safe', command: { words, stdin: secret, file },
    call: async () => writeSecret(file, FILE[0], user, FILE[1], new Once(await secret.read()), FILE[2]),
  }]
}

const isThere = async ({ alias, user }: Store): Promise<boolean> => Boolean(await askMc(['admin', 'user', 'info', alias, user]))

/** The store knows the user with the secret of the file. */
export const haveStoreUser = async (store: Store): Promise<Done | Effect[]> => {
  const { alias, user, file } = store
  if (await knows(store, inFile(store) ?? await deployedIn(store))) return done(`${user} is there, with the secret that is at hand`)
  return [mcEffect(`mc admin user add ${user}`, ['admin', 'user', 'add', alias], {
    // As arguments every process of this machine could read them.
    stdin: { say: `user and secret of ${file}`, commands: [['sed', '-n', 's/^aws_[a-z_]*=//p', file]], read: async () => pairIn(inFile(store)) ?? '' },
    ...(await isThere(store) ? { danger: `user ${user} of ${alias} gets a new secret, for the one that it has is not at hand: whoever uses that is locked out` } : {}),
  })]
}

/**
 * What a user may do in the store: all, in this bucket. Installation guide 3.3.0, "Server 3.x backups with S3 Compatible
 * Storage", step 3; of the server's own user it says nothing, and MinIO refuses a policy with actions that only AWS has.
 */
export const storePolicy = (bucket: string): Policy => ({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: ['s3:*'], Resource: [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`] }],
})

/** The document in an answer of mc, whose releases put it under different names. */
const documentIn = (said: unknown): object | undefined => {
  if (!said || typeof said !== 'object') return undefined
  if ('Statement' in said) return said
  return Object.values(said).map(documentIn).find(Boolean)
}

/** The policy says exactly this. */
export const haveStorePolicy = async (store: Store): Promise<Done | Effect[]> => {
  const { alias, bucket, policy: name } = store
  const policy = storePolicy(bucket)
  const found = documentIn(await askMc(['admin', 'policy', 'info', alias, name]))
  if (found && samePolicy(JSON.stringify(found), policy)) return done(`${name} allows this bucket, and no other`)
  const text = JSON.stringify(policy)
  return [mcEffect(`mc admin policy ${name}`, await createPolicyWords(alias, name), {
    stdin: { say: 'the policy', commands: [['echo', text]], read: async () => text },
    ...(found ? { danger: `policy ${name} of ${alias} says something else, and is replaced` } : {}),
  })]
}

/** The user has this policy and no other one. */
export const haveAttached = async (store: Store): Promise<Done | Effect[]> => {
  const { alias, user, policy: name, who } = store
  const has = String((await askMc(['admin', 'user', 'info', alias, user]))?.[0]?.['policyName'] ?? '').split(',').filter(Boolean)
  const others = has.filter((one) => one !== name)
  if (has.includes(name) && !others.length) return done(`${user} has ${name}, and no other policy`)
  const loses = (one: string) => ({ danger: `user ${user} of ${alias} loses the policy ${one}, which lets it do more than ${who} needs` })
  const detached = await Promise.all(others.map(async (one) => ({ one, words: await detachWords(alias, one, user) })))
  const lost = detached.find(({ words }) => !words)
  return [
    ...(has.includes(name) && !lost ? [] : [mcEffect(`mc admin policy attach ${name}`, await attachWords(alias, name, user), lost ? loses(others.join(', ')) : {})]),
    ...detached.flatMap(({ one, words }) => (words ? [mcEffect(`mc admin policy detach ${one}`, words, loses(one))] : [])),
  ]
}

export const secretIsOurs = (store: Store) => preflight('credentials-file', 'the credentials file is free, or holds the secret of the user, and nobody else can read it', async () => {
  const { file, user } = store
  const text = readSecret(file)
  if (text === undefined) return ok(`${file} will be written${store.deployed ? ', unless the cluster has what it would hold' : ''}`)
  if (!inFile(store)) return bad(`${file} is there, and holds no secret of ${user}: it would be overwritten`, 'Name another one with --credentials, or move it away.')
  const deployed = await deployedIn(store)
  if (keyOfStore(deployed) !== keyOfStore(text) && await knows(store, deployed) && !await knows(store, text)) {
    return bad(`the store does not accept the secret of ${user} in ${file}, and accepts the one that the cluster has`, `Move ${file} away: the cluster's is used then.`)
  }
  return onlyYours(file, `${file} holds the secret of ${user}`)
})

/** What an operator wants to see of the store before and after. */
export const storeFacts = async (store: Store): Promise<Record<string, string>> => {
  const { alias, bucket, user } = store
  const [top, info] = await Promise.all([topOf(store), askMc(['admin', 'user', 'info', alias, user])])
  return { bucket: top ? `${bucket} in ${alias}` : `${bucket} is not there`, user: info ? `${user}, ${String(info[0]?.['policyName'] || 'no policy')}` : `${user} is not there` }
}
