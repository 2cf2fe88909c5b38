/** The part of a run that changes the world, with expand-pvc in the rehearsal: what a disk that fills up leaves. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { pause, useClock } from '../../lib/clock.ts'
import { lookAgain } from '../../lib/door.ts'
import { fail } from '../../lib/fail.ts'
import { connect } from '../../lib/cluster/kubernetes.ts'
import { perform } from '../../lib/perform.ts'
import { makePlan } from '../../lib/plan.ts'
import type { Procedure } from '../../lib/runbook.ts'
import { prepareTools } from '../../lib/tools.ts'
import expandPvc from '../../runbooks/expand-pvc.ts'
import { start } from '../rehearsal/helpers.ts'

/** How many lines the disk still takes. */
const disk = vi.hoisted(() => ({ room: 0 }))
vi.mock('../../lib/journal.ts', async (original) => {
  const real = await original<typeof import('../../lib/journal.ts')>()
  return { ...real, openJournal: (folder: string) => {
    const journal = real.openJournal(folder)
    return { ...journal, write: (line: { event: string }, sync?: boolean) => {
      if (disk.room-- <= 0) throw fail('The disk is full.', 'Make room.')
      journal.write(line, sync)
    } }
  } }
})

const folder = mkdtempSync(join(tmpdir(), 'perform-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
// The time of a rehearsal ends with it; a request that was never answered may still look at the clock.
afterEach(() => useClock({ now: () => Date.now(), sleep: pause }))

const run = async (room: number) => {
  disk.room = room
  const rehearsal = await start({ scenario: 'deploy-fails' })
  useClock(rehearsal.clock)
  prepareTools({ env: { ...process.env, ...rehearsal.env, PATH: `${rehearsal.bin}:${process.env['PATH']}` } })
  await connect({ kubeconfig: rehearsal.kubeconfig })
  // Another world than the last one: nothing that was read before holds.
  lookAgain()
  const definition = expandPvc as Procedure<any>
  const values = { db: ['mongodb'], size: '10Gi', allowRestart: false, kotsItem: undefined }
  const steps = definition.steps(values)
  const said: string[] = [], data: string[] = []
  const view = { say: (text: string) => { said.push(text) }, data: ({ event }: { event: string }) => { data.push(event) }, begin: async () => {}, on: () => {}, last: () => {}, end: async () => {} }
  const code = await perform({
    definition, values, steps, plan: await makePlan(steps, []), view, folder, facts: {}, until: undefined, timeout: undefined, verbose: false,
    line: 'expand-pvc', installation: 'x', local: false, recheck: undefined,
  })
  const { objects, kots } = rehearsal.world()
  const set = objects['statefulsets/circleci-server/mongodb']
  return {
    code, said: said.join('\n'), data, versions: kots.versions.length,
    set: set && !set.metadata.deletionTimestamp ? set['spec'].volumeClaimTemplates[0].spec.resources.requests.storage as string : 'away',
    asks: objects['persistentvolumeclaims/circleci-server/datadir-mongodb-0']?.['spec'].resources.requests.storage as string,
    lease: objects['leases/circleci-server/circleci-runbooks'],
  }
}

/** The first line that finds no room; what is asked of each claim, and whether KOTS was told. */
test.each([
  ['the end of the delete', 9, '8Gi', 2], ['the step that deleted', 10, '8Gi', 2], ['the patch of the claim', 12, '8Gi', 2],
  ['the child that deploys', 17, '10Gi', 2], ['the end of the deploy', 18, '10Gi', 3], ['the step that failed', 19, '10Gi', 3],
])('the disk is full at %s: nothing is begun that is not written down, but the stateful set is brought back', async (_, room, asks, versions) => {
  const left = await run(room)
  expect(left).toMatchObject({ code: 1, set: '10Gi', asks, versions, lease: undefined })
  expect(left.said).toContain('! The transcript is not complete: The disk is full.')
  expect(left.data.filter((event) => event === 'transcript-incomplete')).toHaveLength(1)
})
