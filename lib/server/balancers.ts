/** The load balancers of the installation, and the addresses that the cloud gave them. */
import type { V1Service } from '@kubernetes/client-node'
import type { Check } from '../effect.ts'
import type { Told } from './config.ts'
import { bad, minutes, ok, preflight, warning } from '../effect.ts'
import { addressesOf } from '../names.ts'
import { kubectl, read, ref } from '../cluster/objects.ts'
import { line } from '../shell.ts'

/** Of users and webhooks, of Nomad clients, of the output of builds, of machine jobs. */
export const BALANCERS = ['circleci-server-traefik', 'nomad-server-external', 'output-processor', 'vm-service'] as const
/** That of users and webhooks; it kept its name when Kong took the place of Traefik. */
export const FRONT = BALANCERS[0]

const addressIn = (service: V1Service | undefined): string | undefined => {
  const first = service?.status?.loadBalancer?.ingress?.[0]
  return first?.hostname ?? first?.ip
}

/** A host name on AWS, an IP on Google Cloud; undefined while there is none. */
export const addressOf = async (name: string): Promise<string | undefined> => addressIn(await read(ref('Service', name)))

const INTERNAL = /^service\.beta\.kubernetes\.io\/aws-load-balancer-(internal|scheme)$|^(cloud\.google|networking\.gke)\.(com|io)\/load-balancer-type$/
const PRIVATE = /^(10|127)\.|^192\.168\.|^172\.(1[6-9]|2\d|3[01])\.|^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./

/** How one knows that an address, or the service that has it, is reached from inside alone; undefined where that is not so. */
export const internalBy = async (address: string, name?: string): Promise<string | undefined> => {
  const annotations = (name ? await read(ref('Service', name)) : undefined)?.metadata?.annotations ?? {}
  const said = Object.entries(annotations).find(([key, value]) => INTERNAL.test(key) && !/^(false|external|internet-facing)$/i.test(value))
  if (said) return `annotation ${said[0]}`
  const found = await addressesOf(address)
  return found.length && found.every((one) => PRIVATE.test(one)) ? `it is ${found.join(', ')}` : undefined
}

/** The address of each that has one now. */
export const addresses = async (): Promise<Record<string, string>> => Object.fromEntries((await Promise.all(BALANCERS.map(async (name) =>
  [name, await addressOf(name)] as const))).flatMap(([name, address]) => (address ? [[name, address]] : [])))

/** The service has an address. */
export const hasAddress = (name: string): Check => ({
  say: `service ${name} has an address`, within: minutes(10), prints: 'yes',
  command: { words: kubectl(['get', 'service', name, '-o', 'go-template={{if .status.loadBalancer.ingress}}yes{{end}}'], 'Service') },
  holds: async () => Boolean(await addressOf(name)) || 'none yet',
  hint: async () => `See why the cloud gives none: ${line(kubectl(['describe', 'service', name], 'Service'))}`,
})

/** Its address as a field of the Config screen gets it. */
export const toldAddress = (name: string): Told => ({
  say: `the address of service ${name}`, read: () => addressOf(name),
  words: kubectl(['get', 'service', name, '-o', 'jsonpath={.status.loadBalancer.ingress[0].hostname}{.status.loadBalancer.ingress[0].ip}'], 'Service'),
})

/** The server is deployed: its service is there, with an address or without one yet. */
export const serviceIsThere = (name: string) => preflight('service', `the service ${name} is there, with an address`, async () => {
  const address = addressIn(await read(ref('Service', name)))
  if (address) return ok(`${name} is ${address}`)
  return await read(ref('Service', name)) ? warning(`service ${name} has no address yet; the run waits for it`, `See why the cloud gives none: ${line(kubectl(['describe', 'service', name], 'Service'))}`)
    : bad(`there is no service ${name}: the server is not deployed here`, 'Install it first (npx tsx runbooks/install-server.ts), or name its namespace with --namespace.')
})
