/**
 * An archive of 2.19 on this machine, in the layout of the guide's script: circleci_export with a folder for each store and
 * one for the keys. It stands in the place of the services box for what comes after the export. Its fingerprint is made of
 * its files, so that a note of before never speaks for another archive. Installation guide 3.3.0, "Migration".
 */
import { createHash } from 'node:crypto'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { clock, stamp } from '../clock.ts'
import { oncePerLook } from '../door.ts'
import { ask, bad, ok, preflight } from '../effect.ts'
import { placeOf } from '../files.ts'
import { human } from '../cluster/quantity.ts'
import { quote } from '../shell.ts'
import { readTool } from '../tools.ts'
import { isStopped, sentNow, type Box, type Seen, type Sent } from './box.ts'
import { fileIn, isDatabase, labelOf, type StoreName } from './scripts.ts'

const NOTES = '.circleci-runbooks', KEYS = 'circle-data'
const FOLDERS: Record<string, string> = { postgresql: 'circleci-pg-export', mongodb: 'circleci-mongo-export', vault: 'circleci-vault', keys: KEYS }

/** Each file below a folder, but for our notes, with its size and when it was written. */
const filesIn = (folder: string): { path: string; size: number; written: number }[] =>
  (existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : []).filter(({ name }) => name !== NOTES).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return filesIn(path)
    const { size, mtimeMs } = statSync(path)
    return [{ path, size, written: mtimeMs }]
  })

const archives = new Map<string, Box>()

/** The archive in a folder of this machine, which need not be there yet. */
export const archiveAt = (given: string): Box => {
  const found = archives.get(given) ?? opened(given)
  archives.set(given, found)
  return found
}

const folderOf = (given: string): string => join(placeOf(given), 'circleci_export')

/** The words that run a script in an archive, which is made where it is not there yet. */
export const making = ({ archive = '' }: Box, script: string): string[] => ['bash', '-c', `(umask 077; mkdir -p ${quote(folderOf(archive))}) && cd ${quote(folderOf(archive))} || exit; ${script}`]

const opened = (given: string): Box => {
  const folder = folderOf(given)
  const words = (script: string): string[] => ['bash', '-c', `cd ${quote(folder)} || exit; ${script}`]
  const fingerprint = (): string => createHash('sha256').update(filesIn(folder).map(({ path, size, written }) => `${path.slice(folder.length)} ${size} ${written}`).sort().join('\n')).digest('hex').slice(0, 16)
  const look = oncePerLook(async (): Promise<Seen> => ({
    time: clock.now() / 1000, state: 'stopped', version: undefined, running: [], ours: [], ran: fingerprint(), images: [], packers: [], free: Number.MAX_SAFE_INTEGER, written: Math.max(0, ...filesIn(folder).map(({ written }) => written)),
    sizes: Object.fromEntries(Object.entries(FOLDERS).flatMap(([name, part]) => {
      const files = filesIn(join(folder, part))
      return files.length ? [[name, files.reduce((sum, { size }) => sum + size, 0)]] : []
    })),
    keys: existsSync(join(folder, KEYS)) ? readdirSync(join(folder, KEYS)).filter((name) => !name.endsWith('.part')) : [],
    sent: Object.fromEntries(Object.keys(FOLDERS).flatMap((name) => {
      const [of = '', sum = '', began, ended] = noteAt(join(folder, NOTES, `${name}.sent`)).trim().split(' ')
      return sum ? [[name, { of, sum, began: Number(began), ended: Number(ended) } satisfies Sent]] : []
    })),
  }))
  return {
    name: given, archive: given, notes: join(folder, NOTES), keys: join(folder, KEYS), words, look, read: (script) => readTool(['bash', '-c', `cd ${quote(folder)} 2>/dev/null || exit 0; ${script}`]),
    // What find prints is what is looked at here: paths, sizes, times.
    get fingerprint() { return `echo ${fingerprint()}` },
  }
}

/** The last words of a file. */
const endOf = (path: string): string => {
  const handle = openSync(path, 'r'), { size } = statSync(path), last = Buffer.alloc(Math.min(size, 512))
  readSync(handle, last, 0, last.length, size - last.length)
  closeSync(handle)
  return last.toString()
}

const noteAt = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '')

/** It is whole, and of this 2.19: nobody but the operator knows that nothing has run since. */
export const archiveIsWhole = (archive: Box, stores: StoreName[], old?: Box) => preflight('archive', 'the archive has each store and the keys, and 2.19 has not run since it was made', async () => {
  const { sizes, written = 0 } = await archive.look(), folder = folderOf(archive.archive ?? '')
  const empty = stores.filter((name) => !existsSync(join(folder, fileIn(name))) || !sizes[name])
  if (empty.length) return bad(`${folder} lacks ${empty.map((name) => fileIn(name)).join(', ')}`, `Name the folder in which circleci_export is, or leave out what is outside: ${empty.map(labelOf).join(', ')}.`)
  const half = stores.filter((name) => existsSync(join(folder, NOTES, `${name}.exporting`)))
  if (half.length) return bad(`an export of ${half.map(labelOf).join(' and ')} into ${folder} did not end`, 'Repeat the line with --export-dir, which sends it again.')
  if (stores.includes('postgresql') && !endOf(join(folder, fileIn('postgresql'))).includes('dump complete')) return bad(`${fileIn('postgresql')} does not end as a whole dump does: a part of it is missing`, 'Bring the whole file, or export again.')
  if (old) {
    const seen = await old.look(), anew = 'Leave --from out, and it is exported anew; --export-dir keeps that.'
    if (!isStopped(seen)) return bad(`2.19 runs on ${old.name}: an archive cannot be of now`, anew)
    const made = stores.flatMap((name) => (existsSync(join(folder, NOTES, `${name}.kept`)) ? [{ name, sum: noteAt(join(folder, NOTES, `${name}.kept`)).trim() }] : []))
    const other = made.filter(({ name, sum }) => sentNow(seen, name)?.sum !== sum).map(({ name }) => labelOf(name))
    if (other.length) return bad(`${other.join(' and ')} in ${folder} ${other.length > 1 ? 'are' : 'is'} not what ${old.name} has now: 2.19 has run since, or it is the archive of another one`, anew)
    if (made.length === stores.length) return ok('it is of what 2.19 has now')
    if (seen.used && written < seen.used * 1000) return bad(`2.19 ran after the archive was made: it was written on ${stamp(written)}, and Vault of 2.19 wrote on ${stamp(seen.used * 1000)}`, anew)
  }
  return ask(`The archive ${folder} was written on ${stamp(written)} (${stores.map((name) => `${labelOf(name)} ${human(BigInt(sizes[name] ?? 0))}`).join(', ')}). Was 2.19 stopped then, and has it not run since?`)
})

/** This machine, and the box for the dump of MongoDB, have room for it. */
export const roomForArchive = (box: Box, archive: Box, stores: StoreName[]) => preflight('room', 'there is room for the archive, here and for the dump of MongoDB on the box', async () => {
  const { sizes, free } = await box.look()
  const [wanted, dump] = [stores.reduce((sum, name) => sum + (sizes[name] ?? 0), 0), stores.filter(isDatabase).includes('mongodb') ? sizes.mongodb ?? 0 : 0]
  const place = placeOf(archive.archive ?? ''), existing = existsSync(place) ? place : '.'
  const { bavail, bsize } = statfsSync(existing)
  if (bavail * bsize < wanted) return bad(`${place} has ${human(BigInt(Math.floor(bavail * bsize)))} free, and the stores are ${human(BigInt(wanted))}`, 'Name a folder with more room, or leave --export-dir out: then nothing is kept in between.')
  return free < dump ? bad(`${box.name} has ${human(BigInt(Math.floor(free)))} free, and the dump of MongoDB may take ${human(BigInt(dump))}`, 'Make room there, or leave --export-dir out.') : ok(`${human(BigInt(wanted))} at the most`)
})
