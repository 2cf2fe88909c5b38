import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { core, kots, orphan, sets, start } from './helpers.ts'

const slug = 'circleci-server'

describe('KOTS', () => {
  test('a deploy brings a missing stateful set back, and its pod is the same', async () => {
    const rehearsal = await start()
    const { get, send, clock } = rehearsal
    const pod = await get(`${core}/pods/mongodb-0`)
    await send('DELETE', `${sets}/mongodb`, orphan())
    const set = await kots(rehearsal, 'set', 'config', slug, 'mongodb_pvc_size=10', '--deploy')
    expect(set).toMatchObject({ code: 0, stdout: expect.stringContaining('Updating circleci-server configuration...'), stderr: '' })
    const versions = async () => JSON.parse((await kots(rehearsal, 'get', 'versions', slug, '-o', 'json')).stdout)
    expect((await versions())[0]).toMatchObject({ sequence: 2, status: 'deploying', source: 'Config Change', versionLabel: '3.4.0' })
    await clock.sleep(30_000)
    expect((await versions()).map((one: any) => [one.sequence, one.status])).toEqual([[2, 'deployed'], [1, 'deployed'], [0, 'deployed']])
    expect((await get(`${sets}/mongodb`)).spec.volumeClaimTemplates[0].spec.resources.requests.storage).toBe('10Gi')
    expect((await get(`${core}/pods/mongodb-0`)).metadata.uid).toBe(pod.metadata.uid)
    expect((await kots(rehearsal, 'get', 'config', '--appslug', slug)).stdout).toContain('    mongodb_pvc_size:\n      default: "8"\n      value: "10"\n')
  })

  test('a deploy that would change a claim template fails', async () => {
    const rehearsal = await start()
    const uid = (await rehearsal.get(`${sets}/mongodb`)).metadata.uid
    await kots(rehearsal, 'set', 'config', slug, 'mongodb_pvc_size=10', '--deploy')
    await rehearsal.clock.sleep(30_000)
    expect(rehearsal.world().kots.versions[0]?.status).toBe('failed')
    expect((await rehearsal.get(`${sets}/mongodb`)).metadata.uid).toBe(uid)
  })

  test('what is saved but not deployed changes nothing, and the next one goes on from it', async () => {
    const rehearsal = await start({ scenario: 'undeployed-change' })
    await kots(rehearsal, 'set', 'config', slug, 'postgres_pvc_size=9')
    await rehearsal.clock.sleep(60_000)
    expect(rehearsal.world().kots.versions.map((one) => [one.sequence, one.status])).toEqual([[3, 'pending'], [2, 'pending'], [1, 'deployed'], [0, 'deployed']])
    const config = (await kots(rehearsal, 'get', 'config', '--appslug', slug)).stdout
    expect(config).toContain('circleci.internal.example.com')
    expect(config).toContain('postgres_pvc_size:\n      default: "8"\n      value: "9"')
  })

  test('what was never saved cannot be set, and nothing is', async () => {
    const rehearsal = await start()
    const before = readFileSync(rehearsal.file, 'utf8')
    for (const pair of ['email_smtp_host=x', 'nothing=x']) {
      expect(await kots(rehearsal, 'set', 'config', slug, 'mongodb_pvc_size=9', pair, '--deploy'))
        .toMatchObject({ code: 1, stderr: 'Error: unexpected status code from 500: failed to create new config\n' })
    }
    expect(await kots(rehearsal, 'set', 'config', 'other', 'a=b')).toMatchObject({ code: 1, stderr: 'Error: app with slug other not found\n' })
    expect(await kots(rehearsal, 'set', 'config', slug, 'a')).toMatchObject({ code: 1, stderr: expect.stringContaining('KEY=VALUE') })
    expect(readFileSync(rehearsal.file, 'utf8')).toBe(before)
  })

  test('an old KOTS cannot show its config', async () => {
    const rehearsal = await start({ scenario: 'no-kots-config' })
    expect((await rehearsal.tool('kots', 'version')).stdout).toBe('Replicated KOTS 1.47.3\n')
    expect(await kots(rehearsal, 'get', 'config', '--appslug', slug)).toMatchObject({ code: 1, stderr: 'Error: unknown flag: --appslug\n' })
    expect(await kots(rehearsal, 'get', 'versions', slug, '-o', 'json')).toMatchObject({ code: 1, stdout: expect.stringContaining('kots get [resource]') })
    expect(JSON.parse((await kots(rehearsal, 'get', 'apps', '-o', 'json')).stdout)).toMatchObject([{ slug, state: 'ready' }])
  })
})

describe('the command line', () => {
  test('versions', async () => {
    const { tool } = await start()
    expect(JSON.parse((await tool('version', '--client', '-o', 'json')).stdout).clientVersion.gitVersion).toMatch(/^v1\./)
    expect(await tool('kots', 'version')).toEqual({ code: 0, stdout: 'Replicated KOTS 1.65.0\n', stderr: '' })
    const old = await start({ scenario: 'old-server' })
    expect(JSON.parse((await kots(old, 'get', 'apps', '-o', 'json')).stdout)).toEqual([{ slug, state: 'ready', versionlabel: '3.1.0' }])
  })

  test.each([
    [['kots', 'get', 'apps', '--bogus'], 'unknown flag: --bogus'],
    [['version', '-x'], "unknown shorthand flag: 'x' in -x"],
    [['kots', 'get', 'config', '--deploy'], 'unknown flag: --deploy'],
    [['kots', 'get', 'apps', '--context'], 'flag needs an argument: --context'],
    [['kots', 'get', 'apps', '-o', 'json'], 'failed to validate namespace: namespace is required'],
    [['--context', 'rehearsal', 'kots', 'version'], 'flags cannot be placed before plugin name: --context'],
    [['kots', 'get', 'apps', '-n', slug, '--context=other'], 'context "other" does not exist'],
    [['get', 'pods'], 'extend lib/rehearsal/kubectl.ts'],
  ])('%j is refused', async (argv, message) => {
    const { tool } = await start()
    const { code, stdout, stderr } = await tool(...argv)
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain(message)
  })

  test('says so when the rehearsal is gone', async () => {
    const rehearsal = await start()
    await rehearsal.close()
    expect(await rehearsal.tool('kots', 'version')).toMatchObject({ code: 1, stderr: expect.stringContaining('the rehearsal does not answer') })
  })
})
