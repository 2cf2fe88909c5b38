/** An authority of openssl's: a root, an intermediate, and certificates of any names, dates and order. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { must } from './components.ts'

export interface Authority {
  root: string
  intermediate: string
  /** A certificate and its key, which may be one that is there; valid from and to so many days from now. */
  issue(names: string[], days?: [from: number, to: number], key?: string): { certificate: string; key: string }
}

const DAY = 86_400_000
/** `openssl ca` alone takes both dates, before openssl 3.4. */
const dateOf = (days: number): string => new Date(Date.now() + days * DAY).toISOString().replaceAll(/[-:T]|\.\d+/g, '')

export const authority = (folder: string): Authority => {
  mkdirSync(folder, { recursive: true })
  const openssl = (...args: string[]) => execFileSync(must('openssl'), args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] }).toString()
  const read = (name: string) => readFileSync(join(folder, name), 'utf8')
  writeFileSync(join(folder, 'index.txt'), '')
  writeFileSync(join(folder, 'ca.cnf'), `[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n`)
  const key = () => openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256')
  const sign = (name: string, extensions: string, by: string[], [from, to]: [number, number]): string => {
    openssl('req', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`)
    writeFileSync(join(folder, 'extensions'), extensions)
    openssl('ca', '-batch', '-notext', '-config', 'ca.cnf', '-in', `${name}.csr`, '-out', `${name}.pem`, '-extfile', 'extensions', '-startdate', dateOf(from), '-enddate', dateOf(to), ...by)
    return read(`${name}.pem`)
  }
  const CA = 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n'
  for (const name of ['root', 'intermediate']) writeFileSync(join(folder, `${name}.key`), key(), { mode: 0o600 })
  const root = sign('root', CA, ['-selfsign', '-keyfile', 'root.key'], [-400, 4000])
  const intermediate = sign('intermediate', `${CA}authorityKeyIdentifier=keyid\n`, ['-cert', 'root.pem', '-keyfile', 'root.key'], [-400, 2000])
  let made = 0
  return {
    root, intermediate,
    issue: (names, days = [-1, 89], own = key()) => {
      const name = `server-${made++}`
      writeFileSync(join(folder, `${name}.key`), own, { mode: 0o600 })
      const extensions = `basicConstraints=critical,CA:FALSE\nauthorityKeyIdentifier=keyid\nauthorityInfoAccess=caIssuers;URI:http://r3.example.com/\nsubjectAltName=${names.map((one) => `DNS:${one}`).join(',')}\n`
      return { certificate: sign(name, extensions, ['-cert', 'intermediate.pem', '-keyfile', 'intermediate.key'], days), key: own }
    },
  }
}
