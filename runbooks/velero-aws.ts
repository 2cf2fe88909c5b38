#!/usr/bin/env -S npx tsx
/**
 * Set up Velero on AWS: a bucket, an identity that may use it and nothing else, Velero in the cluster.
 * Installation guide 3.3.0, "Server 3.x backups on AWS"; operations guide 3.4.1, "Backup and Restore".
 */
import { accountAnswers, awsIn, PROFILE, regionInput, roleInput, roleTrusts } from '../lib/cloud/aws.ts'
import { bucketIsOursOrFree, haveBucket, protectBucket } from '../lib/cloud/buckets.ts'
import { doneWhere, step, verifyStep, type Step } from '../lib/effect.ts'
import { havePolicy } from '../lib/cloud/grants.ts'
import { fileIsOurs, haveKey, userFacts, haveUser, keyIdIn, userIsOurs } from '../lib/cloud/iam.ts'
import { text } from '../lib/inputs.ts'
import { veleroPolicy } from '../lib/cloud/policies.ts'
import { serverIsAtLeast } from '../lib/preflight.ts'
import { runbook } from '../lib/runbook.ts'
import { clusterAllowsVelero, deployedCredentials, haveCredentials, haveLocation, haveVelero, veleroFacts, veleroFits, veleroWorks } from '../lib/velero/velero.ts'

const inputs = {
  bucket: text('name', 'bucket for the backups; made where there is none', {
    env: 'VELERO_BUCKET', pattern: /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, looks: '3 to 63 lower-case letters, digits, dots and dashes: circleci-server-backups',
  }),
  region: regionInput('region of the bucket and of the cluster\'s volumes'),
  profile: PROFILE,
  user: text('name', 'IAM user of Velero; with several clusters, one for each', { env: 'VELERO_USER', otherwise: 'velero', pattern: /^[\w+=,.@-]{1,64}$/, looks: 'a user name: velero' }),
  role: roleInput('Velero\'s', 'velero', 'VELERO_ROLE'),
  credentials: text('file', 'file that the access key is written to', { env: 'VELERO_CREDENTIALS', otherwise: 'credentials-velero' }),
}

export default runbook(import.meta, {
  name: 'velero-aws',
  purpose: 'set up Velero for backups on AWS S3',
  guide: 'CircleCI server 3.3.0 installation guide, "Server 3.x backups on AWS"',
  when: 'After the installation, before the first backup; and again when the bucket or the access key is to be another one.',
  inputs,
  examples: [
    '--bucket circleci-server-backups --region us-east-1 --context prod-ci --namespace circleci-server --dry-run',
    '--bucket circleci-server-backups --region us-east-1 --context prod-ci --namespace circleci-server',
    '--bucket circleci-server-backups --region us-east-1 --role arn:aws:iam::111122223333:role/velero --namespace circleci-server --yes',
    '--bucket circleci-server-backups --region us-east-1 --rehearse --scenario no-velero --yes',
  ],
  preflight: ({ bucket, region, profile, user, role, credentials }) => {
    const aws = awsIn(region, profile)
    return [
      accountAnswers(aws),
      bucketIsOursOrFree(aws, bucket),
      ...(role ? [roleTrusts(aws, role, 'system:serviceaccount:velero:velero', 'Velero')] : [userIsOurs(aws, user, 'Velero\'s'), fileIsOurs(aws, credentials, user)]),
      veleroFits(),
      clusterAllowsVelero(),
      serverIsAtLeast('3.1.0', 'backups work'),
    ]
  },
  outcome: ({ bucket }) => `Velero keeps backups in ${bucket}`,
  facts: async ({ region, profile, user, role }) => ({ ...(role ? { role } : await userFacts(awsIn(region, profile), user)), ...await veleroFacts() }),
  afterwards: [
    'The credentials file is no longer needed once the cluster has it: keep it where secrets are kept, or delete it.',
    'Backups hold what is in the cluster. External databases and the bucket of artifacts are not in them.',
    'Make a first backup: npx tsx runbooks/backup-restore.ts backup',
  ],
  steps: ({ bucket, region, profile, user, role, credentials }) => {
    const aws = awsIn(region, profile)
    const storage = {
      provider: 'aws' as const, bucket, config: { region }, snapshotConfig: { region },
      access: role ? { annotations: { 'eks.amazonaws.com/role-arn': role } } : { file: credentials },
    }
    const unlessRole = (todo: Step['todo']) => doneWhere(role, 'the role is used in place of a user', todo)
    return [
      step('bucket', 'Make the bucket', () => haveBucket(aws, bucket), { back: 'The bucket stays; an empty one costs nothing.' }),
      step('protect', 'Keep the bucket private, encrypted, with versions', () => protectBucket(aws, bucket, { versions: true })),
      step('user', 'Make the IAM user', unlessRole(() => haveUser(aws, user))),
      step('policy', 'Let the user do what Velero needs, and no more', unlessRole(() => havePolicy(aws, { user }, 'velero', veleroPolicy(bucket, region)))),
      step('key', 'Make an access key, into the credentials file', unlessRole(async () => haveKey(aws, user, { file: credentials, cluster: { key: keyIdIn(await deployedCredentials()) } })), {
        back: `An access key whose secret is in no place is deleted when the same line runs again; ${credentials} is kept.`,
      }),
      step('install', 'Install Velero in the cluster', () => haveVelero(storage)),
      step('location', 'Keep backups in this bucket', () => haveLocation(storage)),
      step('credentials', 'Give the cluster the credentials', unlessRole(() => haveCredentials(credentials, keyIdIn))),
      verifyStep('works', 'Wait until Velero works', 'Velero runs, on each node, and the bucket answers', async () => veleroWorks()),
    ]
  },
})
