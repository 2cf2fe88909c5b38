/**
 * What a backup of KOTS and Velero does not contain, and the lines that back that up: databases and Vault outside of
 * the cluster, and always the bucket of the object storage. Operations guide 3.4.1, "Backup and Restore".
 */
import { preflight, ok, warning } from '../effect.ts'
import { Unanswered } from '../fail.ts'
import type { Item } from '../server/kots.ts'
import { kotsItems, valueOf } from '../server/kots.ts'
import { read, ref } from '../cluster/objects.ts'

interface Store { name: string; set: 'mongodb' | 'postgresql' | 'vault'; items: RegExp; backUp(host: string): string }

const STORES: Store[] = [
  { name: 'PostgreSQL', set: 'postgresql', items: /postgres|(^|_)pg(_|$)/i, backUp: (host) => `pg_dumpall --clean --host ${host} --username postgres --file postgresql.sql` },
  { name: 'MongoDB', set: 'mongodb', items: /mongo/i, backUp: (host) => `mongodump --host ${host} --username root --gzip --archive=mongodb.gz` },
  { name: 'Vault', set: 'vault', items: /vault/i, backUp: (host) => `VAULT_ADDR=https://${host}:8200 vault operator raft snapshot save vault.snap` },
]

export interface Absent { name: string; line: string; external: boolean }

/** The items of KOTS; none where it cannot list them, or does not answer now. */
const items = async (): Promise<Item[]> => {
  const found = await kotsItems().catch((error: unknown) => {
    if (error instanceof Unanswered) return ''
    throw error
  })
  return typeof found === 'string' ? [] : found
}

const value = (all: Item[], ...patterns: RegExp[]): string | undefined =>
  valueOf(all.find((item) => valueOf(item) && patterns.every((pattern) => pattern.test(item.key))))

/** What is not in a backup of this installation. */
export const notInBackups = async (): Promise<Absent[]> => {
  const all = await items()
  const stores = await Promise.all(STORES.map(async (store): Promise<Absent[]> => {
    const told = all.filter(({ key }) => store.items.test(key))
    const external = told.some((item) => /external/i.test(valueOf(item) ?? '')) || (!all.length && !await read(ref('StatefulSet', store.set)))
    return external ? [{ name: `external ${store.name}`, external, line: store.backUp(value(all, store.items, /host|url|addr/i) ?? 'HOST') }] : []
  }))
  const bucket = value(all, /storage|s3|gcs|bucket/i, /bucket/i) ?? 'BUCKET'
  const google = /gcs|google/i.test(value(all, /storage/i, /type/i) ?? '')
  return [...stores.flat(), {
    name: 'object storage (artifacts, caches, audit logs)', external: false,
    line: google ? `gsutil -m rsync -r gs://${bucket} gs://COPY` : `aws s3 sync s3://${bucket} s3://COPY`,
  }]
}

/** A warning where a database or Vault is outside: a backup alone does not bring the installation back. */
export const everythingIsIn = () => preflight('contents', 'databases and Vault are inside of the cluster, and so in the backup (else the run warns)', async () => {
  const outside = (await notInBackups()).filter(({ external }) => external)
  return outside.length
    ? warning(`${outside.map(({ name }) => name).join(' and ')} ${outside.length > 1 ? 'are' : 'is'} not in a backup of KOTS`, `Back up by itself, at the same time: ${outside.map(({ line }) => line).join('; ')}`)
    : ok('databases and Vault are in it; the bucket of the object storage never is')
})

/** For summaries: each with the line that backs it up. */
export const notInFacts = async (): Promise<Record<string, string>> =>
  ({ 'not in it': (await notInBackups()).map(({ name, line, external }) => `${external ? '! ' : ''}${name}: ${line}`).join('; ') })

export const notInText = async (): Promise<string[]> =>
  (await notInBackups()).map(({ name, line, external }) => `  ${external ? '!' : '·'} ${name}\n      ${line}`)
