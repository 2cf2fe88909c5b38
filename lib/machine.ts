/**
 * The lock of a run that needs no cluster: one file in the state folder, so that two runs on one machine cannot meet.
 * Runs elsewhere do not see it.
 */
import { mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { EXIT, fail } from './fail.ts'
import { stateFolder, tilde } from './journal.ts'
import { holderIs, identityOf, type Lock } from './lock.ts'

/** Where the lock lies. */
const lockFile = (): string => join(stateFolder(), 'machine.lock')

const heldBy = (file: string): string | undefined => {
  try {
    return readlinkSync(file)
  } catch {
    return undefined
  }
}

/** Takes the lock, also one whose holder is gone. Throws with code 4 where somebody holds it. */
export const lockMachine = async (runbook: string): Promise<Lock> => {
  const file = lockFile()
  mkdirSync(stateFolder(), { recursive: true, mode: 0o700 })
  // A symbolic link is made and filled in one step: a killed owner never leaves it half written.
  const mine = `${runbook} ${await identityOf(process.pid)}`
  for (;;) {
    try {
      symlinkSync(mine, file)
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fail(`The lock ${tilde(file)} cannot be made: ${(error as Error).message}.`, 'Name another state folder with XDG_STATE_HOME, then repeat the same line.', { code: EXIT.preflight })
      await takeOver(file)
    }
  }
  return {
    hold: async () => {
      const now = heldBy(file)
      if (now !== mine) throw fail(`The lock of this machine was lost${now ? ` to ${now}` : ''}: this run stopped before its next change.`, 'See what the other run does; when it is over, repeat the same line.', { code: EXIT.locked })
    },
    at: () => undefined,
    release: async () => {
      if (heldBy(file) === mine) rmSync(file, { force: true })
    },
  }
}

/** Removes what a killed run of this machine left, when there is nothing else to do. */
export const sweepMachine = async (): Promise<void> => {
  const file = lockFile(), found = heldBy(file)
  if (found !== undefined && await holderIs(holderIn(found)) === 'gone') removeGone(file, found)
}

/** A lock names the runbook, and then its holder as leases do. */
const holderIn = (lock: string): string => /\S+@.*$/.exec(lock)?.[0] ?? ''

/** Removes the lock of a run that is gone, and no other: where somebody was faster there is none, or theirs, which is put back. */
const removeGone = (file: string, gone: string): void => {
  const aside = `${file}.${process.pid}`
  try {
    renameSync(file, aside)
    const taken = heldBy(aside)
    if (taken !== undefined && taken !== gone) symlinkSync(taken, file)
  } catch (error) {
    if (!['ENOENT', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  } finally {
    rmSync(aside, { force: true })
  }
}

/** Removes a lock whose holder is gone; throws where it is held. */
const takeOver = async (file: string): Promise<void> => {
  const found = heldBy(file)
  if (found === undefined) return
  const holder = holderIn(found)
  const is = await holderIs(holder)
  if (is === 'gone') return removeGone(file, found)
  throw fail(`${holder.split(' ')[0]} is running ${found.slice(0, -holder.length).trim()} with this state folder (process ${holder.split(' ')[1]}).`,
    is === 'alive' ? 'Wait until it is over, or ask them.' : `It runs on another machine, or did: where you know that it is over, rm ${tilde(file)}`, { code: EXIT.locked, state: 'Nothing was changed.' })
}
