/** Types of machines in EC2, as its own command line tells them. */
import type { Aws } from './aws.ts'
import { whereFlags } from './aws.ts'
import { complaint, readTool } from '../tools.ts'

/** One machine of a type. `network` is what it carries in a second, in gigabits, where that is told; `arm` where it runs nothing that is made for x86. */
export interface Machine { cores: number; gigabytes: number; network?: number | undefined; arm?: boolean }

/** What a type of EC2 is; a sentence where EC2 knows none of that name. */
export const machineOf = async ({ region }: Pick<Aws, 'region'>, type: string): Promise<Machine | string> => {
  const said = await readTool(['aws', 'ec2', 'describe-instance-types', '--instance-types', type, '--output', 'json', ...whereFlags(region)])
  if (said.code !== 0) return `EC2 does not know ${type} in ${region}: ${complaint(said)}`
  const [found] = (JSON.parse(said.stdout) as { InstanceTypes: { VCpuInfo: { DefaultVCpus: number }; MemoryInfo: { SizeInMiB: number }; NetworkInfo?: { NetworkPerformance?: string }; ProcessorInfo?: { SupportedArchitectures?: string[] } }[] }).InstanceTypes
  if (!found) return `EC2 does not know ${type} in ${region}`
  const network = /(\d+(?:\.\d+)?) Gigabit/.exec(found.NetworkInfo?.NetworkPerformance ?? '')?.[1]
  return { cores: found.VCpuInfo.DefaultVCpus, gigabytes: found.MemoryInfo.SizeInMiB / 1024, network: network ? Number(network) : undefined, arm: !(found.ProcessorInfo?.SupportedArchitectures ?? ['x86_64']).includes('x86_64') }
}
