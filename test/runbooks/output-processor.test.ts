/** The output processor: its address and its number in the Config screen, and as many as that in the cluster. */
import { describe, expect, test } from 'vitest'
import { keyOf } from '../../lib/rehearsal/world.ts'
import { stage } from './harness.ts'

const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')
const runs = (world: ReturnType<typeof stage>) => world.world().objects[keyOf('deployments', 'output-processor', 'circleci-server')]?.['status'].availableReplicas
const held = (world: ReturnType<typeof stage>) => world.world().kots.versions[0]?.values

test('the address of its service, and two of it', async () => {
  const world = stage()
  const { code, stderr } = await world.run('output-processor', [])
  expect(code, stderr).toBe(0)
  const address = world.world().objects[keyOf('services', 'output-processor', 'circleci-server')]?.['status'].loadBalancer.ingress[0].hostname
  expect(held(world)).toMatchObject({ output_processor_load_balancer: { value: address }, output_processor_replicas: { value: '2' } })
  expect(runs(world)).toBe(2)
  expect(world.world().kots.versions).toHaveLength(3)
})

test('more of it stay, unless another number is named', async () => {
  const world = stage()
  expect((await world.run('output-processor', ['--replicas', '5'])).code).toBe(0)
  expect((await world.run('output-processor', [])).stderr).toContain('Nothing to do')
  expect((await world.run('output-processor', ['--replicas', '3'])).code).toBe(0)
  expect(runs(world)).toBe(3)
})

describe('nothing is changed', () => {
  test.each([['1'], ['0'], ['two']])('--replicas %s', async (wrong) => {
    const world = stage()
    const before = world.bytes()
    const { code, stderr } = await world.run('output-processor', ['--replicas', wrong])
    expect(code).toBe(2)
    expect(flat(stderr)).toContain('Write 2, or more.')
    expect(world.bytes()).toBe(before)
  })

  test.each([
    ['no-server', 3, 'There is no namespace circleci-server'],
    ['undeployed-change', 5, 'changed items: domain_name'],
  ])('%s: %i', async (scenario, wanted, said) => {
    const world = stage(scenario)
    const before = world.bytes()
    const { code, stderr } = await world.run('output-processor', [])
    expect(code, stderr).toBe(wanted)
    expect(flat(stderr)).toContain(said)
    expect(world.bytes()).toBe(before)
  })
})

test('a KOTS that shows no configuration: a person fills it in, and is told the address', async () => {
  const world = stage('no-kots-config')
  const { code, stderr } = await world.run('output-processor', ['--dry-run'])
  expect(code, stderr).toBe(0)
  expect(flat(stderr)).toMatch(/Output Processor Load Balancer \S+\.elb\.amazonaws\.com Output Processor Replicas 2/)
})

test('a deploy that fails is told', async () => {
  const { code, stderr } = await stage('deploy-fails').run('output-processor', [])
  expect(code).toBe(1)
  expect(flat(stderr)).toContain('KOTS could not deploy version 2')
})
