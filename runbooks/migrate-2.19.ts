#!/usr/bin/env -S npx tsx
/**
 * Move CircleCI server 2.19 to an installation of 3.x: stop the one, bring its data, keys and objects to the other, start
 * that; prove it, report it, and go back. Installation guide 3.3.0, "CircleCI Server v3.x Migration".
 */
import { done, hours, isDone, minutes, step, verifyStep, type Step } from '../lib/effect.ts'
import { EXIT, fail } from '../lib/fail.ts'
import { flag, optional, orNone, secret, text } from '../lib/inputs.ts'
import { besides219, bucketField, CLOUDS, haveObjects, haveStarted219, haveStopped, haveTokenInjectedAnew, mayStart, startedCheck219, stoppedCheck, type Storage } from '../lib/migration/after.ts'
import { archiveAt, archiveIsWhole, roomForArchive } from '../lib/migration/archive.ts'
import { boxAt, isStopped, stillRuns, type Box } from '../lib/migration/box.ts'
import { FOR_MIGRATION, bucketIsNamed, boxIsBackedUp, boxIsOf219, clocksAgree, dataIsThere, downtimeIsKnown, keysAreKnown, outsideIsBackedUp, storesAreInside, trialIsApart, volumesSuffice, type Given } from '../lib/migration/looks.ts'
import { haveHeld, haveNotes, haveStarted, heldCheck, isHeld, startedCheck } from '../lib/migration/held.ts'
import { haveKeys, haveKeysKept } from '../lib/migration/keys.ts'
import { cameAt, haveProof, proofByHand, proofCheck, proofNotes, proofs, provenBefore, PROVING } from '../lib/migration/proof.ts'
import { agreed, figuresAgree, migrationReport } from '../lib/migration/report.ts'
import { arrived, haveExported, haveStore, labelOf, STORES, type StoreName } from '../lib/migration/stores.ts'
import { haveNoContainers, haveTrialOver, noDeployIsOnItsWay, trialByHand, unlessOver } from '../lib/migration/back.ts'
import {
  claimIsGone, claimNotes, haveClaim, haveClaimAway, haveHelper, haveHelperAway, haveVaultDown, haveVaultOpen, haveVaultUp, helperIsGone, helperRuns, vaultIsGone, vaultIsOpen, vaultRuns,
} from '../lib/migration/vault.ts'
import { haveWebhooks, webhooksByHand, webhooksCheck } from '../lib/migration/webhooks.ts'
import { backupIsRecent, permissionsAllow } from '../lib/preflight.ts'
import { runbooks, verb } from '../lib/runbook.ts'
import { haveNames, namesByHand, namesLeadThere } from '../lib/server/arrival.ts'
import { heldBy } from '../lib/server/config.ts'
import { configure, mayConfigure } from '../lib/server/phase-three.ts'

const guide = 'CircleCI server 3.3.0 installation guide, "CircleCI Server v3.x Migration"'
const where = '--context prod-ci --namespace circleci-server'

const host = text('host', 'services box of 2.19, as ssh takes it: ubuntu@circleci.example.com', { env: 'MIGRATE_HOST', pattern: /^[^\s-]\S*$/, looks: 'user and host: ubuntu@circleci.example.com' })
const sshKey = { ...optional('file', 'private key for it, where ssh does not know which'), env: 'MIGRATE_SSH_KEY' }
const box = {
  host: orNone(host), sshKey,
  exportDir: { ...optional('folder', 'keep an archive here, in the layout of the guide\'s script, and import from it'), env: 'MIGRATE_EXPORT_DIR' },
  from: { ...optional('folder', 'import from such an archive, without or with the box that it is of'), env: 'MIGRATE_FROM' },
}
const leftOut = {
  skipMongo: { ...flag('leave MongoDB out: it is outside, and 3.x has the same one'), env: 'MIGRATE_SKIP_MONGO' },
  skipPostgres: { ...flag('leave PostgreSQL out, for the same reason'), env: 'MIGRATE_SKIP_POSTGRES' },
  skipVault: { ...flag('leave Vault out'), env: 'MIGRATE_SKIP_VAULT' },
}
const rest = {
  storage: { ...text('keep|copy', 'objects: 3.x takes the bucket of 2.19 (final), or gets a copy of it', { env: 'MIGRATE_STORAGE', pattern: /^(keep|copy)$/, looks: 'keep or copy' }), choices: ['keep', 'copy'] },
  bucket: text('name', 'bucket of 2.19; on a store that speaks S3 with its alias in front: my-store/circleci', { env: 'MIGRATE_BUCKET' }),
  cloud: { ...text('aws|gcp|s3', 'where that is', { env: 'CIRCLECI_CLOUD', pattern: /^(aws|gcp|s3)$/, looks: 'aws, gcp or s3', otherwise: 'aws' }), choices: CLOUDS },
  oldDomain: { ...optional('domain', 'name of 2.19, where that of 3.x is another one'), env: 'MIGRATE_OLD_DOMAIN' },
  signing: text('file', 'file for the signing key of 2.19', { env: 'MIGRATE_SIGNING', otherwise: 'old-keyset-signing' }),
  encryption: text('file', 'file for its encryption key', { env: 'MIGRATE_ENCRYPTION', otherwise: 'old-keyset-encryption' }),
  trial: { ...flag('try it: 3.x has a name, a bucket and an OAuth app of its own, and 2.19 comes back at the end'), env: 'MIGRATE_TRIAL' },
}

/** All stores that are moved have come. */
const allCame = (source: Box, stores: StoreName[]) => async (): Promise<string | undefined> => {
  const all = await Promise.all(stores.map((name) => arrived(source, name)))
  return all.every((why) => why !== undefined) ? stores.length ? 'all data has come' : 'no store is moved' : undefined
}

/** 2.19 itself, where it is named; and where the data comes from: it, or an archive. */
const sidesOf = ({ host, sshKey, exportDir, from }: Pick<Given, 'host' | 'sshKey' | 'exportDir' | 'from'>): { old: Box; source: Box; archive: Box | undefined } => {
  const folder = from ?? exportDir, archive = folder ? archiveAt(folder) : undefined
  const old = host ? boxAt(host, sshKey) : archiveAt(folder ?? '')
  return { old, source: archive ?? old, archive }
}
const comesFromSomewhere = ({ host, exportDir, from }: Given): void => {
  if (!host && !from) throw fail('Neither the services box nor an archive of it is named.', 'Add --host ubuntu@circleci.example.com; or --from FOLDER, where circleci_export is in it.', { code: EXIT.usage })
  if (exportDir && from) throw fail('--export-dir makes an archive, and --from has one.', 'Leave one of them out.', { code: EXIT.usage })
}

const proving = {
  org: { ...optional('name', 'organisation at GitHub in which realitycheck lies, to look up its runs', /^[\w-]+$/, 'the name as in its address: my-org'), env: 'GITHUB_ORG' },
  repo: text('name', 'name of that repository', { env: 'REALITYCHECK_REPO', otherwise: 'realitycheck' }),
  enterprise: { ...optional('host', 'host of a GitHub Enterprise, in place of github.com'), env: 'GITHUB_ENTERPRISE_HOST' },
  token: orNone(secret('API token', 'personal API token of somebody in that organisation', { env: 'CIRCLECI_TOKEN' })),
}

const moved = ({ skipMongo, skipPostgres, skipVault }: Pick<Given, keyof typeof leftOut>): { stores: StoreName[]; left: StoreName[] } => {
  const out = { mongodb: skipMongo, postgresql: skipPostgres, vault: skipVault }
  return { stores: STORES.filter((name) => !out[name]), left: STORES.filter((name) => out[name]) }
}

export default runbooks(import.meta, {
  name: 'migrate-2.19',
  purpose: 'move server 2.19 to an installation of 3.x, prove it, and go back',
  guide,
  verbs: [
    verb({
      name: 'migrate-2.19 move',
      purpose: 'stop 2.19, bring its data, keys and objects to 3.x, and start that',
      guide,
      when: 'Once 3.x is installed and realitycheck has passed on it, in a maintenance window; first as a trial, to learn how long it takes.',
      scenario: 'migration',
      inputs: {
        ...box, ...rest, ...leftOut, ...proving,
        githubToken: orNone(secret('token', 'token of GitHub that may see webhooks, to know which still lead to 2.19', { env: 'GITHUB_TOKEN' })),
        handOver: { ...flag('do not wait for what only a person can do (DNS, webhooks), nor copy the bucket; print it'), env: 'MIGRATE_HAND_OVER' },
      },
      examples: [
        `--host ubuntu@circleci.example.com --storage keep --bucket circleci-2 ${where} --dry-run`,
        `--host ubuntu@circleci.example.com --storage keep --bucket circleci-2 ${where}`,
        `--host ubuntu@circleci.example.com --storage copy --bucket circleci-2 --old-domain circleci.example.com --trial ${where}`,
        '--host ubuntu@old.example.com --storage keep --bucket circleci-2 --rehearse --scenario migration --yes --confirm rehearsal',
      ],
      together: comesFromSomewhere,
      preflight: (values) => {
        const { old, source, archive } = sidesOf(values), { stores, left } = moved(values)
        return [
          ...mayConfigure(['signing', 'encryption', 's3Bucket', 'gcsBucket'], FOR_MIGRATION),
          ...(old.archive ? [] : [boxIsOf219(old), clocksAgree(old), boxIsBackedUp(old, source, stores)]), provenBefore(values, allCame(source, stores)), ...(values.from ? [archiveIsWhole(source, stores)] : [dataIsThere(old, stores, left)]),
          ...(archive && !values.from ? [roomForArchive(old, archive, stores)] : []), keysAreKnown(values.from ? source : old), storesAreInside(stores, left), volumesSuffice(values.from ? source : old, stores),
          bucketIsNamed(values), ...(values.trial ? [trialIsApart(old, values)] : []), backupIsRecent(), ...outsideIsBackedUp(left), downtimeIsKnown(old, source, stores),
        ]
      },
      outcome: ({ trial, handOver }) => (trial ? handOver ? '3.x has the data of 2.19, for a trial' : 'The trial is over, and 2.19 runs again' : '3.x has taken the place of 2.19'),
      facts: async (values) => {
        const { old, source } = sidesOf(values), seen = await old.look(), held = await isHeld()
        const came = await Promise.all(moved(values).stores.map(async (name) => [labelOf(name), await arrived(source, name) ? 'moved' : 'not moved'] as const))
        return { ...(old.archive ? {} : { '2.19': isStopped(seen) ? 'stopped' : stillRuns(seen) }), '3.x': held === true ? 'scaled down' : 'runs', ...Object.fromEntries(came) }
      },
      afterwards: [
        'Prove it with a fresh commit: npx tsx runbooks/realitycheck.ts; then tell the team: npx tsx runbooks/migrate-2.19.ts report has the words.',
        '2.19 must not be started any more beside 3.x. To go back: npx tsx runbooks/migrate-2.19.ts back; what was built on 3.x stays there.',
        'Builds of before are in the view Legacy Jobs. “Start Building” builds nothing in a project that was followed before: push a commit.',
      ],
      steps: (values) => {
        const { trial, signing, encryption, oldDomain, githubToken, handOver, from } = values
        const { old, source, archive } = sidesOf(values), { stores } = moved(values), files = { signing, encryption }
        const storage: Storage = { ...values, cloud: values.cloud as Storage['cloud'] }, webhooks = { oldDomain, githubToken, handOver }
        const over = allCame(source, stores)
        const store = (name: 'mongodb' | 'postgresql'): Step[] => (stores.includes(name) ? [step(name, `Move ${labelOf(name)}`, haveStore(source, name, old), {
          back: `2.19 has all of it still: npx tsx runbooks/migrate-2.19.ts back. What ${labelOf(name)} of 3.x had before is in its backup alone.`,
        })] : [])
        const domain = async () => await heldBy('domain') ?? ''
        const steps: Step[] = [
          ...(old.archive ? [] : [step('stop', 'Stop 2.19, and see that all of it has ended', haveStopped(old), { verify: async () => [stoppedCheck(old)], back: '2.19 comes back with: npx tsx runbooks/migrate-2.19.ts back' })]),
          ...(archive && !from ? [
            ...stores.map((name) => step(`export-${name}`, `Keep ${labelOf(name)} in the archive`, haveExported(old, archive, name))), step('export-keys', 'Keep the keys in the archive', haveKeysKept(old, archive)),
          ] : []),
          step('note', 'Note how many of each application of 3.x run', haveNotes(over, async () => ({ ...await claimNotes(), ...await proofNotes(values) }))),
          step('hold', 'Scale the applications of 3.x down', haveHeld(over), { verify: async () => [heldCheck()], back: 'The same line scales them up again at its end.' }),
          ...store('mongodb'), ...store('postgresql'),
          ...(stores.includes('vault') ? [
            step('vault-down', 'Scale Vault down', haveVaultDown(source), { verify: async () => [vaultIsGone()] }),
            step('vault-old', 'Remove its claim', haveClaimAway(source), { verify: async () => [claimIsGone()], back: 'What Vault of 3.x had before is in its backup alone; 2.19 has its own still.' }),
            step('vault-new', 'Make its claim anew, as large and of the same class', haveClaim(source)),
            step('vault-pod', 'Start a pod that fills its volume', haveHelper(source), { verify: async () => [helperRuns()] }),
            step('vault', 'Move Vault', haveStore(source, 'vault', old)),
            step('vault-pod-gone', 'Remove that pod', haveHelperAway(source), { verify: async () => [helperIsGone()] }),
            step('vault-up', 'Scale Vault up', haveVaultUp(source), { verify: async () => [vaultRuns()] }),
            step('vault-open', 'Unseal it, and renew the token of its services', haveVaultOpen(source), { verify: async () => [vaultIsOpen()] }),
          ] : []),
          verifyStep('verify', 'Compare what both sides have counted', () => agreed(source, stores), async () => stores.map((name) => figuresAgree(source, name))),
          step('keys', 'Bring the keys of 2.19 into files', haveKeys(from ? source : old, files), { back: 'The files may stay: keep them where secrets are kept.' }),
          step('objects', 'Have the objects of 2.19 in the bucket of 3.x', haveObjects(storage)),
          step('bot', 'Remove the job of the bot\'s token, which the next deploy makes anew', haveTokenInjectedAnew(() => cameAt(stores))),
          ...configure(async () => ({ signing: { file: signing, later: true }, encryption: { file: encryption, later: true }, ...bucketField(storage) })).map((one) => besides219(old, one)),
          step('start', 'Scale the applications of 3.x up, each to what it was', haveStarted(over, mayStart(old)), { verify: async () => [startedCheck()], back: 'npx tsx runbooks/migrate-2.19.ts back stops 3.x and starts 2.19.' }),
          step('realitycheck', 'By hand: see that builds run, by a fresh commit', haveProof(values, stores), { manual: { say: () => proofByHand(values), within: PROVING }, verify: async () => [proofCheck(values, stores)] }),
          ...(trial ? [] : [
            step('dns', 'By hand: let the name lead to 3.x', async () => {
              const answer = await haveNames(await domain(), undefined, { project: undefined, profile: undefined })
              return isDone(answer) || !handOver ? answer : done(`handed over: ${await namesByHand(await domain())}`)
            }, {
              manual: { say: async () => namesByHand(await domain()), within: minutes(120) }, verify: async () => namesLeadThere(await domain()),
            }),
            step('webhooks', 'By hand: let the webhooks of projects lead to 3.x', haveWebhooks(webhooks), { manual: { say: () => webhooksByHand(webhooks), within: hours(8) }, verify: async () => [webhooksCheck(webhooks)] }),
          ]),
        ]
        return trial ? [
          ...steps.map(unlessOver),
          ...(handOver ? [] : [
            step('look', 'By hand: look at 3.x, and say when you have seen enough', haveTrialOver, { manual: { say: trialByHand, within: hours(72) } }),
            step('end', 'Scale the applications of 3.x down', haveHeld(async () => undefined), { verify: async () => [heldCheck()] }),
            step('again', 'Start 2.19 again', haveStarted219(old, undefined), { verify: async () => [startedCheck219(old)] }),
          ]),
        ] : steps
      },
    }),

    verb({
      name: 'migrate-2.19 back',
      purpose: 'go back: stop 3.x, and start 2.19 with the data as it was',
      guide,
      when: 'When the migration cannot go on, or 3.x is not what it should be; the sooner, the less was built that 2.19 has not.',
      scenario: 'migrated',
      inputs: { host, sshKey, ...leftOut },
      examples: [`--host ubuntu@circleci.example.com ${where} --dry-run`, `--host ubuntu@circleci.example.com ${where}`, '--host ubuntu@old.example.com --rehearse --scenario migrated --yes'],
      preflight: (values) => [permissionsAllow(FOR_MIGRATION), boxIsOf219(boxAt(values.host, values.sshKey)), ...outsideIsBackedUp(moved(values).left)],
      outcome: () => '2.19 runs again, and 3.x does not',
      facts: async ({ host, sshKey }) => {
        const seen = await boxAt(host, sshKey).look()
        return { '2.19': isStopped(seen) ? 'stopped' : seen.state, '3.x': await isHeld() === true ? 'scaled down' : 'runs' }
      },
      afterwards: [
        'Let the name lead to 2.19 again, where it was changed, and set up webhooks that were changed.',
        'What was built on 3.x is not in 2.19. Objects that 3.x wrote into the bucket of 2.19 stay there, and do no harm.',
        '3.x must not be started beside it. To move again: npx tsx runbooks/migrate-2.19.ts move, which brings everything anew.',
      ],
      steps: ({ host, sshKey }) => {
        const old = boxAt(host, sshKey)
        return [
          verifyStep('deploys', 'Wait for a deploy of KOTS that is on its way', 'no deploy is on its way', async () => [noDeployIsOnItsWay()]),
          step('note', 'Note how many of each application of 3.x run', haveNotes(async () => undefined, async () => ({}))),
          step('hold', 'Scale the applications of 3.x down', haveHeld(async () => undefined), { verify: async () => [heldCheck()], back: 'Scale them up again, or: npx tsx runbooks/migrate-2.19.ts move' }),
          step('tidy', 'End what was started on the services box for the export', haveNoContainers(old)),
          step('start', 'Start 2.19', haveStarted219(old, 'what was built on 3.x since the migration is not in 2.19'), { verify: async () => [startedCheck219(old)] }),
        ]
      },
    }),

    verb({
      name: 'migrate-2.19 report',
      purpose: 'tell what was moved and how one knows, and what to say to the team',
      guide,
      when: 'After the migration, and whenever somebody asks how far it is; the services box must still answer.',
      scenario: 'migrated',
      inputs: { ...box, ...rest, ...leftOut },
      examples: [`--host ubuntu@circleci.example.com --storage keep --bucket circleci-2 ${where} > migration.md`],
      preflight: () => [],
      together: comesFromSomewhere,
      report: (values) => {
        const { stores, left } = moved(values)
        return migrationReport(values, sidesOf(values), stores, left, values, proofs)()
      },
    }),
  ],
})
