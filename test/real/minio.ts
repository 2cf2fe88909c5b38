/**
 * A real MinIO for one test file, the administrator's alias of it in mc's own configuration, and what is in it
 * afterwards.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { must } from './components.ts'
import { freePorts, processes, until } from './processes.ts'

export interface Minio {
  url: string
  /** The administrator's alias, for a run without a configuration of mc. */
  env: Record<string, string>
  /** mc with the words, as the administrator, or by an alias of other credentials or another address. */
  mc(words: string[], options?: { as?: [id: string, secret: string]; stdin?: string }): Promise<{ code: number; stdout: string; stderr: string }>
  /** Writes the administrator's alias where a run with this home finds it. */
  aliasIn(home: string, url?: string): void
  /** Empty, as at its start. */
  reset(): Promise<void>
  stop(): Promise<void>
}

export const ALIAS = 'my-provider'
const ADMIN = ['administrator', 'secret-of-the-administrator'] as const
/** In front of the PATH of a run: mc may be another program there. */
export const mcFolder = (): string => dirname(must('mc'))

export const startMinio = async (): Promise<Minio> => {
  const folder = mkdtempSync(join(tmpdir(), 'real-minio-'))
  const [port, consolePort] = await freePorts(2)
  const children = processes(folder)
  const url = `http://127.0.0.1:${port}`
  children.start('minio', must('minio'), ['server', '--address', `127.0.0.1:${port}`, '--console-address', `127.0.0.1:${consolePort}`, join(folder, 'data')], {
    HOME: folder, MINIO_ROOT_USER: ADMIN[0], MINIO_ROOT_PASSWORD: ADMIN[1], MINIO_BROWSER: 'off', MINIO_UPDATE: 'off',
  })
  const hostOf = ([id, secret]: readonly [string, string]) => ({ [`MC_HOST_${ALIAS}`]: url.replace('://', `://${id}:${secret}@`) })
  const mc: Minio['mc'] = (words, { as = ADMIN, stdin = '' } = {}) => new Promise((resolve) => {
    const child = execFile(must('mc'), words, { env: { PATH: process.env['PATH'], HOME: folder, ...hostOf(as) } }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }))
    child.stdin?.end(stdin)
  })
  const said = async (...words: string[]): Promise<any[]> => (await mc([...words, '--json'])).stdout.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line))
  await until('MinIO', async () => (await fetch(`${url}/minio/health/ready`)).ok, { within: 60_000, check: children.check })
  return {
    url, mc, env: hostOf(ADMIN),
    aliasIn: (home, at = url) => {
      const alias = { url: at, accessKey: ADMIN[0], secretKey: ADMIN[1], api: 'S3v4', path: 'auto' }
      mkdirSync(join(home, '.mc'), { recursive: true })
      writeFileSync(join(home, '.mc/config.json'), JSON.stringify({ version: '10', aliases: { [ALIAS]: alias } }), { mode: 0o600 })
    },
    reset: async () => {
      for (const { key } of await said('ls', ALIAS)) await mc(['rb', '--force', `${ALIAS}/${key}`])
      for (const { accessKey } of await said('admin', 'user', 'list', ALIAS)) await mc(['admin', 'user', 'remove', ALIAS, accessKey])
      for (const { policy } of await said('admin', 'policy', 'list', ALIAS)) if (/^(velero|circleci-server)-/.test(String(policy))) await mc(['admin', 'policy', 'remove', ALIAS, policy])
    },
    stop: async () => {
      await children.stop()
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** All that a run may leave in the store: names of buckets, the user with its policies, what its policy says. */
export const storeHas = async ({ mc }: Minio, user: string, policy: string) => {
  const read = async (...words: string[]) => (await mc([...words, '--json'])).stdout.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line))
  const [[found], [says]] = await Promise.all([read('admin', 'user', 'info', ALIAS, user), read('admin', 'policy', 'info', ALIAS, policy)])
  // Of its own order.
  const sorted = says?.policyInfo?.Policy?.Statement.map((one: any) => ({ ...one, Resource: one.Resource.toSorted() }))
  return {
    buckets: (await read('ls', ALIAS)).map(({ key }) => key as string),
    policies: found?.status === 'success' ? found.policyName : undefined,
    policy: sorted && { ...says.policyInfo.Policy, Statement: sorted },
  }
}
