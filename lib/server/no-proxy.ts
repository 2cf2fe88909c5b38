/**
 * Behind a proxy, the second pass: the application and the build agents share one list of hosts that are reached without
 * it, and the load balancers between them have to be on it. Installation guide 3.3.0, "Installing behind an HTTP Proxy".
 */
import type { Done, Effect } from '../effect.ts'
import { done } from '../effect.ts'
import { addressOf } from './balancers.ts'
import { deployedOtherwise, savedAs } from './config.ts'
import { setAndDeploy } from './kots.ts'

const INSIDE = ['output-processor', 'vm-service']

/** The load balancers of output processor and VM service are in the list; known only after the first deploy. */
export const haveBalancersUnproxied = async (given: string | undefined): Promise<Done | Effect[]> => {
  const found = await Promise.all(INSIDE.map(addressOf))
  if (found.some((address) => address === undefined)) return []
  const noProxy = [...new Set([...given?.split(',') ?? [], ...found as string[]])].join(',')
  if (!(await deployedOtherwise({ noProxy })).length) return done(`the list has ${found.join(' and ')}`)
  const items = await savedAs({ noProxy })
  return items ? [setAndDeploy(items)] : []
}
