/** Every fault that the rehearsal plays, with expand-pvc: how it ends, what is left, and what the operator reads. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, describe, test } from 'vitest'
import { scenarios } from '../../lib/rehearsal/index.ts'
import { stage, type Ended, type Stage } from './harness.ts'

const DB = {
  mongodb: { claim: 'datadir-mongodb-0', item: 'mongodb_pvc_size' },
  postgresql: { claim: 'data-postgresql-0', item: 'postgres_pvc_size' },
} as const

/** What an operator would look at: the stateful set, its pod, the claim, what is kept, the lock, KOTS. */
const look = (world: Stage, db: keyof typeof DB = 'mongodb') => {
  const { objects, kots } = world.world()
  const get = (plural: string, name: string) => objects[`${plural}/circleci-server/${name}`]
  const claim = get('persistentvolumeclaims', DB[db].claim)
  const item = kots.versions[0]?.values[DB[db].item]
  return {
    set: get('statefulsets', db)?.['spec'].volumeClaimTemplates[0].spec.resources.requests.storage as string | undefined,
    pod: get('pods', `${db}-0`)?.metadata.uid,
    asks: claim?.['spec'].resources.requests.storage as string | undefined,
    has: claim?.['status'].capacity?.storage as string | undefined,
    kept: Boolean(get('secrets', `runbooks-kept-${db}`)),
    lease: get('leases', 'circleci-runbooks')?.['spec'].holderIdentity as string | undefined,
    kots: `${item?.value || item?.default} ${kots.versions[0]?.status}`,
    versions: kots.versions.length,
  }
}
/** The text of a screen without its line breaks, also those of commands. */
const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')
const grown = { set: '10Gi', asks: '10Gi', has: '10Gi', kept: false, lease: undefined, kots: '10 deployed' }

const begin = (scenario?: string) => {
  const world = stage(scenario)
  const before = look(world), bytes = world.bytes()
  return {
    world, before, run: (...more: string[]): Promise<Ended> => world.run('expand-pvc', ['--db', 'mongodb', '--size', '10Gi', '--yes', ...more]),
    untouched: () => expect(world.bytes()).toBe(bytes),
  }
}

/** A scenario that ends at the preflight: 3, the name of the check, its sentence and its remedy; nothing changed. */
const refused = async (scenario: string, check: string, sentence: string | RegExp, remedy: string | RegExp, final = false): Promise<void> => {
  const { run, untouched } = begin(scenario)
  const { code, stderr, stdout } = await run()
  expect(code, stderr).toBe(3)
  expect(stdout).toBe('')
  const row = stderr.slice(stderr.indexOf(`✗ ${check}`), stderr.indexOf('✗ Preflight failed'))
  expect(flat(row)).toMatch(sentence)
  expect(flat(row)).toMatch(remedy)
  expect(flat(stderr)).toContain(`Preflight failed: ${check}. Nothing was changed.`)
  expect(stderr.includes('--ignore-preflight'), 'where nobody can know better it is not offered').toBe(!final)
  if (!final) expect(stderr).toContain(`--ignore-preflight ${check}`)
  untouched()
  if (final) expect((await run('--ignore-preflight', check)).code).toBe(3)
  const again = begin(scenario)
  expect((await again.run('--dry-run')).code).toBe(3)
  again.untouched()
}

const CASES: Record<string, () => Promise<void>> = {
  'all-well': async () => {
    const { world, before, run } = begin()
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(look(world)).toEqual({ ...grown, pod: before.pod, versions: before.versions + 1 })
    expect(stderr).toContain('✓ mongodb has 10Gi')
    expect(stderr).toContain('8Gi → 10Gi')
  },

  'modification-rate': async () => {
    const { world, before, run } = begin('modification-rate')
    const { code, stderr } = await run()
    expect(code, stderr).toBe(1)
    expect(look(world)).toEqual({ ...grown, has: '8Gi', kept: true, pod: before.pod, versions: before.versions + 1, kots: expect.stringMatching(/^10 deploy/) })
    expect(flat(stderr)).toContain('AWS refuses to change the volume again so soon (VolumeModificationRateExceeded)')
    expect(flat(stderr)).toMatch(/After \d\d:\d\d UTC repeat the same line/)
    expect(flat(stderr)).toContain('The database runs and its stateful set is back; datadir-mongodb-0 asks for 10Gi and has 8Gi')
    // The volume is named as AWS names it, for the operator looks it up there.
    expect(stderr).toMatch(/vol-0[0-9a-f]{16}/)
  },

  'recent-modification': () => refused('recent-modification', 'modification-rate', /AWS refused to change the volume of datadir-mongodb-0 so soon; it will again by \d\d:\d\d UTC/, /Repeat the same line after/),
  'expansion-refused': () => refused('expansion-refused', 'permissions', /may not.* patch storageclasses/, /Ask a cluster administrator/),
  'external-database': () => refused('external-database', 'database', /mongodb is external: there is no claim to grow/, /Grow it where it runs/, true),
  'old-server': () => refused('old-server', 'server-version', /server 3\.1\.0: volumes can grow from 3\.2\.0 on/, /Upgrade first/),
  quota: () => refused('quota', 'quota', /quota storage leaves 1Gi of requests\.storage, and 2Gi more are needed/, /kubectl --context rehearsal -n circleci-server describe/),
  'pod-not-ready': () => refused('pod-not-ready', 'database', /mongodb-0 is not ready/, /describe pod mongodb-0/),

  'unbound-claim': async () => {
    const { run, untouched } = begin('unbound-claim')
    const { code, stderr } = await run()
    expect(code).toBe(3)
    expect(flat(stderr)).toContain('datadir-mongodb-0 is Pending')
    expect(flat(stderr)).toContain('mongodb-0 is not ready')
    expect(stderr).toContain('--ignore-preflight database,claims')
    untouched()
  },

  'resize-pending': async () => {
    const { world, before, run } = begin('resize-pending')
    const { code, stderr } = await run()
    expect(code, stderr).toBe(1)
    expect(look(world)).toEqual({ ...grown, has: '8Gi', kept: true, pod: before.pod, versions: before.versions + 1 })
    expect(flat(stderr)).toMatch(/not allowed/)
    expect(flat(stderr)).toContain('--allow-restart')
    // What did not happen, why, how things stand, what it costs to go on, and what is still there.
    const end = flat(stderr.slice(stderr.lastIndexOf('✗')))
    expect(end).toMatch(/^✗ Step restart is needed after 5 m: the file system has not grown by itself\./)
    expect(end).toContain('The volume of mongodb-0 has 10Gi; its file system grows only when the pod starts again (FileSystemResizePending).')
    expect(end).toContain('mongodb runs with 8Gi. Nothing is broken; until the restart')
    expect(end).toMatch(/Choose the moment: the line below.*1 to 5 minutes of downtime.*Same line .*--allow-restart/)
    expect(end).toContain('kept mongodb manifest in secret runbooks-kept-mongodb; step tidy removes it at the end')
    const second = await run('--allow-restart')
    expect(second.code, second.stderr).toBe(0)
    expect(look(world)).toEqual({ ...grown, pod: expect.not.stringMatching(String(before.pod)), versions: before.versions + 1 })
  },

  'deploy-fails': async () => {
    const { world, before, run } = begin('deploy-fails')
    const { code, stderr } = await run()
    expect(code, stderr).toBe(1)
    // The stateful set is back all the same: that is what the step is for.
    expect(look(world)).toEqual({ ...grown, kept: true, pod: before.pod, versions: before.versions + 1, kots: '10 failed' })
    expect(flat(stderr)).toContain('KOTS could not deploy version 2.')
    expect(flat(stderr)).toContain('kubectl kots admin-console')
  },

  'deploy-slow': async () => {
    const { world, before, run } = begin('deploy-slow')
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(look(world)).toEqual({ ...grown, pod: before.pod, versions: before.versions + 1 })
    expect(stderr).toMatch(/(9 m \d+ s|10 m) of 10 m/)
  },

  throttling: async () => {
    const { world, before, run } = begin('throttling')
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(stderr).toMatch(/ ↻ “.*” has to wait: .*; asking again in \d.* \(2 of 5\)/)
    expect(stderr).not.toMatch(/^\S+ {3}! /m)
    expect(look(world)).toEqual({ ...grown, pod: before.pod, versions: before.versions + 1 })
  },

  'lost-connection': async () => {
    const { world, before, run } = begin('lost-connection')
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    // A retry that succeeds is no disaster: what was lost, and nothing else.
    expect(stderr).toMatch(/ ↻ lost the answer of “.*”; asking again in 1 s \(2 of 5\)/)
    expect(stderr).not.toMatch(/^\S+ {3}! |refuses/m)
    expect(look(world)).toEqual({ ...grown, pod: before.pod, versions: before.versions + 1 })
  },

  'no-kots-config': async () => {
    const { world, before, run } = begin('no-kots-config')
    const { code, stderr } = await run()
    // Nobody set it by hand. The stateful set is back, but KOTS was never told.
    expect(code, stderr).toBe(1)
    expect(look(world)).toMatchObject({ set: '10Gi', asks: '10Gi', has: '10Gi', lease: undefined, pod: before.pod, kots: '8 deployed' })
    expect(flat(stderr)).toContain('set “MongoDB Persistent Volume Size” to 10, save, deploy')
    expect(flat(stderr)).toContain('http://localhost:8800')
  },

  'undeployed-change': async () => {
    const asked = begin('undeployed-change')
    const first = await asked.world.run('expand-pvc', ['--db', 'mongodb', '--size', '10Gi'])
    expect(first.code).toBe(5)
    expect(flat(first.stderr)).toContain('KOTS holds what was never deployed and would go out with this: version 2 (3.4.0, Config Change); changed items: domain_name')
    asked.untouched()
    const { world, before, run } = begin('undeployed-change')
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(look(world)).toEqual({ ...grown, pod: before.pod, versions: before.versions + 1 })
    expect(world.world().kots.versions[0]?.values['domain_name']?.value).toBe('circleci.internal.example.com')
  },

  'no-backup': async () => {
    const { world, run } = begin('no-backup')
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(look(world)).toMatchObject(grown)
    expect(flat(stderr)).toMatch(/! backup-recent the newest completed backup is 31 h old/)
    expect(flat(stderr)).toContain('kubectl kots backup --context rehearsal -n circleci-server')
  },

  'two-operators': async () => {
    const { world, before, run } = begin('two-operators')
    const { code, stderr } = await run()
    expect(code, stderr).toBe(4)
    expect(look(world)).toEqual(before)
    expect(flat(stderr)).toMatch(/✗ operator@laptop-3 is running migrate on this installation since 02:46 UTC \(step 7 of 12, copy, last seen \d+ s ago\)/)
    expect(stderr).toContain('Nothing was changed.')
  },
}

describe.concurrent('a scenario', () => {
  test('each one is tried: here with expand-pvc, or by name in another file', () => {
    const others = readdirSync(import.meta.dirname).filter((name) => name !== 'scenarios.test.ts').map((name) => readFileSync(join(import.meta.dirname, name), 'utf8')).join('')
    expect(Object.keys(scenarios).filter((name) => !(name in CASES) && !others.includes(`'${name}'`))).toEqual([])
    expect(Object.keys(CASES).filter((name) => !(name in scenarios))).toEqual([])
  })

  test.each(Object.entries(CASES))('%s', async (name, act) => {
    expect(scenarios[name]).toBeTruthy()
    await act()
  })

  test('no-kots-config, and the same line again: it does not call done what KOTS was never told', async () => {
    const { world, run } = begin('no-kots-config')
    await run()
    const again = await run()
    expect(look(world).kots).toBe('8 deployed')
    // Either it still fails, or its end says plainly what a person has to set.
    const end = again.stderr.slice(again.stderr.indexOf('✓ mongodb has'))
    expect(again.code !== 0 || flat(end).includes('“MongoDB Persistent Volume Size”'), end).toBe(true)
  })

  test('no-kots-config, set by hand while it waits: it goes on by itself', async () => {
    const { world, run } = begin('no-kots-config')
    const first = await run('--dry-run')
    expect(flat(first.stderr)).toContain('by hand: in the admin console')
    expect(look(world).set).toBe('8Gi')
  })
})

describe.concurrent('what only a person can do', () => {
  test('without a terminal and --yes it is a question, before anything is changed', async () => {
    const { world, untouched } = begin('no-kots-config')
    const { code, stderr } = await world.run('expand-pvc', ['--db', 'mongodb', '--size', '10Gi'])
    expect(code, stderr).toBe(5)
    expect(flat(stderr)).toMatch(/Step deploy waits until a person has done it, by hand: in the admin console .*: set “MongoDB Persistent Volume Size” to 10, save, deploy\. Will somebody do it\?/)
    expect(flat(stderr)).toContain('--yes')
    untouched()
  })

  test('KOTS that does not answer is not called missing', async () => {
    const world = stage(undefined, (one) => { one.fault = { request: 'kubectl kots version', what: 'timeout' } })
    const before = look(world)
    const { code, stderr } = await world.run('expand-pvc', ['--db', 'mongodb', '--size', '10Gi', '--yes'])
    expect(code, stderr).toBe(3)
    expect(flat(stderr)).toContain('✗ kots kubectl kots version did not answer within 60 s')
    expect(stderr).not.toContain('not installed')
    expect(look(world)).toEqual(before)
  })
})

describe.concurrent('other wishes', () => {
  test('--db mongodb,postgresql: one KOTS version, both sets', async () => {
    const { world } = begin()
    const before = [look(world), look(world, 'postgresql')] as const
    const { code, stderr } = await world.run('expand-pvc', ['--db', 'postgresql,mongodb', '--size', '12Gi', '--yes'])
    expect(code, stderr).toBe(0)
    const all = { set: '12Gi', asks: '12Gi', has: '12Gi', kept: false, lease: undefined, kots: '12 deployed', versions: before[0].versions + 1 }
    expect(look(world)).toEqual({ ...all, pod: before[0].pod })
    expect(look(world, 'postgresql')).toEqual({ ...all, pod: before[1].pod })
    expect(stderr).toContain('✓ mongodb and postgresql have 12Gi')
  })

  test('the other database is left alone', async () => {
    const { world, run } = begin()
    const before = look(world, 'postgresql')
    await run()
    expect(look(world, 'postgresql')).toEqual({ ...before, versions: before.versions + 1, kots: '8 deployed' })
  })

  test.each([
    ['10.5Gi', /10\.5Gi is not a whole number of Gi/, /Write 11Gi/], ['4Gi', /datadir-mongodb-0 has 8Gi, which is more than 4Gi: volumes grow and never shrink/, /above 8Gi/],
  ])('--size %s is refused', async (size, sentence, remedy) => {
    const { world, untouched } = begin()
    const { code, stderr } = await world.run('expand-pvc', ['--db', 'mongodb', '--size', size, '--yes'])
    expect(code).toBe(3)
    expect(flat(stderr)).toMatch(sentence)
    expect(flat(stderr)).toMatch(remedy)
    untouched()
  })

  test('--size as it is: nothing to do, also written otherwise, and no question', async () => {
    for (const size of ['8Gi', '8192Mi']) {
      const { world, untouched } = begin()
      const { code, stderr } = await world.run('expand-pvc', ['--db', 'mongodb', '--size', size])
      // The storage class does not allow expansion, and need not.
      expect(code, stderr).toBe(0)
      expect(stderr).toContain('Nothing to do')
      untouched()
    }
  })

  test('a third size after the second', async () => {
    const { world, run } = begin()
    await run()
    const { code, stderr } = await world.run('expand-pvc', ['--db', 'mongodb', '--size', '20Gi', '--yes'])
    // AWS takes one change in six hours: the volume waits, all else is done.
    expect(code).toBe(1)
    expect(stderr).toContain('VolumeModificationRateExceeded')
    expect(look(world)).toMatchObject({ set: '20Gi', asks: '20Gi', has: '10Gi' })
  })

  test('--kots-item names the item; one that KOTS does not have is said before anything is changed', async () => {
    const named = begin()
    expect((await named.run('--kots-item', 'mongodb_pvc_size')).code).toBe(0)
    expect(look(named.world)).toMatchObject(grown)
    const pair = begin()
    expect((await pair.run('--kots-item', 'mongodb=mongodb_pvc_size,postgresql=postgres_pvc_size')).code).toBe(0)
    expect(look(pair.world)).toMatchObject(grown)
    const wrong = begin()
    const { code, stderr } = await wrong.run('--kots-item', 'mongodb_size', '--dry-run')
    expect(code, stderr).toBe(3)
    expect(flat(stderr)).toMatch(/✗ kots .*mongodb_size/)
    wrong.untouched()
  })

  test('--kots-item that names something else than a size is refused', async () => {
    const { run, untouched } = begin()
    const { code, stderr } = await run('--kots-item', 'mongodb_type')
    expect(code, stderr).toBe(3)
    untouched()
  })

  const STEPS = ['allow-expansion', 'remove-set', 'grow', 'deploy', 'bring-back', 'resize', 'restart', 'verify', 'tidy']
  test('the steps are these', async () => {
    const { run } = begin()
    const { code, stderr } = await run('--until', 'nonsense')
    expect(code).toBe(2)
    expect(flat(stderr)).toContain(`There is no step nonsense.`)
    expect(flat(stderr)).toContain(STEPS.join(', '))
  })

  test.each(STEPS)('--until %s, and then the rest', async (until) => {
    const { world, before, run } = begin()
    const first = await run('--until', until)
    expect(first.code, first.stderr).toBe(0)
    expect(look(world)).toMatchObject({ pod: before.pod, lease: undefined })
    if (until !== 'tidy') {
      expect(flat(first.stderr)).toContain(`Stopped after step ${until}, as asked.`)
      expect(first.stderr).not.toContain('--until')
    }
    if (!look(world).set) expect(flat(first.stderr.slice(first.stderr.indexOf('Stopped after'))), 'the summary does not warn that the stateful set is away').toMatch(/no stateful set|not (be )?replaced/)
    const second = await run()
    expect(second.code, second.stderr).toBe(0)
    expect(look(world)).toEqual({ ...grown, pod: before.pod, versions: before.versions + 1 })
  })

  test('--ignore-preflight makes a warning of a named check, and only of that', async () => {
    const ignored = begin('old-server')
    const { code, stderr } = await ignored.run('--ignore-preflight', 'server-version')
    expect(code, stderr).toBe(0)
    expect(flat(stderr)).toContain('! server-version server 3.1.0: volumes can grow from 3.2.0 on (ignored)')
    const other = begin('old-server')
    expect((await other.run('--ignore-preflight', 'quota')).code).toBe(3)
    other.untouched()
    const unknown = begin('old-server')
    const wrong = await unknown.run('--ignore-preflight', 'server-versoin')
    expect(wrong.code).toBe(2)
    expect(flat(wrong.stderr)).toContain('There is no preflight check server-versoin.')
    unknown.untouched()
  })

  test('what the server refuses although the preflight was ignored: 3, and nothing is changed', async () => {
    const { run, untouched } = begin('expansion-refused')
    const { code, stderr } = await run('--ignore-preflight', 'permissions')
    expect(code, stderr).toBe(3)
    expect(flat(stderr)).toMatch(/asked beforehand; nothing was changed/)
    untouched()
  })

  test('a rehearsal says once that it leaves the context and the namespace of the line alone', async () => {
    const { run } = begin()
    const named = await run('--dry-run', '--context', 'prod-ci', '--namespace', 'circleci')
    expect(named.code, named.stderr).toBe(0)
    expect(flat(named.stderr)).toContain('A rehearsal has a context and a namespace of its own; context prod-ci and namespace circleci, as named, are left alone.')
    expect(flat(named.stderr)).toContain('cluster rehearsal (context rehearsal) · namespace circleci-server')
    expect(named.stderr).not.toContain('--context prod-ci')
    expect((await run('--dry-run', '--namespace', 'circleci-server')).stderr).not.toContain('of its own')
  })

  // The world file of another scenario is there already: the name is wrong all the same.
  test.each(['nonsense', 'constructor'])('a scenario that does not exist: %s', async (name) => {
    const { run, untouched } = begin()
    const { code, stderr } = await run('--scenario', name)
    expect(code).toBe(2)
    expect(flat(stderr)).toContain(`There is no scenario ${name}.`)
    expect(flat(stderr)).toContain(`There are: ${Object.keys(scenarios).join(', ')}.`)
    untouched()
  })
})
