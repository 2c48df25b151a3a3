/** The elected executor of an instance in one term: it proposes entries, one at a time, and performs effects under its lease. */
import {
  Accept,
  type Address,
  accepted,
  type Bytes32,
  type CheckedInput,
  type Code,
  type CommitProof,
  catalogue,
  countAccept,
  countHeld,
  cursorKey,
  digestOf,
  dueTime,
  type Effect,
  ENTRY_KINDS,
  Entry,
  entryHash,
  type Head,
  Held,
  type Hex,
  type Home,
  type InstanceState,
  type JournaledEntry,
  type JournalInput,
  nextStep,
  type OutcomeBody,
  type Place,
  type Proposal,
  progressOf,
  propose,
  Release,
  recoverShared,
  streamOf,
  subsetOf,
  type Topic,
  topicsInTurn,
  type WireMessage,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import { CALL_MARGIN_MS, performEffect, type Secrets } from './effect-performer.ts'
import type { InputBuffer } from './input-buffer.ts'
import type { LeaseKeeper } from './lease-keeper.ts'
import { attestReport, checkOwn } from './own-input.ts'
import type { Replica } from './replica.ts'

/** Actions that may wait at the executor. */
const ACTION_LIMIT = 256
/** Messages and receipts that may wait at the executor. */
const LETTER_LIMIT = 64
/** A step of the journal is given this long within the lease; an entry that takes longer is proposed again. */
const ENTRY_MS = 300

/** A refused fact is asked for again after this pause, not at once. */
const REFUSED_PAUSE_MS = 1_000

const TERM_START: JournalInput = { kind: 'term-start' }

type Letter = JournalInput & { kind: 'message' | 'receipt' }
type InFlight = {
  readonly journaled: JournaledEntry
  readonly predecessor: JournaledEntry['certificate']
  readonly refusals: Set<Address>
  proposal: Proposal
  sentAt: number
}
type Parts = {
  post: PostOffice
  inputs: InputBuffer
  replica: Replica
  lease: LeaseKeeper
  /** The home set that votes in this term. */
  home: Home
  /** True once another home set took its place: nothing can be journaled in this term any more. */
  homeEnded: () => boolean
  /** The lease was given back, durably: the anchors are to hear of it. */
  released: (message: ReleaseMessage) => void
  secrets: Secrets
  /** Told now and then of the last entry of this process, with the proof that commits it: messages of that state may leave. */
  mayDeliver: (proof: CommitProof) => void
}
export type ReleaseMessage = Extract<WireMessage, { type: 'release' }>

/** Where the placement is kept whose lease this node gave back last. */
export function releasedKey(instance: Bytes32): string {
  return `released/${instance}`
}

export class Executor {
  readonly #ports: Ports
  readonly #context: NodeContext
  readonly #parts: Parts
  readonly #token: LoadedToken
  readonly #actions: JournalInput[] = []
  readonly #outcomes: OutcomeBody[] = []
  /** Messages of other tokens, and receipts for ours, by what names them: each waits once, however often it comes. */
  readonly #letters = new Map<string, Letter>()
  /** Attempts that this process journaled in this term; only these are certain not to have been sent by anybody. */
  readonly #own = new Set<string>()
  /** Attempts whose request left, or is leaving, by this process: none is performed twice. */
  readonly #performed = new Set<string>()
  #calls = 0
  /** The topic whose fact was proposed last. */
  #lastTopic: Topic | undefined
  /** After a fact that was refused, none is tried before this time. */
  #factsFrom = 0
  /** This process committed an entry in this term: it knows of all that was committed before. */
  #hasCommitted = false
  /** An entry of this term is wanted for its own sake. */
  #mustMark = false
  #head: Head
  #headCertificate: JournaledEntry['certificate']
  #inFlight: InFlight | undefined
  #proof: CommitProof | undefined
  #stopped = false
  #timer: Cancel

  constructor(ports: Ports, context: NodeContext, parts: Parts) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
    this.#token = parts.replica.token
    const { headTerm, headN, headHash } = parts.lease.placement
    this.#head = { term: headTerm, n: headN, hash: headHash }
    this.#timer = ports.clock.after(0, () => this.#tick())
  }

  get lease(): LeaseKeeper {
    return this.#parts.lease
  }

  /** True when nothing is under way or waits, so that the term may end without anything missing. */
  get isQuiet(): boolean {
    const waits = this.#inFlight !== undefined || this.#actions.length > 0 || this.#outcomes.length > 0
    return !this.#stopped && !waits && this.#calls === 0 && this.#head.hash === this.#parts.replica.head.hash
  }

  /** True while a call to an outside system may be under way. */
  get isCalling(): boolean {
    return this.#calls > 0
  }

  /**
   * True when nothing is committed beyond this confirmed place: an entry of this very process in this term is, and all that
   * followed it is confirmed. Before that an earlier process, or an earlier term, may have gone further than is known here.
   */
  hasConfirmedAll(confirmed: bigint): boolean {
    return !this.#stopped && this.#hasCommitted && confirmed >= this.#head.n
  }

  /** Proposes an entry even without input, unless one of this term is committed: linearizable reads need it. */
  mark(): void {
    this.#mustMark = true
    this.pump()
  }

  /** Ends the term at once, as when another placement took over. Calls in flight end by themselves; their outcome is dropped. */
  stop(): void {
    this.#stopped = true
    this.#timer()
  }

  /**
   * Gives the lease back so that nobody has to wait for its end: after calls in flight ended, durably, and signed.
   * Nothing is proposed or performed in this term afterwards.
   */
  async release(): Promise<void> {
    if (this.#stopped) return
    this.stop()
    if (this.#calls > 0) return // a call in flight may still have effect: the lease runs out by itself
    const { hash, placement } = this.#parts.lease
    const { signer, crypto } = this.#ports.identity
    const release: Release = { placement: hash, n: this.#head.n, head: this.#head.hash }
    const signature = signer.sign(digestOf(Release, release, this.#context.domain, crypto.keccak))
    const key = releasedKey(placement.instance)
    await this.#ports.store.commit([{ key, value: new TextEncoder().encode(hash) }])
    this.#parts.released({ type: 'release', instance: placement.instance, release, signature })
  }

  /** Queues an action, or the end of the instance; its result shows in the replica's state. Returns false when too many wait. */
  submit(action: JournalInput & { kind: 'action' | 'lifecycle' }): boolean {
    if (this.#actions.length >= ACTION_LIMIT) return false
    this.#actions.push(action)
    this.pump()
    return true
  }

  /** Queues a message of another token, or a receipt for one of ours. What finds no room comes again. */
  take(letter: Letter): void {
    const key = letter.kind === 'message' ? letter.sent.id : letter.received.id
    const isProposed = this.#inFlight?.journaled.input.kind === letter.kind
    if (this.#letters.size >= LETTER_LIMIT || this.#letters.has(key) || isProposed) return
    this.#letters.set(key, letter)
    this.pump()
  }

  /** Something changed that may let the next entry go: an input, a lease, an executed entry. */
  pump(): void {
    if (this.#stopped || this.#inFlight || !this.#parts.lease.mayAct(ENTRY_MS)) return
    const { replica, lease } = this.#parts
    if (replica.incarnation < lease.placement.incarnation) return // its checkpoint is still to come
    if (this.#head.n > replica.head.n) {
      // The head of an older term is not known to be committed; a term-start commits it and all before it.
      if (this.#head.term < lease.placement.term) this.#propose(TERM_START)
      return
    }
    if (this.#head.hash !== replica.head.hash) return this.#abandon('the journal of this term is further')
    if (!replica.state) return
    // An incarnation begins with an entry of its own: what the state says of streams may not hold in it.
    if (BigInt(replica.state.incarnation) < lease.placement.incarnation) return this.#propose(TERM_START)
    // An instance without any entry has no position that replicas could confirm: the first one is made for that.
    const hasMail = (replica.state.outbox?.length ?? 0) > 0
    const mustBegin = this.#head.n === 0n || ((this.#mustMark || hasMail) && !this.#hasCommitted)
    const input = this.#choose(replica.state) ?? (mustBegin ? TERM_START : undefined)
    if (input) this.#propose(input)
  }

  accepted(from: Address, place: Place, signature: Hex): void {
    this.#count(from, { type: Accept, place, signature }, countAccept)
  }

  held(from: Address, place: Place, signature: Hex): void {
    this.#count(from, { type: Held, place, signature }, countHeld)
  }

  /**
   * An anchor refused the entry for good. When so many do that no quorum is left, this term cannot go on: some anchor may
   * have accepted the entry, so nothing else can stand at its place. The next term decides anew.
   */
  refused(from: Address, code: string, facts: string): void {
    const flight = this.#inFlight
    const { home } = this.#parts
    const kind = code in catalogue ? catalogue[code as Code].kind : 'bug'
    const taken = code === 'journal.accepted_other' && facts.includes(`"n":"${flight?.proposal.head.n}"`)
    if (!flight || !home.anchors.includes(from)) return
    if (!taken && (kind === 'conflict' || kind === 'unavailable')) return
    flight.refusals.add(from)
    if (flight.refusals.size <= home.anchors.length - home.quorum) return
    this.#ports.telemetry.log('warn', 'executor.entry_refused', {
      instance: this.#token.instance,
      n: flight.proposal.head.n,
      code,
    })
    if (taken) this.#abandon('another entry stands at its place')
    else void this.release()
  }

  /**
   * An earlier process of this node went further in this term, so this one cannot continue it. The lease is not given back,
   * because a call of the earlier process may still be under way: it runs out by itself, and the next term decides anew.
   */
  #abandon(reason: string): void {
    this.#ports.telemetry.log('warn', 'executor.abandoned', {
      instance: this.#token.instance,
      term: this.#term,
      reason,
    })
    this.stop()
  }

  #tick(): void {
    if (this.#stopped) return
    const { retryMs } = this.#context.parameters
    if (this.#parts.homeEnded()) return void this.release()
    this.#parts.lease.keep()
    const flight = this.#inFlight
    if (flight && this.#ports.clock.monotonic() - flight.sentAt >= retryMs) this.#send(flight)
    this.pump()
    this.#deliver()
    this.#timer = this.#ports.clock.after(retryMs / 2, () => this.#tick())
  }

  /** Only what is executed here as far as it is committed by this process: the state whose messages leave. */
  #deliver(): void {
    const { replica, lease, mayDeliver } = this.#parts
    const proof = this.#proof
    if (proof && replica.head.hash === this.#head.hash && proof.entry.n === this.#head.n && lease.mayAct(0))
      mayDeliver(proof)
  }

  #choose(state: InstanceState): JournalInput | undefined {
    if (state.ended) return undefined
    const due = dueTime(state, this.#token.rules.expiry)
    if (due !== undefined && this.#ports.clock.now() >= due) return { kind: 'lifecycle', end: { by: 'expiry' } }
    const outcome = this.#outcomes.shift()
    if (outcome)
      return attestReport(this.#ports, this.#context, {
        token: this.#token,
        kind: 'outcome',
        body: outcome,
        term: this.#term,
      })
    for (const effect of state.effects) {
      const input = this.#advance(effect)
      if (input) return input
    }
    return this.#nextLetter(state) ?? this.#actions.shift() ?? this.#nextFact(state)
  }

  #advance(effect: Effect): JournalInput | undefined {
    const policy = this.#token.rules.effects[effect.name]
    if (!policy) return undefined
    const key = `${effect.id}:${effect.attempts}`
    const step = nextStep(effect, policy, { term: this.#term, now: this.#ports.clock.now(), mine: this.#own.has(key) })
    const common = { effect: effect.id, name: effect.name }
    switch (step?.step) {
      case 'attempt':
        if (!this.#parts.lease.mayAct(this.#token.timeoutMs(effect.name) + CALL_MARGIN_MS)) return undefined
        this.#own.add(`${effect.id}:${step.attempt}`)
        return this.#report('attempt', { ...common, attempt: step.attempt })
      case 'give-up-as-uncertain': {
        const body: OutcomeBody = {
          ...common,
          attempt: effect.attempts,
          end: 'lost',
          reason: 'executor lost',
          answer: null,
        }
        return this.#report('outcome', body)
      }
      case 'perform':
        void this.#perform(effect, key)
        return undefined
      default:
        return undefined
    }
  }

  #report(kind: 'attempt' | 'outcome', body: object): JournalInput {
    return attestReport(this.#ports, this.#context, { token: this.#token, kind, body, term: this.#term })
  }

  async #perform(effect: Effect, key: string): Promise<void> {
    if (this.#performed.has(key)) return
    this.#performed.add(key)
    this.#calls++
    const { lease, secrets } = this.#parts
    const outcome = await performEffect(this.#ports, this.#context, { token: this.#token, effect, lease, secrets })
    this.#calls--
    if (!outcome) {
      this.#performed.delete(key) // the lease was too short: nothing left
      return
    }
    this.#ports.telemetry.log('info', 'effect.ended', {
      effect: effect.id,
      name: effect.name,
      end: outcome.end,
      reason: outcome.reason,
    })
    if (this.#stopped) return
    this.#outcomes.push(outcome)
    this.pump()
  }

  /** The next one that holds; what does not is dropped, and comes again if it was only early. */
  #nextLetter(state: InstanceState): JournalInput | undefined {
    for (const [key, letter] of this.#letters) {
      this.#letters.delete(key)
      const isAwaited = letter.kind === 'message' || state.outbox?.some(({ id }) => id === letter.received.id)
      if (isAwaited && accepted(checkOwn(this.#ports, this.#context, { token: this.#token, input: letter, state })))
        return letter
    }
    return undefined
  }

  #nextFact(state: InstanceState): JournalInput | undefined {
    if (this.#ports.clock.monotonic() < this.#factsFrom) return undefined
    const { rules } = this.#token
    const { keccak } = this.#ports.identity.crypto
    for (const topic of topicsInTurn(state.topics, this.#lastTopic)) {
      const rule = rules.inputs[topic.input]
      if (!rule) continue
      const stream = streamOf(rule.issuer, rules.tokenType, rule.lane, keccak)
      const subset = subsetOf(topic.subset, keccak)
      const after = BigInt(state.cursors[cursorKey(stream, subset)]?.sequence ?? 0)
      const item = this.#parts.inputs.next(stream, subset, after, this.#token.instance)
      if (!item) continue
      const revocation = this.#parts.inputs.revocationOf(rule.issuer, item)
      const input: JournalInput = { kind: 'input', name: topic.input, ...item, revocation }
      if (this.#check(input, state)) {
        this.#lastTopic = topic
        return input
      }
      this.#parts.inputs.discard(stream, subset, after + 1n)
      this.#factsFrom = this.#ports.clock.monotonic() + REFUSED_PAUSE_MS
    }
    return undefined
  }

  #propose(input: JournalInput): void {
    const { replica, lease } = this.#parts
    const { state } = replica
    if (!state) return
    const checked = this.#check(input, state)
    if (!checked) return
    const now = this.#ports.clock.now()
    const entry: Entry = {
      instance: lease.placement.instance,
      incarnation: lease.placement.incarnation,
      placement: lease.hash,
      term: this.#term,
      n: this.#head.n + 1n,
      previous: this.#head.hash,
      kind: BigInt(ENTRY_KINDS.indexOf(input.kind)),
      input: checked.uid,
      content: checked.content,
      time: now > replica.time ? now : replica.time,
    }
    const { signer, crypto } = this.#ports.identity
    const executorSignature = signer.sign(digestOf(Entry, entry, this.#context.domain, crypto.keccak))
    const head: Head = { term: entry.term, n: entry.n, hash: entryHash(entry, this.#context.domain, crypto.keccak) }
    const journaled = { entry, executorSignature, input, certificate: undefined } as JournaledEntry
    const predecessor = this.#head.term === this.#term ? this.#headCertificate : undefined
    const flight: InFlight = { journaled, predecessor, refusals: new Set(), proposal: propose(entry, head), sentAt: 0 }
    this.#inFlight = flight
    this.#send(flight)
  }

  /** Sends what the entry still waits for; anchors answer a repetition with the same signature. */
  #send(flight: InFlight): void {
    flight.sentAt = this.#ports.clock.monotonic()
    const { home, lease, post } = this.#parts
    const progress = progressOf(flight.proposal, home.quorum)
    const certified = { placement: lease.placement, votes: lease.votes }
    const without = (signed: ReadonlyMap<Address, Hex>) => home.anchors.filter((anchor) => !signed.has(anchor))
    const proposal = {
      type: 'proposal',
      proposed: flight.journaled,
      placement: certified,
      predecessor: flight.predecessor,
    } as const
    post.sendAll(without(flight.proposal.accepts), proposal)
    if (progress.stage === 'certified') {
      post.sendAll(without(flight.proposal.held), { type: 'certificate', certificate: progress.certificate })
    }
  }

  #count(
    from: Address,
    { type, place, signature }: { type: typeof Accept | typeof Held; place: Place; signature: Hex },
    add: typeof countAccept,
  ): void {
    const flight = this.#inFlight
    const { home, post } = this.#parts
    if (!flight || flight.proposal.head.hash !== place.entry || !home.anchors.includes(from)) return
    const counted = type === Accept ? flight.proposal.accepts : flight.proposal.held
    if (counted.has(from) || counted.size >= home.quorum) return // a quorum is enough; more would only cost checks
    const { crypto } = this.#ports.identity
    if (recoverShared(digestOf(type, place, this.#context.domain, crypto.keccak), signature, crypto) !== from) return
    const before = progressOf(flight.proposal, home.quorum).stage
    flight.proposal = add(flight.proposal, from, signature)
    const progress = progressOf(flight.proposal, home.quorum)
    if (before === 'proposed' && progress.stage === 'certified') {
      post.sendAll(home.anchors, { type: 'certificate', certificate: progress.certificate })
    }
    if (progress.stage !== 'committed') return
    const journaled: JournaledEntry = { ...flight.journaled, certificate: progress.certificate }
    this.#inFlight = undefined
    this.#hasCommitted = true
    this.#proof = progress.proof
    this.#head = flight.proposal.head
    this.#headCertificate = progress.certificate
    const readers = [...new Set([...home.anchors, ...this.#parts.lease.placement.replicas])]
    post.sendAll(readers, { type: 'committed', journaled, proof: progress.proof as never })
    this.#parts.replica.take([journaled], progress.proof)
  }

  #check(input: JournalInput, state: InstanceState): CheckedInput | undefined {
    const checked = checkOwn(this.#ports, this.#context, { token: this.#token, input, state })
    if (accepted(checked)) return checked.value
    const { code } = checked
    this.#ports.telemetry.log('warn', 'executor.input_refused', {
      instance: this.#token.instance,
      kind: input.kind,
      code,
    })
    return undefined
  }

  get #term(): bigint {
    return this.#parts.lease.placement.term
  }
}
