/**
 * The circleci CLI in a rehearsal, and the runners of the server. Flags, tables and refusals as its release 0.1.30549 has
 * them; an agent connects some minutes after somebody could have installed it.
 */
import { REHEARSED_TOKEN } from '../server/circleci-cli.ts'
import { DOMAIN } from './certificates.ts'
import { secret } from './secret.ts'
import { flags, notPlayed, parse, printed, Usage, type Call, type Output, type Tool } from './tool.ts'
import { digest, iso, type World } from './world.ts'

export interface RunnerWorld {
  /** The organisation of each namespace. */
  namespaces: Record<string, string>
  classes: Record<string, string>
  tokens: { id: string; of: string; nickname: string; created: number }[]
}

const ORG = 'my-org', INSTALLED = 6 * 60_000
export const runnerWorld = (): RunnerWorld => ({ namespaces: {}, classes: {}, tokens: [] })
/** To change them; a world of before they were played has none yet. */
const runnersOf = (world: World): RunnerWorld => (world.runners ??= runnerWorld())

const failed = (message: string): Output => ({ stdout: '', stderr: `Error: ${message}\n`, code: 255 })
/** As the CLI draws it: a row of texts without a blank each. */
const table = (heads: string[], rows: string[][]): Output => {
  const row = (cells: string[]) => `| ${cells.join(' | ')} |\n`
  return printed(`+--+\n${row(heads)}+--+\n${rows.map(row).join('')}+--+\n`)
}

const KNOWN: Record<string, Record<string, boolean>> = { 'namespace create': flags('no-prompt', 'org-id'), 'orb list': flags('private details uncertified', 'sort') }
const GLOBAL = flags('skip-update-check', 'host token')

interface Asked { world: World; runners: RunnerWorld; on: string[]; flag: Record<string, string> }

/** A first token has one id, whenever it is made: a world in which one was lost and made again is the same. */
const newToken = ({ tokens }: RunnerWorld, of: string): string =>
  [0, 1, 2].map((n) => digest(`runner token ${n} of ${of}`).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, '$1-$2-$3-$4-$5')).find((one) => tokens.every(({ id }) => id !== one)) as string

const PLAYS: Record<string, (asked: Asked) => Output> = {
  'orb list': ({ runners, on: [name = ''] }) => (runners.namespaces[name] ? printed('Orbs found: 0. Showing only certified orbs.\nAdd --uncertified for a list of all orbs.\n') : failed(`Failed to list orbs in namespace \`${name}\`: No namespace found`)),
  'namespace create': ({ runners, on: [name = '', vcs, org = ''], flag }) => {
    if (!flag['no-prompt']) return notPlayed('circleci namespace create with a question', 'circleci-cli.ts')
    if (vcs !== 'github' || org !== ORG) return failed(`the organization '${org}' under '${vcs?.toUpperCase()}' VCS-type does not exist. Did you misspell the organization or VCS?`)
    if (Object.values(runners.namespaces).includes(org)) return failed('Organizations may only create one namespace.')
    runners.namespaces[name] = org
    return printed(`Namespace \`${name}\` created.\nPlease note that any orbs you publish in this namespace are open orbs and are world-readable.\n`)
  },
  'runner resource-class list': ({ runners, on: [namespace = ''] }) => (runners.namespaces[namespace]
    ? table(['RESOURCE CLASS', 'DESCRIPTION'], Object.entries(runners.classes).filter(([of]) => of.startsWith(`${namespace}/`))) : failed(`namespace ${namespace} not found`)),
  'runner resource-class create': ({ runners, on: [of = '', description = ''] }) => {
    if (!runners.namespaces[of.split('/')[0] ?? '']) return failed(`namespace ${of.split('/')[0]} not found`)
    if (runners.classes[of] !== undefined) return failed('resource class already exists')
    runners.classes[of] = description
    return table(['RESOURCE CLASS', 'DESCRIPTION'], [[of, description]])
  },
  'runner token list': ({ runners, on: [of] }) => table(['ID', 'NICKNAME', 'CREATED AT'], runners.tokens.filter((one) => one.of === of).map(({ id, nickname, created }) => [id, nickname, iso(created)])),
  'runner token create': ({ world, runners, on: [of = '', nickname = ''] }) => {
    if (runners.classes[of] === undefined) return failed(`resource class ${of} not found`)
    const id = newToken(runners, of), text = secret(`runner token ${id}`, 80)
    runners.tokens.push({ id, of, nickname, created: world.time })
    if (!world.secrets.includes(text)) world.secrets.push(text)
    return printed(`api:\n    auth_token: ${text}\n`)
  },
  'runner token delete': ({ runners, on: [id] }) => {
    if (!runners.tokens.some((one) => one.id === id)) return failed('token not found')
    runners.tokens = runners.tokens.filter((one) => one.id !== id)
    return printed('')
  },
  'runner instance list': ({ world, runners, on: [of = ''] }) => {
    const connected = runners.tokens.some((one) => one.of === of && world.time >= one.created + INSTALLED)
    return table(['NAME', 'RESOURCE CLASS', 'HOSTNAME', 'FIRST CONNECTED', 'LAST CONNECTED', 'LAST USED', 'IP', 'VERSION'], connected ? [['runner', of, 'ip-10-0-9-77', iso(world.time), iso(world.time), '', '10.0.9.77', '1.0.0']] : [])
  },
  diagnostic: () => printed('\n---\nCircleCI CLI Diagnostics\n---\nOK, got a token.\nOk.\nHello, operator.\n'),
}

/** The words that tell what a call does. */
const commandOf = ({ argv }: Pick<Call, 'argv'>): string => {
  const words = argv.filter((word) => !word.startsWith('-'))
  return Object.keys(PLAYS).find((one) => one === words.slice(0, one.split(' ').length).join(' ')) ?? words.slice(0, 3).join(' ')
}

const mutates = ({ argv }: Pick<Call, 'argv'>): boolean => / (create|delete)$/.test(commandOf({ argv }))

const play = (world: World, { argv, env = {} }: Call): Output => {
  if (argv.join(' ') === 'version') return printed('0.1.30549+1ed8b4c (release)\n')
  const command = commandOf({ argv }), act = PLAYS[command]
  if (!act) return notPlayed(`circleci ${command}`, 'circleci-cli.ts')
  const { words, flag } = parse(argv, { ...GLOBAL, ...KNOWN[command] })
  if (flag['token']) throw new Usage('rehearsal: a token is no word')
  if (flag['host'] !== `https://${DOMAIN}`) return failed(`Post "${flag['host']}/graphql-unstable": dial tcp: lookup ${flag['host']?.replace('https://', '')}: no such host`)
  if (env['CIRCLECI_CLI_TOKEN'] !== REHEARSED_TOKEN) return failed(command.startsWith('runner') ? 'You must log in first.' : 'failure calling GraphQL API: 401 Unauthorized')
  return act({ world, runners: mutates({ argv }) ? runnersOf(world) : world.runners ?? runnerWorld(), on: words.slice(command.split(' ').length), flag })
}

export const circleci: Tool = {
  name: ({ argv }) => `circleci ${commandOf({ argv })}`,
  mutates, play,
}

export const runnerScenarios: Record<string, { about: string; apply(world: World): void }> = {
  'runner-token-lost': {
    about: 'the runner my-org/linux was begun, and the token of its agents was lost',
    apply: (world) => {
      Object.assign(runnersOf(world), { namespaces: { 'my-org': ORG }, classes: { 'my-org/linux': 'self-hosted runner' } })
      PLAYS['runner token create']?.({ world, runners: runnersOf(world), on: ['my-org/linux', 'circleci-runbooks'], flag: {} })
    },
  },
  'other-namespace': { about: 'the organisation my-org has the namespace orbs-of-my-org already', apply: (world) => { runnersOf(world).namespaces['orbs-of-my-org'] = ORG } },
}
