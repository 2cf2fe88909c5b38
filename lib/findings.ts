/** A reading runbook's list of things looked at: each with what was found, and what to type where it is not well. */
import type { Preflight } from './effect.ts'
import type { Report } from './runbook.ts'
import { bad } from './effect.ts'
import { Fail } from './fail.ts'
import { preflightScreen } from './screens.ts'

/** Looks at all of them, at once. 1 where one is bad; a warning is what could not be proven, and no reason. */
export const findings = async (checks: Preflight[], title: string, more: string[] = []): Promise<Report> => {
  const results = await Promise.all(checks.map(async ({ name, look }) => ({
    name, ignored: false,
    verdict: await look().catch((error: unknown) => {
      if (error instanceof Fail) return bad(error.message, error.next)
      throw error
    }),
  })))
  const wrong = results.filter(({ verdict }) => verdict.is === 'bad')
  const open = results.filter(({ verdict }) => verdict.is === 'warning')
  const rows = preflightScreen(results, true).split('\n').slice(1)
  const verdict = wrong.length ? `${wrong.length} of ${results.length} do not hold: ${wrong.map(({ name }) => name).join(', ')}.`
    : open.length ? `Nothing is wrong; ${open.length} of ${results.length} want a look: ${open.map(({ name }) => name).join(', ')}.` : `All ${results.length} hold.`
  return {
    text: [title, ...rows, '', verdict, ...more].join('\n'),
    data: { checks: results.map(({ name, verdict: found }) => ({ name, ...found })) },
    code: wrong.length ? 1 : 0,
  }
}
