/**
 * The software that an operator has to have: which release, where one counts, and the line that installs it on this
 * machine. Installation guide 3.3.0, phase 1, "Install required software". Where the newest no longer fits server 3.x, or
 * is no longer to be had, the line names the release that does.
 */
import type { Preflight, Verdict } from './effect.ts'
import { bad, ok, preflight, warning } from './effect.ts'
import { isOlder } from './server/kots.ts'
import { complaint, readTool } from './tools.ts'

const mac = process.platform === 'darwin'
/** As most name the processor in their files; the AWS CLI has the words of `uname -m`. */
const arch = process.arch === 'arm64' ? 'arm64' : 'amd64'
const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64'
const MC = 'RELEASE.2025-08-13T08-35-41Z'
// The one for an Intel Mac runs on both kinds.
const VELERO = `velero-v1.9.7-${mac ? 'darwin-amd64' : `linux-${arch}`}`
const into = '/usr/local/bin'
/** Releases of the circleci CLI that work with the runners of server 3.x. */
export const CIRCLECI_CLI = { first: '0.1.20105', last: '0.1.30549' }
const CLI = `circleci-cli_${CIRCLECI_CLI.last}_${mac ? 'darwin' : 'linux'}_${arch}`

const LINES = {
  terraform: mac ? 'brew install hashicorp/tap/terraform'
    : `curl -fsSLo /tmp/terraform.zip https://releases.hashicorp.com/terraform/1.5.7/terraform_1.5.7_linux_${arch}.zip && sudo unzip -o /tmp/terraform.zip terraform -d ${into}`,
  kubectl: mac ? 'brew install kubernetes-cli' : `curl -fsSLo /tmp/kubectl https://dl.k8s.io/release/v1.23.17/bin/linux/${arch}/kubectl && sudo install /tmp/kubectl ${into}/`,
  helm: mac ? 'brew install helm' : 'curl -fsSL https://raw.githubusercontent.com/helm/helm/main/scripts/get-helm-3 | bash',
  kots: 'curl https://kots.io/install/1.65.0 | bash',
  velero: `curl -fsSL https://github.com/vmware-tanzu/velero/releases/download/v1.9.7/${VELERO}.tar.gz | sudo tar -xz --strip-components=1 -C ${into} ${VELERO}/velero`,
  aws: mac ? 'brew install awscli' : `curl -fsSLo /tmp/aws.zip https://awscli.amazonaws.com/awscli-exe-linux-${machine}.zip && unzip -q /tmp/aws.zip -d /tmp && sudo /tmp/aws/install`,
  eksctl: mac ? 'brew install eksctl' : `curl -fsSL https://github.com/eksctl-io/eksctl/releases/latest/download/eksctl_Linux_${arch}.tar.gz | sudo tar -xz -C ${into} eksctl`,
  gcloud: mac ? 'brew install --cask gcloud-cli' : 'curl -fsSL https://sdk.cloud.google.com | bash',
  // MinIO took its own downloads away; this is the last open one.
  mc: `curl -fsSLo /tmp/mc https://github.com/minio/mc/releases/download/${MC}/mc.${mac ? 'darwin' : 'linux'}-${arch}.${MC} && sudo install /tmp/mc ${into}/`,
  circleci: `curl -fsSL https://github.com/CircleCI-Public/circleci-cli/releases/download/v${CIRCLECI_CLI.last}/${CLI}.tar.gz | sudo tar -xz --strip-components=1 -C ${into} ${CLI}/circleci`,
  'gke-gcloud-auth-plugin': 'gcloud components install gke-gcloud-auth-plugin',
  openssl: mac ? 'brew install openssl' : 'sudo apt-get install openssl',
  git: mac ? 'brew install git' : 'sudo apt-get install git',
}

export type Software = keyof typeof LINES

/** How a program is installed on this machine, as a remedy ends. */
export const installing = (name: Software): string => `Install it: ${LINES[name]}`

/** What a program is asked, how its answer tells the release, the first release that will do. */
interface Asked { words: string[]; tells: RegExp; from?: string; env?: Record<string, string> }

const ASKED: Partial<Record<Software | 'gsutil', Asked>> = {
  // Otherwise it asks its maker for a newer one first.
  terraform: { words: ['terraform', 'version'], tells: /^Terraform v([\d.]+)/, from: '0.15.4', env: { CHECKPOINT_DISABLE: '1' } },
  kubectl: { words: ['kubectl', 'version', '--client', '-o', 'json'], tells: /"gitVersion":\s*"v([\d.]+)/, from: '1.19.0' },
  helm: { words: ['helm', 'version', '--short'], tells: /v([\d.]+)/, from: '3.4.0' },
  // Older ones give kubectl a token that it does not take.
  aws: { words: ['aws', '--version'], tells: /aws-cli\/([\d.]+)/, from: '1.23.9' },
  // Older ones know neither today's addons nor today's images.
  eksctl: { words: ['eksctl', 'version'], tells: /([\d.]+)/, from: '0.195.0' },
  'gke-gcloud-auth-plugin': { words: ['gke-gcloud-auth-plugin', '--version'], tells: /([\d.]+)/ },
  gcloud: { words: ['gcloud', '--version'], tells: /Google Cloud SDK ([\d.]+)/ },
  gsutil: { words: ['gsutil', 'version'], tells: /version: ([\d.]+)/ },
  openssl: { words: ['openssl', 'version'], tells: /^(?:Open|Libre)SSL ([\w.]+)/ },
  git: { words: ['git', '--version'], tells: /^git version ([\d.]+)/ },
}

/** A program is there, and new enough. */
export const softwareIsThere = (name: keyof typeof ASKED, why: string): Preflight => {
  const { words, tells, from, env } = ASKED[name] as Asked
  // It comes with gcloud.
  const install = installing(name === 'gsutil' ? 'gcloud' : name)
  return preflight(name, `${name}${from ? ` ${from} or newer` : ''}, ${why}`, async () => {
    const said = await readTool(words, env ? { env } : {})
    const version = tells.exec(said.stdout || said.stderr)?.[1]
    if (said.code === 127) return bad(`${name}${from ? ` ${from} or newer` : ''} is not installed: ${why}`, install)
    if (said.code !== 0) return bad(`${name} does not run: ${complaint(said)}`, `This should answer: ${words.join(' ')}. Where it is broken: ${install}`)
    if (!version) return warning(`${name} does not tell its release: ${complaint(said)}`, `See whether it is${from ? ` ${from} or newer` : ' the right program'}: ${words.join(' ')}`)
    return from && isOlder(version, from) ? bad(`${name} ${version}, and ${from} or newer is wanted: ${why}`, install) : ok(`${version}${from ? ` (${from} or newer)` : ''}`)
  })
}

/** Several at once, as one condition of a procedure. */
export const toolsAreThere = (tools: Partial<Record<keyof typeof ASKED, string>>): Preflight => preflight('tools', `${Object.keys(tools).join(', ')}: installed, and new enough`, async () => {
  const found = await Promise.all(Object.entries(tools).map(async ([name, why]) => ({ name, ...await softwareIsThere(name as keyof typeof ASKED, why).look() })))
  const lacking = found.filter(({ is }) => is === 'bad')
  return lacking.length ? bad(lacking.map(({ say }) => say).join('; '), lacking.map((one) => ('next' in one ? one.next : '')).join('; '))
    : ok(found.map(({ name, say }) => `${name} ${say.split(' ')[0]}`).join(', '))
})

/** From 1.26 on kubectl gets the credentials of GKE from a program of its own. */
export const kubectlReachesGke = (): Preflight => preflight('gke-plugin', 'kubectl, and from 1.26 on what it gets the credentials of GKE from', async () => {
  const kubectl = await softwareIsThere('kubectl', 'it looks at the new cluster').look()
  if (kubectl.is !== 'ok' || isOlder(kubectl.say, '1.26.0')) return kubectl
  return softwareIsThere('gke-gcloud-auth-plugin', `kubectl ${kubectl.say.split(' ')[0]} gets the credentials of GKE from it`).look()
})

/** The same where one can do without: what is bad is only said. */
export const recommended = ({ look, ...check }: Preflight): Preflight => ({ ...check, look: async (): Promise<Verdict> => {
  const verdict = await look()
  return verdict.is === 'bad' ? warning(verdict.say, verdict.next) : verdict
} })
