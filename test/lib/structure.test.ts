/** How the code hangs together: what is loaded when, and what does not compile. */
import { readFileSync, readdirSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Command, Pipe } from '../../lib/shell.ts'

const root = new URL('../..', import.meta.url).pathname
const sources = ['lib', 'runbooks'].flatMap((folder) => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts')).map((name) => join(folder, name)))
const textOf = (path: string): string => readFileSync(join(root, path), 'utf8')
/** What a file imports when it is loaded: not as types, not within a function. */
const importsOf = (path: string): string[] =>
  [...textOf(path).matchAll(/^(?:import|export)\s+(?!type\b)(?:[^'"\n;]*?\bfrom\s+)?['"]([^'"]+)['"]/gms)].map(([, name]) => name ?? '')

/** client.ts is what `npm ci` bundles and kubernetes.ts loads when it connects; signing.ts is loaded for one check. */
const WRAPPERS = ['lib/cluster/client.ts', 'lib/cloud/signing.ts']

describe.each(sources)('%s', (path) => {
  test('loads no package when it is loaded', () => {
    if (WRAPPERS.includes(path)) return
    const packages = importsOf(path).filter((name) => !name.startsWith('.') && !name.startsWith('node:'))
    // `ws` serves the rehearsal's exec, which is itself loaded only for a rehearsal.
    expect(packages.filter((name) => !(path.startsWith('lib/rehearsal/') && name === 'ws'))).toEqual([])
  })

  test('imports with the extension, and Node\'s own with node:', () => {
    for (const name of importsOf(path)) {
      if (name.startsWith('.')) expect(name).toMatch(/\.ts$/)
      else expect(builtinModules).not.toContain(name)
    }
  })

  test('is TypeScript that only erases', () => {
    const code = textOf(path).replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
    expect(code).not.toMatch(/^\s*(export\s+)?(declare\s+)?(const\s+)?enum\s+\w+\s*\{/m)
    expect(code).not.toMatch(/^\s*(export\s+)?namespace\s+\w+\s*\{/m)
    expect(code).not.toMatch(/constructor\([^)]*\b(private|public|protected|readonly)\s/)
  })
})

test('the wrappers of packages are loaded by no file when it is loaded', () => {
  for (const path of sources) {
    expect(importsOf(path).filter((name) => WRAPPERS.some((wrapper) => name.endsWith(wrapper.slice('lib'.length)))), path).toEqual([])
  }
})

test('a rehearsal is loaded only where it is asked for', () => {
  for (const path of sources.filter((name) => !name.startsWith('lib/rehearsal/'))) {
    expect(importsOf(path).filter((name) => name.includes('/rehearsal/')), path).toEqual([])
  }
})

test('a secret has no place in an argument list', () => {
  const secret: Pipe = { say: 'a password', commands: [['cat', 'file']], read: async () => 'secret' }
  const good: Command = { words: ['kubectl', 'create', '-f', '-'], stdin: secret }
  // @ts-expect-error a Pipe is no word: a secret in an argument list does not compile
  const bad: Command = { words: ['kubectl', 'create', secret] }
  // @ts-expect-error nor as what stands behind a flag
  const worse: Command = { words: good.words.concat(secret) }
  expect([good, bad, worse]).toHaveLength(3)
})
