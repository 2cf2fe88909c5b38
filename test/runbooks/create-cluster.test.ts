/** Clusters in each cloud: what is there already, what was cut off, what failed; which Kubernetes, and how big. */
import { describe, expect, test } from 'vitest'
import { sizeSays } from '../../lib/cluster/sizing.ts'
import { clusterIs } from '../../lib/rehearsal/clusters.ts'
import { eksOf } from '../../lib/rehearsal/eks.ts'
import type { World } from '../../lib/rehearsal/index.ts'
import { stage } from './harness.ts'

const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')

const begin = (cloud: 'eks' | 'gke', words: string[]) => (scenario?: string, change?: (world: World) => void) => {
  const world = stage(scenario, change)
  const bytes = world.bytes()
  return {
    world, untouched: () => expect(world.bytes()).toBe(bytes),
    run: async (...more: string[]) => {
      const ended = await world.run(`create-${cloud}`, [...words, ...more])
      return { ...ended, said: flat(ended.stderr) }
    },
  }
}
const eks = begin('eks', ['--region', 'us-east-1'])
const gke = begin('gke', ['--project', 'my-project', '--region', 'europe-west1'])
const NAME = 'circleci-server', DEFAULT = 'storageclass.kubernetes.io/is-default-class'

/** Storage classes that are the default. */
const defaults = ({ objects }: World): string[] => Object.values(objects).filter(({ kind, metadata }) => kind === 'StorageClass' && metadata.annotations?.[DEFAULT] === 'true').map(({ metadata }) => metadata.name)

describe('the guide\'s table', () => {
  test.each([
    [{ nodes: 2, cores: 96, gigabytes: 384 }, 'too small; fewer than 500 daily users want 3 nodes, 12 cores, 32 GB, 1 Gbps'],
    [{ nodes: 3, cores: 12, gigabytes: 32 }, 'enough for fewer than 500 daily users; 500 daily users and more want 3 nodes, 48 cores, 240 GB, 10 Gbps'],
    [{ nodes: 4, cores: 64, gigabytes: 200 }, 'enough for fewer than 500 daily users; '],
    [{ nodes: 3, cores: 96, gigabytes: 384, gigabits: 5 }, 'enough for fewer than 500 daily users; '],
    [{ nodes: 3, cores: 48, gigabytes: 240, gigabits: 10 }, 'enough for 500 daily users and more'],
  ])('%j is %s', (shape, says) => {
    expect(sizeSays(shape)).toContain(`GB${'gigabits' in shape ? `, ${shape.gigabits} Gbps` : ''}: ${says}`)
  })
})

describe('create-eks', () => {
  test('a plan shows eksctl\'s own configuration, and no zones, which are drawn anew', async () => {
    const { run } = eks()
    const { code, said, stderr } = await run('--dry-run')
    expect(code, stderr).toBe(0)
    for (const row of ['vpc.cidr – → 192.168.0.0/16', 'metadata.version – → 1.23', 'instanceType – → m5.xlarge', 'desiredCapacity – → 4']) expect(said).toContain(row)
    expect(said).toContain('eksctl create cluster --name circleci-server --version 1.23 --without-nodegroup --write-kubeconfig=false --enable-auto-mode=false --tags managed-by=circleci-server-runbooks --timeout 40m --region us-east-1')
    expect(said).toContain('eksctl utils write-kubeconfig --cluster circleci-server --region us-east-1')
    expect(said).not.toContain('us-east-1b')
  })

  test('makes all of it, and says whom the cluster is enough for', async () => {
    const { world, run } = eks()
    expect(clusterIs(world.world())).toBe(false)
    const { code, said, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(said).toContain('enough for fewer than 500 daily users; 500 daily users and more want 3 nodes, 48 cores, 240 GB, 10 Gbps')
    expect(clusterIs(world.world())).toBe(true)
    expect(world.world().eks?.clusters[NAME]).toMatchObject({ version: '1.23', issuer: true, nodes: { name: 'server', count: 4, type: 'm5.xlarge' }, addons: { 'aws-ebs-csi-driver': { role: true } }, context: true })
  })

  test('eks-cut-off: what another laptop began is waited for, and what it did not come to is made', async () => {
    const { world, run } = eks('eks-cut-off')
    const { code, said, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(said).toContain('waiting until the control plane of circleci-server is active · last seen: ControlPlane CREATE_IN_PROGRESS')
    expect(said).toContain('1 control-plane circleci-server is there, Kubernetes 1.23 7 m')
    expect(Object.keys(world.world().eks?.clusters[NAME]?.addons ?? {}).toSorted()).toEqual(['aws-ebs-csi-driver', 'coredns', 'kube-proxy', 'vpc-cni'])
    expect((await run()).said).toContain('Nothing to do')
  })

  test('eks-role-left: a role that was begun is used, and nodes of another name are the nodes', async () => {
    const { world, run } = eks('eks-role-left')
    const { code, said, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(said).toContain('waiting until nothing is at work on eksctl-circleci-server-addon-aws-ebs-csi-driver')
    expect(said).toContain('3 × m5.xlarge, not 4 × m5.xlarge as named: what is there is left as it is (eksctl scale nodegroup --cluster circleci-server --name ng-4aba8a47 --nodes 4 --nodes-max 4 --region us-east-1 changes the number)')
    expect(world.world().eks?.clusters[NAME]?.addons['aws-ebs-csi-driver']).toMatchObject({ role: true })
  })

  test('eks-fails: why, and the line that cleans up; the same line again says the same, and changes nothing', async () => {
    const { world, run } = eks('eks-fails')
    const first = await run()
    expect(first.code).toBe(1)
    const bytes = world.bytes()
    const second = await run()
    expect(second.code).toBe(3)
    for (const { said } of [first, second]) {
      expect(said).toContain('The stack eksctl-circleci-server-cluster failed (ROLLBACK_COMPLETE): VPC, Resource handler returned message: "The maximum number of VPCs has been reached.')
      expect(said).toContain('eksctl delete cluster --name circleci-server --wait --force --region us-east-1')
    }
    expect(world.bytes()).toBe(bytes)
  })

  test.each([
    ['eks-failed', [], 'The stack eksctl-circleci-server-cluster failed'],
    ['eks-foreign', [], 'there is a cluster circleci-server in us-east-1 that eksctl did not make'],
    ['new-kubernetes', [], 'EKS offers no Kubernetes that server 3.4.0 supports: it offers 1.31, 1.32, 1.33, 1.34; the server supports 1.16 to 1.23'],
    ['new-kubernetes', ['--ignore-preflight', 'kubernetes-version'], 'EKS offers no Kubernetes'],
    ['new-kubernetes', ['--kubernetes-version', '1.29'], 'EKS does not offer Kubernetes 1.29: it offers 1.31, 1.32, 1.33, 1.34'],
    ['all-well', ['--server-version', '3.2.1'], 'the server supports up to 1.20'],
    ['all-well', ['--nodes', '2'], '2 nodes, 8 cores, 32 GB, 10 Gbps: too small; fewer than 500 daily users want 3 nodes'],
    ['all-well', ['--node-type', 'm5.xlrage'], 'EC2 does not know m5.xlrage in us-east-1'],
    ['invalid-credentials', [], 'AWS does not accept the credentials (InvalidClientTokenId'],
    ['no-eks-rights', [], 'you may not make a cluster: user/operator lacks eks:CreateCluster, iam:CreateRole'],
    ['no-eksctl', [], 'eksctl 0.195.0 or newer is not installed'],
  ])('%s %j: nothing is changed', async (scenario, flags, text) => {
    const { run, untouched } = eks(scenario)
    const { code, said } = await run(...flags, '--yes')
    expect(code, said).toBe(3)
    expect(said).toContain(text)
    untouched()
  })

  test('new-kubernetes: one that was named is made, with a warning', async () => {
    const { world, run } = eks('new-kubernetes')
    expect((await run('--kubernetes-version', '1.31', '--dry-run')).said).toContain('kubectl patch storageclass gp2 --type=merge')
    const { code, said, stderr } = await run('--kubernetes-version', '1.31')
    expect(code, stderr).toBe(0)
    expect(said).toContain('server 3.4.0 supports Kubernetes 1.16 to 1.23, and 1.31 was named')
    expect(world.world().eks?.clusters[NAME]?.version).toBe('1.31')
    const again = await run()
    expect(again.said).toContain('server 3.4.0 supports Kubernetes 1.16 to 1.23, and the cluster has 1.31')
    expect(again.said).toContain('Nothing to do')
  })

  test('an older release gets an older Kubernetes, and bigger nodes are said to be enough for more', async () => {
    const { run } = eks()
    const { code, said } = await run('--server-version', '3.3.0', '--nodes', '3', '--node-type', 'm5.8xlarge', '--dry-run', '--verbose')
    expect(code).toBe(0)
    expect(said).toContain('--version 1.21 ')
    expect(said).toContain('3 nodes, 96 cores, 384 GB, 10 Gbps: enough for 500 daily users and more')
  })

  test.each([['1.23', 'gp2 is the default'], ['1.31', 'gp2 is the default 1 change']])('where there is nothing yet, Kubernetes %s: its nodes, and its class as EKS brings it', async (version, said) => {
    const { world, run } = eks('all-well', (empty) => {
      eksOf(empty).offered = ['1.23', '1.31']
      for (const key of Object.keys(empty.objects)) if (/^(nodes|storageclasses)\//.test(key)) delete empty.objects[key]
    })
    const ended = await run('--kubernetes-version', version)
    expect(ended.code, ended.stderr).toBe(0)
    expect(ended.said).toContain(`storage-class ${said}`)
    expect(ended.said).toContain('ready 4 nodes, 16 cores, 65 GB: enough for fewer than 500 daily users')
    expect(defaults(world.world())).toEqual(['gp2'])
  })

  test('no-default-class: gp2 becomes the default', async () => {
    const { world, run } = eks('no-default-class')
    const { code, said, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(defaults(world.world())).toEqual(['gp2'])
    expect(said).toContain('storage-class gp2 is the default 1 change')
  })

  test('two-default-classes: the newest stays', async () => {
    const { world, run } = eks('two-default-classes')
    expect(await run()).toMatchObject({ code: 0 })
    expect(defaults(world.world())).toEqual(['gp3'])
  })
})

describe('create-gke', () => {
  test('it is said that nodes are counted per zone; no Autopilot, and no upgrades by themselves', async () => {
    const { run, untouched } = gke()
    const { code, said } = await run('--dry-run')
    expect(code).toBe(0)
    expect(said).toContain('3 in each of 3 zones: 9 in all')
    expect(said).toContain('which Kubernetes GKE offers is not known yet: its API is not enabled')
    expect(said).toContain('gcloud container clusters create circleci-server --region=europe-west1 --num-nodes=3 --machine-type=n1-standard-4 --cluster-version=1.23 --release-channel=None --no-enable-autoupgrade')
    untouched()
  })

  test('made, reached, and measured', async () => {
    const { world, run } = gke()
    const { code, said, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(clusterIs(world.world())).toBe(true)
    expect(world.world().gke).toMatchObject({ enabled: true, clusters: { [NAME]: { nodes: 9, context: true, version: '1.23.12-gke.100' } } })
    expect(said).toContain('enough for fewer than 500 daily users')
  })

  test('gke-cut-off: what another one began is waited for', async () => {
    const { run } = gke('gke-cut-off')
    const { code, said, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(said).toContain('2 cluster circleci-server is there, Kubernetes 1.23.12-gke.100 4 m')
  })

  test('gke-fails: why, and the line that cleans up', async () => {
    const { run } = gke('gke-fails')
    const first = await run()
    expect(first.code).toBe(1)
    const second = await run()
    expect(second.code).toBe(3)
    for (const { said } of [first, second]) {
      expect(said).toContain('The cluster circleci-server failed: Google Compute Engine: Insufficient regional quota')
      expect(said).toContain('gcloud container clusters delete circleci-server --region=europe-west1 --project=my-project')
    }
  })

  test.each([
    ['gke-autopilot', [], 'circleci-server is a cluster of Autopilot, on which the server does not run'],
    ['new-kubernetes', [], 'GKE offers no Kubernetes that server 3.4.0 supports: it offers 1.31, 1.32, 1.33, 1.34; the server supports 1.16 to 1.23'],
    ['all-well', ['--nodes-per-zone', '1', '--machine-type', 'n1-highcpu-4'], '3 nodes, 12 cores, 11 GB: too small'],
    ['all-well', ['--machine-type', 'n1-strange-4'], 'the size of n1-strange-4 is not known here'],
    ['all-well', ['--project', 'my-projekt'], 'gcloud points to project my-project, not to my-projekt'],
  ])('%s %j: nothing is changed', async (scenario, flags, text) => {
    const { run, untouched } = gke(scenario)
    const { code, said } = await run(...flags, '--yes')
    expect(code, said).toBe(3)
    expect(said).toContain(text)
    untouched()
  })

  test('a zone is no region', async () => {
    const { run } = gke()
    const { code, said } = await run('--region', 'europe-west1-b')
    expect(code).toBe(2)
    expect(said).toContain('Write a region, not one of its zones: europe-west1.')
  })
})
