/**
 * A certificate of Let's Encrypt through certbot, which proves with a DNS record that the domain is yours. All of its
 * files lie in a folder of their own, so that it needs no root. Installation guide 3.3.0, "Frontend TLS certificates".
 */
import { join } from 'node:path'
import type { Done, Effect } from '../effect.ts'
import { ask, bad, done, minutes, ok, preflight, warning } from '../effect.ts'
import { isOpenToOthers, placeOf, readSecret } from '../files.ts'
import { line } from '../shell.ts'
import { complaint, readTool, runTool } from '../tools.ts'
import { publicZones, zoneOf, type Dns } from '../cloud/dns.ts'
import { certificateFacts, lackOf, namesOf, type Pair } from './certificates.ts'

export interface Order { domain: string; dns: Dns; mail: string; credentials: string | undefined; profile: string | undefined; folder: string; staging: boolean }

/** Certificates for practice lie apart: certbot would keep one of them in place of a real one. */
export const folderOf = ({ folder, staging }: Pick<Order, 'folder' | 'staging'>): string => (staging ? `${folder}-staging` : folder)

/** Where certbot puts the certificate of a domain. */
export const liveIn = (folder: string, domain: string): Pair =>
  ({ certificate: join(folder, 'live', domain, 'fullchain.pem'), key: join(folder, 'live', domain, 'privkey.pem'), domain })

const placesIn = (folder: string): string[] => ['--config-dir', folder, '--work-dir', join(folder, 'work'), '--logs-dir', join(folder, 'logs')]

const orderLine = (order: Order): string[] => [
  'certbot', 'certonly', `--dns-${order.dns}`, ...(order.credentials ? ['--dns-google-credentials', order.credentials] : []),
  '--cert-name', order.domain, ...namesOf(order.domain).flatMap((name) => ['-d', name]),
  // The second: a certificate that is there, and covers one of the names alone, is replaced.
  '--keep-until-expiring', '--renew-with-new-domains', '--non-interactive', '--agree-tos', '-m', order.mail,
  ...(order.staging ? ['--staging'] : []), ...placesIn(folderOf(order)),
]

/** Without a terminal a renewal sleeps for up to eight minutes first, so that not all of the world renews at once. */
const renewLine = (folder: string, domain: string): string[] => ['certbot', 'renew', '--cert-name', domain, '--non-interactive', '--no-random-sleep-on-renew', ...placesIn(folder)]

/** What certbot ends each failure with, below the reason. */
const NOISE = /^(- - -|\d+ renew failure|All renewals failed|.* \(failure\)$|Ask for help or search)/

/** What certbot says of itself, and asks for help with, is in its log. */
const nextIn = (folder: string): string => `Look at what certbot says, and at the end of ${placeOf(join(folder, 'logs', 'letsencrypt.log'))}; mend it, then repeat the same line.`

const effect = (id: string, words: string[], folder: string, profile: string | undefined): Effect => {
  // The plugin of Route 53 takes it from there alone.
  const env: Record<string, string> = profile ? { AWS_PROFILE: profile } : {}
  // certbot keeps a certificate that lasts: the same line again orders none.
  return { id, again: 'safe', command: { words, env }, call: () => runTool(words, nextIn(folder), minutes(15), { noise: NOISE, env }) }
}

const wellIn = async (pair: Pair): Promise<Done> => done((await certificateFacts(pair))['certificate'] ?? '')

/** There is a certificate for both names that lasts. */
export const haveCertificate = async (order: Order): Promise<Done | Effect[]> => {
  const pair = liveIn(folderOf(order), order.domain)
  return await lackOf(pair) === undefined ? wellIn(pair) : [effect(`certbot certonly ${order.domain}`, orderLine(order), folderOf(order), order.profile)]
}

/** The certificate lasts, with the way in which it was ordered. */
export const haveRenewed = async (folder: string, domain: string, profile: string | undefined): Promise<Done | Effect[]> => {
  const pair = liveIn(folder, domain)
  return await lackOf(pair) === undefined ? wellIn(pair)
    : [effect(`certbot renew ${domain}`, renewLine(folder, domain), folder, profile)]
}

/** certbot ordered a certificate into this folder before. */
export const wasOrdered = (folder: string, domain: string) => preflight('ordered', `certbot has a certificate of ${domain} in ${folder}`, async () =>
  (readSecret(liveIn(folder, domain).certificate) === undefined
    ? bad(`${placeOf(liveIn(folder, domain).certificate)} is not there`, `Name the folder with --folder; where there is none yet: ${line(['npx', 'tsx', 'runbooks/tls-certificates.ts', 'issue', '--domain', domain, '--help'])}`)
    : ok('it is there')))

const PLUGIN = { route53: 'certbot-dns-route53', google: 'certbot-dns-google' }

/** certbot is there, with what makes the record. The way of a renewal is certbot's to know. */
export const certbotIsThere = (dns?: Dns) => preflight('certbot', `certbot is installed${dns ? `, with ${PLUGIN[dns]}` : ''}`, async () => {
  const install = line(['pip3', 'install', 'certbot', ...(dns ? [PLUGIN[dns]] : [])])
  const version = await readTool(['certbot', '--version'])
  if (version.code === 127) return bad('the command certbot is not there', `Install it: ${install}`)
  if (version.code !== 0) return bad(`certbot does not run: ${complaint(version, NOISE)}`, `This should answer: certbot --version. Where it is broken: ${install}`)
  const name = version.stdout.trim()
  if (!dns) return ok(name)
  // Its help writes no file, which its list of plugins does.
  const help = await readTool(['certbot', '--help', `dns-${dns}`])
  if (help.code !== 0) return bad(`certbot does not run: ${complaint(help, NOISE)}`, `This should answer: ${line(['certbot', '--help', `dns-${dns}`])}`)
  return help.stdout.includes(`dns-${dns}:`) ? ok(`${name}, with ${PLUGIN[dns]}`)
    : bad(`${name} has no plugin dns-${dns}`, `Install it where certbot itself is installed: pip3 install ${PLUGIN[dns]}`)
})

const ofProject = (credentials: string | undefined): string | undefined => {
  try {
    return (JSON.parse(credentials === undefined ? '' : readSecret(credentials) ?? '') as { project_id?: string }).project_id
  } catch {
    return undefined
  }
}

/** The zone in which certbot makes its record is there, as far as that can be asked. */
export const zoneIsThere = (order: Order) => preflight('zone', `a public zone of ${order.domain} is there, as far as that can be asked`, async () => {
  const place = order.dns === 'route53' ? 'Route 53' : 'Google Cloud DNS'
  const zones = await publicZones(order.dns, { project: ofProject(order.credentials), profile: order.profile })
  if (!Array.isArray(zones)) return warning(`${place} cannot be asked for the zone: ${zones.unknown}`, 'Where there is no zone, certbot says so, and orders nothing.')
  const zone = zoneOf(zones, order.domain)
  return zone ? ok(`${zone.name} of ${place}`)
    : bad(`${place} has no public zone that ${order.domain} is in${zones.length ? `; it has ${zones.slice(0, 5).map(({ name }) => name).join(', ')}` : ''}`, 'Use the credentials of the account that has it, or make the zone first; certbot puts a TXT record into it.')
})

/** Google's credentials are there, and nobody else's to read; Route 53 takes those of the aws CLI. */
export const credentialsAreOurs = ({ dns, credentials = '' }: Order) => preflight('credentials', dns === 'google' ? `${credentials} holds the key of a service account, and only you can read it` : 'certbot takes the credentials of the aws CLI', async () => {
  if (dns === 'route53') return ok(process.env['AWS_PROFILE'] ? `those of AWS_PROFILE ${process.env['AWS_PROFILE']}` : 'those of the aws CLI')
  if (readSecret(credentials) === undefined) return bad(`${placeOf(credentials)} is not there`, 'Name the key of a service account that may change the zone (roles/dns.admin) with --credentials.')
  if (!ofProject(credentials)) return bad(`${credentials} is no key of a service account: it names no project_id`, 'Make one (gcloud iam service-accounts keys create), and name it with --credentials.')
  return isOpenToOthers(credentials) ? bad(`others than you can read ${credentials}`, line(['chmod', '600', credentials])) : ok(`a key of project ${ofProject(credentials)}`)
})

/** Without a terminal certbot agrees by a flag: the operator is asked before. */
export const termsAreAgreed = () => preflight('terms', 'you agree to the terms of Let\'s Encrypt', async () =>
  ask('certbot agrees in your name to the terms of Let\'s Encrypt: https://letsencrypt.org/repository/ Do you?'))
