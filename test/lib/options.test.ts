import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Fail } from '../../lib/fail.ts'
import { flag, gather, optional, quantity, someOf, type Inputs, type Values } from '../../lib/inputs.ts'
import { OPTIONS, helpPage, parseFlags, repeatLine, sameLine } from '../../lib/options.ts'
import type { Definition } from '../../lib/runbook.ts'

const inputs = {
  db: someOf(['mongodb', 'postgresql'], 'database'), size: quantity('new size'), allowRestart: flag('may restart'),
  kotsItem: optional('key', 'item that holds the size'),
}
const definition = {
  name: 'try-it', purpose: 'try it', guide: 'a guide', when: 'now', inputs, examples: ['--db mongodb --size 10Gi'], afterwards: [],
  preflight: () => [], steps: () => [], facts: async () => ({}), outcome: () => 'done',
} as unknown as Definition<Inputs>

const failure = (...args: string[]): Fail => {
  try {
    parseFlags(definition, args)
  } catch (error) {
    return error as Fail
  }
  throw new Error(`${args.join(' ')} was taken`)
}

describe('parseFlags', () => {
  test('takes values behind a blank and behind =, switches, and its own inputs', () => {
    expect(parseFlags(definition, ['--db', 'mongodb', '--size=10Gi', '--dry-run', '--allow-restart', '--ignore-preflight', 'a,b', '--kots-item=a=b'])).toEqual(
      { db: 'mongodb', size: '10Gi', dryRun: true, allowRestart: true, ignorePreflight: 'a,b', kotsItem: 'a=b' })
  })

  test.each([
    ['--sise', '--size'], ['--dryrun', '--dry-run'], ['--dry_run', '--dry-run'], ['--name-space', '--namespace'], ['--kube-config', '--kubeconfig'], ['--ye', '--yes'], ['--jsn', '--json'],
  ])('%s: did you mean %s?', (wrong, right) => {
    const error = failure(wrong, '10Gi')
    expect(error.code).toBe(2)
    expect(error.message).toBe(`There is no flag ${wrong}. Did you mean ${right}?`)
    expect(error.next).toContain('--help')
  })

  test('what is like no flag gets no suggestion', () => {
    expect(failure('--completely-different').message).toBe('There is no flag --completely-different.')
    expect(failure('-x').message).toMatch(/^There is no flag -x\.$/)
  })

  test.each([
    [['--size'], '--size wants a value: size.'], [['--size', '--yes'], '--size wants a value: size.'], [['--size='], '--size wants a value: size.'],
    [['--yes=no'], '--yes takes no value.'], [['mongodb'], '“mongodb” is no flag.'], [['--db', 'mongodb', '10Gi'], '“10Gi” is no flag.'],
  ])('%j: %s', (args, message) => {
    expect(failure(...args)).toMatchObject({ code: 2, message })
  })

  test('a value that begins with a dash is a value: --size -1Gi', () => {
    expect(parseFlags(definition, ['--size', '-1Gi'])).toEqual({ size: '-1Gi' })
  })

  test('of a flag that is given twice the last one holds, as elsewhere', () => {
    expect(parseFlags(definition, ['--size', '10Gi', '--size', '20Gi'])).toEqual({ size: '20Gi' })
  })

  test('never throws anything but a usage error', () => {
    const piece = fc.oneof(fc.string(), fc.constantFrom('--db', '--size', '--yes', '--', '-', '--yes=', '--no-yes', '=', '--=', '-abc', '--__proto__', '--constructor'))
    fc.assert(fc.property(fc.array(piece, { maxLength: 6 }), (args) => {
      try {
        parseFlags(definition, args)
      } catch (error) {
        expect(error).toMatchObject({ name: 'Fail', code: 2 })
      }
    }))
  })
})

describe('the same line', () => {
  const wordsOf = (line: string): string[] => execFileSync('bash', ['-c', `printf '%s\\0' ${line}`], { encoding: 'utf8' }).split('\0').slice(0, -1)
  const text = fc.string({ minLength: 1 }).filter((one) => !/\0|\p{Surrogate}/u.test(one) && !one.startsWith('-'))

  test('read by bash and parsed again, it says the same', async () => {
    await fc.assert(fc.asyncProperty(
      fc.record({
        db: fc.constantFrom('mongodb', 'postgresql', 'mongodb,postgresql'), size: fc.bigInt({ min: 1n, max: 999n }).map((n) => `${n}Gi`),
        allowRestart: fc.boolean(), kotsItem: fc.option(text, { nil: undefined }),
        yes: fc.boolean(), timeout: fc.option(fc.constantFrom('90s', '20m'), { nil: undefined }), ignorePreflight: fc.option(fc.constant('quota,claims'), { nil: undefined }),
        kubeconfig: fc.option(text, { nil: undefined }), context: text, namespace: fc.constantFrom('circleci-server', 'other'),
      }),
      async ({ allowRestart, yes, context, namespace, kubeconfig, ...more }) => {
        const flags = { ...more, ...(allowRestart ? { allowRestart: true } : {}), ...(yes ? { yes: true } : {}) }
        const sources = { environment: {}, envFile: {}, prompt: undefined }
        const values = await gather(definition.inputs, { ...sources, flags }) as Values<Inputs>
        const again = parseFlags(definition, wordsOf(sameLine(definition, values, flags, { context, namespace, kubeconfig })).slice(3))
        expect(await gather(definition.inputs, { ...sources, flags: again })).toEqual(values)
        const defined = (all: object) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== false))
        expect(defined(again)).toEqual(defined({ ...flags, size: values['size'], context, namespace, kubeconfig }))
      }), { numRuns: 60 })
  })

  test('a rehearsal stays a rehearsal', () => {
    const line = sameLine(definition, { db: ['mongodb'], size: '10Gi', allowRestart: false, kotsItem: undefined }, { rehearse: true, scenario: 'quota', yes: true }, { context: 'rehearsal', namespace: 'n' })
    expect(line).toBe('npx tsx runbooks/try-it.ts --db mongodb --size 10Gi --rehearse --scenario quota --yes')
  })

  test('what stops a run early is left out of the line that goes on', () => {
    const line = sameLine(definition, { db: ['mongodb'], size: '10Gi', allowRestart: false, kotsItem: undefined }, { until: 'grow', dryRun: true }, { context: 'c', namespace: 'n' })
    expect(line).toBe('npx tsx runbooks/try-it.ts --db mongodb --size 10Gi --context c --namespace n')
  })
})

describe('the line to repeat, where nothing was done', () => {
  const values = { db: ['mongodb'], size: '10Gi', allowRestart: false, kotsItem: undefined }
  const where = { context: 'c', namespace: 'n' }

  test('is the one that was given, also where it only looks or ends early', () => {
    expect(repeatLine(definition, values, { until: 'grow', json: true, ignorePreflight: 'quota' }, where)).toBe(
      'npx tsx runbooks/try-it.ts --db mongodb --size 10Gi --context c --namespace n --ignore-preflight quota --until grow --json')
    expect(repeatLine(definition, values, { rehearse: true, scenario: 'quota', dryRun: true }, where)).toBe(
      'npx tsx runbooks/try-it.ts --db mongodb --size 10Gi --rehearse --scenario quota --dry-run')
  })

  test('a reviewed plan carries the inputs and the place', () => {
    expect(repeatLine(definition, values, { plan: 'plan.json', ignorePreflight: 'quota', yes: true }, { ...where, kubeconfig: '/k' })).toBe(
      'npx tsx runbooks/try-it.ts --plan plan.json --kubeconfig /k --ignore-preflight quota --yes')
  })
})

describe('what does not go together', () => {
  test.each([
    [['--dry-run', '--shell'], '--dry-run and --shell do not go together.'], [['--shell', '--markdown'], '--shell and --markdown do not go together.'],
    [['--dry-run', '--shell', '--markdown'], '--dry-run and --shell and --markdown do not go together.'],
    [['--json', '--shell'], '--json and --shell both write to stdout.'], [['--markdown', '--json'], '--json and --markdown both write to stdout.'],
  ])('%j', (args, message) => {
    expect(failure(...args)).toMatchObject({ code: 2, message, next: expect.stringContaining('--help') })
    expect(parseFlags(definition, [...args, '--help'])).toMatchObject({ help: true })
  })

  test('a dry run for machines does', () => expect(parseFlags(definition, ['--dry-run', '--json'])).toEqual({ dryRun: true, json: true }))
})

describe('help', () => {
  const page = helpPage(definition)

  test('names every flag in its group, and the variable that it reads', () => {
    for (const key of [...Object.keys(OPTIONS), ...Object.keys(inputs)]) {
      expect(page, key).toMatch(new RegExp(`^ {2}--${key.replaceAll(/[A-Z]/g, (letter) => '-' + letter.toLowerCase())}\\b`, 'm'))
    }
    for (const group of ['This runbook:', 'Look before:', 'Run:', 'Where:', 'Output:']) expect(page).toContain(`\n${group}\n`)
    for (const name of ['[DB]', '[SIZE]', '[ALLOW_RESTART]', '[KOTS_ITEM]', '[CIRCLECI_CONTEXT]', '[CIRCLECI_NAMESPACE]', '[KUBECONFIG]']) expect(page).toContain(name)
  })

  test('-h asks for it too', () => expect(parseFlags(definition, ['--db', 'mongodb', '-h'])).toEqual({ db: 'mongodb', help: true }))

  test('says how several of the choices are written', () => expect(page).toMatch(/--db <mongodb\|postgresql> +database; both with a comma \(required\)/))

  test('keeps to 80 columns', () => {
    expect(page.split('\n').filter((row) => row.length > 80)).toEqual([])
  })
})
