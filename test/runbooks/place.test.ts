/** Which cluster a run goes to: that of the dry run, and no other that happens to have the same names. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { installed } from './cluster.ts'

const line = ['--db', 'mongodb', '--size', '10Gi']
const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')

/** Two clusters whose contexts have one name; the other's kubeconfig lies where one does by default. */
const two = async () => {
  const [prod, other] = [await installed(), await installed()]
  mkdirSync(join(prod.state, '.kube'))
  copyFileSync(other.kubeconfig, join(prod.state, '.kube', 'config'))
  const expandable = () => [prod, other].map((one) => (one.world().objects['storageclasses//gp2'] as { allowVolumeExpansion?: boolean }).allowVolumeExpansion ?? false)
  const plan = async (...args: string[]) => {
    const { stdout } = await prod.run([...args, '--dry-run', '--json'])
    writeFileSync(join(prod.state, 'plan.json'), stdout)
  }
  return { prod, other, expandable, plan }
}

test('a plan made with the kubeconfig of an env file runs there', async () => {
  const { prod, expandable, plan } = await two()
  // Not by --env-file, which Node 20 takes for itself, also behind the script.
  writeFileSync(join(prod.state, '.env'), `KUBECONFIG=${prod.kubeconfig}\nDB=mongodb\nSIZE=10Gi\n`)
  await plan()
  const { code, all } = await prod.run(['--plan', 'plan.json', '--until', 'allow-expansion'])
  expect(code, all).toBe(0)
  expect(expandable()).toEqual([true, false])
})

test('the line to paste names the kubeconfig, wherever it came from', async () => {
  const { prod } = await two()
  const { stderr } = await prod.run([...line, '--dry-run'], { env: { KUBECONFIG: prod.kubeconfig } })
  expect(flat(stderr.slice(stderr.indexOf('Run it:')))).toContain(`--kubeconfig ${prod.kubeconfig}`)
  const more = join(prod.state, 'more')
  writeFileSync(more, JSON.stringify({ apiVersion: 'v1', kind: 'Config', clusters: [], users: [], contexts: [] }))
  const several = `${prod.kubeconfig}:${more}`
  const { stderr: merged } = await prod.run([...line, '--dry-run'], { env: { KUBECONFIG: several } })
  expect(flat(merged.slice(merged.indexOf('Run it:')))).toContain(`--kubeconfig ${several}`)
})

test('a plan does not run on another server whose context has the same name: 6', async () => {
  const { prod, other, expandable, plan } = await two()
  await plan(...line, '--kubeconfig', prod.kubeconfig)
  const before = other.essence()
  const { code, stderr } = await prod.run(['--plan', 'plan.json'])
  expect(code, stderr).toBe(6)
  expect(flat(stderr)).toContain('The reviewed plan is for the API server http://127.0.0.1:')
  expect(expandable()).toEqual([false, false])
  expect(other.essence()).toEqual(before)
})

test.each([['context', 'staging'], ['namespace', 'circleci-staging']])('--%s that is not the plan\'s: 2', async (key, value) => {
  const { prod, expandable, plan } = await two()
  await plan(...line, '--kubeconfig', prod.kubeconfig)
  const run = (args: string[], env = {}) => prod.run(['--plan', 'plan.json', '--kubeconfig', prod.kubeconfig, '--until', 'allow-expansion', ...args], { env })
  for (const ended of [await run([`--${key}`, value]), await run([], { [`CIRCLECI_${key.toUpperCase()}`]: value })]) {
    expect(ended.code, ended.all).toBe(2)
    expect(flat(ended.stderr)).toContain(`is ${value}, and the plan is for ${key} `)
  }
  expect(expandable()).toEqual([false, false])
})
