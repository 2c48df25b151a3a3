/** The entries of a stream, page by page, from whichever anchor answers. */
import {
  type Bytes32,
  isSmartLayerError,
  SmartLayerError,
  type StreamItem,
  streamPageShape,
} from '@smartlayer/protocol'
import { readNode } from './connection.ts'

const PAGE = 64

export type Range = {
  readonly stream: Bytes32
  /** Left out: the whole stream. */
  readonly subset?: Bytes32 | undefined
  /** Exclusive. */
  readonly after?: bigint
}

/** Every certified entry after a place; entries below the floor of the stream are gone and left out. */
export async function* entriesOf(
  anchors: readonly string[],
  range: Range,
): AsyncGenerator<StreamItem, void, undefined> {
  let after = range.after ?? 0n
  for (;;) {
    const page = await pageOf(anchors, { ...range, after })
    yield* page.items
    if (page.items.length === 0) return
    after = page.after + BigInt(page.items.length)
  }
}

/** One page, and the place that it follows: the floor, when entries up to it are gone. */
export async function pageOf(
  anchors: readonly string[],
  { stream, subset, after = 0n }: Range,
): Promise<{ readonly items: readonly StreamItem[]; readonly after: bigint }> {
  const path = subset ? `/v1/streams/${stream}/subsets/${subset}/entries` : `/v1/streams/${stream}/entries`
  let last: unknown
  for (const anchor of anchors) {
    try {
      const json = await readNode(`${anchor}${path}?after=${after}&limit=${PAGE}`)
      return { items: streamPageShape.parse(json, 'page').items, after }
    } catch (error) {
      const floor = isSmartLayerError(error) && error.code === 'stream.pruned' ? BigInt(String(error.facts.floor)) : 0n
      if (floor > after) return pageOf(anchors, { stream, subset, after: floor })
      last = error
    }
  }
  throw last ?? SmartLayerError.of('network.unreachable', { peer: 'any anchor' })
}
