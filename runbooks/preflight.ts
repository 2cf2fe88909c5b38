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
import { preflight, todo } from '../lib/effect.ts'
import { isComplete, toldOf, valuesAreRight } from '../lib/env-file.ts'
import { findings } from '../lib/findings.ts'
import { clock } from '../lib/clock.ts'
import { cluster } from '../lib/cluster/kubernetes.ts'
import { licenseFits, proxyFits } from '../lib/server/kots-install.ts'
import { kotsFits } from '../lib/preflight.ts'
import { mcIsThere } from '../lib/cloud/mc.ts'
import { CLOUD, storageOf } from '../lib/parts.ts'
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
    const { definition, ...storage } = told.find(({ part }) => part.name === storageOf(cloud).name) as (typeof told)[number]
    const valueOf = (part: string, key: string) => told.find((one) => one.part.name === part)?.values[key] as string | undefined
    const server = (key: string) => valueOf('install-server', key)
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
      Values: [...valuesAreRight(told, sources, namespace), license, ...(namespace ? kinds.map((kind) => deployedIsAtHand(kind, valueOf('gen-keysets make', kind) ?? '')) : [])],
      Cluster: [preflight('cluster', 'a cluster answers', async () => verdict), ...(there ? clusterSuits(users, serverVersion).map(judged) : [])],
      Outside: [outboundIsOpen(valueOf('github-oauth-app', 'enterprise')), proxyFits({ http: server('httpProxy'), https: server('httpsProxy'), none: server('noProxy') }), ...portIsSeen()],
      ...(certificate && key && domain ? { 'Your own certificate': certificateLooks({ certificate, key, domain }) } : {}),
      // What its own runbook asks before it changes anything, as far as it is about the store.
      'Object storage': isComplete(storage) ? definition.preflight(storage.values).filter(({ name }) => ['aws', 'gcloud', 'store', 'bucket'].includes(name))
        : [preflight('bucket', 'the bucket is yours or free', async () => todo('it is looked at once its values are there', 'Mend what is marked ✗ under Values.'))],
    }, `Server ${serverVersion} on ${cloud}, for ${sizingOf(users).users}`,
    told.every(isComplete) ? [] : ['Values stand in the environment or in the env file: .env, or ENV_FILE=prod.env; env.example lists all of them.'])
  },
})
