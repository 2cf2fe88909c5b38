#!/usr/bin/env -S npx tsx
/**
 * Grow the volume of an internal database, without downtime.
 * Operations guide 3.4.1, "Internal Database Volume Expansion".
 */
import {
  DATABASES, NAMED_ITEMS, allClaimsAskFor, asked, claimsOf, claimsOfAll, classesOf, database, fileSystemsHave, namedItem, oneItemEach,
  recreatedMark, signsOfKots, sizeByHand, sizeItem, templatePath, templateSize, uidsOf, unmark,
} from '../lib/server/databases.ts'
import { done, forEach, minutes, step, verifyStep } from '../lib/effect.ts'
import {
  awsAllowsAChange, claimsAreBound, classesCanExpand, databaseRunsHere, kotsKnowsTheSize, PERMISSIONS, quotaLeavesRoom, sizeIsLarger,
} from '../lib/server/expansion.ts'
import { fail } from '../lib/fail.ts'
import { flag, optional, quantity, someOf } from '../lib/inputs.ts'
import { adminConsole, failedDeploy, inForce, isOnItsWay, kotsReaches, kotsVersions, setAndDeploy } from '../lib/server/kots.ts'
import { patch, remove, restart } from '../lib/cluster/changes.ts'
import { allReady, notGoing } from '../lib/cluster/checks.ts'
import { isAway, isGoing, read, ref } from '../lib/cluster/objects.ts'
import { backupIsRecent, nothingElseIsUndeployed, permissionsAllow, serverIsAtLeast } from '../lib/preflight.ts'
import { GI, bytes } from '../lib/cluster/quantity.ts'
import { claimsHave, dfNow, factsOf, restartNeeded, samePods, setHas, setNow, volumesHave } from '../lib/server/resize.ts'
import { runbook } from '../lib/runbook.ts'
import { commandLine } from '../lib/shell.ts'
import { troublesOfExpanding } from '../lib/server/troubles.ts'

const inputs = {
  db: someOf(DATABASES, 'database whose volume grows'),
  size: quantity('new size of each volume, e.g. 10Gi'),
  allowRestart: flag('allow a restart of the database (1 to 5 minutes of downtime) if its file system does not grow without'),
  kotsItem: optional('key', 'KOTS item that holds the size, where it cannot be found: KEY, or mongodb=KEY,postgresql=KEY', NAMED_ITEMS, 'KEY, or mongodb=KEY,postgresql=KEY'),
}

export default runbook(import.meta, {
  name: 'expand-pvc',
  purpose: 'grow the volume of an internal database, without downtime',
  guide: 'CircleCI server 3.4.1 operations guide, "Internal Database Volume Expansion"',
  when: 'The disk of MongoDB or PostgreSQL inside the cluster fills up (see df in its pod), from server 3.2.0 on.',
  inputs,
  examples: [
    '--db mongodb --size 10Gi --context prod-ci --namespace circleci-server --dry-run',
    '--db mongodb --size 10Gi --context prod-ci --namespace circleci-server',
    '--db mongodb,postgresql --size 20Gi --namespace circleci-server --yes --allow-restart',
    '--db mongodb --size 10Gi --rehearse --yes',
  ],
  together: ({ db, kotsItem }) => oneItemEach(db, kotsItem),
  preflight: ({ db, size, kotsItem }) => {
    const dbs = db.map(database)
    return [
      permissionsAllow(PERMISSIONS),
      serverIsAtLeast('3.2.0', 'volumes can grow'),
      kotsKnowsTheSize(dbs, size, kotsItem),
      ...dbs.map((one) => databaseRunsHere(one, dbs.length > 1 ? `database-${one.name}` : 'database')),
      claimsAreBound(dbs),
      sizeIsLarger(dbs, size),
      classesCanExpand(dbs),
      quotaLeavesRoom(dbs, size),
      awsAllowsAChange(dbs, size),
      backupIsRecent(),
      nothingElseIsUndeployed((key) => dbs.some((one) => key === namedItem(one, kotsItem) || (one.items.test(key) && /size/i.test(key)))),
    ]
  },
  outcome: ({ db, size }) => `${db.join(' and ')} ${db.length > 1 ? 'have' : 'has'} ${size}`,
  facts: async ({ db, size, kotsItem }) =>
    Object.assign({}, ...await Promise.all(db.map((name) => factsOf(database(name), size, kotsItem)))),
  troubles: async ({ db, size }) => troublesOfExpanding(db.map(database), size),
  afterwards: [
    'Node storage is another limit: it grows with the cloud provider, not here.',
    'Vault, Redis and RabbitMQ volumes have no procedure in the guides.',
  ],
  steps: ({ db, size, allowRestart, kotsItem }) => {
    const dbs = db.map(database)
    const gib = String(bytes(size) / GI)
    const names = db.join(' and ')
    const away = `${names} ${db.length > 1 ? 'have no stateful sets' : 'has no stateful set'} until step bring-back; `
      + 'the pods keep running, and would not be replaced if they died'
    /** What KOTS has to hold, where the items of all the sizes are known. */
    const wanted = async (): Promise<Record<string, string> | undefined> => {
      const items = (await Promise.all(dbs.map((one) => sizeItem(one, kotsItem)))).filter((item) => item !== undefined)
      return items.length < dbs.length ? undefined : Object.fromEntries(items.map(({ key }) => [key, gib]))
    }

    return [
      step('allow-expansion', 'Allow expansion on the storage class', async () => {
        if (await allClaimsAskFor(dbs, size)) return done(`every claim asks for ${size} already`)
        return forEach(await classesOf(dbs), async (name) => {
          const storageClass = ref('StorageClass', name)
          const allowed = (await read(storageClass))?.allowVolumeExpansion
          return allowed ? done(`${name} allows it`) : [patch(storageClass, { allowVolumeExpansion: true })]
        })
      }),

      step('remove-set', 'Remove the stateful set, keeping its pods', () => forEach(dbs, async (one) => {
        const live = await read(one.set)
        const kept = await one.kept.manifest()
        if (live && isGoing(live)) return []
        if (live && templateSize(one, live) === size) return done(`${one.name} asks for ${size} already`)
        if (!live && kept) return done(`${one.name} is removed, its manifest kept, its pods run`)
        if (!live) {
          throw fail(`There is no stateful set ${one.name}, and no kept manifest of it.`,
            `Deploy again in KOTS, then repeat this line: ${adminConsole()}`)
        }
        return [
          ...(await one.kept.isOf(live) ? [] : [...(kept ? [one.kept.forget()] : []), one.kept.write({ pods: await uidsOf(one) })]),
          remove(one.set, live.metadata?.uid, { orphan: true, danger: away }),
        ]
      }), {
        verify: async () => dbs.map(({ set }) => notGoing(set)),
        back: 'Create the stateful set as it was, from its kept manifest.',
        undo: dbs.map(({ kept }) => commandLine(kept.recreate([]).command)),
      }),

      step('grow', 'Raise every claim', async () => forEach(await claimsOfAll(dbs), async ({ name, claim }) =>
        asked(claim) === size
          ? done(`${name} asks for ${size}`)
          : [patch(ref('PersistentVolumeClaim', name), { spec: { resources: { requests: { storage: size } } } })]), {
        back: 'A claim never shrinks; what was raised stays raised, and is harmless.',
      }),

      step('deploy', `Tell KOTS the new size (${gib}) and deploy`, async () => {
        const values = await wanted()
        if (!values) {
          const sign = await signsOfKots(dbs, size)
          return sign ? done(`KOTS cannot be read here; ${sign}`) : []
        }
        // What others saved since, and did not deploy, is theirs to deploy.
        const known = await inForce(values)
        return known === undefined ? [setAndDeploy(values, (await kotsVersions())?.[0]?.sequence)] : done(`KOTS holds ${gib}: ${known}`)
      }, {
        manual: { within: minutes(10), say: () => sizeByHand(dbs, size, adminConsole()) },
        verify: async () => kotsReaches(isOnItsWay, 'KOTS deploys it', await wanted()),
        back: 'Whatever KOTS does, step bring-back brings the stateful set back. Nothing is lost.',
      }),

      step('bring-back', 'Bring the stateful set back with the new size', () => forEach(dbs, async (one) => {
        const live = await read(one.set)
        if (!isAway(live) && templateSize(one, live) === size) return done(`${one.name} is back with ${size}`)
        return [one.kept.recreate([{ path: await templatePath(one), value: size }, await recreatedMark(one, size)])]
      }), {
        always: async () => (await Promise.all(dbs.map(({ set }) => read(set)))).some(isAway),
        // The server takes no set of this name while the old one is still being deleted.
        before: async () => dbs.map(({ set }) => notGoing(set, minutes(10))),
        grace: {
          within: minutes(10), who: 'the deploy',
          seen: async () => (await Promise.all(dbs.map(setNow))).join(', '),
          hopeless: failedDeploy,
        },
        verify: async () => (await Promise.all(dbs.map(async (one) => [setHas(one, size), allReady(one.set), ...await samePods(one)]))).flat(),
        back: `${names} may have no stateful set now: the pods run, but would not be replaced if they died. The same line brings it back.`,
      }),

      verifyStep('resize', 'Wait until the volume has grown', `every volume has ${size}`, () => volumesHave(dbs, size)),

      step('restart', 'Restart the database, if its file system did not grow', () => forEach(dbs, async (one) => {
        const claims = await claimsOf(one)
        if (claims.every(({ claim }) => bytes(claim?.status?.capacity?.['storage']) >= bytes(size))) return done(`not needed: ${one.name} grew online`)
        const set = await read(one.set)
        const rolling = set && set.status?.updateRevision !== set.status?.currentRevision
        return rolling ? [] : [restart(one.set, `${one.name} is down for 1 to 5 minutes while it restarts, if its file system does not grow by itself`)]
      }), {
        grace: {
          within: minutes(5), who: 'the file system to grow by itself', unless: 'the file system has not grown by itself',
          seen: async () => (await Promise.all(dbs.map(dfNow))).join(', '),
        },
        permission: {
          granted: allowRestart, flag: '--allow-restart',
          ask: `If a file system does not grow by itself, may ${names} be restarted (1 to 5 minutes of downtime)?`,
          needed: () => restartNeeded(dbs, size, '--allow-restart'),
        },
        verify: async () => [...await claimsHave(dbs, size), ...dbs.map(({ set }) => allReady(set))],
      }),

      verifyStep('verify', 'See that claims, events and df agree, and KOTS where it can be read', async () => await wanted()
        ? `claims, events, df and KOTS agree on ${size}` : `claims, events and df agree on ${size}; KOTS cannot be read here`, async () => [
        ...await claimsHave(dbs, size),
        ...(await Promise.all(dbs.map((one) => fileSystemsHave(one, size)))).flat(),
        ...await kotsReaches((status) => status === 'deployed', 'KOTS has deployed it', await wanted()),
      ]),

      step('tidy', 'Remove the kept manifest', () => forEach(dbs, async (one) => {
        const set = await read(one.set)
        const kept = await read(one.kept.ref) || templateSize(one, set) !== size
        const left = [...(await wanted() ? unmark(one, set) : []), ...(kept ? [one.kept.forget()] : [])]
        return left.length ? left : done('no manifest is kept')
      })),
    ]
  },
})
