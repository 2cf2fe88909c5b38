/**
 * Docker in a rehearsal: it answers, and runs the image that makes keysets.
 */
import { keysetOf } from './keysets.ts'
import { failed, notPlayed, printed, type Tool } from './tool.ts'

export const docker: Tool = {
  name: ({ argv }) => `docker ${argv[0] ?? ''}`,
  mutates: ({ argv }) => argv[0] === 'run',
  play: ({ rules }, { argv }) => {
    if (rules.noDocker) return { stdout: '', stderr: 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n', code: 1 }
    if (argv[0] === 'version') return printed('20.10.7\n')
    const at = argv.indexOf('circleci/server-keysets:latest')
    if (argv[0] !== 'run' || at < 0) return notPlayed(`docker ${argv.slice(0, 3).join(' ')}`, 'docker.ts')
    const name = argv[at + 2] ?? ''
    return argv[at + 1] === 'generate' && (name === 'signing' || name === 'encryption') ? printed(`${keysetOf(name)}\n`)
      : failed('Generate encryption/signing keysets for CircleCI Server.')
  },
}
