/**
 * The procedure as a page for on-call docs: what it is for, when, what must hold, each step with its commands,
 * how it is verified, what to do if it fails and how to go back. Markdown that any wiki takes.
 */
import type { Step } from './effect.ts'
import { afterwardsOf, type Procedure } from './runbook.ts'
import type { Inputs, Values } from './inputs.ts'
import type { PlannedStep } from './plan.ts'
import { commandLine } from './shell.ts'

const code = (lines: string[]): string => ['```bash', ...lines, '```'].join('\n')

export const markdownPage = async (
  definition: Procedure<Inputs>, values: Values<Inputs>, line: string, steps: Step[], planned: PlannedStep[],
): Promise<string> => {
  const sections = await Promise.all(steps.map(async (step, index) => {
    const plan = planned[index]
    const commands = plan?.effects.map((effect) => effect.line) ?? []
    const dangers = [...new Set(plan?.effects.flatMap(({ danger }) => (danger ? [danger] : [])) ?? [])]
    const checks = await step.verify?.() ?? []
    const before = commands.length ? await step.before?.() ?? [] : []
    const printing = (all: typeof checks) => code(all.map(({ command, prints }) => `${commandLine(command)}   # ${prints || '(nothing)'}`))
    return [
      `### ${index + 1}. ${step.title} (\`${step.id}\`)`,
      ...(plan?.why && plan.state !== 'done' ? [`${plan.why[0]?.toUpperCase()}${plan.why.slice(1)}.`] : []),
      ...dangers.map((danger) => `**At risk:** ${danger}.`),
      ...(before.length ? ['Not before each of these prints what stands behind it:', printing(before)] : []),
      ...(commands.length ? [code(commands)] : []),
      ...(step.manual && plan?.state !== 'manual' ? [`Or by hand: ${await step.manual.say()}.`] : []),
      ...(checks.length ? ['It worked when each of these prints what stands behind it:', printing(checks)] : []),
      ...(step.back ? [`**Going back:** ${step.back}`] : []),
      ...(step.undo ? [code(step.undo)] : []),
    ].join('\n\n')
  }))
  const troubles = (await definition.troubles?.(values) ?? []).map(({ sign, remedy, lines }) => [`- **${sign}** ${remedy}`, ...(lines ? [code(lines).replaceAll(/^/gm, '  ')] : [])].join('\n\n'))
  return [
    `# ${definition.name}: ${definition.purpose}`,
    `Source: ${definition.guide}`,
    `## When\n\n${definition.when}`,
    `## Run it\n\n${code([`${line} --dry-run   # shows the plan, changes nothing`, line])}\n\nAfter an interruption of any kind the same line goes on where it stopped.`,
    `## What must hold before\n\n${definition.preflight(values).map(({ name, holds }) => `- \`${name}\`: ${holds}`).join('\n')}\n\nThe run looks at all of these at once, before it changes anything; \`--dry-run\` prints what it finds. The names and uids in the commands below are those of an example installation; \`--dry-run\` prints yours.`,
    '## By hand, step by step', ...sections,
    `## If it fails\n\nThe message names the likely cause, how things stand and the next line to type. The transcript is under \`~/.local/state/circleci-runbooks/\`.`,
    ...troubles,
    `## Afterwards\n\n${afterwardsOf(definition, values).map((text) => `- ${text}`).join('\n')}`,
  ].join('\n\n') + '\n'
}
