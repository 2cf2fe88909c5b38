/**
 * Identities that prove themselves (proof.ts), each by the file that its runbook wrote: a key of AWS, a key of a service
 * account of Google, a user of an S3-compatible store.
 */
import type { Actor } from './proof.ts'
import { anotherKey, awsAs, whereFlags } from './aws.ts'
import { minutes } from '../effect.ts'
import { Refused } from '../fail.ts'
import { Once, readSecret } from '../files.ts'
import { askGcloud, NEXT, type Gcp } from './gcp.ts'
import { keyIdIn } from './iam.ts'
import { googleKeyIn } from './keys.ts'
import { addressOf, askMcText } from './mc.ts'
import { placed } from './proof.ts'
import { line, quote } from '../shell.ts'
import { aliasOf, digestIn, NEW_KEY, secretIn, type Store } from './store.ts'
import { runTool } from '../tools.ts'

/** A key of AWS in a credentials file. */
export const awsActor = (region: string, bucket: string, file: string): Actor => {
  const asked = () => {
    const text = readSecret(file)
    return awsAs(region, { id: keyIdIn(text) ?? '', secret: new Once(secretIn(text) ?? ''), file })
  }
  // A profile that is named has the CLI leave out keys of the environment, which are the operator's.
  const words = (...own: string[]) => ['env', 'AWS_CONFIG_FILE=/dev/null', `AWS_SHARED_CREDENTIALS_FILE=${file}`, 'aws', ...own, ...whereFlags(region, 'default')]
  const objectOf = (Key: string) => ({ Bucket: bucket, Key })
  return {
    bucket, file, id: () => keyIdIn(readSecret(file)), tells: [['sed', '-n', 's/^aws_access_key_id=//p', file]],
    get: async (key) => (await asked().read<{ Body: string }>('s3', 'GetObject', objectOf(key)))?.Body,
    put: (key, Body) => asked().change('s3', 'PutObject', { ...objectOf(key), Body }),
    remove: (key) => asked().change('s3', 'DeleteObject', objectOf(key)),
    words: async (what, key) => words('s3', ...(what === 'put' ? ['cp', '-'] : ['rm']), `s3://${bucket}/${key}`),
    looks: async () => words('s3api', 'list-objects-v2', '--bucket', bucket, '--max-keys', '1'),
  }
}

/** What of the operator's environment comes before a key file in gcloud. */
const OF_OPERATOR = ['CLOUDSDK_AUTH_ACCESS_TOKEN', 'CLOUDSDK_AUTH_ACCESS_TOKEN_FILE', 'CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT']

/** A key of Google's service account. */
export const googleActor = (gcp: Gcp, email: string, bucket: string, file: string): Actor => {
  const words = (...own: string[]) => ['env', ...OF_OPERATOR.flatMap((name) => ['-u', name]), `CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE=${file}`, ...gcp.words('storage', ...own), '--quiet']
  const object = (key: string) => `gs://${bucket}/${key}`
  const written = { put: (key: string) => words('cp', '-', object(key)), remove: (key: string) => words('rm', object(key)) }
  const run = (own: string[], stdin?: string) => runTool(placed(own, file), NEXT, minutes(3), { stdin })
  return {
    bucket, file, id: () => googleKeyIn(readSecret(file), email), tells: [['sed', '-n', 's/.*"private_key_id": "\\([^"]*\\)".*/\\1/p', file]],
    get: (key) => askGcloud(placed(words('cat', object(key)), file), `storage cat ${object(key)}`, (text, status) =>
      new Refused(`Google refuses the key in ${file}: ${text}`, anotherKey(file), { status, reason: 'PERMISSION_DENIED' })),
    put: (key, text) => run(written.put(key), text),
    remove: (key) => run(written.remove(key)),
    words: async (what, key) => written[what](key),
    looks: async () => words('ls', `gs://${bucket}`),
  }
}

/** A user of an S3-compatible store. */
export const storeActor = (store: Store): Actor => {
  const { bucket, file } = store
  const env = async () => await aliasOf(store, readSecret(file)) ?? {}
  const object = (key: string) => `${NEW_KEY}/${bucket}/${key}`
  // The shell puts the secret into mc's environment: no process has it as an argument.
  const shown = async (words: string[]) => {
    const [scheme, host] = (await addressOf(store.alias) ?? '').split('://')
    return ['bash', '-c', `MC_HOST_${NEW_KEY}="${scheme}://$(sed -n 's/^aws_[a-z_]*=//p' ${quote(file)} | paste -sd: -)@${host}" ${line(words)}`]
  }
  const run = async (words: string[], stdin?: string) => runTool(words, 'Look at what the store says, mend it, then repeat the same line.', minutes(2), { stdin, env: await env() })
  const written = { put: (key: string) => ['mc', 'pipe', object(key)], remove: (key: string) => ['mc', 'rm', object(key)] }
  return {
    bucket, file, id: () => digestIn(readSecret(file)), tells: [['sed', '-n', 's/^aws_[a-z_]*=//p', file], ['openssl', 'dgst', '-sha256', '-r'], ['cut', '-c1-8']],
    get: async (key) => askMcText(['cat', object(key)], await env()).catch((error: unknown) => {
      if (!(error instanceof Refused)) throw error
      throw new Refused(`The store refuses the secret in ${file} (${error.reason})`, anotherKey(file), error)
    }),
    put: (key, text) => run(written.put(key), text),
    remove: (key) => run(written.remove(key)),
    words: async (what, key) => shown(written[what](key)),
    looks: () => shown(['mc', 'ls', `${NEW_KEY}/${bucket}`]),
  }
}
