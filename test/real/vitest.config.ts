/**
 * Slower tests, on real components, all on one cluster.
 */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // CI counts the tests of all kinds from these.
    reporters: process.env['VITEST_JSON'] ? ['default', ['json', { outputFile: process.env['VITEST_JSON'] }]] : ['default'],
    // On machines that others share a test that fails is tried once more; CI names those that needed it.
    retry: process.env['VITEST_JSON'] ? 1 : 0,
    root: new URL('.', import.meta.url).pathname,
    include: ['**/*.test.ts'],
    globalSetup: ['./setup.ts', '../bundle.ts'],
    // They wait far more than they work: the files share the cluster, three at once.
    maxWorkers: 3,
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
})
