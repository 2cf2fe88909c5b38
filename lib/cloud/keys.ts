/**
 * Keys of Google's service accounts: told once, ten to an account. One that was made and lost (a crash, an answer that
 * never came) is deleted when the account bears our mark, its secret is in no place that we know, and Google has never
 * seen it used. So is the twin of a key that is in use: gcloud itself asks again where an answer was lost, and nothing
 * forbids it to.
 */
import type { Gcp } from './gcp.ts'
import type { Done, Effect } from '../effect.ts'
import { accountOf } from './accounts.ts'
import { placesOf, type Kept } from './iam.ts'
import { bad, done, minutes, ok, preflight } from '../effect.ts'
import { fail } from '../fail.ts'
import { onlyYours, Once, placeOf, readSecret, writeSecret } from '../files.ts'
import { NEXT } from './gcp.ts'
import { line } from '../shell.ts'
import { readTool, runTool } from '../tools.ts'

const MOST = 10

/** The id of the key that a credentials file of this account, or a Secret made of one, holds. */
export const googleKeyIn = (text: string | undefined, email?: string): string | undefined => {
  try {
    const key = JSON.parse(text ?? '') as { private_key_id?: string; client_email?: string; private_key?: string }
    return key.private_key && (!email || key.client_email === email) ? key.private_key_id : undefined
  } catch {
    return undefined
  }
}

interface Key { id: string; created: number }

const keysOf = async (gcp: Gcp, email: string): Promise<Key[]> =>
  (await gcp.read<{ name: string; validAfterTime: string }[]>('iam', 'service-accounts', 'keys', 'list', `--iam-account=${email}`, '--managed-by=user') ?? [])
    .map(({ name, validAfterTime }) => ({ id: name.split('/').at(-1) ?? '', created: new Date(validAfterTime).getTime() }))

/** Whether a key is one of the account's that holds. */
export const isGoogleKeyOf = async (gcp: Gcp, email: string, id: string): Promise<boolean> => (await keysOf(gcp, email)).some((key) => key.id === id)

/** How long gcloud goes on asking. */
const TWINS = minutes(3)

/** Whether Google has seen a key used: undefined where it does not tell (its API for that has to be enabled). */
const wasUsed = async (gcp: Gcp, email: string, id: string): Promise<boolean | undefined> => {
  const name = `//iam.googleapis.com/projects/${gcp.project}/serviceAccounts/${email}/keys/${id}`
  const { code, stdout } = await readTool([...gcp.words('policy-intelligence', 'query-activity', '--activity-type=serviceAccountKeyLastAuthentication',
    `--query-filter=activities.full_resource_name="${name}"`), '--format=json', '--quiet'])
  if (code !== 0) return undefined
  return (JSON.parse(stdout || '[]') as { activity?: { lastAuthenticatedTime?: string } }[]).some(({ activity }) => activity?.lastAuthenticatedTime)
}

/** A key of the account whose secret is at hand: in the file, or in the cluster. */
export const haveGoogleKey = async (gcp: Gcp, email: string, kept: Kept): Promise<Done | Effect[]> => {
  const { file, cluster: { key: deployed } = { key: undefined } } = kept
  const account = await accountOf(gcp, email)
  const keys = account ? await keysOf(gcp, email) : []
  const filed = googleKeyIn(readSecret(file), email)
  const held = keys.find(({ id }) => id === deployed) ?? keys.find(({ id }) => id === filed)
  const others = keys.filter(({ id, created }) => id !== deployed && id !== filed && (!held || Math.abs(created - held.created) < TWINS))
  const unused = account?.ours ? (await Promise.all(others.map(async ({ id }) => ({ id, used: await wasUsed(gcp, email, id) })))).filter(({ used }) => used === false) : []
  if (!held && keys.length - unused.length >= MOST) {
    throw fail(`${email} has ${keys.length} keys already, and the secret of none is in ${placesOf(kept)}.`,
      `Delete those that nobody uses: ${line(gcp.words('iam', 'service-accounts', 'keys', 'list', `--iam-account=${email}`, '--managed-by=user'))}`, { why: `Google allows ${MOST} keys an account.` })
  }
  if (held && !unused.length) return done(`key ${held.id} is in ${held.id === deployed ? 'the cluster' : file}`)
  return [
    ...unused.map(({ id }) => gcp.effect(`gcp delete key ${id}`, ['iam', 'service-accounts', 'keys', 'delete', id, `--iam-account=${email}`], {
      again: 'guarded', subject: id, danger: `key ${id} of ${email} is deleted: Google has not seen it used, and its secret, which is told once, is not in ${placesOf(kept)}`,
    })),
    ...(held ? [] : [mint(gcp, email, file)]),
  ]
}

const NEXT_OF_KEY = `${NEXT} Where the organisation lets nobody make keys, leave it out: --workload-identity`

/** Makes a key, and writes the file with its secret: gcloud itself would write it in pieces. */
const mint = (gcp: Gcp, email: string, file: string): Effect => {
  const words = [...gcp.words('iam', 'service-accounts', 'keys', 'create', '-', `--iam-account=${email}`), '--quiet']
  return {
    id: `gcp key of ${email}`, again: 'mint', command: { words, file },
    call: async () => writeSecret(file, new Once((await runTool(words, NEXT_OF_KEY, minutes(3))).stdout)),
  }
}

export const googleFileIsOurs = (file: string, email: string) => preflight('credentials-file', 'the credentials file is free, or holds a key of this account, and nobody else can read it', async () => {
  const text = readSecret(file)
  if (text === undefined) return ok(`${file} will be written, unless its key is at hand`)
  const id = googleKeyIn(text, email)
  if (!id) return bad(`${placeOf(file)} is there, and holds no key of ${email}: it would be overwritten`, 'Name another one with --credentials, or move it away.')
  return onlyYours(file, `${file} holds key ${id}`)
})

/** What an operator wants to see of an account before and after. */
export const accountFacts = async (gcp: Gcp, email: string): Promise<Record<string, string>> => {
  const there = await accountOf(gcp, email)
  return { account: there ? email : `${email} is not there`, keys: (there ? await keysOf(gcp, email) : []).map(({ id }) => id).join(', ') || 'none' }
}
