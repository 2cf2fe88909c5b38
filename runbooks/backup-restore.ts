#!/usr/bin/env -S npx tsx
/**
 * Backups of the installation: make one, list them, prove that one is usable, restore it, schedule them, find out
 * why they fail, delete one. Operations guide 3.4.1, "Backup and Restore" and "Troubleshooting Backups".
 */
import { addresses } from '../lib/server/balancers.ts'
import {
  afterRestore, balancersAnswer, clientChecks, dnsChecks, dnsLeadsThere, forgetAddresses, keepAddresses, kotsHasAddresses, nomadAdvertises,
  nomadClientsAreBack,
} from '../lib/velero/addresses.ts'
import { backupFacts, makeBackup, span } from '../lib/velero/backups.ts'
import { everythingIsIn, notInFacts } from '../lib/velero/contents.ts'
import { deleteBackup, backupIsDeletable, deletionEnds } from '../lib/velero/deletion.ts'
import { minutes, step, verifyStep } from '../lib/effect.ts'
import { proof, table } from '../lib/velero/evidence.ts'
import { findings } from '../lib/findings.ts'
import { age, flag, operand, optional, text } from '../lib/inputs.ts'
import { kotsReaches } from '../lib/server/kots.ts'
import { permissionsAllow, serverIsAtLeast } from '../lib/preflight.ts'
import {
  FOR_RESTORES, applicationIsRestored, backupIsUsable, consoleIsRestored, everythingRuns, hasBegun, restoredAt, serverFits, startRestore,
} from '../lib/velero/restores.ts'
import { nomadServersRun } from '../lib/server/nomad.ts'
import { runbooks, verb } from '../lib/runbook.ts'
import { imageIsNamed, scheduleFacts, scheduleSteps } from '../lib/velero/schedule.ts'
import { FOR_BACKUPS, kotsKnowsSnapshots, kotsMayUseVelero, licenceHasSnapshots, locationAnswersNow, troubleshooting, veleroRuns } from '../lib/velero/snapshots.ts'

const guide = 'CircleCI server 3.4.1 operations guide, "Backup and Restore"'
const where = '--context prod-ci --namespace circleci-server'
const named = { ...operand('name', 'backup, as list shows it', /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'the name of a backup: instance-7k2fq'), env: 'BACKUP_NAME' }

export default runbooks(import.meta, {
  name: 'backup-restore',
  purpose: 'back the installation up, prove the backups, restore them',
  guide,
  verbs: [
    verb({
      name: 'backup-restore backup',
      purpose: 'make a full backup and wait until it is complete',
      guide,
      when: 'Before every change that may lose data, before an upgrade, and regularly (see schedule).',
      inputs: { maxAge: age('BACKUP_MAX_AGE', 'a complete backup that ended less than this ago counts as done') },
      examples: [where, `--max-age 0m ${where} --yes`, '--max-age 0m --rehearse'],
      patience: minutes(30),
      preflight: () => [
        permissionsAllow(FOR_BACKUPS), kotsKnowsSnapshots(), licenceHasSnapshots(), kotsMayUseVelero(), veleroRuns(), locationAnswersNow(),
        serverIsAtLeast('3.1.0', 'backups work'), everythingIsIn(),
      ],
      outcome: () => 'There is a complete backup',
      facts: async () => ({ ...await backupFacts(), ...await notInFacts() }),
      afterwards: ['Prove that it is usable: npx tsx runbooks/backup-restore.ts verify NAME'],
      steps: ({ maxAge }) => {
        const making = makeBackup(span(maxAge))
        return [
          step('start', 'Ask KOTS for a full backup', making.start, { back: 'A backup changes nothing of the installation.' }),
          step('follow', 'Wait until it is complete', making.end, { verify: making.checks }),
        ]
      },
    }),

    verb({
      name: 'backup-restore list',
      purpose: 'list the backups, newest first, and what a restore of them needs',
      guide,
      when: 'To see what could be restored.',
      inputs: {},
      examples: [where],
      preflight: () => [],
      report: table,
    }),

    verb({
      name: 'backup-restore verify',
      purpose: 'prove all of a backup that can be proven without restoring it',
      guide,
      when: 'After a backup, before a restore, and regularly.',
      inputs: { name: named },
      examples: [`instance-7k2fq ${where}`],
      preflight: () => [],
      report: ({ name }) => proof(name),
    }),

    verb({
      name: 'backup-restore restore',
      purpose: 'restore the admin console and CircleCI server from a backup',
      guide,
      when: 'The installation, or its data, is lost or damaged; or it moves to another cluster, where Velero has the same bucket.',
      inputs: {
        name: named,
        maxAge: age('RESTORE_MAX_AGE', 'a restore of the same backup that ended so recently counts as done'),
        handOver: { ...flag('do not wait for what only a person can do (DNS, Nomad clients); print it'), env: 'RESTORE_HAND_OVER' },
      },
      examples: [`instance-7k2fq ${where} --dry-run`, `instance-7k2fq ${where}`, `instance-7k2fq ${where} --yes --confirm prod-ci --hand-over`, 'instance-7k2fq --rehearse --yes --confirm rehearsal'],
      preflight: ({ name }) => [permissionsAllow(FOR_RESTORES), kotsKnowsSnapshots(), veleroRuns(), locationAnswersNow(), backupIsUsable(name), serverFits(name), everythingIsIn()],
      outcome: ({ name }) => `${name} is restored`,
      facts: addresses,
      afterwards: [
        'Remote Docker and machine jobs, contexts and logins: run realitycheck before users come back.',
        'External databases and the object storage are as they are now, not as they were when the backup was made.',
      ],
      steps: ({ name, maxAge, handOver }) => {
        const recent = span(maxAge)
        const after = { backup: name, restored: () => restoredAt(name, recent), handOver }
        return [
          step('note', 'Note down the addresses of the load balancers', keepAddresses(name, () => hasBegun(name, recent))),
          step('restore', 'Restore with KOTS', startRestore(name, recent), {
            back: 'There is no way back but another backup. The same line restores once more.',
          }),
          verifyStep('console', 'Wait for the admin console', 'the admin console is restored', consoleIsRestored(name, recent)),
          verifyStep('application', 'Wait for CircleCI server', 'CircleCI server is restored', applicationIsRestored(name, recent)),
          afterRestore(after, 'runs', 'Wait until all of it runs', 'all of CircleCI server runs', everythingRuns),
          afterRestore(after, 'balancers', 'Wait for the new load balancers', 'each load balancer has an address', balancersAnswer(name)),
          step('kots', 'Tell KOTS the new addresses', kotsHasAddresses(after), { verify: () => kotsReaches((status) => status === 'deployed', 'KOTS has deployed them', undefined) }),
          step('nomad-servers', 'Start the Nomad servers anew, so that they advertise the new address', nomadAdvertises(after), { verify: nomadServersRun }),
          step('dns', 'By hand: let the DNS name lead to the new load balancer', dnsLeadsThere(after), { verify: dnsChecks(name) }),
          step('nomad-clients', 'By hand: let the Nomad clients connect to the new address', nomadClientsAreBack(after), { verify: clientChecks(name) }),
          step('tidy', 'Forget the addresses of before', forgetAddresses(after)),
        ]
      },
    }),

    verb({
      name: 'backup-restore schedule',
      purpose: 'have backups made by themselves, and kept for a while',
      guide: 'CircleCI server 3.4.1 operations guide, "Scheduling backups with KOTS"',
      when: 'Once Velero is set up; and again when the time or the retention is to be another one.',
      inputs: {
        cron: text('cron', 'when, as cron has it (UTC)', { env: 'BACKUP_CRON', otherwise: '0 2 * * *', pattern: /^(\S+\s+){4}\S+$/, looks: 'five fields in quotes: \'0 2 * * *\'' }),
        keep: text('duration', 'how long backups are kept', { env: 'BACKUP_KEEP', otherwise: '30d', pattern: /^[1-9]\d*[hd]$/, looks: '30d or 720h' }),
        inCluster: { ...flag('leave it to a CronJob, which fails where a backup does; KOTS then makes none'), env: 'BACKUP_IN_CLUSTER' },
        image: { ...optional('image', 'image for --in-cluster: this folder, built, as /runbooks, with node, kubectl and its KOTS plugin'), env: 'BACKUP_IMAGE' },
        off: { ...flag('make none by themselves; the retention holds all the same'), env: 'BACKUP_OFF' },
      },
      examples: [`--cron '0 2 * * *' --keep 30d ${where}`, `--in-cluster --image registry.example.com/runbooks:1 ${where}`, `--off ${where}`, "--cron '0 2 * * *' --rehearse"],
      preflight: (values) => [kotsKnowsSnapshots(), licenceHasSnapshots(), kotsMayUseVelero(), veleroRuns(), imageIsNamed(values)],
      outcome: ({ cron, keep, off, inCluster }) => `${off ? 'No backup is made by itself' : `Backups are made at “${cron}” by ${inCluster ? 'a CronJob' : 'KOTS'}`}, and kept for ${keep}`,
      facts: scheduleFacts,
      afterwards: ['A schedule is no proof: look at list and verify, or alert on failed Jobs.', 'Retention is that of new backups; one that is there expires when it was to expire when it was made.'],
      steps: scheduleSteps,
    }),

    verb({
      name: 'backup-restore diagnose',
      purpose: 'find out why backups or restores do not work',
      guide: 'CircleCI server 3.4.1 operations guide, "Troubleshooting Backups and Restoration"',
      when: 'The console shows no Snapshots tab; a backup or a restore fails, or does not end.',
      inputs: {},
      examples: [where],
      preflight: () => [],
      report: () => findings(troubleshooting(), 'Backups of this installation'),
    }),

    verb({
      name: 'backup-restore delete',
      purpose: 'delete a backup with all that it holds in the bucket',
      guide,
      when: 'A backup is not to be kept until it expires.',
      inputs: { name: named },
      examples: [`instance-7k2fq ${where} --yes --confirm prod-ci`],
      preflight: ({ name }) => [veleroRuns(), locationAnswersNow(), backupIsDeletable(name)],
      outcome: ({ name }) => `There is no backup ${name}`,
      facts: backupFacts,
      afterwards: ['Where the bucket keeps versions, the objects are only marked as deleted: its life-cycle rules remove them.'],
      steps: ({ name }) => [
        step('delete', 'Let Velero delete it, in the bucket too', deleteBackup(name), {
          verify: async () => [deletionEnds(name)], back: 'There is none: what is deleted is gone.',
        }),
      ],
    }),
  ],
})
