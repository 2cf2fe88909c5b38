/**
 * MongoDB of 3.x, asked in its pod: mongo reads the password and the query on its standard input, so that no process has
 * the password as an argument.
 */
import { kubectl } from '../cluster/objects.ts'
import { quote } from '../shell.ts'

/** For a shell of the pod: what this query prints. */
export const mongoScript = (query: string): string => `printf 'db.getSiblingDB("admin").auth("root", "%s"); %s\\n' "$MONGODB_ROOT_PASSWORD" ${quote(query)} | mongo --quiet`

/** The words that run a query in the pod. */
export const mongo = (query: string): string[] => kubectl(['exec', 'mongodb-0', '-c', 'mongodb', '--', 'sh', '-c', mongoScript(query)], 'Pod')
