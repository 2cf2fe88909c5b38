/** The parts that a migration from 2.19 needs, by themselves: the services box, the pods of 3.x, and the way between them. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { line } from '../../lib/shell.ts'
import { processesDuring } from '../processes-seen.ts'
import { lacking, needs } from './components.ts'
import { needsRoot } from './containers.ts'
import type { Installation } from './installation.ts'
import { until } from './processes.ts'
import { onCluster } from './real.ts'
import type { ServicesBox } from './services-box.ts'
import { SERVICES_BOX, servicesBox } from './services-box.ts'

const run = promisify(execFile)
const { fresh } = onCluster(...SERVICES_BOX)
beforeEach(needsRoot)

let box: ServicesBox
beforeAll(async () => {
  if (process.getuid?.() === 0 && !lacking(...SERVICES_BOX)) box = await servicesBox({ megabytes: 5 })
})
afterAll(() => box?.stop())

const bash = async (script: string, env: NodeJS.ProcessEnv = {}) => (await run('bash', ['-c', `set -euo pipefail; ${script}`], { env: { ...process.env, ...env } })).stdout
const ssh = (script: string): string => line(['ssh', '-o', 'BatchMode=yes', '-i', box.key, box.address, line(['sudo', '-n', 'bash', '-c', script])])
/** What is typed here and runs on both sides. */
const typed = ({ env }: Pick<Installation, 'env'>, script: string) => bash(script, { ...env, PATH: `${box.bin}:${env['PATH']}` })
const exec = ({ namespace, context }: Installation, pod: string, script: string): string => line(['kubectl', 'exec', '-i', pod, '-n', namespace, '--context', context, '--', 'bash', '-c', script])
const onBox = (script: string) => typed({ env: process.env as Record<string, string> }, ssh(script))

test('the services box: its application stops after a moment, strangers and unknown hosts are refused', async () => {
  const state = "replicatedctl app status --template '{{range .}}{{.State}}{{end}}'"
  const names = "docker ps --format '{{.Names}} {{.Image}}'"
  expect(await onBox(`${state}; ${names}`)).toMatch(/^started\nreplicated .*\ncircleci-frontend /s)
  expect(await onBox(`replicatedctl app stop; ${state}`)).toBe('stopping\n')
  await until('the end of the application', async () => (await onBox(state)) === 'stopped\n')
  expect(await onBox(names)).not.toContain('circleci')

  const other = join(box.bin, 'other-key')
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', other])
  await expect(bash(ssh('true').replace(box.key, other), { PATH: `${box.bin}:${process.env['PATH']}` })).rejects.toMatchObject({ code: 255, stderr: expect.stringContaining('Permission denied') })
  await expect(bash(ssh('true'))).rejects.toMatchObject({ code: 255, stderr: expect.stringContaining('Host key verification failed') })
})

test('PostgreSQL: a dump goes from the box into the pod in one line, and ends', async () => {
  const here = await fresh({ containers: true })
  await onBox('docker run --rm -d --name runbooks-pg -v /data/circle/postgres/9.5/data:/var/lib/postgresql/data postgres:9.5.8; until docker exec runbooks-pg psql -U postgres -Atc "select 1"; do sleep 0.3; done')
  const psql = (what: string) => `PGPASSWORD=$POSTGRES_PASSWORD psql -qX -v ON_ERROR_STOP=1 -U postgres ${what}`
  await typed(here, `${ssh('{ docker exec runbooks-pg pg_dumpall -U postgres --roles-only | grep circle; docker exec runbooks-pg pg_dump -U postgres -C conductor_production; } | gzip -1')} | ${exec(here, 'postgresql-0', `gzip -d | ${psql('')}`)}`)
  const count = 'select count(*), sum(length(name)) from build_jobs'
  const there = await onBox(`docker exec runbooks-pg psql -U postgres -Atc '${count}' conductor_production`)
  expect(await here.kubelet!.enter('postgresql-0', ['bash', '-c', psql(`-Atc '${count}' conductor_production`)])).toBe(there)
  expect(there).toMatch(/^5100\|/)
  // Without the password nobody comes in; a command's failure is the line's.
  await expect(typed(here, exec(here, 'postgresql-0', 'psql -w -U postgres -c "select 1"'))).rejects.toMatchObject({ code: 2 })
  expect(await onBox('docker rm -f runbooks-pg; docker ps --format "{{.Names}} {{.Image}}"')).not.toContain('runbooks-pg postgres')
})

/** Vault's pod is deleted, and its set makes another. */
const vaultComesAgain = async (here: Installation): Promise<void> => {
  const { metadata: { uid } } = await here.get('v1/pods/vault-0')
  await here.send('DELETE', 'v1/pods/vault-0')
  await until('the new pod', async () => {
    const { status, body } = await here.send('GET', 'v1/pods/vault-0')
    return status === 200 && body.metadata.uid !== uid && body.status.phase === 'Running'
  }, { within: 60_000 })
}

test('a pod that comes again has its data, and another pod with its claim sees them', async () => {
  const here = await fresh({ containers: true })
  await here.kubelet!.enter('vault-0', ['bash', '-c', 'echo kept > /vault/file/note'])
  await vaultComesAgain(here)
  const spec = {
    containers: [{ name: 'helper', image: 'busybox', volumeMounts: [{ name: 'data', mountPath: '/vault/file' }] }],
    volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data-vault-0' } }],
  }
  await here.send('POST', 'v1/pods', { body: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'runbooks-vault' }, spec } })
  await until('the helper', async () => (await here.get('v1/pods/runbooks-vault')).status.phase === 'Running')
  for (const pod of ['vault-0', 'runbooks-vault']) expect(await typed(here, exec(here, pod, 'cat /vault/file/note'))).toBe('kept\n')
})

test('MongoDB: an archive goes from the box into the pod, the password before it', async () => {
  const here = await fresh({ containers: true })
  await onBox('docker run --rm -d --name runbooks-mongo -v /data/circle/mongo:/data/db mongo:3.6.6; until docker exec runbooks-mongo mongo --quiet --eval 1; do sleep 0.3; done')
  const restore = exec(here, 'mongodb-0', '{ printf "%s\\n" "$MONGODB_ROOT_PASSWORD"; cat; } | mongorestore --drop -u root --authenticationDatabase admin --archive')
  const { shown } = await processesDuring(() => typed(here, `${ssh('docker exec runbooks-mongo mongodump --db circle_ghe --archive')} | ${restore}`))
  const secret = Buffer.from((await here.get('v1/secrets/mongodb')).data['mongodb-root-password'], 'base64').toString()
  expect(shown.filter((text) => text.includes(secret))).toEqual([])
  const script = join(box.bin, 'count.js')
  writeFileSync(script, 'db.getSiblingDB("admin").auth("root", process.env.MONGODB_ROOT_PASSWORD); print(["organizations", "projects", "users", "builds"].map((name) => db.getCollection(name).countDocuments({})).join(" "))')
  expect(await here.kubelet!.enter('mongodb-0', ['mongo', '--quiet', 'circle_ghe', script])).toBe('100 100 100 100\n')
  await expect(typed(here, `${ssh('docker exec runbooks-mongo mongodump --db circle_ghe --archive | head -c 2000')} | ${restore}`)).rejects.toMatchObject({ stderr: expect.stringContaining('Failed: ') })
  await onBox('docker rm -f runbooks-mongo')
})

test('Vault: the files of the box unseal in the pod with the keys among them', async (context) => {
  needs('vault')(context)
  const here = await fresh({ containers: true })
  await typed(here, `${ssh('tar -cC /data/circle/contexts-vault .')} | ${exec(here, 'vault-0', 'find /vault/file -mindepth 1 -delete; tar -xC /vault/file')}`)
  await vaultComesAgain(here)
  const vault = (script: string) => typed(here, exec(here, 'vault-0', script))
  expect(await vault('vault status || true')).toMatch(/Sealed +true/)
  const { shown } = await processesDuring(() => vault('head -n 3 /vault/file/vault-init-out | sed "s/.*: //" | while read -r key; do printf %s "$key" | vault write sys/unseal key=- >/dev/null; done'))
  expect(await vault('vault status')).toMatch(/Sealed +false/)
  expect(await vault('sed -n "s/.*Root.*: //p" /vault/file/vault-init-out | vault login -no-print -; vault kv get -field value contexts/one')).toBe('made-by-2.19\n')
  const keys = (await vault('head -n 3 /vault/file/vault-init-out')).match(/\S{40,}/g)!
  expect(shown.filter((text) => keys.some((key) => text.includes(key)))).toEqual([])
})
