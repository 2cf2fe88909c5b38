/**
 * Child processes of a cluster: each in its own process group, with its log in the cluster's folder, and all of
 * them ended when the cluster stops and also when the process that started them is killed.
 */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { pause } from '../../lib/clock.ts'

export interface Processes {
  start(name: string, path: string, args: string[], env?: Record<string, string>): void
  /** Throws, with the end of its log, when a process has ended by itself. */
  check(): void
  /** Ends them all. */
  stop(): Promise<void>
  /** The last lines of every log. */
  logs(lines?: number): string
}

/** Ports of loopback that nobody listens on now. */
export const freePorts = async (count: number): Promise<number[]> => {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject)
          server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
        }),
    ),
  )
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

// Reads process groups from a pipe. The pipe ends when our side closes it, or dies: then it ends the groups, and removes what is big.
const KEEPER = 'groups=; while read -r group; do groups="$groups -$group"; done; [ -z "$groups" ] || kill -s KILL -- $groups; rm -rf etcd'

export const processes = (folder: string): Processes => {
  const keeper = spawn('/bin/sh', ['-c', KEEPER], { cwd: folder, detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  const gone = new Promise<void>((resolve) => keeper.once('exit', () => resolve()))
  const names: string[] = []
  let failed: string | undefined
  let stopping = false

  const tail = (name: string, lines: number): string => {
    const file = join(folder, `${name}.log`)
    return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n') : ''
  }

  return {
    start(name, path, args, env = {}) {
      const log = openSync(join(folder, `${name}.log`), 'w')
      const child = spawn(path, args, {
        detached: true,
        stdio: ['ignore', log, log],
        cwd: folder,
        env: { ...process.env, ...env },
      })
      closeSync(log)
      names.push(name)
      child.once('error', (error) => (failed ??= `${name} did not start: ${error.message}`))
      child.once('exit', (code, signal) => {
        if (!stopping) failed ??= `${name} ended by itself (${code ?? signal}). Its log ends with:\n${tail(name, 20)}`
      })
      if (child.pid) keeper.stdin.write(`${child.pid}\n`)
      child.unref()
    },
    check() {
      if (failed) throw new Error(failed)
    },
    async stop() {
      stopping = true
      keeper.stdin.end()
      await gone
    },
    logs: (lines = 20) => names.map((name) => `--- ${name}\n${tail(name, lines)}`).join('\n'),
  }
}

/** Asks until the answer is not false or undefined; errors count as false and are told when time is up. */
export const until = async <T>(
  what: string,
  ask: () => Promise<T | false | undefined>,
  { within = 30_000, every = 50, check = () => {} }: { within?: number; every?: number; check?: () => void } = {},
): Promise<T> => {
  const end = Date.now() + within
  let last: unknown
  for (;;) {
    check()
    try {
      const answer = await ask()
      if (answer !== false && answer !== undefined) return answer
    } catch (error) {
      last = error
    }
    if (Date.now() > end) throw new Error(`Waited ${within} ms for: ${what}`, { cause: last })
    await pause(every)
  }
}
