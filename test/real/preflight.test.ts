/**
 * What preflight finds of a real cluster, and what real programs say of their release, as far as they are on this machine.
 */
import { describe, expect, test } from 'vitest'
import { softwareIsThere } from '../../lib/software.ts'
import { CONTEXT } from './cluster.ts'
import { onCluster } from './real.ts'
import { start } from './runs.ts'

const PREFLIGHT = new URL('../../dist/preflight.mjs', import.meta.url).pathname

describe('a real cluster', () => {
  const { cluster, shared } = onCluster()

  test('is measured, and its rights and storage classes are read', async () => {
    const here = await shared()
    const { stdout, stderr } = await start(here, [process.execPath, PREFLIGHT, '--cloud', 's3', '--context', CONTEXT, '--kubeconfig', here.kubeconfig, '--json'], {
      env: { HTTPS_PROXY: 'http://127.0.0.1:9' },
    }).ended
    const report = stdout.split('\n').find((one) => one.includes('"event":"report"'))
    if (!report) throw new Error(stderr)
    const { checks } = JSON.parse(report) as { checks: { name: string; group: string; is: string; say: string }[] }
    const found = Object.fromEntries(checks.filter(({ group }) => group === 'Cluster').map(({ name, ...more }) => [name, more]))
    expect(found['cluster']).toMatchObject({ is: 'ok', say: expect.stringContaining(`(context ${CONTEXT})`) })
    expect(found['size']).toMatchObject({ is: 'bad', say: expect.stringMatching(/^1 nodes, \d+ cores, \d+ GB: too small/) })
    expect(found['kubernetes']?.say).toContain(cluster().version)
    expect(found['permissions']).toMatchObject({ is: 'ok', say: 'you are cluster admin' })
    // Each test brings a class of its own, and all of them are the default one.
    expect(found['storage-class']?.say).toMatch(/default/)
  })
})

test.for(['terraform', 'kubectl', 'helm', 'aws', 'eksctl', 'gcloud', 'gsutil', 'openssl'] as const)('%s tells its release', async (name, context) => {
  const verdict = await softwareIsThere(name, 'it is tested').look()
  if (verdict.say.includes('not installed')) return context.skip(`${name} is not on this machine`)
  expect(verdict).toMatchObject({ is: expect.stringMatching(/^(ok|bad)$/), say: expect.stringMatching(/\d+\.\d+/) })
})
