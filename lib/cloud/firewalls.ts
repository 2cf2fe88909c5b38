/**
 * Firewall rules of Google Cloud: who may come in, on which ports, to the machines that bear a tag. The guide's own let
 * everybody into every machine of the network; none of these is without a source and a tag.
 */
import type { Gcp } from './gcp.ts'
import type { Done, Effect } from '../effect.ts'
import { bad, done, forEach, ok, preflight, warning } from '../effect.ts'
import { line } from '../shell.ts'
import { MARK } from './iam.ts'

export interface Rule { name: string; ports: number[]; from: string[] }
/** `network` is a name, or in a shared VPC its whole address; the rules are of the project that has it. */
export interface Wall { gcp: Gcp; network: string; tag: string }

const OURS = `${MARK.Key} ${MARK.Value}`
interface Found { network?: string; description?: string; direction?: string; disabled?: boolean; sourceRanges?: string[]; sourceTags?: string[]; sourceServiceAccounts?: string[]; targetTags?: string[]; allowed?: { IPProtocol: string; ports?: string[] }[] }

const ruleOf = (gcp: Gcp, name: string): Promise<Found | undefined> => gcp.read<Found>('compute', 'firewall-rules', 'describe', name)
const same = (one: string[] = [], other: string[]): boolean => one.toSorted().join() === other.toSorted().join()
/** Who comes in beside the ranges, which would be as many more. */
const alsoFrom = ({ sourceTags = [], sourceServiceAccounts = [] }: Found): string[] => [...sourceTags, ...sourceServiceAccounts]
const openedBy = ({ allowed = [] }: Found): string[] => allowed.flatMap(({ IPProtocol, ports }) => (ports ?? ['all']).map((port) => `${IPProtocol}:${port}`))
const portsOf = ({ ports }: Rule): string[] => ports.map((port) => `tcp:${port}`)

/** Each rule lets in exactly whom it names. */
export const haveFirewalls = ({ gcp, network, tag }: Wall, rules: Rule[]): Promise<Done | Effect[]> => forEach(rules, async (rule) => {
  const { name, from } = rule, found = await ruleOf(gcp, name)
  const what = [`--rules=${portsOf(rule).join(',')}`, `--source-ranges=${from.join(',')}`, `--target-tags=${tag}`]
  if (!found) return [gcp.effect(`gcp firewall ${name}`, ['compute', 'firewall-rules', 'create', name, `--network=${network}`, '--direction=INGRESS', '--action=ALLOW', ...what, `--description=${OURS}`], { again: 'guarded' })]
  if (same(openedBy(found), portsOf(rule)) && same(found.sourceRanges, from) && same(found.targetTags, [tag]) && !found.disabled && !alsoFrom(found).length) return done(`${name} lets in ${from.join(', ')}`)
  const gone = [...(found.sourceRanges ?? []).filter((one) => !from.includes(one)), ...alsoFrom(found)]
  return [gcp.effect(`gcp change firewall ${name}`, ['compute', 'firewall-rules', 'update', name, ...what, ...(found.sourceTags?.length ? ['--source-tags='] : []), ...(found.sourceServiceAccounts?.length ? ['--source-service-accounts='] : []), ...(found.disabled ? ['--no-disabled'] : [])], {
    again: 'safe', ...(gone.length || found.description !== OURS ? { danger: `the rule ${name}${found.description === OURS ? '' : ', which was not made here,'} no longer lets in ${gone.join(', ') || 'whom it does now'}` } : {}),
  })]
})

/** Their names are free, or they are of this network; who comes in by them now, and who will, is told. */
export const firewallsAreOurs = (wall: () => Promise<Wall>, rules: () => Promise<Rule[]>) => preflight('firewall', 'the firewall rules are not there yet, or are of this network and were made here', async () => {
  const { gcp, network } = await wall()
  const found = (await Promise.all((await rules()).map(async ({ name }) => ({ name, rule: await ruleOf(gcp, name) })))).flatMap(({ name, rule }) => (rule ? [{ name, ...rule }] : []))
  const short = (one = '') => one.split('/').at(-1)
  const elsewhere = found.filter((one) => short(one.network) !== short(network) || one.direction === 'EGRESS')
  const see = (name: string) => line(gcp.words('compute', 'firewall-rules', 'describe', name))
  if (elsewhere[0]) return bad(`the rule ${elsewhere[0].name} is of network ${short(elsewhere[0].network)}, not of ${short(network)}`, `Delete it where nobody needs it, then repeat the same line. See it: ${see(elsewhere[0].name)}`)
  const others = found.filter(({ description }) => description !== OURS)
  if (others[0]) return warning(`${others.map(({ name, sourceRanges = [], targetTags = [] }) => `${name} was not made here: it lets ${sourceRanges.join(', ')} into ${targetTags.length ? targetTags.join(', ') : 'every machine'}`).join('; ')}`, `It will be narrowed. See it: ${see(others[0].name)}`)
  const off = found.filter(({ disabled }) => disabled).map(({ name }) => name)
  return off[0] ? warning(`${off.join(', ')} is switched off, and will be switched on`, `See it: ${see(off[0])}`) : ok(found.length ? `${found.length} are there` : 'they will be made')
})

/** For the summary: who may come in. */
export const firewallFacts = async ({ gcp }: Wall, rules: Rule[]): Promise<Record<string, string>> => Object.fromEntries(await Promise.all(rules.map(async ({ name }) => {
  const found = await ruleOf(gcp, name)
  return [name, found ? `${openedBy(found).join(', ')} from ${[...(found.sourceRanges ?? []), ...alsoFrom(found)].join(', ')}${found.disabled ? ', switched off' : ''}` : 'not there'] as const
})))
