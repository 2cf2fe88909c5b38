#!/usr/bin/env -S npx tsx
/**
 * The object storage of the server on AWS S3: a bucket, and an identity that may use it and no other.
 * Installation guide 3.3.0, phase 1, "Create an S3 storage bucket". The bucket keeps no versions: the server lets objects
 * expire, and old versions of them would stay, and be paid for.
 */
import { awsActor } from '../lib/cloud/actors.ts'
import { accountAnswers, awsIn, PROFILE, regionInput, roleInput, roleTrusts } from '../lib/cloud/aws.ts'
import { bucketIs, bucketIsOursOrFree, bucketSuitsExpiry, haveBucket, protectBucket } from '../lib/cloud/buckets.ts'
import { doneWhere, step, type Step } from '../lib/effect.ts'
import { havePolicy, holderOf, policyFits } from '../lib/cloud/grants.ts'
import { fileIsOurs, haveKey, userFacts, haveUser, keyIdIn, userIsOurs } from '../lib/cloud/iam.ts'
import { readSecret } from '../lib/files.ts'
import { AFTERWARDS, accountIn, fileInput, keySettings, namespaceInput, nameInput, objectInputs, settings } from '../lib/server/object-storage.ts'
import { serverPolicy } from '../lib/cloud/policies.ts'
import { bucketAnswers, haveProof } from '../lib/cloud/proof.ts'
import { runbook } from '../lib/runbook.ts'

const inputs = {
  ...objectInputs(),
  region: regionInput('region of the bucket'),
  profile: PROFILE,
  user: nameInput('IAM user of the server', /^[\w+=,.@-]{1,64}$/),
  credentials: fileInput('credentials-circleci-server'),
  role: roleInput('the server\'s', 'circleci-server', 'OBJECT_STORAGE_ROLE'),
  serverNamespace: namespaceInput('--role'),
}

export default runbook(import.meta, {
  name: 'object-storage-aws',
  purpose: 'set up the object storage of the server on AWS S3',
  guide: 'CircleCI server 3.3.0 installation guide, phase 1, "Create an S3 storage bucket"',
  when: 'Before the server is installed; and again when it is to have another key.',
  cluster: false,
  inputs,
  examples: [
    '--bucket circleci-server-data --region us-east-1 --expiry 30 --dry-run',
    '--bucket circleci-server-data --region us-east-1 --expiry 30',
    '--bucket circleci-server-data --region us-east-1 --expiry 0 --role arn:aws:iam::111122223333:role/circleci-server',
    '--bucket my-objects --region us-east-1 --expiry 30 --rehearse',
  ],
  preflight: ({ bucket, region, profile, user, role, credentials, serverNamespace }) => {
    const aws = awsIn(region, profile)
    return [
      accountAnswers(aws), bucketIsOursOrFree(aws, bucket), bucketSuitsExpiry(aws, bucket),
      ...(role ? [roleTrusts(aws, role, `system:serviceaccount:${accountIn(serverNamespace).replace('/', ':')}`, 'The server')]
        : [userIsOurs(aws, user, 'the server\'s'), policyFits(aws, user, 'circleci-server', serverPolicy(bucket, region)), fileIsOurs(aws, credentials, user)]),
    ]
  },
  outcome: ({ bucket, role }) => (role ? `The role may use ${bucket}; that it can is seen once the server runs` : `The server's key may use ${bucket}`),
  facts: async ({ bucket, region, profile, user, role, credentials, expiry }) => {
    const aws = awsIn(region, profile)
    return {
      ...settings({
        bucket, there: await bucketIs(aws, bucket) !== 'free', expiry, place: { 'AWS S3 Region': region, 'S3 Endpoint': 'left empty: the region stands for it' },
        access: role ? { 'Role ARN': role } : keySettings(keyIdIn(readSecret(credentials)), credentials),
      }),
      ...(role ? {} : await userFacts(aws, user)),
    }
  },
  afterwards: AFTERWARDS,
  steps: ({ bucket, region, profile, user, role, credentials }) => {
    const aws = awsIn(region, profile), key = awsActor(region, bucket, credentials)
    const unlessRole = (todo: Step['todo'], why = 'the role is used in place of a user') => doneWhere(role, why, todo)
    const holder = holderOf(role, user)
    return [
      step('bucket', 'Make the bucket', () => haveBucket(aws, bucket), { back: 'The bucket stays; an empty one costs nothing.' }),
      step('protect', 'Keep the bucket private and encrypted; without versions, which would outlive what expires', () => protectBucket(aws, bucket, { versions: false })),
      step('user', 'Make the IAM user', unlessRole(() => haveUser(aws, user))),
      step('policy', 'Let it do what the guide grants, in this bucket', () => havePolicy(aws, holder, 'circleci-server', serverPolicy(bucket, region, role))),
      step('key', 'Make an access key, into the credentials file', unlessRole(() => haveKey(aws, user, { file: credentials })), {
        back: `An access key that was never used and is not in ${credentials} is deleted when the same line runs again.`,
      }),
      step('prove', 'Write, delete and read with that key', unlessRole(() => haveProof(key), 'not from here: only the server\'s pods can take the role'), {
        before: async () => [await bucketAnswers(key)], back: 'The object circleci-runbooks-proof says which key has done it; it may be deleted.',
      }),
    ]
  },
})
