/**
 * The fault matrix: each kind of request goes wrong once, in each way. The run retries, or ends with a clear
 * error; after it the same line ends in the state of an undisturbed run. Time is virtual: a timeout takes none.
 * Every write in every way takes most of an hour: MATRIX=full does that. Otherwise each write meets one of them, in
 * turn, so that each runbook meets nearly all, and every third read one.
 */
import { describe, expect, test } from 'vitest'
import { CASES, consent, sampled } from './cases.ts'
import { allUndisturbed, leftovers, stage } from './harness.ts'
import type { Fault } from '../../lib/rehearsal/world.ts'

const FOR_WRITES: Fault[] = ['timeout', 'reset', 'reset-after', '504-after', 429, 500, 401, 403, 409]
const FOR_READS: Fault[] = ['timeout', 'reset', 429, 500, 401, 403]

/** Of one runbook, but for MATRIX=full. */
const MOST = 16
const runs = await allUndisturbed(CASES)
const WAYS = process.env['MATRIX'] === 'full' ? FOR_WRITES.length : 1
const waysOf = (n: number): Fault[] => Array.from({ length: WAYS }, (_, way) => FOR_WRITES[(n * WAYS + way) % FOR_WRITES.length] as Fault)
const once = (names: string[]): string[] => [...new Set(names)]

describe.each(runs)('$runbook $args.0', (one) => {
  const { runbook, args, scenario, writes, files, reads, essence } = one
  const line = [...args, ...consent(one)]
  // A read in one way, the ways in turn.
  const cases = [
    ...once(writes).flatMap((request, n) => waysOf(n).map((what) => ({ request, what }))),
    ...once(files).map((request) => ({ request, what: 'full' as const })),
    ...once(reads).map((request, n) => ({ request, what: FOR_READS[n % FOR_READS.length] as Fault })).filter((_, n) => WAYS > 1 || n % 3 === 0),
  ]
  test.concurrent.each(sampled(cases, MOST))('$what at $request', async (fault) => {
    const world = stage(scenario, (world) => { world.fault = fault })
    const first = await world.run(runbook, line)
    expect(world.world().fault, 'the fault did not happen').toBeUndefined()
    expect(first.all).not.toContain('defect')
    expect(first.all).not.toMatch(/\n\s+at .*:\d+:\d+/)
    if (first.code !== 0) {
      expect([1, 3]).toContain(first.code)
      expect(first.stderr).toContain('Do now')
      const again = await world.run(runbook, line)
      expect(again.code, again.all).toBe(0)
    }
    expect(world.essence()).toEqual(essence)
    expect(leftovers(world.state)).toEqual([])
  })
})
