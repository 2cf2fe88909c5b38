/**
 * From the command line to the exit code: flags, help, values, where the run happens. The one place that
 * catches; what it needs beyond a usage error it loads only then.
 */
import { existsSync, readFileSync } from 'node:fs'
import type { Definition, Group } from './runbook.ts'
import type { Inputs } from './inputs.ts'
import { EXIT, Fail, fail } from './fail.ts'
import { groupHelp, helpPage, launcher, parseFlags } from './options.ts'
import { verbOf } from './runbook.ts'

export const main = async (what: Definition<Inputs> | Group, args: string[]): Promise<void> => {
  let flags: ReturnType<typeof parseFlags> = {}
  // What a dependency should not use any more is nothing that an operator can mend.
  process.noDeprecation = true
  // Nobody reads any more (a closed terminal, `| head`): the work in hand goes on, the journal has it.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  try {
    const definition = 'verbs' in what ? chosen(what, args[0]) : what
    if (!definition) return void process.stdout.write(groupHelp(what as Group) + '\n')
    flags = parseFlags(definition, 'verbs' in what ? args.slice(1) : args)
    if (flags['help']) return void process.stdout.write(helpPage(definition) + '\n')
    if (flags['version']) return void process.stdout.write(`${definition.name} ${versionOf()}\n`)
    const { operate } = await import('./operate.ts')
    await finish(await operate(definition, flags))
  } catch (error) {
    const { failureScreen } = await import('./screens.ts')
    if (flags['json']) process.stdout.write(JSON.stringify({ v: 1, event: 'error', code: codeOf(error), what: error instanceof Error ? error.message : String(error), ...(error instanceof Fail ? { next: error.next } : {}) }) + '\n')
    process.stderr.write(failureScreen(error, flags['verbose'] === true, { help: `${launcher(what.name)} --help` }) + '\n')
    await finish(codeOf(error))
  }
}

/** The runbook that a verb names; undefined where help is asked for. */
const chosen = (group: Group, word: string | undefined): Definition<Inputs> | undefined => {
  if (word === '--help' || word === '-h') return undefined
  const found = group.verbs.find((one) => verbOf(one) === word)
  if (found) return found as unknown as Definition<Inputs>
  throw fail(word && !word.startsWith('-') ? `${group.name} has no verb ${word}.` : `${group.name} wants a verb first.`,
    `It has: ${group.verbs.map(verbOf).join(', ')}. What each does: ${launcher(group.name)} --help`, { code: EXIT.usage })
}

export const codeOf = (error: unknown): number => (error instanceof Fail ? error.code : EXIT.failed)

/** Ends with everything written; a kept-alive connection must not hold the process. */
const finish = async (code: number): Promise<void> => {
  process.exitCode = code
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise<void>((written) => { stream.write('', () => written()) })))
  process.exit(code)
}

const versionOf = (): string => {
  // From lib/, and from dist/lib/.
  const file = ['../package.json', '../../package.json'].map((path) => new URL(path, import.meta.url)).find((url) => existsSync(url))
  return file ? String((JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version) : 'unknown'
}
