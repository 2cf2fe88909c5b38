/**
 * What the runbooks of phase 3 have in common: each sets its fields of the Config screen, and deploys them. Installation
 * guide 3.3.0, phase 3, "Configure and Deploy".
 */
import type { Aws } from '../cloud/aws.ts'
import type { Gcp } from '../cloud/gcp.ts'
import type { Permission } from '../cluster/objects.ts'
import type { Step } from '../effect.ts'
import { isKeyOf, keyIdIn } from '../cloud/iam.ts'
import { googleKeyIn, isGoogleKeyOf } from '../cloud/keys.ts'
import { isDone, minutes, step, verifyStep } from '../effect.ts'
import { readSecret } from '../files.ts'
import { nothingElseIsUndeployed, permissionsAllow } from '../preflight.ts'
import { byHand, haveConfig, heldBy, isOneOf, savedAs, type Filled } from './config.ts'
import type { FieldName } from './config-screen.ts'
import { adminConsole, kotsReaches } from './kots.ts'

/** The console's key, and curl in its pod; the addresses of load balancers. */
const FOR_CONFIG: Permission[] = [
  { verbs: ['get'], resource: 'services' }, { verbs: ['get'], resource: 'deployments', group: 'apps' }, { verbs: ['get'], resource: 'secrets' }, { verbs: ['create'], resource: 'pods/exec' },
]

/** These fields can be deployed, and nothing of somebody else goes out with them. */
export const mayConfigure = (fields: FieldName[], more: Permission[] = []) => [permissionsAllow([...FOR_CONFIG, ...more]), nothingElseIsUndeployed(isOneOf(fields))]

/** All of the fields are in force. The first step is done once they are on their way; the second waits until they have arrived. */
export const configure = (filled: () => Promise<Filled>): Step[] => {
  const set = async () => haveConfig({ filled: await filled() })
  const arrived = verifyStep('deployed', 'Wait until KOTS has deployed them', 'KOTS has deployed them', async () =>
    kotsReaches((status) => status === 'deployed', 'KOTS has deployed it', await savedAs(await filled())))
  return [
    step('configure', 'Fill in the Config screen, and deploy', set, {
      manual: { say: async () => byHand(await filled()), within: minutes(120) }, back: `Nothing is lost by another deploy: ${adminConsole()}, Version History.`,
    }),
    { ...arrived, todo: async () => (isDone(await set()) ? arrived.todo() : []) },
  ]
}

/** Key and secret of a user as the file has them; where the screen has another key of the user that holds, that one stays. */
export const keyFields = async (aws: Aws, user: string, file: string, id: FieldName, secret: FieldName): Promise<Filled> => {
  const deployed = await heldBy(id)
  if (deployed && deployed !== keyIdIn(readSecret(file)) && await isKeyOf(aws, user, deployed)) return { [id]: deployed }
  return { [id]: { file, after: 'aws_access_key_id=', later: true }, [secret]: { file, after: 'aws_secret_access_key=', later: true } }
}

/** The id of the key of an account that the screen has. */
export const deployedKey = async (email: string, field: FieldName): Promise<string | undefined> => googleKeyIn(await heldBy(field), email)

/** The same for a key of an account of Google, which is all of its file. */
export const googleKeyField = async (gcp: Gcp, email: string, file: string, field: FieldName): Promise<Filled> => {
  const deployed = await deployedKey(email, field)
  return deployed && deployed !== googleKeyIn(readSecret(file), email) && await isGoogleKeyOf(gcp, email, deployed) ? {} : { [field]: { file, later: true } }
}
