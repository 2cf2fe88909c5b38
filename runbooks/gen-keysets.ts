#!/usr/bin/env -S npx tsx
/**
 * Make the keysets that server 3.x signs and encrypts with, and check those of an installation against the files.
 * Installation guide 3.3.0, phase 2, "Encryption".
 */
import { step, verifyStep } from '../lib/effect.ts'
import { flag, text } from '../lib/inputs.ts'
import { findings } from '../lib/findings.ts'
import { deployedIs, haveKeyset, keysetFileIsOurs, keysetFacts, keysetIsWhole, kinds, wayIsKnown } from '../lib/server/keysets.ts'
import { runbooks, verb } from '../lib/runbook.ts'

const files = {
  signing: text('file', 'file of the artifact signing keyset', { env: 'KEYSET_SIGNING', otherwise: 'keyset-signing' }),
  encryption: text('file', 'file of the encryption keyset', { env: 'KEYSET_ENCRYPTION', otherwise: 'keyset-encryption' }),
}
const guide = 'CircleCI server 3.3.0 installation guide, phase 2, "Encryption"'

export default runbooks(import.meta, {
  name: 'gen-keysets',
  purpose: 'make the keysets of the installation, and check that it has them',
  guide,
  verbs: [
    verb({
      name: 'gen-keysets make',
      purpose: 'make the artifact signing and the encryption keyset',
      guide,
      when: 'Once, before the first deploy. Whoever loses them loses build history and artifacts.',
      cluster: false,
      inputs: { ...files, native: { ...flag('make them without Docker, also where it is there'), env: 'KEYSET_NATIVE' } },
      examples: ['', '--signing /secure/keyset-signing --encryption /secure/keyset-encryption', '--native --dry-run', '--rehearse --yes'],
      preflight: (values) => [wayIsKnown(values.native), ...kinds.map((kind) => keysetFileIsOurs(kind, values[kind]))],
      outcome: ({ signing, encryption }) => `The keysets are in ${signing} and ${encryption}`,
      facts: keysetFacts,
      afterwards: [
        'Store both files where secrets are kept, apart from the installation: without them build history and artifacts are lost.',
        'They go into the admin console, Config, Encryption: the signing keyset first. In YAML they stand in single quotes.',
        'After the first deploy: npx tsx runbooks/gen-keysets.ts check',
      ],
      steps: (values) => [
        ...kinds.map((kind) => step(kind, `Make the ${kind} keyset`, () => haveKeyset(kind, values[kind], values.native), {
          back: `A keyset that was deployed is kept for ever; until then ${values[kind]} may be deleted and made again.`,
        })),
        verifyStep('differ', 'See that both are whole, and two', 'both are whole, and only you can read them', async () => kinds.map((kind) => keysetIsWhole(kind, values[kind]))),
      ],
    }),

    verb({
      name: 'gen-keysets check',
      purpose: 'compare the keysets of the installation with the files',
      guide,
      when: 'After the first deploy, and before the files are stored away; and when somebody asks whether they are the right ones.',
      inputs: files,
      examples: ['--context prod-ci --namespace circleci-server', '--rehearse'],
      preflight: () => [],
      report: (values) => findings(kinds.map((kind) => deployedIs(kind, values[kind])), 'Keysets of this installation'),
    }),
  ],
})
