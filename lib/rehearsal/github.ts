/**
 * GitHub in a rehearsal, and a GitHub Enterprise: one app, and one token. Answers as GitHub gives them. The API of
 * the installation, wherever it is asked; of all other hosts, that they are there.
 */
import { REHEARSED } from '../server/oauth-app.ts'
import { REHEARSED as TOKEN } from '../server/realitycheck-project.ts'
import { askCircle, isApi } from './circleci.ts'
import { newest } from './kots.ts'
import { failed, type Tool } from './tool.ts'
import type { World } from './world.ts'

export const githubSecrets = [REHEARSED.secret, REHEARSED.token, TOKEN]

const answer = (status: number, said: unknown) => ({ stdout: JSON.stringify({ status, text: JSON.stringify(said) }), stderr: '', code: 0 })

/** People set their projects up anew within ten minutes of the deploy that moved them. */
const webhookHost = ({ time, kots, box }: World): string => (Object.keys(box?.sent ?? {}).length && time - Date.parse(newest(kots).deployedAt ?? '') > 600_000 ? 'circleci.example.com' : 'old.example.com')

/** It takes the way of the tools, so that faults meet it too; the secrets stand in what it reads. */
export const web: Tool = {
  name: ({ argv }) => `https ${argv.join(' ')}`,
  mutates: ({ argv: [, method, path = ''] }) => method !== 'GET' && isApi(path),
  play: (world, { argv: [host = '', method = '', path = ''], stdin }) => {
    if (world.rules.unreachable?.includes(host)) return { ...failed('no way there'), code: 7 }
    if (method === 'HEAD') return answer(200, {})
    const { body = '', token, headers } = JSON.parse(stdin) as { body?: string; token?: string; headers?: Record<string, string> }
    if (isApi(path)) return answer(...askCircle(world, method, path, headers?.['circle-token'], body))
    if (/^(\/api\/v3)?\/repos\/[^/]+\/[^/]+\/hooks\?/.test(path)) return answer(200, [{ config: { url: `https://${webhookHost(world)}/hooks/github` } }])
    if (path === '/api/v3/user') return token === REHEARSED.token ? answer(200, { login: 'operator' }) : answer(401, { message: 'Bad credentials' })
    const form = new URLSearchParams(body)
    if (path !== '/login/oauth/access_token' || form.get('client_id') !== REHEARSED.id) return answer(404, { error: 'Not Found' })
    if (form.get('client_secret') !== REHEARSED.secret) return answer(200, { error: 'incorrect_client_credentials', error_description: 'The client_id and/or client_secret passed are incorrect.' })
    return answer(200, { error: 'bad_verification_code', error_description: 'The code passed is incorrect or expired.' })
  },
}
