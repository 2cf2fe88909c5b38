/** Bundles the runbooks once for all tests: what a user builds is what is tested. */
import { execFileSync } from 'node:child_process'

export const setup = (): void => {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: new URL('..', import.meta.url), stdio: ['ignore', 'inherit', 'inherit'] })
}
