/**
 * What realitycheck needs before it is run: its repository, a project that is followed, the variables of the project, two
 * contexts. Installation guide 3.3.0, phase 3, "Nomad Clients Validation".
 */
import { seeing, pageOf, push, sightOf, type Repository } from '../cloud/repository.ts'
import type { Done, Effect } from '../effect.ts'
import { bad, done, doneWhere, forEach, ok, preflight, warning } from '../effect.ts'
import { Refused, fail } from '../fail.ts'
import { Once } from '../files.ts'
import { apiOf, FUNCTIONS, type Access, type Api } from './api.ts'

/** Where the repository lies, and the installation that builds it. */
export interface Project extends Access, Repository {}

/** A token that no installation knows, for rehearsals. */
export const REHEARSED = 'a11cebab1e'.repeat(4)

/**
 * CircleCI's own, as it was when server 3.4 came out, on 2022-08-17: the jobs of today want newer images and orbs. The
 * branch that the guide names is no longer there.
 */
const SOURCE = { url: 'https://github.com/circleci/realitycheck', commit: '9058f9bac75a29a13f89cb8b52ae920030f74c9a' }
/** What is empty gets its contents on this branch, where no other one is to be built. */
const BRANCH = 'master'

/** As the two versions of the API name the project. */
export const slugOf = ({ org, repo }: Project): string => `gh/${org}/${repo}`
const oldSlugOf = ({ org, repo }: Project): string => `github/${org}/${repo}`
/** A project in v1.1. */
export const oldPath = (project: Project): string => `/v1.1/project/${oldSlugOf(project)}`
export const pathOf = (project: Project): string => `/v2/project/${slugOf(project)}`
/** The page of the project in the web app. */
export const projectPage = (project: Project): string => `https://app.${project.domain}/pipelines/${oldSlugOf(project)}`

/** app. is the web app's: realitycheck's jobs ask the API at the domain itself. */
export const domainIsBare = ({ domain }: Access) => preflight('domain', 'the domain is that of the installation, without app.', async () =>
  (domain.startsWith('app.') ? warning(`${domain} begins with app., and the jobs of realitycheck want the name without it`, `--domain ${domain.slice(4)}`) : ok(domain)))

export const tokenWorks = (access: Access) => preflight('api', `https://${access.domain} answers, and knows the token`, async () => {
  const me = await apiOf(access).read<{ login?: string; name?: string }>('/v2/me')
  return me ? ok(`as ${me.login ?? me.name}`)
    : bad(`${access.domain} answers, and not as CircleCI server does: /api/v2/me is not there`, 'Name the domain of the installation, without app., with --domain.')
})

interface Collaboration { id?: string; slug?: string; name?: string }

/** The organisation, as the API names it to those who are in it. */
const organisation = async (api: Api, { org }: Project): Promise<{ found: Collaboration | undefined; all: Collaboration[] }> => {
  const all = await api.read<Collaboration[]>('/v2/me/collaborations')
  const known = Array.isArray(all) ? all : []
  return { found: known.find(({ slug }) => slug === `gh/${org}` || slug === `github/${org}`), all: known }
}

export const isMember = (project: Project) => preflight('organisation', 'whoever has the token is in the organisation', async () => {
  const { found, all } = await organisation(apiOf(project), project)
  return found ? ok(project.org) : warning(`${project.org} is none of the organisations of whoever has the token${all.length ? ` (${all.map(({ name }) => name).join(', ')})` : ''}`,
    'Names are case-sensitive; without being in it one can neither follow its projects nor make contexts.')
})

/** Where nobody tells what is followed, a project that is known counts. */
const isFollowed = async (api: Api, project: Project): Promise<boolean> => {
  const followed = await api.read<{ username?: string; reponame?: string }[]>('/v1.1/projects')
  if (!Array.isArray(followed)) return await api.read(pathOf(project)) !== undefined
  return followed.some(({ username, reponame }) => username === project.org && reponame === project.repo)
}

/** The repository is there and has something in it; of a project that is followed that is known. */
export const haveRepository = (project: Project, branch = BRANCH): () => Promise<Done | Effect[]> => {
  const api = apiOf(project), sight = sightOf(project)
  return async () => {
    if (await isFollowed(api, project)) return done(`the installation builds ${project.org}/${project.repo}`)
    const seen = await sight()
    if (seen.is === 'filled') return done(`${pageOf(project)} is there`)
    return seen.is === 'empty' ? [push(SOURCE, project, branch)] : []
  }
}

/** What a person does where git sees no repository. */
export const repositoryByHand = async (project: Project): Promise<string> => {
  const seen = await sightOf(project)()
  const make = project.host === 'github.com' ? `fork ${SOURCE.url}/fork into ${project.org}`
    : `make an empty repository ${project.repo} of ${project.org}, into which this run pushes: https://${project.host}/organizations/${project.org}/repositories/new`
  return `${make}\nIf it is there, git on this machine does not see it${seen.is === 'unseen' ? ` (${seen.why})` : ''}: log git in there, or follow the project at https://app.${project.domain}/projects. This should answer: ${seeing(project)}`
}

/** CircleCI builds it. The first time that may start a build, which has no variables yet and tells nothing. */
export const haveProject = (project: Project): () => Promise<Done | Effect[]> => {
  const api = apiOf(project)
  const effect = api.effect(`follow ${project.org}/${project.repo}`, 'safe', 'POST', `${oldPath(project)}/follow`)
  const call = () => effect.call().catch((error: unknown) => {
    if (error instanceof Refused && error.status === 404) throw fail(error.message, `${error.next} By hand it is followed here: https://app.${project.domain}/projects`)
    throw error
  })
  return async () => (await isFollowed(api, project) ? done(`${project.org}/${project.repo} is followed`) : [{ ...effect, call }])
}

export interface Told { provider: string; windows: boolean }

/** The API shows the end of a value; of a short one nothing. */
const isMaskOf = (mask: string, value: string): boolean => mask.startsWith('xxxx') && value.endsWith(mask.slice(4))

/** Each variable of the project has its value, as far as its mask tells. */
export const haveVariables = (project: Project, { provider, windows }: Told): () => Promise<Done | Effect[]> => {
  const api = apiOf(project), path = `${pathOf(project)}/envvar`
  // Without the token in it, where it is shown.
  const wanted: [string, string | Once][] = [
    ['CIRCLE_HOSTNAME', `https://${project.domain}`], ['CIRCLE_TOKEN', project.token], ['CIRCLE_CLOUD_PROVIDER', provider], ...(windows ? [['CIRCLE_WINDOWS_EXECUTOR', 'true'] as [string, string]] : []),
  ]
  return async () => {
    const there = await api.list<{ name: string; value: string }>(path) ?? []
    return forEach(wanted, async ([name, value]) => {
      const found = there.find((one) => one.name === name)
      if (found && isMaskOf(found.value, Once.join([value]))) return done(`${wanted.length} variables are there, as far as the API shows of their values`)
      return [api.effect(`variable ${name}`, 'safe', 'POST', path, typeof value === 'string' ? { body: { name, value } } : { body: { name }, token: 'value' })]
    })
  }
}

interface Context { id: string; name: string }
/** What a context has does not matter, but it must have it. An empty value, which the guide names, the API does not take. */
const CONTEXTS = [['org-global', 'CONTEXT_END_TO_END_TEST_VAR'], ['individual-local', 'MULTI_CONTEXT_END_TO_END_VAR']] as const
const VALUE = '1'

/** An installation knows an organisation by its ID; where it does not tell it, by its name. */
const ownerOf = async (api: Api, project: Project): Promise<{ query: string; owner: Record<string, string> }> => {
  const { found } = await organisation(api, project)
  const [key, value] = found?.id ? ['id', found.id] : ['slug', `gh/${project.org}`]
  return { query: `owner-${key}=${value}&owner-type=organization`, owner: { [key]: value, type: 'organization' } }
}

/** Undefined where the API has none, or does not take the owner as we know it. */
const contextsOf = async (api: Api, project: Project): Promise<Context[] | undefined> =>
  api.list<Context>(`/v2/context?${(await ownerOf(api, project)).query}`).catch((error: unknown) => {
    if (error instanceof Refused && error.status === 400) return undefined
    throw error
  })

/** Where the API has no contexts, people make them, and their jobs tell. */
const unseen = ({ domain, org }: Project): Done => done(`the API of this installation does not show contexts. Where they are not there yet, make them at https://app.${domain}/settings/organization/github/${org}/contexts: ${CONTEXTS.map(([name, variable]) => `${name} with ${variable}`).join(', ')}, each of value ${VALUE}; their jobs tell`)

export const haveContexts = (project: Project): () => Promise<Done | Effect[]> => {
  const api = apiOf(project)
  return async () => {
    const there = await contextsOf(api, project)
    if (!there) return unseen(project)
    const { owner } = await ownerOf(api, project)
    return forEach([...CONTEXTS], async ([name]) => (there.some((one) => one.name === name) ? done(`${CONTEXTS.map(([one]) => one).join(' and ')} are there`)
      : [api.effect(`context ${name}`, 'mint', 'POST', '/v2/context', { body: { name, owner } })]))
  }
}

/** The line finds the context by its name: before it is made, nobody knows its ID. */
const STORE = `${FUNCTIONS}; id=$(api "$1?$2" | objects | grep "\\"name\\" *: *\\"$3\\"" | grep -o "\\"id\\" *: *\\"[^\\"]*\\"" | cut -d\\" -f4) && [ -n "$id" ] `
  + `&& api -X PUT -H "Content-Type: application/json" -d "{\\"value\\":\\"${VALUE}\\"}" "$1/$id/environment-variable/$4"`

interface Variable { variable: string; created_at: string }
const variablesOf = async (api: Api, { id }: Context): Promise<Variable[]> => await api.list<Variable>(`/v2/context/${id}/environment-variable`) ?? []

/** Since when both contexts have their variables; undefined where that is not seen. */
export const readySince = async (api: Api, project: Project): Promise<number | undefined> => {
  const there = await contextsOf(api, project) ?? []
  const times = await Promise.all(CONTEXTS.map(async ([name, variable]) => {
    const context = there.find((one) => one.name === name)
    const held = context && (await variablesOf(api, context)).find((one) => one.variable === variable)
    return held ? Date.parse(held.created_at) : Number.NaN
  }))
  const since = Math.max(...times)
  return Number.isNaN(since) ? undefined : since
}

export const haveContextVariables = (project: Project): () => Promise<Done | Effect[]> => {
  const api = apiOf(project)
  return async () => {
    const there = await contextsOf(api, project)
    if (!there) return unseen(project)
    const { query } = await ownerOf(api, project)
    return forEach([...CONTEXTS], async ([name, variable]) => {
      const context = there.find((one) => one.name === name)
      const held = context ? await variablesOf(api, context) : []
      return doneWhere(held.some((one) => one.variable === variable), 'each context has its variable', async () => [{
        id: `variable ${variable}`, again: 'safe', command: { words: ['sh', '-c', STORE, 'store', `https://${project.domain}/api/v2/context`, query, name, variable] },
        call: async () => {
          const made = (await contextsOf(api, project))?.find((one) => one.name === name)
          if (!made) throw fail(`There is no context ${name}.`, 'Repeat the same line, which makes it.')
          return api.change('PUT', `/v2/context/${made.id}/environment-variable/${variable}`, { body: { value: VALUE } })
        },
      }])()
    })
  }
}
