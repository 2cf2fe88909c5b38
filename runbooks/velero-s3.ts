#!/usr/bin/env -S npx tsx
/**
 * Set up Velero on an S3-compatible store: a bucket of its own, a user who may use it and nothing else, Velero in the
 * cluster. Installation guide 3.3.0, "Server 3.x backups with S3 Compatible Storage".
 */
import { step, verifyStep } from '../lib/effect.ts'
import { text } from '../lib/inputs.ts'
import { mcIsThere, storeAnswers } from '../lib/cloud/mc.ts'
import { kotsIsAtLeast, serverIsAtLeast } from '../lib/preflight.ts'
import { runbook } from '../lib/runbook.ts'
import { ALIAS, bucketIsFresh, ENDPOINT, haveAttached, haveSecret, haveStoreBucket, haveStorePolicy, haveStoreUser, keyOfStore, secretIsOurs, storeFacts } from '../lib/cloud/store.ts'
import { clusterAllowsVelero, deployedCredentials, haveCredentials, haveLocation, haveVelero, veleroFacts, veleroFits, veleroWorks } from '../lib/velero/velero.ts'

const inputs = {
  bucket: text('name', 'bucket for the backups and nothing else; made where there is none', {
    env: 'VELERO_BUCKET', pattern: /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, looks: '3 to 63 lower-case letters, digits, dots and dashes: circleci-server-backups',
  }),
  alias: ALIAS,
  endpoint: ENDPOINT,
  region: text('name', 'region that the store was given, where it was given one', { env: 'S3_REGION', otherwise: 'minio', pattern: /^[\w-]+$/, looks: 'a region: minio' }),
  user: text('name', 'user of Velero in the store; with several clusters, one for each', { env: 'VELERO_USER', otherwise: 'velero', pattern: /^[\w.-]{3,64}$/, looks: 'a user name: velero' }),
  credentials: text('file', 'file that the secret is written to', { env: 'VELERO_CREDENTIALS', otherwise: 'credentials-velero' }),
}

/** A policy for each bucket, so that two clusters on a store do not change each other's. */
const storeOf = ({ alias, bucket, user, credentials }: { alias: string; bucket: string; user: string; credentials: string }) =>
  ({ alias, bucket, user, file: credentials, who: 'Velero', policy: `velero-${bucket}`, deployed: deployedCredentials })

export default runbook(import.meta, {
  name: 'velero-s3',
  purpose: 'set up Velero for backups on an S3-compatible store (MinIO)',
  guide: 'CircleCI server 3.3.0 installation guide, "Server 3.x backups with S3 Compatible Storage"',
  when: 'After the installation, before the first backup; and again when the bucket or the store is to be another one.',
  inputs,
  examples: [
    '--bucket circleci-server-backups --alias my-provider --endpoint https://minio.example.com:9000 --context prod-ci --namespace circleci-server --dry-run',
    '--bucket circleci-server-backups --alias my-provider --endpoint https://minio.example.com:9000 --context prod-ci --namespace circleci-server',
    '--bucket circleci-server-backups --alias my-provider --endpoint https://minio.example.com:9000 --rehearse --scenario no-velero --yes',
  ],
  preflight: ({ bucket, alias, endpoint, region, user, credentials }) => {
    const store = storeOf({ alias, bucket, user, credentials })
    return [
      mcIsThere(), storeAnswers(alias, endpoint, 'Velero', 'the last step sees whether it answers to Velero'), bucketIsFresh(store, region), secretIsOurs(store),
      veleroFits(), clusterAllowsVelero(), kotsIsAtLeast('1.40.0', 'backups work'), serverIsAtLeast('3.1.0', 'backups work'),
    ]
  },
  outcome: ({ bucket, alias }) => `Velero keeps backups in ${bucket} of ${alias}`,
  facts: async ({ bucket, alias, user, credentials }) => ({ ...await storeFacts(storeOf({ alias, bucket, user, credentials })), ...await veleroFacts() }),
  afterwards: [
    'The credentials file is no longer needed once the cluster has it: keep it where secrets are kept, or delete it.',
    'Volumes are backed up by restic, file by file: this store has no snapshots of volumes.',
    'Backups hold what is in the cluster. External databases and the bucket of artifacts are not in them.',
    'Make a first backup: npx tsx runbooks/backup-restore.ts backup',
  ],
  steps: ({ bucket, alias, endpoint, region, user, credentials }) => {
    const store = storeOf({ alias, bucket, user, credentials })
    const storage = {
      provider: 'aws' as const, bucket, config: { region, s3ForcePathStyle: 'true', s3Url: endpoint }, snapshotConfig: undefined, access: { file: credentials },
    }
    return [
      step('bucket', 'Make the bucket', () => haveStoreBucket(store), { back: 'The bucket stays; an empty one costs nothing.' }),
      step('secret', 'Make Velero\'s secret, into the credentials file', () => haveSecret(store), { back: `${credentials} is kept: the user is made from it.` }),
      step('user', 'Make the user from the file', () => haveStoreUser(store)),
      step('policy', 'Say what the user may do: this bucket, no other', () => haveStorePolicy(store)),
      step('attach', 'Give the user that policy', () => haveAttached(store)),
      step('install', 'Install Velero in the cluster', () => haveVelero(storage)),
      step('location', 'Keep backups in this bucket', () => haveLocation(storage)),
      step('credentials', 'Give the cluster the credentials', () => haveCredentials(credentials, keyOfStore)),
      verifyStep('works', 'Wait until Velero works', 'Velero runs, on each node, and the bucket answers', async () => veleroWorks()),
    ]
  },
})
