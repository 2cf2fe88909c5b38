/**
 * The parts of an installation, in their order: installation guide 3.3.0, phases 1 and 2. `make install-…` runs them,
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

/** `name` is that of its runbook, with the verb; `unless` are variables: who names all of them has what it would make. */
export interface Part { name: string; unless?: string[]; load(): Promise<Definition<Inputs>> }

const part = (name: string, load: () => Promise<{ default: unknown }>, unless?: string[]): Part => ({
  name, ...(unless ? { unless } : {}),
  load: async () => {
    const found = (await load()).default as Definition<Inputs> | Group
    return ('verbs' in found ? found.verbs.find((verb) => verb.name === name) : found) as Definition<Inputs>
  },
})

const STORAGE: Record<Cloud, Part> = {
  aws: part('object-storage-aws', () => import('../runbooks/object-storage-aws.ts')),
  gcp: part('object-storage-gcp', () => import('../runbooks/object-storage-gcp.ts')),
  s3: part('object-storage-s3', () => import('../runbooks/object-storage-s3.ts')),
}

/** A cluster of your own is there already. */
const CLUSTERS: Record<Cloud, Part[]> = {
  aws: [part('create-eks', () => import('../runbooks/create-eks.ts'), ['CIRCLECI_CONTEXT'])],
  gcp: [part('create-gke', () => import('../runbooks/create-gke.ts'), ['CIRCLECI_CONTEXT'])],
  s3: [],
}

export const storageOf = (cloud: Cloud): Part => STORAGE[cloud]

/** What makes the installation, after preflight has looked; `isNamed` tells of a variable whether it says something. */
export const partsOf = (cloud: Cloud, isNamed: (variable: string) => boolean = () => false): Part[] => [
  ...CLUSTERS[cloud],
  storageOf(cloud),
  part('gen-keysets make', () => import('../runbooks/gen-keysets.ts')),
  part('tls-certificates issue', () => import('../runbooks/tls-certificates.ts'), ['TLS_CERTIFICATE', 'TLS_KEY']),
  part('github-oauth-app', () => import('../runbooks/github-oauth-app.ts')),
  part('install-server', () => import('../runbooks/install-server.ts')),
].filter(({ unless }) => !unless?.every(isNamed))
