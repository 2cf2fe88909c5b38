/**
 * The part of a run that changes the world: journal, lock, signals, steps, and what is said at the end, however
 * it ends.
 */
import type { Procedure } from './runbook.ts'
import type { Step } from './effect.ts'
import type { Inputs, Values } from './inputs.ts'
import type { Journal } from './journal.ts'
import type { Plan } from './plan.ts'
import type { RunEvent, View } from './view.ts'
import { clock, pause } from './clock.ts'
import { isDone } from './effect.ts'
import { lookAgain, openDoor } from './door.ts'
import { EXIT, Fail, Stopped, sentence } from './fail.ts'
import { openJournal, processStart, survivingChild, tilde } from './journal.ts'
import type { Lock } from './lock.ts'
import { bothOf, me, noneWithoutNamespace, takeLock } from './lock.ts'
import { lockMachine } from './machine.ts'
import { confirmationOf, duration, effectsOf, openSteps } from './plan.ts'
import { runSteps } from './run.ts'
import { afterwardsOf, homeOf } from './runbook.ts'
import { factsScreen, failureScreen, paint, width, wrap } from './screens.ts'
import { wrapLine } from './shell.ts'
import { onSignals } from './signals.ts'
import { prepareTools, stopTools } from './tools.ts'

export interface Performance {
  definition: Procedure<Inputs>
  values: Values<Inputs>
  steps: Step[]
  plan: Plan
  view: View
  folder: string
  facts: Record<string, string>
  until: string | undefined
  timeout: number | undefined
  verbose: boolean
  line: string
  installation: string
  /** It needs no cluster: its lock is one of this machine. */
  local: boolean
  /** Fails where the reviewed plan no longer holds; asked again once the lock is ours. */
  recheck: (() => Promise<Plan>) | undefined
}

/** A child of a run that was killed still changes the world: its end is waited for, it is not doubled. */
export const waitForSurvivor = async (folder: string, view: View): Promise<void> => {
  for (let told = false; ; told = true) {
    const child = survivingChild(folder)
    if (!child) return
    if (!told) view.say(wrap(`An earlier run was killed, and its command still runs (process ${child.pid}): ${child.line}\nWaiting for it to end.`))
    await pause(500)
  }
}

export const perform = async (performance: Performance): Promise<number> => {
  const { definition, values, steps, plan, view, facts, line } = performance
  const began = clock.now()
  const journal = openJournal(performance.folder)
  let inHand: string | undefined
  let sent = 0
  let over = false
  const soFar: SoFar = { open: undefined, done: new Set(), sent: new Set() }
  const signals = onSignals(
    () => view.say(`\n^C ${inHand ? `finishing “${inHand}”, then stopping` : 'stopping'}. Again to stop at once.`),
    (exit) => {
      stopTools()
      // Children get a moment to end before we do.
      setTimeout(() => {
        if (!over) {
          safely(() => end(exit, { error: 'stopped at once' }))
          view.last(leftScreen(performance, soFar))
        }
        process.exit(exit)
      }, 300)
    },
  )
  let lock: Lock | undefined
  let begun = false
  const hold = async (look?: boolean) => lock?.hold(look)
  let failed = false
  let told = false
  /** Why a line cannot be written down; it is told once. */
  const note = (line: { event: string; [field: string]: unknown }, sync = false): unknown => {
    try {
      journal.write(line, sync)
      return undefined
    } catch (error) {
      if (!told) {
        view.say(wrap(`! The transcript is not complete: ${sentence(error)} Only what must not be left out after a failure is done all the same.`, '  '))
        view.data({ event: 'transcript-incomplete', what: sentence(error) })
      }
      told = true
      return error
    }
  }
  /** Nothing is done that is not written down, but for what must not be left out after a failure. */
  const mustNote = (line: { event: string; [field: string]: unknown }): void => {
    const problem = note(line, true)
    if (problem !== undefined && !failed) throw problem
  }
  const emit = (event: RunEvent) => {
    keepTrack(soFar, event)
    if (event.event === 'effect-start') {
      mustNote(event)
      inHand = event.effect
    } else if (event.event !== 'wait') note(event, event.event === 'effect-end')
    if (event.event === 'effect-end' && !event.retry) {
      inHand = undefined
      if (!event.error) sent += 1
    }
    if (event.event === 'step') lock?.at(`step ${event.n} of ${steps.length}, ${event.id}`)
    view.on(signals.atOnce() ? asAsked(event) : event)
  }
  prepareTools({ onStart: (pid) => mustNote({ event: 'child', pid, start: processStart(pid), line: inHand }) })
  const confirmed = new Set(effectsOf(plan).map(confirmationOf))
  const door = openDoor({
    lockIsOurs: hold,
    confirmed: (effect) => confirmed.has(confirmationOf(effect)),
    record: emit,
  })
  const end = (code: number, more: object = {}) => {
    const ms = clock.now() - began
    note({ event: 'end', code, ms, changes: sent, ...more }, true)
    view.data({ event: 'end', code, ms, changes: sent, before: facts, transcript: journal.path, ...more })
    return ms
  }
  journal.write({ event: 'start', runbook: definition.name, line, by: me(), installation: performance.installation, node: process.version })
  try {
    const take = (home?: string) => takeLock(definition.name, { home, patience: definition.patience, stop: signals.signal, waiting: (holder) => view.say(wrap(holder)) })
    lock = performance.local ? await lockMachine(definition.name) : await take(homeOf(definition))
    // Once there is an installation, others have its lock in its own namespace.
    const own = !performance.local && homeOf(definition) ? await take().catch(noneWithoutNamespace) : undefined
    if (own) lock = bothOf(lock, own)
    if (performance.recheck) {
      lookAgain()
      // What puts nothing at risk may have come up meanwhile: a KOTS that could not be asked for a moment.
      for (const effect of effectsOf(await performance.recheck())) if (!effect.danger && !effect.final) confirmed.add(confirmationOf(effect))
    }
    await view.begin(steps)
    begun = true
    await runSteps({ steps, door, emit, hold, failing: () => { failed = true }, stop: signals.signal, until: performance.until, timeout: performance.timeout })
    await view.end()
    const after = await definition.facts(values)
    const ms = end(EXIT.done, { after, did: openSteps(plan, performance.until) })
    const whole = performance.until === undefined || performance.until === steps.at(-1)?.id
    view.say(summary(performance, after, sent, ms, journal, whole))
    return EXIT.done
  } catch (error) {
    await view.end()
    // The process ends in a moment: what a killed child says is not told as a failure.
    if (signals.atOnce()) await new Promise(() => {})
    const code = error instanceof Stopped ? signals.code() ?? EXIT.failed : error instanceof Fail ? codeOf(error, begun) : EXIT.failed
    end(code, { error: sentence(error), ...(error instanceof Fail || error instanceof Stopped ? {} : { stack: (error as Error).stack }) })
    if (error instanceof Stopped) {
      const screen = await stoppedScreen(steps, line)
      over = true
      view.say(screen)
      return code
    }
    view.data({ event: 'error', code, what: sentence(error), ...(error instanceof Fail ? { next: error.next } : {}) })
    lookAgain()
    const facts = await definition.facts(values).catch(() => undefined)
    view.say('\n' + failureScreen(error, performance.verbose, { line, transcript: tilde(journal.path), ...(facts ? { facts } : {}) }))
    return code
  } finally {
    signals.forget()
    await lock?.release()
    safely(journal.close)
  }
}

/** In the middle of the steps it is no preflight that failed: `3` says that nothing was changed. */
const codeOf = ({ code }: Fail, begun: boolean): number => (begun && code === EXIT.preflight ? EXIT.failed : code)

/** A full disk must not hide what is being told. */
const safely = (act: () => void): void => {
  try {
    act()
  } catch { /* it was told already, or cannot be told */ }
}

const summary = ({ definition, values, facts, steps, until, line }: Performance, after: Record<string, string>, sent: number, ms: number, journal: Journal, whole: boolean, next = afterwardsOf(definition, values)): string => [
  '',
  whole ? `${paint('green', '✓')} ${paint('bold', definition.outcome(values))}` : `Stopped after step ${until}, as asked. Go on with:\n${wrapLine(line, width(), '  ').join('\n')}`,
  factsScreen(facts, after),
  `  ${sent} ${sent === 1 ? 'change' : 'changes'} in ${duration(Math.round(ms / 1000) * 1000)} by ${me()} · ${steps.length} steps`,
  `  transcript: ${tilde(journal.path)}`,
  ...(whole && next.length ? ['', ...next.map((text) => `  ${wrap(text, '  ')}`)] : []),
].join('\n')

/** What a second Ctrl-C ended did not fail, whatever its child said at the end; the journal has that. */
const asAsked = (event: RunEvent): RunEvent => {
  const say = new Stopped().message
  if (event.event === 'step' && event.state === 'failed') return { ...event, state: 'stopped', say }
  return event.event === 'effect-end' && event.error ? { ...event, error: say } : event
}

/** What is known without asking the world: the step that is open, those that are done, the effects that were sent. */
interface SoFar { open: string | undefined; done: Set<string>; sent: Set<string> }

const keepTrack = (soFar: SoFar, event: RunEvent): void => {
  if (event.event === 'effect-start') soFar.sent.add(event.effect)
  if (event.event !== 'step') return
  if (event.state === 'started') soFar.open = event.id
  if (event.state !== 'done') return
  soFar.open = undefined
  soFar.done.add(event.id)
}

/**
 * The last words of a run that ends in the middle, where there is no time to ask the world: how to go back from the step
 * that is open, and what must not be left out, once the first danger before it was sent.
 */
const leftScreen = ({ steps, plan, line }: Performance, { open, done, sent }: SoFar): string => {
  const backs = steps.flatMap(({ id, always, back }, index) => {
    const dangers = plan.steps.slice(0, index).flatMap(({ effects }) => effects.filter(({ danger }) => danger))
    const urgent = always && !done.has(id) && plan.steps[index]?.state !== 'done' && dangers.every((effect) => sent.has(effect.id))
    return back && (id === open || urgent) ? [back] : []
  })
  return [
    `\nStopped at once${open ? `, in step ${open}` : ''}.`,
    ...backs.map((text) => `${paint('yellow', '!')} ${wrap(text, '  ')}`),
    'Go on with the same line:', ...wrapLine(line, width(), '  '),
  ].join('\n')
}

/** What stands and what is open, after the operator asked to stop. */
const stoppedScreen = async (steps: Step[], line: string): Promise<string> => {
  lookAgain()
  const answers = await Promise.all(steps.map(async (step) => ({ step, answer: await step.todo().catch(() => []) })))
  const open = answers.filter(({ answer }) => !isDone(answer))
  const urgent = (await Promise.all(open.map(async ({ step }) => (await step.always?.().catch(() => true) && step.back ? [step.back] : [])))).flat()
  return [
    `Stopped, as asked; ${steps.length - open.length} of ${steps.length} steps are done. Everything so far stays.`,
    ...urgent.map((text) => `${paint('yellow', '!')} ${wrap(text, '  ')}`),
    'Go on with the same line:', ...wrapLine(line, width(), '  '),
  ].join('\n')
}

