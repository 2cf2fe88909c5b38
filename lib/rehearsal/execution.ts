/**
 * The execution environment in a rehearsal: the fields of the Config screen for output processor, Nomad clients and
 * their autoscaler, and VM service, and how many output processors a deploy lets run.
 */
import { NAMESPACE } from './installation.ts'
import type { Item, Version } from './kots.ts'
import { change, create, keyOf, later, type World } from './world.ts'

type Field = [section: string, label: string, choices?: Record<string, string>, more?: Partial<Item>]

const BOX = (on: '0' | '1'): Partial<Item> => ({ type: 'bool', default: on })
const CHOICE: Partial<Item> = { type: 'select_one' }, SECRET: Partial<Item> = { type: 'password' }
const OUTPUT_PROCESSOR = 'Output Processor', VM = 'VM Service', NOMAD = 'Nomad', SCALER = 'Nomad Autoscaler'

const FIELDS: Record<string, Field> = {
  output_processor_load_balancer: [OUTPUT_PROCESSOR, 'Output Processor Load Balancer Hostname'],
  output_processor_replicas: [OUTPUT_PROCESSOR, 'Output Processor Replicas', {}, { default: '1' }],
  nomad_server_load_balancer: [NOMAD, 'Nomad Load Balancer'],
  nomad_server_cert: [NOMAD, 'Nomad Server Certificate'],
  nomad_server_key: [NOMAD, 'Nomad Server Private Key', {}, SECRET],
  nomad_server_ca: [NOMAD, 'Nomad Server Certificate Authority (CA) Certificate'],
  nomad_autoscaler_enabled: [SCALER, 'Nomad Autoscaler Enabled', {}, BOX('0')],
  nomad_autoscaler_max: [SCALER, 'Maximum Node Count', {}, { default: '5' }],
  nomad_autoscaler_min: [SCALER, 'Minimum Node Count', {}, { default: '1' }],
  nomad_autoscaler_provider: [SCALER, 'Select Cloud Provider', { nomad_autoscaler_ec2: 'AWS EC2', nomad_autoscaler_gcp: 'Google Cloud Platform' }, CHOICE],
  nomad_autoscaler_region: [SCALER, 'AWS Region'],
  nomad_autoscaler_auth: [SCALER, 'Authentication', { nomad_autoscaler_keys: 'IAM Keys', nomad_autoscaler_irsa: 'IAM role' }, CHOICE],
  nomad_autoscaler_access_key_id: [SCALER, 'Access Key ID'],
  nomad_autoscaler_secret: [SCALER, 'Secret Key', {}, SECRET],
  nomad_autoscaler_role: [SCALER, 'Role ARN'],
  nomad_autoscaler_asg: [SCALER, 'Autoscaling Group Name'],
  nomad_autoscaler_project: [SCALER, 'GCP Project ID'],
  nomad_autoscaler_mig: [SCALER, 'Managed Instance Group Name'],
  nomad_autoscaler_mig_type: [SCALER, 'Instance Group Type', { nomad_autoscaler_zonal: 'Zonal', nomad_autoscaler_regional: 'Regional' }, CHOICE],
  nomad_autoscaler_json: [SCALER, 'Service Account JSON', {}, SECRET],
  nomad_autoscaler_identity: [SCALER, 'GCP Workload Identity Service Account Email'],
  vm_service_load_balancer: [VM, 'VM Service Load Balancer Hostname'],
  vm_service_port: [VM, 'VM Service Load Balancer Port', {}, { default: '3000' }],
  vm_service_public: [VM, 'Assign Public IPs', {}, BOX('1')],
  vm_service_provider: [VM, 'VM Provider', { vm_service_ec2: 'AWS EC2', vm_service_gcp: 'Google Cloud Platform' }, CHOICE],
  vm_service_region: [VM, 'AWS Region'],
  vm_service_linux_ami: [VM, 'AWS Linux AMI ID'],
  vm_service_windows_ami: [VM, 'AWS Windows AMI ID'],
  vm_service_subnets: [VM, 'Subnets'],
  vm_service_security_group: [VM, 'Security Group ID'],
  vm_service_auth: [VM, 'Authentication', { vm_service_keys: 'IAM Keys', vm_service_irsa: 'IAM role' }, CHOICE],
  vm_service_access_key_id: [VM, 'Access Key ID'],
  vm_service_role: [VM, 'Role ARN'],
  vm_service_project: [VM, 'GCP Project ID'],
  vm_service_zone: [VM, 'GCP Zone for your VMs'],
  vm_service_windows_image: [VM, 'GCP Windows Image'],
  vm_service_network: [VM, 'GCP VPC Network'],
  vm_service_subnet: [VM, 'GCP VPC Subnet'],
  vm_service_gcp_auth: [VM, 'GCP IAM Access Type', { vm_service_gcp_key: 'GCP Service Account JSON file', vm_service_gcp_identity: 'IAM Workload Identity' }, CHOICE],
  vm_service_json: [VM, 'GCP Service Account JSON file', {}, SECRET],
  vm_service_identity: [VM, 'GCP IAM Workload Identity'],
  vm_service_prescaled_docker: [VM, 'Number of remote Docker VMs to keep prescaled', {}, { default: '0' }],
  vm_service_prescaled_machine: [VM, 'Number of machine VMs to keep prescaled', {}, { default: '0' }],
  vm_service_prescaled_windows: [VM, 'Number of Windows VMs to keep prescaled', {}, { default: '0' }],
}

/** Section, label, choices of each; and the items, of which an installation of some age has no values. */
export const executionLabels: Record<string, [string, string, Record<string, string>?]> =
  { vm_service_access_key_secret: [VM, 'Secret Key'], ...Object.fromEntries(Object.entries(FIELDS).map(([name, [section, label, choices = {}]]) => [name, [section, label, choices] as [string, string, Record<string, string>]])) }
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

/** All that were asked for run, and no more. */
export const runDeployment = (world: World, name: string): void => {
  const one = world.objects[keyOf('deployments', name, NAMESPACE)]
  if (!one) return
  const { replicas } = one.spec
  change(world, one, () => { one.status = { observedGeneration: 1, replicas, updatedReplicas: replicas, readyReplicas: replicas, availableReplicas: replicas } })
}
export const runOutput = (world: World): void => runDeployment(world, OUTPUT)
