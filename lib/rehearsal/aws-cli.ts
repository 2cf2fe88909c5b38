/**
 * The aws CLI in a rehearsal, as far as runbooks run it; all else of AWS is answered where the SDK would send it.
 */
import { awsZones } from './certbot.ts'
import { failed, notPlayed, printed, type Tool } from './tool.ts'

/** What of the types of EC2 is known here. */
export const TYPES: Record<string, { cores: number; mebibytes: number; network: string }> = Object.fromEntries(
  [['large', 2], ['xlarge', 4], ['2xlarge', 8], ['4xlarge', 16], ['8xlarge', 32], ['12xlarge', 48]].map(([size, cores]) =>
    [`m5.${size}`, { cores: Number(cores), mebibytes: Number(cores) * 4096, network: `${Number(cores) > 16 ? '' : 'Up to '}10 Gigabit` }]))

export const aws: Tool = {
  name: ({ argv }) => `aws ${argv.slice(0, 2).join(' ')}`,
  mutates: () => false,
  play: (world, { argv }) => {
    const words = argv.join(' ')
    if (words === '--version') return printed('aws-cli/2.8.12 Python/3.9.11 Linux/5.15.0 exe/x86_64.ubuntu.22 prompt/off\n')
    if (words === 'route53 list-hosted-zones --output json') return printed(JSON.stringify(awsZones(world)))
    const [, type = ''] = /^ec2 describe-instance-types --instance-types (\S+) --output json --region \S+( --profile \S+)?$/.exec(words) ?? []
    if (!type) return notPlayed(`aws ${argv.slice(0, 2).join(' ')}`, 'aws-cli.ts')
    const found = TYPES[type]
    if (!found) return { ...failed(`An error occurred (InvalidInstanceType) when calling the DescribeInstanceTypes operation: The following supplied instance types do not exist: [${type}]`), code: 254 }
    return printed(JSON.stringify({ InstanceTypes: [{ InstanceType: type, VCpuInfo: { DefaultVCpus: found.cores }, MemoryInfo: { SizeInMiB: found.mebibytes }, NetworkInfo: { NetworkPerformance: found.network } }] }))
  },
}
