/** Reads that are asked again while nobody answers, or the no is one for now: after half a second, 1, 2 and 4 s. */
import { clock } from './clock.ts'
import { isPassing, Refused } from './fail.ts'

const ATTEMPTS = 5

/** What `ask` answers in the end; what it threw last, where that does not pass, or it was asked often enough. */
export const askedAgain = async <T>(ask: () => Promise<T>, { passes = isPassing, attempts = ATTEMPTS }: { passes?(error: unknown): boolean; attempts?: number } = {}): Promise<T> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask()
    } catch (error) {
      if (!passes(error) || attempt >= attempts) throw error
      await clock.sleep((error instanceof Refused && error.retryAfter) || 250 * 2 ** attempt)
    }
  }
}
