/** The keysets: what both ways make, what is never overwritten, and the comparison with the installation. */
import { execFileSync } from 'node:child_process'
import { readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { identityOf } from '../../lib/lock.ts'
import { kindOf, kinds, type Kind } from '../../lib/server/keysets.ts'
import { leftovers, stage, type Stage } from './harness.ts'

const fileOf = (world: Stage, kind: Kind): string => join(world.state, 'circleci-runbooks/rehearsal.files', `keyset-${kind}`)

/** Each key of a keyset, by its name, in bytes. */
const keysIn = (text: string): Record<string, number> =>
  Object.fromEntries([...text.matchAll(/"(hmacKeyString|aesKeyString)" "([\w-]+)"/g)].map(([, name = '', key = '']) => [name, Buffer.from(key, 'base64url').length]))
const WHOLE = { signing: { hmacKeyString: 32 }, encryption: { aesKeyString: 16, hmacKeyString: 32 } }

const expectWhole = (text: string, kind: Kind): void => {
  expect(kindOf(text)).toBe(kind)
  expect(text.trim().split('\n')).toHaveLength(1)
  expect(keysIn(text)).toEqual(WHOLE[kind])
}

describe('what is made', () => {
  test.each([[['make']], [['make', '--native']]])('%s: both are whole, on one line, and only their owner reads them', async (args) => {
    const world = stage()
    expect(await world.run('gen-keysets', args)).toMatchObject({ code: 0 })
    for (const kind of kinds) {
      expectWhole(readFileSync(fileOf(world, kind), 'utf8'), kind)
      expect(statSync(fileOf(world, kind)).mode & 0o777).toBe(0o600)
    }
    expect(leftovers(world.state)).toEqual([])
  })

  test('the script of --native, run by bash with the real openssl, makes the same, and another one each time', async () => {
    const world = stage()
    const { stdout, code } = await world.run('gen-keysets', ['make', '--native', '--shell'])
    expect(code).toBe(0)
    const made = [0, 1].map(() => {
      execFileSync('bash', ['-c', stdout], { cwd: world.state, stdio: 'ignore' })
      return kinds.map((kind) => {
        expect(statSync(join(world.state, `keyset-${kind}`)).mode & 0o777).toBe(0o600)
        return readFileSync(join(world.state, `keyset-${kind}`), 'utf8')
      })
    })
    for (const texts of made) kinds.forEach((kind, n) => expectWhole(texts[n] ?? '', kind))
    expect(made[0]).not.toEqual(made[1])
  })

  test('where Docker does not run they are made without it', async () => {
    const world = stage(undefined, (one) => { one.rules.noDocker = true })
    const { code, stderr } = await world.run('gen-keysets', ['make'])
    expect(code).toBe(0)
    expect(stderr).not.toContain('docker run')
    for (const kind of kinds) expectWhole(readFileSync(fileOf(world, kind), 'utf8'), kind)
  })
})

describe('what is there', () => {
  test.each([['something else'], ['{:meta {}, :keys {}}'], ['']])('a file that holds %j is never overwritten', async (text) => {
    const world = stage()
    execFileSync('mkdir', ['-p', join(world.state, 'circleci-runbooks/rehearsal.files')])
    writeFileSync(fileOf(world, 'signing'), text, { mode: 0o600 })
    const { code, stderr } = await world.run('gen-keysets', ['make', '--yes'])
    expect(code).toBe(3)
    expect(stderr).toContain('never overwritten')
    expect(readFileSync(fileOf(world, 'signing'), 'utf8')).toBe(text)
  })

  test('the two in each other\'s place are told apart', async () => {
    const world = stage()
    expect(await world.run('gen-keysets', ['make'])).toMatchObject({ code: 0 })
    const { code, stderr } = await world.run('gen-keysets', ['make', '--signing', 'keyset-encryption', '--encryption', 'keyset-signing'])
    expect(code).toBe(3)
    expect(stderr).toContain('holds the encryption keyset')
  })
})

describe('check', () => {
  test('the installation has those of the files, has others, or the files are not there', async () => {
    const world = stage()
    expect((await world.run('gen-keysets', ['check'])).code).toBe(1)
    await world.run('gen-keysets', ['make'])
    expect(await world.run('gen-keysets', ['check'])).toMatchObject({ code: 0, stdout: expect.stringContaining('All 2 hold.') })
    await world.run('gen-keysets', ['make', '--native', '--signing', 'other-signing'])
    const other = await world.run('gen-keysets', ['check', '--signing', 'other-signing'])
    expect(other.code).toBe(1)
    expect(other.stdout).toContain('Keep the deployed one')
  })
})

describe('the lock of this machine', () => {
  test('one whose holder is gone is taken over; one of another machine says how to remove it', async () => {
    const world = stage()
    const lock = join(world.state, 'circleci-runbooks/machine.lock')
    symlinkSync(`gen-keysets make ${await identityOf(2 ** 22 + 1, 'never')}`, lock)
    expect(await world.run('gen-keysets', ['make'])).toMatchObject({ code: 0 })
    expect(leftovers(world.state)).toEqual([])

    const other = stage()
    const held = join(other.state, 'circleci-runbooks/machine.lock')
    symlinkSync('gen-keysets make operator@laptop-3 4711 elsewhere 1', held)
    const { code, stderr } = await other.run('gen-keysets', ['make'])
    expect(code).toBe(4)
    expect(stderr).toContain('operator@laptop-3 is running gen-keysets make')
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain('machine.lock')
  })

  test('two that take over a lock at once: one of them does it, and none stumbles over the other', async () => {
    const world = stage()
    symlinkSync(`gen-keysets make ${await identityOf(2 ** 22 + 1, 'never')}`, join(world.state, 'circleci-runbooks/machine.lock'))
    const both = await Promise.all([0, 1, 2].map(() => world.run('gen-keysets', ['make'])))
    for (const { code, all } of both) {
      expect([0, 4], all).toContain(code)
      expect(all).not.toContain('defect')
    }
    expect(both.map(({ code }) => code)).toContain(0)
    expect(await world.run('gen-keysets', ['make'])).toMatchObject({ code: 0, stderr: expect.stringContaining('Nothing to do') })
    expect(leftovers(world.state)).toEqual([])
  })

  test('a flag of the cluster is refused: there is none', async () => {
    const { code, stderr } = await stage().run('gen-keysets', ['make', '--namespace', 'circleci-server'])
    expect(code).toBe(2)
    expect(stderr).toContain('Leave --namespace out')
  })
})
