/**
 * The circleci CLI, as it speaks to a server. Whose it is stands in CIRCLECI_CLI_TOKEN, and in no line. Newer ones ask for
 * runners where server 3.x has none: the notes of server 4.2 name the last one that works.
 */
import { askedAgain } from '../again.ts'
import { oncePerLook } from '../door.ts'
import type { Effect } from '../effect.ts'
import { bad, minutes, ok, preflight, warning } from '../effect.ts'
import { fail, Refused, Unanswered } from '../fail.ts'
import { Once } from '../files.ts'
import { secret, type Input } from '../inputs.ts'
import { line } from '../shell.ts'
import { CIRCLECI_CLI, installing } from '../software.ts'
import { complaint, readTool, runTool, type Outcome } from '../tools.ts'
import { isOlder } from './kots.ts'

/** One that no server knows, for rehearsals. */
export const REHEARSED_TOKEN = 'c1c1e0f4a5b69788796a5b4c3d2e1f0aabbccdd0'

/** A personal API token, as an input; the domain stands before it. */
export const cliToken = (say: string): Input<Once> => ({
  ...secret('token', say, { env: 'CIRCLECI_CLI_TOKEN', pattern: /^[\w-]{20,200}$/, looks: '40 letters and digits' }),
  byHand: { page: ({ domain }) => ({ say: `Make a personal API token on this page, as an administrator of the organisation:\n  https://${String(domain)}/account/api` }), kept: () => undefined, rehearsed: REHEARSED_TOKEN },
})

export interface Cli {
  domain: string
  words(...own: string[]): string[]
  /** What it prints; undefined where it fails as `absent` says. Asked again while nobody answers. */
  ask(own: string[], absent?: RegExp): Promise<string | undefined>
  /** A change; `tell` gets what it prints. */
  effect(id: string, own: string[], next: string, more: Pick<Effect, 'again'> & Partial<Effect>, tell?: (printed: string) => void): Effect
}

/** The script is not told the token. */
const FROM_ENVIRONMENT = 'The CLI reads CIRCLECI_CLI_TOKEN from the environment: export it first.'

export const cliFor = (domain: string, token: Once): Cli => {
  const env = { CIRCLECI_CLI_TOKEN: Once.join([token]), CIRCLECI_CLI_TELEMETRY_OPTOUT: '1' }
  const words = (...own: string[]) => ['circleci', ...own, '--host', `https://${domain}`, '--skip-update-check']
  const asked = new Map<string, () => Promise<string | undefined>>()
  return {
    domain, words,
    ask: (own, absent) => {
      const whole = line(words(...own))
      const ask = asked.get(whole) ?? oncePerLook(() => askedAgain(async () => {
        const said = await readTool(words(...own), { env })
        if (said.code === 0) return said.stdout
        if (absent?.test(said.stderr)) return undefined
        throw troubleOf(domain, said, whole)
      }))
      asked.set(whole, ask)
      return ask()
    },
    effect: (id, own, next, more, tell) => ({
      id, command: { words: words(...own) }, onlyInCall: FROM_ENVIRONMENT,
      call: async () => {
        const { stdout } = await runTool(words(...own), next, minutes(2), { env })
        tell?.(stdout)
      },
      ...more,
    }),
  }
}

/** Why it was not answered. */
const troubleOf = (domain: string, said: Outcome, asked: string) => {
  const why = complaint(said).replace(/^Error: /, '')
  if (said.code === 127) return fail('The command circleci is not installed.', installing('circleci'))
  if (/\b401\b|unauthori[sz]ed|log in first/i.test(why)) return new Refused(`https://${domain} does not accept the token: ${why}`, `Make a new one, and give it as CIRCLECI_CLI_TOKEN: https://${domain}/account/api`, { status: 401, reason: 'Unauthorized' })
  if (/\b403\b|forbidden|permission denied/i.test(why)) return new Refused(`https://${domain} refuses that: ${why}`, 'The token has to be one of an administrator of the organisation.', { status: 403, reason: 'Forbidden' })
  if (/x509|certificate/.test(why)) return fail(`This machine does not trust the certificate of ${domain}: ${why}`, 'Where a private authority signed it, name its root: SSL_CERT_FILE=root.pem in front of the same line.')
  return new Unanswered(`https://${domain} does not answer the circleci CLI: ${why}`, `Check the network and HTTPS_PROXY; this should answer: ${asked}`)
}

/** A table that it prints, by rows; a text in several lines has its first. */
export const rowsOf = (table: string): string[][] => table.split('\n').filter((row) => row.startsWith('|'))
  .map((row) => row.split('|').slice(1, -1).map((cell) => cell.trim())).slice(1).filter(([first]) => first)

/** It is one that finds the runners of server 3.x. */
export const cliFits = () => preflight('circleci', `the circleci CLI, ${CIRCLECI_CLI.first} to ${CIRCLECI_CLI.last}`, async () => {
  const said = await readTool(['circleci', 'version'])
  if (said.code === 127) return bad('the command circleci is not installed', installing('circleci'))
  const version = /^(\d+\.\d+\.\d+)/m.exec(said.stdout)?.[1]
  if (said.code !== 0 || !version) return bad(`circleci does not tell its release: ${complaint(said)}`, `This should answer: circleci version. ${installing('circleci')}`)
  if (version === '0.0.0') return warning('circleci is a build of its own, and does not tell its release', `Where it finds no runners: ${installing('circleci')}`)
  return isOlder(version, CIRCLECI_CLI.first) || isOlder(CIRCLECI_CLI.last, version) ? bad(`circleci ${version}, and server 3.x wants ${CIRCLECI_CLI.first} to ${CIRCLECI_CLI.last}: newer ones look for its runners in another place`, installing('circleci'))
    : ok(`${version} (${CIRCLECI_CLI.first} to ${CIRCLECI_CLI.last})`)
})

/** The server knows whose token it is. */
export const tokenIsKnown = ({ ask, domain }: Cli) => preflight('token', 'the server accepts the token', async () => {
  const name = /^Hello, (.*)\.$/m.exec(await ask(['diagnostic']) ?? '')?.[1]
  return name ? ok(`it is one of ${name}`) : warning(`${domain} does not say whose token it is`, 'Where the next lines are refused, make a new one.')
})
