import { beforeEach, describe, expect, test } from 'vitest'
import { openDoor } from '../../lib/door.ts'
import { done, minutes, step, verifyStep, type Check, type Effect, type Step } from '../../lib/effect.ts'
import { Lost, NoCredentials, Refused, Stopped, Unanswered, fail } from '../../lib/fail.ts'
import { runSteps } from '../../lib/run.ts'
import type { StepEvent } from '../../lib/wait.ts'
import { testClock } from './clock.ts'

let time: ReturnType<typeof testClock>
let world: Set<string>
let sent: string[]
beforeEach(() => {
  time = testClock()
  world = new Set()
  sent = []
})

/** An effect that puts its name into the world. */
const put = (id: string, more: Partial<Effect> = {}): Effect => ({
  id, again: 'safe', command: { words: ['put', id] },
  call: async () => {
    sent.push(id)
    world.add(id)
  }, ...more,
})
/** A step that is done when all of its things are in the world. */
const puts = (id: string, things: string[] = [id], more: Parameters<typeof step>[3] = {}): Step =>
  step(id, `Put ${id}`, async () => (things.every((thing) => world.has(thing)) ? done(`${things.join(' ')} is there`) : things.filter((thing) => !world.has(thing)).map((thing) => put(thing))), more)
const check = (holds: Check['holds'], within = minutes(1)): Check => ({ say: 'it holds', holds, within, command: { words: ['true'] }, prints: '' })
const later = (thing: string, ms: number) => time.after(ms, () => world.add(thing))

const run = async (steps: Step[], more: { until?: string; timeout?: number; stop?: AbortSignal; onEvent?: (event: StepEvent) => void; onFailure?: () => void } = {}) => {
  const events: StepEvent[] = []
  const door = openDoor({ lockIsOurs: async () => {}, confirmed: () => true, record: () => {} })
  const emit = (event: StepEvent) => {
    events.push(event)
    more.onEvent?.(event)
  }
  let outcome: { count?: number; error?: unknown }
  const before = sent.length
  try {
    await runSteps({ steps, door, emit, hold: async () => {}, failing: more.onFailure ?? (() => {}), stop: more.stop ?? new AbortController().signal, until: more.until, timeout: more.timeout })
    outcome = { count: sent.length - before }
  } catch (error) {
    outcome = { error }
  }
  const states = events.flatMap((event) => (event.event === 'step' && event.state !== 'started' ? [`${event.id} ${event.state}`] : []))
  return { ...outcome, events, states }
}

describe('done and to do', () => {
  test('each step sends what is missing, in order, and is asked again', async () => {
    const { count, states, events } = await run([puts('a'), puts('b', ['b1', 'b2'])])
    expect([count, sent, states]).toEqual([3, ['a', 'b1', 'b2'], ['a done', 'b done']])
    expect(events.at(-1)).toMatchObject({ say: 'b1 b2 is there' })
  })

  test('what is done is not done again, and half of it is completed', async () => {
    world = new Set(['a', 'b1'])
    const { count } = await run([puts('a'), puts('b', ['b1', 'b2'])])
    expect([count, sent]).toEqual([1, ['b2']])
    expect((await run([puts('a'), puts('b', ['b1', 'b2'])])).count).toBe(0)
  })

  test('--until ends after its step', async () => {
    const { states } = await run([puts('a'), puts('b'), puts('c')], { until: 'b' })
    expect([sent, states]).toEqual([['a', 'b'], ['a done', 'b done']])
  })

  test('a step that still asks for more after it ran is an error, and is not repeated', async () => {
    const { error, states } = await run([step('a', 'A', async () => [put('x')]), puts('b')])
    expect(error).toMatchObject({ code: 1, message: 'Step a ran, and the world still asks for more: x.' })
    expect([sent, states]).toEqual([['x'], ['a failed', 'b left']])
  })

  test('so is a step that names nothing and is not done', async () => {
    expect((await run([step('a', 'A', async () => [])])).error).toMatchObject({ message: expect.stringContaining('its result is not there') })
  })
})

describe('a call that takes minutes', () => {
  test('what is seen of it meanwhile is shown, with a trouble that passes, and no longer once it is over', async () => {
    time.limited()
    let looks = 0
    let seenEnough = () => {}
    const enough = new Promise<void>((resolve) => { seenEnough = resolve })
    const watch = async () => {
      if (looks === 2) seenEnough()
      if (++looks === 2) throw new Unanswered('no network', 'wait')
      return `stack event ${looks}`
    }
    const slow = put('cluster', { watch, call: async () => {
      await enough
      world.add('cluster')
    } })
    const { events, states } = await run([step('a', 'A', async () => (world.has('cluster') ? done('there') : [slow]))])
    expect(states).toEqual(['a done'])
    expect(events.flatMap((event) => (event.event === 'wait' ? [event.seen] : [])).slice(0, 2)).toEqual(['stack event 1', 'no answer'])
  })
})

describe('a failure', () => {
  const broken = (more: Parameters<typeof step>[3] = {}) => step('broken', 'Break', async () => [put('x', { call: async () => { throw fail('It broke.', 'mend it') } })], more)

  test('ends the run; steps that must run always run', async () => {
    const { error, states } = await run([puts('a'), broken(), puts('b'), puts('safe', ['safe'], { always: async () => true }), puts('c')])
    expect(error).toMatchObject({ message: 'It broke.', next: 'mend it' })
    expect([sent, states]).toEqual([['a', 'safe'], ['a done', 'broken failed', 'b left', 'safe done', 'c left']])
  })

  test('a step that runs always is left out where the world does not need it, and tried where it cannot say', async () => {
    const cannot = async () => { throw fail('unreachable', 'x') }
    const { states } = await run([broken(), puts('a', ['a'], { always: async () => false }), puts('b', ['b'], { always: cannot })])
    expect([sent, states]).toEqual([['b'], ['broken failed', 'a left', 'b done']])
  })

  test('the first failure is the one that is told, also when a step that runs always fails too', async () => {
    const second = step('second', 'Second', async () => { throw fail('Another.', 'x') }, { always: async () => true })
    const { error, states } = await run([broken(), second])
    expect(error).toMatchObject({ message: 'It broke.' })
    expect(states).toEqual(['broken failed', 'second failed'])
  })

  test('a step that runs always does not wait for somebody else after a failure', async () => {
    const began = time.now()
    const { states } = await run([broken(), puts('safe', ['safe'], { always: async () => true, grace: { within: minutes(10), who: 'the deploy', seen: async () => 'absent' } })])
    expect(states).toEqual(['broken failed', 'safe done'])
    expect(time.now() - began).toBeLessThan(minutes(1))
  })

  const refused = (id: string) => put(id, { call: async () => { throw fail(`No ${id}.`, 'mend it') } })
  const both = (first: Effect, more: Parameters<typeof step>[3] = {}) =>
    step('safe', 'Safe', async () => (world.has('one') && world.has('two') ? done('both are there') : [first, put('two')]), { always: async () => !world.has('two'), ...more })

  test.each([['is refused', refused('one')], ['no longer fits the world', put('one', { unfit: async () => fail('No one.', 'mend it') })]])(
    'one effect of a step that runs always %s: the others are sent, then it is told', async (_, first) => {
      expect((await run([both(first)])).error).toMatchObject({ message: 'No one.', next: 'mend it' })
      expect([...world]).toEqual(['two'])
      world.clear()
      expect((await run([broken(), both(first)])).states).toEqual(['broken failed', 'safe failed'])
      expect([...world]).toEqual(['two'])
    })

  test('where somebody else did meanwhile what was refused, nothing is told', async () => {
    const taken = put('one', { call: async () => {
      world.add('one')
      throw fail('It is there.', 'x')
    } })
    expect((await run([both(taken)])).states).toEqual(['safe done'])
  })

  test('what no longer fits the world is not sent', async () => {
    const { error } = await run([puts('a'), step('b', 'B', async () => [put('b', { unfit: async () => fail('It is there.', 'look') }), put('c')])])
    expect([sent, error]).toEqual([['a'], expect.objectContaining({ message: 'It is there.' })])
  })

  test('a step that runs always and fails itself is tried as after a failure, where it is still needed', async () => {
    let answers = 0
    const safe = puts('safe', ['safe'], { always: async () => !world.has('safe'), grace: { within: minutes(10), who: 'the deploy', seen: async () => {
      if (answers++ < 3) throw fail('It cannot be seen.', 'look')
      return 'absent'
    } } })
    const { error, states } = await run([safe, puts('b')])
    expect([sent, states]).toEqual([['safe'], ['safe done', 'b left']])
    expect(error).toMatchObject({ message: 'It cannot be seen.' })
  })

  test('is told before what must not be left out is sent', async () => {
    const order: string[] = []
    await run([puts('a'), broken(), puts('safe', ['safe'], { always: async () => true })], { onFailure: () => { order.push(...sent, 'failed') } })
    expect([...order, ...sent]).toEqual(['a', 'failed', 'a', 'safe'])
  })

  test.each([
    ['nobody answers', new Unanswered('No answer.', 'look')], ['an answer was lost', new Lost('lost')],
    ['the credentials are not accepted', new Refused('No.', 'Log in again.', { status: 401, reason: 'Unauthorized' })], ['there are no credentials', new NoCredentials('No.', 'Log in again.')],
  ])('a step that runs always is tried again for some minutes while %s', async (_, trouble) => {
    let answers = 0
    const safe = step('safe', 'Safe', async () => {
      if (answers++ < 10) throw trouble
      return puts('safe').todo()
    }, { always: async () => true })
    const { states, events } = await run([broken(), safe])
    expect([sent, states]).toEqual([['safe'], ['broken failed', 'safe done']])
    expect(events).toContainEqual(expect.objectContaining({ event: 'wait', say: 'trying again', seen: expect.stringContaining(trouble.message) }))
  })

  test('a failing step before the step of --until still runs what must run always', async () => {
    const { states } = await run([broken(), puts('b'), puts('safe', ['safe'], { always: async () => true })], { until: 'b' })
    expect(states).toEqual(['broken failed', 'b left', 'safe done'])
  })
})

describe('a failure of the step of --until', () => {
  test('still runs what must run always', async () => {
    const fails = step('a', 'A', async () => { throw fail('It broke.', 'mend it') })
    const { states } = await run([fails, puts('b'), puts('safe', ['safe'], { always: async () => true })], { until: 'a' })
    expect(states).toEqual(['a failed', 'b left', 'safe done'])
  })
})

describe('waiting', () => {
  test('until a check holds; each look is told', async () => {
    time.after(5000, () => world.add('grown'))
    const { states, events } = await run([puts('a', ['a'], { verify: async () => [check(async () => world.has('grown') || 'not yet')] })])
    expect(states).toEqual(['a done'])
    expect(events.filter(({ event }) => event === 'wait').length).toBeGreaterThan(1)
    expect(events.find(({ event }) => event === 'wait')).toMatchObject({ seen: 'not yet', within: minutes(1) })
  })

  test('not for ever: the error says for how long and what was seen last', async () => {
    const waits = puts('a', ['a'], { verify: async () => [check(async () => '8Gi')] })
    const { error } = await run([waits])
    expect(error).toMatchObject({ code: 1, message: expect.stringMatching(/within 1 m.*8Gi/) })
    world.clear()
    const longer = await run([waits], { timeout: minutes(30) })
    expect(longer.error).toMatchObject({ message: expect.stringContaining('within 30 m') })
  })

  test('a check that throws ends the wait at once', async () => {
    const { error } = await run([puts('a', ['a'], { verify: async () => [check(async () => { throw fail('AWS refuses.', 'later') })] })])
    expect(error).toMatchObject({ message: 'AWS refuses.' })
    expect(time.slept).toEqual([])
  })

  test('somebody else may do it first: then nothing is sent', async () => {
    later('a', 30_000)
    const { count, states } = await run([puts('a', ['a'], { grace: { within: minutes(10), who: 'the deploy', seen: async () => 'absent' } })])
    expect([count, sent, states]).toEqual([0, [], ['a done']])
  })

  test('where they do not, it is done here, after the time of grace and not before', async () => {
    const began = time.now()
    const { count } = await run([puts('a', ['a'], { grace: { within: minutes(10), who: 'the deploy', seen: async () => 'absent' } })])
    expect([count, sent]).toEqual([1, ['a']])
    expect(time.now() - began).toBeGreaterThanOrEqual(minutes(10))
  })

  test('where waiting is of no use, it is done at once', async () => {
    const began = time.now()
    const grace = { within: minutes(10), who: 'the deploy', seen: async () => 'absent', hopeless: async () => 'the deploy failed' }
    expect((await run([puts('a', ['a'], { grace })])).count).toBe(1)
    expect(time.now() - began).toBeLessThan(minutes(1))
  })
})

describe('what must hold before', () => {
  const afterwards = (more: Parameters<typeof step>[3] = {}) =>
    puts('b', ['b'], { before: async () => [check(async () => world.has('gone') || 'still there', minutes(10))], ...more })

  test('is waited for before anything is sent', async () => {
    later('gone', 30_000)
    const began = time.now()
    const { states } = await run([afterwards()])
    expect([sent, states]).toEqual([['b'], ['b done']])
    expect(time.now() - began).toBeGreaterThanOrEqual(30_000)
  })

  test('where it does not come true nothing is sent', async () => {
    const { error } = await run([afterwards()])
    expect([sent, error]).toEqual([[], expect.objectContaining({ message: expect.stringContaining('within 10 m') })])
  })

  test('where somebody did it meanwhile nothing is sent', async () => {
    later('gone', 30_000)
    later('b', 20_000)
    expect([(await run([afterwards()])).states, sent]).toEqual([['b done'], []])
  })

  test('after a failure a short --timeout does not cut it short', async () => {
    later('gone', minutes(5))
    const fails = step('a', 'A', async () => { throw fail('It broke.', 'mend it') })
    const { states } = await run([fails, afterwards({ always: async () => true })], { timeout: 10_000 })
    expect(states).toEqual(['a failed', 'b done'])
  })
})

describe('permission', () => {
  const asks = (granted: boolean) => puts('restart', ['restart'], { permission: { granted, flag: '--allow-restart', ask: 'May it?' } })

  test('without it nothing is sent, and the flag is named', async () => {
    const { error } = await run([puts('a'), asks(false)])
    expect(error).toMatchObject({ code: 1, next: expect.stringContaining('--allow-restart') })
    expect(sent).toEqual(['a'])
  })

  test('why it is needed, how things stand and what it costs come from the step; what did not happen from its grace', async () => {
    const needed = async () => ({ why: 'the volume has grown, its file system waits', state: 'Nothing is broken.', next: 'Choose the moment: --allow-restart.' })
    const grace = { within: minutes(5), who: 'it to grow', unless: 'the file system has not grown by itself', seen: async () => '8Gi' }
    const { error } = await run([puts('restart', ['restart'], { grace, permission: { granted: false, flag: '--allow-restart', ask: 'May it?', needed } })])
    expect(error).toMatchObject({
      message: 'Step restart is needed after 5 m: the file system has not grown by itself. It was not allowed.',
      why: 'the volume has grown, its file system waits', state: 'Nothing is broken.', next: 'Choose the moment: --allow-restart.', add: '--allow-restart',
    })
  })

  test('with it, and where nothing is to do, the run goes on', async () => {
    expect((await run([asks(true)])).count).toBe(1)
    world = new Set(['restart'])
    expect((await run([asks(false)])).count).toBe(0)
  })
})

describe('by hand', () => {
  const manual = step('set', 'Set it', async () => (world.has('set') ? done('it is set') : []), { manual: { say: async () => 'press Save', within: minutes(10) } })

  test('a person is told what to do, and the run waits for it', async () => {
    later('set', 60_000)
    const { states, events } = await run([manual, puts('b')])
    expect(states).toEqual(['set done', 'b done'])
    expect(events.find(({ event }) => event === 'wait')).toMatchObject({ say: expect.stringContaining('by hand') })
  })

  test('for so long and no longer', async () => {
    expect((await run([manual])).error).toMatchObject({ code: 1, message: expect.stringContaining('within 10 m'), next: expect.stringContaining('press Save') })
  })
})

describe('an answer that was lost', () => {
  const gaveUp = new Refused('The gateway gave up.', 'x', { status: 504, reason: 'Timeout' })

  test.each([new Lost('lost'), gaveUp])('of a mint that was carried out (%s): the world shows it, and nothing is sent again', async (trouble) => {
    const lost = put('key', { again: 'mint', call: async () => {
      sent.push('key')
      world.add('key')
      throw trouble
    } })
    const { states } = await run([step('a', 'A', async () => (world.has('key') ? done('there') : [lost]))])
    expect([sent, states]).toEqual([['key'], ['a done']])
  })

  test.each([new Lost('lost'), gaveUp])('of a mint that was not (%s): it is an error, and nothing is sent again', async (trouble) => {
    const lost = put('key', { again: 'mint', call: async () => {
      sent.push('key')
      throw trouble
    } })
    const { error } = await run([step('a', 'A', async () => [lost])])
    expect(error).toMatchObject({ code: 1, next: expect.stringContaining('same line') })
    expect(sent).toEqual(['key'])
  })

  test.each([new Lost('lost'), gaveUp])('of what must not be left out, again and again (%s): it is tried on', async (trouble) => {
    let answers = 0
    const lost = put('safe', { again: 'guarded', call: async () => {
      if (answers++ < 20) throw trouble
      world.add('safe')
    } })
    const { states } = await run([step('safe', 'Safe', async () => (world.has('safe') ? done('there') : [lost]), { always: async () => true })])
    expect(states).toEqual(['safe done'])
  })

  test('of one effect of several: the others are sent all the same', async () => {
    const lost = put('one', { again: 'mint', call: async () => {
      sent.push('one')
      world.add('one')
      throw new Lost('lost')
    } })
    const { states } = await run([step('a', 'A', async () => (world.has('one') && world.has('two') ? done('both') : [...(world.has('one') ? [] : [lost]), put('two')]))])
    expect([sent, states]).toEqual([['one', 'two'], ['a done']])
  })
})

describe('stop', () => {
  test('before the next effect, and nothing after it, not even what runs always', async () => {
    const stop = new AbortController()
    const stops = puts('a', ['a1'], {})
    const { error, states } = await run([stops, puts('b'), puts('safe', ['safe'], { always: async () => true })],
      { stop: stop.signal, onEvent: (event) => { if (event.event === 'step' && event.id === 'a' && event.state === 'done') stop.abort() } })
    expect(error).toBeInstanceOf(Stopped)
    expect(sent).toEqual(['a1'])
    expect(states[0]).toBe('a done')
  })

  test('in the middle of a wait', async () => {
    const stop = new AbortController()
    time.after(10_000, () => stop.abort())
    const { error } = await run([puts('a', ['a'], { verify: async () => [check(async () => 'not yet', minutes(60))] })], { stop: stop.signal })
    expect(error).toBeInstanceOf(Stopped)
    expect(time.slept.length).toBeLessThan(10)
  })
})

test('a step of checks alone: done when they hold, a refusal of one is seen before anything is waited for', async () => {
  const good = verifyStep('v', 'Verify', 'all agree', async () => [check(async () => true)])
  expect((await run([good])).states).toEqual(['v done'])
  const bad = verifyStep('v', 'Verify', 'all agree', async () => [check(async () => { throw new Refused('no', 'x', { status: 403, reason: 'Forbidden' }) })])
  expect((await run([bad])).error).toMatchObject({ message: 'no' })
  expect(time.slept).toEqual([])
})
