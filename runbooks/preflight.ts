#!/usr/bin/env -S npx tsx
/**
 * Look whether everything is there that the installation needs: software, values, a cluster, ways outside, storage.
 * Installation guide 3.3.0, phase 1, "Install required software" and "Create a Kubernetes cluster".
 */
import type { Dns } from '../lib/cloud/dns.ts'
import type { Preflight } from '../lib/effect.ts'
import { certbotIsThere } from '../lib/server/certbot.ts'
import { certificateLooks } from '../lib/server/certificates.ts'
import { clusterIsIn, clusterSuits } from '../lib/cluster/readiness.ts'
import { outboundIsOpen, portIsSeen } from '../lib/cloud/outbound.ts'
import { bad, ok, preflight, todo, warning } from '../lib/effect.ts'
import { isComplete, toldOf, valuesAreRight, type Told } from '../lib/env-file.ts'
import { findings } from '../lib/findings.ts'
import { clock } from '../lib/clock.ts'
import { cluster } from '../lib/cluster/kubernetes.ts'
import { licenseFits, proxyFits } from '../lib/server/kots-install.ts'
import { kotsFits } from '../lib/preflight.ts'
import { mcIsThere } from '../lib/cloud/mc.ts'
import { backupsOf, CLOUD, storageOf } from '../lib/parts.ts'
import { runbook } from '../lib/runbook.ts'
import { DAILY_USERS, SERVER_VERSION, sizingOf } from '../lib/cluster/sizing.ts'
import { deployedIsAtHand, kinds } from '../lib/server/keysets.ts'
import { kubectlReachesGke, recommended, softwareIsThere as has } from '../lib/software.ts'
import { veleroIsThere } from '../lib/velero/velero.ts'

/** What each cloud wants beside what all do, how ids of its nodes begin, and what makes a cluster there. */
const WANTS = {
  aws: { software: () => [has('aws', 'it knows the account'), has('eksctl', 'it makes the cluster')], provider: 'aws', make: 'Else create-eks makes it: npx tsx runbooks/create-eks.ts' },
  gcp: { software: () => [has('gcloud', 'it makes the cluster'), has('gsutil', 'the guide makes buckets with it'), kubectlReachesGke()], provider: 'gce', make: 'Else create-gke makes it: npx tsx runbooks/create-gke.ts' },
  s3: { software: () => [mcIsThere()], provider: undefined, make: 'Else make one, as your provider has it.' },
}

/** What the runbook of a store asks before it changes anything, as far as it is about the store. */
const storeIsFine = (told: Told | undefined, names: string[]): Preflight[] => (told && isComplete(told) ? told.definition.preflight(told.values).filter(({ name }) => names.includes(name))
  : [preflight('bucket', 'the bucket is yours or free', async () => todo('it is looked at once its values are there', 'Mend what is marked ✗ under Values.'))])

/** From another machine the same line goes on only where that finds Terraform's state. */
const stateIsFound = (state: string) => preflight('state', 'Terraform\'s state is where other machines find it', async () =>
  (state === 'local' ? warning('Terraform\'s state of the Nomad clients would lie on this machine alone', 'Before there are any, name a bucket in NOMAD_STATE: s3://BUCKET/KEY or gs://BUCKET/PREFIX.') : ok(state)))

/** The network of the clients is that of the cluster, which is in one region. */
const zoneFits = (zone: string, region: string) => preflight('zone', 'the zone of the Nomad clients is in the region of the cluster', async () =>
  (zone.startsWith(`${region}-`) ? ok(`${zone} is in ${region}`) : bad(`NOMAD_ZONE is ${zone}, and GKE_REGION ${region}`, `Name a zone of ${region} in NOMAD_ZONE, or the subnetwork of the clients in NOMAD_SUBNETWORK.`)))

export default runbook(import.meta, {
  name: 'preflight',
  purpose: 'look whether everything is there that the installation needs',
  guide: 'CircleCI server 3.3.0 installation guide, phase 1, "Install required software" and "Create a Kubernetes cluster"',
  when: 'Before the installation, and again after each thing that it found was mended.',
  cluster: 'perhaps',
  inputs: { cloud: CLOUD, users: DAILY_USERS, serverVersion: SERVER_VERSION },
  examples: ['--cloud aws', '--cloud gcp --users 800 --context prod-ci', '--cloud aws --json', '--cloud aws --rehearse'],
  preflight: () => [],
  report: async ({ cloud, users, serverVersion }, { way, sources }) => {
    const { software, provider, make } = WANTS[cloud]
    const [told, { there, verdict }] = await Promise.all([toldOf(cloud, sources), clusterIsIn(way, provider, make)])
    const named = (name: string) => told.find(({ part }) => part.name === name)
    const valueOf = (part: string, key: string) => named(part)?.values[key] as string | undefined
    const server = (key: string) => valueOf('install-server', key)
    const clients = (key: string) => valueOf('nomad-terraform', key)
    const [state, zone, region] = [clients('state'), clients('zone'), valueOf('create-gke', 'region')]
    const [certificate, key, domain] = [server('certificate'), server('key'), server('domain')]
    // The current context may lead to any cluster, as long as one is to be made.
    const judged = told.some(({ part }) => part.name.startsWith('create-')) ? recommended : (check: Preflight) => check
    const namespace = there ? cluster().namespace : undefined
    const license = licenseFits(server('license') ?? 'license.yaml', clock.now(), Boolean(namespace))
    return findings({
      Software: [
        has('terraform', 'it makes the Nomad clients'), has('kubectl', 'it talks to the cluster'), has('helm', 'it tells what is installed'), kotsFits(serverVersion), veleroIsThere(),
        ...software(), recommended(has('openssl', 'printed lines check certificates with it')),
        ...(certificate && key ? [] : [recommended(certbotIsThere(valueOf('tls-certificates issue', 'dns') as Dns | undefined))]),
      ],
      Values: [...valuesAreRight(told, sources, namespace), license, ...(state ? [stateIsFound(state)] : []), ...(zone && region && !clients('subnetwork') ? [zoneFits(zone, region)] : []), ...(namespace ? kinds.map((kind) => deployedIsAtHand(kind, valueOf('gen-keysets make', kind) ?? '')) : [])],
      Cluster: [preflight('cluster', 'a cluster answers', async () => verdict), ...(there ? clusterSuits(users, serverVersion).map(judged) : [])],
      Outside: [outboundIsOpen(valueOf('github-oauth-app', 'enterprise')), proxyFits({ http: server('httpProxy'), https: server('httpsProxy'), none: server('noProxy') }), ...portIsSeen()],
      ...(certificate && key && domain ? { 'Your own certificate': certificateLooks({ certificate, key, domain }) } : {}),
      'Object storage': storeIsFine(named(storageOf(cloud).name), ['aws', 'gcloud', 'store', 'bucket']),
      Backups: storeIsFine(named(backupsOf(cloud).name), ['bucket']),
    }, `Server ${serverVersion} on ${cloud}, for ${sizingOf(users).users}`,
    told.every(isComplete) ? [] : ['Values stand in the environment or in the env file: .env, or ENV_FILE=prod.env; env.example lists all of them.'])
  },
})
