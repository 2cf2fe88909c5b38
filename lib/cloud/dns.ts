/**
 * Records in Route 53 and in Google Cloud DNS, through the provider's own command line: which zone a name is in, and
 * where the name leads.
 */
import type { Done, Effect } from '../effect.ts'
import { done, minutes } from '../effect.ts'
import { fail } from '../fail.ts'
import { leadsTo } from '../names.ts'
import { complaint, readTool, runTool } from '../tools.ts'

export type Dns = 'route53' | 'google'
/** `name` ends with a dot. */
export interface Zone { id: string; name: string }

const asked = async <T>(words: string[]): Promise<T | { unknown: string }> => {
  const said = await readTool(words)
  if (said.code !== 0) return { unknown: said.code === 127 ? `there is no ${words[0]} here` : complaint(said).replace(/\.$/, '') }
  try {
    return JSON.parse(said.stdout) as T
  } catch {
    return { unknown: `${words[0]} did not answer in JSON` }
  }
}

/** Whose zones: a profile of the aws CLI, a project of Google Cloud; where nothing is named, those that are configured. */
export interface Account { profile?: string | undefined; project?: string | undefined }

const google = ({ project }: Account, ...words: string[]): string[] => ['gcloud', 'dns', ...words, ...(project ? [`--project=${project}`] : [])]
const aws = ({ profile }: Account, ...words: string[]): string[] => ['aws', 'route53', ...words, ...(profile ? ['--profile', profile] : [])]

interface AwsZones { HostedZones: { Id: string; Name: string; Config?: { PrivateZone?: boolean } }[] }
type GoogleZones = { name: string; dnsName: string; visibility?: string }[]

/** The public zones; a sentence where they cannot be listed. */
export const publicZones = async (dns: Dns, account: Account = {}): Promise<Zone[] | { unknown: string }> => {
  if (dns === 'route53') {
    const zones = await asked<AwsZones>(aws(account, 'list-hosted-zones', '--output', 'json'))
    return 'unknown' in zones ? zones : zones.HostedZones.filter(({ Config }) => !Config?.PrivateZone).map(({ Id, Name }) => ({ id: Id.replace(/^\/hostedzone\//, ''), name: Name }))
  }
  const zones = await asked<GoogleZones>([...google(account, 'managed-zones', 'list'), '--format=json', '--quiet'])
  return 'unknown' in zones ? zones : zones.filter(({ visibility }) => visibility !== 'private').map(({ name, dnsName }) => ({ id: name, name: dnsName }))
}

/** The zone that a name is in: of several the longest. */
export const zoneOf = (zones: Zone[], name: string): Zone | undefined =>
  zones.filter((zone) => `.${name}.`.endsWith(`.${zone.name.replace(/\.?$/, '.')}`)).toSorted((a, b) => b.name.length - a.name.length)[0]

/** The values of a name's records that lead somewhere; an alias of AWS by the name of its target. */
type Found = { type: string; values: string[] }[]
interface AwsRecords { ResourceRecordSets: { Name: string; Type: string; ResourceRecords?: { Value: string }[]; AliasTarget?: { DNSName: string } }[] }
type GoogleRecords = { name: string; type: string; rrdatas: string[] }[]

const recordsOf = async (dns: Dns, { id }: Zone, name: string, account: Account): Promise<Found> => {
  const answer = dns === 'route53'
    ? await asked<AwsRecords>(aws(account, 'list-resource-record-sets', '--hosted-zone-id', id, '--start-record-name', name, '--max-items', '10', '--output', 'json'))
    : await asked<GoogleRecords>([...google(account, 'record-sets', 'list'), `--zone=${id}`, `--name=${name}.`, '--format=json', '--quiet'])
  if ('unknown' in answer) throw fail(`The records of ${name} cannot be listed: ${answer.unknown}.`, 'Log in to the account that has the zone, then repeat the same line; or make the records by hand: --dns by-hand')
  const all = 'ResourceRecordSets' in answer
    ? answer.ResourceRecordSets.filter(({ Name }) => Name === `${name}.`).map(({ Type, ResourceRecords = [], AliasTarget }) => ({ type: Type, values: AliasTarget ? [AliasTarget.DNSName] : ResourceRecords.map(({ Value }) => Value) }))
    : answer.map(({ type, rrdatas }) => ({ type, values: rrdatas }))
  return all.filter(({ type }) => ['A', 'AAAA', 'CNAME'].includes(type))
}

const bare = (host: string): string => host.replace(/\.$/, '').replace(/^dualstack\./, '')

/** A name leads to a load balancer, by a record in its zone; what leads elsewhere is told as a risk. */
export const haveRecord = async (dns: Dns, name: string, target: string, account: Account = {}): Promise<Done | Effect[]> => {
  if (await leadsTo(name, target) === true) return done(`${name} leads to ${target}`)
  const zones = await publicZones(dns, account)
  const zone = Array.isArray(zones) ? zoneOf(zones, name) : undefined
  if (!zone) throw fail(`No zone of ${dns === 'route53' ? 'Route 53' : 'Google Cloud DNS'} has ${name}${Array.isArray(zones) ? '' : `: ${zones.unknown}`}.`, 'Log in to the account that has it, then repeat the same line; or make the record by hand: --dns by-hand')
  const found = await recordsOf(dns, zone, name, account)
  if (found.some(({ values }) => values.some((value) => bare(value) === target))) return []
  const type = /^[\d.]+$/.test(target) ? 'A' : 'CNAME'
  if (type === 'CNAME' && zone.name === `${name}.`) {
    throw fail(`${name} is the name of the zone itself, which can have no CNAME.`, `Make an alias in Route 53 for it, to ${target}, then repeat the same line.`)
  }
  const other = found.filter((one) => one.type !== type)
  if (other.length) throw fail(`${name} has records of another kind: ${other.map((one) => `${one.type} ${one.values.join(', ')}`).join('; ')}.`, `Delete them where they are not used any more, then repeat the same line; it makes a ${type} record to ${target}.`)
  const now = found.flatMap(({ values }) => values).join(', ')
  const value = type === 'A' ? target : `${target}.`
  const words = dns === 'google'
    ? [...google(account, 'record-sets', found.length ? 'update' : 'create', `${name}.`), `--zone=${zone.id}`, `--type=${type}`, '--ttl=300', `--rrdatas=${value}`, '--quiet']
    : aws(account, 'change-resource-record-sets', '--hosted-zone-id', zone.id, '--change-batch', JSON.stringify({
      Changes: [{ Action: 'UPSERT', ResourceRecordSet: { Name: `${name}.`, Type: type, TTL: 300, ResourceRecords: [{ Value: value }] } }],
    }))
  return [{
    id: `record ${name}`, again: dns === 'google' && !found.length ? 'guarded' : 'safe', command: { words },
    ...(now ? { danger: `${name} leads to ${now} now: who uses that is led to ${target}` } : {}),
    call: () => runTool(words, 'Look at what the provider says, mend it, then repeat the same line.', minutes(2)),
  }]
}
