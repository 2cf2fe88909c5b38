/**
 * Users of AWS that a runbook makes for a service, and the life of their access keys: the secret of a key is shown
 * once, and a user has two at most. A key is deleted only when it is known to be ours and to be of no use.
 */
import type { Aws } from './aws.ts'
import type { Done, Effect } from '../effect.ts'
import { onceOnly } from './aws.ts'
import { clock } from '../clock.ts'
import { bad, done, ok, preflight, warning } from '../effect.ts'
import { Refused, fail } from '../fail.ts'
import { onlyYours, Once, placeOf, readSecret, writeSecret } from '../files.ts'
import { line, quote } from '../shell.ts'

/** On all that the runbooks make in a cloud. */
export const MARK = { Key: 'managed-by', Value: 'circleci-server-runbooks' }

interface Tag { Key: string; Value: string }
export const isOurs = (tags: Tag[] | undefined): boolean => tags?.some(({ Key, Value }) => Key === MARK.Key && Value === MARK.Value) ?? false

export const userOf = async (aws: Aws, UserName: string): Promise<{ ours: boolean; arn: string } | undefined> => {
  const found = await aws.read<{ User: { Arn: string; Tags?: Tag[] } }>('iam', 'GetUser', { UserName })
  return found && { ours: isOurs(found.User.Tags), arn: found.User.Arn }
}

/** The user is there; a new one bears our mark. */
export const haveUser = async (aws: Aws, UserName: string): Promise<Done | Effect[]> => {
  const user = await userOf(aws, UserName)
  return user ? done(`${UserName} is there${user.ours ? '' : ', made by somebody else'}`)
    : [aws.effect('iam', 'CreateUser', { UserName, Tags: [MARK] }, { on: UserName, again: 'guarded' })]
}

/** Where the secret of a key may lie: in its file; and, where a cluster is given it, there, as the key of this id. */
export interface Kept { file: string; cluster?: { key: string | undefined } }
export const placesOf = ({ file, cluster }: Kept): string => `${file}${cluster ? ' or in the cluster' : ''}`

/** The id of the key that a credentials file, or a Secret made of one, holds. */
export const keyIdIn = (credentials: string | undefined): string | undefined => /^\s*aws_access_key_id\s*=\s*(\S+)/m.exec(credentials ?? '')?.[1]

interface Keys { ids: string[]; ours: boolean }

const keysOf = async (aws: Aws, UserName: string): Promise<Keys> => {
  const listed = await aws.read<{ AccessKeyMetadata: { AccessKeyId: string; Status: string }[] }>('iam', 'ListAccessKeys', { UserName })
  return {
    ids: (listed?.AccessKeyMetadata ?? []).filter(({ Status }) => Status === 'Active').map(({ AccessKeyId }) => AccessKeyId),
    ours: (await userOf(aws, UserName))?.ours ?? false,
  }
}

/** Whether a key is one of the user's that holds. */
export const isKeyOf = async (aws: Aws, UserName: string, id: string): Promise<boolean> => (await keysOf(aws, UserName)).ids.includes(id)

const wasUsed = async (aws: Aws, AccessKeyId: string): Promise<boolean> =>
  Boolean((await aws.read<{ AccessKeyLastUsed?: { LastUsedDate?: unknown } }>('iam', 'GetAccessKeyLastUsed', { AccessKeyId }))?.AccessKeyLastUsed?.LastUsedDate)

/** How the file begins, by what stands around id and secret. */
const FILE = ['[default]\naws_access_key_id=', '\naws_secret_access_key=', '\n'] as const

/** How one knows that the secret of a key which holds is at hand; undefined where it is not. */
const atHand = (UserName: string, ids: string[], { file, cluster }: Kept): string | undefined => {
  const deployed = cluster?.key, filed = keyIdIn(readSecret(file))
  if (deployed && ids.includes(deployed)) return `key ${deployed} of ${UserName} is in the cluster`
  return filed && ids.includes(filed) ? `key ${filed} of ${UserName} is in ${file}` : undefined
}

/** A key that something else made, as that tells it: id and secret, and the lines that print them. */
export interface TheirKey { id: Once; secret: Once; prints: { id: string; secret: string } }

/** The key of a user whose keys something else makes: at hand, or written into the file as `tell` tells it. */
export const haveTheirKey = async (aws: Aws, UserName: string, kept: Kept, tell: (isOne: (id: string) => boolean) => Promise<TheirKey>): Promise<Done | Effect[]> => {
  const { ids } = await keysOf(aws, UserName), held = atHand(UserName, ids, kept)
  if (held) return done(held)
  const { id, secret, prints } = await tell((one) => ids.includes(one)), { file } = kept
  // printf is one of bash's own: what it prints is no argument of a process.
  const text = FILE.map((part) => part.replaceAll('\n', String.raw`\n`)).join('%s')
  return [{
    id: `write ${file}`, again: 'safe', command: { words: ['bash', '-c', `id=$(${prints.id}) && secret=$(${prints.secret}) && printf ${quote(text)} "$id" "$secret"`], file },
    call: async () => writeSecret(file, FILE[0], id, FILE[1], secret, FILE[2]),
  }]
}

/** How long the list of keys has to stand still before one more is asked for: IAM's lists lag behind by seconds. */
const STILL = 10_000

/**
 * A key of the user whose secret is at hand: in the file, or in the cluster. A key that was made and lost (a crash, an
 * answer that never came) is deleted first: the user bears our mark, nobody ever used the key, and its secret is in no
 * place that we know.
 */
export const haveKey = async (aws: Aws, UserName: string, kept: Kept): Promise<Done | Effect[]> => {
  const { ids, ours } = await keysOf(aws, UserName), { file } = kept, held = atHand(UserName, ids, kept)
  if (held) return done(held)
  const lost = ours ? (await Promise.all(ids.map(async (id) => ({ id, used: await wasUsed(aws, id) })))).filter(({ used }) => !used).map(({ id }) => id) : []
  if (ids.length - lost.length >= 2) {
    throw fail(`User ${UserName} has two access keys already, and the secret of neither is in ${placesOf(kept)}.`,
      `Bring the secret of one to ${file}, or delete one that nobody uses: ${line(aws.words('iam', 'ListAccessKeys', { UserName }))}`,
      { why: `AWS allows two keys a user. ${ours ? 'Both were used' : 'The user was not made here, so none of its keys is touched'}.` })
  }
  return [
    ...lost.map((id) => aws.effect('iam', 'DeleteAccessKey', { UserName, AccessKeyId: id }, {
      on: `${UserName} ${id}`, again: 'guarded', subject: id,
      danger: `access key ${id} of ${UserName} is deleted: it was never used, and its secret, which is told once, is not in ${placesOf(kept)}`,
    })),
    mint(aws, UserName, file, ids.filter((id) => !lost.includes(id))),
  ]
}

/** Makes a key, and writes the file with its secret. */
const mint = (aws: Aws, UserName: string, file: string, known: string[]): Effect => {
  const [before, between] = FILE.map((part) => `\`${JSON.stringify(part)}\``)
  return {
    id: `iam.CreateAccessKey ${UserName}`, again: 'mint',
    command: {
      words: [...aws.words('iam', 'CreateAccessKey', { UserName }), '--output', 'text',
        '--query', `join('', [${before}, AccessKey.AccessKeyId, ${between}, AccessKey.SecretAccessKey])`],
      file, ...onceOnly('mint'),
    },
    onlyInCall: `The runbook first sees that the list of keys stands still for ${STILL / 1000} s.`,
    call: async () => {
      await standStill(aws, UserName, known)
      const { AccessKey } = await aws.change<{ AccessKey: { AccessKeyId: string; SecretAccessKey: Once } }>('iam', 'CreateAccessKey', { UserName })
      writeSecret(file, FILE[0], AccessKey.AccessKeyId, FILE[1], AccessKey.SecretAccessKey, FILE[2])
    },
  }
}

/** Fails where a key comes up late that the plan did not know. */
const standStill = async (aws: Aws, UserName: string, known: string[]): Promise<void> => {
  const until = clock.now() + STILL
  for (;;) {
    const late = (await keysOf(aws, UserName)).ids.find((id) => !known.includes(id))
    if (late) throw fail(`Access key ${late} of ${UserName} came up while another one was about to be made.`, 'Repeat the same line: it looks at that key first.')
    if (clock.now() >= until) return
    await clock.sleep(2000)
  }
}

/** Whose key it is; undefined where the account does not know it, or does not tell. */
const ownerOf = async (aws: Aws, AccessKeyId: string): Promise<string | undefined> => {
  try {
    return (await aws.read<{ UserName?: string }>('iam', 'GetAccessKeyLastUsed', { AccessKeyId }))?.UserName
  } catch (error) {
    if (error instanceof Refused && error.status === 403) return undefined
    throw error
  }
}

/** Why the file cannot be the one that the key of this user is written to. */
const fileTrouble = async (aws: Aws, file: string, user: string): Promise<string | undefined> => {
  const text = readSecret(file)
  const id = keyIdIn(text)
  if (text === undefined) return undefined
  if (id === undefined) return 'is no credentials file'
  if ((text.match(/aws_access_key_id/g) ?? []).length > 1) return 'holds several keys'
  const owner = await ownerOf(aws, id)
  return owner && owner !== user ? `holds key ${id} of user ${owner}` : undefined
}

export const fileIsOurs = (aws: Aws, file: string, user: string) => preflight('credentials-file', `${file} is not there yet, or is a credentials file of ${user} that only you can read`, async () => {
  const trouble = await fileTrouble(aws, file, user)
  if (trouble) return bad(`${placeOf(file)} is there, and ${trouble}: it would be overwritten`, 'Name another one with --credentials, or move it away.')
  return onlyYours(file, readSecret(file) === undefined ? `${file} will be written` : `${file} holds key ${keyIdIn(readSecret(file))}`)
})

export const userIsOurs = (aws: Aws, name: string, whose: string) => preflight('user', `the user ${name} is not there yet, or was made here: keys of others are never deleted`, async () => {
  const user = await userOf(aws, name)
  if (!user) return ok(`${name} will be made`)
  return user.ours ? ok(`${name} was made here`) : warning(`user ${name} was not made here: none of its keys is ever deleted`, `Go on if it is ${whose}; otherwise name another one with --user.`)
})

/** What an operator wants to see of a user before and after. */
export const userFacts = async (aws: Aws, name: string): Promise<Record<string, string>> => {
  const user = await userOf(aws, name)
  const { ids } = user ? await keysOf(aws, name) : { ids: [] }
  return { user: user ? user.arn : `${name} is not there`, 'access keys': ids.join(', ') || 'none' }
}
