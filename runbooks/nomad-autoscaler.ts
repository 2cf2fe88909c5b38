#!/usr/bin/env -S npx tsx
/**
 * Nomad autoscaler: an identity that may grow and shrink the one group of the Nomad clients, and the Config screen.
 * Installation guide 3.3.0, phase 3, "Nomad Autoscaler".
 */
import { accountIsOurs, accountIsThere, ACCOUNT, emailOf, haveAccount, haveBinding, PROJECT } from '../lib/cloud/accounts.ts'
import { accountAnswers, awsIn, PROFILE, roleInput } from '../lib/cloud/aws.ts'
import { gcpIn, projectAnswers } from '../lib/cloud/gcp.ts'
import { identityIsOn, memberOf } from '../lib/cloud/identity.ts'
import { accountFacts, googleFileIsOurs, haveGoogleKey } from '../lib/cloud/keys.ts'
import { awsGroup, googleGroup, groupIsThere, isZone, sizesWanted } from '../lib/cloud/scaling.ts'
import { cluster } from '../lib/cluster/kubernetes.ts'
import { doneWhere, step, type Step } from '../lib/effect.ts'
import { EXIT, fail } from '../lib/fail.ts'
import { flag, optional, text, type Values } from '../lib/inputs.ts'
import { serverIsAtLeast } from '../lib/preflight.ts'
import { runbook } from '../lib/runbook.ts'
import { FIELDS, NAME, scalerFields, sizeInputs, sizesNamed } from '../lib/server/autoscaler.ts'
import { identityIn, OWN_USER } from '../lib/server/autoscaler-identity.ts'
import { heldBy, type Filled } from '../lib/server/config.ts'
import { FOLDER, groupInputs, groupName } from '../lib/server/nomad-inputs.ts'
import { configure, deployedKey, googleKeyField, mayConfigure } from '../lib/server/phase-three.ts'

const inputs = {
  provider: { ...text('aws|gcp', 'cloud of the Nomad clients', { env: 'CIRCLECI_CLOUD', pattern: /^(aws|gcp)$/, looks: 'aws or gcp' }), choices: ['aws', 'gcp'] },
  group: { ...optional('name', 'group of the Nomad clients, where it is not the one that nomad-terraform makes (nomad_asg_name, managed_instance_group_name)', /^[\w .:/()#,@[\]+=&;{}!$*-]{1,255}$/, 'its name'), env: 'NOMAD_GROUP' },
  ...groupInputs(),
  ...sizeInputs(),
  region: { ...optional('name', 'aws: region of the group', /^[a-z]{2}(-[a-z]+)+-\d$/, 'a region: us-east-1'), env: 'AWS_REGION' },
  profile: PROFILE,
  user: { ...optional('name', `aws: IAM user of the autoscaler; else that of Terraform where it made one, or ${OWN_USER}`, /^[\w+=,.@-]{1,64}$/, `a user name: ${OWN_USER}`), env: 'NOMAD_AUTOSCALER_USER' },
  role: roleInput('the autoscaler\'s', NAME, 'NOMAD_AUTOSCALER_ROLE'),
  folder: FOLDER,
  project: { ...optional('id', 'gcp: project of the group', /^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$/, 'a project id, not its number: my-project'), env: 'CLOUDSDK_CORE_PROJECT' },
  location: { ...optional('name', 'gcp: zone of the group, or region where it is a regional one', /^[a-z]+-[a-z]+\d+(-[a-z])?$/, 'a zone, or a region: us-east1-b, us-east1'), env: 'NOMAD_ZONE' },
  serviceAccount: text('name', 'gcp: service account of the autoscaler; that of Terraform where it made one', { env: 'NOMAD_AUTOSCALER_SERVICE_ACCOUNT', otherwise: NAME, pattern: /^[a-z][a-z0-9-]{4,28}[a-z0-9]$/, looks: `a name: ${NAME}` }),
  workloadIdentity: { ...flag('gcp: let the autoscaler\'s account of the cluster be the one of Google (server 3.4), in place of a key'), env: 'NOMAD_AUTOSCALER_WORKLOAD_IDENTITY' },
  credentials: text('file', 'file of the key', { env: 'NOMAD_AUTOSCALER_CREDENTIALS', otherwise: 'nomad-as-key' }),
}
type Given = Values<typeof inputs>

const nameOf = (values: Given): string => values.group ?? groupName(values)
const inAws = (values: Given) => {
  const aws = awsIn(values.region ?? '', values.profile), group = awsGroup(aws, nameOf(values))
  return { aws, group, identity: identityIn({ ...values, aws, group }) }
}
const inGcp = (values: Given) => {
  const { project = '', location = '', serviceAccount } = values, gcp = gcpIn(project)
  return { gcp, email: emailOf(project, serviceAccount), group: googleGroup(gcp, nameOf(values), location) }
}
const groupOf = (values: Given) => (values.provider === 'aws' ? inAws(values) : inGcp(values)).group

const fieldsOf = async (values: Given): Promise<Filled> => {
  const sizes = await scalerFields(groupOf(values), sizesNamed(values))
  if (values.provider === 'aws') {
    return { ...sizes, autoscalerProvider: 'AWS EC2', autoscalerRegion: values.region ?? '', ...await inAws(values).identity.fields(), autoscalerGroup: nameOf(values) }
  }
  const { project = '', location = '', workloadIdentity, credentials } = values, { gcp, email } = inGcp(values)
  return {
    ...sizes, autoscalerProvider: 'Google Cloud Platform', autoscalerProject: project, autoscalerInstances: nameOf(values), autoscalerType: isZone(location) ? 'Zonal' : 'Regional',
    ...(workloadIdentity ? { autoscalerAccount: email } : await googleKeyField(gcp, email, credentials, 'autoscalerKey')),
  }
}

const onAws = (values: Given): Step[] => {
  const { identity } = inAws(values)
  return [
    step('user', 'Have the IAM user', identity.haveUser),
    step('policy', 'Let it grow and shrink this group, and no other', identity.havePolicy),
    step('key', 'Have an access key, in the credentials file', identity.haveKey, {
      back: `An access key of a user that was made here, which was never used and is not in ${values.credentials}, is deleted when the same line runs again.`,
    }),
  ]
}

const onGcp = (values: Given): Step[] => {
  const { project = '', serviceAccount, workloadIdentity, credentials } = values, { gcp, email } = inGcp(values)
  const only = (wanted: boolean, why: string, todo: Step['todo']) => doneWhere(!wanted, why, todo)
  return [
    step('account', 'Make the service account', () => haveAccount(gcp, serviceAccount, 'Nomad autoscaler service account'), { verify: async () => [accountIsThere(gcp, serviceAccount)] }),
    step('bind-role', 'Let it grow and shrink groups: the role of the guide, which Google limits to a project', () => haveBinding(gcp, PROJECT, project, `serviceAccount:${email}`, 'roles/compute.admin')),
    step('bind-identity', 'Let the autoscaler be the account', only(workloadIdentity, 'a key is used in place of Workload Identity', () => haveBinding(gcp, ACCOUNT, email, memberOf(project, `${cluster().namespace}/${NAME}`), 'roles/iam.workloadIdentityUser'))),
    step('key', 'Make a key, into the credentials file', only(!workloadIdentity, 'Workload Identity is used in place of a key', async () => haveGoogleKey(gcp, email, { file: credentials, cluster: { key: await deployedKey(email, 'autoscalerKey') } })), {
      back: `A key that nobody used and is not in ${credentials} is deleted when the same line runs again.`,
    }),
  ]
}

export default runbook(import.meta, {
  name: 'nomad-autoscaler',
  purpose: 'let the number of Nomad clients follow the builds',
  guide: 'CircleCI server 3.3.0 installation guide, phase 3, "Nomad Autoscaler"',
  when: 'After the Nomad clients run, where their number is to follow the queue; and again when their limits were changed in Terraform.',
  scenario: 'on-eks',
  inputs,
  together: ({ provider, region, project, location, role, workloadIdentity }) => {
    const usage = (what: string, next: string) => fail(what, next, { code: EXIT.usage })
    if (provider === 'aws' && !region) throw usage('--provider aws wants a region.', 'Add --region us-east-1, or AWS_REGION in the env file.')
    if (provider === 'gcp' && !(project && location)) throw usage('--provider gcp wants a project, and the zone or region of the group.', 'Add --project my-project --location us-east1-b, or CLOUDSDK_CORE_PROJECT and NOMAD_ZONE in the env file.')
    if (provider === 'gcp' && role) throw usage('--role is for --provider aws.', 'Leave it out (NOMAD_AUTOSCALER_ROLE in the env file); on Google Cloud it is --workload-identity.')
    if (provider === 'aws' && workloadIdentity) throw usage('--workload-identity is for --provider gcp.', 'Leave it out (NOMAD_AUTOSCALER_WORKLOAD_IDENTITY in the env file); on AWS it is --role.')
  },
  examples: [
    '--provider aws --region us-east-1 --context prod-ci --namespace circleci-server --dry-run',
    '--provider aws --region us-east-1 --context prod-ci --namespace circleci-server',
    '--provider gcp --project my-project --location us-east1-b --workload-identity --context prod-ci --namespace circleci-server',
    '--provider aws --region us-east-1 --rehearse',
  ],
  preflight: (values) => {
    const common = [groupIsThere(groupOf(values), sizesNamed(values)), ...mayConfigure(FIELDS)]
    if (values.provider === 'aws') {
      const { aws, identity } = inAws(values)
      return [accountAnswers(aws), ...common, ...identity.preflight]
    }
    const { gcp, email } = inGcp(values), { serviceAccount, workloadIdentity, credentials } = values
    return [
      projectAnswers(gcp), ...common, accountIsOurs(gcp, serviceAccount, 'the autoscaler\'s'),
      ...(workloadIdentity ? [identityIsOn(), serverIsAtLeast('3.4.0', 'Workload Identity works')] : [googleFileIsOurs(credentials, email)]),
    ]
  },
  outcome: (values) => `Nomad autoscaler grows and shrinks ${nameOf(values)}`,
  facts: async (values) => {
    const { min, max } = await sizesWanted(groupOf(values), sizesNamed(values))
    const identity = values.provider === 'gcp' ? await accountFacts(gcpIn(values.project ?? ''), inGcp(values).email) : await inAws(values).identity.facts()
    return { clients: `${min} to ${max}`, autoscaler: await heldBy('autoscaler') === '1' ? 'on' : 'off', ...identity }
  },
  afterwards: [
    'The limits in KOTS overwrite those of the group: change them in Terraform and here together, or the two compete.',
    'The file of the key is no longer needed once KOTS has deployed it: keep it where secrets are kept, or delete it.',
    'VM service comes next: npx tsx runbooks/vm-service-aws.ts, or vm-service-gcp.ts',
  ],
  steps: (values) => [...(values.provider === 'aws' ? onAws(values) : onGcp(values)), ...configure(() => fieldsOf(values))],
})
