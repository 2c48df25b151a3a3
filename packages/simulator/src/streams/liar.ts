/** What a lying anchor does beside its real service: it changes what that says, hears more than that, and says more. */
import { type Network, pack, unpack } from '@smartlayer/node'
import {
  type Address,
  type Bytes32,
  type Domain,
  digestOf,
  encodeItem,
  fromHex,
  type Hasher,
  type Hex,
  Receipt,
  readData,
  type Signer,
  StreamCheckpoint,
  type StreamItem,
  type Struct,
  streamItemShape,
  toHex,
  topicOf,
  uidOf,
} from '@smartlayer/protocol'
import type { Sent } from '../network.ts'
import type { Draws } from '../random.ts'
import type { Made } from './writer.ts'

/** Each is one way to lie; a liar has some of them. */
export const HABITS = [
  'signs everything',
  'stores nothing',
  'withholds',
  'tells other people apart',
  'odd receipts',
  'wrong heads',
  'wrong ranges',
  'wrong checkpoints',
  'wrong certificates',
  'pushes early',
  'refuses everything',
  'accuses',
  'revokes early',
  'repeats',
] as const
export type Habit = (typeof HABITS)[number]

const MEMORY = 64
/** How often one node gets spoilt ranges: a liar has no more bandwidth than others. */
const SPOIL_MS = 150
/** Who sends these may have missed something. */
const LAGGING: ReadonlySet<string> = new Set(['stream-list-request', 'stream-request', 'follow'])

type Options = {
  readonly signer: Signer
  readonly draws: Draws
  readonly now: () => number
  readonly domain: Domain
  readonly keccak: Hasher
  readonly habits: ReadonlySet<Habit>
  readonly anchors: readonly Address[]
  readonly followers: readonly Address[]
}

export class Liar {
  readonly #options: Options
  readonly #memory: { readonly to: Address; readonly message: Sent }[] = []
  readonly #proofs = new Map<string, Sent>()
  readonly #spoiltAt = new Map<Address, number>()
  readonly #followed = new Map<string, { readonly stream: Bytes32; readonly subset: Bytes32 }>()
  #network: Network | undefined
  /** While false it is as honest as it can still be. */
  isLying = true
  lies = 0

  constructor(options: Options) {
    this.#options = options
  }

  isAt(node: Address): boolean {
    return this.#options.signer.address === node
  }

  has(habit: Habit): boolean {
    return this.isLying && this.#options.habits.has(habit)
  }

  speakingThrough(network: Network): Network {
    this.#network = network
    return {
      self: network.self,
      send: (to, message, trafficClass) => {
        for (const said of this.#said(to, message as Sent)) network.send(to, said, trafficClass)
      },
      receive: (handle) =>
        network.receive((from, message) => {
          this.#hear(from, message as Sent)
          if (!this.#isDeafTo(message as Sent)) handle(from, message)
        }),
    }
  }

  /** What it says of a stream to an issuer that asks where it stands. */
  place<T extends { sequence: bigint; certified: bigint; head: Bytes32 }>(place: T): T {
    const { draws } = this.#options
    if (!this.has('wrong heads') || draws.chance(0.3)) return place
    const off = BigInt(draws.between(-2, 3))
    const sequence = place.sequence + off < 0n ? 0n : place.sequence + off
    return { ...place, sequence, certified: sequence, head: this.#junk() }
  }

  /** A forking issuer shows it everything first. */
  collude(made: readonly Made[]): void {
    for (const { item } of made) if (this.has('pushes early')) this.#push(item)
  }

  // --- what its service says ---

  #said(to: Address, message: Sent): readonly Sent[] {
    if (!this.isLying) return [message]
    this.#remember(to, message)
    if (this.has('withholds') && this.#options.draws.chance(0.5)) return this.#lie([])
    if (this.has('tells other people apart') && !this.#isFavoured(to)) return this.#lie([])
    switch (message.type) {
      case 'receipt':
        return this.has('odd receipts') ? this.#lie([this.#oddReceipt(message)]) : [message]
      case 'stream-heads':
        return this.has('wrong heads') ? this.#lie([this.#wrongHeads(message)]) : [message]
      case 'stream-range':
        return this.has('wrong ranges') ? this.#lie([this.#wrongRange(message)]) : [message]
      case 'checkpoint-proposal':
        return this.has('wrong checkpoints') ? this.#lie([this.#wrongProposal(message)]) : [message]
      case 'checkpoint':
      case 'certified':
        return this.has('wrong certificates') ? this.#lie([this.#wrongCertificate(message)]) : [message]
      default:
        return [message]
    }
  }

  #lie(said: readonly Sent[]): readonly Sent[] {
    this.lies++
    return said
  }

  /** Of every pair of anchors it serves one only. */
  #isFavoured(to: Address): boolean {
    const at = this.#options.anchors.indexOf(to)
    return at < 0 || at % 2 === 0
  }

  #remember(to: Address, message: Sent): void {
    if (!this.has('repeats')) return
    this.#memory.push({ to, message })
    if (this.#memory.length > MEMORY) this.#memory.shift()
  }

  /** For another membership than everybody's, or with a signature that convinces nobody: it must spoil nobody's count. */
  #oddReceipt(message: Sent): Sent {
    const { draws } = this.#options
    const receipt = { ...message.receipt, homeEpoch: String(draws.between(0, 2)) }
    if (draws.chance(0.5)) return { ...message, signature: flipped(message.signature) }
    return { type: 'receipt', receipt, signature: this.#sign(Receipt, receipt) }
  }

  #wrongHeads(message: Sent): Sent {
    const { draws } = this.#options
    const heads = message.heads.map((head: Sent) => {
      const off = draws.pick([-3, -1, 0, 1, 2, 400])
      const sequence = String(Math.max(1, Number(head.sequence) + off))
      const stream = draws.chance(0.1) ? this.#junk() : head.stream
      return { ...head, stream, sequence, uid: draws.chance(0.5) ? this.#junk() : head.uid }
    })
    return { ...message, heads, following: draws.chance(0.2) ? draws.between(0, 9) : message.following } as Sent
  }

  #wrongRange(message: Sent): Sent {
    const { draws } = this.#options
    const items = unpack(message.packed)
    const at = draws.between(0, Math.max(items.length - 1, 0))
    const packed = (next: readonly StreamItem[]) => pack(next.map(encodeItem))
    const replaced = (change: (item: StreamItem) => StreamItem) =>
      packed(items.map((item, i) => (i === at ? change(item) : item)))
    switch (message.proof && draws.chance(0.4) ? 9 : draws.between(0, 9)) {
      case 0:
        return { ...message, packed: replaced((item) => ({ ...item, body: `${item.body} ` })) }
      case 1:
        return { ...message, packed: replaced(withOtherSignature) }
      case 2:
        return { ...message, packed: packed(items.filter((_, i) => i !== at)) }
      case 3:
        return { ...message, packed: packed([...items].reverse()) }
      case 4:
        return { ...message, packed: message.packed.slice(0, -8) }
      case 5:
        return { ...message, proof: message.proof && { ...message.proof, siblings: [this.#junk(), this.#junk()] } }
      case 6:
        return {
          ...message,
          proof: message.proof && { ...message.proof, certified: this.#forged(message.proof.certified) },
        }
      case 7:
        return {
          ...message,
          packed: packed(items.map((item) => ({ ...item, body: `{"stolen":${at}}` }))),
          proof: undefined,
        }
      case 8:
        return { ...message, packed: replaced(withOtherAttester) }
      default:
        return {
          ...message,
          packed: packed([...items.slice(0, -1), ...items.slice(-1).map((item) => this.#invented(item))]),
        }
    }
  }

  /** What the issuer might have said at this place; nothing but a signature, or a proof, tells that it did not. */
  #invented(item: StreamItem): StreamItem {
    const { attestation } = item
    return { ...item, attestation: { ...attestation, message: { ...attestation.message, salt: this.#junk() } } }
  }

  /** A checkpoint with another root, as if a quorum had signed it. */
  #forged(certified: { checkpoint: Record<string, string>; signatures: readonly Hex[] }) {
    const checkpoint = { ...certified.checkpoint, root: this.#junk() }
    const own = this.#sign(StreamCheckpoint, checkpoint)
    return { checkpoint, signatures: this.#options.draws.chance(0.5) ? [own, own, own] : certified.signatures }
  }

  #wrongProposal(message: Sent): Sent {
    const { draws } = this.#options
    const { checkpoint } = message
    const change = draws.pick([
      { root: this.#junk() },
      { head: this.#junk() },
      { size: String(BigInt(checkpoint.size) + 1n) },
    ])
    return { type: 'checkpoint-proposal', checkpoint: { ...checkpoint, ...change } }
  }

  #wrongCertificate(message: Sent): Sent {
    const { certified } = message
    if (message.type === 'checkpoint') return { type: 'checkpoint', certified: this.#forged(certified) }
    const receipt = { ...certified.receipt, uid: this.#junk() }
    const own = this.#sign(Receipt, receipt)
    return { type: 'certified', certified: { ...certified, receipt, signatures: [own, own, own] } }
  }

  // --- what it hears ---

  #isDeafTo({ type }: Sent): boolean {
    return this.has('stores nothing') && (type === 'publish' || type === 'stream-range')
  }

  #hear(from: Address, message: Sent): void {
    if (!this.isLying) return
    if (this.has('wrong ranges')) this.#seekProofs(from, message)
    if (message.type === 'publish') this.#hearEntries(from, message)
    if (message.type === 'checkpoint-proposal' && this.has('wrong checkpoints')) this.#cosign(from, message)
    if (this.has('repeats') && this.#options.draws.chance(0.05)) this.#repeat()
  }

  #hearEntries(from: Address, message: Sent): void {
    const items = unpack(message.packed)
    if (this.has('signs everything')) for (const item of items) this.#receipt(item)
    if (this.has('pushes early')) for (const item of items) this.#push(item)
    const [first] = items
    if (!first) return
    if (this.has('refuses everything')) this.#refuse(from, first)
    const { draws, anchors, followers } = this.#options
    const everybody = [...anchors, ...followers]
    if (this.has('accuses') && draws.chance(0.2)) {
      const other = draws.chance(0.5) ? first : { ...first, body: `${first.body} ` }
      this.#say(everybody, {
        type: 'fork',
        first: streamItemShape.toJson(first),
        second: streamItemShape.toJson(other),
      })
    }
    if (this.has('revokes early')) {
      for (const item of items) this.#say(everybody, { type: 'revocation', item: streamItemShape.toJson(item) })
    }
  }

  /** It gets itself ranges with their proofs, spoils them, and sends them to whoever may need one. */
  #seekProofs(from: Address, message: Sent): void {
    const { draws } = this.#options
    if (message.type === 'follow') for (const interest of message.add) this.#followed.set(topicOf(interest), interest)
    if (message.type === 'checkpoint') {
      const { stream } = message.certified.checkpoint
      const wanted = [...this.#followed.values()].filter((interest) => interest.stream === stream)
      for (const { subset } of [{ subset: stream }, ...wanted]) {
        this.#say([from], { type: 'stream-request', stream, subset, after: '0', limit: 1_024, bytes: 65_536 })
      }
    }
    if (message.type === 'stream-range' && message.proof)
      this.#proofs.set(`${message.stream}/${message.subset}`, message)
    const now = this.#options.now()
    const isSoon = now < (this.#spoiltAt.get(from) ?? 0) + SPOIL_MS
    if (isSoon || !(LAGGING.has(message.type) || draws.chance(0.02))) return
    this.#spoiltAt.set(from, now)
    for (const range of this.#proofs.values()) this.#say([from], this.#wrongRange(range))
  }

  /** Signs without looking and without storing, and whatever else it signed for this place. */
  #receipt(item: StreamItem): void {
    const data = readData(item)
    if (!data) return
    const receipt = Receipt.toJson({
      stream: data.stream,
      epoch: data.epoch,
      sequence: data.sequence,
      uid: uidOf(item.attestation.message, this.#options.keccak),
      homeEpoch: 1n,
    }) as Record<string, string>
    this.#say(this.#options.anchors, { type: 'receipt', receipt, signature: this.#sign(Receipt, receipt) })
  }

  #push(item: StreamItem): void {
    const { draws, keccak, followers } = this.#options
    const uid = draws.chance(0.2) ? this.#junk() : uidOf(item.attestation.message, keccak)
    this.#say(followers, { type: 'stream-item', uid, packed: pack([encodeItem(item)]) })
  }

  #refuse(to: Address, item: StreamItem): void {
    const { draws, keccak } = this.#options
    const code = draws.pick([
      'stream.fork',
      'stream.frozen',
      'stream.epoch',
      'attestation.revoked',
      'stream.sequence_gap',
    ])
    const instance = uidOf(item.attestation.message, keccak)
    this.#say([to], {
      type: 'refused',
      instance,
      about: 'publish',
      code,
      facts: '{"sequence":"1","current":"1","got":"1"}',
    })
  }

  /** Signs what it is shown, proposes something else itself, and pretends that others signed that. */
  #cosign(from: Address, message: Sent): void {
    const { checkpoint } = message
    this.#say([from], { type: 'checkpoint-signature', checkpoint, signature: this.#sign(StreamCheckpoint, checkpoint) })
    this.#say(this.#options.anchors, this.#wrongProposal(message))
    this.#say(this.#options.anchors, { type: 'checkpoint', certified: this.#forged({ checkpoint, signatures: [] }) })
  }

  #repeat(): void {
    const { draws } = this.#options
    const old = this.#memory.length > 0 ? draws.pick(this.#memory) : undefined
    if (old) this.#say([old.to], old.message)
  }

  #say(to: readonly Address[], message: Sent): void {
    this.lies++
    for (const node of to) if (node !== this.#network?.self) this.#network?.send(node, message, 'control')
  }

  #sign<T>(type: Struct<T>, json: object): Hex {
    const { signer, domain, keccak } = this.#options
    return signer.sign(digestOf(type, type.parse(json, 'signed'), domain, keccak))
  }

  #junk(): Bytes32 {
    return toHex(this.#options.draws.bytes(32))
  }
}

/** The UID stays: only what it does not cover differs. */
function withOtherSignature(item: StreamItem): StreamItem {
  const { attestation } = item
  if (attestation.batch) {
    const root = { ...attestation.batch.root, signature: flipped(attestation.batch.root.signature) }
    return { ...item, attestation: { ...attestation, batch: { ...attestation.batch, root } } }
  }
  return { ...item, attestation: { ...attestation, signature: flipped(attestation.signature) } }
}

function withOtherAttester(item: StreamItem): StreamItem {
  return { ...item, attestation: { ...item.attestation, attester: flipped(item.attestation.attester) } }
}

function flipped(hex: Hex): Hex {
  const bytes = fromHex(hex)
  bytes[5]! ^= 1
  return toHex(bytes)
}
