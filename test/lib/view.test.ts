import { stripVTControlCharacters } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { step } from '../../lib/effect.ts'
import { treeView, troubleOf, waitingIn } from '../../lib/view.ts'

describe('a wait in one row', () => {
  const wait = (say: string, seen: string, ms = 394_000) => ({ event: 'wait', id: 'deploy', say, seen, ms, within: 600_000 }) as const

  test('the time comes first, and what was seen last is kept; the explanation is cut', () => {
    expect(waitingIn(wait('to be done by hand', 'not yet'), 54)).toBe('6 m 34 s of 10 m · to be done by hand · last: not yet')
    expect(waitingIn(wait('waiting until the stateful set mongodb has all of its pods', '0 of 1 ready'), 51)).toBe('6 m 34 s of 10 m · waiting un… · last: 0 of 1 ready')
    expect(waitingIn(wait('waiting for the deploy', 'mongodb absent'), 74)).toBe('6 m 34 s of 10 m · waiting for the deploy · last: mongodb absent')
  })

  test('it keeps to its room, and tells the time whatever else there is', () => {
    fc.assert(fc.property(fc.string({ maxLength: 200 }), fc.string({ maxLength: 200 }), fc.integer({ min: 34, max: 96 }), fc.nat(86_400_000), (say, seen, room, ms) => {
      const row = waitingIn(wait(say, seen, ms), room)
      expect(row.length).toBeLessThanOrEqual(room)
      expect(row).toMatch(/^\d.* of 10 m · /)
    }))
  })
})

describe('what became of an effect', () => {
  const ended = (more: object) => troubleOf({ event: 'effect-end', effect: 'delete statefulset/mongodb', line: 'kubectl delete', ...more })

  test('a trouble that passes is told as one, with when it is sent again', () => {
    expect(ended({ error: 'the answer was lost', retry: { lost: true, ms: 1000, attempt: 2, of: 5 } })).toEqual(
      { sign: '↻', say: 'lost the answer of “delete statefulset/mongodb”; asking again in 1 s (2 of 5)' })
    expect(ended({ error: 'The API server refuses it: too many requests.', retry: { lost: false, ms: 2000, attempt: 3, of: 5 } })).toEqual(
      { sign: '↻', say: '“delete statefulset/mongodb” has to wait: The API server refuses it: too many requests; asking again in 2 s (3 of 5)' })
  })

  test('what the lost sending had done is no error, and a failure is one', () => {
    expect(ended({ carriedOutBefore: true })).toEqual({ sign: '↻', say: '“delete statefulset/mongodb” was carried out the first time: only its answer was lost' })
    expect(ended({ error: 'The API server refuses it.' })).toEqual({ sign: '!', say: 'The API server refuses it.' })
    expect(ended({})).toBeUndefined()
  })
})

describe('the tree', () => {
  /** What is written to a terminal of so many columns meanwhile. */
  const drawn = async (columns: number, act: (appears: (text: RegExp) => Promise<void>) => Promise<void>): Promise<string> => {
    const own = [[process.stdout, 'isTTY', true], [process.stdout, 'columns', columns], [process.stderr, 'columns', columns]] as const
    const before = own.map(([stream, key]) => Object.getOwnPropertyDescriptor(stream, key))
    let written = ''
    const write = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      written += String(text)
      return true
    })
    try {
      for (const [stream, key, value] of own) Object.defineProperty(stream, key, { value, configurable: true })
      await act(async (text) => {
        while (!text.test(stripVTControlCharacters(written))) await new Promise((resolve) => setTimeout(resolve, 20))
      })
    } finally {
      write.mockRestore()
      for (const [n, [stream, key]] of own.entries()) {
        const old = before[n]
        if (old) Object.defineProperty(stream, key, old)
        else delete (stream as unknown as Record<string, unknown>)[key]
      }
    }
    return stripVTControlCharacters(written)
  }
  const steps = ['deploy', 'bring-back'].map((id) => step(id, `${id}, whose title is longer than a narrow terminal is wide`, async () => []))
  const event = (id: string, state: 'started' | 'done' | 'stopped', say: string) => ({ event: 'step', id, n: 1, state, say, ms: 0, changes: 0 }) as const

  test('what is said while it is drawn is seen at once, beneath the step that runs, and seconds count', async () => {
    const screen = await drawn(60, async (appears) => {
      const view = treeView()
      await view.begin(steps)
      view.on(event('deploy', 'started', 'Deploy'))
      view.on({ event: 'effect-start', effect: 'kots set mongodb_pvc_size', line: 'kubectl kots set' })
      await appears(/running kots set mongodb_pvc_size · \d s/)
      view.say('\n^C finishing “kots set mongodb_pvc_size”, then stopping. Again to stop at once.')
      await appears(/Again to stop at once\.\n +running kots set mongodb_pvc_size · [1-9] s/)
      view.on({ event: 'effect-end', effect: 'kots set mongodb_pvc_size', line: 'kubectl kots set', error: 'lost', retry: { lost: true, ms: 1000, attempt: 2, of: 5 } })
      await appears(/↻ lost the answer/)
      view.on(event('deploy', 'done', 'deployed'))
      view.on(event('bring-back', 'stopped', 'stopped, as asked'))
      await view.end()
    })
    expect(screen).toMatch(/› \^C finishing “kots set mongodb_pvc_size”, then\n +stopping\. Again to stop at once\.\n +running kots set mongodb_pvc_size · \d s/)
    expect(screen).toContain('↻ lost the answer of “kots set')
    const end = screen.slice(screen.lastIndexOf('deployed'))
    expect(end).toContain('↓ 1 bring-back  stopped, as asked')
    expect(end).not.toContain('^C')
    expect(screen.split('\n').filter((row) => row.length > 60)).toEqual([])
  })
})
