/** The namespace in a context of the kubeconfig, so that kubectl needs none on its line. Installation guide 3.3.0, phase 2. */
import type { Done, Effect } from '../effect.ts'
import { done, minutes } from '../effect.ts'
import { readTool, runTool } from '../tools.ts'
import { cluster } from './kubernetes.ts'

export const contextHasNamespace = async (): Promise<Done | Effect[]> => {
  const { context, namespace, kubeconfig } = cluster()
  const own = kubeconfig ? ['--kubeconfig', kubeconfig] : []
  const { stdout } = await readTool(['kubectl', ...own, 'config', 'view', '--minify', '--context', context, '-o', 'jsonpath={..namespace}'])
  if (stdout.trim() === namespace) return done(`${context} names ${namespace}`)
  const words = ['kubectl', ...own, 'config', 'set-context', context, '--namespace', namespace]
  return [{ id: `set-context ${context}`, again: 'safe', command: { words }, call: () => runTool(words, 'Mend the kubeconfig, then repeat the same line.', minutes(1)) }]
}
