/**
 * The table of refusals, which the rehearsal answers, sent to the real API server: the same code, reason and fields.
 */
import { describe, expect, test } from 'vitest'
import type { RefusalCase } from '../refusals.ts'
import { refusals } from '../refusals.ts'
import type { Installation } from './installation.ts'
import { until } from './processes.ts'
import { onCluster } from './real.ts'

const { fresh, shared } = onCluster()

/** Brings about what a case needs; returns what the claim of the case is called then. */
const prepare: Record<NonNullable<RefusalCase['scenario']>, (here: Installation) => Promise<string>> = {
  async 'unbound-claim'({ send, storageClass }) {
    const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '8Gi' } }, storageClassName: storageClass }
    const body = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'unbound' }, spec }
    expect((await send('POST', 'v1/persistentvolumeclaims', { body })).status).toBe(201)
    return 'unbound'
  },
  async quota({ send, get }) {
    const spec = { hard: { 'requests.storage': '41Gi' } }
    const body = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'storage' }, spec }
    expect((await send('POST', 'v1/resourcequotas', { body })).status).toBe(201)
    // Until it is counted, every change is refused for another reason.
    await until('the count', async () => (await get('v1/resourcequotas/storage')).status?.used?.['requests.storage'])
    return 'datadir-mongodb-0'
  },
}

describe('the real API server refuses', () => {
  test.each(refusals.map((one) => [one.name, one] as const))('%s', async (_, one) => {
    const here = await (one.scenario ? fresh() : shared())
    const claim = one.scenario ? await prepare[one.scenario](here) : 'datadir-mongodb-0'
    const send = ({ method, path, query = {}, body, contentType }: Pick<RefusalCase, 'method' | 'path' | 'query' | 'body' | 'contentType'>) => {
      const own = path
        .replace('/namespaces/circleci-server', `/namespaces/${here.namespace}`)
        .replace('/storageclasses/gp2', `/storageclasses/${here.storageClass}`)
        .replace('/datadir-mongodb-0', `/${claim}`)
      return here.send(method, own, { query, body, ...(contentType && { contentType }) })
    }
    if (one.before) expect((await send(one.before)).status).toBeLessThan(300)
    const { body } = await send(one)
    const fields = new Set((body.details?.causes ?? []).map((cause: any) => cause.field).filter(Boolean))
    expect({ code: body.code, reason: body.reason, fields: [...fields] }, body.message).toEqual({
      code: one.code,
      reason: one.reason,
      fields: (one.causes ?? []).map(({ field }) => field),
    })
  })
})
