/** Names of hosts and the addresses behind them, as this machine resolves them; a rehearsal resolves its own. */
import { lookup } from 'node:dns/promises'

/** Addresses of a name, sorted; none where it has none. */
export type Resolver = (name: string) => Promise<string[]>

let resolve: Resolver = async (name) => {
  try {
    return (await lookup(name, { all: true })).map(({ address }) => address).sort()
  } catch {
    return []
  }
}

export const useResolver = (other: Resolver): void => { resolve = other }

/** The addresses of a host; of an address itself. */
export const addressesOf = async (host: string): Promise<string[]> => (/^[\d.]+$/.test(host) ? [host] : resolve(host))

/** Whether a name leads to a load balancer: to one of its addresses at least. */
export const leadsTo = async (name: string, target: string): Promise<true | string> => {
  const [found, wanted] = [await resolve(name), await addressesOf(target)]
  if (found.some((address) => wanted.includes(address))) return true
  return found.length ? `${name} is ${found.join(', ')}` : `${name} has no address`
}

/** The same for a script, which prints `same` where it does. The target is a word of bash. */
export const leadsToLine = (name: string, target: string): string =>
  `to=${target}; dig +short ${name} A | grep -E "^[0-9.]+$" | grep -qxF "$(echo "$to"; dig +short "$to" A)" && echo same`
