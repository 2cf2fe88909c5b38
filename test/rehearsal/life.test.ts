import { describe, expect, test } from 'vitest'
import { core, gp2, kept, kots, orphan, sets, start } from './helpers.ts'

const HOUR = 3_600_000
const claimPath = `${core}/persistentvolumeclaims/datadir-mongodb-0`
const events = `${core}/events?fieldSelector=involvedObject.kind=PersistentVolumeClaim,involvedObject.name=datadir-mongodb-0`
const restart = { spec: { template: { metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': '2022-11-22T03:00:00Z' } } } } }

describe('stateful sets', () => {
  test('an orphaned pod stays, and is adopted by the set that comes back', async () => {
    const { get, send, clock } = await start()
    const set = await get(`${sets}/mongodb`), pod = await get(`${core}/pods/mongodb-0`)
    expect(pod.metadata.ownerReferences[0].uid).toBe(set.metadata.uid)
    await send('DELETE', `${sets}/mongodb`, orphan(set.metadata.uid))
    await clock.sleep(HOUR)
    const alone = await get(`${core}/pods/mongodb-0`)
    expect([alone.metadata.uid, alone.metadata.ownerReferences]).toEqual([pod.metadata.uid, undefined])
    await send('POST', sets, kept(set, '10Gi'))
    await clock.sleep(HOUR)
    const again = await get(`${sets}/mongodb`), adopted = await get(`${core}/pods/mongodb-0`)
    expect(adopted.metadata.ownerReferences[0].uid).toBe(again.metadata.uid)
    expect(adopted.metadata.uid).toBe(pod.metadata.uid)
    expect(again.status).toMatchObject({ replicas: 1, readyReplicas: 1, updateRevision: set.status.updateRevision })
    expect((await get(claimPath)).spec.resources.requests.storage).toBe('8Gi')
  })

  test('a deletion with the pod brings a new pod once the set is back', async () => {
    const { get, send, clock } = await start()
    const set = await get(`${sets}/mongodb`), pod = await get(`${core}/pods/mongodb-0`)
    await send('DELETE', `${sets}/mongodb`, { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Foreground' })
    expect((await send('GET', `${core}/pods/mongodb-0`)).code).toBe(404)
    await send('POST', sets, kept(set, '8Gi'))
    expect((await get(`${core}/pods/mongodb-0`)).status.phase).toBe('Pending')
    await clock.sleep(20_000)
    const fresh = await get(`${core}/pods/mongodb-0`)
    expect([fresh.status.phase, fresh.metadata.uid === pod.metadata.uid]).toEqual(['Running', false])
  })

  test('a changed template replaces pods one by one, the last one first', async () => {
    const { get, send, patch, clock, exec } = await start()
    await patch(`${sets}/mongodb`, { spec: { replicas: 2 } })
    await clock.sleep(20_000)
    expect((await get(`${core}/persistentvolumeclaims/datadir-mongodb-1`)).status).toMatchObject({ phase: 'Bound', capacity: { storage: '8Gi' } })
    const uids = async () => (await get(`${core}/pods?labelSelector=app.kubernetes.io/name=mongodb`)).items.map((pod: any) => pod.metadata.uid)
    const [zero, one] = await uids()
    await send('PATCH', `${sets}/mongodb`, restart, 'application/strategic-merge-patch+json')
    expect((await uids())[0]).toBe(zero)
    expect((await uids())[1]).not.toBe(one)
    expect((await exec('mongodb-1', ['df', '-Pk', '/bitnami/mongodb'])).status).toMatchObject({ code: 500 })
    await clock.sleep(20_000)
    expect((await uids())[0]).not.toBe(zero)
    await clock.sleep(20_000)
    const { status } = await get(`${sets}/mongodb`)
    expect(status).toMatchObject({ readyReplicas: 2, updatedReplicas: 2, currentRevision: status.updateRevision })
  })

  test('a pod that is not ready stays so', async () => {
    const { get, clock } = await start({ scenario: 'pod-not-ready' })
    await clock.sleep(HOUR)
    expect((await get(`${sets}/mongodb`)).status.readyReplicas).toBe(0)
  })
})

describe('volumes', () => {
  test('grow: volume, condition, file system, event', async () => {
    const { get, grow, clock, exec } = await start()
    await grow('datadir-mongodb-0', '10Gi')
    const conditions = async () => (await get(claimPath)).status.conditions?.map((one: any) => one.type)
    const { volumeName } = (await get(claimPath)).spec
    expect(await conditions()).toEqual(['Resizing'])
    await clock.sleep(20_000)
    expect(await conditions()).toEqual(['FileSystemResizePending'])
    expect((await get(`/api/v1/persistentvolumes/${volumeName}`)).spec.capacity.storage).toBe('10Gi')
    expect((await get(claimPath)).status.capacity.storage).toBe('8Gi')
    expect((await exec('mongodb-0', ['df', '-Pk', '/bitnami/mongodb'])).stdout).toContain('8126464')
    await clock.sleep(20_000)
    expect(await conditions()).toBeUndefined()
    expect((await get(claimPath)).status.capacity.storage).toBe('10Gi')
    expect((await exec('mongodb-0', ['df', '-Pk', '/bitnami/mongodb'])).stdout).toContain('10190848')
    expect((await get(events)).items).toMatchObject([{
      type: 'Normal', reason: 'FileSystemResizeSuccessful', reportingComponent: 'kubelet', message: expect.stringContaining(volumeName),
    }])
  })

  test('a volume that was changed just now is refused for six hours', async () => {
    const { get, grow, clock } = await start({ scenario: 'modification-rate' })
    await grow('datadir-mongodb-0', '10Gi')
    await clock.sleep(60_000)
    expect((await get(events)).items).toMatchObject([{ type: 'Warning', reason: 'VolumeResizeFailed', message: expect.stringContaining('VolumeModificationRateExceeded') }])
    await clock.sleep(5 * HOUR)
    expect((await get(claimPath)).status.capacity.storage).toBe('8Gi')
    await clock.sleep(HOUR)
    expect((await get(claimPath)).status.capacity.storage).toBe('10Gi')
  })

  test('such a refusal may have been seen before', async () => {
    const { get, clock } = await start({ scenario: 'recent-modification' })
    const [event] = (await get(events)).items
    expect(event.reason).toBe('VolumeResizeFailed')
    expect(clock.now() - Date.parse(event.lastTimestamp)).toBe(20 * 60_000)
  })

  test('a file system that waits for a restart gets it', async () => {
    const { get, send, grow, clock } = await start({ scenario: 'resize-pending' })
    await grow('datadir-mongodb-0', '10Gi')
    await clock.sleep(HOUR)
    expect((await get(claimPath)).status.conditions).toMatchObject([{ type: 'FileSystemResizePending' }])
    await send('PATCH', `${sets}/mongodb`, restart, 'application/strategic-merge-patch+json')
    await clock.sleep(20_000)
    expect((await get(claimPath)).status).toMatchObject({ capacity: { storage: '10Gi' } })
  })

  test('the quota counts what claims ask for', async () => {
    const { get, grow } = await start({ scenario: 'quota' })
    const used = async () => (await get(`${core}/resourcequotas`)).items[0].status.used['requests.storage']
    expect(await used()).toBe('40Gi')
    expect((await grow('datadir-mongodb-0', '10Gi')).body.message).toContain('exceeded quota: storage, requested: requests.storage=2Gi, used: requests.storage=40Gi, limited: requests.storage=41Gi')
    expect((await grow('datadir-mongodb-0', '9Gi')).code).toBe(200)
    expect(await used()).toBe('41Gi')
  })
})

describe('scenarios', () => {
  test('an external database has nothing here', async () => {
    const { send } = await start({ scenario: 'external-database' })
    for (const path of [`${sets}/mongodb`, claimPath, `${core}/pods/mongodb-0`]) expect((await send('GET', path)).code).toBe(404)
  })

  test('another operator holds a lease that stays fresh', async () => {
    const { get, clock } = await start({ scenario: 'two-operators' })
    await clock.sleep(HOUR)
    const { spec } = await get('/apis/coordination.k8s.io/v1/namespaces/circleci-server/leases/circleci-runbooks')
    expect([spec.holderIdentity, clock.now() - Date.parse(spec.renewTime)]).toEqual(['operator@laptop-3', 9_000])
  })

  test('the newest backup is 5 hours old, or 31', async () => {
    for (const [scenario, hours] of [['all-well', 5], ['no-backup', 31]] as const) {
      const { get, clock } = await start({ scenario })
      const [backup] = (await get('/apis/velero.io/v1/namespaces/velero/backups')).items
      expect((clock.now() - Date.parse(backup.status.completionTimestamp)) / HOUR).toBe(hours)
    }
  })

  test('a deploy may be slow, or fail', async () => {
    for (const [scenario, at14] of [['deploy-slow', 'deployed'], ['deploy-fails', 'failed']] as const) {
      const rehearsal = await start({ scenario })
      await rehearsal.patch(gp2, { allowVolumeExpansion: true })
      await rehearsal.send('DELETE', `${sets}/mongodb`, orphan())
      await kots(rehearsal, 'set', 'config', 'circleci-server', 'mongodb_pvc_size=10', '--deploy')
      const status = () => rehearsal.world().kots.versions[0]?.status
      await rehearsal.clock.sleep(13 * 60_000)
      expect(status()).toBe(scenario === 'deploy-slow' ? 'deploying' : 'failed')
      await rehearsal.clock.sleep(60_000)
      expect(status()).toBe(at14)
      expect((await rehearsal.send('GET', `${sets}/mongodb`)).code).toBe(at14 === 'deployed' ? 200 : 404)
    }
  })
})
