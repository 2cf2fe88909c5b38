/**
 * What a user or a role of AWS may do, by inline policies, and the room that AWS has for them.
 */
import type { Aws } from './aws.ts'
import type { Done, Effect } from '../effect.ts'
import { bad, done, ok, preflight } from '../effect.ts'
import { isOurs, userOf } from './iam.ts'
import { samePolicy, sizeOf, type Policy } from './policies.ts'

/** Whom a policy is of. A role is named by its name, not by its ARN. */
export type Holder = { user: string } | { role: string }

/** The role, by its ARN, where one is used; else the user. */
export const holderOf = (role: string | undefined, user: string): Holder => (role ? { role: role.split('/').at(-1) ?? '' } : { user })

interface Held { PolicyDocument: string }
const textIn = ({ PolicyDocument }: Held): string => decodeURIComponent(PolicyDocument)

const isMadeHere = async (aws: Aws, holder: Holder): Promise<boolean | undefined> => {
  if ('user' in holder) return (await userOf(aws, holder.user))?.ours
  const found = await aws.read<{ Role: { Tags?: { Key: string; Value: string }[] } }>('iam', 'GetRole', { RoleName: holder.role })
  return found && isOurs(found.Role.Tags)
}

/** The inline policy of this name says exactly this. */
export const havePolicy = async (aws: Aws, holder: Holder, PolicyName: string, policy: Policy): Promise<Done | Effect[]> => {
  const [kind, name, key] = 'user' in holder ? ['User', holder.user, { UserName: holder.user }] as const : ['Role', holder.role, { RoleName: holder.role }] as const
  const ours = await isMadeHere(aws, holder)
  const found = ours === undefined ? undefined : await aws.read<Held>('iam', `Get${kind}Policy`, { ...key, PolicyName })
  if (found && samePolicy(textIn(found), policy)) return done(`${name} may do what it needs, and no more`)
  return [aws.effect('iam', `Put${kind}Policy`, { ...key, PolicyName, PolicyDocument: JSON.stringify(policy) }, {
    on: name, again: 'safe',
    ...(found && !ours ? { danger: `the policy ${PolicyName} of ${kind.toLowerCase()} ${name}, which was not made here, is replaced` } : {}),
  })]
}

/** What AWS takes of inline policies of one user, all of them together. */
const ROOM = 2048

/** The user has room for this policy beside others that it has. */
export const policyFits = (aws: Aws, UserName: string, PolicyName: string, policy: Policy) => preflight('policy-size', `${UserName} has room for its policy: AWS takes ${ROOM} characters of a user's inline policies`, async () => {
  const own = sizeOf(JSON.stringify(policy))
  if (own > ROOM) return bad(`the policy has ${own} characters, and AWS takes ${ROOM} of a user: the bucket stands in it twice`, `Choose a name that is shorter by ${Math.ceil((own - ROOM) / 2)} characters, or name a role in place of a user (--role).`)
  const names = (await aws.read<{ PolicyNames: string[] }>('iam', 'ListUserPolicies', { UserName }))?.PolicyNames ?? []
  const others = names.filter((name) => name !== PolicyName)
  const sizes = await Promise.all(others.map(async (name) => sizeOf(textIn(await aws.read<Held>('iam', 'GetUserPolicy', { UserName, PolicyName: name }) ?? { PolicyDocument: '' }))))
  const sum = sizes.reduce((all, size) => all + size, own)
  return sum > ROOM ? bad(`user ${UserName} has other inline policies (${others.join(', ')}): with this one ${sum} characters, and AWS takes ${ROOM}`, 'Name a user of its own with --user, or make those others managed policies.')
    : ok(`${sum} of ${ROOM} characters`)
})
