/** The guide's tables of clusters: how big, and which Kubernetes. */
import { describe, expect, test } from 'vitest'
import { kubernetesFits, lacksOf, rangeText, SERVER_VERSION, sizingFor, sizingOf, supportedKubernetes } from '../../lib/cluster/sizing.ts'

test.each([
  [0, 0], [499, 0], [500, 500], [20_000, 500],
])('%i daily users take the row from %i on', (users, from) => {
  expect(sizingOf(users).from).toBe(from)
})

test.each([
  // The guide's own shape for EKS, 4 × m5.xlarge: enough for fewer than 500, and a third of what more want.
  [{ nodes: 4, cores: 16, gigabytes: 68 }, 0],
  [{ nodes: 3, cores: 12, gigabytes: 32 }, 0],
  [{ nodes: 3, cores: 48, gigabytes: 240 }, 500],
  [{ nodes: 3, cores: 48, gigabytes: 239.9 }, 0],
  [{ nodes: 2, cores: 64, gigabytes: 512 }, undefined],
  [{ nodes: 3, cores: 11, gigabytes: 64 }, undefined],
])('%j meets the row from %j on', (shape, from) => {
  expect(sizingFor(shape)?.from).toBe(from)
})

test('what a cluster lacks is named', () => {
  expect(lacksOf({ nodes: 2, cores: 8, gigabytes: 32.9 }, sizingOf(100))).toEqual(['2 of 3 nodes', '8 of 12 cores'])
  expect(lacksOf({ nodes: 4, cores: 16, gigabytes: 68.7 }, sizingOf(500))).toEqual(['16 of 48 cores', '68 of 240 GB of memory'])
})

describe('the Kubernetes of a release', () => {
  test.each([
    ['3.0.0', 'up to 1.20'], ['3.2.1', 'up to 1.20'], ['3.2.2', '1.16 to 1.21'], ['3.3.0', '1.16 to 1.21'], ['3.4.0', '1.16 to 1.23'], ['3.4.8', '1.16 to 1.23'],
  ])('of %s is %s', (server, range) => {
    expect(rangeText(supportedKubernetes(server))).toBe(range)
  })

  test.each([
    ['v1.22.17-eks-0a21954', '3.4.0', true], ['1.23', '3.4.0', true], ['v1.24.0', '3.4.0', false], ['1.15', '3.4.0', false],
    ['1.20.15', '3.2.1', true], ['1.21.0', '3.2.1', false], ['1.21.0', '3.3.0', true], ['2.1.0', '3.4.0', false], ['', '3.4.0', false],
  ])('%s fits %s: %s', (kubernetes, server, fits) => {
    expect(kubernetesFits(kubernetes, server)).toBe(fits)
  })
})

test('a release is one of 3.x', () => {
  expect(SERVER_VERSION.parse('3.3.0')).toBe('3.3.0')
  for (const other of ['4.0.0', '3.4', 'v3.4.0', '3.5.0']) expect(() => SERVER_VERSION.parse(other)).toThrow(/is no version/)
})
