/**
 * What the operator gives for the installation, and what of it goes into which field of the Config screen. Secrets stay
 * in the files in which the earlier runbooks left them. Installation guide 3.3.0, phase 2.
 */
import { bad, impossible, ok, preflight } from '../effect.ts'
import { EXIT, fail } from '../fail.ts'
import { isOpenToOthers } from '../files.ts'
import { domainName, optional, text } from '../inputs.ts'
import { line } from '../shell.ts'
import { liveIn } from './certbot.ts'
import type { Pair } from './certificates.ts'
import { nothingElseIsUndeployed } from '../preflight.ts'
import type { FieldName } from './config-screen.ts'
import { isOneOf, lacks, type Filled, type Value } from './config.ts'
import { appIsThere, kotsVersions } from './kots.ts'
import { objectInputs } from './object-storage.ts'

type Storage = 'aws' | 'gcp' | 's3'
const STORAGE: Storage[] = ['aws', 'gcp', 's3']

/** The file that each runbook of the object storage writes. */
const CREDENTIALS: Record<Storage, string> = { aws: 'credentials-circleci-server', s3: 'credentials-circleci-server', gcp: 'circleci-server-keyfile' }

/** A password in it would stand on command lines; an error that shows it would be no better. */
const proxyInput = (say: string, env: string) => {
  const input = optional('uri', say)
  return { ...input, env, parse: (given: string) => {
    if (given.includes('@')) throw fail('holds a user or a password, which would stand on command lines.', 'Leave them out here: the Config screen has HTTP Proxy User and HTTP Proxy Password.', { code: EXIT.usage })
    return input.parse(given)
  } }
}
const fileInput = (say: string, env: string, otherwise: string) => text('file', say, { env, otherwise })

export const fieldInputs = () => ({
  domain: domainName('domain of the installation'),
  folder: text('folder', 'folder in which certbot keeps the certificate', { env: 'TLS_FOLDER', otherwise: 'letsencrypt' }),
  certificate: { ...optional('file', 'certificate of your own with its intermediates, in place of certbot\'s'), env: 'TLS_CERTIFICATE' },
  key: { ...optional('file', 'its private key'), env: 'TLS_KEY' },
  signing: fileInput('file of the artifact signing keyset', 'KEYSET_SIGNING', 'keyset-signing'),
  encryption: fileInput('file of the encryption keyset', 'KEYSET_ENCRYPTION', 'keyset-encryption'),
  app: fileInput('file of the OAuth app', 'GITHUB_APP_FILE', 'github-oauth-app'),
  enterprise: { ...optional('host', 'host of a GitHub Enterprise, in place of github.com', /^[a-z0-9.-]+(:\d+)?$/, 'the name alone: github.example.com'), env: 'GITHUB_ENTERPRISE_HOST' },
  storage: { ...text('aws|gcp|s3', 'where the object storage is', { env: 'CIRCLECI_CLOUD', pattern: /^(aws|gcp|s3)$/, looks: 'aws, gcp or s3' }), choices: STORAGE },
  ...objectInputs('_'),
  credentials: { ...optional('file', 'file of its key, where it is not the one that its runbook writes'), env: 'OBJECT_STORAGE_CREDENTIALS' },
  region: { ...optional('name', 'aws: region of the bucket', /^[a-z]{2}(-[a-z]+)+-\d$/, 'a region: us-east-1'), env: 'AWS_REGION' },
  endpoint: { ...optional('url', 's3: address of the store', /^https?:\/\/\S+$/, 'its address: https://minio.example.com:9000'), env: 'S3_ENDPOINT' },
  role: { ...optional('arn', 'aws: role of the server, in place of a key', /^arn:aws[\w-]*:iam::\d{12}:role\/.+$/, 'arn:aws:iam::111122223333:role/circleci-server'), env: 'OBJECT_STORAGE_ROLE' },
  account: { ...optional('email', 'gcp: account for Workload Identity, in place of a key', /^[^@\s]+@[^@\s]+\.iam\.gserviceaccount\.com$/, 'circleci-server@my-project.iam.gserviceaccount.com'), env: 'OBJECT_STORAGE_ACCOUNT_EMAIL' },
  httpProxy: proxyInput('proxy for HTTP, where the installation is behind one', 'SERVER_HTTP_PROXY'),
  httpsProxy: proxyInput('proxy for HTTPS; its own address begins with http:// too', 'SERVER_HTTPS_PROXY'),
  noProxy: { ...optional('hosts', 'hosts that are reached without it, with commas'), env: 'SERVER_NO_PROXY' },
})

export interface Given {
  domain: string; folder: string; certificate: string | undefined; key: string | undefined; signing: string; encryption: string; app: string; enterprise: string | undefined
  storage: string; bucket: string; expiry: number; credentials: string | undefined; region: string | undefined; endpoint: string | undefined; role: string | undefined; account: string | undefined
  httpProxy: string | undefined; httpsProxy: string | undefined; noProxy: string | undefined
}

/** Throws where values, each fine by itself, do not go together. */
export const mustGoTogether = ({ storage, region, endpoint, role, account, certificate, key }: Given): void => {
  const usage = (what: string, next: string) => fail(what, next, { code: EXIT.usage })
  if (storage === 'aws' && !region) throw usage('The object storage on AWS wants a region.', 'Add --region us-east-1, or AWS_REGION in the env file.')
  if (storage === 's3' && !endpoint) throw usage('An object storage that speaks S3 wants its address.', 'Add --endpoint https://minio.example.com:9000, or S3_ENDPOINT in the env file.')
  if (storage !== 'aws' && role) throw usage('--role is for --storage aws.', 'Leave it out (OBJECT_STORAGE_ROLE in the env file).')
  if (storage !== 'gcp' && account) throw usage('--account is for --storage gcp.', 'Leave it out (OBJECT_STORAGE_ACCOUNT_EMAIL in the env file).')
  if (Boolean(certificate) !== Boolean(key)) throw usage('--certificate and --key go together.', 'Name both (TLS_CERTIFICATE and TLS_KEY in the env file), or neither: then it is certbot\'s.')
}

/** The certificate that goes into the screen. */
export const pairOf = ({ certificate, key, folder, domain }: Given): Pair => (certificate && key ? { certificate, key, domain } : liveIn(folder, domain))

const storageFields = ({ storage, bucket, expiry, credentials, region, endpoint, role, account }: Given): Filled => {
  const file = credentials ?? CREDENTIALS[storage as Storage]
  if (storage === 'gcp') return { storage: 'Google Cloud Storage', gcsBucket: bucket, gcsExpiry: String(expiry), ...(account ? { gcsAccount: account } : { gcsKey: { file } }) }
  const access: Filled = role ? { s3Authentication: 'IAM role', s3Role: role } : { s3AccessKey: { file, after: 'aws_access_key_id=' }, s3SecretKey: { file, after: 'aws_secret_access_key=' } }
  // Each of the two makes the screen ignore the other.
  return { storage: 'S3 Compatible', s3Bucket: bucket, ...(storage === 'aws' ? { s3Region: region ?? '' } : { s3Endpoint: endpoint ?? '' }), s3Expiry: String(expiry), ...access }
}

/** Each field that phase 2 fills in. */
export const fieldsOf = (given: Given): Filled => {
  const { domain, signing, encryption, app, enterprise, httpProxy, httpsProxy, noProxy } = given
  const { certificate, key } = pairOf(given)
  const inApp = (after: string): Value => ({ file: app, after: `${after}=` })
  return {
    domain, tlsKey: { file: key }, tlsCertificate: { file: certificate },
    signing: { file: signing }, encryption: { file: encryption },
    githubType: enterprise ? 'Enterprise' : 'Cloud', clientId: inApp('GITHUB_CLIENT_ID'), clientSecret: inApp('GITHUB_CLIENT_SECRET'),
    ...(enterprise ? { enterpriseDomain: enterprise, enterpriseToken: inApp('GITHUB_ENTERPRISE_TOKEN') } : {}),
    ...(httpProxy || httpsProxy ? { proxy: '1' } : {}), ...(httpProxy ? { httpProxy } : {}), ...(httpsProxy ? { httpsProxy } : {}), ...(noProxy ? { noProxy } : {}),
    ...storageFields(given),
  }
}

/** What nobody can change once it is deployed; with other keysets history and artifacts would be lost. */
export const finalOf = (given: Given): Filled => {
  const { domain, githubType, enterpriseDomain, signing, encryption } = fieldsOf(given)
  return { domain, githubType, signing, encryption, ...(enterpriseDomain ? { enterpriseDomain } : {}) } as Filled
}

/** Which runbook writes the file of a field. */
const WRITES: Partial<Record<keyof Filled, string>> = {
  tlsKey: 'tls-certificates.ts issue', tlsCertificate: 'tls-certificates.ts issue', signing: 'gen-keysets.ts make', encryption: 'gen-keysets.ts make',
  clientId: 'github-oauth-app.ts', clientSecret: 'github-oauth-app.ts', enterpriseToken: 'github-oauth-app.ts',
}

/** Every file that phase 2 reads is there, and holds what is wanted of it. */
export const filesAreThere = (given: Given) => preflight('files', 'keysets, certificate, OAuth app and the key of the object storage are in their files', async () => {
  const files = Object.entries(fieldsOf(given)).flatMap(([field, value]) => (typeof value === 'object' && 'file' in value ? [{ field, value }] : []))
  const missing = files.flatMap(({ field, value }) => {
    const what = lacks(value)
    return what ? [{ what, by: WRITES[field as keyof Filled] ?? `object-storage-${given.storage}.ts` }] : []
  })
  if (missing.length) {
    return bad([...new Set(missing.map(({ what }) => what.replace(/\.$/, '')))].join('; '), `These make them: ${[...new Set(missing.map(({ by }) => line(['npx', 'tsx', ...`runbooks/${by}`.split(' ')])))].join('; ')}`)
  }
  const open = [...new Set(files.map(({ value }) => value.file))].filter((file) => file !== pairOf(given).certificate && isOpenToOthers(file))
  return open.length ? bad(`others than you can read ${open.join(', ')}`, line(['chmod', '600', ...open])) : ok(`${files.length} values are in their files`)
})

/** Before the first deploy the risk is asked; afterwards another value is refused. `deployed` are labels of those that differ. */
export const addressIsFinal = (deployed: () => Promise<string[]>) => preflight('final', 'domain and GitHub are those of the installation, which nobody can change', async () => {
  const others = await deployed()
  return others.length ? impossible(`this installation was set up with another ${others.join(' and ')}, which cannot be changed afterwards`, 'Name those that it has, or set up a new installation and move the data to it.') : ok('they are')
})

/** After the first deploy, a later one takes along nothing that somebody else saved. */
export const nothingElseGoesAlong = (given: Given) => preflight('undeployed', 'KOTS holds nothing else that was saved and never deployed; it would go out with this', async () =>
  (await appIsThere() && (await kotsVersions())?.some(({ status }) => status === 'deployed')
    ? nothingElseIsUndeployed(isOneOf(Object.keys(fieldsOf(given)) as FieldName[])).look() : ok('nothing is deployed yet')))
