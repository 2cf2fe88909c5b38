/**
 * A rehearsal world that is reached as a cluster is: by a kubeconfig, from a process that knows of no rehearsal. The
 * test serves it, and may change it or its tools while a run is under way.
 */
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { settle } from '../../lib/rehearsal/controllers.ts'
import { rehearse, type World } from '../../lib/rehearsal/index.ts'
import { openStore } from '../../lib/rehearsal/world-file.ts'
import { stage, type Ended, type Stage } from './harness.ts'

const bundle = new URL('../../dist/expand-pvc.mjs', import.meta.url).pathname
/** How fast its time runs: a minute in a second and a half. */
const TICK = 100, STEP = 4000

export interface Installed extends Omit<Stage, 'run'> {
  /** Its only context is `rehearsal`. */
  kubeconfig: string
  /** Something else happens in the world; a run may be under way. */
  change(how: (world: World) => void): void
  /** Plays `kubectl …` where its words begin with these: shell, in which "$KUBECTL" is the rehearsal's own. */
  play(words: string, shell: string): void
  run(args: string[], options?: { env?: Record<string, string>; onOutput?: (all: string) => void }): Promise<Ended>
}

export const installed = async (scenario?: string, change?: (world: World) => void): Promise<Installed> => {
  const world = stage(scenario, change)
  const store = openStore(world.worldFile, () => { throw new Error('there is a world') })
  const rehearsal = await rehearse({ file: world.worldFile })
  const ticking = setInterval(() => store.change((draft) => settle(draft, draft.time + STEP)), TICK)
  onTestFinished(async () => {
    clearInterval(ticking)
    await rehearsal.close()
  })
  const front = join(world.state, 'front')
  mkdirSync(front)
  return {
    ...world, kubeconfig: rehearsal.kubeconfig,
    change: (how) => store.change(how),
    play: (words, shell) => {
      writeFileSync(join(front, 'kubectl'), `#!/bin/sh\nKUBECTL='${join(rehearsal.bin, 'kubectl')}'\ncase "$*" in '${words}'*) ${shell};; esac\nexec "$KUBECTL" "$@"\n`)
      chmodSync(join(front, 'kubectl'), 0o700)
    },
    run: (args, { env = {}, onOutput } = {}) => new Promise((resolve) => {
      const child = spawn(process.execPath, [bundle, ...args], {
        stdio: ['ignore', 'pipe', 'pipe'], cwd: world.state,
        env: { PATH: `${front}:${rehearsal.bin}:${process.env['PATH']}`, HOME: world.state, XDG_STATE_HOME: world.state, ...rehearsal.env, ...env },
      })
      let stdout = '', stderr = '', all = ''
      const seen = (part: string) => {
        all += part
        onOutput?.(all)
      }
      child.stdout.on('data', (part: Buffer) => { stdout += part.toString(); seen(part.toString()) })
      child.stderr.on('data', (part: Buffer) => { stderr += part.toString(); seen(part.toString()) })
      child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr, all }))
    }),
  }
}
