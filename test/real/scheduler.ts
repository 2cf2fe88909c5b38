/**
 * Stand-in for the scheduler: puts every pod that waits for a node on the only one, once its claims are bound.
 */
import { pause } from '../../lib/clock.ts'
import { NODE } from './kwok.ts'
import type { Request } from './request.ts'
import { good } from './request.ts'

export const scheduler = (request: Request, every = 50): { stop(): void } => {
  const over = new AbortController()

  const bound = async (pod: any): Promise<boolean> => {
    for (const volume of pod.spec.volumes ?? []) {
      if (!volume.persistentVolumeClaim) continue
      const path = `/api/v1/namespaces/${pod.metadata.namespace}/persistentvolumeclaims/${volume.persistentVolumeClaim.claimName}`
      const { body } = await request('GET', path)
      if (body?.status?.phase !== 'Bound') return false
    }
    return true
  }

  const place = async (pod: any): Promise<void> => {
    if (!(await bound(pod))) return
    const { name, namespace } = pod.metadata
    const target = { apiVersion: 'v1', kind: 'Node', name: NODE }
    const body = { apiVersion: 'v1', kind: 'Binding', metadata: { name, namespace }, target }
    await request('POST', `/api/v1/namespaces/${namespace}/pods/${name}/binding`, { body })
  }

  const work = async () => {
    while (!over.signal.aborted) {
      try {
        // resourceVersion=0: from the server's cache, which costs next to nothing.
        const query = { fieldSelector: 'spec.nodeName=,status.phase=Pending', resourceVersion: '0' }
        const { items } = await good(request('GET', '/api/v1/pods', { query }))
        await Promise.all(items.filter((pod: any) => !pod.metadata.deletionTimestamp).map(place))
      } catch {
        // The server is busy, or going down: the next round asks again.
      }
      await pause(every, over.signal)
    }
  }
  void work()
  return { stop: () => over.abort() }
}
