/**
 * What a run of realitycheck tells: what a red job usually means and where one looks next, and which addresses its green
 * jobs prove that a Nomad client reaches. Installation guide 3.3.0, "Nomad Clients Validation"; operations guide 3.4.1.
 */
import { clock } from '../clock.ts'
import { fail } from '../fail.ts'
import type { Trouble } from '../runbook.ts'
import { quote } from '../shell.ts'
import { ago } from '../velero/backups.ts'
import { apiOf, type Api } from './api.ts'
import { called, contextsAreGreen, isQueued, isRed, isWanted, lastRun, type Job, type Run, type Wanted } from './realitycheck.ts'
import { oldPath, projectPage, type Project } from './realitycheck-project.ts'

interface Cause extends Trouble { fits(run: Run, red: Red[]): boolean }
/** A red job with the step that it failed in, where the API tells. */
interface Red extends Job { step: string | undefined }

const { CIRCLECI_NAMESPACE, CIRCLECI_CONTEXT } = process.env
/** A line in the cluster of the installation, which a run itself does not need: where nobody names it, as the guide has it. */
export const kubectl = (line: string): string => `kubectl ${CIRCLECI_CONTEXT ? `--context ${quote(CIRCLECI_CONTEXT)} ` : ''}-n ${quote(CIRCLECI_NAMESPACE || 'circleci-server')} ${line}`

const NODES = kubectl(`exec $(${kubectl('get pod -l app=nomad-server -o name')} | head -n 1) -- nomad node status`)
const jobsOf = ({ workflows }: Run): Job[] => workflows.flatMap(({ jobs }) => jobs)
const anyOf = (names: RegExp) => (_: Run, red: Red[]): boolean => red.some(({ name }) => names.test(name))
const inStep = (names: RegExp) => (_: Run, red: Red[]): boolean => red.some(({ step }) => step !== undefined && names.test(step))
const VM = /^(machine|remote_docker|docker_layer_caching|machine_dlc)$/

const CAUSES: Cause[] = [
  {
    fits: (run) => jobsOf(run).length > 0 && jobsOf(run).every((job) => isQueued(job) || job.status === 'blocked'),
    sign: 'All jobs stay queued:', remedy: 'no Nomad client is connected. Each that is stands there as ready; where there is none, see that the clients reach the Nomad servers on 4647, and have their certificates.', lines: [NODES, 'npx tsx runbooks/nomad-terraform.ts --help'],
  },
  {
    fits: (run) => jobsOf(run).some(isQueued) && jobsOf(run).some(({ status }) => status === 'success'),
    sign: 'Some jobs stay queued, others are green:', remedy: 'no client is big enough for their resource class (xlarge wants 8 CPUs and 16 GB), or all of them are busy; vm_jobs wait for VM service.', lines: [NODES],
  },
  { fits: ({ errors }) => errors.length > 0, sign: 'The pipeline has no jobs, but an error:', remedy: 'its configuration cannot be read, or compiled: orbs and images that this installation does not have. The page of the pipeline shows it.' },
  { fits: inStep(/checkout/i), sign: 'A job fails at “Checkout code”:', remedy: 'the client does not reach GitHub by SSH (22), or the deploy key of the project is gone: Project Settings, SSH Keys.' },
  { fits: (_, red) => red.some(({ name, step = '' }) => !VM.test(name) && /spin up/i.test(step)), sign: 'A job fails at “Spin up environment”:', remedy: 'the client cannot pull the image: it needs a way to Docker Hub (443), through the proxy where there is one, and may have met its rate limit.' },
  { fits: anyOf(/^(contexts|multi-contexts)$/), sign: 'contexts or multi-contexts is red:', remedy: 'its context (org-global, individual-local) is missing, has not its variable, or is restricted to a security group that you are not in (unauthorized).' },
  { fits: anyOf(/cache|workspace|artifacts/), sign: 'save_and_restore_cache, a workspace job or artifacts_test_results is red:', remedy: 'the client does not reach the object storage, or its credentials may not write there.', lines: ['npx tsx runbooks/object-storage-aws.ts --help   # -gcp, -s3: each proves read, write and delete'] },
  { fits: anyOf(/resource_class|^(small|medium\+?|large|xlarge)$/), sign: 'A job of resource_class_jobs is red:', remedy: 'it asks the API for its own resource class: CIRCLE_HOSTNAME has no slash at its end and no app., CIRCLE_TOKEN is a personal token, and the client reaches the frontend on 443.' },
  { fits: anyOf(VM), sign: 'A job of vm_jobs is red:', remedy: 'VM service is not set up, or cannot make VMs: its credentials, image, subnet and security group, and that the client reaches vm-service on 3000 and the VM on 22 and 2376.', lines: [kubectl('logs deployment/vm-service --tail=50'), 'npx tsx runbooks/vm-service-aws.ts --help   # or -gcp'] },
  { fits: anyOf(/^check_if_environment/), sign: 'check_if_environment_is_… is red:', remedy: 'the project has no variable CIRCLE_CLOUD_PROVIDER.' },
]

/** For the page. */
export const troubles = (): Trouble[] => CAUSES.map(({ sign, remedy, lines }) => ({ sign, remedy, ...(lines ? { lines } : {}) }))

const told = (causes: Cause[]): string => causes.map(({ sign, remedy, lines = [] }) => [`${sign} ${remedy}`, ...lines.map((line) => `  ${line}`)].join('\n')).join('\n')

interface Build { steps?: { name: string; actions: { status?: string; failed?: boolean | null; has_output?: boolean }[] }[] }
const buildOf = (api: Api, project: Project, job: Job | undefined): Promise<Build | undefined> =>
  (job?.job_number === undefined ? Promise.resolve(undefined) : api.read<Build>(`${oldPath(project)}/${job.job_number}`))

const redOf = (api: Api, project: Project, { workflows }: Run): Promise<Red[]> =>
  Promise.all(workflows.flatMap(({ jobs }) => jobs.filter(isRed).map(async (job) => {
    const build = await buildOf(api, project, job)
    return { ...job, step: build?.steps?.find(({ actions }) => actions.some(({ status, failed }) => failed || status === 'failed'))?.name }
  })))

/** A run that ended red: which of its jobs, in which step, and what that usually means. */
export const redRun = (project: Project) => async (api: Api, run: Run): Promise<Error> => {
  const red = await redOf(api, project, run)
  const names = red.map(({ name, status, step }) => `${name} (${step ? `at “${step}”` : status.replaceAll('_', ' ')})`)
  const what = names.length ? `${names.join(', ')} ${names.length > 1 ? 'are' : 'is'} red` : run.errors.length ? run.errors.join('; ') : 'it has not all of the workflows that were asked for, or they were canceled'
  const causes = CAUSES.filter(({ fits }) => fits(run, red))
  return fail(`${called(run)}: ${what}.`, `Mend that, then repeat the same line, which starts a new run. Each job with its output: ${projectPage(project)}${run.number === undefined ? '' : `/${run.number}`}`,
    causes.length ? { why: told(causes) } : {})
}

/** What is likely where a run does not come to its end. */
export const likely = (run: Run): string => told(CAUSES.filter(({ fits }) => fits(run, []))) || 'Repeat the same line to go on waiting; with --timeout 2h it waits longer.'

/** Each of the addresses that a client must reach, with what it is the address of where that is not known here, and jobs that cannot be green without it. */
const REACHED: { address: string; of?: string; jobs: RegExp }[] = [
  { address: 'nomad 4647', of: 'nomad-server-external', jobs: /./ },
  { address: 'output-processor 8585', of: 'output-processor', jobs: /./ },
  { address: 'object storage 443', of: 'the object storage', jobs: /^(save_and_restore_cache|read_workspace|artifacts_test_results)$/ },
  { address: 'vm-service 3000', of: 'vm-service', jobs: VM },
  { address: 'GitHub 22', jobs: /^(save_and_restore_cache|artifacts_test_results|env-subst-example)$/ },
  // Jobs clone by SSH: none of them shows it.
  { address: 'GitHub 443', jobs: /^$/ },
]
/** What is open, with the line that tells it on a client. */
const tried = ({ host }: Project, address: string, of: string | undefined): string =>
  `open: no job proves it. On a client${of ? `, with the address of ${of}` : ''}: nc -vz ${of ? 'ADDRESS' : host} ${address.split(' ').at(-1)}`

/** Derived, not tried: a job that is green ran on a client, and needed the address. That its output came is asked. */
const reachOf = async (api: Api, project: Project, run: Run): Promise<Record<string, string>> => {
  const green = jobsOf(run).filter(({ status }) => status === 'success')
  return Object.fromEntries(await Promise.all(REACHED.map(async ({ address, of, jobs }): Promise<[string, string]> => {
    const by = green.filter(({ name }) => jobs.test(name)), output = address.startsWith('output')
    const came = !output || (await buildOf(api, project, by[0]))?.steps?.some(({ actions }) => actions.some(({ has_output }) => has_output))
    return [`client to ${address}`, by.length && came ? `proven by ${by.slice(0, 2).map(({ name }) => name).join(', ')}${output ? ', whose output came' : ''}`
      : tried(project, address, of)]
  })))
}

/** For the summary: the newest run by its workflows, and what it proves. */
export const runFacts = async (project: Project, wanted: Wanted): Promise<Record<string, string>> => {
  const api = apiOf(project), run = await lastRun(project)
  if (!run) return { 'last run': 'none' }
  const rows = run.workflows.map((one): [string, string] => [one.name, [
    one.status === 'success' ? 'green' : one.status, ...[...new Set(one.jobs.map(({ status }) => status))].map((status) => {
      const jobs = one.jobs.filter((job) => job.status === status).map(({ name }) => name.replace(/^executor_resource_class-/, ''))
      return `${jobs.length} ${status === 'success' ? `of ${one.jobs.length} jobs` : status.replaceAll('_', ' ')} (${jobs.join(', ')})`
    }), ...(isWanted(wanted)(one) ? [] : ['not waited for'])].join(', ')])
  return {
    'last run': `${called(run)}, ${ago(clock.now() - run.at)} ago, ${run.by}${contextsAreGreen(run) ? ', contexts work' : ''}`,
    ...Object.fromEntries(rows.toSorted()), ...(jobsOf(run).length ? await reachOf(api, project, run) : {}),
  }
}
