/**
 * Benchmarks: each compares two things in one run, turn by turn, and prints the ratio of the pairs' median, so that
 * a noisy machine hits both. Goals are in brackets; nothing here fails a build.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { done } from '../../lib/effect.ts'
import { line } from '../../lib/shell.ts'
import { runSteps } from '../../lib/run.ts'
import { memory, migration } from './migration.ts'

const root = new URL('../..', import.meta.url).pathname
const PAIRS = 9

const median = (numbers: number[]): number => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0

/** Milliseconds of one process, from outside. */
const time = (words: string[], env: NodeJS.ProcessEnv = process.env): Promise<number> =>
  new Promise((resolve, reject) => {
    const started = performance.now()
    const child = spawn(words[0] ?? '', words.slice(1), { cwd: root, env, stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.on('data', (part: Buffer) => { said += part.toString() })
    child.on('close', (code) => (code === 0 || code === 2 ? resolve(performance.now() - started) : reject(new Error(`${line(words)}: ${code}\n${said}`))))
  })

const compare = async (what: string, goal: string, a: string[], b: string[], env?: NodeJS.ProcessEnv): Promise<void> => {
  await time(a, env)
  await time(b, env)
  const [ours, theirs]: [number[], number[]] = [[], []]
  for (let pair = 0; pair < PAIRS; pair++) {
    ours.push(await time(a, env))
    theirs.push(await time(b, env))
  }
  const ratio = median(ours.map((ms, n) => ms / (theirs[n] ?? 1)))
  console.log(`${what.padEnd(58)} ${ratio.toFixed(2).padStart(6)}   ${Math.round(median(ours))} ms against ${Math.round(median(theirs))} ms   (${goal})`)
}

const startUp = async (folder: string): Promise<void> => {
  const empty = join(folder, 'empty.ts')
  writeFileSync(empty, '')
  const launchers: [string, string[]][] = [['node --import tsx', [process.execPath, '--import', 'tsx']], ['npx tsx', ['npx', '--no-install', 'tsx']]]
  for (const [name, launcher] of launchers) {
    await compare(`${name}: --help, against an empty script`, 'goal 1.5', [...launcher, 'runbooks/expand-pvc.ts', '--help'], [...launcher, empty])
    await compare(`${name}: a usage error, against an empty script`, 'goal 1.5', [...launcher, 'runbooks/expand-pvc.ts', '--size', '10GB', '--db', 'mongodb'], [...launcher, empty])
  }
}

/** What the dry run asks, as somebody would script it. */
const kubectlReads = (context: string, namespace: string, storageClass: string): string => {
  const at = (...words: string[]) => line(['kubectl', '--context', context, '-n', namespace, ...words])
  const kots = (...words: string[]) => line(['kubectl', 'kots', ...words, '--context', context, '-n', namespace])
  const may = ([verb, what]: [string, string]) => at('auth', 'can-i', verb, what)
  const verbs: [string, string][] = [
    ['get', 'statefulsets'], ['create', 'statefulsets'], ['delete', 'statefulsets'], ['get', 'pvc'], ['patch', 'pvc'], ['get', 'storageclasses'],
    ['patch', 'storageclasses'], ['get', 'secrets'], ['create', 'secrets'], ['delete', 'secrets'], ['get', 'leases'], ['create', 'leases'],
    ['update', 'leases'], ['delete', 'leases'], ['get', 'pods/exec'], ['create', 'pods/exec'], ['get', 'pods'], ['list', 'events'], ['list', 'resourcequotas'],
  ]
  return ['set -eu', at('get', '--raw', '/version'), at('get', 'namespace', namespace), ...verbs.map(may),
    at('get', 'sts', 'mongodb', '-o', 'json'), at('get', 'secret', 'runbooks-kept-mongodb', '--ignore-not-found'), at('get', 'pvc', 'datadir-mongodb-0', '-o', 'json'),
    at('get', 'pod', 'mongodb-0', '-o', 'json'), at('exec', 'mongodb-0', '--', 'df', '-Pk', '/bitnami/mongodb'), at('get', 'events', '-o', 'json'),
    at('get', 'resourcequota', '-o', 'json'), at('get', 'sc', storageClass, '-o', 'json'), line(['kubectl', '--context', context, '-n', 'velero', 'get', 'backups.velero.io', '-o', 'json']),
    kots('version'), kots('get', 'apps', '-o', 'json'), kots('get', 'versions', 'circleci-server', '-o', 'json'), kots('get', 'config', '--appslug', 'circleci-server'),
    at('patch', 'sc', storageClass, '--type=merge', '-p', '{"allowVolumeExpansion":true}', '--dry-run=server'),
  ].join('\n')
}

const dryRun = async (folder: string): Promise<void> => {
  const { lacking, CLUSTER } = await import('../real/components.ts')
  const missing = lacking(...CLUSTER, 'kubectl')
  if (missing) return console.log(`dry run against kubectl: skipped. ${missing}`)
  const [{ startCluster }, { freshInstallation }] = [await import('../real/cluster.ts'), await import('../real/installation.ts')]
  const cluster = await startCluster()
  try {
    const { context, namespace, storageClass, env, stop } = await freshInstallation(cluster)
    const script = join(folder, 'reads.sh')
    writeFileSync(script, kubectlReads(context, namespace, storageClass))
    const flags = ['--db', 'mongodb', '--size', '10Gi', '--context', context, '--namespace', namespace, '--dry-run']
    const environment = { ...process.env, ...env }
    await compare('node --import tsx: dry run, against its reads by kubectl', 'goal 1', [process.execPath, '--import', 'tsx', 'runbooks/expand-pvc.ts', ...flags], ['bash', script], environment)
    await compare('bundled: dry run, against its reads by kubectl', 'goal 0.5', [process.execPath, 'dist/expand-pvc.mjs', ...flags], ['bash', script], environment)
    await stop()
  } finally {
    await cluster.stop()
  }
}

const emptySteps = async (count: number): Promise<{ each: number; heap: number }> => {
  const steps = Array.from({ length: count }, (_, n) => ({ id: `step-${n}`, title: 'nothing', todo: async () => done('nothing') }))
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  const started = performance.now()
  let events = 0
  await runSteps({ steps, door: { apply: async () => {} }, emit: () => { events += 1 }, failing: () => {}, hold: async () => {}, stop: new AbortController().signal })
  const each = (performance.now() - started) / count
  globalThis.gc?.()
  if (events !== count) throw new Error(`${events} events for ${count} steps`)
  return { each, heap: process.memoryUsage().heapUsed - before }
}

const engine = async (): Promise<void> => {
  await emptySteps(1000)
  const [few, many] = [await emptySteps(1000), await emptySteps(10_000)]
  const kib = (bytes: number) => `${Math.round(bytes / 1024)} KiB`
  console.log(`${'a step of 10,000 empty ones, against one of 1,000'.padEnd(58)} ${(many.each / few.each).toFixed(2).padStart(6)}   ${many.each.toFixed(4)} ms against ${few.each.toFixed(4)} ms   (goal 0.2 ms)`)
  console.log(`${'memory kept after 10,000 steps, and after 1,000'.padEnd(58)} ${''.padStart(6)}   ${kib(many.heap)} and ${kib(few.heap)}`)
}

const folder = mkdtempSync(join(tmpdir(), 'bench-'))
try {
  console.log(`Ratio of medians of ${PAIRS} pairs, on Node ${process.version}`)
  await engine()
  await startUp(folder)
  await dryRun(folder)
  await memory()
  await migration(folder, time)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exit()
