/**
 * How a command is written: words to a line that bash reads back as the same words. Plans, transcripts,
 * scripts and pages all print through here.
 */

/** A command by its words; what it reads on standard input is the output of another. */
export interface Command {
  words: string[]
  stdin?: Pipe
  /** What it prints goes into this file, mode 0600, whole or not at all. */
  file?: string
  env?: Record<string, string>
}

/**
 * Text that only the world can tell, with its two forms: the commands whose joint output it is, and the read.
 * It may hold passwords, so that the only place for it is standard input: it is no word, and one in an
 * argument list does not compile.
 */
export interface Pipe {
  /** What it is, for the plan: 'the kept manifest'. */
  say: string
  commands: string[][]
  read(): Promise<string>
}

/** One word, quoted for bash only where it has to be. */
export const quote = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", () => `'\\''`)}'`

/** One line for bash. */
export const line = (words: string[]): string => words.map(quote).join(' ')

/** The whole line of a command, with what is piped into it and where its output goes. */
export const commandLine = ({ words, stdin, file, env = {} }: Command): string => {
  const own = [...Object.entries(env).map(([name, value]) => `${name}=${quote(value)}`), line(words)].join(' ')
  const piped = [...(stdin?.commands ?? []).map(line), own].join(' | ')
  if (!file) return piped
  const [partial, whole] = [quote(`${file}.part`), quote(file)]
  return `(umask 077 && rm -f ${partial} && ${piped} > ${partial} && mv ${partial} ${whole})`
}

/** A line broken at word boundaries so that it fits and can still be pasted. */
export const wrapLine = (text: string, width: number, indent: string): string[] => {
  const words = text.match(/(?:'[^']*'|\\.|[^\s'\\])+/g) ?? []
  const rows: string[] = []
  let row = ''
  for (const word of words) {
    const start = rows.length ? '  ' : ''
    if (row && (indent + row + ' ' + word).length > width - 2) {
      rows.push(`${row} \\`)
      row = '  ' + word
    } else row = row ? `${row} ${word}` : start + word
  }
  return [...rows, row].map((one) => indent + one)
}
