import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { useClock } from '../../lib/clock.ts'
import { asRunner } from '../../lib/door.ts'
import { complaint, readTool, runTool, stopTools } from '../../lib/tools.ts'
import { start } from '../rehearsal/helpers.ts'

test('what a command is given on standard input it can also open by name', async () => {
  expect(await readTool(['cat', '/dev/stdin'], { stdin: 'a policy\n' })).toEqual({ code: 0, stdout: 'a policy\n', stderr: '' })
  expect(await asRunner('a write', () => runTool(['cat', '/dev/stdin'], 'again', 60_000, { stdin: 'a policy\n' }))).toEqual({ code: 0, stdout: 'a policy\n', stderr: '' })
})

test.each([
  [{ stdout: 'working\n', stderr: 'Error: refused\n' }, undefined, 'Error: refused'],
  [{ stdout: 'working\n', stderr: '' }, undefined, 'working'],
  [{ stdout: '[ℹ]  working\n[✖]  no room for a VPC\n', stderr: 'Error: it failed\n' }, /\[✖\]/, '[✖]  no room for a VPC / Error: it failed'],
  [{ stdout: '[ℹ]  working\n', stderr: 'Error: it failed\n' }, /\[✖\]/, 'Error: it failed'],
  [{ stdout: '', stderr: '' }, /\[✖\]/, 'it said nothing'],
])('what a command complained of: %j', (said, tells, text) => {
  expect(complaint({ code: 1, ...said }, undefined, tells)).toBe(text)
})

test('one that may outlive us writes into a file, and is stopped by one signal to itself', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tools-'))
  const log = join(folder, 'log')
  // What it started ignores the signal of a terminal, as what Terraform starts does, and would die of another one.
  const child = '(trap "" INT; sleep 1; echo child done) & '
  const ended = asRunner('a write', () => runTool(['bash', '-c', `trap 'echo told' INT; ${child} echo begun; wait; wait; echo over >&2`], 'again', 60_000, { log, orderly: true }))
  await vi.waitFor(() => expect(readFileSync(log, 'utf8')).toContain('begun'), { timeout: 10_000 })
  stopTools()
  expect(await ended).toMatchObject({ code: 0, stdout: expect.stringMatching(/begun\ntold\nchild done\nover/) })
  expect(statSync(log).mode & 0o777).toBe(0o600)
  rmSync(folder, { recursive: true, force: true })
})

test('a command is given its time in real seconds, also in a rehearsal that plays at forty times the speed', async () => {
  const world = await start({ pace: 1 / 40 })
  useClock(world.clock)
  // A minute of the rehearsal is a second and a half.
  expect(await readTool(['sh', '-c', 'sleep 2.5; echo told'])).toEqual({ code: 0, stdout: 'told\n', stderr: '' })
})

describe('what kubectl kots version tells', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tools-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  afterEach(() => vi.resetModules())

  /** With a kubectl that is this script, or with none. */
  const asked = async (script: string | undefined) => {
    const file = join(folder, 'kubectl')
    rmSync(file, { force: true })
    if (script !== undefined) writeFileSync(file, `#!/bin/sh\n${script}\n`)
    if (script !== undefined) chmodSync(file, 0o700)
    // The answer is kept for a whole process.
    vi.resetModules()
    const [{ prepareTools }, { kotsCli, kotsTrouble }] = [await import('../../lib/tools.ts'), await import('../../lib/server/kots.ts')]
    prepareTools({ env: { PATH: folder } })
    return [await kotsCli(), await kotsTrouble()]
  }

  test.each([
    ['its version', 'echo Replicated KOTS 1.65.0', ['1.65.0', undefined]],
    ['that there is no plugin', `echo 'error: unknown command "kots" for "kubectl"' >&2; exit 1`, [undefined, undefined]],
    ['nothing, for there is no kubectl', undefined, [undefined, undefined]],
    ['a trouble of its own, which is not said to be a missing plugin', 'echo cannot open shared object file >&2; exit 1', [undefined, 'kubectl kots version ended with 1: cannot open shared object file']],
  ])('%s', async (_, script, answer) => expect(await asked(script)).toEqual(answer))
})
