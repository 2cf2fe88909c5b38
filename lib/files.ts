/**
 * Files that hold secrets: mode 0600, written whole or not at all, and written only through the door. A secret
 * that is told once is a `Once` from where it comes in to the file that it goes into.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { Verdict } from './effect.ts'
import { mustBeInDoor } from './door.ts'
import { ok, warning } from './effect.ts'
import type { Fail } from './fail.ts'
import { EXIT, fail, sentence } from './fail.ts'

/** A secret that is told once. It has no text: it shows nothing, and is no word of a command. */
export class Once {
  readonly #text: string
  constructor(text: string) {
    this.#text = text
  }
  toJSON(): string {
    return '(secret)'
  }
  static join(parts: (string | Once)[]): string {
    return parts.map((part) => (typeof part === 'string' ? part : part.#text)).join('')
  }
}

let random = (digits: number): string => randomBytes(Math.ceil(digits / 2)).toString('hex').slice(0, digits)

/** A rehearsal makes the same secrets each time. */
export const useRandom = (other: typeof random): void => { random = other }

/** A new secret of hexadecimal digits. */
export const newSecret = (digits: number): string => random(digits)

let folder: string | undefined

/** Moments of writing a file, at which a rehearsal lets the run be killed, or the disk be full. */
export type Moment = 'before' | 'inside' | 'after'
let at: (moment: Moment, name: string) => void = () => {}

/** A rehearsal keeps its files to itself: whatever their folder, they lie in its own. */
export const useFolder = (rehearsals: string, moments: typeof at): void => {
  folder = rehearsals
  at = moments
}

/** Where a file that the operator named lies. */
export const placeOf = (path: string): string => (folder ? join(folder, basename(path)) : resolve(path))

/** The text of a file, or undefined where there is none. Throws where it cannot be read. */
export const readSecret = (path: string): string | undefined => {
  const file = placeOf(path)
  if (!existsSync(file)) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw fail(`The file ${path} cannot be read: ${sentence(error)}.`, 'Mend that, or name another file; then repeat the same line.')
  }
}

/** For a file that is made once: what stands against that, where somebody wrote it since it was planned. */
export const stillFree = (path: string) => async (): Promise<Fail | undefined> =>
  (readSecret(path) === undefined ? undefined : fail(`Somebody wrote ${placeOf(path)} just now; it is never overwritten.`, 'Repeat the same line: it looks at that file.', { code: EXIT.stale }))

/** Whether others than its owner can read a file. */
export const isOpenToOthers = (path: string): boolean => existsSync(placeOf(path)) && (statSync(placeOf(path)).mode & 0o077) !== 0

/** What a preflight says of a file that is as `found` tells: a warning where others can read it. */
export const onlyYours = (path: string, found: string): Verdict =>
  (isOpenToOthers(path) ? warning(`others than you can read ${path}`, `chmod 600 ${path}`) : ok(found))

/**
 * Writes a file with secrets. What a killed run left of its partial file is removed first: its mode may be
 * another one, and a mode counts only when a file is created.
 */
export const writeSecret = (path: string, ...parts: (string | Once)[]): void => {
  mustBeInDoor(`write ${path}`)
  const file = placeOf(path)
  const partial = `${file}.part`
  try {
    at('before', basename(path))
    rmSync(partial, { force: true })
    const handle = openSync(partial, 'wx', 0o600)
    try {
      writeSync(handle, Once.join(parts))
      at('inside', basename(path))
      fsyncSync(handle)
    } finally {
      closeSync(handle)
    }
    renameSync(partial, file)
    const parent = openSync(dirname(file), 'r')
    fsyncSync(parent)
    closeSync(parent)
    at('after', basename(path))
  } catch (error) {
    rmSync(partial, { force: true })
    throw fail(`The file ${path} cannot be written: ${sentence(error)}.`, 'Make room, or name another file; then repeat the same line.')
  }
}
