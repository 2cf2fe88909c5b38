/**
 * What KOTS knows and does: config items, the sequence of versions, and what a deploy renders.
 * Functions over plain state, so that a stand-in beside a real API server can use them too.
 */
import { installation } from './installation.ts'
import { lacking, moreItems } from './kots-screen.ts'
import { secret } from './secret.ts'
import { iso, type KubeObject } from './world.ts'

export interface Item { name: string; type: 'text' | 'password' | 'bool' | 'select_one' | 'file'; default?: string }
export interface ConfigValue { default?: string; value?: string }
export interface Version {
  versionLabel: string
  sequence: number
  createdOn: string
  status: 'deployed' | 'deploying' | 'pending' | 'pending_config' | 'failed'
  deployedAt: string | null
  source: string
  /** Stored values; an item that was never saved has no entry. */
  values: Record<string, ConfigValue>
}
export interface Kots { version: string; slug: string; state: string; items: Item[]; versions: Version[]; snapshots?: { schedule: string; ttl: string } }

const item = (name: string, type: Item['type'], value?: string, normally?: string): [Item, ConfigValue | undefined] => [
  { name, type, ...(normally === undefined ? {} : { default: normally }) },
  value === undefined ? undefined : { ...(normally === undefined ? {} : { default: normally }), value },
]

const items = [
  item('domain_name', 'text', 'circleci.example.com'),
  item('frontend_tls_key', 'password', secret('frontend key', 40)),
  item('frontend_tls_crt', 'text', 'of another authority'),
  item('signing_keyset', 'password', secret('signing keyset', 32)),
  item('encryption_keyset', 'password', secret('encryption keyset', 32)),
  item('github_type', 'select_one', 'github_type_enterprise', 'github_type_cloud'),
  item('github_client_id', 'text', 'Iv1.8a61f9b3a7aba766'),
  item('github_client_secret', 'password', secret('github client', 40)),
  item('storage_object_type', 'select_one', 'storage_s3', 'storage_s3'),
  item('storage_s3_bucket', 'text', 'circleci-server-data'),
  item('storage_s3_region', 'text', 'us-east-1'),
  item('email_smtp_host', 'text'),
  item('email_smtp_password', 'password'),
  item('telemetry_enabled', 'bool', '0', '0'),
  item('nomad_mtls_enabled', 'bool', '1', '1'),
  item('vm_service_access_key_secret', 'password', secret('vm service', 40)),
  item('postgres_type', 'select_one', 'internal_postgres', 'internal_postgres'),
  item('postgres_pvc_size', 'text', '8', '8'),
  item('mongodb_type', 'select_one', 'internal_mongodb', 'internal_mongodb'),
  // Saved, but left at its default: stored without a value of its own.
  item('mongodb_pvc_size', 'text', '', '8'),
]

/** The items of our installation, and what is stored for them. */
export const kotsConfig = (): { items: Item[]; values: Record<string, ConfigValue> } => ({
  items: [...items.map(([one]) => one), ...moreItems],
  values: Object.fromEntries(items.flatMap(([one, stored]) => (stored ? [[one.name, { ...stored }]] : []))),
})

export const kotsState = (now: number): Kots => {
  const { items, values } = kotsConfig()
  const day = 86_400_000
  const version = (sequence: number, days: number, source: string): Version => ({
    versionLabel: '3.4.0', sequence, createdOn: iso(now - days * day), status: 'deployed', deployedAt: iso(now - days * day + 60_000), source,
    values: structuredClone(values),
  })
  return {
    version: '1.65.0', slug: 'circleci-server', state: 'ready', items,
    versions: [version(1, 19, 'Config Change'), version(0, 20, 'Online Install')],
  }
}

export const newest = (kots: Kots): Version => kots.versions[0] as Version

/** Makes a sequence from the newest one, deployed or not, as `kots set config KEY=VALUE` does. */
export const setConfig = (kots: Kots, slug: string, values: Record<string, string>, deploy: boolean, now: number): Version | string => {
  if (slug !== kots.slug) return `app with slug ${slug} not found`
  const base = newest(kots)
  for (const name of Object.keys(values)) {
    // Also an item that exists but was never saved counts as unknown; the reason is in KOTS's own log only.
    const known = kots.items.some((item) => item.name === name) && base.values[name]
    if (!known) return 'unexpected status code from 500: failed to create new config'
  }
  const next: Version = {
    versionLabel: base.versionLabel, sequence: base.sequence + 1, createdOn: iso(now), status: deploy ? 'deploying' : 'pending',
    deployedAt: deploy ? iso(now) : null, source: 'Config Change', values: structuredClone(base.values),
  }
  for (const [name, value] of Object.entries(values)) next.values[name] = { ...next.values[name], value }
  kots.versions.unshift(next)
  return next
}

/** Makes a sequence of a whole configuration, as `kots set config --config-file` does: what is not in it is cleared. */
export const setWhole = (kots: Kots, slug: string, values: Record<string, ConfigValue | null>, deploy: boolean, now: number): Version | string => {
  if (slug !== kots.slug) return `app with slug ${slug} not found`
  const base = newest(kots)
  const next: Version = {
    ...base, sequence: base.sequence + 1, createdOn: iso(now), status: deploy ? 'deploying' : 'pending', deployedAt: deploy ? iso(now) : null, source: 'Config Change',
    values: Object.fromEntries(Object.entries(values).flatMap(([name, held]) => (held && (held.value || held.default) && kots.items.some((item) => item.name === name) ? [[name, { ...(held.default ? { default: held.default } : {}), ...(held.value ? { value: held.value } : {}) }]] : []))),
  }
  const missing = lacking({ ...kots, versions: [next] })
  if (missing.length) return `unexpected status code from 400: The following fields are required: ${missing.join(', ')}`
  kots.versions.unshift(next)
  return next
}

const valueOf = (version: Version, name: string): string => version.values[name]?.value || version.values[name]?.default || ''

/** The stateful sets that a deploy of this version applies. */
export const rendered = (version: Version): KubeObject[] =>
  [
    { name: 'postgresql', type: 'postgres_type', inside: 'internal_postgres', size: 'postgres_pvc_size' },
    { name: 'mongodb', type: 'mongodb_type', inside: 'internal_mongodb', size: 'mongodb_pvc_size' },
  ]
    .filter(({ type, inside }) => valueOf(version, type) === inside)
    .map(({ name, size }) => {
      const set = installation().find((object) => object.kind === 'StatefulSet' && object.metadata.name === name) as KubeObject
      set.spec.volumeClaimTemplates[0].spec.resources.requests.storage = `${valueOf(version, size)}Gi`
      return set
    })

const plain = (value: string): string =>
  /^[A-Za-z/_][\w./@+-]*$/.test(value) && !/^(true|false|yes|no|on|off|null|y|n)$/i.test(value) ? value : JSON.stringify(value)

/** As `kots get config` prints it: every item, sorted, secrets in plain text. */
export const configYaml = (kots: Kots, sequence = newest(kots).sequence): string | undefined => {
  const version = kots.versions.find((one) => one.sequence === sequence)
  if (!version) return undefined
  const lines = [...kots.items].sort((a, b) => (a.name < b.name ? -1 : 1)).flatMap(({ name, default: normally }) => {
    const fields = { default: version.values[name]?.default ?? normally, value: version.values[name]?.value }
    const shown = Object.entries(fields).filter(([, value]) => value).map(([field, value]) => `      ${field}: ${plain(value as string)}`)
    return shown.length ? [`    ${name}:`, ...shown] : [`    ${name}: {}`]
  })
  return ['apiVersion: kots.io/v1beta1', 'kind: ConfigValues', 'metadata:', '  creationTimestamp: null', 'spec:', '  values:', ...lines, 'status: {}', '']
    .join('\n')
}

const indented = (value: unknown): string => `${JSON.stringify(value, null, 4)}\n`

export const versionsJson = (kots: Kots): string =>
  indented(kots.versions.map(({ versionLabel, sequence, createdOn, status, deployedAt, source }) =>
    ({ versionLabel, sequence, createdOn, status, deployedAt, source })))

/** The field is `versionlabel` here and `versionLabel` in the list of versions: so KOTS prints it. */
export const appsJson = (kots: Kots): string =>
  indented([{ slug: kots.slug, state: kots.state, versionlabel: kots.versions.find((one) => one.status === 'deployed')?.versionLabel ?? '' }])
