/**
 * Certificates that the real openssl made, each told as what it is; and certbot, with its plugin for Route 53, on an ACME
 * server (pebble) and an AWS API server (moto). Nobody proves that a domain is theirs here: pebble takes everybody's word.
 */
import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { pause } from '../../lib/clock.ts'
import { startAcme, type Acme } from './acme.ts'
import { authority, type Authority } from './authority.ts'
import { lacking, must, needs } from './components.ts'

const BUNDLE = new URL('../../dist/tls-certificates.mjs', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'real-tls-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const D = 'circleci.example.com', BOTH = [D, `app.${D}`]
const flat = (text: string) => text.replaceAll(/\s+/g, ' ')
interface Ended { code: number; stdout: string; stderr: string }
const run = (command: string, args: string[], env: Record<string, string> = {}): Promise<Ended> => new Promise((resolve) => {
  execFile(command, args, { cwd: folder, env: { PATH: process.env['PATH'], HOME: folder, XDG_STATE_HOME: join(folder, 'state'), ...env } }, (error, stdout, stderr) =>
    resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }))
})
const write = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 })

let ca: Authority
beforeAll(() => {
  if (lacking('openssl')) return
  ca = authority(join(folder, 'ca'))
  write('root.pem', ca.root)
})

describe('check tells what openssl made', () => {
  beforeEach(needs('openssl'))
  const check = async (certificate: string, key: string, { known = true } = {}) => {
    write('fullchain.pem', certificate)
    write('privkey.pem', key)
    const { code, stdout, stderr } = await run(process.execPath, [BUNDLE, 'check', '--domain', D], known ? { NODE_EXTRA_CA_CERTS: join(folder, 'root.pem') } : {})
    if (stderr.includes('defect')) throw new Error(stderr)
    const rows = stdout.split('\n').filter((row) => /^ {2}[✗!] /.test(row)).map((row) => row.trim().split(/\s+/).slice(0, 2).join(' '))
    return { code, rows, text: flat(stdout) }
  }

  test('a good chain', async () => {
    const { certificate, key } = ca.issue(BOTH)
    expect(await check(certificate + ca.intermediate, key)).toMatchObject({ code: 0, rows: [], text: expect.stringContaining('All 5 hold.') })
    expect(await check(certificate + ca.intermediate + ca.root, key)).toMatchObject({ code: 0, rows: [] })
    // Its key is RSA, as older ones are.
    const rsa = ca.issue(BOTH, [-1, 89], (await run('openssl', ['genrsa', '2048'])).stdout)
    expect(await check(rsa.certificate + ca.intermediate, rsa.key)).toMatchObject({ code: 0, rows: [] })
  })

  test.each<[string, () => [string, string], string, number, string]>([
    ['the key of another', () => [ca.issue(BOTH).certificate + ca.intermediate, ca.issue(BOTH).key], '✗ key', 1, 'is that of another certificate'],
    ['no intermediate', () => { const one = ca.issue(BOTH); return [one.certificate, one.key] }, '✗ complete', 1, 'the intermediate certificates are missing: “intermediate” signed it, and is no root Append the certificate of “intermediate” (http://r3.example.com/)'],
    ['the wrong order', () => { const one = ca.issue(BOTH); return [ca.intermediate + one.certificate, one.key] }, '✗ order', 1, 'is number 2 of 2'],
    ['the root before the intermediate', () => { const one = ca.issue(BOTH); return [one.certificate + ca.root + ca.intermediate, one.key] }, '✗ order', 1, 'is signed by number 3, which does not stand behind it'],
    ['expired', () => { const one = ca.issue(BOTH, [-95, -5]); return [one.certificate + ca.intermediate, one.key] }, '✗ expiry', 1, ', 5 days ago'],
    ['not valid yet', () => { const one = ca.issue(BOTH, [2, 92]); return [one.certificate + ca.intermediate, one.key] }, '✗ expiry', 1, 'it is valid from'],
    ['10 days left', () => { const one = ca.issue(BOTH, [-80, 10.1]); return [one.certificate + ca.intermediate, one.key] }, '! expiry', 0, '10 days left'],
    ['the domain alone', () => { const one = ca.issue([D]); return [one.certificate + ca.intermediate, one.key] }, '✗ names', 1, `it covers ${D}, and not app.${D}`],
    ['a wildcard alone', () => { const one = ca.issue([`*.${D}`]); return [one.certificate + ca.intermediate, one.key] }, '✗ names', 1, `and not ${D} (*.${D} stands for exactly one label)`],
    ['a wildcard one label too high', () => { const one = ca.issue(['*.example.com']); return [one.certificate + ca.intermediate, one.key] }, '✗ names', 1, `and not app.${D} (*.example.com stands for exactly one label)`],
  ])('%s', async (_, make, row, code, said) => {
    const { rows, text, ...ended } = await check(...make())
    expect([ended.code, rows, text]).toEqual([code, [row], expect.stringContaining(said)])
  })

  test('a wildcard beside the domain covers both', async () => {
    const { certificate, key } = ca.issue([D, `*.${D}`])
    expect(await check(certificate + ca.intermediate, key)).toMatchObject({ code: 0, rows: [] })
  })

  test('one that lives for a week is not too short from its first day on', async () => {
    const { certificate, key } = ca.issue(BOTH, [-1, 6])
    expect(await check(certificate + ca.intermediate, key)).toMatchObject({ code: 0, rows: [] })
  })

  test('a private authority that was not named; one that signed itself', async () => {
    const { certificate, key } = ca.issue(BOTH)
    expect(await check(certificate + ca.intermediate, key, { known: false })).toMatchObject({ code: 0, rows: ['! complete'], text: expect.stringContaining('NODE_EXTRA_CA_CERTS=root.pem') })
    write('self.key', key)
    const self = await run('openssl', ['req', '-x509', '-key', 'self.key', '-subj', `/CN=${D}`, '-days', '90', '-addext', `subjectAltName=DNS:${D},DNS:app.${D}`])
    expect(await check(self.stdout, key)).toMatchObject({ code: 0, rows: ['! complete'], text: expect.stringContaining('signed by itself') })
  })

  test('a key with a passphrase, and no key', async () => {
    const { certificate, key } = ca.issue(BOTH)
    write('plain.key', key)
    const locked = (await run('openssl', ['pkey', '-in', 'plain.key', '-aes256', '-passout', 'pass:secret'])).stdout
    expect(await check(certificate + ca.intermediate, locked)).toMatchObject({ code: 1, rows: ['✗ key'], text: expect.stringContaining('openssl pkey -in privkey.pem -out privkey.pem') })
    expect(await check(certificate + ca.intermediate, certificate)).toMatchObject({ code: 1, rows: ['✗ key'], text: expect.stringContaining('holds no private key') })
  })
})

describe('certbot', () => {
  beforeEach(needs('openssl', 'certbot', 'pebble', 'moto_server'))
  let acme: Acme
  beforeAll(async () => { if (!lacking('openssl', 'certbot', 'pebble', 'moto_server')) acme = await startAcme(folder) })
  afterAll(() => acme?.stop())
  const runbook = (...args: string[]) => run(process.execPath, [BUNDLE, ...args], { ...acme.env, PATH: `${dirname(must('certbot'))}:${process.env['PATH']}` })
  const ISSUE = ['issue', '--dns', 'route53', '--domain', D, '--mail', 'ops@example.com']
  const live = (name: string) => join(folder, 'letsencrypt', 'live', D, name)
  const serial = async () => (await run('openssl', ['x509', '-noout', '-serial', '-in', live('fullchain.pem')])).stdout

  test('an order, the same line again, and each line of its page', async () => {
    const first = await runbook(...ISSUE, '--yes')
    expect(first.code, first.stderr).toBe(0)
    expect(statSync(live('privkey.pem')).mode & 0o077).toBe(0)
    const ordered = await serial()
    expect(await runbook(...ISSUE)).toMatchObject({ code: 0, stderr: expect.stringContaining('Nothing to do') })
    // certbot itself keeps one that lasts.
    const line = (await runbook(...ISSUE, '--markdown')).stdout
    for (const command of line.matchAll(/^(certbot .*|openssl .*|bash .*?)(?: {3}# (.*))?$/gm)) {
      const { code, stdout, stderr } = await run('bash', ['-c', command[1] ?? ''], { ...acme.env, PATH: `${dirname(must('certbot'))}:${process.env['PATH']}` })
      expect(code, `${command[1]}\n${stdout}${stderr}`).toBe(0)
      if (command[2]) expect(stdout.trim()).toBe(command[2])
    }
    expect(await serial()).toBe(ordered)
    expect(await runbook('renew', '--domain', D)).toMatchObject({ code: 0, stderr: expect.stringContaining('Nothing to do') })
  })

  test('a renewal, once a third of its life is left', async () => {
    const brief = (...args: string[]) => run(process.execPath, [BUNDLE, ...args, '--domain', 'brief.example.com', '--folder', 'brief'], { ...acme.brief, PATH: `${dirname(must('certbot'))}:${process.env['PATH']}` })
    const ordered = await brief('issue', '--dns', 'route53', '--mail', 'ops@example.com', '--yes')
    expect(ordered.code, ordered.stderr).toBe(0)
    const file = join(folder, 'brief', 'live', 'brief.example.com', 'fullchain.pem')
    const until = () => Date.parse(new X509Certificate(readFileSync(file)).validTo)
    const before = until()
    await pause(before - Date.now() - 30_000)
    const renewed = await brief('renew')
    expect(renewed.code, renewed.stderr).toBe(0)
    expect(until()).toBeGreaterThan(before)
  })

  test('one that covers a name alone is replaced by one for both', async () => {
    const other = 'other.example.com'
    const alone = await run(must('certbot'), ['certonly', '--dns-route53', '-d', other, '--non-interactive', '--agree-tos', '-m', 'ops@example.com', '--config-dir', 'letsencrypt', '--work-dir', 'letsencrypt/work', '--logs-dir', 'letsencrypt/logs'], acme.env)
    expect(alone.code, alone.stderr).toBe(0)
    const { code, stderr } = await runbook('issue', '--dns', 'route53', '--domain', other, '--mail', 'ops@example.com', '--yes')
    expect(code, stderr).toBe(0)
  })

  test('a zone that is not there: certbot\'s own words, and where its log is', async () => {
    const { code, stderr } = await runbook('issue', '--dns', 'route53', '--domain', 'circleci.example.org', '--mail', 'ops@example.com', '--yes', '--ignore-preflight', 'zone')
    expect([code, flat(stderr)]).toEqual([1, expect.stringContaining('letsencrypt.log')])
    expect(flat(stderr)).toContain('Unable to find a Route53 hosted zone')
  })

  test('each flag is one that certbot has, for Google too', async () => {
    write('dns-admin.json', JSON.stringify({ type: 'service_account', project_id: 'my-project' }))
    const { stdout } = await runbook('issue', '--dns', 'google', '--credentials', 'dns-admin.json', '--domain', 'google.example.com', '--mail', 'ops@example.com', '--staging', '--markdown')
    const line = /^certbot .*$/m.exec(stdout)?.[0] ?? ''
    const { stdout: help } = await run('bash', ['-c', `${must('certbot')} --help all`])
    const flags = line.match(/ --[a-z0-9-]+/g) ?? []
    expect(flags).toContain(' --dns-google-credentials')
    for (const flag of flags) expect(help).toMatch(new RegExp(`${flag}\\b`))
  })
})
