/**
 * The two keysets of server 3.x, with which it signs artifacts' addresses and encrypts secrets: how one looks, how it
 * is made, and whether the installation has it. Each is one line, a Clojure map around the JSON of Keyczar.
 * Installation guide 3.3.0, phase 2, "Encryption".
 */
import { once } from '../door.ts'
import type { Check, Done, Effect, Preflight } from '../effect.ts'
import { bad, done, minutes, ok, preflight } from '../effect.ts'
import { EXIT, fail } from '../fail.ts'
import { isOpenToOthers, newSecret, Once, onlyYours, placeOf, readSecret, stillFree, writeSecret } from '../files.ts'
import { read, ref } from '../cluster/objects.ts'
import { readTool, runTool, TOO_LATE } from '../tools.ts'

export type Kind = 'signing' | 'encryption'

/** What the guide's program makes of each: Keyczar's defaults. */
const KINDS = {
  signing: { purpose: 'SIGN_AND_VERIFY', type: 'HMAC_SHA1', env: 'CIRCLE_SECRETS__KEYSET__SIGN' },
  encryption: { purpose: 'DECRYPT_AND_ENCRYPT', type: 'AES', env: 'CIRCLE_SECRETS__KEYSET__CRYPT' },
} as const

const IMAGE = 'circleci/server-keysets:latest'
export const kinds = Object.keys(KINDS) as Kind[]

/** The text around the keys, as the guide's program prints it. `HMAC` is 32 bytes and `AES` 16, in Keyczar's base64. */
const around = (kind: Kind): [string, ...string[]] => {
  const { purpose, type } = KINDS[kind]
  const meta = `{:meta {"encrypted" false, "name" "${kind}", "purpose" "${purpose}", "type" "${type}", "versions" [{"exportable" false, "status" "PRIMARY", "versionNumber" 1}]}, :keys {1 `
  const key = kind === 'signing' ? ['{"hmacKeyString" "', '", "size" 256}'] : ['{"aesKeyString" "', '", "hmacKey" {"hmacKeyString" "', '", "size" 256}, "mode" "CBC", "size" 128}']
  const [first = '', ...rest] = key
  return [meta + first, ...rest.map((part, n) => (n === rest.length - 1 ? `${part}}}\n` : part))]
}

/** Bytes of each key, in the order of the text. */
const BYTES = { signing: [32], encryption: [16, 32] }

/** Base64 for addresses, without the padding, as Keyczar writes it. */
const encoded = (bytes: Buffer): string => bytes.toString('base64url')

/** A new keyset. Known to none but the file that it goes into. */
export const newKeyset = (kind: Kind): Once[] => {
  const [first, ...rest] = around(kind)
  const keys = BYTES[kind].map((count) => encoded(Buffer.from(newSecret(count * 2), 'hex')))
  return [new Once(first), ...rest.flatMap((part, n) => [new Once(keys[n] ?? ''), new Once(part)])]
}

/** Docker's version where it answers, and so the guide's program can be had. Throws where it hangs. */
const dockerVersion = once(async (): Promise<string | undefined> => {
  const { code, stdout } = await readTool(['docker', 'version', '--format', '{{.Server.Version}}'])
  if (code === TOO_LATE) throw fail('Docker does not answer.', 'Start it anew, or leave it out with --native.', { code: EXIT.preflight })
  return code === 0 ? stdout.trim() : undefined
})

/** Which of the two ways it is. Both make the same keysets. */
export const wayIsKnown = (native: boolean) => preflight('docker', 'Docker answers, or the keysets are made without it', async () => {
  const version = native ? undefined : await dockerVersion()
  return ok(version ? `Docker ${version}: ${IMAGE} makes them` : `${native ? '--native' : 'no Docker here'}: they are made by this runbook, in the same form`)
})

const words = (kind: Kind): string[] => ['docker', 'run', '--rm', '--pull', 'missing', IMAGE, 'generate', kind]

/** The keyset of this kind is in its file. One that is there is never made again: without it history and artifacts are lost. */
export const haveKeyset = async (kind: Kind, file: string, native: boolean): Promise<Done | Effect[]> => {
  if (kindOf(readSecret(file)) === kind) return done(`${file} holds it`)
  const common = { id: `keyset ${kind}`, again: 'safe' as const, unfit: stillFree(file) }
  if (!native && await dockerVersion()) {
    return [{
      ...common, command: { words: words(kind), file },
      call: async () => {
        const { stdout } = await runTool(words(kind), 'Look at what Docker says, or leave it out with --native.', minutes(5))
        if (kindOf(stdout) !== kind) throw fail(`What ${IMAGE} printed is no ${kind} keyset; it was not kept.`, 'Repeat the line with --native, which makes the keyset without that image.')
        writeSecret(file, new Once(stdout))
      },
    }]
  }
  const [first, ...rest] = around(kind)
  const program = `{ gsub(/\\+/, "-"); gsub(/\\//, "_"); sub(/=+$/, ""); key[NR] = $0 } END { print ${[JSON.stringify(first), ...rest.map((part, n) => `key[${n + 1}] ${JSON.stringify(part.trimEnd())}`)].join(' ')} }`
  const random = BYTES[kind].map((count) => `openssl rand -base64 ${count}`).join('; ')
  return [{
    ...common,
    command: { words: ['awk', program], stdin: { say: 'new keys', commands: [['bash', '-c', random]], read: async () => '' }, file },
    call: async () => writeSecret(file, ...newKeyset(kind)),
  }]
}

type Edn = string | number | boolean | Edn[] | { [key: string]: Edn }

/** Reads the part of Clojure's notation that a keyset is written in. Throws where it is something else. */
const parse = (text: string): Edn => {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\]]|:?[\w.-]+/g) ?? []
  let at = 0
  const list = (end: string): Edn[] => {
    const all: Edn[] = []
    while (tokens[at] !== end) all.push(value())
    at += 1
    return all
  }
  const value = (): Edn => {
    const token = tokens[at++]
    if (token === undefined) throw new SyntaxError('it ends too early')
    if (token === '[') return list(']')
    if (token === '{') {
      const all = list('}')
      return Object.fromEntries(all.flatMap((key, n) => (n % 2 ? [] : [[String(key), all[n + 1] as Edn]])))
    }
    return token.startsWith(':') ? token.slice(1) : JSON.parse(token) as Edn
  }
  const whole = value()
  if (at !== tokens.length) throw new SyntaxError('something stands behind it')
  return whole
}

/** Which keyset a text is; undefined where it is none, or one that Keyczar would not load. */
export const kindOf = (text: string | undefined): Kind | undefined => {
  if (!text?.trim().startsWith('{')) return undefined
  try {
    const { meta, keys } = parse(text.trim()) as { meta: { purpose: string; type: string; versions: { status: string; versionNumber: number }[] }; keys: Record<string, { hmacKeyString?: string; aesKeyString?: string; hmacKey?: { hmacKeyString: string } }> }
    const primary = keys[String(meta.versions.find(({ status }) => status === 'PRIMARY')?.versionNumber)]
    const whole = meta.type === 'AES' ? primary?.aesKeyString && primary.hmacKey?.hmacKeyString : primary?.hmacKeyString
    return whole ? kinds.find((kind) => KINDS[kind].purpose === meta.purpose && KINDS[kind].type === meta.type) : undefined
  } catch {
    return undefined
  }
}

/** The file is free, or holds the keyset: another thing is never overwritten. */
export const keysetFileIsOurs = (kind: Kind, file: string) => preflight(`${kind}-file`, `${file} is free, or holds a ${kind} keyset that only you can read`, async () => {
  const text = readSecret(file)
  if (text === undefined) return ok(`${placeOf(file)} will be written`)
  const is = kindOf(text)
  if (is !== kind) return bad(`${placeOf(file)} is there, and holds ${is ? `the ${is} keyset` : 'no keyset'}: it is never overwritten`, `Name another one with --${kind}, or move it away.`)
  return onlyYours(file, `${placeOf(file)} holds it`)
})

/** The file holds a whole keyset of this kind, which only its owner can read; the other file cannot hold the same, for its kind is another. */
export const keysetIsWhole = (kind: Kind, file: string): Check => ({
  say: `${file} holds a whole ${kind} keyset`, within: 0, prints: '1',
  command: { words: ['grep', '-c', `"purpose" "${KINDS[kind].purpose}"`, file] },
  holds: async () => (kindOf(readSecret(file)) !== kind ? 'it holds none' : !isOpenToOthers(file) || 'others can read it'),
})

/** For the summary: which file is there. */
export const keysetFacts = async (files: Record<Kind, string>): Promise<Record<string, string>> =>
  Object.fromEntries(kinds.map((kind) => [`${kind} keyset`, kindOf(readSecret(files[kind])) === kind ? placeOf(files[kind]) : 'not there']))

/** What the frontend was given; undefined where it is not there, or takes it from somewhere else. */
const deployedKeyset = async (kind: Kind): Promise<string | undefined> => {
  const frontend = await read(ref('Deployment', 'frontend'))
  return frontend?.spec?.template.spec?.containers.flatMap(({ env = [] }) => env).find(({ name }) => name === KINDS[kind].env)?.value
}

/** Before an installation goes on: one that is deployed is at hand, for another would be made in its place. */
export const deployedIsAtHand = (kind: Kind, file: string): Preflight => preflight(`${kind}-keyset`, `where a server is installed, ${file} has its ${kind} keyset`, async () => {
  if (await deployedKeyset(kind) === undefined) return ok('none is deployed yet')
  return readSecret(file) === undefined ? bad(`a server is installed, and its ${kind} keyset is not in ${placeOf(file)}: another one would be made, with which its history and artifacts cannot be read`,
    `Bring the file back from where secrets are kept, or name it (KEYSET_${kind.toUpperCase()}).`) : deployedIs(kind, file).look()
})

/** The installation has the keyset of the file. */
export const deployedIs = (kind: Kind, file: string): Preflight => preflight(kind, `the installation has the ${kind} keyset of ${file}`, async () => {
  const [filed, held] = [readSecret(file)?.trim(), (await deployedKeyset(kind))?.trim()]
  if (filed === undefined) return bad(`${placeOf(file)} is not there`, `Name the file of the ${kind} keyset with --${kind}.`)
  if (kindOf(filed) !== kind) return bad(`${placeOf(file)} holds no ${kind} keyset`, `Name the file of the ${kind} keyset with --${kind}.`)
  if (held === undefined) return bad(`deployment frontend has no ${KINDS[kind].env}`, 'It is set at the first deploy: Config, Encryption, in the admin console.')
  return held === filed ? ok('they are the same')
    : bad(`the installation has another ${kind} keyset than ${placeOf(file)}`, 'Keep the deployed one: with another, history and artifacts of before cannot be read. Find the file that holds it, and store that.')
})
