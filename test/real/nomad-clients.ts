/**
 * The part of nomad-terraform that is Terraform's, as a runbook of its own: with the main.tf of the real one, less what
 * would be fetched from outside. Its module is beside it, in ./module.
 */
import { haveApplied, haveInit, haveMain, haveOutputs, havePlan, terraformIn, type Variable } from '../../lib/cloud/terraform.ts'
import { step } from '../../lib/effect.ts'
import { count, optional, text } from '../../lib/inputs.ts'
import { runbook } from '../../lib/runbook.ts'
import { textFor } from '../../lib/server/nomad-module.ts'

const FOLDER = 'clients'

export default runbook(import.meta, {
  name: 'nomad-clients',
  purpose: 'make the clients of a test',
  guide: 'none',
  when: 'In a test.',
  cluster: false,
  inputs: {
    nodes: count('clients', { otherwise: 2, env: 'NOMAD_NODES' }), endpoint: text('host', 'servers', { env: 'NOMAD_ENDPOINT', otherwise: '10.0.0.9' }),
    moved: { ...optional('number', 'clients that somebody else has set since', /^\d+$/, 'a number: 3'), env: 'MOVED' },
  },
  examples: [],
  preflight: () => [],
  outcome: () => 'The clients are there',
  facts: async () => ({}),
  afterwards: [],
  steps: ({ nodes, endpoint, moved }) => {
    const variables: Record<string, Variable> = {
      server_endpoint: { value: `${endpoint}:4647`, from: '--endpoint' }, region: { value: 'us-east-1', from: 'the test' }, vpc_id: { value: 'vpc-1', from: 'the "test", ${not} a value' }, subnets: { value: ['subnet-1', 'subnet-2'], from: 'the test' },
      dns_server: { value: '192.168.0.2', from: 'the test' }, blocked_cidrs: { value: [], from: 'the test' }, nodes: { value: nodes, from: '--nodes' }, max_nodes: { value: 5, from: 'the test' }, instance_type: { value: 't3.2xlarge', from: 'the test' },
      volume_type: { value: 'gp3', from: 'the test' }, nomad_auto_scaler: { value: false, from: 'the test' }, instance_tags: { value: { 'cost:center': 'a b', team: 'ci' }, from: 'the test' },
      enable_irsa: { value: { oidc_principal_id: 'arn:aws:iam::111122223333:oidc-provider/oidc', k8s_service_account: 'system:serviceaccount:circleci-server:nomad-autoscaler' }, from: 'the test' },
    }
    const here = textFor('aws', { tag: '3.4.0', server: '3.4.0' }, variables, ['backend "local" {}'])
      .replace(/ {2}required_providers \{\n.*\n {2}\}\n/, '').replace(/provider "aws" \{[^}]*\}\n/, '').replace(/source = "git::.*"/, 'source = "../module"')
    const tf = terraformIn(FOLDER, async () => ({ text: here, variables, ...(moved === undefined ? {} : { moved: { nodes: Number(moved) } }) }))
    return [
      step('main', 'Write main.tf', () => haveMain(tf)), step('init', 'Get the module', () => haveInit(tf)), step('plan', 'Plan', () => havePlan(tf)), step('apply', 'Apply', () => haveApplied(tf, async () => 'clients may end')),
      step('keys', 'Keep the keys', () => haveOutputs(tf, { [`${FOLDER}/cert.pem`]: 'nomad_server_cert', [`${FOLDER}/key.pem`]: 'nomad_server_key', [`${FOLDER}/ca.pem`]: 'nomad_ca' })),
    ]
  },
})
