/** Keys and other small files of a local network: made once, kept durably, readable by their owner only. */
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Hex, isHex, SmartLayerError, toHex } from '@smartlayer/protocol'

/** The 32-byte key in this file; made when there is none. */
export function keyFile(path: string): Hex {
  if (!existsSync(path)) writeDurably(path, toHex(randomBytes(32)))
  const key = readFileSync(path, 'utf8').trim()
  if (!isHex(key, 32)) throw SmartLayerError.of('config.invalid', { at: path, expected: '32 bytes of hex' })
  return key
}

/** Written beside, synced, then renamed: the file is whole or not there. Mode 0600. */
export function writeDurably(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const file = openSync(`${path}.new`, 'w', 0o600)
  writeSync(file, text)
  fsyncSync(file)
  closeSync(file)
  renameSync(`${path}.new`, path)
}

export function readJson<T>(path: string): T | undefined {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as T) : undefined
}
