/**
 * Scenarios of stores other than AWS: a bucket that is shared, a region that is another one, rights that are missing.
 */
import { gcpWorld } from './gcp.ts'
import { veleroPolicy } from '../cloud/policies.ts'
import { madeSecret, STORE, storeWorld } from './mc.ts'
import { installVelero, startVelero, validateLocation } from './velero.ts'
import type { World } from './world.ts'

const BUCKET = 'my-backups'

/** Nodes of GKE that give their pods the identity of their account. */
export const withWorkloadIdentity = ({ objects }: World): void => {
  for (const node of Object.values(objects).filter(({ kind }) => kind === 'Node')) {
    node.metadata.labels = { ...node.metadata.labels, 'iam.gke.io/gke-metadata-server-enabled': 'true' }
    node['spec'] = { ...node['spec'], providerID: `gce://my-project/us-east1-b/${node.metadata.name}` }
  }
}

/** `without` brings a world without Velero. */
export const storeScenarios = (without: (world: World) => void): Record<string, { about: string; apply(world: World): void }> => ({
  'bucket-shared': {
    about: `the bucket ${BUCKET} holds other things than backups, on MinIO and on Google Cloud`,
    apply: (world) => {
      without(world)
      world.store = { ...storeWorld(), buckets: { [BUCKET]: ['artifacts/', 'backups/'] } }
      const gcp = gcpWorld()
      world.gcp = { ...gcp, buckets: { [BUCKET]: { number: gcp.number, location: 'US', closed: true, top: ['artifacts/', 'backups/'], bindings: [] } } }
    },
  },
  'store-region': {
    about: 'the S3-compatible store was given the region eu-central-1',
    apply: (world) => {
      without(world)
      world.store = { ...storeWorld(), region: 'eu-central-1' }
    },
  },
  'policy-missing': {
    about: `Velero keeps backups in ${BUCKET} on MinIO, and somebody took its rights away`,
    apply: (world) => {
      without(world)
      const secret = madeSecret(40)
      world.store = { ...storeWorld(), buckets: { [BUCKET]: ['backups/'] }, users: { velero: { secret, policies: [] } } }
      installVelero(world, {
        provider: 'aws', plugin: 'velero/velero-plugin-for-aws:v1.5.0', image: 'velero/velero:v1.9.0', bucket: BUCKET,
        location: { region: 'minio', s3ForcePathStyle: 'true', s3Url: STORE.url },
        credentials: `[default]\naws_access_key_id=velero\naws_secret_access_key=${secret}\n`, agents: true,
      })
      startVelero(world)
      validateLocation(world)
    },
  },
  'no-google-keys': {
    about: 'the organisation lets nobody make keys of service accounts in Google Cloud',
    apply: (world) => {
      without(world)
      world.gcp = { ...gcpWorld(), noKeys: true }
    },
  },
  'second-policy': {
    about: 'the user circleci-server of AWS has a policy of its own, which leaves too little room for another one',
    apply: (world) => {
      without(world)
      world.aws.users['circleci-server'] = { tags: [], keys: [], created: '2022-11-01T00:00:00Z', policies: { legacy: JSON.stringify(veleroPolicy('old-artifacts', 'us-east-1')) } }
    },
  },
  gke: {
    about: 'a cluster of GKE with Workload Identity, without Velero',
    apply: (world) => {
      without(world)
      withWorkloadIdentity(world)
    },
  },
})
