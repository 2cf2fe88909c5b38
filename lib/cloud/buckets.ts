/**
 * Buckets of S3 for the installation: ours or somebody else's, and protected as today's practice asks.
 */
import type { Aws } from './aws.ts'
import type { Done, Effect } from '../effect.ts'
import { bad, done, ok, preflight, warning } from '../effect.ts'
import { Refused } from '../fail.ts'
import { MARK } from './iam.ts'
import { line } from '../shell.ts'
import { OF_VELERO } from './store.ts'

/** The region of a bucket that we may use; 'free' or 'foreign' otherwise. */
export const bucketIs = async (aws: Aws, Bucket: string): Promise<{ region: string } | 'free' | 'foreign'> => {
  try {
    const found = await aws.read<{ BucketRegion?: string }>('s3', 'HeadBucket', { Bucket })
    return found ? { region: found.BucketRegion ?? aws.region } : 'free'
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    // S3 sends who asks in the wrong region away with 301 or 400, and tells the right one only to its own clients.
    if (error.status === 301 || error.status === 400) return { region: 'another region' }
    if (error.status === 403) return 'foreign'
    throw error
  }
}

export const bucketIsOursOrFree = (aws: Aws, bucket: string) => preflight('bucket', `${bucket} is free, or yours and in ${aws.region}: names of buckets are shared by all of AWS`, async () => {
  const found = await bucketIs(aws, bucket)
  if (found === 'free') return ok(`${bucket} will be made in ${aws.region}`)
  if (found === 'foreign') return bad(`bucket ${bucket} belongs to somebody else, or you may not see it: names of buckets are shared by all of AWS`, `Choose another name; yours are: ${line(aws.words('s3', 'ListBuckets', {}))}`)
  if (found.region !== aws.region) return bad(`bucket ${bucket} is in ${found.region}, not in ${aws.region}`, `Name its region: ${line(aws.words('s3', 'GetBucketLocation', { Bucket: bucket }))}`)
  return ok(`${bucket} is there, and is used`)
})

/** The bucket is there. us-east-1 takes no LocationConstraint. */
export const haveBucket = async (aws: Aws, Bucket: string): Promise<Done | Effect[]> => {
  const found = await bucketIs(aws, Bucket)
  if (found !== 'free') return done(`${Bucket} is there`)
  const where = aws.region === 'us-east-1' ? {} : { CreateBucketConfiguration: { LocationConstraint: aws.region } }
  return [aws.effect('s3', 'CreateBucket', { Bucket, ...where }, { on: Bucket, again: 'guarded' })]
}

const BLOCKED = { BlockPublicAcls: true, IgnorePublicAcls: true, BlockPublicPolicy: true, RestrictPublicBuckets: true }
const ENCRYPTED = { Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }] }

/**
 * Nobody outside reads it, and what is in it is encrypted. With `versions` what is overwritten or deleted can be brought
 * back; where objects expire by a rule that is not ours they would pile up, and so none are asked for.
 */
export const protectBucket = async (aws: Aws, Bucket: string, { versions }: { versions: boolean }): Promise<Done | Effect[]> => {
  const there = await bucketIs(aws, Bucket) !== 'free'
  const ask = async <T>(command: string) => (there ? aws.read<T>('s3', command, { Bucket }) : undefined)
  const [blocked, encrypted, versioned, tagged, content] = await Promise.all([
    ask<{ PublicAccessBlockConfiguration?: Partial<typeof BLOCKED> }>('GetPublicAccessBlock'),
    ask<{ ServerSideEncryptionConfiguration?: { Rules?: object[] } }>('GetBucketEncryption'),
    ask<{ Status?: string }>('GetBucketVersioning'), ask('GetBucketTagging'), ask<{ KeyCount?: number }>('ListObjectsV2'),
  ])
  const set = (what: string, input: object, from: string, to: string) => aws.effect('s3', what, { Bucket, ...input }, { on: Bucket, again: 'safe', changes: [{ what: Bucket, from, to }] })
  const missing = [
    ...(Object.keys(BLOCKED).every((key) => blocked?.PublicAccessBlockConfiguration?.[key as keyof typeof BLOCKED]) ? []
      : [set('PutPublicAccessBlock', { PublicAccessBlockConfiguration: BLOCKED }, 'may be made public', 'never public')]),
    ...(encrypted?.ServerSideEncryptionConfiguration?.Rules?.length ? [] : [set('PutBucketEncryption', { ServerSideEncryptionConfiguration: ENCRYPTED }, 'not encrypted by default', 'encrypted (AES256)')]),
    ...(!versions || versioned?.Status === 'Enabled' ? [] : [set('PutBucketVersioning', { VersioningConfiguration: { Status: 'Enabled' } }, 'no versions kept', 'versions kept')]),
    // Only a fresh one bears our mark: setting a tag replaces all.
    ...(tagged || content?.KeyCount ? [] : [aws.effect('s3', 'PutBucketTagging', { Bucket, Tagging: { TagSet: [MARK] } }, { on: Bucket, again: 'safe' })]),
  ]
  return missing.length ? missing : done(`${Bucket} is private, encrypted, ${versioned?.Status === 'Enabled' ? 'with' : 'without'} versions`)
}

/** The bucket holds nothing that lives by other rules: versions that nobody removes, backups that are to outlast its objects. */
export const bucketSuitsExpiry = (aws: Aws, Bucket: string) => preflight('content', `${Bucket} keeps no old versions, and Velero keeps no backups in it`, async () => {
  const found = await bucketIs(aws, Bucket)
  if (found === 'free' || found === 'foreign') return ok('a new bucket: versions are left off, for those of expired objects would stay, and be paid for')
  const [versioned, top] = await Promise.all([
    aws.read<{ Status?: string }>('s3', 'GetBucketVersioning', { Bucket }), aws.read<{ CommonPrefixes?: { Prefix: string }[] }>('s3', 'ListObjectsV2', { Bucket, Delimiter: '/' }),
  ])
  const velero = top?.CommonPrefixes?.map(({ Prefix }) => Prefix).filter((prefix) => OF_VELERO.includes(prefix)) ?? []
  if (velero.length) return warning(`bucket ${Bucket} holds backups of Velero (${velero.join(', ')})`, 'A backup is to outlast what it is of: better name a bucket for each (--bucket).')
  return versioned?.Status === 'Enabled'
    ? warning(`bucket ${Bucket} keeps versions: those of expired objects stay, and are paid for`, `Turn them off, unless a rule of yours removes old ones: ${line(aws.words('s3', 'PutBucketVersioning', { Bucket, VersioningConfiguration: { Status: 'Suspended' } }))}`)
    : ok('it keeps no versions, and no backups of Velero')
})
