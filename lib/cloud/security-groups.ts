/**
 * Security groups of EC2 and their rules: who may come in, on which port. A group is known by an id that it has only once
 * it is made; what names it before asks for it in its line.
 */
import type { Aws } from './aws.ts'
import type { Done, Effect } from '../effect.ts'
import { oncePerLook } from '../door.ts'
import { bad, done, isDone, ok, preflight, warning } from '../effect.ts'
import { fail } from '../fail.ts'
import { line } from '../shell.ts'
import type { Told } from '../server/config.ts'
import { FOR_JOBS } from '../server/vm-service.ts'
import { isEverybody } from './cidr.ts'
import { isOurs, MARK } from './iam.ts'

/** Who may come in by TCP; no rule is without a source. */
export interface Rule { port: number; from: string; why: string }

interface Permission { IpProtocol?: string; FromPort?: number; ToPort?: number; IpRanges?: { CidrIp?: string }[]; Ipv6Ranges?: { CidrIpv6?: string }[]; UserIdGroupPairs?: { GroupId?: string }[]; PrefixListIds?: { PrefixListId?: string }[] }
interface Found { GroupId: string; Tags?: { Key: string; Value: string }[]; IpPermissions?: Permission[] }

export interface Group {
  aws: Aws
  name: string
  /** The VPC that it is in. */
  vpc(): Promise<string>
  found(): Promise<Found | undefined>
  /** The words that print its id. */
  ask(): Promise<string[]>
}

export const groupIn = (aws: Aws, name: string, vpc: () => Promise<string>): Group => {
  const filters = async () => ({ Filters: [{ Name: 'vpc-id', Values: [await vpc()] }, { Name: 'group-name', Values: [name] }] })
  return {
    aws, name, vpc,
    found: oncePerLook(async () => (await aws.read<{ SecurityGroups?: Found[] }>('ec2', 'DescribeSecurityGroups', await filters()))?.SecurityGroups?.[0]),
    ask: async () => [...aws.words('ec2', 'DescribeSecurityGroups', await filters()), '--query', 'SecurityGroups[0].GroupId', '--output', 'text'],
  }
}

/** Its id as a field of the Config screen gets it. */
export const toldGroup = async (group: Group): Promise<Told> =>
  ({ say: `the id of security group ${group.name}`, words: await group.ask(), read: async () => (await group.found())?.GroupId })

/** The group is there; a new one bears our mark, and lets nobody in. */
export const haveGroup = async (group: Group, Description: string): Promise<Done | Effect[]> => {
  const { aws, name } = group, found = await group.found()
  return found ? done(`${name} is ${found.GroupId}${isOurs(found.Tags) ? '' : ', made by somebody else'}`)
    : [aws.effect('ec2', 'CreateSecurityGroup', { GroupName: name, Description, VpcId: await group.vpc(), TagSpecifications: [{ ResourceType: 'security-group', Tags: [MARK, { Key: 'Name', Value: name }] }] }, { on: name, again: 'guarded' })]
}

/** Of a group that is not made yet; the braces have each word that holds it quoted. */
const PLACE = '{GROUP}'

/** What names the group: by its id, or while there is none by a line that asks for it just before. */
export const onGroup = async (group: Group, todo: (id: string) => Promise<Done | Effect[]>): Promise<Done | Effect[]> => {
  const id = (await group.found())?.GroupId
  if (id) return todo(id)
  const [planned, ask] = [await todo(PLACE), await group.ask()]
  return isDone(planned) ? planned : planned.map((effect) => ({
    ...effect, command: { ...effect.command, words: ['bash', '-c', `group=$(${line(ask)}) && ${line(effect.command.words).replaceAll(PLACE, () => `'"$group"'`)}`] },
    call: () => Promise.reject(fail(`There is no security group ${group.name} any more.`, 'Repeat the same line: it makes it first.')),
  }))
}

interface Open { port: string; from: string; /** Whether it opens this port. */ has(port: number): boolean }
const opened = (permissions: Permission[] = []): Open[] => permissions.flatMap(({ IpProtocol, FromPort = 0, ToPort = 65_535, IpRanges = [], Ipv6Ranges = [], UserIdGroupPairs = [], PrefixListIds = [] }) => {
  const port = IpProtocol === 'tcp' && FromPort === ToPort ? String(FromPort) : IpProtocol === '-1' ? 'every port' : `${FromPort}-${ToPort}/${IpProtocol}`
  return [...IpRanges.map(({ CidrIp }) => CidrIp), ...Ipv6Ranges.map(({ CidrIpv6 }) => CidrIpv6), ...UserIdGroupPairs.map(({ GroupId }) => GroupId), ...PrefixListIds.map(({ PrefixListId }) => PrefixListId)]
    .map((from = '') => ({ port, from, has: (one) => IpProtocol === '-1' || (IpProtocol === 'tcp' && FromPort <= one && one <= ToPort) }))
})
const same = (rule: Rule) => ({ port, from }: Open): boolean => port === String(rule.port) && from === rule.from

/** Whoever the rules name may come in. What else is open is left as it is: the preflight names it. */
export const haveRules = (group: Group, rules: Rule[]): Promise<Done | Effect[]> => onGroup(group, async (GroupId) => {
  const open = opened((await group.found())?.IpPermissions)
  const missing = rules.filter((rule) => !open.some(same(rule)))
  if (!missing.length) return done(rules.map(({ port, from }) => `${port} from ${from}`).join(', '))
  const IpPermissions = [...new Set(missing.map(({ port }) => port))].map((port) => ({
    IpProtocol: 'tcp', FromPort: port, ToPort: port, IpRanges: missing.filter((rule) => rule.port === port).map(({ from, why }) => ({ CidrIp: from, Description: why })),
  }))
  return [group.aws.effect('ec2', 'AuthorizeSecurityGroupIngress', { GroupId, IpPermissions }, {
    on: group.name, again: 'guarded', changes: missing.map(({ port, from }) => ({ what: `${group.name} port ${port}`, from: '–', to: from })),
  })]
})

/** The name is free, or the group was made here; whom it lets in beside those of the rules is told. */
export const groupIsOurs = (group: Group, rules: () => Promise<Rule[]>) => preflight('security-group', `the security group ${group.name} is not there yet, or was made here and lets in nobody else`, async () => {
  const found = await group.found()
  if (!found) return ok(`${group.name} will be made`)
  const wanted = await rules(), others = opened(found.IpPermissions).filter((one) => !wanted.some((rule) => same(rule)(one)))
  const told = others.map(({ port, from }) => `${port} to ${from}`).join(', ')
  const close = `See them, and close what nobody needs (aws ec2 revoke-security-group-ingress): ${line(group.aws.words('ec2', 'DescribeSecurityGroups', { GroupIds: [found.GroupId] }))}`
  if (others.some(({ from, has }) => isEverybody(from) && FOR_JOBS.some(has))) return bad(`${group.name} is open to everybody: ${told}`, close)
  if (!isOurs(found.Tags)) return warning(`security group ${group.name} (${found.GroupId}) was not made here${told ? `, and opens ${told} too` : ''}`, 'Go on if it is that of the VMs; otherwise name another one with --security-group.')
  return others.length ? warning(`${group.name} opens more than is asked for: ${told}`, close) : ok(`${group.name} is ${found.GroupId}`)
})

/** For the summary: who may come in. */
export const groupFacts = async (group: Group): Promise<Record<string, string>> => {
  const found = await group.found()
  return { 'security group': found ? found.GroupId : `${group.name} is not there`, open: opened(found?.IpPermissions).map(({ port, from }) => `${port} from ${from}`).toSorted().join(', ') || 'nothing' }
}
