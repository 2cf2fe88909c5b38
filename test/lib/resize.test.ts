import type { V1PersistentVolumeClaim } from '@kubernetes/client-node'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect } from '../../lib/cluster/kubernetes.ts'
import { resizeBegan, resizeFailure } from '../../lib/server/resize.ts'

// Its remedies are lines of kubectl, and say where they go.
const folder = mkdtempSync(join(tmpdir(), 'resize-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
beforeAll(async () => {
  writeFileSync(join(folder, 'config'), JSON.stringify({
    apiVersion: 'v1', kind: 'Config', 'current-context': 'c', users: [{ name: 'u', user: {} }],
    clusters: [{ name: 'k', cluster: { server: 'http://127.0.0.1:1' } }], contexts: [{ name: 'c', context: { cluster: 'k', user: 'u', namespace: 'n' } }],
  }))
  await connect({ kubeconfig: join(folder, 'config') })
})

const at = (clock: string): number => Date.parse(`2022-11-22T${clock}Z`)
const field = (path: string, clock: string, more = {}) =>
  ({ manager: 'x', operation: 'Update', time: `2022-11-22T${clock}Z`, fieldsV1: { 'f:spec': { 'f:resources': { [path]: { 'f:storage': {} } } } }, ...more })
const claim = (fields: object[], conditions: object[] = []) => ({ metadata: { managedFields: fields }, status: { conditions } }) as V1PersistentVolumeClaim

test.each<[string, V1PersistentVolumeClaim | undefined, number]>([
  ['when what it asks for was last changed', claim([field('f:requests', '01:00:00'), field('f:requests', '03:00:00'), field('f:limits', '04:00:00')]), at('03:00:00')],
  ['not when its status was', claim([field('f:requests', '01:00:00'), field('f:requests', '05:00:00', { subresource: 'status' })]), at('01:00:00')],
  ['or when the resizer went on', claim([field('f:requests', '01:00:00')], [{ type: 'Resizing', lastTransitionTime: '2022-11-22T02:00:00Z' }]), at('02:00:00')],
  ['whatever else happened to it', claim([field('f:requests', '01:00:00')], [{ type: 'Other', lastTransitionTime: '2022-11-22T02:00:00Z' }]), at('01:00:00')],
  ['unknown', undefined, 0],
])('a resize began %s', (_, object, began) => expect(resizeBegan(object)).toBe(began))

test.each([
  ['older than the request', { succeeded: 0, failed: at('01:00:00') }, undefined],
  ['newer than the request', { succeeded: 0, failed: at('02:00:01') }, 'could not be grown: it broke'],
  ['newer than the success', { succeeded: at('02:30:00'), failed: at('02:31:00') }, 'could not be grown: it broke'],
  ['older than the success', { succeeded: at('02:30:00'), failed: at('02:29:00') }, undefined],
  ['none', { succeeded: 0, failed: 0 }, undefined],
])('a failure that is %s', (_, events, says) => {
  const found = resizeFailure('datadir-mongodb-0', 'vol-1', { ...events, message: 'it broke' }, at('02:00:00'), 'It runs.')
  expect(found?.message).toEqual(says && expect.stringContaining(says))
})

test('AWS refuses for six hours, whichever request it refused', () => {
  const events = { succeeded: 0, failed: at('01:00:00'), message: 'VolumeModificationRateExceeded' }
  expect(resizeFailure('datadir-mongodb-0', 'vol-1', events, at('02:00:00'), 'It runs.')?.next).toContain('After 07:00 UTC')
})
