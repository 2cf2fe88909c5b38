/**
 * The harness itself, on real components: what the tests of the runbooks stand on.
 */
import { execFile, spawn } from 'node:child_process'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { Exec, KubeConfig } from '@kubernetes/client-node'
import { describe, expect, test } from 'vitest'
import { pause } from '../../lib/clock.ts'
import { until } from './processes.ts'
import { onCluster } from './real.ts'

const { cluster, fresh } = onCluster()
const run = promisify(execFile)

describe('the installation', () => {
  test('runs: pods Running, claims Bound, one node', async () => {
    const { get, namespace } = await fresh()
    const pods = (await get('v1/pods')).items
    expect(pods.map((pod: any) => pod.metadata.name)).toEqual(expect.arrayContaining(['mongodb-0', 'postgresql-0']))
    expect(pods.every((pod: any) => pod.status.phase === 'Running' && pod.spec.nodeName)).toBe(true)
    const claims = (await get('v1/persistentvolumeclaims')).items
    expect(claims.every((claim: any) => claim.status.phase === 'Bound' && claim.spec.volumeName.startsWith(namespace))).toBe(true)
  })

  test('the user reader reads and changes nothing', async () => {
    const { send } = await fresh()
    const { token } = { token: cluster().tokens.reader }
    expect((await send('GET', 'v1/pods', { token })).status).toBe(200)
    expect((await send('GET', 'v1/secrets', { token })).body).toMatchObject({ code: 403, reason: 'Forbidden' })
    expect((await send('DELETE', 'apps/v1/statefulsets/mongodb', { token })).status).toBe(403)
    const attributes = { verb: 'patch', resource: 'persistentvolumeclaims' }
    const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec: { resourceAttributes: attributes } }
    const answer = await send('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { token, body: review })
    expect(answer.body.status.allowed).toBe(false)
  })
})

describe('exec', () => {
  const DF = /^Filesystem +1024-blocks +Used +Available +Capacity +Mounted on\n\/dev\/nvme\d+n1 +\d+ +\d+ +\d+ +\d+% +\/bitnami\/mongodb\n$/

  const byClient = async (namespace: string, command: string[]) => {
    const config = new KubeConfig()
    config.loadFromFile(cluster().kubeconfig)
    const [out, err] = [new PassThrough(), new PassThrough()]
    const both = Promise.all([text(out), text(err)])
    const status = await new Promise<any>((resolve, reject) => {
      new Exec(config).exec(namespace, 'mongodb-0', 'mongodb', command, out, err, null, false, resolve).catch(reject)
    })
    out.end()
    err.end()
    const [stdout, stderr] = await both
    return { status, stdout, stderr }
  }

  test('by the WebSocket of client-node', async () => {
    const { namespace } = await fresh()
    const answer = await byClient(namespace, ['df', '-Pk', '/bitnami/mongodb'])
    expect(answer).toMatchObject({ status: { status: 'Success' }, stderr: '' })
    expect(answer.stdout).toMatch(DF)
    const shell = await byClient(namespace, ['sh', '-c', 'df -Pk /bitnami/mongodb; echo bad >&2; exit 3'])
    expect(shell.stdout).toMatch(DF)
    expect(shell.stderr).toBe('bad\n')
    expect(shell.status).toMatchObject({ status: 'Failure', details: { causes: [{ message: '3' }] } })
  })

  test('by the real kubectl', async () => {
    const { namespace, env } = await fresh()
    const words = ['exec', 'mongodb-0', '-n', namespace, '--context', 'real', '--']
    const { stdout } = await run('kubectl', [...words, 'df', '-Pk', '/bitnami/mongodb'], { env })
    expect(stdout).toMatch(DF)
    await expect(run('kubectl', [...words, 'df', '-Pk', '/nowhere'], { env })).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('No such file or directory'),
    })
  })

  test('what is written to a command arrives, and that it has ended', async () => {
    const { namespace, env } = await fresh()
    const exec = `kubectl exec -i mongodb-0 -n ${namespace} --context real --`
    const all = run('bash', ['-c', `head -c 300M /dev/zero | ${exec} sh -c 'wc -c; echo to the other >&2; exit 7'`], { env })
    await expect(all).rejects.toMatchObject({ code: 7, stdout: '314572800\n', stderr: expect.stringContaining('to the other\n') })
  })
})

describe('the resizer', () => {
  const claim = 'v1/persistentvolumeclaims/datadir-mongodb-0'
  const ask = { spec: { resources: { requests: { storage: '10Gi' } } } }

  test('grows volume, file system and claim, and says so', async () => {
    const { send, get, storageClass, namespace, env } = await fresh()
    expect((await send('PATCH', claim, { body: ask })).body).toMatchObject({ code: 403, reason: 'Forbidden' })
    await send('PATCH', `/apis/storage.k8s.io/v1/storageclasses/${storageClass}`, { body: { allowVolumeExpansion: true } })
    expect((await send('PATCH', claim, { body: ask })).status).toBe(200)
    await until('the pending file system', async () => (await get(claim)).status.conditions?.[0]?.type === 'FileSystemResizePending')
    const after = await until('the size', async () => {
      const body = await get(claim)
      return body.status.capacity.storage === '10Gi' && body
    })
    expect(after.status.conditions).toBeUndefined()
    const words = ['exec', '-n', namespace, 'mongodb-0', '--', 'df', '-Pk', '/bitnami/mongodb']
    expect((await run('kubectl', words, { env })).stdout).toContain(' 10239')
    const fieldSelector = 'involvedObject.kind=PersistentVolumeClaim,involvedObject.name=datadir-mongodb-0'
    const events = await until('the event', async () => {
      const { items } = await get('v1/events', { fieldSelector })
      return items.some((event: any) => event.reason === 'FileSystemResizeSuccessful') && items
    })
    expect(events.map((event: any) => event.reason)).toContain('FileSystemResizeSuccessful')
    expect((await get(`/api/v1/persistentvolumes/${after.spec.volumeName}`)).spec.capacity.storage).toBe('10Gi')
  })

  test('is refused by the cloud for as long as the switch says so', async () => {
    const { send, get, storageClass, standIns } = await fresh()
    standIns.resizer.rateExceeded = true
    await send('PATCH', `/apis/storage.k8s.io/v1/storageclasses/${storageClass}`, { body: { allowVolumeExpansion: true } })
    await send('PATCH', claim, { body: ask })
    await until('two refusals', async () => {
      const { items } = await get('v1/events')
      return items.some((event: any) => event.reason === 'VolumeResizeFailed' && event.count >= 2)
    })
    expect((await get(claim)).status.capacity.storage).toBe('8Gi')
    standIns.resizer.rateExceeded = false
    await until('the size', async () => (await get(claim)).status.capacity.storage === '10Gi')
  })

  test('waits for a new pod when the switch says so', async () => {
    const { send, get, storageClass, namespace, env, standIns } = await fresh()
    standIns.resizer.untilRestart = true
    await send('PATCH', `/apis/storage.k8s.io/v1/storageclasses/${storageClass}`, { body: { allowVolumeExpansion: true } })
    await send('PATCH', claim, { body: ask })
    await until('the pending file system', async () => (await get(claim)).status.conditions?.[0]?.type === 'FileSystemResizePending')
    await pause(1500)
    expect((await get(claim)).status.capacity.storage).toBe('8Gi')
    await run('kubectl', ['rollout', 'restart', 'sts', 'mongodb', '-n', namespace], { env })
    await run('kubectl', ['rollout', 'status', 'sts', 'mongodb', '-n', namespace, '--timeout=30s'], { env })
    await until('the size', async () => (await get(claim)).status.capacity.storage === '10Gi')
  })
})

describe('KOTS', () => {
  const set = 'apps/v1/statefulsets/mongodb'
  const orphan = { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Orphan' }
  const words = (namespace: string, ...rest: string[]) => ['kots', ...rest, '--context', 'real', '--namespace', namespace]

  test('answers through the real kubectl', async () => {
    const { namespace, env } = await fresh()
    const kots = async (...rest: string[]) => (await run('kubectl', words(namespace, ...rest), { env })).stdout
    expect(await kots('version')).toMatch(/^Replicated KOTS 1\.65\.0\n/)
    expect(JSON.parse(await kots('get', 'apps', '-o', 'json'))[0]).toMatchObject({ slug: 'circleci-server', state: 'ready' })
    expect(JSON.parse(await kots('get', 'versions', 'circleci-server', '-o', 'json'))[0]).toMatchObject({ status: 'deployed' })
    expect(await kots('get', 'config', '--appslug', 'circleci-server')).toContain('mongodb_pvc_size:')
  })

  test('brings a removed set back with the new size, and its pod is the same', async () => {
    const { namespace, env, send, get, standIns } = await fresh()
    const before = await get('v1/pods/mongodb-0')
    expect((await send('DELETE', set, { body: orphan })).status).toBe(200)
    await until('no set', async () => (await send('GET', set)).status === 404)
    expect((await get('v1/pods/mongodb-0')).metadata.ownerReferences).toBeUndefined()
    await run('kubectl', words(namespace, 'set', 'config', 'circleci-server', 'mongodb_pvc_size=10', '--deploy'), { env })
    await standIns.kots.settled()
    expect(standIns.kots.state.versions[0]).toMatchObject({ sequence: 2, status: 'deployed' })
    const live = await get(set)
    expect(live.spec.volumeClaimTemplates[0].spec.resources.requests.storage).toBe('10Gi')
    const after = await until('an owner', async () => {
      const pod = await get('v1/pods/mongodb-0')
      return pod.metadata.ownerReferences?.[0]?.uid === live.metadata.uid && pod
    })
    expect(after.metadata.uid).toBe(before.metadata.uid)
  })

  test('fails where the set is still there with the old size', async () => {
    const { namespace, env, standIns } = await fresh()
    await run('kubectl', words(namespace, 'set', 'config', 'circleci-server', 'mongodb_pvc_size=10', '--deploy'), { env })
    await standIns.kots.settled()
    expect(standIns.kots.state.versions[0]!.status).toBe('failed')
    expect(standIns.kots.error).toContain('Forbidden')
  })

  test('refuses an item without a value, and deploys for a command whose parent was killed', async () => {
    const { namespace, env, standIns } = await fresh()
    await expect(
      run('kubectl', words(namespace, 'set', 'config', 'circleci-server', 'no_such_item=1', '--deploy'), { env }),
    ).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('failed to create new config') })
    standIns.kots.slow = 1000
    const line = words(namespace, 'set', 'config', 'circleci-server', 'mongodb_pvc_size=8', '--deploy').join(' ')
    const parent = spawn('sh', ['-c', `kubectl ${line}; true`], { env, stdio: 'ignore' })
    await pause(500)
    parent.kill('SIGKILL')
    await until('the order', async () => standIns.kots.state.versions.length === 3)
    await standIns.kots.settled()
    expect(standIns.kots.state.versions[0]!.status).toBe('deployed')
  })
})

describe('Velero', () => {
  test('has one completed backup of the installation', async () => {
    const { get, namespace } = await fresh()
    const { items } = await get('/apis/velero.io/v1/namespaces/velero/backups')
    const own = items.filter((one: any) => one.metadata.annotations['kots.io/kotsadm-deploy-namespace'] === namespace)
    expect(own.map((one: any) => one.status.phase)).toEqual(['Completed'])
  })
})
