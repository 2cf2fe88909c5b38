/**
 * The output processor, which takes in what builds print: where Nomad clients reach it, and how many of it run.
 * Installation guide 3.3.0, phase 3, "Output Processor".
 */
import type { Check } from '../effect.ts'
import { minutes } from '../effect.ts'
import { kubectl, read, ref } from '../cluster/objects.ts'
import { optional } from '../inputs.ts'
import { line } from '../shell.ts'
import { toldAddress } from './balancers.ts'
import { heldBy, type Filled } from './config.ts'
import { appIsThere } from './kots.ts'
import { troublesOfPods } from './pods.ts'

export const NAME = 'output-processor'
const DEPLOYMENT = ref('Deployment', NAME)
/** With one the output of every build waits while it is moved or restarted. */
const LEAST = 2

export const REPLICAS = {
  ...optional('number', `how many of it run, ${LEAST} at least; more where output is slow`, /^([2-9]|[1-9]\d{1,2})$/, `${LEAST}, or more`), env: 'OUTPUT_PROCESSOR_REPLICAS',
}

/** As many as are named; else as many as the screen has, where those are enough. */
export const replicasWanted = async (named: string | undefined): Promise<number> =>
  Number(named ?? Math.max(LEAST, Number(await appIsThere() ? await heldBy('outputReplicas') : 0) || 0))

/** What goes into the screen. */
export const fieldsOf = async (named: string | undefined): Promise<Filled> =>
  ({ outputProcessor: toldAddress(NAME), outputReplicas: String(await replicasWanted(named)) })

/** The deployment has as many, and all of them run. */
export const enoughRun = async (named: string | undefined): Promise<Check> => {
  const wanted = await replicasWanted(named)
  return {
    say: `${wanted} of ${NAME} run`, within: minutes(10), prints: `${wanted} of ${wanted}`,
    command: { words: kubectl(['get', 'deployment', NAME, '-o', 'go-template={{or .status.availableReplicas 0}} of {{.spec.replicas}}'], 'Deployment') },
    holds: async () => {
      const { spec, status } = await read(DEPLOYMENT) ?? {}
      if (spec?.replicas === wanted && status?.availableReplicas === wanted) return true
      const [trouble] = await troublesOfPods({ labelSelector: `app=${NAME}` })
      return `${status?.availableReplicas ?? 0} of ${spec?.replicas ?? 0}${trouble ? `; ${trouble}` : ''}`
    },
    hint: async () => `See why they do not run: ${line(kubectl(['describe', 'pods', '-l', `app=${NAME}`], 'Pod'))}`,
  }
}

/** For the summary. */
export const outputFacts = async (): Promise<Record<string, string>> => {
  const { spec, status } = await read(DEPLOYMENT) ?? {}
  return { [NAME]: spec ? `${status?.availableReplicas ?? 0} of ${spec.replicas} run` : 'not deployed' }
}
