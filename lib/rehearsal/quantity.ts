/**
 * Quantities and labels as the API server reads them. Written apart from what the runbooks use,
 * so that a rehearsal does not share their mistakes.
 */
const SUFFIX: Record<string, bigint> = {
  '': 1n, k: 10n ** 3n, M: 10n ** 6n, G: 10n ** 9n, T: 10n ** 12n, P: 10n ** 15n, E: 10n ** 18n,
  Ki: 2n ** 10n, Mi: 2n ** 20n, Gi: 2n ** 30n, Ti: 2n ** 40n, Pi: 2n ** 50n, Ei: 2n ** 60n,
}

const parse = (quantity: unknown): { bytes: bigint; binary: boolean } | undefined => {
  const [, whole, fraction = '', suffix, exponent] = /^\+?(\d+)(?:\.(\d*))?(?:(k|[MGTPE]|[KMGTPE]i)?|[eE]\+?(\d+))$/.exec(String(quantity)) ?? []
  if (whole === undefined) return undefined
  const unit = exponent === undefined ? SUFFIX[suffix ?? ''] as bigint : 10n ** BigInt(exponent)
  const scale = 10n ** BigInt(fraction.length)
  // Parts of a byte are rounded up.
  return { bytes: (BigInt(whole + fraction) * unit + scale - 1n) / scale, binary: suffix?.endsWith('i') ?? false }
}

export const isQuantity = (quantity: unknown): boolean => parse(quantity) !== undefined

export const bytes = (quantity: unknown): number => Number(parse(quantity)?.bytes ?? 0n)

/** The form that the server answers: the largest unit of the same family that needs no fraction. */
export const canonical = (quantity: unknown): string => {
  const parsed = parse(quantity)
  if (!parsed) return String(quantity)
  const units = Object.entries(SUFFIX).filter(([name]) => name === '' || name.endsWith('i') === parsed.binary).reverse()
  // Below 1024 a binary quantity loses its family, as in the real thing.
  const [name, unit] = units.find(([, unit]) => parsed.bytes !== 0n && parsed.bytes % unit === 0n) ?? ['', 1n]
  return `${parsed.bytes / unit}${name}`
}

export const matches = (wanted: Record<string, string>, labels: Record<string, string> = {}): boolean =>
  Object.entries(wanted).every(([name, value]) => labels[name] === value)
