/**
 * backup-restore on a real API server with Velero's own definitions, the objects of the real velero command, and its
 * bucket on a real S3 API. Played are what Velero's server and KOTS do, by the code of the rehearsal.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { awsIn } from '../../lib/cloud/aws.ts'
import type { AwsServer } from './aws.ts'
import { startAws } from './aws.ts'
import type { Backups } from './backups.ts'
import { BUCKET, BUNDLE, startBackups, TURN } from './backups.ts'
import { CONTEXT } from './cluster.ts'
import { CLUSTER, lacking } from './components.ts'
import { until } from './processes.ts'
import { onCluster } from './real.ts'
import { PATCH } from './request.ts'
import { bash, start } from './runs.ts'

const NEEDS = ['velero', 'moto_server', 'curl'] as const
const { cluster, shared } = onCluster(...NEEDS)
const missing = lacking(...CLUSTER, 'kubectl', ...NEEDS)

let aws: AwsServer
let it: Backups
beforeAll(async () => {
  if (missing) return
  aws = await startAws()
  it = await startBackups(cluster(), await shared(), aws)
}, 2 * TURN)
afterAll(async () => {
  await it?.stop()
  aws?.stop()
})
beforeEach(async () => {
  if (!missing) await it.clean()
})

const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')
const phases = async (kind: Parameters<Backups['all']>[0]): Promise<Record<string, string>> =>
  Object.fromEntries((await it.all(kind)).map(({ metadata, status }) => [metadata.name, status?.phase]))
const uids = async (kind: Parameters<Backups['all']>[0]): Promise<string[]> => (await it.all(kind)).map(({ metadata }) => metadata.uid)
const lease = async (): Promise<number> => (await it.here.send('GET', 'coordination.k8s.io/v1/leases/circleci-runbooks')).status
const inBucket = async (name: string): Promise<boolean> => Boolean(await awsIn('us-east-1').read('s3', 'HeadObject', { Bucket: BUCKET, Key: `backups/${name}/velero-backup.json` }))
/** In the way of `restore`: the typed answer, and no waiting for people. */
const CONFIRMED = ['--yes', '--confirm', CONTEXT]

describe('backup-restore', () => {
  test('backup makes one Backup, follows it to its end, and the same line again has nothing to do', async () => {
    // Longer than from one row to the next.
    it.velero.haste = 8
    const { code, all } = await it.run('backup', '--yes')
    expect(code, all).toBe(0)
    expect(all).toMatch(/ of 845 items · /)
    const [made, ...others] = await it.all('backups')
    expect(others).toEqual([])
    expect(made.status).toMatchObject({ phase: 'Completed', progress: { totalItems: 845, itemsBackedUp: 845 } })
    expect(await it.all('podvolumebackups')).toHaveLength(5)
    expect(new Set(Object.values(await phases('podvolumebackups')))).toEqual(new Set(['Completed']))
    expect(await lease()).toBe(404)
    await it.rest()
    const before = await it.versions()
    const again = await it.run('backup', '--yes')
    expect(again.stderr, again.all).toContain('Nothing to do')
    expect(await it.versions()).toEqual(before)
    expect(it.velero.lost).toEqual([])
  })

  test('one that fails in part: 1, with what Velero and KOTS say of it', async () => {
    it.velero.rules.backupFails = true
    const { code, stderr } = await it.run('backup', '--yes')
    expect(code, stderr).toBe(1)
    expect(flat(stderr)).toMatch(/is PartiallyFailed: 1 error, 1 warning\..*volume datadir of pod mongodb-0: .*no space left.*warning: .*a hook of pod postgresql-0/)
    expect(Object.values(await phases('backups'))).toEqual(['PartiallyFailed'])
  })

  test.each(['while KOTS is asked', 'while it is followed'])('killed %s, the same line follows the one Backup', async (when) => {
    if (when === 'while KOTS is asked') it.here.standIns.kots.slow = 4000
    const killed = it.begin(['backup', '--yes'])
    if (when === 'while KOTS is asked') await until('the plugin', async () => (await bash(it.here, 'pgrep -fc "kubectl-kots backup"')).stdout.trim() !== '0')
    else await until('the backup', async () => Object.values(await phases('backups'))[0] === 'InProgress', { within: 60_000 })
    killed.signal('SIGKILL')
    expect(await killed.ended).toMatchObject({ signal: 'SIGKILL' })
    it.here.standIns.kots.slow = 0
    const again = await it.run('backup', '--yes')
    expect(again.code, again.all).toBe(0)
    expect(Object.values(await phases('backups'))).toEqual(['Completed'])
  })

  test('list, verify, diagnose, and dry runs of all verbs change nothing', async () => {
    const name = await it.velero.backup()
    await it.rest()
    const before = await it.versions()
    const list = await it.run('list', '--json')
    const report = list.stdout.trim().split('\n').map((row) => JSON.parse(row)).find(({ event }) => event === 'report')
    expect(report.backups[0]).toMatchObject({ name, phase: 'Completed', volumes: '5 of 5', release: '3.4.0' })
    const verify = await it.run('verify', name)
    expect(verify.code, verify.all).toBe(0)
    expect(flat(verify.stdout)).toContain(`objects in s3://${BUCKET}/backups/${name}/, and they can be read`)
    const diagnose = await it.run('diagnose')
    expect(diagnose.code, diagnose.all).toBe(0)
    for (const verb of [['backup', '--max-age', '0m'], ['restore', name], ['delete', name], ['schedule'], ['schedule', '--in-cluster', '--image', 'registry.example.com/runbooks:1']]) {
      for (const flags of [['--dry-run'], ['--dry-run', '--json'], ['--shell']]) {
        const { code, all } = await it.run(...verb, ...flags)
        expect(code, all).toBe(0)
      }
    }
    expect(await it.versions()).toEqual(before)
  })

  test('restore asks for the typed name, follows both restores, and tells KOTS the new addresses', async () => {
    const name = await it.velero.backup()
    const old = (await it.here.get('v1/services/nomad-server-external')).status.loadBalancer.ingress[0].hostname
    const refused = await it.run('restore', name, '--yes')
    expect(refused.code, refused.all).toBe(5)
    expect(await it.all('restores')).toEqual([])
    const { code, all } = await it.run('restore', name, ...CONFIRMED, '--hand-over')
    expect(code, all).toBe(0)
    expect(await phases('restores')).toEqual({ [`${name}.kotsadm`]: 'Completed', [`${name}.circleci-server`]: 'Completed' })
    const now = (await it.here.get('v1/services/nomad-server-external')).status.loadBalancer.ingress[0].hostname
    expect(now).not.toBe(old)
    expect(it.here.standIns.kots.state.versions[0]).toMatchObject({ status: 'deployed', values: { nomad_server_load_balancer: { value: now } } })
    expect(flat(all)).toContain(`${old} → ${now}`)
    expect((await it.here.send('GET', 'v1/configmaps/circleci-runbooks-restore')).status).toBe(404)
    expect(it.velero.lost).toEqual([])
  })

  test('restore that is killed goes on with the same restores', async () => {
    const name = await it.velero.backup()
    const killed = it.begin(['restore', name, ...CONFIRMED, '--hand-over'])
    await until('the restore of the application', async () => (await phases('restores'))[`${name}.circleci-server`] === 'InProgress', { within: 60_000 })
    killed.signal('SIGKILL')
    await killed.ended
    const before = await uids('restores')
    const pod = (await it.here.get('v1/pods/nomad-server-0')).metadata.uid
    const again = await it.run('restore', name, ...CONFIRMED, '--hand-over')
    expect(again.code, again.all).toBe(0)
    expect(await uids('restores')).toEqual(before)
    expect(Object.values(await phases('restores'))).toEqual(['Completed', 'Completed'])
    expect((await it.here.get('v1/pods/nomad-server-0')).metadata.uid).not.toBe(pod)
  })

  test('delete asks Velero, which removes it from the bucket too', async () => {
    const name = await it.velero.backup()
    expect(await inBucket(name)).toBe(true)
    const { code, all } = await it.run('delete', name, ...CONFIRMED)
    expect(code, all).toBe(0)
    expect([await it.all('backups'), await it.all('podvolumebackups'), await it.all('deletebackuprequests')]).toEqual([[], [], []])
    expect(await inBucket(name)).toBe(false)
  })

  test('schedule --in-cluster: what the API server accepts, with the rights of a backup and no others; and back', async () => {
    const { here } = it
    const made = await it.run('schedule', '--in-cluster', '--image', 'registry.example.com/runbooks:1', '--yes')
    expect(made.code, made.all).toBe(0)
    const { spec } = await here.get('batch/v1beta1/cronjobs/circleci-backup')
    expect(spec).toMatchObject({ schedule: '0 2 * * *', concurrencyPolicy: 'Forbid', jobTemplate: { spec: { backoffLimit: 0 } } })
    const [, , ...words] = spec.jobTemplate.spec.template.spec.containers[0].command as string[]
    // Its pods are accepted, too.
    expect(await here.send('POST', 'batch/v1/jobs', { body: { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'once' }, spec: spec.jobTemplate.spec } })).toMatchObject({ status: 201 })
    await until('the pod of the job', async () => (await here.get('v1/pods', { labelSelector: 'job-name=once' })).items[0]?.spec.serviceAccountName === 'circleci-backup')

    const token = await tokenOf('circleci-backup')
    const env = asAccount(token)
    const run = await start(here, [process.execPath, BUNDLE, ...words], { env }).ended
    expect(run.code, run.all).toBe(0)
    expect(Object.values(await phases('backups'))).toEqual(['Completed'])
    expect(run.all).not.toContain(token)
    const name = (await it.all('backups'))[0].metadata.name
    const may = async (method: string, path: string, body?: object) => (await here.send(method, path, { token, ...(body ? { body, contentType: PATCH.merge } : {}) })).status
    expect(await Promise.all([
      may('DELETE', 'v1/secrets/mongodb'), may('GET', 'v1/secrets/mongodb'), may('GET', 'v1/secrets'), may('DELETE', 'v1/pods/mongodb-0'), may('POST', 'v1/pods/mongodb-0/exec'),
      may('PATCH', 'apps/v1/statefulsets/mongodb', {}), may('DELETE', `/apis/velero.io/v1/namespaces/velero/backups/${name}`), may('POST', '/apis/velero.io/v1/namespaces/velero/restores', {}),
      may('GET', '/api/v1/namespaces/velero/secrets/cloud-credentials'),
    ])).toEqual(Array.from({ length: 9 }, () => 403))

    const back = await it.run('schedule', '--yes')
    expect(back.code, back.all).toBe(0)
    const left = ['batch/v1beta1/cronjobs', 'v1/serviceaccounts', ...[here.namespace, 'velero'].flatMap((one) => ['roles', 'rolebindings'].map((kind) => `/apis/rbac.authorization.k8s.io/v1/namespaces/${one}/${kind}`))]
    expect(await Promise.all(left.map(async (path) => (await here.send('GET', `${path}/circleci-backup`)).status))).toEqual(left.map(() => 404))
    expect(here.standIns.kots.state.snapshots).toEqual({ schedule: '0 2 * * *', ttl: '720h' })
  })

  test('the scripts of --shell, run by bash with the real tools, leave what the runs leave', async () => {
    const { here } = it
    const script = async (...verb: string[]): Promise<void> => {
      const text = (await it.run(...verb, '--shell')).stdout
      const { code, all } = await bash(here, text)
      expect(code, `${text}\n${all}`).toBe(0)
    }
    await script('backup')
    const made = await phases('backups')
    expect(Object.values(made)).toEqual(['Completed'])
    await script('schedule', '--in-cluster', '--image', 'registry.example.com/runbooks:1')
    expect(await here.get('batch/v1beta1/cronjobs/circleci-backup')).toMatchObject({ spec: { schedule: '0 2 * * *' } })
    await script('schedule', '--cron', '30 3 * * *')
    expect(here.standIns.kots.state.snapshots?.schedule).toBe('30 3 * * *')
    expect((await here.send('GET', 'batch/v1beta1/cronjobs/circleci-backup')).status).toBe(404)
    await script('delete', Object.keys(made)[0] ?? '')
    expect(await it.all('backups')).toEqual([])
  })

  test('no secret was in the arguments of a process, a journal, or an output', async () => {
    expect(await it.leaks()).toEqual([])
  })
})

const tokenOf = async (account: string): Promise<string> => {
  const { status, body, text } = await it.here.send('POST', `v1/serviceaccounts/${account}/token`, { body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} } })
  expect(status, text).toBe(201)
  return body.status.token
}

/** The environment of a run as an account; what KOTS asks of the cluster first, its plugin asks for real here. */
const asAccount = (token: string): Record<string, string> => {
  const home = it.here.env['HOME'] as string
  const file = join(home, 'account.kubeconfig')
  const { server, ca } = cluster()
  const config = {
    apiVersion: 'v1', kind: 'Config', 'current-context': CONTEXT, contexts: [{ name: CONTEXT, context: { cluster: CONTEXT, user: 'account' } }],
    clusters: [{ name: CONTEXT, cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } }], users: [{ name: 'account', user: { token } }],
  }
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
  const bin = join(home, 'rights')
  mkdirSync(bin, { recursive: true })
  const asks = (words: string) => `kubectl ${words} -n ${it.here.namespace} >/dev/null || exit 1`
  writeFileSync(join(bin, 'kubectl-kots'), ['#!/usr/bin/env bash', 'if [[ $1 != version ]]; then', asks('get pods -l app=kotsadm'), asks('auth can-i create pods --subresource=portforward'),
    asks('get secret kotsadm-authstring'), 'fi', `exec ${it.here.standIns.kots.bin}/kubectl-kots "$@"`].join('\n'))
  chmodSync(join(bin, 'kubectl-kots'), 0o755)
  return { ...aws.env, KUBECONFIG: file, PATH: `${bin}:${it.here.env['PATH']}` }
}
