/**
 * What the tests of the rehearsal share: a world in a temporary folder, and plain requests to it.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import WebSocket from 'ws'
import { rehearse, type Options, type Rehearsal } from '../../lib/rehearsal/index.ts'

export const core = '/api/v1/namespaces/circleci-server'
export const sets = '/apis/apps/v1/namespaces/circleci-server/statefulsets'
export const leases = '/apis/coordination.k8s.io/v1/namespaces/circleci-server/leases'
export const gp2 = '/apis/storage.k8s.io/v1/storageclasses/gp2'
export const merge = 'application/merge-patch+json'

const open: Rehearsal[] = []
const folders: string[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()))
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

export const worldFile = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'rehearsal-'))
  folders.push(folder)
  return join(folder, 'world.json')
}

export const start = async (options: Partial<Options> = {}) => {
  const file = options.file ?? worldFile()
  const rehearsal = await rehearse({ pace: 0, ...options, file })
  open.push(rehearsal)
  return { ...rehearsal, ...client(rehearsal.url), file, tool: (...argv: string[]) => runTool(rehearsal, argv) }
}

export interface Reply { code: number; body: any; headers: Headers }

export const client = (url: string) => {
  const send = async (method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<Reply> => {
    const response = await fetch(url + path, {
      method, headers: { 'content-type': contentType }, ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    return { code: response.status, body: await response.json(), headers: response.headers }
  }
  return {
    send,
    get: async (path: string) => (await send('GET', path)).body,
    patch: (path: string, body: unknown) => send('PATCH', path, body, merge),
    exec: (pod: string, command: string[], container?: string) => exec(url, pod, command, container),
    grow: async (claim: string, size: string) => {
      await send('PATCH', gp2, { allowVolumeExpansion: true }, merge)
      return send('PATCH', `${core}/persistentvolumeclaims/${claim}`, { spec: { resources: { requests: { storage: size } } } }, merge)
    },
  }
}

const exec = (url: string, pod: string, command: string[], container?: string) =>
  new Promise<{ code: number; stdout: string; stderr: string; status: any }>((resolve, reject) => {
    const query = new URLSearchParams({ stdout: 'true', stderr: 'true', ...(container ? { container } : {}) })
    for (const word of command) query.append('command', word)
    const socket = new WebSocket(`${url.replace('http', 'ws')}${core}/pods/${pod}/exec?${query}`, ['v5.channel.k8s.io', 'v4.channel.k8s.io'])
    const channels = ['', '', '', '']
    socket.on('message', (data: Buffer) => {
      channels[data[0] as number] += data.subarray(1).toString()
    })
    socket.on('close', () => resolve({ code: 101, stdout: channels[1] as string, stderr: channels[2] as string, status: JSON.parse(channels[3] || '{}') }))
    socket.on('unexpected-response', (_, response) => {
      let text = ''
      response.on('data', (part) => {
        text += part
      })
      response.on('end', () => resolve({ code: response.statusCode ?? 0, stdout: '', stderr: '', status: JSON.parse(text) }))
    })
    socket.on('error', reject)
  })

export const runTool = ({ bin, env }: Rehearsal, argv: string[]) =>
  new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    const child = spawn('kubectl', argv, { env: { ...process.env, ...env, PATH: `${bin}:${process.env['PATH']}` } })
    let stdout = '', stderr = ''
    child.stdout.on('data', (part) => {
      stdout += part
    })
    child.stderr.on('data', (part) => {
      stderr += part
    })
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })

export const orphan = (uid?: string) => ({ kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Orphan', ...(uid ? { preconditions: { uid } } : {}) })

/** A manifest as somebody keeps it who wants to create it again. */
export const kept = (live: any, size: string): any => {
  const { uid: _, resourceVersion: __, creationTimestamp: ___, generation: ____, ...metadata } = live.metadata
  const manifest = structuredClone({ ...live, metadata })
  delete manifest.status
  manifest.spec.volumeClaimTemplates[0].spec.resources.requests.storage = size
  return manifest
}

export const kots = (rehearsal: { tool(...argv: string[]): ReturnType<typeof runTool> }, ...words: string[]) =>
  rehearsal.tool('kots', ...words, '--context', 'rehearsal', '--namespace', 'circleci-server')
