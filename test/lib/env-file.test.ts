/** env.example lists each variable that a runbook reads, and the parts of an installation in their order. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { envOf } from '../../lib/inputs.ts'
import { OPTIONS } from '../../lib/options.ts'
import { partsOf } from '../../lib/parts.ts'
import type { Definition, Group } from '../../lib/runbook.ts'
import type { Inputs } from '../../lib/inputs.ts'

const root = new URL('../..', import.meta.url).pathname
const example = readFileSync(join(root, 'env.example'), 'utf8')

test.each(readdirSync(join(root, 'runbooks')))('%s reads no variable that is not in env.example', async (file) => {
  const { default: found } = await import(join(root, 'runbooks', file)) as { default: Definition<Inputs> | Group }
  const all = 'verbs' in found ? found.verbs as unknown as Definition<Inputs>[] : [found]
  for (const { inputs } of all) for (const key of Object.keys(inputs)) expect(example).toMatch(new RegExp(`^${envOf(key, inputs)}=`, 'm'))
})

test('nor does any of the flags that all have', () => {
  for (const { env } of Object.values(OPTIONS as Record<string, { env?: string }>)) if (env) expect(example).toMatch(new RegExp(`^(# )?${env}=`, 'm'))
})

test.each(['aws', 'gcp', 's3'] as const)('%s: each part is there, and has its heading, in the order in which they run', async (cloud) => {
  const parts = partsOf(cloud, (name) => (name === 'NOMAD_AUTOSCALER' ? '1' : undefined)), names = parts.map(({ name }) => name)
  expect(await Promise.all(parts.map(async ({ load }) => (await load()).name))).toEqual(names)
  const headings = names.map((name) => example.search(new RegExp(`^# --- .*\\b${name.split(' ')[0]}\\b`, 'm')))
  expect(headings).not.toContain(-1)
  expect(headings).toEqual(headings.toSorted((a, b) => a - b))
})
