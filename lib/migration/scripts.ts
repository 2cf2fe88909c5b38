/**
 * What each store of 2.19 is read out with on the services box, or in an archive, and taken in with by its pod; and what is
 * counted of it on both sides. Bash on the box, and in the pods what their images have. Installation guide 3.3.0,
 * "Migration", and the script that it names.
 */
import { quote } from '../shell.ts'
import { mongoScript } from '../server/mongodb.ts'
import { DUMP, IMAGES, inContainer } from './box.ts'

export const STORES = ['mongodb', 'postgresql', 'vault'] as const
export type StoreName = (typeof STORES)[number]
export type Database = keyof typeof IMAGES
export const isDatabase = (name: StoreName): name is Database => name in IMAGES

/** How a stream is packed and unpacked. */
export interface Packing { pack: string; unpack: string }
/** Everywhere; and what costs next to nothing, where both ends have it. */
export const GZIP: Packing = { pack: 'gzip -1', unpack: 'gzip -dc' }, PIGZ: Packing = { pack: 'pigz -1', unpack: 'gzip -dc' }, ZSTD: Packing = { pack: 'zstd -1 -c', unpack: 'zstd -dc' }

interface Store {
  label: string
  /** The pod that takes it in, its container, and where the volume is. */
  pod: string
  container: string
  folder: string
  shell: 'bash' | 'sh'
  /** On the box: what comes before it, what prints all of it, what counts it. */
  prepare: string
  dump: string
  counts: string
  /** In the pod: what comes before it, what takes it in, what counts it. */
  makeReady: string
  load: string
  countsThere: string
}

const DATABASES = "select datname from pg_database where not datistemplate and datname <> 'postgres' order by 1"
const TABLES = "from information_schema.tables where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')"
/** One figure of each table, which a query of its own tells. */
const ofEach = (what: string, query: string, where = ''): string =>
  `select '${what} ' || current_database() || '.' || table_schema || '.' || table_name || ' ' || coalesce((xpath('/row/c/text()', query_to_xml(format('${query}', table_schema, table_name), false, true, '')))[1]::text, '-') ${TABLES}${where} order by 1`
const ROWS = ofEach('count', 'select count(*) as c from %I.%I')
/** The contexts, which people miss first: the same text of each row on both sides. */
const CONTEXTS = ofEach('sample', "select md5(string_agg(t::text, ''|'' order by t::text)) as c from %I.%I t", " and current_database() like 'contexts%'")
const countEach = (psql: string): string => `counted=$(${psql} -d postgres -c "${DATABASES}"); for one in $counted; do ${psql} -d "$one" -c "${ROWS}"; ${psql} -d "$one" -c "${CONTEXTS}"; done`

/** The role that 3.x works with keeps its own password; one that is there already is changed, and not made again. */
const ROLES = `sed -E '/^(CREATE|ALTER) ROLE "?postgres"?[ ;]/d; s/^CREATE ROLE (.*);$/DO $$ BEGIN CREATE ROLE \\1; EXCEPTION WHEN duplicate_object THEN NULL; END $$;/'`

const inPg = `${inContainer('postgresql')} psql -U postgres -Atq`
const PG = 'psql -U postgres -AtqX'

/** How many documents each collection has; and of projects and users a figure that their newest documents make. */
const DOCUMENTS = 'var sum = function (text) { var all = 7; for (var at = 0; at < text.length; at++) all = (all * 31 + text.charCodeAt(at)) | 0; return all }; '
  + 'db.getMongo().getDBNames().filter(function (name) { return !/^(admin|local|config)$/.test(name) }).sort().forEach(function (name) { var one = db.getSiblingDB(name); '
  + 'one.getCollectionNames().filter(function (each) { return !/^system[.]/.test(each) }).sort().forEach(function (each) { var all = one.getCollection(each); '
  + 'print("count " + name + "." + each + " " + all.find().itcount()); '
  + 'if (/^(projects|users)$/.test(each)) print("sample " + name + "." + each + " " + sum(JSON.stringify(all.find().sort({ _id: -1 }).limit(50).toArray()))) }) })'
/** A newer shell that reads a script draws its prompt in front of what that prints. */
const FIGURES = "{ grep -oE '(count|sample) [^ ]+ [^ ]+$' || true; }"

export const FACTS: Record<StoreName, Store> = {
  mongodb: {
    label: 'MongoDB', pod: 'mongodb-0', container: 'mongodb', folder: '/bitnami/mongodb', shell: 'bash',
    prepare: '', dump: `${inContainer('mongodb')} mongodump --quiet --archive`, counts: `${inContainer('mongodb')} mongo --quiet --eval '${DOCUMENTS}' | ${FIGURES}`,
    makeReady: '',
    // The password comes on standard input, before the archive: no process has it as an argument.
    load: `{ printf '%s\\n' "$MONGODB_ROOT_PASSWORD"; cat; } | mongorestore --quiet --archive --drop -u root --authenticationDatabase admin --nsExclude 'admin.*' --nsExclude 'config.*'`,
    countsThere: `${mongoScript(DOCUMENTS)} | ${FIGURES}`,
  },
  postgresql: {
    label: 'PostgreSQL', pod: 'postgresql-0', container: 'postgresql', folder: '/bitnami/postgresql', shell: 'bash',
    prepare: `databases=$(${inPg} -c "${DATABASES}")`,
    dump: `${inContainer('postgresql')} pg_dumpall -U postgres --roles-only | ${ROLES}; for one in $databases; do ${inContainer('postgresql')} pg_dump -U postgres --create --clean --if-exists "$one"; done`,
    counts: countEach(inPg),
    makeReady: `export PGPASSWORD="$POSTGRES_PASSWORD"; ${PG} -d postgres -c "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid() and datname <> 'postgres'" >/dev/null`,
    load: `${PG} -d postgres -v ON_ERROR_STOP=1 -v VERBOSITY=terse -o /dev/null`,
    countsThere: countEach(PG),
  },
  vault: {
    label: 'Vault', pod: 'runbooks-vault', container: 'vault', folder: '/vault/file', shell: 'sh',
    prepare: '', dump: "tar -C /data/circle/contexts-vault --transform 's,^\\.,file,' -c .", counts: 'echo "count vault.files $(find /data/circle/contexts-vault -type f | wc -l)"',
    makeReady: 'find /vault/file -mindepth 1 -maxdepth 1 -not -name .circleci-runbooks -not -name lost+found -exec rm -rf {} +', load: 'tar -C /vault -x',
    // What is left of the tokens of 2.19 would keep the new one from being made.
    countsThere: 'echo "count vault.files $(find /vault/file -type f -not -path "*/.circleci-runbooks/*" | wc -l)"; rm -rf /vault/file/sys/expire/id/auth/token/create/*',
  },
}

/** The roles and databases of an archive, which drops them whether or not they are there, and would take 3.x its own role; its rows stay as they are. */
const MENDED = '/^COPY .* FROM stdin;$/ { copying = 1 } copying { print; if ($0 == "\\\\.") copying = 0; next } /^DROP ROLE / || /^(CREATE|ALTER) ROLE "?postgres"?[ ;]/ { next } '
  + '/^CREATE ROLE / { name = $3; sub(/;$/, "", name); print "DO $$ BEGIN CREATE ROLE " name "; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"; next } '
  + '/^DROP DATABASE / && $3 != "IF" { sub(/^DROP DATABASE /, "DROP DATABASE IF EXISTS ") } { print }'
const ROWS_IN = '/^.connect / { base = $NF; gsub(/["\']|dbname=/, "", base) } /^SET search_path = / { schema = $4; gsub(/[,;]/, "", schema) } '
  + '/^COPY .* FROM stdin;$/ { table = index($2, ".") ? $2 : schema "." $2; gsub(/"/, "", table); rows = 0; copying = 1; next } copying && $0 == "\\\\." { print "count " base "." table " " rows; copying = 0; next } copying { rows++ } END { if (copying) exit 1 }'

/** How a store lies in an archive, in the layout of the guide's script, and goes from there into its pod; `keep` puts it there. */
interface Archived { file: string; dump: string; counts: string; load?: string; kept?: string; keep: string }
export const ARCHIVED: Record<StoreName, Archived> = {
  postgresql: {
    file: 'circleci-pg-export/circle.sql', dump: `awk ${quote(MENDED)} circleci-pg-export/circle.sql`, counts: `awk ${quote(ROWS_IN)} circleci-pg-export/circle.sql`,
    keep: 'gzip -dcf > circleci-pg-export/circle.sql',
  },
  mongodb: {
    file: 'circleci-mongo-export/circle_ghe', dump: 'tar -c circleci-mongo-export', counts: 'true',
    load: `rm -rf /bitnami/mongodb/.circleci-runbooks/dump && mkdir /bitnami/mongodb/.circleci-runbooks/dump && cd /bitnami/mongodb/.circleci-runbooks/dump && tar -x && `
      + `printf '%s\\n' "$MONGODB_ROOT_PASSWORD" | mongorestore --quiet --drop -u root --authenticationDatabase admin --nsExclude 'admin.*' --nsExclude 'config.*' circleci-mongo-export && cd / && rm -rf /bitnami/mongodb/.circleci-runbooks/dump`,
    kept: `${inContainer('mongodb')} sh -c 'cd /data/db && rm -rf ${DUMP} && mongodump --quiet --out ${DUMP} && rm -rf ${DUMP}/admin && tar -c --transform s,^${DUMP},circleci-mongo-export, ${DUMP} && rm -rf ${DUMP}'`,
    keep: 'rm -rf circleci-mongo-export && gzip -dcf | tar -x',
  },
  vault: {
    file: 'circleci-vault/vault-backup.tar.gz', dump: 'gzip -dcf circleci-vault/vault-backup.tar.gz', counts: `echo "count vault.files $(gzip -dcf circleci-vault/vault-backup.tar.gz | tar -t | grep -vc '/$')"`,
    keep: 'cat > circleci-vault/vault-backup.tar.gz',
  },
}

export const fileIn = (name: StoreName): string => ARCHIVED[name].file
export const labelOf = (name: StoreName): string => FACTS[name].label
