#!/usr/bin/env -S npx tsx
/**
 * The object storage of the server on Google Cloud Storage: a bucket, and an account that may use it and no other.
 * Installation guide 3.3.0, phase 1, "Create a Google Cloud storage bucket". Two things of the guide are left out: its
 * role with compute.disks… and compute.snapshots… is a copy of Velero's, which no storage needs; and its condition
 * startsWith("projects/_/buckets/NAME"), without a slash at the end, lets in NAME2 too: the right is given on the bucket.
 */
import { accountIsOurs, accountIsThere, ACCOUNT, BUCKET, emailOf, haveAccount, haveBinding, PROJECT_ID } from '../lib/cloud/accounts.ts'
import { googleActor } from '../lib/cloud/actors.ts'
import { doneWhere, step, type Step } from '../lib/effect.ts'
import { gcpIn, projectAnswers } from '../lib/cloud/gcp.ts'
import { gcsBucketIsFor, haveGcsBucket, isGcsBucket } from '../lib/cloud/gcs.ts'
import { memberOf } from '../lib/cloud/identity.ts'
import { flag, text } from '../lib/inputs.ts'
import { accountFacts, googleFileIsOurs, googleKeyIn, haveGoogleKey } from '../lib/cloud/keys.ts'
import { placeOf, readSecret } from '../lib/files.ts'
import { AFTERWARDS, accountIn, fileInput, namespaceInput, nameInput, objectInputs, settings } from '../lib/server/object-storage.ts'
import { bucketAnswers, haveProof } from '../lib/cloud/proof.ts'
import { runbook } from '../lib/runbook.ts'

const inputs = {
  ...objectInputs('_'),
  project: PROJECT_ID,
  location: text('name', 'where a new bucket is made', { env: 'OBJECT_STORAGE_LOCATION', otherwise: 'US', pattern: /^[A-Za-z0-9-]+$/, looks: 'a region or a continent: us-east1, US' }),
  serviceAccount: nameInput('account of the server', /^[a-z][a-z0-9-]{4,28}[a-z0-9]$/, 'OBJECT_STORAGE_SERVICE_ACCOUNT'),
  credentials: fileInput('circleci-server-keyfile'),
  workloadIdentity: { ...flag('let the server\'s account of the cluster be the one of Google (Workload Identity, server 3.4), in place of a key'), env: 'OBJECT_STORAGE_WORKLOAD_IDENTITY' },
  serverNamespace: namespaceInput('--workload-identity'),
}

export default runbook(import.meta, {
  name: 'object-storage-gcp',
  purpose: 'set up the object storage of the server on Google Cloud Storage',
  guide: 'CircleCI server 3.3.0 installation guide, phase 1, "Create a Google Cloud storage bucket"',
  when: 'Before the server is installed; and again when it is to have another key.',
  cluster: false,
  inputs,
  examples: [
    '--bucket circleci-server-data --project my-project --expiry 30 --dry-run',
    '--bucket circleci-server-data --project my-project --expiry 30 --location us-east1',
    '--bucket circleci-server-data --project my-project --expiry 0 --workload-identity',
    '--bucket my-objects --project my-project --expiry 30 --rehearse',
  ],
  preflight: ({ bucket, project, location, serviceAccount, workloadIdentity, credentials }) => {
    const gcp = gcpIn(project)
    return [
      projectAnswers(gcp), gcsBucketIsFor('server', gcp, bucket, location), accountIsOurs(gcp, serviceAccount, 'the server\'s'),
      ...(workloadIdentity ? [] : [googleFileIsOurs(credentials, emailOf(project, serviceAccount))]),
    ]
  },
  outcome: ({ bucket, workloadIdentity }) => (workloadIdentity ? `The account may use ${bucket}; that the server can be it is seen once it runs` : `The server's key may use ${bucket}`),
  facts: async ({ bucket, project, serviceAccount, workloadIdentity, credentials, expiry }) => {
    const gcp = gcpIn(project), email = emailOf(project, serviceAccount)
    return {
      ...settings({
        bucket, there: await isGcsBucket(gcp, bucket), expiry, place: {},
        access: workloadIdentity ? { 'Workload Identity': email } : { 'Service Account JSON': googleKeyIn(readSecret(credentials), email) ? `all of ${placeOf(credentials)}` : 'none yet' },
      }),
      ...await accountFacts(gcp, email),
    }
  },
  afterwards: [
    ...AFTERWARDS,
    'Google keeps what is deleted for 7 days, and charges for it, unless that is turned off: gcloud storage buckets update gs://BUCKET --clear-soft-delete',
    'With --workload-identity it has to be on in the cluster (gcloud container clusters update CLUSTER --workload-pool=PROJECT.svc.id.goog) and in its node pools (--workload-metadata=GKE_METADATA).',
  ],
  steps: ({ bucket, project, location, serviceAccount, workloadIdentity, serverNamespace, credentials }) => {
    const gcp = gcpIn(project), email = emailOf(project, serviceAccount), member = `serviceAccount:${email}`
    const key = googleActor(gcp, email, bucket, credentials)
    const only = (wanted: boolean, why: string, todo: Step['todo']) => doneWhere(!wanted, why, todo)
    const [unlessKey, unlessIdentity] = ['a key is used in place of Workload Identity', 'Workload Identity is used in place of a key']
    return [
      step('bucket', 'Make the bucket, closed to the public', () => haveGcsBucket(gcp, bucket, location), { back: 'The bucket stays; an empty one costs nothing.' }),
      step('account', 'Make the service account', () => haveAccount(gcp, serviceAccount, 'circleci-server service account'), { verify: async () => [accountIsThere(gcp, serviceAccount)] }),
      step('bind-bucket', 'Let the account use the bucket, and no other', () => haveBinding(gcp, BUCKET, `gs://${bucket}`, member, 'roles/storage.objectAdmin')),
      step('bind-identity', 'Let the server be the account', only(workloadIdentity, unlessKey, () => haveBinding(gcp, ACCOUNT, email, memberOf(project, accountIn(serverNamespace)), 'roles/iam.workloadIdentityUser'))),
      step('bind-signing', 'Let the account sign addresses as itself, for without a key Google signs them', only(workloadIdentity, unlessKey, () => haveBinding(gcp, ACCOUNT, email, member, 'roles/iam.serviceAccountTokenCreator'))),
      step('key', 'Make a key, into the credentials file', only(!workloadIdentity, unlessIdentity, () => haveGoogleKey(gcp, email, { file: credentials })), {
        back: `A key that nobody used and is not in ${credentials} is deleted when the same line runs again.`,
      }),
      step('prove', 'Write, delete and read with that key', only(!workloadIdentity, 'not from here: only the server\'s pods can be the account', () => haveProof(key)), {
        before: async () => [await bucketAnswers(key)], back: 'The object circleci-runbooks-proof says which key has done it; it may be deleted.',
      }),
    ]
  },
})
