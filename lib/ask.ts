/**
 * Questions to the operator, at a terminal and nowhere else. A prompt that is cancelled is an answer of its
 * own, and Enter alone never means yes.
 */
import { spawn } from 'node:child_process'
import type { Input } from './inputs.ts'
import { EXIT, Fail, fail, sentence } from './fail.ts'

/** Whether somebody sits there: both ends are a terminal and this is no CI. */
export const atTerminal = (json: boolean): boolean =>
  Boolean(process.stdin.isTTY && process.stderr.isTTY) && !process.env['CI'] && !json

export const declined = (what: string): Error =>
  fail(what, 'Nothing was changed. Repeat the line when you want to go on.', { code: EXIT.declined })

const output = { output: process.stderr } as const

/** Opens a page in the operator's browser, where there is one; that it cannot is said, and the page is printed anyhow. */
const openPage = (url: string): void => {
  const child = spawn(process.platform === 'darwin' ? 'open' : 'xdg-open', [url], { detached: true, stdio: 'ignore' })
  child.on('error', () => process.stderr.write('No browser could be opened here: open the page yourself.\n'))
  child.unref()
}

/** The text of one input, checked while it is typed; first, where a person gets it somewhere else, the page. */
export const askValue = async (key: string, input: Input<unknown>, page?: { say: string; open?: string }): Promise<string> => {
  const { isCancel, multiselect, password, select, text } = await import('@clack/prompts')
  if (page) process.stderr.write(`${page.say}\n`)
  if (page?.open) openPage(page.open)
  const problem = (typed: string | undefined): string | undefined => {
    try {
      input.parse((typed ?? '').trim())
      return undefined
    } catch (error) {
      return error instanceof Fail ? `${input.secret ? 'That ' : ''}${error.message} ${error.next}` : sentence(error)
    }
  }
  const options = input.choices?.map((value) => ({ value }))
  const answer = options
    ? await (input.many ? multiselect({ message: input.say, options, ...output }) : select({ message: input.say, options, ...output }))
    : await (input.secret ? password : text)({ message: input.say, validate: problem, ...output })
  if (isCancel(answer)) throw declined(`Stopped at the question for ${key}.`)
  return String(answer).trim()
}

export const askYes = async (question: string): Promise<boolean> => {
  const { confirm, isCancel } = await import('@clack/prompts')
  const answer = await confirm({ message: question, initialValue: false, ...output })
  if (isCancel(answer)) throw declined('Stopped at the question.')
  return answer
}

/** Asks to type a name; anything else is a no. */
export const askName = async (question: string, name: string): Promise<boolean> => {
  const { isCancel, text } = await import('@clack/prompts')
  const answer = await text({ message: `${question} Type ${name} to go on.`, ...output })
  if (isCancel(answer)) throw declined('Stopped at the question.')
  return answer === name
}
