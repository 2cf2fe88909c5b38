/**
 * Makes dist/: the runbooks and what they share, with their packages, to run with nothing but Node. With a folder and
 * files as arguments, those; `npm ci` makes client-node one file so.
 */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Plugin } from 'esbuild'

const root = new URL('..', import.meta.url).pathname

/**
 * A package that is imported when it is needed becomes a chunk of its own. Where it is CommonJS, the chunk would have a
 * default export only: it gets the names that Node gives it.
 */
const named: Plugin = {
  name: 'named exports of packages',
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^[^./]/ }, ({ path, kind, namespace, resolveDir }) =>
      (kind === 'dynamic-import' && namespace === 'file' && !path.startsWith('node:') && !resolveDir.includes('node_modules') ? { path, namespace: 'named' } : undefined))
    onLoad({ filter: /./, namespace: 'named' }, async ({ path }) => {
      const names = Object.keys(await import(path) as object).filter((name) => name !== 'default' && name !== 'module.exports')
      return { contents: `export { ${names.join(', ')} } from '${path}'`, resolveDir: root }
    })
  },
}

/** What CommonJS expects to be there. */
const BANNER = `import { createRequire as __createRequire } from 'node:module'; import { dirname as __folderOf } from 'node:path'; import { fileURLToPath as __pathOf } from 'node:url'; \
const require = __createRequire(import.meta.url), __filename = __pathOf(import.meta.url), __dirname = __folderOf(__filename);`

const [folder = 'dist', ...files] = process.argv.slice(2)
const { build } = await import('esbuild')
const outdir = join(root, folder)
if (!files.length) rmSync(outdir, { recursive: true, force: true })
await build({
  absWorkingDir: root, outdir,
  entryPoints: files.length ? files : readdirSync(join(root, 'runbooks')).map((name) => `runbooks/${name}`),
  bundle: true, splitting: !files.length, platform: 'node', format: 'esm', target: 'node20',
  outExtension: { '.js': '.mjs' }, chunkNames: 'lib/[name]-[hash]', minifySyntax: true, minifyWhitespace: true,
  legalComments: 'none', logLevel: 'warning', banner: { js: BANNER }, plugins: [named],
})
