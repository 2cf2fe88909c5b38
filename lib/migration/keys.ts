/**
 * The keys with which 2.19 signs and encrypts: into files of this machine, and from there into the Config screen of 3.x.
 * Installation guide 3.3.0, "Migration", step 5.
 */
import { createHash } from 'node:crypto'
import { oncePerLook } from '../door.ts'
import type { Done, Effect } from '../effect.ts'
import { done, minutes } from '../effect.ts'
import { fail } from '../fail.ts'
import { Once, placeOf, readSecret, stillFree, writeSecret } from '../files.ts'
import { kindOf, kinds, type Kind } from '../server/keysets.ts'
import { line, quote } from '../shell.ts'
import { runTool } from '../tools.ts'
import { making } from './archive.ts'
import type { Box } from './box.ts'
import { keyCommand, keyOn } from './box.ts'
import { startedSince } from './held.ts'

export type KeyFiles = Record<Kind, string>
/** `twice` are files of one kind, of which nobody but a person knows which 2.19 uses. */
type Found = Partial<Record<Kind, string>> & { all: string[]; twice: string[] }

/** What a key is called where its text does not tell. */
const CALLED: Record<Kind, RegExp> = { signing: /sign/i, encryption: /crypt/i }

const seen = new Map<Box, () => Promise<Found>>()

/** The files of the keys on the box, by what each is. */
export const keysOn = (box: Box): Promise<Found> => {
  const look = seen.get(box) ?? oncePerLook(async (): Promise<Found> => {
    const { keys } = await box.look()
    const texts = await Promise.all(keys.map(async (name) => ({ name, is: kindOf(Once.join([await keyOn(box, name)])) })))
    const files = kinds.map((kind) => {
      const known = texts.filter(({ is }) => is === kind)
      return { kind, names: (known.length ? known : texts.filter(({ name, is }) => is === undefined && CALLED[kind].test(name))).map(({ name }) => name) }
    })
    return {
      all: keys, twice: files.find(({ names }) => names.length > 1)?.names ?? [],
      ...Object.fromEntries(files.flatMap(({ kind, names }) => names.slice(0, 1).map((name) => [kind, name]))),
    }
  })
  seen.set(box, look)
  return look()
}

/** A key without what anybody could use: the beginning of its checksum, by which people compare two of them. */
export const fingerprint = (text: string): string => createHash('sha256').update(text.trim()).digest('hex').slice(0, 12)

/** The keys are in an archive too, under the names that they have on the box. */
export const haveKeysKept = (box: Box, archive: Box) => async (): Promise<Done | Effect[]> => {
  if (await startedSince()) return done('3.x runs with them')
  const { all } = await keysOn(box)
  const missing = (await Promise.all(all.map(async (name) => {
    const there = (await archive.look()).keys.includes(name) ? Once.join([await keyOn(archive, name)]) : undefined
    return there === Once.join([await keyOn(box, name)]) ? [] : [name]
  }))).flat()
  return missing.length ? missing.map((name): Effect => {
    const script = `set -e; umask 077; mkdir -p circle-data; ${line(keyCommand(box, name, '').words)} > circle-data/${quote(name)}.part; mv circle-data/${quote(name)}.part circle-data/${quote(name)}`
    return { id: `export key ${name}`, again: 'safe', command: { words: making(archive, script) }, call: () => runTool(making(archive, script), 'Repeat the same line.', minutes(2)) }
  }) : done(`${archive.name} has ${all.join(' and ')}`)
}

export const severalKeys = ({ keys, name }: Box, twice: string[]): string => `${keys} on ${name} has ${twice.length} keys of one kind: ${twice.join(', ')}.`
export const AWAY = 'Move away what 2.19 does not use: with the wrong key nothing that it encrypted can be read. Then repeat the same line.'

/** Both keys are in their files, mode 0600. */
export const haveKeys = (box: Box, files: KeyFiles) => async (): Promise<Done | Effect[]> => {
  const found = await keysOn(box)
  if (found.twice.length) throw fail(severalKeys(box, found.twice), AWAY)
  const effects = await Promise.all(kinds.map(async (kind): Promise<Effect[]> => {
    const [name, held] = [found[kind], readSecret(files[kind])]
    if (!name) throw fail(`${box.keys} on ${box.name} has no ${kind} key.`, 'Look for it there, then repeat the same line.')
    const text = Once.join([await keyOn(box, name)])
    if (held === text) return []
    if (held !== undefined) throw fail(`${placeOf(files[kind])} is there, and is not the ${kind} key of ${box.name}: it is never overwritten.`, `Name another one with --${kind}, or move it away.`)
    return [{
      id: `${kind} key`, again: 'safe', command: keyCommand(box, name, files[kind]), unfit: stillFree(files[kind]),
      call: async () => writeSecret(files[kind], await keyOn(box, name)),
    }]
  }))
  return effects.flat().length ? effects.flat() : done(`${kinds.map((kind) => files[kind]).join(' and ')} hold them`)
}
