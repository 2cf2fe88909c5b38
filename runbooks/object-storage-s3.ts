#!/usr/bin/env -S npx tsx
/**
 * The object storage of the server on an S3-compatible store (MinIO): a bucket, and a user who may use it and no other.
 * Installation guide 3.3.0, phase 1, "Create an S3 storage bucket", which gives no lines for such a store: those of its
 * backups with S3-compatible storage are taken. The alias needs the store's administrator, not the user that is made.
 */
import { storeActor } from '../lib/cloud/actors.ts'
import { step } from '../lib/effect.ts'
import { keyIdIn } from '../lib/cloud/iam.ts'
import { readSecret } from '../lib/files.ts'
import { mcIsThere, storeAnswers } from '../lib/cloud/mc.ts'
import { AFTERWARDS, fileInput, keySettings, nameInput, objectInputs, settings } from '../lib/server/object-storage.ts'
import { bucketAnswers, haveProof } from '../lib/cloud/proof.ts'
import { runbook } from '../lib/runbook.ts'
import { ALIAS, bucketIsWithoutVelero, ENDPOINT, haveAttached, haveSecret, haveStoreBucket, haveStorePolicy, haveStoreUser, isStoreBucket, secretIsOurs, storeFacts } from '../lib/cloud/store.ts'

const inputs = {
  ...objectInputs(),
  alias: ALIAS,
  endpoint: ENDPOINT,
  user: nameInput('user of the server in the store', /^[\w.-]{3,64}$/),
  credentials: fileInput('credentials-circleci-server'),
}

/** A policy for each bucket, so that two installations on a store do not change each other's. */
const storeOf = ({ alias, bucket, user, credentials }: { alias: string; bucket: string; user: string; credentials: string }) =>
  ({ alias, bucket, user, file: credentials, who: 'the server', policy: `circleci-server-${bucket}` })

export default runbook(import.meta, {
  name: 'object-storage-s3',
  purpose: 'set up the object storage of the server on an S3-compatible store (MinIO)',
  guide: 'CircleCI server 3.3.0 installation guide, phase 1, "Create an S3 storage bucket"',
  when: 'Before the server is installed; and again when it is to have another secret.',
  cluster: false,
  inputs,
  examples: [
    '--bucket circleci-server-data --alias my-provider --endpoint https://minio.example.com:9000 --expiry 30 --dry-run',
    '--bucket circleci-server-data --alias my-provider --endpoint https://minio.example.com:9000 --expiry 30',
    '--bucket my-objects --alias my-provider --endpoint https://minio.example.com:9000 --expiry 30 --rehearse',
  ],
  preflight: (values) => {
    const store = storeOf(values)
    return [mcIsThere(), storeAnswers(values.alias, values.endpoint, 'the server', 'whether it answers there to the cluster and the Nomad clients is not seen from here'), bucketIsWithoutVelero(store), secretIsOurs(store)]
  },
  outcome: ({ bucket, user, alias }) => `${user} may use ${bucket} of ${alias}`,
  facts: async (values) => ({
    ...settings({
      bucket: values.bucket, there: await isStoreBucket(storeOf(values)), expiry: values.expiry, place: { 'AWS S3 Region': 'left empty: the endpoint stands for it', 'S3 Endpoint': values.endpoint },
      access: keySettings(keyIdIn(readSecret(values.credentials)), values.credentials),
    }),
    ...await storeFacts(storeOf(values)),
  }),
  afterwards: AFTERWARDS,
  steps: (values) => {
    const store = storeOf(values), secret = storeActor(store)
    return [
      step('bucket', 'Make the bucket', () => haveStoreBucket(store), { back: 'The bucket stays; an empty one costs nothing.' }),
      step('secret', 'Make the server\'s secret, into the credentials file', () => haveSecret(store), { back: `${values.credentials} is kept: the user is made from it.` }),
      step('user', 'Make the user from the file', () => haveStoreUser(store)),
      step('policy', 'Say what the user may do: this bucket, no other', () => haveStorePolicy(store)),
      step('attach', 'Give the user that policy', () => haveAttached(store)),
      step('prove', 'Write, delete and read with that secret', () => haveProof(secret), {
        before: async () => [await bucketAnswers(secret)], back: 'The object circleci-runbooks-proof says which secret has done it; it may be deleted.',
      }),
    ]
  },
})
