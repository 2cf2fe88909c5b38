/**
 * The crash matrix: SIGKILL before, inside (carried out, the answer lost; the file half made) and after each request
 * that changes the world, and each file; then the same line again ends as if nothing had happened. Without MATRIX=full
 * the three moments come in turn, so that each runbook meets all.
 */
import { describe, expect, test } from 'vitest'
import { CASES, consent, sampled } from './cases.ts'
import { allUndisturbed, leftovers, stage } from './harness.ts'

const MOMENTS = ['inside', 'before', 'after'] as const
const momentsOf = (n: number) => (process.env['MATRIX'] === 'full' ? MOMENTS : [MOMENTS[n % 3] as typeof MOMENTS[number]])
/** Of one runbook, but for MATRIX=full. */
const MOST = 16
const runs = await allUndisturbed(CASES)

describe.each(runs)('$runbook $args.0', (one) => {
  const { runbook, args, scenario, changes, essence } = one
  const line = [...args, ...consent(one)]
  // Of one that is sent again and again (the lock is renewed while it waits) the first and the last.
  const cases = changes.flatMap((request, n) => (n === changes.indexOf(request) || n === changes.lastIndexOf(request) ? momentsOf(n) : []).map((when) => ({ at: n + 1, request, when })))

  test.concurrent.each(sampled(cases, MOST))('killed $when request $at ($request), then the same line', async ({ at, when }) => {
    const world = stage(scenario, (world) => { world.crash = { at, when } })
    const killed = await world.run(runbook, line)
    // After an answer there may be nothing left to kill.
    if (when !== 'after' || killed.code !== 0) expect(killed.signal).toBe('SIGKILL')
    const again = await world.run(runbook, line)
    expect(again.code, again.all).toBe(0)
    expect(world.essence()).toEqual(essence)
    expect(leftovers(world.state)).toEqual([])
  })
})
