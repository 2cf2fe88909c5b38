#!/usr/bin/env -S npx tsx
/**
 * Make the Nomad clients, on which jobs run, with CircleCI's Terraform module, and give the server their certificates.
 * Installation guide 3.3.0, phase 3, "Nomad Clients". Three things of the guide are mended: the DNS server is in the VPC
 * and not among the service addresses, mutual TLS is on, and no client is preemptible unless asked.
 */
import { join } from 'node:path'
import { accountAnswers, awsIn } from '../lib/cloud/aws.ts'
import { gcpIn, projectAnswers } from '../lib/cloud/gcp.ts'
import { haveApplied, haveInit, haveMain, haveOutputs, havePlan, terraformIn } from '../lib/cloud/terraform.ts'
import { step, verifyStep } from '../lib/effect.ts'
import { runbook } from '../lib/runbook.ts'
import { clientsWanted } from '../lib/server/autoscaler.ts'
import type { Filled } from '../lib/server/config.ts'
import { clients, clientsAreReady, nomadServersRun, serversHave } from '../lib/server/nomad.ts'
import { clientInputs, clientsGoTogether, type Given } from '../lib/server/nomad-inputs.ts'
import { endpointIsInternal, folderIsOurs, networkIsKnown, sizeFits, stateIsOurs, terraformFits } from '../lib/server/nomad-looks.ts'
import { mainFor, networkOf, riskOf, serverAddress, TROUBLES, whyNone } from '../lib/server/nomad-module.ts'
import { configure, mayConfigure } from '../lib/server/phase-three.ts'

const terraformOf = (values: Given) => terraformIn(values.folder, () => mainFor(values))

/** The files of the certificates and the key, and the output that each holds. */
const filesIn = (folder: string) => ({ certificate: join(folder, 'nomad-server-cert.pem'), key: join(folder, 'nomad-server-key.pem'), ca: join(folder, 'nomad-ca.pem') })

export default runbook(import.meta, {
  name: 'nomad-terraform',
  purpose: 'make the Nomad clients with Terraform, and give the server their certificates',
  guide: 'CircleCI server 3.3.0 installation guide, phase 3, "Nomad Clients"',
  when: 'After the first deploy of the server; and again when the clients are to be others, or their servers have another address.',
  scenario: 'no-clients',
  inputs: clientInputs(),
  together: clientsGoTogether,
  examples: [
    '--provider aws --region us-east-1 --context prod-ci --namespace circleci-server --dry-run',
    '--provider aws --region us-east-1 --state s3://my-states/nomad.tfstate --context prod-ci --namespace circleci-server',
    '--provider gcp --project my-project --zone europe-west1-b --state gs://my-states/nomad --context prod-ci --namespace circleci-server',
    '--provider aws --region us-east-1 --rehearse --scenario no-clients',
  ],
  preflight: (values) => [
    ...mayConfigure(['nomadBalancer', 'nomadCertificate', 'nomadKey', 'nomadCa'], [{ verbs: ['get', 'list', 'delete'], resource: 'pods' }]),
    terraformFits(values), values.provider === 'aws' ? accountAnswers(awsIn(values.region ?? '', values.profile)) : projectAnswers(gcpIn(values.project ?? '')),
    endpointIsInternal(values), networkIsKnown(values), sizeFits(values), folderIsOurs(values), stateIsOurs(values, terraformOf(values)),
  ],
  outcome: ({ nodes, noServerJoin }) => (noServerJoin ? `${nodes} Nomad clients are made, and wait to be told of their servers` : `${nodes} Nomad clients are ready for jobs`),
  troubles: async () => TROUBLES,
  facts: async (values) => ({ 'Nomad servers': await serverAddress(values), network: (await networkOf(values)).say, machines: (await sizeFits(values).look()).say, clients: `${await clients() ?? 'unknown how many'} ready` }),
  afterwards: [
    'Keep the folder where secrets are kept: its state, where that is local, and the files of the certificates hold keys.',
    'The clients reach object storage, output-processor:8585, vm-service:3000 and GitHub (22, 443) too: see that your network lets them.',
    'Next, see that builds run: npx tsx runbooks/realitycheck.ts. Then nomad-autoscaler.ts, where their number is to follow the builds, and VM service.',
  ],
  steps: (values) => {
    const tf = terraformOf(values), files = filesIn(values.folder)
    const filled = async (): Promise<Filled> => ({ nomadBalancer: await serverAddress(values), nomadCertificate: { file: files.certificate, later: true }, nomadKey: { file: files.key, later: true }, nomadCa: { file: files.ca, later: true } })
    return [
      step('main', 'Write main.tf', () => haveMain(tf), { back: `${values.folder}/main.tf changes nothing by itself.` }),
      step('init', 'Get the module and its providers', () => haveInit(tf)),
      step('plan', 'Have Terraform plan, and save its plan', () => havePlan(tf)),
      step('apply', 'Apply that plan', () => haveApplied(tf, (seen) => riskOf(values, seen)), { back: 'What Terraform has made stands in its state; the same line makes a plan of what is missing.' }),
      step('keys', 'Put the certificates and the key into files', () => haveOutputs(tf, { [files.certificate]: 'nomad_server_cert', [files.key]: 'nomad_server_key', [files.ca]: 'nomad_ca' })),
      ...configure(filled),
      step('servers', 'Start the Nomad servers anew, so that they have address and certificates', async () => serversHave(await filled()), { verify: nomadServersRun }),
      ...(values.noServerJoin ? [] : [verifyStep('clients', 'See the clients connect', async () => `${await clients()} clients are ready`, async () => [await clientsAreReady(await clientsWanted(values.nodes), () => whyNone(values))])]),
    ]
  },
})
