import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { done, step, type Effect } from '../../lib/effect.ts'
import { Refused, type Fail } from '../../lib/fail.ts'
import { confirmationOf, dangersOf, duration, makePlan, mustMatch, nothingToDo, openSteps, type Plan } from '../../lib/plan.ts'

const effect = (id: string, more: Partial<Effect> = {}): Effect => ({ id, again: 'safe', command: { words: ['do', id] }, call: async () => {}, ...more })
const refused = async () => ({ changes: [{ what: 'x', from: '1', to: '2' }], refused: new Refused('no', 'mend it', { status: 403, reason: 'Forbidden' }) })

describe('duration', () => {
  test.each([
    [0, '0 s'], [300, '0.3 s'], [1200, '1.2 s'], [2000, '2 s'], [59_000, '59 s'], [60_000, '1 m'], [130_000, '2 m 10 s'], [600_000, '10 m'], [3_600_000, '1 h'],
    [20_460_000, '5 h 41 m'], [3_601_000, '1 h 1 s'], [59_600, '1 m'],
  ])('%d ms are %s', (ms, text) => expect(duration(ms)).toBe(text))

  test('is a number with a unit, or two; never 60 of anything', () => {
    fc.assert(fc.property(fc.nat(100 * 3_600_000), (ms) => {
      expect(duration(ms)).toMatch(/^\d+(\.\d)? [hms]( \d+ [ms])?$/)
      expect(duration(ms)).not.toMatch(/\b60 [ms]|\b10\.0 s/)
    }))
  })
})

describe('makePlan', () => {
  test('a step is done, to do, to be watched, done by hand, or perhaps by somebody else', async () => {
    const plan = await makePlan([
      step('a', 'A', async () => done('it is so')),
      step('b', 'B', async () => [effect('b')]),
      step('c', 'C', async () => []),
      step('d', 'D', async () => [], { manual: { say: async () => 'press Save', within: 1000 } }),
      step('e', 'E', async () => [effect('e')], { grace: { within: 600_000, who: 'the deploy', seen: async () => 'absent' } }),
    ], [])
    expect(plan.steps.map(({ state, why }) => [state, why])).toEqual([
      ['done', 'it is so'], ['todo', ''], ['watch', ''], ['manual', 'by hand: press Save'], ['maybe', 'only if the deploy has not done it within 10 m'],
    ])
    expect(nothingToDo(plan)).toBe(false)
    expect(nothingToDo(await makePlan([step('a', 'A', async () => done('so'))], []))).toBe(true)
  })

  test('who may do a step first, and what it is that they may not have done', async () => {
    const grace = { within: 300_000, who: 'the file system to grow', unless: 'the file system has not grown by itself', seen: async () => '8Gi' }
    const whyOf = async (granted: boolean) => (await makePlan([
      step('a', 'A', async () => [effect('a')], { grace, permission: { granted, ask: 'may it restart?', flag: '--allow-restart' } }),
    ], [])).steps[0]?.why
    expect(await whyOf(true)).toBe('only if the file system has not grown by itself within 5 m')
    expect(await whyOf(false)).toBe('only if the file system has not grown by itself within 5 m, and only with --allow-restart; otherwise the run stops here and says so')
  })

  test('it sends nothing', async () => {
    const calls: string[] = []
    await makePlan([step('a', 'A', async () => [effect('a', { call: async () => { calls.push('a') }, preview: async () => ({ changes: [{ what: 'x', from: '1', to: '2' }] }) })])], [])
    expect(calls).toEqual([])
  })

  test('what is refused beforehand stops at the plan; behind an open step it cannot be told yet', async () => {
    const first = step('a', 'A', async () => [effect('a', { preview: refused })])
    await expect(makePlan([first], [])).rejects.toMatchObject({ code: 3, message: 'no (asked beforehand; nothing was changed).', next: 'mend it' })
    const plan = await makePlan([step('z', 'Z', async () => [effect('z')]), first], [])
    expect(plan.steps[1]?.effects[0]).toMatchObject({ changes: [{ what: 'x', from: '1', to: '2' }], unpredictable: expect.stringContaining('after step 1') })
  })

  test('what a permission still holds back is asked by itself, not as a danger', async () => {
    const danger = { danger: 'it restarts' }
    const permission = { granted: false, ask: 'may it restart?', flag: '--allow' }
    const plan = await makePlan([step('a', 'A', async () => [effect('a', danger)], { permission })], [])
    expect(plan.permissions).toEqual([{ ask: 'may it restart?', flag: '--allow' }])
    expect(dangersOf(plan)).toEqual([])
    const granted = await makePlan([step('a', 'A', async () => [effect('a', danger)], { permission: { ...permission, granted: true } })], [])
    expect(granted.permissions).toEqual([])
    expect(dangersOf(granted)).toEqual(['it restarts'])
  })
})

test('what a run goes through: what is open, as far as it was told to go', async () => {
  const plan = await makePlan(['a', 'b', 'c', 'd'].map((id) => step(id, id, async () => (id === 'b' ? done('so') : [effect(id)]))), [])
  expect([openSteps(plan), openSteps(plan, 'c'), openSteps(plan, 'b')]).toEqual([['a', 'c', 'd'], ['a', 'c'], ['a']])
})

describe('mustMatch', () => {
  const plan = (open: string[], effects: Record<string, string[]> = {}, questions: string[] = []): Promise<Plan> => makePlan(
    ['a', 'b', 'c'].map((id) => step(id, id, async () => (open.includes(id) ? (effects[id] ?? [id]).map((one) => effect(one)) : done('so')))), questions)
  const matching = async (now: Plan, then: Plan): Promise<Fail | undefined> => {
    try {
      mustMatch(now, then)
      return undefined
    } catch (error) {
      return error as Fail
    }
  }

  test('the same plan matches, also once some of it is done', async () => {
    const then = await plan(['a', 'b', 'c'])
    expect(await matching(await plan(['a', 'b', 'c']), then)).toBeUndefined()
    expect(await matching(await plan(['c']), then)).toBeUndefined()
    expect(await matching(await plan([]), then)).toBeUndefined()
  })

  test('a plan read from a file matches like the plan itself', async () => {
    const then = await plan(['a', 'b'])
    expect(await matching(await plan(['b']), JSON.parse(JSON.stringify(then)) as Plan)).toBeUndefined()
  })

  test.each([
    ['a step does something else', ['a'], { a: ['other'] }, []], ['a step does more', ['a'], { a: ['a', 'x'] }, []], ['a step does less', ['a'], { a: [] }, []],
    ['a step that was done is open', ['b'], {}, []], ['there is a new question', ['a'], {}, ['Deploy it too?']],
  ] as const)('%s: 6, and nothing was changed', async (_, open, effects, questions) => {
    const error = await matching(await plan([...open], effects as unknown as Record<string, string[]>, [...questions]), await plan(['a', 'c']))
    expect(error).toMatchObject({ code: 6 })
    expect(error?.message).toContain('The reviewed plan no longer holds')
    expect(error?.next).toContain('Nothing was changed')
  })

  test('a step that the file does not know', async () => {
    const then = await plan(['a'])
    expect(await matching(await plan(['a']), { ...then, steps: then.steps.slice(1) })).toMatchObject({ code: 6 })
  })

  test('the same effect at another risk is neither what was reviewed nor what was confirmed', () => {
    const at = (danger?: string) => confirmationOf({ id: 'restart x', subject: 'uid-1', ...(danger ? { danger } : {}) })
    expect(at('down for a minute')).not.toBe(at())
    expect(at('down for a minute')).toBe(at('down for a minute'))
  })

  test('another object of the same name is not what was reviewed', async () => {
    const of = (subject: string) => makePlan([step('a', 'A', async () => [effect('a', { subject, danger: 'gone' })])], [])
    expect(await matching(await of('uid-1'), await of('uid-1'))).toBeUndefined()
    expect(await matching(await of('uid-2'), await of('uid-1'))).toMatchObject({ code: 6 })
  })
})
