/**
 * Whom the Nomad autoscaler is in AWS: whoever is named; else the role or the user that Terraform made with the clients,
 * whose policy, and whose key, are Terraform's too; else a user of its own. Installation guide 3.3.0, phase 3, "Nomad
 * Autoscaler", AWS.
 */
import { roleTrusts, type Aws } from '../cloud/aws.ts'
import { fileIsOurs, haveKey, haveTheirKey, haveUser, userFacts, userIsOurs, userOf } from '../cloud/iam.ts'
import { havePolicy, holderOf } from '../cloud/grants.ts'
import { scalerPolicy } from '../cloud/policies.ts'
import type { Group } from '../cloud/scaling.ts'
import { outputsIn } from '../cloud/terraform.ts'
import { cluster } from '../cluster/kubernetes.ts'
import { oncePerLook } from '../door.ts'
import { done, ok, preflight, type Done, type Effect, type Preflight, type Verdict } from '../effect.ts'
import { fail } from '../fail.ts'
import { Once } from '../files.ts'
import { NAME } from './autoscaler.ts'
import { heldBy, type Filled } from './config.ts'
import { keyFields } from './phase-three.ts'

/** Its own user, and the name of the policy that it gets here. */
export const OWN_USER = 'circleci-nomad-autoscaler'

/** As CircleCI's module for AWS names what it makes. */
const terraformUser = (basename: string): string => `${basename}-nomad-asg-user`
const terraformRole = (basename: string): string => `${basename}-circleci-nomad-autoscaler-irsa-role`

/** `terraform`: it was made with the clients. */
type Who = ({ role: string } | { user: string }) & { terraform: boolean }

export interface Asked { aws: Aws; group: Group; user: string | undefined; role: string | undefined; basename: string; folder: string; credentials: string }
export interface Identity {
  preflight: Preflight[]
  haveUser(): Promise<Done | Effect[]>
  havePolicy(): Promise<Done | Effect[]>
  haveKey(): Promise<Done | Effect[]>
  /** Of the Config screen. */
  fields(): Promise<Filled>
  facts(): Promise<Record<string, string>>
}

export const identityIn = ({ aws, group, user, role, basename, folder, credentials }: Asked): Identity => {
  const who = oncePerLook(async (): Promise<Who> => {
    if (role) return { role, terraform: false }
    if (user) return { user, terraform: false }
    const made = (await aws.read<{ Role: { Arn: string } }>('iam', 'GetRole', { RoleName: terraformRole(basename) }))?.Role.Arn
    if (made) return { role: made, terraform: true }
    return await userOf(aws, terraformUser(basename)) ? { user: terraformUser(basename), terraform: true } : { user: OWN_USER, terraform: false }
  })
  const kept = async () => ({ file: credentials, cluster: { key: await heldBy('autoscalerAccessKey') } })

  const keyOfTerraform = async (name: string): Promise<Done | Effect[]> => haveTheirKey(aws, name, await kept(), async (isOne) => {
    const tf = outputsIn(folder), { nomad_asg_user_access_key: id, nomad_asg_user_secret_key: secret } = await tf.outputs()
    if (id && secret && isOne(Once.join([id]))) return { id, secret, prints: { id: tf.line('output', '-raw', 'nomad_asg_user_access_key'), secret: tf.line('output', '-raw', 'nomad_asg_user_secret_key') } }
    throw fail(`Terraform made the user ${name}, and its folder ${folder} ${id && secret ? 'tells another key than those that it has' : 'does not tell its key'}.`,
      `Name the folder in which nomad-terraform ran with --folder; or a user whose key is made here: --user ${OWN_USER}`)
  })

  /** A row whose subject only IAM tells. */
  const row = (name: string, holds: string, look: (now: Who) => Promise<Verdict>) => preflight(name, holds, async () => look(await who()))
  return {
    preflight: [
      row('identity', 'the role trusts the account of the cluster; the user is not there yet, was made here, or by Terraform, which tells its key', async (now) => {
        if ('role' in now) return roleTrusts(aws, now.role, `system:serviceaccount:${cluster().namespace}:${NAME}`, 'The autoscaler').look()
        if (!now.terraform) return userIsOurs(aws, now.user, 'the autoscaler\'s').look()
        await keyOfTerraform(now.user)
        return ok(`${now.user}, which Terraform made`)
      }),
      row('credentials-file', `${credentials} is not there yet, or is the user's, and only you can read it`, async (now) => ('role' in now ? ok('a role needs none') : fileIsOurs(aws, credentials, now.user).look())),
    ],
    haveUser: async () => {
      const now = await who()
      if ('role' in now) return done(now.terraform ? `${now.role}: Terraform made it` : 'the role is used in place of a user')
      return now.terraform ? done(`${now.user}: Terraform made it`) : haveUser(aws, now.user)
    },
    havePolicy: async () => {
      const now = await who()
      if (now.terraform) return done('Terraform made it')
      return havePolicy(aws, 'role' in now ? holderOf(now.role, '') : now, OWN_USER, scalerPolicy((await group.sizes())?.arn ?? ''))
    },
    haveKey: async () => {
      const now = await who()
      if ('role' in now) return done('the role is used in place of a user')
      return now.terraform ? keyOfTerraform(now.user) : haveKey(aws, now.user, await kept())
    },
    fields: async () => {
      const now = await who()
      return 'role' in now ? { autoscalerAuthentication: 'IAM role', autoscalerRole: now.role }
        : { autoscalerAuthentication: 'IAM Keys', ...await keyFields(aws, now.user, credentials, 'autoscalerAccessKey', 'autoscalerSecretKey') }
    },
    facts: async () => {
      const now = await who()
      return 'role' in now ? { role: now.role } : userFacts(aws, now.user)
    },
  }
}
