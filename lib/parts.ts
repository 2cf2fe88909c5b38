/**
 * The parts of an installation, in their order: installation guide 3.3.0, phases 1 to 4. `make install-…` runs them,
 * status looks at each, and preflight at what each is told.
 */
import type { Definition, Group } from './runbook.ts'
import type { Input, Inputs } from './inputs.ts'
import { text } from './inputs.ts'

const CLOUDS = ['aws', 'gcp', 's3'] as const
export type Cloud = (typeof CLOUDS)[number]

/** The variable that says so. */
export const OF_CLOUD = 'CIRCLECI_CLOUD'

/** As an input. */
export const CLOUD: Input<Cloud> = {
  ...text(CLOUDS.join('|'), 'where the installation is to be; s3 is a cluster of your own with an S3-compatible store', { env: OF_CLOUD, pattern: new RegExp(`^(${CLOUDS.join('|')})$`), looks: CLOUDS.join(' or ') }) as unknown as Input<Cloud>,
  choices: CLOUDS,
}

/** The phases of the guide. */
export const PHASES = { 1: 'Prerequisites', 2: 'Core services', 3: 'Execution environment', 4: 'Post installation' } as const
export type Phase = keyof typeof PHASES

/**
 * `name` is that of its runbook, with the verb. `unless` are variables: who names all of them has what it would make;
 * `only` is a switch: without it nobody wants the part.
 */
export interface Part { name: string; phase: Phase; unless?: string[]; only?: string; load(): Promise<Definition<Inputs>> }

const part = (phase: Phase, name: string, load: () => Promise<{ default: unknown }>, when: Pick<Part, 'unless' | 'only'> = {}): Part => ({
  name, phase, ...when,
  load: async () => {
    const found = (await load()).default as Definition<Inputs> | Group
    return ('verbs' in found ? found.verbs.find((verb) => verb.name === name) : found) as Definition<Inputs>
  },
})

/** The parts that differ by the cloud. A cluster of your own is there already; the guide has no clients and no VMs for one. */
const STORAGE: Record<Cloud, Part> = {
  aws: part(1, 'object-storage-aws', () => import('../runbooks/object-storage-aws.ts')),
  gcp: part(1, 'object-storage-gcp', () => import('../runbooks/object-storage-gcp.ts')),
  s3: part(1, 'object-storage-s3', () => import('../runbooks/object-storage-s3.ts')),
}
const CLUSTERS: Record<Cloud, Part[]> = {
  aws: [part(1, 'create-eks', () => import('../runbooks/create-eks.ts'), { unless: ['CIRCLECI_CONTEXT'] })],
  gcp: [part(1, 'create-gke', () => import('../runbooks/create-gke.ts'), { unless: ['CIRCLECI_CONTEXT'] })],
  s3: [],
}
const CLIENTS: Part[] = [
  part(3, 'nomad-terraform', () => import('../runbooks/nomad-terraform.ts')),
  part(3, 'nomad-autoscaler', () => import('../runbooks/nomad-autoscaler.ts'), { only: 'NOMAD_AUTOSCALER' }),
]
const EXECUTION: Record<Cloud, Part[]> = {
  aws: [...CLIENTS, part(3, 'vm-service-aws', () => import('../runbooks/vm-service-aws.ts'))],
  gcp: [...CLIENTS, part(3, 'vm-service-gcp', () => import('../runbooks/vm-service-gcp.ts'))],
  s3: [],
}
const BACKUPS: Record<Cloud, Part> = {
  aws: part(4, 'velero-aws', () => import('../runbooks/velero-aws.ts')),
  gcp: part(4, 'velero-gcp', () => import('../runbooks/velero-gcp.ts')),
  s3: part(4, 'velero-s3', () => import('../runbooks/velero-s3.ts')),
}

export const storageOf = (cloud: Cloud): Part => STORAGE[cloud]
export const backupsOf = (cloud: Cloud): Part => BACKUPS[cloud]

/** What makes the installation, after preflight has looked; `valueOf` gives what a variable says. */
export const partsOf = (cloud: Cloud, valueOf: (variable: string) => string | undefined = () => undefined): Part[] => [
  ...CLUSTERS[cloud],
  storageOf(cloud),
  part(1, 'gen-keysets make', () => import('../runbooks/gen-keysets.ts')),
  part(1, 'tls-certificates issue', () => import('../runbooks/tls-certificates.ts'), { unless: ['TLS_CERTIFICATE', 'TLS_KEY'] }),
  part(1, 'github-oauth-app', () => import('../runbooks/github-oauth-app.ts')),
  part(2, 'install-server', () => import('../runbooks/install-server.ts')),
  part(3, 'output-processor', () => import('../runbooks/output-processor.ts')),
  ...EXECUTION[cloud],
  part(3, 'realitycheck', () => import('../runbooks/realitycheck.ts')),
  backupsOf(cloud),
].filter(({ unless, only }) => !unless?.every(valueOf) && (!only || isYes(valueOf(only))))

const isYes = (text: string | undefined): boolean => /^(1|true|yes|on)$/i.test(text ?? '')
