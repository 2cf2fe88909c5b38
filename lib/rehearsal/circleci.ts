/**
 * The API of the installation in a rehearsal, v1.1 and v2 as far as realitycheck asks: projects, variables, contexts, and
 * pipelines whose jobs go on with the time of the world, where there are Nomad clients, and VM service for VMs.
 */
import { REHEARSED } from '../server/realitycheck-project.ts'
import { nomadNodes } from './backups.ts'
import { notPlayed } from './tool.ts'
import { digest, later, type World } from './world.ts'

interface Pipeline { id: string; number: number; slug: string; type: string; createdTime: number; branch: string; variables: boolean; contexts: string[]; vms: boolean }
export interface CircleWorld {
  organisations: { name: string; id: string }[]
  /** Repositories, by host, organisation and name, that are not as usual; one that somebody makes has the time of that. */
  repositories: Record<string, 'filled' | number>
  followed: string[]
  variables: Record<string, Record<string, string>>
  /** Their variables with the time of each. */
  contexts: { id: string; name: string; variables: { name: string; createdTime: number }[] }[]
  /** The API does not show them. */
  noContexts?: true
  pipelines: Pipeline[]
}

const uuid = (what: string): string => digest(what).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-4$3-a$4-$5').replace(/-4.(.{3})-a.(.{3})-/, '-4$1-a$2-')
/** A world of before it was played has none yet. */
export const circleOf = (world: World): CircleWorld => (world.circleci ??= circleWorld())
export const circleWorld = (): CircleWorld => ({ organisations: [{ name: 'my-org', id: uuid('my-org') }], repositories: {}, followed: [], variables: {}, contexts: [], pipelines: [] })

const COMMIT = '368b13d0c9a84e7fb2f6d1a55e7c90b1f2d3a4b5'
/** Jobs with the second at which each begins and how long it takes; `after` another one. */
interface Played { name: string; begins: number; takes: number; fails?(pipeline: Pipeline): string | false }
const resource = (size: string, takes: number): Played => ({ name: size, begins: 4, takes, fails: ({ variables }) => !variables && 'verify required Environment Variables' })
const context = (name: string, of: string): Played => ({ name, begins: 6, takes: 5, fails: ({ contexts }) => !contexts.includes(of) && 'env | grep' })
const vm = (name: string, takes: number): Played => ({ name, begins: 10, takes, fails: ({ vms }) => !vms && 'Spin up VM' })
const WORKFLOWS: Record<string, Played[]> = {
  resource_class_jobs: [resource('small', 8), resource('medium', 9), resource('medium+', 20), resource('large', 21), resource('xlarge', 20)],
  vm_jobs: [vm('machine', 83), vm('remote_docker', 79), vm('docker_layer_caching', 79), vm('machine_dlc', 89)],
  feature_jobs: [
    { name: 'save_and_restore_cache', begins: 6, takes: 27 }, context('contexts', 'org-global'), context('multi-contexts', 'individual-local'),
    { name: 'write_workspace', begins: 6, takes: 12 }, { name: 'read_workspace', begins: 19, takes: 6 }, { name: 'artifacts_test_results', begins: 6, takes: 12 },
  ],
}

/** A VM is made where VM service was told in which cloud. */
const makesVms = ({ kots }: World): boolean => Boolean(kots.versions.find(({ status }) => status === 'deployed')?.values['vm_service_provider']?.value)
const clientsAreReady = (world: World): boolean => /\seligible\s+ready\s*$/m.test(nomadNodes(world))

/** How a job stands so long after its pipeline began. */
const standing = (world: World, pipeline: Pipeline, job: Played): string => {
  const age = (world.time - pipeline.createdTime) / 1000
  if (!clientsAreReady(world) || age < Math.min(job.begins, 10)) return 'queued'
  if (age < job.begins) return 'blocked'
  return age < job.begins + job.takes ? 'running' : job.fails?.(pipeline) ? 'failed' : 'success'
}
const workflowStands = (jobs: string[]): string => (jobs.every((one) => one === 'success') ? 'success' : jobs.every((one) => one === 'success' || one === 'failed') ? 'failed' : jobs.includes('failed') ? 'failing' : 'running')

type Answer = [status: number, said: unknown]
const iso = (time: number): string => new Date(time).toISOString()
const NONE: Answer = [404, { message: 'Not found.' }]
const page = (items: unknown[]): Answer => [200, { next_page_token: null, items }]

const start = (world: World, slug: string, type: string, branch = 'master'): Pipeline => {
  const circle = circleOf(world)
  const number = circle.pipelines.filter((one) => one.slug === slug).length + 1
  const variables = ['CIRCLE_HOSTNAME', 'CIRCLE_TOKEN', 'CIRCLE_CLOUD_PROVIDER'].every((name) => circle.variables[slug]?.[name])
  const pipeline = {
    id: uuid(`${slug} ${number}`), number, slug, type, createdTime: world.time, branch, variables, vms: makesVms(world), contexts: circle.contexts.filter((one) => one.variables.length).map(({ name }) => name),
  }
  circle.pipelines.unshift(pipeline)
  // How jobs stand follows from the time alone: these only see that it is written once they have ended.
  for (const jobs of Object.values(WORKFLOWS)) later(world, Math.max(...jobs.map(({ begins, takes }) => begins + takes)) * 1000, { do: 'end-jobs', name: `${pipeline.id} ${jobs[0]?.name}` })
  return pipeline
}

const shown = (one: Pipeline) => ({
  id: one.id, number: one.number, state: 'created', errors: [], project_slug: one.slug, created_at: iso(one.createdTime), updated_at: iso(one.createdTime),
  trigger: { type: one.type, received_at: iso(one.createdTime), actor: { login: 'operator', avatar_url: null } },
  vcs: { provider_name: 'GitHub', revision: COMMIT, branch: one.branch, origin_repository_url: '', target_repository_url: '' },
})

/** Jobs have one row of numbers in a project. */
const numberOf = (pipeline: Pipeline, workflow: string, n: number): number => pipeline.number * 20 + Object.keys(WORKFLOWS).indexOf(workflow) * 6 + n
const build = (world: World, slug: string, number: number): Answer => {
  for (const pipeline of circleOf(world).pipelines.filter((one) => one.slug === slug)) {
    for (const [workflow, jobs] of Object.entries(WORKFLOWS)) for (const [n, job] of jobs.entries()) {
      if (numberOf(pipeline, workflow, n) !== number) continue
      const status = standing(world, pipeline, job), action = (name: string, how: string) => ({ name, actions: [{ name, status: how, failed: how === 'failed' || null, has_output: true }] })
      return [200, { build_num: number, status, steps: [action('Spin up environment', 'success'), action(job.fails?.(pipeline) || 'run', status === 'failed' ? 'failed' : 'success')] }]
    }
  }
  return NONE
}

const OLD = /^\/v1\.1\/project\/github\/([^/]+\/[^/?]+)(?:\/(follow|\d+))?$/, NEW = /^\/v2\/project\/(gh\/[^/]+\/[^/?]+)(?:\/(envvar|pipeline))?$/

/** Whether a path is one of the API; that of GitHub Enterprise is another version. */
export const isApi = (path: string): boolean => /^\/api\/v(1\.1|2)\//.test(path)

/** Answers a request; one that changes something changes the world. */
export const askCircle = (world: World, method: string, address: string, token: string | undefined, body: string): Answer => {
  const circle = circleOf(world), { pathname, searchParams } = new URL(address.replace(/^\/api/, ''), 'http://rehearsal')
  if (token !== REHEARSED) return [401, { message: 'You must log in first.' }]
  const said = JSON.parse(body || '{}') as Record<string, string>
  const [, oldSlug = '', old] = OLD.exec(pathname) ?? [], [, slug = '', list] = NEW.exec(pathname) ?? []
  const key = `${method} ${oldSlug ? `old ${old && /^\d/.test(old) ? 'build' : old ?? ''}` : slug ? `project ${list ?? ''}` : pathname.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, 'ID').replace(/[A-Z_]{9,}$/, 'NAME')}`
  const id = /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(pathname)?.[0]
  const context = circle.contexts.find((one) => one.id === id)
  const known = circle.followed.includes(slug)
  switch (key.trim()) {
    case 'GET /v2/me': return [200, { login: 'operator', name: 'Operator', id: uuid('operator') }]
    case 'GET /v2/me/collaborations': return [200, circle.organisations.map(({ name, id: own }) => ({ name, id: own, slug: `gh/${name}`, vcs_type: 'github', avatar_url: '' }))]
    case 'GET /v1.1/projects': return [200, circle.followed.map((one) => ({ username: one.split('/')[1], reponame: one.split('/')[2], vcs_url: '', followed: true }))]
    case 'POST old follow': {
      if (Object.entries(circle.repositories).some(([name, how]) => name.endsWith(`/${oldSlug}`) && how !== 'filled' && how > world.time)) return [404, { message: 'Project not found' }]
      if (circle.followed.includes(`gh/${oldSlug}`)) return [200, { following: true }]
      circle.followed.push(`gh/${oldSlug}`)
      // The first look at a project starts a build of its own, which has no variables yet.
      start(world, `gh/${oldSlug}`, 'explicit')
      return [200, { following: true, workflow: true }]
    }
    // Its jobs as v1.1 tells them, which an installation is asked for only while it knows no project.
    case 'GET old': return NONE
    case 'GET old build': return build(world, `gh/${oldSlug}`, Number(old))
    case 'GET project': return known ? [200, { slug, name: slug.split('/')[2], organization_name: slug.split('/')[1], vcs_info: { vcs_url: '', default_branch: 'master', provider: 'GitHub' } }] : NONE
    case 'GET project envvar': return known ? page(Object.entries(circle.variables[slug] ?? {}).map(([name, value]) => ({ name, value: `xxxx${value.length > 4 ? value.slice(-4) : ''}` }))) : NONE
    case 'POST project envvar': {
      if (!known) return NONE
      circle.variables[slug] = { ...circle.variables[slug], [said['name'] ?? '']: said['value'] ?? '' }
      return [201, { name: said['name'], value: 'xxxx' }]
    }
    case 'GET project pipeline': {
      const branch = searchParams.get('branch')
      return known ? page(circle.pipelines.filter((one) => one.slug === slug && (!branch || one.branch === branch)).slice(0, 20).map(shown)) : NONE
    }
    case 'POST project pipeline': {
      if (!known) return NONE
      const { id: own, number, createdTime } = start(world, slug, 'api', said['branch'])
      return [201, { id: own, number, state: 'pending', created_at: iso(createdTime) }]
    }
    case 'GET /v2/pipeline/ID/workflow': {
      const pipeline = circle.pipelines.find((one) => one.id === id)
      return pipeline ? page(Object.entries(WORKFLOWS).map(([name, jobs]) => ({
        id: uuid(`${pipeline.id} ${name}`), name, pipeline_id: pipeline.id, pipeline_number: pipeline.number, project_slug: pipeline.slug, started_by: uuid('operator'),
        status: workflowStands(jobs.map((job) => standing(world, pipeline, job))), created_at: iso(pipeline.createdTime), stopped_at: null,
      }))) : NONE
    }
    case 'GET /v2/workflow/ID/job': {
      for (const pipeline of circle.pipelines) for (const [workflow, jobs] of Object.entries(WORKFLOWS)) {
        if (uuid(`${pipeline.id} ${workflow}`) !== id) continue
        return page(jobs.map((job, n) => ({ id: uuid(`${id} ${job.name}`), name: job.name, type: 'build', status: standing(world, pipeline, job), job_number: numberOf(pipeline, workflow, n), dependencies: [], project_slug: pipeline.slug })))
      }
      return NONE
    }
    case 'GET /v2/context': return circle.noContexts ? NONE : page(circle.contexts.map(({ name, id: own }) => ({ name, id: own, created_at: iso(world.time) })))
    case 'POST /v2/context': {
      if (circle.contexts.some(({ name }) => name === said['name'])) return [409, { message: 'A context with this name exists.' }]
      const made = { id: uuid(`context ${said['name']}`), name: said['name'] ?? '', variables: [] }
      circle.contexts.push(made)
      return [200, { id: made.id, name: made.name, created_at: iso(world.time) }]
    }
    case 'GET /v2/context/ID/environment-variable': return context ? page(context.variables.map(({ name, createdTime }) => ({ variable: name, context_id: id, created_at: iso(createdTime) }))) : NONE
    case 'PUT /v2/context/ID/environment-variable/NAME': {
      const variable = pathname.split('/').at(-1) ?? ''
      if (!context) return NONE
      if (!context.variables.some(({ name }) => name === variable)) context.variables.push({ name: variable, createdTime: world.time })
      return [200, { variable, context_id: id, created_at: iso(world.time) }]
    }
    default: return [501, { message: notPlayed(`${method} ${pathname}`, 'circleci.ts').stderr.trim() }]
  }
}
