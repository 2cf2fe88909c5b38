/**
 * A stand-in of the API of CircleCI server over HTTPS: v1.1 and v2 as their public reference has them, a page of two items
 * at a time, spaces before colons, contexts by the ID of their owner alone. It is reached through a proxy, by any name.
 */
import { readFileSync } from 'node:fs'
import { createServer as createProxy } from 'node:http'
import { createServer } from 'node:https'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { randomUUID } from 'node:crypto'
import { buffer } from 'node:stream/consumers'

interface Pipeline {
  id: string; number: number; created: number; trigger: string; branch: string; workflows: { id: string; name: string }[]; complete: boolean; red: Record<string, string>
}
export interface Circle {
  /** The environment of a client. */
  env: { HTTPS_PROXY: string }
  /** What is there, as a test reads it. */
  left(): { followed: string[]; variables: Record<string, string>; contexts: Record<string, string[]>; pipelines: number }
  /** Requests, without what is secret. */
  seen: string[]
  /** The connection is cut at the next request that begins so, once it was carried out. */
  lose(request: string): void
  /** Answers so, for so many requests. */
  instead(status: number, times: number): void
  /** Jobs that do not come to a good end, and the step that they fail in. */
  red: Record<string, string>
  fresh(): void
  stop(): void
}

const OWNER = '11111111-2222-4333-8444-555555555555'
const JOBS: Record<string, string[]> = {
  docker_resource_class_jobs: ['executor_resource_class-docker-small', 'executor_resource_class-docker-xlarge'],
  feature_jobs: ['save_and_restore_cache', 'contexts', 'multi-contexts', 'write_workspace', 'read_workspace', 'artifacts_test_results'],
  vm_jobs: ['machine', 'remote_docker', 'docker_layer_caching', 'machine_dlc'],
  aws_jobs: ['check_if_environment_is_aws', 'aws_arm'],
}
/** Milliseconds after which jobs run, and after which they have ended. */
const RUNS = 300, ENDS = 1500

export const startCircle = async (files: { certificate: string; key: string }, token: string): Promise<Circle> => {
  const seen: string[] = [], red: Record<string, string> = {}, sockets = new Set<Socket>()
  let followed: string[] = [], variables: Record<string, string> = {}, contexts: { id: string; name: string; created_at: string; variables: Record<string, string> }[] = [], pipelines: Pipeline[] = []
  let [lost, status, times] = ['', 0, 0]

  const start = (trigger: string, branch: string): Pipeline => {
    const made = { id: randomUUID(), number: pipelines.length + 1, created: Date.now(), trigger, branch, workflows: Object.keys(JOBS).map((name) => ({ id: randomUUID(), name })), complete: 'CIRCLE_TOKEN' in variables, red: { ...red } }
    pipelines.unshift(made)
    return made
  }
  const jobStands = (pipeline: Pipeline, workflow: string, name: string): string => {
    const age = Date.now() - pipeline.created
    if (age < RUNS) return 'queued'
    if (age < ENDS) return 'running'
    const unready = (name === 'contexts' && !contexts.some((one) => one.name === 'org-global' && one.variables['CONTEXT_END_TO_END_TEST_VAR'])) || (workflow === 'docker_resource_class_jobs' && !pipeline.complete)
    return name in pipeline.red || unready ? 'failed' : workflow === 'vm_jobs' ? 'queued' : 'success'
  }
  const flowStands = (jobs: string[]): string => (jobs.every((one) => one === 'success') ? 'success' : jobs.every((one) => ['success', 'failed'].includes(one)) ? 'failed' : 'running')
  const at = (ms: number) => new Date(ms).toISOString()
  const nth = (pipeline: Pipeline, n: number) => pipeline.number * 100 + n

  const answer = (method: string, url: URL, said: any): [number, unknown] => {
    const path = url.pathname.replace('/api', ''), id = /[0-9a-f-]{36}/.exec(path)?.[0]
    const page = (items: unknown[]): [number, unknown] => {
      const from = Number(url.searchParams.get('page-token') ?? 0)
      return [200, { next_page_token: from + 2 < items.length ? String(from + 2) : null, items: items.slice(from, from + 2) }]
    }
    const project = '/v2/project/gh/my-org/realitycheck', old = '/v1.1/project/github/my-org/realitycheck'
    const none: [number, unknown] = [404, { message: 'Project not found' }]
    if (path.startsWith(project) && !followed.length) return none
    switch (`${method} ${path.replace(/[0-9a-f-]{36}/, 'ID')}`) {
      case 'GET /v2/me': return [200, { name: 'Admin', login: 'admin', id: randomUUID() }]
      case 'GET /v2/me/collaborations': return [200, [{ vcs_type: 'github', slug: 'gh/other', name: 'other', id: randomUUID(), avatar_url: '' }, { vcs_type: 'github', slug: 'gh/my-org', name: 'my-org', id: OWNER, avatar_url: '' }]]
      case 'GET /v1.1/projects': return [200, followed.map((reponame) => ({ username: 'my-org', reponame, vcs_url: `https://github.com/my-org/${reponame}`, branches: {} }))]
      case `POST ${old}/follow`: {
        if (!followed.length) start('explicit', 'main')
        followed = ['realitycheck']
        return [200, { following: true, first_build: null }]
      }
      case `GET ${project}`: return [200, { slug: 'gh/my-org/realitycheck', name: 'realitycheck', organization_name: 'my-org', vcs_info: { vcs_url: '', default_branch: 'main', provider: 'GitHub' } }]
      case `GET ${project}/envvar`: return page(Object.entries(variables).map(([name, value]) => ({ name, value: value.length > 4 ? `xxxx${value.slice(-4)}` : 'xxxx' })))
      case `POST ${project}/envvar`: {
        if (typeof said.name !== 'string' || typeof said.value !== 'string') return [400, { message: 'Unexpected request body.' }]
        variables[said.name] = said.value
        return [201, { name: said.name, value: 'xxxx' }]
      }
      case 'GET /v2/context': return url.searchParams.get('owner-id') === OWNER ? page(contexts.map(({ id: own, name, created_at }) => ({ name, id: own, created_at }))) : [400, { message: 'owner-id is required.' }]
      case 'POST /v2/context': {
        if (said.owner?.id !== OWNER || said.owner.type !== 'organization') return [400, { message: 'Unexpected owner.' }]
        contexts.push({ id: randomUUID(), name: said.name, created_at: at(Date.now()), variables: {} })
        return [200, { name: said.name, id: contexts.at(-1)?.id, created_at: at(Date.now()) }]
      }
      case 'GET /v2/context/ID/environment-variable': return page(Object.entries(contexts.find((one) => one.id === id)?.variables ?? {}).map(([variable, created_at]) => ({ variable, context_id: id, created_at })))
      case `GET ${project}/pipeline`: {
        const branch = url.searchParams.get('branch')
        return page(pipelines.filter((one) => !branch || one.branch === branch).map((one) => ({
          id: one.id, errors: [], project_slug: 'gh/my-org/realitycheck', updated_at: at(one.created), number: one.number, state: 'created', created_at: at(one.created),
          trigger: { received_at: at(one.created), type: one.trigger, actor: { login: 'admin', avatar_url: null } }, vcs: { provider_name: 'GitHub', revision: 'f454a02b5d10fcccfd7d9dd7608a76d6493a98b4', branch: one.branch },
        })))
      }
      case `POST ${project}/pipeline`: {
        const made = start('api', said.branch ?? 'main')
        return [201, { number: made.number, state: 'pending', id: made.id, created_at: at(made.created) }]
      }
      case 'GET /v2/pipeline/ID/workflow': {
        const pipeline = pipelines.find((one) => one.id === id)
        return page((pipeline?.workflows ?? []).map((one) => ({
          pipeline_id: id, id: one.id, name: one.name, project_slug: 'gh/my-org/realitycheck', status: flowStands((JOBS[one.name] ?? []).map((name) => jobStands(pipeline as Pipeline, one.name, name))), started_by: randomUUID(), pipeline_number: pipeline?.number, created_at: at(pipeline?.created ?? 0), stopped_at: null,
        })))
      }
      case 'GET /v2/workflow/ID/job': {
        const pipeline = pipelines.find(({ workflows }) => workflows.some((one) => one.id === id)) as Pipeline, name = pipeline.workflows.find((one) => one.id === id)?.name ?? ''
        return page((JOBS[name] ?? []).map((job) => ({ dependencies: [], job_number: nth(pipeline, Object.values(JOBS).flat().indexOf(job)), id: randomUUID(), started_at: at(pipeline.created), name: job, project_slug: 'gh/my-org/realitycheck', status: jobStands(pipeline, name, job), type: 'build' })))
      }
    }
    const [, variable] = /\/environment-variable\/(\w+)$/.exec(path) ?? [], context = contexts.find((one) => one.id === id)
    if (method === 'PUT' && variable && context) {
      if (!said.value) return [400, { message: 'value must not be empty' }]
      context.variables[variable] ??= at(Date.now())
      return [200, { variable, context_id: id, created_at: context.variables[variable] }]
    }
    const number = new RegExp(`^${old}/(\\d+)$`).exec(path)?.[1]
    if (number) {
      const job = Object.values(JOBS).flat()[Number(number) % 100] ?? ''
      return [200, { build_num: Number(number), steps: [{ name: 'Spin up environment', actions: [{ name: 'Spin up environment', status: 'success', has_output: true }] }, ...(red[job] ? [{ name: red[job], actions: [{ name: red[job], status: 'failed', failed: true, has_output: true }] }] : [])] }]
    }
    return none
  }

  const server = createServer({ cert: readFileSync(files.certificate), key: readFileSync(files.key) }, (request, response) => {
    void (async () => {
      const text = (await buffer(request)).toString(), { method = '', url = '', headers } = request
      seen.push(`${method} ${url}`)
      // As the real one prints it.
      const send = (code: number, body: unknown) => response.writeHead(code, { 'content-type': 'application/json;charset=utf-8' }).end(JSON.stringify(body, null, 2).replaceAll('": ', '" : '))
      if (times-- > 0) return send(status, { message: 'busy' })
      if (headers['circle-token'] !== token) return send(401, { message: 'You must log in first.' })
      if (text && headers['content-type'] !== 'application/json') return send(415, { message: 'Unsupported media type' })
      const [code, body] = answer(method, new URL(url, 'https://circleci'), text ? JSON.parse(text) : {})
      if (lost && `${method} ${url}`.startsWith(lost)) {
        lost = ''
        return response.destroy()
      }
      return send(code, body)
    })().catch(() => response.destroy())
  })
  // Whatever name is asked for, it is this one that answers.
  const proxy = createProxy().on('connect', (_, socket: Socket) => {
    const onward = connect((server.address() as AddressInfo).port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      onward.pipe(socket).pipe(onward)
    })
    for (const one of [onward, socket]) sockets.add(one.on('error', () => { onward.destroy(); socket.destroy() }))
  })
  for (const one of [server, proxy]) await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve))
  return {
    env: { HTTPS_PROXY: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` }, seen, red,
    left: () => ({ followed, variables, contexts: Object.fromEntries(contexts.map((one) => [one.name, Object.keys(one.variables)])), pipelines: pipelines.filter(({ trigger }) => trigger === 'api').length }),
    lose: (request) => { lost = request },
    instead: (code, count) => { [status, times] = [code, count] },
    fresh: () => {
      ;[followed, variables, contexts, pipelines, lost, times] = [[], {}, [], [], '', 0]
      for (const name of Object.keys(red)) delete red[name]
    },
    stop: () => {
      for (const one of sockets) one.destroy()
      server.close()
      proxy.close()
    },
  }
}
