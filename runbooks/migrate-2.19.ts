#!/usr/bin/env -S npx tsx
/**
 * Move CircleCI server 2.19 to an installation of 3.x: stop the one, bring its data, keys and objects to the other, start
 * that; prove it, report it, and go back. Installation guide 3.3.0, "CircleCI Server v3.x Migration".
 */
import { done, hours, isDone, minutes, step, verifyStep, type Step } from '../lib/effect.ts'
import { flag, orNone, secret } from '../lib/inputs.ts'
import { besides219, bucketField, haveMostObjects, haveObjects, haveStarted219, haveStopped, haveTokenForgotten, haveTokenInjected, startedCheck219, stillStopped, stoppedCheck, tokenCheck, tokenNotes, type Storage } from '../lib/migration/after.ts'
import { archiveIsWhole, roomForArchive } from '../lib/migration/archive.ts'
import { boxAt, isStopped, stillRuns, type Box } from '../lib/migration/box.ts'
import { box, comesFromSomewhere, host, leftOut, moved, proving, rest, sidesOf, sshKey } from '../lib/migration/inputs.ts'
import { FOR_MIGRATION, bucketIsNamed, boxIsBackedUp, boxIsOf219, clocksAgree, dataIsThere, downtimeIsKnown, keysAreKnown, newOneIsBackedUp, outsideIsBackedUp, storesAreInside, trialIsApart, volumesSuffice } from '../lib/migration/looks.ts'
import { haveHeld, haveNotes, haveStarted, heldCheck, isHeld, startedCheck, stillHeld } from '../lib/migration/held.ts'
import { haveKeys, haveKeysKept } from '../lib/migration/keys.ts'
import { cameAt, haveProof, proofByHand, proofCheck, proofNotes, proofs, provenBefore, PROVING } from '../lib/migration/proof.ts'
import { agreed, figuresAgree, migrationReport } from '../lib/migration/report.ts'
import { labelOf } from '../lib/migration/scripts.ts'
import { allCame, arrived, haveExported, haveStore } from '../lib/migration/stores.ts'
import { haveNoContainers, haveTrialOver, noDeployIsOnItsWay, OVER, trialByHand, unlessOver } from '../lib/migration/back.ts'
import {
  claimIsGone, claimNotes, haveClaim, haveClaimAway, haveHelper, haveHelperAway, haveVaultDown, haveVaultOpen, haveVaultUp, helperIsGone, helperRuns, vaultIsGone, vaultIsOpen, vaultRuns,
} from '../lib/migration/vault.ts'
import { haveWebhooks, webhooksByHand, webhooksCheck } from '../lib/migration/webhooks.ts'
import { permissionsAllow } from '../lib/preflight.ts'
import { runbooks, verb } from '../lib/runbook.ts'
import { haveNames, namesByHand, namesLeadThere } from '../lib/server/arrival.ts'
import { heldBy } from '../lib/server/config.ts'
import { configure, mayConfigure } from '../lib/server/phase-three.ts'

const guide = 'CircleCI server 3.3.0 installation guide, "CircleCI Server v3.x Migration"'
const githubToken = orNone(secret('token', 'token of GitHub that may see webhooks, to know which still lead to 2.19', { env: 'GITHUB_TOKEN' }))
// What the end of a trial and the way back have in common.
const deploysEnd = () => verifyStep('deploys', 'Wait for a deploy of KOTS that is on its way', 'no deploy is on its way', async () => [noDeployIsOnItsWay()])
const ourServersEnd = (old: Box) => step('tidy', 'End what was started on the services box for the export', haveNoContainers(old))
const newOneIsDown = (id: string) => verifyStep(id, 'See that 3.x is still down', 'no application of 3.x runs', async () => [stillHeld()])

const where = '--context prod-ci --namespace circleci-server'

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
        githubToken,
        handOver: { ...flag('do not wait for what only a person can do (DNS, webhooks, the end of a trial), nor copy the bucket; print it'), env: 'MIGRATE_HAND_OVER' },
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
          ...(old.archive ? [] : [boxIsOf219(old), clocksAgree(old), boxIsBackedUp(old, source, stores)]), provenBefore(values, allCame(source, stores)), ...(values.from ? [archiveIsWhole(source, stores, old.archive ? undefined : old)] : [dataIsThere(old, stores, left)]),
          ...(archive && !values.from ? [roomForArchive(old, archive, stores)] : []), keysAreKnown(old), storesAreInside(stores, left), volumesSuffice(values.from ? source : old, stores, Boolean(archive)),
          bucketIsNamed(values), ...(values.trial ? [trialIsApart(old, values)] : []), newOneIsBackedUp(source, stores), ...outsideIsBackedUp(left), downtimeIsKnown(old, source, stores),
        ]
      },
      outcome: ({ trial, handOver }) => (trial ? handOver ? '3.x has the data of 2.19, for a trial' : 'The trial is over, and 2.19 runs again' : '3.x has taken the place of 2.19'),
      facts: async (values) => {
        const { old, source } = sidesOf(values), seen = await old.look(), held = await isHeld()
        const came = await Promise.all(moved(values).stores.map(async (name) => [labelOf(name), await arrived(source, name) ? 'moved' : 'not moved'] as const))
        return { ...(old.archive ? {} : { '2.19': isStopped(seen) ? 'stopped' : stillRuns(seen) }), '3.x': held === true ? 'scaled down' : 'runs', ...Object.fromEntries(came) }
      },
      afterwards: ({ trial, handOver }) => (trial ? [
        handOver ? 'When you have seen enough, the same line without --hand-over ends the trial, and starts 2.19.' : 'What was built on 3.x in the trial is not in 2.19. The move itself is the same line without --trial.',
      ] : [
        'Prove it with a fresh commit: npx tsx runbooks/realitycheck.ts; then tell the team: npx tsx runbooks/migrate-2.19.ts report has the words.',
        '2.19 must not be started any more beside 3.x. To go back: npx tsx runbooks/migrate-2.19.ts back; what was built on 3.x stays there.',
        'Builds of before are in the view Legacy Jobs. “Start Building” builds nothing in a project that was followed before: push a commit.',
      ]),
      steps: (values) => {
        const { trial, signing, encryption, oldDomain, githubToken, handOver, from } = values
        const { old, source, archive } = sidesOf(values), { stores } = moved(values), files = { signing, encryption }
        const storage: Storage = { ...values, cloud: values.cloud as Storage['cloud'] }, webhooks = { oldDomain, githubToken, handOver }
        const over = allCame(source, stores), came = async () => (await over() ? cameAt(stores) : undefined)
        const store = (name: 'mongodb' | 'postgresql'): Step[] => (stores.includes(name) ? [step(name, `Move ${labelOf(name)}`, haveStore(source, name, old, Boolean(from)), {
          back: `2.19 has all of it still: npx tsx runbooks/migrate-2.19.ts back. What ${labelOf(name)} of 3.x had before is in its backup alone.`,
        })] : [])
        const domain = async () => await heldBy('domain') ?? ''
        const steps: Step[] = [
          ...(old.archive || storage.storage === 'keep' ? [] : [step('objects-first', 'Copy the objects of 2.19 while it runs, which may take hours', haveMostObjects(storage, old), { back: 'The copy may stay; what is in it is not copied again.' })]),
          ...(old.archive ? [] : [step('stop', 'Stop 2.19, and see that all of it has ended', haveStopped(old), { verify: async () => [stoppedCheck(old)], back: '2.19 comes back with: npx tsx runbooks/migrate-2.19.ts back' })]),
          ...(archive && !from ? [
            ...stores.map((name) => step(`export-${name}`, `Keep ${labelOf(name)} in the archive`, haveExported(old, archive, name))), step('export-keys', 'Keep the keys in the archive', haveKeysKept(old, archive)),
          ] : []),
          step('note', 'Note how many of each application of 3.x run', haveNotes(over, async () => ({ ...await claimNotes(), ...await proofNotes(values), ...await tokenNotes(), [OVER]: null }))),
          step('hold', 'Scale the applications of 3.x down', haveHeld(over), { verify: async () => [heldCheck()], back: 'The same line scales them up again at its end.' }),
          ...store('mongodb'), ...store('postgresql'),
          ...(stores.includes('vault') ? [
            step('vault-down', 'Scale Vault down', haveVaultDown(source), { verify: async () => [vaultIsGone()] }),
            step('vault-old', 'Remove its claim', haveClaimAway(source), { verify: async () => [claimIsGone()], back: 'What Vault of 3.x had before is in its backup alone; 2.19 has its own still.' }),
            step('vault-new', 'Make its claim anew, as large and of the same class', haveClaim(source)),
            step('vault-pod', 'Start a pod that fills its volume', haveHelper(source), { verify: async () => [helperRuns()] }),
            step('vault', 'Move Vault', haveStore(source, 'vault', old, Boolean(from))),
            step('vault-pod-gone', 'Remove that pod', haveHelperAway(source), { verify: async () => [helperIsGone()] }),
            step('vault-up', 'Scale Vault up', haveVaultUp(source), { verify: async () => [vaultRuns()] }),
            step('vault-open', 'Unseal it, and renew the token of its services', haveVaultOpen(source), { verify: async () => [vaultIsOpen()] }),
          ] : []),
          verifyStep('verify', 'Compare what both sides have counted', () => agreed(source, stores), async () => stores.map((name) => figuresAgree(source, name))),
          step('keys', 'Bring the keys of 2.19 into files', haveKeys(old, files), { back: 'The files may stay: keep them where secrets are kept.' }),
          step('objects', 'Have the objects of 2.19 in the bucket of 3.x', haveObjects(storage)),
          step('bot', 'Remove the job of the bot\'s token, which the next deploy makes anew', haveTokenForgotten(came)),
          ...configure(async () => ({ signing: { file: signing, later: true }, encryption: { file: encryption, later: true }, ...bucketField(storage) })).map((one) => besides219(old, one)),
          besides219(old, step('bot-again', 'See that the bot\'s token is put in again', haveTokenInjected(came), {
            grace: { within: minutes(3), who: 'the deploy', seen: async () => 'no such job yet' }, verify: async () => [tokenCheck()],
          })),
          besides219(old, step('start', 'Scale the applications of 3.x up, each to what it was', haveStarted(over), { verify: async () => [startedCheck()], back: 'npx tsx runbooks/migrate-2.19.ts back stops 3.x and starts 2.19.' })),
          ...(trial ? [] : [
            step('dns', 'By hand: let the name lead to 3.x', async () => {
              const answer = await haveNames(await domain(), undefined, { project: undefined, profile: undefined })
              return isDone(answer) || !handOver ? answer : done(`handed over: ${await namesByHand(await domain())}`)
            }, {
              manual: { say: async () => namesByHand(await domain()), within: minutes(120) }, verify: async () => namesLeadThere(await domain()),
            }),
            step('webhooks', 'By hand: let the webhooks of projects lead to 3.x', haveWebhooks(webhooks), { manual: { say: () => webhooksByHand(webhooks), within: hours(8) }, verify: async () => [webhooksCheck(webhooks)] }),
          ]),
          step('realitycheck', 'By hand: see that builds run, by a fresh commit', haveProof(values, stores), { manual: { say: () => proofByHand(values), within: PROVING }, verify: async () => [proofCheck(values, stores)] }),
          ...(old.archive ? [] : [verifyStep('alone', 'See that 2.19 is still stopped', '2.19 is stopped', async () => [stillStopped(old)])]),
        ]
        return trial ? [
          ...steps.map(unlessOver),
          ...(handOver ? [] : [
            step('look', 'By hand: look at 3.x, and say when you have seen enough', haveTrialOver, { manual: { say: trialByHand, within: hours(72) } }),
            deploysEnd(),
            step('end', 'Scale the applications of 3.x down', haveHeld(async () => undefined), { verify: async () => [heldCheck()] }),
            ourServersEnd(old),
            step('again', 'Start 2.19 again', haveStarted219(old, 'what was built on 3.x in the trial is not in 2.19'), { verify: async () => [startedCheck219(old)] }),
            newOneIsDown('alone-again'),
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
          deploysEnd(),
          step('note', 'Note how many of each application of 3.x run', haveNotes(async () => undefined, async () => ({}))),
          step('hold', 'Scale the applications of 3.x down', haveHeld(async () => undefined), { verify: async () => [heldCheck()], back: 'Scale them up again, or: npx tsx runbooks/migrate-2.19.ts move' }),
          ourServersEnd(old),
          step('start', 'Start 2.19', haveStarted219(old, 'what was built on 3.x since the migration is not in 2.19'), { verify: async () => [startedCheck219(old)] }),
          newOneIsDown('alone'),
        ]
      },
    }),

    verb({
      name: 'migrate-2.19 report',
      purpose: 'tell what was moved and how one knows, and what to say to the team',
      guide,
      when: 'After the migration, and whenever somebody asks how far it is; the services box must still answer.',
      scenario: 'migrated',
      inputs: { ...box, ...rest, ...leftOut, githubToken },
      examples: [`--host ubuntu@circleci.example.com --storage keep --bucket circleci-2 ${where} > migration.md`],
      preflight: () => [],
      together: comesFromSomewhere,
      report: (values) => {
        const { stores, left } = moved(values)
        return migrationReport(values, sidesOf(values), stores, left, values, proofs, values.githubToken)()
      },
    }),
  ],
})
