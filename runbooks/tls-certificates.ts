#!/usr/bin/env -S npx tsx
/**
 * The certificate of the frontend: order one of Let's Encrypt, renew it, check one that is there.
 * Installation guide 3.3.0, phase 1, "Frontend TLS certificates".
 */
import { certbotIsThere, credentialsAreOurs, folderOf, haveCertificate, haveRenewed, liveIn, termsAreAgreed, wasOrdered, zoneIsThere } from '../lib/server/certbot.ts'
import { PROFILE } from '../lib/cloud/aws.ts'
import type { Dns } from '../lib/cloud/dns.ts'
import { certificateChecks, certificateFacts, certificateLooks } from '../lib/server/certificates.ts'
import { step, verifyStep } from '../lib/effect.ts'
import { EXIT, fail } from '../lib/fail.ts'
import { findings } from '../lib/findings.ts'
import { domainName, flag, optional, text } from '../lib/inputs.ts'
import { runbooks, verb } from '../lib/runbook.ts'
import { configuredWay, ways } from '../lib/server/tls-way.ts'
import { clusterIsThere } from '../lib/cluster/readiness.ts'

const guide = 'CircleCI server 3.3.0 installation guide, "Frontend TLS certificates"'
const domain = domainName('domain of the installation; the certificate covers app.DOMAIN too')
const folder = text('folder', 'folder in which certbot keeps the certificate and its account', { env: 'TLS_FOLDER', otherwise: 'letsencrypt' })
const afterwards = [
  'Into the admin console, Config, Frontend: all of fullchain.pem into Frontend TLS Certificate, privkey.pem into Frontend TLS Private Key; then deploy.',
  'It lasts 90 days at most. From 30 days before its end on: npx tsx runbooks/tls-certificates.ts renew --domain DOMAIN',
  'Keep the folder where secrets are kept: it holds the private key, and the account that renews.',
]

export default runbooks(import.meta, {
  name: 'tls-certificates',
  purpose: 'order, renew and check the certificate of the frontend',
  guide,
  verbs: [
    verb({
      name: 'tls-certificates issue',
      purpose: 'order a certificate of Let\'s Encrypt for the domain and app.DOMAIN',
      guide,
      when: 'Before the first deploy, where no certificate of your own is there, and the domain\'s zone is in Route 53 or in Google Cloud DNS.',
      cluster: false,
      inputs: {
        domain, folder,
        dns: { ...text('route53|google', 'where the zone of the domain is', { env: 'TLS_DNS', pattern: /^(route53|google)$/, looks: 'route53 or google' }), choices: ['route53', 'google'] },
        mail: text('address', 'address for the account at Let\'s Encrypt', { env: 'TLS_MAIL', pattern: /^[^@\s]+@[^@\s]+\.[^@\s]+$/, looks: 'an address: ops@example.com' }),
        credentials: { ...optional('file', 'key of a service account that may change the zone (google)'), env: 'TLS_CREDENTIALS' },
        profile: PROFILE,
        staging: { ...flag('order one for practice, which no browser trusts; real ones are limited to 5 a week'), env: 'TLS_STAGING' },
      },
      examples: [
        '--dns route53 --domain circleci.example.com --mail ops@example.com',
        '--dns google --credentials dns-admin.json --domain circleci.example.com --mail ops@example.com',
        '--dns route53 --domain circleci.example.com --mail ops@example.com --staging --dry-run',
        '--dns route53 --domain circleci.example.com --mail ops@example.com --rehearse --yes',
      ],
      together: ({ dns, credentials }) => {
        if (dns === 'google' && !credentials) throw fail('--dns google wants --credentials.', 'Name the key of a service account that may change the zone (roles/dns.admin).', { code: EXIT.usage })
        if (dns === 'route53' && credentials) throw fail('--credentials is for --dns google.', 'Leave it out: for Route 53 certbot takes the credentials of the aws CLI (aws configure, or AWS_PROFILE).', { code: EXIT.usage })
      },
      preflight: (values) => {
        const order = { ...values, dns: values.dns as Dns }
        return [certbotIsThere(order.dns), credentialsAreOurs(order), zoneIsThere(order), termsAreAgreed()]
      },
      outcome: ({ domain, staging }) => `There is a certificate${staging ? ' for practice' : ''} of ${domain} and app.${domain}`,
      facts: (values) => certificateFacts(liveIn(folderOf(values), values.domain)),
      afterwards,
      steps: (values) => [
        step('order', 'Order the certificate, and prove with a DNS record that the domain is yours', () => haveCertificate({ ...values, dns: values.dns as Dns }), {
          back: 'A certificate that is not used does no harm. certbot removes its DNS record by itself.',
        }),
        verifyStep('holds', 'See that chain, key, names and dates are right', 'chain, key, names and dates are right', async () => certificateChecks(liveIn(folderOf(values), values.domain))),
      ],
    }),

    verb({
      name: 'tls-certificates renew',
      purpose: 'renew the certificate when less than 30 days are left',
      guide,
      when: 'Regularly: what is still valid for long is left alone. A certificate of Let\'s Encrypt lasts 90 days at most.',
      cluster: false,
      inputs: { domain, folder, profile: PROFILE },
      examples: ['--domain circleci.example.com', '--domain circleci.example.com --rehearse --scenario certificate-expires'],
      preflight: ({ domain, folder }) => [certbotIsThere(), wasOrdered(folder, domain)],
      outcome: ({ domain }) => `The certificate of ${domain} lasts`,
      facts: ({ domain, folder }) => certificateFacts(liveIn(folder, domain)),
      afterwards: ['The installation still has the old one, until this is done:', ...afterwards],
      steps: ({ domain, folder, profile }) => [
        step('renew', 'Renew it in the way in which it was ordered', () => haveRenewed(folder, domain, profile), { back: 'The one of before is in the folder archive, and valid until its end.' }),
        verifyStep('holds', 'See that chain, key, names and dates are right', 'chain, key, names and dates are right', async () => certificateChecks(liveIn(folder, domain))),
      ],
    }),

    verb({
      name: 'tls-certificates check',
      purpose: 'check a certificate and its key before they go into the admin console',
      guide,
      when: 'Before a certificate of your own goes into the Config screen, and when browsers or runners complain of it.',
      cluster: 'perhaps',
      inputs: {
        domain,
        certificate: text('file', 'the certificate with its intermediates', { env: 'TLS_CERTIFICATE', otherwise: 'fullchain.pem' }),
        key: text('file', 'its private key', { env: 'TLS_KEY', otherwise: 'privkey.pem' }),
      },
      examples: ['--domain circleci.example.com --certificate fullchain.pem --key privkey.pem', '--domain circleci.example.com --rehearse --scenario certificate-expires'],
      preflight: () => [],
      report: async (pair, { way }) => {
        const { there } = await clusterIsThere(way, '')
        const [report, configured] = [await findings(certificateLooks(pair), `Certificate of ${pair.domain}`), there ? await configuredWay() : undefined]
        return { ...report, text: [report.text, ...ways(pair, report.code === 0, configured)].join('\n'), data: { ...report.data, ...(configured ? { configured } : {}) } }
      },
    }),
  ],
})
