/** What the last run of realitycheck was, on an installation of 3.x and on one of 2.19, which knows no pipelines. */
import { afterEach, describe, expect, test } from 'vitest'
import { askHost, useWeb } from '../../lib/cloud/web.ts'
import { Once } from '../../lib/files.ts'
import { contextsAreGreen, lastRun, stateOf, type Run } from '../../lib/server/realitycheck.ts'

const project = { domain: 'circleci.example.com', token: new Once('a'.repeat(40)), org: 'my-org', repo: 'realitycheck', host: 'github.com' }
const before = askHost
afterEach(() => useWeb(before))

/** Answers by path; of everything else that there is none. */
const answers = (said: Record<string, unknown>): void => useWeb(async (_, { path }) => {
  const found = said[path.replace('/api', '')]
  return found === undefined ? { status: 404, text: '{"message":"Not found"}' } : { status: 200, text: JSON.stringify(found) }
})
const states = (run: Run | undefined) => run && [stateOf(run, 'resource'), stateOf(run, 'feature'), stateOf(run, 'vm'), contextsAreGreen(run)]

const V1 = '/v1.1/project/github/my-org/realitycheck?limit=100', V2 = '/v2/project/gh/my-org/realitycheck/pipeline'
const build = (build_num: number, workflow: string, job_name: string, status: string, more = {}) =>
  ({ build_num, status, vcs_revision: 'aaaaaaa1', branch: 'master', queued_at: '2022-01-02T00:00:00Z', why: 'github', workflows: { workflow_id: workflow, workflow_name: workflow.replace(/\d$/, ''), job_name }, ...more })

describe('on 2.19', () => {
  test('the jobs of the newest commit, by workflow; what was fixed is green', async () => {
    answers({ [V1]: [
      build(9, 'feature_jobs', 'contexts', 'success'), build(8, 'feature_jobs', 'multi-contexts', 'fixed'), build(7, 'resource_class_jobs', 'small', 'success'),
      build(6, 'vm_jobs', 'machine', 'running'), build(3, 'feature_jobs0', 'contexts', 'failed', { vcs_revision: 'bbbbbbb2' }),
    ] })
    const run = await lastRun(project)
    expect(states(run)).toEqual(['green', 'green', 'running', true])
    expect(run).toMatchObject({ id: undefined, commit: 'aaaaaaa1', branch: 'master', at: Date.parse('2022-01-02T00:00:00Z') })
  })

  test('of a workflow that was run again the newer counts', async () => {
    answers({ [V1]: [build(9, 'feature_jobs2', 'contexts', 'success'), build(5, 'feature_jobs1', 'contexts', 'failed', { queued_at: '2022-01-01T00:00:00Z' })] })
    expect(states(await lastRun(project))).toEqual(['missing', 'green', 'missing', false])
  })

  test('a project that nobody built, and one that is not known', async () => {
    answers({ [V1]: [] })
    expect(await lastRun(project)).toBeUndefined()
    answers({})
    expect(await lastRun(project)).toBeUndefined()
  })
})

describe('on 3.x', () => {
  const pipeline = (state: string, errors: object[] = []) => ({ items: [{ id: 'p1', number: 3, state, errors, created_at: '2022-01-02T00:00:00Z', trigger: { type: 'webhook' }, vcs: { revision: 'ccccccc3', branch: 'master' } }], next_page_token: null })
  const flows = (status: string) => ({ items: [{ id: 'w1', name: 'docker_resource_class_jobs', status, created_at: '2022-01-02T00:00:00Z' }], next_page_token: null })

  test.each([['success', 'green'], ['failed', 'red'], ['canceled', 'red'], ['failing', 'running'], ['on_hold', 'running']])('a workflow that is %s is %s', async (status, state) => {
    answers({ [V2]: pipeline('created'), '/v2/pipeline/p1/workflow': flows(status), '/v2/workflow/w1/job': { items: [] } })
    const run = await lastRun(project)
    expect(run).toMatchObject({ id: 'p1', number: 3, commit: 'ccccccc3', by: 'webhook' })
    expect(states(run)).toEqual([state, 'missing', 'missing', false])
  })

  test('a pipeline without workflows is red where it says why', async () => {
    answers({ [V2]: pipeline('errored', [{ type: 'config', message: 'Cannot find orb' }]), '/v2/pipeline/p1/workflow': { items: [] } })
    expect(states(await lastRun(project))).toEqual(['red', 'red', 'red', false])
    answers({ [V2]: pipeline('pending'), '/v2/pipeline/p1/workflow': { items: [] } })
    expect(states(await lastRun(project))).toEqual(['running', 'running', 'running', false])
  })
})
