/**
 * Terraform in a rehearsal, and the Nomad clients that it makes: it reads the main.tf that lies there, keeps a state, and
 * makes certificates for the address of the servers. Flags and words as Terraform 1.5 and 1.11 have them.
 */
import { join } from 'node:path'
import { valuesIn } from '../cloud/hcl.ts'
import { readSecret } from '../files.ts'
import { secretKey } from './aws.ts'
import { hostname } from './backups.ts'
import { computeWorld } from './compute.ts'
import { ec2Of } from './ec2.ts'
import { executionScenarios } from './execution-scenarios.ts'
import { gkeOf } from './gke.ts'
import { secret } from './secret.ts'
import { notPlayed, printed, type Call, type Output, type Tool } from './tool.ts'
import { canon, digest, iso, type World } from './world.ts'

type Action = 'create' | 'update' | 'replace'
interface State { variables: Record<string, string>; /** Its making was cut off. */ half?: true }
export interface TerraformWorld {
  /** Module and back end that were got. */
  init?: string
  planned?: { variables: Record<string, string>; /** Those that came by -var. */ told: string[]; actions: [string, Action][]; on: string }
  state?: State
  /** Somebody's run died, and left its lock behind. */
  lock?: { id: string; who: string; created: string }
  /** What the next apply fails of, in the middle. */
  fails?: string
}

const TLS = ['ca', 'client', 'server'].map((name) => `tls_private_key.nomad_${name}`)
const SIGNED = ['tls_cert_request.nomad_server', 'tls_locally_signed_cert.nomad_server', 'tls_cert_request.nomad_client', 'tls_locally_signed_cert.nomad_client'].map((one) => `module.nomad_tls[0].${one}`)
const MACHINES = {
  aws: { template: 'aws_launch_configuration.nomad_client_lc', group: 'aws_autoscaling_group.clients_asg', others: ['aws_security_group.nomad_sg'] },
  gcp: { template: 'google_compute_instance_template.nomad', group: 'google_compute_autoscaler.nomad', others: ['google_compute_target_pool.nomad', 'google_compute_instance_group_manager.nomad', 'google_compute_firewall.default'] },
}
const cloudOf = (variables: Record<string, string>): 'aws' | 'gcp' => ('vpc_id' in variables ? 'aws' : 'gcp')

const pem = (kind: string, what: string): string => `-----BEGIN ${kind}-----\n${secret(what, 64)}\n-----END ${kind}-----\n`
/** The identity of the autoscaler: nobody, a user with its key, or with IRSA a role of an account in the cluster. */
const identityOf = (variables: Record<string, string>): { role: string; trust: string } | { user: string; key: string } | undefined => {
  if (variables['nomad_auto_scaler'] !== 'true') return undefined
  const basename = JSON.parse(variables['basename'] ?? '""') as string, { k8s_service_account: trust } = read(variables['enable_irsa'] ?? '{}') as { k8s_service_account?: string }
  if (trust) return { role: `${basename}-circleci-nomad-autoscaler-irsa-role`, trust }
  const user = `${basename}-nomad-asg-user`
  return { user, key: `AKIA${digest(`key of ${user}`).slice(0, 16).toUpperCase()}` }
}

const identityOutputs = (variables: Record<string, string>): Record<string, string> => {
  const made = identityOf(variables), has = made && 'key' in made
  return { nomad_asg_user_access_key: has ? made.key : '', nomad_asg_user_secret_key: has ? secretKey(made.user, made.key) : '', nomad_role: made && 'role' in made ? `arn:aws:iam::111122223333:role/${made.role}` : '' }
}

/** What Terraform puts out for these values. */
const outputsOf = ({ variables }: State): Record<string, string> => {
  const endpoint = JSON.parse(variables['server_endpoint'] ?? '""') as string
  return {
    nomad_ca: pem('CERTIFICATE', 'nomad ca'), nomad_server_cert: pem('CERTIFICATE', `nomad server ${endpoint}`), nomad_server_key: pem('RSA PRIVATE KEY', `nomad key ${endpoint}`),
    ...(cloudOf(variables) === 'aws' ? { nomad_asg_name: groupOf(variables), ...identityOutputs(variables) } : { managed_instance_group_name: 'nomad', managed_instance_group_type: 'zonal', service_account_key_location: '' }),
  }
}
const keyOf = (state: State): string => outputsOf(state)['nomad_server_key']?.split('\n')[1] ?? ''

const groupOf = (variables: Record<string, string>): string => `${JSON.parse(variables['basename'] ?? '""') as string}_circleci_nomad_clients_asg`

/** Terraform looks first: of a group in EC2 somebody else may have set the number. */
const refreshed = (world: World, state: State): State => {
  const desired = ec2Of(world).scaling[groupOf(state.variables)]?.desired
  return desired === undefined || state.half ? state : { ...state, variables: { ...state.variables, nodes: String(desired) } }
}

/** The clients that are there: connected where they know the servers' address, and these have the certificates. */
export const terraformClients = (world: World): { count: number; ready: boolean } => {
  const { state } = world.terraform ?? {}
  if (!state || state.half) return { count: 0, ready: false }
  const deployed = world.kots.versions.find(({ status }) => status === 'deployed')?.values
  const has = Object.values(deployed ?? {}).some(({ value }) => value?.trim() === outputsOf(state)['nomad_server_cert']?.trim())
  const { nodes, min_replicas: least } = refreshed(world, state).variables
  return { count: Number(nodes ?? least ?? 0), ready: has && state.variables['server_endpoint'] === JSON.stringify(`${hostname(world, 'nomad-server-external')}:4647`) }
}

/** Who may grow and shrink the group; it bears no mark of ours. */
const makeIdentity = ({ aws, secrets, time }: World, variables: Record<string, string>): void => {
  const made = identityOf(variables), policies = { nomad_asg: '{}' }
  if (made && 'role' in made) aws.roles[made.role] = { trust: made.trust, policies }
  else if (made) {
    const text = secretKey(made.user, made.key)
    aws.users[made.user] ??= { tags: [], policies, keys: [{ id: made.key, created: iso(time) }], created: iso(time) }
    for (const one of [text, Buffer.from(text).toString('base64')]) if (!secrets.includes(one)) secrets.push(one)
  }
}

/** The group of the clients, as the cloud has it then. */
const makeGroup = (world: World, { variables }: State): void => {
  const number = (name: string) => Number(variables[name] ?? 0), text = (name: string) => JSON.parse(variables[name] ?? '""') as string
  if (cloudOf(variables) === 'aws') {
    ec2Of(world).scaling[groupOf(variables)] = { min: variables['nomad_auto_scaler'] === 'true' ? 1 : 0, max: number('max_nodes'), desired: number('nodes') }
    makeIdentity(world, variables)
  } else world.compute = { ...world.compute ?? computeWorld(), groups: { [text('name')]: { zone: text('zone'), min: number('min_replicas'), max: number('max_replicas') } } }
}

/** A value of main.tf, maps included. */
const read = (text: string): unknown => JSON.parse(text.replaceAll(/("(?:[^"\\]|\\.)*"|[\w-]+) = |"(?:[^"\\]|\\.)*"/g, (all, name?: string) => (name ? `"${name.replaceAll('"', '')}": ` : all))) as unknown

const KNOWN: Record<string, string[]> = {
  init: ['input', 'no-color'], plan: ['input', 'lock', 'lock-timeout', 'json', 'detailed-exitcode', 'out', 'var'], show: ['json'], apply: ['input', 'no-color', 'lock-timeout'], output: ['json', 'raw'], 'force-unlock': ['force'],
}
interface Asked { command: string; folder: string; words: string[]; flag: Record<string, string>; vars: Record<string, string> }

const asked = (argv: string[]): Asked | string => {
  const found: Asked = { command: '', folder: '.', words: [], flag: {}, vars: {} }
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? ''
    const [, name, value = 'true'] = /^-([a-z-]+)(?:=(.*))?$/s.exec(word) ?? []
    if (name === undefined) {
      if (found.command) found.words.push(word)
      else found.command = word
    } else if (name === 'chdir') found.folder = value
    else if (!KNOWN[found.command]?.includes(name)) return name
    else if (name === 'var') {
      const [key = '', ...text] = (argv[at += 1] ?? '').split('=')
      found.vars[key] = text.join('=')
    } else found.flag[name] = value
  }
  return found
}

const failed = (summary: string, detail: string, json = false): Output => ({
  stdout: json ? `${JSON.stringify({ '@level': 'error', '@message': `Error: ${summary}`, type: 'diagnostic', diagnostic: { severity: 'error', summary, detail } })}\n` : '',
  stderr: json ? '' : `\nError: ${summary}\n\n${detail}\n`, code: 1,
})

const locked = ({ id, who, created }: NonNullable<TerraformWorld['lock']>, json: boolean): Output => failed('Error acquiring the state lock',
  `Error message: ConditionalCheckFailedException: The conditional request failed\nLock Info:\n  ID:        ${id}\n  Path:      my-states/nomad.tfstate\n  Operation: OperationTypeApply\n  Who:       ${who}\n  Version:   1.5.7\n  Created:   ${created}\n  Info:      \n\n\nTerraform acquires a state lock to protect the state from being written\nby multiple users at the same time.`, json)

const differences = (state: State | undefined, variables: Record<string, string>): [string, Action][] => {
  const { template, group, others } = MACHINES[cloudOf(variables)]
  const all = [...TLS.map((one) => `module.nomad_tls[0].${one}`), ...SIGNED, template, group, ...others]
  const act = (names: string[], action: Action): [string, Action][] => names.map((name) => [`module.nomad.${name}`, action])
  if (!state) return act(all, 'create')
  if (state.half) return act([template, group], 'create')
  const changed = Object.keys({ ...state.variables, ...variables }).filter((name) => state.variables[name] !== variables[name])
  if (!changed.length) return []
  const anew = changed.some((name) => !/^(nodes|max_nodes|(min|max)_replicas)$/.test(name))
  return [...(changed.includes('server_endpoint') ? act(SIGNED, 'replace') : []), ...(anew ? act([template], 'replace') : []), ...act([group], 'update')]
}

/** What has to be got before a plan: the module and the back end. */
const sourceOf = (text: string): string => text.split('\n').filter((row) => /source|backend|bucket|key +=|prefix/.test(row)).join('\n')

const plan = (tf: TerraformWorld, text: string | undefined, { flag, vars }: Asked): Output => {
  const json = 'json' in flag
  if (text === undefined) return failed('No configuration files', 'Plan requires configuration to be present.', json)
  if (tf.init !== sourceOf(text)) return failed('Module not installed', 'This module is not yet installed. Run "terraform init" to install all modules required by this configuration.', json)
  if (tf.lock && flag['lock'] !== 'false') return locked(tf.lock, json)
  const variables = valuesIn(text)
  for (const [name, value] of Object.entries(vars)) {
    if (!(name in variables)) return failed('Value for undeclared variable', `A variable named "${name}" was assigned on the command line, but the root module does not declare a variable of that name.`, json)
    variables[name] = variables[name]?.startsWith('"') ? JSON.stringify(value) : value
  }
  const actions = differences(tf.state, variables)
  const fresh = !tf.state || tf.state.half
  const action = (name: string) => (fresh ? 'create' : name.startsWith('nomad_server_') && actions.some(([address]) => address.includes('tls_locally_signed_cert')) ? 'update' : 'noop')
  if (flag['out']) tf.planned = { variables, told: Object.keys(vars), actions, on: canon(tf.state) }
  const events = [
    ...actions.map(([addr, what]) => ({ type: 'planned_change', change: { resource: { addr }, action: what } })),
    { type: 'change_summary', changes: { add: actions.filter(([, what]) => what !== 'update').length, change: actions.filter(([, what]) => what === 'update').length, remove: actions.filter(([, what]) => what === 'replace').length, operation: 'plan' } },
    { type: 'outputs', outputs: Object.fromEntries(Object.keys(outputsOf({ variables })).map((name) => [name, { sensitive: true, action: action(name) }])) },
  ]
  return { stdout: json ? `${events.map((event) => JSON.stringify(event)).join('\n')}\n` : 'Plan.\n', stderr: '', code: 'detailed-exitcode' in flag && actions.length ? 2 : 0 }
}

const apply = (tf: TerraformWorld): Output => {
  const { planned, state, fails } = tf
  if (tf.lock) return locked(tf.lock, false)
  if (!planned) return failed('Failed to load "nomad.tfplan" as a plan file', 'open nomad.tfplan: no such file or directory')
  if (planned.on !== canon(state)) return failed('Saved plan is stale', 'The given plan file can no longer be applied because the state was changed by another operation after the plan was created.')
  // What is made so far stands in the state: who is killed in the middle leaves the half.
  if (!state) tf.state = { variables: planned.variables, half: true }
  if (fails) {
    delete tf.fails
    return failed(fails, '')
  }
  return { ...printed('Apply complete!\n'), takes: { ms: 15_000, end: (now) => {
    const made = { variables: planned.variables }
    now.terraform = { ...now.terraform, state: made }
    makeGroup(now, made)
    delete now.terraform.planned
    for (const text of [keyOf(made), Buffer.from(outputsOf(made)['nomad_server_key'] ?? '').toString('base64')]) if (!now.secrets.includes(text)) now.secrets.push(text)
  } } }
}

const play = (world: World, { argv }: Call): Output => {
  const call = asked(argv)
  if (typeof call === 'string') return failed('Failed to parse command-line flags', `flag provided but not defined: -${call}`)
  const tf = structuredClone(world.terraform ?? {})
  if (tf.state) tf.state = refreshed(world, tf.state)
  const keep = (output: Output): Output => {
    if (mutates({ argv })) world.terraform = tf
    return output
  }
  const text = readSecret(join(call.folder, 'main.tf'))
  const held = tf.state && !tf.state.half ? outputsOf(tf.state) : {}
  if (call.command === 'init') {
    tf.init = sourceOf(text ?? '')
    return keep(printed('Terraform has been successfully initialized!\n'))
  }
  if (call.command === 'plan') return keep(plan(tf, text, call))
  if (call.command === 'apply') return keep(apply(tf))
  if (call.command === 'show') {
    if (!tf.planned) return failed('Failed to read the given file as a state or plan file', 'open nomad.tfplan: no such file or directory')
    const { variables, told, actions } = tf.planned
    // What came by -var stands there as a text, whatever its type.
    const value = (name: string, text: string): unknown => (told.includes(name) && !text.startsWith('"') ? text : read(text))
    return printed(JSON.stringify({
      format_version: '1.1', variables: Object.fromEntries(Object.entries(variables).map(([name, text]) => [name, { value: value(name, text) }])),
      resource_changes: actions.map(([address, action]) => ({ address, change: { actions: action === 'replace' ? ['delete', 'create'] : [action] } })),
    }))
  }
  if (call.command === 'output' && 'json' in call.flag) return printed(JSON.stringify(Object.fromEntries(Object.entries(held).map(([name, value]) => [name, { sensitive: true, type: 'string', value }]))))
  if (call.command === 'force-unlock') {
    if (tf.lock?.id !== call.words[0]) return failed('Failed to unlock state', 'lock id does not match existing lock')
    delete tf.lock
    return keep(printed('Terraform state has been successfully unlocked!\n'))
  }
  return notPlayed(`terraform ${call.command}`, 'terraform.ts')
}

const commandOf = (argv: string[]): string => argv.find((word) => !word.startsWith('-')) ?? ''
const mutates = ({ argv }: Pick<Call, 'argv'>): boolean => ['init', 'apply', 'force-unlock'].includes(commandOf(argv)) || (commandOf(argv) === 'plan' && argv.some((word) => word.startsWith('-out=')))

export const terraform: Tool = { name: ({ argv }) => `terraform ${commandOf(argv)}${mutates({ argv }) && commandOf(argv) === 'plan' ? ' -out' : ''}`, mutates, play }

const NOMAD = ['nomad_server_load_balancer', 'nomad_server_cert', 'nomad_server_key', 'nomad_server_ca']
/** An installation after its phase 2, in a cluster of EKS and, for practice, one of GKE. */
const withoutClients = (world: World): void => {
  const before = world.time - 20 * 86_400_000
  world.terraform = {}
  delete world.nomadServer
  for (const { values } of world.kots.versions) for (const name of NOMAD) delete values[name]
  executionScenarios['on-eks']?.apply(world)
  ec2Of(world).scaling = {}
  world.compute = { ...computeWorld(), groups: {} }
  Object.assign(gkeOf(world), { enabled: true, clusters: { 'circleci-server': { created: before, region: 'europe-west1', version: '1.21.14-gke.4300', nodes: 9, type: 'n1-standard-4' } } })
}

export const terraformScenarios: Record<string, { about: string; apply(world: World): void }> = {
  'no-clients': { about: 'the server is installed, and has no Nomad clients yet', apply: withoutClients },
  'terraform-locked': {
    about: 'as no-clients; somebody\'s Terraform died, and left its lock behind',
    apply: (world) => {
      withoutClients(world)
      world.terraform = { lock: { id: '2a8e4c1f-6f0b-5c1d-9f0e-3b7c1d2e4f5a', who: 'operator@laptop-3', created: '2022-11-22 02:41:09.123456789 +0000 UTC' } }
    },
  },
  'terraform-fails': {
    about: 'as no-clients; AWS refuses the machines in the middle of the first apply',
    apply: (world) => {
      withoutClients(world)
      world.terraform = { fails: 'creating Auto Scaling Group: AccessDenied: You are not authorized to use launch template' }
    },
  },
}
