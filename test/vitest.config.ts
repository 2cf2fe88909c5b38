import { defineConfig } from 'vitest/config'

// The real components have a configuration of their own: test/real/vitest.config.ts.
export default defineConfig({
  test: {
    // CI counts the tests of all kinds from these.
    reporters: process.env['VITEST_JSON'] ? ['default', ['json', { outputFile: process.env['VITEST_JSON'] }]] : ['default'],
    // On machines that others share a test that fails is tried once more; CI names those that needed it.
    retry: process.env['VITEST_JSON'] ? 1 : 0,
    root: new URL('.', import.meta.url).pathname,
    globalSetup: ['bundle.ts'],
    include: ['lib/**/*.test.ts', 'rehearsal/**/*.test.ts', 'runbooks/**/*.test.ts'],
    testTimeout: 300_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    maxConcurrency: 2,
  },
})
