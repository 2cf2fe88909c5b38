#!/usr/bin/env -S npx tsx
/**
 * See that builds run: CircleCI's own project for that, set up on the installation, run, and followed to its end.
 * Installation guide 3.3.0, phase 3, "Nomad Clients Validation", and phase 4.
 */
import { minutes, step } from '../lib/effect.ts'
import { EXIT, fail } from '../lib/fail.ts'
import type { Once } from '../lib/files.ts'
import { age, domainName, flag, optional, secret, someOf, text, type Input } from '../lib/inputs.ts'
import { runbook } from '../lib/runbook.ts'
import { tokensPage } from '../lib/server/api.ts'
import { kubectl, likely, redRun, runFacts, troubles } from '../lib/server/realitycheck-causes.ts'
import { domainIsBare, haveContexts, haveContextVariables, haveProject, haveRepository, haveVariables, isMember, REHEARSED, repositoryByHand, tokenWorks, type Project } from '../lib/server/realitycheck-project.ts'
import { GROUPS, runOf, type Group, type Wanted } from '../lib/server/realitycheck.ts'
import { softwareIsThere } from '../lib/software.ts'
import { span } from '../lib/velero/backups.ts'

const cloud = text('aws|gcp|other', 'cloud of the installation', { env: 'CIRCLECI_CLOUD', pattern: /^(aws|gcp|s3|other)$/, looks: 'aws, gcp or other' })

const inputs = {
  domain: domainName('domain of the installation'),
  org: { ...text('name', 'organisation at GitHub in which the repository lies', { env: 'GITHUB_ORG', pattern: /^[\w-]+$/, looks: 'the name as in its address: my-org' }) },
  repo: text('name', 'name of the repository', { env: 'REALITYCHECK_REPO', otherwise: 'realitycheck', pattern: /^[\w.-]+$/, looks: 'the name alone: realitycheck' }),
  enterprise: { ...optional('host', 'host of a GitHub Enterprise, in place of github.com; what is empty there is filled by a push', /^[a-z0-9.-]+(:\d+)?$/, 'the name alone: github.example.com'), env: 'GITHUB_ENTERPRISE_HOST' },
  branch: { ...optional('name', 'branch to build; the repository\'s default branch where nothing is said', /^[\w./-]+$/, 'the name of a branch: master'), env: 'REALITYCHECK_BRANCH' },
  // realitycheck knows two clouds, and everything else.
  provider: { ...cloud, choices: ['aws', 'gcp', 'other'], parse: (given: string) => (cloud.parse(given) === 's3' ? 'other' : given) },
  groups: { ...someOf(GROUPS, 'what has to be green: Docker jobs of each resource class, features, VMs once VM service is set up'), env: 'REALITYCHECK_GROUPS', fallback: { value: ['resource', 'feature'] } } as Input<Group[]>,
  windows: { ...flag('with --groups vm: the jobs on Windows too'), env: 'REALITYCHECK_WINDOWS' },
  maxAge: age('REALITYCHECK_MAX_AGE', 'a green run that began less than this ago counts as done'),
  token: {
    ...secret('API token', 'personal API token of somebody who administers the organisation', { env: 'CIRCLECI_TOKEN', pattern: /^\w{20,200}$/, looks: '40 letters and digits; a project\'s token will not do' }),
    byHand: { page: ({ domain }: Record<string, unknown>) => ({ say: `Make a personal API token, not one of a project: ${tokensPage(String(domain))}` }), kept: () => undefined, rehearsed: REHEARSED },
  },
}

interface Given { domain: string; token: Once; org: string; repo: string; enterprise: string | undefined; groups: Group[]; windows: boolean; branch: string | undefined; maxAge: string }
const projectOf = ({ domain, token, org, repo, enterprise }: Given): Project => ({ domain, token, org, repo, host: enterprise ?? 'github.com' })
const wantedOf = ({ groups, windows, branch, maxAge }: Given): Wanted => ({ groups, windows, branch, maxAge: span(maxAge) })

export default runbook(import.meta, {
  name: 'realitycheck',
  purpose: 'see that builds run',
  guide: 'CircleCI server 3.3.0 installation guide, phase 3, "Nomad Clients Validation", and phase 4',
  when: 'Once Nomad clients run, again once VM service does; after an upgrade, a restore, and before and after a migration.',
  cluster: false,
  inputs,
  together: ({ windows, groups }) => {
    if (windows && !groups.includes('vm')) throw fail('--windows belongs to the jobs in VMs.', 'Add --groups resource,feature,vm, or leave it out.', { code: EXIT.usage })
  },
  examples: [
    '--domain circleci.example.com --org my-org --provider aws --dry-run',
    '--domain circleci.example.com --org my-org --provider aws',
    '--domain circleci.example.com --org my-org --provider gcp --enterprise github.example.com --groups resource,feature,vm --max-age 0m',
    '--domain circleci.example.com --org my-org --provider aws --rehearse',
  ],
  preflight: (values) => {
    const project = projectOf(values)
    return [domainIsBare(project), tokenWorks(project), isMember(project), softwareIsThere('git', 'it sees the repository')]
  },
  outcome: ({ domain, groups }) => `Builds run on https://${domain}: ${groups.join(', ')} jobs are green`,
  facts: (values) => runFacts(projectOf(values), wantedOf(values)),
  troubles: async () => troubles(),
  afterwards: [
    `That a client reaches an address is derived from jobs that could not be green without it; it was not tried by itself. What is open is tried on a client; the addresses of the services: ${kubectl('get services')}`,
    'vm_jobs come once VM service is set up: the same line with --groups resource,feature,vm. aws_jobs and gcp_jobs want images of their own (ARM, Android), and are never waited for.',
    'The token lies in the project as CIRCLE_TOKEN: revoke it where realitycheck is not run again.',
  ],
  steps: (values) => {
    const project = projectOf(values)
    const running = runOf(project, wantedOf(values), redRun(project), likely)
    return [
      step('repository', 'Have the repository', haveRepository(project, values.branch), { manual: { say: () => repositoryByHand(project), within: minutes(60) }, back: 'The repository may be deleted when it is not needed any more.' }),
      step('follow', 'Have the installation build it', haveProject(project), { back: `Unfollow it in the web app, Project Settings.` }),
      step('variables', 'Set the variables of the project', haveVariables(project, values)),
      step('contexts', 'Make the contexts', haveContexts(project)),
      step('context-variables', 'Set a variable in each', haveContextVariables(project)),
      step('start', 'Start a run', running.start, { back: 'A run changes nothing of the installation.' }),
      step('jobs', 'Follow its jobs to their end', running.end, { verify: running.checks }),
    ]
  },
})
