/** curl in a rehearsal: the health check of the installation, as far as its name leads there and its frontend runs; its API. */
import { resolved } from './backups.ts'
import { askCircle, isApi } from './circleci.ts'
import { NAMESPACE } from './installation.ts'
import { flags, notPlayed, parse, printed, type Tool } from './tool.ts'
import { keyOf } from './world.ts'

const FLAGS = flags('f s S sS fsS v', 'max-time config X H d')
const callOf = (argv: string[]) => {
  const { words: [url = ''], flag } = parse(argv.filter((word) => word !== '-fsS'), FLAGS)
  const { host, pathname, search } = URL.canParse(url) ? new URL(url) : { host: '', pathname: '', search: '' }
  return { host, path: pathname + search, method: flag['X'] ?? 'GET', data: flag['d'] }
}

export const curl: Tool = {
  name: ({ argv }) => `curl ${argv.filter((word) => /^(GET|POST|PUT)$|^https:/.test(word)).join(' ')}`,
  mutates: ({ argv }) => argv.includes('-X'),
  play: (world, { argv, stdin }) => {
    const { host, path, method, data } = callOf(argv)
    if (isApi(path)) {
      const [status, said] = askCircle(world, method, path, /^header = "Circle-Token: (\w+)"$/m.exec(stdin)?.[1], data ?? /^data = (.*)$/m.exec(stdin)?.[1] ?? '')
      return status < 400 ? printed(JSON.stringify(said, null, 2)) : { stdout: '', stderr: `curl: (22) The requested URL returned error: ${status}\n`, code: 22 }
    }
    if (path !== '/status') return notPlayed(`curl ${path || argv.join(' ')}`, 'curl.ts')
    const runs = world.objects[keyOf('deployments', 'frontend', NAMESPACE)]?.['status'].availableReplicas
    if (!resolved(world, host).length) return { stdout: '', stderr: `curl: (6) Could not resolve host: ${host}\n`, code: 6 }
    return runs ? printed('{"status":"OK"}\n') : { stdout: '', stderr: `curl: (7) Failed to connect to ${host} port 443\n`, code: 7 }
  },
}
