/**
 * Kept manifests: what the world would forget is put into the world first. Before an object is deleted its
 * manifest goes into a Secret (manifests hold inline passwords), from which any operator can bring it back.
 */
import type { V1StatefulSet } from '@kubernetes/client-node'
import type { Effect } from '../effect.ts'
import type { Pipe } from '../shell.ts'
import type { Ref } from './objects.ts'
import { fail } from '../fail.ts'
import { request } from './kubernetes.ts'
import { remove } from './changes.ts'
import { collection, isAway, kubectl, nameOf, read, ref } from './objects.ts'

/** One edit of a manifest: a field that gets another value, or goes; with `add` it need not be there yet. */
export interface Edit { path: string; value?: unknown; add?: true }

/** What the server writes into an object and refuses, or ignores, at a creation. */
const SERVERS_OWN: Edit[] = ['/metadata/uid', '/metadata/resourceVersion', '/status'].map((path) => ({ path }))

/** The manifest of a live object, kept in a Secret (it may hold passwords) while the object is gone. */
export interface Keep {
  ref: Ref<'Secret'>
  /** The manifest that is kept, or undefined. */
  manifest(): Promise<V1StatefulSet | undefined>
  /** Whether what is kept is the manifest of this very object, as it is. */
  isOf(live: V1StatefulSet): Promise<boolean>
  /** What was noted beside it. */
  notes(): Promise<Record<string, string>>
  write(notes: Record<string, string>): Effect
  /** Creates the object again, edited. */
  recreate(edits: Edit[], danger?: string): Effect
  forget(): Effect
}

const MANIFEST = 'manifest.json'

export const keep = (target: Ref<'StatefulSet'>): Keep => {
  const secret = ref('Secret', `runbooks-kept-${target.name}`)
  const type = 'circleci-runbooks/kept-manifest'
  const decoded = async () => {
    const kept = await read(secret)
    return Object.fromEntries(Object.entries(kept?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]))
  }
  const manifest = async () => {
    const text = (await decoded())[MANIFEST]
    return text === undefined ? undefined : (JSON.parse(text) as V1StatefulSet)
  }
  return {
    ref: secret, manifest,
    isOf: async ({ metadata }) => {
      const kept = (await manifest())?.metadata
      return kept?.uid === metadata?.uid && kept?.generation === metadata?.generation
    },
    notes: async () => {
      const { [MANIFEST]: _manifest, ...notes } = await decoded()
      return notes
    },
    write: (notes) => {
      const live: Pipe = {
        say: `the manifest of ${nameOf(target)}`,
        commands: [kubectl(['get', ...nameOf(target).split('/'), '-o', 'json'])],
        read: async () => {
          const object = await read(target)
          if (!object) throw fail(`${nameOf(target)} is gone.`, 'Run the same line again; it looks at the world afresh.')
          return JSON.stringify({ apiVersion: 'apps/v1', kind: target.kind, ...object, metadata: { ...object.metadata, managedFields: undefined } })
        },
      }
      return {
        id: `keep ${nameOf(target)}`, again: 'guarded',
        command: {
          words: kubectl(['create', 'secret', 'generic', secret.name, `--type=${type}`,
            ...Object.entries(notes).map(([key, value]) => `--from-literal=${key}=${value}`), `--from-file=${MANIFEST}=/dev/stdin`]),
          stdin: live,
        },
        call: async () => request('POST', collection('Secret'), {
          body: {
            apiVersion: 'v1', kind: 'Secret', metadata: { name: secret.name }, type,
            data: Object.fromEntries(Object.entries({ ...notes, [MANIFEST]: await live.read() })
              .map(([key, value]) => [key, Buffer.from(value).toString('base64')])),
          },
        }),
      }
    },
    recreate: (edits, danger) => {
      const all = [...SERVERS_OWN, ...edits]
      const edited: Pipe = {
        say: `the kept manifest of ${nameOf(target)}`,
        commands: [
          kubectl(['get', 'secret', secret.name, '-o', `go-template={{index .data "${MANIFEST}" | base64decode}}`]),
          ['kubectl', 'patch', '--local', '-f', '-', '--type=json', '-o', 'json', '-p',
            JSON.stringify(all.map(({ path, value, add }) => (value === undefined ? { op: 'remove', path } : { op: add ? 'add' : 'replace', path, value })))],
        ],
        read: async () => {
          const kept = await manifest()
          if (!kept) throw fail(`There is no kept manifest ${secret.name}.`, 'Deploy again in the KOTS admin console; it brings the stateful set back.')
          return JSON.stringify(edit(kept, all))
        },
      }
      return {
        id: `create ${nameOf(target)}`, again: 'guarded', ...(danger ? { danger } : {}),
        command: { words: kubectl(['create', '-f', '-']), stdin: edited },
        // A plan names it while the object still stands, which it removes first; where it was not removed after all, it stands.
        unfit: async () => (isAway(await read(target)) ? undefined
          : fail(`${nameOf(target)} is there, and not as it is wanted; what was kept of it is not created over it.`,
            'Repeat the same line: it looks at the world afresh, and removes it first where that is still to do.')),
        call: async () => request('POST', collection(target.kind), { body: JSON.parse(await edited.read()) }),
      }
    },
    forget: () => remove(secret, undefined),
  }
}

/** A copy of the object with the edits made; the paths are JSON pointers, to fields that exist or are added to what does. */
export const edit = <T extends object>(object: T, edits: Edit[]): T => {
  const copy = structuredClone(object)
  for (const { path, value, add } of edits) {
    const keys = path.split('/').slice(1).map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    const last = keys.pop() ?? ''
    const holder = keys.reduce<Record<string, unknown> | undefined>((at, key) => at?.[key] as Record<string, unknown> | undefined, copy as Record<string, unknown>)
    if (!holder || !(add || last in holder)) throw new Error(`the manifest has no ${path}`)
    if (value === undefined) delete holder[last]
    else holder[last] = value
  }
  return copy
}
