import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { refusals } from '../refusals.ts'
import { core, gp2, kept, leases, merge, orphan, sets, start } from './helpers.ts'

describe('refusals are those of the real server', () => {
  test.each(refusals)('$name', async ({ method, path, query, body, contentType, scenario, before, code, reason, causes }) => {
    const world = await start(scenario ? { scenario } : {})
    if (before) expect((await world.send(before.method, before.path, before.body, before.contentType)).code).toBeLessThan(300)
    const untouched = readFileSync(world.file, 'utf8')
    const reply = await world.send(method, `${path}?${new URLSearchParams(query)}`, body, contentType)
    expect({ code: reply.code, reason: reply.body.reason, causes: reply.body.details?.causes?.map(({ field }: any) => ({ field })) })
      .toEqual({ code, reason, causes })
    expect(reply.body).toMatchObject({ kind: 'Status', status: 'Failure', code })
    expect(readFileSync(world.file, 'utf8')).toBe(untouched)
  })
})

describe('reads', () => {
  test('lists by label and by field', async () => {
    const { get } = await start()
    const pods = await get(`${core}/pods?labelSelector=app.kubernetes.io/name=mongodb,layer=data`)
    expect(pods.kind).toBe('PodList')
    expect(pods.items.map((pod: any) => pod.metadata.name)).toEqual(['mongodb-0'])
    expect(pods.items[0].kind).toBeUndefined()
    const others = (await get(`${core}/pods?labelSelector=layer!%3Ddata`)).items
    expect(others.filter((pod: any) => pod.metadata.labels.layer === 'data')).toEqual([])
    const backups = await get('/apis/velero.io/v1/namespaces/velero/backups')
    expect(backups.items[0]).toMatchObject({ kind: 'Backup', status: { phase: 'Completed' }, metadata: { annotations: { 'kots.io/instance': 'true' } } })
  })

  test('what is not played says which file to extend', async () => {
    const { send } = await start()
    for (const [method, path] of [['GET', '/api/v1/limitranges'], ['DELETE', `${core}/services/output-processor`], ['GET', `${core}/pods?watch=true`]] as const) {
      const { code, body } = await send(method, path)
      expect([code, body.message]).toEqual([501, expect.stringContaining('extend lib/rehearsal/kubernetes.ts')])
    }
  })

  test('rights are asked for, and refused where a scenario refuses them', async () => {
    const ask = { spec: { resourceAttributes: { verb: 'patch', group: 'storage.k8s.io', resource: 'storageclasses' } } }
    for (const [scenario, allowed] of [['all-well', true], ['expansion-refused', false]] as const) {
      const { send, patch } = await start({ scenario })
      const review = await send('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', ask)
      expect([review.code, review.body.status.allowed]).toEqual([201, allowed])
      expect((await patch(`${gp2}?dryRun=All`, { allowVolumeExpansion: true })).code).toBe(allowed ? 200 : 403)
    }
  })
})

describe('writes', () => {
  test('versions and generations count changes, and only changes', async () => {
    const { get, patch } = await start()
    const before = await get(`${sets}/mongodb`)
    const nothing = await patch(`${sets}/mongodb`, { spec: { replicas: 1 } })
    expect(nothing.body.metadata).toEqual(before.metadata)
    const labelled = await patch(`${sets}/mongodb`, { metadata: { labels: { seen: 'yes' } } })
    expect(labelled.body.metadata.generation).toBe(1)
    expect(labelled.body.metadata.resourceVersion).not.toBe(before.metadata.resourceVersion)
  })

  test('quantities come back in their shortest form', async () => {
    const { grow } = await start()
    expect((await grow('datadir-mongodb-0', '10240Mi')).body.spec.resources.requests.storage).toBe('10Gi')
    expect((await grow('datadir-mongodb-0', '10.5Gi')).body.spec.resources.requests.storage).toBe('10752Mi')
    expect((await grow('datadir-mongodb-0', '20000M')).body.spec.resources.requests.storage).toBe('20G')
  })

  test('a lease is held by one: replaced with its version, created by PUT where there is none', async () => {
    const { send } = await start()
    const lease = (metadata: object, holderIdentity: string) => ({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec: { holderIdentity } })
    const first = await send('PUT', `${leases}/l`, lease({ name: 'l', resourceVersion: '7' }, 'a'))
    expect(first.code).toBe(201)
    const { resourceVersion } = first.body.metadata
    expect((await send('PUT', `${leases}/l`, lease({ name: 'l', resourceVersion }, 'b'))).body.spec.holderIdentity).toBe('b')
    expect((await send('PUT', `${leases}/l`, lease({ name: 'l', resourceVersion }, 'c'))).code).toBe(409)
    const gone = await send('DELETE', `${leases}/l`)
    expect(gone.body).toMatchObject({ kind: 'Status', status: 'Success', details: { name: 'l', kind: 'leases', group: 'coordination.k8s.io' } })
  })

  test('secrets take plain values and give base64', async () => {
    const { send, get, patch } = await start()
    await send('POST', `${core}/secrets`, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, stringData: { a: 'b' } })
    expect(await get(`${core}/secrets/s`)).toMatchObject({ type: 'Opaque', data: { a: 'Yg==' } })
    await patch(`${core}/secrets/s`, { data: { a: null, c: 'ZA==' } })
    expect((await get(`${core}/secrets/s`)).data).toEqual({ c: 'ZA==' })
  })

  test('dry runs answer as the real thing and leave the file alone', async () => {
    const { send, get, patch, file } = await start()
    await get('/version')
    const before = readFileSync(file, 'utf8')
    const live = await get(`${sets}/mongodb`)
    expect((await patch(`${gp2}?dryRun=All&fieldManager=x`, { allowVolumeExpansion: true })).body.allowVolumeExpansion).toBe(true)
    expect((await send('DELETE', `${sets}/mongodb`, { ...orphan(), dryRun: ['All'] })).body.metadata.finalizers).toEqual(['orphan'])
    const again = kept(live, '10Gi')
    again.metadata.name = 'other'
    expect((await send('POST', `${sets}?dryRun=All`, again)).code).toBe(201)
    expect((await get(`${sets}/mongodb`)).metadata).toEqual(live.metadata)
    expect(readFileSync(file, 'utf8')).toBe(before)
  })

  test('a deletion with a body does not look at its query', async () => {
    const { send, get } = await start()
    await send('DELETE', `${sets}/mongodb?dryRun=All&propagationPolicy=Orphan`, { kind: 'DeleteOptions', apiVersion: 'v1' })
    expect((await send('GET', `${sets}/mongodb`)).code).toBe(404)
    expect((await get(`${core}/pods`)).items.map((pod: any) => pod.metadata.name)).not.toContain('mongodb-0')
  })

  test('a strategic patch merges containers by name', async () => {
    const { send } = await start()
    const { body } = await send('PATCH', `${sets}/vault?dryRun=All`, { spec: { template: { spec: { containers: [{ name: 'vault', image: 'vault:2' }] } } } },
      'application/strategic-merge-patch+json')
    expect(body.spec.template.spec.containers.map((one: any) => [one.name, one.image])).toEqual([['vault', 'vault:2'], ['unseal', 'circleci/vault-unseal:1.0']])
    const merged = await send('PATCH', `${sets}/vault?dryRun=All`, { spec: { template: { spec: { containers: [{ name: 'vault', image: 'vault:2' }] } } } }, merge)
    expect(merged.body.spec.template.spec.containers).toHaveLength(1)
  })
})

describe('exec', () => {
  test('df as in the operations guide', async () => {
    const { exec } = await start()
    const { stdout, status } = await exec('mongodb-0', ['df', '-Pk', '/bitnami/mongodb'], 'mongodb')
    expect(stdout).toBe('Filesystem   1024-blocks   Used Available Capacity Mounted on\n/dev/nvme1n1     8126464 451584   7658496       6% /bitnami/mongodb\n')
    expect(status).toEqual({ metadata: {}, status: 'Success' })
  })

  test('other commands, containers and pods', async () => {
    const { exec } = await start()
    expect((await exec('mongodb-0', ['ls'])).status).toMatchObject({ status: 'Failure', message: expect.stringContaining('rehearsal: not played') })
    expect(await exec('nothing-0', ['ls'])).toMatchObject({ code: 404, status: { reason: 'NotFound' } })
    expect(await exec('vault-0', ['ls'], 'other')).toMatchObject({ code: 400, status: { reason: 'BadRequest' } })
    const broken = await start({ scenario: 'unbound-claim' })
    expect((await broken.exec('mongodb-0', ['df', '-Pk', '/bitnami/mongodb'])).code).toBeGreaterThanOrEqual(400)
  })
})
