/** An ACME server (pebble) that takes everybody's word for their domain, and an AWS API server (moto) with the zone. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startAws } from './aws.ts'
import { must } from './components.ts'
import { makeZone } from './dns.ts'
import { freePorts, processes, until } from './processes.ts'

export interface Acme {
  /** For certbot: where it orders, and where it makes its records. */
  env: Record<string, string>
  /** The same, for certificates that last 100 s. */
  brief: Record<string, string>
  stop(): Promise<void>
}

export const startAcme = async (folder: string): Promise<Acme> => {
  const [port, management] = await freePorts(2)
  execFileSync(must('openssl'), ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'pebble.key', '-out', 'pebble.pem', '-days', '1', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'], { cwd: folder, stdio: 'ignore' })
  writeFileSync(join(folder, 'pebble.json'), JSON.stringify({ pebble: {
    listenAddress: `127.0.0.1:${port}`, managementListenAddress: `127.0.0.1:${management}`, certificate: join(folder, 'pebble.pem'), privateKey: join(folder, 'pebble.key'), httpPort: 5002, tlsPort: 5001,
    profiles: { usual: { description: 'as Let\'s Encrypt', validityPeriod: 90 * 86_400 }, brief: { description: 'for renewals', validityPeriod: 100 } },
  } }))
  const aws = await startAws()
  const children = processes(folder)
  children.start('pebble', must('pebble'), ['-config', join(folder, 'pebble.json')], { PEBBLE_VA_ALWAYS_VALID: '1', PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0' })
  const tls = { ...process.env, NODE_EXTRA_CA_CERTS: join(folder, 'pebble.pem') }
  const asks = `fetch('https://127.0.0.1:${port}/dir').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))`
  await until('pebble', async () => { execFileSync(process.execPath, ['-e', asks], { env: tls, stdio: 'ignore' }); return true }, { within: 20_000 })
  await makeZone(aws.url, 'example.com')
  const envOf = (profile: string) => {
    const config = join(folder, `config-${profile}`)
    mkdirSync(join(config, 'letsencrypt'), { recursive: true })
    writeFileSync(join(config, 'letsencrypt', 'cli.ini'), `server = https://127.0.0.1:${port}/dir\nno-verify-ssl = true\nrequired-profile = ${profile}\n`)
    return { ...aws.env, AWS_DEFAULT_REGION: 'us-east-1', XDG_CONFIG_HOME: config }
  }
  return {
    env: envOf('usual'), brief: envOf('brief'),
    stop: async () => {
      aws.stop()
      await children.stop()
    },
  }
}
