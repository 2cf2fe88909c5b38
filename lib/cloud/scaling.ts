/**
 * The groups in which clouds keep the Nomad clients, and the sizes between which they grow and shrink: an autoscaling group
 * of EC2, a managed instance group of Google. Installation guide 3.3.0, phase 3, "Nomad Autoscaler".
 */
import type { Aws } from './aws.ts'
import type { Gcp } from './gcp.ts'
import { oncePerLook } from '../door.ts'
import { bad, ok, preflight } from '../effect.ts'
import { fail } from '../fail.ts'
import { line } from '../shell.ts'

/** Undefined where the cloud has no limit of its own for the group. */
export interface Sizes { min: number | undefined; max: number | undefined }
export interface Group {
  name: string
  /** With its ARN and how many it is to have now, on AWS; undefined where there is no such group. */
  sizes(): Promise<(Sizes & { arn?: string; desired?: number }) | undefined>
  /** A line that lists those that there are. */
  others: string
}

export const awsGroup = (aws: Aws, name: string): Group => ({
  name, others: line([...aws.words('autoscaling', 'DescribeAutoScalingGroups', {}), '--query', 'AutoScalingGroups[].[AutoScalingGroupName,MinSize,MaxSize]', '--output', 'text']),
  sizes: oncePerLook(async () => {
    interface Found { AutoScalingGroupARN: string; MinSize: number; MaxSize: number; DesiredCapacity: number }
    const found = (await aws.read<{ AutoScalingGroups?: Found[] }>('autoscaling', 'DescribeAutoScalingGroups', { AutoScalingGroupNames: [name] }))?.AutoScalingGroups?.[0]
    return found && { min: found.MinSize, max: found.MaxSize, arn: found.AutoScalingGroupARN, desired: found.DesiredCapacity }
  }),
})

/** `location` is a zone, or a region. */
export const isZone = (location: string): boolean => /-[a-z]$/.test(location)

export const googleGroup = (gcp: Gcp, name: string, location: string): Group => ({
  name, others: line([...gcp.words('compute', 'instance-groups', 'managed', 'list'), '--format=table(name,location(),location_scope())']),
  sizes: oncePerLook(async () => {
    const found = await gcp.read<{ autoscaler?: { autoscalingPolicy?: { minNumReplicas?: number; maxNumReplicas?: number } } }>(
      'compute', 'instance-groups', 'managed', 'describe', name, `--${isZone(location) ? 'zone' : 'region'}=${location}`)
    const { minNumReplicas: min, maxNumReplicas: max } = found?.autoscaler?.autoscalingPolicy ?? {}
    return found && { min, max }
  }),
})

/** What is named; where nothing is, what the group has. */
export const sizesWanted = async (group: Group, named: Sizes): Promise<{ min: number; max: number }> => {
  const has = await group.sizes()
  const min = named.min ?? has?.min, max = named.max ?? has?.max
  if (min === undefined || max === undefined) throw fail(`The sizes of ${group.name} are not known.`, 'Name those that Terraform was given, with --min and --max.')
  return { min, max }
}

/** The group is there, and its sizes are those that go into the screen: two of them would compete. */
export const groupIsThere = (group: Group, named: Sizes) => preflight('group', 'the group of the Nomad clients is there, and has the sizes that Terraform gave it', async () => {
  const has = await group.sizes()
  if (!has) return bad(`there is no group ${group.name}`, `It is an output of Terraform. Those that there are: ${group.others}`)
  const { min, max } = await sizesWanted(group, named)
  if (min > max) return bad(`at least ${min} and at most ${max} clients do not go together`, 'Name --min and --max so that they do.')
  const other = (['min', 'max'] as const).filter((one) => has[one] !== undefined && has[one] !== { min, max }[one])
  if (other.length) return bad(`the group has ${has.min} to ${has.max} clients, and ${min} to ${max} are named: autoscaler and Terraform would each put back their own`, 'Leave --min and --max out to take those of the group, or change Terraform\'s first (nodes, max_nodes), and apply that.')
  return min === 0 ? bad(`${group.name} may shrink to none, and the autoscaler does not grow a group that has none`, 'Have Terraform keep one client at least: repeat the line of nomad-terraform.ts with --autoscaler (NOMAD_AUTOSCALER=1).') : ok(`${group.name}, ${min} to ${max} clients`)
})
