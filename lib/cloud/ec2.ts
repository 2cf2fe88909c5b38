/** Networks and types of machines in EC2, as its own command line tells them: the SDK's client of it is a hundred files more. */
import type { Aws } from './aws.ts'
import { whereFlags } from './aws.ts'
import { fail } from '../fail.ts'
import { line } from '../shell.ts'
import { complaint, readTool } from '../tools.ts'

const ask = async <T>({ region }: Pick<Aws, 'region'>, ...own: string[]): Promise<T | string> => {
  const said = await readTool(['aws', 'ec2', ...own, '--output', 'json', ...whereFlags(region)])
  return said.code === 0 ? JSON.parse(said.stdout) as T : complaint(said)
}

const answered = <T>(aws: Pick<Aws, 'region'>, own: string[], answer: T | string): T => {
  if (typeof answer !== 'string') return answer
  throw fail(`EC2 does not tell: ${answer}`, `Mend what it names; this should answer: ${line(['aws', 'ec2', ...own, ...whereFlags(aws.region)])}`)
}

/** One machine of a type. `network` is what it carries in a second, in gigabits, where that is told. */
export interface Machine { cores: number; gigabytes: number; network?: number | undefined }

/** What a type of EC2 is; a sentence where EC2 knows none of that name. */
export const machineOf = async (aws: Pick<Aws, 'region'>, type: string): Promise<Machine | string> => {
  const answer = await ask<{ InstanceTypes: { VCpuInfo: { DefaultVCpus: number }; MemoryInfo: { SizeInMiB: number }; NetworkInfo?: { NetworkPerformance?: string } }[] }>(aws, 'describe-instance-types', '--instance-types', type)
  const found = typeof answer === 'string' ? undefined : answer.InstanceTypes[0]
  if (!found) return `EC2 does not know ${type} in ${aws.region}${typeof answer === 'string' ? `: ${answer}` : ''}`
  const network = /(\d+(?:\.\d+)?) Gigabit/.exec(found.NetworkInfo?.NetworkPerformance ?? '')?.[1]
  return { cores: found.VCpuInfo.DefaultVCpus, gigabytes: found.MemoryInfo.SizeInMiB / 1024, network: network ? Number(network) : undefined }
}

/** The addresses of a VPC: 192.168.0.0/16. */
export const vpcCidr = async (aws: Pick<Aws, 'region'>, vpc: string): Promise<string> => {
  const own = ['describe-vpcs', '--vpc-ids', vpc]
  const { Vpcs: [found] } = answered(aws, own, await ask<{ Vpcs: { CidrBlock: string }[] }>(aws, ...own))
  if (!found) throw fail(`There is no VPC ${vpc} in ${aws.region}.`, `Those that are there: ${line(['aws', 'ec2', 'describe-vpcs', ...whereFlags(aws.region)])}`)
  return found.CidrBlock
}

export interface Subnet { SubnetId: string; VpcId: string; CidrBlock: string; AvailabilityZone: string; MapPublicIpOnLaunch?: boolean }

export const subnetsOf = async (aws: Pick<Aws, 'region'>, ids: string[]): Promise<Subnet[]> => {
  const own = ['describe-subnets', '--subnet-ids', ...ids]
  return answered(aws, own, await ask<{ Subnets: Subnet[] }>(aws, ...own)).Subnets
}

/** The third address of a network, where a VPC has its DNS server: 192.168.0.2 of 192.168.0.0/16. */
export const thirdAddress = (cidr: string): string => {
  const parts = cidr.split('/')[0]?.split('.').map(Number) ?? []
  const sum = parts.reduce((all, part) => all * 256 + part, 0) + 2
  return [24, 16, 8, 0].map((bits) => Math.floor(sum / 2 ** bits) % 256).join('.')
}
