/**
 * velero-gcp with the real gcloud and the real velero command, on a real Kubernetes API server. Played are Google's
 * APIs, on loopback, and the Velero server.
 */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { minutes } from '../../lib/effect.ts'
import { processesDuring } from '../processes-seen.ts'
import { CONTEXT } from './cluster.ts'
import { startGoogle, type Google } from './google.ts'
import type { Installation } from './installation.ts'
import { journals, start, startBash, type Ended } from './runs.ts'
import { onVelero, veleroHas } from './velero.ts'

const BUNDLE = new URL('../../dist/velero-gcp.mjs', import.meta.url).pathname
const BUCKET = 'velero-of-the-test'
const EMAIL = 'velero@my-project.iam.gserviceaccount.com'
const MAKING = /^POST .*\/keys\b/

let google: Google
let here: Installation
const { cluster, home } = onVelero(['gcloud'], {
  start: async (made) => {
    here = made
    google = await startGoogle()
  },
  reset: () => google.reset(),
  stop: () => google?.stop(),
})

const begin = (flags: string[]) =>
  start(here, [process.execPath, BUNDLE, '--bucket', BUCKET, '--project', google.project, '--context', CONTEXT, '--namespace', here.namespace, ...flags], { env: google.env })
const run = (flags: string[] = ['--yes']): Promise<Ended> => begin(flags).ended
const file = () => JSON.parse(readFileSync(join(home(), 'credentials-velero'), 'utf8')) as { private_key_id: string; private_key: string }
const keys = () => (google.accounts[EMAIL]?.keys ?? []).map(({ name }) => name.split('/').at(-1))
const sent = (what: RegExp) => google.requests.filter((one) => what.test(one))
const changed = () => sent(/^(PUT|PATCH|DELETE)|^POST (?!.*:getIamPolicy)/)

/** All that a run has to leave: one key, in the file and in the cluster, and the rights of the guide. */
const expectSetUp = async () => {
  expect(google.buckets[BUCKET]).toMatchObject({
    location: 'US', iamConfiguration: { publicAccessPrevention: 'enforced', uniformBucketLevelAccess: { enabled: true } },
    policy: { bindings: [{ role: 'roles/storage.objectAdmin', members: [`serviceAccount:${EMAIL}`] }] },
  })
  expect(google.policy.bindings).toEqual([{ role: 'projects/my-project/roles/velero.server', members: [`serviceAccount:${EMAIL}`] }])
  expect(google.roles['velero.server']?.includedPermissions.toSorted()).toEqual([
    'compute.disks.create', 'compute.disks.createSnapshot', 'compute.disks.get', 'compute.snapshots.create', 'compute.snapshots.delete',
    'compute.snapshots.get', 'compute.snapshots.useReadOnly', 'compute.zones.get',
  ])
  expect(google.accounts[EMAIL]?.description).toBe('managed-by circleci-server-runbooks')
  expect(keys()).toEqual([file().private_key_id])
  expect(statSync(join(home(), 'credentials-velero')).mode & 0o777).toBe(0o600)
  const { credentials, location, agents } = await veleroHas(cluster())
  expect(JSON.parse(credentials ?? '')).toEqual(file())
  expect(location).toMatchObject({ provider: 'gcp', default: true, objectStorage: { bucket: BUCKET } })
  expect(agents).toMatchObject({ desiredNumberScheduled: 1, numberReady: 1 })
}

/** gcloud takes more than a second for each line, and a run asks many. */
const LONG = minutes(15)

test('looking changes nothing; the script of --shell sets it up, and shows no secret; the runbook has nothing to do then', async () => {
  const looked = await run(['--shell'])
  expect(looked.code, looked.all).toBe(0)
  expect(changed()).toEqual([])
  const { result: first, shown } = await processesDuring(() => startBash(here, looked.stdout, { env: google.env }).ended)
  expect(first.code, first.all).toBe(0)
  await expectSetUp()
  expectSecret(shown, first)
  google.requests.length = 0
  const second = await run([])
  expect(second.code, second.all).toBe(0)
  expect(second.stderr).toContain('Nothing to do')
  expect(changed()).toEqual([])
}, LONG)

test('gcloud makes a second key where an answer was lost: the twin is found and deleted, and no secret is shown', async () => {
  google.lose(MAKING)
  const { result: first, shown } = await processesDuring(() => run(['--yes', '--verbose']))
  expect(sent(MAKING), first.all).toHaveLength(2)
  expectSecret(shown, first)
  // The run has one of the two in its hands; it ends where the other one comes up, and the same line deletes that.
  const again = first.code === 0 ? first : await run()
  expect(again.code, first.all + again.all).toBe(0)
  await expectSetUp()
}, LONG)

/** The key's secret is in no argument of a process, no output and no journal. */
const expectSecret = (shown: string[], { all }: Ended) => {
  const secret = file().private_key.split('\n')[1] as string
  expect(shown.some((words) => words.includes('service-accounts\0keys\0create'))).toBe(true)
  expect(shown.filter((words) => words.includes(secret))).toEqual([])
  expect(all + journals(here)).not.toContain(secret)
}
