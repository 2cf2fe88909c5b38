/**
 * Clusters that are made in a rehearsal, and scenarios of accounts in which that goes badly.
 */
import { TYPES } from './aws-cli.ts'
import { eksContexts, eksIs, eksOf, TAKES, type EksCluster } from './eks.ts'
import { begin as beginGke, gkeContexts, gkeIs, gkeOf, type GkeCluster } from './gke.ts'
import { create, digest, keyOf, list, type World } from './world.ts'

const MINUTE = 60_000
const isDefault = 'storageclass.kubernetes.io/is-default-class'

/** Whether a cluster was made, and its API server answers. */
export const clusterIs = (world: World): boolean => eksIs(world) || gkeIs(world)

/** What stands in the kubeconfig of those that were made. */
export const contexts = (world: World, url: string) => [...eksContexts(world, url), ...gkeContexts(world, url)]

const GIBIBYTE = 2 ** 20

interface Nodes { count: number; cores: number; kibibytes: number; name(n: number): string; labels: Record<string, string>; provider: string }

const nodesOf = (world: World, cloud: string, name: string): Nodes | undefined => {
  const eks = cloud === 'eks' ? eksOf(world).clusters[name]?.nodes : undefined
  if (eks) {
    const { cores = 4, mebibytes = 16_384 } = TYPES[eks.type] ?? {}
    return { count: eks.count, cores, kibibytes: mebibytes * 1024, name: (n) => `ip-192-168-${32 + n}-${17 + 3 * n}.ec2.internal`, labels: { 'alpha.eksctl.io/cluster-name': name, 'alpha.eksctl.io/nodegroup-name': eks.name }, provider: 'aws:///us-east-1b/i-0' }
  }
  const gke = gkeOf(world).clusters[name]
  const cores = Number(gke?.type.split('-').at(-1))
  return gke && { count: gke.nodes, cores, kibibytes: cores * 3.75 * GIBIBYTE, name: (n) => `gke-${name}-default-pool-${digest(name).slice(0, 8)}-${digest(String(n)).slice(0, 4)}`, labels: { 'cloud.google.com/gke-nodepool': 'default-pool' }, provider: 'gce://my-project/europe-west1-b/' }
}

/** What the cloud gives a new cluster where there is none yet: EKS makes its class the default up to 1.29. */
const withClass = (world: World, cloud: string, name: string): void => {
  if (list(world, 'storageclasses').length) return
  const [own, provisioner] = cloud === 'eks' ? ['gp2', 'kubernetes.io/aws-ebs'] : ['standard-rwo', 'pd.csi.storage.gke.io']
  const byItself = cloud === 'gke' || Number(eksOf(world).clusters[name]?.version.split('.')[1]) < 30
  create(world, 'storageclasses', {
    apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', metadata: { name: own, ...(byItself ? { annotations: { [isDefault]: 'true' } } : {}) },
    provisioner, reclaimPolicy: 'Delete', volumeBindingMode: 'WaitForFirstConsumer', allowVolumeExpansion: cloud === 'gke',
  })
}

/** The nodes of a new cluster join it, some seconds before its cloud says so. */
export const joinNodes = (world: World, which: string): void => {
  const [cloud = '', name = ''] = which.split(' ')
  const nodes = nodesOf(world, cloud, name)
  withClass(world, cloud, name)
  for (let n = 0; n < (nodes?.count ?? 0); n += 1) {
    const node = nodes?.name(n) ?? ''
    if (!nodes || world.objects[keyOf('nodes', node)]) continue
    create(world, 'nodes', {
      apiVersion: 'v1', kind: 'Node', metadata: { name: node, labels: { 'kubernetes.io/hostname': node, ...nodes.labels } }, spec: { providerID: `${nodes.provider}${digest(node).slice(0, 16)}` },
      // The kernel keeps some of it to itself.
      status: { capacity: { cpu: String(nodes.cores), memory: `${Math.round(nodes.kibibytes * 0.948)}Ki` }, conditions: [{ type: 'Ready', status: 'True' }] },
    })
  }
}

const NAME = 'circleci-server', REGION = 'us-east-1'
const LIMIT = { part: 'control-plane', resource: 'VPC', reason: 'Resource handler returned message: "The maximum number of VPCs has been reached. (Service: Ec2, Status Code: 400)" (HandlerErrorCode: ServiceLimitExceeded)' } as const

const begun = (world: World, ago: number, more: Partial<EksCluster>): void => {
  eksOf(world).clusters[NAME] = { created: world.time - ago, region: REGION, version: '1.23', own: true, addons: {}, ...more }
}

const inGke = (world: World, ago: number, more: Partial<GkeCluster>): void => {
  gkeOf(world).enabled = true
  beginGke(world, NAME, { created: world.time - ago, region: 'europe-west1', version: '1.23.12-gke.100', nodes: 9, type: 'n1-standard-4', ...more })
}

export const clusterScenarios: Record<string, { about: string; apply(world: World): void }> = {
  'eks-fails': { about: `a new cluster of EKS fails after some minutes: ${REGION} has no room for another VPC`, apply: (world) => { eksOf(world).fails = LIMIT } },
  'eks-failed': { about: `the making of the cluster ${NAME} failed yesterday, and nobody cleaned up`, apply: (world) => begun(world, 1440 * MINUTE, { fails: LIMIT }) },
  'eks-cut-off': { about: `somebody began to make the cluster ${NAME} 4 minutes ago, and their laptop died`, apply: (world) => begun(world, 4 * MINUTE, {}) },
  'eks-role-left': {
    about: `the cluster ${NAME} is there but for its driver, of which the role was just begun`,
    apply: (world) => {
      const ready = world.time - 60 * MINUTE
      begun(world, 60 * MINUTE + TAKES['control-plane'], {
        issuer: true, role: { created: world.time - MINUTE / 2 }, nodes: { created: ready, name: 'ng-4aba8a47', count: 3, type: 'm5.xlarge' },
        addons: { 'vpc-cni': { created: ready }, 'kube-proxy': { created: ready }, coredns: { created: ready } },
      })
    },
  },
  'eks-foreign': { about: `there is a cluster ${NAME} that eksctl did not make`, apply: (world) => begun(world, 1440 * MINUTE, { own: false }) },
  'gke-fails': { about: 'a new cluster of GKE fails after some minutes: the project has no room for so many cores', apply: (world) => { gkeOf(world).fails = 'Google Compute Engine: Insufficient regional quota to satisfy request: resource "CPUS": request requires \'36.0\' and is short \'12.0\'.' } },
  'gke-cut-off': { about: `somebody began to make the cluster ${NAME} 2 minutes ago`, apply: (world) => inGke(world, 2 * MINUTE, {}) },
  'gke-autopilot': { about: `there is a cluster ${NAME} of Autopilot`, apply: (world) => inGke(world, 1440 * MINUTE, { autopilot: true, nodes: 0 }) },
  'new-kubernetes': {
    about: 'years have passed: clouds offer no Kubernetes that server 3 supports',
    apply: (world) => {
      eksOf(world).offered = ['1.31', '1.32', '1.33', '1.34']
      Object.assign(gkeOf(world), { enabled: true, offered: ['1.34.1-gke.1829001', '1.33.5-gke.1162000', '1.32.9-gke.1130000', '1.31.13-gke.1023000'] })
    },
  },
  'no-default-class': { about: 'no storage class is the default, as in a new cluster from Kubernetes 1.30 on', apply: (world) => { delete world.objects[keyOf('storageclasses', 'gp2')]?.metadata.annotations?.[isDefault] } },
  'two-default-classes': {
    about: 'two storage classes are the default',
    apply: (world) => void create(world, 'storageclasses', {
      apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', metadata: { name: 'gp3', annotations: { [isDefault]: 'true' } },
      provisioner: 'ebs.csi.aws.com', parameters: { type: 'gp3' }, reclaimPolicy: 'Delete', volumeBindingMode: 'WaitForFirstConsumer', allowVolumeExpansion: true,
    }),
  },
  'invalid-credentials': { about: 'AWS does not know the credentials', apply: ({ rules }) => { rules.noCredentials = true } },
  'no-eks-rights': { about: 'you may not make clusters in AWS', apply: (world) => { eksOf(world).denied = ['eks:CreateCluster', 'iam:CreateRole'] } },
  'no-eksctl': { about: 'eksctl was never installed', apply: ({ rules }) => { rules.software = { 'eksctl version': '' } } },
}
