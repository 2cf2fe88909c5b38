/**
 * The keysets of the rehearsal's installation, as the guide's image prints them.
 */
import { secret } from './secret.ts'

/** Keyczar's base64 of so many bytes. */
const key = (name: string, bytes: number): string => Buffer.from(secret(name, bytes)).toString('base64url')

const KEYS = { signing: key('signing keyset', 32), hmac: key('encryption keyset, hmac', 32), aes: key('encryption keyset', 16) }
export const keysetSecrets = Object.values(KEYS)

/** One line, in the order of the image's hash maps. */
export const keysetOf = (name: 'signing' | 'encryption'): string => {
  const [purpose, type, made] = name === 'signing' ? ['SIGN_AND_VERIFY', 'HMAC_SHA1', `{"size" 256, "hmacKeyString" "${KEYS.signing}"}`]
    : ['DECRYPT_AND_ENCRYPT', 'AES', `{"size" 128, "mode" "CBC", "hmacKey" {"size" 256, "hmacKeyString" "${KEYS.hmac}"}, "aesKeyString" "${KEYS.aes}"}`]
  return `{:meta {"name" "${name}", "purpose" "${purpose}", "type" "${type}", "versions" [{"versionNumber" 1, "status" "PRIMARY", "exportable" false}], "encrypted" false}, :keys {1 ${made}}}`
}
