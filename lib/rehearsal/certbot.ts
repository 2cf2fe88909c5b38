/**
 * certbot in a rehearsal, and what it needs of DNS: one authority, one domain, a certificate of before and a new one.
 */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { license, preparedFiles } from './bare.ts'
import { chain, DOMAIN, keys } from './certificates.ts'
import { failed, flags, notPlayed, parse, printed, type Call, type Output, type Tool } from './tool.ts'
import { iso, type World } from './world.ts'

export interface TlsWorld {
  /** Which certificate certbot has; undefined where it never ordered one. */
  held?: 'old' | 'new'
  /** Who has the zone. */
  zone: 'route53' | 'google'
}
export const tlsWorld = (): TlsWorld => ({ zone: 'route53' })
/** A world of before it was played has none yet. */
const tlsOf = (world: World): TlsWorld => world.tls ?? tlsWorld()

/** The key of the service account that may change the zone. */
const CREDENTIALS = 'dns-admin.json'

/** What tools have put onto the machine's disk, by its name: a function of the world, so that a killed run leaves no half. */
const filesOf = ({ tls, licensed, prepared }: World): Record<string, string> => ({
  ...(licensed ? { 'license.yaml': license } : {}), ...(prepared ? preparedFiles() : {}),
  ...(tls?.held ? { 'fullchain.pem': chain(tls.held), 'privkey.pem': keys(tls.held) } : {}),
  ...(tls?.zone === 'google' ? { [CREDENTIALS]: `${JSON.stringify({ type: 'service_account', project_id: 'my-project', client_email: 'dns-admin@my-project.iam.gserviceaccount.com' }, null, 2)}\n` } : {}),
})

/** Writes them into the folder where the files of a rehearsal lie. */
export const writeFiles = (world: World, folder: string): void => {
  for (const [name, text] of Object.entries(filesOf(world))) {
    const file = join(folder, name)
    if (existsSync(file) && readFileSync(file, 'utf8') === text) continue
    writeFileSync(file, text, { mode: 0o600 })
    chmodSync(file, 0o600)
  }
}

const PLACES = 'config-dir work-dir logs-dir'
const CERTONLY = flags('dns-route53 dns-google keep-until-expiring renew-with-new-domains non-interactive agree-tos staging', `dns-google-credentials cert-name d m ${PLACES}`)
const RENEW = flags('non-interactive no-random-sleep-on-renew', `cert-name ${PLACES}`)
const HELP = { route53: 'AWS Route53', google: 'Google Cloud DNS' }

const play = (world: World, { argv }: Call): Output => {
  const tls = tlsOf(world)
  if (argv[0] === '--version') return printed('certbot 2.0.0\n')
  if (argv[0] === '--help') {
    const provider = /^dns-(route53|google)$/.exec(argv[1] ?? '')?.[1] as keyof typeof HELP | undefined
    return printed(`usage: \n  certbot [SUBCOMMAND] [options] [-d DOMAIN] [-d DOMAIN] ...\n\n${provider ? `dns-${provider}:\n  Obtain certificates using a DNS TXT record (if you are using ${HELP[provider]}\n  for DNS).\n` : ''}`)
  }
  if (argv[0] === 'certonly') return order(world, tls, argv)
  if (argv[0] === 'renew') {
    const { flag } = parse(argv, RENEW)
    if (!tls.held || flag['cert-name'] !== DOMAIN) return failed(`No certificate found with name ${flag['cert-name']} (expected ${flag['config-dir']}/renewal/${flag['cert-name']}.conf).`)
    if (tls.held === 'new') return printed('The following certificates are not due for renewal yet:\nNo renewals were attempted.\n')
    world.tls = { ...tls, held: 'new' }
    return printed('Congratulations, all renewals succeeded.\n')
  }
  return notPlayed(`certbot ${argv[0] ?? ''}`, 'certbot.ts')
}

const order = (world: World, tls: TlsWorld, argv: string[]): Output => {
  const { flag } = parse(argv, CERTONLY)
  const names = argv.filter((_, n) => argv[n - 1] === '-d')
  if (names.some((name) => name !== DOMAIN && !name.endsWith(`.${DOMAIN}`))) return failed(`The rehearsal has a certificate of ${DOMAIN} alone: name that with --domain.`)
  if (!flag[`dns-${tls.zone}`]) return failed(`Unable to find a hosted zone for _acme-challenge.${DOMAIN}`)
  if (tls.held === 'new') return printed('Certificate not yet due for renewal; no action taken.\n')
  world.tls = { ...tls, held: 'new' }
  const live = `${flag['config-dir']}/live/${DOMAIN}`
  return printed(`\nSuccessfully received certificate.\nCertificate is saved at: ${live}/fullchain.pem\nKey is saved at:         ${live}/privkey.pem\nThis certificate expires on ${iso(world.time + 90 * 86_400_000).slice(0, 10)}.\n`)
}

export const certbot: Tool = {
  name: ({ argv }) => `certbot ${argv[0] ?? ''}`,
  mutates: ({ argv }) => argv[0] === 'certonly' || argv[0] === 'renew',
  play,
}

export const ZONE = '/hostedzone/Z0REHEARSAL'

/** Lists of zones: of Route 53, and of Google. */
export const awsZones = (world: World): object => ({ HostedZones: tlsOf(world).zone === 'route53' ? [{ Id: ZONE, Name: 'example.com.', Config: { PrivateZone: false } }] : [] })
export const googleZones = (world: World): object => (tlsOf(world).zone === 'google' ? [{ name: 'example', dnsName: 'example.com.', visibility: 'public' }] : [])

export const tlsScenarios: Record<string, { about: string; apply(world: World): void }> = {
  'certificate-expires': { about: 'certbot has a certificate of which 10 days are left', apply: (world) => { world.tls = { zone: 'route53', held: 'old' } } },
  'google-dns': { about: `the domain is in Google Cloud DNS; the key of the account that may change it is ${CREDENTIALS}`, apply: (world) => { world.tls = { zone: 'google' } } },
  'no-certbot': { about: 'certbot was never installed', apply: ({ rules }) => { rules.software = { 'certbot --version': '' } } },
}
