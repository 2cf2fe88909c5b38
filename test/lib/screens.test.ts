import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { bad, ok, warning } from '../../lib/effect.ts'
import { fail } from '../../lib/fail.ts'
import type { Plan } from '../../lib/plan.ts'
import { estimateOf, factsScreen, failureScreen, paint, planScreen, preflightScreen, wrap } from '../../lib/screens.ts'

const word = fc.stringMatching(/^[a-zäé“”.,:-]{1,12}$/)
const text = fc.array(word, { minLength: 1, maxLength: 40 }).map((words) => words.join(' '))
const columns = fc.constantFrom(60, 80)
const at = <T>(count: number, act: () => T): T => {
  const before = Object.getOwnPropertyDescriptor(process.stderr, 'columns')
  Object.defineProperty(process.stderr, 'columns', { value: count, configurable: true })
  try {
    return act()
  } finally {
    if (before) Object.defineProperty(process.stderr, 'columns', before)
    else delete (process.stderr as { columns?: number }).columns
  }
}
const tooLong = (screen: string, count: number): string[] => screen.split('\n').filter((row) => row.length > count)

describe('wrap', () => {
  test('keeps to 60 and 80 columns behind its indent', () => {
    fc.assert(fc.property(text, fc.integer({ min: 0, max: 24 }), columns, (given, indent, count) => {
      const pad = ' '.repeat(indent)
      expect(tooLong(pad + wrap(given, pad, count), count)).toEqual([])
    }))
  })

  test('loses and adds no word', () => {
    fc.assert(fc.property(text, columns, (given, count) => {
      expect(wrap(given, '    ', count).split(/\s+/)).toEqual(given.split(' '))
    }))
  })

  test('lines stay lines', () => expect(wrap('a\nb', '  ', 80)).toBe('a\n  b'))
})

const plan: Plan = {
  questions: [], permissions: [],
  steps: [
    { id: 'allow-expansion', title: 'Allow expansion on the storage class', state: 'done', why: 'gp2 allows it', effects: [] },
    { id: 'remove-set', title: 'Remove the stateful set, keeping its pods', state: 'todo', why: '', effects: [{
      id: 'delete', again: 'guarded', line: 'kubectl --context prod-ci -n circleci-server delete statefulset mongodb --cascade=orphan --wait=false', changes: [],
      danger: 'mongodb has no stateful set until it is brought back; the pods keep running, and would not be replaced if they died',
    }] },
    { id: 'grow', title: 'Raise every claim', state: 'todo', why: '', effects: [{
      id: 'patch', again: 'safe', line: 'kubectl --context prod-ci -n circleci-server patch pvc datadir-mongodb-0', changes: [{ what: 'requests.storage', from: '8Gi', to: '10Gi' }],
    }] },
    { id: 'bring-back', title: 'Bring it back', state: 'maybe', why: 'only if the deploy does not within 10 m', effects: [{ id: 'create', again: 'guarded', line: 'kubectl create -f -', changes: [] }] },
  ],
}

describe('the plan', () => {
  test.each([60, 80])('fits into %d columns, with and without commands', (count) => {
    for (const commands of [true, false]) expect(tooLong(at(count, () => planScreen(plan, '', commands)), count)).toEqual([])
  })

  test('reads like this', () => {
    expect(at(80, () => planScreen(plan, 'About 4 m (as the last run).', true))).toMatchInlineSnapshot(`
      "Plan
        ✓  1 allow-expansion  gp2 allows it
        •  2 remove-set       Remove the stateful set, keeping its pods
            ! kubectl --context prod-ci -n circleci-server delete statefulset \\
                mongodb --cascade=orphan --wait=false
              at risk: mongodb has no stateful set until it is brought back; the pods
              keep running, and would not be replaced if they died
        •  3 grow             Raise every claim
            ! kubectl --context prod-ci -n circleci-server patch pvc \\
                datadir-mongodb-0
              requests.storage  8Gi → 10Gi
        ?  4 bring-back       Bring it back
                              only if the deploy does not within 10 m
            ! kubectl create -f -

      2 changes, 1 more only if needed. About 4 m (as the last run)."
    `)
  })
})

describe('preflight', () => {
  test('one column of names, what holds is counted', () => {
    const results = [
      { name: 'kots', verdict: ok('fine'), ignored: false }, { name: 'backup-recent', verdict: warning('the newest backup is 31 h old', 'make one'), ignored: false },
      { name: 'quota', verdict: bad('no room', 'ask for more'), ignored: false }, { name: 'size', verdict: bad('too small', 'write more'), ignored: true },
    ]
    expect(at(80, () => preflightScreen(results, false))).toMatchInlineSnapshot(`
      "Preflight  1 of 4 hold
        ! backup-recent    the newest backup is 31 h old
                           make one
        ✗ quota            no room
                           ask for more
        ! size             too small (ignored)
                           write more"
    `)
    expect(preflightScreen(results, true)).toContain('✓ kots')
  })

  test('a command of a remedy can be pasted as it is printed', () => {
    const line = 'kubectl --context prod-ci -n circleci-server describe pod mongodb-0 postgresql-0 and-another-one'
    const screen = at(60, () => preflightScreen([{ name: 'database', verdict: bad('mongodb-0 is not ready', line), ignored: false }], false))
    const shown = screen.slice(screen.indexOf('kubectl'))
    expect(shown.replaceAll(/ \\\n\s*/g, ' ').split('\n')[0]).toBe(line)
  })
})

describe('a failure', () => {
  test('says what, why, how things stand, what to do, and the line', () => {
    const error = fail('It broke.', 'Mend it.', { why: 'It was old.', state: 'All is safe.' })
    expect(at(80, () => failureScreen(error, false, { line: 'npx tsx x.ts', transcript: '~/x.ndjson' }))).toMatchInlineSnapshot(`
      "✗ It broke.
        Why           It was old.
        As things are All is safe.
        Do now        Mend it.
        Same line     npx tsx x.ts
        Transcript    ~/x.ndjson"
    `)
  })

  test('the line to repeat comes from the error where the screen knows none', () => {
    const error = fail('There is a question.', 'To answer yes, add --yes.', { line: 'npx tsx x.ts --db mongodb', add: '--yes' })
    expect(failureScreen(error, false)).toContain('\n  Same line     npx tsx x.ts --db mongodb --yes')
    expect(failureScreen(error, false, { line: 'npx tsx y.ts' })).toContain('\n  Same line     npx tsx y.ts --yes')
  })

  test.each([60, 80])('fits into %d columns', (count) => {
    fc.assert(fc.property(text, text, text, (what, why, next) => {
      expect(tooLong(at(count, () => failureScreen(fail(what, next, { why }), false)), count)).toEqual([])
    }))
  })

  test.each([60, 80])('how things stand fits into %d columns too', (count) => {
    fc.assert(fc.property(text, fc.array(text, { minLength: 1, maxLength: 3 }), fc.boolean(), (state, found, told) => {
      const facts = Object.fromEntries(found.map((one, n) => [`claim datadir-mongodb-${n}`, one]))
      const screen = at(count, () => failureScreen(fail('It broke.', 'Mend it.', told ? { state } : {}), false, { facts }))
      expect(tooLong(screen, count)).toEqual([])
      expect(screen).not.toMatch(/\n\s*\n/)
    }))
  })

  test('a defect says so, with the stack only where it is asked for', () => {
    const error = new TypeError('x is undefined')
    expect(failureScreen(error, false)).toContain('A defect of this runbook: x is undefined')
    expect(failureScreen(error, false)).not.toMatch(/\n\s+at /)
    expect(failureScreen(error, true)).toMatch(/\n\s+at /)
  })
})

test('facts: before and after where they differ, and in one column', () => {
  expect(factsScreen({ claim: '8Gi', pod: 'same' }, { claim: '10Gi', pod: 'same', 'a longer name': 'new' })).toBe(
    ['  claim          8Gi → 10Gi', '  pod            same', '  a longer name  new'].join('\n'))
})

test('estimates', () => {
  expect(estimateOf([])).toBe('')
  expect(estimateOf([240_000])).toBe('About 4 m (as the last run).')
  expect(estimateOf([180_000, 240_000, 300_000])).toBe('About 4 m (the last 3 runs took 3 m to 5 m).')
})

test('colour only where it is wanted', () => {
  for (const [environment, wanted] of [[{ FORCE_COLOR: '1' }, true], [{ FORCE_COLOR: '0' }, false], [{ FORCE_COLOR: '', NO_COLOR: '1' }, false]] as const) {
    for (const [key, value] of Object.entries(environment)) vi.stubEnv(key, value)
    expect(paint('red', 'x') !== 'x').toBe(wanted)
    vi.unstubAllEnvs()
  }
})
