/**
 * Where the events of a run go: a live task tree at a terminal, plain lines in a pipe, one JSON object a line
 * for machines. listr2 draws the tree and does nothing else: no signals, retries or prompts of its own.
 */
import { writeSync } from 'node:fs'
import { stripVTControlCharacters } from 'node:util'
import type { ListrTaskWrapper } from 'listr2'
import type { EffectEvent } from './door.ts'
import type { Step } from './effect.ts'
import type { StepEvent } from './wait.ts'
import { clock } from './clock.ts'
import { duration } from './plan.ts'
import { paint, width, wrap } from './screens.ts'

export type RunEvent = StepEvent | EffectEvent

export interface View {
  /** A block of text for people; a JSON view leaves it out. */
  say(text: string): void
  /** The same just before the process ends: on the terminal when this returns, whatever is drawn. */
  last(text: string): void
  /** Something for machines; the others leave it out. */
  data(event: { event: string; [field: string]: unknown }): void
  begin(steps: Step[]): Promise<void>
  on(event: RunEvent): void
  /** Ends the live part; resolves when the last frame is drawn. */
  end(): Promise<void>
}

const stderr = (text: string) => { process.stderr.write(text + '\n') }
const SHOW_CURSOR = '\u001b[?25h'
const atOnce = (text: string) => {
  try {
    writeSync(2, text + '\n')
  } catch { /* nobody reads any more */ }
}
const SIGN = { done: ['green', '✓'], failed: ['red', '✗'], stopped: ['yellow', '-'], left: ['dim', '-'], started: ['cyan', '•'] } as const

const waiting = (event: Extract<StepEvent, { event: 'wait' }>): string =>
  `${event.say} · last seen: ${event.seen} · ${elapsed(event)}`

const elapsed = ({ ms, within }: Extract<StepEvent, { event: 'wait' }>): string =>
  duration(Math.floor(ms / 1000) * 1000) + (within === undefined ? '' : ` of ${duration(within)}`)

/** Text cut to its room; what is missing shows as an ellipsis. */
const fit = (text: string, room: number): string => (text.length > room ? text.slice(0, Math.max(0, room - 1)) + '…' : text)

/** The same in one row of its room: the time first, what was seen last whole; the explanation is what gives way. */
export const waitingIn = (event: Extract<StepEvent, { event: 'wait' }>, room: number): string => {
  const time = `${elapsed(event)} · `
  const last = fit(` · last: ${event.seen}`, Math.max(22, room - time.length - 12))
  return fit(time + fit(event.say, room - time.length - last.length) + last, room)
}

/** What became of an effect that did not simply succeed; a trouble that passes is told as one. */
export const troubleOf = ({ event, effect, error, retry, carriedOutBefore }: EffectEvent): { sign: '↻' | '!'; say: string } | undefined => {
  if (event === 'effect-end' && carriedOutBefore) return { sign: '↻', say: `“${effect}” was carried out the first time: only its answer was lost` }
  if (!error) return undefined
  if (!retry) return { sign: '!', say: error }
  const what = retry.lost ? `lost the answer of “${effect}”` : `“${effect}” has to wait: ${error.replace(/\.$/, '')}`
  return { sign: '↻', say: `${what}; asking again in ${duration(retry.ms)} (${retry.attempt} of ${retry.of})` }
}

/** What a step changed, and how long it took. */
const tail = ({ state, ms, changes }: Extract<StepEvent, { event: 'step' }>): string => {
  if (state === 'started' || state === 'left') return ''
  const parts = [...(changes ? [changes === 1 ? '1 change' : `${changes} changes`] : []), ...(ms >= 100 ? [duration(Math.round(ms / 100) * 100)] : [])]
  return parts.length ? paint('dim', `  ${parts.join(', ')}`) : ''
}

/** Rows that a person wrote stay rows. */
const byHand = ({ id, say }: Extract<StepEvent, { event: 'manual' }>): string => `\n${wrap(`☞ ${id}, ${say}`, '  ')}\n`

/** One JSON event a line on stdout; the schema is version 1. */
export const jsonView = (): View => {
  const write = (event: object) => { process.stdout.write(JSON.stringify({ v: 1, time: new Date(clock.now()).toISOString(), ...event }) + '\n') }
  return { say: () => {}, last: () => {}, data: write, begin: async () => {}, on: write, end: async () => {} }
}

/** Lines with a clock time in front; while something is waited for, one every 30 s. */
export const plainView = (verbose: boolean): View => {
  let spoke = 0
  let awaited = ''
  const stamped = (text: string) => stderr(`${new Date(clock.now()).toISOString().slice(11, 19)} ${text}`)
  return {
    say: stderr, last: atOnce, data: () => {}, begin: async () => {}, end: async () => {},
    on: (event) => {
      if (event.event === 'manual') stderr(byHand(event))
      else if (event.event === 'wait') {
        // Each wait is told when it begins, and then now and then.
        const about = `${event.id} ${event.say}`
        if (about !== awaited || clock.now() - spoke >= 30_000) {
          awaited = about
          spoke = clock.now()
          stamped(`⠿ ${waiting(event)}`)
        }
      } else if (event.event === 'step') {
        const [style, sign] = SIGN[event.state]
        stamped(`${paint(style, sign)} ${event.n} ${event.id}  ${event.say}${tail(event)}`)
      } else {
        if (verbose && event.event === 'effect-start') stamped(`  ${paint('yellow', '$')} ${event.line}`)
        const trouble = troubleOf(event)
        if (trouble) stamped(`  ${paint('yellow', trouble.sign)} ${trouble.say}`)
      }
    },
  }
}

type StepState = Extract<StepEvent, { event: 'step' }>['state']

/** A task tree that redraws itself: one line a step, what it waits for beneath it. */
export const treeView = (): View => {
  interface Line { title: string; output: string; drawn?: ListrTaskWrapper<never, never, never>; settle(state: StepState): void; settled: Promise<StepState> }
  const lines = new Map<string, Line>()
  let current: Line | undefined
  // What is said while the list is drawn goes into it: listr2 holds back what others write until it is done.
  let said = ''
  let counting: NodeJS.Timeout | undefined
  let column = 0
  let list: Promise<unknown> = Promise.resolve()
  // listr2 breaks lines by the columns of stdout, two before the end, and counts a sign and its blank as three; an
  // output line is indented by two more.
  const room = () => Math.min(width(), process.stdout.columns || 80) - 5
  // The colour of the tail takes no room.
  const titled = (text: string, end = '') => fit(text, room() - stripVTControlCharacters(end).length) + end
  const draw = ({ drawn, title, output }: Line) => { if (drawn) Object.assign(drawn, { title, output: [said, output].filter(Boolean).join('\n') }) }
  const show = (output: string) => {
    if (current) draw(Object.assign(current, { output }))
  }
  /** Seconds of the machine: those of a rehearsal stand still while a tool runs. */
  const count = (what: string) => {
    const began = Date.now()
    const tick = () => {
      const time = ` · ${duration(Math.floor((Date.now() - began) / 1000) * 1000)}`
      show(fit(`running ${what}`, room() - 2 - time.length) + time)
    }
    tick()
    counting = setInterval(tick, 1000).unref()
  }
  return {
    data: () => {},
    say: (text) => {
      if (!lines.size) return stderr(text)
      said = wrap(text.trim(), '', room() - 2)
      show(current?.output ?? '')
    },
    last: (text) => atOnce(`${SHOW_CURSOR}${text}`),
    begin: async (steps) => {
      const { Listr, ListrLogger, ProcessOutput } = await import('listr2')
      column = Math.max(...steps.map(({ id }) => id.length)) + 2
      const logger = new ListrLogger({ processOutput: new ProcessOutput(process.stderr, process.stderr) })
      const tasks = steps.map((step, index) => {
        let settle: Line['settle'] = () => {}
        const settled = new Promise<StepState>((resolve) => { settle = resolve })
        const entry: Line = { title: titled(`${index + 1} ${step.id.padEnd(column)}${step.title}`), output: '', settle, settled }
        lines.set(step.id, entry)
        return {
          title: entry.title,
          task: async (_: never, task: ListrTaskWrapper<never, never, never>) => {
            entry.drawn = task
            draw(entry)
            const state = await settled
            if (state === 'left' || state === 'stopped') task.skip()
            if (state === 'failed') throw new Error('failed')
          },
        }
      })
      list = new Listr(tasks as never, {
        exitOnError: false, registerSignalListeners: false, renderer: 'default',
        rendererOptions: { logger, showErrorMessage: false, collapseErrors: false },
      } as never).run().catch(() => {})
    },
    on: (event) => {
      if (event.event === 'manual') {
        said = wrap(byHand(event).trim(), '', room() - 2)
        return show(current?.output ?? '')
      }
      if (event.event !== 'step' && event.event !== 'wait') {
        clearInterval(counting)
        if (event.event === 'effect-start') return count(event.effect)
        const trouble = troubleOf(event)
        return show(trouble ? fit(`${trouble.sign} ${trouble.say}`, room() - 2) : '')
      }
      const entry = lines.get(event.id)
      if (!entry) return
      current = entry
      if (event.event === 'wait') {
        clearInterval(counting)
        entry.output = waitingIn(event, room() - 2)
      } else {
        entry.title = titled(`${event.n} ${event.id.padEnd(column)}${event.say}`, tail(event))
        entry.output = ''
        if (event.state !== 'started') said = ''
      }
      draw(entry)
      if (event.event === 'step' && event.state !== 'started') entry.settle(event.state)
    },
    end: async () => {
      clearInterval(counting)
      for (const { settle } of lines.values()) settle('left')
      await list
      lines.clear()
      said = ''
    },
  }
}
