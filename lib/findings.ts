/** A reading runbook's list of things looked at: each with what was found, and what to type where it is not well. */
import type { Preflight, Verdict } from './effect.ts'
import type { Report } from './runbook.ts'
import { bad } from './effect.ts'
import { Fail } from './fail.ts'
import { checkRows, paint, type CheckResult } from './screens.ts'

/**
 * Looks at all of them, at once; in groups under their titles, where those are named. 1 where one is bad; a warning is what
 * could not be proven, and no reason, and neither is what is still to be made.
 */
export const findings = async (checks: Preflight[] | Record<string, Preflight[]>, title: string, more: string[] = []): Promise<Report> => {
  const groups = Array.isArray(checks) ? { '': checks } : checks
  const results = await Promise.all(Object.entries(groups).flatMap(([group, all]) => all.map((check) => resultOf(check, group))))
  const which = (is: string) => results.filter(({ verdict }) => verdict.is === is)
  const [wrong, open, missing] = [which('bad'), which('warning'), which('todo')]
  const rows = checkRows(results).flatMap((row, n) => {
    const group = results[n]?.group
    return group && group !== results[n - 1]?.group ? [`${n ? '\n' : ''}${paint('bold', group)}`, row] : [row]
  })
  const verdict = wrong.length ? `${wrong.length} of ${results.length} do not hold: ${namesOf(wrong)}.`
    : open.length ? `Nothing is wrong; ${open.length} of ${results.length} want a look: ${namesOf(open)}.`
    : missing.length ? `Nothing is wrong; ${missing.length} of ${results.length} are to be made: ${namesOf(missing)}.` : `All ${results.length} hold.`
  return {
    text: [title, ...rows, '', verdict, ...more].join('\n'),
    data: { checks: results.map(({ name, group, verdict: found }) => ({ name, ...(group ? { group } : {}), ...found })) },
    code: wrong.length ? 1 : 0,
  }
}

const resultOf = async (check: Preflight, group: string): Promise<CheckResult & { group: string }> => ({ name: check.name, group, ignored: false, verdict: await verdictOf(check) })

/** What is found; that it cannot be looked at is no good either. */
export const verdictOf = ({ look }: Preflight): Promise<Verdict> => look().catch((error: unknown) => {
  if (error instanceof Fail) return bad(error.message, error.next)
  throw error
})

const namesOf = (results: CheckResult[]): string => [...new Set(results.map(({ name }) => name))].join(', ')
