/**
 * What each identity may do in a cloud, word for word: as the guides grant it, with their errata mended. A policy that is
 * not here fails the test of its file.
 */
import { describe, expect, test } from 'vitest'
import * as policies from '../../lib/cloud/policies.ts'
import { samePolicy, type Policy } from '../../lib/cloud/policies.ts'
import { storePolicy } from '../../lib/cloud/store.ts'

/** Installation guide 3.3.0, "Server 3.x backups on AWS", step 2. Its text has `ec2>DeleteSnapshot`. */
const velero = (partition: string) => ({
  Version: '2012-10-17',
  Statement: [
    {
      Effect: 'Allow',
      Action: ['ec2:DescribeVolumes', 'ec2:DescribeSnapshots', 'ec2:CreateTags', 'ec2:CreateVolume', 'ec2:CreateSnapshot', 'ec2:DeleteSnapshot'],
      Resource: '*',
    },
    {
      Effect: 'Allow',
      Action: ['s3:GetObject', 's3:DeleteObject', 's3:PutObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts'],
      Resource: [`arn:${partition}:s3:::circleci-backups/*`],
    },
    { Effect: 'Allow', Action: ['s3:ListBucket'], Resource: [`arn:${partition}:s3:::circleci-backups`] },
  ],
})

/** Installation guide 3.3.0, "Server 3.x backups with S3 Compatible Storage", step 3. */
const store = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: ['s3:*'], Resource: ['arn:aws:s3:::circleci-backups', 'arn:aws:s3:::circleci-backups/*'] }],
}

/** Installation guide 3.3.0, "Create an S3 storage bucket", step 3: 72 actions in both of its variants. Its text has `s3>DeleteObject`. */
const OF_SERVER = [
  's3:PutAnalyticsConfiguration', 's3:GetObjectVersionTagging', 's3:CreateBucket', 's3:GetObjectAcl',
  's3:GetBucketObjectLockConfiguration', 's3:DeleteBucketWebsite', 's3:PutLifecycleConfiguration', 's3:GetObjectVersionAcl',
  's3:PutObjectTagging', 's3:DeleteObject', 's3:DeleteObjectTagging', 's3:GetBucketPolicyStatus',
  's3:GetObjectRetention', 's3:GetBucketWebsite', 's3:GetJobTagging', 's3:DeleteObjectVersionTagging',
  's3:PutObjectLegalHold', 's3:GetObjectLegalHold', 's3:GetBucketNotification', 's3:PutBucketCORS',
  's3:GetReplicationConfiguration', 's3:ListMultipartUploadParts', 's3:PutObject', 's3:GetObject',
  's3:PutBucketNotification', 's3:DescribeJob', 's3:PutBucketLogging', 's3:GetAnalyticsConfiguration',
  's3:PutBucketObjectLockConfiguration', 's3:GetObjectVersionForReplication', 's3:GetLifecycleConfiguration', 's3:GetInventoryConfiguration',
  's3:GetBucketTagging', 's3:PutAccelerateConfiguration', 's3:DeleteObjectVersion', 's3:GetBucketLogging',
  's3:ListBucketVersions', 's3:ReplicateTags', 's3:RestoreObject', 's3:ListBucket',
  's3:GetAccelerateConfiguration', 's3:GetBucketPolicy', 's3:PutEncryptionConfiguration', 's3:GetEncryptionConfiguration',
  's3:GetObjectVersionTorrent', 's3:AbortMultipartUpload', 's3:PutBucketTagging', 's3:GetBucketRequestPayment',
  's3:GetAccessPointPolicyStatus', 's3:GetObjectTagging', 's3:GetMetricsConfiguration', 's3:PutBucketVersioning',
  's3:GetBucketPublicAccessBlock', 's3:ListBucketMultipartUploads', 's3:PutMetricsConfiguration', 's3:PutObjectVersionTagging',
  's3:GetBucketVersioning', 's3:GetBucketAcl', 's3:PutInventoryConfiguration', 's3:GetObjectTorrent',
  's3:PutBucketWebsite', 's3:PutBucketRequestPayment', 's3:PutObjectRetention', 's3:GetBucketCORS',
  's3:GetBucketLocation', 's3:GetAccessPointPolicy', 's3:GetObjectVersion', 's3:GetAccessPoint',
  's3:GetAccountPublicAccessBlock', 's3:ListAllMyBuckets', 's3:ListAccessPoints', 's3:ListJobs',
]
const ROLE = 'arn:aws:iam::111122223333:role/circleci-server'
const server = (partition: string, ...more: object[]) => ({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: OF_SERVER, Resource: [`arn:${partition}:s3:::circleci-server-data`, `arn:${partition}:s3:::circleci-server-data/*`] }, ...more],
})

/**
 * Installation guide 3.3.0, "VM service", step 6. Mended as in the documentation of that time: ARNs of EC2, one Describe,
 * the security group of the VMs, the ARN of the VPC.
 */
const VPC = 'arn:aws:ec2:us-east-1:111122223333:vpc/vpc-0aaa1111bbbb22223', GROUP = 'sg-0cd93e7b30608b4fc'
const vm = (partition: string) => {
  const tagged = (key: string) => ({ StringEquals: { [key]: 'circleci-vm-service' } })
  const arn = (rest: string) => `arn:${partition}:ec2:*:${rest}`
  return {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow', Action: ['ec2:RunInstances'],
        Resource: [
          arn(':image/*'), arn(':snapshot/*'), arn('*:key-pair/*'), arn('*:launch-template/*'), arn('*:network-interface/*'), arn('*:placement-group/*'), arn('*:volume/*'), arn('*:subnet/*'),
          arn(`*:security-group/${GROUP}`),
        ],
      },
      { Effect: 'Allow', Action: ['ec2:RunInstances'], Resource: arn('*:instance/*'), Condition: tagged('aws:RequestTag/ManagedBy') },
      { Effect: 'Allow', Action: ['ec2:CreateVolume'], Resource: arn('*:volume/*'), Condition: tagged('aws:RequestTag/ManagedBy') },
      { Effect: 'Allow', Action: ['ec2:Describe*'], Resource: '*' },
      { Effect: 'Allow', Action: ['ec2:CreateTags'], Resource: arn('*:*/*'), Condition: { StringEquals: { 'ec2:CreateAction': 'CreateVolume' } } },
      { Effect: 'Allow', Action: ['ec2:CreateTags'], Resource: arn('*:*/*'), Condition: { StringEquals: { 'ec2:CreateAction': 'RunInstances' } } },
      {
        Effect: 'Allow', Resource: arn('*:*/*'), Condition: tagged('ec2:ResourceTag/ManagedBy'),
        Action: ['ec2:CreateTags', 'ec2:StartInstances', 'ec2:StopInstances', 'ec2:TerminateInstances', 'ec2:AttachVolume', 'ec2:DetachVolume', 'ec2:DeleteVolume'],
      },
      { Effect: 'Allow', Resource: arn('*:subnet/*'), Condition: { StringEquals: { 'ec2:Vpc': VPC } }, Action: ['ec2:RunInstances', 'ec2:StartInstances', 'ec2:StopInstances', 'ec2:TerminateInstances'] },
    ],
  }
}

/** Installation guide 3.3.0, "Nomad Autoscaler", AWS, step 1; without its ids of statements. */
const ASG = 'arn:aws:autoscaling:us-east-1:111122223333:autoScalingGroup:12345678-1111-4222-a333-444455556666:autoScalingGroupName/server_circleci_nomad_clients_asg'
const scaler = {
  Version: '2012-10-17',
  Statement: [
    { Effect: 'Allow', Action: ['autoscaling:CreateOrUpdateTags', 'autoscaling:UpdateAutoScalingGroup', 'autoscaling:TerminateInstanceInAutoScalingGroup'], Resource: ASG },
    { Effect: 'Allow', Action: ['autoscaling:DescribeScalingActivities', 'autoscaling:DescribeAutoScalingGroups'], Resource: '*' },
  ],
}

const CASES: [string, Policy, object][] = [
  ['veleroPolicy us-east-1', policies.veleroPolicy('circleci-backups', 'us-east-1'), velero('aws')],
  ['veleroPolicy cn-north-1', policies.veleroPolicy('circleci-backups', 'cn-north-1'), velero('aws-cn')],
  ['veleroPolicy us-gov-west-1', policies.veleroPolicy('circleci-backups', 'us-gov-west-1'), velero('aws-us-gov')],
  ['serverPolicy us-east-1', policies.serverPolicy('circleci-server-data', 'us-east-1'), server('aws')],
  ['serverPolicy cn-north-1', policies.serverPolicy('circleci-server-data', 'cn-north-1'), server('aws-cn')],
  ['serverPolicy with a role', policies.serverPolicy('circleci-server-data', 'us-east-1', ROLE), server('aws', { Effect: 'Allow', Action: ['iam:GetRole', 'sts:AssumeRole'], Resource: ROLE })],
  ['vmPolicy us-east-1', policies.vmPolicy('us-east-1', VPC, GROUP), vm('aws')],
  ['vmPolicy us-gov-east-1', policies.vmPolicy('us-gov-east-1', VPC, GROUP), vm('aws-us-gov')],
  ['scalerPolicy', policies.scalerPolicy(ASG), scaler],
  ['storePolicy', storePolicy('circleci-backups'), store],
]

/** AWS takes this many characters for all inline policies of a user. */
const MOST = 2048
const ARN = /^arn:aws(-cn|-us-gov)?:[a-z0-9-]+:(\*|[a-z0-9-]*):(\d{12}|\*)?:[^\s:][^\s]*$/

describe.each(CASES)('%s', (_, policy, wanted) => {
  test('is what the guide grants, word for word', () => expect(policy).toEqual(wanted))

  test('is a document as IAM takes it', () => {
    expect(Object.keys(policy)).toEqual(['Version', 'Statement'])
    for (const { Effect, Action, Resource, Condition, ...more } of policy.Statement) {
      expect(Effect).toBe('Allow')
      expect(more).toEqual({})
      for (const key of Object.keys(Condition?.StringEquals ?? {})) expect(key).toMatch(/^(ec2|aws):[A-Z][A-Za-z]+(\/ManagedBy)?$/)
      for (const action of Action) expect(action).toMatch(/^[a-z0-9-]+:(\*|[A-Z][A-Za-z]+\*?)$/)
      expect(new Set(Action).size).toBe(Action.length)
      for (const resource of [Resource].flat().filter((one) => one !== '*')) expect(resource).toMatch(ARN)
    }
  })
})

test('each policy of policies.ts is among them', () => {
  const made = Object.keys(policies).filter((name) => name.endsWith('Policy') && name !== 'samePolicy')
  expect(made.filter((name) => !CASES.some(([title]) => title.split(' ')[0] === name))).toEqual([])
})

test('the longest name of a bucket leaves it short enough for a user', () => {
  const longest = 'b'.repeat(63)
  for (const policy of [policies.veleroPolicy(longest, 'us-gov-west-1'), storePolicy(longest)]) expect(JSON.stringify(policy).length).toBeLessThan(MOST)
})

test('that of VM service is short enough for a user', () => {
  expect(policies.sizeOf(JSON.stringify(policies.vmPolicy('us-gov-east-1', policies.vpcArn('us-gov-east-1', '111122223333', 'vpc-0aaa1111bbbb22223'), GROUP)))).toBeLessThan(MOST)
})

test('the server\'s has 72 actions, and is short enough for a user where the bucket\'s name has at most 52 characters', () => {
  expect(new Set(OF_SERVER).size).toBe(72)
  const size = (length: number) => policies.sizeOf(JSON.stringify(policies.serverPolicy('b'.repeat(length), 'us-east-1'), null, 2))
  expect([size(52), size(53)]).toEqual([MOST - 1, MOST + 1])
})

describe('whether two say the same', () => {
  const policy = policies.veleroPolicy('circleci-backups', 'us-east-1')
  const changed = (how: (copy: Policy) => void): string => {
    const copy = structuredClone(policy)
    how(copy)
    return JSON.stringify(copy)
  }
  test.each([
    ['the order of actions', changed(({ Statement }) => Statement.forEach(({ Action }) => Action.reverse())), true],
    ['the order of fields', JSON.stringify({ Statement: policy.Statement, Version: policy.Version }), true],
    ['one action more', changed(({ Statement }) => Statement[0]?.Action.push('ec2:DeleteVolume')), false],
    ['one action less', changed(({ Statement }) => Statement[0]?.Action.pop()), false],
    ['another bucket', JSON.stringify(policies.veleroPolicy('circleci-artifacts', 'us-east-1')), false],
    ['no policy', 'not JSON', false],
  ])('%s', (_, other, same) => expect(samePolicy(other, policy)).toBe(same))
})
