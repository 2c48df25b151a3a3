/** Canonical content: the one JSON text of a value (RFC 8785), so that every machine hashes the same bytes. */
import { SmartLayerError } from '../errors/smart-layer-error.ts'

const DEPTH_LIMIT = 64

/** The canonical JSON text of a value. Throws `content.not_canonical` for what JSON cannot say exactly. */
export function canonicalJson(value: unknown): string {
  return write(value, '$', 0)
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
  return `[${items.map((item, i) => write(item, `${at}[${i}]`, depth + 1)).join(',')}]`
}

/** Members in order of UTF-16 code units; members without a value are left out, as in JSON. */
function members(value: object, at: string, depth: number): string {
  const entries = Object.entries(value).filter(([, member]) => member !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, member]) => `${text(key, at)}:${write(member, `${at}.${key}`, depth + 1)}`).join(',')}}`
}

function refuse(at: string, detail: string): never {
  throw SmartLayerError.of('content.not_canonical', { at, detail })
}
