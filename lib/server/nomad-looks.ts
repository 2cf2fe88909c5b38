/**
 * What must hold before Nomad clients are made: an address from inside, machines that are neither too small nor too big,
 * a folder and a state that are this installation's. Installation guide 3.3.0, phase 3; operations guide 3.4.1, "Overview".
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { awsIn } from '../cloud/aws.ts'
import { machineOf as ec2Machine } from '../cloud/ec2.ts'
import { gcpIn } from '../cloud/gcp.ts'
import { machineIn as gceMachine } from '../cloud/gke.ts'
import type { Terraform } from '../cloud/terraform.ts'
import { ask, bad, ok, preflight, warning } from '../effect.ts'
import { isOpenToOthers, placeOf, readSecret } from '../files.ts'
import { line, quote } from '../shell.ts'
import { softwareIsThere } from '../software.ts'
import { internalBy } from './balancers.ts'
import { isOlder } from './kots.ts'
import { clients } from './nomad.ts'
import type { Given } from './nomad-inputs.ts'
import { MARK, networkOf, serverAddress, SERVICE } from './nomad-module.ts'

export const endpointIsInternal = (given: Given) => preflight('endpoint', 'the Nomad servers have an address, which is reached from inside alone', async () => {
  const address = await serverAddress(given)
  const why = await internalBy(address, given.endpoint ? undefined : SERVICE)
  if (why) return ok(`${address} is internal: ${why}`)
  return given.publicEndpoint ? warning(`${address} is reached from outside too, as allowed`, `Make the load balancer of ${SERVICE} an internal one, and run this again.`)
    : bad(`${address} does not look internal: whoever holds a client's key could reach the Nomad servers from anywhere`, `Make the load balancer of ${SERVICE} an internal one; or name an internal address with --endpoint; where it is meant, --public-endpoint.`)
})

export const networkIsKnown = (given: Given) => preflight('network', 'the network of the cluster is found, and the clients get it', async () => ok((await networkOf(given)).say))

/** The biggest machine that Nomad clients may be. */
const MOST = { cores: 64, gigabytes: 128 }
/** Resource classes of jobs in Docker, the biggest first: cores and GB. */
const CLASSES: [string, number, number][] = [['2xlarge+', 20, 40], ['2xlarge', 16, 32], ['xlarge', 8, 16], ['large', 4, 8], ['medium+', 3, 6], ['medium', 2, 4], ['small', 1, 2]]

/** The biggest resource class that fits a machine. */
export const classFor = (cores: number, gigabytes: number): string | undefined => CLASSES.find(([, needs, memory]) => needs <= cores && memory <= gigabytes)?.[0]

export const sizeFits = ({ provider, region, profile, instanceType, project, zone, machineType }: Given) => preflight('size', `a client has ${MOST.cores} CPUs and ${MOST.gigabytes} GB at most, and fits a resource class`, async () => {
  const type = provider === 'aws' ? instanceType : machineType, name = provider === 'aws' ? '--instance-type' : '--machine-type'
  const machine = provider === 'aws' ? await ec2Machine(awsIn(region ?? '', profile), type) : await gceMachine(gcpIn(project ?? ''), zone ?? '', type)
  if (typeof machine === 'string') return bad(machine, `Name another one with ${name}.`)
  const { cores, gigabytes, arm } = machine
  const size = `${type}: ${cores} CPUs, ${gigabytes} GB`
  if (arm) return bad(`${type} has an ARM processor, and the image of the clients is made for x86`, `Name another one with ${name}: ${provider === 'aws' ? 't3.2xlarge' : 'n2-standard-8'}`)
  if (cores > MOST.cores || gigabytes > MOST.gigabytes) return bad(`${size}, and a Nomad client may have ${MOST.cores} CPUs and ${MOST.gigabytes} GB`, `Name a smaller one with ${name}, and more of them with --max-nodes.`)
  const fits = classFor(cores, gigabytes)
  return fits ? ok(`${size}: jobs up to resource class ${fits}; those of a bigger one stay pending`) : bad(`${size}: too small for any resource class`, `Name a bigger one with ${name}.`)
})

/** Nobody else reads the folder, and its main.tf is no one else's. */
export const folderIsOurs = ({ folder }: Given) => preflight('folder', `${folder} is yours alone, and its main.tf one of this runbook`, async () => {
  if (isOpenToOthers(folder)) return bad(`others than you can read ${folder}, in which keys will lie`, `chmod 700 ${quote(folder)}`)
  const held = readSecret(join(folder, 'main.tf'))
  return held !== undefined && !held.startsWith(MARK) ? bad(`${join(folder, 'main.tf')} was not written by this runbook, and would be overwritten`, 'Name another folder with --folder. To go on with a state of your own, move it there, or to where --state says.')
    : ok(existsSync(placeOf(folder)) ? 'it is' : 'it will be made')
})

/** Terraform's state is that of the clients that are there. */
export const stateIsOurs = ({ state, folder }: Given, tf: Terraform) => preflight('state', 'the clients that are there are those of Terraform\'s state', async () => {
  if ((await tf.outputs())['nomad_server_cert']) return ok('it has their certificates')
  const connected = await clients()
  if (!connected) return ok('no clients yet')
  // A state elsewhere can be read once init was done in this folder.
  return state === 'local' || (await tf.look()).is === 'planned'
    ? ask(`${connected} Nomad clients are connected, and Terraform's state (${state === 'local' ? `local, in ${folder}` : state}) knows none. Make others, with certificates that shut those out?`)
    : ask(`${connected} Nomad clients are connected. Whether Terraform's state in ${state} knows them is seen after init; where it does not, others are made, with certificates that shut those out. Is it theirs?`)
})

/** Two at once are kept apart: a state in S3 has a lock from Terraform 1.10 on, or a table of its own. */
export const terraformFits = ({ state, stateTable }: Given) => preflight('terraform', 'Terraform 0.15.4 or newer; for a state in S3 without a table 1.10', async () => {
  const verdict = await softwareIsThere('terraform', 'it makes the Nomad clients').look()
  if (verdict.is !== 'ok' || !state.startsWith('s3://') || stateTable || !isOlder(verdict.say, '1.10.0')) return verdict
  return bad(`Terraform ${verdict.say.split(' ')[0]} locks a state in S3 by a table of DynamoDB only`, `Name the table with --state-table (its key is LockID), or use Terraform 1.10 or newer: ${line(['terraform', 'version'])}`)
})
