/**
 * Which Kubernetes a release of the server supports, and which of them a cloud still offers. Installation guide 3.3.0,
 * "Create a Kubernetes cluster"; where its table is wrong, the release notes.
 */
import { bad, impossible, ok, preflight, warning } from '../effect.ts'
import { EXIT, fail } from '../fail.ts'
import { optional } from '../inputs.ts'
import { kubernetesFits, rangeText, supportedKubernetes } from './sizing.ts'

export const KUBERNETES_VERSION = {
  ...optional('version', 'Kubernetes of a new cluster; otherwise the newest that the release supports', /^1\.\d{2}$/, 'a minor version: 1.23'), env: 'KUBERNETES_VERSION',
}

/** `1.23` as 23. */
export const minorOf = (version: string): number => Number(/^1\.(\d+)/.exec(version)?.[1])

/** What a cloud offers for new clusters, by its own words; undefined where it cannot be asked, and `silent` says why. */
export interface Offer { cloud: string; silent: string; versions(): Promise<string[] | undefined> }

const sorted = (versions: string[]): string[] => [...new Set(versions)].toSorted((a, b) => minorOf(a) - minorOf(b))

/** The version of a new cluster: the one that was named, or the newest that the release supports and the cloud offers. */
export const versionFor = async ({ cloud, versions }: Offer, release: string, named: string | undefined): Promise<string> => {
  if (named) return named
  const range = supportedKubernetes(release)
  const offered = await versions()
  const chosen = offered ? sorted(offered).findLast((version) => kubernetesFits(version, release)) : `1.${range.to}`
  if (chosen) return chosen
  throw fail(nothingFits(cloud, sorted(offered ?? []), release), 'Name one with --kubernetes-version.', { code: EXIT.preflight })
}

const nothingFits = (cloud: string, offered: string[], release: string): string =>
  `${cloud} offers no Kubernetes that server ${release} supports: it offers ${offered.join(', ')}; the server supports ${rangeText(supportedKubernetes(release))}`

const untested = (release: string, what: string): string => `server ${release} supports Kubernetes ${rangeText(supportedKubernetes(release))}, and ${what}`

/** The release supports the version of a new cluster, and the cloud offers it; of one that is there already it is asked no more. */
export const offerFits = (offer: Offer, release: string, named: string | undefined, there: () => Promise<string | undefined>) => preflight('kubernetes-version', `${offer.cloud} offers a Kubernetes that server ${release} supports (${rangeText(supportedKubernetes(release))})`, async () => {
  const range = supportedKubernetes(release)
  const has = await there()
  if (has) return kubernetesFits(has, release) ? ok(`Kubernetes ${has}, as it is there`) : warning(untested(release, `the cluster has ${has}`), 'Nobody has tested that: try it before people work on it.')
  const offered = sorted(await offer.versions() ?? [])
  const newest = offered.at(-1)
  if (named && offered.length && !offered.includes(named)) {
    return bad(`${offer.cloud} does not offer Kubernetes ${named}: it offers ${offered.join(', ')}`, 'Name one of these with --kubernetes-version.')
  }
  if (named && !kubernetesFits(named, release)) {
    return warning(untested(release, `${named} was named`), `Nobody has tested that: try it before people work on it${offered.length ? `. ${offer.cloud} offers ${offered.join(', ')}` : ''}.`)
  }
  if (named) return ok(`Kubernetes ${named}`)
  if (!newest) return warning(`which Kubernetes ${offer.cloud} offers is not known yet: ${offer.silent}`, `It is asked when the cluster is made, and 1.${range.to} is tried, or what --kubernetes-version names.`)
  const chosen = offered.findLast((version) => kubernetesFits(version, release))
  return chosen ? ok(`Kubernetes ${chosen}, the newest that server ${release} supports and ${offer.cloud} offers`)
    : impossible(nothingFits(offer.cloud, offered, release), `If you want to try one that the server was never tested with, name it: --kubernetes-version ${offered[0]}`)
})
