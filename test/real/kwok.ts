/**
 * KWOK as the kubelet of one node: pods go Running by themselves, and exec runs a command of this machine, with a
 * stand-in for `df` first on its PATH that prints the sizes of the played file systems.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { find } from './components.ts'
import { CONTAINER } from './containers.ts'
import type { KubeObject } from './request.ts'

export const NODE = 'node-1'

/** The namespaces that tests may use: KWOK learns of them when it starts. */
export const NAMESPACES = Array.from({ length: 200 }, (_, index) => `circleci-${index + 1}`)
/** Those that a test makes itself; until then nobody has them. */
export const NEW_NAMESPACES = Array.from({ length: 20 }, (_, index) => `circleci-new-${index + 1}`)
/** Those whose pods have containers: kubelet.ts is their kubelet, and KWOK only serves its exec. */
export const CONTAINER_NAMESPACES = Array.from({ length: 40 }, (_, index) => `circleci-containers-${index + 1}`)
const PODS = ['mongodb', 'postgresql', 'vault', 'redis', 'rabbitmq'].flatMap((set) => [0, 1, 2].map((ordinal) => `${set}-${ordinal}`)).concat('runbooks-vault')

/** One file system as `df -Pk` sees it; sizes in KiB. */
export interface FileSystem {
  device: string
  size: number
  used: number
}

/** Pod to mount path to file system. */
export type Disks = Record<string, Record<string, FileSystem>>

const disksFile = (folder: string, namespace: string): string => join(folder, 'disks', `${namespace}.json`)

export const readDisks = (folder: string, namespace: string): Disks => {
  try {
    return JSON.parse(readFileSync(disksFile(folder, namespace), 'utf8'))
  } catch {
    return {}
  }
}

export const writeDisks = (folder: string, namespace: string, disks: Disks): void => {
  const file = disksFile(folder, namespace)
  writeFileSync(`${file}.part`, JSON.stringify(disks, null, 2))
  renameSync(`${file}.part`, file)
}

// In a container; NAMESPACE and POD come from the exec rules below.
const DF = `#!${process.execPath}
const { readFileSync } = require('node:fs')
const [flags, ...paths] = process.argv.slice(2)
const die = (text) => { console.error('df: ' + text); process.exit(1) }
if (!['-Pk', '-kP'].includes(flags)) die('the stand-in knows only -Pk, not ' + flags)
let mounts = {}
try { mounts = JSON.parse(readFileSync(process.env.DISKS + '/' + process.env.NAMESPACE + '.json', 'utf8'))[process.env.POD] ?? {} } catch {}
const rows = [['Filesystem', '1024-blocks', 'Used', 'Available', 'Capacity', 'Mounted on']]
for (const path of paths.length ? paths : Object.keys(mounts)) {
  const disk = mounts[path] ?? die(path + ': No such file or directory')
  rows.push([disk.device, disk.size, disk.used, disk.size - disk.used, Math.ceil(100 * disk.used / disk.size) + '%', path])
}
const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => String(row[column]).length)))
for (const row of rows) {
  console.log(row.map((cell, column) => {
    const text = String(cell)
    return column === 5 ? text : column === 0 ? text.padEnd(widths[0]) : text.padStart(widths[column])
  }).join(' '))
}
`

/** In a container, too: the real curl, whose admin console is the stand-in of this namespace, and the commands of Nomad and MongoDB. */
const console = '$(cat "$CONSOLES/$NAMESPACE")'
const curl = (): string => `#!/usr/bin/env bash
url=${console}
exec ${find('curl') ?? 'curl'} "\${@/#http:\\/\\/localhost:3000/$url}"
`
const NOMAD = `#!/usr/bin/env bash
[[ "$*" == "node status" ]] || { echo "the stand-in knows only node status, not $*" >&2; exit 1; }
exec curl -sS "${console}/nomad/node/status"
`
const MONGO = `#!/usr/bin/env bash
[[ "$(cat)" == *circle_ghe*users.count* ]] || { echo "the stand-in knows only the number of users" >&2; exit 1; }
exec curl -sS "${console}/mongo/users"
`

/** A pod that has a container is entered; in any other the command is this machine's, after the stand-ins. */
const ENTER = `#!/bin/bash
name=\${0##*/} pod=$PODS/$NAMESPACE/$POD
export PATH=\${PATH#*:}
[[ ! -e $pod/pid ]] || exec ${CONTAINER} exec "$pod" "$name" "$@"
exec "$name" "$@"
`
const ENTERED = ['bash', 'sh', 'env', 'cat', 'ls', 'rm', 'mkdir', 'find', 'tar', 'df', 'psql', 'pg_dump', 'pg_dumpall', 'mongo', 'mongodump', 'mongorestore', 'vault']

/** The containers of a namespace's pods, each in a folder of the pod's name. */
export const podFolder = (folder: string, namespace: string): string => join(folder, 'pods', namespace)

/** Where the stand-in for KOTS of a namespace listens. */
export const consoleFile = (folder: string, namespace: string): string => join(folder, 'consoles', namespace)

/** What a kubelet would do, as stages of KWOK: the node is ready, pods run, and go when they are deleted. */
const stage = (name: string, kind: 'Node' | 'Pod', matchExpressions: object[], next: object) => ({
  apiVersion: 'kwok.x-k8s.io/v1alpha1',
  kind: 'Stage',
  metadata: { name },
  spec: { resourceRef: { apiGroup: 'v1', kind }, selector: { matchExpressions }, next },
})

const condition = (type: string) => `{type: ${type}, status: "True", lastTransitionTime: {{ Now | Quote }}}`
const deleted = (operator: 'Exists' | 'DoesNotExist') => ({ key: '.metadata.deletionTimestamp', operator })
const ours = { key: '.metadata.namespace', operator: 'NotIn', values: CONTAINER_NAMESPACES }

const STAGES = [
  stage(
    'node-ready',
    'Node',
    [{ key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: 'NotIn', values: ['True'] }],
    {
      statusTemplate: `
addresses: [{type: InternalIP, address: {{ NodeIP | Quote }}}, {type: Hostname, address: {{ NodeName | Quote }}}]
daemonEndpoints: {kubeletEndpoint: {Port: {{ NodePort }}}}
allocatable: {cpu: "16", memory: 64Gi, pods: "10000"}
capacity: {cpu: "16", memory: 64Gi, pods: "10000"}
conditions: [${condition('Ready')}]
`,
    },
  ),
  stage('pod-runs', 'Pod', [ours, deleted('DoesNotExist'), { key: '.status.phase', operator: 'In', values: ['Pending'] }], {
    statusTemplate: `
phase: Running
startTime: {{ Now | Quote }}
hostIP: 127.0.0.1
podIP: {{ PodIPWith .spec.nodeName false ( or .metadata.uid "" ) ( or .metadata.name "" ) ( or .metadata.namespace "" ) | Quote }}
conditions: [${['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map(condition).join(', ')}]
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  ready: true
  started: true
  restartCount: 0
  state: {running: {startedAt: {{ Now | Quote }}}}
{{ end }}
`,
  }),
  stage('pod-goes', 'Pod', [ours, deleted('Exists')], { delete: true }),
]

/** Writes KWOK's configuration and the stand-in commands; returns the environment that KWOK is to run in. */
export const configureKwok = (folder: string): Record<string, string> => {
  const bin = join(folder, 'container-bin')
  const entered = join(folder, 'entered-bin')
  const disks = join(folder, 'disks')
  mkdirSync(bin)
  mkdirSync(entered)
  mkdirSync(disks)
  mkdirSync(join(folder, 'consoles'))
  const commands = [['df', DF], ['curl', curl()], ['nomad', NOMAD], ['mongo', MONGO]] as const
  for (const [name, text] of commands) writeFileSync(join(bin, name), text, { mode: 0o755 })
  for (const name of ENTERED) writeFileSync(join(entered, name), ENTER, { mode: 0o755 })
  writeFileSync(join(folder, 'container.log'), '')

  const api = 'kwok.x-k8s.io/v1alpha1'
  const exec = (name: string, selector: object | undefined, envs: { name: string; value: string }[]) => ({
    apiVersion: api,
    kind: 'ClusterExec',
    metadata: { name },
    spec: { ...(selector && { selector }), execs: [{ local: { envs } }] },
  })
  const rules: object[] = [...STAGES]
  const ofPods = [...NAMESPACES, ...CONTAINER_NAMESPACES].flatMap((namespace) =>
    PODS.map((pod) =>
      exec(`${namespace}-${pod}`, { matchNamespaces: [namespace], matchNames: [pod] }, [
        { name: 'NAMESPACE', value: namespace },
        { name: 'POD', value: pod },
      ]),
    ),
  )
  const ofNamespaces = [...NAMESPACES, ...NEW_NAMESPACES, ...CONTAINER_NAMESPACES].map((namespace) =>
    exec(namespace, { matchNamespaces: [namespace] }, [{ name: 'NAMESPACE', value: namespace }, { name: 'POD', value: 'any' }]))
  rules.push(...ofPods, ...ofNamespaces, exec('any', undefined, [{ name: 'POD', value: 'any' }]))
  rules.push({
    apiVersion: api,
    kind: 'ClusterLogs',
    metadata: { name: 'any' },
    spec: { logs: [{ logsFile: join(folder, 'container.log') }] },
  })
  // JSON is YAML.
  writeFileSync(join(folder, 'kwok.yaml'), rules.map((rule) => JSON.stringify(rule)).join('\n---\n'))
  return { PATH: [entered, bin, process.env.PATH].join(delimiter), DISKS: disks, CONSOLES: join(folder, 'consoles'), PODS: join(folder, 'pods') }
}

export const node = (): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: {
    name: NODE,
    labels: { 'kubernetes.io/hostname': NODE, 'kubernetes.io/os': 'linux', 'topology.kubernetes.io/zone': 'us-east-1a' },
    annotations: { 'node.alpha.kubernetes.io/ttl': '0' },
  },
})
