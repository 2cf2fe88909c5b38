import { symlinkSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { processesDuring } from '../processes-seen.ts'
import { CASES, consent, reviewedLine } from './cases.ts'
import { identityOf, me } from '../../lib/lock.ts'
import { journals, leftovers, stage, undisturbed } from './harness.ts'

describe.each(CASES)('$runbook $args.0', (one) => {
  const { runbook, args, scenario, unasked, losesData, meanwhile, also, local } = one
  test('run, then run again: the second changes nothing and says so', async () => {
    const world = stage(scenario)
    const first = await world.run(runbook, [...args, ...consent(one)])
    expect(first).toMatchObject({ code: 0, stdout: '' })
    const after = world.bytes()
    const second = await world.run(runbook, args)
    expect(second.code).toBe(0)
    expect(second.stderr).toContain('Nothing to do')
    expect(world.bytes()).toBe(after)
    expect(leftovers(world.state)).toEqual([])
  })

  test.each([['--dry-run'], ['--dry-run', '--json'], ['--shell'], ['--markdown']])('%s %s: the world file is byte for byte what it was', async (...flags) => {
    const world = stage(scenario)
    const before = world.bytes()
    const { code } = await world.run(runbook, [...args, ...flags])
    expect(code).toBe(0)
    expect(world.bytes()).toBe(before)
    expect(journals(world.state)).toBe('')
  })

  test.skipIf(unasked)('no terminal and no --yes: 5, and nothing is changed', async () => {
    const world = stage(scenario)
    const before = world.bytes()
    const { code, stderr } = await world.run(runbook, args)
    expect(code).toBe(5)
    expect(stderr).toContain(losesData ? '--confirm' : '--yes')
    expect(world.bytes()).toBe(before)
  })

  test('a reviewed plan runs as it was reviewed, and not when the world has changed', async () => {
    const world = stage(scenario)
    const plan = await world.run(runbook, [...args, '--dry-run', '--json'])
    writeFileSync(`${world.state}/plan.json`, plan.stdout)
    for (const line of plan.stdout.trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ v: 1, event: expect.any(String) })
    expect(await world.run(runbook, reviewedLine(one))).toMatchObject({ code: 0 })

    if (!meanwhile) return
    const other = stage(scenario, meanwhile)
    writeFileSync(`${other.state}/plan.json`, plan.stdout)
    const before = other.bytes()
    const stale = await other.run(runbook, reviewedLine(one))
    expect(stale.code).toBe(6)
    expect(other.bytes()).toBe(before)
  })

  test('two at once: the second is refused with the name of the holder', async () => {
    const world = local ? stage(scenario) : stage('two-operators', also)
    if (local) symlinkSync(`another-runbook ${await identityOf(process.pid)}`, `${world.state}/circleci-runbooks/machine.lock`)
    const { code, stderr } = await world.run(runbook, [...args, ...consent(one)])
    expect(code).toBe(4)
    expect(stderr).toContain(local ? `${me()} is running another-runbook` : 'operator@laptop-3')
    expect(stderr).toContain('Nothing was changed')
  })

  test.skipIf(local)('hand-over: another machine, with an empty state folder, goes on where the first was killed', async () => {
    const quiet = await undisturbed(one)
    const first = stage(scenario, (world) => { world.crash = { at: Math.ceil(quiet.changes.length / 2), when: 'after' } })
    expect(await first.run(runbook, [...args, ...consent(one)])).toMatchObject({ signal: 'SIGKILL' })
    const second = stage(scenario, (world) => {
      Object.assign(world, first.world())
      // The lease of the first machine's dead run: here its process cannot be seen.
      const text = JSON.stringify(world).replaceAll(/"holderIdentity":"[^"]*"/g, '"holderIdentity":"operator@other-host 4711 1"')
      Object.assign(world, JSON.parse(text))
    })
    expect(await second.run(runbook, [...args, ...consent(one)])).toMatchObject({ code: 0 })
    // Where nothing was left to do, the lease of a machine that cannot be seen from here runs out by itself.
    second.change(({ objects }) => { for (const key of Object.keys(objects)) if (key.startsWith('leases/')) delete objects[key] })
    // What the first kept in files is on its machine.
    expect((second.essence() as { world: unknown }).world).toEqual((quiet.essence as { world: unknown }).world)
  })

  test('secrets: none is in an output, a journal or the arguments of a process', async () => {
    const world = stage(scenario)
    const { result: runs, shown } = await processesDuring(async () => [
      await world.run(runbook, [...args, '--dry-run', '--verbose']), await world.run(runbook, [...args, '--shell']),
      await world.run(runbook, [...args, '--dry-run', '--json']), await world.run(runbook, [...args, ...consent(one), '--verbose']),
      await stage(scenario, (started) => { started.crash = { at: 5, when: 'inside' } }).run(runbook, [...args, ...consent(one), '--json']),
    ])
    // Those that it handed out meanwhile among them.
    const { secrets } = world.world()
    expect(secrets.length).toBeGreaterThan(5)
    const text = runs.map(({ all }) => all).join('') + journals(world.state) + shown.join('\n')
    expect(secrets.filter((secret) => text.includes(secret))).toEqual([])
  })
})
