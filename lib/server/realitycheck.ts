/**
 * Runs of realitycheck: which there were, what became of their jobs, by the guide's groups; and how one is started and
 * followed to its end. Installation guide 3.3.0, phases 3 and 4.
 */
import { clock } from '../clock.ts'
import { lookAgain } from '../door.ts'
import type { Check, Done, Effect } from '../effect.ts'
import { done, hours, minutes } from '../effect.ts'
import { ago, time } from '../velero/backups.ts'
import { apiOf, FUNCTIONS, type Api } from './api.ts'
import { oldPath, pathOf, readySince, type Project } from './realitycheck-project.ts'

/** What is to be green: resource classes and features once there are Nomad clients, VMs once there is VM service. */
export const GROUPS = ['resource', 'feature', 'vm'] as const
export type Group = typeof GROUPS[number]
export type State = 'green' | 'red' | 'running' | 'missing'

/** The workflow of each group; newer versions of realitycheck call the first by a longer name. */
const WORKFLOWS: Record<Group, string> = { resource: 'resource_class_jobs', feature: 'feature_jobs', vm: 'vm_jobs' }
const WINDOWS = 'windows_resource_class_jobs'
const isOf = (group: Group, windows: boolean) => ({ name }: { name: string }): boolean =>
  name === WORKFLOWS[group] || (group === 'resource' && name === `docker_${WORKFLOWS[group]}`) || (group === 'vm' && windows && name === WINDOWS)

export interface Job { name: string; status: string; job_number?: number }
export interface Workflow { id: string; name: string; status: string; created_at: string; jobs: Job[] }
interface Pipeline {
  id: string; number: number; state: string; created_at: string; errors?: { type?: string; message?: string }[]
  trigger: { type: string; actor?: { login?: string } }; vcs?: { revision?: string; branch?: string }
}
/** One run; 2.19 knows no pipelines, and gives neither ID nor number. */
export interface Run { id: string | undefined; number: number | undefined; at: number; commit: string; branch: string | undefined; by: string; errors: string[]; workflows: Workflow[] }

const OVER = /^(success|failed|error|canceled|unauthorized|not_run)$/
/** Ended, and not well. */
export const isRed = ({ status }: Job): boolean => /^(failed|infrastructure_fail|timedout|canceled|unauthorized|terminated-unknown)$/.test(status)
/** It waits for a machine. */
export const isQueued = ({ status }: Job): boolean => /^(queued|not_running)$/.test(status)

/** How one of the groups stands. A workflow that somebody ran again counts as it is now. */
export const stateOf = ({ workflows, errors, at }: Run, group: Group, windows = false): State => {
  const own = workflows.filter(isOf(group, windows))
  if (!own.length) return errors.length ? 'red' : workflows.length && clock.now() - at > minutes(2) ? 'missing' : 'running'
  if (own.every(({ status }) => status === 'success')) return 'green'
  return own.every(({ status }) => OVER.test(status)) ? 'red' : 'running'
}

const newestOfEach = (workflows: Workflow[]): Workflow[] =>
  workflows.toSorted((a, b) => time(b.created_at) - time(a.created_at)).filter(({ name }, n, all) => all.findIndex((one) => one.name === name) === n)

const withJobs = async (api: Api, { id, number, created_at, errors = [], trigger, vcs }: Pipeline): Promise<Run> => {
  const workflows = newestOfEach(await api.list<Workflow>(`/v2/pipeline/${id}/workflow`) ?? [])
  const jobs = await Promise.all(workflows.map((one) => api.list<Job>(`/v2/workflow/${one.id}/job`)))
  return {
    id, number, at: time(created_at), commit: vcs?.revision ?? '', branch: vcs?.branch, by: trigger.type, errors: errors.map(({ message, type }) => message ?? type ?? ''),
    workflows: workflows.map((one, n) => ({ ...one, jobs: jobs[n] ?? [] })),
  }
}

/** A job in v1.1, which 2.19 speaks too. */
interface Build { build_num: number; status: string; vcs_revision: string; branch?: string; queued_at: string; why?: string; workflows?: { workflow_id: string; workflow_name: string; job_name: string } }

/** The newest run as v1.1 tells it: the jobs of one commit. */
const fromBuilds = async (api: Api, project: Project): Promise<Run | undefined> => {
  const builds = (await api.read<Build[]>(`${oldPath(project)}?limit=100`) ?? []).filter(({ workflows }) => workflows)
  const [newest] = builds
  if (!newest) return undefined
  const workflows = new Map<string, Workflow>()
  for (const { build_num, status, vcs_revision, queued_at, workflows: of } of builds) {
    if (vcs_revision !== newest.vcs_revision || !of) continue
    const one = workflows.get(of.workflow_id) ?? { id: of.workflow_id, name: of.workflow_name, status: '', created_at: queued_at, jobs: [] }
    one.jobs.push({ name: of.job_name, status: status === 'fixed' ? 'success' : status, job_number: build_num })
    workflows.set(of.workflow_id, one)
  }
  const stands = (jobs: Job[]) => (jobs.every(({ status }) => status === 'success') ? 'success' : jobs.some((job) => !isRed(job) && job.status !== 'success') ? 'running' : 'failed')
  return {
    id: undefined, number: undefined, at: time(newest.queued_at), commit: newest.vcs_revision, branch: newest.branch, by: newest.why ?? '', errors: [],
    workflows: newestOfEach([...workflows.values()].map((one) => ({ ...one, status: stands(one.jobs) }))),
  }
}

const pipelinesOf = async (api: Api, project: Project): Promise<Pipeline[] | undefined> => (await api.read<{ items: Pipeline[] }>(`${pathOf(project)}/pipeline`))?.items

/** The newest run on an installation, whoever started it; undefined where there is none. */
export const lastRun = async (project: Project): Promise<Run | undefined> => {
  const api = apiOf(project), pipelines = await pipelinesOf(api, project)
  if (!pipelines) return fromBuilds(api, project)
  return pipelines[0] && withJobs(api, pipelines[0])
}

/** Whether contexts were proven too: both of their jobs are green. */
export const contextsAreGreen = ({ workflows }: Run): boolean => {
  const jobs = workflows.filter(isOf('feature', false)).flatMap((one) => one.jobs)
  return ['contexts', 'multi-contexts'].every((name) => jobs.some((job) => job.name === name && job.status === 'success'))
}

/** What is asked of a run: which groups have to be green, on which branch, and how old a green one may be. */
export interface Wanted { groups: Group[]; windows: boolean; branch: string | undefined; maxAge: number }

/** Whether a workflow is one of those. */
export const isWanted = ({ groups, windows }: Wanted) => (workflow: { name: string }): boolean => groups.some((group) => isOf(group, windows)(workflow))

/** After that one whose jobs still wait is no longer followed, but left to itself. */
const STUCK = hours(2)

export const called = ({ number, commit, branch }: Run): string => `${number === undefined ? 'the run' : `pipeline ${number}`} of ${branch ?? 'a commit'}${commit ? ` ${commit.slice(0, 7)}` : ''}`

const verdictOf = (run: Run, { groups, windows }: Wanted): State => {
  const states = groups.map((group) => stateOf(run, group, windows))
  if (states.every((state) => state === 'green')) return 'green'
  return states.includes('running') ? 'running' : 'red'
}

/** How far it is, in one line. */
const progressOf = (run: Run, { groups, windows }: Wanted): string => {
  const own = groups.map((group) => ({ name: WORKFLOWS[group], jobs: run.workflows.filter(isOf(group, windows)).flatMap(({ jobs }) => jobs) }))
  const jobs = own.flatMap((one) => one.jobs)
  if (!jobs.length) return `${called(run)}: its jobs are not there yet`
  if (jobs.every((job) => isQueued(job) || job.status === 'blocked')) return `${called(run)}: all ${jobs.length} jobs are queued${clock.now() - run.at > minutes(5) ? '; is a Nomad client connected?' : ''}`
  return [called(run), ...own.map((one) => `${one.name} ${one.jobs.filter(({ status }) => status === 'success').length} of ${one.jobs.length}${one.jobs.some(isRed) ? `, red: ${one.jobs.filter(isRed).map(({ name }) => name).join(', ')}` : ''}`)].join(' · ')
}

/** One run from its start to its end. */
export interface Running { start(): Promise<Done | Effect[]>; end(): Promise<Done | Effect[]>; checks(): Promise<Check[]> }

/** Starts a run, unless one is under way or a green one is young enough; `explain` tells what a red one means. */
export const runOf = (project: Project, wanted: Wanted, explain: (api: Api, run: Run) => Promise<Error>, likely: (run: Run) => string): Running => {
  const api = apiOf(project)
  // Those that were there when this run asked for one: a newer one is ours, however it ended.
  let before: Set<string> | undefined
  let followed: string | undefined

  const ofBranch = async (): Promise<Pipeline[]> => {
    const branch = wanted.branch ?? (await api.read<{ vcs_info?: { default_branch?: string } }>(pathOf(project)))?.vcs_info?.default_branch
    return (await pipelinesOf(api, project) ?? []).filter(({ vcs }) => !branch || !vcs?.branch || vcs.branch === branch)
  }
  /** The first look at a project may start a run before there are variables and contexts: of that nothing is expected. */
  const isFit = async (): Promise<(pipeline: Pipeline) => boolean> => {
    const since = await readySince(api, project)
    return ({ trigger, created_at }) => trigger.type === 'api' || (since !== undefined && time(created_at) > since)
  }
  const mine = (all: Pipeline[]) => all.find(({ id }) => id === followed || (before && !before.has(id)))
  const first = async (all: Pipeline[], within: number, state: State): Promise<Run | undefined> => {
    for (const one of all.filter(({ created_at }) => clock.now() - time(created_at) < within).slice(0, 5)) {
      const run = await withJobs(api, one)
      if (verdictOf(run, wanted) === state) return run
    }
    return undefined
  }
  const own = (run: Run): Run => ({ ...run, workflows: run.workflows.filter(isWanted(wanted)) })
  const green = (all: Pipeline[]) => first(all, wanted.maxAge, 'green')
  const current = async (): Promise<Run | undefined> => {
    const all = await ofBranch(), ours = mine(all)
    return ours ? withJobs(api, ours) : green(all)
  }

  return {
    start: async () => {
      const all = await ofBranch(), ours = mine(all)
      if (ours) return done(`pipeline ${ours.number} ${ours.id === followed ? 'is followed' : 'was started'}`)
      const young = await green(all)
      if (young) return done(`${called(young)} is green, and began ${ago(clock.now() - young.at)} ago`)
      const now = await first(all.filter(await isFit()), STUCK, 'running')
      if (now) followed = now.id
      if (now) return done(`${called(now)} is under way since ${ago(clock.now() - now.at)}; it is followed`)
      const effect = api.effect(`run ${project.org}/${project.repo}`, 'mint', 'POST', `${pathOf(project)}/pipeline`, { body: wanted.branch ? { branch: wanted.branch } : {} })
      return [{
        ...effect,
        call: async () => {
          before = new Set(all.map(({ id }) => id))
          await effect.call()
          lookAgain()
        },
      }]
    },
    end: async () => {
      const run = await current()
      return run && verdictOf(run, wanted) === 'green' ? done(`${wanted.groups.map((group) => WORKFLOWS[group]).join(', ')}: all jobs of ${called(run)} are green`) : []
    },
    checks: async () => [{
      say: `${wanted.groups.map((group) => WORKFLOWS[group]).join(', ')} are green`, within: minutes(45), prints: 'green',
      command: { words: ['sh', '-c', GREEN, 'green', `https://${project.domain}/api`, pathOf(project).replace('/v2', ''), wanted.branch ? `?branch=${encodeURIComponent(wanted.branch)}` : '', ...wanted.groups.map((group) => WORKFLOWS[group]), ...(wanted.windows ? [WINDOWS] : [])] },
      holds: async () => {
        const run = await current()
        if (!run) return 'there is none yet'
        const verdict = verdictOf(run, wanted)
        if (verdict === 'red') throw await explain(api, own(run))
        return verdict === 'green' || progressOf(run, wanted)
      },
      hint: async () => {
        const run = await current()
        return run && likely(own(run))
      },
    }],
  }
}

/** Prints `green` where the newest pipeline's workflows of these names have ended well; else which has not. */
const GREEN = `${FUNCTIONS}; a=$1; id=$(api "$a/v2$2/pipeline$3" | tr -d "\\n" | grep -o "\\"id\\" *: *\\"[^\\"]*\\"" | head -n 1 | cut -d\\" -f4); shift 3; w=$(api "$a/v2/pipeline/$id/workflow" | objects); `
  + 'for name; do echo "$w" | grep "\\"name\\" *: *\\"\\(docker_\\)*$name\\"" | head -n 1 | grep -q "\\"status\\" *: *\\"success\\"" || { echo "$name is not yet"; exit; }; done; echo green'
