/** Ranges of addresses as clouds write them: 10.0.0.0/16. */
import { EXIT, fail } from '../fail.ts'
import type { Input } from '../inputs.ts'

const ANY = ['0.0.0.0/0', '::/0']

/** The range with the bits behind its length at 0, as a cloud stores it; undefined where it is none. */
export const canonicalRange = (text: string): string | undefined => {
  const [, a, b, c, d, bits] = (/^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text.trim()) ?? []).map(Number)
  if (a === undefined || b === undefined || c === undefined || d === undefined || bits === undefined || bits > 32 || [a, b, c, d].some((part) => part > 255)) return undefined
  const whole = (((a << 24) | (b << 16) | (c << 8) | d) & (bits === 0 ? 0 : -1 << (32 - bits))) >>> 0
  return `${[24, 16, 8, 0].map((shift) => (whole >>> shift) & 255).join('.')}/${bits}`
}

/** Everybody, everywhere. */
export const isEverybody = (range: string): boolean => ANY.includes(range)

/** One or more ranges with commas; sorted, each once. It has to be given: who may come in is nothing to guess. */
export const ranges = (say: string, env: string): Input<string[]> => ({
  say, env, takes: 'cidr',
  parse: (text) => {
    const named = text.split(',').map((one) => one.trim()).filter(Boolean)
    const all = named.map(canonicalRange)
    const wrong = named[all.indexOf(undefined)] ?? (named.length ? undefined : 'Nothing')
    if (wrong !== undefined) throw fail(`${wrong} is no range of addresses.`, `Write one with its length, or several with a comma: 203.0.113.0/24,198.51.100.7/32.`, { code: EXIT.usage })
    return [...new Set(all as string[])].toSorted()
  },
  text: (value) => value.join(','),
})

/** The third address of a range, where a VPC has its DNS server: 192.168.0.2 of 192.168.0.0/16. */
export const thirdAddress = (range: string): string => {
  const first = (range.split('/')[0] ?? '').split('.').reduce((all, part) => all * 256 + Number(part), 0)
  return [24, 16, 8, 0].map((shift) => ((first + 2) >>> shift) & 255).join('.')
}
