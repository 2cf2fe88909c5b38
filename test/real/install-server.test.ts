/**
 * install-server on a real API server whose controllers make its pods, with a real DNS server, Route 53 on a real AWS API
 * server, and an installation that answers over real TLS. Played are KOTS, and what the cloud gives its load balancers.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { Server } from 'node:https'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { license, preparedFiles } from '../../lib/rehearsal/bare.ts'
import { watchProcesses, type Watch } from '../processes-seen.ts'
import { authority, type Authority } from './authority.ts'
import { startAws, type AwsServer } from './aws.ts'
import { CONTEXT } from './cluster.ts'
import { CLUSTER, lacking } from './components.ts'
import { noDns, startDns, startZone, type Dns } from './dns.ts'
import type { Installation } from './installation.ts'
import { until } from './processes.ts'
import { onCluster } from './real.ts'
import { bash, journals, start, type Ended, type Running } from './runs.ts'
import { essence, versions } from './state.ts'

const BUNDLE = new URL('../../dist/install-server.mjs', import.meta.url).pathname
const NEEDS = ['moto_server', 'aws', 'curl', 'dnsmasq', 'dig'] as const
const { cluster, bare } = onCluster(...NEEDS)
const missing = lacking(...CLUSTER, 'kubectl', ...NEEDS) ?? noDns()
beforeEach(({ skip }) => void (missing && skip(missing)))

let aws: AwsServer
let dns: Dns
let zone: Awaited<ReturnType<typeof startZone>>
let ca: Authority
let front: Server
let processes: Watch
const outputs: string[] = []
const homes: Bare[] = []
/** That of the first test, for another one to be compared with. */
let undisturbed: Bare

beforeAll(async () => {
  if (missing) return
  aws = await startAws()
  dns = await startDns()
  zone = await startZone(aws.url, 'example.com', dns)
  ca = authority(join(cluster().folder, 'authority'))
  writeFileSync(join(cluster().folder, 'root.pem'), ca.root)
  front = createServer((request, response) => void response.writeHead(request.url === '/status' ? 200 : 404).end('{"status":"ok"}\n'))
  await new Promise<void>((resolve) => front.listen(443, dns.address, resolve))
  processes = watchProcesses('cmdline')
})
afterAll(async () => {
  processes?.stop()
  await zone?.stop()
  await dns?.stop()
  aws?.stop()
  front?.close()
})

const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')

interface Bare extends Installation {
  domain: string
  /** What the Config screen is to hold, by its keys. */
  wanted: Record<string, string>
  begin(...flags: string[]): Running
  run(...flags: string[]): Promise<Ended>
  status(path: string): Promise<number>
}

/** A cluster of nothing, a machine on which the runbooks of before have run, and a front that has the certificate. */
const prepared = async (line: string[] = ['--dns', 'route53'], storage: keyof typeof STORAGE = 'aws'): Promise<Bare> => {
  const here = await bare()
  const home = here.env['HOME'] as string
  const domain = `${here.namespace}.example.com`
  const { certificate, key } = ca.issue([domain, `app.${domain}`])
  front.addContext(domain, { cert: certificate + ca.intermediate, key })
  const live = join('letsencrypt', 'live', domain)
  const files: Record<string, string> = { ...preparedFiles(), 'license.yaml': license, [join(live, 'fullchain.pem')]: certificate + ca.intermediate, [join(live, 'privkey.pem')]: key, 'circleci-server-keyfile': KEYFILE }
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(home, dirname(name)), { recursive: true })
    writeFileSync(join(home, name), text, { mode: 0o600 })
  }
  const behind = (name: string, after: string): string => new RegExp(`^${after}=(.+)$`, 'm').exec(files[name] ?? '')?.[1] ?? 'nothing'
  const begin = (...flags: string[]): Running => {
    const words = [process.execPath, BUNDLE, '--domain', domain, '--bucket', 'my-objects', '--expiry', '30', ...STORAGE[storage], ...line, '--context', CONTEXT, '--namespace', here.namespace, ...flags]
    const root = join(cluster().folder, 'root.pem')
    // For Route 53 the CLI wants no region; for another address than its own it does.
    const running = start(here, dns.words(...words), { env: { ...aws.env, AWS_DEFAULT_REGION: 'us-east-1', CURL_CA_BUNDLE: root, NODE_EXTRA_CA_CERTS: root } })
    void running.ended.then(({ all }) => outputs.push(all))
    return running
  }
  const made: Bare = {
    ...here, domain, begin, run: (...flags) => begin(...flags).ended,
    status: async (path) => (await here.send('GET', path)).status,
    wanted: {
      domain_name: domain, frontend_tls_key: key.trim(), frontend_tls_crt: (certificate + ca.intermediate).trim(),
      signing_keyset: preparedFiles()['keyset-signing']?.trim() ?? '', encryption_keyset: preparedFiles()['keyset-encryption']?.trim() ?? '',
      github_type: 'github_type_cloud', github_client_id: behind('github-oauth-app', 'GITHUB_CLIENT_ID'), github_client_secret: behind('github-oauth-app', 'GITHUB_CLIENT_SECRET'),
      ...(storage === 'gcp' ? { storage_object_type: 'storage_gcs', storage_gcs_bucket: 'my-objects', storage_gcs_expiry: '30', storage_gcs_key: Buffer.from(KEYFILE).toString('base64') } : {
        storage_object_type: 'storage_s3', storage_s3_bucket: 'my-objects', storage_s3_region: 'us-east-1', storage_s3_expiry: '30',
        storage_s3_access_key: behind('credentials-circleci-server', 'aws_access_key_id'), storage_s3_secret_key: behind('credentials-circleci-server', 'aws_secret_access_key'),
      }),
    },
  }
  homes.push(made)
  return made
}
const STORAGE = { aws: ['--storage', 'aws', '--region', 'us-east-1'], gcp: ['--storage', 'gcp'] }
/** Longer than base64 makes a row of. */
const KEYFILE = `${JSON.stringify({ type: 'service_account', private_key: `-----BEGIN PRIVATE KEY-----\n${'a-secret-of-gcs-'.repeat(20)}\n-----END PRIVATE KEY-----\n` }, null, 2)}\n`
const SECRETS = ['storage_gcs_key', 'frontend_tls_key', 'signing_keyset', 'encryption_keyset', 'github_client_secret', 'storage_s3_secret_key']

const CONFIRMED = ['--yes', '--confirm', CONTEXT]
const kotsOf = (here: Installation) => here.standIns.kots.state
/** What KOTS stores of the newest version, without what it had of itself. */
const stored = (here: Installation): Record<string, string> =>
  Object.fromEntries(Object.entries(kotsOf(here).versions[0]?.values ?? {}).flatMap(([key, { value }]) => (value ? [[key, value]] : [])))
const statuses = (here: Installation) => kotsOf(here).versions.map(({ sequence, status }) => [sequence, status])
const calls = (here: Installation, ...words: string[]) => here.standIns.kots.calls.filter((argv) => words.every((word, at) => argv[at] === word))
/** The address of the load balancer, once it has one. */
const leadsOf = (here: Installation): Promise<string> => until('the load balancer', async () => (await here.get('v1/services/circleci-server-traefik')).status.loadBalancer.ingress[0].hostname)
/** What people do: records in a zone somewhere else; the Config screen, and Deploy. */
const leads = async (here: Bare): Promise<void> => {
  const lead = await leadsOf(here)
  await dns.set({ ...dns.records(), [here.domain]: lead, [`app.${here.domain}`]: lead })
}
const fillIn = async (here: Bare): Promise<void> => {
  const { version } = kotsOf(here)
  kotsOf(here).version = '1.65.0'
  const values = { ...kotsOf(here).versions[0]?.values, ...Object.fromEntries(Object.entries(here.wanted).map(([key, value]) => [key, { value }])) }
  writeFileSync(join(here.env['HOME'] as string, 'config.json'), JSON.stringify({ spec: { values } }))
  const { code, all } = await bash(here, `kubectl kots set config circleci-server --config-file /dev/stdin --deploy -n ${here.namespace} <config.json`)
  expect(code, all).toBe(0)
  kotsOf(here).version = version
}

describe('install-server', () => {
  test('a dry run changes nothing; a run installs, deploys, leads both names there and sees it answer and the first login; again there is nothing to do', async () => {
    const here = await prepared()
    const plan = await here.run('--dry-run')
    expect(plan.code, plan.all).toBe(0)
    expect([await here.status(`/api/v1/namespaces/${here.namespace}`), statuses(here), await zone.records()]).toEqual([404, [], {}])

    const running = here.begin(...CONFIRMED)
    await running.says(`log in at https://${here.domain}`)
    here.standIns.kots.users = 1
    const { code, all } = await running.ended
    expect(code, all).toBe(0)
    expect(await here.get('apps/v1/deployments/frontend')).toMatchObject({ status: { availableReplicas: 1 } })
    expect((await here.get('apps/v1/statefulsets')).items.map(({ metadata, status }: any) => [metadata.name, status.readyReplicas])).toEqual(['mongodb', 'nomad-server', 'postgresql', 'rabbitmq', 'redis', 'vault'].map((name) => [name, 1]))
    expect(statuses(here)).toEqual([[1, 'deployed'], [0, 'pending_config']])
    expect(stored(here)).toEqual(here.wanted)
    const lead = await leadsOf(here)
    expect(await zone.records()).toEqual({ [here.domain]: lead, [`app.${here.domain}`]: lead })
    expect(calls(here, 'install')).toHaveLength(1)
    expect(await here.status('/apis/coordination.k8s.io/v1/namespaces/default/leases/circleci-runbooks')).toBe(404)

    const before = await versions(cluster(), here)
    const again = await here.run(...CONFIRMED)
    expect([again.code, flat(again.stderr)]).toEqual([0, expect.stringContaining('Nothing to do')])
    expect([await versions(cluster(), here), await zone.records()]).toEqual([before, { [here.domain]: lead, [`app.${here.domain}`]: lead }])
    undisturbed = here
  })

  test('killed while KOTS installs, while it is told its configuration, and while it deploys: the same line ends as if nothing had been', async () => {
    const here = await prepared()
    const kots = here.standIns.kots
    /** The plugin outlives who started it, and KOTS goes on with what it was told. */
    const killed = async (what: string, when: () => Promise<boolean>): Promise<void> => {
      const running = here.begin(...CONFIRMED, '--hand-over')
      await until(what, when, { within: 60_000, check: () => void running.ended.then(({ all }) => outputs.push(all)) })
      running.signal('SIGKILL')
      expect(await running.ended).toMatchObject({ signal: 'SIGKILL' })
    }
    await killed('kotsadm', async () => await here.status('apps/v1/deployments/kotsadm') === 200)
    kots.slow = 3000
    await killed('set config', async () => (await bash(here, `pgrep -fc "kubectl-kots set config.*${here.namespace}"`)).stdout.trim() !== '0')
    kots.slow = 0
    kots.delay = 4000
    await killed('the deploy', async () => kotsOf(here).versions.length > 1)
    const { code, all } = await here.run(...CONFIRMED, '--hand-over')
    expect(code, all).toBe(0)
    expect([calls(here, 'install').length, calls(here, 'set', 'config').length, statuses(here), stored(here)]).toEqual([1, 1, [[1, 'deployed'], [0, 'pending_config']], here.wanted])
    expect(await essence(cluster(), here)).toEqual(await essence(cluster(), undisturbed))
  })

  test('the script of --shell, once KOTS runs: its awk fills in what the run fills in, and it goes on when a person has made the records', async () => {
    const here = await prepared(['--dns', 'by-hand', '--hand-over'], 'gcp')
    const first = await here.run(...CONFIRMED, '--until', 'kots')
    expect(first.code, first.all).toBe(0)
    const { stdout: script } = await here.run('--shell')
    const running = start(here, dns.words('bash', '-c', script), { env: { CURL_CA_BUNDLE: join(cluster().folder, 'root.pem') } })
    void running.ended.then(({ all }) => outputs.push(all))
    await running.says(`let ${here.domain} and app.${here.domain} lead to`)
    await leads(here)
    const { code, all } = await running.ended
    expect(code, `${script}\n${all}`).toBe(0)
    expect([stored(here), statuses(here)]).toEqual([here.wanted, [[1, 'deployed'], [0, 'pending_config']]])
    const again = await here.run(...CONFIRMED)
    expect([again.code, flat(again.stderr)]).toEqual([0, expect.stringContaining('Nothing to do')])
  })

  test('KOTS 1.47.3 does not show its configuration: a person is told what goes where, deploys, makes the records, and the run goes on', async () => {
    const here = await prepared(['--dns', 'by-hand', '--hand-over'])
    kotsOf(here).version = '1.47.3'
    const running = here.begin(...CONFIRMED)
    await running.says('fill in the Config screen')
    await fillIn(here)
    await running.says(`let ${here.domain} and app.${here.domain} lead to ${await leadsOf(here)}, with CNAME records`)
    await leads(here)
    const { code, all } = await running.ended
    expect(code, all).toBe(0)
    const rows = ['Frontend', 'Domain Name', 'Frontend TLS Private Key', 'Frontend TLS Certificate', 'Encryption', 'Artifact Signing Key', 'Encryption Signing Key', 'GitHub', 'Github Type', 'OAuth Client ID', 'OAuth Client Secret',
      'Object Storage', 'Storage Type', 'Storage Bucket Name', 'AWS S3 Region', 'Storage Object Expiry', 'Access Key ID', 'Secret Key']
    expect(all).toMatch(new RegExp(rows.map((row) => `\\n *${row}( {2}.*)?`).join('(\\n {12}.*)*')))
    // What a person told it, and nothing else.
    expect([calls(here, 'set').length, await here.get('apps/v1/deployments/frontend')]).toEqual([1, expect.objectContaining({ status: expect.objectContaining({ availableReplicas: 1 }) })])
    expect(flat((await here.run(...CONFIRMED)).stderr)).toContain('Nothing to do')
  })

  test('no secret was in the arguments of a process, a journal, or an output', async () => {
    const passwords = homes.map(({ env }) => readFileSync(join(env['HOME'] as string, 'kots-password'), 'utf8').trim())
    const keys = await Promise.all(homes.map(async (here) => Buffer.from((await here.get('v1/secrets/kotsadm-authstring')).data['kotsadm-authstring'], 'base64').toString()))
    const files = homes.flatMap((here) => SECRETS.map((item) => here.wanted[item] ?? '').flatMap((text) => [text, ...text.split('\n').filter((row) => row.length > 30 && !row.startsWith('-'))]))
    const secrets = [...passwords, ...keys, ...files].filter(Boolean).flatMap((one) => [one, Buffer.from(one).toString('base64')])
    expect(secrets.length).toBeGreaterThan(40)
    const where = { 'an argument': [...processes.seen].join('\n'), 'a journal': homes.map((here) => journals(here)).join('\n'), 'an output': outputs.join('\n') }
    expect(Object.entries(where).flatMap(([place, text]) => secrets.filter((one) => text.includes(one)).map((one) => `${one.slice(0, 8)}… in ${place}`))).toEqual([])
  })
})
