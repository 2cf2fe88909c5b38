/**
 * The plan: what each step would do in the world as it is now. Computed from reads and server-side dry runs
 * alone, shown before every question, written to a file for review and compared with that file later.
 */
import type { Change, Effect, Step } from './effect.ts'
import { isDone } from './effect.ts'
import { EXIT, fail } from './fail.ts'
import { commandLine } from './shell.ts'

export interface PlannedEffect {
  id: string
  again: Effect['again']
  danger?: string
  subject?: string
  final?: string
  line: string
  onlyInCall?: string
  changes: Change[]
  /** Why nobody can say yet what it would change. */
  unpredictable?: string
}

export interface PlannedStep {
  id: string
  title: string
  /** `maybe`: only if somebody else does not do it first; `watch`: changes nothing itself. */
  state: 'done' | 'todo' | 'maybe' | 'manual' | 'watch'
  /** How one knows that it is done, who may do it first, or what a person does. */
  why: string
  /** The flag without which its effects are not sent. */
  needs?: string
  effects: PlannedEffect[]
}

export interface Plan {
  steps: PlannedStep[]
  /** What has to be answered with yes before the first change. */
  questions: string[]
  /** What may be allowed beforehand, and the flag that does; a no is no end. */
  permissions: { ask: string; flag: string }[]
}

export const makePlan = async (steps: Step[], questions: string[]): Promise<Plan> => {
  const planned: PlannedStep[] = []
  let firstOpen: number | undefined
  for (const [index, step] of steps.entries()) {
    const answer = await step.todo()
    if (isDone(answer)) {
      planned.push({ id: step.id, title: step.title, state: 'done', why: answer.done, effects: [] })
      continue
    }
    const state = step.grace ? 'maybe' : answer.length ? 'todo' : step.manual ? 'manual' : 'watch'
    planned.push({
      id: step.id, title: step.title, state, ...(step.permission && !step.permission.granted ? { needs: step.permission.flag } : {}), why: await reason(step, state),
      effects: await Promise.all(answer.map((effect) => predict(effect, state === 'maybe' ? 0 : firstOpen))),
    })
    if (answer.length && state !== 'maybe') firstOpen ??= index + 1
  }
  return { steps: planned, questions, permissions: permissionsOf(steps, planned) }
}

const reason = async (step: Step, state: PlannedStep['state']): Promise<string> => {
  if (state === 'manual') return `by hand: ${await step.manual?.say()}`
  if (!step.grace) return ''
  const allowed = step.permission && !step.permission.granted ? `, and only with ${step.permission.flag}; otherwise the run stops here and says so` : ''
  return `only if ${notDone(step.grace)} within ${duration(step.grace.within)}${allowed}`
}

/** That somebody else did not do it: 'the deploy has not done it'. */
export const notDone = ({ who, unless }: NonNullable<Step['grace']>): string => unless ?? `${who} has not done it`

const permissionsOf = (steps: Step[], planned: PlannedStep[]): Plan['permissions'] =>
  steps.flatMap(({ permission, id }) =>
    permission && planned.some((one) => one.id === id && one.needs && one.effects.length) ? [{ ask: permission.ask, flag: permission.flag }] : [])

const predict = async (effect: Effect, openStep: number | undefined): Promise<PlannedEffect> => {
  const { id, again, danger, subject, final, onlyInCall } = effect
  const common = {
    id, again, line: commandLine(effect.command),
    ...(danger ? { danger } : {}), ...(subject ? { subject } : {}), ...(final ? { final } : {}), ...(onlyInCall ? { onlyInCall } : {}),
  }
  if (!effect.preview || openStep === 0) return { ...common, changes: [] }
  const { changes, refused } = await effect.preview()
  if (!refused) return { ...common, changes }
  if (openStep !== undefined) return { ...common, changes, unpredictable: `the server confirms this only after step ${openStep}` }
  throw fail(`${refused.message} (asked beforehand; nothing was changed).`, refused.next, { code: EXIT.preflight })
}

/** Fails unless each step is done, or would do exactly what the reviewed plan says. */
export const mustMatch = (now: Plan, reviewed: Plan): void => {
  const stale = (id: string, why: string) => fail(`The reviewed plan no longer holds at step ${id}: ${why}.`,
    'Nothing was changed. Make a new plan with --dry-run --json, have it reviewed, and run that.', { code: EXIT.stale })
  for (const step of now.steps) {
    if (step.state === 'done') continue
    const then = reviewed.steps.find(({ id }) => id === step.id)
    if (!then) throw stale(step.id, 'the file does not know this step')
    if (then.state === 'done') throw stale(step.id, `it was done then (${then.why}) and is not now`)
    if (lines(then).join('\n') !== lines(step).join('\n')) throw stale(step.id, `it would do something else now:\n${lines(step).map((line) => `  ! ${line}`).join('\n')}`)
  }
  const asked = now.questions.find((question) => !reviewed.questions.includes(question))
  if (asked) throw stale('questions', asked)
}
/** What a step would do. Where the kubeconfig lies is a matter of the machine, not of the plan. */
const lines = (step: PlannedStep): string[] => step.effects.map(({ line, subject, danger }) =>
  line.replaceAll(/ --kubeconfig (?:'[^']*'|\S+)/g, '') + (subject ? `   # for ${subject}` : '') + (danger ? `   # at risk: ${danger}` : ''))

/** What was confirmed of an effect: which, on what, and at which risk. The same effect at another risk was not. */
export const confirmationOf = ({ id, subject, danger, final }: Pick<PlannedEffect, 'id' | 'subject' | 'danger' | 'final'>): string =>
  JSON.stringify([id, subject, danger, final])

export const effectsOf = (plan: Plan): PlannedEffect[] => plan.steps.flatMap(({ effects }) => effects)

/** What is at risk, each once. What still needs a permission is asked by itself. */
export const dangersOf = (plan: Plan): string[] =>
  [...new Set(effectsOf({ ...plan, steps: plan.steps.filter(({ needs }) => !needs) }).flatMap(({ danger }) => (danger ? [danger] : [])))]

/** The steps that a run of the plan goes through, as far as it was told to go. */
export const openSteps = ({ steps }: Plan, until?: string): string[] => {
  const last = steps.findIndex(({ id }) => id === until)
  return steps.slice(0, last < 0 ? undefined : last + 1).flatMap(({ id, state }) => (state === 'done' ? [] : [id]))
}

export const nothingToDo = (plan: Plan): boolean => plan.steps.every(({ state }) => state === 'done')

/** `2 m 10 s`, as people say it. */
export const duration = (ms: number): string => {
  const total = Math.round(ms / 1000)
  if (ms < 10_000 && ms % 1000) return `${(ms / 1000).toFixed(1)} s`
  const parts = [[Math.floor(total / 3600), 'h'], [Math.floor(total / 60) % 60, 'm'], [total % 60, 's']] as const
  return parts.filter(([n]) => n).slice(0, 2).map(([n, unit]) => `${n} ${unit}`).join(' ') || '0 s'
}
