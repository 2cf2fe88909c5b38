/**
 * Made data of a services box: databases, tables and collections of the guide's names, files as Vault's own server
 * writes them, and the two keysets.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { keysetOf } from '../../lib/rehearsal/keysets.ts'
import { find } from './components.ts'
import type { ServicesBox } from './services-box.ts'

const DATABASES: Record<string, string> = {
  circle: 'circle_migrations', conductor_production: 'build_jobs', contexts_service_production: 'contexts', cron_service_production: 'qrtz_blob_triggers', vms: 'tasks',
}
const ROWS = 100

const SQL = (megabytes: number) => [
  'create role circle superuser login;',
  ...Object.entries(DATABASES).map(([database, table]) => [
    `create database ${database} owner circle;`, `\\connect ${database}`,
    `create table ${table} (id serial primary key, name text not null, made timestamptz not null default now());`,
    `insert into ${table} (name) select '${table} ' || n || ' of ü' from generate_series(1, ${ROWS}) n;`,
    `alter table ${table} owner to circle;`,
  ].join('\n')),
  '\\connect conductor_production',
  // A kilobyte a row, which does not pack well.
  `insert into build_jobs (name) select (select string_agg(md5(n || random()::text || m), '') from generate_series(1, 32) m) from generate_series(1, ${megabytes * 1000}) n;`, '',
].join('\n')

const MONGO = ['organizations', 'projects', 'users', 'builds'].map((name) => `db.${name}.insertMany(Array.from({ length: ${ROWS} }, (_, n) => ({ _id: n, name: '${name} ' + n, made: new Date() })))`).join('; ')

// As the guide's script expects it: the keys are the first lines, and one line says Root.
const VAULT = [
  'vault operator init > /box/init 2>&1 || { cat /box/init >&2; exit 1; }', 'mv /box/init /served/data/vault-init-out',
  'head -n 3 /served/data/vault-init-out | sed "s/.*: //" | while read -r key; do printf %s "$key" | vault write sys/unseal key=- >/dev/null; done',
  'sed -n "s/^Initial Root Token: //p" /served/data/vault-init-out | vault login - >/dev/null',
  'vault secrets enable -path=contexts kv >/dev/null', 'echo made-by-2.19 | vault kv put contexts/one value=- >/dev/null', 'rm -f "$HOME/.vault-token"',
].join('; ')

/** Fills the stores of a box whose application has never run. */
export const fill = async ({ data, enter }: ServicesBox, megabytes: number): Promise<void> => {
  const keys = join(data, 'circleci-encryption-keys')
  mkdirSync(keys)
  for (const [name, kind] of [['crypt', 'encryption'], ['sign', 'signing']] as const) writeFileSync(join(keys, name), `${keysetOf(kind)}\n`, { mode: 0o600 })
  const serve = (name: string, folder: string, image: string) => enter(`docker run --rm -d --name ${name} -v /data/circle/${folder}:/data ${image} && for n in {1..100}; do docker logs ${name} >/dev/null; docker exec ${name} ${name === 'fill-postgres' ? 'pg_isready' : 'mongo --quiet --eval 1'} >/dev/null 2>&1 && exit; sleep 0.2; done; docker logs ${name}; exit 1`)
  const sql = join(data, 'fill.sql')
  writeFileSync(sql, SQL(megabytes))
  await Promise.all([
    serve('fill-postgres', 'postgres/9.5/data', 'postgres:9.5.8').then(() => enter('docker exec -i fill-postgres psql -qX -v ON_ERROR_STOP=1 -U postgres < /data/circle/fill.sql && rm /data/circle/fill.sql && docker exec fill-postgres kill -INT 1; while docker inspect fill-postgres >/dev/null 2>&1; do sleep 0.1; done')),
    serve('fill-mongo', 'mongo', 'mongo:3.6.6').then(() => enter(`docker exec fill-mongo mongo --quiet circle_ghe --eval ${JSON.stringify(MONGO)} && docker rm -f fill-mongo`)),
    find('vault') ? vault(data, enter) : madeVault(data),
  ])
}

const vault = async (_data: string, enter: ServicesBox['enter']): Promise<void> => {
  await enter(`container=$(cat /box/container); mkdir -p /box/run/vault && cd /box/run/vault && cp /box/env env && echo '/data/circle/contexts-vault /served/data' > mounts && echo vault > image
    setsid "$container" run /box/run/vault "$(dirname "$container")/serve" vault /served/data </dev/null >log 2>&1 &
    for n in {1..100}; do [ -e pid ] && "$container" exec "$PWD" bash -c 'true </dev/tcp/127.0.0.1/8200' 2>/dev/null && break; sleep 0.2; done
    "$container" exec "$PWD" bash -euc '${VAULT}'; "$container" stop "$PWD"; cd /; rm -rf /box/run/vault`)
}

/** Where there is no Vault: files of its names. */
const madeVault = async (data: string): Promise<void> => {
  const folder = join(data, 'contexts-vault')
  for (const name of ['core/_master', 'core/_keyring', 'sys/token/id/_one', 'logical/uuid/_one', 'sys/expire/id/auth/token/create/_old']) {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    writeFileSync(join(folder, name), JSON.stringify({ Value: Buffer.from(name).toString('base64') }))
  }
  const lines = [1, 2, 3, 4, 5].map((n) => `Unseal Key ${n}: ${Buffer.from(`unseal key ${n} of 2.19`).toString('base64')}`)
  writeFileSync(join(folder, 'vault-init-out'), [...lines, '', 'Initial Root Token: s.root-token-of-2.19', ''].join('\n'), { mode: 0o600 })
}
