/**
 * object-storage-aws on a real AWS API server, without a cluster: what it leaves, that its script leaves the same by the
 * real aws, and that the key which it made is the one that wrote, read and deleted.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { awsIn } from '../../lib/cloud/aws.ts'
import { serverPolicy } from '../../lib/cloud/policies.ts'
import { processesDuring } from '../processes-seen.ts'
import { accountHas, cuttingProxy, startAws, type AwsServer } from './aws.ts'
import { lacking, must, needs } from './components.ts'
import { homeAt, journals, start, startBash, type Ended, type Home } from './runs.ts'

const BUNDLE = new URL('../../dist/object-storage-aws.mjs', import.meta.url).pathname
const BUCKET = 'objects-of-the-test', FILE = 'credentials-circleci-server', PROOF = 'circleci-runbooks-proof'
const MARK = [{ Key: 'managed-by', Value: 'circleci-server-runbooks' }]
const missing = lacking('moto_server', 'aws', 'openssl')

let aws: AwsServer
let here: Home
beforeEach(needs('moto_server', 'aws', 'openssl'))
beforeAll(async () => { if (!missing) aws = await startAws() })
afterAll(() => aws?.stop())
beforeEach(async () => {
  if (missing) return
  await aws.reset()
  const folder = mkdtempSync(join(tmpdir(), 'real-objects-'))
  here = homeAt(folder, [dirname(must('aws')), process.env['PATH']].join(delimiter))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
})

const at = (name: string) => join(here.env['HOME'] as string, name)
const begin = (flags: string[] = [], env: Record<string, string> = {}) =>
  start(here, [process.execPath, BUNDLE, '--bucket', BUCKET, '--region', 'us-east-1', '--expiry', '30', ...flags], { env: { ...aws.env, ...env } })
const run = (flags?: string[], env?: Record<string, string>): Promise<Ended> => begin(flags, env).ended
const file = () => readFileSync(at(FILE), 'utf8')
const ask = <T>(command: string, input: object = {}) => awsIn('us-east-1').read<T>('s3', command, { Bucket: BUCKET, ...input })

const expectSetUp = async () => {
  const { keys, ...account } = await accountHas('circleci-server', BUCKET, 'circleci-server')
  expect(account).toEqual({
    tags: MARK, policy: serverPolicy(BUCKET, 'us-east-1'), versioning: undefined, bucketTags: MARK,
    block: { BlockPublicAcls: true, IgnorePublicAcls: true, BlockPublicPolicy: true, RestrictPublicBuckets: true },
    encryption: { Rules: [expect.objectContaining({ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } })] },
  })
  expect(keys).toHaveLength(1)
  expect(file()).toMatch(new RegExp(`^\\[default\\]\naws_access_key_id=${keys[0]}\naws_secret_access_key=\\S{40}\n$`))
  expect(statSync(at(FILE)).mode & 0o777).toBe(0o600)
  expect(existsSync(at(`${FILE}.part`))).toBe(false)
  expect((await ask<{ Contents: { Key: string }[] }>('ListObjectsV2'))?.Contents.map(({ Key }) => Key)).toEqual([PROOF])
  expect((await ask<{ Body: string }>('GetObject', { Key: PROOF }))?.Body).toBe(`${keys[0]}\n`)
}

test('looking changes nothing; a run sets it up; the same line again has nothing to do', async () => {
  for (const flags of [['--dry-run'], ['--dry-run', '--json'], ['--shell']]) {
    const { code, all } = await run(flags)
    expect(code, all).toBe(0)
  }
  expect(await ask('HeadBucket')).toBeUndefined()
  const first = await run()
  expect(first.code, first.all).toBe(0)
  await expectSetUp()
  const second = await run()
  expect(second.code, second.all).toBe(0)
  expect(second.stderr).toContain('Nothing to do')
  await expectSetUp()
})

test.each([['the run', async (env: Record<string, string>) => begin([], env).ended], ['its script', async (env: Record<string, string>) => startBash(here, (await run(['--shell'], env)).stdout, { env: { ...aws.env, ...env } }).ended]])(
  'the objects are asked for by the new key, all else by the operator: %s', async (_, act) => {
    const proxy = await cuttingProxy(aws.url, 'nothing is cut off')
    onTestFinished(proxy.close)
    const { code, all } = await act({ AWS_ENDPOINT_URL: proxy.url })
    expect(code, all).toBe(0)
    const [key] = (await accountHas('circleci-server', BUCKET)).keys
    const ofObjects = proxy.asked.filter(({ what }) => what.includes('/circleci-runbooks-'))
    expect(new Set(ofObjects.map(({ by }) => by))).toEqual(new Set([key]))
    const kinds = new Set(ofObjects.map(({ what }) => what.split(/[ ?]/).slice(0, 2).join(' ')))
    for (const wanted of [`PUT /${BUCKET}/circleci-runbooks-trial`, `DELETE /${BUCKET}/circleci-runbooks-trial`, `PUT /${BUCKET}/${PROOF}`]) expect([...kinds]).toContain(wanted)
    expect(new Set(proxy.asked.filter(({ what }) => what.startsWith('POST')).map(({ by }) => by))).toEqual(new Set(['testing']))
  })

test('the answer with the key was lost: one key in the end', async () => {
  const proxy = await cuttingProxy(aws.url, 'Action=CreateAccessKey')
  onTestFinished(proxy.close)
  const first = await run(['--yes'], { AWS_ENDPOINT_URL: proxy.url })
  expect(first.code, first.all).toBe(1)
  expect((await accountHas('circleci-server', BUCKET)).keys).toHaveLength(1)
  const again = await run(['--yes'])
  expect(again.code, again.all).toBe(0)
  await expectSetUp()
})

test('the script of --shell leaves what the run leaves; no secret is an argument of a process', async () => {
  const text = (await run(['--shell'])).stdout
  const { result: { code, all }, shown } = await processesDuring(() => startBash(here, text, { env: aws.env }).ended)
  expect(code, all).toBe(0)
  await expectSetUp()
  const secret = /secret_access_key=(\S+)/.exec(file())?.[1] as string
  expect(shown.some((words) => words.includes('create-access-key'))).toBe(true)
  expect(shown.filter((words) => words.includes(secret))).toEqual([])
  expect(all + journals(here)).not.toContain(secret)
  const after = await run()
  expect(after.stderr, after.all).toContain('Nothing to do')
})

test('with a role: its inline policy, and no user', async () => {
  const trust = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { Federated: 'arn:aws:iam::123456789012:oidc-provider/oidc.example.com' }, Action: 'sts:AssumeRoleWithWebIdentity', Condition: { StringEquals: { 'oidc.example.com:sub': 'system:serviceaccount:circleci-server:object-storage' } } }] })
  const made = await startBash(here, `aws iam create-role --role-name circleci-server --assume-role-policy-document '${trust}' --region us-east-1`, { env: aws.env }).ended
  expect(made.code, made.all).toBe(0)
  const role = 'arn:aws:iam::123456789012:role/circleci-server'
  const first = await run(['--role', role])
  expect(first.code, first.all).toBe(0)
  const { PolicyDocument = '' } = await awsIn('us-east-1').read<{ PolicyDocument: string }>('iam', 'GetRolePolicy', { RoleName: 'circleci-server', PolicyName: 'circleci-server' }) ?? {}
  expect(JSON.parse(decodeURIComponent(PolicyDocument))).toEqual(serverPolicy(BUCKET, 'us-east-1', role))
  expect((await accountHas('circleci-server', BUCKET)).tags).toBeUndefined()
  expect((await run(['--role', role])).stderr).toContain('Nothing to do')
})
