/**
 * Serves a rehearsal from a process of its own, which a test may kill: prints its address, and stays.
 */
import { rehearse } from '../../lib/rehearsal/index.ts'

const [file = '', scenario] = process.argv.slice(2)
const { url, kubeconfig, bin, env, clock } = await rehearse({ file, pace: 0, ...(scenario ? { scenario } : {}) })
process.stdout.write(`${JSON.stringify({ url, kubeconfig, bin, env })}\n`)
for await (const ms of process.stdin) {
  await clock.sleep(Number(ms))
  process.stdout.write('slept\n')
}
