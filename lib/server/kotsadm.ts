/**
 * The admin console's own API, for what KOTS has no command for. It is asked from within its pod: the API server's
 * proxy takes the header `Authorization` for itself, and kotsadm would never see it. The header is a secret: it
 * goes to curl on standard input.
 */
import type { Command, Pipe } from '../shell.ts'
import type { Outcome } from '../tools.ts'
import { oncePerLook } from '../door.ts'
import { minutes } from '../effect.ts'
import { Unanswered, fail } from '../fail.ts'
import { adminConsole, SLUG } from './kots.ts'
import { kubectl, read, ref } from '../cluster/objects.ts'
import { commandLine, line } from '../shell.ts'
import { complaint, readTool, runTool } from '../tools.ts'

const SECRET = 'kotsadm-authstring'

/** The line of curl's configuration that holds the header. */
const header = (): Pipe => ({
  say: 'the key of the admin console',
  commands: [kubectl(['get', 'secret', SECRET, '-o', `go-template=header = "Authorization: {{index .data "${SECRET}" | base64decode}}"`], 'Secret')],
  read: async () => {
    const held = (await read(ref('Secret', SECRET)))?.data?.[SECRET]
    if (!held) throw fail(`There is no Secret ${SECRET}: the admin console was never started here.`, `See whether it runs: ${line(kubectl(['get', 'pods', '-l', 'app=kotsadm'], 'Pod'))}`)
    return `header = "Authorization: ${Buffer.from(held, 'base64').toString().trim()}"\n`
  },
})

/** A deployment, or a stateful set where KOTS was installed without an object store. */
const workload = oncePerLook(async () => (await read(ref('Deployment', 'kotsadm')) ? 'deployment/kotsadm' : 'statefulset/kotsadm'))

/** A request as a command: what it prints is the answer, and the status code on a last line. */
export const consoleRequest = async (method: 'GET' | 'PUT', path: string, body?: object): Promise<Command> => ({
  words: kubectl(['exec', '-i', await workload(), '-c', 'kotsadm', '--', 'curl', '-sS', '-w', '\\n%{http_code}', '--config', '-',
    ...(body ? ['-X', method, '-H', 'Content-Type: application/json', '-d', JSON.stringify(body)] : []), `http://localhost:3000${path}`], 'Pod'),
  stdin: header(),
})

/** The same for a check of a script: prints what `sed` makes of the answer. */
export const consolePrints = async (path: string, sed: string): Promise<Command> =>
  ({ words: ['sh', '-c', `${commandLine(await consoleRequest('GET', path))} | sed -n ${JSON.stringify(sed)}`] })

const answerOf = <T>(outcome: Outcome, what: string): { status: number; body: T } => {
  const [, text = '', status] = /^(.*)\n(\d{3})\s*$/s.exec(outcome.stdout) ?? []
  if (outcome.code !== 0 || !status) throw new Unanswered(`The admin console does not answer ${what}: ${complaint(outcome)}.`, `See whether it runs: ${line(kubectl(['get', 'pods', '-l', 'app=kotsadm'], 'Pod'))}`)
  try {
    return { status: Number(status), body: JSON.parse(text || '{}') as T }
  } catch {
    return { status: Number(status), body: {} as T }
  }
}

/** Asks the console; a status that is no 200 is an answer too. */
export const askConsole = async <T>(path: string): Promise<{ status: number; body: T }> => {
  const { words, stdin } = await consoleRequest('GET', path)
  return answerOf<T>(await readTool(words, { stdin: await stdin?.read() }), `GET ${path}`)
}

/** Tells the console something; only within the call of an effect. */
export const tellConsole = async (path: string, body: object): Promise<void> => {
  const { words, stdin } = await consoleRequest('PUT', path, body)
  const next = `Do it by hand in the admin console: ${adminConsole()}`
  const { status, body: said } = answerOf<{ error?: string }>(await runTool(words, next, minutes(1), { stdin: await stdin?.read() }), `PUT ${path}`)
  if (status !== 200) throw fail(`The admin console refuses PUT ${path} (${status}): ${said.error ?? 'it does not say why'}.`, next)
}

/** Errors and warnings of a backup, which KOTS reads from the bucket; none where it cannot. */
export const backupMessages = async (name: string): Promise<{ kind: 'error' | 'warning'; text: string }[]> => {
  interface Said { title?: string; message?: string; namespace?: string }
  const answer = await askConsole<{ backupDetail?: { errors?: Said[]; warnings?: Said[] } }>(`/api/v1/snapshot/${name}`).catch(() => undefined)
  const { errors = [], warnings = [] } = answer?.body.backupDetail ?? {}
  const told = (kind: 'error' | 'warning', said: Said[]) => said.map(({ title, message, namespace }) =>
    ({ kind, text: [namespace, title, message].filter(Boolean).join(': ') }))
  return [...told('error', errors ?? []), ...told('warning', warnings ?? [])]
}

/** Whether the licence allows snapshots; undefined where KOTS does not tell. */
export const licenceAllowsSnapshots = oncePerLook(async (): Promise<boolean | undefined> =>
  (await askConsole<{ allowSnapshots?: boolean }>(`/api/v1/app/${SLUG}`).catch(() => undefined))?.body.allowSnapshots)
