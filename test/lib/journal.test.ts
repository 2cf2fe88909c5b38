import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { checkStateFolder, earlierRuns, folderOf, openJournal, processStart, survivingChild, tilde } from '../../lib/journal.ts'
import { testClock } from './clock.ts'

let folder = ''
beforeEach(() => {
  testClock()
  folder = join(mkdtempSync(join(tmpdir(), 'journal-')), 'a', 'b')
})
afterEach(() => {
  rmSync(join(folder, '../..'), { recursive: true, force: true })
  vi.unstubAllEnvs()
})
const put = (name: string, ...lines: (object | string)[]): void => {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, name), lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n') + '\n')
}
const STEPS = ['grow', 'deploy']
const end = (ms: number, more: object = {}) => ({ event: 'end', code: 0, changes: 3, ms, did: STEPS, ...more })

test('lines are appended with their time, for the owner only', () => {
  const journal = openJournal(folder)
  journal.write({ event: 'start', runbook: 'x' })
  journal.write({ event: 'end', code: 0 }, true)
  journal.close()
  expect(readFileSync(journal.path, 'utf8')).toBe(
    '{"time":"2022-11-22T03:00:00.000Z","event":"start","runbook":"x"}\n{"time":"2022-11-22T03:00:00.000Z","event":"end","code":0}\n')
  expect(statSync(journal.path).mode & 0o777).toBe(0o600)
  expect(statSync(folder).mode & 0o777).toBe(0o700)
})

test('two runs in one second write two journals', () => {
  const [first, second] = [openJournal(folder), openJournal(folder)]
  expect(first.path).not.toBe(second.path)
  first.close()
  second.close()
})

test('one folder an installation and runbook, whatever a context is called', () => {
  vi.stubEnv('XDG_STATE_HOME', '/state')
  expect(folderOf('arn:aws:eks:us-east-1:1:cluster/prod.circleci-server', 'expand-pvc')).toBe('/state/circleci-runbooks/arn_aws_eks_us-east-1_1_cluster_prod.circleci-server/expand-pvc')
  fc.assert(fc.property(fc.string().map((context) => `${context}.circleci-server`), (name) => {
    expect(folderOf(name, 'x').split('/').slice(3)).toHaveLength(2)
    expect(folderOf(name, 'x').split('/')).not.toContain('..')
  }))
})

describe('what earlier runs took', () => {
  test('the last three that changed something and ended well', () => {
    put('20221101T000000.ndjson', end(1000))
    put('20221102T000000.ndjson', end(2000), end(9000, { code: 1 }))
    put('20221103T000000.ndjson', end(9000, { changes: 0 }))
    put('20221104T000000.ndjson', end(3000))
    put('20221105T000000.ndjson', end(4000))
    expect(earlierRuns(folder, STEPS)).toEqual([2000, 3000, 4000])
  })

  test('a run that was told to stop early, did only what another had left, or does not say, is no measure', () => {
    put('20221101T000000.ndjson', end(1000, { did: ['grow'] }))
    put('20221102T000000.ndjson', end(2000, { did: ['deploy'] }))
    put('20221103T000000.ndjson', end(3000))
    put('20221104T000000.ndjson', end(4000, { did: undefined }))
    expect(earlierRuns(folder, STEPS)).toEqual([3000])
    expect(earlierRuns(folder, ['deploy'])).toEqual([2000])
  })

  test('lines that are no JSON, half a line and strange lines are skipped', () => {
    put('20221101T000000.ndjson', '{"event":"end","code":0,"chan', '', 'null', '7', '[]', '"text"', '\u0000\u0000', end(1000), '{"event":"end","code":0,"changes":1,"did":["grow","deploy"],"ms":"soon"}')
    expect(earlierRuns(folder, STEPS)).toEqual([1000])
  })

  test('no journal at all is fine', () => expect(earlierRuns(join(folder, 'none'), STEPS)).toEqual([]))

  test('no content of a journal makes it fail', () => {
    fc.assert(fc.property(fc.array(fc.oneof(fc.string(), fc.json())), (lines) => {
      put('20221101T000000.ndjson', ...lines)
      expect(earlierRuns(folder, STEPS)).toBeInstanceOf(Array)
      expect(survivingChild(folder)).toBeUndefined()
    }), { numRuns: 50 })
  })
})

describe('a child that outlived its run', () => {
  test('is found by pid and start time, and no longer once it has ended', async () => {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' })
    const pid = child.pid as number
    put('20221101T000000.ndjson', { event: 'child', pid, start: processStart(pid), line: 'kubectl kots set config' })
    expect(survivingChild(folder)).toEqual({ pid, line: 'kubectl kots set config' })
    child.kill('SIGKILL')
    await new Promise((resolve) => child.on('close', resolve))
    expect(survivingChild(folder)).toBeUndefined()
  })

  test('another process with its number is not it', () => {
    put('20221101T000000.ndjson', { event: 'child', pid: process.pid, start: '1', line: 'x' })
    expect(survivingChild(folder)).toBeUndefined()
  })

  test('no process, no start', () => {
    expect(processStart(2 ** 22 + 1)).toBeUndefined()
    expect(processStart(process.pid)).toMatch(/\d/)
  })
})

describe('a place that cannot be written', () => {
  test('a path below a file: 3, with another place to name', () => {
    const file = join(folder, '../file')
    mkdirSync(join(folder, '..'), { recursive: true })
    writeFileSync(file, '')
    for (const act of [() => checkStateFolder(join(file, 'state')), () => openJournal(join(file, 'state'))]) {
      expect(act).toThrow(expect.objectContaining({ name: 'Fail', code: 3, next: expect.stringContaining('XDG_STATE_HOME') }))
    }
  })

  test('in the middle of a run it is a failure (1), for then something may have been changed', () => {
    const journal = openJournal(folder)
    journal.close()
    expect(() => journal.write({ event: 'x' })).toThrow(expect.objectContaining({ name: 'Fail', code: 1 }))
  })
})

test('the home folder is written ~', () => {
  vi.stubEnv('HOME', '/home/oncall')
  expect(tilde('/home/oncall/.local/x')).toBe('~/.local/x')
  expect(tilde('/home/oncall2/x')).toBe('/home/oncall2/x')
})
