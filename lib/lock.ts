/**
 * One operator at a time: a Lease in the installation's namespace, one for the installation, so that two
 * procedures cannot meet; before there is that namespace, in `default`. It names its holder, what runs and since when. client-node has no leader election.
 */
import type { V1Lease } from '@kubernetes/client-node'
import { execFileSync } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { clock } from './clock.ts'
import { asRunner, once } from './door.ts'
import type { Fail } from './fail.ts'
import { EXIT, Lost, Refused, Stopped, fail, isForNow } from './fail.ts'
import { processStart } from './journal.ts'
import { duration } from './plan.ts'
import { request } from './cluster/kubernetes.ts'
import { collection, read, ref } from './cluster/objects.ts'

export const LEASE = 'circleci-runbooks'
/** A lease whose record has not changed for this long is nobody's. */
const DURATION = 60_000
const RENEW_AFTER = DURATION / 3
/** The holder stops this long before others may take over. */
const MARGIN = 10_000

const RUNBOOK = 'circleci-runbooks/runbook'
const STEP = 'circleci-runbooks/step'

export interface Lock {
  /** Renews when it is time to, while waiting and before each effect; asks the server now, where `look` says so. Throws when it is lost. */
  hold(look?: boolean): Promise<void>
  /** What others read that we are doing now. */
  at(step: string): void
  release(): Promise<void>
}

/** A container may run as a user that has no name. */
const user = (): string => {
  try {
    return userInfo().username
  } catch {
    return process.env['USER'] || `uid-${process.getuid?.() ?? ''}`
  }
}

export const me = (): string => `${user()}@${hostname()}`

const firstLine = (read: () => string): string => {
  try {
    return read().split('\n')[0] ?? ''
  } catch {
    return ''
  }
}

const UNKNOWN = '-'

/**
 * Where this process's number means this process: one boot of one machine, one namespace of pids. Containers on the
 * host's network, WSL and laptops may have one host name, and processes of the others cannot be seen from here.
 */
const machine = once(async () => {
  const boot = firstLine(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'))
    || firstLine(() => execFileSync('sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  // The first namespace has the same number on every machine: alone it says nothing.
  return boot ? `${boot}/${firstLine(() => readlinkSync('/proc/self/ns/pid')).replaceAll(/\D/g, '')}` : UNKNOWN
})

/** Who holds a lease: user and host for people; pid, machine and start for the next run. */
export const identityOf = async (pid: number, start = processStart(pid)): Promise<string> => `${me()} ${pid} ${await machine()} ${start ?? ''}`.trim()

/** The run that holds a lease, by its identity: gone or alive, or elsewhere, where nothing is known of it from here. */
export const holderIs = async (holder: string): Promise<'elsewhere' | 'alive' | 'gone'> => {
  const [who = '', pid = '', where = '', ...start] = holder.split(' ')
  if (who.split('@')[1] !== hostname() || where !== await machine() || where === UNKNOWN) return 'elsewhere'
  const now = processStart(Number(pid))
  if (now !== undefined) return now === start.join(' ') ? 'alive' : 'gone'
  return isThere(Number(pid)) ? 'elsewhere' : 'gone'
}

/** A process that may be hidden from us (hidepid, another user's) can still be there. */
const isThere = (pid: number): boolean => {
  try {
    return pid > 0 && process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

const micro = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z')
const ago = (time: unknown): number => Math.max(0, Math.round((clock.now() - new Date(time as string).getTime()) / 1000))

const heldBy = async (lease: V1Lease): Promise<Fail> => {
  const [who = 'somebody', pid] = (lease.spec?.holderIdentity ?? '').split(' ')
  const notes = lease.metadata?.annotations ?? {}
  const since = String(lease.spec?.acquireTime ?? '').slice(11, 16)
  return fail(
    `${who} is running ${notes[RUNBOOK] ?? 'a runbook'} on this installation since ${since} UTC (${notes[STEP] ?? 'starting'}, last seen ${ago(lease.spec?.renewTime)} s ago).`,
    `Ask them, or wait: this lock expires ${DURATION / 1000} s after that run stops.`,
    { code: EXIT.locked, state: `Nothing was changed.${await holderIs(lease.spec?.holderIdentity ?? '') === 'alive' ? ` It runs on this machine, as process ${pid}.` : ''}` },
  )
}

const write = (method: 'POST' | 'PUT', lease: V1Lease, home: string | undefined): Promise<V1Lease> =>
  asRunner('lock', () => request<V1Lease>(method, method === 'POST' ? collection('Lease', home) : `${collection('Lease', home)}/${LEASE}`, { body: lease }))

/**
 * Takes the lease: at once when it is free or its holder on this machine is gone; says so at once where that one is
 * alive; otherwise waits for `patience` (one duration), and takes over only a record that did not change for a whole
 * duration. Who brings more patience waits for everybody.
 */
export const takeLock = async (
  runbook: string, { home, patience = DURATION, stop, waiting }: { home?: string | undefined; patience?: number | undefined; stop: AbortSignal; waiting(say: string): void },
): Promise<Lock> => {
  const mine = await identityOf(process.pid)
  const began = clock.now()
  let step = 'starting'
  const record = (old?: V1Lease): V1Lease => ({
    apiVersion: 'coordination.k8s.io/v1', kind: 'Lease',
    metadata: {
      name: LEASE, annotations: { [RUNBOOK]: runbook, [STEP]: step },
      ...(old?.metadata?.resourceVersion ? { resourceVersion: old.metadata.resourceVersion } : {}),
    },
    spec: {
      holderIdentity: mine, leaseDurationSeconds: DURATION / 1000,
      acquireTime: (old?.spec?.holderIdentity === mine ? old.spec.acquireTime : micro(clock.now())) as never,
      renewTime: micro(clock.now()) as never,
    },
  })

  const take = async (): Promise<V1Lease> => {
    let seen: string | undefined
    let since = began
    let told = -Infinity
    for (;;) {
      const lease = await read(ref('Lease', LEASE, home))
      try {
        if (!lease) return await write('POST', record(), home)
        const holder = lease.spec?.holderIdentity ?? ''
        const is = await holderIs(holder)
        const waited = clock.now() - began
        const now = `${lease.metadata?.resourceVersion} ${String(lease.spec?.renewTime)}`
        const moved = seen !== now
        if (moved && seen !== undefined && patience <= DURATION) throw await heldBy(lease)
        if (moved) [seen, since] = [now, clock.now()]
        const unchanged = clock.now() - since >= DURATION
        if (holder === mine || !holder || is === 'gone' || (unchanged && is === 'elsewhere')) return await write('PUT', record(lease), home)
        // Who is alive on this machine needs no second look.
        if (waited >= patience || (is === 'alive' && patience <= DURATION)) throw await heldBy(lease)
        if (waited - told >= 30_000) {
          told = waited
          waiting(`The lock is held by ${holder.split(' ')[0]}; waiting for up to ${duration(patience - waited)}${patience > DURATION ? '' : ', in case that run is over'}.`)
        }
      } catch (error) {
        // Somebody was faster, our answer was lost, the server is busy: the next look tells.
        const passes = error instanceof Lost || isForNow(error) || (error instanceof Refused && error.status === 409)
        if (!passes || clock.now() - began >= patience) throw error
      }
      await clock.sleep(2000, stop)
      if (stop.aborted) throw new Stopped()
    }
  }

  let current = await take()
  let renewed = clock.now()
  let renewing: Promise<void> | undefined
  let lost: Error | undefined

  const lostTo = (now: V1Lease | undefined) => fail(`The lock was lost${now ? ` to ${now.spec?.holderIdentity?.split(' ')[0] || 'nobody'}` : ''}: this run stopped before its next change.`,
    'See what the other run does; when it is over, repeat the same line.', { code: EXIT.locked })
  const renew = async (): Promise<void> => {
    try {
      current = await write('PUT', record(current), home)
      renewed = clock.now()
    } catch (error) {
      if (error instanceof Refused && (error.status === 409 || error.status === 404)) {
        const now = await read(ref('Lease', LEASE, home)).catch(() => undefined)
        if (now?.spec?.holderIdentity === mine) current = now
        else lost = lostTo(now)
      }
      // Anything else may pass: there is time until the lease runs out.
    }
  }
  const renewNow = () => (renewing ??= renew().finally(() => { renewing = undefined }))
  const hold = async (look = false): Promise<void> => {
    if (clock.now() - renewed >= RENEW_AFTER) await renewNow()
    if (look && !lost) {
      const now = await read(ref('Lease', LEASE, home))
      if (!now) await renewNow()
      else if (now.spec?.holderIdentity !== mine) lost = lostTo(now)
    }
    if (lost) throw lost
    if (clock.now() - renewed > DURATION - MARGIN) {
      throw fail('The lock could not be renewed: the API server did not answer for a minute.', 'Repeat the same line when it does; it goes on where it stopped.', { code: EXIT.locked })
    }
  }
  // A long child process (a deploy, Terraform) keeps us from asking: renew beside it.
  const timer = setInterval(() => void hold().catch(() => {}), RENEW_AFTER)
  timer.unref()

  return {
    hold,
    at: (now) => { step = now },
    release: async () => {
      clearInterval(timer)
      await renewing
      if (!lost) await drop(current, home)
    },
  }
}

/** Two locks as one. */
export const bothOf = (one: Lock, other: Lock): Lock => ({
  hold: async (look) => {
    await one.hold(look)
    await other.hold(look)
  },
  at: (step) => [one, other].forEach((lock) => lock.at(step)),
  release: async () => void await Promise.all([one.release(), other.release()]),
})

/** In a namespace that is not there yet nobody has a lock. */
export const noneWithoutNamespace = (error: unknown): undefined => {
  if (!(error instanceof Refused && error.status === 404)) throw error
}

/** Removes a lease that is as we know it. One that cannot be removed runs out by itself. */
const drop = async ({ metadata }: V1Lease, home: string | undefined): Promise<void> => {
  for (let attempt = 1; attempt <= 3; attempt++) {
    try {
      return await asRunner('lock', () => request('DELETE', `${collection('Lease', home)}/${LEASE}`, {
        body: { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { uid: metadata?.uid, resourceVersion: metadata?.resourceVersion } },
      }))
    } catch (error) {
      if (error instanceof Refused && error.status === 404) return
    }
    await clock.sleep(attempt * 500)
  }
}

/** Removes the lease that a killed run of this machine left, when there is nothing else to do. */
export const sweepLock = async (home?: string): Promise<void> => {
  const lease = await read(ref('Lease', LEASE, home)).catch(() => undefined)
  if (lease && await holderIs(lease.spec?.holderIdentity ?? '') === 'gone') await drop(lease, home)
}

