import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { commandLine, line, quote, wrapLine } from '../../lib/shell.ts'

/** The words that bash reads: each behind a marker, so that none at all differs from an empty one. */
const wordsOf = (text: string): string[] =>
  execFileSync('bash', ['-c', `p() { for word in "$@"; do printf 'w%s\\0' "$word"; done; }; p ${text}`], { encoding: 'utf8' })
    .split('\0').slice(0, -1).map((word) => word.slice(1))

const nasty = fc.constantFrom("'", '"', '\\', '\\\\', '\n', '\t', ' ', '  ', '$', '$\'', '$(id)', '`id`', '!', '*', '?', '~', '#', '&', ';', '|', '<', '>', '{a,b}', '[a]',
  '-', '--', '=', 'é', '日本', '🙂', '\r', '$&', "$'\\n'", '{"a":"b"}', '${x}', '\\n', '%s')
const word = fc.oneof(
  fc.array(fc.oneof(nasty, fc.string({ maxLength: 5 })), { maxLength: 8 }).map((parts) => parts.join('')),
  fc.string({ unit: 'binary' }),
  fc.constant(''),
).filter((text) => !/\0|\p{Surrogate}/u.test(text))
const words = fc.array(word, { minLength: 1, maxLength: 6 })

describe('line', () => {
  test('bash reads back the same words', () => {
    fc.assert(fc.property(words, (given) => { expect(wordsOf(line(given))).toEqual(given) }), { numRuns: 150 })
  })

  test.each([
    ['10Gi', '10Gi'], ['', "''"], ['a b', "'a b'"], ["it's", "'it'\\''s'"], ['$HOME', "'$HOME'"], ['--cascade=orphan', '--cascade=orphan'],
    ["$'", "'$'\\'''"], ['{"a":1}', "'{\"a\":1}'"],
  ])('%s is written %s', (given, written) => expect(quote(given)).toBe(written))

  test('what needs no quotes has none, and ~ and = do not expand', () => {
    for (const given of ['/a/b.c', 'KEY=VALUE', 'a@b', '50%', 'x:y,z+1']) expect(quote(given)).toBe(given)
    for (const given of ['~', '~root', 'a=~/b']) expect(wordsOf(quote(given))).toEqual([given])
  })
})

describe('wrapLine', () => {
  test('pasted, it gives the same words', () => {
    fc.assert(fc.property(words, fc.integer({ min: 20, max: 100 }), fc.constantFrom('', '  ', '        '), (given, width, indent) => {
      expect(wordsOf(wrapLine(line(given), width, indent).join('\n'))).toEqual(given)
    }), { numRuns: 150 })
  })

  test('keeps a long word whole, and every other row within the width', () => {
    fc.assert(fc.property(fc.array(fc.stringMatching(/^[a-z0-9=.-]{1,40}$/), { minLength: 1, maxLength: 20 }), fc.constantFrom(60, 80), (given, width) => {
      for (const row of wrapLine(line(given), width, '      ')) expect(row.length).toBeLessThanOrEqual(width)
    }))
  })

  test('an example', () => {
    expect(wrapLine('kubectl --context prod -n circleci-server patch pvc datadir-mongodb-0 -p \'{"spec": {}}\'', 50, '    ')).toEqual([
      '    kubectl --context prod -n circleci-server \\',
      '      patch pvc datadir-mongodb-0 -p \\',
      '      \'{"spec": {}}\'',
    ])
  })
})

test('what is piped into a command stands before it', () => {
  const stdin = { say: 'text', commands: [['printf', '%s', "it's"], ['tr', 'a-z', 'A-Z']], read: async () => '' }
  const command = { words: ['cat', '-'], stdin }
  expect(commandLine(command)).toBe("printf %s 'it'\\''s' | tr a-z A-Z | cat -")
  expect(execFileSync('bash', ['-c', commandLine(command)], { encoding: 'utf8' })).toBe("IT'S")
})
