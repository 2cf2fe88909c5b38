/** In which of the four ways the frontend speaks HTTPS, as the Config screen has it. Installation guide 3.3.0, phase 1. */
import { Fail } from '../fail.ts'
import type { FieldName } from './config-screen.ts'
import { heldBy } from './config.ts'
import { appIsThere } from './kots.ts'
import type { Pair } from './certificates.ts'

const BOXES = { letsEncrypt: 'Let\'s Encrypt', acm: 'ACM', noTls: 'none' } satisfies Partial<Record<FieldName, string>>

/** Undefined where there is no installation, or it does not tell. */
export const configuredWay = async (): Promise<string | undefined> => {
  try {
    if (!await appIsThere()) return undefined
    for (const [field, way] of Object.entries(BOXES)) if (/^(1|true)$/.test(await heldBy(field as FieldName) ?? '')) return way
    return await heldBy('tlsCertificate') ? 'own' : 'signed by itself'
  } catch (error) {
    if (error instanceof Fail) return undefined
    throw error
  }
}

/** The four ways, which of them is configured, and what each wants of the screen. */
export const ways = ({ certificate, key }: Pair, possible: boolean, configured: string | undefined): string[] => {
  const row = (way: string, say: string) => `${way === configured ? '•' : ' '} ${way.padEnd(13)}  ${say}`
  return [
    '', `In the admin console, under Config, Frontend, it is one of these${configured ? ` (now: ${configured})` : ''}:`,
    row('own', `${possible ? 'possible with these files' : 'not with these files, before what is marked ✗ is mended'}:`),
    `                   Frontend TLS Certificate   all of ${certificate}`,
    `                   Frontend TLS Private Key   ${key}`,
    row('Let\'s Encrypt', 'the box in place of both; not where load balancers are private'),
    row('ACM', 'on AWS, from server 3.4 on: the box and the ARN. Once deployed, a'),
    '                 change of it makes a new load balancer, which DNS has to follow',
    row('none', 'the box that turns TLS off; whatever stands in front has to speak'),
    '                 HTTPS, for the site is reached over HTTPS in any case',
    'With none of them the installation signs one itself: browsers warn of it.',
  ]
}
