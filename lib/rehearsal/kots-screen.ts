/**
 * The Config screen of the rehearsal's installation: sections, labels and choices of its items, as the admin console
 * tells them. The keys are made up, for those of the real one are not public.
 */
import { executionItems, executionLabels } from './execution.ts'
import { newest, type Item, type Kots } from './kots.ts'

/** Section, label, choices. */
const LABELS: Record<string, [string, string, Record<string, string>?]> = {
  domain_name: ['Frontend', 'CircleCI Domain Name'],
  frontend_tls_key: ['Frontend', 'Frontend TLS Private Key'],
  frontend_tls_crt: ['Frontend', 'Frontend TLS Certificate'],
  letsencrypt_enabled: ['Frontend', 'Let\'s Encrypt'],
  acm_enabled: ['Frontend', 'ACM'],
  signing_keyset: ['Encryption', 'Artifact Signing Key'],
  encryption_keyset: ['Encryption', 'Encryption Signing Key'],
  github_type: ['GitHub', 'Github Type', { github_type_cloud: 'Cloud', github_type_enterprise: 'Enterprise (on premises)' }],
  github_client_id: ['GitHub', 'OAuth Client ID'],
  github_client_secret: ['GitHub', 'OAuth Client Secret'],
  github_enterprise_domain: ['GitHub', 'GitHub Enterprise Domain'],
  github_enterprise_token: ['GitHub', 'Personal Access Token'],
  http_proxy_enabled: ['Proxy', 'HTTP Proxy Enabled'],
  http_proxy: ['Proxy', 'HTTP Proxy URI'],
  https_proxy: ['Proxy', 'HTTPS Proxy URI'],
  no_proxy: ['Proxy', 'No Proxy List'],
  storage_object_type: ['Object Storage', 'Storage Type', { storage_s3: 'S3 Compatible', storage_gcs: 'Google Cloud Storage' }],
  storage_s3_bucket: ['Object Storage', 'Storage Bucket Name'],
  storage_s3_region: ['Object Storage', 'AWS S3 Region'],
  storage_s3_endpoint: ['Object Storage', 'S3 Endpoint'],
  storage_s3_expiry: ['Object Storage', 'Storage Object Expiry'],
  storage_s3_auth: ['Object Storage', 'IAM Access Type', { s3_keys: 'IAM keys', s3_role: 'IAM role' }],
  storage_s3_access_key: ['Object Storage', 'Access Key ID'],
  storage_s3_secret_key: ['Object Storage', 'Secret Key'],
  storage_s3_role: ['Object Storage', 'Role ARN'],
  storage_gcs_bucket: ['Object Storage', 'Storage Bucket Name'],
  storage_gcs_expiry: ['Object Storage', 'Storage Object Expiry'],
  storage_gcs_key: ['Object Storage', 'Service Account JSON'],
  storage_gcs_account: ['Object Storage', 'GCP Workload Identity Service Account Email'],
  postgres_pvc_size: ['Postgres', 'PostgreSQL Persistent Volume Size'],
  mongodb_pvc_size: ['MongoDB', 'MongoDB Persistent Volume Size'],
  email_smtp_host: ['Email', 'Email Submission server hostname'],
  email_smtp_user: ['Email', 'Username'],
  email_smtp_password: ['Email', 'Password'],
  email_from: ['Email', 'Email from address'],
  ...executionLabels,
}

const SECRET = /key$|secret|token/
/** Items that an installation of some age has no values of. */
export const moreItems: Item[] = [{ name: 'storage_s3_auth', type: 'select_one', default: 's3_keys' }, ...['letsencrypt_enabled', 'acm_enabled', 'http_proxy_enabled'].map((name): Item => ({ name, type: 'bool', default: '0' })), ...['github_enterprise_domain', 'github_enterprise_token', 'http_proxy', 'https_proxy', 'no_proxy',
  'storage_s3_endpoint', 'storage_s3_expiry', 'storage_s3_access_key', 'storage_s3_secret_key', 'storage_s3_role', 'storage_gcs_bucket', 'storage_gcs_expiry', 'storage_gcs_key', 'storage_gcs_account', 'email_smtp_user', 'email_from']
  .map((name): Item => ({ name, type: name === 'storage_gcs_key' ? 'file' : SECRET.test(name) ? 'password' : 'text' })), ...executionItems]

/** What has to be filled in before a deploy. */
const REQUIRED = ['domain_name', 'frontend_tls_key', 'frontend_tls_crt', 'signing_keyset', 'encryption_keyset', 'github_client_id', 'github_client_secret']

/** Labels of what is required and missing. */
export const lacking = (kots: Kots): string[] => REQUIRED.filter((name) => !newest(kots).values[name]?.value).map((name) => LABELS[name]?.[1] ?? name)

/** As the console's API answers; of what is secret it shows what it stores, which is not the plain text. */
export const screenOf = (kots: Kots): object => {
  const shown = kots.items.map((item) => {
    const [section = 'Other', title = item.name, choices = {}] = LABELS[item.name] ?? []
    const held = newest(kots).values[item.name]?.value
    return { section, item: {
      name: item.name, type: item.type, title, ...(item.default === undefined ? {} : { default: item.default }),
      ...(held ? { value: item.type === 'password' ? Buffer.from(`encrypted ${held.length}`).toString('base64') : held } : {}), required: REQUIRED.includes(item.name),
      ...(Object.keys(choices).length ? { items: Object.entries(choices).map(([name, title]) => ({ name, title })) } : {}),
    } }
  })
  const sections = [...new Set(shown.map(({ section }) => section))]
  return { success: true, configGroups: sections.map((section) => ({
    name: section.toLowerCase().replaceAll(' ', '_'), title: section, items: shown.filter((one) => one.section === section).map(({ item }) => item),
  })) }
}
