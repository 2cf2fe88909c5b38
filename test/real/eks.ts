/**
 * What moto has not, in a listener before it: addons, the versions that are offered, what IAM allows, and the API server
 * of the cluster. And a stand-in for eksctl, which makes its stacks, cluster and nodes there with the real aws.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import type { AwsServer } from './aws.ts'

const ALLOWED = '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult><EvaluationResults/></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>'

/** What kubectl asks for before it asks for anything. */
const STORAGE = { groupVersion: 'storage.k8s.io/v1', version: 'v1' }
const resource = (name: string, singularName: string, kind: string) => ({ name, singularName, kind, namespaced: false, verbs: ['get', 'list', 'patch'] })
const DISCOVERY: Record<string, object> = {
  'GET /api': { kind: 'APIVersions', versions: ['v1'] },
  'GET /apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [{ name: 'storage.k8s.io', versions: [STORAGE], preferredVersion: STORAGE }] },
  'GET /api/v1': { kind: 'APIResourceList', groupVersion: 'v1', resources: [resource('nodes', 'node', 'Node')] },
  'GET /apis/storage.k8s.io/v1': { kind: 'APIResourceList', groupVersion: STORAGE.groupVersion, resources: [resource('storageclasses', 'storageclass', 'StorageClass')] },
}

const DEFAULT = 'storageclass.kubernetes.io/is-default-class'

export interface EksServer {
  url: string
  /** Names of the addons that were made. */
  addons: string[]
  /** Requests that changed the cluster. */
  changes: string[]
  /** Whether the storage class is the default. */
  isDefault(): boolean
  close(): void
}

export const startEks = async (aws: AwsServer, nodes: number): Promise<EksServer> => {
  const addons: string[] = [], changes: string[] = []
  const annotations: Record<string, string> = {}
  let url = ''
  const classOf = () => ({ apiVersion: STORAGE.groupVersion, kind: 'StorageClass', metadata: { name: 'gp2', annotations }, provisioner: 'kubernetes.io/aws-ebs' })
  const ready = { capacity: { cpu: '4', memory: '15896988Ki' }, conditions: [{ type: 'Ready', status: 'True' }] }
  const play = (what: string, body: string, dry: boolean): [number, unknown] | undefined => {
    if (what === 'GET /cluster-versions') return [200, { clusterVersions: ['1.22', '1.23', '1.31'].map((clusterVersion) => ({ clusterVersion })) }]
    const [, method = '', addon = ''] = /^(GET|POST) \/clusters\/[^/]+\/addons\/([a-z-]+)$/.exec(what) ?? []
    if (method === 'POST') return [200, addons.push(addon)]
    if (method === 'GET') return addons.includes(addon) ? [200, { addon: { addonName: addon, status: 'ACTIVE', serviceAccountRoleArn: 'arn:aws:iam::123456789012:role/made' } }] : [404, { message: `No addon: ${addon}` }]
    if (DISCOVERY[what]) return [200, DISCOVERY[what]]
    if (what === 'GET /api/v1/nodes') return [200, { apiVersion: 'v1', kind: 'NodeList', items: Array.from({ length: nodes }, (_, n) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name: `node-${n}` }, status: ready })) }]
    if (what === 'GET /apis/storage.k8s.io/v1/storageclasses') return [200, { apiVersion: STORAGE.groupVersion, kind: 'StorageClassList', items: [classOf()] }]
    if (what.endsWith('/apis/storage.k8s.io/v1/storageclasses/gp2')) {
      const patched = what.startsWith('PATCH') ? (JSON.parse(body) as { metadata: { annotations: Record<string, string> } }).metadata.annotations : {}
      if (!dry && what.startsWith('PATCH')) {
        Object.assign(annotations, patched)
        changes.push(what)
      }
      return [200, { ...classOf(), metadata: { name: 'gp2', annotations: { ...annotations, ...patched } } }]
    }
    return undefined
  }
  const server = createServer((incoming, response) => {
    void (async () => {
      const body = await buffer(incoming)
      const { pathname, searchParams } = new URL(incoming.url ?? '/', 'http://here')
      const played = play(`${incoming.method} ${pathname}`, body.toString(), searchParams.has('dryRun'))
      if (body.includes('Action=SimulatePrincipalPolicy&')) return response.writeHead(200, { 'content-type': 'text/xml' }).end(ALLOWED)
      if (played) return response.writeHead(played[0], { 'content-type': 'application/json' }).end(JSON.stringify(played[1]))
      const answer = await new Promise<import('node:http').IncomingMessage>((resolve, reject) =>
        request(aws.url + incoming.url, { method: incoming.method, headers: incoming.headers }).once('response', resolve).once('error', reject).end(body))
      const text = (await buffer(answer)).toString().replace(/"endpoint": ?"[^"]*"/, `"endpoint": "${url}"`)
      const { 'transfer-encoding': _chunked, 'content-length': _length, ...headers } = answer.headers
      return response.writeHead(answer.statusCode ?? 502, headers).end(text)
    })().catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, addons, changes, isDefault: () => annotations[DEFAULT] === 'true', close: () => { server.closeAllConnections(); server.close() } }
}

const SCRIPT = `#!/usr/bin/env bash
# In place of eksctl, on moto: what it would make, as far as that is looked at.
set -euo pipefail
printf '%s\\n' "$*" >> "$HOME/eksctl.log"
declare -A flag=()
words=()
while (($#)); do
  case $1 in
    --without-nodegroup|--dry-run|--approve|--*=*) flag[\${1#--}]=1; shift ;;
    --*) flag[\${1#--}]=$2; shift 2 ;;
    *) words+=("$1"); shift ;;
  esac
done
name=\${flag[cluster]:-\${flag[name]:-}}
region=(--region "\${flag[region]:-us-east-1}" --output text)
tags="alpha.eksctl.io/cluster-name=$name"
stack() { aws cloudformation create-stack --stack-name "$1" --template-body '{"Resources":{"Topic":{"Type":"AWS::SNS::Topic"}}}' "\${region[@]}" > "$HOME/stack"; }
addon() { curl -sf -X POST "$AWS_ENDPOINT_URL/clusters/$name/addons/$1" > "$HOME/addon"; }
case "\${words[*]}" in
  version) echo 0.230.0 ;;
  'create cluster')
    if [[ -n \${flag[dry-run]:-} ]]; then printf 'kind: ClusterConfig\\nmetadata:\\n  name: %s\\nvpc:\\n  cidr: 192.168.0.0/16\\nmanagedNodeGroups:\\n- instanceType: %s\\n' "$name" "\${flag[node-type]}"; exit; fi
    stack "eksctl-$name-cluster"
    aws eks create-cluster --name "$name" --kubernetes-version "\${flag[version]}" --role-arn arn:aws:iam::123456789012:role/control --resources-vpc-config subnetIds=subnet-1 --tags "$tags" "\${region[@]}" > "$HOME/cluster"
    [[ -z \${EKSCTL_DIES:-} ]] || kill -9 $$
    for one in vpc-cni kube-proxy coredns; do addon "$one"; done ;;
  'utils associate-iam-oidc-provider')
    aws iam create-open-id-connect-provider --url "$(aws eks describe-cluster --name "$name" --query cluster.identity.oidc.issuer "\${region[@]}")" --thumbprint-list 0123456789012345678901234567890123456789 "\${region[@]}" > "$HOME/issuer" ;;
  'create nodegroup')
    stack "eksctl-$name-nodegroup-\${flag[name]}"
    aws eks create-nodegroup --cluster-name "$name" --nodegroup-name "\${flag[name]}" --scaling-config "minSize=1,maxSize=\${flag[nodes]},desiredSize=\${flag[nodes]}" --instance-types "\${flag[node-type]}" \\
      --subnets subnet-1 --node-role arn:aws:iam::123456789012:role/nodes "\${region[@]}" > "$HOME/nodes" ;;
  'create addon') addon "\${flag[name]}" ;;
  'utils write-kubeconfig') aws eks update-kubeconfig --name "$name" --alias "operator@$name.eksctl.io" "\${region[@]}" > "$HOME/context" ;;
  *) echo "Error: the stand-in knows no \${words[*]}" >&2; exit 1 ;;
esac
`

/** A folder with the stand-in, for the front of PATH. */
export const standInEksctl = (folder: string): string => {
  const bin = join(folder, 'bin')
  mkdirSync(bin, { recursive: true })
  writeFileSync(join(bin, 'eksctl'), SCRIPT)
  chmodSync(join(bin, 'eksctl'), 0o755)
  return bin
}
