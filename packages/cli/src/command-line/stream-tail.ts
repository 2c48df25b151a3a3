/** The entries of a stream as they come: over a live subscription, or asked for again and again. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Address,
  accepted,
  type Bytes32,
  checkContent,
  INPUT_KINDS,
  nobleCrypto,
  readData,
  SmartLayerError,
  type StreamItem,
  streamHeadShape,
  subsetHeadShape,
  toHex,
  uidOf,
  type Verdict,
  verifyAttestation,
} from '@smartlayer/protocol'
import { type Network, subscribe } from '@smartlayer/sdk'
import { clientOf, readNode } from './connection.ts'
import type { CommonOptions } from './options.ts'
import { pageOf } from './stream-pages.ts'

const POLL_MS = 500

export type TailedEntry = {
  /** Where to go on after it: its place in the stream, or in the subset that was asked for. */
  readonly cursor: bigint
  readonly uid: Bytes32
  readonly epoch: bigint
  readonly sequence: bigint
  readonly subset: Bytes32
  readonly subSequence: bigint
  readonly kind: string
  readonly attester: Address
  readonly body: string
}

type Asked = { readonly stream: Bytes32; readonly after: bigint | undefined; readonly signal: AbortSignal }

/** Every entry is checked against the issuer, its predecessor and its receipt. */
export async function* tailLive(
  anchors: readonly string[],
  { lane, subset, options, ...asked }: Asked & { lane: string; subset: string | undefined; options: CommonOptions },
): AsyncGenerator<TailedEntry, void, undefined> {
  const { site } = await clientOf(options, toHex(randomBytes(32)))
  const [first] = (await pageOf(anchors, { stream: asked.stream })).items
  if (!first) throw SmartLayerError.of('stream.unknown', { stream: asked.stream })
  const contract = first.attestation.message.recipient
  const { chainId } = site.network.info
  const parameters = { stream: asked.stream, contract, chainId, lane, subset, after: asked.after }
  for await (const { item, cursor } of subscribe(site, parameters, { signal: asked.signal })) {
    yield entryOf(item, cursor)
  }
}

/** Every entry is checked to be signed and to follow the one before; that it has a receipt is the word of the anchor. */
export async function* tailPages(
  anchors: readonly string[],
  { stream, subset, after, network, signal }: Asked & { subset: Bytes32 | undefined; network: Network },
): AsyncGenerator<TailedEntry, void, undefined> {
  let cursor = after ?? (await headOf(anchors, stream, subset))
  let last: Bytes32 | undefined
  while (!signal.aborted) {
    const page = await pageOf(anchors, { stream, subset, after: cursor })
    if (page.after !== cursor) last = undefined // what was between is gone
    cursor = page.after
    for (const item of page.items) {
      const entry = entryOf(item, cursor + 1n)
      const isNext = (subset === undefined ? entry.sequence : entry.subSequence) === entry.cursor
      const previous = subset === undefined ? item.attestation.message.refUID : readData(item)?.subPrevious
      if (!isNext || (last !== undefined && previous !== last)) {
        throw SmartLayerError.of('stream.predecessor', {
          expected: last ?? `entry ${entry.cursor}`,
          got: previous ?? '',
        })
      }
      checkItem(item, { stream, subset, network })
      cursor = entry.cursor
      last = entry.uid
      yield entry
    }
    if (page.items.length === 0) await sleep(POLL_MS, undefined, { signal }).catch(() => undefined)
  }
}

async function headOf(anchors: readonly string[], stream: Bytes32, subset: Bytes32 | undefined): Promise<bigint> {
  let last: unknown
  for (const anchor of anchors) {
    try {
      const json = await readNode(`${anchor}/v1/streams/${stream}${subset ? `/subsets/${subset}` : ''}`)
      return subset ? subsetHeadShape.parse(json, 'head').sequence : streamHeadShape.parse(json, 'head').certified
    } catch (error) {
      last = error
    }
  }
  throw last ?? SmartLayerError.of('network.unreachable', { peer: 'any anchor' })
}

/** Throws why an entry cannot be believed. */
function checkItem(
  item: StreamItem,
  { stream, subset, network }: { stream: Bytes32; subset: Bytes32 | undefined; network: Network },
): void {
  const data = readData(item)
  if (data?.stream !== stream || (subset !== undefined && data.subset !== subset)) {
    throw SmartLayerError.of('stream.identity')
  }
  const options = { domain: network.easDomain, crypto: nobleCrypto }
  believed(verifyAttestation(item.attestation, options))
  believed(checkContent(item.body, data.contentHash, nobleCrypto.keccak))
}

function believed(verdict: Verdict<unknown>): void {
  if (!accepted(verdict)) throw SmartLayerError.fromData(verdict.code, verdict.facts)
}

function entryOf(item: StreamItem, cursor: bigint): TailedEntry {
  const data = readData(item)
  if (!data) throw SmartLayerError.of('message.malformed', { at: 'entry', expected: 'an entry of a stream' })
  const { epoch, sequence, subset, subSequence } = data
  return {
    cursor,
    uid: uidOf(item.attestation.message, nobleCrypto.keccak),
    epoch,
    sequence,
    subset,
    subSequence,
    kind: INPUT_KINDS[Number(data.kind)] ?? String(data.kind),
    attester: item.attestation.attester,
    body: item.body,
  }
}
