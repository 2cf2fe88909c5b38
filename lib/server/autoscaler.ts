/** Nomad autoscaler: what it is told in either cloud. Installation guide 3.3.0, phase 3, "Nomad Autoscaler". */
import { optional, type Input } from '../inputs.ts'
import { sizesWanted, type Group, type Sizes } from '../cloud/scaling.ts'
import type { FieldName } from './config-screen.ts'
import { heldBy, type Filled } from './config.ts'

/** Its account of the cluster. */
export const NAME = 'nomad-autoscaler'

const size = (say: string, env: string): Input<string | undefined> => ({ ...optional('number', `${say}; those of the group where nothing is said`, /^(0|[1-9]\d{0,3})$/, 'a number: 5'), env })
export const sizeInputs = () => ({ min: size('fewest clients', 'NOMAD_MIN_NODES'), max: size('most clients', 'NOMAD_MAX_NODES') })

export const sizesNamed = ({ min, max }: { min: string | undefined; max: string | undefined }): Sizes => ({ min: min === undefined ? undefined : Number(min), max: max === undefined ? undefined : Number(max) })

const isOn = async (): Promise<boolean> => await heldBy('autoscaler') === '1'

/** How many clients there are at least to be: so many, where their number does not follow the builds. */
export const clientsWanted = async (nodes: number): Promise<number> => (await isOn() ? Math.min(nodes, Number(await heldBy('autoscalerMin'))) : nodes)

/** How many the autoscaler has set, which nobody is to put back; undefined where it is off, or the cloud does not tell. */
export const clientsSet = async (group: Group): Promise<number | undefined> => (await isOn() ? (await group.sizes())?.desired : undefined)

/** What goes into the screen in either cloud. */
export const scalerFields = async (group: Group, named: Sizes): Promise<Filled> => {
  const { min, max } = await sizesWanted(group, named)
  return { autoscaler: '1', autoscalerMax: String(max), autoscalerMin: String(min) }
}

export const FIELDS: FieldName[] = [
  'autoscaler', 'autoscalerMax', 'autoscalerMin', 'autoscalerProvider', 'autoscalerRegion', 'autoscalerAuthentication', 'autoscalerAccessKey', 'autoscalerSecretKey', 'autoscalerRole', 'autoscalerGroup',
  'autoscalerProject', 'autoscalerInstances', 'autoscalerType', 'autoscalerKey', 'autoscalerAccount',
]
