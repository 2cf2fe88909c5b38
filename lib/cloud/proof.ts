/**
 * The proof that a new identity may do in its bucket what it has to: as itself, by the secret of its file, it writes,
 * deletes and reads. What it wrote last stays, one line that names it: where it can still read that, a later run need
 * not do it again.
 */
import type { Check, Done, Effect } from '../effect.ts'
import { done, minutes } from '../effect.ts'
import { Refused } from '../fail.ts'
import { placeOf } from '../files.ts'
import { line, type Pipe } from '../shell.ts'

/** An identity by the file that holds its secret. Its lines read the file: no secret is a word of them. */
export interface Actor {
  bucket: string
  file: string
  /** What the file tells of itself that is no secret; undefined where it is not there yet. */
  id(): string | undefined
  /** The commands that print it. */
  tells: string[][]
  /** The text of an object; undefined where there is none. Throws `Refused` where the identity is not accepted. */
  get(key: string): Promise<string | undefined>
  put(key: string, text: string): Promise<unknown>
  remove(key: string): Promise<unknown>
  /** A line of each kind; what is written comes on standard input. */
  words(what: 'put' | 'remove', key: string): Promise<string[]>
  /** A line that fails where the identity may not look into the bucket. */
  looks(): Promise<string[]>
}

const TRIAL = 'circleci-runbooks-trial', PROOF = 'circleci-runbooks-proof'

/** What is there for this identity; one that is not accepted (yet) has nothing. */
const readBy = async (actor: Actor): Promise<string | undefined> => {
  try {
    return actor.id() === undefined ? undefined : (await actor.get(PROOF))?.trim()
  } catch (error) {
    if (error instanceof Refused && [401, 403].includes(error.status)) return undefined
    throw error
  }
}

/** The identity has written, deleted, and reads. */
export const haveProof = async (actor: Actor): Promise<Done | Effect[]> => {
  const { bucket, file, tells } = actor
  const id = actor.id()
  if (id !== undefined && await readBy(actor) === id) return done(`the key in ${file} (${id}) wrote and deleted in ${bucket}, and reads there`)
  const stdin: Pipe = { say: 'what the file tells of itself', commands: tells, read: async () => `${actor.id() ?? ''}\n` }
  const put = async (key: string): Promise<Effect> => ({
    id: `write ${key} by ${file}`, again: 'safe', command: { words: await actor.words('put', key), stdin }, call: async () => actor.put(key, await stdin.read()),
  })
  return [
    await put(TRIAL),
    { id: `delete ${TRIAL} by ${file}`, again: 'safe', command: { words: await actor.words('remove', TRIAL) }, call: () => actor.remove(TRIAL) },
    await put(PROOF),
  ]
}

/** New keys and rights are not known everywhere at once. */
export const bucketAnswers = async (actor: Actor): Promise<Check> => ({
  say: `${actor.bucket} answers to the key in ${actor.file}`, within: minutes(2), prints: 'it answers',
  command: { words: ['bash', '-c', `${line(await actor.looks())} >/dev/null 2>&1 && echo it answers`] },
  holds: async () => {
    try {
      await actor.get(PROOF)
      return true
    } catch (error) {
      if (error instanceof Refused && [401, 403].includes(error.status)) return error.message
      throw error
    }
  },
  hint: async () => `New keys and rights take a moment: repeat the same line; it puts the rights right. Where it stays so, move ${actor.file} away: the same line makes another key then.`,
})

/** Words as they are run: a rehearsal's files lie elsewhere. */
export const placed = (words: string[], file: string): string[] => words.map((word) => (word.endsWith(`=${file}`) ? word.replace(file, () => placeOf(file)) : word))
