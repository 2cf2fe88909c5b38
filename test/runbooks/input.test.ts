/**
 * Bad input and places that cannot be worked at: the exit code, one clear sentence, what to do next; no stack, no
 * output for machines, nothing changed.
 */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { World } from '../../lib/rehearsal/index.ts'
import { filesBelow, stage, type Ended, type Stage } from './harness.ts'

const root = new URL('../..', import.meta.url).pathname
const cleanups: (() => void)[] = []
afterAll(() => cleanups.splice(0).reverse().forEach((act) => act()))

const folder = (): string => {
  const path = mkdtempSync(join(tmpdir(), 'input-'))
  cleanups.push(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** The runbook where there is no rehearsal: only what is given here. */
const run = (args: string[], { env = {}, cwd = folder() }: { env?: Record<string, string>; cwd?: string } = {}): Promise<Ended & { home: string }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, 'dist/expand-pvc.mjs'), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'], cwd, env: { PATH: process.env['PATH'], HOME: cwd, ...env },
    })
    let stdout = '', stderr = ''
    child.stdout.on('data', (part: Buffer) => { stdout += part.toString() })
    child.stderr.on('data', (part: Buffer) => { stderr += part.toString() })
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr, all: stdout + stderr, home: cwd }))
  })

/** What a person reads, without what differs from machine to machine. */
const screen = ({ stderr }: Ended): string =>
  stderr.replaceAll(root, './').replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT').replaceAll(/\/tmp\/(input|runbooks)-\w+/g, '/state').trimEnd()

/** True of every refusal. */
const plain = ({ stdout, stderr }: Ended): void => {
  expect(stdout).toBe('')
  expect(stderr).not.toMatch(/^\s+at .+:\d+/m)
  expect(stderr).not.toMatch(/undefined|\[object|NaN|defect/)
  expect(stderr).toMatch(/^ {2}Do now {8}\S/m)
}

describe('flags and values', () => {
  const usage = async (args: string[], env: Record<string, string> = {}): Promise<string> => {
    const ended = await run(args, { env: { KUBECONFIG: '/none', ...env } })
    expect(ended.code, ended.stderr).toBe(2)
    plain(ended)
    // Not even a folder for the journal.
    expect(filesBelow(ended.home)).toEqual([])
    return screen(ended)
  }

  test('an unknown flag', async () => {
    expect(await usage(['--db', 'mongodb', '--sise', '10Gi'])).toMatchInlineSnapshot(`
      "✗ There is no flag --sise. Did you mean --size?
        Do now        node ./dist/expand-pvc.mjs --help"
    `)
  })

  test('missing flags without a terminal: all of them at once', async () => {
    expect(await usage([])).toMatchInlineSnapshot(`
      "✗ 3 values are missing, and there is no terminal to ask at:
          --db         database whose volume grows         DB
                       (mongodb, postgresql; both with a comma)
          --size       new size of each volume, e.g. 10Gi  SIZE
          --namespace  namespace of the installation       CIRCLECI_NAMESPACE
        Do now        Give them as flags, in the environment or in the env file.
        Help          node ./dist/expand-pvc.mjs --help"
    `)
    expect(await usage(['--db', 'mongodb', '--namespace', 'circleci-server'])).toMatchInlineSnapshot(`
      "✗ 1 value is missing, and there is no terminal to ask at:
          --size  new size of each volume, e.g. 10Gi  SIZE
        Do now        Give them as flags, in the environment or in the env file.
        Help          node ./dist/expand-pvc.mjs --help"
    `)
  })

  test('--size 10', async () => {
    expect(await usage(['--db', 'mongodb', '--size', '10'])).toMatchInlineSnapshot(`
      "✗ --size 10 has no unit: it would be 10 bytes.
        Do now        Write 10Gi (10 × 2³⁰ bytes).
        Help          node ./dist/expand-pvc.mjs --help"
    `)
  })

  test('--size 10GB', async () => {
    expect(await usage(['--db', 'mongodb', '--size', '10GB'])).toMatchInlineSnapshot(`
      "✗ --size 10GB is not a size that Kubernetes knows.
        Do now        Write 10Gi (10 × 2³⁰ bytes).
        Help          node ./dist/expand-pvc.mjs --help"
    `)
  })

  test('--size -1Gi', async () => {
    expect(await usage(['--db', 'mongodb', '--size', '-1Gi'])).toMatchInlineSnapshot(`
      "✗ --size -1Gi is not a size that Kubernetes knows.
        Do now        Write 10Gi (10 × 2³⁰ bytes).
        Help          node ./dist/expand-pvc.mjs --help"
    `)
    expect(await usage(['--db', 'mongodb', '--size=-1Gi'])).toMatch(/-1Gi is not a size/)
  })

  test('--db mysql', async () => {
    expect(await usage(['--db', 'mysql', '--size', '10Gi'])).toMatchInlineSnapshot(`
      "✗ --db mysql is none of mongodb, postgresql.
        Do now        Write one of them, or several with a comma: mongodb,postgresql.
        Help          node ./dist/expand-pvc.mjs --help"
    `)
  })

  test('several at once, from where they came', async () => {
    expect(await usage(['--db', 'mysql'], { SIZE: '10GB' })).toMatchInlineSnapshot(`
      "✗ --db mysql is none of mongodb, postgresql. Write one of them, or several with
        a comma: mongodb,postgresql.
        SIZE (environment) 10GB is not a size that Kubernetes knows. Write 10Gi (10 ×
        2³⁰ bytes).
        Do now        Mend these, then repeat the line.
        Help          node ./dist/expand-pvc.mjs --help"
    `)
  })

  test('--namespace that cannot be one', async () => {
    expect(await usage(['--db', 'mongodb', '--size', '10Gi', '--namespace', 'Circle CI'])).toMatchInlineSnapshot(`
      "✗ --namespace Circle CI is no namespace.
        Do now        Write lower-case letters, digits and dashes: circleci-server.
        Help          node ./dist/expand-pvc.mjs --help"
    `)
  })

  test('--timeout soon', async () => {
    expect(await usage(['--db', 'mongodb', '--size', '10Gi', '--timeout', 'soon'])).toMatchInlineSnapshot(`
      "✗ --timeout soon is no duration.
        Do now        Write 90s, 20m or 2h.
        Help          node ./dist/expand-pvc.mjs --help"
    `)
  })

  test('--scenario without --rehearse is no real run', async () => {
    for (const more of [[], ['--dry-run'], ['--yes', '--shell']]) {
      expect(await usage(['--db', 'mongodb', '--size', '10Gi', '--scenario', 'deploy-fails', ...more])).toMatchInlineSnapshot(`
        "✗ --scenario belongs to a rehearsal; add --rehearse.
          Do now        Nothing was changed. With --rehearse the line plays the
                        scenario; without --scenario it runs for real.
          Help          node ./dist/expand-pvc.mjs --help"
      `)
    }
  })

  test('an env file that does not exist', async () => {
    expect(await usage([], { ENV_FILE: 'prod.env' })).toMatchInlineSnapshot(`
      "✗ The env file prod.env does not exist.
        Do now        cp env.example .env, and fill in what this runbook reads.
        Help          node ./dist/expand-pvc.mjs --help"
    `)
  })

  test('--env-file with a file that does not exist: Node itself says so, or else the runbook', async () => {
    const { code, stdout, stderr, home } = await run(['--env-file', 'prod.env'], { env: { KUBECONFIG: '/none' } })
    expect([2, 9], stderr).toContain(code)
    expect(stderr).toMatch(code === 9 ? /^\S*node: prod\.env: not found\n$/ : /The env file prod\.env does not exist/)
    expect(stdout).toBe('')
    expect(filesBelow(home)).toEqual([])
  })

  test('a plan that does not exist, is no plan, is another runbook\'s, or has inputs beside it', async () => {
    expect(await usage(['--plan', 'plan.json'])).toMatchInlineSnapshot(`
      "✗ The plan plan.json cannot be read: ENOENT: no such file or directory, open
        'plan.json'.
        Do now        Write one with --dry-run --json > plan.json.
        Help          node ./dist/expand-pvc.mjs --help"
    `)
    expect(await usage(['--plan', join(root, 'package.json')])).toMatch(/There is no plan in/)
    expect(await usage(['--plan', 'plan.json', '--size', '10Gi'])).toMatchInlineSnapshot(`
      "✗ --size stands beside --plan, which carries the inputs.
        Do now        Leave --size out, or make a new plan.
        Help          node ./dist/expand-pvc.mjs --help"
    `)
    const other = join(folder(), 'plan.json')
    writeFileSync(other, JSON.stringify({ v: 1, event: 'plan', runbook: 'migrate' }))
    expect(await usage(['--plan', other])).toMatch(/is a plan of migrate, not of expand-pvc/)
  })

  test('for machines the same error is one line of JSON', async () => {
    const ended = await run(['--db', 'mysql', '--size', '10Gi', '--json'])
    expect(ended.code).toBe(2)
    expect(JSON.parse(ended.stdout)).toMatchObject({ v: 1, event: 'error', code: 2, what: expect.stringContaining('mysql'), next: expect.any(String) })
  })
})

describe('sizes that the world knows better', () => {
  const at = (size: string): Stage => stage(undefined, (world: World) => {
    const claim = world.objects['persistentvolumeclaims/circleci-server/datadir-mongodb-0'] as unknown as { spec: any; status: any }
    const set = world.objects['statefulsets/circleci-server/mongodb'] as unknown as { spec: any }
    claim.spec.resources.requests.storage = claim.status.capacity.storage = size
    set.spec.volumeClaimTemplates[0].spec.resources.requests.storage = size
    world.files['datadir-mongodb-0'] = { size: Number.parseInt(size) * 2 ** 30, used: 400 * 2 ** 20 }
    for (const version of world.kots.versions) version.values['mongodb_pvc_size'] = { default: '8', value: String(Number.parseInt(size)) }
    ;(world.objects['storageclasses//gp2'] as any).allowVolumeExpansion = true
  })

  test('--size 8Gi when it is 10Gi', async () => {
    const world = at('10Gi'), before = world.bytes()
    const ended = await world.run('expand-pvc', ['--db', 'mongodb', '--size', '8Gi', '--yes'])
    expect(ended.code, ended.stderr).toBe(3)
    plain(ended)
    expect(screen(ended).split('\n').slice(5).join('\n')).toMatchInlineSnapshot(`
      "Preflight  10 of 11 hold
        ✗ size    datadir-mongodb-0 has 10Gi, which is more than 8Gi: volumes grow and
                  never shrink
                  Name a size above 10Gi.

      ✗ Preflight failed: size. Nothing was changed.
        Do now        Mend what is marked ✗ above, then repeat the same line."
    `)
    expect(world.bytes()).toBe(before)
  })

  test('--size 10240Mi when it is 10Gi: nothing to do', async () => {
    const world = at('10Gi'), before = world.bytes()
    const ended = await world.run('expand-pvc', ['--db', 'mongodb', '--size', '10240Mi'])
    expect(ended.code, ended.stderr).toBe(0)
    expect(screen(ended).split('\n').slice(5).join('\n')).toMatchInlineSnapshot(`
      "Preflight  11 of 11 hold

      ✓ mongodb has 10Gi. Nothing to do.
        set mongodb              10Gi, 1 of 1 ready
        claim datadir-mongodb-0  10Gi
        df mongodb-0             9.8G, 400M used (4 %)
        pod mongodb-0            ready, uid bbd0e75f…
        KOTS mongodb             10"
    `)
    expect(world.bytes()).toBe(before)
  })
})

describe('clusters', () => {
  const servers: Server[] = []
  afterAll(() => servers.forEach((server) => { server.close(); server.closeAllConnections() }))

  /** An API server of a few answers; every request that it got. */
  const api = async (answers: Record<string, [number, object]>): Promise<{ kubeconfig: string; asked: string[] }> => {
    const asked: string[] = []
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      const [code, body] = Object.entries(answers).find(([path]) => request.url?.startsWith(path))?.[1] ?? [200, {}]
      response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(code < 400 ? body : { kind: 'Status', status: 'Failure', code, ...body }))
    })
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return { kubeconfig: kubeconfig(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), asked }
  }
  const kubeconfig = (server: string): string => {
    const file = join(folder(), 'config')
    writeFileSync(file, JSON.stringify({
      apiVersion: 'v1', kind: 'Config', 'current-context': 'prod-ci', users: [{ name: 'u', user: { token: 'expired' } }],
      clusters: [{ name: 'prod', cluster: { server } }], contexts: [{ name: 'prod-ci', context: { cluster: 'prod', user: 'u', namespace: 'circleci-server' } }],
    }))
    return file
  }
  const refused = async (code: number, args: string[], env: Record<string, string> = {}): Promise<string> => {
    const ended = await run(['--db', 'mongodb', '--size', '10Gi', '--yes', ...args], { env })
    expect(ended.code, ended.stderr).toBe(code)
    plain(ended)
    expect(filesBelow(ended.home)).toEqual([])
    return screen(ended)
  }
  const reads = (asked: string[]): void => expect(asked.filter((one) => !one.startsWith('GET ') && !one.includes('selfsubjectaccessreviews'))).toEqual([])

  test('no kubeconfig', async () => {
    expect(await refused(2, [])).toMatchInlineSnapshot(`
      "✗ There is no kubeconfig: neither --kubeconfig, nor KUBECONFIG, nor
        ~/.kube/config.
        Do now        On EKS: aws eks update-kubeconfig --name CLUSTER; on GKE:
                      gcloud container clusters get-credentials CLUSTER.
        Help          node ./dist/expand-pvc.mjs --help"
    `)
    expect(await refused(2, ['--kubeconfig', '/none/config'])).toMatchInlineSnapshot(`
      "✗ The kubeconfig /none/config cannot be read: ENOENT: no such file or directory,
        open '/none/config'.
        Do now        Name another one with --kubeconfig, or set KUBECONFIG.
        Help          node ./dist/expand-pvc.mjs --help"
    `)
  })

  test('a kubeconfig that is none', async () => {
    const file = join(folder(), 'config')
    writeFileSync(file, 'this: [is not')
    expect(await refused(2, ['--kubeconfig', file])).toContain('/state/config cannot be read')
    writeFileSync(file, '')
    await refused(2, ['--kubeconfig', file])
  })

  test('a context that it does not have', async () => {
    const { kubeconfig: file, asked } = await api({})
    expect(await refused(2, ['--kubeconfig', file, '--context', 'prod'])).toMatchInlineSnapshot(`
      "✗ The kubeconfig has no context prod.
        Do now        It has: prod-ci. Name one with --context.
        Help          node ./dist/expand-pvc.mjs --help"
    `)
    expect(asked).toEqual([])
  })

  test('no namespace, and the context names none', async () => {
    const file = kubeconfig('http://127.0.0.1:1')
    writeFileSync(file, execFileSync('sed', ['s/,"namespace":"circleci-server"//', file]))
    expect(await refused(2, ['--kubeconfig', file])).toMatchInlineSnapshot(`
      "✗ No namespace is given, and context prod-ci names none.
        Do now        Add --namespace circleci-server, or whatever it is called:
                      kubectl --kubeconfig /state/config --context \\
                        prod-ci get namespaces
        Help          node ./dist/expand-pvc.mjs --help"
    `)
  })

  test('an API server that does not answer', async () => {
    expect(await refused(3, ['--kubeconfig', kubeconfig('http://127.0.0.1:1')])).toMatchInlineSnapshot(`
      "✗ The API server http://127.0.0.1:PORT (context prod-ci) does not answer:
        connection refused (ECONNREFUSED).
        Do now        Check the network, the VPN and HTTPS_PROXY, then repeat the same
                      line; \`kubectl cluster-info\` should answer."
    `)
    expect(await refused(3, ['--kubeconfig', kubeconfig('https://no-such-host.invalid')])).toMatch(/its name\s+cannot\s+be\s+resolved\s+\((ENOTFOUND|EAI_AGAIN)\)/)
  })

  test('an expired token', async () => {
    const { kubeconfig: file, asked } = await api({ '/': [401, { reason: 'Unauthorized', message: 'Unauthorized' }] })
    expect(await refused(3, ['--kubeconfig', file])).toMatchInlineSnapshot(`
      "✗ The API server refuses the credentials (401 Unauthorized).
        Do now        The credentials of context prod-ci are not accepted (expired?).
                      Log in again, then repeat the same line."
    `)
    reads(asked)
  })

  test('a credential plugin that is not there', async () => {
    const file = kubeconfig('http://127.0.0.1:1')
    writeFileSync(file, execFileSync('sed', ['s/{"token":"expired"}/{"exec":{"apiVersion":"client.authentication.k8s.io\\/v1beta1","command":"aws-no-such-tool"}}/', file]))
    expect(await refused(3, ['--kubeconfig', file])).toMatchInlineSnapshot(`
      "✗ No credentials for context prod-ci: the program that its kubeconfig asks for
        them is not on the PATH.
        Do now        Install it (aws, gke-gcloud-auth-plugin, …): \`kubectl config
                      view\` names it under exec."
    `)
  })

  test('a namespace that does not exist', async () => {
    const { kubeconfig: file, asked } = await api({ '/api/v1/namespaces/circleci': [404, { reason: 'NotFound', message: 'namespaces "circleci" not found' }] })
    expect(await refused(3, ['--kubeconfig', file, '--namespace', 'circleci'])).toMatchInlineSnapshot(`
      "✗ There is no namespace circleci in cluster prod (context prod-ci).
        Do now        kubectl --kubeconfig /state/config --context \\
                        prod-ci get namespaces"
    `)
    reads(asked)
  })

  test('a forbidden verb', async () => {
    const world = stage(undefined, (one) => { one.rules.denied = [{ verb: 'delete', group: 'apps', resource: 'statefulsets' }, { verb: 'create', group: '', resource: 'secrets' }] })
    const before = world.bytes()
    const ended = await world.run('expand-pvc', ['--db', 'mongodb', '--size', '10Gi', '--yes'])
    expect(ended.code, ended.stderr).toBe(3)
    plain(ended)
    expect(screen(ended).split('\n').slice(5).join('\n')).toMatchInlineSnapshot(`
      "Preflight  10 of 11 hold
        ✗ permissions    you may not: delete statefulsets, create secrets
                         Ask a cluster administrator for these, in namespace
                         circleci-server or cluster-wide as they are marked.

      ✗ Preflight failed: permissions. Nothing was changed.
        Do now        Mend what is marked ✗ above, then repeat the same line. Where
                      you know better, with --ignore-preflight permissions:
                      node dist/expand-pvc.mjs --db mongodb --size 10Gi --rehearse \\
                        --ignore-preflight permissions --yes"
    `)
    expect(world.bytes()).toBe(before)
  })

  test('a read that is forbidden is told like a forbidden write, not as a defect', async () => {
    const world = stage(undefined, (one) => { one.rules.denied = ['get', 'list'].map((verb) => ({ verb, group: 'apps', resource: 'statefulsets' })) })
    const ended = await world.run('expand-pvc', ['--db', 'mongodb', '--size', '10Gi', '--yes'])
    expect(ended.code, ended.stderr).toBe(3)
    plain(ended)
  })

  test('no kubectl on the PATH', async () => {
    const world = stage()
    const before = world.bytes()
    // The rehearsal puts its own in front: only without a rehearsal is there none. Node is found by its path.
    const ended = await run(['--db', 'mongodb', '--size', '10Gi', '--kubeconfig', kubeconfig('http://127.0.0.1:1')], { env: { PATH: '/none' } })
    expect(ended.code).toBe(3)
    plain(ended)
    expect(world.bytes()).toBe(before)
  })
})

describe('state folders', () => {
  const undo: (() => void)[] = []
  const mounts: string[] = []
  afterEach(() => undo.splice(0).reverse().forEach((act) => act()))
  const can = (act: () => void): boolean => {
    try {
      act()
      return true
    } catch {
      return false
    }
  }
  const mounted = (path: string, options: string): boolean => {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    const done = can(() => execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { stdio: 'ignore' }))
    if (done) mounts.push(path)
    if (done) undo.push(() => execFileSync('umount', ['-l', path], { stdio: 'ignore' }))
    return done
  }
  /** Where the journals of a rehearsal lie; the world file is on another file system. */
  const journalFolder = (world: Stage): string => join(world.state, 'circleci-runbooks', 'rehearsal.circleci-server')
  const line = ['--db', 'mongodb', '--size', '10Gi', '--yes']

  test('a read-only state folder', async ({ skip }) => {
    const world = stage(), before = world.bytes()
    if (!mounted(journalFolder(world), 'ro,size=64k')) skip('needs root and mount')
    const ended = await world.run('expand-pvc', line)
    expect(ended.code, ended.stderr).toBe(3)
    plain(ended)
    expect(screen(ended).split('\n').slice(5).join('\n')).toMatchInlineSnapshot(`
      "✗ The state folder ~/circleci-runbooks/rehearsal.circleci-server cannot be
        written (EROFS).
        Do now        Name one that can: XDG_STATE_HOME=/tmp/state, in front of the
                      same line."
    `)
    expect(world.bytes()).toBe(before)
    // Where nothing is written none is needed.
    expect((await world.run('expand-pvc', [...line, '--dry-run'])).code).toBe(0)
  })

  test('a state folder that cannot be made: a path below a file', async () => {
    const world = stage(), before = world.bytes()
    writeFileSync(journalFolder(world), '')
    const ended = await world.run('expand-pvc', line)
    expect(ended.code, ended.stderr).toBe(3)
    plain(ended)
    expect(world.bytes()).toBe(before)
  })

  test('a state folder that cannot be made, for a rehearsal too', async () => {
    const home = folder()
    writeFileSync(join(home, 'state'), '')
    const ended = await run([...line, '--rehearse'], { env: { XDG_STATE_HOME: join(home, 'state') } })
    expect(ended.code, ended.stderr).toBe(3)
    plain(ended)
    expect(screen(ended)).toMatchInlineSnapshot(`
      "✗ The state folder /state/state cannot be written (ENOTDIR).
        Do now        Name one that can: XDG_STATE_HOME=/tmp/state, in front of the
                      same line."
    `)
  })

  test('a disk that is full from the start', async ({ skip }) => {
    const world = stage(), before = world.essence()
    if (!mounted(journalFolder(world), 'size=8k')) skip('needs root and mount')
    writeFileSync(join(journalFolder(world), 'filler'), Buffer.alloc(8192))
    const ended = await world.run('expand-pvc', line)
    expect([1, 3], ended.stderr).toContain(ended.code)
    plain(ended)
    expect(ended.stderr.slice(ended.stderr.indexOf('✗')).replaceAll(world.state, '~')).toMatchInlineSnapshot(`
      "✗ The disk is full: the journal
        ~/circleci-runbooks/rehearsal.circleci-server/expand-pvc/20221122T030000.ndjson
        cannot be written, and nothing is done that is not written down.
        Do now        Make room, or name another place with XDG_STATE_HOME; then
                      repeat the same line, it goes on where it stopped.
      "
    `)
    expect(world.essence()).toEqual(before)
  })

  test('a disk that fills up while the journal is written: no effect that is not written down, and the same line goes on', async ({ skip }) => {
    const quiet = stage()
    await quiet.run('expand-pvc', line)
    const world = stage(), pod = world.world().objects['pods/circleci-server/mongodb-0']?.metadata.uid
    if (!mounted(journalFolder(world), 'size=8k')) skip('needs root and mount')
    const filler = join(journalFolder(world), 'filler')
    writeFileSync(filler, Buffer.alloc(4096))
    const ended = await world.run('expand-pvc', line)
    expect(ended.code, ended.stderr).toBe(1)
    plain(ended)
    expect(ended.stderr).toContain('The disk is full')
    expect(world.world().objects['leases/circleci-server/circleci-runbooks']).toBeUndefined()
    expect(world.world().objects['pods/circleci-server/mongodb-0']?.metadata.uid).toBe(pod)
    rmSync(filler)
    execFileSync('mount', ['-o', 'remount,size=1m', journalFolder(world)])
    const again = await world.run('expand-pvc', line)
    expect(again.code, again.stderr).toBe(0)
    expect(world.essence()).toEqual(quiet.essence())
  })

  test('corrupt lines of a journal are passed over', async () => {
    const world = stage()
    const journals = join(journalFolder(world), 'expand-pvc')
    mkdirSync(journals, { recursive: true })
    const did = ['allow-expansion', 'remove-set', 'grow', 'deploy', 'bring-back', 'resize', 'restart', 'verify', 'tidy']
    writeFileSync(join(journals, '20221101T000000.ndjson'), `${JSON.stringify({ event: 'end', code: 0, changes: 6, ms: 240_000, did })}\n{"event":"chi\n\u0000\u0000\nnull\n`)
    writeFileSync(join(journals, '20221102T000000.ndjson'), Buffer.from([0xff, 0xfe, 0x00, 0x80, 0x0a]))
    const ended = await world.run('expand-pvc', line)
    expect(ended.code, ended.stderr).toBe(0)
    expect(ended.stderr).toContain('About 4 m (as the last run)')
  })

  test('a rehearsal whose world file is damaged says how to start afresh', async () => {
    const world = stage()
    writeFileSync(world.worldFile, '{"schema": 1, "scen')
    const ended = await world.run('expand-pvc', line)
    expect(ended.code).not.toBe(0)
    plain(ended)
    expect(ended.stderr).toContain('make rehearse-reset')
  })

  test('nothing is left mounted', () => {
    const left = existsSync('/proc/mounts') ? readFileSync('/proc/mounts', 'utf8') : ''
    expect(mounts.filter((path) => left.includes(path))).toEqual([])
  })
})
