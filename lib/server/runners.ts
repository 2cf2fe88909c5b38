/**
 * Runners of a server: the namespace of an organisation, a resource class in it, a token for its agents, and the agents'
 * configuration. Installation guide 3.3.0, phase 3, "Runner"; CircleCI's runner documentation for server.
 */
import type { Check, Done, Effect } from '../effect.ts'
import { ask, bad, done, hours, ok, preflight } from '../effect.ts'
import { isOpenToOthers, Once, onlyYours, placeOf, readSecret, stillFree, writeSecret } from '../files.ts'
import { fail } from '../fail.ts'
import { line, quote } from '../shell.ts'
import { rowsOf, type Cli } from './circleci-cli.ts'
import { isOlder } from './kots.ts'

/** `of` is the resource class with its namespace; `nickname` is that of the token; `name` is what the agent calls itself. */
export interface Runner { cli: Cli; org: string; namespace: string; of: string; description: string; nickname: string; name: string; folder: string; file: string }

const REFUSED = 'Look at what the server says, mend it, then repeat the same line; it goes on where it stopped.'

const namespaceIsThere = async ({ cli, namespace }: Runner): Promise<boolean> => await cli.ask(['orb', 'list', namespace], /No namespace found/) !== undefined

/** An organisation has one, for ever. */
export const haveNamespace = async (runner: Runner): Promise<Done | Effect[]> => {
  const { cli, org, namespace } = runner
  if (await namespaceIsThere(runner)) return done(`${namespace} is there`)
  return [cli.effect(`namespace ${namespace}`, ['namespace', 'create', namespace, 'github', org, '--no-prompt'], `Where ${org} has another one already, name that with --runner-namespace. ${REFUSED}`, { again: 'guarded' })]
}

/** What nobody can change afterwards is asked first. */
export const namespaceIsMeant = (runner: Runner) => preflight('namespace', 'the organisation has this namespace, or is to have it for good', async () =>
  (await namespaceIsThere(runner) ? ok(`${runner.namespace} is there; that it is the one of ${runner.org}, the server does not tell`)
    : ask(`The namespace ${runner.namespace} is made for ${runner.org}: it has one only, orbs have the same, and no one can rename it. Is that its name for good?`)))

export const serverHasRunners = (version: string) => preflight('server', 'server 3.1 or newer', async () =>
  (isOlder(version, '3.1.0') ? bad(`server ${version}: runners work from 3.1 on`, 'Upgrade the server first; or name its release in CIRCLECI_SERVER_VERSION.') : ok(version)))

const classIsThere = async (runner: Runner): Promise<boolean> => await namespaceIsThere(runner)
  && rowsOf(await runner.cli.ask(['runner', 'resource-class', 'list', runner.namespace]) ?? '').some(([name]) => name === runner.of)

/** The resource class is there: jobs name it. */
export const haveClass = async (runner: Runner): Promise<Done | Effect[]> => {
  const { cli, of, description } = runner
  return await classIsThere(runner) ? done(`${of} is there`)
    : [cli.effect(`resource class ${of}`, ['runner', 'resource-class', 'create', of, description], REFUSED, { again: 'guarded' })]
}

/** What the CLI lists of the class; nothing while there is no class. */
const listed = async (runner: Runner, what: 'token' | 'instance'): Promise<string[][]> => (await classIsThere(runner) ? rowsOf(await runner.cli.ask(['runner', what, 'list', runner.of]) ?? '') : [])

const tokensOf = async (runner: Runner): Promise<string[]> => (await listed(runner, 'token')).flatMap(([id = '', name]) => (name === runner.nickname ? [id] : []))

/** Rows of the configuration, before and behind the token. */
const head = ({ of, nickname, cli: { domain } }: Runner): string => `# Runner of ${of} on https://${domain}, token ${nickname}.`
const rowsFor = (runner: Runner): [string[], string[]] => [
  [head(runner), 'api:'],
  [`  url: https://${runner.cli.domain}`, 'runner:', `  name: ${runner.name}`, `  working_directory: ${runner.folder}`, '  cleanup_working_directory: true'],
]
const textFor = (runner: Runner, token: Once): (string | Once)[] => {
  const [before, behind] = rowsFor(runner)
  return [`${before.join('\n')}\n  auth_token: `, token, `\n${behind.join('\n')}\n`]
}
/** Makes the configuration of what prints the token: the CLI, or the file itself. */
const program = (runner: Runner): string => {
  const print = (rows: string[]) => rows.map((row) => `print ${JSON.stringify(row)}`).join('; ')
  const [before, behind] = rowsFor(runner)
  return `/^ +auth_token: / { ${print(before)}; print "  auth_token: " $2; ${print(behind)}; found = 1 } END { exit !found }`
}

const tokenIn = (text: string | undefined): Once | undefined => {
  const [, token] = /^ +auth_token: (\S+)$/m.exec(text ?? '') ?? []
  return token === undefined ? undefined : new Once(token)
}
const isOurs = (runner: Runner): boolean => readSecret(runner.file)?.startsWith(`${head(runner)}\n`) ?? false
/** The token that the file holds, where it is one for this. */
const held = (runner: Runner): Once | undefined => (isOurs(runner) ? tokenIn(readSecret(runner.file)) : undefined)
const isWhole = (runner: Runner): boolean => {
  const token = held(runner)
  return token !== undefined && readSecret(runner.file) === Once.join(textFor(runner, token))
}

/**
 * The agents' configuration, with a token that the server knows. It is told once: one of our name that is in no file is
 * lost, or somebody else's who has it; it goes before there is a new one.
 */
export const haveToken = async (runner: Runner): Promise<Done | Effect[]> => {
  const { cli, of, nickname, file } = runner
  const [ids, token] = [await tokensOf(runner), held(runner)]
  if (token && ids.length) {
    return isWhole(runner) ? done(`${placeOf(file)} has the token ${nickname}`) : [{
      id: `write ${file}`, again: 'safe', command: { words: ['awk', program(runner), file], file }, call: async () => writeSecret(file, ...textFor(runner, token)),
    }]
  }
  return [
    ...ids.map((id) => cli.effect(`delete runner token ${id}`, ['runner', 'token', 'delete', id], REFUSED, { again: 'guarded', danger: `agents that have the token ${nickname} of ${of} get no more jobs: it is told once, is not in ${file}, and so is deleted` })),
    cli.effect(`runner token ${of} ${nickname}`, ['runner', 'token', 'create', of, nickname], REFUSED, {
      again: 'mint', ...(token ? {} : { unfit: stillFree(file) }),
      command: { words: ['awk', program(runner)], stdin: { say: 'the new token', commands: [cli.words('runner', 'token', 'create', of, nickname)], read: async () => '' }, file },
    }, (printed) => {
      const made = tokenIn(printed)
      if (!made) throw fail('The circleci CLI printed no token.', 'Repeat the same line: it deletes the one that was made, and makes another.')
      writeSecret(file, ...textFor(runner, made))
    }),
  ]
}

export const configIsOurs = (runner: Runner) => preflight('file', `${runner.file} is free, or is the configuration of this runner, and only you can read it`, async () => {
  if (readSecret(runner.file) === undefined) return ok(`${placeOf(runner.file)} will be written`)
  return isOurs(runner) ? onlyYours(runner.file, 'it is that of this runner') : bad(`${placeOf(runner.file)} is there, and is not the configuration of this runner: it is never overwritten`, 'Name another file with --config, or move it away.')
})

export const configIsWhole = (runner: Runner): Check => ({
  say: `${runner.file} is whole, and only you can read it`, within: 0, prints: runner.file, command: { words: ['find', runner.file, '-perm', '600'] },
  holds: async () => (isWhole(runner) ? !isOpenToOthers(runner.file) || 'others can read it' : 'it is not'),
})

/** An agent of the class was seen. */
export const agentIsSeen = async (runner: Runner): Promise<Done | Effect[]> => {
  const rows = await listed(runner, 'instance')
  return rows.length ? done(`${rows.map(([name, , host]) => `${name} (${host})`).join(', ')} ${rows.length > 1 ? 'are' : 'is'} connected`) : []
}

/** The same, as a check. */
export const agentConnects = (runner: Runner): Check => ({
  say: `an agent of ${runner.of} is connected`, within: hours(2), prints: 'connected',
  command: { words: ['sh', '-c', `${line(runner.cli.words('runner', 'instance', 'list', runner.of))} | grep -qF '| ${runner.of} ' && echo connected || echo none`] },
  holds: async () => ('done' in await agentIsSeen(runner) ? true : 'none'),
})

/** Folder and user of the agent, as CircleCI's documentation has them. */
const THERE = '/etc/opt/circleci/launch-agent-config.yaml'

/** Lines for a Linux machine with systemd. The release of the agent that fits a server is in CircleCI's documentation. */
export const onLinux = ({ file }: Runner): string[] => [
  `scp ${quote(file)} MACHINE:launch-agent-config.yaml`,
  'curl -fsSLO https://raw.githubusercontent.com/CircleCI-Public/runner-installation-files/main/download-launch-agent.sh && agent_version=VERSION platform=linux/amd64 sh ./download-launch-agent.sh',
  'id -u circleci || sudo adduser --disabled-password --gecos GECOS circleci',
  `sudo install -D -o circleci -m 600 launch-agent-config.yaml ${THERE} && rm launch-agent-config.yaml`,
  'sudo install -d -o circleci -m 750 /var/opt/circleci && sudo chown -R circleci /opt/circleci',
  `printf '%s\\n' '[Unit]' 'Description=CircleCI Runner' 'After=network.target' '[Service]' 'ExecStart=/opt/circleci/circleci-launch-agent --config ${THERE}' 'Restart=always' 'User=circleci' 'NotifyAccess=exec' 'TimeoutStopSec=18300' '[Install]' 'WantedBy=multi-user.target' | sudo tee /etc/systemd/system/circleci.service`,
  'sudo systemctl enable --now circleci.service',
]

/** Lines for Kubernetes, with CircleCI's chart for launch agents; the token is no word of a process. */
export const onKubernetes = ({ file, of, cli: { domain } }: Runner): string[] => [
  `kubectl create secret generic config-values --from-literal=resourceClass=${of} --from-file=runnerToken=<(sed -n 's/^  auth_token: //p' ${quote(file)} | tr -d '\\n')`,
  'git clone https://github.com/CircleCI-Public/circleci-runner-k8s && cd circleci-runner-k8s',
  line(['helm', 'install', 'circleci-runner', './', '--set', 'configSecret.create=false', '--set', 'image.tag=VERSION', '--set', 'env[0].name=LAUNCH_AGENT_API_URL', '--set', `env[0].value=https://${domain}`]),
]

/** What a person does on the machine that is to run jobs. */
export const byHand = (runner: Runner): string => ['install the agent on the machine that is to run the jobs:',
  'VERSION is that of the agent which fits this server: CircleCI\'s documentation, “Self-hosted runners for server compatibility”.', 'On Linux with systemd:', ...onLinux(runner).map((row) => `  ${row}`), 'Or on Kubernetes:', ...onKubernetes(runner).map((row) => `  ${row}`)].join('\n')
