/**
 * Containers without a container engine: namespaces of the kernel around the root of this machine, made by
 * containers/container, and the servers that run in them. Only root makes them.
 */
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TestContext } from 'vitest'
import type { ComponentName } from './components.ts'
import { cacheFolders, find } from './components.ts'

const here = fileURLToPath(new URL('containers', import.meta.url))
export const CONTAINER = join(here, 'container')
export const SERVE = join(here, 'serve')

/** The components of a container. */
export const CONTAINERS: ComponentName[] = ['unshare', 'ip']

/** For beforeEach: nobody else makes namespaces. */
export const needsRoot = (context: TestContext): void => {
  if (process.getuid?.() !== 0) context.skip('only root makes containers: repeat it as root, on Linux')
}

/** The PATH in a container: programs of the servers first, since Debian's own ones look for servers of this machine. */
export const containerPath = (): string => {
  const servers = cacheFolders().filter((folder) => folder.startsWith('/usr/lib/'))
  const tools = find('mongodump')
  return [...servers, '/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin', ...cacheFolders(), ...(tools ? [dirname(tools)] : []), join(here, 'bin')].join(delimiter)
}
