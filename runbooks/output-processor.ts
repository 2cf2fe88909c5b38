#!/usr/bin/env -S npx tsx
/**
 * Tell the server where its output processor is reached, and let enough of it run.
 * Installation guide 3.3.0, phase 3, "Output Processor".
 */
import { minutes, step, verifyStep } from '../lib/effect.ts'
import { nothingElseIsUndeployed, permissionsAllow } from '../lib/preflight.ts'
import { runbook } from '../lib/runbook.ts'
import { addressOf, hasAddress, serviceIsThere } from '../lib/server/balancers.ts'
import { byHand, FOR_CONFIG, haveConfig, isOneOf, savedAs } from '../lib/server/config.ts'
import { adminConsole, kotsReaches } from '../lib/server/kots.ts'
import { enoughRun, fieldsOf, NAME, outputFacts, REPLICAS, replicasWanted } from '../lib/server/output-processor.ts'

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
    permissionsAllow([...FOR_CONFIG, { verbs: ['list'], resource: 'pods' }]),
    serviceIsThere(NAME),
    nothingElseIsUndeployed(isOneOf(['outputProcessor', 'outputReplicas'])),
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
    step('configure', 'Fill in the Config screen, and deploy', async () => haveConfig({ filled: await fieldsOf(replicas) }), {
      manual: { say: async () => byHand(await fieldsOf(replicas)), within: minutes(120) },
      verify: async () => kotsReaches((status) => status === 'deployed', 'KOTS has deployed it', await savedAs(await fieldsOf(replicas))),
      back: `Nothing is lost by another deploy: ${adminConsole()}, Version History.`,
    }),
    verifyStep('run', 'See that enough of it run', async () => `${await replicasWanted(replicas)} run`, async () => [await enoughRun(replicas)]),
  ],
})
