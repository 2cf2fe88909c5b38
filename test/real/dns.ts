/**
 * A real DNS server (dnsmasq) on an address of loopback of its own, which is the address of each load balancer too. Only
 * who is started by `words` asks it: in a mount namespace whose /etc/resolv.conf is another file. That takes root.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pause } from '../../lib/clock.ts'
import { must } from './components.ts'
import { until } from './processes.ts'
import { bash, homeAt } from './runs.ts'

/** Names, and the address or the name that each leads to. */
export type Records = Record<string, string>

export interface Dns {
  address: string
  /** A command that resolves its names there. */
  words(...command: string[]): [string, ...string[]]
  set(records: Records): Promise<void>
  records(): Records
  stop(): Promise<void>
}

/** Why it cannot be had here: a container's root may lack the right to mount. */
export const noDns = (): string | undefined => {
  try {
    execFileSync('unshare', ['--mount', 'mount', '--bind', '/etc/resolv.conf', '/etc/resolv.conf'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'It needs root, and the right to mount: its DNS server is that of /etc/resolv.conf in a mount namespace.'
  }
}

const BALANCERS = 'elb.amazonaws.com'

export const startDns = async (): Promise<Dns> => {
  const folder = mkdtempSync(join(tmpdir(), 'real-dns-'))
  const address = `127.53.${(process.pid >> 8) & 255}.${(process.pid & 255) || 1}`
  const [config, resolv] = [join(folder, 'dnsmasq.conf'), join(folder, 'resolv.conf')]
  writeFileSync(resolv, `nameserver ${address}\n`)
  let held: Records = {}
  let child: ChildProcess | undefined
  const words = (...command: string[]): [string, ...string[]] => ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', resolv, ...command]
  const end = async (): Promise<void> => {
    const ended = child && once(child, 'exit')
    child?.kill('SIGKILL')
    await ended
    child = undefined
  }
  /** It reads records when it starts. A CNAME it gives out only to a name that it knows. */
  const set = async (records: Records): Promise<void> => {
    const rows = Object.entries(records).flatMap(([name, to]) => (/^[\d.]+$/.test(to) ? [`host-record=${name},${to}`] : [`cname=${name},${to}`, ...(to.endsWith(BALANCERS) ? [`host-record=${to},${address}`] : [])]))
    writeFileSync(config, ['no-resolv', 'no-hosts', 'local=/#/', 'local-ttl=1', 'bind-interfaces', `listen-address=${address}`, `address=/${BALANCERS}/${address}`, ...new Set(rows), ''].join('\n'))
    await end()
    child = spawn(must('dnsmasq'), ['--keep-in-foreground', `--conf-file=${config}`, '--user=root', '--pid-file=', `--log-facility=${join(folder, 'log')}`], { stdio: 'ignore' })
    held = records
    await until('the DNS server', async () => (await bash(homeAt(folder), `dig +short +time=1 @${address} one.${BALANCERS}`)).stdout.trim() === address)
  }
  await set({})
  return {
    address, words, set, records: () => held,
    stop: async () => {
      await end()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const AUTHORIZED = { authorization: 'AWS4-HMAC-SHA256 Credential=testing/20221122/us-east-1/route53/aws4_request' }

/** Makes a zone in Route 53, on an AWS API server; its id. */
export const makeZone = async (url: string, name: string): Promise<string> => {
  const body = `<CreateHostedZoneRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Name>${name}.</Name><CallerReference>${name}</CallerReference></CreateHostedZoneRequest>`
  const made = await (await fetch(`${url}/2013-04-01/hostedzone`, { method: 'POST', body, headers: AUTHORIZED })).text()
  const id = /<Id>\/hostedzone\/(\w+)</.exec(made)?.[1]
  if (!id) throw new Error(`no zone: ${made}`)
  return id
}

/** Such a zone, what stands in it, and what copies that into a DNS server, which is Route 53's other half. */
export const startZone = async (url: string, name: string, dns: Dns): Promise<{ records(): Promise<Records>; stop(): Promise<void> }> => {
  const id = await makeZone(url, name)
  const records = async (): Promise<Records> => {
    const text = await (await fetch(`${url}/2013-04-01/hostedzone/${id}/rrset`, { headers: AUTHORIZED })).text()
    return Object.fromEntries([...text.matchAll(/<ResourceRecordSet>.*?<\/ResourceRecordSet>/gs)].flatMap(([one]) => {
      const of = (tag: string) => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(one)?.[1]?.replace(/\.$/, '') ?? ''
      return /^(A|CNAME)$/.test(of('Type')) ? [[of('Name'), of('Value')]] : []
    }))
  }
  const over = new AbortController()
  const copying = (async () => {
    while (!over.signal.aborted) {
      const now = await records().catch(() => dns.records())
      if (Object.entries(now).some(([one, to]) => dns.records()[one] !== to)) await dns.set({ ...dns.records(), ...now })
      await pause(300, over.signal)
    }
  })()
  return {
    records,
    stop: async () => {
      over.abort()
      await copying
    },
  }
}
