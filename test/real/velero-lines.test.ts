/**
 * The lines of `velero` that runbooks run and print, read by the real command: each flag is one that it has, and what an
 * installation makes is what was meant. Needs no cluster.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { pluginFor } from '../../lib/velero/velero.ts'
import { withWorkloadIdentity } from '../../lib/rehearsal/stores.ts'
import { stage } from '../runbooks/harness.ts'
import { must, needs } from './components.ts'

beforeEach(needs('velero'))
const folder = mkdtempSync(join(tmpdir(), 'velero-lines-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const CREDENTIALS = '[default]\naws_access_key_id=A\naws_secret_access_key=B\n'
writeFileSync(join(folder, 'credentials-velero'), CREDENTIALS)
// The context that a rehearsal's lines name; nobody listens there.
writeFileSync(join(folder, 'kubeconfig'), JSON.stringify({
  apiVersion: 'v1', kind: 'Config', 'current-context': 'rehearsal', contexts: [{ name: 'rehearsal', context: { cluster: 'c', user: 'u' } }],
  clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:9' } }], users: [{ name: 'u', user: {} }],
}))

const bash = (line: string): Promise<{ code: number; stdout: string; stderr: string }> => new Promise((resolve) => {
  const env = { HOME: folder, KUBECONFIG: join(folder, 'kubeconfig'), PATH: `${dirname(must('velero'))}:${process.env['PATH']}` }
  execFile('bash', ['-c', line], { cwd: folder, env, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }))
})

/** The line of the installation, as a dry run on the rehearsal plans it. */
const installLine = async (runbook: string, args: string[]): Promise<string> => {
  const world = stage('no-velero', withWorkloadIdentity)
  const { stdout, stderr } = await world.run(runbook, [...args, '--dry-run', '--json'])
  const plan = stdout.trim().split('\n').map((row) => JSON.parse(row)).find(({ event }) => event === 'plan')
  const line = plan?.steps.flatMap(({ effects }: any) => effects).find(({ id }: any) => id === 'velero install')?.line
  if (!line) throw new Error(stdout + stderr)
  return line
}

const location = (provider: string, config?: object) => ({ provider, default: true, objectStorage: { bucket: 'my-backups' }, ...(config ? { config } : {}) })
const KEY = { 'cloud-credentials': Buffer.from(CREDENTIALS).toString('base64') }
const STORE = { region: 'minio', s3ForcePathStyle: 'true', s3Url: 'https://minio.example.com:9000' }
const GSA = 'velero@my-project.iam.gserviceaccount.com'

describe('velero install makes what was meant', () => {
  test.each([
    ['AWS, with a key', 'velero-aws', ['--region', 'us-east-1'], location('aws', { region: 'us-east-1' }), { region: 'us-east-1' }, KEY, undefined],
    ['an S3-compatible store', 'velero-s3', ['--alias', 'my-provider', '--endpoint', STORE.s3Url], location('aws', STORE), undefined, KEY, undefined],
    ['Google Cloud, with a key', 'velero-gcp', ['--project', 'my-project'], location('gcp'), {}, KEY, undefined],
    ['Google Cloud, with Workload Identity', 'velero-gcp', ['--project', 'my-project', '--workload-identity'], location('gcp', { serviceAccount: GSA }), {}, {}, { 'iam.gke.io/gcp-service-account': GSA }],
    ['AWS, with a role', 'velero-aws', ['--region', 'us-east-1', '--role', 'arn:aws:iam::111122223333:role/velero', '--ignore-preflight', 'role'], location('aws', { region: 'us-east-1' }), { region: 'us-east-1' }, {}, { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::111122223333:role/velero' }],
  ])('%s', async (_, runbook, args, place, snapshots, secrets, annotations) => {
    const line = await installLine(runbook, ['--bucket', 'my-backups', ...args])
    const { code, stdout, stderr } = await bash(`${line} --dry-run -o yaml`)
    expect(code, `${line}\n${stderr}`).toBe(0)
    const objects = parseAllDocuments(stdout).map((one) => one.toJS()).flatMap((one: any) => one?.items ?? [one]) as any[]
    const of = (kind: string) => objects.filter((one) => one?.kind === kind)
    expect(of('BackupStorageLocation').map(({ spec }) => spec)).toEqual([place])
    expect(of('VolumeSnapshotLocation').map(({ spec }) => spec.config ?? {})).toEqual(snapshots ? [snapshots] : [])
    expect(Object.fromEntries(of('Secret').map(({ metadata, data }) => [metadata.name, data.cloud]))).toEqual(secrets)
    expect(of('ServiceAccount').map(({ metadata }) => metadata.annotations)).toEqual([annotations])
    const version = /v(\d+\.\d+\.\d+)/.exec((await bash('velero version --client-only')).stdout)?.[1] as string
    expect(of('Deployment')[0].spec.template.spec.initContainers.map(({ image }: any) => image)).toEqual([pluginFor(place.provider as 'aws' | 'gcp', version)])
    // By this name KOTS finds the node agents.
    expect(of('DaemonSet')[0].spec.template.metadata.labels.name).toBe('restic')
  })
})

/** The words of each call of `velero(…)` in lib/; in place of what is no plain text stands a name. */
const printed = (): string[][] => {
  const lib = new URL('../../lib/', import.meta.url).pathname
  const texts = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts') && !name.startsWith('rehearsal/')).map((name) => readFileSync(join(lib, name), 'utf8'))
  const calls = texts.flatMap((text) => [...text.matchAll(/\bvelero\(('(?:[^()]|\([^()]*\))*)\)/g)].map(([, words = '']) => words))
  const lines = calls.filter((words) => !words.startsWith("'install'")).map((words) => words.split(',').map((word) => /^'([^']*)'$/.exec(word.trim())?.[1] ?? 'instance-7k2fq'))
  return [...new Map(lines.map((words) => [words.join(' '), words])).values()]
}

describe('what hints and effects say is a line of velero', () => {
  test('they were found', () => expect(printed().map((words) => words.join(' '))).toEqual(expect.arrayContaining(
    ['backup describe instance-7k2fq --details', 'backup logs instance-7k2fq', 'restore logs instance-7k2fq', 'backup delete instance-7k2fq --confirm', 'uninstall'])))

  test.each(printed().map((words) => [words.join(' '), words] as const))('velero %s', async (_, words) => {
    const commands = words.filter((word) => !word.startsWith('-') && word !== 'instance-7k2fq')
    const { code, stdout, stderr } = await bash(['velero', ...words, '--kubeconfig', 'kubeconfig', '--kubecontext', 'rehearsal', '--help'].join(' '))
    expect(code, stderr).toBe(0)
    // The help of the command itself, not of the one above it, which takes any word.
    expect(stdout).toMatch(new RegExp(`^ +velero ${commands.join(' ')}\\b`, 'm'))
    expect(stdout).not.toMatch(/Available Commands:/)
  })

  test('a flag that velero has not is found', async () => {
    expect(await bash('velero backup describe one --detail --help')).toMatchObject({ code: 1, stderr: expect.stringContaining('unknown flag') })
  })
})
