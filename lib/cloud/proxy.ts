/** The way to an address through the proxy that HTTPS_PROXY and NO_PROXY name, which Node by itself does not take. */
import type { Agent } from 'node:https'

/** What a request goes through; undefined where it goes straight. */
export const agentFor = async (url: string): Promise<Agent | undefined> => {
  const { getProxyForUrl } = await import('proxy-from-env')
  const proxy = getProxyForUrl(url)
  if (!proxy) return undefined
  const { HttpsProxyAgent } = await import('hpagent')
  return new HttpsProxyAgent({ proxy, keepAlive: true })
}
