/**
 * The vocabulary of a procedure: steps, the effects that they name and the checks that prove them.
 * All of it is data; nothing here touches the world.
 */
import type { Refused } from './fail.ts'
import { Fail, fail } from './fail.ts'
import type { Command } from './shell.ts'

/** Milliseconds. */
export type Duration = number
export const minutes = (n: number): Duration => n * 60_000
export const hours = (n: number): Duration => n * 3_600_000

/**
 * One change of the world, in two forms made from the same arguments: the call that makes it and the command
 * that a person would type.
 */
export interface Effect {
  /** Stable name: 'patch storageclass/gp2'. */
  id: string
  /**
   * What a second sending does: nothing (`safe`), it is refused (`guarded`), or it makes a second one (`mint`).
   * A mint is never sent twice.
   */
  again: 'safe' | 'guarded' | 'mint'
  /** What is lost or at risk, and until when: shown, and asked before the first change. */
  danger?: string
  /** What it acts on: the uid of an object, the version that it builds on. A plan that was confirmed holds for this one and no later one. */
  subject?: string
  /** What cannot be taken back, as a sentence begins: 'Data can be lost'. The danger is confirmed by typing the installation's name. */
  final?: string
  command: Command
  /** What the command line cannot say and the call does: a comment of the script. */
  onlyInCall?: string
  call(): Promise<unknown>
  /** While its call takes minutes: what is seen of it in the world. */
  watch?(): Promise<string>
  /** Asked just before it is sent, each time: what stands against it in the world as it is by then, with its remedy. */
  unfit?(): Promise<Fail | undefined>
  /** What would change, and the server's no where its dry run refuses it as things are. */
  preview?(): Promise<{ changes: Change[]; refused?: Refused }>
}

/** One field that an effect would change. */
export interface Change { what: string; from: string; to: string }

/** A fact about the world that must come true, in two forms: the question asked here and a command that prints. */
export interface Check {
  say: string
  /** True, or what was seen instead. Throws where waiting longer is of no use. */
  holds(): Promise<true | string>
  command: Command
  /** What the command prints when the check holds. */
  prints: string
  /** How long it may take to come true. */
  within: Duration
  /** What is likely wrong, and what to do, where it did not come true in time. */
  hint?(): Promise<string | undefined>
}

/** There is nothing to do, and how one knows. */
export interface Done { done: string }
export const done = (why: string): Done => ({ done: why })
export const isDone = (answer: Done | Effect[]): answer is Done => 'done' in answer

export interface Step {
  /** Stable: `--until`, transcripts and reviewed plans name it. */
  id: string
  title: string
  /** Why there is nothing to do, or all that is missing, in order. Asked before and after. */
  todo(): Promise<Done | Effect[]>
  /** What must hold before its effects are sent. */
  before?(): Promise<Check[]>
  /** What must come true after the effects. */
  verify?(): Promise<Check[]>
  /**
   * Somebody else may do it first: how long they get, what is seen meanwhile, and why waiting may be of no use. What is
   * said where they did not is `unless`: 'the file system has not grown by itself'; else that `who` has not done it.
   */
  grace?: { within: Duration; who: string; unless?: string; seen(): Promise<string>; hopeless?(): Promise<string | undefined> }
  /** Runs also after an earlier step failed, where it answers that leaving it out now would leave the installation worse. */
  always?(): Promise<boolean>
  /** Effects that are sent only where the operator allowed them at the plan; `needed` tells what the run stops with. */
  permission?: { granted: boolean; ask: string; flag: string; needed?(): Promise<{ why: string; state: string; next: string }> }
  /** What a person does where only a person can; `todo` sees the result, within the duration. */
  manual?: { say(): Promise<string>; within: Duration }
  /** How a person goes back: text for errors and pages, never run. */
  back?: string
  /** The lines that go back, where there are any. */
  undo?: string[]
}

export const step = (
  id: string, title: string, todo: Step['todo'], more: Omit<Step, 'id' | 'title' | 'todo'> = {},
): Step => ({ id, title, todo, ...more })

/** A step that changes nothing and is done, as `agreed` says, when every check holds. */
export const verifyStep = (id: string, title: string, agreed: string | (() => Promise<string>), checks: () => Promise<Check[]>): Step => ({
  id, title, verify: checks,
  todo: async () => {
    const all = await checks()
    const answers = await Promise.all(all.map(async (check) => {
      try {
        return await check.holds()
      } catch (error) {
        if (error instanceof Fail) return error.message
        throw error
      }
    }))
    return answers.every((answer) => answer === true) ? done(typeof agreed === 'string' ? agreed : await agreed()) : []
  },
})

/** The answer of a step that is done, as `why` says, where `condition` holds. */
export const doneWhere = (condition: unknown, why: string, todo: Step['todo']): Step['todo'] => async () => (condition ? done(why) : todo())

/** One step for several things: all that is missing of any of them, in order, or done when each is. */
export const forEach = async <T>(things: T[], todo: (thing: T) => Promise<Done | Effect[]>): Promise<Done | Effect[]> => {
  const answers = await Promise.all(things.map(todo))
  return answers.every(isDone)
    ? done([...new Set(answers.map((answer) => answer.done))].join('; '))
    : answers.flatMap((answer) => (isDone(answer) ? [] : answer))
}

/** What a preflight check found. */
export type Verdict =
  | { is: 'ok' | 'ask'; say: string }
  | { is: 'todo' | 'warning'; say: string; next: string }
  | { is: 'bad'; say: string; next: string; final?: true }

export const ok = (say: string): Verdict => ({ is: 'ok', say })
/** Not there yet, and not to be: the line makes it. */
export const todo = (say: string, next: string): Verdict => ({ is: 'todo', say, next })
/** Wrong, but no reason to stop. */
export const warning = (say: string, next: string): Verdict => ({ is: 'warning', say, next })
/** A reason to stop before anything is changed. */
export const bad = (say: string, next: string): Verdict => ({ is: 'bad', say, next })
/** A reason to stop that nobody can know better. */
export const impossible = (say: string, next: string): Verdict => ({ is: 'bad', say, next, final: true })
/** Fine if the operator says so: becomes a question of the plan. */
export const ask = (say: string): Verdict => ({ is: 'ask', say })

/** One condition of the run, with the name by which it can be ignored, and what holds where all is well. */
export interface Preflight { name: string; holds: string; look(): Promise<Verdict> }
export const preflight = (name: string, holds: string, look: Preflight['look']): Preflight => ({ name, holds, look })

/** The one answer of a step that cannot be both asked and left open. */
export const mustBeDone = (id: string, answer: Done | Effect[]): string => {
  if (isDone(answer)) return answer.done
  const left = answer.map((effect) => effect.id).join(', ') || 'its result is not there'
  throw fail(`Step ${id} ran, and the world still asks for more: ${left}.`,
    'Nothing was repeated. Run the same line again; if it says the same, somebody or something else is changing this too.')
}
