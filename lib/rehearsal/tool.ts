/**
 * A command-line tool in a rehearsal: what each has in common. Flags are checked against what the real tools know, so
 * that a line that they refuse fails here too.
 */
import type { World } from './world.ts'

/** `env` is what a tool reads of its environment; `url` is where the API server of the rehearsal listens. */
export interface Call { tool: string; argv: string[]; stdin: string; /** The same, where it may be no text. */ bytes?: Buffer; env?: Record<string, string>; url?: string }
export interface Output {
  stdout: string; stderr: string; code: number
  /** How long it runs, in milliseconds of the rehearsal, and what it does to the world at its end. */
  takes?: { ms: number; end(world: World): void }
}

export interface Tool {
  /** A call by the words that tell what it does: `kubectl kots set config`, `velero install`. */
  name(call: Call): string
  /** Whether a call may change the world. */
  mutates(call: Call): boolean
  /** Runs in the world, which it may change. */
  play(world: World, call: Call): Output
}

export const failed = (message: string): Output => ({ stdout: '', stderr: `Error: ${message}\n`, code: 1 })
export const printed = (stdout: string): Output => ({ stdout, stderr: '', code: 0 })
export const notPlayed = (words: string, file: string): Output => failed(`rehearsal: ${words} is not played; extend lib/rehearsal/${file}`)

/** Flags by what follows them: nothing, or a value. */
export function flags(alone: string, valued: string): Record<string, boolean> {
  const all = (names: string, takes: boolean) => names.split(' ').filter(Boolean).map((name) => [name, takes])
  return Object.fromEntries([...all(alone, false), ...all(valued, true)]) as Record<string, boolean>
}

export class Usage extends Error {}

/** Words and flags of a call; throws `Usage` where the tool does not know one. */
export const parse = (argv: string[], known: Record<string, boolean>): { words: string[]; flag: Record<string, string> } => {
  const words: string[] = [], flag: Record<string, string> = {}
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] as string
    const [, dashes, name, value] = /^(--?)([^=]+)(?:=(.*))?$/s.exec(word) ?? []
    if (dashes === undefined || name === undefined) {
      words.push(word)
      continue
    }
    const takes = dashes === '-' && name.length > 1 ? known[name[0] as string] : known[name]
    if (takes === undefined || (dashes === '--') === (name.length === 1)) {
      throw new Usage(dashes === '--' ? `unknown flag: --${name}` : `unknown shorthand flag: '${name[0]}' in -${name}`)
    }
    const short = dashes === '-' ? name[0] as string : name
    if (!takes) flag[short] = value ?? 'true'
    else if (value !== undefined) flag[short] = value
    else if (dashes === '-' && name.length > 1) flag[short] = name.slice(1)
    else if (at + 1 < argv.length) flag[short] = argv[++at] as string
    else throw new Usage(dashes === '--' ? `flag needs an argument: --${name}` : `flag needs an argument: '${name}' in -${name}`)
  }
  return { words, flag }
}

