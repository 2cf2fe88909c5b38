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
import type { Box } from './box.ts'
import { keyCommand, keyOn } from './box.ts'

export type KeyFiles = Record<Kind, string>
type Found = Partial<Record<Kind, string>> & { all: string[] }

/** What a key is called where its text does not tell. */
const CALLED: Record<Kind, RegExp> = { signing: /sign/i, encryption: /crypt/i }

const seen = new Map<Box, () => Promise<Found>>()

/** The files of the keys on the box, by what each is. */
export const keysOn = (box: Box): Promise<Found> => {
  const look = seen.get(box) ?? oncePerLook(async (): Promise<Found> => {
    const { keys } = await box.look()
    const texts = await Promise.all(keys.map(async (name) => ({ name, is: kindOf(Once.join([await keyOn(box, name)])) })))
    return { all: keys, ...Object.fromEntries(kinds.flatMap((kind) => {
      const found = texts.find(({ is }) => is === kind) ?? texts.find(({ name, is }) => is === undefined && CALLED[kind].test(name))
      return found ? [[kind, found.name]] : []
    })) }
  })
  seen.set(box, look)
  return look()
}

/** A key without what anybody could use: the beginning of its checksum, by which people compare two of them. */
export const fingerprint = (text: string): string => createHash('sha256').update(text.trim()).digest('hex').slice(0, 12)

/** The keys are in an archive too, under the names that they have on the box. */
export const haveKeysKept = (box: Box, archive: Box) => async (): Promise<Done | Effect[]> => {
  const { all } = await keysOn(box)
  const missing = (await Promise.all(all.map(async (name) => {
    const there = (await archive.look()).keys.includes(name) ? Once.join([await keyOn(archive, name)]) : undefined
    return there === Once.join([await keyOn(box, name)]) ? [] : [name]
  }))).flat()
  return missing.length ? missing.map((name): Effect => {
    const script = `set -e; umask 077; mkdir -p circle-data; ${line(keyCommand(box, name, '').words)} > circle-data/${quote(name)}.part; mv circle-data/${quote(name)}.part circle-data/${quote(name)}`
    return { id: `export key ${name}`, again: 'safe', command: { words: archive.words(script) }, call: () => runTool(archive.words(script), 'Repeat the same line.', minutes(2)) }
  }) : done(`${archive.name} has ${all.join(' and ')}`)
}

/** Both keys are in their files, mode 0600. */
export const haveKeys = (box: Box, files: KeyFiles) => async (): Promise<Done | Effect[]> => {
  const found = await keysOn(box)
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
