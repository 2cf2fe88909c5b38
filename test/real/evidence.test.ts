/**
 * What `backup-restore verify` finds in a bucket of S3, on a real AWS API server: a backup that is there, one that is
 * not, parts that are gone, and credentials that may not look.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { awsIn } from '../../lib/cloud/aws.ts'
import { asRunner } from '../../lib/door.ts'
import { objectsIn } from '../../lib/velero/evidence.ts'
import { startAws, type AwsServer } from './aws.ts'
import { lacking, needs } from './components.ts'
import { freePorts } from './processes.ts'

beforeEach(needs('moto_server'))
const BUCKET = 'velero-of-the-test', NAME = 'instance-7k2fq', FOLDER = `backups/${NAME}/`
const PARTS = ['velero-backup.json', `${NAME}.tar.gz`, `${NAME}-logs.gz`]

let aws: AwsServer
const missing = lacking('moto_server')
beforeAll(async () => { if (!missing) aws = await startAws() })
afterAll(() => aws?.stop())
beforeEach(async () => { if (!missing) await aws.reset() })

/** A client keeps the credentials and the address that it began with: each question has a region of its own. */
const regions = ['us-east-2', 'us-west-1', 'us-west-2', 'eu-west-1', 'eu-west-2', 'eu-west-3', 'eu-north-1', 'eu-central-1', 'ap-south-1', 'sa-east-1']
const send = (command: string, input: object) => asRunner('a test', () => awsIn('us-east-1').change('s3', command, input))
const filled = async (parts: string[], folder = FOLDER) => {
  await send('CreateBucket', { Bucket: BUCKET })
  for (const part of parts) await send('PutObject', { Bucket: BUCKET, Key: folder + part, Body: 'x' })
}
const look = (folder = FOLDER) => objectsIn(awsIn(regions.shift() as string), BUCKET, folder, NAME)

/** The answer to a question that is asked with other surroundings. */
const within = async <T>(env: Record<string, string>, ask: () => Promise<T>): Promise<T> => {
  const before = { ...process.env }
  Object.assign(process.env, env)
  try {
    return await ask()
  } finally {
    Object.assign(process.env, before)
  }
}

describe('the objects of a backup', () => {
  test('are there', async () => {
    await filled(PARTS)
    expect(await look()).toMatchObject({ is: 'ok', say: `3 objects in s3://${BUCKET}/${FOLDER}, and they can be read` })
  })

  test('are there, below a prefix', async () => {
    await filled(PARTS, `prod/${FOLDER}`)
    expect(await look(`prod/${FOLDER}`)).toMatchObject({ is: 'ok' })
    expect(await look()).toMatchObject({ is: 'bad' })
  })

  test.each([[[], 'velero-backup.json and instance-7k2fq.tar.gz'], [PARTS.slice(0, 1), 'instance-7k2fq.tar.gz'], [PARTS.slice(1), 'velero-backup.json']])('%j alone are not enough', async (parts, lacks) => {
    await filled(parts)
    const found = await look() as any
    expect(found).toMatchObject({ is: 'bad', say: `s3://${BUCKET}/${FOLDER} lacks ${lacks}` })
    expect(found.next).toContain(`aws s3api list-objects-v2 --bucket ${BUCKET} --prefix ${FOLDER}`)
  })

  test('without the bucket are not there', async () => {
    expect(await look()).toMatchObject({ is: 'bad', say: expect.stringContaining('lacks velero-backup.json') })
  })
})

describe('what the operator may not see is not proven, and is no failure of the backup', () => {
  /** moto checks who asks, and what they may do, from now on. */
  const checking = (on: boolean) => fetch(`${aws.url}/moto-api/reset-auth`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: on ? '0' : 'inf' })
  afterEach(async () => { if (!missing) await checking(false) })

  // moto cannot check a user's own policies here: it computes other signatures than the SDK's. A bucket's it does check.
  test('an object that the bucket refuses to show', async () => {
    await filled(PARTS)
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Deny', Principal: '*', Action: 's3:*Object', Resource: `arn:aws:s3:::${BUCKET}/*` }] })
    await send('PutBucketPolicy', { Bucket: BUCKET, Policy })
    expect(await look()).toMatchObject({ is: 'warning', say: expect.stringMatching(/^not proven with your own credentials: AWS refuses s3.HeadObject/) })
  })

  test('keys that AWS does not know', async () => {
    await filled(PARTS)
    await checking(true)
    const found = await within({ AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE', AWS_SECRET_ACCESS_KEY: 'none' }, () => look())
    expect(found).toMatchObject({ is: 'warning', say: expect.stringContaining('AWS does not accept the credentials') })
  })

  test('nobody answers', async () => {
    const [port] = await freePorts(1)
    const found = await within({ AWS_ENDPOINT_URL: `http://127.0.0.1:${port}` }, () => look())
    expect(found).toMatchObject({ is: 'warning', say: expect.stringMatching(/^not proven .*does not answer: .*ECONNREFUSED/) })
  })
})
