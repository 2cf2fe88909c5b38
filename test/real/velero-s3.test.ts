/**
 * velero-s3 on a real MinIO with its real client, with the real velero command on a real Kubernetes API server. Played
 * is the Velero server, which looks at its location.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { storePolicy } from '../../lib/cloud/store.ts'
import { processesDuring } from '../processes-seen.ts'
import { cuttingProxy } from './aws.ts'
import { CONTEXT } from './cluster.ts'
import type { Installation } from './installation.ts'
import { ALIAS, mcFolder, startMinio, storeHas, type Minio } from './minio.ts'
import { journals, start, startBash, type Ended } from './runs.ts'
import { onVelero, SECRET, veleroHas } from './velero.ts'

const BUNDLE = new URL('../../dist/velero-s3.mjs', import.meta.url).pathname
const BUCKET = 'velero-of-the-test'
const POLICY = `velero-${BUCKET}`

let minio: Minio
let here: Installation
const { cluster, home } = onVelero(['minio', 'mc'], {
  start: async (made) => {
    here = made
    minio = await startMinio()
    here.env['PATH'] = [mcFolder(), here.env['PATH']].join(delimiter)
  },
  reset: async () => {
    await minio.reset()
    minio.aliasIn(home())
  },
  stop: () => minio?.stop(),
})

const begin = (flags: string[], env: Record<string, string> = {}) =>
  start(here, [process.execPath, BUNDLE, '--bucket', BUCKET, '--alias', ALIAS, '--endpoint', minio.url, '--context', CONTEXT, '--namespace', here.namespace, ...flags], { env })
const run = (flags: string[] = ['--yes']): Promise<Ended> => begin(flags).ended
const script = async () => (await run(['--shell'])).stdout

const file = () => readFileSync(join(home(), 'credentials-velero'), 'utf8')
const secretIn = (text: string) => /secret_access_key=(\S+)/.exec(text)?.[1] as string
const world = async () => ({ store: await storeHas(minio, 'velero', POLICY), velero: await veleroHas(cluster()), file: existsSync(join(home(), 'credentials-velero')) })

/** All that a run has to leave. */
const expectSetUp = async () => {
  expect(await storeHas(minio, 'velero', POLICY)).toEqual({ buckets: [`${BUCKET}/`], policies: POLICY, policy: storePolicy(BUCKET) })
  expect(file()).toMatch(/^\[default\]\naws_access_key_id=velero\naws_secret_access_key=[0-9a-f]{40}\n$/)
  expect(statSync(join(home(), 'credentials-velero')).mode & 0o777).toBe(0o600)
  expect(existsSync(join(home(), 'credentials-velero.part'))).toBe(false)
  // The store knows who has it.
  expect(await minio.mc(['ls', `${ALIAS}/${BUCKET}`], { as: ['velero', secretIn(file())] })).toMatchObject({ code: 0 })
  const { credentials, location, agents } = await veleroHas(cluster())
  expect(credentials?.trim()).toBe(file().trim())
  expect(location).toMatchObject({ provider: 'aws', default: true, objectStorage: { bucket: BUCKET }, config: { region: 'minio', s3ForcePathStyle: 'true', s3Url: minio.url } })
  expect(agents).toMatchObject({ desiredNumberScheduled: 1, numberReady: 1 })
}

test('looking changes nothing; a run sets it up; the same line again has nothing to do', async () => {
  const before = await world()
  expect(before).toMatchObject({ store: { buckets: [], policies: undefined }, file: false })
  for (const flags of [['--dry-run'], ['--dry-run', '--json'], ['--shell']]) {
    const { code, all } = await run(flags)
    expect(code, all).toBe(0)
  }
  expect(await world()).toEqual(before)
  const first = await run()
  expect(first.code, first.all).toBe(0)
  await expectSetUp()
  const text = file()
  const second = await run([])
  expect(second.code, second.all).toBe(0)
  expect(second.stderr).toContain('Nothing to do')
  await expectSetUp()
  expect(file()).toBe(text)
})

test('what was set up lets Velero use its bucket, and no other one', async () => {
  expect(await minio.mc(['mb', `${ALIAS}/artifacts`])).toMatchObject({ code: 0 })
  expect(await minio.mc(['pipe', `${ALIAS}/artifacts/one`], { stdin: 'of somebody else' })).toMatchObject({ code: 0 })
  const { code, all } = await run()
  expect(code, all).toBe(0)
  const as: [string, string] = ['velero', secretIn(file())]
  const own = `${ALIAS}/${BUCKET}/backups/one/velero-backup.json`
  expect(await minio.mc(['pipe', own], { as, stdin: 'kept' })).toMatchObject({ code: 0 })
  expect(await minio.mc(['cat', own], { as })).toMatchObject({ code: 0, stdout: 'kept' })
  expect(await minio.mc(['rm', own], { as })).toMatchObject({ code: 0 })
  for (const words of [['ls', `${ALIAS}/artifacts`], ['cat', `${ALIAS}/artifacts/one`], ['pipe', `${ALIAS}/artifacts/two`], ['rm', `${ALIAS}/artifacts/one`], ['mb', `${ALIAS}/another`], ['admin', 'user', 'list', ALIAS]]) {
    const { code: refused, stdout, stderr } = await minio.mc(words, { as, stdin: 'x' })
    expect(refused, words.join(' ')).not.toBe(0)
    expect(stdout + stderr).toMatch(/Access ?Denied|Insufficient permissions/i)
  }
  expect((await minio.mc(['cat', `${ALIAS}/artifacts/one`])).stdout).toBe('of somebody else')
})

describe('what was begun', () => {
  test.each([
    ['its user was added', 'add-user', { policies: undefined, policy: undefined }],
    ['its policy was made', 'add-canned-policy', { policies: undefined, policy: storePolicy(BUCKET) }],
  ])('a kill after %s: the same line goes on, with the same secret', async (_, request, left) => {
    let running: ReturnType<typeof begin>
    const proxy = await cuttingProxy(minio.url, request, () => running.signal('SIGKILL'))
    onTestFinished(proxy.close)
    minio.aliasIn(home(), proxy.url)
    running = begin(['--yes'])
    expect(await running.ended).toMatchObject({ signal: 'SIGKILL' })
    expect(await storeHas(minio, 'velero', POLICY)).toMatchObject(left)
    const text = file()
    expect(await minio.mc(['ls', `${ALIAS}/${BUCKET}`], { as: ['velero', secretIn(text)] })).toMatchObject({ stderr: expect.stringContaining('Access Denied') })
    minio.aliasIn(home())
    const again = await run()
    expect(again.code, again.all).toBe(0)
    await expectSetUp()
    expect(file()).toBe(text)
  })

  test('the secret that the cluster lacks comes from the file, the file that is away from the cluster', async () => {
    expect(await run()).toMatchObject({ code: 0 })
    const text = file()
    await cluster().request('DELETE', SECRET)
    const first = await run()
    expect(first.code, first.all).toBe(0)
    await expectSetUp()
    rmSync(join(home(), 'credentials-velero'))
    const second = await run([])
    expect(second.stderr, second.all).toContain('Nothing to do')
    expect((await veleroHas(cluster())).credentials?.trim()).toBe(text.trim())
  })

  test('what somebody changed in the store is put right: the policy, what the user has, the secret', async () => {
    expect(await run()).toMatchObject({ code: 0 })
    writeFileSync(join(home(), 'other.json'), JSON.stringify(storePolicy('artifacts')))
    expect(await minio.mc(['admin', 'policy', 'create', ALIAS, POLICY, join(home(), 'other.json')])).toMatchObject({ code: 0 })
    expect(await minio.mc(['admin', 'policy', 'attach', ALIAS, 'readwrite', '--user', 'velero'])).toMatchObject({ code: 0 })
    expect(await minio.mc(['admin', 'user', 'add', ALIAS, 'velero', 'another-secret'])).toMatchObject({ code: 0 })
    const asked = await run([])
    expect(asked.code, asked.all).toBe(5)
    const said = asked.stderr.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')
    for (const danger of ['gets a new secret', `policy ${POLICY} of ${ALIAS} says something else`, 'loses the policy readwrite']) expect(said).toContain(danger)
    const { code, all } = await run()
    expect(code, all).toBe(0)
    await expectSetUp()
  })
})

describe('the script of --shell', () => {
  test('run by bash with the real mc it leaves what the run leaves', async () => {
    const { code, all } = await startBash(here, await script()).ended
    expect(code, all).toBe(0)
    await expectSetUp()
    const after = await run([])
    expect(after.stderr, after.all).toContain('Nothing to do')
  })

  test.each(['run', 'script'])('no secret is an argument of a process, or said: the %s', async (form) => {
    const text = await script()
    const { result: { code, all }, shown } = await processesDuring(() => form === 'run' ? run(['--yes', '--verbose']) : startBash(here, text).ended)
    expect(code, all).toBe(0)
    // It saw the tool that is given the secret.
    expect(shown.some((words) => /mc\0admin\0user\0add/.test(words))).toBe(true)
    expect(shown.filter((words) => words.includes(secretIn(file())))).toEqual([])
    expect(all + journals(here)).not.toContain(secretIn(file()))
  })
})

test('a bucket that holds other things is refused before anything is changed', async () => {
  expect(await minio.mc(['mb', `${ALIAS}/${BUCKET}`])).toMatchObject({ code: 0 })
  for (const name of ['artifacts/one', 'backups/one/velero-backup.json']) expect(await minio.mc(['pipe', `${ALIAS}/${BUCKET}/${name}`], { stdin: 'x' })).toMatchObject({ code: 0 })
  const before = await world()
  const { code, stderr } = await run()
  expect(code, stderr).toBe(3)
  expect(stderr).toContain('holds other content (artifacts/)')
  expect(await world()).toEqual(before)
})

test('mc of before spring 2023, with its verbs: the same is left, and other policies are taken away', async () => {
  // The help of that mc as its releases had it; its two verbs, carried out by today's.
  const old = join(home(), 'old-mc')
  mkdirSync(old, { recursive: true })
  writeFileSync(join(old, 'mc'), `#!/bin/bash
mc=${mcFolder()}/mc
case "$1 $2 $3" in
'admin policy --help') printf '  %s\\n' 'add     add new policy' 'set     set IAM policy on a user or group' ;;
'admin policy add') exec $mc admin policy create "\${@:4}" ;;
'admin policy set')
  for one in $($mc --json admin user info "$4" "\${6#user=}" | sed -n 's/.*"policyName":"\\([^"]*\\)".*/\\1/p' | tr , ' '); do
    $mc admin policy detach "$4" "$one" --user "\${6#user=}" || exit
  done
  exec $mc admin policy attach "$4" "$5" --user "\${6#user=}" ;;
'admin policy create' | 'admin policy attach' | 'admin policy detach') echo "mc: <ERROR> $3 is no command" >&2; exit 1 ;;
*) exec $mc "$@" ;;
esac
`, { mode: 0o755 })
  expect(await minio.mc(['admin', 'user', 'add', ALIAS, 'velero', 'a-secret-of-before'])).toMatchObject({ code: 0 })
  expect(await minio.mc(['admin', 'policy', 'attach', ALIAS, 'readwrite', '--user', 'velero'])).toMatchObject({ code: 0 })
  const { code, all } = await begin(['--yes'], { PATH: [old, here.env['PATH']].join(delimiter) }).ended
  expect(code, all).toBe(0)
  await expectSetUp()
})

test('an alias of the environment is used, and one that there is not is told', async () => {
  rmSync(join(home(), '.mc'), { recursive: true })
  const none = await run()
  expect(none.code, none.all).toBe(3)
  expect(none.stderr).toContain('No such alias')
  const { code, all } = await begin(['--yes'], minio.env).ended
  expect(code, all).toBe(0)
  await expectSetUp()
})
