/** Checkpoints of streams: home anchors cosign how far a stream reaches, so that late joiners check one quorum and hashes. */
import {
  type Address,
  accepted,
  appendMountain,
  type Bytes32,
  bytes32,
  type CertifiedCheckpoint,
  type StreamCheckpoint as Checkpoint,
  checkCheckpoint,
  digestOf,
  type Hex,
  leafOf,
  listOf,
  type MountainProof,
  type Mountains,
  mountainRoot,
  NO_MOUNTAINS,
  nodeOf,
  proveMountain,
  record,
  StreamCheckpoint,
  uint,
  type Verdict,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import { decodeJson, encodeJson } from '../election/record-store.ts'
import type { Ports } from '../ports/ports.ts'
import type { Write } from '../ports/store.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { HomeStreams } from './home-streams.ts'

/** A checkpoint is due after so many entries, or after so long when there are any. */
const ENTRIES = 256n
const INTERVAL_MS = 5_000
/** Another anchor proposes when the one whose turn it is stays silent. */
const TURN_MS = 5_000
/** Roots of complete subtrees of this height are kept, so that proofs do not read a whole stream. */
const BLOCK_HEIGHT = 8
const BLOCK = 1n << BigInt(BLOCK_HEIGHT)
/** UIDs that one turn adds to a range: a long stream is caught up over several. */
const PLACES_PER_TURN = 4_096
const CLOCK_TOLERANCE_S = 60n
const PROPOSAL_LIMIT = 4_096
const CACHED_NODES = 20_000
/** Ranges of streams kept in memory. */
const CACHED_RANGES = 1_000

const mountainsShape = record({ size: uint(64), peaks: listOf(bytes32, 64) })

type Proposal = { readonly checkpoint: Checkpoint; readonly signatures: Map<Address, Hex> }
type Options = {
  readonly post: PostOffice
  readonly streams: HomeStreams
  /** A checkpoint that 2f + 1 home anchors signed is known and kept. */
  readonly certified: (certified: CertifiedCheckpoint) => void
  /** Whether this anchor took over the stream for the home epoch that it is in, and may sign. */
  readonly signs: (stream: Bytes32) => boolean
}

export class Checkpointer {
  readonly #ports: Pick<Ports, 'store' | 'log' | 'identity' | 'clock' | 'telemetry'>
  readonly #context: NodeContext
  readonly #options: Options
  readonly #proposals = new Map<Bytes32, Proposal>()
  readonly #mountains = new Map<Bytes32, Mountains>()
  readonly #nodes = new Map<string, Bytes32>()
  readonly #dueAt = new Map<Bytes32, number>()

  constructor(
    ports: Pick<Ports, 'store' | 'log' | 'identity' | 'clock' | 'telemetry'>,
    context: NodeContext,
    options: Options,
  ) {
    this.#ports = ports
    this.#context = context
    this.#options = options
    const { post } = options
    post.on('checkpoint-proposal', (from, { checkpoint }) => this.#cosign(from, checkpoint))
    post.on('checkpoint-signature', (from, { checkpoint, signature }) => this.#count(from, checkpoint, signature))
    post.on('checkpoint', (_, { certified }) => this.learn(certified))
  }

  /** Proposes what is due among streams that moved. */
  beat(moved: Iterable<Bytes32>): void {
    const now = this.#ports.clock.monotonic()
    for (const stream of moved) {
      const { state, checkpoint } = this.#options.streams.get(stream)
      const size = checkpoint?.checkpoint.size ?? 0n
      if (state.certified <= size) {
        this.#dueAt.delete(stream)
        continue
      }
      const since = this.#dueAt.get(stream) ?? now
      this.#dueAt.set(stream, since)
      const isDue = state.certified - size >= ENTRIES || now - since >= INTERVAL_MS
      if (isDue && this.#isOurTurn(stream, size, now - since)) this.#propose(stream, state.certified)
    }
  }

  /** True while a stream has entries beyond its newest checkpoint. */
  isBehind(stream: Bytes32): boolean {
    const { state, checkpoint } = this.#options.streams.get(stream)
    return state.certified > (checkpoint?.checkpoint.size ?? 0n)
  }

  /** Whether a checkpoint holds, by the home set of its own epoch. */
  check(certified: CertifiedCheckpoint): Verdict<Checkpoint> {
    const { stream, homeEpoch } = certified.checkpoint
    const home = this.#context.homes().at(stream, homeEpoch)
    if (!home) return { verdict: 'ignore', code: 'home.epoch', facts: { epoch: homeEpoch, standing: 0n } }
    return checkCheckpoint(certified, { home, domain: this.#context.domain, crypto: this.#ports.identity.crypto })
  }

  /** Keeps a checkpoint that holds and is newer than the one that is known. */
  learn(certified: CertifiedCheckpoint): boolean {
    const { stream, size } = certified.checkpoint
    const held = this.#options.streams.get(stream)
    if (size <= (held.checkpoint?.checkpoint.size ?? 0n)) return false
    if (!accepted(this.check(certified))) return false
    held.checkpoint = certified
    held.dirty = true
    this.#keepMountains(stream, size)
    this.#proposals.delete(stream)
    this.#dueAt.delete(stream)
    this.#options.certified(certified)
    return true
  }

  /** The peaks under the newest checkpoint, for an anchor that cannot compute them any more. */
  peaks(stream: Bytes32): { certified: CertifiedCheckpoint; peaks: readonly Bytes32[] } | undefined {
    const certified = this.#options.streams.get(stream).checkpoint
    const mountains = certified && this.#mountainsAt(stream, certified.checkpoint.size)
    if (!certified || mountains?.size !== certified.checkpoint.size) return undefined
    return { certified, peaks: mountains.peaks }
  }

  /** Takes peaks that another anchor computed, when they are those that 2f + 1 signed. */
  async adopt(certified: CertifiedCheckpoint, peaks: readonly Bytes32[]): Promise<boolean> {
    const { stream, size, root } = certified.checkpoint
    const mountains = { size, peaks }
    const isRoot = mountainRoot(mountains, this.#ports.identity.crypto.keccak) === root
    if (!isRoot || !accepted(this.check(certified))) return false
    await this.#ports.store.commit([
      { key: `mountains/${stream}`, value: encodeJson(mountainsShape.toJson(mountains)) },
    ])
    this.#mountains.delete(stream)
    this.learn(certified)
    return true
  }

  /** Proves the place of an entry under the newest checkpoint, when it counts the entry and this anchor has all before it. */
  proof(stream: Bytes32, sequence: bigint): { certified: CertifiedCheckpoint; proof: MountainProof } | undefined {
    const certified = this.#options.streams.get(stream).checkpoint
    if (!certified || sequence > certified.checkpoint.size) return undefined
    const { size } = certified.checkpoint
    if (this.#mountainsAt(stream, size)?.size !== size) return undefined
    try {
      return {
        certified,
        proof: proveMountain({ size, sequence }, (first, height) => this.#subtree(stream, first, height)),
      }
    } catch (error) {
      if (error instanceof PrunedError) return undefined
      throw error
    }
  }

  /** What is needed to go on from a checkpoint when the entries before it were pruned. */
  #keepMountains(stream: Bytes32, size: bigint): void {
    const mountains = this.#mountainsAt(stream, size)
    if (mountains?.size !== size) return
    const write = { key: `mountains/${stream}`, value: encodeJson(mountainsShape.toJson(mountains)) }
    void this.#ports.store.commit([write]).catch((error) => this.#failed(error))
  }

  #propose(stream: Bytes32, size: bigint): void {
    const checkpoint = this.#checkpointAt(stream, size)
    if (!checkpoint) return
    const known = this.#proposals.get(stream)
    if (known && known.checkpoint.size === size) {
      return this.#options.post.sendAll(this.#others(stream), {
        type: 'checkpoint-proposal',
        checkpoint: known.checkpoint,
      })
    }
    if (this.#proposals.size >= PROPOSAL_LIMIT) return
    this.#proposals.set(stream, { checkpoint, signatures: new Map() })
    void this.#sign(checkpoint).then((signature) => {
      if (!signature) return
      this.#count(this.#self, checkpoint, signature)
      this.#options.post.sendAll(this.#others(stream), { type: 'checkpoint-proposal', checkpoint })
    })
  }

  /** Another home anchor proposes: signed only when this anchor computes the same of what it holds itself. */
  #cosign(from: Address, checkpoint: Checkpoint): void {
    const { stream, size } = checkpoint
    if (!this.#home(stream).anchors.includes(from) || !this.#options.signs(stream)) return
    const own = this.#checkpointAt(stream, size)
    if (!own) return // not that far yet: the proposal comes again
    const nowS = this.#ports.clock.now() / 1_000n
    const differs = own.root !== checkpoint.root || own.head !== checkpoint.head || own.epoch !== checkpoint.epoch
    if (differs) return this.#ports.telemetry.log('warn', 'checkpoint.differs', { stream, size, from })
    if (checkpoint.homeEpoch !== own.homeEpoch) return
    if (checkpoint.time > nowS + CLOCK_TOLERANCE_S || checkpoint.time + CLOCK_TOLERANCE_S < nowS) return
    void this.#sign(checkpoint).then((signature) => {
      if (signature) this.#options.post.send(from, { type: 'checkpoint-signature', checkpoint, signature })
    })
  }

  #count(from: Address, checkpoint: Checkpoint, signature: Hex): void {
    const { stream, size } = checkpoint
    const proposal = this.#proposals.get(stream)
    const home = this.#home(stream)
    if (!proposal || proposal.checkpoint.size !== size || !home.anchors.includes(from)) return
    if (proposal.signatures.has(from)) return
    const { keccak, recover } = this.#ports.identity.crypto
    const digest = digestOf(StreamCheckpoint, proposal.checkpoint, this.#context.domain, keccak)
    if (recover(digest, signature) !== from) return
    proposal.signatures.set(from, signature)
    if (proposal.signatures.size < home.quorum) return
    const certified = { checkpoint: proposal.checkpoint, signatures: [...proposal.signatures.values()] }
    if (this.learn(certified)) this.#options.post.sendAll(this.#others(stream), { type: 'checkpoint', certified })
  }

  /** Signs at most one checkpoint per size, never a smaller one than before, and remembers that first (C2SP tlog-witness). */
  async #sign(checkpoint: Checkpoint): Promise<Hex | undefined> {
    if (!this.#options.signs(checkpoint.stream)) return undefined
    const { signer, crypto } = this.#ports.identity
    const key = `checkpoint-signed/${checkpoint.stream}`
    const row = this.#ports.store.get(key)
    const before = row && StreamCheckpoint.parse(decodeJson(row), 'checkpoint')
    if (
      before &&
      (before.size > checkpoint.size || (before.size === checkpoint.size && before.root !== checkpoint.root))
    ) {
      return undefined
    }
    const writes: Write[] = [{ key, value: encodeJson(StreamCheckpoint.toJson(checkpoint)) }]
    try {
      await this.#ports.store.commit(writes)
    } catch (error) {
      this.#ports.telemetry.log('warn', 'checkpoint.not_signed', { stream: checkpoint.stream, error })
      return undefined
    }
    return signer.sign(digestOf(StreamCheckpoint, checkpoint, this.#context.domain, crypto.keccak))
  }

  #checkpointAt(stream: Bytes32, size: bigint): Checkpoint | undefined {
    const { state } = this.#options.streams.get(stream)
    if (size > state.certified) return undefined
    const mountains = this.#mountainsAt(stream, size)
    const place = this.#options.streams.placeAt(stream, size)
    if (mountains?.size !== size || !place) return undefined
    return {
      stream,
      epoch: place.epoch,
      size,
      root: mountainRoot(mountains, this.#ports.identity.crypto.keccak),
      head: place.uid,
      homeEpoch: this.#home(stream).epoch,
      time: this.#ports.clock.now() / 1_000n,
    }
  }

  /**
   * The range of the first `size` entries. It grows from the one that was computed last, a bounded piece per call; undefined
   * when the log no longer has what is between.
   */
  #mountainsAt(stream: Bytes32, size: bigint): Mountains | undefined {
    const { keccak } = this.#ports.identity.crypto
    let mountains = this.#mountains.get(stream) ?? this.#savedMountains(stream)
    if (mountains.size > size) mountains = this.#savedMountains(stream)
    if (mountains.size > size) return undefined
    const writes: Write[] = []
    const missing = size - mountains.size
    const limit = missing < BigInt(PLACES_PER_TURN) ? Number(missing) : PLACES_PER_TURN
    const places = limit > 0 ? this.#ports.log.places(stream, { after: mountains.size, limit }) : []
    for (const place of places) {
      if (place.sequence !== mountains.size + 1n) return undefined
      mountains = appendMountain(mountains, place.uid, keccak)
      if (mountains.size % BLOCK === 0n) {
        const first = mountains.size - BLOCK + 1n
        const root = this.#subtree(stream, first, BLOCK_HEIGHT)
        writes.push({ key: blockKey(stream, first), value: new TextEncoder().encode(root) })
        writes.push({ key: `mountains/${stream}`, value: encodeJson(mountainsShape.toJson(mountains)) })
      }
    }
    this.#remember(stream, mountains)
    if (writes.length > 0) void this.#ports.store.commit(writes).catch((error) => this.#failed(error))
    return mountains
  }

  #remember(stream: Bytes32, mountains: Mountains): void {
    this.#mountains.delete(stream)
    this.#mountains.set(stream, mountains)
    if (this.#mountains.size <= CACHED_RANGES) return
    const [oldest] = this.#mountains.keys()
    this.#mountains.delete(oldest!)
  }

  #savedMountains(stream: Bytes32): Mountains {
    const value = this.#ports.store.get(`mountains/${stream}`)
    return value ? mountainsShape.parse(decodeJson(value), 'mountains') : NO_MOUNTAINS
  }

  /** The root of 2^height leaves from `first` on: kept for blocks, computed below and above them. */
  #subtree(stream: Bytes32, first: bigint, height: number): Bytes32 {
    const key = `${stream}/${first}/${height}`
    const known = this.#nodes.get(key)
    if (known) return known
    const node = this.#computed(stream, first, height)
    if (this.#nodes.size >= CACHED_NODES) this.#nodes.clear()
    if (height > 0) this.#nodes.set(key, node)
    return node
  }

  #computed(stream: Bytes32, first: bigint, height: number): Bytes32 {
    const { keccak } = this.#ports.identity.crypto
    if (height === BLOCK_HEIGHT) {
      const value = this.#ports.store.get(blockKey(stream, first))
      if (value) return new TextDecoder().decode(value) as Bytes32
    }
    if (height <= BLOCK_HEIGHT) {
      const places = this.#ports.log.places(stream, { after: first - 1n, limit: 2 ** height })
      if (places.length !== 2 ** height || places[0]?.sequence !== first) throw new PrunedError()
      let level = places.map(({ uid }) => leafOf(uid, keccak))
      while (level.length > 1) level = pairs(level).map(([left, right]) => nodeOf(left, right, keccak))
      return level[0]!
    }
    const half = 1n << BigInt(height - 1)
    return nodeOf(this.#subtree(stream, first, height - 1), this.#subtree(stream, first + half, height - 1), keccak)
  }

  /** Home anchors take turns; the next one steps in when a checkpoint does not come. */
  #isOurTurn(stream: Bytes32, size: bigint, waitingMs: number): boolean {
    const { anchors } = this.#home(stream)
    const turn = Number(size % BigInt(anchors.length)) + Math.floor(waitingMs / (INTERVAL_MS + TURN_MS))
    return anchors[turn % anchors.length] === this.#self
  }

  #others(stream: Bytes32): readonly Address[] {
    return this.#home(stream).anchors.filter((anchor) => anchor !== this.#self)
  }

  #home(stream: Bytes32) {
    return this.#context.homes().of(stream)
  }

  get #self(): Address {
    return this.#ports.identity.signer.address
  }

  #failed(error: unknown): void {
    this.#ports.telemetry.log('warn', 'checkpoint.not_kept', { error })
  }
}

/** The leaves of a subtree are not in the log any more. */
class PrunedError extends Error {}

function pairs<T>(items: readonly T[]): (readonly [T, T])[] {
  return Array.from({ length: items.length / 2 }, (_, i) => [items[2 * i]!, items[2 * i + 1]!] as const)
}

function blockKey(stream: Bytes32, first: bigint): string {
  return `mountain/${stream}/${String(first).padStart(20, '0')}`
}
