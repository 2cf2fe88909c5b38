/**
 * Which Kubernetes a release of the server supports, and which of them a cloud still offers. Installation guide 3.3.0,
 * "Create a Kubernetes cluster"; where its table is wrong, the release notes.
 */
import { bad, impossible, ok, preflight, warning } from '../effect.ts'
import { EXIT, fail } from '../fail.ts'
import { optional, text } from '../inputs.ts'
import { isOlder } from '../server/kots.ts'

/** Minor versions of Kubernetes 1. */
interface Range { oldest?: number; newest: number }

/** For releases before the named one. */
const SUPPORTED: [before: string, Range][] = [
  ['3.2.2', { newest: 20 }],
  ['3.4.0', { oldest: 16, newest: 21 }],
  ['3.5.0', { oldest: 16, newest: 23 }],
]

export const SERVER_VERSION = text('release', 'release of the server that will be installed', {
  env: 'SERVER_VERSION', otherwise: '3.4.0', pattern: /^3\.[0-4]\.\d+$/, looks: 'a release of server 3: 3.4.0',
})
export const KUBERNETES_VERSION = {
  ...optional('version', 'Kubernetes of a new cluster; otherwise the newest that the release supports', /^1\.\d{2}$/, 'a minor version: 1.23'), env: 'KUBERNETES_VERSION',
}

/** `1.23` as 23. */
export const minorOf = (version: string): number => Number(/^1\.(\d+)/.exec(version)?.[1])

export const supportedBy = (release: string): Range => SUPPORTED.find(([before]) => isOlder(release, before))?.[1] ?? { oldest: 16, newest: 23 }

export const supports = ({ oldest = 0, newest }: Range, version: string): boolean => minorOf(version) >= oldest && minorOf(version) <= newest

export const rangeText = ({ oldest, newest }: Range): string => (oldest ? `1.${oldest} to 1.${newest}` : `1.${newest} and older`)

/** What a cloud offers for new clusters, by its own words; undefined where it cannot be asked, and `silent` says why. */
export interface Offer { cloud: string; silent: string; versions(): Promise<string[] | undefined> }

const sorted = (versions: string[]): string[] => [...new Set(versions)].toSorted((a, b) => minorOf(a) - minorOf(b))

/** The version of a new cluster: the one that was named, or the newest that the release supports and the cloud offers. */
export const versionFor = async ({ cloud, versions }: Offer, release: string, named: string | undefined): Promise<string> => {
  if (named) return named
  const range = supportedBy(release)
  const offered = await versions()
  const chosen = offered ? sorted(offered).findLast((version) => supports(range, version)) : `1.${range.newest}`
  if (chosen) return chosen
  throw fail(nothingFits(cloud, sorted(offered ?? []), release), 'Name one with --kubernetes-version.', { code: EXIT.preflight })
}

const nothingFits = (cloud: string, offered: string[], release: string): string =>
  `${cloud} offers no Kubernetes that server ${release} supports: it offers ${offered.join(', ')}; the server supports ${rangeText(supportedBy(release))}`

const untested = (release: string, what: string): string => `server ${release} supports Kubernetes ${rangeText(supportedBy(release))}, and ${what}`

/** The release supports the version of a new cluster, and the cloud offers it; of one that is there already it is asked no more. */
export const kubernetesFits = (offer: Offer, release: string, named: string | undefined, there: () => Promise<string | undefined>) => preflight('kubernetes-version', `${offer.cloud} offers a Kubernetes that server ${release} supports (${rangeText(supportedBy(release))})`, async () => {
  const range = supportedBy(release)
  const has = await there()
  if (has) return supports(range, has) ? ok(`Kubernetes ${has}, as it is there`) : warning(untested(release, `the cluster has ${has}`), 'Nobody has tested that: try it before people work on it.')
  const offered = sorted(await offer.versions() ?? [])
  const newest = offered.at(-1)
  if (named && offered.length && !offered.includes(named)) {
    return bad(`${offer.cloud} does not offer Kubernetes ${named}: it offers ${offered.join(', ')}`, 'Name one of these with --kubernetes-version.')
  }
  if (named && !supports(range, named)) {
    return warning(untested(release, `${named} was named`), `Nobody has tested that: try it before people work on it${offered.length ? `. ${offer.cloud} offers ${offered.join(', ')}` : ''}.`)
  }
  if (named) return ok(`Kubernetes ${named}`)
  if (!newest) return warning(`which Kubernetes ${offer.cloud} offers is not known yet: ${offer.silent}`, `It is asked when the cluster is made, and 1.${range.newest} is tried, or what --kubernetes-version names.`)
  const chosen = offered.findLast((version) => supports(range, version))
  return chosen ? ok(`Kubernetes ${chosen}, the newest that server ${release} supports and ${offer.cloud} offers`)
    : impossible(nothingFits(offer.cloud, offered, release), `If you want to try one that the server was never tested with, name it: --kubernetes-version ${offered[0]}`)
})
