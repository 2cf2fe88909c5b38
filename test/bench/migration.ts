/**
 * How fast a store goes from the services box into its pod: our pipeline against a bare pipe, and against the way of the
 * published script, by a tarball; in turns, on real components. And what it takes of memory, whatever the size.
 */
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { connect } from '../../lib/cluster/kubernetes.ts'
import { flow } from '../../lib/flow.ts'
import { boxAt } from '../../lib/migration/box.ts'
import { endsOf, packingOf } from '../../lib/migration/stores.ts'
import { line } from '../../lib/shell.ts'
import { prepareTools } from '../../lib/tools.ts'
import { CLUSTER, lacking } from '../real/components.ts'
import { SERVICES_BOX, servicesBox } from '../real/services-box.ts'

type Time = (words: string[], env: NodeJS.ProcessEnv) => Promise<number>
const HOUR = 3_600_000

/** The most memory that this process has while so many bytes go through it, beyond what it had. */
const peak = async (bytes: number): Promise<number> => {
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  let most = before
  const timer = setInterval(() => { most = Math.max(most, process.memoryUsage().rss) }, 20)
  await flow(['head', '-c', String(bytes), '/dev/zero'], ['sh', '-c', 'cat >/dev/null'], { bytes: 0, began: 0 }, { next: '', within: HOUR, mutating: false })
  clearInterval(timer)
  return most - before
}

export const memory = async (): Promise<void> => {
  await peak(10 ** 8)
  const [small, large] = [await peak(10 ** 8), await peak(2 * 10 ** 9)]
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`
  console.log(`${'memory while 2 GB go through, and while 100 MB do'.padEnd(58)} ${''.padStart(6)}   ${mib(large)} and ${mib(small)}   (goal: flat)`)
}

const MEGABYTES = 1000, PAIRS = 2

export const migration = async (folder: string, time: Time): Promise<void> => {
  const missing = lacking(...CLUSTER, 'kubectl', ...SERVICES_BOX) ?? (process.getuid?.() === 0 ? undefined : 'Only root makes containers.')
  if (missing) return console.log(`migration: skipped. ${missing}`)
  const [{ startCluster }, { freshInstallation }] = [await import('../real/cluster.ts'), await import('../real/installation.ts')]
  const cluster = await startCluster(), old = await servicesBox({ megabytes: MEGABYTES })
  try {
    const { context, kubeconfig, namespace, env, stop } = await freshInstallation(cluster, { containers: true })
    await connect({ context, kubeconfig, namespace })
    const environment = { ...process.env, ...env, PATH: `${old.bin}:${env['PATH']}` }
    prepareTools({ env: environment })
    const box = boxAt(old.address, old.key), { from, to } = endsOf(box, 'postgresql', await packingOf(box, 'postgresql'))
    await old.enter('replicatedctl app stop; docker run --rm -d --name runbooks-postgresql -v /data/circle/postgres/9.5/data:/var/lib/postgresql/data postgres:9.5.8; until docker exec runbooks-postgresql psql -U postgres -Atc "select 1"; do sleep 0.3; done')
    const databases = ['circle', 'conductor_production', 'contexts_service_production', 'cron_service_production', 'vms']
    const dump = `{ docker exec runbooks-postgresql pg_dumpall -U postgres --roles-only | grep circle; for one in ${databases.join(' ')}; do docker exec runbooks-postgresql pg_dump -U postgres --create --clean --if-exists $one; done; }`
    const psql = line(['kubectl', 'exec', '-i', 'postgresql-0', '--context', context, '-n', namespace, '--', 'bash', '-c', 'PGPASSWORD=$POSTGRES_PASSWORD psql -qX -U postgres -o /dev/null 2>/dev/null'])
    const ssh = (script: string) => line(box.words(script))
    const scp = line(['ssh', '-i', old.key, old.address, 'cat /data/circle/export.tar.gz'])
    const ways: Record<'ours' | 'bare' | 'tarball', () => Promise<number>> = {
      ours: async () => {
        const began = performance.now()
        await flow(from, to, { bytes: 0, began: 0 }, { next: '', within: HOUR, mutating: false })
        return performance.now() - began
      },
      bare: () => time(['bash', '-c', `${ssh(dump)} | ${psql}`], environment),
      tarball: () => time(['bash', '-c', `cd ${folder} && ${ssh(`cd /data/circle && ${dump} > circle.sql && tar -czf export.tar.gz circle.sql && rm circle.sql`)} && ${scp} > export.tar.gz && tar -xzf export.tar.gz && ${psql} < circle.sql && rm ${join(folder, 'circle.sql')}`], environment),
    }
    for (const way of Object.values(ways)) await way()
    const taken: Record<string, number[]> = { ours: [], bare: [], tarball: [] }
    for (let pair = 0; pair < PAIRS; pair++) for (const [name, way] of Object.entries(ways)) taken[name]?.push(await way())
    const median = (numbers: number[] = []) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0
    const ours = median(taken['ours'])
    for (const [name, goal] of [['bare', 'goal 0.9'], ['tarball', 'goal 1']] as const) {
      const ratio = median(taken[name]?.map((ms, n) => ms / (taken['ours']?.[n] ?? 1)))
      console.log(`${`${MEGABYTES} MB of PostgreSQL: our rate, against ${name === 'bare' ? 'a bare pipe' : 'the tarball'}`.padEnd(58)} ${ratio.toFixed(2).padStart(6)}   ${Math.round(ours)} ms against ${Math.round(median(taken[name]))} ms   (${goal})`)
    }
    await stop()
  } finally {
    await old.stop()
    await cluster.stop()
  }
}
