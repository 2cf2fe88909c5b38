import { quantityToScalar } from '@kubernetes/client-node/dist/util.js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GI, bytes, bytesOf, human, quantityOf } from '../../lib/cluster/quantity.ts'
import { bytes as played, canonical } from '../../lib/rehearsal/quantity.ts'

const SUFFIXES = ['', 'k', 'M', 'G', 'T', 'P', 'E', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']
const suffix = fc.constantFrom(...SUFFIXES)
const whole = fc.bigInt({ min: 0n, max: 10n ** 12n })

describe('bytesOf', () => {
  test.each([
    ['10Gi', 10n * GI], ['10240Mi', 10n * GI], ['10.5Gi', (21n * GI) / 2n], ['0.5Ki', 512n], ['5G', 5_000_000_000n], ['1e3', 1000n],
    ['12E2', 1200n], ['128974848', 128974848n], ['+8Gi', 8n * GI], [' 8Gi ', 8n * GI], ['0', 0n],
  ])('%s is %s bytes', (text, amount) => expect(bytesOf(text)).toBe(amount))

  test.each(['', 'Gi', '10GB', '10gb', '10gi', '-1Gi', '--1Gi', '10 Gi', '1,5Gi', '.Gi', '10GiB', '10K', '1e', 'ten', '10Gi10', '１０Gi', '0x10', 'NaN', 'Infinity'])(
    '%s is no quantity', (text) => expect(bytesOf(text)).toBeUndefined())

  test('a part of a byte is rounded up, as the API server does', () => {
    expect(bytesOf('0.1')).toBe(1n)
    expect(bytesOf('1.0000000001Ki')).toBe(1025n)
  })

  test('says of whole amounts what the client library of Kubernetes says', () => {
    fc.assert(fc.property(whole, suffix, (amount, unit) => {
      fc.pre(unit !== '' || amount < 2n ** 53n)
      expect(bytesOf(`${amount}${unit}`)).toBe(BigInt(quantityToScalar(`${amount}${unit}`)))
    }))
  })

  test('is exact: a fraction is the rounded-up quotient of whole numbers', () => {
    fc.assert(fc.property(whole, fc.stringMatching(/^\d{1,18}$/), suffix, (amount, fraction, unit) => {
      const one = bytesOf(`1${unit}`) as bigint
      const scale = 10n ** BigInt(fraction.length)
      const exact = (amount * scale + BigInt(fraction)) * one
      expect(bytesOf(`${amount}.${fraction}${unit}`)).toBe(exact / scale + (exact % scale ? 1n : 0n))
    }))
  })

  test('never throws', () => {
    fc.assert(fc.property(fc.string(), (text) => {
      const amount = bytesOf(text)
      expect(amount === undefined || amount >= 0n).toBe(true)
    }))
  })
})

describe('quantityOf', () => {
  test.each([[10n * GI, '10Gi'], [1024n * GI, '1Ti'], [(21n * GI) / 2n, '10752Mi'], [5_000_000_000n, '5G'], [1023n, '1023'], [0n, '0']])(
    '%s bytes are %s', (amount, text) => expect(quantityOf(amount)).toBe(text))

  test('is a round trip, and the same text for the same amount', () => {
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 70n }), (amount) => {
      expect(bytesOf(quantityOf(amount))).toBe(amount)
    }))
    fc.assert(fc.property(whole, suffix, (amount, unit) => {
      const text = quantityOf(bytesOf(`${amount}${unit}`) as bigint)
      expect(quantityOf(bytesOf(text) as bigint)).toBe(text)
    }))
  })

  test('is what the server makes of a binary quantity', () => {
    fc.assert(fc.property(fc.bigInt({ min: 1n, max: 10n ** 6n }), fc.constantFrom('Ki', 'Mi', 'Gi', 'Ti'), (amount, unit) => {
      const text = `${amount}${unit}`
      expect(quantityOf(bytesOf(text) as bigint)).toBe(canonical(text))
      expect(Number(bytes(text))).toBe(played(text))
    }))
  })

  test('10240Mi and 10Gi are one wish', () => expect(quantityOf(bytesOf('10240Mi') as bigint)).toBe(quantityOf(bytesOf('10Gi') as bigint)))
})

test('what the server did not say is nothing', () => {
  expect(bytes(undefined)).toBe(0n)
  expect(bytes('nonsense')).toBe(0n)
})

describe('human', () => {
  test.each([[0n, '0B'], [1023n, '1023B'], [1024n, '1K'], [441n * 1024n ** 2n, '441M'], [(98n * GI) / 10n, '9.8G'], [10n * GI, '10G'], [2048n * GI, '2T']])(
    '%s bytes are %s', (amount, text) => expect(human(amount)).toBe(text))

  test('is one short number with a unit', () => {
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 60n }), (amount) => { expect(human(amount)).toMatch(/^\d{1,4}(\.\d)?[BKMGTP]$/) }))
  })
})
