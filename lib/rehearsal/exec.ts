/**
 * Commands in a container, by WebSocket: `df` of a database's volume, and nothing else.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { locate } from './resources.ts'
import { badRequest, notFound, notPlayed, Refusal } from './refusals.ts'
import { keyOf, type World } from './world.ts'

interface Outcome { stdout: string; stderr: string; status: object }

const KIB = 1024

/** What `df -Pk` says; ext4 keeps a part of the volume for its journal and inode tables. */
const df = (files: { size: number; used: number }, mount: string): string => {
  const total = files.size / KIB - files.size / KIB / 64 - 128 * KIB
  const used = files.used / KIB
  const available = Math.max(0, total - used - 16 * KIB)
  const cells = ['/dev/nvme1n1', String(total), String(used), String(available), `${Math.ceil((used / (used + available)) * 100)}%`, mount]
  const [device, ...rest] = cells as [string, string, string, string, string, string]
  return `${'Filesystem'.padEnd(device.length)} 1024-blocks   Used Available Capacity Mounted on\n`
    + `${device} ${rest[0].padStart(11)} ${rest[1].padStart(6)} ${rest[2].padStart(9)} ${rest[3].padStart(8)} ${rest[4]}\n`
}

/** Runs a command, or refuses as the API server does before there is a connection. */
export const exec = (world: World, path: string, query: URLSearchParams): Outcome => {
  const place = locate(path)
  if (place?.resource.plural !== 'pods' || place.sub !== 'exec' || !place.name) {
    throw notPlayed('GET', path, 'exec.ts')
  }
  const pod = world.objects[keyOf('pods', place.name, place.namespace)]
  if (!pod) throw notFound(place.resource, place.name)
  const names: string[] = pod.spec.containers.map((one: any) => one.name)
  const container = query.get('container') ?? names[0] ?? ''
  if (!query.has('container') && names.length > 1) {
    throw badRequest(`a container name must be specified for pod ${place.name}, choose one of: [${names.join(' ')}]`)
  }
  if (!names.includes(container)) throw badRequest(`container ${container} is not valid for pod ${place.name}`)
  if (pod.status?.phase !== 'Running') throw new Refusal(500, 'InternalError', `unable to upgrade connection: container not found ("${container}")`)
  const [command, flags, mount, ...more] = query.getAll('command')
  const volume = pod.spec.containers.flatMap((one: any) => one.volumeMounts ?? []).find((one: any) => one.mountPath === mount)
  const claim = pod.spec.volumes?.find((one: any) => one.name === volume?.name)?.persistentVolumeClaim?.claimName
  const files = world.files[claim ?? '']
  if (command !== 'df' || flags !== '-Pk' || more.length || !files) {
    return {
      stdout: '', stderr: `rehearsal: not played: ${query.getAll('command').join(' ')}; extend lib/rehearsal/exec.ts\n`,
      status: {
        metadata: {}, status: 'Failure', reason: 'NonZeroExitCode', message: 'command terminated with non-zero exit code: rehearsal: not played',
        details: { causes: [{ reason: 'ExitCode', message: '126' }] },
      },
    }
  }
  return { stdout: df(files, mount as string), stderr: '', status: { metadata: {}, status: 'Success' } }
}

const sockets = new WebSocketServer({
  noServer: true,
  handleProtocols: (offered) => ['v5.channel.k8s.io', 'v4.channel.k8s.io'].find((one) => offered.has(one)) ?? false,
})

/** Answers an upgrade: the output on channels 1 and 2, then how it ended on channel 3. */
export const serveExec = (world: World, request: IncomingMessage, socket: Duplex, head: Buffer): void => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://rehearsal')
  try {
    const { stdout, stderr, status } = exec(world, pathname, searchParams)
    sockets.handleUpgrade(request, socket, head, (connection) => {
      const send = (channel: number, text: string) => connection.send(Buffer.concat([Buffer.from([channel]), Buffer.from(text)]))
      if (stdout && searchParams.get('stdout') !== 'false') send(1, stdout)
      if (stderr && searchParams.get('stderr') !== 'false') send(2, stderr)
      send(3, JSON.stringify(status))
      connection.close(1000)
    })
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    refuseUpgrade(socket, error)
  }
}

/** A refusal in place of an upgrade, written by hand: there is no response object for one. */
export const refuseUpgrade = (socket: Duplex, refusal: Refusal): void => {
  const body = JSON.stringify(refusal.body())
  socket.end(`HTTP/1.1 ${refusal.code} Refused\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`)
}
