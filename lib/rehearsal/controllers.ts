/**
 * What acts by itself in the installation: the stateful set controller, the quota, and the volume resizer with the
 * kubelet. Each looks at the world and goes one step towards what it should be.
 */
import { install } from './bare.ts'
import { joinNodes } from './clusters.ts'
import { finishDeploy } from './deploys.ts'
import { runDeployment } from './execution.ts'
import { claimAndVolume, NAMESPACE, podStatus } from './installation.ts'
import { bytes, matches } from './quantity.ts'
import { reconcileBackups, runVelero } from './backups.ts'
import { settleBox } from './services-box.ts'
import { reconcileVelero, startVelero, validateLocation } from './velero.ts'
import { canon, change, create, digest, iso, keyOf, later, list, type Due, type KubeObject, type World } from './world.ts'

const PODS = 'pods', CLAIMS = 'persistentvolumeclaims', VOLUMES = 'persistentvolumes', SETS = 'statefulsets'
const STEP = 20_000
const SIX_HOURS = 6 * 3_600_000

/** Moves time to `until`, and lets everything happen that is due by then, in order. */
export const settle = (world: World, until: number): void => {
  for (;;) {
    const next = world.due.filter((due) => due.at <= until).sort((a, b) => a.at - b.at)[0]
    if (!next) break
    world.due.splice(world.due.indexOf(next), 1)
    world.time = Math.max(world.time, next.at)
    happen(world, next)
    reconcile(world)
  }
  world.time = Math.max(world.time, until)
}

/** Lets the controllers see what changed, until none of them has anything to do. */
export const reconcile = (world: World): void => {
  for (let round = 0, before = -1; before !== world.revision && round < 20; round += 1) {
    before = world.revision
    for (const set of list(world, SETS)) if (!set.metadata.deletionTimestamp) reconcileSet(world, set)
    for (const one of list(world, 'deployments', NAMESPACE)) reconcileDeployment(world, one)
    for (const claim of list(world, CLAIMS)) reconcileClaim(world, claim)
    for (const volume of list(world, VOLUMES)) reclaim(world, volume)
    for (const quota of list(world, 'resourcequotas')) reconcileQuota(world, quota)
    reconcileVelero(world)
    reconcileBackups(world)
  }
}

/** The garbage collector needs a moment to orphan what an object owns; until then the object is there, going. */
export const finishOrphan = (world: World, plural: string, { metadata }: KubeObject): void =>
  later(world, world.rules.orphanTakes ?? 1000, { do: 'orphan', name: keyOf(plural, metadata.name, metadata.namespace), uid: metadata.uid as string })

const orphan = (world: World, key: string, uid: string): void => {
  if (world.objects[key]?.metadata.uid !== uid) return
  delete world.objects[key]
  world.revision += 1
  for (const dependent of Object.values(world.objects)) {
    const others = dependent.metadata.ownerReferences?.filter((owner) => owner.uid !== uid)
    if (others?.length === dependent.metadata.ownerReferences?.length) continue
    change(world, dependent, () => {
      if (others?.length) dependent.metadata.ownerReferences = others
      else delete dependent.metadata.ownerReferences
    })
  }
}

const happen = (world: World, due: Due): void => {
  if (due.do === 'start-velero') return startVelero(world)
  if (due.do === 'validate-location') return validateLocation(world)
  if (due.do === 'install') return install(world, due.name)
  if (due.do === 'join-nodes') return joinNodes(world, due.name)
  if (due.do === 'run-velero') return runVelero(world, due.name)
  if (due.do === 'run-output') return runDeployment(world, due.name)
  if (due.do === 'settle-box') return settleBox(world)
  if (due.do === 'orphan') return orphan(world, due.name, due.uid as string)
  if (due.do === 'finish-deploy') return finishDeploy(world, due.sequence as number)
  const object = world.objects[keyOf(due.do === 'start-pod' ? PODS : CLAIMS, due.name, NAMESPACE)]
  if (!object || object.metadata.uid !== due.uid) return
  if (due.do === 'start-pod') startPod(world, object)
  if (due.do === 'grow-volume') growVolume(world, object)
  if (due.do === 'grow-files') growFiles(world, object)
}

// Stateful sets

export const revisionOf = (set: KubeObject): string => `${set.metadata.name}-${digest(canon(set.spec.template)).slice(0, 10)}`

const isReady = (pod: KubeObject): boolean =>
  (pod.status?.conditions ?? []).some((one: any) => one.type === 'Ready' && one.status === 'True')

const HASH = 'controller-revision-hash'

const reconcileSet = (world: World, set: KubeObject): void => {
  const { name, namespace, uid } = set.metadata as { name: string; namespace: string; uid: string }
  const revision = revisionOf(set)
  const own = (pod: KubeObject) => pod.metadata.ownerReferences?.some((owner) => owner.controller && owner.uid === uid)
  const mine = () => list(world, PODS, namespace).filter(own)
  for (const pod of list(world, PODS, namespace)) {
    const free = !pod.metadata.ownerReferences?.some((owner) => owner.controller)
    if (!free || !pod.metadata.name.startsWith(`${name}-`) || !matches(set.spec.selector.matchLabels, pod.metadata.labels)) continue
    change(world, pod, () => {
      pod.metadata.ownerReferences = [{ apiVersion: 'apps/v1', kind: 'StatefulSet', name, uid, controller: true, blockOwnerDeletion: true }]
    })
  }
  for (let n = 0; n < set.spec.replicas; n += 1) {
    if (!world.objects[keyOf(PODS, `${name}-${n}`, namespace)]) createPod(world, set, `${name}-${n}`, revision)
    if (!mine().every(isReady)) break
  }
  for (const pod of mine()) {
    if (Number(pod.metadata.name.slice(name.length + 1)) >= set.spec.replicas) delete world.objects[keyOf(PODS, pod.metadata.name, namespace)]
  }
  // One pod at a time, the last one first, and only while all the others are ready.
  const old = mine().filter((pod) => pod.metadata.labels?.[HASH] !== revision).at(-1)
  if (old && mine().every((pod) => pod === old || isReady(pod))) {
    delete world.objects[keyOf(PODS, old.metadata.name, namespace)]
    createPod(world, set, old.metadata.name, revision)
  }
  const pods = mine()
  const updated = pods.filter((pod) => pod.metadata.labels?.[HASH] === revision).length
  const allNew = updated === pods.length && pods.every(isReady)
  change(world, set, () => {
    set.status = {
      observedGeneration: set.metadata.generation ?? 1, replicas: pods.length, readyReplicas: pods.filter(isReady).length,
      currentReplicas: allNew ? updated : pods.length - updated, updatedReplicas: updated,
      currentRevision: allNew ? revision : (set.status?.currentRevision ?? revision), updateRevision: revision, collisionCount: 0,
    }
  })
}

/** A pod that somebody made by itself. */
export const startLater = (world: World, pod: KubeObject): void => later(world, STEP, { do: 'start-pod', name: pod.metadata.name, uid: pod.metadata.uid as string })

const createPod = (world: World, set: KubeObject, name: string, revision: string): void => {
  const { namespace = '', uid = '' } = set.metadata
  const volumes = (set.spec.volumeClaimTemplates ?? []).map((template: KubeObject) => {
    const claimName = `${template.metadata.name}-${name}`
    if (!world.objects[keyOf(CLAIMS, claimName, namespace)]) createClaim(world, claimName, template, set.spec.selector.matchLabels)
    return { name: template.metadata.name, persistentVolumeClaim: { claimName } }
  })
  const pod = create(world, PODS, {
    apiVersion: 'v1', kind: 'Pod',
    metadata: {
      name, namespace, ...set.spec.template.metadata.annotations && { annotations: { ...set.spec.template.metadata.annotations } },
      labels: { ...set.spec.template.metadata.labels, [HASH]: revision, 'statefulset.kubernetes.io/pod-name': name },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'StatefulSet', name: set.metadata.name, uid, controller: true, blockOwnerDeletion: true }],
    },
    spec: { ...structuredClone(set.spec.template.spec), volumes, nodeName: 'ip-10-0-2-17.ec2.internal' },
    status: { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'True' }] },
  })
  later(world, STEP, { do: 'start-pod', name, uid: pod.metadata.uid as string })
}

const createClaim = (world: World, name: string, template: KubeObject, labels: Record<string, string>): void => {
  const size = template.spec.resources.requests.storage
  const [claim, volume] = claimAndVolume(name, size, `vol-0${digest(name).slice(0, 16)}`, labels)
  create(world, CLAIMS, claim)
  if (!world.objects[keyOf(VOLUMES, volume.metadata.name)]) create(world, VOLUMES, volume)
  world.files[name] = { size: bytes(size), used: 40 * 2 ** 20 }
}

const startPod = (world: World, pod: KubeObject): void => {
  change(world, pod, () => {
    pod.status = podStatus(pod.spec.containers.map((one: any) => one.name), true)
  })
  // A volume is mounted again: what waited for that happens now.
  for (const volume of pod.spec.volumes ?? []) {
    const claim = world.objects[keyOf(CLAIMS, volume.persistentVolumeClaim?.claimName ?? '', NAMESPACE)]
    if (claim && !claim.spec.volumeName) bind(world, claim)
    if (claim && pendingFiles(claim)) growFiles(world, claim)
  }
}

/** The application's pods come and go a moment after their number was changed. */
const reconcileDeployment = (world: World, { metadata, spec, status }: KubeObject): void => {
  if (metadata.labels?.['layer'] === 'application' && status?.replicas !== undefined && status.replicas !== spec.replicas) later(world, STEP, { do: 'run-output', name: metadata.name })
}

// Volumes

/** A volume goes with its claim. */
const reclaim = (world: World, volume: KubeObject): void => {
  const { namespace, name } = volume.spec.claimRef ?? {}
  if (!name || world.objects[keyOf(CLAIMS, name, namespace)]) return
  delete world.objects[keyOf(VOLUMES, volume.metadata.name)]
  delete world.files[name]
  world.revision += 1
}

/** A claim that somebody made gets its volume once a pod wants it. */
const bind = (world: World, claim: KubeObject): void => {
  const { name, labels = {} } = claim.metadata, size = claim.spec.resources.requests.storage
  const [bound, volume] = claimAndVolume(name, size, `vol-0${digest(name).slice(0, 16)}`, labels)
  if (!world.objects[keyOf(VOLUMES, volume.metadata.name)]) create(world, VOLUMES, volume)
  change(world, claim, () => {
    claim.spec = { ...bound.spec, storageClassName: claim.spec.storageClassName ?? bound.spec.storageClassName }
    claim.status = bound.status
    claim.metadata.annotations = { ...claim.metadata.annotations, ...bound.metadata.annotations }
  })
  world.files[name] = { size: bytes(size), used: 40 * 2 ** 20 }
}

const pendingFiles = (claim: KubeObject): boolean =>
  (claim.status?.conditions ?? []).some((one: any) => one.type === 'FileSystemResizePending')

const volumeOf = (world: World, claim: KubeObject): KubeObject | undefined => world.objects[keyOf(VOLUMES, claim.spec.volumeName ?? '')]

const condition = (world: World, claim: KubeObject, type?: string, message?: string): void => {
  change(world, claim, () => {
    if (!type) delete claim.status.conditions
    else claim.status.conditions = [{ type, status: 'True', lastProbeTime: null, lastTransitionTime: iso(world.time), ...(message ? { message } : {}) }]
  })
}

const reconcileClaim = (world: World, claim: KubeObject): void => {
  const { name, uid = '' } = claim.metadata
  if (claim.status?.phase !== 'Bound' || pendingFiles(claim)) return
  if (bytes(claim.spec.resources.requests.storage) <= bytes(claim.status.capacity.storage)) return
  if (world.due.some((due) => due.do === 'grow-volume' && due.uid === uid)) return
  condition(world, claim, 'Resizing')
  later(world, STEP, { do: 'grow-volume', name, uid })
}

const growVolume = (world: World, claim: KubeObject): void => {
  const volume = volumeOf(world, claim)
  if (!volume) return
  const id = volume.spec.awsElasticBlockStore.volumeID as string
  const modified = world.modified[id]
  const { name, uid = '' } = claim.metadata
  if (modified !== undefined && world.time < modified + SIX_HOURS) {
    rateExceeded(world, claim, id)
    return later(world, Math.min(600_000, modified + SIX_HOURS - world.time), { do: 'grow-volume', name, uid })
  }
  world.modified[id] = world.time
  change(world, volume, () => {
    volume.spec.capacity.storage = claim.spec.resources.requests.storage
  })
  condition(world, claim, 'FileSystemResizePending',
    'Waiting for user to (re-)start a pod to finish file system resize of volume on node.')
  if (!world.rules.growFilesAtRestart) later(world, STEP, { do: 'grow-files', name, uid })
}

export const rateExceeded = (world: World, claim: KubeObject, volumeId: string): void =>
  report(world, claim, 'Warning', 'VolumeResizeFailed', 'volume_expand',
    `error expanding volume "${NAMESPACE}/${claim.metadata.name}" of plugin "kubernetes.io/aws-ebs": AWS modifyVolume failed for ${volumeId.split('/').at(-1)} `
    + "with VolumeModificationRateExceeded: You've reached the maximum modification rate per volume limit. "
    + 'Wait at least 6 hours between modifications per EBS volume.\n\tstatus code: 400, request id: 3bd43d1e-0420-4807-9c33-df26a4ca3f23')

const growFiles = (world: World, claim: KubeObject): void => {
  const volume = volumeOf(world, claim)
  const users = list(world, PODS, NAMESPACE).filter((pod) =>
    pod.status?.phase === 'Running' && pod.spec.volumes?.some((one: any) => one.persistentVolumeClaim?.claimName === claim.metadata.name))
  // Only the kubelet of a running pod can grow a file system; the start of one comes back to it.
  if (!volume || !users.length) return
  const size = volume.spec.capacity.storage
  world.files[claim.metadata.name] = { used: 0, ...world.files[claim.metadata.name], size: bytes(size) }
  condition(world, claim)
  change(world, claim, () => {
    claim.status.capacity.storage = size
  })
  report(world, claim, 'Normal', 'FileSystemResizeSuccessful', 'kubelet', `MountVolume.NodeExpandVolume succeeded for volume "${volume.metadata.name}"`)
}

/** Records an event, or counts it when it was seen before. */
const report = (world: World, about: KubeObject, type: string, reason: string, component: string, message: string): void => {
  const { name, namespace = '', uid = '' } = about.metadata
  const id = `${name}.${digest(`${uid}${reason}${message}`).slice(0, 16)}`
  const seen = world.objects[keyOf('events', id, namespace)]
  if (seen) {
    change(world, seen, () => {
      seen.count += 1
      seen.lastTimestamp = iso(world.time)
    })
    return
  }
  create(world, 'events', {
    apiVersion: 'v1', kind: 'Event', metadata: { name: id, namespace },
    involvedObject: { kind: about.kind, namespace, name, uid, apiVersion: about.apiVersion }, reason, message, type, count: 1,
    source: { component }, reportingComponent: component, reportingInstance: '',
    firstTimestamp: iso(world.time), lastTimestamp: iso(world.time), eventTime: null,
  })
}

const reconcileQuota = (world: World, quota: KubeObject): void => {
  const sum = list(world, CLAIMS, quota.metadata.namespace).reduce((total, claim) => total + bytes(claim.spec.resources.requests.storage), 0)
  change(world, quota, () => {
    quota.status = { hard: { ...quota.spec.hard }, used: { 'requests.storage': `${sum / 2 ** 30}Gi` } }
  })
}
