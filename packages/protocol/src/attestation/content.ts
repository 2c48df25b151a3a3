/** Canonical content: the one JSON text of a value (RFC 8785), so that every machine hashes the same bytes. */
import { SmartLayerError } from '../errors/smart-layer-error.ts'
import { type Bytes32, toHex, utf8 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'

const DEPTH_LIMIT = 64
const CONTENT_LIMIT_BYTES = 65_536

/** The canonical JSON text of a value. Throws `content.not_canonical` for what JSON cannot say exactly. */
export function canonicalJson(value: unknown): string {
  return write(value, '$', 0)
}

/** What an attestation binds: keccak-256 of the canonical text of a value. Throws `content.not_canonical`. */
export function contentHash(value: unknown, keccak: Hasher): Bytes32 {
  return toHex(keccak(utf8(canonicalJson(value))))
}

/**
 * The value of a JSON text of at most `limitBytes` (UTF-8), at most 64 levels deep and with a canonical form.
 * Throws `message.malformed` or `content.not_canonical`.
 */
export function parseContent(text: string, limitBytes = CONTENT_LIMIT_BYTES): unknown {
  if (text.length > limitBytes || utf8(text).length > limitBytes) {
    throw SmartLayerError.of('message.malformed', { at: 'content', expected: `at most ${limitBytes} bytes` })
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw SmartLayerError.because(cause, 'message.malformed', { at: 'content', expected: 'JSON' })
  }
  canonicalJson(value) // refuses depth, lone surrogates and numbers beyond double precision's range
  return value
}

function write(value: unknown, at: string, depth: number): string {
  if (depth > DEPTH_LIMIT) return refuse(at, `nesting beyond ${DEPTH_LIMIT} levels`)
  switch (typeof value) {
    case 'boolean':
      return String(value)
    case 'number':
      return Number.isFinite(value) ? JSON.stringify(value) : refuse(at, String(value))
    case 'string':
      return text(value, at)
    case 'object':
      return value === null ? 'null' : Array.isArray(value) ? list(value, at, depth) : members(value, at, depth)
    default:
      return refuse(at, typeof value)
  }
}

function text(value: string, at: string): string {
  return value.isWellFormed() ? JSON.stringify(value) : refuse(at, 'a lone surrogate')
}

function list(items: readonly unknown[], at: string, depth: number): string {
  return `[${Array.from(items, (item, i) => write(item, `${at}[${i}]`, depth + 1)).join(',')}]`
}

/** Members in order of UTF-16 code units; members without a value are left out, as in JSON. */
function members(value: object, at: string, depth: number): string {
  if (Object.prototype.toString.call(value) !== '[object Object]') return refuse(at, 'an object that is not plain')
  const entries = Object.entries(value).filter(([, member]) => member !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, member]) => `${text(key, at)}:${write(member, `${at}.${key}`, depth + 1)}`).join(',')}}`
}

function refuse(at: string, detail: string): never {
  throw SmartLayerError.of('content.not_canonical', { at, detail })
}
