/**
 * What programs say of their release in a rehearsal, by the words they are asked with; those that are asked for more have
 * a file of their own.
 */
import { printed, type Call, type Output } from './tool.ts'
import type { World } from './world.ts'

const SAID: Record<string, string> = {
  'terraform version': 'Terraform v1.5.7\non linux_amd64\n',
  'helm version --short': 'v3.9.2+g1addefb\n',
  'eksctl version': '0.230.0\n',
  'aws --version': 'aws-cli/2.15.30 Python/3.11.8 Linux/5.10.0 exe/x86_64.debian.12\n',
  'gsutil version': 'gsutil version: 5.34\n',
  'git --version': 'git version 2.30.2\n',
  'openssl version': 'OpenSSL 3.0.15 3 Sep 2024 (Library: OpenSSL 3.0.15 3 Sep 2024)\n',
}

/** Programs that are there for this alone. */
export const ASKED = [...new Set(Object.keys(SAID).map((words) => words.split(' ')[0] as string))]

/** The answer, where it is such a question; that of a program which is not installed is the shell's. */
export const releaseSaid = ({ rules }: World, { tool, argv }: Call): Output | undefined => {
  const words = [tool, ...argv].join(' ')
  const text = rules.software?.[words] ?? SAID[words]
  if (text === '') return { stdout: '', stderr: `bash: line 1: exec: ${tool}: not found\n`, code: 127 }
  return text === undefined ? undefined : printed(text)
}
