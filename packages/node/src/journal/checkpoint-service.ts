/** A home anchor's part in checkpoints: it endorses states that a majority of replicas computed, keeps them, and cuts what led there. */
import {
  type Address,
  type AnchorRecord,
  accepted,
  type Bytes32,
  beginIncarnation,
  type CertifiedEntry,
  type CertifiedJournalCheckpoint,
  type JournalCheckpoint as Checkpoint,
  digestOf,
  Executed,
  type Executed as ExecutedValue,
  endorse,
  epochOfTerm,
  type Hex,
  headOfCheckpoint,
  isOfLaterIncarnation,
  JournalCheckpoint,
  type KeptCheckpoint,
  learnCertificate,
  learnCommit,
  recoverShared,
  snapshotRoot,
  stateOf,
  type VerifiedRoot,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { QuorumDoor } from '../directory/quorum-door.ts'
import type { Change, RecordBook } from '../election/record-book.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { EntryStore } from './entry-store.ts'

/** Offers of which the snapshot is kept until the checkpoint is certified; one per instance. */
const OFFER_LIMIT = 256
/** Entries after the checkpoint of a later incarnation that are asked for at once; others follow as they are missed. */
const FOLLOWING = 64

type Offer = { readonly snapshot: string; readonly roots: readonly { executed: ExecutedValue; signature: Hex }[] }
type Parts = {
  readonly post: PostOffice
  readonly book: RecordBook
  readonly door: QuorumDoor
  readonly entries: EntryStore
}

export class CheckpointService {
  readonly #ports: Pick<Ports, 'identity' | 'telemetry'>
  readonly #context: NodeContext
  readonly #parts: Parts
  readonly #offered = new Map<Bytes32, string>()

  constructor(ports: Pick<Ports, 'identity' | 'telemetry'>, context: NodeContext, parts: Parts) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
    parts.post.on('journal-offer', (from, offer) => this.#endorse(from, offer))
    parts.post.on('journal-checkpoint', (_, { certified }) => this.#keep(certified))
    parts.post.on('journal-snapshot', (from, { kept }) => this.install(kept, from))
  }

  /** Tells where to go on to who asks for entries that were cut. True when they were. */
  serve(to: Address, token: { readonly text: string; readonly instance: Bytes32 }, from: bigint): boolean {
    const kept = this.#parts.entries.checkpoint(token.instance)
    if (!kept || from > kept.certified.checkpoint.n) return false
    if (this.#parts.entries.committed(token.instance, from, 1)[0]?.journaled.entry.n === from) return false
    this.#parts.post.send(to, { type: 'journal-snapshot', token: token.text, kept })
    return true
  }

  #endorse(from: Address, { snapshot, roots }: Offer): void {
    const [first] = roots
    const token = first && this.#context.tokens.byInstance(first.executed.instance)
    if (!token) return
    const { instance } = token
    this.#parts.book.change(instance, (record, { epoch }) => {
      const { placement } = record
      const [committed] = this.#parts.entries.committed(instance, first.executed.n, 1)
      const isHere = committed?.journaled.entry.n === first.executed.n && first.executed.n <= record.committed.n
      if (!placement || !isHere || epoch !== epochOfTerm(placement.placement.term)) return undefined
      const verified = roots.flatMap((root) => this.#verified(root) ?? [])
      const { replicas } = placement.placement
      const { keccak } = this.#ports.identity.crypto
      const entry = { entry: committed.journaled.entry, hash: first.executed.entry }
      const decision = endorse({ snapshot, roots: verified }, entry, { replicas, homeEpoch: epoch, keccak })
      if (!accepted(decision)) {
        this.#ports.telemetry.log('debug', 'journal.not_endorsed', { instance, code: decision.code, from })
        return undefined
      }
      this.#remember(instance, snapshot)
      const signature = this.#sign(decision.value)
      const endorsed = { type: 'journal-endorsed', checkpoint: decision.value, signature } as const
      return { record, perform: () => this.#parts.post.send(from, endorsed) }
    })
  }

  /** A certified checkpoint replaces the one before it, and with it the entries up to that one. */
  #keep(certified: CertifiedJournalCheckpoint): void {
    const { instance, n, root } = certified.checkpoint
    const token = this.#context.tokens.byInstance(instance)
    const snapshot = this.#offered.get(instance)
    if (!token || snapshot === undefined || snapshotRoot(snapshot, this.#ports.identity.crypto.keccak) !== root) return
    this.#parts.book.change(instance, (record) => {
      const { entries, door } = this.#parts
      const before = entries.checkpoint(instance)?.certified.checkpoint.n ?? 0n
      if (n <= before || n > record.committed.n || !accepted(door.checkpoint(token, certified))) return undefined
      const [committed] = entries.committed(instance, n, 1)
      const kept = { certified, snapshot, certificate: committed?.journaled.certificate } as KeptCheckpoint
      this.#offered.delete(instance)
      return { record, writes: [entries.checkpointWrite(kept), ...entries.cutWrites(instance, before)] }
    })
  }

  /** Who is behind a checkpoint goes on from its state; what led there is not needed any more. */
  install(kept: KeptCheckpoint, from?: Address): void {
    const { instance, incarnation } = kept.certified.checkpoint
    const token = this.#context.tokens.byInstance(instance)
    if (!token || !this.#holds(token, kept)) return
    this.#parts.book.change(instance, (record) =>
      isOfLaterIncarnation(incarnation, record)
        ? this.#begun(token, record, kept, from)
        : this.#installed(token, record, kept),
    )
  }

  /** The state of a later incarnation takes the place of the whole journal that was here. */
  #begun(token: LoadedToken, record: AnchorRecord, kept: KeptCheckpoint, from: Address | undefined): Change {
    const { entries } = this.#parts
    const { instance } = token
    const next = beginIncarnation(record, kept.certified)
    const drop = next.certified ? [] : entries.dropWrites(instance)
    const writes = [...drop, entries.checkpointWrite(this.#proven(token, record, kept).kept)]
    const request = { type: 'journal-request', instance, from: next.committed.n + 1n, limit: FOLLOWING } as const
    return { record: next, writes, perform: () => from && this.#parts.post.send(from, request) }
  }

  #installed(token: LoadedToken, record: AnchorRecord, offered: KeptCheckpoint): Change | undefined {
    const head = headOfCheckpoint(offered.certified.checkpoint)
    if (head.n <= record.committed.n) return undefined
    const { kept, certified } = this.#proven(token, record, offered)
    const learned = certified ? learnCertificate(record, certified) : record
    return { record: learnCommit(learned, head), writes: [this.#parts.entries.checkpointWrite(kept)] }
  }

  /** What is kept of a checkpoint: its certificate only when that holds. */
  #proven(
    token: LoadedToken,
    record: AnchorRecord,
    { certificate, ...rest }: KeptCheckpoint,
  ): { readonly kept: KeptCheckpoint; readonly certified: CertifiedEntry | undefined } {
    const known = certificate && this.#parts.door.certificate(token, certificate, record)
    const isOfIt = known && accepted(known) && known.value.head.hash === rest.certified.checkpoint.entry
    const certified = isOfIt ? known.value : undefined
    return { kept: { ...rest, certificate: certified && certificate }, certified }
  }

  #holds(token: LoadedToken, { certified, snapshot }: KeptCheckpoint): boolean {
    const { root, n } = certified.checkpoint
    const isRoot = snapshotRoot(snapshot, this.#ports.identity.crypto.keccak) === root
    return isRoot && accepted(this.#parts.door.checkpoint(token, certified)) && stateOf(snapshot).n === String(n)
  }

  #verified({ executed, signature }: { executed: ExecutedValue; signature: Hex }): VerifiedRoot | undefined {
    const { crypto } = this.#ports.identity
    const digest = digestOf(Executed, executed, this.#context.domain, crypto.keccak)
    const node = recoverShared(digest, signature, crypto)
    return node && { node, executed }
  }

  #remember(instance: Bytes32, snapshot: string): void {
    this.#offered.delete(instance)
    this.#offered.set(instance, snapshot)
    const [oldest] = this.#offered.keys()
    if (this.#offered.size > OFFER_LIMIT) this.#offered.delete(oldest!)
  }

  #sign(checkpoint: Checkpoint): Hex {
    const { signer, crypto } = this.#ports.identity
    return signer.sign(digestOf(JournalCheckpoint, checkpoint, this.#context.domain, crypto.keccak))
  }
}
