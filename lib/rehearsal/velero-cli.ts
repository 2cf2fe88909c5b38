/**
 * The command velero in a rehearsal; what it makes is in velero.ts.
 */
import { existsSync, readFileSync } from 'node:fs'
import { flags, notPlayed, parse, printed, type Output, type Tool } from './tool.ts'
import { installVelero } from './velero.ts'
import type { World } from './world.ts'

export const velero: Tool = {
  name: ({ argv }) => `velero ${argv[0] ?? ''}`,
  mutates: ({ argv }) => argv[0] === 'install',
  play: (world, { argv }) => play(world, argv),
}

const VELERO_GLOBAL = flags('add_dir_header alsologtostderr logtostderr skip_headers skip_log_headers', 'colorized features kubeconfig kubecontext log_backtrace_at '
  + 'log_dir log_file log_file_max_size namespace n stderrthreshold v vmodule')

/** Recorded from velero 1.9.0. */
const VELERO_COMMANDS: Record<string, Record<string, boolean>> = {
  version: flags('client-only', 'timeout'),
  install: flags('crds-only default-volumes-to-restic dry-run no-default-backup-location no-secret restore-only show-labels use-restic use-volume-snapshots wait',
    'backup-location-config bucket cacert default-restic-prune-frequency garbage-collection-frequency image label-columns output o plugins pod-annotations pod-labels prefix '
    + 'provider restic-pod-cpu-limit restic-pod-cpu-request restic-pod-mem-limit restic-pod-mem-request sa-annotations secret-file snapshot-location-config '
    + 'velero-pod-cpu-limit velero-pod-cpu-request velero-pod-mem-limit velero-pod-mem-request'),
}

const complained = (message: string): Output => ({ stdout: '', stderr: `An error occurred: ${message}\n`, code: 1 })

const play = (world: World, argv: string[]): Output => {
  const name = argv[0] ?? ''
  const own = VELERO_COMMANDS[name]
  if (!own) return notPlayed(`velero ${name}`, 'velero-cli.ts')
  const { flag } = parse(argv.slice(1), { ...VELERO_GLOBAL, ...own })
  if (name === 'version') return printed('Client:\n\tVersion: v1.9.0\n\tGit commit: 6021f148c4d7721285e815a3e1af761262bff029\n')
  if (flag['kubecontext'] && flag['kubecontext'] !== 'rehearsal') return complained(`error finding Kubernetes API server config in --kubeconfig, $KUBECONFIG, or in-cluster configuration: context "${flag['kubecontext']}" does not exist`)
  if (!flag['provider'] || !flag['plugins']) return complained('--provider is required, --plugins flag is required')
  if (!flag['secret-file'] && !flag['no-secret']) return complained('One of --secret-file or --no-secret is required')
  const credentials = flag['secret-file'] === undefined ? undefined : existsSync(flag['secret-file']) ? readFileSync(flag['secret-file'], 'utf8') : undefined
  if (flag['secret-file'] && credentials === undefined) return complained(`open ${flag['secret-file']}: no such file or directory`)
  const pairs = (text: string | undefined) => Object.fromEntries((text ?? '').split(',').filter(Boolean).map((pair) => pair.split('=') as [string, string]))
  const made = installVelero(world, {
    provider: flag['provider'], plugin: flag['plugins'], image: flag['image'] ?? 'velero/velero:v1.9.0', bucket: flag['bucket'] ?? '', prefix: flag['prefix'],
    location: pairs(flag['backup-location-config']), snapshots: flag['use-volume-snapshots'] === 'false' ? undefined : pairs(flag['snapshot-location-config']),
    credentials, annotations: flag['sa-annotations'] ? pairs(flag['sa-annotations']) : undefined, agents: flag['use-restic'] === 'true',
  })
  return printed(`${made.join('\n')}\nVelero is installed! ⛵ Use 'kubectl logs deployment/velero -n velero' to view the status.\n`)
}

