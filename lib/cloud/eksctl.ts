/**
 * eksctl, which makes clusters of EKS and what belongs to them. What it begins goes on in AWS without it: where it ends
 * badly, or is cut off, the world tells how far it came.
 */
import type { Change, Effect } from '../effect.ts'
import { lookAgain } from '../door.ts'
import { minutes } from '../effect.ts'
import { Fail, Lost, Refused } from '../fail.ts'
import { MARK } from './iam.ts'
import { line } from '../shell.ts'
import { complaint, readTool, runTool } from '../tools.ts'

/** What eksctl marks as the reason, between lines that only tell what it does. */
const REASON = { tells: /\[✖\]/, noise: /^Error: failed to create (cluster|addons)|to cleanup resources/ }
/** eksctl waits that long for a stack; we a little longer for eksctl. */
const PATIENCE = ['--timeout', '40m']
const LIMIT = minutes(45)
/** eksctl announces that it will make clusters in Auto Mode, which makes nodes of its own. */
const PLAIN = '--enable-auto-mode=false'
const TAGS = ['--tags', `${MARK.Key}=${MARK.Value}`]

export interface Eksctl {
  /** A line that says where it goes. */
  words(...own: string[]): string[]
  /** A change; `far` tells how far it came, where eksctl ended badly: throws where it failed in AWS too. */
  effect(id: string, own: string[], more: Pick<Effect, 'again' | 'preview' | 'watch'> & { far(): Promise<'absent' | 'going' | 'made'> }): Effect
}

export const eksctlIn = (region: string, profile = process.env['AWS_PROFILE']): Eksctl => {
  const words = (...own: string[]) => ['eksctl', ...own, '--region', region, ...(profile ? ['--profile', profile] : [])]
  return {
    words,
    effect: (id, own, { far, ...more }) => ({
      id, ...more, command: { words: words(...own) },
      call: async () => {
        try {
          await runTool(words(...own), 'Mend what it names, then repeat the same line: it looks at what is there by then, and goes on.', LIMIT, REASON)
        } catch (error) {
          if (!(error instanceof Fail || error instanceof Lost)) throw error
          lookAgain()
          const came = await far().catch((trouble: unknown) => {
            // Why it failed in AWS tells more; that AWS cannot be asked tells less.
            if (trouble instanceof Refused || !(trouble instanceof Fail)) return 'absent'
            throw trouble
          })
          if (came === 'absent') throw withRemedy(error)
        }
      },
    }),
  }
}

/** Some of what eksctl needs in AWS, a part of each service: who lacks one of them does not come far. */
export const RIGHTS = ['eks:CreateCluster', 'eks:CreateNodegroup', 'eks:CreateAddon', 'cloudformation:CreateStack', 'ec2:CreateVpc', 'iam:CreateRole', 'iam:CreateOpenIDConnectProvider']

const CREDENTIALS = /InvalidClientTokenI[dD]|ExpiredToken|UnrecognizedClient|no EC2 IMDS role found|AccessDenied|UnauthorizedOperation|is not authorized/

/** The guide's own trouble: credentials that are not valid, or may not make a cluster. */
const withRemedy = (error: Error): Error => (error instanceof Fail && CREDENTIALS.test(error.message)
  ? new Fail(error.message, 'The credentials are not valid, or may not make a cluster of EKS: log in again (aws sso login, aws configure) as somebody who may, then repeat the same line. Who you are for AWS: aws sts get-caller-identity', { why: 'eksctl takes the credentials of the aws CLI, or of AWS_PROFILE.' })
  : error)

export interface Shaped { name: string; nodes: number; type: string; group: string }
export interface Wanted extends Shaped { version: string }

export const createCluster = ({ name, version }: Wanted): string[] => ['create', 'cluster', '--name', name, '--version', version, '--without-nodegroup', '--write-kubeconfig=false', PLAIN, ...TAGS, ...PATIENCE]
export const createNodes = ({ name, nodes, type, group }: Shaped): string[] => ['create', 'nodegroup', '--cluster', name, '--name', group, '--nodes', String(nodes), '--node-type', type, ...TAGS, ...PATIENCE]
export const createAddon = (name: string, addon: string, ...role: string[]): string[] => ['create', 'addon', '--cluster', name, '--name', addon, ...role, '--timeout', '20m']

/** One part of a configuration: the cluster, or its nodes. */
export interface Configuration { cluster: Change[]; nodes: Change[] }

/** What eksctl would make, as its own dry run says it. The profile has to be in the environment for that: awsIn puts it there. */
export const dryRun = async (region: string, { name, version, nodes, type, group }: Wanted): Promise<Configuration> => {
  const words = ['eksctl', 'create', 'cluster', '--name', name, '--version', version, '--nodegroup-name', group, '--nodes', String(nodes), '--node-type', type, PLAIN, ...TAGS, '--region', region, '--dry-run']
  const said = await readTool(words)
  if (said.code !== 0) throw withRemedy(new Refused(`eksctl would not make this cluster: ${complaint(said)}`, `Mend what it names, then repeat the same line; this should answer: ${line(words)}`, { status: 400, reason: 'DryRun' }))
  const { parse } = await import('yaml')
  const { managedNodeGroups: [first = {}] = [{}], apiVersion: _api, kind: _kind, ...cluster } = parse(said.stdout) as Record<string, unknown> & { managedNodeGroups?: object[] }
  return { cluster: leaves(cluster), nodes: leaves(first) }
}

/** Zones are drawn anew each time; labels and tags say again what the rest says. */
const LEFT_OUT = /^(availabilityZones|labels|tags|metadata\.tags)\b/

/** What is set of a configuration, a row each. */
const leaves = (value: unknown, path = ''): Change[] => {
  if (value === null || value === false || value === '' || LEFT_OUT.test(path)) return []
  if (typeof value !== 'object') return [{ what: path, from: '–', to: String(value) }]
  return Object.entries(value as object).flatMap(([key, one]) => leaves(one, path ? `${path}.${key}` : key))
}
