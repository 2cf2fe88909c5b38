/**
 * The keysets of the rehearsal's installation, as the guide's image prints them.
 */
import { secret } from './secret.ts'

/** Keyczar's base64 of so many bytes. */
const key = (name: string, bytes: number): string => Buffer.from(secret(name, bytes)).toString('base64url')

const keysOf = (whose: string) => ({ signing: key(`signing keyset${whose}`, 32), hmac: key(`encryption keyset, hmac${whose}`, 32), aes: key(`encryption keyset${whose}`, 16) })
/** Whose they are: of the installation, or of the server that it was moved from. */
const KEYS = { ours: keysOf(''), old: keysOf(' of 2.19') }
export const keysetSecrets = Object.values(KEYS).flatMap((keys) => Object.values(keys))

/** One line, in the order of the image's hash maps. */
export const keysetOf = (name: 'signing' | 'encryption', whose: keyof typeof KEYS = 'ours'): string => {
  const keys = KEYS[whose]
  const [purpose, type, made] = name === 'signing' ? ['SIGN_AND_VERIFY', 'HMAC_SHA1', `{"size" 256, "hmacKeyString" "${keys.signing}"}`]
    : ['DECRYPT_AND_ENCRYPT', 'AES', `{"size" 128, "mode" "CBC", "hmacKey" {"size" 256, "hmacKeyString" "${keys.hmac}"}, "aesKeyString" "${keys.aes}"}`]
  return `{:meta {"name" "${name}", "purpose" "${purpose}", "type" "${type}", "versions" [{"versionNumber" 1, "status" "PRIMARY", "exportable" false}], "encrypted" false}, :keys {1 ${made}}}`
}
