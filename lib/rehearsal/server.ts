/**
 * How a rehearsal answers: requests to the cluster, calls to AWS and of the tools, all the same way, so that kills and
 * faults meet each of them.
 */
import { appendFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Moment } from '../files.ts'
import { clusterIs } from './clusters.ts'
import { awsMutates, AwsRefusal, playAws, type AwsCall } from './aws.ts'
import { reconcile } from './controllers.ts'
import { answer, mutates, type Request } from './kubernetes.ts'
import { Refusal } from './refusals.ts'
import { failed, type Call, type Output } from './tool.ts'
import { callOf, nameOf, runTool, sendOutput, toolMutates } from './tools.ts'
import type { Store } from './world-file.ts'
import type { Fault, World } from './world.ts'

/** `hung` are requests that a fault leaves without an answer, `asleep` tools that only wait; `sleep` lets the time of the rehearsal pass. */
export interface Traffic { busy: number; hung: number; asleep: number; requests: number; mutations: number; sleep(ms: number): Promise<void> }

export const injectedRefusal = (code: 429 | 500 | 401 | 403 | 409): Refusal =>
  new Refusal(code, { 429: 'TooManyRequests', 500: 'InternalError', 401: 'Unauthorized', 403: 'Forbidden', 409: 'Conflict' }[code], `rehearsal: injected ${code}`)

export const send = (response: ServerResponse, code: number, body: unknown): Promise<void> =>
  new Promise((resolve) => {
    response.on('close', resolve)
    response.writeHead(code, { 'content-type': 'application/json', ...(code === 429 ? { 'retry-after': '1' } : {}) }).end(JSON.stringify(body))
  })

/** Answers one request: a fault that is planned, a refusal, or what the world says. `changed` is told of each world before it is written. */
export const serve = async (store: Store, incoming: IncomingMessage, response: ServerResponse, traffic: Traffic, changed: (world: World) => void): Promise<void> => {
  const parts: Buffer[] = []
  for await (const part of incoming) parts.push(part as Buffer)
  const { pathname: path, searchParams: query } = new URL(incoming.url ?? '/', 'http://rehearsal')
  const request: Request = {
    method: incoming.method ?? 'GET', path, query, body: Buffer.concat(parts).toString(), contentType: incoming.headers['content-type'] ?? '',
  }
  const url = `http://127.0.0.1:${incoming.socket.localPort}`
  const call = path === '/tools' ? { ...callOf(incoming, Buffer.concat(parts)), url } : undefined
  const toAws = path === '/aws' ? { ...JSON.parse(request.body) as AwsCall, url } : undefined
  const mutating = call ? toolMutates(call) : toAws ? awsMutates(toAws) : mutates(request)
  traffic.requests += 1
  if (mutating) traffic.mutations += 1

  const name = call ? nameOf(call) : toAws ? `${toAws.service}.${toAws.command}` : `${request.method} ${path}`
  trace(name, mutating ? 'write' : 'read')
  const injected = plannedFault(store, name)
  if (injected === 'timeout') {
    traffic.hung += 1
    response.on('close', () => {
      traffic.hung -= 1
    })
    return
  }
  // Before there is a cluster nobody answers.
  if (injected === 'reset' || (!call && !toAws && store.read().bare && !clusterIs(store.read()))) return void response.destroy()
  const { rules } = store.read()
  const throttled = !call && !toAws && rules.throttleEvery && traffic.requests % rules.throttleEvery === 0
  if (typeof injected === 'number' || throttled) {
    const refusal = injectedRefusal(typeof injected === 'number' ? injected : 429)
    if (call) return sendOutput(response, failed(`unexpected status code from ${refusal.code}: ${refusal.message}`))
    if (toAws) return send(response, 200, { refused: { ...awsRefusal(refusal.code), message: refusal.message } })
    return send(response, refusal.code, refusal.body())
  }
  const dying = mutating && store.read().crash?.at === traffic.mutations ? store.read().crash?.when : undefined
  if (dying) {
    store.change((world) => {
      delete world.crash
    })
    if (dying === 'before') process.kill(process.pid, 'SIGKILL')
  }
  const reply = apply(store, request, call ?? toAws, mutating, changed)
  if (dying === 'inside') process.kill(process.pid, 'SIGKILL')
  const lost = !call && mutating && rules.loseEvery && traffic.mutations % rules.loseEvery === 0
  if (injected === 'reset-after' || lost) return void response.destroy()
  if (injected === '504-after' && !call) return send(response, 504, new Refusal(504, 'Timeout', 'Timeout: request did not complete within requested timeout').body())
  if (reply.takes) await run(store, response, traffic, reply.takes, changed)
  if (response.destroyed) return
  // The answer has left; the client lives in this process too, and gets a moment to note it.
  if (dying === 'after') response.on('finish', () => setTimeout(() => process.kill(process.pid, 'SIGKILL'), 25))
  await (call ? sendOutput(response, reply.body as Output) : send(response, reply.code, reply.body))
}

/** For tests: the name of each request, and whether it may change the world, go into the file that the environment names. */
export const trace = (name: string, kind: 'read' | 'write' | 'file'): void => {
  const file = process.env['REHEARSAL_TRACE']
  if (file) appendFileSync(file, `${kind} ${name}\n`)
}

/** A file that is written is a change too: the run is killed at its moments, and finds the disk full. */
export const writing = (store: Store, traffic: Traffic, moment: Moment, name: string): void => {
  if (moment === 'before') {
    traffic.mutations += 1
    trace(name, 'file')
  }
  if (moment === 'inside' && plannedFault(store, name) === 'full') throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
  const { crash } = store.read()
  if (crash?.at !== traffic.mutations || crash.when !== moment) return
  store.change((world) => {
    delete world.crash
  })
  process.kill(process.pid, 'SIGKILL')
}

/** A fault that the world file asks for, once or for a while. */
export const plannedFault = (store: Store, name: string): Fault | undefined => {
  const { fault: planned, time } = store.read()
  if (!planned || (planned.until === undefined ? planned.request !== name : planned.until > time)) return planned?.until ? planned.what : undefined
  store.change((world) => {
    if (planned.until === undefined && planned.lasts) world.fault = { ...planned, until: time + planned.lasts }
    else delete world.fault
  })
  return planned.until === undefined ? planned.what : undefined
}

const awsRefusal = (code: number): { name: string; status: number } =>
  code === 429 ? { name: 'Throttling', status: 400 } : { name: { 401: 'InvalidClientTokenId', 403: 'AccessDenied', 409: 'ConcurrentModification' }[code] ?? 'ServiceFailure', status: code }

/** A tool that takes its time: where nobody waits for its end any more, it was killed, and does nothing at its end. */
const run = async (store: Store, response: ServerResponse, traffic: Traffic, { ms, end }: NonNullable<Output['takes']>, changed: (world: World) => void): Promise<void> => {
  traffic.asleep += 1
  await traffic.sleep(ms)
  traffic.asleep -= 1
  if (response.destroyed) return
  store.change((world) => {
    end(world)
    reconcile(world)
    changed(world)
  })
}

const answerAws = (world: World, call: AwsCall): { code: number; body: unknown } => {
  try {
    return { code: 200, body: playAws(world, call) }
  } catch (error) {
    if (error instanceof AwsRefusal) return { code: 200, body: { refused: { name: error.name, message: error.message, status: error.status } } }
    throw error
  }
}

interface Reply { code: number; body: unknown; takes?: Output['takes'] }

const apply = (store: Store, request: Request, call: Call | AwsCall | undefined, mutating: boolean, changed: (world: World) => void): Reply => {
  const play = (world: World): Reply => {
    if (call && 'tool' in call) {
      const { takes, ...body } = runTool(world, call)
      return { code: 200, body, ...(takes ? { takes } : {}) }
    }
    const reply = call ? answerAws(world, call) : answer(world, request)
    return { code: reply.code, body: structuredClone(reply.body) }
  }
  // A dry run does all that the change would do, on a copy.
  if (!mutating) return play(call || request.method === 'GET' ? store.read() : structuredClone(store.read()))
  return store.change((world) => {
    const reply = play(world)
    reconcile(world)
    changed(world)
    return reply
  }, (reply) => reply.code < 300)
}
