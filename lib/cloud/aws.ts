/**
 * AWS through its SDK: one way to ask and one way to change. The line that a person would type is derived from
 * the command's name and input, since the aws CLI is generated from the same model.
 */
import type { Change, Effect } from '../effect.ts'
import { askedAgain } from '../again.ts'
import { mustBeInDoor } from '../door.ts'
import { bad, ok, preflight, warning } from '../effect.ts'
import { EXIT, Fail, Lost, NoCredentials, Refused, Unanswered } from '../fail.ts'
import { Once } from '../files.ts'
import { optional, text } from '../inputs.ts'
import { agentFor } from './proxy.ts'

export const regionInput = (say: string) => text('name', say, { env: 'AWS_REGION', pattern: /^[a-z]{2}(-[a-z]+)+-\d$/, looks: 'a region: us-east-1' })
export const PROFILE = { ...optional('name', 'profile of the aws CLI'), env: 'AWS_PROFILE' }
/** A role that a service account of the cluster takes (IRSA). */
export const roleInput = (whose: string, name: string, env: string) =>
  ({ ...optional('arn', `IAM role for ${whose} service account (IRSA), in place of a user`, /^arn:aws[\w-]*:iam::\d{12}:role\/.+$/, `arn:aws:iam::111122223333:role/${name}`), env })

export type Service = 'iam' | 's3' | 'sts' | 'eks' | 'cloudformation' | 'ec2' | 'autoscaling'

/** What carries a call out: the SDK, or a rehearsal. Throws an error with the service's name of it and an HTTP status. */
export type Carrier = (region: string, service: Service, command: string, input: object, as?: KeyOf) => Promise<unknown>

/** A key that asks in place of the operator: its secret, and the file that it is from. */
export interface KeyOf { id: string; secret: Once; file: string }

let carry: Carrier = async (region, service, command, input, as) => (await sdk(service, region, as))(command, input)

/** A rehearsal plays AWS itself. */
export const useCarrier = (other: Carrier): void => { carry = other }

export interface Aws {
  region: string
  /** What is asked; undefined where the service says that there is none. */
  read<T>(service: Service, command: string, input: object): Promise<T | undefined>
  /** A change: the call and its line. */
  effect(service: Service, command: string, input: object, more: Pick<Effect, 'again' | 'danger' | 'subject'> & { on: string; changes?: Change[] }): Effect
  /** A change whose answer the caller wants; only within the call of an effect. */
  change<T>(service: Service, command: string, input: object): Promise<T>
  /** The words of a line, to show or to run. */
  words(service: Service, command: string, input: object): string[]
}

/** The account of the operator's credentials, or of a profile of theirs, in a region. */
export const awsIn = (region: string, profile?: string): Aws => {
  if (profile) process.env['AWS_PROFILE'] = profile
  const words = (service: Service, command: string, input: object) => [
    'aws', service === 's3' ? 's3api' : service, dashed(command), ...Object.entries(input).flatMap(([key, value]) => optionOf(key, value)), ...whereFlags(region),
  ]
  const { read, change } = awsAs(region)
  return {
    region, words, read, change,
    effect: (service, command, input, { on, changes, ...more }) => ({
      id: `${service}.${command} ${on}`, ...more,
      command: { words: words(service, command, input), ...onceOnly(more.again) },
      call: () => change(service, command, input),
      ...(changes ? { preview: async () => ({ changes }) } : {}),
    }),
  }
}

/** AWS, asked by a key; by the operator where none is named. */
export const awsAs = (region: string, as?: KeyOf): Pick<Aws, 'read' | 'change'> => ({
  change: async <T>(service: Service, command: string, input: object): Promise<T> => {
    mustBeInDoor(`${service}.${command}`)
    try {
      return await carry(region, service, command, input, as) as T
    } catch (error) {
      throw refusal(error, service, command, false, as)
    }
  },
  read: async <T>(service: Service, command: string, input: object) => {
    if (!isRead(command)) throw new Error(`${service}.${command} is no read`)
    return askedAgain(async () => {
      try {
        return await carry(region, service, command, input, as) as T
      } catch (error) {
        const said = refusal(error, service, command, true, as)
        if (said instanceof Refused && said.status === 404) return undefined
        throw said
      }
    })
  },
})

/** No layer sends a mint twice, the CLI's own retries neither. */
export const onceOnly = (again: Effect['again']): { env?: Record<string, string> } => (again === 'mint' ? { env: { AWS_MAX_ATTEMPTS: '1' } } : {})

const isRead = (command: string): boolean => /^(Get|List|Head|Describe|Simulate)/.test(command)

/** Every line says where it goes, so that a pasted one does not go wherever the shell points. */
export const whereFlags = (region: string, profile = process.env['AWS_PROFILE']): string[] => {
  const { AWS_ENDPOINT_URL } = process.env
  return ['--region', region, ...(profile ? ['--profile', profile] : []), ...(AWS_ENDPOINT_URL ? ['--endpoint-url', AWS_ENDPOINT_URL] : [])]
}

/** `PutUserPolicy` → `put-user-policy`, as the CLI spells it. */
const dashed = (name: string): string => name.replaceAll(/([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])/g, (_, before: string, after: string, capital: string) =>
  (capital ? `${capital}-` : `${before}-${after}`)).toLowerCase()

const optionOf = (key: string, value: unknown): string[] => {
  const name = `--${dashed(key)}`
  if (typeof value === 'boolean') return [value ? name : `--no-${name.slice(2)}`]
  // A value that begins so would be fetched.
  if (typeof value === 'string' && /^(file|fileb|https?):\/\//.test(value)) throw new Error(`${name} begins like an address, which the CLI would fetch`)
  return [name, typeof value === 'string' ? value : typeof value === 'object' ? JSON.stringify(value) : String(value)]
}

interface SdkError { name?: string; message?: string; code?: string; $metadata?: { httpStatusCode?: number }; $response?: unknown }

/** There is none, whatever the status: CloudFormation and EC2 say so with 400. There is one already: so does EC2. */
const ABSENT = /^NoSuchEntity|^ValidationError: Stack .* does not exist|^Invalid\w+\.NotFound/, TAKEN = /\.Duplicate$/

const CREDENTIALS = /^(CredentialsProviderError|TokenProviderError|ExpiredToken|InvalidClientTokenId|SignatureDoesNotMatch|UnrecognizedClient|InvalidAccessKeyId|InvalidToken|ExpiredTokenException|AuthFailure)/

/** What AWS, or the way to it, said, as an error with its remedy. */
const refusal = (error: unknown, service: Service, command: string, reads: boolean, as?: KeyOf): Error => {
  if (error instanceof Fail || error instanceof Lost) return error
  const { name = '', message = '', $metadata, code } = error as SdkError
  const status = $metadata?.httpStatusCode
  const reason = name.replace(/Exception$/, '')
  if (CREDENTIALS.test(name) && as) return new Refused(`AWS does not accept key ${as.id} of ${as.file} (${reason})`, anotherKey(as.file), { status: 401, reason })
  if (CREDENTIALS.test(name)) {
    return new NoCredentials(`AWS does not accept the credentials (${reason}: ${message || 'there are none'}).`,
      'Log in again (aws sso login, aws configure), or set AWS_PROFILE; this should answer: aws sts get-caller-identity', { code: EXIT.preflight })
  }
  if (status === undefined) {
    const trouble = code ?? (message || name)
    if (!reads) return new Lost(`the answer of AWS to ${service}.${command} was lost (${trouble})`)
    return new Unanswered(`AWS (${service}) does not answer: ${trouble}.`, 'Check the network and HTTPS_PROXY, then repeat the same line; this should answer: aws sts get-caller-identity')
  }
  if (!reads && status >= 500) return new Lost(`AWS answered ${service}.${command} with ${status} ${reason}, and may have carried it out`)
  return new Refused(`AWS refuses ${service}.${command}: ${message || reason}${message && !message.includes(reason) ? ` (${reason})` : ''}`,
    status === 403 && as ? 'Repeat the same line: it looks at the rights of this key again; new ones take a moment.'
      : status === 403 ? 'Ask whoever administers the AWS account for this permission, then repeat the same line. Who you are: aws sts get-caller-identity'
      : 'Look at what AWS says, mend it, then repeat the same line; it goes on where it stopped.',
    { status: status === 404 || ABSENT.test(`${reason}: ${message}`) ? 404 : TAKEN.test(reason) ? 409 : /Throttl|TooMany|SlowDown|RequestLimitExceeded/.test(reason) ? 429 : status, reason })
}

/** What to do where a key of a file is not accepted: a new one is known after some seconds only. */
export const anotherKey = (file: string): string => `A new key takes a moment: repeat the same line. Where it stays so, move ${file} away: the same line makes another key then.`

/** Somebody whom AWS knows asks: account and identity. */
export const accountAnswers = (aws: Aws) => preflight('aws', 'AWS answers, and knows who asks', async () => {
  const who = await aws.read<{ Account: string; Arn: string }>('sts', 'GetCallerIdentity', {})
  return ok(`account ${who?.Account}, as ${who?.Arn.split(':').at(-1)}`)
})

/** Number of the account. */
export const accountOf = async (aws: Aws): Promise<string> => (await aws.read<{ Account: string }>('sts', 'GetCallerIdentity', {}))?.Account ?? ''

/** IAM lets whoever asks do all of this, as far as it tells: a policy of the organisation may say no all the same. */
export const iamAllows = (aws: Aws, actions: string[], what: string) => preflight('rights', `you may ${what}, as far as IAM tells`, async () => {
  const arn = (await aws.read<{ Arn: string }>('sts', 'GetCallerIdentity', {}))?.Arn ?? ''
  try {
    const PolicySourceArn = arn.replace(/^(arn:[\w-]+):sts(::\d+):assumed-role\/([^/]+)\/.*$/, '$1:iam$2:role/$3')
    const said = await aws.read<{ EvaluationResults?: { EvalActionName: string; EvalDecision: string }[] }>('iam', 'SimulatePrincipalPolicy', { PolicySourceArn, ActionNames: actions })
    const denied = (said?.EvaluationResults ?? []).filter(({ EvalDecision }) => EvalDecision !== 'allowed').map(({ EvalActionName }) => EvalActionName)
    return denied.length ? bad(`you may not ${what}: ${arn.split(':').at(-1)} lacks ${denied.join(', ')}`, 'Ask whoever administers the AWS account for these, or set AWS_PROFILE to somebody who has them.')
      : ok(said ? 'IAM allows it' : 'IAM does not tell')
  } catch (error) {
    // Few may ask for that; what they may not do they are told when they do it.
    if (error instanceof Refused) return ok('IAM does not tell you')
    throw error
  }
})

/** A role that a service account of the cluster may take: it is there, and its trust names it. */
export const roleTrusts = (aws: Aws, arn: string, subject: string, who: string) => preflight('role', `the role ${arn} is there, and its trust names ${subject}`, async () => {
  const found = await aws.read<{ Role: { AssumeRolePolicyDocument: string } }>('iam', 'GetRole', { RoleName: arn.split('/').at(-1) ?? '' })
  if (!found) return bad(`there is no role ${arn}`, 'Make it first (eksctl create iamserviceaccount --role-only), or leave --role out for a user with a key.')
  return decodeURIComponent(found.Role.AssumeRolePolicyDocument).includes(subject) ? ok(`${subject} may take it`)
    : warning(`the role's trust does not name ${subject}`, `${who} would be refused; put it into the trust policy of the role.`)
})

type Sender = (command: string, input: object) => Promise<unknown>
const senders = new Map<string, Promise<Sender>>()

const sdk = (service: Service, region: string, as?: KeyOf): Promise<Sender> => {
  const key = `${service} ${region} ${as?.id ?? ''}`
  const known = senders.get(key) ?? open(service, region, as)
  senders.set(key, known)
  return known
}

const open = async (service: Service, region: string, as?: KeyOf): Promise<Sender> => {
  // That it wants a newer Node from 2027 on is said in the README, and helps nobody in the middle of a run.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
  const modules = {
    iam: () => import('@aws-sdk/client-iam'), s3: () => import('@aws-sdk/client-s3'), sts: () => import('@aws-sdk/client-sts'),
    eks: () => import('@aws-sdk/client-eks'), cloudformation: () => import('@aws-sdk/client-cloudformation'),
    ec2: () => import('@aws-sdk/client-ec2'), autoscaling: () => import('@aws-sdk/client-auto-scaling'),
  }
  const loaded = await modules[service]() as unknown as Record<string, new (input: object) => { send(command: object): Promise<unknown> }>
  const Client = loaded[{ iam: 'IAMClient', s3: 'S3Client', sts: 'STSClient', eks: 'EKSClient', cloudformation: 'CloudFormationClient', ec2: 'EC2Client', autoscaling: 'AutoScalingClient' }[service]]
  if (!Client) throw new Error(`no client of ${service}`)
  const client = new Client({
    region, maxAttempts: 1, requestHandler: { connectionTimeout: 10_000, requestTimeout: 30_000, ...await agents(service) },
    ...(as ? { credentials: { accessKeyId: as.id, secretAccessKey: Once.join([as.secret]) } } : {}),
    ...(service === 's3' && process.env['AWS_ENDPOINT_URL'] ? { forcePathStyle: true } : {}),
  })
  return async (command, input) => {
    const Command = loaded[`${command}Command`]
    if (!Command) throw new Error(`${service} has no ${command}`)
    return readBody(hidden(await client.send(new Command(input))))
  }
}

const agents = async (service: Service): Promise<object> => {
  const httpsAgent = await agentFor(process.env['AWS_ENDPOINT_URL'] ?? `https://${service}.amazonaws.com`)
  return httpsAgent ? { httpsAgent } : {}
}

/** What is told once leaves here as a `Once`, and never as text. */
const hidden = (answer: unknown): unknown => {
  const key = (answer as { AccessKey?: { SecretAccessKey?: string } }).AccessKey
  return key?.SecretAccessKey ? { ...answer as object, AccessKey: { ...key, SecretAccessKey: new Once(key.SecretAccessKey) } } : answer
}

/** What an object holds comes as a stream. */
const readBody = async (answer: unknown): Promise<unknown> => {
  const { Body } = answer as { Body?: { transformToString(): Promise<string> } }
  return Body ? { ...answer as object, Body: await Body.transformToString() } : answer
}
