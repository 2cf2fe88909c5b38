/**
 * Runs the steps of a procedure: asks each what is missing, sends that through the door, waits until its checks
 * hold, asks again. It decides nothing from what an earlier run did: only from the world.
 */
import type { Check, Effect, Step } from './effect.ts'
import type { Run } from './wait.ts'
import { clock } from './clock.ts'
import { isDone, mustBeDone } from './effect.ts'
import { lookAgain } from './door.ts'
import { Fail, Lost, Stopped, Unanswered, fail, isPassing, lacksCredentials, mayBeDone, sentence } from './fail.ts'
import { duration, notDone } from './plan.ts'
import { limit, mayGoOn, pause, wait, watched } from './wait.ts'

/** How often it is asked whether waiting for somebody else is of any use: by tools that take a second. */
const DOUBT = 10_000
/** How often a step that must not be left out is tried, and how far apart at least. */
const TRIES = 15
const AGAIN_AFTER = 10_000

/** Runs all steps. The first failure ends it, after the steps that must not be left out. */
export const runSteps = async (run: Run): Promise<void> => {
  let failure: unknown
  for (const [index, step] of run.steps.entries()) {
    const began = clock.now()
    let changes = 0
    const say = (state: 'started' | 'done' | 'failed' | 'stopped' | 'left', text: string) =>
      run.emit({ event: 'step', id: step.id, n: index + 1, state, say: text, ms: clock.now() - began, changes })
    if (failure !== undefined && !await isNeeded(step)) {
      say('left', 'not started')
      continue
    }
    const attempt = () => runStep(run, step, () => say('started', step.title), failure !== undefined, () => { changes += 1 })
    try {
      let outcome: string | undefined
      if (failure === undefined) {
        try {
          outcome = await attempt()
        } catch (error) {
          if (error instanceof Stopped || !step.always) throw error
          // It failed itself: from here on it is one that must not be left out after a failure.
          failure = error
          run.failing()
          if (!await isNeeded(step)) throw error
        }
      }
      say('done', outcome ?? await persist(run, step, attempt))
    } catch (error) {
      say(error instanceof Stopped ? 'stopped' : 'failed', error instanceof Error ? error.message : String(error))
      if (error instanceof Stopped) throw error
      failure ??= error
      run.failing()
    }
    if (step.id === run.until && failure === undefined) break
  }
  if (failure !== undefined) throw failure
}

/** What must not be left out is tried again for some minutes, while nobody answers or until the operator has logged in again. */
const persist = async <T>(run: Run, step: Step, act: () => Promise<T>): Promise<T> => {
  const began = clock.now()
  for (let left = TRIES; ; left--) {
    try {
      return await act()
    } catch (error) {
      if (left <= 1 || !(isPassing(error) || lacksCredentials(error) || error instanceof Lost)) throw error
      run.emit({ event: 'wait', id: step.id, say: 'trying again', seen: told(error), ms: clock.now() - began, within: TRIES * AGAIN_AFTER })
      await clock.sleep(AGAIN_AFTER, run.stop)
    }
  }
}

const told = (error: unknown): string => sentence(error) + (lacksCredentials(error) && error instanceof Fail ? ` ${error.next}` : '')

/** After a failure: whether a step must not be left out. Where the world cannot be asked, it is tried. */
const isNeeded = async (step: Step): Promise<boolean> => {
  lookAgain()
  return await step.always?.().catch(() => true) ?? false
}

const runStep = async (run: Run, step: Step, started: () => void, afterFailure: boolean, count: () => void): Promise<string> => {
  mayGoOn(run)
  lookAgain()
  let answer = await step.todo()
  if (isDone(answer)) return answer.done
  started()
  if (step.grace && !afterFailure) {
    const byItself = await waitForOthers(run, step, step.grace)
    if (byItself !== undefined) {
      for (const check of await step.verify?.() ?? []) await waitForCheck(run, step, check)
      return byItself
    }
    answer = await step.todo()
    if (isDone(answer)) return answer.done
  }
  if (step.permission && answer.length && !step.permission.granted) throw await notAllowed(run, step, step.permission)
  if (step.manual && !answer.length) {
    run.emit({ event: 'manual', id: step.id, say: `by hand: ${await step.manual.say()}` })
    const seen = await wait(run, step, 'to be done by hand', limit(run, step.manual.within), () => settledOrPossible(step))
    if (seen !== true) throw fail(`Step ${step.id} was not done by hand within ${duration(limit(run, step.manual.within))}.`, `Do it now: ${await step.manual.say()}. Then repeat the same line.`)
    lookAgain()
    answer = await step.todo()
    if (isDone(answer)) answer = []
  }
  if (answer.length && step.before) {
    for (const check of await step.before()) await waitForCheck(run, step, check, afterFailure)
    lookAgain()
    answer = await step.todo()
    if (isDone(answer)) return answer.done
  }
  await sendAll(run, step, answer, count)
  for (const check of await step.verify?.() ?? []) await waitForCheck(run, step, check)
  lookAgain()
  return mustBeDone(step.id, await step.todo())
}

const notAllowed = async (run: Run, { id, title, grace }: Step, { flag, needed }: NonNullable<Step['permission']>): Promise<Fail> => {
  const after = grace ? ` after ${duration(limit(run, grace.within))}: ${notDone(grace)}` : `: ${title[0]?.toLowerCase()}${title.slice(1)}`
  const { next, ...more } = await needed?.() ?? { next: `Repeat the line with ${flag}; it goes on at this step.` }
  return fail(`Step ${id} is needed${after}. It was not allowed.`, next, { ...more, add: flag })
}

/**
 * Sends the effects in order. Of a step that must not be left out, one that cannot be sent does not keep back the
 * others; it is told after them, unless somebody else did it meanwhile.
 */
const sendAll = async (run: Run, step: Step, effects: Effect[], count: () => void): Promise<void> => {
  let failure: unknown
  for (const effect of effects) {
    mayGoOn(run)
    try {
      await send(run, step, effect)
      count()
    } catch (error) {
      if (!step.always) throw error
      failure ??= error
    }
  }
  if (failure === undefined) return
  lookAgain()
  if (!isDone(await step.todo())) throw failure
}

/** Sends one effect. One that may have been carried out all the same is looked for in the world before anything is said. */
const send = async (run: Run, step: Step, effect: Effect): Promise<void> => {
  try {
    await watched(run, step, effect)
  } catch (error) {
    if (!mayBeDone(error)) throw error
    lookAgain()
    const now = await step.todo()
    if (isDone(now) || !now.some(({ id }) => id === effect.id)) return
    // Worth another try where one waits anyway; a mint never is.
    const Kind = effect.again === 'mint' ? Fail : Unanswered
    throw new Kind(`“${effect.id}”: ${sentence(error).replace(/\.$/, '')}, and the world does not show it.`, 'Run the same line again; it looks first, and sends it only if it is still missing.')
  }
}

/** Done by hand; or what could not be asked for a moment can be again, and is ours to do. */
const settledOrPossible = async (step: Step): Promise<true | string> => {
  const answer = await step.todo()
  return isDone(answer) || answer.length > 0 ? true : 'not yet'
}

/** Waits while somebody else may do the step; what they did, or undefined when we have to. */
const waitForOthers = async (run: Run, step: Step, grace: NonNullable<Step['grace']>): Promise<string | undefined> => {
  const until = clock.now() + limit(run, grace.within)
  const began = clock.now()
  let doubted = began - DOUBT
  for (;;) {
    lookAgain()
    let seen = 'no answer'
    try {
      const answer = await step.todo()
      if (isDone(answer)) return answer.done
      if (clock.now() >= doubted + DOUBT) {
        doubted = clock.now()
        if (await grace.hopeless?.() !== undefined) return undefined
      }
      seen = await grace.seen()
    } catch (error) {
      if (!isPassing(error)) throw error
    }
    run.emit({ event: 'wait', id: step.id, say: `waiting for ${grace.who}`, seen, ms: clock.now() - began, within: until - began })
    if (clock.now() >= until) return undefined
    await pause(run, clock.now() - began, until - clock.now())
  }
}

/** Patient: a short --timeout does not cut short what must not be left out. */
const waitForCheck = async (run: Run, step: Step, check: Check, patient = false): Promise<void> => {
  const within = patient ? Math.max(limit(run, check.within), check.within) : limit(run, check.within)
  const seen = await wait(run, step, `waiting until ${check.say}`, within, () => check.holds())
  if (seen === true) return
  throw fail(check.within ? `It did not come true within ${duration(within)} that ${check.say}; last seen: ${seen}.` : `It does not hold that ${check.say}: ${seen}.`,
    await check.hint?.() ?? 'Repeat the same line to go on waiting; with --timeout 30m it waits longer.')
}
