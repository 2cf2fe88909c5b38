/**
 * Workload Identity of GKE: an account of the cluster is one of Google Cloud, and no key lies anywhere.
 */
import type { Gcp } from './gcp.ts'
import type { Check, Done, Effect } from '../effect.ts'
import { bad, done, minutes, ok, preflight } from '../effect.ts'
import { Fail, fail, sentence } from '../fail.ts'
import { line } from '../shell.ts'
import { patch } from '../cluster/changes.ts'
import { list, read, ref } from '../cluster/objects.ts'

const ANNOTATION = 'iam.gke.io/gcp-service-account'
const ON = 'iam.gke.io/gke-metadata-server-enabled'
const VELERO = ref('ServiceAccount', 'velero', 'velero')

export const annotationOf = (email: string): Record<string, string> => ({ [ANNOTATION]: email })
/** An account of the cluster, NAMESPACE/NAME, as Google's policies name it. */
export const memberOf = (project: string, account: string): string => `serviceAccount:${project}.svc.id.goog[${account}]`

/** Each node answers its pods with the identity of their account, not with its own. */
export const identityIsOn = () => preflight('workload-identity', 'the cluster has Workload Identity', async () => {
  const without = (await list('Node')).filter(({ metadata }) => metadata?.labels?.[ON] !== 'true')
  return without.length ? bad(`Workload Identity is not on for ${without.length === 1 ? `node ${without[0]?.metadata?.name}` : `${without.length} nodes`}`,
    'Turn it on for the cluster and its node pools (gcloud container clusters update CLUSTER --workload-pool=PROJECT.svc.id.goog), or leave --workload-identity out for a key.') : ok('on for each node')
})

/** Velero's account of the cluster names the one of Google. The installation does that; this is for one that was there. */
export const haveAnnotation = async (email: string): Promise<Done | Effect[]> => {
  const now = await read(VELERO)
  if (!now) return []
  return now.metadata?.annotations?.[ANNOTATION] === email ? done(`velero/velero is ${email}`) : [patch(VELERO, { metadata: { annotations: annotationOf(email) } })]
}

/** What has the account sign: the package, or a rehearsal. */
export type Signer = (email: string) => Promise<void>
let sign: Signer = async (email) => (await import('./signing.ts')).signAs(email)
export const useSigner = (other: Signer): void => { sign = other }

/** The account can sign as itself, as Velero does where somebody reads a backup's log. New rights take minutes. */
export const accountSigns = (gcp: Gcp, email: string): Check => {
  const as = ['gcloud', 'iam', 'service-accounts', 'sign-blob', '/dev/null', '/dev/null', `--iam-account=${email}`, `--impersonate-service-account=${email}`, `--project=${gcp.project}`, '--quiet']
  return {
    say: `${email} can sign`, within: minutes(7), prints: 'it signs',
    command: { words: ['bash', '-c', `${line(as)} >/dev/null 2>&1 && echo it signs`] },
    holds: async () => {
      try {
        await sign(email)
        return true
      } catch (error) {
        if (error instanceof Fail) throw error
        if (/could not load the default credentials|ERR_MODULE_NOT_FOUND|Cannot find package/i.test(sentence(error))) {
          throw fail(`Whether ${email} can sign cannot be looked at: ${sentence(error).split('\n')[0]}`, 'Give the programs your credentials (gcloud auth application-default login; npm ci), or leave this check out with --skip-signing.', { add: '--skip-signing' })
        }
        return `${'as' in (error as object) ? 'you may not act as it' : 'it may not'}: ${sentence(error).split('\n')[0]}`
      }
    },
    hint: async () => `The check needs roles/iam.serviceAccountTokenCreator for you. Grant it, or leave the check out with --skip-signing: ${line(['gcloud', 'iam', 'service-accounts', 'add-iam-policy-binding', email, '--member=user:YOU', '--role=roles/iam.serviceAccountTokenCreator', `--project=${gcp.project}`])}`,
  }
}
