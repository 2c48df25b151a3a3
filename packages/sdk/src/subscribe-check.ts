/** Whether an event of a subscription is the next entry: signed by the issuer, chained to the last one, and receipted. */
import {
  type Address,
  accepted,
  type Bytes32,
  checkCheckpoint,
  checkReceipt,
  homeOf,
  type OpenEntry,
  openEntry,
  ownTime,
  type Receipt,
  type Refusal,
  SmartLayerError,
  type StreamItem,
  type SubscriptionEvent,
  type Verdict,
} from '@smartlayer/protocol'
import type { Site } from './site.ts'

/** The stream, and perhaps the one subset, that is subscribed to. Without `issuer`, whoever the stream's id names. */
export type Subject = {
  readonly stream: Bytes32
  readonly issuer: Address | undefined
  readonly tokenType: Bytes32
  readonly lane: Bytes32
  readonly subset: Bytes32 | undefined
}

/** The last entry that was taken, as far as it is known. */
export type Place = { readonly cursor: bigint; readonly uid: Bytes32 | undefined; readonly epoch: bigint | undefined }

export type Subscribed = {
  /** Where to continue: the place in the stream, or in the subset. */
  readonly cursor: bigint
  readonly uid: Bytes32
  readonly item: StreamItem
  /** The parsed body; undefined when it is not JSON. */
  readonly body: unknown
  /** Of 2f + 1 home anchors for this entry or a later one; anchors show it with the newest entries. */
  readonly receipt: Receipt | undefined
}

type Next = { readonly entry: Subscribed; readonly place: Place }

/** The entry of an event. Throws why it is not the next one, or what the event says instead of an entry. */
export function nextEntry(site: Site, subject: Subject, last: Place, event: SubscriptionEvent): Next {
  if (event.type === 'frozen') throw SmartLayerError.of('stream.frozen', { sequence: event.after })
  if (event.type === 'pruned') throw pruned(site, subject, last, event)
  const { item } = event
  const opened = held(open(site, subject, item))
  const { data, uid } = opened
  const isWhole = subject.subset === undefined
  if (data.stream !== subject.stream || !(isWhole || data.subset === subject.subset)) {
    throw SmartLayerError.of('stream.identity')
  }
  const cursor = isWhole ? data.sequence : data.subSequence
  const next = last.cursor + 1n
  if (cursor !== next || event.cursor !== next) throw SmartLayerError.of('stream.sequence_gap', { next, got: cursor })
  const previous = isWhole ? opened.previous : data.subPrevious
  if (last.uid !== undefined && previous !== last.uid) {
    throw SmartLayerError.of('stream.predecessor', { expected: last.uid, got: previous })
  }
  if (last.epoch !== undefined && !follows(subject, last.epoch, opened)) {
    throw SmartLayerError.of('stream.epoch', { current: last.epoch, got: data.epoch })
  }
  const receipt = receiptOf(site, opened, event.receipt)
  return { entry: { cursor, uid, item, body: parsed(item.body), receipt }, place: { cursor, uid, epoch: data.epoch } }
}

/** An entry is judged at its own time: that it is over by now takes it out of no chain. */
function open(
  { network, crypto, clock }: Site,
  { issuer, tokenType, lane }: Subject,
  item: StreamItem,
): Verdict<OpenEntry> {
  const { networkId, easDomain } = network
  const named = (item.delegation ?? item).attestation.attester
  const rules = [{ issuer: issuer ?? named, lane }]
  const [now, own] = [clock.now() / 1000n, ownTime(item)]
  return openEntry(item, { networkId, easDomain, crypto, tokenType, rules, nowS: own < now ? own : now })
}

/** Epochs go up one at a time, each with its own first entry; a subset need not have an entry in each. */
function follows({ subset }: Subject, epoch: bigint, { data, kind }: OpenEntry): boolean {
  return subset === undefined ? data.epoch === epoch + (kind === 'epoch' ? 1n : 0n) : data.epoch >= epoch
}

/** Receipts of another home set than the one that is known here prove nothing, and accuse nobody. */
function receiptOf(
  { network, crypto }: Site,
  { data, uid }: OpenEntry,
  certified: Extract<SubscriptionEvent, { type: 'entry' }>['receipt'],
): Receipt | undefined {
  if (!certified) return undefined
  const { domain, membership } = network
  const home = homeOf(data.stream, membership, crypto.keccak)
  const entry = { stream: data.stream, sequence: data.sequence, uid }
  const checked = checkReceipt(certified, entry, { home, domain, crypto })
  if (accepted(checked)) return checked.value
  if (certified.receipt.homeEpoch === membership.epoch) throw errorOf(checked)
  return undefined
}

function pruned(
  { network, crypto }: Site,
  { stream }: Subject,
  { cursor }: Place,
  { floor, certified }: Extract<SubscriptionEvent, { type: 'pruned' }>,
): SmartLayerError {
  const { domain, membership } = network
  if (certified?.checkpoint.homeEpoch === membership.epoch) {
    const { checkpoint } = certified
    const checked = checkCheckpoint(certified, { home: homeOf(stream, membership, crypto.keccak), domain, crypto })
    if (!accepted(checked)) return errorOf(checked)
    if (checkpoint.stream !== stream || checkpoint.size < floor) {
      return SmartLayerError.of('stream.checkpoint', { detail: `it does not reach ${floor}` })
    }
  }
  return SmartLayerError.of('stream.pruned', { floor, asked: cursor })
}

function held<T>(verdict: Verdict<T>): T {
  if (accepted(verdict)) return verdict.value
  throw errorOf(verdict)
}

function errorOf({ code, facts }: Refusal): SmartLayerError {
  return SmartLayerError.fromData(code, facts)
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}
