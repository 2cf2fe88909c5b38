/**
 * Kubernetes quantities of storage: `10Gi`, `10240Mi`, `5G`. Exact, in whole bytes, with one canonical text
 * for each amount, so that `10240Mi` and `10Gi` are the same wish.
 */
const UNITS: Record<string, bigint> = {
  '': 1n, k: 1000n, M: 1000n ** 2n, G: 1000n ** 3n, T: 1000n ** 4n, P: 1000n ** 5n, E: 1000n ** 6n,
  Ki: 1024n, Mi: 1024n ** 2n, Gi: 1024n ** 3n, Ti: 1024n ** 4n, Pi: 1024n ** 5n, Ei: 1024n ** 6n,
}
export const GI = 1024n ** 3n

/** Bytes of a quantity, rounded up as Kubernetes does; undefined when it is none. */
export const bytesOf = (text: string): bigint | undefined => {
  const match = /^\+?(\d+)(?:\.(\d{1,18}))?([kMGTPE]|[KMGTPE]i|[eE]\d{1,2})?$/.exec(text.trim())
  if (!match) return undefined
  const [, whole = '', fraction = '', suffix = ''] = match
  const exponent = /^[eE](\d+)$/.exec(suffix)
  const unit = exponent ? 10n ** BigInt(exponent[1] ?? 0) : UNITS[suffix]
  if (unit === undefined) return undefined
  const scale = 10n ** BigInt(fraction.length)
  return (BigInt(whole + fraction) * unit + scale - 1n) / scale
}

/** The canonical text of an amount: the largest binary unit that divides it, else the largest decimal one. */
export const quantityOf = (bytes: bigint): string => {
  if (bytes === 0n) return '0'
  for (const unit of ['Ei', 'Pi', 'Ti', 'Gi', 'Mi', 'Ki', 'E', 'P', 'T', 'G', 'M', 'k']) {
    const size = UNITS[unit] as bigint
    if (bytes % size === 0n) return `${bytes / size}${unit}`
  }
  return String(bytes)
}

/** Bytes of a quantity that the API server gave us, which is always one. */
export const bytes = (text: string | undefined): bigint => bytesOf(text ?? '0') ?? 0n

/** For people, as `df -h` writes: `9.8G`. */
export const human = (amount: bigint): string => {
  let size = Number(amount)
  for (const unit of ['B', 'K', 'M', 'G', 'T', 'P']) {
    if (size < 1024 || unit === 'P') return `${size < 10 && unit !== 'B' ? Math.ceil(size * 10) / 10 : Math.ceil(size)}${unit}`
    size /= 1024
  }
  return ''
}
