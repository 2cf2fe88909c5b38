/** What KOTS is told, what it is asked, and what becomes of its answers. */
import { expect, describe, test } from 'vitest'
import { openDoor } from '../../lib/door.ts'
import { setAndDeploy } from '../../lib/server/kots.ts'
import { connect } from '../../lib/cluster/kubernetes.ts'
import type { World } from '../../lib/rehearsal/index.ts'
import type { Version } from '../../lib/rehearsal/kots.ts'
import { create } from '../../lib/rehearsal/world.ts'
import { openStore } from '../../lib/rehearsal/world-file.ts'
import { prepareTools } from '../../lib/tools.ts'
import { start } from '../rehearsal/helpers.ts'
import { installed } from './cluster.ts'
import { journals, stage, type Stage } from './harness.ts'

const line = ['--db', 'mongodb', '--size', '10Gi']
/** A screen without its line breaks, also those of commands. */
const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')

describe('the passwords among the items', () => {
  test.each([
    ['the plugin is killed half way', '"$KUBECTL" "$@" | sed "/signing_keyset/,$ { /value:/ q }"; kill -9 $$', /ended with \d+: it said nothing/],
    ['what it prints is cut off', '"$KUBECTL" "$@" | sed \'s/value: \\([A-Za-z0-9]\\{30,\\}\\)$/value: "\\1/\'; exit 0', /what it printed is no configuration/],
    ['a password looks like an alias', '"$KUBECTL" "$@" | sed \'s/value: \\([A-Za-z0-9]\\{30,\\}\\)$/value: *\\1/\'; exit 0', /what it printed is no configuration/],
    ['it prints no YAML at all', '"$KUBECTL" "$@" | tr -d "\\n"; exit 0', /what it printed is no configuration/],
  ])('%s: none is told', async (_, shell, sentence) => {
    const world = await installed()
    world.play('kots get config', shell)
    const { code, stderr, all } = await world.run([...line, '--kubeconfig', world.kubeconfig, '--yes', '--until', 'allow-expansion', '--verbose'])
    expect(code, all).toBe(0)
    expect(flat(stderr)).toMatch(sentence)
    const text = all + journals(world.state)
    expect(world.world().secrets.filter((secret) => text.includes(secret))).toEqual([])
  })
})

describe.concurrent('--kots-item', () => {
  const both = ['--db', 'mongodb,postgresql', '--size', '10Gi', '--yes', '--kots-item']
  const one = [...line, '--yes', '--kots-item']
  test.each([
    ['one key for two databases', [...both, 'mongodb_pvc_size'], 2, /names mongodb_pvc_size for mongodb and postgresql.* --kots-item mongodb=KEY,postgresql=KEY/],
    ['the same key twice', [...both, 'mongodb=mongodb_pvc_size,postgresql=mongodb_pvc_size'], 2, /names mongodb_pvc_size for mongodb and postgresql/],
    ['a database that there is not', [...one, 'mysql=mysql_pvc_size'], 2, /Write KEY, or mongodb=KEY,postgresql=KEY/],
    ['a key of the other database', ['--db', 'postgresql', '--size', '10Gi', '--yes', '--kots-item', 'mongodb_pvc_size'], 3, /mongodb_pvc_size is an item of mongodb, not of postgresql/],
    ['a key of the other database, among two', [...both, 'mongodb=postgres_pvc_size,postgresql=mongodb_pvc_size'], 3, /postgres_pvc_size is an item of postgresql, not of mongodb/],
    ['a number that is no size', [...one, 'nomad_mtls_enabled'], 3, /it is not called a size of mongodb, and holds 1, not the 8Gi that the stateful set asks for/],
  ] as const)('%s is refused, and nothing is changed', async (_, args, code, sentence) => {
    const world = stage(), before = world.bytes()
    const ended = await world.run('expand-pvc', [...args])
    expect(ended.code, ended.all).toBe(code)
    expect(flat(ended.stderr)).toMatch(sentence)
    expect(world.bytes()).toBe(before)
  })

  test('a key that is called otherwise and holds what the set asks for is taken, also after an interruption', async () => {
    const world = stage(undefined, ({ kots }) => {
      kots.items.push({ name: 'document_store_gib', type: 'text' })
      for (const version of kots.versions) version.values['document_store_gib'] = { value: '8' }
    })
    const first = await world.run('expand-pvc', [...one, 'document_store_gib', '--until', 'deploy'])
    expect(first.code, first.all).toBe(0)
    expect(world.world().kots.versions[0]?.values['document_store_gib']?.value).toBe('10')
    const again = await world.run('expand-pvc', [...one, 'document_store_gib', '--dry-run'])
    expect(again.code, again.all).toBe(0)
  })
})

/** A colleague changes an item on the Config screen, saves, and does not deploy. */
const saved = ({ kots }: World, change: Partial<Version> = {}): void => {
  const newest = kots.versions[0] as Version
  kots.versions.unshift({
    ...structuredClone(newest), sequence: newest.sequence + 1, status: 'pending', deployedAt: null,
    values: { ...structuredClone(newest.values), domain_name: { value: 'another.example.com' } }, ...change,
  })
}
const edit = (worldFile: string, how: (world: World) => void): void => openStore(worldFile, () => { throw new Error('there is a world') }).change(how)

describe.concurrent('a change that a colleague saved and did not deploy', () => {
  test('stays theirs where nothing is to do', async () => {
    const world = stage()
    expect((await world.run('expand-pvc', [...line, '--yes'])).code).toBe(0)
    edit(world.worldFile, saved)
    const before = world.bytes()
    const { code, all } = await world.run('expand-pvc', [...line, '--yes'])
    expect(code, all).toBe(0)
    expect(all).toContain('Nothing to do')
    expect(world.bytes()).toBe(before)
  })

  test.each(['deploy', 'bring-back'])('stays theirs where it was saved while the run was interrupted after %s', async (until) => {
    const world = stage()
    expect((await world.run('expand-pvc', [...line, '--yes', '--until', until])).code).toBe(0)
    edit(world.worldFile, saved)
    const { code, all } = await world.run('expand-pvc', [...line, '--yes'])
    expect(code, all).toBe(0)
    const { kots, objects } = world.world()
    expect(kots.versions.map(({ sequence, status }) => `${sequence} ${status}`)).toEqual(['3 pending', '2 deployed', '1 deployed', '0 deployed'])
    expect(objects['statefulsets/circleci-server/mongodb']?.['spec'].volumeClaimTemplates[0].spec.resources.requests.storage).toBe('10Gi')
  })
})

describe('what is saved in KOTS between the plan and the deploy', () => {
  /** Acts as soon as the transcript has a text. */
  const when = (world: Stage, text: string, act: () => void): { onStart(): void } => ({ onStart: () => {
    const watch = setInterval(() => {
      if (!journals(world.state).includes(text)) return
      clearInterval(watch)
      act()
    }, 20)
  } })
  const slowly = (world: World): void => { world.pace = 1 / 20 }
  const untouched = (world: Stage): void => {
    const { objects } = world.world()
    expect((objects['storageclasses//gp2'] as { allowVolumeExpansion?: boolean }).allowVolumeExpansion).toBeFalsy()
    expect(objects['leases/circleci-server/circleci-runbooks']).toBeUndefined()
  }

  test.each([
    ['a release', { versionLabel: '3.4.1' }, /undeployed: KOTS holds release 3\.4\.1, which was never deployed/],
    ['a change', {}, /KOTS holds what was never deployed and would go out with this: version 2 \(3\.4\.0, Config Change\); changed items: domain_name\. Deploy it too\?/],
  ])('%s, while it waits for the lock: 6, and nothing is changed', async (_, change, sentence) => {
    const world = stage(undefined, (one) => {
      slowly(one)
      // Somebody whose run was killed a moment ago: it is waited for.
      create(one, 'leases', { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'circleci-runbooks', namespace: 'circleci-server' }, spec: { holderIdentity: 'operator@laptop-3 1 -' } })
    })
    const { code, stderr, all } = await world.run('expand-pvc', [...line, '--yes'], when(world, '"start"', () => edit(world.worldFile, (one) => saved(one, change))))
    expect(code, all).toBe(6)
    expect(flat(stderr)).toMatch(sentence)
    untouched(world)
    expect(world.world().kots.versions.map(({ sequence, status }) => `${sequence} ${status}`)).toEqual(['2 pending', '1 deployed', '0 deployed'])
  })

  test('a release, while the stateful set is away: it is not deployed, the set comes back, and 6', async () => {
    const world = stage(undefined, slowly)
    const { code, stderr, all } = await world.run('expand-pvc', [...line, '--yes'], when(world, '"keep statefulset/mongodb"', () => edit(world.worldFile, (one) => saved(one, { versionLabel: '3.4.1' }))))
    expect(code, all).toBe(6)
    expect(flat(stderr)).toMatch(/“kots set mongodb_pvc_size”, for version 2, was not in the plan that was confirmed/)
    const { kots, objects } = world.world()
    expect(kots.versions.map(({ sequence, versionLabel, status }) => `${sequence} ${versionLabel} ${status}`)).toEqual(['2 3.4.1 pending', '1 3.4.0 deployed', '0 3.4.0 deployed'])
    expect(objects['statefulsets/circleci-server/mongodb']?.['spec'].volumeClaimTemplates[0].spec.resources.requests.storage).toBe('10Gi')
  })

  test('in the last moment: the call looks once more', async () => {
    const world = await start()
    await connect({ kubeconfig: world.kubeconfig })
    prepareTools({ env: { ...process.env, ...world.env, PATH: `${world.bin}:${process.env['PATH']}` } })
    const door = openDoor({ lockIsOurs: async () => {}, confirmed: () => true, record: () => {} })
    const effect = setAndDeploy({ mongodb_pvc_size: '10' }, 1)
    await world.tool('kots', 'set', 'config', 'circleci-server', 'domain_name=another.example.com', '-n', 'circleci-server')
    await expect(door.apply(effect)).rejects.toMatchObject({ code: 6, message: expect.stringContaining('Somebody saved version 2 (3.4.0) in KOTS just now') })
    expect(world.world().kots.versions.map(({ sequence, status }) => `${sequence} ${status}`)).toEqual(['2 pending', '1 deployed', '0 deployed'])
  })
})

describe.concurrent('a KOTS that cannot be read, and that nobody told by hand', () => {
  /** The set is back, since we brought it back; KOTS holds the old size. */
  const broughtBack = async () => {
    const world = stage('no-kots-config')
    const run = () => world.run('expand-pvc', [...line, '--yes', '--timeout', '20s'])
    expect((await run()).code).toBe(1)
    const annotate = (notes: Record<string, string>) => edit(world.worldFile, ({ objects }) => {
      const set = objects['statefulsets/circleci-server/mongodb']
      if (set) set.metadata.annotations = { ...set.metadata.annotations, ...notes }
    })
    return { world, run, annotate, kept: () => world.world().objects['secrets/circleci-server/runbooks-kept-mongodb'] !== undefined }
  }
  const applied = (size: string) => ({ 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ spec: { volumeClaimTemplates: [{ metadata: { name: 'datadir' }, spec: { resources: { requests: { storage: size } } } }] } }) })

  test('the same line fails again: that the set is back with the size is our doing', async () => {
    const { world, run, kept, annotate } = await broughtBack()
    for (const notes of [{}, applied('8Gi')]) {
      annotate(notes)
      const { code, stderr, all } = await run()
      expect(code, all).toBe(1)
      expect(all).not.toMatch(/KOTS agree/)
      expect(flat(stderr)).toContain('set “MongoDB Persistent Volume Size” to 10, save, deploy')
      expect(flat(stderr)).toContain('kubectl --context rehearsal -n circleci-server annotate statefulset mongodb circleci-runbooks/told-kots=10Gi')
    }
    expect(kept()).toBe(true)
    expect(world.world().kots.versions[0]?.values['mongodb_pvc_size']?.value).not.toBe('10')
  })

  test.each([
    ['KOTS deployed since', applied('10Gi'), 'KOTS deployed mongodb with 10Gi'],
    ['an operator noted that it was told', { 'circleci-runbooks/told-kots': '10Gi' }, 'somebody noted on mongodb that KOTS was told 10Gi'],
  ])('%s: it ends well, and does not say that KOTS agrees', async (_, notes, sign) => {
    const { run, kept, annotate } = await broughtBack()
    annotate(notes)
    const { code, stderr, all } = await run()
    expect(code, all).toBe(0)
    expect(flat(stderr)).toContain(sign)
    expect(flat(stderr)).toContain('claims, events and df agree on 10Gi; KOTS cannot be read here')
    expect(all).not.toMatch(/KOTS agree/)
    expect(kept()).toBe(false)
  })
})
