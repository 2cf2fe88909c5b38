/**
 * velero-aws on a real AWS API server, with the real velero command on a real Kubernetes API server. What has no
 * counterpart without a cloud is played: the Velero server, which looks at its location.
 */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { veleroPolicy } from '../../lib/cloud/policies.ts'
import { processesDuring } from '../processes-seen.ts'
import { accountHas, cuttingProxy, startAws, type AwsServer } from './aws.ts'
import { CONTEXT } from './cluster.ts'
import type { Installation } from './installation.ts'
import { bash, journals, start, startBash, type Ended, type Surroundings } from './runs.ts'
import { inVelero, onVelero, SECRET, veleroHas } from './velero.ts'

const BUNDLE = new URL('../../dist/velero-aws.mjs', import.meta.url).pathname
const BUCKET = 'velero-of-the-test'
const MARK = [{ Key: 'managed-by', Value: 'circleci-server-runbooks' }]

let aws: AwsServer
let here: Installation
const { cluster, home } = onVelero(['moto_server', 'aws'], {
  start: async (made) => {
    here = made
    aws = await startAws()
  },
  reset: () => aws.reset(),
  stop: () => aws?.stop(),
})

const WORDS = ['--bucket', BUCKET, '--region', 'us-east-1', '--context', CONTEXT]
const begin = (flags: string[], surroundings: Surroundings = {}) =>
  start(here, [process.execPath, BUNDLE, ...WORDS, '--namespace', here.namespace, ...flags], { env: { ...aws.env, ...surroundings.env } })
const run = (flags: string[] = ['--yes'], surroundings?: Surroundings): Promise<Ended> => begin(flags, surroundings).ended

const file = () => readFileSync(join(home(), 'credentials-velero'), 'utf8')

/** All that a run has to leave: one key, in the file and in the cluster, and everything around it. */
const expectSetUp = async () => {
  const { keys, ...account } = await accountHas('velero', BUCKET)
  expect(account).toEqual({
    tags: MARK, policy: veleroPolicy(BUCKET, 'us-east-1'), versioning: 'Enabled', bucketTags: MARK,
    block: { BlockPublicAcls: true, IgnorePublicAcls: true, BlockPublicPolicy: true, RestrictPublicBuckets: true },
    encryption: { Rules: [expect.objectContaining({ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } })] },
  })
  expect(keys).toHaveLength(1)
  expect(file()).toMatch(new RegExp(`^\\[default\\]\naws_access_key_id=${keys[0]}\naws_secret_access_key=\\S{40}\n$`))
  expect(statSync(join(home(), 'credentials-velero')).mode & 0o777).toBe(0o600)
  expect(existsSync(join(home(), 'credentials-velero.part'))).toBe(false)
  const { credentials, location, agents } = await veleroHas(cluster())
  expect(credentials?.trim()).toBe(file().trim())
  expect(location).toMatchObject({ provider: 'aws', default: true, objectStorage: { bucket: BUCKET }, config: { region: 'us-east-1' } })
  expect(agents).toMatchObject({ desiredNumberScheduled: 1, numberReady: 1 })
}

test('looking changes nothing; a run sets it up; the same line again has nothing to do', async () => {
  for (const flags of [['--dry-run'], ['--dry-run', '--json'], ['--shell']]) {
    const { code, all } = await run(flags)
    expect(code, all).toBe(0)
  }
  expect((await accountHas('velero', BUCKET)).keys).toEqual([])
  const first = await run()
  expect(first.code, first.all).toBe(0)
  await expectSetUp()
  const second = await run([])
  expect(second.code, second.all).toBe(0)
  expect(second.stderr).toContain('Nothing to do')
  await expectSetUp()
})

describe('the key', () => {
  test('an answer that was lost leaves one key in the end', async () => {
    const proxy = await cuttingProxy(aws.url, 'Action=CreateAccessKey')
    onTestFinished(proxy.close)
    const first = await run(['--yes'], { env: { AWS_ENDPOINT_URL: proxy.url } })
    expect(first.code, first.all).toBe(1)
    expect((await accountHas('velero', BUCKET)).keys).toHaveLength(1)
    const again = await run()
    expect(again.code, again.all).toBe(0)
    await expectSetUp()
  })

  test('a kill before its secret was written leaves one key in the end', async () => {
    let running: ReturnType<typeof begin>
    const proxy = await cuttingProxy(aws.url, 'Action=CreateAccessKey', () => running.signal('SIGKILL'))
    onTestFinished(proxy.close)
    running = begin(['--yes'], { env: { AWS_ENDPOINT_URL: proxy.url } })
    expect(await running.ended).toMatchObject({ signal: 'SIGKILL' })
    const again = await run()
    expect(again.code, again.all).toBe(0)
    await expectSetUp()
  })

  test('one whose secret is in the file is used, and no other is made', async () => {
    expect(await run()).toMatchObject({ code: 0 })
    const [key] = (await accountHas('velero', BUCKET)).keys
    await cluster().request('DELETE', SECRET)
    expect(await run()).toMatchObject({ code: 0 })
    expect((await accountHas('velero', BUCKET)).keys).toEqual([key])
    await expectSetUp()
  })
})

describe('the script of --shell', () => {
  const script = async () => (await run(['--shell'])).stdout
  const lines = (text: string, from: RegExp) => text.split('\n').findIndex((row) => from.test(row))

  test('run by bash with the real tools it leaves what the run leaves', async () => {
    const { code, all } = await startBash(here, await script(), { env: aws.env }).ended
    expect(code, all).toBe(0)
    await expectSetUp()
    const after = await run([])
    expect(after.stderr, after.all).toContain('Nothing to do')
  })

  test.each(['run', 'script'])('no secret is an argument of a process, or said: the %s', async (form) => {
    const text = await script()
    const { result: { code, all }, shown } = await processesDuring(() => form === 'run' ? run(['--yes', '--verbose']) : startBash(here, text, { env: aws.env }).ended)
    expect(code, all).toBe(0)
    const secret = /secret_access_key=(\S+)/.exec(file())?.[1] as string
    expect(shown.some((words) => words.includes(form === 'run' ? BUNDLE : 'create-access-key'))).toBe(true)
    expect(shown.some((words) => words.includes('--secret-file'))).toBe(true)
    expect(shown.filter((words) => words.includes(secret))).toEqual([])
    expect(all + journals(here)).not.toContain(secret)
  })

  test.each(['inside the key', 'after the key'])('cut off %s, the runbook goes on from there', async (where) => {
    const text = await script()
    const at = lines(text, /create-access-key/)
    const cut = text.split('\n').slice(0, at + 1)
    // Made, and never written down.
    if (where === 'inside the key') cut[at] = (cut[at] as string).replace(/ > \S+\.part && mv .*$/, ' > /dev/null)')
    writeFileSync(join(home(), 'cut.sh'), cut.join('\n'))
    const { code, all } = await bash({ ...here, env: { ...here.env, ...aws.env } }, `bash ${join(home(), 'cut.sh')}`)
    expect(code, all).toBe(0)
    expect((await accountHas('velero', BUCKET)).keys).toHaveLength(1)
    const again = await run()
    expect(again.code, again.all).toBe(0)
    await expectSetUp()
  })
})

test('another bucket: the one location is moved, and says what is at risk', async () => {
  expect(await run()).toMatchObject({ code: 0 })
  const refused = await begin(['--bucket', 'velero-elsewhere']).ended
  expect(refused.code, refused.all).toBe(5)
  expect(refused.stderr).toContain('no longer listed')
  const moved = await begin(['--bucket', 'velero-elsewhere', '--yes']).ended
  expect(moved.code, moved.all).toBe(0)
  const { items } = (await cluster().request('GET', inVelero('velero.io/v1', 'backupstoragelocations'))).body
  expect(items.map(({ metadata, spec }: any) => [metadata.name, spec.objectStorage.bucket])).toEqual([['default', 'velero-elsewhere']])
})
