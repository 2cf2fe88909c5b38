/** The contract of the command line: help, values, streams, terminals, signals. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { journals, stage, type Stage } from './harness.ts'

const root = new URL('../..', import.meta.url).pathname
const bundle = join(root, 'dist/expand-pvc.mjs')
const line = ['--db', 'mongodb', '--size', '10Gi']
/** A screen without its line breaks, also those of commands. */
const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')
const bare = (text: string): string => stripVTControlCharacters(text).replaceAll('\r', '')

const events = (text: string): { v: number; event: string; [field: string]: unknown }[] =>
  text.trim().split('\n').map((one) => JSON.parse(one) as { v: number; event: string })

describe('help and version', () => {
  const ask = (...args: string[]): string => execFileSync(process.execPath, [bundle, ...args], { encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: '/none' } })
  const help = ask('--help')

  // The table of the design: flags of every runbook.
  const FLAGS = ['--dry-run', '--plan <file>', '--until <step>', '--shell', '--markdown', '--rehearse', '--scenario <name>', '--yes', '--confirm <name>', '--ignore-preflight <name,…>',
    '--json', '--context <name>', '--kubeconfig <file>', '--namespace <name>', '--env-file <file>', '--timeout <duration>', '--verbose', '--help', '--version']

  test.each([...FLAGS, '--db <mongodb|postgresql>', '--size <size>', '--allow-restart', '--kots-item <key>'])('--help has %s', (flag) => {
    expect(help).toMatch(new RegExp(`^ {2}${flag.replaceAll(/[|.*+?^$()[\]{}\\]/g, '\\$&')}(\\s|$)`, 'm'))
  })

  test('grouped, with lines to paste, variables and exit codes', () => {
    for (const group of ['Lines to paste:', 'This runbook:', 'Look before:', 'Run:', 'Where:', 'Output:']) expect(help).toContain(`\n${group}\n`)
    expect(flat(help)).toContain('npx tsx runbooks/expand-pvc.ts --db mongodb --size 10Gi --context prod-ci --namespace circleci-server --dry-run ')
    for (const name of ['DB', 'SIZE', 'ALLOW_RESTART', 'KOTS_ITEM', 'CIRCLECI_CONTEXT', 'CIRCLECI_NAMESPACE', 'KUBECONFIG']) expect(help).toContain(`[${name}]`)
    for (const name of ['AWS_PROFILE', 'HTTPS_PROXY', 'NO_PROXY', 'NO_COLOR', 'CI']) expect(help).toMatch(new RegExp(`\\b${name}\\b`))
    for (const code of ['0', '1', '2', '3', '4', '5', '6', '128+n']) expect(flat(help.slice(help.indexOf('Exit codes')))).toContain(` ${code} `)
    expect(help).toContain('operations guide, "Internal Database Volume Expansion"')
  })

  test('every line to paste is one that the runbook takes', async () => {
    const examples = [...help.replaceAll(/ \\\n +/g, ' ').matchAll(/^ {2}npx tsx runbooks\/expand-pvc\.ts (.*)$/gm)].map(([, args]) => args ?? '')
    expect(examples.length).toBeGreaterThan(2)
    for (const example of examples) {
      const world = stage()
      const args = example.replace(/--context \S+/, '').replace(/ --rehearse/, '').split(/\s+/).filter(Boolean)
      const { code, stderr } = await world.run('expand-pvc', [...args, ...(args.includes('--yes') || args.includes('--dry-run') ? [] : ['--yes'])])
      expect(code, stderr).toBe(0)
    }
  })

  test('--help wins over everything else, and needs nothing', () => {
    expect(ask(...line, '--help')).toBe(help)
    expect(ask('-h')).toBe(help)
    expect(help).not.toContain('\u001b')
  })

  test('--version', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    expect(ask('--version')).toBe(`expand-pvc ${version}\n`)
  })

  test('--scenario list names every scenario on stdout', () => {
    expect(ask('--scenario', 'list')).toMatch(/^modification-rate {2,}the volumes were changed 20 minutes ago/m)
  })

  test('env.example lists every variable', () => {
    const listed = readFileSync(join(root, 'env.example'), 'utf8')
    for (const [, name] of help.matchAll(/\[([A-Z_]+)\]/g)) expect(listed).toMatch(new RegExp(`^#? ?${name}=`, 'm'))
  })
})

describe('values', () => {
  const sizeOf = async (world: Stage, args: string[], env: Record<string, string> = {}): Promise<unknown> => {
    const { code, stdout, stderr } = await world.run('expand-pvc', [...args, '--dry-run', '--json'], { env })
    expect(code, stderr + stdout).toBe(0)
    const plan = events(stdout).find(({ event }) => event === 'plan') as { inputs?: { size?: string } } | undefined
    return plan?.inputs?.size
  }

  test('flag, environment, .env, in this order; --env-file names another file', async () => {
    const world = stage()
    writeFileSync(join(world.state, '.env'), '# values\nDB=mongodb\nSIZE="11Gi"  # a comment\nCIRCLECI_NAMESPACE=circleci-server\n')
    writeFileSync(join(world.state, 'other.env'), 'DB=mongodb\nSIZE=12Gi\n')
    expect(await sizeOf(world, [])).toBe('11Gi')
    expect(await sizeOf(world, ['--env-file', 'other.env'])).toBe('12Gi')
    expect(await sizeOf(world, ['--env-file', 'other.env'], { SIZE: '13Gi' })).toBe('13Gi')
    expect(await sizeOf(world, ['--size', '14Gi'], { SIZE: '13Gi' })).toBe('14Gi')
    expect(await sizeOf(world, [], { SIZE: '13Gi' })).toBe('13Gi')
  })

  test('env.example, copied and filled in, is one that works', async () => {
    const world = stage()
    const text = readFileSync(join(root, 'env.example'), 'utf8').replace(/^DB=.*$/m, 'DB=mongodb').replace(/^SIZE=.*$/m, 'SIZE=11Gi')
    writeFileSync(join(world.state, '.env'), text)
    expect(await sizeOf(world, [])).toBe('11Gi')
  })

  test('the line that runs it again carries the values, wherever they came from', async () => {
    const world = stage()
    writeFileSync(join(world.state, '.env'), 'DB=mongodb\nSIZE=11Gi\n')
    const { stderr } = await world.run('expand-pvc', ['--dry-run'])
    expect(flat(stderr)).toContain('--db mongodb --size 11Gi --rehearse')
  })
})

describe('the line of a remedy can be pasted', () => {
  /** The words behind the runbook's name in the command that a screen ends with. */
  const pasted = (stderr: string): string[] => {
    const shown = flat(stderr).trim()
    return shown.slice(shown.lastIndexOf('expand-pvc.mjs ')).split(' ').slice(1).filter((word) => word !== '--rehearse')
  }

  test('a question in a pipe: the line with --yes, and what else was given', async () => {
    const world = stage()
    const asked = await world.run('expand-pvc', [...line, '--until', 'grow', '--timeout', '20m'])
    expect(asked.code).toBe(5)
    const again = pasted(asked.stderr)
    expect(again).toEqual([...line, '--timeout', '20m', '--until', 'grow', '--yes'])
    const { code, stderr } = await world.run('expand-pvc', again)
    expect(code, stderr).toBe(0)
    expect(stderr).toContain('Stopped after step grow')
  })

  test('a preflight that fails: the line that ignores it too', async () => {
    const world = stage('old-server', (one) => { one.rules.denied = [{ verb: 'list', group: '', resource: 'resourcequotas' }] })
    const failed = await world.run('expand-pvc', [...line, '--dry-run', '--ignore-preflight', 'server-version'])
    expect(failed.code).toBe(3)
    expect(pasted(failed.stderr)).toEqual([...line, '--ignore-preflight', expect.stringMatching(/^server-version,(permissions|quota)/), '--dry-run'])
  })
})

describe('the estimate', () => {
  test('is of runs that did the same: not of one that stopped early, nor of what it had left', async () => {
    const world = stage()
    const fresh = world.world()
    const again = () => writeFileSync(world.worldFile, JSON.stringify(fresh))
    const planned = async (...more: string[]) => (await world.run('expand-pvc', [...line, '--dry-run', ...more])).stderr
    await world.run('expand-pvc', [...line, '--yes', '--until', 'grow'])
    expect(await planned()).not.toContain('About')
    await world.run('expand-pvc', [...line, '--yes'])
    again()
    expect(await planned()).not.toContain('About')
    expect(await planned('--until', 'grow')).toContain('(as the last run)')
    await world.run('expand-pvc', [...line, '--yes'])
    again()
    expect(await planned()).toMatch(/About .* \(as the last run\)/)
  })
})

test('a proxy is for other machines: a rehearsal behind one runs as without', async () => {
  const proxy = 'http://127.0.0.1:1'
  const quiet = stage(), world = stage()
  await quiet.run('expand-pvc', [...line, '--yes'])
  const { code, stderr } = await world.run('expand-pvc', [...line, '--yes'], { env: { HTTP_PROXY: proxy, http_proxy: proxy, HTTPS_PROXY: proxy, ALL_PROXY: proxy } })
  expect(code, stderr).toBe(0)
  expect(world.essence()).toEqual(quiet.essence())
})

describe('streams', () => {
  test('for people everything is on stderr', async () => {
    for (const args of [['--dry-run'], ['--yes'], []]) {
      const { stdout, stderr } = await stage().run('expand-pvc', [...line, ...args])
      expect(stdout).toBe('')
      expect(stderr).toContain('Plan')
    }
  })

  test('--json: one object a line with v 1, and nothing else on stdout', async () => {
    const world = stage()
    const { code, stdout, stderr } = await world.run('expand-pvc', [...line, '--yes', '--json'])
    expect(code).toBe(0)
    const all = events(stdout)
    for (const one of all) expect(one).toMatchObject({ v: 1, event: expect.any(String), time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) })
    expect([...new Set(all.map(({ event }) => event))]).toEqual(['preflight', 'plan', 'step', 'effect-start', 'effect-end', 'wait', 'end'])
    expect(all.at(-1)).toMatchObject({ event: 'end', code: 0, before: expect.any(Object), after: expect.any(Object), transcript: expect.stringMatching(/\.ndjson$/) })
    expect(stderr).toBe('')
  })

  test.each([['a question', [], 5], ['a preflight that fails', ['--yes'], 3]] as const)('--json tells %s too', async (_, more, code) => {
    const world = stage(code === 3 ? 'quota' : undefined)
    const ended = await world.run('expand-pvc', [...line, ...more, '--json'])
    expect(ended.code).toBe(code)
    expect(events(ended.stdout).at(-1)).toMatchObject({ v: 1, event: 'error', code, what: expect.any(String), next: expect.any(String) })
  })

  test('--shell is a bash script, and nothing else', async () => {
    const { code, stdout } = await stage().run('expand-pvc', [...line, '--shell'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^#!\/usr\/bin\/env bash\n/)
    execFileSync('bash', ['-n'], { input: stdout })
    for (const part of ['set -euo pipefail', 'kubectl --context rehearsal', '--cascade=orphan', 'kubectl kots set config']) expect(stdout).toContain(part)
  })

  /** Runs a script with a kubectl of our own, and tells which lines it ran. */
  const carriedOut = (script: string, kubectl: string): string[] => {
    const folder = mkdtempSync(join(tmpdir(), 'script-'))
    const ran = join(folder, 'ran')
    writeFileSync(ran, '')
    writeFileSync(join(folder, 'kubectl'), `#!/usr/bin/env bash\necho "$*" >> ${ran}\n${kubectl}\n`, { mode: 0o700 })
    const ended = spawnSync('bash', { input: script.replaceAll(/^await\(\) \{$/gm, 'await() { shift 3; "$@" >/dev/null; }\nunused() {'), env: { PATH: `${folder}:${process.env['PATH']}` }, encoding: 'utf8' })
    const lines = readFileSync(ran, 'utf8').split('\n').filter(Boolean)
    rmSync(folder, { recursive: true, force: true })
    return [...lines, `exit ${ended.status}`]
  }

  test('--shell while the stateful set is away: whatever fails first, it is brought back', async () => {
    const world = stage()
    expect(await world.run('expand-pvc', [...line, '--yes', '--until', 'remove-set'])).toMatchObject({ code: 0 })
    const { code, stdout } = await world.run('expand-pvc', [...line, '--shell'])
    expect(code).toBe(0)
    const ran = carriedOut(stdout, `case "$*" in *'patch pvc'*) exit 1;; *'get statefulset'*volumeClaimTemplates*) exit 1;; *'-f -'*) cat > /dev/null;; esac`)
    expect(ran.at(-1)).toBe('exit 1')
    expect(ran.findIndex((one) => one.includes(' create -f -'))).toBeGreaterThan(ran.findIndex((one) => one.includes(' patch pvc ')))
  })

  test('--shell for two databases: one that cannot be created does not keep back the other', async () => {
    const world = stage(), both = ['--db', 'mongodb,postgresql', '--size', '10Gi']
    expect(await world.run('expand-pvc', [...both, '--yes', '--until', 'remove-set'])).toMatchObject({ code: 0 })
    const { stdout } = await world.run('expand-pvc', [...both, '--shell'])
    const ran = carriedOut(stdout, `case "$*" in *'patch pvc'*|*'get statefulset'*volumeClaimTemplates*) exit 1;; *'create -f -'*) cat > /dev/null; exit 1;; *'-f -'*) cat > /dev/null;; esac`)
    expect(ran.filter((one) => one.includes(' create -f -'))).toHaveLength(2)
  })

  test('--shell where nothing is to do is a script too, that does nothing', async () => {
    const world = stage()
    await world.run('expand-pvc', [...line, '--yes'])
    const { code, stdout } = await world.run('expand-pvc', [...line, '--shell'])
    expect(code).toBe(0)
    execFileSync('bash', ['-n'], { input: stdout })
    expect(execFileSync('bash', { input: stdout, env: { PATH: process.env['PATH'] }, encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'] })).toBe('')
  })

  test('--markdown is a page for on-call docs', async () => {
    const { code, stdout, stderr } = await stage().run('expand-pvc', [...line, '--markdown'])
    expect(code, stderr).toBe(0)
    expect(stderr).toBe('')
    expect(stdout).toMatch(/^# expand-pvc: /)
    expect([...stdout.matchAll(/^## (.*)$/gm)].map(([, title]) => title)).toEqual(
      ['When', 'Run it', 'What must hold before', 'By hand, step by step', 'If it fails', 'Afterwards'])
    expect([...stdout.matchAll(/^### \d+\. .* \(`(.*)`\)$/gm)].map(([, id]) => id)).toEqual(
      ['allow-expansion', 'remove-set', 'grow', 'deploy', 'bring-back', 'resize', 'restart', 'verify', 'tidy'])
    // The page is about the procedure: what must hold, not what one installation had.
    const section = (title: string) => stdout.slice(stdout.indexOf(`## ${title}\n`)).replace(/^## .*\n/, '').split(/^## /m)[0] ?? ''
    const conditions = section('What must hold before')
    expect(conditions).toContain('- `backup-recent`: a completed backup of the last 24 hours')
    expect(conditions).toContain('- `size`: 10Gi is a whole number of Gi, and no claim asks for more already')
    expect(conditions).not.toMatch(/8Gi|5 h old|no quota|3\.4\.0|gp2/)
    // A command in prose cannot be pasted.
    for (const text of stdout.matchAll(/^\*\*Going back:\*\* .*$/gm)) expect(text[0]).not.toContain('kubectl')
    expect(stdout).toMatch(/\*\*Going back:\*\* Create the stateful set as it was, from its kept manifest\.\n\n```bash\nkubectl .* create -f -\n```/)
    for (const known of ['VolumeModificationRateExceeded', 'must support resize', 'FileSystemResizePending', 'could not deploy', 'lost connection']) expect(section('If it fails')).toContain(known)
    expect(section('If it fails').match(/^ {2}```bash$/gm)?.length).toBeGreaterThan(4)
    for (const part of ['**Going back:**', '**At risk:**', 'It worked when', '```bash']) expect(stdout).toContain(part)
    expect(stdout).not.toMatch(/undefined|\[object/)
    // Nothing of the machine that made it, and nothing that only a rehearsal has.
    expect(stdout).not.toContain(root)
    expect(stdout).not.toMatch(/--rehearse|\/tmp\//)
    for (const [, code_] of stdout.matchAll(/```bash\n([\s\S]*?)```/g)) execFileSync('bash', ['-n'], { input: code_ })
  })

  test('--markdown for another context and namespace names those', async () => {
    const { stdout } = await stage().run('expand-pvc', [...line, '--markdown', '--context', 'prod-ci'])
    expect(stdout).toContain('--context prod-ci')
    expect(stdout).not.toContain('--context rehearsal')
  })

  test('colour: none in a pipe, none with NO_COLOR, none with CI', async () => {
    for (const env of [{}, { NO_COLOR: '1' }, { CI: 'true' }] as Record<string, string>[]) {
      expect((await stage().run('expand-pvc', [...line, '--dry-run'], { env })).all).not.toContain('\u001b[')
    }
    expect((await stage().run('expand-pvc', [...line, '--dry-run'], { env: { FORCE_COLOR: '1' } })).all).toContain('\u001b[')
  })

  test('in a pipe each line has a time in front, and the waits are told every 30 s', async () => {
    const { stderr } = await stage('deploy-slow').run('expand-pvc', [...line, '--yes'])
    const waits = [...stderr.matchAll(/^(\d\d):(\d\d):(\d\d) ⠿ waiting for the deploy/gm)].map(([, h, m, s]) => Number(h) * 3600 + Number(m) * 60 + Number(s))
    expect(waits.length).toBeGreaterThan(10)
    for (const [n, at] of waits.slice(1).entries()) expect(at - (waits[n] ?? 0)).toBeGreaterThanOrEqual(30)
  })
})

/** A process at a terminal of its own, by util-linux's `script`; keys are typed when a text has appeared. */
interface Typed { code: number | null; screen: string; raw: string }
const hasScript = (() => {
  try {
    return execFileSync('script', ['-qec', 'echo here', '/dev/null'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).includes('here')
  } catch {
    return false
  }
})()
const children: ChildProcess[] = []
afterAll(() => children.forEach((child) => child.kill('SIGKILL')))

const type = (world: Stage, args: string[], keys: [RegExp, string][], { columns = 80, env = {}, file = bundle }: { columns?: number; env?: Record<string, string>; file?: string } = {}): Promise<Typed> =>
  new Promise((resolve, reject) => {
    const command = [process.execPath, file, ...args, '--rehearse'].map((word) => `'${word}'`).join(' ')
    const child = spawn('script', ['-qec', `stty cols ${columns} rows 60; exec ${command}`, '/dev/null'], {
      cwd: world.state, stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], HOME: world.state, XDG_STATE_HOME: world.state, TERM: 'xterm', SHELL: '/bin/sh', ...env },
    })
    children.push(child)
    let raw = '', from = 0
    const left = [...keys]
    const over = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`waited for ${String(left[0]?.[0] ?? 'the end')} in:\n${bare(raw)}`))
    }, 60_000)
    child.stdout.on('data', (part: Buffer) => {
      raw += part.toString()
      const next = left[0]
      if (!next || !next[0].test(bare(raw.slice(from)))) return
      left.shift()
      from = raw.length
      setTimeout(() => child.stdin.write(next[1]), 150)
    })
    child.on('close', (code) => {
      clearTimeout(over)
      resolve({ code, screen: bare(raw), raw })
    })
  })
const UP = '\u001b[A', DOWN = '\u001b[B', ENTER = '\r', CTRL_C = '\u0003'

describe.runIf(hasScript)('at a terminal', () => {
  test('what is missing is asked, wrong input is refused while it is typed, and a yes goes on', async () => {
    const world = stage()
    const { code, screen } = await type(world, [], [
      [/database whose volume grows/, ` ${ENTER}`],
      [/new size of each volume/, '10GB\r'],
      [/10GB is not a size/, '\u007f\u007f\u007f\u007f10Gi\r'],
      [/Go on\?/, 'y'],
      [/may mongodb be restarted/, 'n'],
    ])
    expect(code, screen).toBe(0)
    expect(screen).toContain('mongodb has 10Gi')
    expect(world.world().objects['statefulsets/circleci-server/mongodb']?.['spec'].volumeClaimTemplates[0].spec.resources.requests.storage).toBe('10Gi')
  })

  test('a choice moves with the arrows', async () => {
    const world = stage()
    const { code, screen } = await type(world, ['--size', '10Gi', '--dry-run'], [[/database whose volume grows/, `${DOWN}${UP}${DOWN} ${ENTER}`]])
    expect(code, screen).toBe(0)
    expect(screen).toContain('postgresql')
    expect(screen).toContain('data-postgresql-0')
  })

  test('Enter alone does not go on: 5, and nothing is changed', async () => {
    const world = stage(), before = world.bytes()
    const { code, screen } = await type(world, line, [[/Go on\?/, ENTER]])
    expect(code, screen).toBe(5)
    expect(flat(screen)).toContain('Nothing was changed')
    expect(world.bytes()).toBe(before)
  })

  test.each([['at a value', [], /database whose volume grows/], ['at the confirmation', line, /Go on\?/]] as const)('Ctrl-C %s changes nothing', async (_, args, question) => {
    const world = stage(), before = world.bytes()
    const { code, screen } = await type(world, [...args], [[question, CTRL_C]])
    expect([5, 130], screen).toContain(code)
    expect(world.bytes()).toBe(before)
    expect(screen).not.toMatch(/^\s+at .+:\d+/m)
    expect(journals(world.state)).toBe('')
  })

  test('a CI is no terminal: nothing is asked', async () => {
    const world = stage(), before = world.bytes()
    const { code, screen } = await type(world, line, [], { env: { CI: 'true' } })
    expect(code, screen).toBe(5)
    expect(screen).toContain('--yes')
    expect(world.bytes()).toBe(before)
  })

  test('colour at a terminal, and none with NO_COLOR', async () => {
    expect((await type(stage(), [...line, '--dry-run'], [])).raw).toContain('\u001b[')
    expect((await type(stage(), [...line, '--dry-run'], [], { env: { NO_COLOR: '1' } })).raw).not.toMatch(new RegExp(`${'\u001b'}\\[\\d+m`))
  })

  test.each([80, 60])('the screens keep to %d columns', async (columns) => {
    const world = stage()
    const looked = await type(world, [...line, '--dry-run'], [], { columns })
    const ran = await type(world, [...line, '--yes'], [], { columns })
    const failed = await type(stage('resize-pending'), [...line, '--yes'], [], { columns })
    // A row that is one word (a JSON argument, a path, a template) cannot be broken.
    const tooLong = [looked, ran, failed].flatMap(({ screen }) => screen.split('\n')).filter((row) => row.length > columns && !/^\s*(transcript: |Transcript +)?('[^']*'|\S+)( \\)?$/.test(row))
    expect(tooLong).toEqual([])
  })

  test.each([80, 60])('no row of the live tree breaks at %d columns', async (columns) => {
    const whole = (screen: string) => {
      const tree = screen.slice(screen.indexOf('1 allow-expansion', screen.indexOf('only if needed')), screen.lastIndexOf('9 tidy')).split('\n').slice(1, -1)
      // A row is a step with its sign, or what it waits for; anything else is the rest of one that broke.
      expect(tree.filter((row) => row.trim() && !/^\s*(\S \d [a-z-]+ {2,}\S|› \S)/.test(row))).toEqual([])
      expect(tree.length).toBeGreaterThan(8)
    }
    whole((await type(stage('resize-pending'), [...line, '--yes'], [], { columns })).screen)
    const byHand = await type(stage('no-kots-config'), [...line, '--yes', '--until', 'allow-expansion'], [], { columns })
    const told = byHand.screen.slice(byHand.screen.indexOf('☞'), byHand.screen.indexOf('1 allow-expansion', byHand.screen.indexOf('☞')))
    expect(told.split('\n').filter((row) => row.length > columns)).toEqual([])
  })

  test('Ctrl-C once during a run: the effect in hand ends, the line that resumes is printed, 130', async () => {
    const quiet = stage()
    await quiet.run('expand-pvc', [...line, '--yes'])
    const world = stage(undefined, (one) => { one.pace = 1 / 40 })
    const { code, screen } = await type(world, [...line, '--yes'], [[/waiting for the deploy/, CTRL_C]])
    expect(code, screen).toBe(130)
    expect(flat(screen)).toMatch(/Go on with the same line:.*--db mongodb --size 10Gi --rehearse/)
    // What was asked for is no failure.
    expect(screen).toMatch(/5 bring-back +stopped, as asked/)
    expect(screen).not.toMatch(/[✖✗]/)
    // The stateful set is away: that is said.
    expect(flat(screen)).toMatch(/would not be replaced|no stateful set/)
    expect(world.world().objects['leases/circleci-server/circleci-runbooks']).toBeUndefined()
    const again = await world.run('expand-pvc', [...line, '--yes'])
    expect(again.code, again.stderr).toBe(0)
    expect(world.essence()).toEqual(quiet.essence())
  })

  test('Ctrl-C twice during a run stops at once, and the same line goes on', async () => {
    const quiet = stage()
    await quiet.run('expand-pvc', [...line, '--yes'])
    const world = stage(undefined, (one) => { one.pace = 1 / 40 })
    const { code, screen } = await type(world, [...line, '--yes'], [[/waiting for the deploy/, CTRL_C + CTRL_C]])
    expect(code, screen).toBe(130)
    // Once, whichever of the two signals it was that ended it; and that the stateful set is away.
    expect(flat(screen).match(/Go on with the same line:.*?--db mongodb --size 10Gi --rehearse/g)).toHaveLength(1)
    expect(flat(screen)).toContain('mongodb may have no stateful set now')
    const again = await world.run('expand-pvc', [...line, '--yes'])
    expect(again.code, again.stderr).toBe(0)
    expect(world.essence()).toEqual(quiet.essence())
  })
})

/** A runbook whose only effect takes its time, behind a danger and before a step that must not be left out. */
describe('an effect that takes long', () => {
  const folder = mkdtempSync(join(root, 'test', '.tiny-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'slow-it.mjs')
  beforeAll(async () => {
    writeFileSync(join(folder, 'slow-it.ts'), `
      import { done, minutes, step } from '../../lib/effect.ts'
      import { flag } from '../../lib/inputs.ts'
      import { runbook } from '../../lib/runbook.ts'
      import { runTool } from '../../lib/tools.ts'
      const tool = (words, more) => ({ id: words[0], again: 'mint', command: { words }, call: () => runTool(words, 'x', minutes(60)), ...more })
      let opened = false
      const opens = () => { opened = true }
      export default runbook(import.meta, {
        name: 'slow-it', purpose: 'take long', guide: 'none', when: 'never', examples: [], afterwards: [], inputs: { really: flag('really') },
        preflight: () => [], facts: async () => ({ it: 'is' }), outcome: () => 'it is over',
        steps: () => [
          step('open', 'Open it', async () => (opened ? done('open') : [{ ...tool(['true'], { danger: 'it is open' }), call: async () => opens() }])),
          step('slow', 'Take long', async () => [tool(['sleep', '30'])], { back: 'Close it by hand.' }),
          step('after', 'Go on', async () => [tool(['false'])], { back: 'Never said.' }),
          step('close', 'Close it', async () => [tool(['false'])], { back: 'It is open, and the same line closes it.', always: async () => true }),
        ],
      })
    `)
    await build({
      entryPoints: [join(folder, 'slow-it.ts')], bundle: true, platform: 'node', format: 'esm', outfile: file, logLevel: 'warning',
      banner: { js: 'import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);' },
    })
  })
  const last = (text: string) => {
    expect(text.match(/Go on with the same line:/g)).toHaveLength(1)
    expect(flat(text.slice(text.lastIndexOf('Stopped at once')))).toMatch(
      /^Stopped at once, in step slow\. ! Close it by hand\. ! It is open, and the same line closes it\. Go on with the same line: .*slow-it.* --rehearse --yes/)
  }

  test.runIf(hasScript)('at a terminal its seconds count; the first Ctrl-C is answered while it runs, the second ends it, with how to go on', async () => {
    const world = stage(undefined, (one) => { one.pace = 1 / 40 })
    const { code, screen, raw } = await type(world, ['--yes'], [
      [/running sleep · 1 s/, CTRL_C],
      [/\^C finishing “sleep”, then stopping\. Again to stop at once\.[^]*running sleep · [2-9] s/, CTRL_C],
    ], { file })
    expect(code, screen).toBe(130)
    last(screen)
    // What was asked for is no failure, and the cursor is there again.
    expect(screen).not.toMatch(/[✖✗]|ended with 143/)
    expect(raw.lastIndexOf('\u001b[?25h')).toBeGreaterThan(raw.lastIndexOf('\u001b[?25l'))
  })

  test('in a pipe too', async () => {
    const world = stage(undefined, (one) => { one.pace = 1 / 40 })
    const ended = await world.run(relative(join(root, 'dist'), join(folder, 'slow-it')), ['--yes'], { onStart: (pid) => {
      let times = 0
      const watch = setInterval(() => {
        if (!journals(world.state).includes('"event":"child"')) return
        process.kill(pid, 'SIGTERM')
        if (++times === 2) clearInterval(watch)
      }, 1000)
    } })
    expect(ended.code, ended.all).toBe(143)
    last(ended.stderr)
    expect(ended.stderr).not.toContain('✗')
    expect(journals(world.state).trim().split('\n').at(-1)).toMatch(/"event":"end","code":143,.*"error":"stopped at once"/)
  })
})

describe('signals without a terminal', () => {
  test.each([['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const)('%s: %d, and the same line goes on', async (signal, code) => {
    const world = stage(undefined, (one) => { one.pace = 1 / 40 })
    const ended = await world.run('expand-pvc', [...line, '--yes', '--json'], { onStart: (pid) => {
      const watch = setInterval(() => {
        if (!journals(world.state).includes('"keep statefulset/mongodb"')) return
        clearInterval(watch)
        process.kill(pid, signal)
      }, 20)
    } })
    expect(ended.code, ended.all).toBe(code)
    expect(events(ended.stdout).at(-1)).toMatchObject({ code })
    expect((await world.run('expand-pvc', [...line, '--yes'])).code).toBe(0)
  })
})

/** Pids of the direct children, on Linux. */
const childrenOf = (pid: number): number[] => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
const until = async (what: () => boolean): Promise<void> => {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 20))
}

// tsx kills a child that does not answer a Ctrl-C within 60 ms. A stopped one cannot; a busy machine is no reason to be killed.
test.runIf(existsSync('/proc/self/task'))('Ctrl-C through tsx reaches a run that is busy just then, once, and does not kill it', { retry: 2 }, async () => {
  const world = stage(undefined, (one) => { one.pace = 1 / 40 })
  const tsx = spawn(process.execPath, [join(root, 'node_modules/tsx/dist/cli.mjs'), join(root, 'runbooks/expand-pvc.ts'), ...line, '--yes', '--rehearse'], {
    cwd: world.state, detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], HOME: world.state, XDG_STATE_HOME: world.state },
  })
  children.push(tsx)
  let said = ''
  tsx.stderr.on('data', (part: Buffer) => { said += part.toString() })
  const ended = new Promise<number | null>((resolve) => { tsx.on('close', resolve) })
  await until(() => tsx.exitCode !== null || journals(world.state).includes('"child"'))
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const pid = tsx.pid ?? 0
  const [inner = 0] = childrenOf(pid).filter((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('expand-pvc'))
  const beside = childrenOf(inner)
  process.kill(inner, 'SIGSTOP')
  process.kill(-pid, 'SIGINT')
  await new Promise((resolve) => setTimeout(resolve, 300))
  process.kill(inner, 'SIGCONT')
  expect(await ended, said).toBe(130)
  expect(said.match(/\^C/g), said).toHaveLength(1)
  expect(flat(said)).toMatch(/Go on with the same line:.*--db mongodb --size 10Gi --rehearse/)
  expect(events(journals(world.state)).at(-1)).toMatchObject({ event: 'end', code: 130 })
  // Nothing stays behind.
  await until(() => beside.every((child) => !existsSync(`/proc/${child}`)))
})

/** A runbook of one step, which deletes a Secret: what data loss asks of the operator. */
describe('where data can be lost', () => {
  const folder = mkdtempSync(join(root, 'test', '.tiny-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const tiny = relative(join(root, 'dist'), join(folder, 'lose-it'))
  beforeAll(async () => {
    writeFileSync(join(folder, 'lose-it.ts'), `
      import { done, step } from '../../lib/effect.ts'
      import { flag } from '../../lib/inputs.ts'
      import { remove } from '../../lib/cluster/changes.ts'
      import { notGoing } from '../../lib/cluster/checks.ts'
      import { read, ref } from '../../lib/cluster/objects.ts'
      import { runbook } from '../../lib/runbook.ts'
      const secret = ref('Secret', 'kotsadm-encryption')
      const target = ref('StatefulSet', 'mongodb')
      export default runbook(import.meta, {
        name: 'lose-it', purpose: 'lose it', guide: 'none', when: 'never', examples: [], afterwards: [], inputs: { really: flag('really') },
        preflight: () => [], facts: async () => ({ set: (await read(target)) ? 'there' : 'gone', kept: secret.name }), outcome: () => 'it is gone',
        steps: () => [step('lose', 'Lose it', async () => (await read(target)) ? [{ ...remove(target, undefined, { orphan: true, danger: 'all of it' }), final: 'Data can be lost' }] : done('it is gone'), { verify: async () => [notGoing(target)] })],
      })
    `)
    await build({
      entryPoints: [join(folder, 'lose-it.ts')], bundle: true, platform: 'node', format: 'esm', outfile: join(folder, 'lose-it.mjs'), logLevel: 'warning',
      banner: { js: 'import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);' },
    })
  })

  test.each([['--yes alone', ['--yes']], ['another name', ['--yes', '--confirm', 'prod-ci']], ['nothing', []]] as const)('%s is not enough: 5, with the line to add', async (_, args) => {
    const world = stage(), before = world.bytes()
    const { code, stderr } = await world.run(tiny, [...args])
    expect(code, stderr).toBe(5)
    expect(flat(stderr)).toContain('all of it')
    expect(flat(stderr)).toContain('--confirm rehearsal')
    expect(flat(stderr)).toMatch(/Same line node .*lose-it.*--rehearse .*--confirm rehearsal/)
    expect(world.bytes()).toBe(before)
  })

  test('the name and --yes go on; the name alone answers only its own question', async () => {
    const world = stage()
    const { code, stderr } = await world.run(tiny, ['--yes', '--confirm', 'rehearsal'])
    expect(code, stderr).toBe(0)
    expect(world.world().objects['statefulsets/circleci-server/mongodb']).toBeUndefined()
  })

  test('a reviewed plan does not stand in for the name', async () => {
    const world = stage(), before = world.bytes()
    const plan = await world.run(tiny, ['--dry-run', '--json'])
    writeFileSync(join(world.state, 'plan.json'), plan.stdout)
    const { code, stderr } = await world.run(tiny, ['--plan', 'plan.json'])
    expect(code, stderr).toBe(5)
    expect(world.bytes()).toBe(before)
    expect((await world.run(tiny, ['--plan', 'plan.json', '--confirm', 'rehearsal'])).code).toBe(0)
  })

  test.runIf(hasScript)('at a terminal the name is typed; anything else is a no', async () => {
    const world = stage(), before = world.bytes()
    const refused = await type(world, ['--yes'], [[/Type rehearsal to go on/, 'yes\r']], { file: join(folder, 'lose-it.mjs') })
    expect(refused.code, refused.screen).toBe(5)
    expect(world.bytes()).toBe(before)
    const { code, screen } = await type(world, ['--yes'], [[/Type rehearsal to go on/, 'rehearsal\r']], { file: join(folder, 'lose-it.mjs') })
    expect(code, screen).toBe(0)
  })
})

describe('how it is started', () => {
  const home = mkdtempSync(join(tmpdir(), 'started-'))
  afterAll(() => rmSync(home, { recursive: true, force: true }))
  const started = (command: string, args: string[]): string =>
    execFileSync(command, args, { cwd: root, encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: home, XDG_STATE_HOME: home }, stdio: ['ignore', 'pipe', 'pipe'] })

  test('npx tsx runbooks/expand-pvc.ts', () => {
    expect(started(join(root, 'node_modules/.bin/tsx'), ['runbooks/expand-pvc.ts', '--help'])).toContain('Lines to paste')
  })

  // Each launcher with each way to name the file. Node loads the file of --env-file as well; the values are the same.
  const launchers: [string, string[]][] = [
    ['tsx', [join(root, 'node_modules/.bin/tsx'), 'runbooks/expand-pvc.ts']], ['node --import tsx', [process.execPath, '--import', 'tsx', 'runbooks/expand-pvc.ts']],
    ['one file', [process.execPath, bundle]],
  ]
  test.each(launchers)('%s: an env file named by ENV_FILE, --env-file FILE and --env-file=FILE', (_, [command = '', ...first]) => {
    const file = join(home, 'other.env')
    writeFileSync(file, 'DB=mongodb\nSIZE=12Gi\n')
    const sizeWith = (flags: string[], env: Record<string, string> = {}): unknown => {
      const said = execFileSync(command, [...first, ...flags, '--rehearse', '--dry-run', '--json'], {
        cwd: root, encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: home, XDG_STATE_HOME: home, ...env }, stdio: ['ignore', 'pipe', 'pipe'],
      })
      return (events(said).find(({ event }) => event === 'plan') as { inputs?: { size?: string } } | undefined)?.inputs?.size
    }
    expect(sizeWith([], { ENV_FILE: file })).toBe('12Gi')
    expect(sizeWith(['--env-file', file])).toBe('12Gi')
    expect(sizeWith([`--env-file=${file}`])).toBe('12Gi')
    expect(sizeWith(['--size', '14Gi'], { ENV_FILE: file, SIZE: '13Gi' })).toBe('14Gi')
  })

  test('the file is executable', () => {
    expect(readFileSync(join(root, 'runbooks/expand-pvc.ts'), 'utf8')).toMatch(/^#!\/usr\/bin\/env -S npx tsx\n/)
    execFileSync('test', ['-x', join(root, 'runbooks/expand-pvc.ts')])
  })

  test('node runbooks/expand-pvc.ts, where Node strips types', ({ skip }) => {
    if (!(process.features as { typescript?: unknown }).typescript) skip(`Node ${process.version} does not strip types (22.18 does)`)
    expect(started(process.execPath, ['runbooks/expand-pvc.ts', '--help'])).toContain('Lines to paste')
    expect(started(process.execPath, ['runbooks/expand-pvc.ts', ...line, '--markdown'])).toContain('# expand-pvc')
  })

  test('through a link, as one file, from elsewhere', () => {
    mkdirSync(join(home, 'bin'), { recursive: true })
    const link = join(home, 'bin', 'expand-pvc')
    if (!existsSync(link)) execFileSync('ln', ['-s', bundle, link])
    expect(execFileSync(process.execPath, [link, '--version'], { cwd: home, encoding: 'utf8' })).toMatch(/^expand-pvc \d/)
  })
})
