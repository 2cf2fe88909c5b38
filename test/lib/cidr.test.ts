/** Ranges of addresses, as they are written and as a cloud stores them. */
import { expect, test } from 'vitest'
import { canonicalRange, ranges } from '../../lib/cloud/cidr.ts'

test.each([
  ['203.0.113.0/24', '203.0.113.0/24'], ['203.0.113.77/24', '203.0.113.0/24'], ['10.1.2.3/8', '10.0.0.0/8'], ['198.51.100.7/32', '198.51.100.7/32'], ['255.255.255.255/1', '128.0.0.0/1'], ['0.0.0.0/0', '0.0.0.0/0'], ['1.2.3.4/0', '0.0.0.0/0'],
  ['203.0.113.0', undefined], ['203.0.113.0/33', undefined], ['256.0.0.0/8', undefined], ['::/0', undefined], ['', undefined],
])('%s is %s', (text, wanted) => expect(canonicalRange(text)).toBe(wanted))

test('several, sorted, each once; never none', () => {
  const input = ranges('who', 'WHO')
  expect(input.text(input.parse('203.0.113.9/24, 198.51.100.7/32,203.0.113.0/24'))).toBe('198.51.100.7/32,203.0.113.0/24')
  expect(() => input.parse(' , ')).toThrow('Nothing is no range of addresses.')
  expect(() => input.parse('203.0.113.0/24,office')).toThrow('office is no range of addresses.')
})
