/**
 * One run of a runbook, in the order that every procedure keeps: preflight, plan, questions, steps,
 * verification, summary; and the ways to look without running (dry run, script, page).
 */
import type { Definition, Procedure } from './runbook.ts'
import type { Inputs, Values } from './inputs.ts'
import type { Plan, PlannedEffect } from './plan.ts'
import type { Preflight, Step } from './effect.ts'
import type { CheckResult } from './screens.ts'
import type { Chosen, Flags, Place, ReviewedPlan } from './place.ts'
import type { View } from './view.ts'
import { askName, askYes, atTerminal, declined } from './ask.ts'
import { clock } from './clock.ts'
import { EXIT, Fail, fail } from './fail.ts'
import { verdictOf } from './findings.ts'
import { flagOf } from './inputs.ts'
import { checkStateFolder, earlierRuns, folderOf } from './journal.ts'
import { sweepLock } from './lock.ts'
import { sweepMachine } from './machine.ts'
import { launcher, repeatLine, sameLine, startOf } from './options.ts'
import { homeOf, reads } from './runbook.ts'
import { chooseValues, goTo, mustBeOf, readPlan, serverOf } from './place.ts'
import { dangersOf, effectsOf, makePlan, mustMatch, nothingToDo, openSteps } from './plan.ts'
import { estimateOf, factsScreen, paint, planScreen, preflightScreen, stops, width, wrap } from './screens.ts'
import { line as words, wrapLine } from './shell.ts'
import { jsonView, plainView, treeView } from './view.ts'
import { perform, waitForSurvivor } from './perform.ts'

/** Runs the runbook as the flags say and returns the exit code. */
export const operate = async (definition: Definition<Inputs>, flags: Flags): Promise<number> => {
  if (flags['scenario'] === 'list') return listScenarios()
  // Ignored, it would be a real run by somebody who means to practise.
  if (flags['scenario'] && !flags['rehearse'] && !flags['markdown']) {
    throw fail('--scenario belongs to a rehearsal; add --rehearse.', 'Nothing was changed. With --rehearse the line plays the scenario; without --scenario it runs for real.', { code: EXIT.usage })
  }
  const json = flags['json'] === true
  const interactive = atTerminal(json)
  const reviewed = flags['plan'] ? readPlan(String(flags['plan']), definition, flags) : undefined
  const timeout = durationOf(flags['timeout'])
  const { values, where, sources } = await chooseValues(definition, flags, interactive, reviewed)
  const view = json ? jsonView() : interactive && !flags['verbose'] ? treeView() : plainView(flags['verbose'] === true)
  const place = await goTo(where, flags, interactive, definition)
  try {
    if (reviewed) mustBeOf(reviewed, place)
    return await operateAt(place, definition, flags, values, { view, where, sources, interactive, reviewed, timeout })
  } finally {
    await place.leave()
  }
}

interface Manner extends Pick<Chosen, 'where' | 'sources'> { view: View; interactive: boolean; reviewed: ReviewedPlan | undefined; timeout: number | undefined }

const operateAt = async (place: Place, definition: Definition<Inputs>, flags: Flags, values: Values<Inputs>, manner: Manner): Promise<number> => {
  const { view } = manner
  const only = ['dryRun', 'shell', 'markdown'].find((key) => flags[key])
  if (reads(definition) && only && only !== 'dryRun') {
    throw fail(`${definition.name} only reads: there is nothing to ${only === 'shell' ? 'script' : 'write a page of'}.`, `${launcher(definition.name)}, without --${only}`, { code: EXIT.usage })
  }
  if (!reads(definition)) mustKnow(definition.steps(values), flags['until'])
  if (only !== 'markdown' && only !== 'shell') view.say(header(definition, place, manner.where))
  const folder = folderOf(installationOf(place), definition.name)
  if (!only && !reads(definition)) {
    checkStateFolder(folder)
    await waitForSurvivor(folder, view)
  }
  const ask = () => look(definition.preflight(values), String(flags['ignorePreflight'] ?? ''))
  const results = await ask()
  const stopped = results.filter(stops)
  if (only !== 'markdown') {
    view.data({ event: 'preflight', checks: results.map(({ name, verdict, ignored }) => ({ name, ...verdict, ignored })) })
    if (results.length && (stopped.length || only !== 'shell')) view.say(preflightScreen(results, flags['verbose'] === true) + '\n')
    if (stopped.length) throw preflightFailure(stopped, (more) => repeatLine(definition, values, { ...flags, ...more }, place.cluster), flags)
  }
  if (!reads(definition)) return proceed(place, definition, flags, values, manner, { only, folder, results, ask })
  const { text, data, code } = await definition.report(values, { way: place.way, sources: manner.sources })
  if (!flags['json']) process.stdout.write(text + '\n')
  view.data({ event: 'report', runbook: definition.name, ...data })
  view.data({ event: 'end', code, changes: 0 })
  return code
}

const mustKnow = (steps: Step[], until: string | boolean | undefined): void => {
  if (until === undefined || steps.some(({ id }) => id === until)) return
  throw fail(`There is no step ${until}.`, `It has: ${steps.map(({ id }) => id).join(', ')}.`, { code: EXIT.usage })
}

const installationOf = ({ cluster, local, rehearsal }: Place): string => (local && rehearsal ? 'rehearsal.local' : `${cluster.context}.${cluster.namespace}`)

interface Looked { only: string | undefined; folder: string; results: CheckResult[]; ask(): Promise<CheckResult[]> }

/** The part of a run that a reading one has not: plan, questions, steps. */
const proceed = async (place: Place, definition: Procedure<Inputs>, flags: Flags, given: Values<Inputs>, manner: Manner, { only, folder, results, ask }: Looked): Promise<number> => {
  const { view, interactive, reviewed } = manner
  const { cluster } = place
  let values = given
  let steps = definition.steps(values)
  const until = flags['until'] === undefined ? undefined : String(flags['until'])
  const line = () => sameLine(definition, values, flags, { ...cluster, kubeconfig: manner.where.kubeconfig })
  const questions = asks(results)
  const facts = await definition.facts(values)
  const plan = await makePlan(steps, questions)
  if (only === 'markdown') {
    const { markdownPage } = await import('./page.ts')
    const shown = sameLine(definition, values, {}, { ...cluster, kubeconfig: undefined }, startOf(definition.name))
    const page = await markdownPage(definition, values, shown, steps, plan.steps)
    // The page is made on an example installation; what nobody named yet is a placeholder.
    const { context = 'CONTEXT', namespace = cluster.namespace } = manner.where
    process.stdout.write(page.replaceAll(`--context ${cluster.context}`, () => `--context ${context}`)
      .replaceAll(new RegExp(`(-n|--namespace) ${cluster.namespace}\\b`, 'g'), (_, name: string) => `${name} ${namespace}`))
    return EXIT.done
  }
  const inputs = Object.fromEntries(Object.entries(definition.inputs).flatMap(([key, input]) => (values[key] === undefined || input.secret ? [] : [[key, input.text(values[key])]])))
  view.data({ event: 'plan', runbook: definition.name, inputs, context: cluster.context, namespace: cluster.namespace, server: serverOf(place), facts, ...plan })
  if (reviewed) mustMatch(plan, reviewed)
  if (only === 'shell') {
    const { bashScript } = await import('./script.ts')
    process.stdout.write(await bashScript([`${definition.name}: ${definition.purpose}`, `For ${place.local ? 'this machine' : `context ${cluster.context}, namespace ${cluster.namespace}`}, as things were at ${new Date(clock.now()).toISOString()}.`, `It does not resume; this line does: ${line()}`], steps))
    return EXIT.done
  }
  if (nothingToDo(plan)) {
    if (!only && place.local) await sweepMachine()
    else if (!only) for (const home of new Set([homeOf(definition), undefined])) await sweepLock(home)
    view.say(`${paint('green', '✓')} ${definition.outcome(values)}. Nothing to do.\n${factsScreen({}, facts)}`)
    view.data({ event: 'end', code: 0, changes: 0, before: facts, after: facts })
    return EXIT.done
  }
  const openQuestions = interactive || only ? plan.permissions : []
  view.say(`${paint('bold', 'Now')}\n${factsScreen({}, facts)}\n`)
  view.say(planScreen(plan, estimateOf(earlierRuns(folder, openSteps(plan, until))), Boolean(only) || flags['verbose'] === true))
  if (only === 'dryRun') {
    view.say(['', ...questionsOf(plan).map((question) => `Will ask: ${wrap(question, '          ')}`), ...openQuestions.map(({ ask }) => `May ask: ${wrap(ask, '         ')}`), 'Run it:', ...wrapLine(line(), width(), '  ')].join('\n'))
    return EXIT.done
  }
  await mustBeWanted(plan, reviewed ? [] : questionsOf(plan), cluster.context, flags, interactive, (more) => repeatLine(definition, values, { ...flags, ...more }, cluster))
  if (!flags['yes'] && interactive) {
    for (const { ask, flag } of openQuestions) {
      if (await askYes(ask)) values = { ...values, [Object.keys(definition.inputs).find((key) => flagOf(key) === flag) ?? '']: true }
    }
    steps = definition.steps(values)
  }
  return perform({ definition, values, steps, plan, view, folder, facts, until, timeout: manner.timeout, verbose: flags['verbose'] === true, line: line(), installation: installationOf(place), local: place.local, recheck: async () => {
    const now = await ask()
    mustStillHold(now, questions)
    const again = await makePlan(steps, asks(now))
    if (reviewed) mustMatch(again, reviewed)
    return again
  } })
}

const asks = (results: CheckResult[]): string[] => results.flatMap(({ verdict }) => (verdict.is === 'ask' ? [verdict.say] : []))

/** Minutes may lie between the preflight and the lock, at a prompt or behind another run: what nobody agreed to is not begun. */
const mustStillHold = (now: CheckResult[], agreed: string[]): void => {
  const stale = [...now.filter(stops).map(({ name, verdict }) => `${name}: ${verdict.say}`), ...asks(now).filter((question) => !agreed.includes(question))]
  if (stale.length) throw fail(`Things have changed since the preflight. ${stale.join('; ')}`, 'Nothing was changed. Repeat the same line; it looks at everything afresh, and asks.', { code: EXIT.stale })
}

const header = (definition: Definition<Inputs>, { cluster, local, rehearsal }: Place, { context, namespace }: Chosen['where']): string => {
  const others = local ? [] : [...(context && context !== cluster.context ? [`context ${context}`] : []), ...(namespace && namespace !== cluster.namespace ? [`namespace ${namespace}`] : [])]
  return [
    ...(rehearsal ? [paint('magenta', wrap(`REHEARSAL · nothing real is touched · world: ${rehearsal} · make rehearse-reset starts afresh`))] : []),
    ...(rehearsal && others.length ? [wrap(`A rehearsal has a context and a namespace of its own; ${others.join(' and ')}, as named, ${others.length > 1 ? 'are' : 'is'} left alone.`)] : []),
    paint('bold', wrap(`${definition.name} · ${definition.purpose}`)),
    wrap(definition.cluster === 'perhaps' ? 'on this machine, and in a cluster where there is one'
      : local ? 'on this machine: no cluster is needed, and the lock guards this machine alone' : `cluster ${cluster.name} (context ${cluster.context}) · namespace ${cluster.namespace}`), '',
  ].join('\n')
}

/** Looks at every condition, all at once. */
const look = async (checks: Preflight[], ignore: string): Promise<CheckResult[]> => {
  const ignored = ignore.split(',').map((name) => name.trim()).filter(Boolean)
  const unknown = ignored.find((name) => !checks.some((check) => check.name === name))
  if (unknown) throw fail(`There is no preflight check ${unknown}.`, `It has: ${checks.map(({ name }) => name).join(', ')}.`, { code: EXIT.usage })
  return Promise.all(checks.map(async (check) => ({ name: check.name, verdict: await verdictOf(check), ignored: ignored.includes(check.name) })))
}

const preflightFailure = (stopped: CheckResult[], line: (more: Flags) => string, flags: Flags): Fail => {
  const names = stopped.map(({ name }) => name).join(', ')
  const ignorable = stopped.flatMap(({ name, verdict }) => ('final' in verdict ? [] : [name]))
  // Of a flag that is given twice the last one holds: what was ignored before has to stay so.
  const ignorePreflight = [flags['ignorePreflight'], ...ignorable].filter(Boolean).join(',')
  const better = ignorable.length === stopped.length ? ` Where you know better, with --ignore-preflight ${ignorable.join(',')}: ${line({ ignorePreflight })}` : ''
  return fail(`Preflight failed: ${names}. Nothing was changed.`, `Mend what is marked ✗ above, then repeat the same line.${better}`, { code: EXIT.preflight })
}

/** What a person has to do while the run waits: asked first, for nobody may be there to do it. */
const byHand = (plan: Plan): string[] => plan.steps.flatMap(({ id, state, why }) =>
  (state === 'manual' ? [`Step ${id} waits until a person has done it, ${why.split('\n')[0]?.replace(/:$/, '')}. Will somebody do it?`] : []))

/** What has to be answered before the first change. */
const questionsOf = (plan: Plan): string[] => [...plan.questions, ...byHand(plan), ...(dangersOf(plan).length ? [`Go on? At risk: ${dangersOf(plan).join('; ')}.`] : [])]

const mustBeWanted = async (plan: Plan, questions: string[], name: string, flags: Flags, interactive: boolean, line: (more: Flags) => string): Promise<void> => {
  const final = effectsOf(plan).find((effect: PlannedEffect) => effect.final)?.final
  if (final) {
    const typed = flags['confirm'] === name || (interactive && flags['confirm'] === undefined && await askName(`${final}: ${dangersOf(plan).join('; ')}.`, name))
    if (!typed) throw fail(`${final}, and ${flags['confirm'] === undefined ? 'nobody confirmed it' : `“${String(flags['confirm'])}” is not this installation`}.`, `Nothing was changed. To go on: --confirm ${name}`, { code: EXIT.declined, line: line({ confirm: undefined }), add: words(['--confirm', name]) })
  }
  if (flags['yes'] || !questions.length) return
  if (!interactive) {
    throw fail(`There is a question, and no terminal to ask at: ${questions.join(' ')}`, 'Nothing was changed. Read the plan (--dry-run); to answer yes, add --yes.', { code: EXIT.declined, line: line({}), add: '--yes' })
  }
  for (const question of questions) if (!await askYes(question)) throw declined('Declined.')
}

const durationOf = (text: string | boolean | undefined): number | undefined => {
  if (text === undefined) return undefined
  const match = /^(\d+)(s|m|h)$/.exec(String(text))
  if (!match) throw fail(`--timeout ${String(text)} is no duration.`, 'Write 90s, 20m or 2h.', { code: EXIT.usage })
  return Number(match[1]) * { s: 1000, m: 60_000, h: 3_600_000 }[match[2] as 's' | 'm' | 'h']
}

const listScenarios = async (): Promise<number> => {
  const { scenarios } = await import('./rehearsal/index.ts')
  const column = Math.max(...Object.keys(scenarios).map((name) => name.length)) + 2
  process.stdout.write(Object.entries(scenarios).map(([name, say]) => `${name.padEnd(column)}${say}`).join('\n') + '\n')
  return EXIT.done
}
