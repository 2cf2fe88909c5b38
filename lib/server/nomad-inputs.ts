/** What the operator may say of the Nomad clients: the variables of CircleCI's Terraform modules, by cloud. Installation guide 3.3.0, phase 3. */
import { PROFILE } from '../cloud/aws.ts'
import { ranges } from '../cloud/cidr.ts'
import { subnetsInput } from '../cloud/vpc.ts'
import { EXIT, fail } from '../fail.ts'
import { count, flag, optional, orNone, text, type Input } from '../inputs.ts'
import { SERVER_VERSION } from '../cluster/sizing.ts'

const maybe = (env: string, takes: string, say: string, pattern?: RegExp, looks?: string) => ({ ...optional(takes, say, pattern, looks), env })
const named = (env: string, takes: string, say: string, otherwise: string, pattern?: RegExp, looks?: string) => text(takes, say, { env, otherwise, ...(pattern ? { pattern } : {}), ...(looks ? { looks } : {}) })
const yes = (env: string, say: string) => ({ ...flag(say), env })

const ADDRESS = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/

/** Tags of AWS, as name=value with commas. */
const tags = (say: string, env: string): Input<Record<string, string>> => ({
  say, env, takes: 'name=value',
  parse: (said) => Object.fromEntries(said.split(',').map((one) => {
    const [, name, value] = /^\s*([\w.:/+@ -]{1,128}?)\s*=\s*([\w.:/=+@ -]{0,256}?)\s*$/.exec(one) ?? []
    if (name === undefined || value === undefined || name.startsWith('aws:')) throw fail(`${one || 'Nothing'} is no tag.`, 'Write it as name=value, several with a comma: team=ci,vendor=circleci.', { code: EXIT.usage })
    return [name, value]
  }).toSorted(([one = ''], [other = '']) => (one < other ? -1 : 1))),
  text: (value) => Object.entries(value).map((pair) => pair.join('=')).join(','),
})

/** What each schedule of Google's autoscaler has. */
const SCHEDULE: Record<string, 'string' | 'number' | 'boolean'> = { description: 'string', disabled: 'boolean', duration_sec: 'number', min_required_replicas: 'number', name: 'string', schedule: 'string', time_zone: 'string' }
const schedules = (say: string, env: string): Input<Record<string, string | number | boolean>[]> => ({
  say, env, takes: 'json',
  parse: (said) => {
    try {
      const all = JSON.parse(said) as Record<string, string | number | boolean>[]
      return all.map((one) => Object.fromEntries(Object.entries(SCHEDULE).map(([name, type]) => {
        const value = one[name]
        if (value === undefined || typeof value !== type) throw new Error(name)
        return [name, value]
      })))
    } catch {
      throw fail('This is no list of schedules.', `Write it so: [{"name": "office", "schedule": "0 8 * * MON-FRI", "time_zone": "Europe/Berlin", "duration_sec": 36000, "min_required_replicas": 4, "disabled": false, "description": ""}]`, { code: EXIT.usage })
    }
  },
  text: (value) => JSON.stringify(value),
})

export const FOLDER = named('NOMAD_FOLDER', 'folder', 'folder of Terraform: main.tf, the certificates, its state where that is local', 'nomad-clients')

/** What the group of the clients is named after. */
export const groupInputs = () => ({
  basename: named('NOMAD_BASENAME', 'name', 'aws: what their names begin with', 'server', /^[A-Za-z0-9-]{1,40}$/, 'letters, digits and dashes'),
  name: named('NOMAD_NAME', 'name', 'gcp: name of the clients and of their group', 'nomad', /^[a-z]([a-z0-9-]{0,40}[a-z0-9])?$/, 'lower-case letters, digits and dashes'),
})

/** As CircleCI's Terraform modules name it. */
export const groupName = ({ provider, basename, name }: { provider: string; basename: string; name: string }): string => (provider === 'aws' ? `${basename}_circleci_nomad_clients_asg` : name)

export const clientInputs = () => ({
  provider: { ...text('aws|gcp', 'cloud of the clients', { env: 'CIRCLECI_CLOUD', pattern: /^(aws|gcp)$/, looks: 'aws or gcp' }), choices: ['aws', 'gcp'] },
  folder: FOLDER,
  state: named('NOMAD_STATE', 'place', 'where Terraform keeps its state: local, s3://BUCKET/KEY or gs://BUCKET/PREFIX', 'local', /^(local|s3:\/\/[^/]+\/.+|gs:\/\/[^/]+(\/.*)?)$/, 'local, s3://my-states/nomad.tfstate or gs://my-states/nomad'),
  stateTable: maybe('NOMAD_STATE_TABLE', 'name', 'table of DynamoDB that locks a state in S3, for a Terraform before 1.10'),
  serverVersion: SERVER_VERSION,
  endpoint: maybe('NOMAD_ENDPOINT', 'host', 'address of the Nomad servers, where it is not that of the service nomad-server-external', /^[A-Za-z0-9.-]+$/, 'the host alone: nomad.internal.example.com; its port is 4647'),
  publicEndpoint: yes('NOMAD_PUBLIC_ENDPOINT', 'take an address that is reached from outside too'),
  nodes: count('number of clients; on Google Cloud the least', { otherwise: 4, env: 'NOMAD_NODES' }),
  maxNodes: count('the most clients that there may be', { otherwise: 5, env: 'NOMAD_MAX_NODES' }),
  blockedCidrs: orNone(ranges('networks that jobs must not reach: those of the nodes, never of machines for jobs', 'NOMAD_BLOCKED_CIDRS')),
  autoscaler: yes('NOMAD_AUTOSCALER', 'aws: the number of clients is to follow the builds: one is kept at least, and Terraform makes the identity of the Nomad autoscaler'),
  irsa: yes('NOMAD_IRSA', 'aws: with --autoscaler: that identity is a role of its account in the cluster (IRSA), in place of a user with a key; from 3.4 on'),
  cluster: named('CLUSTER_NAME', 'name', 'name of the cluster in EKS or GKE, whose network the clients get', 'circleci-server'),
  region: maybe('AWS_REGION', 'name', 'aws: region of the clients', /^[a-z]{2}(-[a-z]+)+-\d$/, 'a region: us-east-1'),
  profile: PROFILE,
  subnets: orNone(subnetsInput('aws: subnets of the clients, where they are not the private ones of the cluster', 'NOMAD_SUBNETS')),
  dnsServer: maybe('NOMAD_DNS_SERVER', 'address', 'aws: DNS server of the VPC, where it is not its third address', ADDRESS, 'an address: 192.168.0.2'),
  securityGroups: maybe('NOMAD_SECURITY_GROUPS', 'ids', 'aws: security groups in place of those of the module', /^sg-\w+(,sg-\w+)*$/, 'sg-0a1b2c'),
  instanceType: named('NOMAD_INSTANCE_TYPE', 'type', 'aws: type of the clients in EC2', 't3.2xlarge', /^[a-z][a-z0-9-]*\.[a-z0-9-]+$/, 'a type of EC2: t3.2xlarge'),
  volumeType: named('NOMAD_VOLUME_TYPE', 'type', 'aws: type of their volume', 'gp3', /^(gp2|gp3|io1|io2)$/, 'gp3, or gp2 where there is none'),
  sshKey: maybe('NOMAD_SSH_KEY', 'key', 'aws: public key for SSH to the clients; it opens port 22 to everybody', /^(ssh|ecdsa)-\S+ \S+/, 'a public key: ssh-ed25519 AAAA…'),
  instanceTags: orNone(tags('aws: tags of the clients, in place of vendor=circleci', 'NOMAD_INSTANCE_TAGS')),
  clientRole: maybe('NOMAD_CLIENT_ROLE', 'name', 'aws: role of the clients themselves, from 3.4 on'),
  project: maybe('CLOUDSDK_CORE_PROJECT', 'id', 'gcp: project of the clients'),
  zone: maybe('NOMAD_ZONE', 'name', 'gcp: zone of the clients', /^[a-z]+-[a-z]+\d+-[a-z]$/, 'a zone: europe-west1-b'),
  network: maybe('NOMAD_NETWORK', 'name', 'gcp: network, where it is not that of the cluster; in a shared VPC its whole address'),
  subnetwork: maybe('NOMAD_SUBNETWORK', 'name', 'gcp: subnetwork, where it is not that of the cluster'),
  machineType: named('NOMAD_MACHINE_TYPE', 'type', 'gcp: machine type of the clients', 'n2-standard-8', /^[a-z][a-z0-9-]+$/, 'a machine type: n2-standard-8'),
  diskType: named('NOMAD_DISK_TYPE', 'type', 'gcp: type of their disk', 'pd-ssd', /^(pd-standard|pd-ssd|pd-balanced|local-ssd)$/, 'pd-ssd, pd-balanced, pd-standard or local-ssd'),
  diskSize: count('gcp: size of their disk in GB', { otherwise: 300, env: 'NOMAD_DISK_SIZE' }),
  sshCidrs: { ...ranges('gcp: where people come from who rerun a job with SSH', 'NOMAD_SSH_CIDRS'), fallback: { value: ['0.0.0.0/0'] } },
  privateIp: yes('NOMAD_PRIVATE_IP', 'gcp: give the clients no public address; their subnetwork needs NAT then'),
  preemptible: yes('NOMAD_PREEMPTIBLE', 'gcp: cheaper machines that Google ends within a day, with the jobs on them'),
  autoscalingMode: named('NOMAD_AUTOSCALING_MODE', 'mode', 'gcp: ONLY_UP, OFF, or ON, which ends clients with jobs on them too', 'ONLY_UP', /^(ON|OFF|ONLY_UP)$/, 'ONLY_UP, ON or OFF'),
  targetCpu: named('NOMAD_TARGET_CPU', 'share', 'gcp: load at which more clients are made', '0.5', /^(0?\.\d+|1(\.0+)?)$/, 'a share: 0.5'),
  autoscalingSchedules: orNone(schedules('gcp: hours in which there are more clients at least, as JSON', 'NOMAD_AUTOSCALING_SCHEDULES')),
  noServerJoin: yes('NOMAD_NO_SERVER_JOIN', 'gcp: the clients do not look for the servers by themselves, and are not waited for'),
  autoscalerAccount: yes('NOMAD_AUTOSCALER_ACCOUNT', 'gcp: have Terraform make the account of the Nomad autoscaler, which nomad-autoscaler makes otherwise; its key lies in nomad-as-key.json then, where the line is run'),
  workloadIdentity: yes('NOMAD_WORKLOAD_IDENTITY', 'gcp: with --autoscaler-account: by Workload Identity, and without a key; from 3.4 on'),
  ...groupInputs(),
})

type Inputs = ReturnType<typeof clientInputs>
export type Given = { [K in keyof Inputs]: Inputs[K] extends { parse(text: string): infer T } ? T : never }

/** Throws where values, each fine by itself, do not go together. */
export const clientsGoTogether = ({ provider, region, project, zone, nodes, maxNodes, state, stateTable, autoscaler, irsa }: Given): void => {
  const usage = (what: string, next: string) => fail(what, next, { code: EXIT.usage })
  if (provider === 'aws' && !region) throw usage('Clients in AWS want a region.', 'Add --region us-east-1, or AWS_REGION in the env file.')
  if (provider === 'gcp' && !(project && zone)) throw usage('Clients in Google Cloud want a project and a zone.', 'Add --project my-project --zone europe-west1-b, or CLOUDSDK_CORE_PROJECT and NOMAD_ZONE in the env file.')
  if (maxNodes < nodes) throw usage(`--max-nodes ${maxNodes} is less than --nodes ${nodes}.`, `Write --max-nodes ${nodes} or more.`)
  if (irsa && !autoscaler) throw usage('--irsa is the identity of the autoscaler.', 'Add --autoscaler, or leave it out (NOMAD_IRSA in the env file).')
  if (stateTable && !state.startsWith('s3://')) throw usage('--state-table is for a state in S3.', 'Leave it out, or name the state with --state s3://BUCKET/KEY.')
  if (state.startsWith('s3://') && !region) throw usage('A state in S3 wants a region.', 'Add --region us-east-1, or AWS_REGION in the env file.')
}
