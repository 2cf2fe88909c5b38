/**
 * create-gke with the real gcloud, up to where nodes are looked at. Google's APIs are played on loopback.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { lacking, must, needs } from './components.ts'
import { startGoogle, type Google } from './google.ts'
import { homeAt, start, startBash, type Ended, type Home } from './runs.ts'

const BUNDLE = new URL('../../dist/create-gke.mjs', import.meta.url).pathname
const NAME = 'circleci-server'
const missing = lacking('gcloud', 'kubectl')

let google: Google
let here: Home
beforeEach(needs('gcloud', 'kubectl'))
beforeAll(async () => { if (!missing) google = await startGoogle() })
afterAll(() => google?.stop())
beforeEach(() => {
  if (missing) return
  google.reset()
  const folder = mkdtempSync(join(tmpdir(), 'real-gke-'))
  here = homeAt(folder, [dirname(must('gcloud')), process.env['PATH']].join(delimiter))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
})

const run = (flags: string[] = []): Promise<Ended> =>
  start(here, [process.execPath, BUNDLE, '--project', google.project, '--region', 'europe-west1', '--ignore-preflight', 'gke-plugin', ...flags], { env: google.env }).ended
const changes = () => google.requests.filter((one) => !one.startsWith('GET') && !/:(get|test)Iam/.test(one))

test('looking changes nothing; gcloud enables the API and makes the cluster, once; and takes the line that writes its context', async () => {
  for (const flags of [['--dry-run'], ['--shell']]) {
    const { code, all } = await run(flags)
    expect(code, all).toBe(0)
  }
  expect(changes()).toEqual([])
  const first = await run(['--until', 'cluster'])
  expect(first.code, first.all).toBe(0)
  expect(google.gke).toBe(true)
  expect(google.clusters[NAME]).toMatchObject({
    initialClusterVersion: '1.23', resourceLabels: { 'managed-by': 'circleci-server-runbooks' },
    nodePools: [{ initialNodeCount: 3, config: { machineType: 'n1-standard-4' }, management: { autoUpgrade: false } }],
  })
  expect(google.clusters[NAME]).not.toHaveProperty('autopilot')
  const sent = changes()
  const second = await run(['--dry-run'])
  expect(second.code, second.all).toBe(0)
  for (const step of ['1 api', '2 cluster']) expect(second.all).toMatch(new RegExp(`✓ +${step}`))
  expect(changes()).toEqual(sent)
  const [line = ''] = second.all.replaceAll(/ \\\n\s*/g, ' ').match(/gcloud container clusters get-credentials .*/) ?? []
  const written = await startBash(here, line, { env: google.env }).ended
  expect(written.code, written.all).toBe(0)
  expect(readFileSync(join(here.env['HOME'] as string, '.kube', 'config'), 'utf8')).toContain('server: https://127.0.0.1:9')
})

test('the answer to the creation was lost: there is one cluster', async () => {
  google.lose(/^POST .*\/clusters\b/)
  const first = await run(['--until', 'cluster'])
  const again = first.code === 0 ? first : await run(['--until', 'cluster'])
  expect(again.code, again.all).toBe(0)
  expect(Object.keys(google.clusters)).toEqual([NAME])
})
