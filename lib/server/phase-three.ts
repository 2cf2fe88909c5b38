/**
 * What the runbooks of phase 3 have in common: each sets its fields of the Config screen, and deploys them. Installation
 * guide 3.3.0, phase 3, "Configure and Deploy".
 */
import type { Permission } from '../cluster/objects.ts'
import type { Step } from '../effect.ts'
import { minutes, step } from '../effect.ts'
import { nothingElseIsUndeployed, permissionsAllow } from '../preflight.ts'
import { byHand, haveConfig, isOneOf, savedAs, type Filled } from './config.ts'
import type { FieldName } from './config-screen.ts'
import { adminConsole, kotsReaches } from './kots.ts'

/** The console's key, and curl in its pod; the addresses of load balancers. */
const FOR_CONFIG: Permission[] = [
  { verbs: ['get'], resource: 'services' }, { verbs: ['get'], resource: 'deployments', group: 'apps' }, { verbs: ['get'], resource: 'secrets' }, { verbs: ['create'], resource: 'pods/exec' },
]

/** These fields can be deployed, and nothing of somebody else goes out with them. */
export const mayConfigure = (fields: FieldName[], more: Permission[] = []) => [permissionsAllow([...FOR_CONFIG, ...more]), nothingElseIsUndeployed(isOneOf(fields))]

/** All of the fields are in force. */
export const configure = (filled: () => Promise<Filled>): Step =>
  step('configure', 'Fill in the Config screen, and deploy', async () => haveConfig({ filled: await filled() }), {
    manual: { say: async () => byHand(await filled()), within: minutes(120) },
    verify: async () => kotsReaches((status) => status === 'deployed', 'KOTS has deployed it', await savedAs(await filled())),
    back: `Nothing is lost by another deploy: ${adminConsole()}, Version History.`,
  })

