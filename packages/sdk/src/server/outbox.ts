/** An issuer's outbox: what is signed is on disk before it is sent, so that no crash makes a gap or a double. */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { type StreamItem, streamItemShape } from '@smartlayer/protocol'

export type Outbox = {
  /** The item that was signed last and may not have arrived, if any. */
  pending(): StreamItem | undefined
  /** Keeps an item durably before it is sent. */
  keep(item: StreamItem): void
  /** The kept item has its receipt. */
  done(): void
}

/** An outbox in one file, replaced atomically. */
export function fileOutbox(path: string): Outbox {
  return {
    pending() {
      if (!existsSync(path)) return undefined
      const text = readFileSync(path, 'utf8')
      return text === '' ? undefined : streamItemShape.parse(JSON.parse(text), 'outbox')
    },
    keep: (item) => replace(path, JSON.stringify(streamItemShape.toJson(item))),
    done: () => replace(path, ''),
  }
}

function replace(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  const file = openSync(`${path}.new`, 'w', 0o600)
  writeSync(file, text)
  fsyncSync(file)
  closeSync(file)
  renameSync(`${path}.new`, path)
}
