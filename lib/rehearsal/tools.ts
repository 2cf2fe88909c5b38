/**
 * The command-line tools of a rehearsal: one script, first on PATH, posts its arguments here and prints what comes back.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { aws } from './aws-cli.ts'
import { certbot } from './certbot.ts'
import { circleci } from './circleci-cli.ts'
import { curl } from './curl.ts'
import { docker } from './docker.ts'
import { eksctl } from './eksctl.ts'
import { git } from './git.ts'
import { web } from './github.ts'
import { gcloud, iamcredentials } from './gcp.ts'
import { kubectl } from './kubectl.ts'
import { mc } from './mc.ts'
import { ssh } from './services-box.ts'
import { terraform } from './terraform.ts'
import { failed, notPlayed, Usage, type Call, type Output, type Tool } from './tool.ts'
import { velero } from './velero-cli.ts'
import { ASKED, releaseSaid } from './versions.ts'
import type { World } from './world.ts'

const TOOLS: Record<string, Tool> = { kubectl, velero, mc, gcloud, docker, certbot, circleci, aws, curl, eksctl, terraform, ssh, git }
const toolOf = ({ tool }: Call): Tool | undefined => ({ ...TOOLS, iamcredentials, web })[tool]

export const nameOf = (call: Call): string => toolOf(call)?.name(call) ?? call.tool
export const toolMutates = (call: Call): boolean => toolOf(call)?.mutates(call) ?? false

/** Runs a tool in the world, which it may change. */
export const runTool = (world: World, call: Call): Output => {
  try {
    return releaseSaid(world, call) ?? toolOf(call)?.play(world, call) ?? notPlayed(call.tool, 'tools.ts')
  } catch (error) {
    if (error instanceof Usage) return failed(error.message)
    throw error
  }
}

/** A call as the script sends it: words and standard input end to end, and how long each is. */
export const callOf = ({ headers }: IncomingMessage, body: Buffer): Call => {
  const lengths = String(headers['x-lengths'] ?? '').split(' ').filter(Boolean).map(Number)
  let at = 0
  const argv = lengths.map((length) => body.subarray(at, at += length).toString())
  const [, name, value] = /^(\w+)=(.*)$/.exec(String(headers['x-env'] ?? '')) ?? []
  // Of a script it comes in base64: bash drops zeros.
  const rest = body.subarray(at), bytes = headers['x-stdin'] ? Buffer.from(rest.toString(), 'base64') : rest
  return { tool: String(headers['x-tool']), argv, stdin: bytes.toString(), bytes, ...(name ? { env: { [name]: value ?? '' } } : {}) }
}

/** Standard output and error end to end, and how long the first is. */
export const sendOutput = (response: ServerResponse, { stdout, stderr, code }: Output): Promise<void> =>
  new Promise((resolve) => {
    response.on('close', resolve)
    response.writeHead(200, { 'x-code': code, 'x-stdout': Buffer.byteLength(stdout) }).end(stdout + stderr)
  })

/** What tools read of their environment. */
const READ = ['KOTS_SHARED_PASSWORD', 'MC_HOST_newkey', 'CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE', 'CIRCLECI_CLI_TOKEN']

// bash and its /dev/tcp: a Node for each call would take longer than all else. HTTP/1.0, so that the answer ends with the connection.
const script = (tool: string): string => `\
#!/usr/bin/env bash
LC_ALL=C
fail() { echo "error: the rehearsal does not answer" >&2; exit 1; }
stdin= lengths= body= env=
case " $* " in *' -i '*|*' - '*|*' /dev/stdin '*|*' user add '*|*' pipe '*) stdin=$(base64 | tr -d '\\n') ;; esac
for word; do lengths+="\${#word} "; body+=$word; done
for name in ${READ.join(' ')}; do [ -z "\${!name:-}" ] || env="$name=\${!name}"; done
{ exec 3<>"/dev/tcp/127.0.0.1/\${REHEARSAL_URL##*:}"; } 2>/dev/null || fail
body+=$stdin
printf 'POST /tools HTTP/1.0\\r\\nx-tool: ${tool}\\r\\nx-lengths: %s\\r\\nx-env: %s\\r\\nx-stdin: base64\\r\\ncontent-length: %d\\r\\n\\r\\n%s' "$lengths" "$env" "\${#body}" "$body" >&3
IFS= read -r status <&3 || fail
while IFS= read -r header <&3 && header=\${header%$'\\r'} && [ -n "$header" ]; do
  case $header in x-code:*) code=\${header#*: } ;; x-stdout:*) size=\${header#*: } ;; esac
done
[ -n "\${code:-}" ] || fail
[ "$size" = 0 ] || head -c "$size" <&3
cat <&3 >&2
exit "$code"
`

/** Writes the script for each tool; one written before stays, so that a running one is not cut short. */
export const writeTools = (folder: string): void => {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  for (const tool of new Set([...Object.keys(TOOLS), ...ASKED])) {
    const path = join(folder, tool)
    const text = script(tool)
    if (read(path) !== text) writeFileSync(path, text, { mode: 0o700 })
  }
}

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
