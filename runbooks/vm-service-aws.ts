#!/usr/bin/env -S npx tsx
/**
 * VM service on EC2: who may reach its VMs, an identity that may make them and nothing else, and the Config screen.
 * Installation guide 3.3.0, phase 3, "VM service", EKS; operations guide 3.4.1, "VM Service".
 */
import { amiInput, imagesAreThere } from '../lib/cloud/amis.ts'
import { accountAnswers, accountOf, awsIn, PROFILE, regionInput, roleInput, roleTrusts } from '../lib/cloud/aws.ts'
import { ranges } from '../lib/cloud/cidr.ts'
import { havePolicy, holderOf, policyFits } from '../lib/cloud/grants.ts'
import { fileIsOurs, haveKey, haveUser, userFacts, userIsOurs } from '../lib/cloud/iam.ts'
import { vmPolicy, vpcArn } from '../lib/cloud/policies.ts'
import { groupFacts, groupIn, groupIsOurs, haveGroup, haveRules, onGroup, toldGroup } from '../lib/cloud/security-groups.ts'
import { clientsSubnets, clientsSubnetsAreThere, networkIsTold, networkOf, subnetsAreOfOneZone, subnetsForVms, subnetsInput, vpcOf } from '../lib/cloud/vpc.ts'
import { cluster } from '../lib/cluster/kubernetes.ts'
import { doneWhere, step, verifyStep, type Step } from '../lib/effect.ts'
import { orNone, text, type Values } from '../lib/inputs.ts'
import { runbook } from '../lib/runbook.ts'
import { addressOf, hasAddress, serviceIsThere } from '../lib/server/balancers.ts'
import type { FieldName } from '../lib/server/config-screen.ts'
import { heldBy, type Filled } from '../lib/server/config.ts'
import { configure, keyFields, mayConfigure } from '../lib/server/phase-three.ts'
import { AFTERWARDS, FOR_JOBS, given, NAME, portIsUsual, prescaledIsMeant, SSH_OF_JOBS, vmFields, vmInputs } from '../lib/server/vm-service.ts'

/** Of user and policy: the same as the mark that VM service puts on what it makes. */
const USER = 'circleci-vm-service'

const inputs = {
  region: regionInput('region of the cluster and of the VMs'),
  profile: PROFILE,
  cluster: text('name', 'name of the cluster in EKS', { env: 'CLUSTER_NAME', otherwise: 'circleci-server', pattern: /^[A-Za-z][A-Za-z0-9_-]{0,99}$/, looks: 'letters, digits and dashes: circleci-server' }),
  subnets: orNone(subnetsInput('subnets of the VMs, all in one availability zone, where they are not those of the cluster in its first one', 'VM_SUBNETS')),
  nomadSubnets: orNone(subnetsInput('subnets of the Nomad clients, where they are not the private ones of the cluster', 'NOMAD_SUBNETS')),
  usersCidr: ranges('where people come from who log in to their jobs by SSH', 'VM_USERS_CIDR'),
  securityGroup: text('name', 'security group of the VMs', { env: 'VM_SECURITY_GROUP', otherwise: 'circleci-vm-service-sg', pattern: /^(?!sg-)[\w .:/()#,@[\]+=&;{}!$*-]{1,255}$/, looks: 'a name that does not begin with sg-: circleci-vm-service-sg' }),
  user: text('name', 'IAM user of VM service; with several installations, one for each', { env: 'VM_SERVICE_USER', otherwise: USER, pattern: /^[\w+=,.@-]{1,64}$/, looks: `a user name: ${USER}` }),
  role: roleInput('VM service\'s', USER, 'VM_SERVICE_ROLE'),
  credentials: text('file', 'file that the access key is written to', { env: 'VM_SERVICE_CREDENTIALS', otherwise: 'credentials-vm-service' }),
  linuxAmi: amiInput('image of the VMs, where it is not the default of the region', 'VM_LINUX_AMI'),
  windowsAmi: amiInput('image for jobs on Windows; without one there are none', 'VM_WINDOWS_AMI'),
  ...vmInputs(),
}
type Given = Values<typeof inputs>

/** All that the steps look at in the account. */
const inAws = ({ region, profile, cluster, securityGroup, nomadSubnets, usersCidr }: Given) => {
  const aws = awsIn(region, profile), vpc = vpcOf(aws, cluster)
  return {
    aws, vpc, group: groupIn(aws, securityGroup, async () => (await networkOf(vpc)).id),
    rules: async () => {
      const inside = [{ from: (await networkOf(vpc)).services, why: 'services of the cluster' }, ...(await clientsSubnets(vpc, nomadSubnets)).map(({ CidrBlock: from }) => ({ from, why: 'Nomad clients' }))]
      return [...FOR_JOBS.flatMap((port) => inside.map((one) => ({ port, ...one }))), ...usersCidr.map((from) => ({ port: SSH_OF_JOBS, from, why: 'SSH into jobs' }))]
    },
    policy: async (id: string) => vmPolicy(region, vpcArn(region, await accountOf(aws), (await networkOf(vpc)).id), id),
  }
}

/** Those that are named; else those that the server has, else the cluster's. */
const subnetsOf = async (values: Given): Promise<string[]> => {
  const held = values.subnets ? undefined : await heldBy('vmSubnets')
  return values.subnets ?? (held ? held.split(',').toSorted() : subnetsForVms(inAws(values).vpc, !values.privateIps))
}

const FIELDS: FieldName[] = [
  'vmProvider', 'vmBalancer', 'vmPublic', 'vmRegion', 'vmLinuxAmi', 'vmWindowsAmi', 'vmSubnets', 'vmGroup', 'vmAuthentication', 'vmRole', 'vmAccessKey', 'vmSecretKey',
  'vmPrescaledDocker', 'vmPrescaledMachine', 'vmPrescaledWindows',
]

const fieldsOf = async (values: Given): Promise<Filled> => ({
  ...vmFields(values), vmProvider: 'AWS EC2', vmRegion: values.region, ...given({ vmLinuxAmi: values.linuxAmi, vmWindowsAmi: values.windowsAmi }),
  vmSubnets: (await subnetsOf(values)).join(','), vmGroup: await toldGroup(inAws(values).group),
  ...(values.role ? { vmAuthentication: 'IAM role', vmRole: values.role } : { vmAuthentication: 'IAM Keys', ...await keyFields(inAws(values).aws, values.user, values.credentials, 'vmAccessKey', 'vmSecretKey') }),
})

export default runbook(import.meta, {
  name: 'vm-service-aws',
  purpose: 'set up VM service on EC2, for machine and remote Docker jobs',
  guide: 'CircleCI server 3.3.0 installation guide, phase 3, "VM service"; 3.4.1 operations guide, "VM Service"',
  when: 'After the Nomad clients run and realitycheck is green without VMs; and again when subnets, people\'s addresses, images or the key are to be other ones.',
  scenario: 'on-eks',
  inputs,
  examples: [
    '--region us-east-1 --subnets subnet-0aaa1111bbbb22220 --nomad-subnets subnet-0aaa1111bbbb22221 --users-cidr 203.0.113.0/24 --context prod-ci --namespace circleci-server --dry-run',
    '--region us-east-1 --subnets subnet-0aaa1111bbbb22220 --nomad-subnets subnet-0aaa1111bbbb22221 --users-cidr 203.0.113.0/24 --context prod-ci --namespace circleci-server',
    '--region us-east-1 --subnets subnet-0aaa1111bbbb22220 --nomad-subnets subnet-0aaa1111bbbb22221 --users-cidr 203.0.113.0/24 --role arn:aws:iam::111122223333:role/vm-service --private-ips --context prod-ci --namespace circleci-server',
    '--region us-east-1 --subnets subnet-0aaa1111bbbb22220 --nomad-subnets subnet-0aaa1111bbbb22221 --users-cidr 203.0.113.0/24 --rehearse',
  ],
  preflight: (values) => {
    const { region, user, role, credentials, nomadSubnets, linuxAmi, windowsAmi } = values
    const { aws, vpc, group, rules } = inAws(values)
    return [
      accountAnswers(aws), networkIsTold(vpc), subnetsAreOfOneZone(vpc, () => subnetsOf(values)), clientsSubnetsAreThere(vpc, nomadSubnets), imagesAreThere(aws, linuxAmi, windowsAmi), groupIsOurs(group, rules),
      ...(role ? [roleTrusts(aws, role, `system:serviceaccount:${cluster().namespace}:${NAME}`, 'VM service')]
        : [userIsOurs(aws, user, 'VM service\'s'), policyFits(aws, user, USER, vmPolicy(region, vpcArn(region, '000000000000', 'vpc-00000000000000000'), 'sg-00000000000000000')), fileIsOurs(aws, credentials, user)]),
      serviceIsThere(NAME), portIsUsual(), prescaledIsMeant(values, { named: windowsAmi, flag: '--windows-ami', field: 'vmWindowsAmi' }), ...mayConfigure(FIELDS),
    ]
  },
  outcome: ({ region }) => `VM service may make VMs in ${region}, for machine and remote Docker jobs`,
  facts: async (values) => {
    const { aws, group } = inAws(values)
    return { address: await addressOf(NAME) ?? 'none yet', ...await groupFacts(group), ...(values.role ? { role: values.role } : await userFacts(aws, values.user)) }
  },
  afterwards: [
    'The pods of EKS have addresses of the nodes\' subnets: where VM service does not reach its VMs, name those subnets too (--nomad-subnets).',
    'The credentials file is no longer needed once KOTS has deployed it: keep it where secrets are kept, or delete it.',
    ...AFTERWARDS,
  ],
  steps: (values) => {
    const { user, role, credentials } = values
    const { aws, group, rules, policy } = inAws(values)
    const unlessRole = (todo: Step['todo']) => doneWhere(role, 'the role is used in place of a user', todo)
    const holder = holderOf(role, user)
    return [
      verifyStep('balancer', 'Wait for the address of its load balancer', async () => `${NAME} is ${await addressOf(NAME)}`, async () => [hasAddress(NAME)]),
      step('group', 'Make the security group of the VMs', () => haveGroup(group, 'CircleCI VM Service security group'), { back: 'The group may stay: as long as it has no rules it lets nobody in.' }),
      step('rules', 'Let in the services of the cluster, the Nomad clients, and people who log in to their jobs', async () => haveRules(group, await rules())),
      step('user', 'Make the IAM user', unlessRole(() => haveUser(aws, user))),
      step('policy', 'Let it do what the guide grants, with these VMs', () => onGroup(group, async (id) => havePolicy(aws, holder, USER, await policy(id)))),
      step('key', 'Make an access key, into the credentials file', unlessRole(async () => haveKey(aws, user, { file: credentials, cluster: { key: await heldBy('vmAccessKey') } })), {
        back: `An access key that was never used and is not in ${credentials} is deleted when the same line runs again.`,
      }),
      ...configure(() => fieldsOf(values)),
    ]
  },
})
