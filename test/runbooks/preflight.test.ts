/** What preflight finds, each thing by itself: on the rehearsal installation, and on a machine that has nothing. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { World } from '../../lib/rehearsal/index.ts'
import { keysetOf } from '../../lib/rehearsal/keysets.ts'
import { stage } from './harness.ts'

const root = new URL('../..', import.meta.url).pathname
const VALUES: Record<string, string> = {
  OBJECT_STORAGE_BUCKET: 'my-objects', OBJECT_STORAGE_EXPIRY: '30', AWS_REGION: 'us-east-1', CIRCLECI_DOMAIN: 'circleci.example.com', TLS_DNS: 'route53', TLS_MAIL: 'ops@example.com', CIRCLECI_NAMESPACE: 'circleci-server',
  CLOUDSDK_CORE_PROJECT: 'my-project', GKE_REGION: 'europe-west1', MC_ALIAS: 'my-provider', S3_ENDPOINT: 'https://minio.example.com:9000',
  NOMAD_STATE: 's3://my-states/nomad.tfstate', NOMAD_ZONE: 'europe-west1-b', VM_ZONE: 'europe-west1-b', VM_USERS_CIDR: '203.0.113.0/24', VELERO_BUCKET: 'my-backups', GITHUB_ORG: 'my-org',
}
const flat = (text: string) => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')

/** A world whose installation was made here: its keysets are in their files. */
const made = (scenario = 'all-well', change?: (world: World) => void) => {
  const world = stage(scenario, change)
  const files = join(world.state, 'circleci-runbooks/rehearsal.files')
  mkdirSync(files, { mode: 0o700 })
  for (const kind of ['signing', 'encryption'] as const) writeFileSync(join(files, `keyset-${kind}`), `${keysetOf(kind)}\n`, { mode: 0o600 })
  return world
}

interface Found { name: string; group: string; is: string; say: string; next?: string }
const look = async (args: string[], { values = VALUES, env = {}, change = () => {} }: { values?: Record<string, string>; env?: Record<string, string>; change?: (world: World) => void } = {}) => {
  const world = made('all-well', change)
  writeFileSync(join(world.state, '.env'), Object.entries(values).map(([name, value]) => `${name}=${value}\n`).join(''))
  const before = world.bytes()
  const { code, stdout } = await world.run('preflight', [...args, '--json'], { env })
  expect(world.bytes()).toBe(before)
  const report = stdout.trim().split('\n').map((one) => JSON.parse(one)).find(({ event }) => event === 'report') as { checks: Found[] } | undefined
  const checks = report?.checks ?? []
  return { code, checks, named: (name: string) => checks.filter((one) => one.name === name) }
}

test.each([['aws', 'all-well'], ['gcp', 'gke'], ['s3', 'all-well']])('%s: all is well, on one screen', async (cloud, scenario) => {
  const world = made(scenario)
  writeFileSync(join(world.state, '.env'), Object.entries(VALUES).map(([name, value]) => `${name}=${value}\n`).join(''))
  const { code, stdout } = await world.run('preflight', ['--cloud', cloud])
  expect([code, stdout], stdout).toEqual([0, expect.stringMatching(/\nSoftware\n[^]*\nValues\n[^]*\nCluster\n[^]*\nOutside\n[^]*\nObject storage\n[^]*\nBackups\n[^]*\nAll \d+ hold\.\n$/)])
  expect(stdout.split('\n').length).toBeLessThan(50)
})

describe('values', () => {
  test('a wrong one and a missing one by the name of the variable, with a right one', async () => {
    const { TLS_MAIL: _missing, ...values } = { ...VALUES, OBJECT_STORAGE_BUCKET: 'My_Bucket', AWS_REGION: 'us-east' } as Record<string, string>
    const { code, named } = await look(['--cloud', 'aws'], { values })
    expect(code).toBe(1)
    expect(named('OBJECT_STORAGE_BUCKET')).toEqual([expect.objectContaining({ is: 'bad', say: 'OBJECT_STORAGE_BUCKET (env file) My_Bucket is no name.', next: expect.stringContaining('circleci-server-data') })])
    expect(named('AWS_REGION')[0]?.next).toBe('Write a region: us-east-1.')
    expect(named('TLS_MAIL')[0]).toMatchObject({ is: 'bad', say: expect.stringMatching(/^missing: /), next: 'Write an address: ops@example.com.' })
    // What hangs on them is looked at later.
    expect(named('bucket')[0]?.is).toBe('todo')
  })

  test('of the environment as well, and of a cloud that is not meant none', async () => {
    const { code, named } = await look(['--cloud', 'gcp'], { env: { OBJECT_STORAGE_EXPIRY: 'a month' }, values: { ...VALUES, MC_ALIAS: '-' } })
    expect([code, named('MC_ALIAS')]).toEqual([1, []])
    expect(named('OBJECT_STORAGE_EXPIRY')[0]?.say).toBe('OBJECT_STORAGE_EXPIRY (environment) a month is no number of days.')
  })

  test('of the later phases too, in either cloud', async () => {
    const without = Object.fromEntries(Object.entries(VALUES).filter(([name]) => !/^(NOMAD|VM|VELERO)_/.test(name)))
    const aws = await look(['--cloud', 'aws'], { values: without })
    expect([aws.code, aws.checks.filter(({ is, group }) => is === 'bad' && group === 'Values').map(({ name }) => name)]).toEqual([1, ['VM_USERS_CIDR', 'VELERO_BUCKET']])
    expect(aws.named('state')[0]).toMatchObject({ is: 'warning', next: expect.stringContaining('NOMAD_STATE') })
    const gcp = await look(['--cloud', 'gcp'], { values: { ...without, NOMAD_AUTOSCALER: '1' } })
    expect([gcp.code, gcp.checks.filter(({ is, group, name }) => is === 'bad' && group === 'Values' && name !== 'license').map(({ name }) => name)]).toEqual([1, ['VM_ZONE', 'VM_USERS_CIDR', 'VELERO_BUCKET', 'nomad-terraform', 'nomad-autoscaler']])
  })

  test('what two parts would both take for theirs; a zone that is not in the region', async () => {
    const { named } = await look(['--cloud', 'aws'], { values: { ...VALUES, VELERO_BUCKET: 'my-objects', VM_SERVICE_CREDENTIALS: 'keys', VELERO_CREDENTIALS: 'keys' } })
    expect(named('VELERO_BUCKET')[0]).toMatchObject({ is: 'bad', say: 'VELERO_BUCKET and OBJECT_STORAGE_BUCKET are both my-objects: velero-aws wants its own' })
    expect(named('VELERO_CREDENTIALS')[0]?.say).toContain('VM_SERVICE_CREDENTIALS')
    const { named: inGcp } = await look(['--cloud', 'gcp'], { values: { ...VALUES, NOMAD_ZONE: 'us-east1-b' } })
    expect(inGcp('zone')[0]).toMatchObject({ is: 'bad', say: 'NOMAD_ZONE is us-east1-b, and GKE_REGION europe-west1' })
  })

  test('those that do not go together', async () => {
    const { named } = await look(['--cloud', 'aws'], { values: { ...VALUES, TLS_DNS: 'google' } })
    expect(named('tls-certificates issue')[0]).toMatchObject({ is: 'bad', say: '--dns google wants --credentials.' })
  })

  test('a name that nobody reads, and that is near to one that somebody does', async () => {
    const { code, named } = await look(['--cloud', 'aws'], { values: { ...VALUES, TLS_EMAIL: 'ops@example.com', circleci_domain: 'x', OF_MY_OWN: '1' } })
    expect([code, named('env-file').map(({ is, say }) => [is, say])]).toEqual([0, [
      ['ok', 'each part has what it asks for'],
      ['warning', 'TLS_EMAIL (env file) is read by no runbook: did you mean TLS_MAIL?'], ['warning', 'circleci_domain (env file) is read by no runbook: did you mean CIRCLECI_DOMAIN?'],
    ]])
  })

  test('a secret that cannot be one is not repeated', async () => {
    const { state } = stage()
    const { status, stdout } = spawnSync(process.execPath, [join(root, 'dist/preflight.mjs'), '--cloud', 'aws'], {
      cwd: state, encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: state, XDG_STATE_HOME: state, HTTPS_PROXY: 'http://127.0.0.1:9', GITHUB_CLIENT_SECRET: 'not a secret' },
    })
    expect([status, flat(stdout)]).toEqual([1, expect.stringContaining('GITHUB_CLIENT_SECRET (environment) is no client secret')])
    expect(stdout).not.toContain('not a secret')
  })
})

test('an installed server whose keysets are not at hand: no others are made', async () => {
  const world = stage()
  writeFileSync(join(world.state, '.env'), Object.entries(VALUES).map(([name, value]) => `${name}=${value}\n`).join(''))
  const { code, stdout } = await world.run('preflight', ['--cloud', 'aws'])
  expect([code, flat(stdout)]).toEqual([1, expect.stringMatching(/✗ signing-keyset a server is installed, and its signing keyset is not in .*✗ encryption-keyset /)])
})

describe('software', () => {
  test.each([
    ['terraform', 'terraform version', '', 'bad', 'terraform 0.15.4 or newer is not installed'],
    ['terraform', 'terraform version', 'Terraform v0.14.11\n', 'bad', 'terraform 0.14.11, and 0.15.4 or newer is wanted'],
    ['kubectl', 'kubectl version --client -o json', '{"clientVersion": {"gitVersion": "v1.18.20"}}', 'bad', 'kubectl 1.18.20'],
    ['eksctl', 'eksctl version', '0.147.0\n', 'bad', 'eksctl 0.147.0, and 0.195.0 or newer is wanted'],
    ['helm', 'helm version --short', 'v4.0.1+g12500dd\n', 'ok', '4.0.1'],
    ['helm', 'helm version --short', 'helm\n', 'warning', 'does not tell its release'],
    ['kots', 'kubectl kots version', 'Replicated KOTS 1.40.0\n', 'bad', '1.47.3 or newer is wanted'],
    ['kots', 'kubectl kots version', 'Replicated KOTS 1.59.3\n', 'warning', 'tested with 1.65.0'],
    ['kots', 'kubectl kots version', 'Replicated KOTS 1.124.4\n', 'warning', 'newer than any that server 3.x was tested with'],
    ['velero', 'velero version --client-only', 'Client:\n\tVersion: v1.17.2\n', 'bad', 'only of Velero 1.6 to 1.9'],
    ['openssl', 'openssl version', 'LibreSSL 3.3.6\n', 'ok', '3.3.6'],
    ['openssl', 'openssl version', '', 'warning', 'openssl is not installed'],
    ['certbot', 'certbot --version', '', 'warning', 'certbot is not there'],
  ])('%s: “%s” says %j', async (name, question, said, is, say) => {
    const { code, named } = await look(['--cloud', 'aws'], { change: ({ rules }) => { rules.software = { [question]: said } } })
    expect(named(name)).toEqual([expect.objectContaining({ is, say: expect.stringContaining(say) })])
    expect(code).toBe(is === 'bad' ? 1 : 0)
  })

  test('an older KOTS does for an older server', async () => {
    const { named } = await look(['--cloud', 'aws', '--server-version', '3.3.0'], { change: ({ rules }) => { rules.software = { 'kubectl kots version': 'Replicated KOTS 1.59.3\n' } } })
    expect(named('kots')[0]?.is).toBe('ok')
  })

  test('where the newest does not fit, the release that does is in the line', async () => {
    const none = { 'kubectl kots version': 'Replicated KOTS 1.0.0', 'velero version --client-only': '', 'mc --version': '' }
    const { named } = await look(['--cloud', 's3'], { change: ({ rules }) => { rules.software = none } })
    expect(named('kots')[0]?.next).toBe('Install it: curl https://kots.io/install/1.65.0 | bash')
    expect(named('velero')[0]?.next).toMatch(/^Install it: curl .*\/v1\.9\.7\/velero-v1\.9\.7-/)
    expect(named('mc')[0]?.next).toMatch(/^Install it: curl .*RELEASE\.2025-08-13T08-35-41Z/)
  })
})

describe('cluster', () => {
  test('too small for that many users', async () => {
    const { code, named } = await look(['--cloud', 'aws', '--context', 'rehearsal', '--users', '800'])
    expect([code, named('size')[0]]).toEqual([1, expect.objectContaining({ is: 'bad', say: '3 nodes, 12 cores, 49 GB: too small for 500 daily users and more (12 of 48 cores, 49 of 240 GB of memory)' })])
  })

  test('where one is to be made, the current context may lead to any: a warning', async () => {
    const { code, named } = await look(['--cloud', 'aws', '--users', '800'])
    expect([code, named('size')[0]?.is]).toEqual([0, 'warning'])
  })

  test('a node that is not ready does not count', async () => {
    const { named } = await look(['--cloud', 'aws', '--context', 'rehearsal'], { change: ({ objects }) => {
      const [first, second] = Object.values(objects).filter(({ kind }) => kind === 'Node')
      Object.assign(first ?? {}, { status: { ...first?.['status'], conditions: [{ type: 'Ready', status: 'Unknown' }] } })
      Object.assign(second ?? {}, { spec: { ...second?.['spec'], unschedulable: true } })
    } })
    expect(named('size')[0]?.say).toContain('1 nodes, 4 cores')
  })

  test('of another cloud: the current context may lead anywhere', async () => {
    const { checks } = await look(['--cloud', 'gcp'])
    expect(checks.filter(({ group }) => group === 'Cluster')).toEqual([expect.objectContaining({ is: 'warning', say: expect.stringMatching(/^context rehearsal leads to a cluster somewhere else: its nodes are aws:/) })])
  })

  test('pods that you may not delete; and no cluster admin', async () => {
    const denied = (verb: string, resource: string, group: string) => look(['--cloud', 'aws', '--context', 'rehearsal'], { change: ({ rules }) => { rules.denied = [{ verb, group, resource }] } })
    expect((await denied('delete', 'pods', '')).named('permissions')[0]).toMatchObject({ is: 'bad', say: 'you may not: delete pods' })
    expect((await denied('*', '*', '*')).named('permissions')[0]).toMatchObject({ is: 'warning' })
  })

  test.each([
    ['none is the default', { gp2: 'false' }, 'no storage class is the default one (there are gp2)', 'patch storageclass gp2'],
    ['two are', { gp2: 'true', gp3: 'true' }, 'gp2 and gp3 are default storage classes', 'patch storageclass gp3'],
    ['there is none', {}, 'there is no storage class', 'aws-ebs-csi-driver'],
  ])('storage: %s', async (_, classes, say, next) => {
    const { code, named } = await look(['--cloud', 'aws', '--context', 'rehearsal'], { change: ({ objects }) => {
      const gp2 = objects['storageclasses//gp2'] as World['objects'][string]
      delete objects['storageclasses//gp2']
      for (const [name, is] of Object.entries(classes)) objects[`storageclasses//${name}`] = { ...gp2, metadata: { ...gp2.metadata, name, annotations: { 'storageclass.kubernetes.io/is-default-class': is } } }
    } })
    expect([code, named('storage-class')[0]]).toEqual([1, expect.objectContaining({ is: 'bad', say: expect.stringContaining(say), next: expect.stringContaining(next) })])
  })
})

test('a certificate of your own is looked at, and none is ordered: what that asks for is not missed', async () => {
  const { TLS_MAIL: _mail, TLS_DNS: _dns, ...values } = VALUES
  const { code, checks, named } = await look(['--cloud', 'aws'], { values: { ...values, TLS_CERTIFICATE: 'mine.pem', TLS_KEY: 'mine.key' } })
  expect([code, named('TLS_MAIL'), named('certbot')]).toEqual([1, [], []])
  expect(checks.filter(({ group }) => group === 'Your own certificate')).toEqual([expect.objectContaining({ is: 'bad', say: expect.stringContaining('mine.pem') })])
})

test('hosts that cannot be reached, and a proxy that Java does not take', async () => {
  const { code, named } = await look(['--cloud', 'aws'], {
    change: ({ rules }) => { rules.unreachable = ['kots.io', 'github.example.com'] },
    values: { ...VALUES, GITHUB_ENTERPRISE_HOST: 'github.example.com', SERVER_HTTPS_PROXY: 'https://proxy.example.com:3128' },
  })
  expect(code).toBe(1)
  expect(named('outbound')[0]).toMatchObject({ is: 'bad', say: 'no way from here to github.example.com (ECONNRESET), kots.io (ECONNRESET)', next: expect.stringContaining('curl -sSI https://github.example.com') })
  expect(named('proxy')[0]).toMatchObject({ is: 'bad', say: expect.stringMatching(/^--https-proxy is https:/) })
})

test('hosts that only the nodes need are no reason to stop', async () => {
  const { code, named } = await look(['--cloud', 'aws'], { change: ({ rules }) => { rules.unreachable = ['registry-1.docker.io'] } })
  expect([code, named('outbound')[0]?.is]).toEqual([0, 'warning'])
})

test('somebody else\'s bucket', async () => {
  const { code, named } = await look(['--cloud', 'aws'], { values: { ...VALUES, OBJECT_STORAGE_BUCKET: 'backups' } })
  expect([code, named('bucket')[0]?.say]).toEqual([1, expect.stringContaining('belongs to somebody else')])
})

test('a machine that has nothing: each thing is told, and that there is no cluster is no fault', () => {
  const { state } = stage()
  mkdirSync(join(state, 'only'))
  symlinkSync(spawnSync('which', ['bash'], { encoding: 'utf8' }).stdout.trim(), join(state, 'only/bash'))
  const { status, stdout } = spawnSync(process.execPath, [join(root, 'dist/preflight.mjs'), '--cloud', 'aws'], {
    cwd: state, encoding: 'utf8', env: { PATH: join(state, 'only'), HOME: state, XDG_STATE_HOME: state, HTTPS_PROXY: 'http://127.0.0.1:9' },
  })
  expect(status).toBe(1)
  for (const name of ['terraform', 'kubectl', 'helm', 'kots', 'velero', 'aws', 'eksctl', 'OBJECT_STORAGE_BUCKET', 'CIRCLECI_DOMAIN', 'CIRCLECI_NAMESPACE', 'license', 'outbound']) expect(stdout).toMatch(new RegExp(`^ {2}✗ ${name} `, 'm'))
  expect(flat(stdout)).toMatch(/• cluster no cluster yet\. There is no kubeconfig: .* create-eks makes it: npx tsx runbooks\/create-eks\.ts/)
  expect(flat(stdout)).toMatch(/• GITHUB_CLIENT_ID not there yet/)
})
