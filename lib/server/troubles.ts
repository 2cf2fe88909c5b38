/**
 * What is known to go wrong when a volume grows, with its remedy, for the page that on-call reads without a run at
 * hand. Source: operations guide 3.4.1, "Internal Database Volume Expansion", and what the runbook itself meets.
 */
import type { Database } from './databases.ts'
import type { Trouble } from '../runbook.ts'
import { claimsOf, classesOf } from './databases.ts'
import { adminConsole } from './kots.ts'
import { kubectl } from '../cluster/objects.ts'
import { line } from '../shell.ts'

export const troublesOfExpanding = async (dbs: Database[], size: string): Promise<Trouble[]> => {
  const claims = (await Promise.all(dbs.map(claimsOf))).flat().map(({ name }) => name)
  const names = dbs.map(({ name }) => name)
  const pods = names.map((name) => line(kubectl(['rollout', 'restart', 'statefulset', name])))
  return [
    {
      sign: 'VolumeResizeFailed with VolumeModificationRateExceeded in the events of the claim.',
      remedy: 'AWS changes a volume once in six hours. The database runs, its stateful set is back, and Kubernetes tries again by itself; six hours after the last change repeat the same line, which goes on there. The event is the only sign: sizes may look right all the same.',
      lines: claims.map((name) => line(kubectl(['describe', 'pvc', name]))),
    },
    {
      sign: '“only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize”.',
      remedy: 'The storage class does not allow expansion, and step allow-expansion was refused or undone. Whoever administers the cluster allows it; then repeat the same line. A class without a provisioner, and host paths and NFS, cannot grow at all: back up, and restore into a claim of a class that can.',
      lines: (await classesOf(dbs)).map((name) => line(kubectl(['get', 'storageclass', name, '-o', 'jsonpath={.allowVolumeExpansion}']))),
    },
    {
      sign: `The claim keeps the condition FileSystemResizePending, or df does not show ${size}.`,
      remedy: 'The volume has grown, its file system has not. Restart the database: the same line with --allow-restart, or by hand (1 to 5 minutes of downtime).',
      lines: pods,
    },
    {
      sign: 'KOTS could not deploy the version with the new size.',
      remedy: 'Step bring-back brings the stateful set back all the same. See why under Version History in the admin console (http://localhost:8800), mend it there, then repeat the same line: it deploys again. “failed to create new config” means that the item was never saved: press Save config there once.',
      lines: [adminConsole()],
    },
    {
      sign: `The run ended (a lost connection, a closed laptop) and ${names.join(' and ')} ${names.length > 1 ? 'have no stateful sets' : 'has no stateful set'}.`,
      remedy: 'The pods run, but would not be replaced if they died. Repeat the same line, from any machine: it reads what is done from the cluster, and goes on there. See what there is:',
      lines: [line(kubectl(['get', `statefulset,pod,pvc,secret`]))],
    },
  ]
}
