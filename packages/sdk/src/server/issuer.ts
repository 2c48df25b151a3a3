/** An issuer's client on a server: entries in order, on disk before they are sent, each signed once, many at a time. */
import {
  type Address,
  type Attestation,
  BODY_LIMIT,
  type Bytes32,
  canonicalJson,
  EPOCH_SUBSET,
  type EpochBody,
  INPUT_LIFE_LIMIT_S,
  isHex,
  isSmartLayerError,
  LINK_LIMIT,
  type ReceiptInfo,
  type RevocationBody,
  type Signer,
  SmartLayerError,
  type StreamHead,
  type StreamItem,
  type SubsetState,
  subsetOf,
} from '@smartlayer/protocol'
import {
  type EntryParameters,
  type FactParameters,
  factEntry,
  idsOf,
  type Offered,
  readHead,
  readSubsetHead,
  type StreamParameters,
} from '../publish.ts'
import type { Site } from '../site.ts'
import { deliver, patiently } from './delivery.ts'
import type { Outbox } from './outbox.ts'
import {
  type Basis,
  headsBefore,
  type Mark,
  markOf,
  newState,
  type OutboxState,
  type Pending,
  type SignedEntry,
  subsetHeadOf,
} from './outbox-state.ts'
import { GROUP_BYTES, GROUP_LIMIT, type GroupStart, signGroup, weightOf } from './sign-group.ts'
import { standingOf } from './standing.ts'
import { basisOf, countArrived, hasArrived } from './stream-record.ts'

/** Groups on their way at a time; each may be sent again, so this bounds memory and what a crash leaves to be repeated. */
const FLIGHT_LIMIT = 4
/** Entries that may wait to be signed. */
const QUEUE_LIMIT = 4_096
/** Entries of one batch that wait: enough for the next groups. */
const BATCH_AHEAD = 2 * GROUP_LIMIT
const READS_AT_A_TIME = 8
const PATIENCE_MS = 30_000
const SUBSET_KEY_LIMIT = 512
/** Readable key of the subset of revocations whose target is in none that is known. */
export const REVOCATION_SUBSET = '~revocations'

/** Tells a batch that one of its facts was not signed because the batch was stopped. */
const WITHDRAWN = Symbol('withdrawn')

export type IssuerOptions = {
  /** Signs facts and revocations. */
  readonly signer: Signer
  /** Opens epochs: the issuer's own key. Left out, `signer` does when it is that key. */
  readonly issuerSigner?: Signer | undefined
  /**
   * What to do when the network has entries that the outbox does not know: `continue` is right only when nothing that was
   * signed elsewhere was left unsent; `new epoch` is always safe and seen by everyone. Left out, it is an error.
   */
  readonly recover?: 'continue' | 'new epoch' | undefined
  /**
   * Others sign in this stream as well, never at the same time: its place is read from the network after every pause. Two that
   * do sign at the same time fork the stream.
   */
  readonly shared?: boolean | undefined
  /** How long sending goes on trying without success. */
  readonly patienceMs?: number | undefined
  /** Told of entries of an earlier run that anchors refused for good; those of this run are told to their caller. */
  readonly onDropped?: ((item: StreamItem, error: SmartLayerError) => void) | undefined
}

export type Published = { readonly item: StreamItem; readonly receipt: ReceiptInfo }

/** A fact of a batch, with how far the batch has come once it is signed. */
export type BatchFact = FactParameters & { readonly mark?: Mark | undefined }
export type BatchProgress = { readonly count: number; readonly sequence: bigint; readonly mark: Mark | undefined }
export type BatchOptions = {
  /** Told of every fact that has its receipt, in order. */
  readonly onProgress?: (progress: BatchProgress) => void
  /** Takes no further facts; those that were signed are waited for. */
  readonly signal?: AbortSignal
}
export type BatchSummary = {
  readonly count: number
  readonly first: bigint | undefined
  readonly last: bigint | undefined
  /** Receipts that came: one for each group that was sent. */
  readonly receipts: number
}

/** Facts whose order matters to their caller: after one that failed, none is published. */
type Series = { failure: unknown; receipts: number }
type Waiting<T> = { readonly resolve: (value: T) => void; readonly reject: (error: unknown) => void }
type EntryJob = Waiting<Published> & {
  readonly type: 'entry'
  readonly entry: EntryParameters
  readonly mark: Mark | undefined
  readonly series: Series | undefined
}
type EpochJob = Waiting<Published> & {
  readonly type: 'epoch'
  readonly reason: EpochBody['reason']
  readonly key: Address | undefined
  readonly signer: Signer | undefined
  readonly series?: undefined
}
type SettleJob = Waiting<void> & { readonly type: 'settle' }
type Job = EntryJob | EpochJob | SettleJob
type Owner = EntryJob | EpochJob

/** A group on its way. */
type Flight = { readonly pending: readonly Pending[]; readonly done: Promise<Offered> }
/** A signed entry that anchors refused for good: its place can only be filled in another epoch. */
type Burnt = { readonly entry: Pending; readonly error: SmartLayerError }
type Reopening = {
  readonly basis: Basis
  /** Heads that the outbox knows hold no more: the stream moved on without it. */
  readonly isForeign: boolean
  readonly body: EpochBody
  readonly again: readonly Pending[]
  readonly why: string
  readonly job?: EpochJob
}

export class Issuer {
  readonly #site: Site
  readonly #parameters: StreamParameters
  readonly #stream: Bytes32
  readonly #outbox: Outbox
  readonly #options: IssuerOptions
  #signer: Signer
  /** Anchors in the order in which they are asked: those that did not answer come last. */
  #anchors: readonly string[]
  readonly #jobs: Job[] = []
  /** Jobs of the group that is being signed. */
  #signing: readonly EntryJob[] = []
  #flights: Flight[] = []
  /** Whom of this process to tell of an entry that is pending. */
  readonly #owners = new Map<Bytes32, Owner>()
  #running: Promise<void> | undefined
  #ground = new AbortController()
  #isSettled = false
  #burnt: Burnt | undefined
  /** Why nothing more is signed until a new epoch begins. */
  #stopped: SmartLayerError | undefined
  readonly #arrival = bell()
  readonly #room = bell()

  constructor(site: Site, parameters: StreamParameters, outbox: Outbox, options: IssuerOptions) {
    this.#site = site
    this.#parameters = parameters
    this.#stream = idsOf(site, parameters).stream
    this.#outbox = outbox
    this.#options = options
    this.#signer = options.signer
    this.#anchors = site.anchors
  }

  /**
   * Publishes a fact and resolves with its receipt. `stream.unconfirmed` means that it is signed and kept: it is sent again
   * before anything else, so it must not be attested again. After any other error it is not, and will not be, published.
   */
  async attest(fact: FactParameters): Promise<Published> {
    const entry = this.#entryOf(fact)
    return this.#ask((waiting) => ({ type: 'entry', entry, mark: undefined, series: undefined, ...waiting }))
  }

  /**
   * Publishes facts in order, many under one signature. Stops at the first that fails and throws why; what came before it is
   * published, what comes after it is not.
   */
  async attestMany(
    facts: Iterable<BatchFact> | AsyncIterable<BatchFact>,
    { onProgress, signal }: BatchOptions = {},
  ): Promise<BatchSummary> {
    const series: Series = { failure: undefined, receipts: 0 }
    const open = new Set<Promise<void>>()
    let [count, first, last] = [0, undefined as bigint | undefined, undefined as bigint | undefined]
    const note = (mark: Mark | undefined, sequence: bigint) => {
      count++
      first ??= sequence
      last = sequence
      onProgress?.({ count, sequence, mark })
    }
    const withdraw = () => this.#withdraw(series)
    signal?.addEventListener('abort', withdraw)
    try {
      for await (const { mark, ...fact } of until(signal, facts)) {
        while (this.#jobs.length >= BATCH_AHEAD && !series.failure) await this.#room.rings()
        if (series.failure || signal?.aborted) break
        const entry = this.#entryOf(fact)
        const asked: Promise<void> = this.#ask<Published>((waiting) => ({
          type: 'entry',
          entry,
          mark,
          series,
          ...waiting,
        }))
          .then(({ receipt }) => note(mark, receipt.receipt.sequence - BigInt(receipt.links.length)))
          .catch((error: unknown) => {
            if (error === WITHDRAWN) return
            series.failure ??= error
            this.#room.ring()
          })
          .finally(() => open.delete(asked))
        open.add(asked)
      }
    } finally {
      await Promise.all(open)
      signal?.removeEventListener('abort', withdraw)
    }
    if (series.failure) throw series.failure
    return { count, first, last, receipts: series.receipts }
  }

  /** Takes back one of this issuer's attestations, or every leaf of one of its batch roots. */
  async revoke({
    uid,
    of,
    subset = REVOCATION_SUBSET,
    reason,
  }: {
    uid: Bytes32
    of: RevocationBody['of']
    /** Key or id of the subset that the attestation is in. */
    subset?: string
    reason: string
  }): Promise<Published> {
    const body: RevocationBody = { revokes: uid, of, reason }
    const id = isHex(subset, 32) ? subset : subsetOf(subset, this.#site.crypto.keccak)
    const entry: EntryParameters = { kind: 'revocation', subset: id, body: canonicalJson(body), lifeS: 0n }
    return this.#ask((waiting) => ({ type: 'entry', entry, mark: undefined, series: undefined, ...waiting }))
  }

  /**
   * Opens the next epoch with the issuer's own key; `key` signs in it, the present one when left out. With `lost state` and
   * `fork` the epoch follows what the network has, and what has no receipt by then is signed again in it.
   */
  openEpoch({ reason, key }: { reason: EpochBody['reason']; key?: Address }): Promise<Published> {
    this.#stopped = undefined
    return this.#ask((waiting) => ({ type: 'epoch', reason, key, signer: undefined, ...waiting }))
  }

  /** Opens an epoch in which this key signs, and goes on with it. */
  rotateTo(signer: Signer): Promise<Published> {
    this.#stopped = undefined
    return this.#ask((waiting) => ({ type: 'epoch', reason: 'rotation', key: signer.address, signer, ...waiting }))
  }

  /** Sends what was signed before, if anything, and resolves when it has its receipt. */
  settle(): Promise<void> {
    return this.#ask((waiting) => ({ type: 'settle', ...waiting }))
  }

  /** The last line of a batch that was signed and will be published; true once `settle` was called. */
  markOf(run: string): Mark | undefined {
    const { state } = this.#outbox
    return state && (this.#burnt ? state.runs.get(run) : markOf(state, run))
  }

  /** Throws what any anchor would refuse this fact for, whatever its token type; nothing is signed. */
  check(fact: FactParameters): void {
    this.#entryOf(fact)
  }

  /** Waits for what is on its way and gives the outbox back. */
  async close(): Promise<void> {
    await this.#running
    await this.#outbox.close()
  }

  #entryOf(fact: FactParameters): EntryParameters {
    checkSubsetKey(fact.subset)
    const entry = factEntry(this.#site, fact)
    if (entry.body.length > BODY_LIMIT) {
      throw SmartLayerError.of('message.too_large', { limit: BODY_LIMIT, what: 'the body of the fact' })
    }
    if (entry.lifeS < 0n || entry.lifeS > INPUT_LIFE_LIMIT_S) {
      throw SmartLayerError.of('attestation.lifetime', { seconds: entry.lifeS, limit: INPUT_LIFE_LIMIT_S })
    }
    return entry
  }

  #ask<T>(jobOf: (waiting: Waiting<T>) => Job): Promise<T> {
    if (this.#stopped) return Promise.reject(this.#stopped)
    if (this.#jobs.length >= QUEUE_LIMIT) {
      return Promise.reject(SmartLayerError.of('queue.full', { queue: 'issuer', limit: QUEUE_LIMIT }))
    }
    return new Promise((resolve, reject) => {
      this.#jobs.push(jobOf({ resolve, reject }))
      this.#arrival.ring()
      this.#start()
    })
  }

  /** Facts of a batch that were not signed yet are not, after all. */
  #withdraw(series: Series): void {
    const own = this.#jobs.filter((job) => job.type === 'entry' && job.series === series)
    const others = this.#jobs.filter((job) => !own.includes(job))
    this.#jobs.splice(0, this.#jobs.length, ...others)
    for (const { reject } of own) reject(WITHDRAWN)
    this.#room.ring()
  }

  #start(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
      if (this.#jobs.length > 0) this.#start() // came while the last one ended
    })
  }

  async #run(): Promise<void> {
    if (this.#options.shared) this.#isSettled = false
    try {
      while (this.#jobs.length > 0 || this.#flights.length > 0) {
        await new Promise((resolve) => setImmediate(resolve)) // lets those who ask at the same time be signed together
        if (this.#mayLaunch()) await this.#launch()
        else await this.#land()
      }
    } catch (error) {
      this.#abandon(error)
    }
  }

  #mayLaunch(): boolean {
    const [job] = this.#jobs
    if (!job || this.#flights.length >= FLIGHT_LIMIT) return false
    const isAlone = job.type !== 'entry' || !this.#isSettled || this.#burnt !== undefined
    return !isAlone || this.#flights.length === 0
  }

  async #launch(): Promise<void> {
    const job = this.#jobs[0]!
    if (job.type === 'epoch' && job.reason !== 'rotation') return this.#openOverNetwork(job)
    if (!this.#isSettled) return this.#settle()
    if (job.type === 'epoch') return this.#openOverOutbox(job)
    if (job.type === 'settle') {
      this.#jobs.shift()
      return job.resolve()
    }
    const expected = this.#keyAfter(this.#known().now)
    if (expected !== this.#signer.address) {
      this.#jobs.shift()
      this.#room.ring()
      return job.reject(SmartLayerError.of('stream.key', { expected, got: this.#signer.address }))
    }
    if (this.#burnt) return this.#replaceBurnt([])
    return this.#sendWaiting()
  }

  /** Signs what waits, as much as one request holds, and sends it. */
  async #sendWaiting(): Promise<void> {
    const state = this.#known()
    const { epoch, sequence, head, delegation } = state.now
    const jobs = takeGroup(this.#jobs, (entry) => weightOf(entry, delegation))
    this.#signing = jobs
    this.#jobs.splice(0, jobs.length)
    this.#room.ring()
    const entries = jobs.map(({ entry }) => entry)
    const heads = await this.#headsOf(entries, (subset) => subsetHeadOf(state, subset))
    const start = { epoch, stream: { sequence, head }, heads }
    const { items } = signGroup(this.#site, this.#parameters, {
      entries,
      start,
      by: { signer: this.#signer, delegation },
    })
    const signed = items.map((item, i): SignedEntry => ({ item, mark: jobs[i]!.mark }))
    await this.#outbox.append({ type: 'signed', entries: signed }, { durable: true })
    this.#signing = []
    const pending = state.pending.slice(-jobs.length)
    pending.forEach(({ uid }, i) => {
      this.#owners.set(uid, jobs[i]!)
    })
    this.#fly(pending)
  }

  #fly(pending: readonly Pending[]): void {
    const before = this.#flights.at(-1)?.done
    this.#flights.push({ pending, done: this.#deliver(pending, before) })
  }

  #flyAll(): void {
    const { pending, now } = this.#known()
    for (const group of groupsOf(pending, now.delegation)) this.#fly(group)
  }

  #deliver(pending: readonly Pending[], before?: Promise<Offered>): Promise<Offered> {
    const items = pending.map(({ item }) => item)
    return deliver({ ...this.#site, anchors: this.#anchors }, items, {
      patienceMs: this.#options.patienceMs ?? PATIENCE_MS,
      signal: this.#ground.signal,
      before,
      onSilent: (anchor) => {
        this.#anchors = [...this.#anchors.filter((other) => other !== anchor), anchor]
      },
    })
  }

  /** Waits for the oldest group, or until there is something that could be sent meanwhile. */
  async #land(): Promise<void> {
    const [flight] = this.#flights
    if (!flight) return
    const hasRoom = this.#jobs.length === 0 && this.#flights.length < FLIGHT_LIMIT
    const offered = await (hasRoom ? Promise.race([flight.done, this.#arrival.rings()]) : flight.done)
    if (!offered) return
    if (offered.end === 'receipt') {
      this.#flights.shift()
      return this.#received(flight.pending, offered.receipt)
    }
    this.#ground.abort() // what follows it cannot arrive
    await Promise.all(this.#flights.map(({ done }) => done))
    this.#ground = new AbortController()
    if (!isFinal(offered)) throw offered.error
    await this.#sift(flight.pending, offered.error)
  }

  async #received(pending: readonly Pending[], receipt: ReceiptInfo): Promise<void> {
    await this.#outbox.append({ type: 'receipt', sequence: pending.at(-1)!.data.sequence }, { durable: false })
    const counted = new Set<Series>()
    for (const [i, { uid, item }] of pending.entries()) {
      const owner = this.#owners.get(uid)
      this.#owners.delete(uid)
      if (owner?.series && !counted.has(owner.series)) {
        owner.series.receipts++
        counted.add(owner.series)
      }
      const after = pending.slice(i + 1).map((later) => later.item.attestation.message)
      const links = [...after, ...receipt.links]
      if (!owner) continue
      if (links.length <= LINK_LIMIT || owner.series) owner.resolve({ item, receipt: { ...receipt, links } })
      else this.#resolveAlone(owner, pending.slice(0, i + 1))
    }
  }

  /** The receipt that came is for an entry too far away: published again, an entry gets one of its own. */
  #resolveAlone(owner: Owner, pending: readonly Pending[]): void {
    const { item, data } = pending.at(-1)!
    this.#deliver(pending).then((offered) => {
      if (offered.end === 'receipt') owner.resolve({ item, receipt: offered.receipt })
      else owner.reject(unconfirmed(data.sequence, offered.error))
    }, owner.reject)
  }

  /** One of these entries is refused for good: finds it, publishes what comes before it, and tells its caller. */
  async #sift(pending: readonly Pending[], refusal: SmartLayerError): Promise<void> {
    let [low, high, error] = [0, pending.length, refusal]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      const part = pending.slice(low, middle)
      const offered = await this.#deliver(part)
      if (offered.end === 'receipt') {
        await this.#received(part, offered.receipt)
        low = middle
      } else if (isFinal(offered)) {
        error = offered.error
        high = middle
      } else throw offered.error
    }
    const entry = pending[low]!
    this.#flights = []
    if (await this.#stands(entry)) return this.#passOver(entry, error)
    this.#burnt = { entry, error }
    const owner = this.#owners.get(entry.uid)
    this.#owners.delete(entry.uid)
    if (owner?.series) owner.series.failure ??= error
    if (owner) owner.reject(error)
    else this.#options.onDropped?.(entry.item, error)
    const again = this.#again(this.#known().pending)
    if (again.length > 0) await this.#replaceBurnt(again)
  }

  /** What time made unacceptable may have been accepted before: then it is in the stream, and no receipt is needed. */
  async #stands({ data, uid, item, mark }: Pending): Promise<boolean> {
    const head = await this.#readHead()
    if (head.sequence < data.sequence) return false
    if (head.sequence === data.sequence) return head.head === uid
    return patiently(this.#site, this.#patienceMs, () =>
      hasArrived(this.#site, this.#stream, { data, uid, item, mark }),
    )
  }

  async #passOver({ uid, data }: Pending, refusal: SmartLayerError): Promise<void> {
    await this.#outbox.append({ type: 'receipt', sequence: data.sequence }, { durable: false })
    this.#owners.get(uid)?.reject(unconfirmed(data.sequence, refusal))
    this.#owners.delete(uid)
    this.#flyAll()
  }

  /** Compares the outbox with the network and sends what is pending. */
  async #settle(): Promise<void> {
    const head = await this.#readHead()
    const standing = standingOf(this.#outbox.state, head)
    if (standing === 'new') {
      const { base } = newState({ stream: this.#stream, issuer: this.#parameters.issuer.address })
      await this.#outbox.append(
        { type: 'place', place: { basis: base, complete: true, subsets: [], runs: [] } },
        { durable: true },
      )
    } else if (standing !== 'fits' && !(await this.#adopt(head, standing))) return
    if (head.frozenAfter !== undefined) {
      const why = SmartLayerError.of('stream.frozen', { sequence: head.frozenAfter })
      if (this.#options.recover !== 'new epoch') throw why
      await this.#confirmArrived(head)
      return this.#openOver(head, { reason: 'fork', key: this.#signer.address }, { why: why.message })
    }
    this.#isSettled = true
    this.#flyAll()
  }

  /**
   * The network knows more than the outbox. Takes its place over when that was asked for; false when a new epoch does instead.
   */
  async #adopt(head: StreamHead, standing: 'missing' | 'behind'): Promise<boolean> {
    const { recover, shared } = this.#options
    const left = await this.#confirmArrived(head)
    const state = this.#outbox.state
    if (left.length === 0 && (recover === 'continue' || shared || this.#outbox.isEmptied)) {
      const basis = await this.#basisOf(head)
      const place = { basis, complete: false, subsets: [], runs: undefined }
      await this.#outbox.append({ type: 'place', place }, { durable: true })
      return true
    }
    const facts = { stream: this.#stream, sequence: head.sequence, path: this.#outbox.path }
    const why =
      standing === 'missing' || !state
        ? SmartLayerError.of('stream.state_missing', facts)
        : SmartLayerError.of('stream.state_behind', { ...facts, known: state.now.sequence, pending: left.length })
    if (recover !== 'new epoch') throw why
    await this.#openOver(head, { reason: 'lost state', key: this.#signer.address }, { why: why.message })
    return false
  }

  /** Notes what has arrived of what is pending, and returns what has not. What the head builds on has arrived. */
  async #confirmArrived({ head }: StreamHead): Promise<readonly Pending[]> {
    const pending = this.#outbox.state?.pending ?? []
    if (pending.length === 0) return []
    const read = () => countArrived(this.#site, this.#stream, pending)
    const upToHead = pending.findIndex(({ uid }) => uid === head) + 1
    const arrived = upToHead || (await patiently(this.#site, this.#patienceMs, read))
    const last = pending[arrived - 1]
    if (last) await this.#outbox.append({ type: 'receipt', sequence: last.data.sequence }, { durable: true })
    return pending.slice(arrived)
  }

  async #openOverNetwork(job: EpochJob): Promise<void> {
    const head = await this.#readHead()
    await this.#confirmArrived(head)
    const body = { reason: job.reason, key: job.key ?? this.#signer.address }
    await this.#openOver(head, body, { why: `it was asked for because of ${job.reason}`, job })
  }

  /** A new epoch after the place that the network names. */
  async #openOver(head: StreamHead, body: EpochBody, { why, job }: { why: string; job?: EpochJob }): Promise<void> {
    const { state } = this.#outbox
    const own = state && standingOf({ base: state.base, pending: [] }, head) === 'fits' ? state.base : undefined
    await this.#reopen({
      basis: own ?? (await this.#basisOf(head)),
      isForeign: !own,
      body,
      again: this.#again(state?.pending ?? []),
      why,
      ...(job ? { job } : {}),
    })
    this.#isSettled = true
  }

  /** A new epoch after all that is receipted; nothing else is pending but what was refused. */
  #openOverOutbox(job: EpochJob): Promise<void> {
    const { base, pending } = this.#known()
    const body = { reason: job.reason, key: job.key ?? this.#signer.address }
    return this.#reopen({
      basis: base,
      isForeign: false,
      body,
      again: this.#again(pending),
      why: 'the key changes',
      job,
    })
  }

  #replaceBurnt(again: readonly Pending[]): Promise<void> {
    const { base } = this.#known()
    const body: EpochBody = { reason: 'lost state', key: this.#keyAfter(base) }
    return this.#reopen({ basis: base, isForeign: false, body, again, why: this.#burnt?.error.message ?? '' })
  }

  #keyAfter({ key }: Basis): Address {
    return key ?? this.#parameters.issuer.address
  }

  /** Of what is pending, what is to be signed again in a new epoch. The rest of a batch is published by whoever resumes it. */
  #again(pending: readonly Pending[]): readonly Pending[] {
    return pending.filter(({ uid, mark, data }) => {
      if (uid === this.#burnt?.entry.uid || data.subset === subsetOf(EPOCH_SUBSET, this.#site.crypto.keccak))
        return false
      const owner = this.#owners.get(uid)
      if (!owner) return mark === undefined
      if (owner.series?.failure) owner.reject(owner.series.failure)
      return !owner.series?.failure
    })
  }

  /** The last opening at this place that was signed and has no receipt: signing another one of its epoch would be a fork. */
  #openingAt({ epoch, sequence }: Basis): Pending | undefined {
    const pending = this.#outbox.state?.pending ?? []
    return pending.findLast(({ data }) => data.epoch > epoch && data.sequence === sequence + 1n)
  }

  /** Signs the entry that opens an epoch and, in it, what is to be signed again; all of that is one record of the outbox. */
  async #reopen({ basis, isForeign, body, again, why, job }: Reopening): Promise<void> {
    const { keccak } = this.#site.crypto
    const issuer = this.#parameters.issuer.address
    const known = this.#openingAt(basis)
    if (known?.item.attestation.message.refUID === basis.head) return this.#flyAll()
    const issuerSigner = this.#options.issuerSigner ?? this.#options.signer
    if (issuerSigner.address !== issuer) {
      throw SmartLayerError.of('stream.epoch_needed', { sequence: basis.sequence, reason: why })
    }
    const next = job?.signer ?? this.#signer
    if (again.length > 0 && next.address !== body.key) {
      throw SmartLayerError.of('stream.key', { expected: body.key, got: next.address })
    }
    const opening: EntryParameters = {
      kind: 'epoch',
      subset: subsetOf(EPOCH_SUBSET, keccak),
      body: canonicalJson(body),
      lifeS: 0n,
    }
    const entries = again.map(entryOf)
    const state = this.#outbox.state
    const before = isForeign || !state ? undefined : headsBefore(state)
    const heads = await this.#headsOf([opening, ...entries], (subset) => before?.(subset))
    // One that followed a head which was given up is left behind with its epoch.
    const epoch = (known?.data.epoch ?? basis.epoch) + 1n
    const start = { epoch, stream: { sequence: basis.sequence, head: basis.head }, heads }
    const opened = signGroup(this.#site, this.#parameters, {
      entries: [opening],
      start,
      by: { signer: issuerSigner, delegation: undefined },
    })
    const item = opened.items[0]!
    const delegation = body.key === issuer ? undefined : { attestation: item.attestation, body: item.body }
    const items = [item, ...this.#signAgain(entries, { start: opened.end, by: { signer: next, delegation } })]
    const place = {
      basis,
      complete: !isForeign && (state?.complete ?? false),
      subsets: isForeign ? [] : undefined,
      runs: undefined,
    }
    const signed = items.map((each, i) => ({ item: each, mark: again[i - 1]?.mark }))
    const { pending } = await this.#outbox.append({ type: 'resumed', place, entries: signed }, { durable: true })
    this.#burnt = undefined
    this.#signer = next
    if (job) {
      this.#jobs.splice(this.#jobs.indexOf(job), 1)
      this.#owners.set(pending[0]!.uid, job)
    }
    again.forEach(({ uid }, i) => {
      const owner = this.#owners.get(uid)
      this.#owners.delete(uid)
      if (owner) this.#owners.set(pending[i + 1]!.uid, owner)
    })
    this.#fly(pending.slice(0, 1))
    for (const group of groupsOf(pending.slice(1), delegation)) this.#fly(group)
  }

  #signAgain(
    entries: readonly EntryParameters[],
    { start, by }: { start: GroupStart; by: { signer: Signer; delegation: Basis['delegation'] } },
  ): readonly StreamItem[] {
    let at = start
    const items: StreamItem[] = []
    for (const group of chunksOf(entries, (entry) => weightOf(entry, by.delegation))) {
      const signed = signGroup(this.#site, this.#parameters, { entries: group, start: at, by })
      items.push(...signed.items)
      at = signed.end
    }
    return items
  }

  /** The heads of all subsets that these entries are in; those that the outbox does not know are read, a few at a time. */
  async #headsOf(
    entries: readonly EntryParameters[],
    known: (subset: Bytes32) => SubsetState | undefined,
  ): Promise<ReadonlyMap<Bytes32, SubsetState>> {
    const heads = new Map<Bytes32, SubsetState>()
    const unknown: Bytes32[] = []
    for (const subset of new Set(entries.map((entry) => entry.subset))) {
      const head = known(subset)
      if (head) heads.set(subset, head)
      else unknown.push(subset)
    }
    for (let at = 0; at < unknown.length; at += READS_AT_A_TIME) {
      const reads = unknown.slice(at, at + READS_AT_A_TIME).map(async (subset) => {
        const read = () => readSubsetHead(this.#site, { stream: this.#stream, subset })
        const { sequence, head } = await patiently(this.#site, this.#patienceMs, read)
        heads.set(subset, { sequence, head })
      })
      await Promise.all(reads)
    }
    return heads
  }

  #readHead(): Promise<StreamHead> {
    return patiently(this.#site, this.#patienceMs, () => readHead(this.#site, this.#stream))
  }

  #basisOf(head: StreamHead): Promise<Basis> {
    return patiently(this.#site, this.#patienceMs, () => basisOf(this.#site, this.#parameters.issuer.address, head))
  }

  get #patienceMs(): number {
    return this.#options.patienceMs ?? PATIENCE_MS
  }

  #known(): OutboxState {
    return this.#outbox.state!
  }

  /** Nothing goes on: whoever waits is told whether what they asked for is signed and kept, or was never signed. */
  #abandon(cause: unknown): void {
    const known = isSmartLayerError(cause) ? cause : undefined
    this.#isSettled = false
    this.#flights = []
    if (known?.code === 'stream.frozen' || known?.code === 'stream.fork') this.#stopped = known
    const pending = new Map(this.#outbox.state?.pending.map(({ uid, data }) => [uid, data.sequence]))
    const owners = [...this.#owners]
    this.#owners.clear()
    for (const [uid, { series, reject }] of owners) {
      const told = known ? unconfirmed(pending.get(uid) ?? 0n, known) : cause
      if (series) series.failure ??= told
      reject(told)
    }
    const waiting = [...this.#signing, ...this.#jobs.splice(0)]
    this.#signing = []
    for (const { reject } of waiting) reject(cause)
    this.#room.ring()
  }
}

/** Wrong in itself, or too old: no anchor will ever take it. */
function isFinal({ end, error }: Exclude<Offered, { end: 'receipt' }>): boolean {
  return end === 'refused' && (error.kind === 'invalid' || error.code === 'attestation.expired')
}

function unconfirmed(sequence: bigint, cause: SmartLayerError): SmartLayerError {
  return SmartLayerError.because(cause, 'stream.unconfirmed', { sequence, reason: `${cause.message} ${cause.fix}` })
}

function checkSubsetKey(key: string): void {
  if (typeof key === 'string' && key.length > 0 && key.length <= SUBSET_KEY_LIMIT && key.isWellFormed()) return
  const expected = `well-formed text of 1 to ${SUBSET_KEY_LIMIT} characters`
  throw SmartLayerError.of('message.malformed', { at: 'subset', expected })
}

/** What a signed entry says, to be signed again at another place. */
function entryOf({ item, data }: Pending): EntryParameters {
  const { time, expirationTime } = item.attestation.message as Attestation['message']
  const kind = data.kind === 1n ? 'revocation' : 'fact'
  return { kind, subset: data.subset, body: item.body, lifeS: expirationTime === 0n ? 0n : expirationTime - time }
}

/** The entries at the head of the queue that fit into one request. */
function takeGroup(jobs: readonly Job[], weigh: (entry: EntryParameters) => number): readonly EntryJob[] {
  const end = jobs.findIndex(({ type }) => type !== 'entry')
  const waiting = (end < 0 ? jobs : jobs.slice(0, end)).slice(0, GROUP_LIMIT) as readonly EntryJob[]
  return chunksOf(waiting, ({ entry }) => weigh(entry))[0]!
}

function groupsOf(pending: readonly Pending[], delegation: Basis['delegation']): readonly (readonly Pending[])[] {
  return chunksOf(pending, ({ item }) => weightOf(item, item.delegation ?? delegation))
}

/** In order, as few parts as the limits of a request allow. */
function chunksOf<T>(all: readonly T[], weigh: (one: T) => number): readonly (readonly T[])[] {
  const chunks: T[][] = []
  let bytes = 0
  for (const one of all) {
    const weight = weigh(one)
    const last = chunks.at(-1)
    if (last && last.length < GROUP_LIMIT && bytes + weight <= GROUP_BYTES) {
      last.push(one)
      bytes += weight
    } else {
      chunks.push([one])
      bytes = weight
    }
  }
  return chunks
}

/** The facts until the signal; one that does not come is not waited for. */
async function* until<T>(
  signal: AbortSignal | undefined,
  values: Iterable<T> | AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  const iterator = Symbol.asyncIterator in values ? values[Symbol.asyncIterator]() : values[Symbol.iterator]()
  try {
    for (;;) {
      const next = await orAborted(signal, iterator.next())
      if (!next || next.done) return
      yield next.value
    }
  } finally {
    void iterator.return?.()
  }
}

/** The listener goes with the wait: a long batch waits a million times for one signal. */
function orAborted<T>(signal: AbortSignal | undefined, value: T | Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = () => resolve(undefined)
    if (signal?.aborted) stop()
    signal?.addEventListener('abort', stop)
    Promise.resolve(value)
      .finally(() => signal?.removeEventListener('abort', stop))
      .then(resolve, reject)
  })
}

/** Wakes whoever waits for it, and nobody who comes later. */
function bell(): { ring(): void; rings(): Promise<undefined> } {
  let wake = () => {}
  let next: Promise<undefined> | undefined
  return {
    ring() {
      wake()
      next = undefined
    },
    rings() {
      next ??= new Promise((resolve) => {
        wake = () => resolve(undefined)
      })
      return next
    },
  }
}
