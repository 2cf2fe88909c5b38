#!/usr/bin/env -S npx tsx
/**
 * The Kubernetes cluster of the server on Google Cloud: GKE, and not Autopilot.
 * Installation guide 3.3.0, phase 1, "Create a Kubernetes cluster", "GKE". Its steps 5 and 6, a service account of the
 * cluster and its key, are left out: nothing uses them, and object-storage-gcp and velero-gcp make those that are used.
 */
import { PROJECT_ID } from '../lib/cloud/accounts.ts'
import { contextOf, haveContext, haveOneDefaultClass, nodesAreReady, nodesSay, oneClassIsDefault, youAreAdmin } from '../lib/cluster/fresh.ts'
import { step, verifyStep } from '../lib/effect.ts'
import { gcpIn, projectAnswers } from '../lib/cloud/gcp.ts'
import { apiIsOn, clusterIsUp, gkeIn, haveApi, haveCluster, nameIsForUs, nodesWanted, shapeOf, writeContext, zonesSay } from '../lib/cloud/gke.ts'
import { count, text } from '../lib/inputs.ts'
import { runbook } from '../lib/runbook.ts'
import { SERVER_VERSION, shapeIsEnough } from '../lib/cluster/sizing.ts'
import { kubectlReachesGke } from '../lib/software.ts'
import { KUBERNETES_VERSION, versionFor, offerFits } from '../lib/cluster/versions.ts'

const inputs = {
  name: text('name', 'name of the cluster', { env: 'CLUSTER_NAME', otherwise: 'circleci-server', pattern: /^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$/, looks: 'up to 40 lower-case letters, digits and dashes: circleci-server' }),
  project: PROJECT_ID,
  region: text('name', 'region of the cluster', { env: 'GKE_REGION', pattern: /^[a-z]+-[a-z]+\d+$/, looks: 'a region, not one of its zones: europe-west1' }),
  nodesPerZone: count('number of nodes in each zone of the region, of which there are three', { otherwise: 3, env: 'GKE_NODES_PER_ZONE' }),
  machineType: text('type', 'type of the nodes', { env: 'GKE_MACHINE_TYPE', otherwise: 'n1-standard-4', pattern: /^[a-z]\d[a-z]?-[a-z]+-\d+$/, looks: 'a type of Google\'s: n1-standard-4' }),
  serverVersion: SERVER_VERSION,
  kubernetesVersion: KUBERNETES_VERSION,
}

export default runbook(import.meta, {
  name: 'create-gke',
  purpose: 'make the Kubernetes cluster of the server on GKE',
  guide: 'CircleCI server 3.3.0 installation guide, phase 1, "Create a Kubernetes cluster"',
  when: 'Before the server is installed, where there is no cluster for it yet. It takes about ten minutes, and costs from then on.',
  cluster: false,
  inputs,
  examples: [
    '--project my-project --region europe-west1 --dry-run',
    '--project my-project --region europe-west1',
    '--project my-project --region europe-west1 --nodes-per-zone 2 --machine-type n1-standard-16',
    '--project my-project --region europe-west1 --rehearse',
  ],
  preflight: ({ name, project, region, nodesPerZone, machineType, serverVersion, kubernetesVersion }) => {
    const gke = gkeIn(gcpIn(project), region, name)
    return [
      projectAnswers(gke.gcp), kubectlReachesGke(), nameIsForUs(gke), offerFits(gke.offer, serverVersion, kubernetesVersion, async () => (await gke.cluster())?.currentMasterVersion),
      shapeIsEnough(async () => shapeOf(nodesPerZone, machineType), 'Name other nodes with --nodes-per-zone and --machine-type: 3 of n1-standard-4, or for 500 daily users and more 2 of n1-standard-16.'),
    ]
  },
  outcome: ({ name }) => `The cluster ${name} is ready for the server`,
  facts: async ({ name, project, region, nodesPerZone, machineType }) => {
    const gke = gkeIn(gcpIn(project), region, name)
    const cluster = await gke.cluster()
    return {
      cluster: cluster ? `${cluster.status}, Kubernetes ${cluster.currentMasterVersion}` : `${name} is not there`,
      nodes: cluster ? await nodesSay(gke) : `none (${machineType}, ${zonesSay(nodesPerZone)} in all)`, context: await contextOf(gke) ?? 'none',
    }
  },
  afterwards: [
    'kubectl points to the new cluster from now on (kubectl cluster-info); the runbooks that come after take its context with --context.',
    'It costs from now on. To be rid of it, with all that is in it: gcloud container clusters delete NAME --region=REGION --project=PROJECT',
    'Its Kubernetes stays where it is as long as Google offers it; then it is upgraded all the same. Service accounts and their keys are made by object-storage-gcp and velero-gcp.',
  ],
  steps: ({ name, project, region, nodesPerZone, machineType, serverVersion, kubernetesVersion }) => {
    const gke = gkeIn(gcpIn(project), region, name)
    const wanted = async () => ({ nodesPerZone, type: machineType, version: await versionFor(gke.offer, serverVersion, kubernetesVersion) })
    const account = 'kubectl create clusterrolebinding circleci-server-admin --clusterrole=cluster-admin --user="$(gcloud config get-value account)"'
    return [
      step('api', 'Enable the API of GKE', () => haveApi(gke), { verify: async () => [apiIsOn(gke)] }),
      step('cluster', `Make the cluster, with nodes of ${machineType}, ${zonesSay(nodesPerZone)} in all`, () => haveCluster(gke, wanted), {
        verify: async () => [clusterIsUp(gke)], back: 'It costs from now on; gcloud container clusters delete removes it.',
      }),
      step('kubeconfig', 'Write the credentials of the cluster into the kubeconfig', () => haveContext(gke, writeContext(gke))),
      verifyStep('admin', 'See that you are administrator of the cluster: who installs the server makes roles', 'you are administrator of the cluster', async () => [await youAreAdmin(gke, account)]),
      step('storage-class', 'Have one default storage class', () => haveOneDefaultClass(gke), { verify: async () => [await oneClassIsDefault(gke)] }),
      verifyStep('ready', 'See that the nodes are ready, and how many people they are enough for', () => nodesSay(gke), async () => [await nodesAreReady(gke, await nodesWanted(gke, nodesPerZone))]),
    ]
  },
})
