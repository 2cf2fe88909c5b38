/**
 * Slower tests, on real components, all on one cluster.
 */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // CI counts the tests of all kinds from these.
    reporters: process.env['VITEST_JSON'] ? ['default', ['json', { outputFile: process.env['VITEST_JSON'] }]] : ['default'],
    root: new URL('.', import.meta.url).pathname,
    include: ['**/*.test.ts'],
    globalSetup: ['./setup.ts', '../bundle.ts'],
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
})
