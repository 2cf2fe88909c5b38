/**
 * migrate-2.19 on a real services box and real stores: sshd with sudo, PostgreSQL, a MongoDB server and Vault on both
 * sides, pods that kubectl exec enters. What it leaves in the stores, whatever happens on the way.
 */
import { appendFileSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { keysetOf } from '../../lib/rehearsal/keysets.ts'
import { line as shellLine } from '../../lib/shell.ts'
import { processesDuring } from '../processes-seen.ts'
import { lacking, needs, type ComponentName } from './components.ts'
import { needsRoot } from './containers.ts'
import { CONTEXT } from './cluster.ts'
import type { Installation } from './installation.ts'
import { until } from './processes.ts'
import { onCluster } from './real.ts'
import { start, startBash, type Ended, type Running } from './runs.ts'
import { SERVICES_BOX, servicesBox, type ServicesBox } from './services-box.ts'

const BUNDLE = new URL('../../dist/migrate-2.19.mjs', import.meta.url).pathname
const PARTS: ComponentName[] = [...SERVICES_BOX, 'vault']

// A whole migration, several times over.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 300_000 })

/** Enough for something to happen in the middle. */
const MEGABYTES = 120

const { fresh } = onCluster(...PARTS)
beforeEach(needsRoot)
beforeEach(needs(...PARTS))

let box: ServicesBox
beforeAll(async () => { if (process.getuid?.() === 0 && !lacking(...PARTS)) box = await servicesBox({ megabytes: MEGABYTES }) })
afterAll(() => box?.stop())

const BEFORE = { 'api-service': 1, 'contexts-service': 2, frontend: 1, 'output-processor': 2 }
const deployment = (name: string, replicas: number) => {
  const labels = { app: name, layer: 'application' }
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, labels }, spec: { replicas, selector: { matchLabels: { app: name } }, template: { metadata: { labels }, spec: { containers: [{ name, image: `circleci/${name}:3.4.0` }] } } } }
}

/** What the cloud's driver does: a claim that was made anew gets a volume of its own. */
const provision = (here: Installation): (() => void) => {
  let made = 0
  const timer = setInterval(() => {
    void here.get('v1/persistentvolumeclaims/data-vault-0').then(async ({ metadata, spec, status }: any) => {
      if (spec.volumeName || status.phase === 'Bound' || metadata.deletionTimestamp) return
      const name = `${here.namespace}-made-${++made}`
      await here.send('POST', '/api/v1/persistentvolumes', { body: {
        apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name },
        spec: { accessModes: spec.accessModes, capacity: spec.resources.requests, storageClassName: spec.storageClassName, persistentVolumeReclaimPolicy: 'Delete', hostPath: { path: `/${name}` }, claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name: metadata.name, namespace: here.namespace, uid: metadata.uid } },
      } })
    }).catch(() => undefined)
  }, 500)
  return () => clearInterval(timer)
}

/** 3.x with some applications, and 2.19 running beside it. */
const both = async (): Promise<Installation> => {
  const here = await fresh({ containers: true })
  for (const [name, replicas] of Object.entries(BEFORE)) if (name !== 'frontend') await here.send('POST', 'apps/v1/deployments', { body: deployment(name, name === 'output-processor' ? 1 : replicas) })
  onTestFinished(provision(here))
  await box.enter('for name in $(ls /box/run); do docker rm -f $name; done; replicatedctl app start; rm -rf /data/circle/.circleci-runbooks')
  await until('2.19', async () => (await box.enter("replicatedctl app status --template '{{range .}}{{.State}}{{end}}'")).trim() === 'started')
  return here
}

const ssh = (script: string): string => shellLine(['ssh', '-i', box.key, box.address, script])
const bash = async (here: Installation, script: string) => {
  const { code, all } = await startBash(here, `set -e; ${script}`, surroundings(here)).ended
  expect(code, all).toBe(0)
}

const line = (here: Installation, verb: 'move' | 'back' | 'report', flags: string[], host: string): [string, ...string[]] => [
  process.execPath, BUNDLE, verb, '--host', host, '--ssh-key', box.key, ...(verb === 'back' ? [] : ['--storage', 'keep', '--bucket', 'circleci-2']), '--context', CONTEXT, '--namespace', here.namespace, ...flags,
]
const YES = ['--yes', '--confirm', CONTEXT, '--hand-over']
const sent = async (store: string) => (await box.enter(`cat /data/circle/.circleci-runbooks/${store}.sent`)).trim()
const surroundings = (here: Installation) => ({ env: { PATH: `${box.bin}${delimiter}${here.env['PATH']}` } })
const begin = (here: Installation, flags: string[] = [], verb: 'move' | 'back' | 'report' = 'move', host = box.address): Running =>
  start(here, line(here, verb, [...flags, ...(verb === 'move' ? YES : verb === 'back' ? ['--yes'] : [])], host), surroundings(here))
const move = (here: Installation, flags: string[] = []): Promise<Ended> => begin(here, flags).ended

const enter = (here: Installation, pod: string, script: string) => here.kubelet!.enter(pod, ['bash', '-c', script])
const rows = (here: Installation, base: string, query: string) => enter(here, 'postgresql-0', `PGPASSWORD=$POSTGRES_PASSWORD psql -AtqX -U postgres ${base} -c "${query}"`)
const documents = (here: Installation) => enter(here, 'mongodb-0', `printf 'db.getSiblingDB("admin").auth("root", "%s"); print("all " + ["organizations", "projects", "users", "builds"].map(function (one) { return db.getSiblingDB("circle_ghe").getCollection(one).find().count() }).join(" "))\\n' "$MONGODB_ROOT_PASSWORD" | mongo --quiet`)
const replicas = async (here: Installation) => Object.fromEntries((await here.get('apps/v1/deployments', { labelSelector: 'layer=application' })).items.map(({ metadata, spec }: any) => [metadata.name, spec.replicas]))

/** All of 2.19 is in 3.x. */
const expectMoved = async (here: Installation, { mongodb = true } = {}): Promise<void> => {
  expect(await rows(here, 'conductor_production', 'select count(*), count(distinct name) from build_jobs')).toBe(`${MEGABYTES * 1000 + 100}|${MEGABYTES * 1000 + 100}\n`)
  for (const [base, table] of Object.entries({ circle: 'circle_migrations', contexts_service_production: 'contexts', cron_service_production: 'qrtz_blob_triggers', vms: 'tasks' })) {
    expect(await rows(here, base, `select count(*), max(name) from ${table}`)).toBe(`100|${table} 99 of ü\n`)
  }
  // A busy machine's MongoDB does not always answer a shell at once.
  if (mongodb) await until('all documents', async () => (await documents(here)).includes('all 100 100 100 100'), { within: 180_000 })
  expect(await enter(here, 'vault-0', 'vault status')).toMatch(/Sealed +false/)
  expect(await enter(here, 'vault-0', 'VAULT_TOKEN=$(cat /vault/__restricted/client-token) vault kv get -field value contexts/one')).toBe('made-by-2.19\n')
  expect(await replicas(here)).toEqual(BEFORE)
  expect(await box.enter("docker ps --format '{{.Names}} {{.Image}}'")).not.toMatch(/circleci|runbooks-/)
  await expect(here.get('v1/pods/runbooks-vault')).rejects.toThrow()
  for (const kind of ['signing', 'encryption'] as const) {
    const file = join(here.env['HOME'] as string, `old-keyset-${kind}`)
    expect(readFileSync(file, 'utf8').trim()).toBe(keysetOf(kind))
    expect(statSync(file).mode & 0o777).toBe(0o600)
  }
}

test('looking changes nothing; a move brings all of it over, with no secret on the way; the same line has nothing to do; and back', async () => {
  const here = await both()
  for (const flags of [['--dry-run'], ['--shell']]) {
    const { code, all } = await move(here, flags)
    expect(code, all).toBe(0)
  }
  expect(await box.enter("replicatedctl app status --template '{{range .}}{{.State}}{{end}}'")).toBe('started\n')
  const { result, shown } = await processesDuring(() => move(here))
  expect(result.code, result.all).toBe(0)
  await expectMoved(here)
  const root = Buffer.from((await here.get('v1/secrets/mongodb')).data['mongodb-root-password'], 'base64').toString(), pg = Buffer.from((await here.get('v1/secrets/postgresql')).data['postgresql-password'], 'base64').toString()
  for (const secret of [root, pg, keysetOf('signing'), keysetOf('encryption')]) expect(shown.filter((text) => text.includes(secret))).toEqual([])
  const again = await move(here)
  expect([again.code, again.stderr], again.all).toEqual([0, expect.stringContaining('Nothing to do')])
  const report = await begin(here, [], 'report').ended
  expect([report.code, report.stdout], report.all).toEqual([0, expect.stringContaining('All data has come, and is the same on both sides')])
  const gone = await begin(here, [], 'back').ended
  expect(gone.code, gone.all).toBe(0)
  expect(await box.enter("replicatedctl app status --template '{{range .}}{{.State}}{{end}}'")).toBe('started\n')
  expect(Object.values(await replicas(here))).toEqual([0, 0, 0, 0])
})

/** A way to the box; each `stands()` waits for a connection over which more has come than a sample has, which only PostgreSQL sends, and lets it stand still there. */
const wayToBox = async (): Promise<{ host: string; stands: () => Promise<{ cut(): void; goesOn(): void }> }> => {
  let awaited = false
  const standing: { cut(): void; goesOn(): void }[] = []
  const server = createServer((client) => {
    const there = connect(Number(new URL(box.address).port), '127.0.0.1')
    let came = 0
    there.on('data', (part) => {
      const full = !client.write(part)
      came += part.length
      if (awaited && came > 40_000_000) {
        awaited = false
        there.pause()
        standing.push({ cut: () => void client.destroy(), goesOn: () => void there.resume() })
      } else if (full) {
        there.pause()
        client.once('drain', () => there.resume())
      }
    })
    client.pipe(there)
    for (const [one, other] of [[client, there], [there, client]] as const) one.on('error', () => undefined).on('close', () => other.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  appendFileSync(box.knownHosts, readFileSync(box.knownHosts, 'utf8').split('\n', 1)[0]!.replace(/^\S+/, `[127.0.0.1]:${port}`) + '\n')
  return {
    host: box.address.replace(/\d+$/, String(port)),
    stands: () => {
      awaited = true
      return until('PostgreSQL to be sent', async () => standing.shift(), { within: 180_000 })
    },
  }
}

test('a lost connection is made again; after a kill in the middle the same line sends that store again, and no other', async () => {
  const here = await both(), { host, stands } = await wayToBox()
  const killed = begin(here, [], 'move', host)
  const first = await stands()
  killed.signal('SIGKILL')
  expect((await killed.ended).signal).toBe('SIGKILL')
  first.goesOn()
  const mongodb = await sent('mongodb')
  const again = begin(here, [], 'move', host)
  const second = await stands()
  second.cut()
  const { code, all } = await again.ended
  expect(code, all).toBe(0)
  expect(all.replaceAll(/\s+/g, ' ')).toContain('lost the answer of “copy postgresql”')
  expect(await sent('mongodb')).toBe(mongodb)
  await expectMoved(here)
})

test('the script of --shell, run by bash, ends in the same', async () => {
  const here = await both()
  const { code, stdout, all } = await move(here, ['--shell'])
  expect(code, all).toBe(0)
  const script = await startBash(here, stdout, surroundings(here)).ended
  expect(script.code, script.all).toBe(0)
  await expectMoved(here)
})

test('an archive as the guide\'s script makes it can be imported from', async () => {
  const here = await both()
  const folder = join(here.env['HOME'] as string, 'archive', 'circleci_export')
  for (const part of ['circleci-pg-export', 'circleci-vault', 'circle-data']) mkdirSync(join(folder, part), { recursive: true })
  await box.enter('replicatedctl app stop; docker run --rm -d --name dump -v /data/circle/postgres/9.5/data:/var/lib/postgresql/data postgres:9.5.8; until docker exec dump psql -U postgres -Atc "select 1"; do sleep 0.3; done')
  await bash(here, `${ssh('docker exec dump pg_dumpall -U postgres -c')} > archive/circleci_export/circleci-pg-export/circle.sql; ${ssh('docker rm -f dump')}; ${ssh('tar -C /data/circle/contexts-vault --transform "s,^[.],file," -cz .')} > archive/circleci_export/circleci-vault/vault-backup.tar.gz; for key in sign crypt; do ${ssh('cat /data/circle/circleci-encryption-keys/KEY').replace('KEY', `'"$key"'`)} > archive/circleci_export/circle-data/$key; done`)
  const from = ['--from', 'archive', '--skip-mongo', '--ignore-preflight', 'datastores']
  await bash(here, 'find archive -type f -exec touch -d "3 days ago" {} +')
  const old = await move(here, from)
  expect([old.code, old.stderr.replaceAll(/\s+/g, ' ')], old.all).toEqual([3, expect.stringContaining('2.19 ran after the archive was made')])
  await bash(here, 'find archive -type f -exec touch {} +')
  const { code, all } = await move(here, from)
  expect(code, all).toBe(0)
  await expectMoved(here, { mongodb: false })
})
