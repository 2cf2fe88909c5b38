/**
 * Service accounts of Google Cloud that a runbook makes: the account, its role, who may act as it. Their keys are in
 * keys.ts.
 */
import type { Gcp } from './gcp.ts'
import type { Check, Done, Effect } from '../effect.ts'
import { done, minutes, ok, preflight, warning } from '../effect.ts'
import { MARK } from './iam.ts'
import { text } from '../inputs.ts'

/** As an input. Its number would do for gcloud, but not for names of accounts. */
export const PROJECT_ID = text('id', 'project of the bucket, the account and the cluster', { env: 'CLOUDSDK_CORE_PROJECT', pattern: /^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$/, looks: 'a project id, not its number: my-project' })

const OURS = `${MARK.Key} ${MARK.Value}`

/** Names and e-mail of an account; a project that belongs to a domain is written the other way round. */
export const emailOf = (project: string, name: string): string => {
  const [domain, own] = project.includes(':') ? project.split(':') as [string, string] : [undefined, project]
  return `${name}@${domain ? `${own}.${domain}` : own}.iam.gserviceaccount.com`
}

export const accountOf = async (gcp: Gcp, email: string): Promise<{ ours: boolean; disabled: boolean } | undefined> => {
  const found = await gcp.read<{ description?: string; disabled?: boolean }>('iam', 'service-accounts', 'describe', email)
  return found && { ours: found.description === OURS, disabled: found.disabled ?? false }
}

/** The account is there; a new one bears our mark. */
export const haveAccount = async (gcp: Gcp, name: string, title: string): Promise<Done | Effect[]> => {
  const found = await accountOf(gcp, emailOf(gcp.project, name))
  return found ? done(`${name} is there${found.ours ? '' : ', made by somebody else'}`)
    : [gcp.effect(`gcp account ${name}`, ['iam', 'service-accounts', 'create', name, `--display-name=${title}`, `--description=${OURS}`], { again: 'guarded' })]
}

/** A new account is not known everywhere at once. */
export const accountIsThere = (gcp: Gcp, name: string): Check => {
  const email = emailOf(gcp.project, name)
  return {
    say: `Google knows ${email}`, within: minutes(2), prints: email,
    command: { words: [...gcp.words('iam', 'service-accounts', 'describe', email), '--format=value(email)'] },
    holds: async () => Boolean(await accountOf(gcp, email)) || 'not yet',
  }
}

export const accountIsOurs = (gcp: Gcp, name: string, whose: string) => preflight('account', 'the service account is free, or was made here', async () => {
  const email = emailOf(gcp.project, name)
  const found = await accountOf(gcp, email)
  if (!found) return ok(`${email} will be made`)
  if (found.disabled) return warning(`${email} is disabled`, `gcloud iam service-accounts enable ${email} --project=${gcp.project}`)
  return found.ours ? ok(`${email} was made here`) : warning(`${email} was not made here: none of its keys is ever deleted`, `Go on if it is ${whose}; with several clusters name one for each: --service-account`)
})

/** What Velero may do with volumes. Installation guide 3.3.0, "Server 3.x backups on GCP", step 2. */
const PERMISSIONS = [
  'compute.disks.create', 'compute.disks.createSnapshot', 'compute.disks.get', 'compute.snapshots.create', 'compute.snapshots.delete', 'compute.snapshots.get',
  'compute.snapshots.useReadOnly', 'compute.zones.get',
]
/** Without a key Velero has Google sign for it. */
const SIGN = 'iam.serviceAccounts.signBlob'
export const ROLE = 'velero.server'

/** The role says exactly this; where another cluster's Velero signs, that stays. */
export const haveRole = async (gcp: Gcp, signs: boolean): Promise<Done | Effect[]> => {
  const found = await gcp.read<{ includedPermissions?: string[]; deleted?: boolean }>('iam', 'roles', 'describe', ROLE)
  const has = found?.includedPermissions ?? []
  const wanted = [...PERMISSIONS, ...(signs || has.includes(SIGN) ? [SIGN] : [])]
  if (!found) return [gcp.effect(`gcp role ${ROLE}`, ['iam', 'roles', 'create', ROLE, '--title=Velero Server', `--permissions=${wanted.join(',')}`], { again: 'guarded' })]
  const taken = has.filter((one) => !wanted.includes(one))
  const right = !taken.length && wanted.every((one) => has.includes(one))
  if (right && !found.deleted) return done(`${ROLE} allows what Velero needs, and no more`)
  return [
    // A deleted role keeps its name for a week.
    ...(found.deleted ? [gcp.effect(`gcp undelete ${ROLE}`, ['iam', 'roles', 'undelete', ROLE], { again: 'guarded' })] : []),
    ...(right ? [] : [gcp.effect(`gcp update ${ROLE}`, ['iam', 'roles', 'update', ROLE, `--permissions=${wanted.join(',')}`], {
      again: 'safe', ...(taken.length ? { danger: `the role ${ROLE} of ${gcp.project} loses ${taken.join(', ')}` } : {}),
    })]),
  ]
}

interface Policy { bindings?: { role: string; members?: string[]; condition?: object }[] }
/** Where rights are given, as gcloud names it: a project, a bucket, an account. */
export const PROJECT = ['projects'], BUCKET = ['storage', 'buckets'], ACCOUNT = ['iam', 'service-accounts']

/** A member has a role on one thing. `--condition=None`: without it gcloud asks or fails where the policy has conditions. */
export const haveBinding = async (gcp: Gcp, kind: string[], on: string, member: string, role: string): Promise<Done | Effect[]> => {
  // What is not there yet has no policy.
  const policy = await gcp.read<Policy>(...kind, 'get-iam-policy', on)
  if (policy?.bindings?.some((one) => one.role === role && !one.condition && one.members?.includes(member))) return done(`${member} has ${role} on ${on}`)
  return [gcp.effect(`gcp bind ${role} on ${on}`, [...kind, 'add-iam-policy-binding', on, `--member=${member}`, `--role=${role}`, '--condition=None'], { again: 'safe' })]
}
