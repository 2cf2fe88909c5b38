/**
 * Stand-ins for what a cloud does to the claims of one namespace: the volume grows (the resizer), then the file
 * system on it (the kubelet). What they see and leave behind is on the real API server; only `df` is a file.
 */
import { pause } from '../../lib/clock.ts'
import { bytes, quantityOf } from '../../lib/cluster/quantity.ts'
import type { Cluster } from './cluster.ts'
import type { FileSystem } from './kwok.ts'
import { NODE, readDisks, writeDisks } from './kwok.ts'
import { good } from './request.ts'

export interface Resizer {
  /** Milliseconds from one stage of a resize to the next. */
  delay: number
  /** The cloud refuses to modify volumes: a Warning event for each try, until this is false again. */
  rateExceeded: boolean
  /** The file system grows only when the claim is mounted again, by a new pod. */
  untilRestart: boolean
  /** Nobody looks at the claims. */
  paused: boolean
  stop(): Promise<void>
}

/** What ext4 leaves of a volume, in KiB. */
export const fileSystemOf = (size: bigint): number => Math.floor(Number(size / 1024n) * 0.9765)

const RATE_EXCEEDED =
  "VolumeModificationRateExceeded: You've reached the maximum modification rate per volume limit. " +
  'Wait at least 6 hours between modifications per EBS volume.'

/** The pod that mounts a claim, and where. */
const mountOf = (pods: any[], claim: string): { pod: any; path: string } | undefined => {
  for (const pod of pods) {
    const volume = pod.spec.volumes?.find((one: any) => one.persistentVolumeClaim?.claimName === claim)
    if (!volume || pod.metadata.deletionTimestamp || pod.status?.phase !== 'Running') continue
    for (const container of pod.spec.containers) {
      const mount = container.volumeMounts?.find((one: any) => one.name === volume.name)
      if (mount) return { pod, path: mount.mountPath }
    }
  }
  return undefined
}

export const resizer = (cluster: Cluster, namespace: string): Resizer => {
  const { request, folder } = cluster
  const over = new AbortController()
  const busy = new Map<string, Promise<void>>()
  const seenBy = new Map<string, string>()
  const events = new Map<string, number>()
  const core = `/api/v1/namespaces/${namespace}`
  const list = async (what: string): Promise<any[]> => (await good(request('GET', `${core}/${what}`))).items

  const event = async (about: any, type: string, reason: string, message: string, component: string): Promise<void> => {
    const name = `${about.metadata.name}.${reason.toLowerCase()}.${about.metadata.uid.slice(0, 8)}`
    const count = (events.get(name) ?? 0) + 1
    events.set(name, count)
    const lastTimestamp = new Date().toISOString().replace(/\.\d+/, '')
    if (count > 1) {
      await good(request('PATCH', `${core}/events/${name}`, { body: { count, lastTimestamp, message } }))
      return
    }
    const { kind, apiVersion, metadata } = about
    const involvedObject = { kind, apiVersion, namespace, name: metadata.name, uid: metadata.uid }
    const source = component === 'kubelet' ? { component, host: NODE } : { component }
    const when = { firstTimestamp: lastTimestamp, lastTimestamp, count }
    const body = { metadata: { name, namespace }, involvedObject, type, reason, message, source, ...when }
    await good(request('POST', `${core}/events`, { body }))
  }

  const setStatus = (claim: any, status: object) =>
    good(request('PATCH', `${core}/persistentvolumeclaims/${claim.metadata.name}/status`, { body: { status } }))

  const condition = (type: string, message?: string) => ({
    conditions: [{ type, status: 'True', lastProbeTime: null, lastTransitionTime: new Date().toISOString(), ...(message && { message }) }],
  })

  /** As far as it goes; the next round begins where this one ended. */
  const grow = async (claim: any, self: Resizer): Promise<void> => {
    const wanted = bytes(claim.spec.resources.requests.storage)
    const about = { ...claim, kind: 'PersistentVolumeClaim', apiVersion: 'v1' }
    const volumePath = `/api/v1/persistentvolumes/${claim.spec.volumeName}`
    const volume = await good(request('GET', volumePath))
    const storageClass = await request('GET', `/apis/storage.k8s.io/v1/storageclasses/${claim.spec.storageClassName}`)
    if (!storageClass.body?.allowVolumeExpansion) return

    if (bytes(volume.spec.capacity.storage) < wanted) {
      await setStatus(claim, condition('Resizing'))
      if (self.rateExceeded) {
        const id = volume.spec.awsElasticBlockStore?.volumeID?.split('/').pop() ?? volume.metadata.name
        const message =
          `error expanding volume "${namespace}/${claim.metadata.name}" of plugin "kubernetes.io/aws-ebs": ` +
          `AWS modifyVolume failed for ${id} with ${RATE_EXCEEDED}\n\tstatus code: 400, request id: 00000000-0000-0000-0000-000000000000`
        await event(about, 'Warning', 'VolumeResizeFailed', message, 'volume_expand')
        await pause(Math.max(self.delay, 500), over.signal)
        return
      }
      await pause(self.delay, over.signal)
      if (over.signal.aborted) return
      await good(request('PATCH', volumePath, { body: { spec: { capacity: { storage: quantityOf(wanted) } } } }))
    }
    if (!claim.status.conditions?.some((one: any) => one.type === 'FileSystemResizePending')) {
      const message = 'Waiting for user to (re-)start a pod to finish file system resize of volume on node.'
      const mount = mountOf(await list('pods'), claim.metadata.name)
      if (mount) seenBy.set(claim.metadata.uid, mount.pod.metadata.uid)
      await setStatus(claim, condition('FileSystemResizePending', message))
    }
    await pause(self.delay, over.signal)
    if (over.signal.aborted) return
    const mount = mountOf(await list('pods'), claim.metadata.name)
    if (!mount || (self.untilRestart && seenBy.get(claim.metadata.uid) === mount.pod.metadata.uid)) return

    const disks = readDisks(folder, namespace)
    const disk = disks[mount.pod.metadata.name]?.[mount.path]
    if (disk) disk.size = fileSystemOf(wanted)
    writeDisks(folder, namespace, disks)
    await setStatus(claim, { capacity: { storage: quantityOf(wanted) }, conditions: null })
    const message = `MountVolume.NodeExpandVolume succeeded for volume "${claim.spec.volumeName}"`
    await event(about, 'Normal', 'FileSystemResizeSuccessful', message, 'kubelet')
    await event({ ...mount.pod, kind: 'Pod', apiVersion: 'v1' }, 'Normal', 'FileSystemResizeSuccessful', message, 'kubelet')
  }

  const work = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const claims = self.paused ? [] : await list('persistentvolumeclaims').catch(() => [])
      for (const claim of claims) {
        const { name } = claim.metadata
        const grows =
          claim.status?.phase === 'Bound' && bytes(claim.spec.resources.requests.storage) > bytes(claim.status.capacity?.storage)
        if (!grows || busy.has(name)) continue
        // A conflict or a deleted claim: the next round sees what there is then.
        busy.set(name, grow(claim, self).catch(() => {}).finally(() => busy.delete(name)))
      }
      await pause(100, over.signal)
    }
    await Promise.all(busy.values())
  }

  const self: Resizer = {
    delay: 300,
    rateExceeded: false,
    untilRestart: false,
    paused: false,
    stop: async () => {
      over.abort()
      await working
    },
  }
  const working = work()
  return self
}

/** The file systems of all claims that are mounted now, of the size of their volumes; bytes in use by claim. */
export const mountAll = async (cluster: Cluster, namespace: string, used: Record<string, number> = {}): Promise<void> => {
  const core = `/api/v1/namespaces/${namespace}`
  const { items: pods } = await good(cluster.request('GET', `${core}/pods`))
  const { items: claims } = await good(cluster.request('GET', `${core}/persistentvolumeclaims`))
  const disks: Record<string, Record<string, FileSystem>> = {}
  let device = 1
  for (const claim of claims) {
    const mount = mountOf(pods, claim.metadata.name)
    if (!mount) continue
    const size = fileSystemOf(bytes(claim.status.capacity.storage))
    const disk = { device: `/dev/nvme${device++}n1`, size, used: Math.floor((used[claim.metadata.name] ?? 400 * 2 ** 20) / 1024) }
    disks[mount.pod.metadata.name] = { ...disks[mount.pod.metadata.name], [mount.path]: disk }
  }
  writeDisks(cluster.folder, namespace, disks)
}
