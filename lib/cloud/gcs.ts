/**
 * Buckets of Google Cloud Storage: ours or somebody else's, fresh, and closed to the public.
 */
import type { Gcp } from './gcp.ts'
import type { Done, Effect } from '../effect.ts'
import { bad, done, ok, preflight, warning } from '../effect.ts'
import { Refused } from '../fail.ts'
import { line } from '../shell.ts'
import { OF_VELERO } from './store.ts'

interface Bucket { location?: string; projectNumber?: string | number; iamConfiguration?: { publicAccessPrevention?: string; uniformBucketLevelAccess?: { enabled?: boolean } } }

/** As the API tells it. */
const bucketOf = (gcp: Gcp, bucket: string): Promise<Bucket | undefined> => gcp.read<Bucket>('storage', 'buckets', 'describe', `gs://${bucket}`, '--raw')

export const isGcsBucket = async (gcp: Gcp, bucket: string): Promise<boolean> => await bucketOf(gcp, bucket) !== undefined

/** Who is to have the bucket: Velero shares one with nobody; the server is better off without backups in its own. */
type Tenant = 'velero' | 'server'
const WANTED = { velero: 'the bucket is free, or holds nothing but Velero\'s own', server: 'the bucket is free, or yours, and Velero keeps no backups in it' }

export const gcsBucketIsFor = (tenant: Tenant, gcp: Gcp, bucket: string, location: string) => preflight('bucket', WANTED[tenant], async () => {
  try {
    const found = await bucketOf(gcp, bucket)
    if (!found) return ok(`${bucket} will be made in ${location}`)
    const own = await gcp.read<{ projectNumber: string }>('projects', 'describe', gcp.project)
    if (found.projectNumber && own && String(found.projectNumber) !== own.projectNumber) return bad(`bucket ${bucket} belongs to another project (${found.projectNumber})`, `Choose another name; those of ${gcp.project}: ${line(gcp.words('storage', 'buckets', 'list'))}`)
    const top = await gcp.read<{ url: string }[]>('storage', 'ls', `gs://${bucket}`, '--json') ?? []
    const names = top.map(({ url }) => url.replace(`gs://${bucket}/`, '').replace(/#\d+$/, '')).filter(Boolean)
    const velero = names.filter((name) => OF_VELERO.includes(name))
    if (tenant === 'server') {
      return velero.length ? warning(`bucket ${bucket} holds backups of Velero (${velero.join(', ')})`, 'A backup is to outlast what it is of, and Velero takes no bucket with other content: better name one for each (--bucket).')
        : ok(`${bucket} is there (${found.location}), and is used`)
    }
    const others = names.filter((name) => !velero.includes(name))
    if (others.length) return bad(`bucket ${bucket} holds other content (${others.slice(0, 3).join(', ')}${others.length > 3 ? ', …' : ''}): Velero cannot share one`, 'Choose another name with --bucket.')
    return ok(`${bucket} is there (${found.location}), and holds nothing else than Velero's`)
  } catch (error) {
    if (!(error instanceof Refused && error.status === 403)) throw error
    return bad(`bucket ${bucket} belongs to somebody else, or you may not see it: names of buckets are shared by all of Google Cloud`, `Choose another name; yours are: ${line(gcp.words('storage', 'buckets', 'list'))}`)
  }
})

/** Nobody outside reads it, and rights are those of the bucket, not of each object. */
const CLOSED = ['--uniform-bucket-level-access', '--public-access-prevention']

/** The bucket is there, closed to the public. */
export const haveGcsBucket = async (gcp: Gcp, bucket: string, location: string): Promise<Done | Effect[]> => {
  const found = await bucketOf(gcp, bucket)
  if (!found) return [gcp.effect(`gcs bucket ${bucket}`, ['storage', 'buckets', 'create', `gs://${bucket}`, `--location=${location}`, ...CLOSED], { again: 'guarded' })]
  const { publicAccessPrevention, uniformBucketLevelAccess } = found.iamConfiguration ?? {}
  return publicAccessPrevention === 'enforced' && uniformBucketLevelAccess?.enabled ? done(`${bucket} is there, never public`)
    : [gcp.effect(`gcs protect ${bucket}`, ['storage', 'buckets', 'update', `gs://${bucket}`, ...CLOSED], { again: 'safe' })]
}
