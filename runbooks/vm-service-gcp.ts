#!/usr/bin/env -S npx tsx
/**
 * VM service on Google Compute Engine: who may reach its VMs, an account that may make them, and the Config screen.
 * Installation guide 3.3.0, phase 3, "VM service", GKE; operations guide 3.4.1, "VM Service". The guide's rule for Nomad
 * lets everybody into SSH and Docker of every machine; here it is the clients' range, and machines with a tag.
 */
import { accountIsOurs, accountIsThere, ACCOUNT, emailOf, haveAccount, haveBinding, PROJECT, PROJECT_ID } from '../lib/cloud/accounts.ts'
import { ranges } from '../lib/cloud/cidr.ts'
import { firewallFacts, firewallsAreOurs, haveFirewalls, type Rule, type Wall } from '../lib/cloud/firewalls.ts'
import { gcpIn, projectAnswers } from '../lib/cloud/gcp.ts'
import { identityIsOn, memberOf } from '../lib/cloud/identity.ts'
import { accountFacts, googleFileIsOurs, haveGoogleKey } from '../lib/cloud/keys.ts'
import { chosenNetwork, networkIsChosen, networksIn, ownerOf, type Chosen } from '../lib/cloud/networks.ts'
import { cluster } from '../lib/cluster/kubernetes.ts'
import { doneWhere, step, verifyStep, type Step } from '../lib/effect.ts'
import { flag, optional, text, type Values } from '../lib/inputs.ts'
import { serverIsAtLeast } from '../lib/preflight.ts'
import { runbook } from '../lib/runbook.ts'
import { addressOf, hasAddress, serviceIsThere } from '../lib/server/balancers.ts'
import type { FieldName } from '../lib/server/config-screen.ts'
import type { Filled } from '../lib/server/config.ts'
import { configure, deployedKey, googleKeyField, mayConfigure } from '../lib/server/phase-three.ts'
import { AFTERWARDS, FOR_JOBS, given, NAME, portIsUsual, prescaledIsMeant, SSH_OF_JOBS, vmFields, vmInputs } from '../lib/server/vm-service.ts'

const inputs = {
  project: { ...PROJECT_ID, say: 'project of the cluster, of the VMs and of their account' },
  cluster: text('name', 'name of the cluster in GKE', { env: 'CLUSTER_NAME', otherwise: 'circleci-server', pattern: /^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$/, looks: 'up to 40 lower-case letters, digits and dashes: circleci-server' }),
  zone: text('name', 'zone of the VMs', { env: 'VM_ZONE', pattern: /^[a-z]+-[a-z]+\d+-[a-z]$/, looks: 'a zone: us-east1-b' }),
  network: { ...optional('name', 'network of the VMs, where it is not that of the cluster; in a shared VPC its whole address'), env: 'VM_NETWORK' },
  subnet: { ...optional('name', 'subnetwork of the VMs, where it is not that of the cluster; in a shared VPC its whole address'), env: 'VM_SUBNET' },
  nomadSubnetwork: { ...optional('name', 'subnetwork of the Nomad clients, where it is not that of the cluster'), env: 'NOMAD_SUBNETWORK' },
  usersCidr: ranges('where people come from who log in to their jobs by SSH', 'VM_USERS_CIDR'),
  targetTag: text('tag', 'network tag of the VMs: the rules are for machines that bear it', { env: 'VM_TARGET_TAG', otherwise: 'circleci-vm', pattern: /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/, looks: 'lower-case letters, digits and dashes: circleci-vm' }),
  serviceAccount: text('name', 'account of VM service; with several installations, one for each', { env: 'VM_SERVICE_ACCOUNT', otherwise: 'circleci-server-vm', pattern: /^[a-z][a-z0-9-]{4,28}[a-z0-9]$/, looks: 'a name: circleci-server-vm' }),
  workloadIdentity: { ...flag('let VM service\'s account of the cluster be the one of Google (server 3.4), in place of a key'), env: 'VM_WORKLOAD_IDENTITY' },
  credentials: text('file', 'file that the key is written to', { env: 'VM_SERVICE_CREDENTIALS', otherwise: 'circleci-server-vm-keyfile' }),
  windowsImage: { ...optional('name', 'image for jobs on Windows; without one there are none', /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/, 'the name of an image'), env: 'VM_WINDOWS_IMAGE' },
  ...vmInputs(),
}
type Given = Values<typeof inputs>

/** All that the steps look at in the project. */
const inGcp = ({ project, cluster, zone, network, subnet, nomadSubnetwork: nomad, usersCidr, targetTag, serviceAccount }: Given) => {
  const gcp = gcpIn(project), networks = networksIn(gcp, cluster), place = { zone, network, subnet, nomad }
  const chosen = (): Promise<Chosen> => chosenNetwork(networks, place)
  return {
    gcp, networks, place, chosen, email: emailOf(project, serviceAccount),
    wall: async (): Promise<Wall> => {
      const { network: named } = await chosen()
      return { gcp: gcpIn(ownerOf(named, project)), network: named, tag: targetTag }
    },
    rules: async (): Promise<Rule[]> => {
      const { pods, clients } = await chosen()
      return [
        { name: 'circleci-vm-service-internal-nomad-fw', ports: FOR_JOBS, from: [clients] },
        { name: 'circleci-vm-service-internal-k8s-fw', ports: FOR_JOBS, from: [pods] },
        { name: 'circleci-vm-service-external-fw', ports: [SSH_OF_JOBS], from: usersCidr },
      ]
    },
  }
}

const FIELDS: FieldName[] = [
  'vmProvider', 'vmBalancer', 'vmPublic', 'vmProject', 'vmZone', 'vmWindowsImage', 'vmNetwork', 'vmSubnet', 'vmAccount', 'vmKey', 'vmIdentity', 'vmPrescaledDocker', 'vmPrescaledMachine', 'vmPrescaledWindows',
]

const fieldsOf = async (values: Given): Promise<Filled> => {
  const { gcp, email, chosen } = inGcp(values), { network, subnet } = await chosen()
  return {
    ...vmFields(values), vmProvider: 'Google Cloud Platform', vmProject: values.project, vmZone: values.zone, vmNetwork: network, ...given({ vmSubnet: subnet, vmWindowsImage: values.windowsImage }),
    ...(values.workloadIdentity ? { vmAccount: 'IAM Workload Identity', vmIdentity: email } : { vmAccount: 'GCP Service Account JSON file', ...await googleKeyField(gcp, email, values.credentials, 'vmKey') }),
  }
}

export default runbook(import.meta, {
  name: 'vm-service-gcp',
  purpose: 'set up VM service on Google Compute Engine, for machine and remote Docker jobs',
  guide: 'CircleCI server 3.3.0 installation guide, phase 3, "VM service"; 3.4.1 operations guide, "VM Service"',
  when: 'After the Nomad clients run and realitycheck is green without VMs; and again when network, people\'s addresses, images or the key are to be other ones.',
  scenario: 'on-gke',
  inputs,
  examples: [
    '--project my-project --zone us-east1-b --users-cidr 203.0.113.0/24 --context prod-ci --namespace circleci-server --dry-run',
    '--project my-project --zone us-east1-b --users-cidr 203.0.113.0/24 --context prod-ci --namespace circleci-server',
    '--project my-project --zone us-east1-b --users-cidr 203.0.113.0/24 --workload-identity --private-ips --context prod-ci --namespace circleci-server',
    '--project my-project --zone us-east1-b --users-cidr 203.0.113.0/24 --rehearse',
  ],
  preflight: (values) => {
    const { gcp, networks, place, wall, rules, email } = inGcp(values), { serviceAccount, workloadIdentity, credentials } = values
    return [
      projectAnswers(gcp), networkIsChosen(networks, place), firewallsAreOurs(wall, rules), accountIsOurs(gcp, serviceAccount, 'VM service\'s'),
      ...(workloadIdentity ? [identityIsOn(), serverIsAtLeast('3.4.0', 'Workload Identity works')] : [googleFileIsOurs(credentials, email)]),
      serviceIsThere(NAME), portIsUsual(), prescaledIsMeant(values, { named: values.windowsImage, flag: '--windows-image', field: 'vmWindowsImage' }), ...mayConfigure(FIELDS),
    ]
  },
  outcome: ({ zone }) => `VM service may make VMs in ${zone}, for machine and remote Docker jobs`,
  facts: async (values) => {
    const { gcp, email, wall, rules } = inGcp(values)
    return { address: await addressOf(NAME) ?? 'none yet', ...await firewallFacts(await wall(), await rules()), ...await accountFacts(gcp, email) }
  },
  afterwards: [
    'The rules are for machines with the network tag of --target-tag; no guide says which tag VM service gives. Once a machine job has run, see that its VM bears it (gcloud compute instances list --format="table(name,tags.items)"); where it bears another one, name that.',
    'With --workload-identity it has to be on in the cluster (gcloud container clusters update CLUSTER --workload-pool=PROJECT.svc.id.goog) and in its node pools (--workload-metadata=GKE_METADATA).',
    'The file of the key is no longer needed once KOTS has deployed it: keep it where secrets are kept, or delete it.',
    ...AFTERWARDS,
  ],
  steps: (values) => {
    const { project, serviceAccount, workloadIdentity, credentials } = values
    const { gcp, email, wall, rules } = inGcp(values), member = `serviceAccount:${email}`
    const only = (wanted: boolean, why: string, todo: Step['todo']) => doneWhere(!wanted, why, todo)
    return [
      verifyStep('balancer', 'Wait for the address of its load balancer', async () => `${NAME} is ${await addressOf(NAME)}`, async () => [hasAddress(NAME)]),
      step('firewall', 'Let in the pods of the cluster, the Nomad clients, and people who log in to their jobs', async () => haveFirewalls(await wall(), await rules())),
      step('account', 'Make the service account', () => haveAccount(gcp, serviceAccount, 'circleci-server-vm service account'), { verify: async () => [accountIsThere(gcp, serviceAccount)] }),
      step('bind-instances', 'Let it make and end VMs', () => haveBinding(gcp, PROJECT, project, member, 'roles/compute.instanceAdmin')),
      step('bind-user', 'Let it give them their account', () => haveBinding(gcp, PROJECT, project, member, 'roles/iam.serviceAccountUser')),
      step('bind-identity', 'Let VM service be the account', only(workloadIdentity, 'a key is used in place of Workload Identity', () => haveBinding(gcp, ACCOUNT, email, memberOf(project, `${cluster().namespace}/${NAME}`), 'roles/iam.workloadIdentityUser'))),
      step('key', 'Make a key, into the credentials file', only(!workloadIdentity, 'Workload Identity is used in place of a key', async () => haveGoogleKey(gcp, email, { file: credentials, cluster: { key: await deployedKey(email, 'vmKey') } })), {
        back: `A key that nobody used and is not in ${credentials} is deleted when the same line runs again.`,
      }),
      ...configure(() => fieldsOf(values)),
    ]
  },
})
