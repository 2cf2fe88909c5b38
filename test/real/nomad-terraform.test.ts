/**
 * The real Terraform, on a module that has the variables and outputs of CircleCI's and needs no provider: what it plans and
 * applies, where it is interrupted, and what it leaves on disk and on the screen.
 */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { watchProcesses } from '../processes-seen.ts'
import { textFor } from '../../lib/server/nomad-module.ts'
import { lacking, needs } from './components.ts'

const ROOT = new URL('../..', import.meta.url).pathname

const variable = (name: string, type: string, otherwise?: string) => `variable "${name}" {\n  type = ${type}\n${otherwise === undefined ? '' : `  default = ${otherwise}\n`}}\n`
/** server-terraform 3.4.0, nomad-aws: variables.tf and output.tf. Each part tells that it was made; the group takes as long as SLOW says. */
const MODULE = [
  variable('subnet', 'string', '""'), variable('subnets', 'list(string)', '[""]'), variable('security_group_id', 'list(string)', '[]'), variable('server_endpoint', 'string'), variable('blocked_cidrs', 'list(string)'), variable('dns_server', 'string'),
  variable('nodes', 'number'), variable('max_nodes', 'number', '5'), variable('volume_type', 'string', '"gp3"'), variable('instance_type', 'string', '"t3.2xlarge"'), variable('ssh_key', 'string', 'null'), variable('enable_mtls', 'bool', 'true'),
  variable('basename', 'string', '""'), variable('vpc_id', 'string'), variable('instance_tags', 'map(string)', '{ vendor = "circleci" }'), variable('role_name', 'string', 'null'), variable('nomad_auto_scaler', 'bool', 'false'), variable('enable_irsa', 'map(any)', '{}'),
  `resource "terraform_data" "tls" {
  triggers_replace = var.server_endpoint
  provisioner "local-exec" { command = "echo tls >> $MADE" }
}
resource "terraform_data" "clients_asg" {
  input      = var.nodes
  depends_on = [terraform_data.tls]
  provisioner "local-exec" { command = "echo begun >> $MADE; sleep $SLOW; echo asg >> $MADE" }
}
`,
  ...['mtls_enabled = var.enable_mtls', 'nomad_server_cert = "-----BEGIN CERTIFICATE-----\\n${sha256("cert ${terraform_data.tls.id}")}\\n-----END CERTIFICATE-----\\n"', 'nomad_server_key = nonsensitive(sensitive("-----BEGIN RSA PRIVATE KEY-----\\n${sha256("key ${terraform_data.tls.id}")}\\n-----END RSA PRIVATE KEY-----\\n"))',
    'nomad_tls_ca = "-----BEGIN CERTIFICATE-----\\n${sha256("ca")}\\n-----END CERTIFICATE-----\\n"', 'nomad_sg_id = "sg-1"', 'nomad_asg_user_access_key = ""', 'nomad_asg_user_secret_key = ""', 'nomad_asg_name = terraform_data.clients_asg.id', 'nomad_asg_arn = ""', 'nomad_role = ""']
    .map((row) => row.split(/ = (.*)/s)).map(([name, value]) => `output "${name}" {\n  value = ${value}\n}\n`),
].join('\n')

interface Ended { code: number | null; signal: string | null; all: string }
let home: string
beforeEach(needs('terraform'))
beforeEach(() => {
  if (lacking('terraform')) return
  home = mkdtempSync(join(tmpdir(), 'real-terraform-'))
  mkdirSync(join(home, 'module'))
  writeFileSync(join(home, 'module', 'main.tf'), MODULE)
  writeFileSync(join(home, 'terraformrc'), '')
  onTestFinished(() => rmSync(home, { recursive: true, force: true }))
})

const env = (slow: string) => ({ PATH: process.env['PATH'], HOME: home, XDG_STATE_HOME: join(home, 'state'), TF_CLI_CONFIG_FILE: join(home, 'terraformrc'), MADE: join(home, 'made'), SLOW: slow, NO_COLOR: '1' })
const begin = (args: string[], slow = '0') => {
  const child = spawn(process.execPath, ['--import', join(ROOT, 'node_modules/tsx/dist/loader.mjs'), join(ROOT, 'test/real/nomad-clients.ts'), ...args], { cwd: home, stdio: ['ignore', 'pipe', 'pipe'], env: env(slow) })
  let all = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => { all += part.toString() })
  return { child, ended: new Promise<Ended>((resolve) => child.on('close', (code, signal) => resolve({ code, signal, all: all.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ') }))) }
}
const run = (...args: string[]) => begin(args).ended
const file = (name: string) => readFileSync(join(home, 'clients', name), 'utf8')
const made = (): string[] => (existsSync(join(home, 'made')) ? readFileSync(join(home, 'made'), 'utf8').trim().split('\n') : [])
const until = async (holds: () => boolean) => {
  for (let n = 0; n < 600 && !holds(); n += 1) await new Promise((resolve) => setTimeout(resolve, 50))
  expect(holds()).toBe(true)
}
/** Terraform's own look: that there is nothing left to do. */
const agrees = () => execFileSync('terraform', [`-chdir=${join(home, 'clients')}`, 'plan', '-input=false', '-detailed-exitcode'], { env: env('0'), stdio: 'ignore' })

test('init, plan, apply; again without a change; what more than adds is asked, and is what was shown', async () => {
  const watch = watchProcesses('cmdline')
  onTestFinished(watch.stop)
  const dry = await run('--dry-run')
  expect(dry.code, dry.all).toBe(0)
  expect(readdirSync(home).toSorted()).toEqual(['module', 'terraformrc'])
  const first = await run('--verbose')
  expect(first.code, first.all).toBe(0)
  expect(first.all).toContain('nomad.tfplan: 2 to add, 0 to change, 0 to destroy')
  expect(made()).toEqual(['tls', 'begun', 'asg'])
  agrees()
  execFileSync('terraform', ['fmt', '-check', join(home, 'clients', 'main.tf')], { env: env('0') })
  for (const name of ['main.tf', 'cert.pem', 'key.pem', 'ca.pem', 'nomad.tfplan', 'terraform.tfstate']) expect(statSync(join(home, 'clients', name)).mode & 0o777, name).toBe(0o600)
  expect(statSync(join(home, 'clients')).mode & 0o777).toBe(0o700)
  const again = await run()
  expect([again.code, again.all]).toEqual([0, expect.stringContaining('Nothing to do')])

  const [key] = [file('key.pem')]
  const asked = await run('--endpoint', '10.0.0.10')
  expect([asked.code, asked.all]).toEqual([5, expect.stringContaining('Terraform replaces module.nomad.terraform_data.tls')])
  const more = await run('--nodes', '3', '--dry-run')
  expect(more.all).toMatch(/nodes 2 → 3 .*module\.nomad\.terraform_data\.clients_asg there → updated/)
  const moved = await run('--endpoint', '10.0.0.10', '--yes', '--verbose')
  expect(moved.code, moved.all).toBe(0)
  expect(file('key.pem')).not.toBe(key)
  agrees()
  const secrets = [key, file('key.pem')].map((text) => text.split('\n')[1] ?? '')
  const journals = readdirSync(join(home, 'state'), { recursive: true, encoding: 'utf8' }).filter((name) => /\.(ndjson|log)$/.test(name)).map((name) => readFileSync(join(home, 'state', name), 'utf8'))
  const seen = [dry, first, again, asked, more, moved].map(({ all }) => all).join('') + [...watch.seen].join('\n') + journals.join('')
  expect(secrets.filter((one) => one.length < 60 || seen.includes(one))).toEqual([])
})

test('a number that somebody else has set stays where something else is applied, and again there is nothing to do', async () => {
  expect((await run()).code).toBe(0)
  execFileSync('terraform', [`-chdir=${join(home, 'clients')}`, 'apply', '-input=false', '-auto-approve', '-var', 'nodes=3'], { env: env('0'), stdio: 'ignore' })
  for (const flags of [['--moved', '3'], ['--moved', '3', '--endpoint', '10.0.0.10', '--yes'], ['--moved', '3', '--endpoint', '10.0.0.10']]) {
    const { code, all } = await run(...flags)
    expect(code, all).toBe(0)
    if (!flags.includes('--yes')) expect(all).toContain('Nothing to do')
  }
  expect(file('main.tf')).toMatch(/variable "nodes" \{\n.*\n.*\n {2}default {5}= 2\n/)
  const state = JSON.parse(file('terraform.tfstate')) as { resources: { name: string; instances: { attributes: { output: { value: number } } }[] }[] }
  expect(state.resources.find(({ name }) => name === 'clients_asg')?.instances[0]?.attributes.output.value).toBe(3)
  // Without it Terraform would put back its own.
  const back = await run('--endpoint', '10.0.0.10', '--dry-run')
  expect(back.all).toMatch(/module\.nomad\.terraform_data\.clients_asg there → updated/)
})

test('what goes to Google is HCL that Terraform takes', async () => {
  const schedule = { description: 'a "b"', disabled: false, duration_sec: 36_000, min_required_replicas: 4, name: 'office', schedule: '0 8 * * MON-FRI', time_zone: 'Europe/Berlin' }
  const text = textFor('gcp', { tag: '3.4.0', server: '3.4.0' }, { region: { value: 'europe-west1', from: 'the test' }, autoscaling_schedules: { value: [schedule], from: 'the test' } }, ['backend "local" {}'])
  mkdirSync(join(home, 'gcp'))
  writeFileSync(join(home, 'gcp', 'main.tf'), text)
  execFileSync('terraform', ['fmt', '-check', join(home, 'gcp', 'main.tf')], { env: env('0') })
})

test('killed in the middle of an apply: Terraform ends it by itself, and the same line waits for that', async () => {
  const { child, ended } = begin([], '4')
  await until(() => made().includes('begun'))
  child.kill('SIGKILL')
  expect((await ended).signal).toBe('SIGKILL')
  const { code, all } = await run()
  expect(code, all).toBe(0)
  expect(made()).toEqual(['tls', 'begun', 'asg'])
  agrees()
})

test('twice Ctrl-C: Terraform is told once, and saves what is there; the same line plans what is missing, and asks', async () => {
  const { child, ended } = begin([], '30')
  await until(() => made().includes('begun'))
  child.kill('SIGINT')
  await new Promise((resolve) => setTimeout(resolve, 700))
  expect(readFileSync(join(home, 'state', 'circleci-runbooks', 'terraform.log'), 'utf8')).not.toContain('Interrupt')
  child.kill('SIGINT')
  const stopped = await ended
  expect([stopped.code, stopped.all]).toEqual([130, expect.stringContaining('Go on with the same line')])
  const log = () => readFileSync(join(home, 'state', 'circleci-runbooks', 'terraform.log'), 'utf8')
  await until(() => /Error:/.test(log()))
  expect(log().match(/Interrupt received/g)).toHaveLength(1)
  expect(log()).not.toContain('Two interrupts')
  const resumed = await run()
  // What was begun is tainted, and is made anew: that is asked.
  expect([resumed.code, resumed.all]).toEqual([5, expect.stringContaining('Terraform replaces module.nomad.terraform_data.clients_asg')])
  const { code, all } = await run('--yes')
  expect(code, all).toBe(0)
  expect(made()).toEqual(['tls', 'begun', 'begun', 'asg'])
  agrees()
})

test('an apply that fails in the middle: what it made stays, and the same line makes a new plan', async () => {
  writeFileSync(join(home, 'module', 'main.tf'), MODULE.replace('echo begun >> $MADE', 'test -e $MADE.well && echo begun >> $MADE || exit 3'))
  const failed = await run()
  expect([failed.code, failed.all]).toEqual([1, expect.stringMatching(/terraform apply failed: .*local-exec provisioner error.*it makes a new plan of what is missing by then/)])
  expect(existsSync(join(home, 'clients', 'nomad.tfplan'))).toBe(false)
  writeFileSync(join(home, 'made.well'), '')
  const { code, all } = await run('--yes')
  expect(code, all).toBe(0)
  expect(made()).toEqual(['tls', 'begun', 'asg'])
  agrees()
})
