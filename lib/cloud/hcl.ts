/**
 * The text of a main.tf: values as HCL has them, and those that stand in it.
 */
export type Value = string | number | boolean | Value[] | { [name: string]: Value }

const isDefault = /^ {2}default += (.*)$/
/** What stands in main.tf beside its values: where this differs, only `init` can tell whether all of it is there. */
export const skeleton = (text: string): string => text.split('\n').filter((row) => !/^ {2}(default|description) +=/.test(row)).join('\n')

/** The values of a main.tf. */
export const valuesIn = (text: string | undefined): Record<string, string> => {
  let name = ''
  return Object.fromEntries((text ?? '').split('\n').flatMap((row): [string, string][] => {
    name = /^variable "(\w+)"/.exec(row)?.[1] ?? name
    const value = isDefault.exec(row)?.[1]
    return value === undefined ? [] : [[name, value]]
  }))
}

/** A value as main.tf has it. */
export const hcl = (value: Value): string => {
  if (Array.isArray(value)) return `[${value.map(hcl).join(', ')}]`
  if (typeof value === 'object') return Object.keys(value).length ? `{ ${Object.entries(value).map(([name, one]) => `${/^[a-z_]\w*$/i.test(name) ? name : hcl(name)} = ${hcl(one)}`).join(', ')} }` : '{}'
  return JSON.stringify(value).replaceAll('${', () => '$${').replaceAll('%{', '%%{')
}

/** As -var takes it: a text as it is, all else as HCL. */
export const written = (value: Value): string => (typeof value === 'string' ? value : hcl(value))

/** What came by -var stands in a plan as a text, whatever its type. */
export const plain = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value, (_, one: unknown) =>
  (one && typeof one === 'object' && !Array.isArray(one) ? Object.fromEntries(Object.entries(one).toSorted(([a], [b]) => (a < b ? -1 : 1))) : one)) ?? '')
