/**
 * Behind a proxy, the second pass: the application and the build agents share one list of hosts that are reached without
 * it, and the load balancers between them have to be on it. Installation guide 3.3.0, "Installing behind an HTTP Proxy".
 */
import type { Done, Effect } from '../effect.ts'
import { isDone } from '../effect.ts'
import { addressOf } from './balancers.ts'
import { byHand, haveConfig, type Filled } from './config.ts'

const INSIDE = ['output-processor', 'vm-service']

/** The list with the load balancers of output processor and VM service; undefined before the first deploy, when they have no address. */
const listOf = async (given: string | undefined): Promise<Filled | undefined> => {
  const found = await Promise.all(INSIDE.map(addressOf))
  return found.includes(undefined) ? undefined : { noProxy: [...new Set([...given?.split(',') ?? [], ...found])].join(',') }
}

/** Both load balancers are in the list that is deployed. */
export const haveBalancersUnproxied = async (given: string | undefined): Promise<Done | Effect[]> => {
  const filled = await listOf(given)
  const answer = filled ? await haveConfig({ filled }) : []
  // This run made the version that it builds on, so that no plan could name it; the call does.
  return isDone(answer) ? answer : answer.map(({ subject: _madeMeanwhile, ...effect }) => effect)
}

/** What a person does where KOTS cannot be told. */
export const unproxiedByHand = async (given: string | undefined): Promise<string> => byHand(await listOf(given) ?? { noProxy: `${given ? `${given},` : ''}${INSIDE.map((name) => `the address of ${name}`).join(',')}` })
