/**
 * The execution environment in a rehearsal: the fields of the Config screen for output processor, Nomad clients and VM service, and how
 * many output processors a deploy lets run.
 */
import { NAMESPACE } from './installation.ts'
import type { Item, Version } from './kots.ts'
import { change, create, keyOf, later, type World } from './world.ts'

type Field = [section: string, label: string, choices?: Record<string, string>, more?: Partial<Item>]

const FIELDS: Record<string, Field> = {
  output_processor_load_balancer: ['Output Processor', 'Output Processor Load Balancer Hostname'],
  output_processor_replicas: ['Output Processor', 'Output Processor Replicas', {}, { default: '1' }],
  nomad_server_load_balancer: ['Nomad', 'Nomad Load Balancer'],
  nomad_server_cert: ['Nomad', 'Nomad Server Certificate'],
  nomad_server_key: ['Nomad', 'Nomad Server Private Key', {}, { type: 'password' }],
  nomad_server_ca: ['Nomad', 'Nomad Server Certificate Authority (CA) Certificate'],
}

/** Section, label, choices of each; and the items, of which an installation of some age has no values. */
export const executionLabels: Record<string, [string, string, Record<string, string>?]> =
  Object.fromEntries(Object.entries(FIELDS).map(([name, [section, label, choices = {}]]) => [name, [section, label, choices]]))
export const executionItems: Item[] = Object.entries(FIELDS).map(([name, [, , , more]]) => ({ name, type: 'text', ...more }))

const OUTPUT = 'output-processor'
const STARTS = 20_000

/** The deployment as a version of the configuration has it; its pods take a moment to run. */
export const scaleOutput = (world: World, { values }: Version): void => {
  const key = keyOf('deployments', OUTPUT, NAMESPACE)
  const replicas = Number(values['output_processor_replicas']?.value || 1)
  const there = world.objects[key] ?? create(world, 'deployments', {
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: OUTPUT, namespace: NAMESPACE, generation: 1, labels: { app: OUTPUT, layer: 'application', 'kots.io/app-slug': 'circleci-server' } },
    spec: { replicas: 0, selector: { matchLabels: { app: OUTPUT } }, template: { metadata: { labels: { app: OUTPUT } }, spec: { containers: [{ name: OUTPUT, image: 'circleci/output-processor:3.4.0' }] } } },
    status: {},
  })
  if (change(world, there, () => { there.spec.replicas = replicas })) later(world, STARTS, { do: 'run-output', name: OUTPUT })
}

/** All that were asked for run. */
export const runOutput = (world: World): void => {
  const one = world.objects[keyOf('deployments', OUTPUT, NAMESPACE)]
  if (!one) return
  const { replicas } = one.spec
  change(world, one, () => { one.status = { observedGeneration: 1, replicas, updatedReplicas: replicas, readyReplicas: replicas, availableReplicas: replicas } })
}
