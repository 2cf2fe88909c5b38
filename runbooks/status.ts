#!/usr/bin/env -S npx tsx
/**
 * How far the installation is: for each of its parts done, to do, or unknown, from the world and not from memory.
 * Installation guide 3.3.0, phases 1 to 4.
 */
import { leftByHand } from '../lib/by-hand.ts'
import { toldOf } from '../lib/env-file.ts'
import { CLOUD } from '../lib/parts.ts'
import { progress } from '../lib/progress.ts'
import { runbook } from '../lib/runbook.ts'
import { statusOf } from '../lib/status.ts'

export default runbook(import.meta, {
  name: 'status',
  purpose: 'see how far the installation is',
  guide: 'CircleCI server 3.3.0 installation guide, phases 1 to 4',
  when: 'When an installation was left in the middle, by whomever.',
  cluster: 'perhaps',
  inputs: { cloud: CLOUD },
  examples: ['--cloud aws', '--cloud gcp --context prod-ci', '--cloud aws --json'],
  preflight: () => [],
  report: async ({ cloud }, { way, sources }) => {
    const parts = await statusOf(await toldOf(cloud, sources), way)
    // A cluster answers where one of the parts in it could be asked.
    const left = await leftByHand(parts.some(({ local, state }) => !local && 'steps' in state))
    return progress(cloud, { parts, left }, { env: sources.named, rehearsal: sources.rehearsal })
  },
})
