/**
 * What an installation fetches from outside: images, the licence, KOTS, GitHub. Installation guide 3.3.0, phase 1, "Create
 * a Kubernetes cluster" (outbound access).
 */
import { release } from 'node:os'
import type { Preflight } from '../effect.ts'
import { bad, ok, preflight, warning } from '../effect.ts'
import { askHost, troubleOf } from './web.ts'

/** What kubectl's plugin asks for the application, from this machine. */
const HERE = ['replicated.app']
/** What the nodes pull images from, and what serves the plugin itself. */
const NODES = ['proxy.replicated.com', 'registry-1.docker.io', 'auth.docker.io', 'production.cloudflare.docker.com', 'kots.io']

/** Each host answers, whatever it answers. Of those that the cluster alone needs this machine may be no measure. */
export const outboundIsOpen = (github = 'github.com') => preflight('outbound', 'the hosts that an installation fetches from answer, through the proxy where HTTPS_PROXY names one', async () => {
  const here = [...HERE, github], hosts = [...here, ...NODES]
  const troubles = (await Promise.all(hosts.map((host) =>
    askHost(host, { method: 'HEAD', path: '/' }).then(() => [], (error: unknown) => [{ host, trouble: troubleOf(error) }])))).flat()
  if (!troubles.length) return ok(`${hosts.length} hosts answer this machine (${hosts.join(', ')}); the nodes of the cluster need them too`)
  const say = `no way from here to ${troubles.map(({ host, trouble }) => `${host} (${trouble})`).join(', ')}`
  const mend = `open it in the firewall, or name a proxy (HTTPS_PROXY=http://…); this should answer: curl -sSI https://${troubles[0]?.host}`
  return troubles.some(({ host }) => here.includes(host)) ? bad(say, `For this machine and for the cluster: ${mend}`) : warning(`${say}, which the nodes of the cluster need`, `Where they have no way either: ${mend}`)
})

/** Only where the machine is a Windows with Linux in it. */
export const portIsSeen = (): Preflight[] => (!/microsoft/i.test(release()) ? [] : [preflight('wsl', 'the ports of this machine are seen by the browser', async () =>
  warning('this is WSL2: the browser of Windows may not see the port of the admin console', 'Where http://localhost:8800 does not open: wsl --shutdown in PowerShell, then start WSL again.'))])
