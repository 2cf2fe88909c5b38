#!/usr/bin/env -S npx tsx
/**
 * Install CircleCI server: KOTS, the Config screen, the first deploy, its names, the first login.
 * Installation guide 3.3.0, phase 2, "Core services installation".
 */
import { clock } from '../lib/clock.ts'
import { PROFILE } from '../lib/cloud/aws.ts'
import type { Dns } from '../lib/cloud/dns.ts'
import { contextHasNamespace } from '../lib/cluster/context.ts'
import { EVERYTHING } from '../lib/cluster/objects.ts'
import { doneWhere, minutes, step, verifyStep } from '../lib/effect.ts'
import { flag, optional, text } from '../lib/inputs.ts'
import { SERVER_VERSION } from '../lib/cluster/sizing.ts'
import { kotsFits, permissionsAllow } from '../lib/preflight.ts'
import { runbook } from '../lib/runbook.ts'
import { frontendRuns, haveNames, loginByHand, loginIsSeen, namesByHand, namesLeadThere, somebodyHasLoggedIn, statusAnswers } from '../lib/server/arrival.ts'
import { addresses, FRONT, hasAddress } from '../lib/server/balancers.ts'
import { certificateLooks } from '../lib/server/certificates.ts'
import { byHand, deployedOtherwise, haveConfig, savedAs } from '../lib/server/config.ts'
import { consoleAnswers, haveConsole, havePassword, licenseFits, namespaceIsFree, proxyFits } from '../lib/server/kots-install.ts'
import { adminConsole, kotsReaches, serverVersion } from '../lib/server/kots.ts'
import { haveBalancersUnproxied, unproxiedByHand } from '../lib/server/no-proxy.ts'
import { addressIsFinal, fieldInputs, fieldsOf, filesAreThere, finalOf, mustGoTogether, nothingElseGoesAlong, pairOf } from '../lib/server/phase-two.ts'

const inputs = {
  license: text('file', 'licence that CircleCI sent', { env: 'LICENSE_FILE', otherwise: 'license.yaml' }),
  password: text('file', 'file of the admin console\'s password; a new one is made where there is none', { env: 'KOTS_PASSWORD_FILE', otherwise: 'kots-password' }),
  serverVersion: SERVER_VERSION,
  ...fieldInputs(),
  dns: { ...text('route53|google|by-hand', 'where the zone of the domain is', { env: 'TLS_DNS', otherwise: 'by-hand', pattern: /^(route53|google|by-hand)$/, looks: 'route53, google or by-hand' }), choices: ['route53', 'google', 'by-hand'] },
  profile: PROFILE,
  project: { ...optional('id', 'google: project of the zone'), env: 'CLOUDSDK_CORE_PROJECT' },
  setContext: { ...flag('name the namespace in the context of the kubeconfig, as the guide recommends'), env: 'INSTALL_SET_CONTEXT' },
  handOver: { ...flag('leave the first login to somebody else, and end before it'), env: 'INSTALL_HAND_OVER' },
}

export default runbook(import.meta, {
  name: 'install-server',
  purpose: 'install CircleCI server and see it answer',
  guide: 'CircleCI server 3.3.0 installation guide, phase 2, "Core services installation"',
  when: 'Once the cluster, the object storage, the keysets, the certificate and the OAuth app are there.',
  namespace: 'made',
  scenario: 'no-server',
  inputs,
  together: mustGoTogether,
  examples: [
    '--domain circleci.example.com --storage aws --bucket circleci-server-data --region us-east-1 --expiry 30 --dns route53 --context prod-ci --namespace circleci-server --dry-run',
    '--domain circleci.example.com --storage aws --bucket circleci-server-data --region us-east-1 --expiry 30 --context prod-ci --namespace circleci-server',
    '--domain circleci.example.com --storage gcp --bucket circleci-server-data --expiry 0 --dns google --project my-project --context prod-ci --namespace circleci-server',
    '--domain circleci.example.com --storage aws --bucket circleci-server-data --region us-east-1 --expiry 30 --dns route53 --rehearse --yes --confirm rehearsal',
  ],
  preflight: (values) => [
    permissionsAllow([EVERYTHING], 'default'),
    kotsFits(values.serverVersion), namespaceIsFree(), licenseFits(values.license, clock.now()),
    filesAreThere(values), ...certificateLooks(pairOf(values)),
    proxyFits({ http: values.httpProxy, https: values.httpsProxy, none: values.noProxy }),
    addressIsFinal(() => deployedOtherwise(finalOf(values))), nothingElseGoesAlong(values),
  ],
  outcome: ({ domain }) => `CircleCI server answers at https://${domain}`,
  facts: async () => ({ server: await serverVersion() ?? 'not deployed', ...await addresses() }),
  afterwards: [
    'Keep the files of keysets, key and passwords where secrets are kept, and take them off this machine.',
    'Phase 3 comes next: output processor, Nomad clients, VM service. Their load balancers have addresses now.',
    'People get the link to the installation, and log in through GitHub.',
  ],
  steps: (values) => {
    const { domain, license, password, enterprise, project, profile, handOver, httpProxy, httpsProxy, noProxy } = values
    const console = { license, password, proxy: { http: httpProxy, https: httpsProxy, none: noProxy } }
    const filled = fieldsOf(values)
    const dns = values.dns === 'by-hand' ? undefined : values.dns as Dns
    const risk = `nobody can change any more that it is https://${domain}, with ${enterprise ?? 'github.com'} as its GitHub`
    return [
      step('password', 'Have a password for the admin console, in its file', () => havePassword(console)),
      step('kots', 'Install KOTS with the licence', () => haveConsole(console), {
        verify: async () => consoleAnswers(), back: 'What KOTS has made may stay: the same line completes it.',
      }),
      ...(values.setContext ? [step('context', 'Name the namespace in the context', contextHasNamespace)] : []),
      step('configure', 'Fill in the Config screen, and deploy', () => haveConfig({ filled, risk, later: ['noProxy'] }), {
        manual: { say: async () => byHand(filled), within: minutes(120) },
        verify: async () => kotsReaches((status) => status === 'deployed', 'KOTS has deployed it', await savedAs(filled)),
        back: `Nothing is lost by another deploy: ${adminConsole()}, Version History.`,
      }),
      verifyStep('frontend', 'Wait until the frontend is ready', 'the frontend is ready', async () => [frontendRuns()]),
      verifyStep('balancer', 'Wait for the address of the load balancer', async () => (await addresses())[FRONT] ?? '', async () => [hasAddress(FRONT)]),
      step('dns', 'Let both names lead there', () => haveNames(domain, dns, { project, profile }), {
        verify: () => namesLeadThere(domain), ...(dns ? {} : { manual: { say: () => namesByHand(domain), within: minutes(120) } }),
        back: 'The records may stay; what they led to before is in the plan and in the transcript.',
      }),
      verifyStep('status', 'See that it answers over TLS', 'it answers in JSON', async () => [statusAnswers(domain)]),
      ...(httpProxy || httpsProxy ? [step('no-proxy', 'Take the load balancers inside out of the proxy', () => haveBalancersUnproxied(noProxy), {
        manual: { say: () => unproxiedByHand(noProxy), within: minutes(60) },
        verify: () => kotsReaches((status) => status === 'deployed', 'KOTS has deployed it', undefined),
      })] : []),
      step('login', 'Log in for the first time', doneWhere(handOver, 'handed over', () => somebodyHasLoggedIn(domain)), {
        manual: { say: async () => loginByHand(domain), within: minutes(60) }, verify: async () => [loginIsSeen(domain)],
      }),
    ]
  },
})
