/**
 * The OAuth app with which people log in, and which CircleCI server writes build statuses as: the page where it is
 * registered, and the file that holds what GitHub told of it. Installation guide 3.3.0, "Create a new GitHub OAuth app".
 */
import type { Check, Done, Effect } from '../effect.ts'
import { ask, bad, done, ok, preflight, warning } from '../effect.ts'
import { isOpenToOthers, Once, placeOf, readSecret, stillFree, writeSecret } from '../files.ts'
import { line } from '../shell.ts'
import { appIsKnown, tokenIsKnown } from '../cloud/github.ts'

/** Where the app is to be, and what it is to say. */
export interface Place { domain: string; name: string; org: string | undefined; enterprise: string | undefined }
/** What GitHub tells of it, and the file for that. */
export interface App extends Place { clientId: string; clientSecret: Once; token: Once | undefined; file: string }

/** An app that no GitHub knows, for rehearsals. */
export const REHEARSED = { id: 'Ov23liREHEARSAL00000', secret: '5ec2e70f4e0ea25a1'.padEnd(40, '0'), token: 'ghp_rehearsal0000000000000000000000000000' }

export const hostOf = ({ enterprise }: Pick<Place, 'enterprise'>): string => enterprise ?? 'github.com'
const settingsOf = (place: Pick<Place, 'enterprise' | 'org'>): string => `https://${hostOf(place)}/${place.org ? `organizations/${place.org}/` : ''}settings`
/** The page that lists the apps that are there. */
const appsOf = (place: Place): string => `${settingsOf(place)}/${place.org ? 'applications' : 'developers'}`

const fieldsOf = ({ domain, name }: Place) => ({ name, url: `https://${domain}`, callback_url: `https://${domain}/auth/github` })

/** The page that registers an app, with each field filled in. */
export const pageOf = (place: Place): string =>
  `${settingsOf(place)}/applications/new?${new URLSearchParams(Object.entries(fieldsOf(place)).map(([key, value]): [string, string] => [`oauth_application[${key}]`, value])).toString()}`

/** What a person does there. */
export const howTo = (place: Place): string => {
  const { name, url, callback_url } = fieldsOf(place)
  return ['Register the OAuth app on this page, which comes filled in; a new one for each installation:', `  ${pageOf(place)}`,
    `  Application name            ${name}`, `  Homepage URL                ${url}`, `  Authorization callback URL  ${callback_url}`,
    'Then generate a new client secret there: GitHub shows it once.',
    ...(place.enterprise ? ['And a personal access token of the one as whom CircleCI server asks the API:', `  ${settingsOf(place)}/tokens/new`] : [])].join('\n')
}

type Variable = 'GITHUB_CLIENT_ID' | 'GITHUB_CLIENT_SECRET' | 'GITHUB_ENTERPRISE_HOST' | 'GITHUB_ENTERPRISE_TOKEN'

/** A value of the file; it is one of variables, as an env file. */
export const keptIn = (file: string, name: Variable): string | undefined =>
  new RegExp(`^${name}=(.+)$`, 'm').exec(readSecret(file) ?? '')?.[1]

const partsOf = ({ clientId, clientSecret, enterprise, token }: App): (string | Once)[] => [
  `GITHUB_CLIENT_ID=${clientId}\nGITHUB_CLIENT_SECRET=`, clientSecret, '\n',
  ...(enterprise && token ? [`GITHUB_ENTERPRISE_HOST=${enterprise}\nGITHUB_ENTERPRISE_TOKEN=`, token, '\n'] : []),
]
const holds = (app: App): boolean => readSecret(app.file) === Once.join(partsOf(app))

/** The file holds what GitHub told, and nothing else is overwritten for it. */
export const haveAppFile = async (app: App): Promise<Done | Effect[]> => {
  const { file, clientId, enterprise } = app
  if (holds(app)) return done(`${placeOf(file)} holds them`)
  // The script takes the secrets from the environment; printf is bash's own, so that they are no words of a process.
  const [format, values] = enterprise ? ['GITHUB_ENTERPRISE_HOST=%s\\nGITHUB_ENTERPRISE_TOKEN=%s\\n', ' "$2" "${GITHUB_ENTERPRISE_TOKEN:?export it first}"'] : ['', '']
  const program = `printf 'GITHUB_CLIENT_ID=%s\\nGITHUB_CLIENT_SECRET=%s\\n${format}' "$1" "\${GITHUB_CLIENT_SECRET:?export it first}"${values}`
  return [{
    id: `app ${clientId}`, again: 'safe', command: { words: ['bash', '-c', program, 'keep', clientId, ...(enterprise ? [enterprise] : [])], file },
    onlyInCall: `The script reads GITHUB_CLIENT_SECRET${enterprise ? ' and GITHUB_ENTERPRISE_TOKEN' : ''} from the environment.`,
    unfit: stillFree(file),
    call: async () => writeSecret(file, ...partsOf(app)),
  }]
}

export const appFileIsOurs = (app: App) => preflight('file', `${app.file} is free, or holds this app, and only you can read it`, async () => {
  const { file, clientId } = app
  if (readSecret(file) === undefined) return ok(`${placeOf(file)} will be written`)
  const id = keptIn(file, 'GITHUB_CLIENT_ID')
  if (!holds(app)) return bad(`${placeOf(file)} is there, and holds ${!id ? 'no app' : id === clientId ? 'other values of this app' : `the app ${id}`}: it is never overwritten`, 'Name another file with --file, or move it away.')
  return isOpenToOthers(file) ? bad(`others than you can read ${file}`, line(['chmod', '600', file])) : ok(`${placeOf(file)} holds it`)
})

/** The file is whole, and nobody else's to read. */
export const appFileIsWhole = (app: App): Check => ({
  say: `${app.file} holds the app, and only you can read it`, within: 0, prints: app.file,
  command: { words: ['find', app.file, '-perm', '600'] },
  holds: async () => (holds(app) ? !isOpenToOthers(app.file) || 'others can read it' : 'it holds something else'),
})

export const appIsThere = (app: App) => preflight('app', `${hostOf(app)} knows the client ID and the secret, as far as it tells`, () => appIsKnown(hostOf(app), app.clientId, app.clientSecret, appsOf(app)))

export const tokenWorks = (host: string, token: Once) => preflight('token', `${host} accepts the personal access token`, () => tokenIsKnown(host, token))

/** The parent of a name: what two hosts of one company have in common. */
const parentOf = (host: string): string => host.replace(/:\d+$/, '').split('.').slice(-2).join('.')

/** The guide: elsewhere images fail to load. */
export const sameDomain = (domain: string, host: string) => preflight('same-domain', 'server and GitHub Enterprise are in one domain: else images fail to load', async () =>
  (parentOf(domain) === parentOf(host) ? ok(`both are in ${parentOf(host)}`)
    : warning(`${domain} and ${host} are in different domains: images will fail to load`, 'Where that matters, give the installation a name in the domain of GitHub Enterprise, before it is set up.')))

/** What nobody can change afterwards. */
export const isFinal = (place: Place) => preflight('final', 'the domain and the GitHub are final', async () =>
  ask(`Once the installation is set up, neither its address, https://${place.domain}, nor its GitHub, ${hostOf(place)}, can be changed. Are both final?`))

export const isNewApp = () => preflight('new-app', 'the app is a new one, for this installation alone', async () =>
  ask('Is it a new app, for this installation alone? A trial, or the rehearsal of a migration from 2.19, takes a new one too, never the one in use.'))
