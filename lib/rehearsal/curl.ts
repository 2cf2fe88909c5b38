/** curl in a rehearsal: the health check of the installation, as far as its name leads there and its frontend runs. */
import { resolved } from './backups.ts'
import { NAMESPACE } from './installation.ts'
import { flags, notPlayed, parse, printed, type Tool } from './tool.ts'
import { keyOf } from './world.ts'

const FLAGS = flags('f s S sS fsS v', 'max-time')

export const curl: Tool = {
  name: () => 'curl',
  mutates: () => false,
  play: (world, { argv }) => {
    const { words } = parse(argv.filter((word) => word !== '-fsS'), FLAGS)
    const host = /^https:\/\/([^/]+)\/status$/.exec(words[0] ?? '')?.[1]
    if (!host) return notPlayed(`curl ${words.join(' ')}`, 'curl.ts')
    const runs = world.objects[keyOf('deployments', 'frontend', NAMESPACE)]?.['status'].availableReplicas
    if (!resolved(world, host).length) return { stdout: '', stderr: `curl: (6) Could not resolve host: ${host}\n`, code: 6 }
    return runs ? printed('{"status":"OK"}\n') : { stdout: '', stderr: `curl: (7) Failed to connect to ${host} port 443\n`, code: 7 }
  },
}
