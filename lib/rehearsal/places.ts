/**
 * Puts a rehearsal in the place of all that a run would reach outside: time, files, secrets, names, clouds, tools.
 */
import { useClock } from '../clock.ts'
import { useCarrier } from '../cloud/aws.ts'
import { useGithub } from '../cloud/github.ts'
import { useSigner } from '../cloud/identity.ts'
import { useKubeconfig } from '../cluster/kubeconfig.ts'
import { useFolder, useRandom } from '../files.ts'
import { useResolver } from '../names.ts'
import { useRoots } from '../server/certificates.ts'
import { prepareTools } from '../tools.ts'
import type { Rehearsal } from './index.ts'

export const takePlaces = ({ clock, kubeconfig, files, writing, random, resolve, roots, aws, github, sign, env, bin }: Rehearsal): void => {
  useClock(clock)
  useFolder(files, writing)
  useKubeconfig(kubeconfig)
  useRandom(random)
  useResolver(resolve)
  useRoots(roots)
  useCarrier(aws)
  useGithub(github)
  useSigner(sign)
  prepareTools({ env: { ...process.env, ...env, PATH: `${bin}:${process.env['PATH'] ?? ''}` } })
}
