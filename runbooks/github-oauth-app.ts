#!/usr/bin/env -S npx tsx
/**
 * The OAuth app of the installation: the page to register it, filled in; what GitHub tells of it checked, and kept.
 * Installation guide 3.3.0, phase 1, "Create a new GitHub OAuth app".
 */
import { done, step } from '../lib/effect.ts'
import { EXIT, fail } from '../lib/fail.ts'
import type { Once } from '../lib/files.ts'
import { domainName, flag, optional, secret, text, type Input } from '../lib/inputs.ts'
import { runbook } from '../lib/runbook.ts'
import { appFileIsOurs, appFileIsWhole, appIsThere, haveAppFile, hostOf, howTo, isFinal, isNewApp, keptIn, pageOf, REHEARSED, sameDomain, tokenWorks, type Place } from '../lib/server/oauth-app.ts'

/** What stands before the values that a person gets at GitHub. */
type Before = Place & { file: string; open: boolean }
const page = (values: Record<string, unknown>) => {
  const before = values as unknown as Before
  return { say: howTo(before), ...(before.open ? { open: pageOf(before) } : {}) }
}
const kept = (name: Parameters<typeof keptIn>[1]) => (values: Record<string, unknown>) => keptIn((values as unknown as Before).file, name)

const inputs = {
  domain: domainName('domain of the planned installation'),
  name: text('name', 'name of the app, which people see when they log in', { env: 'GITHUB_APP_NAME', otherwise: 'circleci-server' }),
  org: { ...optional('name', 'organisation that is to own the app, in place of you', /^[\w-]+$/, 'the name as in its address: my-org'), env: 'GITHUB_ORG' },
  enterprise: { ...optional('host', 'host of a GitHub Enterprise, in place of github.com', /^[a-z0-9.-]+(:\d+)?$/, 'the name alone: github.example.com'), env: 'GITHUB_ENTERPRISE_HOST' },
  file: text('file', 'file that keeps client ID and secret, for the Config screen', { env: 'GITHUB_APP_FILE', otherwise: 'github-oauth-app' }),
  open: { ...flag('open the page in your browser before the questions'), env: 'GITHUB_OPEN' },
  clientId: {
    ...text('id', 'client ID, as the app\'s page shows it', { env: 'GITHUB_CLIENT_ID', pattern: /^[\w.]{10,40}$/, looks: 'its 20 letters and digits' }),
    byHand: { page, kept: kept('GITHUB_CLIENT_ID'), rehearsed: REHEARSED.id },
  },
  clientSecret: {
    ...secret('client secret', 'client secret, as the app\'s page shows it once', { env: 'GITHUB_CLIENT_SECRET', pattern: /^[\w-]{20,100}$/, looks: '40 letters and digits' }),
    byHand: { page, kept: kept('GITHUB_CLIENT_SECRET'), rehearsed: REHEARSED.secret },
  },
  token: {
    ...secret('access token', 'with --enterprise: a personal access token there', { env: 'GITHUB_ENTERPRISE_TOKEN', pattern: /^[\w-]{20,255}$/, looks: '40 letters and digits' }),
    byHand: { wanted: ({ enterprise }) => Boolean(enterprise), page, kept: kept('GITHUB_ENTERPRISE_TOKEN'), rehearsed: REHEARSED.token },
  } as Input<Once | undefined>,
}

export default runbook(import.meta, {
  name: 'github-oauth-app',
  purpose: 'register the OAuth app, check it, keep what GitHub told',
  guide: 'CircleCI server 3.3.0 installation guide, "Create a new GitHub OAuth app"',
  when: 'Once, before the first deploy; for a trial and for the rehearsal of a migration each time anew.',
  cluster: false,
  inputs,
  together: ({ enterprise }) => {
    if (enterprise && /^(www\.)?github\.com$/.test(enterprise)) throw fail('--enterprise is for a GitHub Enterprise of your own.', 'Leave it out: without it the app is one of github.com.', { code: EXIT.usage })
  },
  examples: [
    '--domain circleci.example.com --open',
    '--domain circleci.example.com --org my-org',
    '--domain circleci.example.com --enterprise github.example.com',
    '--domain circleci.example.com --rehearse --yes',
  ],
  preflight: (app) => [
    appIsThere(app), appFileIsOurs(app),
    ...(app.enterprise ? [...(app.token ? [tokenWorks(app.enterprise, app.token)] : []), sameDomain(app.domain, app.enterprise)] : []),
    isFinal(app), isNewApp(),
  ],
  outcome: (app) => `What ${hostOf(app)} told of the OAuth app is in ${app.file}`,
  facts: async (app) => ({ 'page to register': pageOf(app), 'homepage URL': `https://${app.domain}`, 'callback URL': `https://${app.domain}/auth/github` }),
  afterwards: [
    'In the admin console, Config, GitHub: the type (Cloud, or Enterprise), OAuth Client ID and OAuth Client Secret; for Enterprise its domain and the token too.',
    'GitHub does not tell which callback URL an app has: where it is another one, the first login fails and names redirect_uri.',
    'Keep the file where secrets are kept. GitHub does not show the secret again, but makes a new one at any time.',
  ],
  steps: (app) => [
    step('register', 'Register the OAuth app', async () => done(`its client ID at ${hostOf(app)} is ${app.clientId}`), {
      manual: { say: async () => howTo(app), within: 0 }, back: 'An app that nobody uses is deleted on its own page.',
    }),
    step('keep', 'Keep client ID and secret in a file that only you can read', () => haveAppFile(app), {
      verify: async () => [appFileIsWhole(app)], back: `${app.file} may be deleted; the app stays.`,
    }),
  ],
})
