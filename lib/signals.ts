/**
 * Ctrl-C and its kin: once, to stop after the effect in hand; twice, to stop at once; and how that reaches us
 * through tsx.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/** The same signal again within so many milliseconds is the same press: launchers pass on what a terminal sent already. */
const SAME = 500

/** One signal asks to stop after the effect in hand, the second, with the code to end with, to stop at once. */
export const onSignals = (first: () => void, second: (exit: number) => void) => {
  const stop = new AbortController()
  let code: number | undefined
  let since = 0
  let atOnce = false
  const handlers = Object.entries(SIGNALS).map(([signal, exit]) => {
    const handle = () => {
      if (code === exit && performance.now() - since < SAME) return
      if (atOnce) return
      atOnce = code !== undefined
      if (atOnce) return second(exit)
      code = exit
      since = performance.now()
      first()
      stop.abort()
    }
    process.on(signal, handle)
    return () => process.off(signal, handle)
  })
  const quiet = answerTsx()
  return {
    signal: stop.signal, code: () => code, atOnce: () => atOnce,
    forget: () => {
      handlers.forEach((off) => off())
      quiet()
    },
  }
}

/**
 * Answers again and again for a tenth of a second, which covers both times that tsx asks. It ends with us, for its
 * standard input is ours to close, and with tsx.
 */
const ANSWER = `
const end = () => process.exit()
const tsx = require('node:net').connect(process.argv[1]).on('error', end).on('close', end)
process.stdin.on('end', end).on('error', end).resume()
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {
  const text = Buffer.from(JSON.stringify({ type: 'signal', signal })), size = Buffer.alloc(4)
  size.writeInt32BE(text.length)
  let left = 20
  const tell = () => { tsx.write(Buffer.concat([size, text])); if ((left -= 1) > 0) setTimeout(tell, 5) }
  tell()
})`

/**
 * `npx tsx` runs us as its child. When it gets a signal it asks us over a socket whether we got it too: without an
 * answer within 30 ms it sends the signal again, and 30 ms later kills us, busy with a write to disk or not. So a
 * process beside us, which gets the same Ctrl-C and has nothing else to do, answers in our place.
 */
const answerTsx = (): (() => void) => {
  const socket = join(tmpdir(), `tsx-${process.geteuid?.() ?? userInfo().username}`, `${process.ppid}.pipe`)
  if (!existsSync(socket)) return () => {}
  const beside = spawn(process.execPath, ['-e', ANSWER, socket], { stdio: ['pipe', 'ignore', 'ignore'], env: {} })
  // Without it things are as they were.
  beside.on('error', () => {})
  beside.stdin.on('error', () => {})
  beside.unref()
  return () => beside.stdin.end()
}
