/** What is special about certificates: which are told as what, and what certbot is run with. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { certificateSecrets, chain, keys } from '../../lib/rehearsal/certificates.ts'
import { stage, type Stage } from './harness.ts'

const DOMAIN = ['--domain', 'circleci.example.com']
const ISSUE = ['issue', '--dns', 'route53', ...DOMAIN, '--mail', 'ops@example.com']
const EXPIRES = 'certificate-expires'
const fileOf = ({ state }: Stage, name: string) => join(state, 'circleci-runbooks', 'rehearsal.files', name)
const flat = (text: string) => text.replaceAll(/\s+/g, ' ')

describe('issue', () => {
  test('certbot runs without a question, below a folder of its own, and orders for both names', async () => {
    const { stdout } = await stage().run('tls-certificates', [...ISSUE, '--dry-run', '--json'])
    const plan = stdout.trim().split('\n').map((row) => JSON.parse(row)).find(({ event }) => event === 'plan')
    expect(plan.steps[0].effects[0].line).toBe('certbot certonly --dns-route53 --cert-name circleci.example.com -d circleci.example.com -d app.circleci.example.com'
      + ' --keep-until-expiring --renew-with-new-domains --non-interactive --agree-tos -m ops@example.com --config-dir letsencrypt --work-dir letsencrypt/work --logs-dir letsencrypt/logs')
  })

  test('one for practice goes into another folder', async () => {
    const { stdout } = await stage().run('tls-certificates', [...ISSUE, '--staging', '--shell'])
    expect(stdout).toContain('--staging --config-dir letsencrypt-staging ')
  })

  test('one that ends soon is ordered anew', async () => {
    const world = stage(EXPIRES)
    expect(await world.run('tls-certificates', [...ISSUE, '--yes'])).toMatchObject({ code: 0, stderr: expect.stringContaining('2023-02-20') })
    expect(readFileSync(fileOf(world, 'fullchain.pem'), 'utf8')).toBe(chain('new'))
  })

  test('without certbot the line that installs it, and nothing is changed', async () => {
    const { code, stderr } = await stage('no-certbot').run('tls-certificates', ISSUE)
    expect(code).toBe(3)
    expect(stderr).toContain('pip3 install certbot certbot-dns-route53')
  })

  test('a zone that the account has not', async () => {
    const { code, stderr } = await stage('google-dns').run('tls-certificates', ISSUE)
    expect([code, flat(stderr)]).toEqual([3, expect.stringContaining('Route 53 has no public zone that circleci.example.com is in')])
  })

  test('Google: its credentials are there, and only the operator can read them', async () => {
    const world = stage('google-dns')
    const line = ['issue', '--dns', 'google', '--credentials', '/secure/dns-admin.json', ...DOMAIN, '--mail', 'ops@example.com']
    expect((await world.run('tls-certificates', [...line, '--shell'])).stdout).toContain('--dns-google --dns-google-credentials /secure/dns-admin.json ')
    chmodSync(fileOf(world, 'dns-admin.json'), 0o640)
    expect(await world.run('tls-certificates', line)).toMatchObject({ code: 3, stderr: expect.stringContaining('chmod 600 /secure/dns-admin.json') })
    writeFileSync(fileOf(world, 'dns-admin.json'), '{}', { mode: 0o600 })
    expect(await stage().run('tls-certificates', line)).toMatchObject({ code: 3, stderr: expect.stringContaining('is not there') })
  })

  test.each([
    [['--dns', 'google'], '--dns google wants --credentials'],
    [['--dns', 'route53', '--credentials', 'x'], '--credentials is for --dns google'],
    [['--dns', 'azure'], 'Write route53 or google'],
    [['--dns', 'route53', '--domain', 'https://circleci.example.com'], 'Write the name alone'],
  ])('%j is refused', async (flags, said) => {
    const { code, stderr } = await stage().run('tls-certificates', ['issue', ...DOMAIN, '--mail', 'ops@example.com', ...flags])
    expect([code, flat(stderr)]).toEqual([2, expect.stringContaining(said)])
  })
})

describe('renew', () => {
  test('what lasts is left alone', async () => {
    const world = stage()
    await world.run('tls-certificates', [...ISSUE, '--yes'])
    expect(await world.run('tls-certificates', ['renew', ...DOMAIN])).toMatchObject({ code: 0, stderr: expect.stringContaining('Nothing to do') })
  })

  test('where none was ordered it says how', async () => {
    const { code, stderr } = await stage().run('tls-certificates', ['renew', ...DOMAIN])
    expect([code, flat(stderr)]).toEqual([3, expect.stringContaining('tls-certificates.ts issue')])
  })
})

describe('check', () => {
  const check = async (world: Stage, ...flags: string[]) => world.run('tls-certificates', ['check', ...DOMAIN, ...flags])

  test('days are counted in the time of the rehearsal', async () => {
    const { code, stdout } = await check(stage(EXPIRES))
    expect(code).toBe(0)
    expect(stdout).toMatch(/! expiry +it is valid until 2022-12-02: 9 days left/)
    expect(flat(stdout)).toContain('tls-certificates.ts renew --domain \\ circleci.example.com')
  })

  test('a key that others can read, and one of another certificate', async () => {
    const world = stage(EXPIRES)
    await check(world)
    chmodSync(fileOf(world, 'privkey.pem'), 0o644)
    expect((await check(world)).stdout).toContain('chmod 600 privkey.pem')
    writeFileSync(fileOf(world, 'another.pem'), keys('new'), { mode: 0o600 })
    const { code, stdout } = await check(world, '--key', '/secure/another.pem')
    expect([code, flat(stdout)]).toEqual([1, expect.stringContaining('the key in /secure/another.pem is that of another certificate')])
    expect(stdout).toContain('not with these files')
  })

  test('nothing to check, and what is no certificate', async () => {
    const world = stage()
    expect((await check(world)).stdout).toMatch(/✗ certificate .*/)
    writeFileSync(fileOf(world, 'fullchain.pem'), keys('new'), { mode: 0o600 })
    const { code, stdout } = await check(world)
    expect([code, flat(stdout)]).toEqual([1, expect.stringContaining('holds no certificate in PEM')])
    expect(certificateSecrets.filter((part) => stdout.includes(part))).toEqual([])
  })
})

test('a rehearsal leaves the folder of the operator alone', async () => {
  const world = stage()
  await world.run('tls-certificates', [...ISSUE, '--yes'])
  expect(existsSync(join(world.state, 'letsencrypt'))).toBe(false)
})
