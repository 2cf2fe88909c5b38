/**
 * The services box of server 2.19: a real sshd with sudo in a container that has /data/circle, where replicatedctl and
 * the container engine are stand-ins and the stores' servers are real; with made data of the guide's names.
 */
import { execFile, execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { quote } from '../../lib/shell.ts'
import { must } from './components.ts'
import type { ComponentName } from './components.ts'
import { CONTAINER, CONTAINERS, containerPath } from './containers.ts'
import { freePorts, processes, until } from './processes.ts'

/** What a services box is made of. */
export const SERVICES_BOX: ComponentName[] = [...CONTAINERS, 'sshd', 'ssh', 'sudo', 'postgres', 'ferretdb', 'mongosh']

export interface ServicesBox {
  /** For ssh: ssh://root@127.0.0.1:PORT. */
  address: string
  /** The private key's file. */
  key: string
  /** In front of the PATH of a run: an ssh that knows the box's host key from a file of the test. */
  bin: string
  knownHosts: string
  /** The folder that the box has as /data/circle. */
  data: string
  /** Runs a script there as root, past ssh. */
  enter(script: string): Promise<string>
  stop(): Promise<void>
}

const REPLICATED = ['replicated', 'replicated-ui', 'replicated-operator', 'premkit', 'statsd'].map((name) => `${name} quay.io/replicated/${name}:2.54.0 replicated`)
const APP = [
  ['circleci-frontend', 'circleci/frontend:2.19.14'], ['mongo', 'circleci/server-mongo:3.6.6'], ['postgres', 'circleci/server-postgres:9.5.8'], ['contexts-service', 'circleci/contexts-service:2.19.14'],
  ['vault', 'circleci/server-vault:2.19.14'], ['picard-dispatcher', 'circleci/picard-dispatcher:2.19.14'], ['rabbitmq', 'rabbitmq:3.6.6-management'], ['redis', 'redis:4.0.14'],
].map((row) => `${row.join(' ')} app`)

const here = fileURLToPath(new URL('services-box', import.meta.url))
const run = promisify(execFile)

export interface BoxOptions {
  /** Megabytes of made builds in PostgreSQL. */
  megabytes?: number
  version?: string
}

export const servicesBox = async ({ megabytes = 1, version = '2.19.14' }: BoxOptions = {}): Promise<ServicesBox> => {
  const folder = mkdtempSync(join(tmpdir(), 'services-box-'))
  const [port] = await freePorts(1)
  const [data, box, tools, container, bin] = ['data', 'box', 'tools', 'container', 'bin'].map((name) => join(folder, name)) as [string, string, string, string, string]
  for (const one of [data, join(box, 'run'), tools, container, bin]) mkdirSync(one, { recursive: true })
  const children = processes(folder)
  const env = `PATH=${quote(containerPath())}\nHOME=/run\nVAULT_ADDR=http://127.0.0.1:8200\n`

  for (const name of readdirSync(here)) copyFileSync(join(here, name), join(tools, name))
  const files = {
    env, version, container: CONTAINER, app: 'started 0', started: new Date(Date.now() - 86_400_000).toISOString(),
    images: 'postgres:9.5.8\nmongo:3.6.6', containers: [...REPLICATED, ...APP].join('\n'),
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(box, name), `${text}\n`)

  const [key, hostKey, knownHosts] = ['key', 'host-key', 'known-hosts'].map((name) => join(folder, name)) as [string, string, string]
  for (const file of [key, hostKey]) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file])
  writeFileSync(knownHosts, `[127.0.0.1]:${port} ${readFileSync(`${hostKey}.pub`, 'utf8')}`)
  writeFileSync(join(bin, 'ssh'), `#!/bin/sh\nexec ${must('ssh')} -o UserKnownHostsFile=${knownHosts} -o GlobalKnownHostsFile=/dev/null "$@"\n`, { mode: 0o755 })
  writeFileSync(join(folder, 'sshd_config'), [
    `Port ${port}`, 'ListenAddress 127.0.0.1', `HostKey ${hostKey}`, `AuthorizedKeysFile ${key}.pub`, 'PasswordAuthentication no', 'KbdInteractiveAuthentication no',
    'PermitRootLogin prohibit-password', 'StrictModes no', 'UsePAM no', 'PidFile none', 'MaxStartups 100', '',
  ].join('\n'))

  writeFileSync(join(container, 'mounts'), `${data} /data/circle\n${box} /box\n${tools} /usr/local/sbin\n`)
  writeFileSync(join(container, 'host-network'), '')
  children.start('sshd', CONTAINER, ['run', container, must('sshd'), '-D', '-e', '-f', join(folder, 'sshd_config')])
  await until('the services box', async () => existsSync(join(container, 'pid')), { check: children.check })
  const enter = async (script: string) => (await run(CONTAINER, ['exec', container, 'bash', '-c', script], { maxBuffer: 2 ** 26 })).stdout
  const made: ServicesBox = {
    address: `ssh://root@127.0.0.1:${port}`, key, bin, knownHosts, data, enter,
    stop: async () => {
      await children.stop()
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
  try {
    await until('sshd', () => run(join(bin, 'ssh'), ['-o', 'BatchMode=yes', '-i', key, made.address, 'sudo -n true']).then(() => true), { check: children.check })
    const { fill } = await import('./services-data.ts')
    await fill(made, megabytes)
    return made
  } catch (error) {
    const logs = children.logs()
    await made.stop()
    throw new Error(`The services box did not start.\n${logs}`, { cause: error })
  }
}
