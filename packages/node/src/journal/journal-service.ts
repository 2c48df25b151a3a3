/** A home anchor's part in journals: it accepts, holds, commits, keeps and serves the entries of its instances. */
import {
  Accept,
  type Address,
  type AnchorRecord,
  type Archive,
  acceptEntry,
  accepted,
  type Bytes32,
  type Certificate,
  type CertifiedPlacement,
  type CertifiedRenewal,
  type CommitProof,
  checkInput,
  cursorAfter,
  digestOf,
  Entry,
  entryCarries,
  entryHash,
  epochOfTerm,
  formatTokenRef,
  type Head,
  Held,
  holdEntry,
  isOfLaterIncarnation,
  type JournaledEntry,
  type KeptCheckpoint,
  learnCertificate,
  learnCommit,
  learnPlacement,
  type Place,
  type Refusal,
  readData,
  type Verdict,
  type VerifiedProposal,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { QuorumDoor } from '../directory/quorum-door.ts'
import type { Change, RecordBook } from '../election/record-book.ts'
import type { Ports } from '../ports/ports.ts'
import type { Write } from '../ports/store.ts'
import type { StreamService } from '../stream/stream-service.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { TurnSigner } from '../wire/turn-signer.ts'
import { CheckpointService } from './checkpoint-service.ts'
import type { EntryStore } from './entry-store.ts'

export const JOURNAL_PAGE_LIMIT = 64
/** Characters of bodies in one page: with everything around them they must fit into one frame. */
const PAGE_BODIES = 300_000

/** Instances whose last request for missing entries is remembered. */
const ASKED_LIMIT = 10_000

type ServicePorts = Pick<Ports, 'store' | 'identity' | 'telemetry' | 'clock'>
type Parts = {
  post: PostOffice
  book: RecordBook
  door: QuorumDoor
  entries: EntryStore
  streams: StreamService
  signer: TurnSigner
}
type Proposed = { proposed: JournaledEntry; placement: CertifiedPlacement; predecessor: Certificate | undefined }

export class JournalService {
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #parts: Parts
  readonly #entries: EntryStore
  readonly #checkpoints: CheckpointService
  readonly #leases = new Map<Bytes32, CertifiedRenewal>()
  #turn = 0
  readonly #asked = new Map<Bytes32, { readonly n: bigint; readonly at: number }>()

  constructor(ports: ServicePorts, context: NodeContext, parts: Parts) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
    this.#entries = parts.entries
    this.#checkpoints = new CheckpointService(ports, context, parts)
    parts.post.on('proposal', (from, message) => this.#propose(from, message as Proposed))
    parts.post.on('certificate', (from, message) => this.#hold(from, message.certificate))
    parts.post.on('committed', (from, message) => this.#commit(from, message.journaled, message.proof as CommitProof))
    parts.post.on('lease', (_, message) => this.#lease(message.instance, message.certified))
    parts.post.on('journal-request', (from, { instance, from: n, limit }) => this.#serve(from, { instance, n, limit }))
    parts.post.on('journal-range', (from, message) => this.#take(from, message as Range))
  }

  /** Committed entries from place `from` on, with the proof that commits the last of them. */
  page(
    instance: Bytes32,
    from: bigint,
    limit: number,
  ): { entries: readonly JournaledEntry[]; proof: CommitProof | undefined } {
    const rows = this.#entries.committed(instance, from, Math.min(limit, JOURNAL_PAGE_LIMIT) + 1)
    for (let last = Math.min(rows.length, limit, fitting(rows)) - 1; last >= 0; last--) {
      const proof = rows[last]!.proof ?? provenByNext(rows[last]!.journaled, rows[last + 1]?.journaled)
      if (proof) return { entries: rows.slice(0, last + 1).map((row) => row.journaled), proof }
    }
    return { entries: [], proof: undefined }
  }

  /** Asks for what follows the last committed entry that is known here. */
  fetch(instance: Bytes32): void {
    this.#repair(instance, this.#parts.book.get(instance))
  }

  /** The placement and its latest renewal, as votes prove them. */
  placement(instance: Bytes32): { certified: CertifiedPlacement; lease: CertifiedRenewal | undefined } | undefined {
    const known = this.#parts.book.get(instance).placement
    if (!known) return undefined
    const lease = this.#leases.get(instance)
    const current = lease?.renew.placement === known.hash ? lease : undefined
    return { certified: { placement: known.placement, votes: known.votes }, lease: current }
  }

  /** The newest checkpoint with its state. */
  checkpoint(instance: Bytes32): KeptCheckpoint | undefined {
    return this.#entries.checkpoint(instance)
  }

  /** An anchor that hears of a later incarnation than it has a journal of asks for the checkpoint with which that began. */
  catchUp(record: AnchorRecord): void {
    if (isOfLaterIncarnation(record.incarnation, record)) this.#repair(record.instance, record)
  }

  /** Learns from an archive what home anchors certified: as from another anchor, only what its signatures prove. */
  learn(instance: Bytes32, { kept, entries, proof }: Pick<Archive, 'kept' | 'entries' | 'proof'>): void {
    if (kept) this.#checkpoints.install(kept)
    this.#take(this.#ports.identity.signer.address, { instance, entries, proof: proof as CommitProof | undefined })
  }

  #propose(from: Address, message: Proposed): void {
    const { instance } = message.proposed.entry
    const token = this.#context.tokens.byInstance(instance)
    if (!token) return
    const receipted = this.#hasReceipt(message, () => this.#proposeAgain(from, message))
    if (receipted === 'waiting') return
    this.#parts.book.change(instance, (record, context) => {
      if (receipted !== 'yes') return this.#refuse(from, { instance, about: 'proposal', decision: receipted })
      const checked = this.#checkProposal(record, message, token)
      if (!accepted(checked)) return this.#refuse(from, { instance, about: 'proposal', decision: checked })
      const { proposal, previousTime, writes } = checked.value
      const known = learnPlacement(record, message.placement, proposal.placement.hash)
      const decision = acceptEntry(known, proposal, { previousTime }, context)
      if (!accepted(decision)) return this.#refuse(from, { instance, about: 'proposal', decision })
      const { record: next, sign: place } = decision.value
      return { record: next, writes, perform: () => this.#answer(from, 'accepted', place) }
    })
  }

  /** Where too much waits for the instance the executor comes again anyway. */
  #proposeAgain(from: Address, message: Proposed): void {
    try {
      this.#propose(from, message)
    } catch (error) {
      this.#ports.telemetry.log('debug', 'journal.not_proposed', { instance: message.proposed.entry.instance, error })
    }
  }

  /** A fact enters a journal only with the receipt of its stream: what an issuer forked never gets that far. */
  #hasReceipt({ proposed: { entry, input } }: Proposed, again: () => void): 'yes' | 'waiting' | Refusal {
    if (input.kind !== 'input') return 'yes'
    const data = readData(input)
    const { streams } = this.#parts
    const known = data && streams.hasReceipt({ stream: data.stream, sequence: data.sequence, uid: entry.input }, again)
    if (known === 'other') return refuse('stream.fork', { sequence: data!.sequence })
    const issuer = (input.delegation ?? input).attestation.attester
    if (!input.revocation && streams.revocations.of(issuer, entry.input, input.attestation))
      return refuse('attestation.revoked', { uid: entry.input })
    return known ?? 'yes'
  }

  /** The door: signatures, the chain before the entry, and the entry's own input. */
  #checkProposal(
    record: AnchorRecord,
    { proposed, placement, predecessor }: Proposed,
    token: LoadedToken,
  ): Verdict<{ proposal: VerifiedProposal; previousTime: bigint; writes: readonly Write[] }> {
    const { entry, executorSignature } = proposed
    const { keccak, recover } = this.#ports.identity.crypto
    const placed = this.#parts.door.placement(token, placement, record)
    if (!accepted(placed)) return placed
    const digest = digestOf(Entry, entry, this.#context.domain, keccak)
    const executor = recover(digest, executorSignature)
    if (!executor) return refuse('journal.not_executor', { executor: placement.placement.executor })
    const before = predecessor && this.#parts.door.certificate(token, predecessor, record)
    if (before && !accepted(before)) return before
    const tip = this.#entries.tip(entry.instance, entry.previous)
    if (!tip) {
      this.#repair(entry.instance, record)
      return { verdict: 'ignore', code: 'journal.body_missing', facts: { n: entry.n - 1n } }
    }
    const carried = this.#checkCarried(proposed, { token, executor, cursors: tip.cursors })
    if (carried) return carried
    const hash = entryHash(entry, this.#context.domain, keccak)
    const proposal = {
      entry,
      hash,
      executor,
      placement: { ...placement, hash: placed.value },
      predecessor: before?.value,
    }
    const writes = [this.#entries.entryWrite({ ...proposed, certificate: undefined }, hash, tip.cursors)]
    return { verdict: 'accept', value: { proposal, previousTime: tip.time, writes } }
  }

  #checkCarried(
    { entry, input }: JournaledEntry,
    {
      token,
      executor,
      cursors,
    }: { token: LoadedToken; executor: Address; cursors: Parameters<typeof checkInput>[1]['cursors'] },
  ): Refusal | undefined {
    const malformed = token.checkBody(input)
    if (malformed) return malformed
    const { crypto } = this.#ports.identity
    const anchors = this.#context
      .membership()
      .members.filter((m) => m.role === 'anchor')
      .map((m) => m.node)
    const checked = checkInput(input, {
      networkId: this.#context.networkId,
      domain: this.#context.domain,
      easDomain: this.#context.easDomain,
      crypto,
      rules: token.rules,
      instance: token.instance,
      cursors,
      executor,
      anchors,
      homeIn: (subject, term) => this.#context.homes().at(subject, epochOfTerm(term)),
      time: entry.time,
    })
    if (!accepted(checked)) return checked
    return entryCarries(entry, checked.value)
      ? undefined
      : refuse('journal.input', { detail: 'the entry names another input' })
  }

  #hold(from: Address, certificate: Certificate): void {
    const { instance } = certificate.entry
    const token = this.#context.tokens.byInstance(instance)
    if (!token) return
    this.#parts.book.change(instance, (record, context) => {
      const checked = this.#parts.door.certificate(token, certificate, record)
      if (!accepted(checked)) return undefined
      const tip = this.#entries.tip(instance, certificate.entry.previous)
      const journaled = this.#entries.entry(instance, checked.value.head.hash)
      if (!journaled || !tip) {
        this.#repair(instance, record)
        const decision = { verdict: 'ignore', code: 'journal.body_missing', facts: { n: certificate.entry.n } } as const
        return this.#refuse(from, { instance, about: 'certificate', decision })
      }
      const decision = holdEntry(record, checked.value, context)
      if (!accepted(decision)) return this.#refuse(from, { instance, about: 'certificate', decision })
      const { record: next, sign: place } = decision.value
      const writes = [this.#entries.entryWrite({ ...journaled, certificate }, checked.value.head.hash, tip.cursors)]
      return { record: next, writes, perform: () => this.#answer(from, 'held', place) }
    })
  }

  #commit(from: Address, journaled: JournaledEntry, proof: CommitProof): void {
    const { instance } = journaled.entry
    const token = this.#context.tokens.byInstance(instance)
    if (!token) return
    this.#parts.book.change(instance, (record) => {
      if (this.#isBehind(record, proof.entry, from) || journaled.entry.n <= record.committed.n) return undefined
      const checked = this.#parts.door.commit(token, proof)
      if (!accepted(checked)) return undefined
      return this.#commitChain(record, [journaled], { head: checked.value, proof }, from)
    })
  }

  /** Stores what is new of a chain that ends in a committed entry, or asks for what is missing before it. */
  #commitChain(
    record: AnchorRecord,
    entries: readonly JournaledEntry[],
    { head, proof }: { head: Head; proof: CommitProof },
    from: Address,
  ): Change | undefined {
    const { instance } = record
    const chain = this.#chainTo(record, entries, head)
    if (!chain) this.#repair(instance, record, from)
    if (!chain || chain.length === 0) return undefined
    const links = chain.map(({ hash, journaled }) =>
      this.#entries.linkWrite(instance, { n: journaled.entry.n, hash }, hash === head.hash ? proof : undefined),
    )
    return { record: learnCommit(record, head), writes: [...this.#entryWrites(instance, chain), ...links] }
  }

  /** What leads from the last committed entry to `head`, of what is here and what is offered; undefined while a link is missing. */
  #chainTo(record: AnchorRecord, entries: readonly JournaledEntry[], head: Head): readonly Linked[] | undefined {
    const { domain } = this.#context
    const { keccak } = this.#ports.identity.crypto
    const offered = new Map(entries.map((journaled) => [entryHash(journaled.entry, domain, keccak), journaled]))
    const chain: Linked[] = []
    for (let hash = head.hash; hash !== record.committed.hash; ) {
      const journaled = this.#entries.entry(record.instance, hash) ?? offered.get(hash)
      if (!journaled) return undefined
      if (journaled.entry.n <= record.committed.n) break
      chain.unshift({ hash, journaled })
      hash = journaled.entry.previous
    }
    return chain
  }

  #entryWrites(instance: Bytes32, chain: readonly Linked[]): readonly Write[] {
    let cursors = this.#entries.tip(instance, chain[0]!.journaled.entry.previous)?.cursors ?? {}
    return chain.map(({ hash, journaled }) => {
      const write = this.#entries.entryWrite(journaled, hash, cursors)
      cursors = cursorAfter(journaled.entry, journaled.input, cursors)
      return write
    })
  }

  #lease(instance: Bytes32, certified: CertifiedRenewal): void {
    const known = this.#leases.get(instance)
    if (known && known.renew.placement === certified.renew.placement && known.renew.expires >= certified.renew.expires)
      return
    const token = this.#context.tokens.byInstance(instance)
    const placed = this.#parts.book.get(instance).placement
    if (!token || placed?.hash !== certified.renew.placement) return
    if (accepted(this.#parts.door.renewal(token, certified, placed.placement))) this.#leases.set(instance, certified)
  }

  /** Committed entries, then the certified ones that are not committed yet. */
  #serve(to: Address, { instance, n, limit }: { instance: Bytes32; n: bigint; limit: number }): void {
    const token = this.#context.tokens.byInstance(instance)
    if (!token) return
    if (this.#checkpoints.serve(to, { text: formatTokenRef(token.ref), instance }, n)) return
    const record = this.#parts.book.get(instance)
    const { entries, proof } = this.page(instance, n, limit)
    const last = entries.at(-1)?.entry.n ?? n - 1n
    const tail =
      last >= record.committed.n && record.certified && record.certified.head.n > record.committed.n
        ? this.#entries.chain(instance, {
            after: record.committed.n,
            head: record.certified.head.hash,
            limit: JOURNAL_PAGE_LIMIT,
          })
        : []
    const placed = this.placement(instance)
    this.#parts.post.send(to, {
      type: 'journal-range',
      instance,
      token: formatTokenRef(token.ref),
      placement: placed?.certified,
      lease: placed?.lease,
      entries: [...entries, ...withCertificate(tail ?? [], record.certified)].slice(0, JOURNAL_PAGE_LIMIT),
      proof: proof as never,
    })
  }

  /** Entries from another home anchor: committed ones are stored as such, certified ones for later reports. */
  #take(from: Address, { instance, entries, proof }: Range): void {
    const token = this.#context.tokens.byInstance(instance)
    if (!token) return
    if (proof) {
      this.#parts.book.change(instance, (record) => {
        if (this.#isBehind(record, proof.entry, from) || proof.entry.n <= record.committed.n) return undefined
        const checked = this.#parts.door.commit(token, proof)
        if (!accepted(checked)) return undefined
        const change = this.#commitChain(record, entries, { head: checked.value, proof }, from)
        const isPage = change !== undefined && entries.length > 1
        return isPage ? { ...change, perform: () => this.#repair(instance, change.record, from) } : change
      })
    }
    const committed = proof?.entry.n ?? 0n // with what comes before it: taken as one change above
    const last = entries.findLast(({ entry, certificate }) => certificate && entry.n > committed)
    if (last?.certificate) this.#takeCertified(token, entries, last.certificate)
  }

  /** A certificate stands for all that leads to its entry; it is kept for reports, unless this anchor reported another one. */
  #takeCertified(token: LoadedToken, entries: readonly JournaledEntry[], certificate: Certificate): void {
    const { instance } = token
    this.#parts.book.change(instance, (record) => {
      if (isOfLaterIncarnation(certificate.entry.incarnation, record)) return undefined
      if (certificate.entry.n <= record.committed.n) return undefined
      const checked = this.#parts.door.certificate(token, certificate, record)
      const chain = accepted(checked) && this.#chainTo(record, entries, checked.value.head)
      if (!accepted(checked) || !chain || chain.length === 0) return undefined
      const reportStands = record.report !== undefined && record.report.term > checked.value.head.term
      return {
        record: reportStands ? record : learnCertificate(record, checked.value),
        writes: this.#entryWrites(instance, chain),
      }
    })
  }

  /** A journal of a later incarnation does not go on from what is here: the checkpoint with which it began is asked for. */
  #isBehind(record: AnchorRecord, { incarnation }: Entry, from: Address): boolean {
    const isLater = isOfLaterIncarnation(incarnation, record)
    if (isLater) this.#repair(record.instance, record, from)
    return isLater
  }

  /** Asks for what follows the last committed entry; while the answer may be on its way, not again. */
  #repair(instance: Bytes32, record: AnchorRecord, from?: Address): void {
    const n = isOfLaterIncarnation(record.incarnation, record) ? 0n : record.committed.n
    const now = this.#ports.clock.monotonic()
    const before = this.#asked.get(instance)
    if (before?.n === n && now - before.at < this.#context.parameters.retryMs) return
    if (this.#asked.size >= ASKED_LIMIT) this.#asked.clear()
    this.#asked.set(instance, { n, at: now })
    const others = this.#keepers(record)
    // By turns: what is missing may be a certified entry that one of them alone has.
    const first = this.#turn++ % Math.max(1, others.length)
    const asked =
      from && others.includes(from) ? [from] : [...others.slice(first), ...others.slice(0, first)].slice(0, 2)
    const request = {
      type: 'journal-request',
      instance,
      from: n + 1n,
      limit: JOURNAL_PAGE_LIMIT,
    } as const
    this.#parts.post.sendAll(asked, request)
  }

  /** Who may have what is missing: the other home anchors, and those of the set before as long as the journal ends in its terms. */
  #keepers(record: AnchorRecord): readonly Address[] {
    const token = this.#context.tokens.byInstance(record.instance)
    if (!token) return []
    const homes = this.#context.homes()
    const [home, before] = homes.history(homes.shardOf(token.token))
    const isOlder = record.certified !== undefined && epochOfTerm(record.certified.head.term) < home.epoch
    const keepers = new Set([...home.anchors, ...((isOlder && before?.anchors) || [])])
    keepers.delete(this.#ports.identity.signer.address)
    return [...keepers]
  }

  /** Signed once the promise is on disk, together with whatever else is signed in this turn. */
  #answer(to: Address, type: 'accepted' | 'held', place: Place): void {
    const { keccak } = this.#ports.identity.crypto
    const digest = digestOf(type === 'accepted' ? Accept : Held, place, this.#context.domain, keccak)
    this.#parts.signer.sign(digest).then(
      (signature) => this.#parts.post.send(to, { type, place, signature }),
      (error) => this.#ports.telemetry.log('error', 'journal.not_signed', { instance: place.instance, error }),
    )
  }

  #refuse(
    to: Address,
    { instance, about, decision }: { instance: Bytes32; about: string; decision: Verdict<unknown> },
  ): undefined {
    if (decision.verdict === 'accept') return undefined
    const facts = JSON.stringify(decision.facts, (_, value) => (typeof value === 'bigint' ? String(value) : value))
    this.#ports.telemetry.log('debug', 'journal.refused', { instance, about, to, code: decision.code, facts })
    this.#parts.post.send(to, { type: 'refused', instance, about, code: decision.code, facts: facts.slice(0, 1024) })
    return undefined
  }
}

type Linked = { readonly hash: Bytes32; readonly journaled: JournaledEntry }
type Range = {
  readonly instance: Bytes32
  readonly entries: readonly JournaledEntry[]
  readonly proof: CommitProof | undefined
}

/** The certificate of the last entry may have come without it. */
function withCertificate(
  tail: readonly JournaledEntry[],
  certified: AnchorRecord['certified'],
): readonly JournaledEntry[] {
  const last = tail.at(-1)
  if (!last || !certified) return tail
  const { entry, accepts } = certified.certificate
  return [...tail.slice(0, -1), { ...last, certificate: { entry, accepts: [...accepts] } }]
}

function provenByNext(journaled: JournaledEntry, next: JournaledEntry | undefined): CommitProof | undefined {
  if (!next?.certificate || next.entry.term !== journaled.entry.term) return undefined
  return { by: 'next', entry: journaled.entry, next: next.certificate }
}

function refuse(code: Refusal['code'], facts: Refusal['facts']): Refusal {
  return { verdict: 'reject', code, facts }
}

/** How many rows fit into one page; the first always does. */
function fitting(rows: readonly { readonly journaled: JournaledEntry }[]): number {
  let size = 0
  const beyond = rows.findIndex(({ journaled: { input } }, i) => {
    size += 'body' in input ? input.body.length : 'args' in input ? input.args.length : 0
    return i > 0 && size > PAGE_BODIES
  })
  return beyond < 0 ? rows.length : beyond
}
