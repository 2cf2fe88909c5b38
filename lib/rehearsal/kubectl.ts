/**
 * kubectl and its KOTS plugin in a rehearsal.
 */
import { startBackup, startRestore } from './backups.ts'
import { installKots, kotsAnswers } from './bare.ts'
import { exec, toConsole, veleroLog } from './console.ts'
import { startDeploy } from './deploys.ts'
import { NAMESPACE } from './installation.ts'
import { appsJson, configYaml, setConfig, setWhole, versionsJson } from './kots.ts'
import { inStore } from './services-box.ts'
import { failed, flags, notPlayed, parse, printed, type Call, type Output, type Tool } from './tool.ts'
import type { World } from './world.ts'

// kubectl's and KOTS's global ones are the same set.
const GLOBAL = flags('insecure-skip-tls-verify', 'kubeconfig context cluster user namespace n server s token tls-server-name as as-group '
  + 'certificate-authority client-certificate client-key request-timeout cache-dir')

/** Flags of each played command: recorded from kubectl 1.20 to 1.32 and the source of KOTS 1.47.3 and 1.65.0. */
const COMMANDS: Record<string, Record<string, boolean>> = {
  version: flags('client short', 'output o'),
  'kots version': flags('', 'output o'),
  'kots get': flags('', ''),
  'kots get apps': flags('', 'output o'),
  'kots get versions': flags('', 'output o'),
  'kots get config': flags('decrypt', 'appslug sequence'),
  'kots backup': flags('wait', 'output o'),
  'kots restore': flags('wait-for-apps', 'from-backup velero-namespace output o'),
  exec: flags('stdin i tty t', 'container c'),
  logs: flags('', 'container c tail since'),
  'kots install': flags('port-forward copy-proxy-env skip-preflights airgap with-minio', 'shared-password name license-file config-values wait-duration http-proxy https-proxy no-proxy repo set'),
  'config view': flags('minify raw', 'output o'),
  'config set-context': flags('current', ''),
  'kots set config': flags('merge deploy skip-preflights', 'key value value-from-file config-file'),
}

const olderThan = (version: string, limit: string): boolean =>
  version.localeCompare(limit, 'en', { numeric: true }) < 0

/** kubectl takes its own flags in front of its words too, but not in front of a plugin's. */
const plain = ({ argv }: Call): string[] => {
  if (argv.includes('kots')) return argv
  const words = [...argv]
  const front: string[] = []
  while (words[0]?.startsWith('-')) front.push(...words.splice(0, GLOBAL[words[0].replace(/^--?/, '')] ? 2 : 1))
  const end = words.includes('--') ? words.indexOf('--') : words.length
  return [...words.slice(0, end), ...front, ...words.slice(end)]
}

const nameOf = (call: Call): string => {
  const argv = plain(call)
  const asked = toConsole(argv), store = argv[0] === 'exec' ? inStore(argv) : undefined
  if (store) return `kubectl exec ${store.work} ${store.store}`
  return asked ? `kubectl exec ${asked.method} ${asked.path}` : ['kubectl', ...argv.slice(0, argv[0] === 'kots' ? 3 : 1)].join(' ')
}

export const kubectl: Tool = {
  name: nameOf,
  mutates: (call) => /^kubectl (kots (install|set config|backup|restore)|exec (PUT|receive|unseal))\b/.test(nameOf(call)),
  play: (world, call) => (call.argv[0]?.startsWith('-') && call.argv.includes('kots')
    ? failed(`flags cannot be placed before plugin name: ${call.argv[0]}`) : play(world, plain(call), call)),
}

const play = (world: World, argv: string[], call: Call): Output => {
  const { stdin, bytes = Buffer.from(call.stdin) } = call
  const { kots } = world
  // KOTS before 1.59 has one `get` with one argument; config is no command of its own there, nor are versions.
  const old = olderThan(kots.version, '1.59.0')
  const candidates = [3, 2, 1].map((length) => argv.slice(0, length).join(' '))
  const name = candidates.find((one) => COMMANDS[one] && !(old && one.startsWith('kots get ')))
  if (!name) return notPlayed(`kubectl ${argv.slice(0, 3).join(' ')}`, 'kubectl.ts')
  const own = old && name === 'kots get' ? flags('', 'output o') : old && name === 'kots version' ? {} : COMMANDS[name]
  const rest = argv.slice(name.split(' ').length)
  const { words, flag } = parse(rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest, { ...GLOBAL, ...own })
  const output = flag['o'] ?? flag['output']
  if (name === 'version') {
    const client = { major: '1', minor: '20', gitVersion: 'v1.20.15', platform: 'linux/amd64' }
    return printed(output === 'json' ? `${JSON.stringify({ clientVersion: client }, null, 2)}\n` : `Client Version: ${client.gitVersion}\n`)
  }
  if (name === 'config view') return printed(NAMESPACE)
  if (name === 'logs') return printed(veleroLog(world))
  if (name === 'exec') return exec(world, argv, stdin, bytes)
  if (name === 'kots version') return printed(output === 'json' ? `{"version":"${kots.version}"}\n` : `Replicated KOTS ${kots.version}\n`)
  const namespace = flag['n'] ?? flag['namespace'] ?? ''
  if (name === 'kots restore') {
    const refused = startRestore(world, flag['from-backup'] ?? '')
    return refused ? failed(refused) : printed('')
  }
  if (!namespace) return failed('failed to validate namespace: namespace is required')
  if (flag['context'] && flag['context'] !== 'rehearsal') {
    return failed(`failed to get clientset: failed to get cluster config: failed to convert kube flags to rest config: context "${flag['context']}" does not exist`)
  }
  if (name === 'kots install') return installs(world, words, flag, call)
  if (namespace !== NAMESPACE || !kotsAnswers(world)) return failed('failed to start port forwarding: failed to get kotsadm pod name: failed to find kotsadm pod')
  const command = name === 'kots get' ? `kots get ${words.length === 1 ? words[0] : ''}` : name
  if (command === 'kots get apps') return output === 'json' ? printed(appsJson(kots)) : tables()
  if (name === 'kots get versions') {
    if (words[0] !== kots.slug) return failed('unexpected status code 404')
    return output === 'json' ? printed(versionsJson(kots)) : tables()
  }
  if (name === 'kots get config') {
    const slug = flag['appslug'] ?? kots.slug
    if (slug !== kots.slug) return failed(`app ${slug} not found`)
    const yaml = configYaml(kots, flag['sequence'] && flag['sequence'] !== '-1' ? Number(flag['sequence']) : undefined)
    return yaml === undefined ? failed('failed to get config: failed to get app version archive') : printed(yaml)
  }
  if (name === 'kots set config') return set(world, words, flag, stdin)
  if (name === 'kots backup') return backup(world)
  return { stdout: 'Examples:\nkubectl kots get apps\n\nUsage:\n  kots get [resource] [flags]\n', stderr: '', code: 1 }
}

/** Where KOTS may not use Velero it ends well all the same. */
const backup = (world: World): Output => {
  if (world.rules.minimalRbac) return printed('  • Velero Namespace Access Required\n    kubectl kots velero ensure-permissions --namespace circleci-server --velero-namespace <velero-namespace>\n')
  return printed(`  • Backup is in progress. Backup name is ${startBackup(world)}\n`)
}

const tables = (): Output => notPlayed('any output but -o json', 'kubectl.ts')

/** The licence is a file of the operator, which is there where the world says so. */
const installs = (world: World, [slug]: string[], flag: Record<string, string>, { env }: Call): Output => {
  if (slug !== 'circleci-server') return failed(`failed to find application ${slug}`)
  if (flag['port-forward'] !== 'false') return notPlayed('kots install with its tunnel', 'kubectl.ts')
  if (!world.licensed || !flag['license-file']) return failed('failed to get license: failed to read license file')
  if (!env?.['KOTS_SHARED_PASSWORD']) return notPlayed('the question for a password', 'kubectl.ts')
  installKots(world)
  return printed('  • Deploying Admin Console\n')
}

const setFile = (world: World, slug: string, flag: Record<string, string>, stdin: string): Output => {
  if (flag['config-file'] !== '/dev/stdin' || flag['merge'] === 'true') return notPlayed('--config-file', 'kubectl.ts')
  const { spec } = JSON.parse(stdin) as { spec: { values: Record<string, { value?: string; default?: string } | null> } }
  const made = setWhole(world.kots, slug, spec.values, flag['deploy'] === 'true', world.time)
  if (typeof made === 'string') return failed(made)
  if (made.status === 'deploying') startDeploy(world, made.sequence)
  return printed('  • Done\n')
}

const set = (world: World, [slug = '', ...pairs]: string[], flag: Record<string, string>, stdin: string): Output => {
  if (flag['config-file'] !== undefined) return setFile(world, slug, flag, stdin)
  for (const other of ['key', 'value', 'value-from-file']) {
    if (flag[other] !== undefined) return notPlayed(`--${other}`, 'kubectl.ts')
  }
  const bad = pairs.find((pair) => !pair.includes('='))
  if (bad) return failed(`failed to create config values from arguments: argument should have KEY=VALUE format: ${bad}`)
  const values = Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]))
  const made = setConfig(world.kots, slug, values, flag['deploy'] === 'true', world.time)
  // It hides the cursor while it works, also where there is no terminal.
  const shown = (text: string) => `\u001b[?25l  • Updating ${slug} configuration...\n${text}\u001b[?25h`
  if (typeof made === 'string') return { ...failed(made), stdout: shown('') }
  if (made.status === 'deploying') startDeploy(world, made.sequence)
  return printed(shown('  • Done\n'))
}

