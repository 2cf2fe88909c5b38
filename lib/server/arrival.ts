/**
 * How one knows that an installation has arrived: its frontend is ready, its names lead to it, it answers over TLS, and
 * somebody has logged in. Installation guide 3.3.0, phase 2, "Create DNS entry" and "Validation".
 */
import type { Check, Done, Effect } from '../effect.ts'
import { done, minutes } from '../effect.ts'
import { haveRecord, type Account, type Dns } from '../cloud/dns.ts'
import { allAvailable } from '../cluster/checks.ts'
import { kubectl, list, read, ref } from '../cluster/objects.ts'
import { leadsTo, leadsToLine } from '../names.ts'
import { line } from '../shell.ts'
import { readTool } from '../tools.ts'
import { addressOf, FRONT } from './balancers.ts'
import { namesOf } from './certificates.ts'
import { isReady } from './databases.ts'
import { mongo } from './mongodb.ts'
import { troublesOfPods } from './pods.ts'

const FRONTEND = ref('Deployment', 'frontend')

/** The pod that the guide looks for is ready; while it is not, why others are not either. */
export const frontendRuns = (): Check => {
  const check = allAvailable(FRONTEND, minutes(40))
  return {
    ...check, say: 'the frontend is ready, 1/1',
    holds: async () => {
      const is = await check.holds()
      if (is === true) return true
      const [pods, troubles] = [await list('Pod'), await troublesOfPods()]
      return `${pods.filter(isReady).length} of ${pods.length} pods are ready${troubles.length ? `; ${troubles.slice(0, 2).join('; ')}` : ''}`
    },
    hint: async () => {
      const troubles = await troublesOfPods()
      const first = troubles[0]?.split(':')[0]
      return troubles.length ? `${troubles.join('; ')}. See more: ${line(kubectl(['describe', 'pod', first ?? ''], 'Pod'))}` : `See which pods are not ready: ${line(kubectl(['get', 'pods'], 'Pod'))}`
    },
  }
}

/** Both names lead to the load balancer; where `dns` says whose the zone is, by records that are made there. */
export const haveNames = async (domain: string, dns: Dns | undefined, account: Account): Promise<Done | Effect[]> => {
  const address = await addressOf(FRONT)
  if (!address) return []
  const answers = await Promise.all(namesOf(domain).map(async (name): Promise<Done | Effect[]> => {
    if (dns) return haveRecord(dns, name, address, account)
    return await leadsTo(name, address) === true ? done(`${name} leads to ${address}`) : []
  }))
  return answers.every((one) => 'done' in one) ? done(answers.map((one) => ('done' in one ? one.done : '')).join('; ')) : answers.flatMap((one) => ('done' in one ? [] : one))
}

/** What a person does where the zone is somewhere else. */
export const namesByHand = async (domain: string): Promise<string> => {
  const address = await addressOf(FRONT)
  const kind = address && /^[\d.]+$/.test(address) ? 'A records' : 'CNAME records (at the top of a zone an alias)'
  return `let ${namesOf(domain).join(' and ')} lead to ${address ?? `the address of service ${FRONT}, once it has one (${line(kubectl(['get', 'service', FRONT], 'Service'))})`}, with ${kind}`
}

/** Before there is an address, the command that prints it. */
const printAddress = (): string => `"$(${line(kubectl(['get', 'service', FRONT, '-o', 'jsonpath={.status.loadBalancer.ingress[0].hostname}{.status.loadBalancer.ingress[0].ip}'], 'Service'))})"`

/** Each name leads to the load balancer, as this machine resolves it. */
export const namesLeadThere = async (domain: string): Promise<Check[]> => {
  const address = await addressOf(FRONT)
  return namesOf(domain).map((name) => ({
    say: `${name} leads to ${address ?? 'the load balancer'}`, within: minutes(60), prints: 'same',
    command: { words: ['sh', '-c', leadsToLine(name, address ?? printAddress())] },
    holds: async () => (address ? leadsTo(name, address) : 'the load balancer has no address'),
    hint: async () => `DNS may take as long as the record of before was to be kept (its TTL). This should show it: dig +short ${name}`,
  }))
}

/** What curl ends with, and what that means here. */
const CURL: Record<number, string> = {
  6: 'its name cannot be resolved here yet', 7: 'nothing answers there yet', 22: 'it answers with an error', 28: 'it does not answer in time', 35: 'its TLS fails',
  51: 'its certificate is for another name', 60: 'its certificate is not trusted here: the chain of Frontend TLS Certificate lacks its intermediates, or its authority is a private one',
  127: 'there is no curl here',
}

/** The health check of the load balancer answers in JSON, over TLS. */
export const statusAnswers = (domain: string): Check => {
  const words = ['curl', '-fsS', '--max-time', '10', `https://${domain}/status`]
  return {
    say: `https://${domain}/status answers`, within: minutes(20), prints: '{',
    command: { words: ['sh', '-c', `${line(words)} 2>/dev/null | grep -o '[{]' | head -n 1`] },
    holds: async () => {
      const { code, stdout } = await readTool(words)
      if (code === 0) return stdout.trim().startsWith('{') || 'it answers, but not in JSON'
      return CURL[code] ?? `curl ended with ${code}`
    },
    hint: async () => `See what it says: ${line(['curl', '-v', `https://${domain}/status`])}`,
  }
}

const countUsers = (): string[] => mongo('print("users " + db.getSiblingDB("circle_ghe").users.count())')

/** Somebody has logged in; undefined where that cannot be seen, as with an external MongoDB. */
const users = async (): Promise<number | undefined> => {
  if (!await read(ref('Pod', 'mongodb-0'))) return undefined
  const { code, stdout } = await readTool(countUsers())
  const found = /^users (\d+)$/m.exec(stdout)?.[1]
  return code === 0 && found !== undefined ? Number(found) : undefined
}

export const loginByHand = (domain: string): string => `log in at https://${domain}: the first who does is its administrator`

/** The first login, which makes the first user and its administrator. */
export const somebodyHasLoggedIn = async (domain: string): Promise<Done | Effect[]> => {
  const frontend = await read(FRONTEND)
  if (!frontend) return []
  const count = await users()
  if (count) return done(`the installation has ${count === 1 ? 'a user' : `${count} users`}`)
  return count === undefined && frontend.status?.availableReplicas ? done(`cannot be seen from here: ${loginByHand(domain)}`) : []
}

export const loginIsSeen = (domain: string): Check => ({
  say: `somebody logs in at https://${domain}`, within: minutes(60), prints: 'yes',
  command: { words: ['sh', '-c', `${line(countUsers())} | grep -q '^users [1-9]' && echo yes`] },
  holds: async () => ((await users() ?? 0) > 0) || 'the installation has no user yet',
  hint: async () => `Log in at https://${domain}, or repeat the line with --hand-over. Where GitHub names redirect_uri, the OAuth app has another callback URL: npx tsx runbooks/github-oauth-app.ts --help`,
})
