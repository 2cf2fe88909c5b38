/**
 * What runbooks of AWS that end in the Config screen have in common on real components: an AWS API server, a cluster's API
 * server, a stand-in for KOTS, and a file with a key; and what each of them has to prove there.
 */
import { readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { kotsState } from '../../lib/rehearsal/kots.ts'
import { processesDuring } from '../processes-seen.ts'
import { cuttingProxy, startAws, type AwsServer } from './aws.ts'
import { CONTEXT } from './cluster.ts'
import { CLUSTER, lacking, type ComponentName } from './components.ts'
import type { Installation } from './installation.ts'
import { onCluster } from './real.ts'
import { journals, start, startBash, type Ended } from './runs.ts'

interface Setting {
  runbook: string
  /** File of the key. */
  file: string
  words(): string[]
  more?: ComponentName[]
  /** What the installation has besides, once; and what AWS has before each test. */
  furnish?(here: Installation): Promise<void>
  fill(): Promise<void>
}

export interface OnAws {
  aws(): AwsServer
  here(): Installation
  cli(...words: string[]): Promise<Record<string, any>>
  run(flags?: string[], env?: Record<string, string>): Promise<Ended>
  /** The text of the file, the secret in it, and that it is only its owner's. */
  file(): string
  secret(): string
  expectPrivate(): void
  /** KOTS has deployed these values. */
  expectDeployed(values: Record<string, string | undefined>): Promise<void>
}

export const kotsOnAws = ({ runbook, file: name, words, more = [], furnish, fill }: Setting): OnAws => {
  const { shared } = onCluster('moto_server', 'aws', ...more), missing = lacking('moto_server', 'aws', 'kubectl', ...more, ...CLUSTER)
  const bundle = new URL(`../../dist/${runbook}.mjs`, import.meta.url).pathname
  let aws: AwsServer, here: Installation
  const path = () => join(here.env['HOME'] as string, name)
  beforeAll(async () => {
    if (missing) return
    here = await shared()
    aws = await startAws()
    await furnish?.(here)
  }, 300_000)
  afterAll(() => aws?.stop())
  beforeEach(async () => {
    if (missing) return
    await aws.reset()
    await here.standIns.kots.settled()
    Object.assign(here.standIns.kots.state, kotsState(Date.now()))
    rmSync(path(), { force: true })
    await fill()
  })
  const file = () => readFileSync(path(), 'utf8')
  return {
    aws: () => aws, here: () => here, file,
    cli: async (...asked) => {
      const { code, all, stdout } = await start(here, ['aws', ...asked, '--region', 'us-east-1', '--output', 'json'], { env: aws.env }).ended
      if (code !== 0) throw new Error(all)
      return JSON.parse(stdout || '{}') as Record<string, any>
    },
    run: (flags = [], env = {}) => start(here, [process.execPath, bundle, ...words(), '--context', CONTEXT, '--namespace', here.namespace, ...flags], { env: { ...aws.env, ...env } }).ended,
    secret: () => /^\[default\]\naws_access_key_id=\S+\naws_secret_access_key=(\S{40})\n$/.exec(file())?.[1] ?? '',
    expectPrivate: () => expect(statSync(path()).mode & 0o777).toBe(0o600),
    expectDeployed: async (values) => {
      await here.standIns.kots.settled()
      const [newest] = here.standIns.kots.state.versions
      expect(newest?.status).toBe('deployed')
      expect(newest?.values).toMatchObject(Object.fromEntries(Object.entries(values).map(([one, value]) => [one, { value }])))
    },
  }
}

/** `made` is what AWS has of the runbook, nothing before it ran; the requests of `lost` lose their answers. */
export const proves = ({ aws, here, run, secret }: OnAws, { made, expectSetUp, lost }: { made(): Promise<unknown[]>; expectSetUp(): Promise<void>; lost: string[] }): void => {
  test('looking changes nothing; a run sets it up; the same line again has nothing to do', async () => {
    for (const flags of [['--dry-run'], ['--dry-run', '--json'], ['--shell']]) {
      const { code, all } = await run(flags)
      expect(code, all).toBe(0)
    }
    expect([await made(), here().standIns.kots.state.versions.length]).toEqual([[], 2])
    const first = await run()
    expect(first.code, first.all).toBe(0)
    await expectSetUp()
    const second = await run()
    expect([second.code, second.stderr]).toEqual([0, expect.stringContaining('Nothing to do')])
    await expectSetUp()
  })

  test.each(lost)('an answer that was lost (%s) leaves the same in the end', async (request) => {
    const proxy = await cuttingProxy(aws().url, request)
    onTestFinished(proxy.close)
    await run(['--yes'], { AWS_ENDPOINT_URL: proxy.url })
    const again = await run(['--yes'])
    expect(again.code, again.all).toBe(0)
    await expectSetUp()
  })

  test('the script of --shell leaves what the run leaves; no secret is an argument of a process, or said', async () => {
    const text = (await run(['--shell'])).stdout
    const { result: { code, all }, shown } = await processesDuring(() => startBash(here(), text, { env: aws().env }).ended)
    expect(code, all).toBe(0)
    await expectSetUp()
    expect(secret()).toHaveLength(40)
    expect(shown.filter((one) => one.includes(secret()))).toEqual([])
    expect(all + journals(here())).not.toContain(secret())
    const after = await run()
    expect(after.stderr, after.all).toContain('Nothing to do')
  })
}
