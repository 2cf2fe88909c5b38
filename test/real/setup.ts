/**
 * One cluster for all tests on real components of a vitest run, and the count of what ran and what was skipped at
 * its end. Without the components there is no cluster, and the tests say what is missing.
 */
import type { TestProject } from 'vitest/node'
import type { ClusterInfo } from './cluster.ts'
import { startCluster } from './cluster.ts'
import { CLUSTER, lacking } from './components.ts'

declare module 'vitest' {
  interface ProvidedContext {
    cluster: ClusterInfo | undefined
  }
}

export default async (project: TestProject): Promise<() => Promise<void>> => {
  const cluster = lacking(...CLUSTER) ? undefined : await startCluster()
  const { folder, server, ca, tokens, version } = cluster ?? {}
  project.provide('cluster', cluster && ({ folder, server, ca, tokens, version } as ClusterInfo))
  return async () => {
    const { failed, lines } = summary(project)
    if (failed && cluster) console.error(`${cluster.logs(8)}\nThe logs of the cluster are kept in ${cluster.folder}.`)
    await cluster?.stop(failed)
    console.log(lines.join('\n'))
  }
}

const summary = (project: TestProject): { failed: boolean; lines: string[] } => {
  const counts = new Map<string, { ran: number; skipped: number }>()
  let failed = false
  for (const module of project.vitest.state.getTestModules()) {
    if (module.project !== project) continue
    for (const test of module.children.allTests()) {
      const { state } = test.result()
      failed ||= state === 'failed'
      for (const name of test.meta().needs ?? []) {
        const count = counts.get(name) ?? { ran: 0, skipped: 0 }
        if (state === 'skipped') count.skipped++
        else if (state !== 'pending') count.ran++
        counts.set(name, count)
      }
    }
  }
  const lines = [...counts].map(([name, { ran, skipped }]) => {
    const why = skipped ? lacking(name as never) : undefined
    return `  ${name.padEnd(24)} ${ran} ran, ${skipped} skipped${why ? `. ${why}` : ''}`
  })
  return { failed, lines: ['Tests on real components:', ...lines] }
}
