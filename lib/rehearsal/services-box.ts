/**
 * The services box of server 2.19 in a rehearsal, as far as a migration asks for it by ssh; and what comes of it on the
 * volumes of 3.x. A script is known by the command in it that does its work.
 */
import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import { keysetOf } from './keysets.ts'
import { NAMESPACE } from './installation.ts'
import { notPlayed, printed, type Call, type Output, type Tool } from './tool.ts'
import { create, digest, keyOf, later, type World } from './world.ts'

/** `runs` counts how often 2.19 was started; what was exported says of which time it is. */
export interface BoxWorld {
  state: 'started' | 'starting' | 'stopping' | 'stopped'
  runs: number
  ours: string[]
  sent: Record<string, { of: string; sum: string; beganTime: number; endedTime: number; counts: string }>
  /** Objects in buckets. */
  objects: Record<string, number>
  /** Something that is wrong with it. */
  rules: { unreachable?: boolean; noSudo?: boolean; version?: string; loses?: number; full?: boolean; small?: boolean; sameApp?: boolean; drops?: boolean }
}

/** What came of a store; of Vault, the pod in which it was unsealed. */
export interface Volume { sum: string; endedTime: number; counts: string; openIn?: string }

export const services = (): BoxWorld => ({ state: 'started', runs: 1, ours: [], sent: {}, objects: { 'circleci-2': 4213, 'circleci-server-data': 12 }, rules: {} })

/** The job of each deploy that puts the token of CircleCI's bot into the database. */
export const injectToken = (world: World): void => {
  if (!world.objects[keyOf('jobs', JOB, NAMESPACE)]) create(world, 'jobs', { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: JOB, namespace: NAMESPACE }, spec: {}, status: { succeeded: 1 } })
}
const JOB = 'inject-bottoken-7d9fb'

const MINUTE = 60_000
const MIB = 2 ** 20
const SIZES: Record<string, number> = { postgresql: 402 * MIB, mongodb: 611 * MIB, vault: 3 * MIB, keys: MIB / 64 }

/** What is counted of each store. */
const COUNTS: Record<string, string> = {
  postgresql: ['circle.public.circle_migrations 212', 'conductor_production.public.build_jobs 48113', 'contexts_service_production.public.contexts 37', 'cron_service_production.public.qrtz_blob_triggers 4', 'vms.public.tasks 902']
    .map((row) => `count ${row}\n`).join('') + 'sample contexts_service_production.public.contexts 8f14e45fceea167a5a36dedd4bea2543\n',
  mongodb: ['builds 151204', 'organizations 9', 'projects 3', 'users 112'].map((row) => `count circle_ghe.${row}\n`).join('') + 'sample circle_ghe.projects 1731\nsample circle_ghe.users -40211\n',
  vault: 'count vault.files 64\n',
}
export const PROJECTS = ['https://github.com/acme/web', 'https://github.com/acme/api', 'https://github.com/acme/infra']

const ran = ({ runs }: BoxWorld): string => digest(`2.19 ran ${runs} times`).slice(0, 16)
const seconds = (time: number): number => Math.floor(time / 1000)

/** A state that was on its way has come. */
export const settleBox = (world: World): void => {
  const { box } = world
  if (box?.state === 'stopping') box.state = 'stopped'
  if (box?.state === 'starting') Object.assign(box, { state: 'started', runs: box.runs + 1 })
}

const NAMES = ['frontend', 'mongo', 'postgres', 'vault', 'picard-dispatcher']

const look = (world: World, box: BoxWorld): string => [
  `time ${seconds(world.time)}`, `state ${box.state}`, `version ${box.rules.version ?? '2.19.13'}`,
  ...(['started', 'stopping'].includes(box.state) ? NAMES.map((name) => `running ${name} circleci/${name}:2.19`) : []), 'running replicated replicated/replicated:2.49',
  ...box.ours.map((name) => `running ${name} none`), 'image mongo:3.6.6', 'image postgres:9.5.8', 'packer zstd', `ran ${ran(box)}`,
  ...Object.entries(SIZES).filter(([name]) => name !== 'mongodb' || !box.rules.small).map(([name, size]) => `size ${name} ${Math.ceil(size / 1024)}`), `free ${80 * MIB}`, 'key encryption', 'key signing',
  ...Object.entries(box.sent).map(([store, { of, sum, beganTime, endedTime }]) => `sent ${store} ${of} ${sum} ${seconds(beganTime)} ${seconds(endedTime)}`), '',
].join('\n')

/** The words that a line for the other side was made of. */
const scriptIn = (word: string): string | undefined => {
  const [, text] = /^sudo -n bash -c (.*)$/s.exec(word) ?? []
  return text?.startsWith("'") ? text.slice(1, -1).replaceAll("'\\''", "'") : text
}

const WORK: [string, RegExp][] = [
  ['look', /^echo "time /], ['stop', /^replicatedctl app stop$/], ['start', /^replicatedctl app start$/], ['config', /app-config export/], ['status', /^replicatedctl app status/],
  ['end', /^docker stop -t 120 (.*?) >/], ['serve', /docker run --rm -d --name (\S+)/], ['export', /\/(\w+)\.part/], ['counts', /\/(\w+)\.counts/], ['key', /encryption-keys\/(\w+)$/], ['sample', /head -c \d+ \| gzip/],
]

const workOf = ({ argv }: Call): { work: string; what: string } => {
  const script = scriptIn(argv.at(-1) ?? '') ?? ''
  for (const [work, pattern] of WORK) {
    const found = pattern.exec(script)
    if (found) return { work, what: found[1] ?? '' }
  }
  return { work: 'other', what: script }
}

export const ssh: Tool = {
  name: (call) => {
    const { work, what } = workOf(call)
    return ['ssh', work, ...(work === 'other' ? [] : [what])].join(' ').trim()
  },
  mutates: (call) => ['stop', 'start', 'serve', 'end', 'export'].includes(workOf(call).work),
  play: (world, call) => {
    const { box } = world
    const { work, what } = workOf(call)
    if (!box || box.rules.unreachable) return { stdout: '', stderr: 'ssh: connect to host old.example.com port 22: Connection timed out\n', code: 255 }
    if (box.rules.noSudo) return { stdout: '', stderr: 'sudo: a password is required\n', code: 1 }
    if (work === 'look') return printed(look(world, box))
    if (work === 'status') return printed(`${box.state}\n`)
    if (work === 'config') return printed(`${box.rules.sameApp ? 1 : 0}\n`)
    if (work === 'key') return printed(`${keysetOf(what as 'signing', 'old')}\n`)
    if (work === 'counts') return printed(box.sent[what]?.counts ?? '')
    if (work === 'sample') return printed('x'.repeat(8192))
    if (work === 'stop' || work === 'start') return tell(world, box, work)
    if (work === 'serve') {
      if (box.state !== 'stopped') return { stdout: '', stderr: 'docker: the data is in use\n', code: 1 }
      box.ours = [...new Set([...box.ours, what])].sort()
      return printed('')
    }
    if (work === 'end') {
      box.ours = box.ours.filter((name) => !what.split(' ').includes(name))
      return printed('')
    }
    if (work === 'export') return send(world, box, what, /runbooks-dump/.test(call.argv.at(-1) ?? ''))
    return notPlayed(`ssh ${what}`, 'services-box.ts')
  },
}

const tell = (world: World, box: BoxWorld, what: 'stop' | 'start'): Output => {
  if (what === 'stop' && ['started', 'starting'].includes(box.state)) box.state = 'stopping'
  else if (what === 'start' && box.state === 'stopped') box.state = 'starting'
  else return printed('')
  later(world, what === 'stop' ? MINUTE : 3 * MINUTE, { do: 'settle-box', name: 'box' })
  return printed('')
}

/** All of a store goes out, and is noted; a connection that breaks gives a part of it, and notes nothing. */
const send = (world: World, box: BoxWorld, store: string, packed: boolean): Output => {
  if (box.state !== 'stopped') return { stdout: '', stderr: '2.19 is not stopped\n', code: 1 }
  if (store !== 'vault' && !box.ours.includes(`runbooks-${store}`)) return { stdout: '', stderr: `Error: No such container: runbooks-${store}\n`, code: 1 }
  const made = `${store} of ${ran(box)}\n-- PostgreSQL database dump complete\n`, text = packed ? tar('circleci-mongo-export/circle_ghe/organizations.bson', made) : made
  if (box.rules.loses) {
    box.rules.loses -= 1
    return { stdout: text.slice(0, 10), stderr: 'client_loop: send disconnect: Broken pipe\n', code: 255 }
  }
  box.sent[store] = { of: ran(box), sum: digest(text), beganTime: world.time, endedTime: world.time, counts: COUNTS[store] ?? '' }
  return printed(text)
}

/** What the box sends is not packed here; what comes of an archive is. */
const isWhole = (bytes: Buffer): boolean => {
  if (bytes[0] !== 0x1f) return bytes.at(-1) === 0x0a
  try {
    return gunzipSync(bytes).length > 0
  } catch {
    return false
  }
}

/** An archive of one file, as tar has it. */
const tar = (name: string, text: string): string => {
  const field = (value: string, size: number) => value.padEnd(size, '\0')
  const head = (sum: string) => field(name, 100) + field('0000600', 8) + field('0000000', 8).repeat(2) + field(text.length.toString(8).padStart(11, '0'), 12) + field('0'.repeat(11), 12) + sum + '0' + field('', 100) + field('ustar\u000000', 8) + field('', 247)
  const sum = [...head(' '.repeat(8))].reduce((all, char) => all + char.charCodeAt(0), 0)
  return head(`${sum.toString(8).padStart(6, '0')}\0 `) + field(text, Math.ceil(text.length / 512) * 512) + '\0'.repeat(1024)
}

const CLAIMS: Record<string, string> = { postgresql: 'data-postgresql-0', mongodb: 'datadir-mongodb-0', vault: 'data-vault-0' }
const claimOf = (world: World, store: string): string => world.objects[keyOf('persistentvolumeclaims', CLAIMS[store] ?? '', NAMESPACE)]?.metadata.uid ?? ''

/** What a line that runs in a pod of a store does there, where it is one of a migration. */
export const inStore = (argv: string[]): { work: 'receive' | 'received' | 'well' | 'packers' | 'counts' | 'projects' | 'sample' | 'state' | 'unseal'; store: string; pod: string } | undefined => {
  const script = argv.at(-1) ?? '', words = argv.slice(0, argv.indexOf('--')), at = words.indexOf('-c')
  const store = words[at + 1] ?? '', pod = words[at - 1] ?? ''
  const work = /tee \/dev\/fd\/3/.test(script) ? 'receive' : /\/received /.test(script) ? 'received' : /'well'|"well"/.test(script) ? 'well' : /\/counts( |$)/.test(script) ? 'counts' : /vcs_url/.test(script) ? 'projects'
    : script.startsWith('command -v zstd') ? 'packers' : script === 'cat >/dev/null' ? 'sample' : /echo open/.test(script) ? 'state' : /sys\/unseal/.test(script) ? 'unseal' : undefined
  return work && store in CLAIMS ? { work, store, pod } : undefined
}

export const playStore = (world: World, { work, store, pod }: NonNullable<ReturnType<typeof inStore>>, bytes: Buffer): Output => {
  const there = world.objects[keyOf('pods', pod, NAMESPACE)]
  if (there?.['status'].phase !== 'Running') return { stdout: '', stderr: `Error from server (NotFound): pods "${pod}" not found\n`, code: 1 }
  const uid = claimOf(world, store), held = world.volumes?.[uid]
  if (work === 'sample' || work === 'packers') return printed('')
  if (work === 'well') return printed('well\n')
  if (work === 'projects') return printed(PROJECTS.map((url) => `project ${url}\n`).join(''))
  if (work === 'received') return printed(held?.sum ? `${held.sum} ${seconds(held.endedTime)}\n` : '')
  if (work === 'counts') return printed(held?.counts ?? '')
  if (work === 'state') return printed(`${!held || held.openIn === there.metadata.uid ? 'open' : 'closed'}\n`)
  if (work === 'unseal') {
    if (held) held.openIn = there.metadata.uid as string
    return printed('')
  }
  if (world.box?.rules.full) return { stdout: '', stderr: 'ERROR:  could not extend file "base/16384/16402": No space left on device\n', code: 3 }
  if (!isWhole(bytes)) return { stdout: '', stderr: 'gzip: stdin: unexpected end of file\n', code: 1 }
  const counts = COUNTS[store] ?? ''
  world.volumes = { ...world.volumes, [uid]: { sum: createHash('sha256').update(bytes).digest('hex'), endedTime: world.time, counts: world.box?.rules.drops ? counts.replace(/ (\d+)\n/, ' 1\n') : counts } }
  return printed('')
}
