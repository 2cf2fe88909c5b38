#!/usr/bin/env -S npx tsx
/**
 * The Kubernetes cluster of the server on AWS: EKS, through eksctl.
 * Installation guide 3.3.0, phase 1, "Create a Kubernetes cluster", "EKS". The guide makes all with one line; here each
 * part is a step, so that a run that was cut off goes on. Three things it leaves out, and nothing runs without them today:
 * a version that the server supports, the driver of the volumes, and a default storage class.
 */
import { accountAnswers, awsIn, iamAllows, PROFILE, regionInput } from '../lib/cloud/aws.ts'
import { contextOf, haveContext, haveOneDefaultClass, nodesAreReady, nodesSay, oneClassIsDefault } from '../lib/cluster/fresh.ts'
import { oncePerLook } from '../lib/door.ts'
import { forEach, step, verifyStep } from '../lib/effect.ts'
import {
  addonIsActive, controlPlaneIsActive, driverIsActive, driversRoleIsSettled, eksIn, GROUP, haveAddon, haveControlPlane, haveDriver, haveIssuer, haveNodes, nameIsOursOrFree, nodesAreActive, nodesWanted, shapeOf, troublesOfEks, writeContext,
} from '../lib/cloud/eks.ts'
import { dryRun, RIGHTS } from '../lib/cloud/eksctl.ts'
import { count, text } from '../lib/inputs.ts'
import { runbook } from '../lib/runbook.ts'
import { SERVER_VERSION, shapeIsEnough } from '../lib/cluster/sizing.ts'
import { toolsAreThere } from '../lib/software.ts'
import { KUBERNETES_VERSION, minorOf, versionFor, offerFits } from '../lib/cluster/versions.ts'

const inputs = {
  name: text('name', 'name of the cluster', { env: 'CLUSTER_NAME', otherwise: 'circleci-server', pattern: /^[A-Za-z][A-Za-z0-9-]{0,99}$/, looks: 'letters, digits and dashes: circleci-server' }),
  region: regionInput('region of the cluster'),
  profile: PROFILE,
  nodes: count('number of nodes', { otherwise: 4, env: 'EKS_NODES' }),
  nodeType: text('type', 'type of the nodes in EC2', { env: 'EKS_NODE_TYPE', otherwise: 'm5.xlarge', pattern: /^[a-z][a-z0-9-]*\.[a-z0-9-]+$/, looks: 'a type of EC2: m5.xlarge' }),
  serverVersion: SERVER_VERSION,
  kubernetesVersion: KUBERNETES_VERSION,
}

export default runbook(import.meta, {
  name: 'create-eks',
  purpose: 'make the Kubernetes cluster of the server on EKS',
  guide: 'CircleCI server 3.3.0 installation guide, phase 1, "Create a Kubernetes cluster"',
  when: 'Before the server is installed, where there is no cluster for it yet. It takes about half an hour, and costs from then on.',
  cluster: false,
  inputs,
  examples: [
    '--region us-east-1 --dry-run',
    '--region us-east-1',
    '--region us-east-1 --nodes 3 --node-type m5.8xlarge',
    '--region us-east-1 --rehearse',
  ],
  preflight: ({ name, region, profile, nodes, nodeType, serverVersion, kubernetesVersion }) => {
    const eks = eksIn(awsIn(region, profile), name)
    return [
      accountAnswers(eks.aws), iamAllows(eks.aws, RIGHTS, 'make a cluster'), toolsAreThere({ eksctl: 'it makes the cluster', aws: 'kubectl gets its credentials from it', kubectl: 'it looks at the new cluster' }), nameIsOursOrFree(eks), offerFits(eks.offer, serverVersion, kubernetesVersion, async () => (await eks.cluster())?.version),
      shapeIsEnough(() => shapeOf(eks, nodes, nodeType), 'Name other nodes with --nodes and --node-type: 4 of m5.xlarge, or for 500 daily users and more 3 of m5.8xlarge.'),
    ]
  },
  outcome: ({ name }) => `The cluster ${name} is ready for the server`,
  facts: async ({ name, region, profile }) => {
    const eks = eksIn(awsIn(region, profile), name)
    const cluster = await eks.cluster()
    return { cluster: cluster ? `${cluster.status}, Kubernetes ${cluster.version}` : `${name} is not there`, nodes: await nodesSay(eks), context: await contextOf(eks) ?? 'none' }
  },
  troubles: async ({ name, region, profile }) => troublesOfEks(eksIn(awsIn(region, profile), name)),
  afterwards: [
    'kubectl points to the new cluster from now on; the runbooks that come after take its context with --context.',
    'It costs from now on. To be rid of it, with all that is in it: eksctl delete cluster --name NAME --region REGION --wait',
    'The API server of the cluster is open to the internet, behind its credentials; eksctl utils update-cluster-vpc-config limits that.',
  ],
  steps: ({ name, region, profile, nodes, nodeType, serverVersion, kubernetesVersion }) => {
    const eks = eksIn(awsIn(region, profile), name)
    const shape = { name, nodes, type: nodeType, group: GROUP }
    const wanted = async () => ({ ...shape, version: await versionFor(eks.offer, serverVersion, kubernetesVersion) })
    const config = oncePerLook(async () => dryRun(region, await wanted()))
    const addons = (names: string[]) => ({ todo: () => forEach(names, (addon) => haveAddon(eks, addon)), verify: async () => names.map((addon) => addonIsActive(eks, addon)) })
    // eksctl makes these with the control plane; a run that was cut off may not have come so far.
    const [network, dns] = [addons(['vpc-cni', 'kube-proxy']), addons(['coredns'])]
    return [
      step('control-plane', 'Make the control plane, with a network of its own', () => haveControlPlane(eks, wanted, config), {
        verify: async () => [controlPlaneIsActive(eks)], back: 'It costs from now on; eksctl delete cluster removes it, with its network.',
      }),
      step('network', 'Give nodes and pods their network', network.todo, { verify: network.verify }),
      step('issuer', 'Let pods have identities of AWS', () => haveIssuer(eks)),
      step('nodes', 'Make the nodes', () => haveNodes(eks, shape, config), { verify: async () => [nodesAreActive(eks)] }),
      step('dns', 'Give the cluster its DNS', dns.todo, { verify: dns.verify }),
      step('driver', 'Install the driver that makes volumes', () => haveDriver(eks), { before: async () => [driversRoleIsSettled(eks)], verify: async () => [driverIsActive(eks)] }),
      step('kubeconfig', 'Write the credentials of the cluster into the kubeconfig', () => haveContext(eks, writeContext(eks))),
      // EKS makes its class gp2 the default up to 1.29 only.
      step('storage-class', 'Have one default storage class', () => haveOneDefaultClass(eks, async () => (minorOf((await wanted()).version) >= 30 ? 'gp2' : undefined)), { verify: async () => [await oneClassIsDefault(eks)] }),
      verifyStep('ready', 'See that the nodes are ready, and how many people they are enough for', () => nodesSay(eks), async () => [await nodesAreReady(eks, await nodesWanted(eks, nodes))]),
    ]
  },
})
