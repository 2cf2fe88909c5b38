/**
 * create-eks on a real AWS API server, with the real aws: EKS, CloudFormation, EC2, IAM and STS. Played are eksctl, the
 * addons, and the API server of the new cluster.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { awsIn } from '../../lib/cloud/aws.ts'
import { startAws, type AwsServer } from './aws.ts'
import { lacking, must, needs, type ComponentName } from './components.ts'
import { standInEksctl, startEks, type EksServer } from './eks.ts'
import { homeAt, start, startBash, type Ended, type Home } from './runs.ts'

const BUNDLE = new URL('../../dist/create-eks.mjs', import.meta.url).pathname
const NEEDED: ComponentName[] = ['moto_server', 'aws', 'kubectl', 'curl']
const missing = lacking(...NEEDED)
const NAME = 'circleci-server'
/** Lines that are only told. */
const REMEDIES = [
  'delete cluster --name circleci-server --wait --force --region us-east-1', 'delete nodegroup --cluster circleci-server --name server --wait --region us-east-1',
  'delete addon --cluster circleci-server --name aws-ebs-csi-driver --region us-east-1', 'scale nodegroup --cluster circleci-server --name server --nodes 4 --nodes-max 4 --region us-east-1',
  'utils write-kubeconfig --cluster circleci-server --kubeconfig file --region us-east-1', 'create addon --cluster circleci-server --name aws-ebs-csi-driver --service-account-role-arn arn:aws:iam::123456789012:role/made --timeout 20m --region us-east-1',
]

let aws: AwsServer
let eks: EksServer
let here: Home
beforeEach(needs(...NEEDED))
beforeAll(async () => { if (!missing) aws = await startAws() })
afterAll(() => aws?.stop())
beforeEach(async () => {
  if (missing) return
  await aws.reset()
  eks = await startEks(aws, 4)
  const folder = mkdtempSync(join(tmpdir(), 'real-eks-'))
  here = homeAt(folder, [standInEksctl(folder), dirname(must('aws')), process.env['PATH']].join(delimiter))
  onTestFinished(() => {
    eks.close()
    rmSync(folder, { recursive: true, force: true })
  })
})

const run = (flags: string[] = [], env: Record<string, string> = {}): Promise<Ended> =>
  start(here, [process.execPath, BUNDLE, '--region', 'us-east-1', ...flags], { env: { ...aws.env, AWS_ENDPOINT_URL: eks.url, ...env } }).ended
const ask = <T>(service: 'eks' | 'iam', command: string, input: object = {}) => awsIn('us-east-1').read<T>(service, command, input)
const at = (name: string) => join(here.env['HOME'] as string, name)
const lines = (): string[] => readFileSync(at('eksctl.log'), 'utf8').trim().split('\n').filter((line) => !/^version|--dry-run/.test(line))

const expectMade = async (version = '1.23', kubeconfig = '.kube/config') => {
  expect((await ask<{ cluster: object }>('eks', 'DescribeCluster', { name: NAME }))?.cluster).toMatchObject({ status: 'ACTIVE', version })
  expect((await ask<{ nodegroup: object }>('eks', 'DescribeNodegroup', { clusterName: NAME, nodegroupName: 'server' }))?.nodegroup).toMatchObject({ instanceTypes: ['m5.xlarge'], scalingConfig: { desiredSize: 4 } })
  expect((await ask<{ OpenIDConnectProviderList: object[] }>('iam', 'ListOpenIDConnectProviders'))?.OpenIDConnectProviderList).toHaveLength(1)
  expect(eks.addons.toSorted()).toEqual(['aws-ebs-csi-driver', 'coredns', 'kube-proxy', 'vpc-cni'])
  expect(eks.isDefault()).toBe(true)
  expect(readFileSync(at(kubeconfig), 'utf8')).toContain(eks.url)
}

test('looking changes nothing; a run makes it; the same line again has nothing to do', async () => {
  for (const flags of [['--dry-run'], ['--dry-run', '--json'], ['--shell']]) {
    const { code, all } = await run(flags)
    expect(code, all).toBe(0)
  }
  expect((await ask<{ clusters: string[] }>('eks', 'ListClusters'))?.clusters).toEqual([])
  const first = await run()
  expect(first.code, first.all).toBe(0)
  await expectMade()
  expect(first.all.replaceAll(/\s+/g, ' ')).toContain('4 nodes, 16 cores, 65 GB: enough for fewer than 500 daily users')
  const sent = lines()
  const second = await run()
  expect(second.code, second.all).toBe(0)
  expect(second.stderr).toContain('Nothing to do')
  expect(lines()).toEqual(sent)
  expect(eks.changes).toHaveLength(1)
})

test('eksctl died when the control plane was there: the run goes on, and makes what eksctl did not come to; the kubeconfig is the one of the env file', async () => {
  writeFileSync(at('prod.env'), `KUBECONFIG=${at('prod.kubeconfig')}\n`)
  const { code, all } = await run([], { EKSCTL_DIES: '1', ENV_FILE: at('prod.env') })
  expect(code, all).toBe(0)
  await expectMade('1.23', 'prod.kubeconfig')
  expect(lines().filter((line) => line.startsWith('create cluster'))).toHaveLength(1)
  expect(lines().filter((line) => line.startsWith('create addon'))).toHaveLength(4)
})

test('the script of --shell leaves what the run leaves', async () => {
  const newer = ['--kubernetes-version', '1.31']
  const { stdout } = await run(['--shell', ...newer])
  const { code, all } = await startBash(here, stdout, { env: { ...aws.env, AWS_ENDPOINT_URL: eks.url } }).ended
  expect(code, all).toBe(0)
  const after = await run(newer)
  expect(after.code, after.all).toBe(0)
  expect(after.stderr).toContain('Nothing to do')
  await expectMade('1.31')
})

describe('the real eksctl', () => {
  beforeEach(needs('eksctl'))

  test('takes each line, and its dry run is what the plan shows', async () => {
    await run()
    // With --help a line is read to its end, and nothing is done.
    for (const line of [...lines(), ...REMEDIES]) {
      const { code, all } = await startBash(here, `${must('eksctl')} ${line} --help`, { env: aws.env }).ended
      expect(code, `${line}\n${all}`).toBe(0)
    }
    await aws.reset()
    const endpoints = Object.fromEntries(['STS', 'CLOUDFORMATION', 'ELB', 'ELBV2', 'IAM', 'EC2', 'EKS', 'CLOUDTRAIL'].map((service) => [`AWS_${service}_ENDPOINT`, eks.url]))
    const { code, all } = await run(['--dry-run', '--name', 'another'], { ...endpoints, PATH: [dirname(must('eksctl')), here.env['PATH']].join(delimiter) })
    expect(code, all).toBe(0)
    for (const row of ['vpc.nat.gateway  – → Single', 'vpc.cidr  – → 192.168.0.0/16', 'desiredCapacity  – → 4', 'volumeSize  – → 80']) expect(all).toContain(row)
  })
})

test('a cluster of that name that eksctl did not make is left alone', async () => {
  const made = await startBash(here, `aws eks create-cluster --name ${NAME} --role-arn arn:aws:iam::123456789012:role/control --resources-vpc-config subnetIds=subnet-1 --region us-east-1`, { env: aws.env }).ended
  expect(made.code, made.all).toBe(0)
  const { code, all } = await run()
  expect(code, all).toBe(3)
  expect(all.replaceAll(/\s+/g, ' ')).toContain('there is a cluster circleci-server in us-east-1 that eksctl did not make')
})

test.each([
  [['--node-type', 'm5.xlrage'], 'EC2 does not know m5.xlrage in us-east-1'],
  [['--nodes', '2'], 'too small'],
])('%j: found before anything is changed', async (flags, said) => {
  const { code, all } = await run(flags)
  expect(code, all).toBe(3)
  expect(all).toContain(said)
})
