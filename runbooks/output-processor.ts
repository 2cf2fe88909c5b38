#!/usr/bin/env -S npx tsx
/**
 * Tell the server where its output processor is reached, and let enough of it run.
 * Installation guide 3.3.0, phase 3, "Output Processor".
 */
import { verifyStep } from '../lib/effect.ts'
import { runbook } from '../lib/runbook.ts'
import { addressOf, hasAddress, serviceIsThere } from '../lib/server/balancers.ts'
import { enoughRun, fieldsOf, NAME, outputFacts, REPLICAS, replicasWanted } from '../lib/server/output-processor.ts'
import { configure, mayConfigure } from '../lib/server/phase-three.ts'

export default runbook(import.meta, {
  name: 'output-processor',
  purpose: 'tell the server where its output processor is reached, and let enough of it run',
  guide: 'CircleCI server 3.3.0 installation guide, phase 3, "Output Processor"',
  when: 'After the server is installed, before the Nomad clients; and again when the output of builds comes slowly.',
  inputs: { replicas: REPLICAS },
  examples: [
    '--context prod-ci --namespace circleci-server --dry-run',
    '--context prod-ci --namespace circleci-server',
    '--replicas 4 --context prod-ci --namespace circleci-server',
    '--replicas 3 --rehearse',
  ],
  preflight: () => [
    serviceIsThere(NAME), ...mayConfigure(['outputProcessor', 'outputReplicas'], [{ verbs: ['list'], resource: 'pods' }]),
  ],
  outcome: () => 'Nomad clients can send the output of builds',
  facts: async () => ({ address: await addressOf(NAME) ?? 'none yet', ...await outputFacts() }),
  afterwards: [
    'Nomad clients have to reach that address on port 8585; behind a proxy it belongs on the no-proxy list.',
    'Scaled by kubectl it would be as before after the next deploy: the number in KOTS is the one that counts.',
    'The Nomad clients come next: npx tsx runbooks/nomad-terraform.ts',
  ],
  steps: ({ replicas }) => [
    verifyStep('balancer', 'Wait for the address of its load balancer', async () => `${NAME} is ${await addressOf(NAME)}`, async () => [hasAddress(NAME)]),
    ...configure(() => fieldsOf(replicas)),
    verifyStep('run', 'See that enough of it run', async () => `${await replicasWanted(replicas)} run`, async () => [await enoughRun(replicas)]),
  ],
})
