/**
 * Stacks of CloudFormation, in which eksctl makes what it makes: they go on without whoever began them, and say why they
 * failed.
 */
import type { Aws } from './aws.ts'
import { Fail, fail } from '../fail.ts'

interface Stack { StackStatus: string; Outputs?: { OutputKey: string; OutputValue: string }[] }
interface Event { LogicalResourceId: string; ResourceStatus: string; ResourceStatusReason?: string }

/** `going` makes it, `made` has. What failed, or is being removed, is none of these. */
export type Progress = 'absent' | 'going' | 'made'

const stackOf = async (aws: Aws, StackName: string): Promise<Stack | undefined> =>
  (await aws.read<{ Stacks?: Stack[] }>('cloudformation', 'DescribeStacks', { StackName }))?.Stacks?.[0]

const eventsOf = async (aws: Aws, StackName: string): Promise<Event[]> =>
  (await aws.read<{ StackEvents?: Event[] }>('cloudformation', 'DescribeStackEvents', { StackName }))?.StackEvents ?? []

/** How far a stack is. Throws where it failed, with the reason of the resource that failed first; `cleanUp` removes what it left. */
export const progressOf = async (aws: Aws, name: string, cleanUp: string): Promise<Progress> => {
  const status = (await stackOf(aws, name))?.StackStatus
  if (status === undefined || status === 'DELETE_COMPLETE') return 'absent'
  if (/^(CREATE|UPDATE)_(COMPLETE_CLEANUP_)?IN_PROGRESS$/.test(status)) return 'going'
  if (/^(CREATE_COMPLETE|UPDATE_COMPLETE|UPDATE_ROLLBACK_COMPLETE)$/.test(status)) return 'made'
  if (status === 'DELETE_IN_PROGRESS') throw fail(`The stack ${name} is being deleted.`, 'Repeat the same line when it is gone, in some minutes.')
  throw new StackFailed(name, status, await reasonOf(aws, name), cleanUp)
}

class StackFailed extends Fail {
  constructor(name: string, status: string, reason: string | undefined, cleanUp: string) {
    super(`The stack ${name} failed (${status})${reason ? `: ${reason}` : ''}.`, `Mend what it names, and repeat the same line once what is left is removed: ${cleanUp}`,
      { state: 'What it had made before it failed is removed by AWS, or still there and paid for.' })
  }
}

/** The first resource that failed; those after it were only cancelled. */
const reasonOf = async (aws: Aws, name: string): Promise<string | undefined> => {
  const failed = (await eventsOf(aws, name)).findLast(({ ResourceStatus, ResourceStatusReason = '' }) => ResourceStatus.endsWith('_FAILED') && !/cancelled/i.test(ResourceStatusReason))
  return failed && `${failed.LogicalResourceId}, ${failed.ResourceStatusReason ?? failed.ResourceStatus}`
}

/** The newest event, for who waits. */
export const newestEvent = async (aws: Aws, name: string): Promise<string> => {
  const [newest] = await eventsOf(aws, name)
  return newest ? `${newest.LogicalResourceId} ${newest.ResourceStatus}${newest.ResourceStatusReason ? ` (${newest.ResourceStatusReason})` : ''}` : 'no event yet'
}

export const outputOf = async (aws: Aws, name: string, key: string): Promise<string | undefined> =>
  (await stackOf(aws, name))?.Outputs?.find(({ OutputKey }) => OutputKey === key)?.OutputValue
