/** Ids by their beginning: unique ones are enough, ambiguous ones are refused with what they could mean. */
import { SmartLayerError } from '@smartlayer/protocol'

const SHOWN_LIMIT = 5

/** The one id that begins so. Throws `cli.ambiguous`, `cli.usage`, or `stream.unknown` with what was searched. */
export function onlyCandidate<T extends string>(prefix: string, ids: readonly T[], searched?: string): T {
  if (!/^0x[0-9a-f]{1,64}$/.test(prefix)) {
    throw SmartLayerError.of('cli.usage', {
      detail: `${prefix.slice(0, 80)} is not the beginning of an id: 0x and hex digits`,
    })
  }
  const matching = ids.filter((id) => id.startsWith(prefix))
  const [first] = matching
  if (first === undefined) {
    throw SmartLayerError.of('stream.unknown', { stream: searched ? `${searched} that begins with ${prefix}` : prefix })
  }
  if (matching.length === 1) return first
  const more = matching.length > SHOWN_LIMIT ? `, and ${matching.length - SHOWN_LIMIT} more` : ''
  throw SmartLayerError.of('cli.ambiguous', { prefix, candidates: matching.slice(0, SHOWN_LIMIT).join(', ') + more })
}

/** The beginning of an id that people can still tell apart. */
export function shortId(id: string): string {
  return id.slice(0, 14)
}
