/** install-server: what people are told and asked, and what stands in the world afterwards, in what the shared guarantees leave out. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { license, preparedFiles } from '../../lib/rehearsal/bare.ts'
import { setWhole, type Version } from '../../lib/rehearsal/kots.ts'
import { later, type World } from '../../lib/rehearsal/world.ts'
import { stage, type Stage } from './harness.ts'

const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')
const AWS = ['--storage', 'aws', '--region', 'us-east-1']
const LINE = ['--domain', 'circleci.example.com', '--bucket', 'my-objects', '--expiry', '30']
const CONFIRMED = ['--yes', '--confirm', 'rehearsal']
const install = (world: Stage, ...more: string[]) => world.run('install-server', [...LINE, ...more, ...CONFIRMED])
const begun = (change: (world: World) => void = () => {}): Stage => stage('no-server', change)
/** A file among those that the runbooks of before have left. */
const write = (world: Stage, name: string, text: string): void => {
  const folder = join(world.state, 'circleci-runbooks', 'rehearsal.files')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  writeFileSync(join(folder, name), text, { mode: 0o600 })
}
const held = (world: Stage, key: string): string | undefined => world.world().kots.versions[0]?.values[key]?.value

describe.concurrent('what is filled in', () => {
  test('Google Cloud Storage: its bucket, and its key file as the file that it is; records are made by hand', async () => {
    const world = begun()
    write(world, 'circleci-server-keyfile', '{"type": "service_account"}\n')
    const { code, all } = await install(world, '--storage', 'gcp', '--dns', 'by-hand')
    expect(code, all).toBe(0)
    expect(['storage_object_type', 'storage_gcs_bucket', 'storage_gcs_expiry', 'storage_gcs_key', 'storage_s3_bucket'].map((key) => held(world, key)))
      .toEqual(['storage_gcs', 'my-objects', '30', Buffer.from('{"type": "service_account"}\n').toString('base64'), undefined])
    expect(flat(all)).toMatch(/☞ dns, by hand: let circleci\.example\.com and app\.circleci\.example\.com lead to \S+\.elb\.amazonaws\.com, with CNAME records/)
    expect(Object.keys(world.world().dns ?? {}).sort()).toEqual(['app.circleci.example.com', 'circleci.example.com'])
  })

  test.each([['without a list', []], ['with a list', ['--no-proxy', '127.0.0.1,.svc']]])('GitHub Enterprise behind a proxy, %s: the load balancers inside are on it, once they have addresses', async (_, none) => {
    const world = begun()
    write(world, 'enterprise-app', `${preparedFiles()['github-oauth-app']}GITHUB_ENTERPRISE_TOKEN=token-of-enterprise\n`)
    const flags = [...AWS, '--dns', 'route53', '--app', 'enterprise-app', '--enterprise', 'github.example.com', '--http-proxy', 'http://proxy:3128', '--https-proxy', 'http://proxy:3128', ...none]
    const { code, all } = await install(world, ...flags)
    expect(code, all).toBe(0)
    const inside = ['output-processor', 'vm-service'].map((name) => world.world().objects[`services/circleci-server/${name}`]?.['status'].loadBalancer.ingress[0].hostname)
    expect(['github_type', 'github_enterprise_domain', 'github_enterprise_token', 'http_proxy', 'https_proxy', 'no_proxy', 'domain_name'].map((key) => held(world, key)))
      .toEqual(['github_type_enterprise', 'github.example.com', 'token-of-enterprise', 'http://proxy:3128', 'http://proxy:3128', [...none.slice(1).flatMap((list) => list.split(',')), ...inside].join(','), 'circleci.example.com'])
    expect(world.world().kots.versions.map(({ status }) => status)).toEqual(['deployed', 'deployed', 'pending_config'])
    expect((await install(world, ...flags)).stderr).toContain('Nothing to do')
  })
})

describe.concurrent('what stands against it', () => {
  test('files that are missing, with the runbooks that write them; a licence that has expired', async () => {
    const world = begun((one) => { one.prepared = false })
    write(world, 'expired.yaml', license.replace('"licenseID"', '"entitlements":{"expires_at":{"value":"2022-01-01T00:00:00Z"}},"licenseID"'))
    const { code, stderr } = await install(world, ...AWS, '--license', 'expired.yaml', '--certificate', 'no.pem', '--key', 'no.key')
    expect([code, flat(stderr)]).toEqual([3, expect.stringMatching(/no\.key is not there.*keyset-signing is not there.*runbooks\/tls-certificates\.ts issue.*runbooks\/gen-keysets\.ts make.*runbooks\/github-oauth-app\.ts.*runbooks\/object-storage-aws\.ts/)])
    expect(flat(stderr)).toContain('it expired on 2022-01-01')
    expect(world.world().kots.versions).toEqual([])
  })

  test.each([
    ['another domain', ['--domain', 'ci.example.com'], 'another Domain Name, which cannot be changed'],
    ['GitHub Enterprise in place of github.com', ['--app', 'enterprise-app', '--enterprise', 'github.example.com'], 'another Github Type, which cannot be changed'],
  ])('%s, where one is installed', async (_, other, said) => {
    const world = begun()
    expect((await install(world, ...AWS, '--dns', 'route53')).code).toBe(0)
    write(world, 'enterprise-app', `${preparedFiles()['github-oauth-app']}GITHUB_ENTERPRISE_TOKEN=token-of-enterprise\n`)
    const before = world.bytes()
    const line = other[0] === '--domain' ? [...other, ...LINE.slice(2)] : [...LINE, ...other]
    const { code, stderr } = await world.run('install-server', [...line, ...AWS, '--dns', 'route53', ...CONFIRMED])
    expect([code, flat(stderr)]).toEqual([3, expect.stringContaining(said)])
    expect(world.bytes()).toBe(before)
  })

  test('other keysets than the deployed ones, which would lose history; what somebody else saved; somebody else at work', async () => {
    const world = begun()
    expect((await install(world, ...AWS, '--dns', 'route53')).code).toBe(0)
    const change = (how: Parameters<typeof world.change>[0]) => {
      world.change(how)
      return install(world, ...AWS, '--dns', 'route53')
    }
    const [newest] = world.world().kots.versions
    const saved = await change(({ kots }) => { kots.versions.unshift({ ...structuredClone(newest as Version), sequence: 2, status: 'pending', versionLabel: '4.0.0' }) })
    expect([saved.code, flat(saved.stderr)]).toEqual([3, expect.stringContaining('KOTS holds release 4.0.0, which was never deployed')])
    const lease = { holderIdentity: 'operator@laptop-3', leaseDurationSeconds: 60, renewTime: '2022-11-22T03:00:00.000000Z', acquireTime: '2022-11-22T03:00:00.000000Z' }
    const busy = await change(({ kots, objects, rules }) => {
      kots.versions.shift()
      Object.assign(kots.versions[0]?.values['storage_s3_expiry'] ?? {}, { value: '31' })
      rules.renewed = lease.holderIdentity
      objects['leases/circleci-server/circleci-runbooks'] = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'circleci-runbooks', namespace: 'circleci-server' }, spec: lease }
    })
    expect([busy.code, flat(busy.stderr)]).toEqual([4, expect.stringContaining('operator@laptop-3')])
    const other = await change(({ kots }) => { Object.assign(kots.versions[0]?.values['encryption_keyset'] ?? {}, { value: 'another one' }) })
    expect([other.code, flat(other.stderr)]).toEqual([3, expect.stringContaining('another Encryption Signing Key, which cannot be changed')])
    expect(Object.keys(world.world().objects).filter((key) => key.startsWith('leases/'))).toEqual(['leases/circleci-server/circleci-runbooks'])
  })

  test('the password of a proxy is shown nowhere', async () => {
    const { code, all } = await install(begun(), ...AWS, '--http-proxy', 'http://u:hunter2@proxy:3128')
    expect([code, all]).toEqual([2, expect.stringContaining('HTTP Proxy Password')])
    expect(all).not.toContain('hunter2')
  })

  test('a deploy that fails: what to look at; the same line deploys again', async () => {
    const world = begun((one) => { one.rules.deployFails = true })
    const { code, stderr } = await install(world, ...AWS, '--dns', 'route53')
    expect([code, flat(stderr)]).toEqual([1, expect.stringMatching(/KOTS could not deploy version 1\..*Version History.*then the same line deploys again/)])
    world.change((one) => { delete one.rules.deployFails })
    const again = await install(world, ...AWS, '--dns', 'route53')
    expect(again.code, again.all).toBe(0)
  })

  test('KOTS 1.47.3: the values are for a person to fill in; once that is deployed, the same line goes on', async () => {
    const world = begun((one) => { one.kots.version = '1.47.3' })
    const flags = [...AWS, '--dns', 'route53']
    const waits = await install(world, ...flags, '--timeout', '1m')
    expect([waits.code, flat(waits.stderr)]).toEqual([1, expect.stringMatching(/KOTS 1\.47\.3 cannot show its configuration.*Frontend Domain Name circleci\.example\.com.*OAuth Client Secret from \S+, behind GITHUB_CLIENT_SECRET=.*Storage Type S3 Compatible/)])
    const text = (name: string) => readFileSync(join(world.state, 'circleci-runbooks', 'rehearsal.files', name), 'utf8')
    const deploys = (bucket: string) => world.change((one) => {
      const values = {
        domain_name: 'circleci.example.com', frontend_tls_key: 'key', frontend_tls_crt: text('fullchain.pem'), signing_keyset: 'one', encryption_keyset: 'other',
        github_client_id: /ID=(.+)/.exec(text('github-oauth-app'))?.[1] ?? '', github_client_secret: 'secret', storage_s3_bucket: bucket, storage_s3_region: 'us-east-1', storage_s3_expiry: '30',
      }
      const made = setWhole(one.kots, 'circleci-server', { ...one.kots.versions[0]?.values, ...Object.fromEntries(Object.entries(values).map(([key, value]) => [key, { value }])) }, true, one.time)
      if (typeof made !== 'string') later(one, 1000, { do: 'finish-deploy', name: 'circleci-server', sequence: made.sequence })
    })
    deploys('another-bucket')
    expect((await install(world, ...flags, '--timeout', '1m')).code).toBe(1)
    deploys('my-objects')
    const { code, all } = await install(world, ...flags)
    expect(code, all).toBe(0)
    expect((await install(world, ...flags)).stderr).toContain('Nothing to do')
    expect(world.world().kots.versions).toHaveLength(3)
  })
})
