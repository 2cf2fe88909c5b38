/**
 * What a runbook is. A file of runbooks/ calls `runbook` once; started as a command it runs, imported it is
 * only data.
 */
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Duration, Preflight, Step } from './effect.ts'
import type { ClusterOptions } from './cluster/kubeconfig.ts'
import type { Inputs, Sources, Values } from './inputs.ts'

interface Common<I extends Inputs> {
  /** Name of the file; behind it, where the file has several, the verb: 'backup-restore list'. */
  name: string
  /** One line, no full stop: 'grow the volume of an internal database, without downtime'. */
  purpose: string
  /** Where the procedure comes from. */
  guide: string
  /** For the page: when to reach for it. */
  when: string
  inputs: I
  /** Scenario of a new rehearsal, and of its page, where all is well leaves nothing to do. */
  scenario?: string
  /**
   * False where it is for the time before there is a cluster: it asks for none, and its lock is one of this machine.
   * 'perhaps' where it reads, and connects by itself to one that may be there.
   */
  cluster?: false | 'perhaps'
  /** Where the procedure makes the namespace of the installation itself: it need not be there, and the lock lies in `default`. */
  namespace?: 'made'
  /** Throws a usage error where inputs, each fine by itself, do not go together. */
  together?(values: Values<I>): void
  /** Flags of lines to paste, for help and README. */
  examples: string[]
  /** Everything that must hold before anything is changed; all of it is looked at, at once. */
  preflight(values: Values<I>): Preflight[]
}

/** A known failure of the procedure: what one sees, what it means, what to do. */
export interface Trouble {
  sign: string
  remedy: string
  /** Lines to type for it. */
  lines?: string[]
}

/** A runbook that changes the world. */
export interface Procedure<I extends Inputs> extends Common<I> {
  /** The procedure. Reads nothing by itself: each step asks the world when it is asked. */
  steps(values: Values<I>): Step[]
  /** Facts that the run changes, read before and after: 'mongodb claim' → '8Gi'. */
  facts(values: Values<I>): Promise<Record<string, string>>
  /** The result in a few words: 'mongodb has 10Gi'. */
  outcome(values: Values<I>): string
  /** What comes next and what is not covered, for the end of the summary. */
  afterwards: string[] | ((values: Values<I>) => string[])
  /** What is known to go wrong, for the page. */
  troubles?(values: Values<I>): Promise<Trouble[]>
  /** How long it waits while another run holds the lock; where nothing is said, only as long as that may be over. */
  patience?: Duration
}

/** What a reading runbook found. */
export interface Report {
  /** For people, on stdout: it is what was asked for. */
  text: string
  /** The same for machines, one event of `--json`. */
  data: Record<string, unknown>
  /** 0, or 1 where what was looked at is not as it should be. */
  code: number
}

/** What was asked beside the inputs: what leads to a cluster, and where values come from, for the inputs of others. */
export interface Asked { way: ClusterOptions; sources: Sources }

/** What comes next, for these values. */
export const afterwardsOf = <I extends Inputs>({ afterwards }: Procedure<I>, values: Values<I>): string[] => (typeof afterwards === 'function' ? afterwards(values) : afterwards)

/** A runbook that only reads: no plan, no lock, no question. */
export interface Reading<I extends Inputs> extends Common<I> {
  report(values: Values<I>, asked: Asked): Promise<Report>
}

export type Definition<I extends Inputs> = Procedure<I> | Reading<I>
/** Namespace of the lock, where it is not the installation's. */
export const homeOf = ({ namespace }: { namespace?: 'made' }): string | undefined => (namespace === 'made' ? 'default' : undefined)
export const reads = <I extends Inputs>(definition: Definition<I>): definition is Reading<I> => 'report' in definition

/** Several runbooks in one file, told apart by the first word behind it. */
export interface Group { name: string; purpose: string; guide: string; verbs: Definition<never>[] }
export const verbOf = (definition: { name: string }): string => definition.name.split(' ').at(-1) ?? ''

/** Declares a runbook, and runs it when its file is the command. */
export const runbook = <const I extends Inputs>(module: { url: string }, definition: Definition<I>): Definition<I> => {
  start(module, definition)
  return definition
}

/** Declares one verb of a group. */
export const verb = <const I extends Inputs>(definition: Definition<I>): Definition<never> => definition as unknown as Definition<never>

/** Declares a file of several runbooks, and runs the one that is named when the file is the command. */
export const runbooks = (module: { url: string }, group: Group): Group => {
  start(module, group)
  return group
}

const start = (module: { url: string }, what: unknown): void => {
  if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(module.url)) {
    void import('./main.ts').then(({ main }) => main(what as Definition<Inputs> | Group, process.argv.slice(2)))
  }
}
