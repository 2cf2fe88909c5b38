/**
 * Installs KOTS and with it the admin console, from a licence file, without a question and without a tunnel that blocks.
 * Installation guide 3.3.0, phase 2; the password never stands on a command line.
 */
import type { Check, Done, Effect } from '../effect.ts'
import { bad, done, minutes, ok, preflight, warning } from '../effect.ts'
import { newSecret, Once, onlyYours, placeOf, readSecret, stillFree, writeSecret } from '../files.ts'
import { cluster } from '../cluster/kubernetes.ts'
import { kubectl, list, read, ref } from '../cluster/objects.ts'
import { line, quote } from '../shell.ts'
import { runTool } from '../tools.ts'
import { adminConsole, appIsThere, consoleRuns, kots, SLUG } from './kots.ts'
import { troublesOfPods } from './pods.ts'

/** Through which proxy the installation goes out; nothing where there is none. */
export interface Proxy { http: string | undefined; https: string | undefined; none: string | undefined }
export interface Console { license: string; password: string; proxy: Proxy }

const installLine = ({ license, proxy }: Console): string[] => kots('install', SLUG, '--license-file', license, '--port-forward=false', '--wait-duration', '10m',
  ...Object.entries({ '--http-proxy': proxy.http, '--https-proxy': proxy.https, '--no-proxy': proxy.none }).flatMap(([flag, value]) => (value ? [flag, value] : [])))

/** The admin console's password is in its file: that of the operator where the file is there, otherwise a new one. */
export const havePassword = async ({ password }: Console): Promise<Done | Effect[]> => {
  if (readSecret(password)) return done(`it is in ${placeOf(password)}`)
  if (await consoleRuns()) return done('the admin console has one; kubectl kots reset-password makes another')
  return [{
    id: 'password of the admin console', again: 'safe', unfit: stillFree(password),
    command: { words: ['openssl', 'rand', '-hex', '12'], file: password },
    call: async () => writeSecret(password, new Once(newSecret(24)), '\n'),
  }]
}

/** KOTS is installed in its namespace, which it makes, and has the licence. */
export const haveConsole = async (console: Console): Promise<Done | Effect[]> => {
  if (await consoleRuns()) return await appIsThere() ? done('KOTS is installed, and has the licence') : []
  const words = installLine(console)
  return [{
    // What is there of it is left as it is: the same line again completes it.
    id: `kots install ${SLUG}`, again: 'safe',
    command: { words: ['bash', '-c', `KOTS_SHARED_PASSWORD="$(cat ${quote(console.password)})" exec ${line(words)}`] },
    call: () => runTool([...words.slice(0, 5), placeOf(console.license), ...words.slice(6)], 'Look at what KOTS says, mend it, then repeat the same line; it completes what is there.', minutes(15), { env: { KOTS_SHARED_PASSWORD: readSecret(console.password)?.trim() ?? '' } }),
    watch: async () => (await troublesOfPods({ labelSelector: 'kots.io/kotsadm=true' })).join('; ') || 'its pods start',
  }]
}

/** The console runs, and has taken the licence: the application is there, whatever its state. */
export const consoleAnswers = (): Check[] => [
  {
    say: 'the admin console runs', within: minutes(10), prints: 'yes',
    command: { words: ['sh', '-c', `${line(kubectl(['wait', 'pods', '-l', 'app=kotsadm', '--for=condition=Ready', '--timeout=10s'], 'Pod'))} >/dev/null 2>&1 && echo yes`] },
    holds: async () => {
      const pods = await list('Pod', { labelSelector: 'app=kotsadm' })
      const ready = pods.some(({ status }) => status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'))
      return ready || (await troublesOfPods({ labelSelector: 'app=kotsadm' })).join('; ') || 'not yet'
    },
    hint: async () => `See why: ${line(kubectl(['describe', 'pods', '-l', 'app=kotsadm'], 'Pod'))}`,
  },
  {
    // Before 1.70 the command line does not tell what became of the licence.
    say: 'KOTS has taken the licence', within: minutes(10), prints: SLUG,
    command: { words: ['sh', '-c', `${line(kots('get', 'apps', '-o', 'json'))} | grep -o ${SLUG} | head -n 1`] },
    holds: async () => await appIsThere() || 'the application is not there yet',
    hint: async () => `Upload the licence in the admin console, which says what is wrong with it: ${adminConsole()}`,
  },
]

/** The licence is one of Replicated, for this application, and has not expired. `there` is whether there is a cluster yet. */
export const licenseFits = (file: string, now: number, there = true) => preflight('license', 'the licence is there, is one of CircleCI server, and has not expired', async () => {
  if (there && await consoleRuns()) return ok('KOTS has it')
  const text = readSecret(file)
  const get = 'CircleCI sends it as a .yaml file; name it with --license.'
  if (text === undefined) return bad(`${placeOf(file)} is not there`, get)
  const { parse } = await import('yaml')
  let license: { kind?: string; spec?: { appSlug?: string; entitlements?: { expires_at?: { value?: string } } } } | undefined
  try {
    license = parse(text) as typeof license
  } catch {
    return bad(`${placeOf(file)} is no YAML`, get)
  }
  if (license?.kind !== 'License') return bad(`${placeOf(file)} is no licence of Replicated (kind: License)`, get)
  if (license.spec?.appSlug !== SLUG) return bad(`it is a licence of ${license.spec?.appSlug ?? 'nothing'}, not of ${SLUG}`, get)
  const until = license.spec.entitlements?.expires_at?.value
  if (until && Date.parse(until) < now) return bad(`it expired on ${until.slice(0, 10)}`, 'Ask CircleCI for a new one: https://support.circleci.com')
  return onlyYours(file, until ? `valid until ${until.slice(0, 10)}` : 'it does not expire')
})

/** An address without the password that may stand in it. */
const shown = (uri: string): string => uri.replace(/\/\/[^@/]*@/, '//…@')

/** Who asks the JVM through HTTPS for a proxy gets none. Operations guide 3.4.1, "Configuring a Proxy". */
export const proxyFits = ({ http, https, none }: Proxy) => preflight('proxy', 'addresses of proxies begin with http://, and what is inside the cluster is not proxied', async () => {
  const wrong = Object.entries({ '--http-proxy': http, '--https-proxy': https }).find(([, uri]) => uri && !uri.startsWith('http://'))
  if (wrong) return bad(`${wrong[0]} is ${shown(wrong[1] ?? '')}: the server's JVMs take no proxy that is asked through HTTPS`, `Write http://…: the proxy passes HTTPS on all the same.`)
  if (!http && !https) return ok('none')
  return none ? ok([http, https].flatMap((uri) => (uri ? [shown(uri)] : [])).join(', ')) : warning('there is no list of hosts that are reached without the proxy', 'Add --no-proxy 127.0.0.1,localhost,.svc,.cluster.local and your GitHub and object storage, where these are inside.')
})

/** The namespace is free for it: nothing else is installed in it. */
export const namespaceIsFree = () => preflight('namespace', 'the namespace is new, or holds this installation', async () => {
  const { namespace } = cluster()
  if (await consoleRuns()) return ok('KOTS is installed there')
  const others = (await list('Deployment')).map(({ metadata }) => metadata?.name ?? '')
  return others.length ? warning(`namespace ${namespace} holds other things: ${others.slice(0, 3).join(', ')}`, 'Name one of its own with --namespace: a restore of the installation deletes what is in it.')
    : ok(await read(ref('Deployment', 'kotsadm')) ? 'it is there' : `${namespace} will be made`)
})
