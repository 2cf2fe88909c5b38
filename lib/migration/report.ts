/**
 * What a migration has moved, in a page that a manager can read: what came and how one knows, what differs, what people
 * should be told, how one goes back. All of it is read from both sides. Installation guide 3.3.0, "Migration", with its
 * questions and answers.
 */
import { cluster } from '../cluster/kubernetes.ts'
import { clock, stamp } from '../clock.ts'
import type { Check } from '../effect.ts'
import { Once, readSecret } from '../files.ts'
import { duration } from '../plan.ts'
import type { Report } from '../runbook.ts'
import { heldBy } from '../server/config.ts'
import { kinds } from '../server/keysets.ts'
import { line } from '../shell.ts'
import type { Box } from './box.ts'
import { forgetWords, isStopped, keyOn, sentNow } from './box.ts'
import { isHeld, notes, startedSince } from './held.ts'
import { fingerprint, keysOn, type KeyFiles } from './keys.ts'
import type { Given } from './inputs.ts'
import { labelOf, type StoreName } from './scripts.ts'
import { allCame, arrived, countsLines, figuresOf, received, type Figures } from './stores.ts'
import { projects, webhooksLeft } from './webhooks.ts'

/** Figures of 2.19 that 3.x has not, or otherwise. */
const differing = (figures: Figures[], kind: 'count' | 'sample'): string[] =>
  figures.filter((one) => one.kind === kind && one.there !== undefined && one.there !== one.here)
    .map(({ name: what, there, here }) => (kind === 'count' ? `${what}: ${there} in 2.19, ${here ?? 'none'} in 3.x` : `${what}: its rows are not the same on both sides`))

/** Each table and collection of 2.19 has as many rows and documents in 3.x, as both counted them. */
export const figuresAgree = (box: Box, name: StoreName): Check => {
  const { there, here } = countsLines(box, name)
  return {
    say: `${labelOf(name)} has in 3.x all that it had in 2.19`, within: 0, prints: 'same',
    command: { words: ['bash', '-c', `there=$(${line(there)}) && here=$(${line(here)}) && comm -23 <(grep '^count ' <<<"$there" | sort) <(sort <<<"$here") | grep -q . && echo different || { [ -n "$here" ] && echo same; }`] },
    holds: async () => {
      if (await startedSince()) return true
      if (!await arrived(box, name)) return 'it has not come yet'
      const figures = await figuresOf(box, name), all = figures.filter(({ kind, there: counted }) => kind === 'count' && counted !== undefined)
      // The guide's archive of MongoDB tells no numbers; whatever else counted nothing was not counted.
      if (!all.length && !(box.archive && name === 'mongodb')) return 'nothing was counted in 2.19'
      const found = differing(figures, 'count')
      return found.length === 0 || `${found.length} differ: ${found.slice(0, 3).join('; ')}`
    },
    hint: async () => `3.x is not started with less than 2.19 had. Send this, with a support bundle, to support; or move ${labelOf(name)} again: ${line(forgetWords(box, name))}, and then the same line.`,
  }
}

/** How many figures were compared, and which samples differ. */
export const agreed = async (box: Box, stores: StoreName[]): Promise<string> => {
  if (await startedSince()) return 'it was compared before 3.x was started'
  const all = (await Promise.all(stores.map((name) => figuresOf(box, name)))).flat(), samples = differing(all, 'sample')
  const uncounted = box.archive && stores.includes('mongodb') && !all.some(({ kind, name, there }) => kind === 'count' && there !== undefined && name.startsWith('circle_ghe.')) ? '; the archive does not tell how many documents MongoDB had' : ''
  return `${all.filter(({ kind, there }) => kind === 'count' && there !== undefined).length} tables and collections have as much on both sides${samples.length ? `; ${samples.join('; ')}: look at these in 3.x` : ''}${uncounted}`
}

const table = (head: string[], rows: string[][]): string[] => [`| ${head.join(' | ')} |`, `|${head.map(() => '---').join('|')}|`, ...rows.map((row) => `| ${row.join(' | ')} |`)]

const storeRow = async (box: Box, name: StoreName): Promise<string[]> => {
  const [sent, got, whole, figures] = [sentNow(await box.look(), name), await received(name), await arrived(box, name), await figuresOf(box, name)]
  const counted = figures.filter(({ kind, there }) => kind === 'count' && there !== undefined)
  const rows = counted.reduce((sum, { there }) => sum + (Number(there) || 0), 0)
  return [labelOf(name), whole ? 'moved' : 'not moved', sent ? duration((Math.max(sent.ended, got && got !== 'unknown' ? got.ended : 0) - sent.began) * 1000) : '–', whole ? `${rows} in ${counted.length}` : '–', whole && sent ? sent.sum.slice(0, 12) : '–']
}

const keyRows = async (box: Box, files: KeyFiles): Promise<string[][]> => {
  const found = await keysOn(box)
  return Promise.all(kinds.map(async (kind) => {
    const name = found[kind], deployed = await heldBy(kind), file = readSecret(files[kind])
    const there = name ? fingerprint(Once.join([await keyOn(box, name)])) : '–'
    return [`${kind} key`, there, file ? fingerprint(file) : 'not fetched', deployed ? fingerprint(deployed) : 'none']
  }))
}

const FAQ = (domain: string) => [
  '**Where did the jobs and builds of before go?** They are in the Legacy Jobs view: Projects, the project, and the link “legacy jobs” below its builds; '
    + `or https://${domain}/pipelines/github/ORG/PROJECT/jobs, with a job's number behind it for that job.`,
  '**Why does nothing happen after “Start Building”?** Only a project that nobody ever followed builds by itself. Push a commit.',
  '**“Error from server (NotFound)”** speaks of an installation whose databases have other names: send a support bundle and the transcript to support.',
]

/** The paragraph that people get. */
const toTheTeam = (domain: string, oldDomain: string | undefined): string =>
  `CircleCI has moved to server 3.x${oldDomain && oldDomain !== domain ? `, and to a new address: https://${domain} (it was https://${oldDomain})` : ` at https://${domain}`}. It has a new interface. Your projects, contexts and variables are there; `
  + 'jobs and builds of before are in the view “Legacy Jobs” of each project. If a project does not build, push a commit; if that does not help, tell us.'

export const migrationReport = (given: Given, { old, source: box }: { old: Box; source: Box }, stores: StoreName[], left: StoreName[], files: KeyFiles, checked: () => Promise<string[]>, githubToken: Once | undefined) => async (): Promise<Report> => {
  const seen = await old.look()
  const domain = await heldBy('domain') ?? 'DOMAIN'
  const [rows, keys, differ, held, kept, open] = [
    await Promise.all(stores.map((name) => storeRow(box, name))), await keyRows(old, files),
    (await Promise.all(stores.map((name) => figuresOf(box, name)))).flatMap((figures) => (['count', 'sample'] as const).flatMap((kind) => differing(figures, kind))), await isHeld(), await notes(), await webhooksLeft({ oldDomain: given.oldDomain, githubToken }) ?? await projects(),
  ]
  const whole = await allCame(box, stores)() !== undefined
  const { context, namespace } = cluster()
  const text = [
    `# CircleCI server 2.19 to 3.x: ${old.name} to ${namespace} (${context})`, '', `As read on ${stamp(clock.now())}.`, '',
    `**${whole ? differ.length ? 'All data has come, and something in it wants a look.' : 'All data has come, and is the same on both sides.' : 'Not all data has come yet.'}** `
      + `2.19 is ${isStopped(seen) ? 'stopped' : seen.state}; 3.x ${held === true ? 'is scaled down' : 'runs'}${given.trial ? '. This is a trial' : ''}.`, '',
    '## What was moved', '', ...table(['store', 'state', 'took', 'rows or documents', 'sha256 on both sides'], rows), '',
    ...(left.length ? [`${left.map(labelOf).join(' and ')} stayed outside, where both versions reach ${left.length > 1 ? 'them' : 'it'}.`, ''] : []),
    `Objects: ${given.storage === 'keep' ? `3.x has taken the bucket ${given.bucket}` : `copied from ${given.bucket}; 2.19 keeps its own`}.`, '',
    '## What differs', '', ...(differ.length ? differ.map((one) => `- ${one}`) : ['Nothing that was counted.']), '',
    '## Keys', '', ...table(['key', '2.19', 'file', 'Config screen of 3.x'], keys), '', 'Beginnings of their checksums: the same three mean the same key.', '',
    '## realitycheck', '', ...(await checked()).map((one) => `- ${one}`), '',
    ...(given.oldDomain && given.oldDomain !== domain ? ['## Projects whose webhooks are to be set up anew', '', ...(open?.length === 0 ? ['None is left: those of all projects lead to 3.x.'] : open?.map((one) => `- ${one}`) ?? ['MongoDB is outside, and does not tell them: look for each in GitHub, Settings, Webhooks.']), ''] : []),
    '## To send to the team', '', toTheTeam(domain, given.oldDomain), '', '## Questions that come', '', ...FAQ(domain).flatMap((one) => [one, '']),
    '## Going back', '',
    `Until people build on 3.x: \`npx tsx runbooks/migrate-2.19.ts back --host ${old.name}\` stops 3.x and starts 2.19 with the data as it was. After that it still does, but what was built since is not there.`
      + ' 2.19 and 3.x must never run at the same time: their builds would be lost or mixed up.',
    ...(left.length ? [`${left.map(labelOf).join(' and ')}: 3.x changes what is outside; going back needs its own backup.`] : []),
  ].join('\n')
  return { text, data: { stores: rows, whole, differ, keys, notes: kept, trial: given.trial }, code: whole && !differ.length ? 0 : 1 }
}
