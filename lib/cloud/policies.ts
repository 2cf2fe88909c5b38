/**
 * What each identity may do in AWS, as the guides grant it, with their errata mended: valid JSON, no more than they say.
 */

/** AWS' name of its own kind of cloud in a region: China and the government have theirs. */
const partitionOf = (region: string): string => (region.startsWith('cn-') ? 'aws-cn' : region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws')

export interface Policy { Version: '2012-10-17'; Statement: { Effect: 'Allow'; Action: string[]; Resource: string | string[]; Condition?: { StringEquals: Record<string, string> } }[] }

/** Velero on AWS. Installation guide 3.3.0, "Server 3.x backups on AWS", step 2; its `ec2>DeleteSnapshot` is `ec2:DeleteSnapshot`. */
export const veleroPolicy = (bucket: string, region: string): Policy => {
  const arn = `arn:${partitionOf(region)}:s3:::${bucket}`
  return {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow', Resource: '*',
        Action: ['ec2:DescribeVolumes', 'ec2:DescribeSnapshots', 'ec2:CreateTags', 'ec2:CreateVolume', 'ec2:CreateSnapshot', 'ec2:DeleteSnapshot'],
      },
      {
        Effect: 'Allow', Resource: [`${arn}/*`],
        Action: ['s3:GetObject', 's3:DeleteObject', 's3:PutObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts'],
      },
      { Effect: 'Allow', Resource: [arn], Action: ['s3:ListBucket'] },
    ],
  }
}

/**
 * CircleCI server on its bucket. Installation guide 3.3.0, phase 1, "Create an S3 storage bucket", step 3: its 72 actions,
 * whose `s3>DeleteObject` is `s3:DeleteObject`. Those of them that are not about a bucket (ListAllMyBuckets, ListJobs, …)
 * are granted by no resource named here; they stay, for this is what the guide grants. With a role (IRSA) it may also
 * take itself.
 */
export const serverPolicy = (bucket: string, region: string, role?: string): Policy => {
  const arn = `arn:${partitionOf(region)}:s3:::${bucket}`
  return {
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Action: OF_SERVER.split(/\s+/).map((action) => `s3:${action}`), Resource: [arn, `${arn}/*`] },
      ...(role ? [{ Effect: 'Allow' as const, Action: ['iam:GetRole', 'sts:AssumeRole'], Resource: role }] : []),
    ],
  }
}

const OF_SERVER = `PutAnalyticsConfiguration GetObjectVersionTagging CreateBucket GetObjectAcl GetBucketObjectLockConfiguration DeleteBucketWebsite
  PutLifecycleConfiguration GetObjectVersionAcl PutObjectTagging DeleteObject DeleteObjectTagging GetBucketPolicyStatus
  GetObjectRetention GetBucketWebsite GetJobTagging DeleteObjectVersionTagging PutObjectLegalHold GetObjectLegalHold
  GetBucketNotification PutBucketCORS GetReplicationConfiguration ListMultipartUploadParts PutObject GetObject
  PutBucketNotification DescribeJob PutBucketLogging GetAnalyticsConfiguration PutBucketObjectLockConfiguration
  GetObjectVersionForReplication GetLifecycleConfiguration GetInventoryConfiguration GetBucketTagging PutAccelerateConfiguration
  DeleteObjectVersion GetBucketLogging ListBucketVersions ReplicateTags RestoreObject ListBucket GetAccelerateConfiguration
  GetBucketPolicy PutEncryptionConfiguration GetEncryptionConfiguration GetObjectVersionTorrent AbortMultipartUpload
  PutBucketTagging GetBucketRequestPayment GetAccessPointPolicyStatus GetObjectTagging GetMetricsConfiguration PutBucketVersioning
  GetBucketPublicAccessBlock ListBucketMultipartUploads PutMetricsConfiguration PutObjectVersionTagging GetBucketVersioning
  GetBucketAcl PutInventoryConfiguration GetObjectTorrent PutBucketWebsite PutBucketRequestPayment PutObjectRetention
  GetBucketCORS GetBucketLocation GetAccessPointPolicy GetObjectVersion GetAccessPoint GetAccountPublicAccessBlock
  ListAllMyBuckets ListAccessPoints ListJobs`

/** The mark that VM service puts on what it makes. */
const BY_VM_SERVICE = 'circleci-vm-service'

/**
 * VM service on EC2. Installation guide 3.3.0, phase 3, "VM service", step 6, mended: its `ec2>DeleteVolume` is
 * `ec2:DeleteVolume`, its `arn:aws:ec2::*:image/*` are ARNs of EC2 (an image has no account), its second `ec2:Describe*` is
 * left out, its security group is that of the VMs and not the cluster's, and its ec2:Vpc is the ARN of the VPC and not the
 * cluster's.
 */
export const vmPolicy = (region: string, vpc: string, group: string): Policy => {
  const ec2 = `arn:${partitionOf(region)}:ec2:*:`
  const of = (key: string, value: string) => ({ Condition: { StringEquals: { [key]: value } } })
  const kinds = ['key-pair', 'launch-template', 'network-interface', 'placement-group', 'volume', 'subnet']
  const ours = of('aws:RequestTag/ManagedBy', BY_VM_SERVICE)
  return {
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Action: ['ec2:RunInstances'], Resource: [`${ec2}:image/*`, `${ec2}:snapshot/*`, ...kinds.map((kind) => `${ec2}*:${kind}/*`), `${ec2}*:security-group/${group}`] },
      { Effect: 'Allow', Action: ['ec2:RunInstances'], Resource: `${ec2}*:instance/*`, ...ours },
      { Effect: 'Allow', Action: ['ec2:CreateVolume'], Resource: `${ec2}*:volume/*`, ...ours },
      { Effect: 'Allow', Action: ['ec2:Describe*'], Resource: '*' },
      { Effect: 'Allow', Action: ['ec2:CreateTags'], Resource: `${ec2}*:*/*`, ...of('ec2:CreateAction', 'CreateVolume') },
      { Effect: 'Allow', Action: ['ec2:CreateTags'], Resource: `${ec2}*:*/*`, ...of('ec2:CreateAction', 'RunInstances') },
      {
        Effect: 'Allow', Resource: `${ec2}*:*/*`, ...of('ec2:ResourceTag/ManagedBy', BY_VM_SERVICE),
        Action: ['CreateTags', 'StartInstances', 'StopInstances', 'TerminateInstances', 'AttachVolume', 'DetachVolume', 'DeleteVolume'].map((action) => `ec2:${action}`),
      },
      {
        Effect: 'Allow', Resource: `${ec2}*:subnet/*`, ...of('ec2:Vpc', vpc),
        Action: ['RunInstances', 'StartInstances', 'StopInstances', 'TerminateInstances'].map((action) => `ec2:${action}`),
      },
    ],
  }
}

/** The ARN of a VPC, as ec2:Vpc has it. */
export const vpcArn = (region: string, account: string, vpc: string): string => `arn:${partitionOf(region)}:ec2:${region}:${account}:vpc/${vpc}`

/** Nomad autoscaler on the one group of the clients. Installation guide 3.3.0, phase 3, "Nomad Autoscaler", AWS, step 1. */
export const scalerPolicy = (group: string): Policy => ({
  Version: '2012-10-17',
  Statement: [
    { Effect: 'Allow', Resource: group, Action: ['autoscaling:CreateOrUpdateTags', 'autoscaling:UpdateAutoScalingGroup', 'autoscaling:TerminateInstanceInAutoScalingGroup'] },
    { Effect: 'Allow', Resource: '*', Action: ['autoscaling:DescribeScalingActivities', 'autoscaling:DescribeAutoScalingGroups'] },
  ],
})

/** How much of a policy AWS counts: all but the blanks. */
export const sizeOf = (policy: string): number => policy.replaceAll(/\s/g, '').length

/** Whether two policies say the same, whatever the order of their fields. */
export const samePolicy = (one: string, other: Policy): boolean => {
  try {
    return canonical(JSON.parse(one)) === canonical(other)
  } catch {
    return false
  }
}

const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) => (Array.isArray(part) ? part.toSorted() : part && typeof part === 'object' ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1))) : part))
