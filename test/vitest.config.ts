import { defineConfig } from 'vitest/config'

// The real components have a configuration of their own: test/real/vitest.config.ts.
export default defineConfig({
  test: {
    // CI counts the tests of all kinds from these.
    reporters: process.env['VITEST_JSON'] ? ['default', ['json', { outputFile: process.env['VITEST_JSON'] }]] : ['default'],
    root: new URL('.', import.meta.url).pathname,
    globalSetup: ['bundle.ts'],
    include: ['lib/**/*.test.ts', 'rehearsal/**/*.test.ts', 'runbooks/**/*.test.ts'],
    testTimeout: 300_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    maxConcurrency: 2,
  },
})
