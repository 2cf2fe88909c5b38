/**
 * The bash script of a plan: the same effects and checks in the form that a person would type, for the world as
 * it is now. It does not resume; the runbook picks up where it stopped.
 */
import { execFileSync } from 'node:child_process'
import type { Check, Step } from './effect.ts'
import { isDone } from './effect.ts'
import { commandLine, quote } from './shell.ts'

const HELPERS = `set -euo pipefail

# Waits until a command prints what is expected: SECONDS, what it is, the expected text, the command.
await() {
  local limit=$1 what=$2 expected=$3 seen='' start=$SECONDS
  shift 3
  while :; do
    seen=$("$@" 2>&1) || true
    [[ $seen == "$expected" ]] && return 0
    if (( SECONDS - start >= limit )); then
      echo "$what: not within $limit s; last seen: $seen" >&2
      return 1
    fi
    sleep 2
  done
}
say() { echo "== $*" >&2; }`

const awaitLine = ({ within, say, prints, command }: Check, limit = String(Math.ceil(within / 1000))): string =>
  `await ${limit} ${quote(say)} ${quote(prints)} ${commandLine(command)}`

const functionOf = ({ id }: Step): string => `step_${id.replaceAll(/\W/g, '_')}`

const firstOf = async (steps: Step[], holds: (step: Step) => Promise<boolean>): Promise<Step | undefined> => {
  for (const step of steps) if (await holds(step)) return step
  return undefined
}

/** The script; only for worlds in which something is to do. */
export const bashScript = async (header: string[], steps: Step[]): Promise<string> => {
  const parts = ['#!/usr/bin/env bash', ...header.map((text) => `# ${text}`), HELPERS]
  // Where leaving a step out would leave things worse already, nothing that fails before it may end the script.
  const urgent = await firstOf(steps, async ({ always }) => await always?.() ?? false)
  if (urgent) parts.push(`trap '${functionOf(urgent)} 0' EXIT`)
  for (const [index, step] of steps.entries()) {
    const answer = await step.todo()
    if (isDone(answer)) {
      parts.push(`# ${index + 1} ${step.id}: ${answer.done}`)
      continue
    }
    const verify = await step.verify?.() ?? []
    const checks = verify.map((check) => awaitLine(check))
    const before = answer.length ? (await step.before?.() ?? []).map((check) => awaitLine(check)) : []
    const rows: string[] = [`say ${quote(`${index + 1} ${step.id}: ${step.title}`)}`]
    // What has to be done whatever fails becomes a function, and a trap from just before the first danger on.
    const safety = steps.slice(index + 1).find(({ always }) => always)
    const commands = [...before, ...answer.flatMap((effect) => [
      ...(effect.onlyInCall ? [`# ${effect.onlyInCall}`] : []), ...(effect.danger ? [`# At risk: ${effect.danger}`] : []),
      ...(effect.danger && safety && safety !== urgent ? [`trap '${functionOf(safety)} 0' EXIT`] : []),
      // Of a step that must not be left out, one that fails does not keep back the others; the checks tell.
      commandLine(effect.command) + (step.always && answer.length > 1 ? ` || say ${quote(`not done: ${effect.id}`)}` : ''),
    ])]
    if (step.manual && !answer.length) rows.push(`say ${quote(`By hand, while this waits: ${await step.manual.say()}`)}`)
    if (step.grace && verify.length) {
      const grace = Math.ceil(step.grace.within / 1000)
      const inTime = verify.map((check) => awaitLine(check, step.always ? `"\${1:-${grace}}"` : String(grace))).join(' && ')
      rows.push(`if ! { ${inTime}; }; then`)
      if (step.permission && !step.permission.granted) rows.push(`  echo ${quote(`${step.title}: needed now; make this script again with ${step.permission.flag}`)} >&2`, '  exit 1')
      else rows.push(...[...commands, ...checks].map((row) => `  ${row}`))
      rows.push('fi')
    } else rows.push(...commands, ...checks)
    const name = functionOf(step)
    if (step.always) parts.push(name, 'trap - EXIT')
    else parts.push(rows.join('\n'))
    if (step.always) parts.splice(parts.indexOf(HELPERS) + 1, 0, [`${name}() {`, ...rows.map((row) => `  ${row}`), '}'].join('\n'))
  }
  const script = parts.join('\n\n') + '\n'
  execFileSync('bash', ['-n'], { input: script, stdio: ['pipe', 'ignore', 'pipe'] })
  return script
}
