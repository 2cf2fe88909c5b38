/**
 * What a migration is told: the two sides, the stores that are moved, what becomes of the objects; and what follows from it.
 */
import { EXIT, fail } from '../fail.ts'
import { flag, optional, orNone, secret, text } from '../inputs.ts'
import { CLOUDS } from './after.ts'
import { archiveAt } from './archive.ts'
import { boxAt, type Box } from './box.ts'
import { STORES, type StoreName } from './scripts.ts'

/** What is given of a migration. */
export interface Given {
  host: string | undefined; sshKey: string | undefined; from: string | undefined; exportDir: string | undefined
  skipMongo: boolean; skipPostgres: boolean; skipVault: boolean
  storage: string; bucket: string; oldDomain: string | undefined; trial: boolean
}

export const host = text('host', 'services box of 2.19, as ssh takes it: ubuntu@circleci.example.com', { env: 'MIGRATE_HOST', pattern: /^[^\s-]\S*$/, looks: 'user and host: ubuntu@circleci.example.com' })
export const sshKey = { ...optional('file', 'private key for it, where ssh does not know which'), env: 'MIGRATE_SSH_KEY' }
export const box = {
  host: orNone(host), sshKey,
  exportDir: { ...optional('folder', 'keep an archive here, in the layout of the guide\'s script, and import from it'), env: 'MIGRATE_EXPORT_DIR' },
  from: { ...optional('folder', 'import from such an archive, without or with the box that it is of'), env: 'MIGRATE_FROM' },
}
export const leftOut = {
  skipMongo: { ...flag('leave MongoDB out: it is outside, and 3.x has the same one'), env: 'MIGRATE_SKIP_MONGO' },
  skipPostgres: { ...flag('leave PostgreSQL out, for the same reason'), env: 'MIGRATE_SKIP_POSTGRES' },
  skipVault: { ...flag('leave Vault out'), env: 'MIGRATE_SKIP_VAULT' },
}
export const rest = {
  storage: { ...text('keep|copy', 'objects: 3.x takes the bucket of 2.19 (final), or gets a copy of it', { env: 'MIGRATE_STORAGE', pattern: /^(keep|copy)$/, looks: 'keep or copy' }), choices: ['keep', 'copy'] },
  bucket: text('name', 'bucket of 2.19; on a store that speaks S3 with its alias in front: my-store/circleci', { env: 'MIGRATE_BUCKET' }),
  cloud: { ...text('aws|gcp|s3', 'where that is', { env: 'CIRCLECI_CLOUD', pattern: /^(aws|gcp|s3)$/, looks: 'aws, gcp or s3', otherwise: 'aws' }), choices: CLOUDS },
  oldDomain: { ...optional('domain', 'name of 2.19, where that of 3.x is another one'), env: 'MIGRATE_OLD_DOMAIN' },
  signing: text('file', 'file for the signing key of 2.19', { env: 'MIGRATE_SIGNING', otherwise: 'old-keyset-signing' }),
  encryption: text('file', 'file for its encryption key', { env: 'MIGRATE_ENCRYPTION', otherwise: 'old-keyset-encryption' }),
  trial: { ...flag('try it: 3.x has a name, a bucket and an OAuth app of its own, and 2.19 comes back at the end'), env: 'MIGRATE_TRIAL' },
}

/** 2.19 itself, where it is named; and where the data comes from: it, or an archive. */
export const sidesOf = ({ host, sshKey, exportDir, from }: Pick<Given, 'host' | 'sshKey' | 'exportDir' | 'from'>): { old: Box; source: Box; archive: Box | undefined } => {
  const folder = from ?? exportDir, archive = folder ? archiveAt(folder) : undefined
  const old = host ? boxAt(host, sshKey) : archiveAt(folder ?? '')
  return { old, source: archive ?? old, archive }
}
export const comesFromSomewhere = ({ host, exportDir, from, trial, storage }: Given): void => {
  if (!host && !from) throw fail('Neither the services box nor an archive of it is named.', 'Add --host ubuntu@circleci.example.com; or --from FOLDER, where circleci_export is in it.', { code: EXIT.usage })
  if (!host && storage === 'keep') throw fail('3.x would take the bucket of a 2.19 of which nobody sees whether it runs.', 'Add --host ubuntu@circleci.example.com; where that box is gone for good, --storage copy leaves its bucket as it is.', { code: EXIT.usage })
  if (!host && trial) throw fail('A trial brings 2.19 back at its end, and no services box is named.', 'Add --host ubuntu@circleci.example.com.', { code: EXIT.usage })
  if (exportDir && from) throw fail('--export-dir makes an archive, and --from has one.', 'Leave one of them out.', { code: EXIT.usage })
}

export const proving = {
  org: { ...optional('name', 'organisation at GitHub in which realitycheck lies, to look up its runs', /^[\w-]+$/, 'the name as in its address: my-org'), env: 'GITHUB_ORG' },
  repo: text('name', 'name of that repository', { env: 'REALITYCHECK_REPO', otherwise: 'realitycheck' }),
  enterprise: { ...optional('host', 'host of a GitHub Enterprise, in place of github.com'), env: 'GITHUB_ENTERPRISE_HOST' },
  token: orNone(secret('API token', 'personal API token of somebody in that organisation', { env: 'CIRCLECI_TOKEN' })),
}

export const moved = ({ skipMongo, skipPostgres, skipVault }: Pick<Given, keyof typeof leftOut>): { stores: StoreName[]; left: StoreName[] } => {
  const out = { mongodb: skipMongo, postgresql: skipPostgres, vault: skipVault }
  return { stores: STORES.filter((name) => !out[name]), left: STORES.filter((name) => out[name]) }
}
