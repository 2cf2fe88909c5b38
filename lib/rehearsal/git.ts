/** git in a rehearsal: repositories of GitHub.com are there and filled, others empty until somebody pushes. */
import { circleOf } from './circleci.ts'
import { notPlayed, printed, type Tool } from './tool.ts'
import type { World } from './world.ts'

const nameIn = (url = ''): string => url.replace(/^https:\/\//, '').replace(/\.git$/, '')
const stands = (world: World, name: string): 'filled' | 'empty' | 'missing' => {
  const how = circleOf(world).repositories[name]
  if (typeof how === 'number') return how > world.time ? 'missing' : 'filled'
  return how ?? (name.startsWith('github.com/') ? 'filled' : 'empty')
}

export const git: Tool = {
  name: ({ argv }) => `git ${argv[0] === '-C' ? argv[2] : argv[0]}`,
  mutates: ({ argv }) => argv[2] === 'push',
  play: (world, { argv }) => {
    if (argv[0] === 'clone') return printed('')
    if (argv[0] === 'ls-remote') {
      const how = stands(world, nameIn(argv[1]))
      if (how === 'missing') return { stdout: '', stderr: `remote: Repository not found.\nfatal: repository '${argv[1]}/' not found\n`, code: 128 }
      return printed(how === 'empty' ? '' : '368b13d0c9a84e7fb2f6d1a55e7c90b1f2d3a4b5\trefs/heads/master\n')
    }
    if (argv[2] !== 'push') return notPlayed(`git ${argv.join(' ')}`, 'git.ts')
    circleOf(world).repositories[nameIn(argv.at(-2))] = 'filled'
    return printed('')
  },
}
