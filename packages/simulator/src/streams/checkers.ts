/** The oracles of streams: they watch every message, disk and reader, and say at once when an invariant does not hold. */
import type { LogEntry, StreamReader } from '@smartlayer/node'
import {
  type Address,
  accepted,
  attestationShape,
  type Bytes32,
  type CertifiedCheckpoint,
  type CertifiedReceipt,
  type Crypto,
  certifiedCheckpointShape,
  certifiedReceiptShape,
  checkCheckpoint,
  checkReceipt,
  type Domain,
  digestOf,
  encodeItem,
  homeOf,
  type Membership,
  Receipt,
  type StreamItem,
  streamItemShape,
  uidOf,
  ZERO_32,
} from '@smartlayer/protocol'
import type { Life } from '../life.ts'
import type { Sent } from '../network.ts'
import type { VirtualTime } from '../time.ts'
import { Chains } from './chains.ts'
import type { Made } from './writer.ts'

export type StreamInvariant =
  | 'INV-ORDER'
  | 'INV-COMMIT'
  | 'INV-ATTESTED'
  | 'INV-FORK'
  | 'INV-REVOKED'
  | 'INV-CHECKPOINT'
  | 'INV-BOUNDED'
  | 'INV-LIVENESS'
  | 'NO-BUGS'
export type StreamViolation = { readonly invariant: StreamInvariant; readonly atMs: number; readonly detail: string }

/** An entry that was on its way when the fork became known may still be stored. */
const FREEZE_GRACE_MS = 1_500

/** What one honest anchor has on its disk, and what it said. Outlives its crashes. */
type Watched = {
  readonly name: string
  readonly held: Map<Bytes32, Bytes32[]>
  readonly subsets: Map<string, Bytes32[]>
  readonly signed: Map<string, Bytes32>
  readonly checkpoints: Map<Bytes32, { readonly size: bigint; readonly root: Bytes32 }>
  readonly frozen: Map<string, number>
  /** Streams whose tail is being given up behind this place. */
  readonly truncating: Map<Bytes32, bigint>
  /** How far the present life knows that streams are certified. */
  readonly certified: Map<Bytes32, bigint>
}
type Options = {
  readonly time: VirtualTime
  readonly domain: Domain
  readonly crypto: Crypto
  readonly membership: Membership
  readonly anchors: ReadonlySet<Address>
  readonly byzantine: ReadonlySet<Address>
  readonly failed: (violation: StreamViolation) => void
}

export class StreamCheckers {
  readonly chains: Chains
  readonly #options: Options
  readonly #watched = new Map<Address, Watched>()
  /** Who signed a receipt, by place and UID. */
  readonly #signers = new Map<string, Set<Address>>()
  readonly #seen = new WeakSet<object>()
  readonly #read = new WeakMap<object, readonly Made[]>()
  /** Streams and epochs of which some honest anchor could prove a fork. */
  readonly forks = new Map<Bytes32, bigint>()
  /** How far an honest anchor can show that streams are certified, and how far their issuers have receipts. */
  readonly #shownUpTo = new Map<Bytes32, bigint>()
  readonly #receiptedUpTo = new Map<Bytes32, bigint>()
  receipts = 0

  constructor(options: Options) {
    this.#options = options
    this.chains = new Chains(options.crypto.keccak)
  }

  fail(invariant: StreamInvariant, detail: string): void {
    this.#options.failed({ invariant, atMs: this.#options.time.now, detail })
  }

  // --- disks ---

  /** An anchor comes up: what its disk holds must be what it was. */
  started(node: Address, name: string, found: readonly LogEntry[]): void {
    if (this.#options.byzantine.has(node)) return
    const before = this.#watched.get(node)
    const next = before ? { ...before, held: new Map(), subsets: new Map(), certified: new Map() } : watched(name)
    this.#watched.set(node, next)
    for (const entry of found) this.#keep(next, entry)
    for (const [place, uid] of before?.signed ?? []) {
      const [stream, , sequence] = place.split('/') as [Bytes32, string, string]
      const isIn = ({ held }: Watched) => held.get(stream)?.[Number(sequence) - 1] === uid
      const isGivenUp = BigInt(sequence) > (next.truncating.get(stream) ?? BigInt(sequence))
      if (before && isIn(before) && !isIn(next) && !isGivenUp) {
        this.fail('INV-COMMIT', `${name} signed a receipt for ${sequence} and lost it in a crash`)
      }
    }
    next.truncating.clear()
    this.#checkHolders(name)
  }

  /** Entries are on the disk of an anchor. */
  appended(node: Address, entries: readonly LogEntry[]): void {
    const anchor = this.#watched.get(node)
    if (!anchor) return
    for (const entry of entries) {
      this.#checkFrozen(anchor, entry)
      this.#keep(anchor, entry)
    }
  }

  /** An anchor gives up a tail. */
  truncating(node: Address, stream: Bytes32, after: bigint): void {
    const anchor = this.#watched.get(node)
    const known = anchor?.certified.get(stream) ?? 0n
    anchor?.truncating.set(stream, after)
    if (anchor && known > after) {
      this.fail('INV-COMMIT', `${anchor.name} drops what follows ${after}, and ${known} is certified`)
    }
  }

  /** The tail is gone. */
  truncated(node: Address, stream: Bytes32, after: bigint): void {
    const anchor = this.#watched.get(node)
    if (!anchor) return
    anchor.truncating.delete(stream)
    for (const uid of anchor.held.get(stream)?.splice(Number(after)).reverse() ?? []) {
      const { data } = this.chains.made(uid)!
      anchor.subsets.get(`${stream}/${data.subset}`)?.pop()
    }
    this.#checkHolders(anchor.name)
  }

  #checkFrozen(anchor: Watched, { stream, epoch, sequence, uid }: LogEntry): void {
    const frozenAt = anchor.frozen.get(`${stream}/${epoch}`)
    const isLate = frozenAt !== undefined && this.#options.time.now > frozenAt + FREEZE_GRACE_MS
    if (isLate && this.chains.at(stream, sequence) !== uid) {
      this.fail('INV-FORK', `${anchor.name} takes ${sequence} although it knows that epoch ${epoch} is forked`)
    }
  }

  #keep(anchor: Watched, { stream, epoch, sequence, subset, subSequence, uid, bytes }: LogEntry): void {
    const made = this.chains.signed(bytes)
    if (made?.uid !== uid) {
      return this.fail('INV-ATTESTED', `${anchor.name} keeps an entry at ${sequence} that nobody signed so`)
    }
    const held = anchor.held.get(stream) ?? []
    const part = anchor.subsets.get(`${stream}/${subset}`) ?? []
    const { data } = made
    const isInPlace = data.stream === stream && data.epoch === epoch && data.sequence === sequence
    if (!isInPlace || sequence !== BigInt(held.length + 1) || made.previous !== (held.at(-1) ?? ZERO_32)) {
      return this.fail('INV-ORDER', `${anchor.name} keeps ${made.data.sequence} behind ${held.length}`)
    }
    const isInSubset = data.subset === subset && data.subSequence === subSequence
    if (!isInSubset || subSequence !== BigInt(part.length + 1) || data.subPrevious !== (part.at(-1) ?? ZERO_32)) {
      return this.fail('INV-ORDER', `${anchor.name} keeps ${subSequence} of a subset behind ${part.length}`)
    }
    const before = held.length > 0 ? this.chains.made(held.at(-1)!)!.data.epoch : 1n
    if (made.kind === 'epoch' ? epoch <= before : epoch !== before) {
      return this.fail('INV-ORDER', `${anchor.name} keeps epoch ${epoch} behind ${before}`)
    }
    anchor.held.set(stream, held)
    anchor.subsets.set(`${stream}/${subset}`, part)
    held.push(uid)
    part.push(uid)
    this.#compare(made)
  }

  /** Two honest anchors that hold different entries of one epoch at one place prove a fork together. */
  #compare({ uid, data: { stream, epoch, sequence } }: Made): void {
    for (const { held } of this.#watched.values()) {
      const other = held.get(stream)?.[Number(sequence) - 1]
      if (other && other !== uid && this.chains.made(other)!.data.epoch === epoch) this.#forked(stream, epoch)
    }
  }

  #forked(stream: Bytes32, epoch: bigint): void {
    if ((this.forks.get(stream) ?? 0n) < epoch) this.forks.set(stream, epoch)
  }

  /** What is certified is on the disks of f + 1 honest anchors. */
  #checkHolders(cause: string): void {
    const honest = [...this.#watched.values()]
    const needed = this.#faults + 1
    for (const stream of new Set(honest.flatMap(({ held }) => [...held.keys()]))) {
      this.chains.of(stream).places.forEach((uid, i) => {
        const holders = honest.filter(({ held }) => held.get(stream)?.[i] === uid).length
        if (holders < needed) this.fail('INV-COMMIT', `after ${cause}: ${i + 1} is certified and on ${holders} disks`)
      })
    }
  }

  // --- messages ---

  /** A message left a node. */
  sent(life: Life, to: Address, message: Sent): void {
    if (message.type === 'receipt') this.#receipt(life, message)
    if (message.type === 'certified') this.#shown(life, message)
    const anchor = this.#watched.get(life.node)
    if (!anchor) return
    if (message.type === 'stream-heads') return this.#heads(anchor, message)
    if (message.type === 'stream-range') return this.#range(anchor, to, message)
    if (this.#seen.has(message)) return
    this.#seen.add(message)
    if (message.type === 'stream-item') this.#pushed(anchor, message)
    else if (message.type === 'stream-header') this.#announced(anchor, message)
    else if (message.type === 'checkpoint') this.#checkpoint(anchor, message)
    else if (message.type === 'checkpoint-signature') this.#cosigned(anchor, message)
    else if (message.type === 'fork') this.#accused(anchor, message)
    else if (message.type === 'revocation') this.#revoked(anchor, message)
  }

  /** An anchor hears entries from a publisher: a rival of what it holds proves a fork. */
  heard(node: Address, message: Sent): void {
    const anchor = message.type === 'publish' ? this.#watched.get(node) : undefined
    if (!anchor) return
    for (const made of this.#published(message)) {
      const uid = made && anchor.held.get(made.data.stream)?.[Number(made.data.sequence) - 1]
      if (!uid) return
      if (uid === made.uid) continue
      const { stream, epoch } = made.data
      if (this.chains.made(uid)!.data.epoch === epoch) this.#forked(stream, epoch)
      return
    }
  }

  /** What issuers signed of it. A message to many is read once. */
  #published(message: Sent): readonly Made[] {
    const known = this.#read.get(message)
    if (known) return known
    const made = [...partsOf(message.packed)].flatMap((bytes) => this.chains.signed(bytes) ?? [])
    this.#read.set(message, made)
    return made
  }

  #receipt(life: Life, message: Sent): void {
    const { stream, epoch, sequence, uid, homeEpoch } = message.receipt as Record<string, string>
    const place = `${stream}/${epoch}/${sequence}`
    const key = `${place}/${uid}/${homeEpoch}`
    const signers = this.#signers.get(key) ?? new Set()
    if (signers.has(life.node)) return
    const receipt = Receipt.parse(message.receipt, 'receipt')
    const { domain, crypto, membership } = this.#options
    const signer = crypto.recover(digestOf(Receipt, receipt, domain, crypto.keccak), message.signature)
    if (signer !== life.node && !this.#options.byzantine.has(life.node)) {
      this.fail('INV-COMMIT', `${life.name} sends a wrong signature`)
    }
    // Among anchors the connection says who speaks: a liar's word counts there although its signature convinces nobody.
    this.#signers.set(key, signers.add(life.node))
    const anchor = this.#watched.get(life.node)
    if (anchor) this.#signed(anchor, place, receipt)
    if (receipt.homeEpoch !== membership.epoch || signers.size !== this.#home(receipt.stream).quorum) return
    this.#certify(receipt.stream, receipt.uid)
  }

  #certify(stream: Bytes32, uid: Bytes32): void {
    const wrong = this.chains.certify(stream, uid)
    if (wrong) this.fail('INV-ORDER', wrong)
  }

  /** First the disk, then the signature; and never two for one place. */
  #signed(anchor: Watched, place: string, { stream, sequence, uid }: Receipt): void {
    const before = anchor.signed.get(place)
    if (before && before !== uid) this.fail('INV-COMMIT', `${anchor.name} signed two entries for ${place}`)
    anchor.signed.set(place, uid)
    if (anchor.held.get(stream)?.[Number(sequence) - 1] !== uid) {
      this.fail('INV-COMMIT', `${anchor.name} signs a receipt for ${sequence}, which is not on its disk`)
    }
  }

  #pushed(anchor: Watched, message: Sent): void {
    for (const bytes of partsOf(message.packed)) {
      const made = this.chains.signed(bytes)
      if (!made || made.uid !== message.uid)
        this.fail('INV-ATTESTED', `${anchor.name} pushes an entry that nobody signed so`)
      else this.#mustBeCertified(anchor.name, made)
    }
  }

  #released(anchor: Watched, item: StreamItem): void {
    const made = this.chains.signed(encodeItem(item))
    if (!made) return this.fail('INV-ATTESTED', `${anchor.name} lets an entry out that nobody signed so`)
    this.#mustBeCertified(anchor.name, made)
  }

  #announced(anchor: Watched, message: Sent): void {
    const { message: attest } = attestationShape.parse(message.attestation, 'attestation')
    const made = this.chains.made(uidOf(attest, this.#options.crypto.keccak))
    if (made) this.#mustBeCertified(anchor.name, made)
    else this.fail('INV-ATTESTED', `${anchor.name} announces an entry that nobody signed`)
  }

  #mustBeCertified(name: string, { uid, data: { stream, sequence } }: Made): void {
    if (this.chains.at(stream, sequence) !== uid) {
      this.fail('INV-COMMIT', `${name} lets ${sequence} out, which 2f + 1 receipts do not stand for`)
    }
  }

  #heads(anchor: Watched, { heads }: Sent): void {
    for (const { stream, subset, sequence, uid } of heads) {
      if (sequence === '0') continue // says that nothing is known there
      if (this.chains.at(stream, BigInt(sequence), subset) !== uid) {
        this.fail('INV-COMMIT', `${anchor.name} names a head at ${sequence}, which is not certified`)
      }
    }
  }

  /** Home anchors may show each other what has no receipt yet. */
  #range(anchor: Watched, to: Address, message: Sent): void {
    const isHome = this.#options.anchors.has(to)
    for (const bytes of partsOf(message.packed)) {
      const made = this.chains.signed(bytes)
      if (!made) this.fail('INV-ATTESTED', `${anchor.name} serves an entry that nobody signed so`)
      else if (!isHome) this.#mustBeCertified(anchor.name, made)
    }
  }

  /** What a quorum signed is certified, whoever shows it; honest anchors show nothing else. */
  #shown(life: Life, message: Sent): void {
    if (this.#seen.has(message)) return
    this.#seen.add(message)
    const certified = certifiedReceiptShape.parse(message.certified, 'certified') as CertifiedReceipt
    const { stream, sequence, uid } = certified.receipt
    if (!this.holds(certified, { stream, sequence, uid }) && !this.#options.byzantine.has(life.node)) {
      this.fail('INV-COMMIT', `${life.name} shows a certificate for ${sequence} that does not hold`)
    }
  }

  #checkpoint(anchor: Watched, message: Sent): void {
    const certified = certifiedCheckpointShape.parse(message.certified, 'certified') as CertifiedCheckpoint
    const { domain, crypto } = this.#options
    const { stream, size, root, head } = certified.checkpoint
    const isSigned = accepted(checkCheckpoint(certified, { home: this.#home(stream), domain, crypto }))
    const isTrue = this.chains.root(stream, size) === root && this.chains.at(stream, size) === head
    if (!isSigned || !isTrue) this.fail('INV-CHECKPOINT', `${anchor.name} shows a checkpoint of ${size} that is wrong`)
  }

  #cosigned(anchor: Watched, { checkpoint }: Sent): void {
    const { stream, root, head } = checkpoint
    const size = BigInt(checkpoint.size)
    if (this.chains.root(stream, size) !== root || this.chains.at(stream, size) !== head) {
      this.fail('INV-CHECKPOINT', `${anchor.name} cosigns a checkpoint of ${size} that is wrong`)
    }
    const before = anchor.checkpoints.get(stream)
    if (before && before.size > size) {
      this.fail('INV-CHECKPOINT', `${anchor.name} cosigns ${size} after it cosigned ${before.size}`)
    }
    anchor.checkpoints.set(stream, { size, root })
  }

  #accused(anchor: Watched, message: Sent): void {
    const [first, second] = [message.first, message.second].map((json) =>
      this.chains.signed(encodeItem(streamItemShape.parse(json, 'item'))),
    )
    const isFork = first && second && first.uid !== second.uid && placeOf(first) === placeOf(second)
    if (!isFork) return this.fail('INV-FORK', `${anchor.name} accuses an issuer that did not fork`)
    this.#forked(first.data.stream, first.data.epoch)
  }

  #revoked(anchor: Watched, message: Sent): void {
    const made = this.chains.signed(encodeItem(streamItemShape.parse(message.item, 'item')))
    if (made?.kind !== 'revocation') this.fail('INV-REVOKED', `${anchor.name} spreads a revocation that nobody signed`)
  }

  // --- readers ---

  /** Looks at one stream of an honest anchor, as a reader does. */
  look(node: Address, reader: StreamReader, stream: Bytes32): void {
    const anchor = this.#watched.get(node)
    if (!anchor) return
    const { certified, frozenAfter, epoch } = reader.state(stream)
    const before = anchor.certified.get(stream) ?? 0n
    if (certified < before) this.fail('INV-COMMIT', `${anchor.name} takes back what is certified beyond ${certified}`)
    if (frozenAfter !== undefined) this.#frozen(anchor, stream, { epoch, certified, frozenAfter })
    if (certified === before) return
    anchor.certified.set(stream, certified)
    raise(this.#shownUpTo, stream, reader.receipt(stream)?.receipt.sequence ?? 0n)
    let cursor = before
    for (const { cursor: at, item } of reader.entries(stream, { after: before, limit: 64 })) {
      if (at !== ++cursor) this.fail('INV-ORDER', `${anchor.name} reads ${at} behind ${cursor - 1n}`)
      this.#released(anchor, item)
    }
  }

  #frozen(
    anchor: Watched,
    stream: Bytes32,
    { epoch, certified, frozenAfter }: { epoch: bigint; certified: bigint; frozenAfter: bigint },
  ): void {
    const key = `${stream}/${epoch}`
    if (!anchor.frozen.has(key)) anchor.frozen.set(key, this.#options.time.now)
    if (frozenAfter !== certified) {
      this.fail('INV-FORK', `${anchor.name} is frozen after ${frozenAfter} and certified up to ${certified}`)
    }
  }

  /** An honest follower applies an entry of what it follows. */
  applied(name: string, { stream, subset, after }: Followed, made: Made): void {
    const place = subset === stream ? made.data.sequence : made.data.subSequence
    const isOfIt = made.data.stream === stream && (subset === stream || made.data.subset === subset)
    if (!isOfIt || place !== after + 1n) this.fail('INV-ORDER', `${name} applies ${place} after ${after}`)
    else if (this.chains.at(stream, place, subset) !== made.uid) {
      this.fail('INV-ORDER', `${name} applies another entry at ${place} than is certified`)
    }
  }

  /** A subscriber gets an entry. */
  delivered(name: string, followed: Followed, cursor: bigint, item: StreamItem): void {
    const made = this.chains.signed(encodeItem(item))
    if (!made) this.fail('INV-ATTESTED', `${name} gets an entry that nobody signed so`)
    else if (cursor !== followed.after + 1n) this.fail('INV-ORDER', `${name} gets ${cursor} after ${followed.after}`)
    else this.applied(name, followed, made)
  }

  /** A receipt beside an entry must stand for it. */
  shownTo(name: string, item: StreamItem, receipt: CertifiedReceipt): void {
    const made = this.chains.signed(encodeItem(item))
    if (made && !this.holds(receipt, { ...made.data, uid: made.uid })) {
      this.fail('INV-COMMIT', `${name} gets a receipt with ${made.data.sequence} that does not hold`)
    }
  }

  /** An issuer has a receipt for these entries. */
  receipted(made: readonly Made[]): void {
    for (const { uid, data } of made) {
      this.receipts++
      if (this.chains.at(data.stream, data.sequence) !== uid) {
        this.fail('INV-COMMIT', `the issuer has a receipt for ${data.sequence}, and something else is certified there`)
      }
    }
    const { stream, sequence } = made.at(-1)!.data
    raise(this.#receiptedUpTo, stream, sequence)
    this.#checkHolders('a receipt')
  }

  /** 2f + 1 home anchors signed, and the links lead back to this entry. What they signed is certified from now on. */
  holds(certified: CertifiedReceipt, entry: { stream: Bytes32; sequence: bigint; uid: Bytes32 }): boolean {
    if (!this.#stands(certified, entry)) return false
    this.#certify(entry.stream, certified.receipt.uid)
    return true
  }

  #stands(certified: CertifiedReceipt, entry: { stream: Bytes32; sequence: bigint; uid: Bytes32 }): boolean {
    const { domain, crypto } = this.#options
    return accepted(checkReceipt(certified, entry, { home: this.#home(entry.stream), domain, crypto }))
  }

  /**
   * How far a stream, or a subset, must be certified everywhere in the end. A liar may be the only one who has the receipt of an
   * issuer; an issuer that goes on makes it known, one that forked does not.
   */
  known(stream: Bytes32, subset: Bytes32 = stream): bigint {
    const shown = this.#shownUpTo.get(stream) ?? 0n
    const receipted = this.forks.has(stream) ? 0n : (this.#receiptedUpTo.get(stream) ?? 0n)
    const upTo = shown > receipted ? shown : receipted
    if (subset === stream) return upTo
    const places = this.chains.of(stream).subsets.get(subset) ?? []
    return BigInt(places.filter((uid) => this.chains.made(uid)!.data.sequence <= upTo).length)
  }

  /** How far an honest anchor's disk follows the certified chain. */
  heldBy(node: Address, stream: Bytes32): bigint {
    const { places } = this.chains.of(stream)
    const held = this.#watched.get(node)?.held.get(stream) ?? []
    const wrong = places.findIndex((uid, i) => held[i] !== uid)
    return BigInt(wrong < 0 ? places.length : wrong)
  }

  /** What an honest anchor has on its disk at a place. */
  heldAt(node: Address, stream: Bytes32, place: bigint): Bytes32 | undefined {
    return this.#watched.get(node)?.held.get(stream)?.[Number(place) - 1]
  }

  get #faults(): number {
    return Math.floor((this.#options.anchors.size - 1) / 3)
  }

  #home(stream: Bytes32) {
    return homeOf(stream, this.#options.membership, this.#options.crypto.keccak)
  }
}

export type Followed = { readonly stream: Bytes32; readonly subset: Bytes32; readonly after: bigint }

function watched(name: string): Watched {
  return {
    name,
    held: new Map(),
    subsets: new Map(),
    signed: new Map(),
    checkpoints: new Map(),
    frozen: new Map(),
    truncating: new Map(),
    certified: new Map(),
  }
}

function raise(places: Map<Bytes32, bigint>, stream: Bytes32, upTo: bigint): void {
  if (upTo > (places.get(stream) ?? 0n)) places.set(stream, upTo)
}

function placeOf({ data: { stream, epoch, sequence } }: Made): string {
  return `${stream}/${epoch}/${sequence}`
}

/** The entries of a range, by the lengths before them. */
function* partsOf(packed: string): Generator<Uint8Array> {
  const bytes = Buffer.from(packed, 'base64')
  for (let at = 0; at < bytes.length; ) {
    const size = bytes.readUInt32BE(at)
    yield bytes.subarray(at + 4, at + 4 + size)
    at += 4 + size
  }
}
