/**
 * Errors that are a next step. A `Fail` says what happened, why, how things stand and what to type now;
 * everything else that is thrown is a defect of ours and says so.
 */

/** What the process answers; the meaning of each code is part of the contract (README, "Exit codes"). */
export const EXIT = { done: 0, failed: 1, usage: 2, preflight: 3, locked: 4, declined: 5, stale: 6 } as const

export interface Advice {
  /** Exit code; 1 where nothing else is said. */
  code?: number
  /** The likely cause, from the guide's own troubleshooting where it has one. */
  why?: string
  /** How things stand now: what runs, what is safe, what is not. */
  state?: string
  /** A flag to add to the same line. */
  add?: string
  /** The line to repeat, with `add` behind it, where the place that tells the error does not know it. */
  line?: string
}

/** An error with its remedy. `next` is what the operator does or types now; never empty. */
export class Fail extends Error {
  readonly next: string
  readonly code: number
  readonly why: string | undefined
  readonly state: string | undefined
  readonly add: string | undefined
  readonly line: string | undefined
  constructor(what: string, next: string, advice: Advice = {}) {
    super(what)
    this.name = 'Fail'
    this.next = next
    this.code = advice.code ?? EXIT.failed
    this.why = advice.why
    this.state = advice.state
    this.add = advice.add
    this.line = advice.line
  }
}

export const fail = (what: string, next: string, advice?: Advice): Fail => new Fail(what, next, advice)

/** A server's no, with its HTTP status and the reason that it names. */
export class Refused extends Fail {
  readonly status: number
  readonly reason: string
  /** Milliseconds after which the server wants to be asked again. */
  readonly retryAfter: number | undefined
  constructor(what: string, next: string, said: { status: number; reason: string; retryAfter?: number | undefined; code?: number }) {
    super(what, next, said.code === undefined ? {} : { code: said.code })
    this.status = said.status
    this.reason = said.reason
    this.retryAfter = said.retryAfter
  }
}

/** Nobody answered, for now: worth waiting where one waits anyway. */
export class Unanswered extends Fail {}

/** Nobody can say any more who asks: passes once the operator has logged in again. */
export class NoCredentials extends Fail {}

/** The credentials are missing or not accepted. */
export const lacksCredentials = (error: unknown): boolean =>
  error instanceof NoCredentials || (error instanceof Refused && error.status === 401)

/** A server's no for now: too many ask, or something is wrong with it. */
export const isForNow = (error: unknown): error is Refused => error instanceof Refused && (error.status === 429 || error.status >= 500)

/** A trouble that passes by itself. */
export const isPassing = (error: unknown): boolean => error instanceof Unanswered || isForNow(error)

/** The answer of a request may have been lost after it was carried out: only the world knows. */
export class Lost extends Error {}

/** After such an answer of a write only the world knows: a gateway that gave up does not call off what it passed on. */
export const mayBeDone = (error: unknown): boolean => error instanceof Lost || (error instanceof Refused && error.status >= 500)

/** Thrown between two effects after the operator asked to stop. */
export class Stopped extends Error {
  constructor() {
    super('stopped, as asked')
  }
}

/** One line for any error, without a stack. */
export const sentence = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)
