/** Pages as subscribers get them: bounded, encoded once for all subscribers that stand at the same place. */
import {
  type Bytes32,
  type CertifiedReceipt,
  isSmartLayerError,
  readData,
  type Shape,
  type SmartLayerError,
  type StreamItem,
  type SubscriptionEvent,
  subscriptionEventShape,
} from '@smartlayer/protocol'
import type { ReadEntry, StreamReader } from './stream-reader.ts'
import { SubsetChanges } from './subscription-changes.ts'

const PAGE_ENTRIES = 64
const PAGE_BYTES = 262_144
/** Entries read at once: a page of large entries stops early without having read all of them. */
const READ_ENTRIES = 16
/** Pages kept for other subscribers: those that follow a stream all ask for the same one. */
const KEPT_PAGES = 32
/** A receipt is shown with the last entry of a page when it stands at most so far beyond it. */
const RECEIPT_REACH = 16n

/** What is subscribed to, and the cursor behind what was read of it. */
export type Position = { readonly stream: Bytes32; readonly subset: Bytes32 | undefined; readonly after: bigint }

type EntryEvent = ReadEntry & { readonly type: 'entry'; readonly receipt: CertifiedReceipt | undefined }
type LastEvent = Exclude<SubscriptionEvent, { type: 'entry' }>
const eventShape: Shape<EntryEvent | LastEvent> = subscriptionEventShape

/** One event, as JSON in UTF-8. Entries have a cursor, last words have none. */
export type Message = {
  readonly type: SubscriptionEvent['type']
  readonly cursor: bigint | undefined
  readonly json: Buffer
}
export type Page = {
  readonly messages: readonly Message[]
  /** The cursor behind the page. */
  readonly after: bigint
  /** The stream had receipts up to here when the page was made. */
  readonly certified: bigint
  /** The page in the form of server-sent events. */
  readonly events: Buffer
}

/** At most 64 entries and 256 KiB, or one entry that alone is larger. */
export class SubscriptionPages {
  readonly #reader: StreamReader
  readonly #changes: SubsetChanges
  readonly #kept = new Map<string, Page>()

  constructor(reader: StreamReader) {
    this.#reader = reader
    this.#changes = new SubsetChanges(reader)
  }

  /**
   * What follows the position; nothing followed it when the stream was certified up to `quietAt`. Throws what the reader
   * throws: `stream.pruned`.
   */
  read(position: Position, quietAt?: bigint): Page {
    const { stream, subset, after } = position
    const { certified } = this.#reader.state(stream)
    const isQuiet =
      subset === undefined
        ? certified <= after
        : quietAt !== undefined && this.#changes.isQuiet({ stream, subset }, quietAt)
    if (isQuiet) return pageOf([], after, certified)
    // With the certified place in its name, a page that could be longer by now is never found again.
    const key = `${stream}/${subset ?? ''}/${after}/${certified}`
    const known = this.#kept.get(key)
    if (known) return known
    const page = this.#make(position, certified)
    if (page.messages.length > 0) this.#keep(key, page)
    return page
  }

  #keep(key: string, page: Page): void {
    this.#kept.set(key, page)
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > KEPT_PAGES && oldest !== undefined) this.#kept.delete(oldest)
  }

  #make(position: Position, certified: bigint): Page {
    const entries: ReadEntry[] = []
    const messages: Message[] = []
    let size = 0
    for (const entry of this.#following(position)) {
      const message = messageOf({ type: 'entry', ...entry, receipt: undefined })
      size += message.json.length
      if (entries.length > 0 && size > PAGE_BYTES) break
      entries.push(entry)
      messages.push(message)
      if (size > PAGE_BYTES) break
    }
    const last = entries.at(-1)
    const receipt = last && this.#receiptFor(position, last.item)
    if (last && receipt) messages[messages.length - 1] = messageOf({ type: 'entry', ...last, receipt })
    return pageOf(messages, last?.cursor ?? position.after, certified)
  }

  *#following({ stream, subset, after }: Position): Generator<ReadEntry> {
    for (let cursor = after, count = 0; count < PAGE_ENTRIES; count += READ_ENTRIES) {
      const read = this.#reader.entries(stream, { subset, after: cursor, limit: READ_ENTRIES })
      yield* read
      if (read.length < READ_ENTRIES) return
      cursor = read.at(-1)!.cursor
    }
  }

  /** The newest receipt with the links that lead from it back to the entry, when it is near enough. */
  #receiptFor({ stream }: Position, item: StreamItem): CertifiedReceipt | undefined {
    const newest = this.#reader.receipt(stream)
    const sequence = readData(item)?.sequence
    if (!newest || sequence === undefined) return undefined
    const beyond = newest.receipt.sequence - sequence
    if (beyond < 0n || beyond > RECEIPT_REACH) return undefined
    if (beyond === 0n) return newest
    const between = this.#reader.entries(stream, { after: sequence, limit: Number(beyond) })
    if (between.length !== Number(beyond)) return undefined
    return { ...newest, links: between.map((entry) => entry.item.attestation.message) }
  }
}

export function isPruned(error: unknown): error is SmartLayerError {
  return isSmartLayerError(error) && error.code === 'stream.pruned'
}

/** The cursor behind which nothing is missing. Of a subset the log itself says it, in the subset's own numbers. */
export function floorFor(
  reader: StreamReader,
  { stream, subset }: Pick<Position, 'stream' | 'subset'>,
  { facts }: SmartLayerError,
): bigint {
  return subset !== undefined && typeof facts.floor === 'bigint' ? facts.floor : reader.floor(stream)
}

/** A page of one message that ends the subscription. */
export function lastWord(event: LastEvent): Page {
  return pageOf([messageOf(event)], 0n, 0n)
}

function messageOf(event: EntryEvent | LastEvent): Message {
  const json = Buffer.from(JSON.stringify(eventShape.toJson(event)))
  return { type: event.type, cursor: event.type === 'entry' ? event.cursor : undefined, json }
}

function pageOf(messages: readonly Message[], after: bigint, certified: bigint): Page {
  let events: Buffer | undefined
  return {
    messages,
    after,
    certified,
    get events() {
      events ??= Buffer.concat(messages.flatMap(eventOf))
      return events
    },
  }
}

const EVENT_END = Buffer.from('\n\n')

function eventOf({ type, cursor, json }: Message): readonly Buffer[] {
  const id = cursor === undefined ? '' : `id: ${cursor}\n`
  return [Buffer.from(`${id}event: ${type}\ndata: `), json, EVENT_END]
}
