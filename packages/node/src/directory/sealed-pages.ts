/** What an anchor tells of a shard after it sealed, page by page, and what of such pages another anchor may believe. */
import {
  type Address,
  accepted,
  type Bytes32,
  parseTokenRef,
  plausible,
  SEALED_PAGE_LIMIT,
  type SealedRecord,
  type SealedRecordMessage,
  sealedRecord,
  tokenOf,
  type WireMessage,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { RecordBook } from '../election/record-book.ts'
import type { Ports } from '../ports/ports.ts'
import type { StreamService } from '../stream/stream-service.ts'
import type { StreamClaim } from '../stream/take-over.ts'
import type { InstanceIndex } from './instance-index.ts'
import type { QuorumDoor } from './quorum-door.ts'

/** Streams that are read from the log at a time. */
const STREAM_PAGE = 1_024

export type SealedPage = Extract<WireMessage, { type: 'sealed' }>
/** An instance as one anchor of the old set knows it; `text` is its token's CAIP-19 id. */
export type NamedRecord = { readonly text: string; readonly asleep: boolean; readonly record: SealedRecord }
export type CheckedPage = {
  readonly records: readonly NamedRecord[]
  readonly streams: ReadonlyMap<Bytes32, StreamClaim>
}

type ServicePorts = Pick<Ports, 'identity'>
type Parts = {
  readonly book: RecordBook
  readonly door: QuorumDoor
  readonly index: InstanceIndex
  readonly streams: StreamService
}

export class SealedPages {
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #parts: Parts
  /** Ids by shard, gathered once after each seal: what comes to a sealed shard later belongs to the home set that follows. */
  #inventory: ReadonlyMap<number, readonly Bytes32[]> | undefined

  constructor(ports: ServicePorts, context: NodeContext, parts: Parts) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
  }

  /** More shards were sealed: what was there before says nothing of them. */
  renew(): void {
    this.#inventory = undefined
  }

  /** The page after `after`, once all that was signed before the seal has ended. */
  async page({ shard, epoch, after }: Pick<SealedPage, 'shard' | 'epoch' | 'after'>): Promise<SealedPage> {
    const { index, book, streams } = this.#parts
    this.#inventory ??= this.#gather()
    const rest = (this.#inventory.get(shard) ?? []).filter((id) => id > after)
    const ids = rest.slice(0, SEALED_PAGE_LIMIT)
    const records = ids.flatMap((id) => {
      const text = index.textOf(id)
      return text === undefined
        ? []
        : [
            book
              .settled(id)
              .then((record) =>
                messageOf({ text, asleep: index.isAsleep(id) }, sealedRecord(record, book.anchorContext(id))),
              ),
          ]
    })
    const held = ids
      .filter((id) => index.textOf(id) === undefined)
      .map((stream) => ({ stream, receipt: undefined, ...streams.holds(stream) }))
    const next = rest.length > ids.length ? ids.at(-1) : undefined
    return { type: 'sealed', shard, epoch, after, records: await Promise.all(records), streams: held, next }
  }

  /** Undefined when anything in the page cannot be what an honest anchor says. */
  check(from: Address, { shard, records, streams }: SealedPage): CheckedPage | undefined {
    const homes = this.#context.homes()
    const checked = records.map((record) => this.#checked(shard, record))
    const named = checked.filter((record) => record !== undefined)
    const isHere = streams.every(({ stream }) => homes.shardOf(stream) === shard)
    if (named.length < checked.length || !isHere) return undefined
    const claims = streams.map(({ stream, ...claim }) => [stream, { anchor: from, ...claim }] as const)
    return { records: named, streams: new Map(claims) }
  }

  #checked(shard: number, message: SealedRecordMessage): NamedRecord | undefined {
    const { token: text, instance, asleep, placement, leases, certificate, restored } = message
    const token = tokenOf(parseTokenRef(text), this.#ports.identity.crypto.keccak)
    const { door, book } = this.#parts
    const placed = placement && door.placement({ token }, placement)
    const certified = certificate && door.certificate({ token }, certificate)
    const begun = restored && door.checkpoint({ token }, restored)
    const isProven = [placed, certified, begun].every(
      (each) => each?.verdict !== 'ignore' && each?.verdict !== 'reject',
    )
    const isOne =
      this.#context.homes().shardOf(token) === shard &&
      (placement?.placement.instance ?? instance) === instance &&
      (certificate?.entry.instance ?? instance) === instance &&
      (restored?.checkpoint.instance ?? instance) === instance
    if (!isProven || !isOne) return undefined
    const record: SealedRecord = {
      instance,
      placement: placement && placed && accepted(placed) ? { ...placement, hash: placed.value } : undefined,
      leases,
      certified: certified && accepted(certified) ? certified.value : undefined,
      restored,
    }
    return accepted(plausible(record, book.anchorContext(instance))) ? { text, asleep, record } : undefined
  }

  #gather(): ReadonlyMap<number, readonly Bytes32[]> {
    const homes = this.#context.homes()
    const ids = new Map<number, Bytes32[]>()
    const add = (subject: Bytes32, id: Bytes32) => {
      const shard = homes.shardOf(subject)
      const known = ids.get(shard)
      if (known) known.push(id)
      else ids.set(shard, [id])
    }
    for (const [instance, token] of this.#parts.index.tokens) add(token, instance)
    for (const stream of this.#allStreams()) add(stream, stream)
    for (const found of ids.values()) found.sort()
    return ids
  }

  *#allStreams(): Iterable<Bytes32> {
    for (let after: Bytes32 | undefined; ; ) {
      const page = this.#parts.streams.after(after, STREAM_PAGE)
      yield* page
      after = page.at(-1)
      if (page.length < STREAM_PAGE) return
    }
  }
}

function messageOf(
  { text, asleep }: Pick<NamedRecord, 'text' | 'asleep'>,
  { instance, placement, leases, certified, restored }: SealedRecord,
): SealedRecordMessage {
  const certificate = certified?.certificate
  return {
    token: text,
    instance,
    asleep,
    placement: placement && { placement: placement.placement, votes: [...placement.votes] },
    leases: [...leases],
    certificate: certificate && { entry: certificate.entry, accepts: [...certificate.accepts] },
    restored,
  }
}
