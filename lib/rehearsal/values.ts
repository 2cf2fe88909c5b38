/**
 * What an env file would say of the installation that a rehearsal of it makes: of some things there is but one here, and
 * so nobody else's holds.
 */
import { DOMAIN } from './certificates.ts'
import { NAMESPACE } from './installation.ts'

/** These hold whatever an env file says; '' is that nothing is said. */
export const OWN: Record<string, string> = { CIRCLECI_DOMAIN: DOMAIN, TLS_DNS: 'route53', TLS_CREDENTIALS: '', TLS_CERTIFICATE: '', TLS_KEY: '', CLOUDSDK_CORE_PROJECT: 'my-project', CIRCLECI_CONTEXT: '' }

/** These where it says nothing. */
export const OTHERWISE: Record<string, string> = {
  CIRCLECI_NAMESPACE: NAMESPACE, OBJECT_STORAGE_BUCKET: 'my-objects', OBJECT_STORAGE_EXPIRY: '30', AWS_REGION: 'us-east-1', GKE_REGION: 'europe-west1', TLS_MAIL: 'ops@example.com',
  NOMAD_AUTOSCALER: '1', NOMAD_ZONE: 'europe-west1-b', VM_ZONE: 'europe-west1-b', VM_USERS_CIDR: '203.0.113.0/24', VELERO_BUCKET: 'my-backups', GITHUB_ORG: 'my-org',
}
