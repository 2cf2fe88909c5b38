#!/usr/bin/env -S npx tsx
/**
 * A self-hosted runner: the namespace of an organisation, a resource class, a token, and the agent's configuration.
 * Installation guide 3.3.0, phase 3, "Runner"; CircleCI's documentation of runners for server.
 */
import { doneWhere, hours, step } from '../lib/effect.ts'
import { domainName, flag, text, type Values } from '../lib/inputs.ts'
import { SERVER_VERSION } from '../lib/cluster/sizing.ts'
import { runbook } from '../lib/runbook.ts'
import { cliFits, cliFor, cliToken, tokenIsKnown } from '../lib/server/circleci-cli.ts'
import { agentConnects, agentIsSeen, byHand, configIsOurs, configIsWhole, haveClass, haveNamespace, haveToken, namespaceIsMeant, serverHasRunners, type Runner } from '../lib/server/runners.ts'

const inputs = {
  domain: domainName('domain of the installation'),
  org: text('name', 'organisation on GitHub, whose jobs it is to run', { env: 'RUNNER_ORG', pattern: /^[\w-]+$/, looks: 'the name as in its address: my-org' }),
  runnerNamespace: text('name', 'namespace of the organisation, made where there is none; it has one only, for orbs too', { pattern: /^[a-z0-9_-]+$/, looks: 'lower-case letters, digits, dashes and underscores: my-org' }),
  class: text('name', 'resource class, which jobs name behind the namespace', { env: 'RUNNER_CLASS', pattern: /^[A-Za-z0-9:_+-]+$/, looks: 'letters, digits, and : _ - +: linux-large' }),
  description: text('text', 'what people read of the resource class', { env: 'RUNNER_DESCRIPTION', otherwise: 'self-hosted runner' }),
  tokenName: text('name', 'nickname of the token', { env: 'RUNNER_TOKEN_NAME', pattern: /^[\w.-]{1,60}$/, looks: 'letters, digits, dots and dashes: circleci-runbooks', otherwise: 'circleci-runbooks' }),
  name: text('name', 'what the agent is called; best the name of its machine', { env: 'RUNNER_NAME', pattern: /^[\w.()-]+$/, looks: 'letters, digits, and . ( ) - _: build-1', otherwise: 'runner' }),
  workFolder: text('folder', 'folder of its machine in which jobs run', { env: 'RUNNER_WORK_FOLDER', pattern: /^\/[\w./%-]+$/, looks: 'a whole path: /var/opt/circleci/workdir', otherwise: '/var/opt/circleci/workdir' }),
  config: text('file', 'file that the configuration of the agent is written to', { env: 'RUNNER_CONFIG', otherwise: 'launch-agent-config.yaml' }),
  serverVersion: SERVER_VERSION,
  handOver: { ...flag('leave the agent to somebody else, and end before it'), env: 'RUNNER_HAND_OVER' },
  token: cliToken('personal API token of an administrator of the organisation'),
}

const runnerOf = (values: Values<typeof inputs>): Runner => {
  const { domain, token, org, runnerNamespace: namespace, description, tokenName: nickname, name, workFolder: folder, config: file } = values
  return { cli: cliFor(domain, token), org, namespace, of: `${namespace}/${values.class}`, description, nickname, name, folder, file }
}

export default runbook(import.meta, {
  name: 'runner',
  purpose: 'set up a self-hosted runner: namespace, resource class, token, the agent\'s configuration',
  guide: 'CircleCI server 3.3.0 installation guide, phase 3, "Runner"; CircleCI documentation of runners for server',
  when: 'When jobs are to run on a machine of yours, and again for each resource class; each organisation needs a namespace.',
  cluster: false,
  inputs,
  examples: [
    '--domain circleci.example.com --org my-org --runner-namespace my-org --class linux --dry-run',
    '--domain circleci.example.com --org my-org --runner-namespace my-org --class linux --name build-1',
    '--domain circleci.example.com --org my-org --runner-namespace my-org --class linux --hand-over',
    '--domain circleci.example.com --org my-org --runner-namespace my-org --class linux --rehearse --yes',
  ],
  preflight: (values) => {
    const runner = runnerOf(values)
    return [cliFits(), serverHasRunners(values.serverVersion), tokenIsKnown(runner.cli), namespaceIsMeant(runner), configIsOurs(runner)]
  },
  outcome: (values) => `${values.runnerNamespace}/${values.class} is a runner${values.handOver ? ', once its agent runs' : ''}`,
  facts: async (values) => {
    const agents = await agentIsSeen(runnerOf(values))
    return { 'resource class': `${values.runnerNamespace}/${values.class}`, configuration: values.config, agents: 'done' in agents ? agents.done : 'none is connected' }
  },
  afterwards: [
    'A job runs there with machine: true and resource_class: NAMESPACE/CLASS in its configuration.',
    'Agents of a server do not update themselves: with each upgrade of the server, install the release that fits it.',
    'The configuration holds the token: it belongs on the machines of the runner, and where secrets are kept. With the same one further machines may run jobs of this class.',
    'Using the CLI for runners you agree to CircleCI\'s Runner Terms: https://circleci.com/legal/runner-terms',
  ],
  steps: (values) => {
    const runner = runnerOf(values)
    return [
      step('namespace', 'Make the namespace of the organisation', () => haveNamespace(runner), { back: 'A namespace stays: it is that of the organisation\'s orbs too.' }),
      step('class', 'Make the resource class', () => haveClass(runner), { undo: [runner.cli.words('runner', 'resource-class', 'delete', runner.of).join(' ')] }),
      step('token', 'Make a token for its agents, into their configuration', () => haveToken(runner), {
        verify: async () => [configIsWhole(runner)], back: `A token of this name that is not in ${runner.file} is deleted when the same line runs again, once you have said yes to that.`,
      }),
      step('agent', 'See an agent connect', doneWhere(values.handOver, 'handed over', () => agentIsSeen(runner)), {
        manual: { say: async () => byHand(runner), within: hours(2) }, verify: async () => (values.handOver ? [] : [agentConnects(runner)]),
      }),
    ]
  },
})
