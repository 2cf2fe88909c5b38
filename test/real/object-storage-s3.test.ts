/** object-storage-s3 on a real MinIO with its real client, without a cluster. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { storePolicy } from '../../lib/cloud/store.ts'
import { processesDuring } from '../processes-seen.ts'
import { lacking, needs } from './components.ts'
import { ALIAS, mcFolder, startMinio, storeHas, type Minio } from './minio.ts'
import { homeAt, journals, start, startBash, type Ended, type Home } from './runs.ts'

const BUNDLE = new URL('../../dist/object-storage-s3.mjs', import.meta.url).pathname
const BUCKET = 'objects-of-the-test', POLICY = `circleci-server-${BUCKET}`, FILE = 'credentials-circleci-server'
const missing = lacking('minio', 'mc', 'openssl')

let minio: Minio
let here: Home
beforeEach(needs('minio', 'mc', 'openssl'))
beforeAll(async () => { if (!missing) minio = await startMinio() })
afterAll(() => minio?.stop())
beforeEach(async () => {
  if (missing) return
  await minio.reset()
  const folder = mkdtempSync(join(tmpdir(), 'real-objects-'))
  here = homeAt(folder, [mcFolder(), process.env['PATH']].join(delimiter))
  minio.aliasIn(folder)
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
})

const at = (name: string) => join(here.env['HOME'] as string, name)
const run = (...flags: string[]): Promise<Ended> =>
  start(here, [process.execPath, BUNDLE, '--bucket', BUCKET, '--alias', ALIAS, '--endpoint', minio.url, '--expiry', '30', ...flags], {}).ended
const secretOf = () => /secret_access_key=(\S+)/.exec(readFileSync(at(FILE), 'utf8'))?.[1] as string

const expectSetUp = async () => {
  expect(await storeHas(minio, 'circleci-server', POLICY)).toEqual({ buckets: [`${BUCKET}/`], policies: POLICY, policy: storePolicy(BUCKET) })
  expect(readFileSync(at(FILE), 'utf8')).toMatch(/^\[default\]\naws_access_key_id=circleci-server\naws_secret_access_key=[0-9a-f]{40}\n$/)
  expect(statSync(at(FILE)).mode & 0o777).toBe(0o600)
  expect(existsSync(at(`${FILE}.part`))).toBe(false)
  // Who has the file may use the bucket; the one object that is left says that it did.
  const as: [string, string] = ['circleci-server', secretOf()]
  expect((await minio.mc(['cat', `${ALIAS}/${BUCKET}/circleci-runbooks-proof`], { as })).stdout).toMatch(/^[0-9a-f]{8}\n$/)
  expect((await minio.mc(['ls', `${ALIAS}/${BUCKET}`])).stdout.trim().split('\n')).toHaveLength(1)
}

test('looking changes nothing; a run sets it up; the same line again has nothing to do', async () => {
  for (const flags of [['--dry-run'], ['--shell']]) {
    const { code, all } = await run(...flags)
    expect(code, all).toBe(0)
  }
  expect((await storeHas(minio, 'circleci-server', POLICY)).buckets).toEqual([])
  const first = await run()
  expect(first.code, first.all).toBe(0)
  await expectSetUp()
  const second = await run()
  expect(second.stderr, second.all).toContain('Nothing to do')
  await expectSetUp()
})

test('the script of --shell leaves what the run leaves; no secret is an argument of a process', async () => {
  const text = (await run('--shell')).stdout
  const { result: { code, all }, shown } = await processesDuring(() => startBash(here, text).ended)
  expect(code, all).toBe(0)
  await expectSetUp()
  expect(shown.some((words) => words.includes('mc\0pipe'))).toBe(true)
  expect(shown.filter((words) => words.includes(secretOf()))).toEqual([])
  expect(all + journals(here)).not.toContain(secretOf())
  const after = await run()
  expect(after.stderr, after.all).toContain('Nothing to do')
})

test('a policy that somebody took away comes back, and the proof is made with it', async () => {
  expect(await run()).toMatchObject({ code: 0 })
  expect(await minio.mc(['admin', 'policy', 'detach', ALIAS, POLICY, '--user', 'circleci-server'])).toMatchObject({ code: 0 })
  expect(await minio.mc(['rm', `${ALIAS}/${BUCKET}/circleci-runbooks-proof`])).toMatchObject({ code: 0 })
  const { code, all } = await run()
  expect(code, all).toBe(0)
  await expectSetUp()
})

test('a bucket with backups of Velero is refused', async () => {
  await minio.mc(['mb', `${ALIAS}/${BUCKET}`])
  await minio.mc(['pipe', `${ALIAS}/${BUCKET}/backups/one/velero-backup.json`], { stdin: '{}' })
  const { code, stderr } = await run('--yes')
  expect(code, stderr).toBe(3)
  expect(stderr.replaceAll(/\s+/g, ' ')).toContain('holds backups of Velero (backups/), which cannot share it')
})
