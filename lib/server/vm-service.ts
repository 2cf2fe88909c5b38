/**
 * VM service, which gives machine and remote Docker jobs their VMs: what it is told in either cloud. Operations guide
 * 3.4.1, "VM Service".
 */
import { bad, ok, preflight, warning } from '../effect.ts'
import { flag, optional } from '../inputs.ts'
import { toldAddress } from './balancers.ts'
import { heldBy, type Filled, type Value } from './config.ts'
import type { FieldName } from './config-screen.ts'
import { adminConsole } from './kots.ts'

/** Its service, and its account of the cluster. */
export const NAME = 'vm-service'

/** Port by which people come into their jobs. */
export const SSH_OF_JOBS = 54_782
/** SSH, and Docker, for what starts jobs in a VM. */
export const FOR_JOBS = [22, 2376]

const prescaled = (kind: string, env: string) => ({ ...optional('number', `VMs for ${kind} that always run, 0 to 5; left as it is where nothing is said`, /^[0-5]$/, 'a number from 0 to 5'), env })

export const vmInputs = () => ({
  privateIps: { ...flag('give the VMs no public address'), env: 'VM_PRIVATE_IPS' },
  prescaledDocker: prescaled('remote Docker', 'VM_PRESCALED_DOCKER'),
  prescaledMachine: prescaled('machine jobs', 'VM_PRESCALED_MACHINE'),
  prescaledWindows: prescaled('machine jobs on Windows', 'VM_PRESCALED_WINDOWS'),
})
export interface Given { privateIps: boolean; prescaledDocker: string | undefined; prescaledMachine: string | undefined; prescaledWindows: string | undefined }

/** Of the fields those that have a value. */
export const given = (fields: Partial<Record<FieldName, Value | undefined>>): Filled =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

/** What goes into the screen in either cloud. The port stays what it is. */
export const vmFields = ({ privateIps, prescaledDocker, prescaledMachine, prescaledWindows }: Given): Filled => ({
  vmBalancer: toldAddress(NAME), vmPublic: privateIps ? '0' : '1',
  ...given({ vmPrescaledDocker: prescaledDocker, vmPrescaledMachine: prescaledMachine, vmPrescaledWindows: prescaledWindows }),
})

/** Another port is for those whom support told so. */
export const portIsUsual = () => preflight('port', 'VM service listens on port 3000', async () => {
  const port = await heldBy('vmPort')
  return port === undefined || port === '3000' ? ok('3000') : warning(`VM Service Load Balancer Port is ${port}, and stays so`, `3000 is right unless support said otherwise: ${adminConsole()}, Config, VM Service.`)
})

/** The image for Windows: as it is named by a flag, and as the screen holds it. */
interface WindowsImage { named: string | undefined; flag: string; field: FieldName }

/** VMs that always run, by this line or as the screen has it, are paid for, and have none of the layers of the last build. */
export const prescaledIsMeant = ({ prescaledDocker, prescaledMachine, prescaledWindows }: Given, { named, flag: imageFlag, field }: WindowsImage) => preflight('prescaled', 'no VMs are kept running, or they are meant to be, and for Windows there is an image', async () => {
  const windows = prescaledWindows ?? await heldBy('vmPrescaledWindows')
  const counts = [['remote Docker', prescaledDocker ?? await heldBy('vmPrescaledDocker')], ['machine', prescaledMachine ?? await heldBy('vmPrescaledMachine')], ['Windows', windows]]
  const kept = counts.filter(([, count]) => Number(count) > 0)
  if (Number(windows) > 0 && !(named ?? await heldBy(field))) return bad(`${windows} VMs for Windows are to run always, and there is no image for them`, `Name it with ${imageFlag}, or keep none: --prescaled-windows 0`)
  return kept.length ? warning(`${kept.map(([kind, count]) => `${count} VMs for ${kind}`).join(', ')} will always run, and be paid for; a job with Docker layer caching waits until all of them are in use, for it wants a new one`,
    'Where jobs use Docker layer caching, 0 for remote Docker and for machine: --prescaled-docker 0 --prescaled-machine 0') : ok('none is kept running')
})

/** What the summary says in either cloud. */
export const AFTERWARDS = [
  'Retry with SSH shows the private address of a VM in 3.3 and 3.4, which is a known issue: where people are not in that network, they take its public one from the console of the cloud.',
  'A job with Docker layer caching waits for a new VM while others are kept running: where jobs use it, keep none for remote Docker and for machine (--prescaled-docker 0 --prescaled-machine 0).',
  'VMs that are kept running are replaced once a day; a smaller number of them takes up to 24 h to show, and those too many may be ended by hand.',
  'Behind a proxy the VMs may want an image of their own (CircleCI Linux Image Builder, --linux-ami), and the load balancer of VM service belongs on the no-proxy list.',
  'See it work, in machine, remote Docker and layer caching jobs: npx tsx runbooks/realitycheck.ts --groups resource,feature,vm',
]
