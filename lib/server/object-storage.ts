/**
 * The object storage of CircleCI server, for artifacts, test results, caches and audit logs: what each of its runbooks
 * asks for, and what it leaves for the Config screen. Installation guide 3.3.0, phase 1, and phase 2, "Object Storage
 * Settings".
 */
import { placeOf } from '../files.ts'
import { days, NAMESPACE, text } from '../inputs.ts'

/** Account of the cluster that uses the bucket, where no key does. From server 3.4 on. */
export const accountIn = (namespace: string): string => `${namespace}/object-storage`

/** `more` are characters that a cloud allows in names of buckets beside those of all. */
export const objectInputs = (more = '') => ({
  bucket: text('name', 'bucket of the server; made where there is none', {
    env: 'OBJECT_STORAGE_BUCKET', pattern: new RegExp(`^[a-z0-9][a-z0-9.${more}-]{1,61}[a-z0-9]$`), looks: '3 to 63 lower-case letters, digits, dots and dashes: circleci-server-data',
  }),
  expiry: { ...days('days that test results and artifacts are kept; 0 keeps them for ever', 'they are kept for ever'), env: 'OBJECT_STORAGE_EXPIRY' },
})

/** Name of the server in each cloud; with several installations, one for each. */
export const nameInput = (say: string, pattern: RegExp, env = 'OBJECT_STORAGE_USER') =>
  text('name', `${say}; with several installations, one for each`, { env, otherwise: 'circleci-server', pattern, looks: 'a name: circleci-server' })

export const fileInput = (otherwise: string) => text('file', 'file that the key is written to', { env: 'OBJECT_STORAGE_CREDENTIALS', otherwise })

/** With an identity of the cloud in place of a key: whose it is. */
export const namespaceInput = (flag: string) => text('name', `with ${flag}: namespace of the server in its cluster`, {
  env: 'CIRCLECI_NAMESPACE', otherwise: 'circleci-server', ...NAMESPACE,
})

export interface Settings { bucket: string; there: boolean; expiry: number; place: Record<string, string>; access: Record<string, string> }

/** What the Config screen asks for, by its labels. What is secret is named by its file. */
export const settings = ({ bucket, there, expiry, place, access }: Settings): Record<string, string> => ({
  'Storage Bucket Name': there ? bucket : `${bucket}, which is not there`, ...place,
  'Storage Object Expiry': expiry ? String(expiry) : '0 (kept for ever)', ...access,
})

/** How the screen is told of a key of an S3-compatible store. */
export const keySettings = (id: string | undefined, file: string): Record<string, string> => ({
  'Access Key ID': id ?? 'none yet', 'Secret Key': id ? `aws_secret_access_key in ${placeOf(file)}` : 'none yet',
})

export const AFTERWARDS = [
  'These values go into the admin console, Config, Object Storage Settings; a secret is read from its file.',
  'Keep the file of a key until it is in the configuration: a run that does not find it makes another one, or a new secret.',
  'The cluster and the Nomad clients have to reach the bucket; behind a proxy the storage has to be behind it too.',
]
