#!/usr/bin/env -S npx tsx
/**
 * Set up Velero on Google Cloud: a bucket, an account that may use it and the cluster's disks, Velero in the cluster.
 * Installation guide 3.3.0, "Server 3.x backups on GCP"; operations guide 3.4.1, "Backup and Restore".
 */
import { accountIsOurs, accountIsThere, ACCOUNT, BUCKET, emailOf, haveAccount, haveBinding, haveRole, PROJECT, PROJECT_ID, ROLE } from '../lib/cloud/accounts.ts'
import { doneWhere, step, verifyStep, type Step } from '../lib/effect.ts'
import { gcpIn, projectAnswers } from '../lib/cloud/gcp.ts'
import { gcsBucketIsFor, haveGcsBucket } from '../lib/cloud/gcs.ts'
import { accountSigns, annotationOf, haveAnnotation, identityIsOn, memberOf } from '../lib/cloud/identity.ts'
import { flag, text } from '../lib/inputs.ts'
import { accountFacts, googleFileIsOurs, googleKeyIn, haveGoogleKey } from '../lib/cloud/keys.ts'
import { kotsIsAtLeast, serverIsAtLeast } from '../lib/preflight.ts'
import { runbook } from '../lib/runbook.ts'
import { clusterAllowsVelero, deployedCredentials, haveCredentials, haveLocation, haveVelero, veleroFacts, veleroFits, veleroWorks } from '../lib/velero/velero.ts'

const inputs = {
  bucket: text('name', 'bucket for the backups and nothing else; made where there is none', {
    env: 'VELERO_BUCKET', pattern: /^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/, looks: '3 to 63 lower-case letters, digits, dots, dashes: circleci-server-backups',
  }),
  project: PROJECT_ID,
  location: text('name', 'where a new bucket is made', { env: 'VELERO_LOCATION', otherwise: 'US', pattern: /^[A-Za-z0-9-]+$/, looks: 'a region or a continent: us-east1, US' }),
  serviceAccount: text('name', 'account of Velero; with several clusters, one for each', { env: 'VELERO_SERVICE_ACCOUNT', otherwise: 'velero', pattern: /^[a-z][a-z0-9-]{4,28}[a-z0-9]$/, looks: '6 to 30 lower-case letters, digits and dashes: velero-prod' }),
  workloadIdentity: { ...flag('let Velero\'s account of the cluster be the one of Google (Workload Identity), in place of a key'), env: 'VELERO_WORKLOAD_IDENTITY' },
  skipSigning: flag('with --workload-identity: leave out the check that the account can sign'),
  credentials: text('file', 'file that the key is written to', { env: 'VELERO_CREDENTIALS', otherwise: 'credentials-velero' }),
}

export default runbook(import.meta, {
  name: 'velero-gcp',
  purpose: 'set up Velero for backups on Google Cloud Storage',
  guide: 'CircleCI server 3.3.0 installation guide, "Server 3.x backups on GCP"',
  when: 'After the installation, before the first backup; and again when the bucket or the key is to be another one.',
  inputs,
  examples: [
    '--bucket circleci-server-backups --project my-project --context prod-ci --namespace circleci-server --dry-run',
    '--bucket circleci-server-backups --project my-project --service-account velero-prod --context prod-ci --namespace circleci-server',
    '--bucket circleci-server-backups --project my-project --workload-identity --namespace circleci-server --yes',
    '--bucket circleci-server-backups --project my-project --rehearse --scenario gke --yes',
  ],
  preflight: ({ bucket, project, location, serviceAccount, workloadIdentity, credentials }) => {
    const gcp = gcpIn(project), email = emailOf(project, serviceAccount)
    return [
      projectAnswers(gcp), gcsBucketIsFor('velero', gcp, bucket, location), accountIsOurs(gcp, serviceAccount, 'Velero\'s'),
      ...(workloadIdentity ? [identityIsOn()] : [googleFileIsOurs(credentials, email)]),
      veleroFits(), clusterAllowsVelero(), kotsIsAtLeast('1.40.0', 'backups work'), serverIsAtLeast('3.1.0', 'backups work'),
    ]
  },
  outcome: ({ bucket }) => `Velero keeps backups in ${bucket}`,
  facts: async ({ project, serviceAccount }) => ({ ...await accountFacts(gcpIn(project), emailOf(project, serviceAccount)), ...await veleroFacts() }),
  afterwards: [
    'A credentials file is no longer needed once the cluster has it: keep it where secrets are kept, or delete it.',
    'Backups hold what is in the cluster. External databases and the bucket of artifacts are not in them.',
    'Make a first backup: npx tsx runbooks/backup-restore.ts backup',
  ],
  steps: ({ bucket, project, location, serviceAccount, workloadIdentity, skipSigning, credentials }) => {
    const gcp = gcpIn(project), email = emailOf(project, serviceAccount), member = `serviceAccount:${email}`
    const storage = {
      provider: 'gcp' as const, bucket, config: workloadIdentity ? { serviceAccount: email } : {}, snapshotConfig: {},
      access: workloadIdentity ? { annotations: annotationOf(email) } : { file: credentials },
    }
    const only = (wanted: boolean, why: string, todo: Step['todo']) => doneWhere(!wanted, why, todo)
    const [unlessKey, unlessIdentity] = ['a key is used in place of Workload Identity', 'Workload Identity is used in place of a key']
    return [
      step('bucket', 'Make the bucket, closed to the public', () => haveGcsBucket(gcp, bucket, location), { back: 'The bucket stays; an empty one costs nothing.' }),
      step('account', 'Make the service account', () => haveAccount(gcp, serviceAccount, 'Velero service account'), { verify: async () => [accountIsThere(gcp, serviceAccount)] }),
      step('role', 'Say what Velero may do with disks and snapshots, and no more', () => haveRole(gcp, workloadIdentity)),
      step('bind-role', 'Give the account that role', () => haveBinding(gcp, PROJECT, project, member, `projects/${project}/roles/${ROLE}`)),
      step('bind-bucket', 'Let the account use the bucket, and no other', () => haveBinding(gcp, BUCKET, `gs://${bucket}`, member, 'roles/storage.objectAdmin')),
      step('bind-identity', 'Let Velero be the account', only(workloadIdentity, unlessKey, () => haveBinding(gcp, ACCOUNT, email, memberOf(project, 'velero/velero'), 'roles/iam.workloadIdentityUser'))),
      step('key', 'Make a key, into the credentials file', only(!workloadIdentity, unlessIdentity, async () => haveGoogleKey(gcp, email, { file: credentials, cluster: { key: googleKeyIn(await deployedCredentials(), email) } })), {
        back: `A key whose secret is in no place is deleted when the same line runs again; ${credentials} is kept.`,
      }),
      step('install', 'Install Velero in the cluster', () => haveVelero(storage)),
      step('location', 'Keep backups in this bucket', () => haveLocation(storage)),
      step('annotation', 'Name the account to the cluster', only(workloadIdentity, unlessKey, () => haveAnnotation(email))),
      step('credentials', 'Give the cluster the credentials', only(!workloadIdentity, unlessIdentity, () => haveCredentials(credentials, googleKeyIn))),
      verifyStep('works', 'Wait until Velero works', 'Velero runs, on each node, and the bucket answers', async () =>
        [...(workloadIdentity && !skipSigning ? [accountSigns(gcp, email)] : []), ...veleroWorks()]),
    ]
  },
})
