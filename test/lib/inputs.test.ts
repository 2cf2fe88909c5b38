import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import type { Fail } from '../../lib/fail.ts'
import { Once } from '../../lib/files.ts'
import { envOf, flag, flagOf, gather, optional, quantity, secret, someOf, text, type Sources } from '../../lib/inputs.ts'

const inputs = {
  db: someOf(['mongodb', 'postgresql'], 'database'),
  size: quantity('new size'),
  allowRestart: flag('may restart'),
  kotsItem: optional('key', 'an item'),
}
const from = (sources: Partial<Sources>): Sources => ({ flags: {}, environment: {}, envFile: {}, prompt: undefined, ...sources })
const failure = async (sources: Partial<Sources>): Promise<Fail> => gather(inputs, from(sources)).then(
  () => { throw new Error('it did not fail') }, (error: unknown) => error as Fail)

describe('where a value comes from', () => {
  test('flag, environment, env file, prompt, in this order', async () => {
    const asked: string[] = []
    const everywhere = {
      flags: { db: 'mongodb', size: '1Gi' } as Record<string, string>, environment: { SIZE: '2Gi' } as Record<string, string>, envFile: { SIZE: '3Gi' } as Record<string, string>,
      prompt: async (key: string) => { asked.push(key); return '4Gi' },
    }
    const sizes = []
    for (const drop of ['flags', 'environment', 'envFile', 'none'] as const) {
      sizes.push((await gather(inputs, everywhere)).size)
      if (drop === 'flags') delete everywhere.flags['size']
      else if (drop !== 'none') delete everywhere[drop]['SIZE']
    }
    expect(sizes).toEqual(['1Gi', '2Gi', '3Gi', '4Gi'])
    expect(asked).toEqual(['size'])
  })

  test('any mixture of sources gives the first that speaks', async () => {
    await fc.assert(fc.asyncProperty(fc.record({ flag: fc.boolean(), env: fc.boolean(), file: fc.boolean() }), async (given) => {
      const { size } = await gather(inputs, from({
        flags: { db: 'mongodb', ...(given.flag ? { size: '1Gi' } : {}) },
        environment: given.env ? { SIZE: '2Gi' } : {}, envFile: given.file ? { SIZE: '3Gi' } : {}, prompt: async () => '4Gi',
      }))
      expect(size).toBe(given.flag ? '1Gi' : given.env ? '2Gi' : given.file ? '3Gi' : '4Gi')
    }))
  })

  test('an empty variable says nothing', async () => {
    expect((await gather(inputs, from({ flags: { db: 'mongodb' }, environment: { SIZE: '' }, envFile: { SIZE: '3Gi' } }))).size).toBe('3Gi')
  })

  test('what is optional is never asked for', async () => {
    const prompt = vi.fn(async () => '9Gi')
    const values = await gather(inputs, from({ flags: { db: 'mongodb' }, prompt }))
    expect(values).toEqual({ db: ['mongodb'], size: '9Gi', allowRestart: false, kotsItem: undefined })
    expect(prompt).toHaveBeenCalledTimes(1)
  })

  test('a switch is read from the environment too', async () => {
    for (const [text, is] of [['1', true], ['true', true], ['YES', true], ['0', false], ['false', false]] as const) {
      expect((await gather(inputs, from({ flags: { db: 'mongodb', size: '1Gi' }, environment: { ALLOW_RESTART: text } }))).allowRestart).toBe(is)
    }
  })

  test('names of flags and variables', () => {
    expect([flagOf('allowRestart'), envOf('allowRestart'), flagOf('db'), envOf('db')]).toEqual(['--allow-restart', 'ALLOW_RESTART', '--db', 'DB'])
  })
})

describe('what is wrong', () => {
  test('everything at once, with where each came from', async () => {
    const error = await failure({ flags: { db: 'mysql' }, envFile: { SIZE: '10GB' } })
    expect(error.code).toBe(2)
    expect(error.message).toMatchInlineSnapshot(`
      "--db mysql is none of mongodb, postgresql. Write one of them, or several with a comma: mongodb,postgresql.
      SIZE (env file) 10GB is not a size that Kubernetes knows. Write 10Gi (10 × 2³⁰ bytes)."
    `)
  })

  test('everything that is missing at once', async () => {
    const error = await failure({})
    expect(error.code).toBe(2)
    expect(error.message).toMatchInlineSnapshot(`
      "2 values are missing, and there is no terminal to ask at:
        --db    database  DB
                (mongodb, postgresql; both with a comma)
        --size  new size  SIZE"
    `)
  })

  test('what is wrong and what is missing at once', async () => {
    const error = await failure({ flags: { size: '10GB' } })
    expect(error.message).toContain('10GB')
    expect(error.message).toContain('--db')
  })

  test('nothing is asked while something is wrong', async () => {
    const prompt = vi.fn(async () => '9Gi')
    expect((await failure({ flags: { db: 'mysql' }, prompt })).code).toBe(2)
    expect(prompt).not.toHaveBeenCalled()
  })

  test('a switch that is neither yes nor no', async () => {
    const error = await failure({ flags: { db: 'mongodb', size: '1Gi' }, environment: { ALLOW_RESTART: 'perhaps' } })
    expect(error.message).toContain('ALLOW_RESTART')
  })

  test.each([
    ['10', /no unit: it would be 10 bytes/, 'Write 10Gi'], ['10GB', /not a size/, 'Write 10Gi'], ['-1Gi', /not a size/, 'Write 10Gi'], ['0', /not a size/, 'Write 10Gi'],
    ['0Gi', /not a size/, 'Write 10Gi'], ['', /not a size/, 'Write 10Gi'], ['20gb', /not a size/, 'Write 20Gi'],
  ])('size %j', (text, what, next) => {
    expect(() => inputs.size.parse(text)).toThrow(what)
    try { inputs.size.parse(text) } catch (error) { expect((error as Fail).next).toContain(next) }
  })
})

describe('canonical values', () => {
  test('a size written back is the same size', () => {
    fc.assert(fc.property(fc.bigInt({ min: 1n, max: 10n ** 5n }), fc.constantFrom('Ki', 'Mi', 'Gi', 'Ti', 'k', 'M', 'G'), (amount, unit) => {
      const value = inputs.size.parse(`${amount}${unit}`)
      // Text that it prints, it takes; bytes without a unit are the exception that it cannot know.
      if (!/^\d+$/.test(value)) expect(inputs.size.parse(inputs.size.text(value))).toBe(value)
    }))
    expect(inputs.size.parse('10240Mi')).toBe('10Gi')
  })

  test('a size that was accepted is accepted again as it is printed', () => {
    const value = inputs.size.parse('5G')
    expect(inputs.size.parse(inputs.size.text(value))).toBe(value)
  })

  test('names in any order, each once', () => {
    fc.assert(fc.property(fc.shuffledSubarray(['mongodb', 'postgresql', 'mongodb'], { minLength: 1 }), (names) => {
      const value = inputs.db.parse(names.join(', '))
      expect(value).toEqual(['mongodb', 'postgresql'].filter((name) => names.includes(name)))
      expect(inputs.db.parse(inputs.db.text(value))).toEqual(value)
    }))
    expect(() => inputs.db.parse('mongodb,mysql')).toThrow('mysql is none of')
    expect(() => inputs.db.parse(',')).toThrow()
  })
})

describe('a secret, and what a person gets somewhere else', () => {
  const page = () => ({ say: 'the page' })
  const own = {
    place: text('place', 'where'),
    id: { ...text('id', 'its ID'), byHand: { page, kept: () => undefined, rehearsed: 'rehearsed-id' } },
    password: { ...secret('password', 'the password', { env: 'PASSWORD', pattern: /^\w+$/ }), byHand: { page, kept: ({ place }: Record<string, unknown>) => (place === 'kept' ? 'old' : undefined), rehearsed: 'rehearsed' } },
    more: { ...secret('token', 'one more', { env: 'MORE' }), byHand: { wanted: ({ place }: Record<string, unknown>) => place === 'there', page, kept: () => undefined, rehearsed: 'rehearsed' } },
  }
  const plain = async (sources: Partial<Sources>) => Once.join([(await gather(own, from(sources))).password])

  test('environment, env file, what was kept, prompt, in this order; in a rehearsal none of them', async () => {
    const all: Partial<Sources> = { flags: { place: 'kept', id: 'x' }, environment: { PASSWORD: 'env' }, envFile: { PASSWORD: 'file' }, prompt: async () => 'typed' }
    expect(await plain(all)).toBe('env')
    expect(await plain({ ...all, environment: {} })).toBe('file')
    expect(await plain({ ...all, environment: {}, envFile: {} })).toBe('old')
    expect(await plain({ ...all, environment: {}, envFile: {}, flags: { place: 'new', id: 'x' } })).toBe('typed')
    expect(await plain({ ...all, rehearsal: true })).toBe('rehearsed')
  })

  test('it has no text, and an error does not show it', async () => {
    const values = await gather(own, from({ flags: { place: 'new', id: 'x' }, environment: { PASSWORD: 'hunter2' } }))
    expect(JSON.stringify(values) + String(values.password) + own.password.text(values.password)).not.toContain('hunter2')
    const error = await gather(own, from({ flags: { place: 'new', id: 'x' }, environment: { PASSWORD: 'hunter 2' } })).catch((one: unknown) => one as Fail) as Fail
    expect(error.message + error.next).not.toContain('hunter')
  })

  test('the page is told with the first question, or with what is missing', async () => {
    const pages: unknown[] = []
    await gather(own, from({ flags: { place: 'there' }, prompt: async (_key, _input, told) => { pages.push(told?.say); return 'typed' } }))
    expect(pages).toEqual(['the page', undefined, undefined])
    const error = await gather(own, from({ flags: { place: 'new' } })).catch((one: unknown) => one as Fail) as Fail
    expect(error.message).not.toContain('one more')
    expect(error.next).toBe('the page\nGive them as flags, in the environment or in the env file.')
  })
})
