/**
 * The kubelet of the namespaces whose pods have containers: each pod that mounts a claim runs in a container of its own,
 * with the claim's folder where the pod has it, and the real server of its image; `kubectl exec` enters it. Pods without
 * a claim run on paper alone.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { pause } from '../../lib/clock.ts'
import { quote } from '../../lib/shell.ts'
import type { Cluster } from './cluster.ts'
import type { ComponentName } from './components.ts'
import { find } from './components.ts'
import { CONTAINER, containerPath, SERVE } from './containers.ts'
import { podFolder } from './kwok.ts'
import { processes, until } from './processes.ts'
import { good } from './request.ts'

export interface Kubelet {
  /** Runs the words in a pod as `kubectl exec` does, and gives what they print. */
  enter(pod: string, words: string[]): Promise<string>
  stop(): Promise<void>
}

/** By the image: what it starts, where it listens, and what its own environment has. Where its server is not to be had, it sleeps. */
const IMAGES: [RegExp, { needs: ComponentName; serve: string[]; port: number; env?: Record<string, string> }][] = [
  [/\/postgresql:/, { needs: 'postgres', serve: [SERVE, 'postgresql', '/bitnami/postgresql/data'], port: 5432 }],
  [/\/mongodb:/, { needs: 'ferretdb', serve: [SERVE, 'mongodb', '/bitnami/mongodb/data'], port: 27017 }],
  [/^vault:/, { needs: 'vault', serve: [SERVE, 'vault', '/vault/file'], port: 8200, env: { VAULT_ADDR: 'http://127.0.0.1:8200' } }],
]

const run = promisify(execFile)

export const kubelet = (cluster: Cluster, namespace: string): Kubelet => {
  const { request } = cluster
  const core = `/api/v1/namespaces/${namespace}`
  const root = podFolder(cluster.folder, namespace)
  mkdirSync(root, { recursive: true })
  const children = processes(root)
  const over = new AbortController()
  const busy = new Map<string, Promise<void>>()
  const folderOf = (name: string) => join(root, name)
  const end = (name: string) => run(CONTAINER, ['stop', folderOf(name)])

  const envOf = async (container: any): Promise<Record<string, string>> => {
    const env: Record<string, string> = {}
    for (const { name, value, valueFrom } of container.env ?? []) {
      const from = valueFrom?.secretKeyRef
      const data = from && (await good(request('GET', `${core}/secrets/${from.name}`))).data
      env[name] = from ? Buffer.from(data[from.key], 'base64').toString() : value ?? ''
    }
    return env
  }

  /** The folder of each mount: a claim's is its volume's, an empty one is the pod's own. */
  const mountsOf = async ({ metadata, spec }: any): Promise<[folder: string, path: string][]> => {
    const all = new Map<string, string>()
    for (const { name, persistentVolumeClaim: claim, emptyDir } of spec.volumes ?? []) {
      const folder = claim ? join(cluster.folder, 'volumes', (await good(request('GET', `${core}/persistentvolumeclaims/${claim.claimName}`))).spec.volumeName)
        : emptyDir && join(cluster.folder, 'volumes', metadata.uid, name)
      if (!folder) continue
      for (const mount of spec.containers.flatMap((one: any) => one.volumeMounts ?? [])) if (mount.name === name) all.set(mount.mountPath, folder)
    }
    return [...all].map(([path, folder]) => [folder, path])
  }

  const start = async (pod: any): Promise<void> => {
    const { metadata: { name, uid }, spec: { containers } } = pod
    if (pod.spec.volumes?.some((one: any) => one.persistentVolumeClaim)) {
      const folder = folderOf(name)
      rmSync(folder, { recursive: true, force: true })
      mkdirSync(folder)
      const image = IMAGES.find(([pattern, { needs }]) => pattern.test(containers[0].image) && find(needs))?.[1]
      const env = { PATH: containerPath(), HOME: '/run', ...image?.env, ...await envOf(containers[0]) }
      writeFileSync(join(folder, 'mounts'), (await mountsOf(pod)).map((pair) => `${pair.join(' ')}\n`).join(''))
      writeFileSync(join(folder, 'env'), Object.entries(env).map(([key, value]) => `${key}=${quote(value)}\n`).join(''), { mode: 0o600 })
      children.start(name, CONTAINER, ['run', folder, ...(image?.serve ?? ['sleep', 'infinity'])])
      await until(`the container of ${name}`, async () => existsSync(join(folder, 'pid')))
      if (image) await until(`the server of ${name}`, async () => (await run(CONTAINER, ['exec', folder, 'bash', '-c', `true </dev/tcp/127.0.0.1/${image.port}`]), true), { within: 60_000 })
    }
    const status = {
      phase: 'Running', startTime: new Date().toISOString(), hostIP: '127.0.0.1', podIP: '10.0.0.1',
      conditions: ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => ({ type, status: 'True', lastTransitionTime: new Date().toISOString() })),
      containerStatuses: containers.map((one: any) => ({
        name: one.name, image: one.image, imageID: one.image, containerID: `test://${uid}`, ready: true, started: true, restartCount: 0, state: { running: { startedAt: new Date().toISOString() } },
      })),
    }
    await good(request('PATCH', `${core}/pods/${name}/status`, { body: { metadata: { uid }, status } }))
  }

  const remove = async ({ metadata: { name, uid } }: any): Promise<void> => {
    await end(name)
    const body = { kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: 0, preconditions: { uid } }
    await request('DELETE', `${core}/pods/${name}`, { body })
  }

  const work = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const pods = await good(request('GET', `${core}/pods`)).then(({ items }) => items as any[], () => undefined)
      for (const pod of pods ?? []) {
        const { name, deletionTimestamp } = pod.metadata
        const next = deletionTimestamp ? remove : pod.spec.nodeName && pod.status.phase === 'Pending' ? start : undefined
        if (!next || busy.has(name)) continue
        // What fails is tried again: the pod may have gone meanwhile.
        busy.set(name, next(pod).catch(() => {}).finally(() => busy.delete(name)))
      }
      await pause(100, over.signal)
    }
    await Promise.all(busy.values())
  }
  const working = work()

  return {
    enter: async (pod, words) => (await run(CONTAINER, ['exec', folderOf(pod), ...words], { maxBuffer: 2 ** 26 })).stdout,
    stop: async () => {
      over.abort()
      await working
      await children.stop()
    },
  }
}
