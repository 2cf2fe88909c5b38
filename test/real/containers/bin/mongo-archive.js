// What the stand-ins for mongodump and mongorestore share: their arguments, the connection, and the layout of an archive,
// which is sections of BSON documents, each ended by four bytes of ones. The driver is mongosh's own.
import { realpathSync, existsSync, readSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

export const mark = Buffer.from([0x6d, 0xe2, 0x99, 0x81])
const END = Buffer.from([0xff, 0xff, 0xff, 0xff])
const mongosh = process.env.PATH.split(':').map((folder) => join(folder, 'mongosh')).find((file) => existsSync(file))
const load = createRequire(realpathSync(mongosh))
const bson = load('bson')
const { MongoClient } = load('mongodb')

export const say = (text) => console.error(`${new Date().toISOString()}\t${text}`)

export const write = (bytes) => {
  for (let at = 0; at < bytes.length;) at += writeSync(1, bytes, at)
}
export const section = (documents) => {
  for (const document of documents) write(bson.serialize(document))
  write(END)
}

/** So many bytes of standard input; undefined at its end. */
export const read = (count) => {
  const bytes = Buffer.allocUnsafe(count)
  let at = 0
  while (at < count) {
    const got = readSync(0, bytes, at, count - at, null)
    if (!got) {
      if (at) throw new Error('unexpected EOF')
      return undefined
    }
    at += got
  }
  return bytes
}

/** Gives the documents of each section, one section at a time; undefined at the end. */
export const sections = () => () => {
  const documents = []
  for (;;) {
    const head = read(4)
    if (!head) {
      if (documents.length) throw new Error('unexpected EOF')
      return undefined
    }
    if (head.equals(END)) return documents
    const rest = read(head.readInt32LE() - 4)
    if (!rest) throw new Error('unexpected EOF')
    documents.push(bson.deserialize(Buffer.concat([head, rest]), { promoteValues: documents.length === 0, promoteLongs: documents.length === 0 }))
  }
}

const password = () => {
  say('reading password from standard input')
  let text = ''
  for (let one = read(1); one && one[0] !== 10; one = read(1)) text += one.toString('latin1')
  return Buffer.from(text, 'latin1').toString()
}

export const begin = async (more, work) => {
  let client
  try {
    const { values: options } = parseArgs({ options: {
      archive: { type: 'boolean' }, quiet: { type: 'boolean' }, username: { type: 'string', short: 'u' }, password: { type: 'string', short: 'p' },
      authenticationDatabase: { type: 'string' }, host: { type: 'string' }, port: { type: 'string' }, ...more,
    } })
    if (!options.archive) throw new Error('the stand-in knows only --archive')
    const { username, authenticationDatabase: authSource = 'admin', host = '127.0.0.1', port = '27017' } = options
    const auth = username ? { auth: { username, password: options.password ?? password() }, authSource } : {}
    client = await MongoClient.connect(`mongodb://${host}:${port}/?directConnection=true`, { serverSelectionTimeoutMS: 5000, ...auth })
    await work({ client, options, bson })
  } catch (error) {
    say(`Failed: ${error.message}`)
    process.exitCode = 1
  } finally {
    await client?.close()
  }
}
