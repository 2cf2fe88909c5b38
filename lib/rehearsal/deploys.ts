/** KOTS's deploys in the rehearsal: what they apply, after a while, and what makes them fail. */
import { firstDeploy } from './bare.ts'
import { scaleOutput } from './execution.ts'
import { NAMESPACE } from './installation.ts'
import { rendered, type Version } from './kots.ts'
import { injectToken } from './services-box.ts'
import { bytes } from './quantity.ts'
import { change, create, keyOf, later, list, type KubeObject, type World } from './world.ts'

/** A deploy applies the stateful sets; what `kubectl apply` may not change makes it fail. */
export const finishDeploy = (world: World, sequence: number): void => {
  const version = world.kots.versions.find((one) => one.sequence === sequence)
  if (version?.status !== 'deploying') return
  const size = (set: KubeObject) => bytes(set.spec.volumeClaimTemplates[0].spec.resources.requests.storage)
  const pairs = rendered(version).map((set) => [set, world.objects[keyOf('statefulsets', set.metadata.name, NAMESPACE)]] as const)
  if (!world.rules.deployFails) {
    for (const [set, live] of pairs) if (!live) create(world, 'statefulsets', { ...set, metadata: { ...set.metadata, generation: 1 } })
  }
  const refused = pairs.some(([set, live]) => live && size(live) !== size(set))
  version.status = world.rules.deployFails || refused ? 'failed' : 'deployed'
  if (version.status !== 'deployed') return
  firstDeploy(world)
  scaleOutput(world, version)
  applyKeysets(world, version)
  if (world.box) injectToken(world)
}

/** Starts the deploy of a version that KOTS has just made. */
export const startDeploy = (world: World, sequence: number): void =>
  later(world, world.rules.deployTakes ?? 30_000, { do: 'finish-deploy', name: world.kots.slug, sequence })

const KEYSETS: Record<string, string> = { CIRCLE_SECRETS__KEYSET__SIGN: 'signing_keyset', CIRCLE_SECRETS__KEYSET__CRYPT: 'encryption_keyset' }

/** The frontend gets the keysets of a version; and what was scaled to nothing runs again, for a deploy knows nothing of that. */
const applyKeysets = (world: World, { values }: Version): void => {
  for (const one of list(world, 'deployments', NAMESPACE).filter(({ metadata }) => metadata.labels?.['layer'] === 'application')) {
    change(world, one, () => {
      for (const env of one.spec.template.spec.containers[0].env ?? []) {
        const value = values[KEYSETS[env.name] ?? '']?.value
        if (value?.startsWith('{')) env.value = value.trim()
      }
      if (one.spec.replicas === 0) one.spec.replicas = 1
    })
  }
}
