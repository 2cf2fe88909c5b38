/**
 * Command-line tools that have to be there, the oldest version of each that does, and how to get it.
 */
import { bad, ok, preflight } from './effect.ts'
import { isOlder } from './server/kots.ts'
import { complaint, readTool } from './tools.ts'

interface Required { ask: string[]; version: RegExp; oldest: string; why: string; install: string }

const TOOLS = {
  eksctl: { ask: ['eksctl', 'version'], version: /(\d+\.\d+\.\d+)/, oldest: '0.195.0', why: 'older ones cannot be told to leave Auto Mode out', install: 'brew install eksctl, or https://eksctl.io/installation' },
  aws: { ask: ['aws', '--version'], version: /aws-cli\/(\d+\.\d+\.\d+)/, oldest: '1.23.9', why: 'older ones give kubectl a token that it does not take', install: 'brew install awscli, or https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html' },
  kubectl: { ask: ['kubectl', 'version', '--client', '--output=json'], version: /"gitVersion":\s*"v(\d+\.\d+\.\d+)/, oldest: '1.19.0', why: 'the guide asks for 1.19', install: 'brew install kubectl, or https://kubernetes.io/docs/tasks/tools' },
  'gke-gcloud-auth-plugin': { ask: ['gke-gcloud-auth-plugin', '--version'], version: /(\d+\.\d+\.\d+)/, oldest: '0.0.0', why: '', install: 'gcloud components install gke-gcloud-auth-plugin' },
} satisfies Record<string, Required>
type Name = keyof typeof TOOLS

type Found = { has: string; version: string } | { lacks: string; install: string }

const find = async (name: Name): Promise<Found> => {
  const { ask, version, oldest, why, install } = TOOLS[name]
  const said = await readTool(ask)
  if (said.code === 127) return { lacks: `the command ${name} is not installed`, install: `${name}: ${install}` }
  const number = version.exec(said.stdout + said.stderr)?.[1]
  if (said.code !== 0 || !number) return { lacks: `${name} does not run: ${complaint(said)}`, install: `${name}: ${install}` }
  return isOlder(number, oldest) ? { lacks: `${name} ${number}: ${why}`, install: `${name} ${oldest} or newer: ${install}` } : { has: `${name} ${number}`, version: number }
}

/** Each is installed, and new enough. With `plugin`, also what kubectl from 1.26 on gets the credentials of GKE of. */
export const toolsAreThere = (names: Name[], { plugin }: { plugin?: true } = {}) => preflight('tools', `${names.join(', ')}: installed, and new enough`, async () => {
  const found = await Promise.all(names.map(find))
  const kubectl = found[names.indexOf('kubectl')]
  if (plugin && kubectl && 'has' in kubectl && !isOlder(kubectl.version, '1.26.0')) found.push(await find('gke-gcloud-auth-plugin'))
  const lacking = found.flatMap((one) => ('lacks' in one ? [one] : []))
  return lacking.length ? bad(lacking.map(({ lacks }) => lacks).join('; '), `Install ${lacking.map(({ install }) => install).join('; ')}`)
    : ok(found.flatMap((one) => ('has' in one ? [one.has] : [])).join(', '))
})
