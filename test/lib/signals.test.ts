import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { onSignals } from '../../lib/signals.ts'

let told: (string | number)[]
let signals: ReturnType<typeof onSignals>
beforeEach(() => {
  told = []
  signals = onSignals(() => { told.push('first') }, (exit) => { told.push(exit) })
})
afterEach(() => signals.forget())

test('one signal asks to stop, and names the code to end with', () => {
  expect([signals.signal.aborted, signals.code()]).toEqual([false, undefined])
  process.emit('SIGINT')
  expect([told, signals.signal.aborted, signals.code()]).toEqual([['first'], true, 130])
})

test('the same one at once again, as tsx passes it on, is the same press; half a second later it is a second one', async () => {
  process.emit('SIGINT')
  process.emit('SIGINT')
  await sleep(100)
  process.emit('SIGINT')
  expect(told).toEqual(['first'])
  await sleep(500)
  process.emit('SIGINT')
  expect(told).toEqual(['first', 130])
})

test('another one is another press, however soon', () => {
  process.emit('SIGINT')
  process.emit('SIGTERM')
  expect(told).toEqual(['first', 143])
})

test('afterwards nobody listens', () => {
  signals.forget()
  expect(['SIGINT', 'SIGTERM', 'SIGHUP'].map((name) => process.listenerCount(name))).toEqual([0, 0, 0])
})
