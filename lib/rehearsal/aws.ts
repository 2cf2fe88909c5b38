/**
 * The part of AWS that runbooks use: IAM users with their keys and policies, buckets, who one is. Calls by their
 * names in the SDK, answers as its objects, refusals by the names of the real errors.
 */
import { EC2 } from './ec2.ts'
import { EKS } from './eks.ts'
import { secret } from './secret.ts'
import { digest, iso, type World } from './world.ts'

/** `as` is a key that asks in place of the operator. */
/** `url` is where the API server of the rehearsal listens. */
export interface AwsCall { region: string; service: string; command: string; input: any; url?: string; as?: { id: string; secret: string } }

export interface Bucket {
  region: string
  /** False: it is somebody else's. */
  own: boolean
  tags?: { Key: string; Value: string }[]
  publicAccessBlock?: object
  encryption?: object
  versioning?: string
  objects?: string[]
  /** The text of those that hold one. */
  texts?: Record<string, string>
}
export interface User { tags: { Key: string; Value: string }[]; policies: Record<string, string>; keys: { id: string; created: string; used?: string }[]; created: string }
export interface AwsWorld { account: string; users: Record<string, User>; roles: Record<string, { trust: string; policies?: Record<string, string> }>; buckets: Record<string, Bucket>; oidc?: string }

/** A refusal with the name and HTTP status of the real service. */
export class AwsRefusal extends Error {
  readonly status: number
  constructor(name: string, status: number, message: string) {
    super(message)
    this.name = name
    this.status = status
  }
}

export const awsMutates = ({ command }: AwsCall): boolean => !/^(Get|List|Head|Describe|Simulate)/.test(command)

const noEntity = (what: string) => new AwsRefusal('NoSuchEntityException', 404, `The ${what} cannot be found.`)

const userOf = ({ aws }: World, name: string): User => {
  const user = aws.users[name]
  if (!user) throw noEntity(`user with name ${name}`)
  return user
}

const bucketOf = ({ aws }: World, name: string): Bucket => {
  const bucket = aws.buckets[name]
  if (!bucket) throw new AwsRefusal('NoSuchBucket', 404, 'The specified bucket does not exist')
  if (!bucket.own) throw new AwsRefusal('AccessDenied', 403, 'Access Denied')
  return bucket
}

/** The secret of a key, the same in every rehearsal. */
export const secretKey = (user: string, id: string): string => secret(`key ${id} of ${user}`, 40)

const shownUser = ({ aws }: World, name: string, user: User) =>
  ({ UserName: name, Arn: `arn:aws:iam::${aws.account}:user/${name}`, UserId: `AIDA${digest(name).slice(0, 16).toUpperCase()}`, Path: '/', CreateDate: user.created, ...(user.tags.length ? { Tags: user.tags } : {}) })

type Play = (world: World, input: any) => object

const noPolicy = (name: string) => noEntity(`policy with name ${name}`)

/** Inline policies, of users and roles alike. */
const policyIn = (policies: Record<string, string> | undefined, { PolicyName }: { PolicyName: string }): object => {
  const document = policies?.[PolicyName]
  if (document === undefined) throw noPolicy(PolicyName)
  return { PolicyName, PolicyDocument: encodeURIComponent(document) }
}

/** AWS' room for inline policies, blanks not counted. */
const putPolicy = (policies: Record<string, string>, room: number, { PolicyName, PolicyDocument }: { PolicyName: string; PolicyDocument: string }): object => {
  try {
    JSON.parse(PolicyDocument)
  } catch {
    throw new AwsRefusal('MalformedPolicyDocumentException', 400, 'Syntax errors in policy.')
  }
  const all = { ...policies, [PolicyName]: PolicyDocument }
  if (Object.values(all).join('').replaceAll(/\s/g, '').length > room) throw new AwsRefusal('LimitExceededException', 409, `Maximum policy size of ${room} bytes exceeded`)
  Object.assign(policies, all)
  return {}
}

const roleOf = ({ aws }: World, name: string) => {
  const role = aws.roles[name]
  if (!role) throw noEntity(`role with name ${name}`)
  return role
}

const PLAYED: Record<string, Play> = {
  'sts.GetCallerIdentity': ({ aws }) => ({ Account: aws.account, Arn: `arn:aws:iam::${aws.account}:user/operator`, UserId: 'AIDAOPERATOR' }),
  'iam.GetUser': (world, { UserName }) => ({ User: shownUser(world, UserName, userOf(world, UserName)) }),
  'iam.CreateUser': (world, { UserName, Tags = [] }) => {
    if (world.aws.users[UserName]) throw new AwsRefusal('EntityAlreadyExistsException', 409, `User with name ${UserName} already exists.`)
    const user = { tags: Tags, policies: {}, keys: [], created: iso(world.time) }
    world.aws.users[UserName] = user
    return { User: shownUser(world, UserName, user) }
  },
  'iam.ListUserPolicies': (world, { UserName }) => ({ PolicyNames: Object.keys(userOf(world, UserName).policies), IsTruncated: false }),
  'iam.GetUserPolicy': (world, input) => policyIn(userOf(world, input.UserName).policies, input),
  'iam.PutUserPolicy': (world, input) => putPolicy(userOf(world, input.UserName).policies, 2048, input),
  'iam.GetRolePolicy': (world, input) => policyIn(roleOf(world, input.RoleName).policies, input),
  'iam.PutRolePolicy': (world, input) => putPolicy(roleOf(world, input.RoleName).policies ??= {}, 10_240, input),
  'iam.ListAccessKeys': (world, { UserName }) => ({
    AccessKeyMetadata: userOf(world, UserName).keys.map(({ id, created }) => ({ UserName, AccessKeyId: id, Status: 'Active', CreateDate: created })), IsTruncated: false,
  }),
  'iam.GetAccessKeyLastUsed': ({ aws }, { AccessKeyId }) => {
    const [name, user] = Object.entries(aws.users).find(([, { keys }]) => keys.some(({ id }) => id === AccessKeyId)) ?? []
    if (!user) throw noEntity(`Access Key with id ${AccessKeyId}`)
    const used = user.keys.find(({ id }) => id === AccessKeyId)?.used
    return { UserName: name, AccessKeyLastUsed: { ...(used ? { LastUsedDate: used } : {}), ServiceName: used ? 's3' : 'N/A', Region: used ? 'us-east-1' : 'N/A' } }
  },
  'iam.CreateAccessKey': (world, { UserName }) => {
    const { keys } = userOf(world, UserName)
    if (keys.length >= 2) throw new AwsRefusal('LimitExceededException', 409, 'Cannot exceed quota for AccessKeysPerUser: 2')
    // The first free one: a world in which a key was made, lost and made again is the same as one where it was made once.
    const id = [0, 1].map((n) => `AKIA${digest(`key ${n} of ${UserName}`).slice(0, 16).toUpperCase()}`).find((one) => keys.every((key) => key.id !== one)) as string
    keys.push({ id, created: iso(world.time) })
    const text = secretKey(UserName, id)
    world.secrets.push(text, Buffer.from(text).toString('base64'))
    return { AccessKey: { UserName, AccessKeyId: id, Status: 'Active', SecretAccessKey: text, CreateDate: iso(world.time) } }
  },
  'iam.DeleteAccessKey': (world, { UserName, AccessKeyId }) => {
    const user = userOf(world, UserName)
    if (!user.keys.some(({ id }) => id === AccessKeyId)) throw noEntity(`Access Key with id ${AccessKeyId}`)
    user.keys = user.keys.filter(({ id }) => id !== AccessKeyId)
    return {}
  },
  'iam.GetRole': (world, { RoleName }) =>
    ({ Role: { RoleName, Arn: `arn:aws:iam::${world.aws.account}:role/${RoleName}`, AssumeRolePolicyDocument: encodeURIComponent(roleOf(world, RoleName).trust) } }),
  's3.HeadBucket': ({ aws }, { Bucket }) => {
    const bucket = aws.buckets[Bucket]
    if (!bucket) throw new AwsRefusal('NotFound', 404, 'NotFound')
    if (!bucket.own) throw new AwsRefusal('403', 403, 'Forbidden')
    return { BucketRegion: bucket.region }
  },
  's3.CreateBucket': (world, { Bucket, CreateBucketConfiguration }, region = CreateBucketConfiguration?.LocationConstraint ?? 'us-east-1') => {
    const there = world.aws.buckets[Bucket]
    if (there && !there.own) throw new AwsRefusal('BucketAlreadyExists', 409, 'The requested bucket name is not available. The bucket namespace is shared by all users of the system.')
    if (there) throw new AwsRefusal('BucketAlreadyOwnedByYou', 409, 'Your previous request to create the named bucket succeeded and you already own it.')
    world.aws.buckets[Bucket] = { region, own: true }
    return { Location: `/${Bucket}` }
  },
  's3.GetBucketTagging': (world, { Bucket }) => {
    const { tags } = bucketOf(world, Bucket)
    if (!tags) throw new AwsRefusal('NoSuchTagSet', 404, 'The TagSet does not exist')
    return { TagSet: tags }
  },
  's3.PutBucketTagging': (world, { Bucket, Tagging }) => {
    bucketOf(world, Bucket).tags = Tagging.TagSet
    return {}
  },
  's3.GetPublicAccessBlock': (world, { Bucket }) => {
    const { publicAccessBlock } = bucketOf(world, Bucket)
    if (!publicAccessBlock) throw new AwsRefusal('NoSuchPublicAccessBlockConfiguration', 404, 'The public access block configuration was not found')
    return { PublicAccessBlockConfiguration: publicAccessBlock }
  },
  's3.PutPublicAccessBlock': (world, { Bucket, PublicAccessBlockConfiguration }) => {
    bucketOf(world, Bucket).publicAccessBlock = PublicAccessBlockConfiguration
    return {}
  },
  's3.GetBucketEncryption': (world, { Bucket }) => {
    const { encryption } = bucketOf(world, Bucket)
    if (!encryption) throw new AwsRefusal('ServerSideEncryptionConfigurationNotFoundError', 404, 'The server side encryption configuration was not found')
    return { ServerSideEncryptionConfiguration: encryption }
  },
  's3.PutBucketEncryption': (world, { Bucket, ServerSideEncryptionConfiguration }) => {
    bucketOf(world, Bucket).encryption = ServerSideEncryptionConfiguration
    return {}
  },
  's3.GetBucketVersioning': (world, { Bucket }) => {
    const { versioning } = bucketOf(world, Bucket)
    return versioning ? { Status: versioning } : {}
  },
  's3.PutBucketVersioning': (world, { Bucket, VersioningConfiguration }) => {
    bucketOf(world, Bucket).versioning = VersioningConfiguration.Status
    return {}
  },
  's3.ListObjectsV2': (world, { Bucket, Prefix = '', MaxKeys = 1000, Delimiter }) => {
    const all = (bucketOf(world, Bucket).objects ?? []).filter((key) => key.startsWith(Prefix)).slice(0, MaxKeys)
    const folders = Delimiter ? [...new Set(all.flatMap((key) => (key.includes(Delimiter) ? [`${key.split(Delimiter)[0]}${Delimiter}`] : [])))] : []
    const keys = all.filter((key) => !folders.some((folder) => key.startsWith(folder)))
    return { KeyCount: keys.length + folders.length, Contents: keys.map((Key) => ({ Key })), IsTruncated: false, ...(folders.length ? { CommonPrefixes: folders.map((folder) => ({ Prefix: folder })) } : {}) }
  },
  's3.GetObject': (world, { Bucket, Key }) => {
    const text = bucketOf(world, Bucket).texts?.[Key]
    if (text === undefined) throw new AwsRefusal('NoSuchKey', 404, 'The specified key does not exist.')
    return { Body: text, ContentLength: text.length }
  },
  's3.PutObject': (world, { Bucket, Key, Body }) => {
    const bucket = bucketOf(world, Bucket)
    bucket.objects = [...new Set([...bucket.objects ?? [], Key as string])]
    bucket.texts = { ...bucket.texts, [Key]: Body }
    return { ETag: `"${digest(Body).slice(0, 32)}"` }
  },
  's3.DeleteObject': (world, { Bucket, Key }) => {
    const bucket = bucketOf(world, Bucket)
    bucket.objects = (bucket.objects ?? []).filter((one) => one !== Key)
    delete bucket.texts?.[Key]
    return {}
  },
  's3.HeadObject': (world, { Bucket, Key }) => {
    if (!(bucketOf(world, Bucket).objects ?? []).includes(Key)) throw new AwsRefusal('NotFound', 404, 'NotFound')
    return { ContentLength: 1 }
  },
}

/** How long a new key is not known to S3. */
const LAG = 6000

/** A key asks: it has to be known, its secret right, and its user allowed to do this with this bucket. */
const mustBeAllowed = ({ aws, time }: World, { service, command, input, as }: AwsCall & Required<Pick<AwsCall, 'as'>>): void => {
  const [name, user] = Object.entries(aws.users).find(([, { keys }]) => keys.some(({ id }) => id === as.id)) ?? []
  const key = user?.keys.find(({ id }) => id === as.id)
  if (!name || !key || time < Date.parse(key.created) + LAG) throw new AwsRefusal('InvalidAccessKeyId', 403, 'The AWS Access Key Id you provided does not exist in our records.')
  if (as.secret !== secretKey(name, key.id)) throw new AwsRefusal('SignatureDoesNotMatch', 403, 'The request signature we calculated does not match the signature you provided. Check your key and signing method.')
  const action = `${service}:${command.replace('ListObjectsV2', 'ListBucket')}`
  const arn = `arn:aws:s3:::${input.Bucket}${input.Key ? '/*' : ''}`
  const allowed = Object.values(user?.policies ?? {}).flatMap((text) => JSON.parse(text).Statement as { Effect: string; Action: string[]; Resource: string | string[] }[])
    .some(({ Effect, Action, Resource }) => Effect === 'Allow' && Action.includes(action) && [Resource].flat().includes(arn))
  if (!allowed) throw new AwsRefusal('AccessDenied', 403, `User: arn:aws:iam::${aws.account}:user/${name} is not authorized to perform: ${action}`)
  if (awsMutates({ region: '', service, command, input })) key.used = iso(time)
}

export const playAws = (world: World, call: AwsCall): object => {
  const { region, service, command, input, url = '', as } = call
  if (as) mustBeAllowed(world, { ...call, as })
  if (world.rules.noCredentials) throw new AwsRefusal('InvalidClientTokenId', 403, 'The security token included in the request is invalid.')
  const elsewhere = EKS[`${service}.${command}`] ?? EC2[`${service}.${command}`]
  if (elsewhere) return elsewhere(world, input, region, url)
  const played = PLAYED[`${service}.${command}`]
  if (!played) throw new AwsRefusal('NotPlayed', 501, `rehearsal: ${service}.${command} is not played; extend lib/rehearsal/aws.ts`)
  return played(world, input)
}

/** What the account of the installation holds: the bucket of its data, Velero's with its user, somebody else's bucket. */
export const awsWorld = (): AwsWorld => ({
  account: '111122223333',
  users: {},
  roles: {},
  buckets: {
    'circleci-server-data': { region: 'us-east-1', own: true, objects: ['artifacts/1'] },
    'circleci-backups': { region: 'us-east-1', own: true, objects: ['backups/instance-7k2fq/instance-7k2fq.tar.gz', 'backups/instance-7k2fq/velero-backup.json'] },
    'backups': { region: 'eu-west-1', own: false },
  },
})
