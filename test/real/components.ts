/**
 * Where the real components are: what the environment names, what is on PATH, what `make real-components`
 * put into its cache. A test that lacks one is skipped, and says how to get it.
 */
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TestContext } from 'vitest'

const OURS = 'run `make real-components`'
const HOW = {
  etcd: `${OURS} as root, or \`apt-get install etcd-server\``,
  'kube-apiserver': `${OURS} with KUBE_PACKED, or name its folder in KUBEBUILDER_ASSETS`,
  'kube-controller-manager': `${OURS} with KUBE_PACKED, or name its folder in KUBEBUILDER_ASSETS`,
  kwok: `${OURS} where there is Go 1.24 or newer`,
  kubectl: 'see https://kubernetes.io/docs/tasks/tools/',
  velero: `${OURS} where there is Go, or put a release on PATH`,
  moto_server: `${OURS} where there is Python, or \`pip install 'moto[server]'\``,
  aws: `${OURS} where there is Python, or see https://aws.amazon.com/cli/`,
  gcloud: 'see https://cloud.google.com/sdk/docs/install',
  minio: `${OURS} where there is Go`,
  mc: `${OURS} where there is Go`,
  curl: '`apt-get install curl`',
  git: '`apt-get install git`',
  dnsmasq: `${OURS} as root, or \`apt-get install dnsmasq-base\``,
  dig: `${OURS} as root, or \`apt-get install bind9-dnsutils\``,
  certbot: '`pip install certbot certbot-dns-route53 certbot-dns-google`, and put it on PATH',
  pebble: '`go install github.com/letsencrypt/pebble/v2/cmd/pebble@latest`, and put it on PATH',
  terraform: 'see https://developer.hashicorp.com/terraform/install',
  openssl: '`apt-get install openssl`',
  circleci: 'see https://github.com/CircleCI-Public/circleci-cli/releases/tag/v0.1.30549, and put it on PATH',
  eksctl: 'see https://eksctl.io/installation, and put it on PATH',
  ssh: '`apt-get install openssh-client`',
  sshd: `${OURS} as root, or \`apt-get install openssh-server\``,
  sudo: `${OURS} as root, or \`apt-get install sudo\``,
  postgres: `${OURS} as root, or \`apt-get install postgresql\``,
  unshare: '`apt-get install util-linux`',
  ip: `${OURS} as root, or \`apt-get install iproute2\``,
  ferretdb: `${OURS} where there is Go`,
  mongosh: OURS,
  vault: `${OURS} where there is Go`,
  // Without them stand-ins of containers/bin do it, in the same layout of an archive.
  mongodump: 'see https://www.mongodb.com/docs/database-tools, and put it on PATH with mongorestore',
}

export type ComponentName = keyof typeof HOW

/** What one cluster is made of. */
export const CLUSTER: ComponentName[] = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kwok', 'openssl']

const versions = Object.fromEntries(
  readFileSync(fileURLToPath(new URL('versions.env', import.meta.url)), 'utf8')
    .split('\n')
    .filter((line) => /^\w+=/.test(line))
    .map((line) => line.split('=') as [string, string]),
)

const POSTGRESQL = '/usr/lib/postgresql'

/** The folders of `make real-components`; components.sh makes the same names. */
export const cacheFolders = (): string[] =>
  [`kubernetes-${versions.KUBERNETES}`, `kwok-${versions.KWOK}-patched`, `velero-${versions.VELERO}`, `moto-${versions.MOTO}-awscli-${versions.AWSCLI}/bin`,
    `minio-${versions.MINIO}-mc-${versions.MC}`, `ferretdb-${versions.FERRETDB}`, `mongosh-${versions.MONGOSH}/node_modules/.bin`, `vault-${versions.VAULT}`]
    .map((name) => join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'circleci-runbooks/components', name))
    // Debian keeps the programs of a server apart, by its version.
    .concat(existsSync(POSTGRESQL) ? readdirSync(POSTGRESQL).map((version) => join(POSTGRESQL, version, 'bin')) : [])

const executable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The path of a component, or undefined. */
export const find = (name: ComponentName): string | undefined =>
  // On PATH, mc may be Midnight Commander, and KWOK is without our patch.
  [process.env.KUBEBUILDER_ASSETS, ...(name === 'mc' || name === 'kwok' ? [] : (process.env.PATH ?? '').split(delimiter)), ...cacheFolders()]
    .filter((folder) => folder)
    .map((folder) => join(folder!, name))
    .find(executable)

/** The path of a component that the caller has asked for with `lacking` before. */
export const must = (name: ComponentName): string => {
  const path = find(name)
  if (!path) throw new Error(sentence(name))
  return path
}

const sentence = (name: ComponentName): string => `${name} is missing: ${HOW[name]}.`

/** Why something that needs these components cannot run, or undefined. */
export const lacking = (...names: ComponentName[]): string | undefined =>
  names.filter((name) => !find(name)).map(sentence).join(' ') || undefined

declare module 'vitest' {
  interface TaskMeta {
    needs?: ComponentName[]
  }
}

/** For beforeEach: skips the test with the reason when a component is missing, and is counted in the summary. */
export const needs =
  (...names: ComponentName[]) =>
  (context: TestContext): void => {
    context.task.meta.needs = names
    const reason = lacking(...names)
    if (reason) context.skip(reason)
  }
