/**
 * A real AWS API server (moto) for one test file, a proxy in front of it that can cut a line, and what is in it
 * afterwards.
 */
import { spawn } from 'node:child_process'
import { createServer, request } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { awsIn } from '../../lib/cloud/aws.ts'
import { must } from './components.ts'
import { freePorts, until } from './processes.ts'

export interface AwsServer {
  url: string
  /** For a run under test. */
  env: Record<string, string>
  reset(): Promise<void>
  stop(): void
}

const KEYS = { AWS_ACCESS_KEY_ID: 'testing', AWS_SECRET_ACCESS_KEY: 'testing', AWS_EC2_METADATA_DISABLED: 'true' }

export const startAws = async (): Promise<AwsServer> => {
  const [port] = await freePorts(1)
  const child = spawn(must('moto_server'), ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' })
  const url = `http://127.0.0.1:${port}`
  await until('moto', async () => (await fetch(`${url}/moto-api/data.json`)).ok, { within: 60_000 })
  // The tests' own reads go there too.
  Object.assign(process.env, KEYS, { AWS_ENDPOINT_URL: url })
  return {
    url, env: { ...KEYS, AWS_ENDPOINT_URL: url },
    reset: async () => void await fetch(`${url}/moto-api/reset`, { method: 'POST' }),
    stop: () => void child.kill('SIGKILL'),
  }
}

/** A request that came by: what was asked, and whose key signed it. */
interface Asked { what: string; by: string | undefined }

/** A listener before it that carries out the first request with this text in its address or body, and loses the answer. */
export const cuttingProxy = async (server: string, text: string, cut: () => void = () => {}): Promise<{ url: string; asked: Asked[]; close(): void }> => {
  let armed = true
  const asked: Asked[] = []
  const sockets = new Set<Socket>()
  const proxy = createServer((incoming, response) => {
    asked.push({ what: `${incoming.method} ${incoming.url}`, by: /Credential=([^/]+)/.exec(incoming.headers.authorization ?? '')?.[1] })
    void (async () => {
      const body = await buffer(incoming)
      const answer = await new Promise<import('node:http').IncomingMessage>((resolve, reject) =>
        request(server + incoming.url, { method: incoming.method, headers: incoming.headers }).once('response', resolve).once('error', reject).end(body))
      const content = await buffer(answer)
      if (armed && `${incoming.url}\n${body.toString()}`.includes(text)) {
        armed = false
        cut()
        return response.destroy()
      }
      const { 'transfer-encoding': _chunked, ...headers } = answer.headers
      return response.writeHead(answer.statusCode ?? 502, headers).end(content)
    })().catch(() => response.destroy())
  })
  proxy.on('connection', (socket) => sockets.add(socket.once('close', () => sockets.delete(socket))))
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked,
    close: () => {
      proxy.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** All that a run may leave in the account, without what is another one each time. */
export const accountHas = async (user: string, bucket: string, policy = 'velero') => {
  const aws = awsIn('us-east-1')
  const read = async (service: 'iam' | 's3', command: string, input: object) => {
    const { $metadata: _, ...answer } = await aws.read<Record<string, any>>(service, command, input) ?? {}
    return answer as Record<string, any>
  }
  const keys = (await read('iam', 'ListAccessKeys', { UserName: user }))['AccessKeyMetadata'] ?? []
  return {
    keys: keys.map(({ AccessKeyId }: { AccessKeyId: string }) => AccessKeyId) as string[],
    tags: (await read('iam', 'GetUser', { UserName: user }))['User']?.Tags,
    policy: JSON.parse(decodeURIComponent((await read('iam', 'GetUserPolicy', { UserName: user, PolicyName: policy }))['PolicyDocument'] ?? 'null')),
    block: (await read('s3', 'GetPublicAccessBlock', { Bucket: bucket }))['PublicAccessBlockConfiguration'],
    encryption: (await read('s3', 'GetBucketEncryption', { Bucket: bucket }))['ServerSideEncryptionConfiguration'],
    versioning: (await read('s3', 'GetBucketVersioning', { Bucket: bucket }))['Status'],
    bucketTags: (await read('s3', 'GetBucketTagging', { Bucket: bucket }))['TagSet'],
  }
}
