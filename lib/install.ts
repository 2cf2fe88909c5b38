/**
 * `make install-aws`, `make install-gcp`, `make status`: the parts of an installation, each by its own runbook in a process
 * of its own, in their order, until the first one that fails. What is done already is not begun.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { join } from 'node:path'
import { EXIT, Fail } from './fail.ts'
import { stateFolder } from './journal.ts'
import { OF_CLOUD, type Cloud } from './parts.ts'
import { readEnvFile } from './place.ts'
import { allDone, columnOf, handRows, makeLine, progress, type Progress } from './progress.ts'
import { failureScreen, paint, wrap } from './screens.ts'
import type { Seen, State } from './status.ts'

const root = new URL('..', import.meta.url).pathname
const [cloud = 'aws', what] = process.argv.slice(2) as [Cloud?, string?]
const say = (text: string) => { process.stderr.write(`${text}\n`) }
/** Anything else than yes or no is no no: DRY_RUN=y would be a real run. */
const isOn = (name: string): boolean => {
  const said = process.env[name] ?? ''
  if (/^(1|true|yes|on)$/i.test(said)) return true
  if (/^(0|false|no|off)?$/i.test(said)) return false
  say(`${paint('red', '✗')} ${name}=${said} is neither yes nor no. Nothing was changed. Write ${name}=1, or leave it out.`)
  process.exit(EXIT.usage)
}
const [dryRun, rehearsal] = [isOn('DRY_RUN'), isOn('REHEARSE')]
const env = process.env['ENV_FILE'] || undefined
const line = makeLine(cloud, { env, rehearsal })

/** Where nobody says otherwise: VM service is a part, and so are its jobs; that builds run was proven once, and is not proven again by every look. */
const UNSAID: Record<string, string> = { REALITYCHECK_MAX_AGE: '3650d', REALITYCHECK_GROUPS: 'resource,feature,vm' }

/**
 * What a part is told: of the cloud, that it is this one. A rehearsal begins with nothing, has a state folder of its own,
 * and values for what nobody named.
 */
const environment = async (): Promise<NodeJS.ProcessEnv> => {
  const file = await readEnvFile(env)
  if (!rehearsal) return { ...Object.fromEntries(Object.entries(UNSAID).filter(([name]) => !file[name])), ...process.env, [OF_CLOUD]: cloud }
  const { OTHERWISE, OWN } = await import('./rehearsal/values.ts')
  const said = (all: NodeJS.ProcessEnv) => Object.fromEntries(Object.entries(all).filter(([, value]) => value))
  // All is in the environment then: what is empty there would be looked for in the file.
  return { ...OTHERWISE, ...UNSAID, ...said(file), ...said(process.env), ...OWN, [OF_CLOUD]: cloud, ENV_FILE: '/dev/null', XDG_STATE_HOME: join(stateFolder(), `rehearsal.install-${cloud}`) }
}
const REHEARSED = rehearsal ? ['--rehearse', '--scenario', 'nothing'] : []

/** Runs a runbook, and gives what it prints on stdout where that is wanted; Ctrl-C at the terminal is for it, and it ends by itself. */
const run = async (name: string, args: string[], captured = false): Promise<{ code: number; stdout: string }> => {
  const [script, ...verb] = name.split(' ')
  const child = spawn(process.execPath, [...process.execArgv, join(root, 'runbooks', `${script}.ts`), ...verb, ...args, ...REHEARSED], {
    stdio: ['inherit', captured ? 'pipe' : 'inherit', 'inherit'], env: await environment(),
  })
  let stdout = ''
  child.stdout?.on('data', (part: Buffer) => { stdout += part.toString() })
  const forget = passOn((signal) => child.kill(signal))
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject).on('close', (ended, signal) => resolve(ended ?? 128 + (signal ? constants.signals[signal] : 0)))
  })
  forget()
  return { code, stdout }
}

/** Signals that are sent to this process alone are the child's; that of a terminal it has got by itself. */
const passOn = (to: (signal: NodeJS.Signals) => void): (() => void) => {
  const heard = { SIGINT: () => {}, SIGTERM: to, SIGHUP: to } satisfies Partial<Record<NodeJS.Signals, (signal: NodeJS.Signals) => void>>
  for (const [signal, act] of Object.entries(heard)) process.on(signal, act)
  return () => { for (const [signal, act] of Object.entries(heard)) process.off(signal, act) }
}

const look = async (): Promise<Progress | number> => {
  const { code, stdout } = await run('status', ['--cloud', cloud, '--json'], true)
  const report = stdout.split('\n').find((one) => one.includes('"event":"report"'))
  if (!report) return code
  const { parts, byHand: left } = JSON.parse(report) as { parts: Seen[]; byHand: Progress['left'] }
  return { parts, left }
}

const stopped = (name: string, at: string, code: number): number => {
  say(`\n${paint('red', '✗')} ${wrap(`${line} stopped at ${name} (${at}). What is done stays. ${code > 128 ? 'The' : 'When it is mended, the'} same line goes on there:`, '  ')}\n  ${line}`)
  return code
}

/** Why a part cannot be planned yet; what goes into the cluster is made of what those before it leave. */
const waitsFor = (state: State, before: Seen[]): string | undefined => {
  // They are made in this order: the last one says it all.
  const open = before.findLast(({ state: { is } }) => is !== 'done')
  return open ? `${open.name} is done` : 'waits' in state ? state.waits : undefined
}

const install = async (): Promise<number> => {
  const seen = await look()
  if (typeof seen === 'number') return seen
  const { parts: found, left } = seen
  const end = (more = '') => {
    const rows = handRows(left, columnOf(seen))
    say([`${paint('green', '✓')} ${wrap(`${allDone(found.length, left)}${more}`, '  ')}`, ...(rows.length ? ['There is no runbook yet for the rest:', ...rows] : [])].join('\n'))
  }
  if (what === 'status') {
    const { text, code } = progress(cloud, seen, { env, rehearsal })
    process.stdout.write(`${text}\n`)
    return code
  }
  if (found.every(({ state }) => state.is === 'done')) {
    end(' Nothing to do.')
    return EXIT.done
  }
  const heading = (n: number, name: string) => `\n${paint('bold', `${n} of ${found.length}  ${name}`)}`
  const { code } = await run('preflight', ['--cloud', cloud])
  if (code !== 0 && !dryRun) return stopped('preflight', 'before any change', code)
  let worst = code
  for (const [index, { name, local, state }] of found.entries()) {
    const waits = waitsFor(state, local ? [] : found.slice(0, index))
    say(heading(index + 1, name))
    if (state.is === 'done') say(`${paint('green', '✓')} done`)
    else if (dryRun && waits) say(`${paint('cyan', '•')} ${wrap(`it can be planned once ${waits}`, '  ')}`)
    else {
      // Nobody is there to be asked in a rehearsal: the name that is typed is its context's.
      const answers = rehearsal && !dryRun ? ['--yes', '--confirm', local ? 'this-machine' : 'rehearsal'] : []
      const { code: ended } = await run(name, dryRun ? ['--dry-run'] : answers)
      if (ended !== 0 && !dryRun) return stopped(name, `${index + 1} of ${found.length}`, ended)
      worst ||= ended
    }
  }
  if (dryRun) say(`\nNothing was changed. To run it:\n  ${line}`)
  else {
    say('')
    end()
  }
  return worst
}

process.exitCode = await install().catch((error: unknown) => {
  say(failureScreen(error, false))
  return error instanceof Fail ? error.code : EXIT.failed
})
