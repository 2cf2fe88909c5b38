/** Google's credentials service, from the bundle as an operator has it: its package has files of its own, and floating promises. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'

const home = mkdtempSync(join(tmpdir(), 'no-credentials-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

test('without credentials it fails once, as the operator, and no promise is left behind', () => {
  const chunks = new URL('../../dist/lib/', import.meta.url)
  const chunk = readdirSync(chunks).find((name) => name.startsWith('signing-')) ?? 'none'
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', `
    const { signAs } = await import(${JSON.stringify(new URL(chunk, chunks).href)})
    await signAs('velero@my-project.iam.gserviceaccount.com').catch((error) => console.log(error.as, error.message.split('.')[0]))
    setTimeout(() => console.log('still here'), 50)
  `], { encoding: 'utf8', env: { HOME: home, PATH: process.env['PATH'], METADATA_SERVER_DETECTION: 'none' } })
  expect(stderr.slice(0, 500)).toBe('')
  expect(stdout).toBe('operator Could not load the default credentials\nstill here\n')
  expect(status).toBe(0)
})
