/**
 * Certificates of the frontend: what a chain and its key have to be so that browsers, runners and webhooks accept them
 * under both names of the installation. Installation guide 3.3.0, "Frontend TLS certificates".
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { rootCertificates } from 'node:tls'
import { clock } from '../clock.ts'
import { once } from '../door.ts'
import type { Check, Preflight, Verdict } from '../effect.ts'
import { bad, hours, ok, preflight, warning } from '../effect.ts'
import { Fail, fail } from '../fail.ts'
import { isOpenToOthers, placeOf, readSecret } from '../files.ts'
import { line } from '../shell.ts'

/** The files of one certificate, and the domain that it is for. */
export interface Pair { certificate: string; key: string; domain: string }

/** Both names that the guide asks for. */
export const namesOf = (domain: string): [string, string] => [domain, `app.${domain}`]

const DAY = hours(24)
/** Days before its end at which a certificate of the usual 90 days is renewed; one that lives for less, in its last third. */
const SOON = 30

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

let roots = once(async (): Promise<X509Certificate[]> => {
  const own = process.env['NODE_EXTRA_CA_CERTS']
  return [...rootCertificates, ...(own ? readFileSync(own, 'utf8').match(BLOCK) ?? [] : [])].map((pem) => new X509Certificate(pem))
})

/** A rehearsal has an authority of its own. */
export const useRoots = (pems: string[]): void => { roots = async () => pems.map((pem) => new X509Certificate(pem)) }

/** The certificates of a file in its order. Throws where there is none. */
const chainIn = (file: string): X509Certificate[] => {
  const text = readSecret(file)
  if (text === undefined) throw fail(`${placeOf(file)} is not there`, 'Name the file with the certificate and its intermediates, fullchain.pem.')
  const blocks = text.match(BLOCK) ?? []
  if (!blocks.length) throw fail(`${file} holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----`, `Name another file. One in DER becomes PEM so: ${line(['openssl', 'x509', '-inform', 'der', '-in', file, '-out', 'fullchain.pem'])}`)
  return blocks.map((block, n) => {
    try {
      return new X509Certificate(block)
    } catch {
      throw fail(`certificate ${n + 1} in ${file} cannot be read: it is damaged`, 'Get the file once more from where it came.')
    }
  })
}

const isSignedBy = (one: X509Certificate, issuer: X509Certificate): boolean => one.checkIssued(issuer) && one.verify(issuer.publicKey)
/** Node has none for a subject that is empty, as those of Let's Encrypt may be. */
const commonName = (subject: string | undefined): string | undefined => /^CN=(.*)$/m.exec(subject ?? '')?.[1] ?? subject?.replaceAll('\n', ', ')
const called = (one: X509Certificate): string => `“${commonName(one.subject) ?? one.subjectAltName?.replaceAll('DNS:', '') ?? one.serialNumber}”`
const signer = (one: X509Certificate): string => `“${commonName(one.issuer)}”`

/** The server's own certificate, wherever it stands. */
const ownOf = (chain: X509Certificate[]): X509Certificate => chain.find(({ ca }) => !ca) ?? chain[0] as X509Certificate

/** From the server's own to the last that the file has, each signed by the next, in whatever order they stand. */
const pathOf = (chain: X509Certificate[]): X509Certificate[] => {
  const path = [ownOf(chain)]
  for (;;) {
    const last = path.at(-1) as X509Certificate
    const next = chain.find((one) => !path.includes(one) && isSignedBy(last, one))
    if (!next) return path
    path.push(next)
  }
}

/** Each certificate is signed by the one behind it, and the server's own is the first. */
const orderOf = (chain: X509Certificate[]): Verdict => {
  const own = chain.indexOf(ownOf(chain))
  if (own > 0) return bad(`the certificate of the server, ${called(ownOf(chain))}, is number ${own + 1} of ${chain.length}`, 'Put it first, and behind each certificate the one that signed it: cat cert.pem intermediate.pem > fullchain.pem')
  for (const [n, one] of chain.entries()) {
    const next = chain[n + 1]
    if (!next || isSignedBy(one, next)) continue
    const at = chain.findIndex((other) => other !== one && isSignedBy(one, other))
    return at >= 0 ? bad(`number ${n + 1}, ${called(one)}, is signed by number ${at + 1}, which does not stand behind it`, 'Put behind each certificate the one that signed it.')
      : bad(`number ${n + 1}, ${called(one)}, is signed by ${signer(one)}, and behind it stands ${called(next)}`, `Put the certificate of ${signer(one)} behind it, and leave out what does not belong to it.`)
  }
  return ok(chain.map(called).join(', signed by '))
}

/** The file leads up to a root: those who connect know the root, and nothing between. */
const completeOf = async (chain: X509Certificate[]): Promise<Verdict> => {
  const path = pathOf(chain)
  const last = path.at(-1) as X509Certificate
  const practice = path.find(({ issuer }) => issuer.includes('(STAGING)'))
  if (practice) return bad(`${signer(practice)} signs for practice only: no browser trusts it`, 'Order a real one: the same line without --staging.')
  if (isSignedBy(last, last)) {
    return path.length > 1 ? ok(`up to its root, ${called(last)}, which may be left out`)
      : warning('it is signed by itself, as the one that the installation makes: browsers warn of it', 'For production take one of an authority that browsers trust: npx tsx runbooks/tls-certificates.ts issue --help')
  }
  const root = (await roots()).find((one) => isSignedBy(last, one))
  if (root) return ok(`up to the root ${called(root)}`)
  const privately = 'Where a private authority signed it, name its root: NODE_EXTRA_CA_CERTS=root.pem in front of the same line.'
  if (path.length > 1) return warning(`${signer(last)}, who signed the last one, is no root that this machine knows`, `${privately} Otherwise a certificate is missing at the end.`)
  const from = /CA Issuers - URI:(\S+)/.exec(last.infoAccess ?? '')?.[1]
  return bad(`the intermediate certificates are missing: ${signer(last)} signed it, and is no root`, `Append the certificate of ${signer(last)}${from ? ` (${from})` : ', which came with yours'}. ${privately}`)
}

/** The key is that of the certificate, can be read by the installation, and by nobody else here. */
const keyOf = (chain: X509Certificate[], file: string): Verdict => {
  const text = readSecret(file)
  if (text === undefined) return bad(`${placeOf(file)} is not there`, 'Name the file with the private key, privkey.pem.')
  if (/ENCRYPTED/.test(text)) return bad(`the key in ${file} has a passphrase, which the installation cannot type`, `Write it without: (umask 077; ${line(['openssl', 'pkey', '-in', file, '-out', 'privkey.pem'])})`)
  try {
    const key = createPrivateKey(text)
    if (!ownOf(chain).checkPrivateKey(key)) return bad(`the key in ${file} is that of another certificate`, 'Name the key that the certificate was ordered with; where it is lost, order a new certificate.')
  } catch {
    return bad(`${file} holds no private key in PEM`, 'Name the file with the private key, privkey.pem.')
  }
  return isOpenToOthers(file) ? warning(`it is that of the certificate, and others than you can read ${file}`, `Take that from them: ${line(['chmod', '600', file])}`) : ok('it is that of the certificate, and only you can read it')
}

const dateOf = (time: number): string => new Date(time).toISOString().slice(0, 10)

/** Days left, and how many are too few. */
const lifeOf = (one: X509Certificate): { from: number; until: number; left: number; few: number } => {
  const [from, until] = [Date.parse(one.validFrom), Date.parse(one.validTo)]
  return { from, until, left: (until - clock.now()) / DAY, few: Math.min(SOON, (until - from) / DAY / 3) }
}

const expiryOf = (chain: X509Certificate[], domain: string): Verdict => {
  const own = ownOf(chain)
  const first = pathOf(chain).map((one) => ({ one, ...lifeOf(one) })).toSorted((a, b) => a.until - b.until)[0]
  if (!first) return bad('there is no certificate', 'Name another file.')
  const { from } = lifeOf(own)
  if (from > clock.now()) return bad(`it is valid from ${dateOf(from)} on only`, 'Wait until then; or set the clock of this machine right.')
  const { one, until, left, few } = first
  const next = one === own ? `Renew it where it was ordered; one of certbot's: ${line(['npx', 'tsx', 'runbooks/tls-certificates.ts', 'renew', '--domain', domain])}`
    : 'Order the certificate anew: with it come intermediates that are valid.'
  const who = one === own ? 'it' : `the intermediate ${called(one)}`
  if (left <= 0) return bad(`${who} expired on ${dateOf(until)}, ${Math.floor(-left)} days ago`, next)
  const found = `${who} is valid until ${dateOf(until)}: ${Math.floor(left)} days left`
  return left < few ? warning(found, next) : ok(found)
}

/** Both names are covered, as RFC 6125 has it: a wildcard stands for one label, and the common name for nothing. */
const coverOf = (chain: X509Certificate[], domain: string): Verdict => {
  const own = ownOf(chain)
  const missing = namesOf(domain).filter((name) => own.checkHost(name, { subject: 'never', partialWildcards: false }) === undefined)
  if (!missing.length) return ok(`it covers ${namesOf(domain).join(' and ')}`)
  const has = own.subjectAltName?.replaceAll('DNS:', '') ?? 'no name at all'
  const wild = has.split(', ').find((name) => name.startsWith('*.') && missing.some((one) => one.endsWith(name.slice(1)) || one === name.slice(2)))
  return bad(`it covers ${has}, and not ${missing.join(' and ')}${wild ? ` (${wild} stands for exactly one label)` : ''}`, `Order one for both: ${namesOf(domain).join(' and ')}.`)
}

/** All that has to hold of a certificate that is there. */
export const certificateLooks = ({ certificate, key, domain }: Pair): Preflight[] => {
  let chain: X509Certificate[]
  try {
    chain = chainIn(certificate)
  } catch (error) {
    if (!(error instanceof Fail)) throw error
    return [preflight('certificate', 'the file holds a certificate', async () => bad(error.message, error.next))]
  }
  return [
    preflight('order', 'the server\'s certificate is the first, and each is signed by the next', async () => orderOf(chain)),
    preflight('complete', 'the intermediate certificates are there', () => completeOf(chain)),
    preflight('key', 'the key is that of the certificate, and only you can read it', async () => keyOf(chain, key)),
    preflight('expiry', `${SOON} days are left at least, or a third of its life`, async () => expiryOf(chain, domain)),
    preflight('names', `${namesOf(domain).join(' and ')} are covered`, async () => coverOf(chain, domain)),
  ]
}

/** Why a certificate cannot be used, or not for long; undefined where it can. */
export const lackOf = async (pair: Pair): Promise<string | undefined> => {
  for (const { name, look } of certificateLooks(pair)) {
    // That it leads to a root is nothing that ordering it anew would change.
    const { is, say } = name === 'complete' ? ok('') : await look()
    if (is !== 'ok') return say
  }
  return undefined
}

/** What is found of one of them; where no certificate can be read, that. */
const verdictOf = (pair: Pair, name: string): Promise<Verdict> => {
  const looks = certificateLooks(pair)
  return (looks.find((look) => look.name === name) ?? looks[0] as Preflight).look()
}

/** For the summary. */
export const certificateFacts = async (pair: Pair): Promise<Record<string, string>> => {
  const { is, say } = await verdictOf(pair, 'expiry')
  return { certificate: say, ...(is === 'bad' ? {} : { 'its files': `${placeOf(pair.certificate)}, ${placeOf(pair.key)}` }) }
}

/** The same as checks of a step, each with the line of openssl that asks it. */
export const certificateChecks = ({ certificate, key, domain }: Pair): Check[] => {
  const check = (name: string, say: string, prints: string, ...words: string[]): Check => ({
    say, prints, within: 0, command: { words },
    holds: async () => {
      const { is, say } = await verdictOf({ certificate, key, domain }, name)
      return is === 'ok' || say
    },
    hint: async () => {
      const verdict = await verdictOf({ certificate, key, domain }, name)
      return 'next' in verdict ? verdict.next : undefined
    },
  })
  const each = namesOf(domain).map((name) => check('names', `it covers ${name}`, `Hostname ${name} does match certificate`, 'openssl', 'x509', '-noout', '-checkhost', name, '-in', certificate))
  return [
    check('order', 'each certificate is signed by the next', `${certificate}: OK`, 'openssl', 'verify', '-partial_chain', '-trusted', certificate.replace(/fullchain\.pem$/, 'chain.pem'), certificate),
    check('key', 'the key is that of the certificate', 'the same', 'bash', '-c', `cmp -s <(openssl x509 -noout -pubkey -in ${line([certificate])}) <(openssl pkey -pubout -in ${line([key])}) && echo the same`),
    check('expiry', `${SOON} days are left`, 'Certificate will not expire', 'openssl', 'x509', '-noout', '-checkend', String(SOON * DAY / 1000), '-in', certificate),
    ...each,
  ]
}
