/**
 * The lines of `gcloud` in the scripts that runbooks print, read by the real command: each has words and flags that it
 * knows. In place of Google's APIs something on this machine says no to whatever gets past its parser.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { withWorkloadIdentity } from '../../lib/rehearsal/stores.ts'
import type { World } from '../../lib/rehearsal/index.ts'
import { stage } from '../runbooks/harness.ts'
import { must, needs } from './components.ts'

beforeEach(needs('gcloud'))
const folder = mkdtempSync(join(tmpdir(), 'gcloud-lines-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
writeFileSync(join(folder, 'token'), 'nobody\n', { mode: 0o600 })

const NO = JSON.stringify({ error: { code: 400, status: 'INVALID_ARGUMENT', message: 'no' } })
const google = createServer((_, response) => void response.writeHead(400, { 'content-type': 'application/json' }).end(NO))
beforeAll(() => new Promise<void>((resolve) => void google.listen(0, '127.0.0.1', resolve)))
afterAll(() => {
  google.closeAllConnections()
  google.close()
})

const OVERRIDES = ['COMPUTE', 'IAM', 'CLOUDRESOURCEMANAGER', 'POLICYANALYZER', 'CONTAINER', 'SERVICEUSAGE', 'STORAGE']
const bash = (line: string): Promise<{ code: number; said: string }> => new Promise((resolve) => {
  const url = `http://127.0.0.1:${(google.address() as AddressInfo).port}/`
  const env = {
    HOME: folder, CLOUDSDK_CONFIG: folder, PATH: `${dirname(must('gcloud'))}${delimiter}${process.env['PATH']}`, CLOUDSDK_AUTH_ACCESS_TOKEN_FILE: join(folder, 'token'),
    CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: '1', CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK: '1',
    ...Object.fromEntries(OVERRIDES.map((name) => [`CLOUDSDK_API_ENDPOINT_OVERRIDES_${name}`, url])),
  }
  execFile('bash', ['-c', line], { cwd: folder, env }, (error, stdout, stderr) => resolve({ code: error ? Number(error.code ?? 1) : 0, said: stdout + stderr }))
})
/** What the parser says to a line that it does not take. */
const UNKNOWN = /unrecognized arguments|Invalid choice|argument --|must be specified/

const GROUP = ['--project', 'my-project', '--location', 'us-east1-b']
const VM = ['--project', 'my-project', '--zone', 'us-east1-b', '--users-cidr', '203.0.113.0/24']
/** Rules that were there before: the line changes one. */
const strangers = ({ compute }: World): void => {
  if (compute) compute.firewalls['circleci-vm-service-internal-nomad-fw'] = { network: 'default', sources: ['0.0.0.0/0'], ports: [22], tags: [], description: '', off: true, fromTags: ['build'] }
}
const CASES: [string, string[], string, ((world: World) => void)?][] = [
  ['vm-service-gcp', VM, 'on-gke', strangers], ['vm-service-gcp', [...VM, '--workload-identity'], 'on-gke', withWorkloadIdentity],
  ['nomad-autoscaler', ['--provider', 'gcp', ...GROUP], 'all-well'], ['nomad-autoscaler', ['--provider', 'gcp', ...GROUP, '--workload-identity'], 'all-well', withWorkloadIdentity],
  ['create-gke', ['--project', 'my-project', '--region', 'europe-west1'], 'all-well'],
]

/** Each line of gcloud in a script, from its name to the end of the command that it is. */
const linesIn = (script: string): string[] => [...script.matchAll(/(?<![\w'-])gcloud (?:'[^']*'|[^\s'|;&()<>]+|[ ])+/g)].map(([line]) => line.trim())

describe.each(CASES)('%s %j', (runbook, args, scenario, change) => {
  test('each line of its script is one that gcloud takes', async () => {
    const { code, stdout, stderr } = await stage(scenario, change).run(runbook, [...args, '--yes', '--shell'])
    expect(code, stderr).toBe(0)
    const lines = linesIn(stdout)
    expect(lines.length).toBeGreaterThan(2)
    for (const line of lines) {
      const { code: ended, said } = await bash(line)
      expect([ended === 2 || UNKNOWN.test(said), line, said]).toEqual([false, line, said])
    }
  })
})

test('one that it does not know is found', async () => {
  expect(await bash('gcloud compute firewall-rules create one --allowed=tcp:22 --project=my-project')).toMatchObject({ code: 2, said: expect.stringContaining('unrecognized arguments') })
})
