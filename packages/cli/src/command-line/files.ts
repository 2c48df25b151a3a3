/** Files that a user names: read with limits, refused with their path. */
import { readFileSync, statSync } from 'node:fs'
import { type Address, type Hex, isHex, SmartLayerError } from '@smartlayer/protocol'

const FILE_LIMIT = 8 * 1024 * 1024
const STANDARD_INPUT = 0

/** The text of a file, or of standard input for `-`. Throws `file.unreadable` or `message.too_large`. */
export function readText(path: string): string {
  try {
    if (path === '-') return readFileSync(STANDARD_INPUT, 'utf8')
    if (statSync(path).size > FILE_LIMIT)
      throw SmartLayerError.of('message.too_large', { limit: FILE_LIMIT, what: path })
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof SmartLayerError) throw error
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : String(error)
    throw SmartLayerError.because(error, 'file.unreadable', { path, reason })
  }
}

/** A private key of 32 bytes of hex. The key itself appears in no message. */
export function readKey(path: string): Hex {
  const key = readText(path).trim()
  if (isHex(key, 32)) return key
  throw SmartLayerError.of('file.unreadable', { path, reason: 'it does not hold a key of 32 bytes of hex' })
}

export function readJsonText(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw SmartLayerError.because(cause, 'cli.usage', { detail: `${what} is not JSON` })
  }
}

export function addressOf(text: string, what: string): Address {
  const address = text.toLowerCase()
  if (isHex(address, 20)) return address
  throw SmartLayerError.of('cli.usage', { detail: `${what} takes an address of 20 bytes of hex` })
}
