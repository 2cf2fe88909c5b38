/**
 * The aws CLI in a rehearsal, as far as runbooks run it; all else of AWS is answered where the SDK would send it.
 */
import { awsZones, ZONE } from './certbot.ts'
import { failed, notPlayed, printed, type Output, type Tool } from './tool.ts'
import type { World } from './world.ts'

/** What of the types of EC2 is known here. */
export const TYPES: Record<string, { cores: number; mebibytes: number; network: string; arm?: true }> = Object.fromEntries(
  [['large', 2], ['xlarge', 4], ['2xlarge', 8], ['4xlarge', 16], ['8xlarge', 32], ['12xlarge', 48], ['24xlarge', 96]].map(([size, cores]) =>
    [`m5.${size}`, { cores: Number(cores), mebibytes: Number(cores) * 4096, network: `${Number(cores) > 16 ? '' : 'Up to '}10 Gigabit` }]).concat([['t3.2xlarge', { cores: 8, mebibytes: 32_768, network: 'Up to 5 Gigabit' }]]))
TYPES['m6g.2xlarge'] = { cores: 8, mebibytes: 32_768, network: 'Up to 10 Gigabit', arm: true }

/** The records of the one zone, each a CNAME. */
const records = (world: World, argv: string[]): Output => {
  const json = (answer: object) => printed(JSON.stringify(answer))
  const after = (flag: string) => argv[argv.indexOf(flag) + 1] ?? ''
  if (`/hostedzone/${after('--hosted-zone-id')}` !== ZONE) return failed('An error occurred (NoSuchHostedZone)')
  if (argv[1] === 'list-resource-record-sets') {
    return json({ ResourceRecordSets: Object.entries(world.dns ?? {}).filter(([name]) => name >= after('--start-record-name')).map(([name, to]) => ({ Name: `${name}.`, Type: 'CNAME', TTL: 300, ResourceRecords: [{ Value: `${to}.` }] })) })
  }
  const { Changes } = JSON.parse(after('--change-batch')) as { Changes: { ResourceRecordSet: { Name: string; ResourceRecords: { Value: string }[] } }[] }
  for (const { ResourceRecordSet: { Name, ResourceRecords } } of Changes) world.dns = { ...world.dns, [Name.replace(/\.$/, '')]: ResourceRecords[0]?.Value.replace(/\.$/, '') ?? '' }
  return json({ ChangeInfo: { Status: 'PENDING' } })
}

/** Buckets of a migration: their objects are listed, or copied from one to the other. */
const objects = ({ box }: World, from: string | undefined, to: string, dry: boolean): Output => {
  const there = box?.objects[from ?? to]
  if (!box || there === undefined) return { ...failed('An error occurred (NoSuchBucket) when calling the ListObjectsV2 operation: The specified bucket does not exist'), code: 254 }
  if (!from) return printed(Array.from({ length: there }, (_, n) => `2022-11-21 09:12:44       1024 object-${n}\n`).join(''))
  if (dry) return printed(Array.from({ length: Math.max(0, there - (box.objects[to] ?? 0)) }, (_, n) => `(dryrun) copy: object-${n}\n`).join(''))
  box.objects[to] = Math.max(there, box.objects[to] ?? 0)
  return printed('')
}

export const aws: Tool = {
  name: ({ argv }) => `aws ${argv.slice(0, 2).join(' ')}`,
  mutates: ({ argv }) => argv[1] === 'change-resource-record-sets' || (argv[1] === 'sync' && !argv.includes('--dryrun')),
  play: (world, { argv }) => {
    const words = argv.join(' ')
    if (/^route53 (list|change)-resource-record-sets$/.test(argv.slice(0, 2).join(' '))) return records(world, argv)
    if (words === 'route53 list-hosted-zones --output json') return printed(JSON.stringify(awsZones(world)))
    const [, from, to] = /^s3 (?:sync s3:\/\/(\S+)|ls --recursive) s3:\/\/(\S+)/.exec(words) ?? []
    if (to) return objects(world, from, to, argv.includes('--dryrun'))
    const [, type = ''] = /^ec2 describe-instance-types --instance-types (\S+) --output json --region \S+( --profile \S+)?$/.exec(words) ?? []
    if (!type) return notPlayed(`aws ${argv.slice(0, 2).join(' ')}`, 'aws-cli.ts')
    const found = TYPES[type]
    if (!found) return { ...failed(`An error occurred (InvalidInstanceType) when calling the DescribeInstanceTypes operation: The following supplied instance types do not exist: [${type}]`), code: 254 }
    return printed(JSON.stringify({ InstanceTypes: [{ InstanceType: type, VCpuInfo: { DefaultVCpus: found.cores }, MemoryInfo: { SizeInMiB: found.mebibytes }, NetworkInfo: { NetworkPerformance: found.network }, ProcessorInfo: { SupportedArchitectures: found.arm ? ['arm64'] : ['x86_64'] } }] }))
  },
}
