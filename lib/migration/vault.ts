/**
 * Vault's volume made anew and filled while Vault is down, by a pod of its own image, and Vault opened again with the keys
 * that come with the data. Installation guide 3.3.0, "Migration": its script makes the volume with 8Gi of the default
 * class, whatever it was.
 */
import type { V1PersistentVolumeClaim } from '@kubernetes/client-node'
import type { Check, Done, Effect } from '../effect.ts'
import { clock } from '../clock.ts'
import { lookAgain } from '../door.ts'
import { done, minutes } from '../effect.ts'
import { fail } from '../fail.ts'
import { create, remove, scale } from '../cluster/changes.ts'
import { allReady, prints } from '../cluster/checks.ts'
import { isGoing, kubectl, nameOf, read, ref } from '../cluster/objects.ts'
import { line } from '../shell.ts'
import { readTool, runTool } from '../tools.ts'
import type { Box } from './box.ts'
import { notes } from './held.ts'
import { arrived } from './stores.ts'

const SET = ref('StatefulSet', 'vault'), POD = ref('Pod', 'vault-0'), CLAIM = ref('PersistentVolumeClaim', 'data-vault-0'), HELPER = ref('Pod', 'runbooks-vault')
const MADE = 'circleci-runbooks/made-for-migration'

/** What the world forgets with the claim. */
export const claimNotes = async (): Promise<Record<string, string>> => {
  const claim = await read(CLAIM)
  const size = claim?.spec?.resources?.requests?.['storage']
  return !claim || isMade(claim) || !size ? {} : { 'vault.size': size, ...(claim.spec?.storageClassName ? { 'vault.class': claim.spec.storageClassName } : {}) }
}

const isMade = (claim: V1PersistentVolumeClaim | undefined): boolean => claim?.metadata?.annotations?.[MADE] !== undefined

/** Once the data has come, nothing of what leads there is wanted any more. */
const unlessArrived = (box: Box, todo: () => Promise<Done | Effect[]>) => async (): Promise<Done | Effect[]> => {
  const why = await arrived(box, 'vault')
  return why ? done(why) : todo()
}

const isThere = async (): Promise<boolean> => (await read(POD)) !== undefined

/** Vault is down. */
export const haveVaultDown = (box: Box) => unlessArrived(box, async () => {
  const set = await read(SET)
  if (!set) throw fail('There is no stateful set vault.', 'Deploy again in KOTS; then repeat the same line. Where Vault is outside of the cluster: --skip-vault.')
  if (set.spec?.replicas !== 0) return [scale(SET, 0)]
  return await isThere() ? [] : done('Vault is down')
})

const podIsGone = (pod: typeof POD, say: string): Check => ({
  say: `${say} is gone`, within: minutes(5), prints: '',
  command: { words: kubectl(['get', ...nameOf(pod).split('/'), '--ignore-not-found', '-o', 'name'], 'Pod') }, holds: async () => await read(pod) === undefined || 'it is going',
})
export const vaultIsGone = (): Check => podIsGone(POD, 'Vault\'s pod')

/** The claim of before is gone; its size and its class are in the notes. */
export const haveClaimAway = (box: Box) => unlessArrived(box, async () => {
  const claim = await read(CLAIM)
  if (!claim || isMade(claim)) return done(claim ? 'its volume is a new one' : 'its claim is gone')
  if (isGoing(claim)) return []
  return [{ ...remove(CLAIM, claim.metadata?.uid, { danger: 'all that Vault of 3.x holds, the contexts among it, is gone with its volume' }), final: 'Data is lost' }]
})

export const claimIsGone = (): Check => ({
  say: 'the claim is gone', within: minutes(5), prints: '',
  command: { words: kubectl(['get', ...nameOf(CLAIM).split('/'), '--ignore-not-found', '-o', `go-template={{if not (index (or .metadata.annotations (dict)) "${MADE}")}}{{.metadata.name}}{{end}}`], 'PersistentVolumeClaim') },
  holds: async () => {
    const claim = await read(CLAIM)
    return !claim || isMade(claim) || 'it is going'
  },
})

/** A new claim, as large and of the same class as the one before. */
export const haveClaim = (box: Box) => unlessArrived(box, async () => {
  if (isMade(await read(CLAIM))) return done('its volume is a new one')
  const [kept, set, live] = [await notes(), await read(SET), await claimNotes()]
  const template = set?.spec?.volumeClaimTemplates?.find(({ metadata }) => metadata?.name === 'data')
  const size = live['vault.size'] ?? kept['vault.size'] ?? template?.spec?.resources?.requests?.['storage'], storageClassName = live['vault.class'] ?? kept['vault.class'] ?? template?.spec?.storageClassName
  const body = {
    apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: CLAIM.name, labels: set?.spec?.selector.matchLabels, annotations: { [MADE]: 'yes' } },
    spec: { accessModes: template?.spec?.accessModes ?? ['ReadWriteOnce'], resources: { requests: { storage: size } }, ...(storageClassName ? { storageClassName } : {}) },
  }
  return [create('PersistentVolumeClaim', body, `a claim of ${size}`)]
})

/** A pod that has the volume while Vault has not. Its image is Vault's own, which the nodes have. */
export const haveHelper = (box: Box) => unlessArrived(box, async () => {
  const pod = await read(HELPER)
  const ended = pod && !isGoing(pod) && ['Failed', 'Succeeded'].includes(pod.status?.phase ?? '')
  if (pod && !ended) return isGoing(pod) || pod.status?.phase !== 'Running' ? [] : done('the pod that fills the volume runs')
  // Whatever lets Vault's pod start on its nodes lets this one.
  const { containers = [], imagePullSecrets, serviceAccountName, nodeSelector, tolerations, securityContext } = (await read(SET))?.spec?.template.spec ?? {}
  const container = containers.find(({ name }) => name === 'vault')
  const body = {
    apiVersion: 'v1', kind: 'Pod', metadata: { name: HELPER.name, labels: { 'circleci-runbooks': 'migration' } },
    spec: {
      ...JSON.parse(JSON.stringify({ imagePullSecrets, serviceAccountName, nodeSelector, tolerations, securityContext })) as object, restartPolicy: 'Never', volumes: [{ name: 'data', persistentVolumeClaim: { claimName: CLAIM.name } }],
      containers: [{ name: 'vault', image: container?.image ?? 'vault:1.1.2', command: ['sh', '-c', 'trap exit TERM; sleep 864000 & wait'], volumeMounts: [{ name: 'data', mountPath: '/vault/file' }], ...(container?.securityContext ? { securityContext: container.securityContext } : {}) }],
    },
  }
  return [{
    ...(ended ? replaced(body, pod.metadata?.uid) : create('Pod', body, 'a pod with the volume')), unfit: async () => (await isThere() ? fail('Vault runs, and has its volume.', 'Repeat the same line: it scales Vault down first.') : undefined),
  }]
})

/** A pod that has ended, of an eviction or of its age, gives way to a new one. */
const replaced = (body: { metadata: { name: string } }, uid: string | undefined): Effect => {
  const { command, ...made } = create('Pod', body, 'a pod with the volume')
  return {
    ...made, id: `replace ${nameOf(HELPER)}`, command: { ...command, words: kubectl(['replace', '--force', '-f', '-'], 'Pod') },
    call: async () => {
      await remove(HELPER, uid).call()
      for (let n = 0; n < 60 && (lookAgain(), await read(HELPER))?.metadata?.uid === uid; n++) await clock.sleep(1000)
      await made.call()
    },
  }
}

export const helperRuns = (): Check => ({
  ...prints(HELPER, 'jsonpath={.status.phase}', 'Running', ({ status }) => status?.phase, minutes(5)),
  hint: async () => `See what keeps it: ${line(kubectl(['describe', 'pod', HELPER.name], 'Pod'))}; then repeat the same line.`,
})

/** The pod that filled the volume is gone. */
export const haveHelperAway = (box: Box) => async (): Promise<Done | Effect[]> => {
  const pod = await read(HELPER)
  if (!pod && (await arrived(box, 'vault') || !await isThere())) return done('it is gone')
  return pod && isGoing(pod) ? [] : [remove(HELPER, undefined)]
}

export const helperIsGone = (): Check => podIsGone(HELPER, 'the pod that filled the volume')

export const haveVaultUp = (box: Box) => async (): Promise<Done | Effect[]> => {
  const set = await read(SET)
  // As long as its data has not come it is to go down, and to come up again.
  if (set?.spec?.replicas === 0 || await isThere() && !await arrived(box, 'vault')) return [scale(SET, 1)]
  return set?.status?.readyReplicas ? done('Vault runs') : []
}

export const vaultRuns = (): Check => allReady(SET, minutes(10))

const inVault = (script: string): string[] => kubectl(['exec', POD.name, '-c', 'vault', '--', 'sh', '-c', script], 'Pod')
const INIT = '/vault/file/vault-init-out', TOKEN = '/vault/__restricted/client-token'
/** It is unsealed, and knows the token that the other services get. */
const OPEN = `vault status >/dev/null 2>&1 && VAULT_TOKEN=$(cat ${TOKEN}) vault token lookup >/dev/null 2>&1 && echo open || echo closed`
/** The keys came with the data, and stay in the pod: no process has one as an argument. */
const UNSEAL = [
  'set -e', `head -n 3 ${INIT} | while read -r row; do printf %s "\${row##* }" | vault write sys/unseal key=- >/dev/null; done`,
  `export VAULT_TOKEN=$(sed -n 's/.*Root.*: *//p' ${INIT})`, 'vault token create -period=768h > /vault/file/client-token.part', 'mv /vault/file/client-token.part /vault/file/client-token',
  `mkdir -p ${TOKEN.replace(/\/[^/]*$/, '')}`, `awk '$1 == "token" { printf "%s", $2 }' /vault/file/client-token > ${TOKEN}`,
].join('; ')

const isOpen = async (): Promise<boolean> => (await readTool(inVault(OPEN))).stdout.trim() === 'open'

/** Vault is unsealed, and has a token for the services that lasts. */
export const haveVaultOpen = (box: Box) => async (): Promise<Done | Effect[]> => {
  if (await isThere() && await arrived(box, 'vault') && await isOpen()) return done('Vault is unsealed, and its token holds')
  return [{
    id: 'unseal vault', again: 'safe', command: { words: inVault(UNSEAL) },
    call: () => runTool(inVault(UNSEAL), `See how Vault stands: ${line(inVault('vault status'))}. Its keys are in ${INIT}.`, minutes(5)),
  }]
}

export const vaultIsOpen = (): Check => ({
  say: 'Vault is unsealed, and its token holds', within: minutes(5), prints: 'open', command: { words: inVault(OPEN) }, holds: async () => await isOpen() || 'it is sealed',
})
