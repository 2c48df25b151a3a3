/** An anchor's part in publishing: it takes entries from issuers to the home anchors and answers with 2f + 1 signatures. */
import {
  type Address,
  type Attest,
  accepted,
  type Bytes32,
  type CertifiedReceipt,
  type Home,
  LINK_LIMIT,
  type OpenEntry,
  PUBLISH_LIMIT,
  type Receipt,
  SmartLayerError,
  type StreamItem,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { EntryDoor } from './entry-door.ts'
import { packItems } from './packing.ts'

const RECEIPT_TIMEOUT_MS = 5_000
/** Requests of issuers that may wait for their receipt. */
const PENDING_LIMIT = 4_096
/** Messages of one stream that may be on their way; what comes meanwhile is sent together as the next. */
const FLIGHT_LIMIT = 4
/** Bytes of bodies in one message: attestations and JSON come on top, and a frame holds 1 MiB. */
const GROUP_BODIES = 400_000

/** One request of an issuer: consecutive entries of one stream. */
type Publication = {
  readonly entries: readonly OpenEntry[]
  readonly resolve: (receipt: CertifiedReceipt) => void
  readonly reject: (error: SmartLayerError) => void
}

/** Publications that travel as one message. */
type Group = {
  readonly home: Home
  readonly entries: readonly OpenEntry[]
  readonly publications: readonly Publication[]
  readonly refusals: Map<Address, { code: string; facts: Record<string, unknown> }>
  cancel: Cancel
  cancelRetry: Cancel
}

type Lane = { readonly waiting: Publication[]; readonly flying: Set<Group> }

export type PublisherEvents = {
  /** This anchor is one of the home anchors: it takes the entries itself. */
  takeOwn(entries: readonly OpenEntry[]): void
  /** Home anchors that signed for this entry. */
  signed(entry: OpenEntry): ReadonlySet<Address>
  /** Messages of the entries after this place up to another, when they are here and few enough. */
  linksBetween(entry: OpenEntry, to: Receipt): readonly Attest[] | undefined
  /** A certificate that is known already and stands for this entry, or for a later one. */
  certificateOf(entry: OpenEntry): CertifiedReceipt | undefined
}

export class Publisher {
  readonly #ports: Pick<Ports, 'identity' | 'clock'>
  readonly #context: NodeContext
  readonly #post: PostOffice
  readonly #door: EntryDoor
  readonly #events: PublisherEvents
  readonly #lanes = new Map<Bytes32, Lane>()
  readonly #byUid = new Map<Bytes32, Group>()
  #pending = 0

  constructor(
    ports: Pick<Ports, 'identity' | 'clock'>,
    context: NodeContext,
    { post, door, events }: { post: PostOffice; door: EntryDoor; events: PublisherEvents },
  ) {
    this.#ports = ports
    this.#context = context
    this.#post = post
    this.#door = door
    this.#events = events
  }

  /**
   * Takes consecutive entries of one stream to its home anchors. Resolves with the receipt for the last of them; publishing the
   * same entries again is safe. Throws what the entries violate by themselves (`attestation.*`, `stream.batch`), the refusal that
   * more than f home anchors gave, `stream.no_quorum` after 5 s, or `queue.full`.
   */
  async publish(items: readonly StreamItem[]): Promise<CertifiedReceipt> {
    await this.#door.prepare(contractOf(items))
    const entries = items.map((item) => this.#open(item))
    checkRun(entries)
    if (this.#pending >= PENDING_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'publish', limit: PENDING_LIMIT })
    const { stream } = entries[0]!.data
    const lane = this.#lanes.get(stream) ?? { waiting: [], flying: new Set() }
    this.#lanes.set(stream, lane)
    this.#pending++
    try {
      return await new Promise((resolve, reject) => {
        lane.waiting.push({ entries, resolve, reject })
        this.#fly(stream, lane)
      })
    } finally {
      this.#pending--
      if (lane.waiting.length === 0 && lane.flying.size === 0) this.#lanes.delete(stream)
    }
  }

  /** Requests that wait for their receipt. */
  get size(): number {
    return this.#pending
  }

  /** 2f + 1 home anchors signed up to this place. */
  certified(certificate: CertifiedReceipt): void {
    const { stream } = certificate.receipt
    const lane = this.#lanes.get(stream)
    if (!lane) return
    for (const group of lane.flying) this.#settle(lane, group, certificate)
    this.#fly(stream, lane)
  }

  /** True while somebody waits for a receipt of this stream. */
  awaitsAny(stream: Bytes32): boolean {
    return (this.#lanes.get(stream)?.flying.size ?? 0) > 0
  }

  /** True while somebody waits for the receipt of exactly this entry. */
  awaits(uid: Bytes32): boolean {
    return this.#byUid.get(uid)?.entries.at(-1)?.uid === uid
  }

  /** A home anchor refused an entry of ours. */
  refused(from: Address, uid: Bytes32, refusal: { code: string; facts: Record<string, unknown> }): void {
    const group = this.#byUid.get(uid)
    if (!group?.home.anchors.includes(from)) return
    group.refusals.set(from, refusal)
    const { anchors, quorum } = group.home
    const same = [...group.refusals.values()].filter((other) => other.code === refusal.code)
    // One anchor may lack entries that the others have; a gap is real only when nobody has them.
    const needed = refusal.code === 'stream.sequence_gap' ? anchors.length : anchors.length - quorum + 1
    if (same.length >= needed) this.#fail(group, SmartLayerError.fromData(refusal.code, refusal.facts))
  }

  #open(item: StreamItem): OpenEntry {
    const opened = this.#door.open(item)
    if (!accepted(opened)) throw SmartLayerError.fromData(opened.code, opened.facts)
    return opened.value
  }

  /** Sends what waits, as few messages as fit; while many are on their way, the rest waits to be sent together. */
  #fly(stream: Bytes32, lane: Lane): void {
    while (lane.waiting.length > 0 && lane.flying.size < FLIGHT_LIMIT) {
      this.#send(stream, lane, nextGroup(lane.waiting))
    }
  }

  #send(stream: Bytes32, lane: Lane, publications: readonly Publication[]): void {
    const entries = publications.flatMap((publication) => publication.entries)
    const home = this.#context.homes().of(stream)
    const nothing = () => {}
    const group: Group = { home, entries, publications, refusals: new Map(), cancel: nothing, cancelRetry: nothing }
    lane.flying.add(group)
    for (const { uid } of entries) this.#byUid.set(uid, group)
    group.cancel = this.#ports.clock.after(RECEIPT_TIMEOUT_MS, () => this.#fail(group, this.#timedOut(group)))
    const known = this.#events.certificateOf(entries.at(-1)!)
    if (known) this.#settle(lane, group, known)
    if (lane.flying.has(group)) this.#offer(group)
  }

  #offer(group: Group): void {
    const self = this.#ports.identity.signer.address
    const last = group.entries.at(-1)!
    const signed = this.#events.signed(last)
    const missing = group.home.anchors.filter((anchor) => !signed.has(anchor))
    const others = missing.filter((anchor) => anchor !== self)
    group.cancelRetry = this.#ports.clock.after(this.#context.parameters.retryMs, () => this.#offer(group))
    this.#post.sendAll(others, { type: 'publish', packed: packItems(group.entries.map(({ item }) => item)) })
    if (missing.includes(self)) this.#events.takeOwn(group.entries)
  }

  #settle(lane: Lane, group: Group, { receipt, signatures }: CertifiedReceipt): void {
    const last = group.entries.at(-1)!
    const isExact = receipt.uid === last.uid
    const beyond = isExact || receipt.sequence <= last.data.sequence ? [] : this.#events.linksBetween(last, receipt)
    if (!isExact && (receipt.sequence <= last.data.sequence || !beyond)) return
    this.#end(group)
    lane.flying.delete(group)
    for (const { entries, resolve, reject } of group.publications) {
      const own = entries.at(-1)!.data.sequence
      const inside = group.entries.filter(({ data }) => data.sequence > own).map(({ item }) => item.attestation.message)
      const links = [...inside, ...(beyond ?? [])]
      if (links.length <= LINK_LIMIT) resolve({ receipt, signatures, links })
      else reject(this.#timedOut(group)) // published again it gets a receipt of its own
    }
  }

  #fail(group: Group, error: SmartLayerError): void {
    const stream = group.entries[0]!.data.stream
    const lane = this.#lanes.get(stream)
    this.#end(group)
    lane?.flying.delete(group)
    // Whose entry was refused is not known to the others: each goes on alone.
    if (lane && group.publications.length > 1 && error.code !== 'stream.no_quorum') {
      for (const publication of group.publications) this.#send(stream, lane, [publication])
      return
    }
    for (const { reject } of group.publications) reject(error)
    if (lane) this.#fly(stream, lane)
  }

  #end(group: Group): void {
    group.cancel()
    group.cancelRetry()
    for (const { uid } of group.entries) if (this.#byUid.get(uid) === group) this.#byUid.delete(uid)
  }

  #timedOut({ home, refusals, entries }: Group): SmartLayerError {
    const [refusal] = refusals.values()
    if (refusal) return SmartLayerError.fromData(refusal.code, refusal.facts)
    const got = this.#events.signed(entries.at(-1)!).size
    return SmartLayerError.of('stream.no_quorum', { got, needed: home.quorum, of: home.anchors.length })
  }
}

function contractOf(items: readonly StreamItem[]): Address {
  const [first] = items
  if (!first) throw SmartLayerError.of('stream.batch', { detail: 'there is no entry' })
  return first.attestation.message.recipient
}

/** One run of one stream, in order. Throws `stream.batch`. */
export function checkRun(entries: readonly OpenEntry[]): void {
  entries.forEach((entry, i) => {
    const before = entries[i - 1]
    if (!before) return
    if (entry.data.stream !== before.data.stream) throw SmartLayerError.of('stream.batch', { detail: 'of two streams' })
    if (entry.data.sequence !== before.data.sequence + 1n || entry.previous !== before.uid) {
      throw SmartLayerError.of('stream.batch', {
        detail: `${entry.data.sequence} does not follow ${before.data.sequence}`,
      })
    }
  })
}

/** Takes from the waiting ones as many as follow each other and fit into one message. */
function nextGroup(waiting: Publication[]): readonly Publication[] {
  const group = [waiting.shift()!]
  let size = group[0]!.entries.length
  let bodies = bodiesOf(group[0]!)
  for (let next = waiting[0]; next; next = waiting[0]) {
    const last = group.at(-1)!.entries.at(-1)!
    const isNext = next.entries[0]!.previous === last.uid
    size += next.entries.length
    bodies += bodiesOf(next)
    if (!isNext || size > PUBLISH_LIMIT || bodies > GROUP_BODIES) break
    group.push(waiting.shift()!)
  }
  return group
}

function bodiesOf({ entries }: Publication): number {
  return entries.reduce((sum, { item }) => sum + Buffer.byteLength(item.body), 0)
}
