/**
 * What a test file on real components begins with: `const { fresh } = onCluster()`.
 * The stand-ins live in the process of the test: run children with execFile and the like, never with execFileSync.
 */
import { afterAll, beforeEach, inject, onTestFinished } from 'vitest'
import type { Cluster } from './cluster.ts'
import { connect } from './cluster.ts'
import type { ComponentName } from './components.ts'
import { CLUSTER, needs } from './components.ts'
import type { Fresh, Installation } from './installation.ts'
import { bareInstallation, freshInstallation } from './installation.ts'

export interface OnCluster {
  cluster(): Cluster
  /** An installation for this test alone; its stand-ins end with the test. */
  fresh(options?: Fresh): Promise<Installation>
  /** A cluster in which nothing is installed yet. */
  bare(): Promise<Installation>
  /** One installation for all tests of the file that leave it as it is. */
  shared(): Promise<Installation>
}

/** Skips the tests of the file that calls it when the cluster, or what else they need, is not to be had. */
export const onCluster = (...more: ComponentName[]): OnCluster => {
  beforeEach(needs(...CLUSTER, 'kubectl', ...more))
  const cluster = () => {
    const info = inject('cluster')
    if (!info) throw new Error('there is no cluster')
    return connect(info)
  }
  let one: Promise<Installation> | undefined
  afterAll(async () => (await one)?.stop())
  return {
    cluster,
    shared: () => (one ??= freshInstallation(cluster())),
    async fresh(options) {
      const made = await freshInstallation(cluster(), options)
      onTestFinished(made.stop)
      return made
    },
    async bare() {
      const made = await bareInstallation(cluster())
      onTestFinished(made.stop)
      return made
    },
  }
}
