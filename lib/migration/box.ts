/**
 * The services box of server 2.19, asked by ssh with sudo: what runs there, what lies there, what was exported from it. The
 * box notes what it exported in a folder beside its data, each note under the fingerprint of what ran last, so that an
 * export of before is never taken for one of now. Installation guide 3.3.0, "Migration"; what its script asks of the box.
 */
import type { Effect } from '../effect.ts'
import { oncePerLook } from '../door.ts'
import { minutes } from '../effect.ts'
import { EXIT, Lost, NoCredentials, Unanswered, fail } from '../fail.ts'
import { Once } from '../files.ts'
import { line, quote, type Command } from '../shell.ts'
import { complaint, readTool, runTool, type Outcome } from '../tools.ts'

/** Where 2.19 keeps its data, and our notes beside it. */
export const DATA = '/data/circle'
const NOTES = `${DATA}/.circleci-runbooks`
/** The folders of its stores and keys. */
export const FOLDERS = { postgresql: `${DATA}/postgres/9.5/data`, mongodb: `${DATA}/mongo`, vault: `${DATA}/contexts-vault`, keys: `${DATA}/circleci-encryption-keys` } as const

/** Containers that are not the application's: Replicated's own, and ours. */
const OTHERS = '^/?(replicated|premkit|statsd|retraced|runbooks-)'
/** Names and images of the application; an agent that watches the machine is none of it. */
const APPLICATION = /circle|mongo|postgres|vault|rabbit|redis|nomad|picard|frontend|contexts|workflow|slanger|exim/i

/** A note of what was exported: which state of 2.19, the checksum of what went out, when it began and ended in seconds. */
export interface Sent { of: string; sum: string; began: number; ended: number }

export interface Seen {
  /** Seconds since the epoch. */
  time: number
  /** As replicatedctl says: started, stopped, … */
  state: string
  version: string | undefined
  /** Containers of the application that run. */
  running: string[]
  /** Our own containers that are there. */
  ours: string[]
  /** Fingerprint of what ran last: another one once 2.19 has run again. */
  ran: string
  /** Bytes of each folder; those that are missing are absent. */
  sizes: Partial<Record<keyof typeof FOLDERS, number>>
  /** Bytes that are free where the data is. */
  free: number
  /** Images that are there without being fetched. */
  images: string[]
  /** Programs that pack faster than gzip. */
  packers: string[]
  keys: string[]
  sent: Partial<Record<string, Sent>>
  /** Seconds since the epoch: when 2.19 was last seen to be used, which Vault tells: it writes whenever it is started. */
  used?: number
  /** Of an archive: when its newest file was written, in milliseconds. */
  written?: number
}

/** Where data comes from: the services box, or an archive of it. */
export interface Box {
  /** As people call it: ubuntu@circleci.example.com. */
  name: string
  /** The archive's folder, where it is one. */
  archive?: string
  /** Where it notes what went out, and a command that prints the fingerprint of what is there now. */
  notes: string
  fingerprint: string
  /** Where the keys are. */
  keys: string
  /** The words that run a script there as root. */
  words(script: string): string[]
  look(): Promise<Seen>
  /** Runs a script that only reads. */
  read(script: string): Promise<Outcome>
}

const MONGO = 'mongo:3.6.6', POSTGRES = 'postgres:9.5.8'
export const IMAGES = { mongodb: MONGO, postgresql: POSTGRES } as const

/** Prints the state of 2.19. */
export const STATE = "replicatedctl app status --template '{{range .}}{{.State}}{{end}}'"

/** What Vault wrote last, with its time. */
const NEWEST = `find ${FOLDERS.vault} -type f -printf '%T@ %p\\n' 2>/dev/null | sort -n | tail -n 1`

/** Vault writes whenever it is started: with the starting times of the containers, what it wrote last tells whether 2.19 has run again. */
const RAN = `{ docker ps -aq --no-trunc | xargs -r docker inspect --format '{{.Name}} {{.Config.Image}} {{.State.StartedAt}}' | grep -Ev '${OTHERS}' | grep -iE '${APPLICATION.source}' | sort; ${NEWEST}; true; } | sha256sum | cut -c 1-16`

const LOOK = [
  'echo "time $(date +%s)"',
  `echo "state $(${STATE})"`,
  `echo "version $(replicatedctl app inspect | grep -oE '"2\\.[0-9]+[^"]*"' | head -n 1 | tr -d '"')"`,
  `docker ps --format '{{.Names}} {{.Image}}' | sed 's/^/running /'`,
  `for image in ${Object.values(IMAGES).join(' ')}; do docker image inspect $image >/dev/null 2>&1 && echo "image $image"; done`,
  'for one in zstd pigz; do command -v $one >/dev/null && echo "packer $one"; done',
  `echo "ran $(${RAN})"`, `echo "used $(${NEWEST} | cut -d . -f 1)"`,
  ...Object.entries(FOLDERS).map(([name, folder]) => `[ -d ${folder} ] && echo "size ${name} $(du -sk ${folder} | cut -f 1)"`),
  `echo "free $(df -Pk ${DATA} | awk 'END { print $4 }')"`,
  `ls ${FOLDERS.keys} 2>/dev/null | sed 's/^/key /'`,
  `for note in ${NOTES}/*.sent; do [ -f "$note" ] && echo "sent $(basename "$note" .sent) $(cat "$note")"; done`,
  'true',
].join('; ')

const boxes = new Map<string, Box>()

/** One box for all that ask, so that it is looked at once. `key` is the file of a private key; without one ssh takes what it takes elsewhere. */
export const boxAt = (name: string, key: string | undefined): Box => {
  const found = boxes.get(name) ?? reached(name, key)
  boxes.set(name, found)
  return found
}

const reached = (name: string, key: string | undefined): Box => {
  const ssh = ['ssh', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=15', '-o', 'ServerAliveInterval=15', '-o', 'ServerAliveCountMax=4', ...(key ? ['-i', key] : []), name]
  const words = (script: string): string[] => [...ssh, line(['sudo', '-n', 'bash', '-c', script])]
  const read = async (script: string): Promise<Outcome> => {
    const outcome = await readTool(words(script))
    if (outcome.code === 255 || outcome.code === 124) throw unreachable(name, key, outcome)
    return outcome
  }
  const look = oncePerLook(async () => {
    const outcome = await read(LOOK)
    if (outcome.code !== 0) {
      throw fail(`${name} does not tell how it stands: ${complaint(outcome)}.`, /sudo/.test(outcome.stderr) ? `The user needs sudo without a password there; this should print 0: ${line([...ssh, 'sudo -n id -u'])}` : `See what it says: ${line([...ssh, 'sudo -n docker ps'])}`, { code: EXIT.preflight })
    }
    return parsed(outcome.stdout)
  })
  return { name, notes: NOTES, fingerprint: RAN, keys: FOLDERS.keys, words, read, look }
}

const unreachable = (name: string, key: string | undefined, outcome: Outcome) => {
  const said = complaint(outcome)
  const by = ['ssh', ...(key ? ['-i', key] : []), name, 'true']
  if (/host key verification failed|REMOTE HOST IDENTIFICATION/i.test(outcome.stderr)) {
    return fail(`The host key of ${name} is not known here, or it is another one than before: ${said}.`, `Compare its fingerprint with the box's own, and take it by hand: ${line(by)}`, { code: EXIT.preflight })
  }
  if (/permission denied/i.test(outcome.stderr)) return new NoCredentials(`${name} lets nobody in as that user: ${said}.`, `Name the private key with --ssh-key, or load it: ssh-add; this should succeed: ${line(by)}`, { code: EXIT.preflight })
  return new Unanswered(`${name} does not answer by ssh: ${said}.`, `See that this succeeds, then repeat the same line: ${line(by)}`, { code: EXIT.preflight })
}

const parsed = (text: string): Seen => {
  const rows = text.split('\n').map((row) => row.split(' '))
  const all = (what: string) => rows.flatMap(([first, ...rest]) => (first === what ? [rest] : []))
  const one = (what: string) => all(what)[0]?.[0]
  const names = all('running').map(([name = '', image = '']) => ({ name, image }))
  const isOther = new RegExp(OTHERS)
  return {
    time: Number(one('time')), state: one('state') || 'unknown', version: one('version') || undefined,
    running: names.filter(({ name, image }) => !isOther.test(name) && APPLICATION.test(`${name} ${image}`)).map(({ name }) => name),
    ours: names.filter(({ name }) => name.startsWith('runbooks-')).map(({ name }) => name),
    ran: one('ran') ?? '', ...(Number(one('used')) ? { used: Number(one('used')) } : {}),
    sizes: Object.fromEntries(all('size').map(([name, kib]) => [name, Number(kib) * 1024])),
    free: Number(one('free')) * 1024, images: all('image').flatMap(([image]) => image ?? []), packers: all('packer').flatMap(([name]) => name ?? []), keys: all('key').flatMap(([name]) => name ?? []),
    sent: Object.fromEntries(all('sent').map(([store, of = '', sum = '', began, ended]) => [store, { of, sum, began: Number(began), ended: Number(ended) }])),
  }
}

/** All of 2.19 has ended. */
export const isStopped = ({ state, running }: Seen): boolean => state === 'stopped' && running.length === 0

/** What still runs there, in a few words. */
export const stillRuns = ({ state, running }: Seen): string => (running.length ? `${running.length} containers run: ${running.slice(0, 3).join(', ')}${running.length > 3 ? ', …' : ''}` : `replicatedctl says ${state}`)

/** A note of an export that is one of now: 2.19 has not run since. */
export const sentNow = (seen: Seen, store: string): Sent | undefined => {
  const sent = seen.sent[store]
  return sent?.of === seen.ran ? sent : undefined
}

const asRoot = (box: Box, script: string): Command => ({ words: box.words(script) })

const act = (box: Box, script: string, within: number) => async () => {
  try {
    return await runTool(box.words(script), `See how the box stands: ${line(box.words('replicatedctl app status'))}`, within)
  } catch (error) {
    if (/ended with 255/.test((error as Error).message)) throw new Lost(`the connection to ${box.name} broke`)
    throw error
  }
}

/** Stops 2.19, or starts it. Each of them takes minutes, and is asked for once or twice with the same result. */
export const tell = (box: Box, what: 'stop' | 'start', more: Partial<Effect> = {}): Effect => {
  const script = `replicatedctl app ${what}`
  return { id: `2.19 ${what}`, again: 'safe', ...more, command: asRoot(box, script), call: act(box, script, minutes(10)) }
}

const containerOf = (store: keyof typeof IMAGES): string => `runbooks-${store}`
/** Where its image has its data. */
const MOUNTS = { postgresql: '/var/lib/postgresql/data', mongodb: '/data/db' } as const
const ANSWERS = { postgresql: 'psql -U postgres -Atc "select 1"', mongodb: 'mongo --quiet --eval 1' } as const

/** In a script on the box: it ends where 2.19 is not stopped. */
const STOPPED = `[ "$(${STATE})" = stopped ] || { echo '2.19 is not stopped' >&2; exit 1; }`

/** The stopped store's own server runs on its data, for the export alone; the guide's script has the same image and the same data. */
export const serve = (box: Box, store: keyof typeof IMAGES): Effect => {
  const name = containerOf(store)
  // Two servers on one folder would damage it, and no lock of theirs sees the other: they are in containers of their own.
  const script = `${STOPPED}; docker inspect ${name} >/dev/null 2>&1 || docker run --rm -d --name ${name} -v ${FOLDERS[store]}:${MOUNTS[store]} ${IMAGES[store]} >/dev/null; `
    + `for n in {1..100}; do docker exec ${name} ${ANSWERS[store]} >/dev/null 2>&1 && exit 0; sleep 3; done; docker logs --tail 5 ${name} >&2; exit 1`
  return { id: `serve ${store}`, again: 'safe', command: asRoot(box, script), call: act(box, script, minutes(6)) }
}

/** Where a dump of MongoDB lies in its data while it is made for an archive. */
export const DUMP = 'runbooks-dump'

/** Ends those servers. */
export const unserve = (box: Box, names: string[]): Effect => {
  const all = names.map(quote).join(' '), script = `docker stop -t 120 ${all} >/dev/null 2>&1; docker rm -f ${all} >/dev/null 2>&1; rm -rf ${FOLDERS.mongodb}/${DUMP}; true`
  return { id: `end ${names.join(', ')}`, again: 'safe', command: asRoot(box, script), call: act(box, script, minutes(5)) }
}

/** In a script on the box: a command in the container of a store. */
export const inContainer = (store: keyof typeof IMAGES): string => `docker exec ${containerOf(store)}`
export const isServed = ({ ours }: Seen, store: keyof typeof IMAGES): boolean => ours.includes(containerOf(store))

/** Where it is there, openssl knows how to use what the processor has for it; it prints the same. */
export const SUM = '{ if command -v openssl >/dev/null; then openssl dgst -sha256 -r; else sha256sum; fi; }'

/**
 * A script that prints what `dump` prints, packed, and notes its checksum; `counts` prints what is counted there, after it.
 * Its second output is a copy of the first, of which the checksum is made.
 */
export const exporting = ({ notes, fingerprint, archive }: Box, store: string, prepare: string, dump: string, pack: string, counts: string): string => [
  'set -euo pipefail', ...(archive ? [] : [STOPPED]), `notes=${quote(notes)}`, 'mkdir -p -m 0700 "$notes"', `rm -f "$notes"/${store}.sent`, 'began=$(date +%s)', `of=$(${fingerprint})`, 'exec 4>&1', ...(prepare ? [prepare] : []),
  // A substitution begins without -e: a dump that fails before the last one would go unseen.
  `sum=$({ { set -e; ${dump}; } | ${pack} | tee /dev/fd/3 >&4; } 3>&1 | ${archive ? 'sha256sum' : SUM})`, `{ ${counts}; } > "$notes"/${store}.counts`,
  `echo "$of \${sum%% *} $began $(date +%s)" > "$notes"/${store}.part`, `mv "$notes"/${store}.part "$notes"/${store}.sent`,
].join('; ')

/** What was counted at the export. */
const counts = ({ notes }: Box, store: string): string => `cat ${quote(notes)}/${store}.counts 2>/dev/null || true`
export const countsOn = async (box: Box, store: string): Promise<string> => (await box.read(counts(box, store))).stdout
export const countsWords = (box: Box, store: string): string[] => box.words(counts(box, store))

/** The line that forgets what was sent, so that it is sent again. */
export const forgetWords = ({ words, notes }: Box, store: string): string[] => words(`rm -f ${quote(notes)}/${store}.sent`)

/** The text of a key's file. */
const key = ({ keys }: Box, name: string): string => `cat ${quote(keys)}/${quote(name)}`
export const keyOn = async (box: Box, name: string): Promise<Once> => {
  const outcome = await box.read(key(box, name))
  if (outcome.code !== 0) throw fail(`${box.keys}/${name} cannot be read on ${box.name}: ${complaint({ ...outcome, stdout: '' })}.`, 'Look at that file, then repeat the same line.')
  return new Once(outcome.stdout)
}
export const keyCommand = (box: Box, name: string, file: string): Command => ({ words: box.words(key(box, name)), file })
