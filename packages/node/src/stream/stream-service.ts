/** A home anchor's part in streams: it validates, stores, signs receipts, repairs gaps and serves subscribers. */
import {
  type Address,
  type Attestation,
  accept,
  accepted,
  admit,
  type Bytes32,
  type CertifiedReceipt,
  checkContent,
  digestOf,
  freeze,
  type Hex,
  type Home,
  homeOf,
  type InputData,
  inputContext,
  Receipt,
  reject,
  SmartLayerError,
  type StreamItem,
  type StreamState,
  type SubsetState,
  streamOf,
  type Verdict,
  verifyInput,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'
import { Serial } from '../serial.ts'
import type { PostOffice } from '../wire/post-office.ts'
import { type StoredItem, StreamStore } from './stream-store.ts'

export const STREAM_PAGE_LIMIT = 64
const QUEUE_LIMIT = 4096
const PENDING_LIMIT = 1024
const SUBSCRIBER_LIMIT = 1024
const RECEIPT_TIMEOUT_MS = 5_000

type ServicePorts = Pick<Ports, 'store' | 'identity' | 'telemetry' | 'clock'>
type Opened = { readonly item: StreamItem; readonly uid: Bytes32; readonly data: InputData }
type Pending = {
  readonly home: Home
  readonly signatures: Map<Address, Hex>
  readonly refusals: Map<Address, { code: string; facts: Record<string, unknown> }>
  readonly settle: (result: CertifiedReceipt | SmartLayerError) => void
}

export class StreamService {
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #post: PostOffice
  readonly #streams: StreamStore
  readonly #serial: Serial
  readonly #pending = new Map<Bytes32, Pending>()
  readonly #subscribers = new Map<Address, ReadonlySet<string>>()

  constructor(ports: ServicePorts, context: NodeContext, post: PostOffice) {
    this.#ports = ports
    this.#context = context
    this.#post = post
    this.#streams = new StreamStore(ports.store)
    this.#serial = new Serial(QUEUE_LIMIT, (error) => ports.telemetry.log('error', 'stream.failed', { error }))
    post.on('publish', (from, message) => this.#receive(from, message.item))
    post.on('receipt', (from, message) => this.#count(from, message.receipt, message.signature))
    post.on('subscribe', (from, message) => this.#subscribe(from, message.subsets))
    post.on('stream-request', (from, request) => this.#serve(from, request))
    post.on('stream-range', (_, range) => {
      for (const item of range.items) this.#receive(undefined, item)
    })
  }

  states(): readonly StreamState[] {
    return this.#streams.states()
  }

  state(stream: Bytes32): StreamState {
    return this.#streams.state(stream)
  }

  subset(stream: Bytes32, subset: Bytes32): SubsetState {
    return this.#streams.subset(stream, subset)
  }

  page(stream: Bytes32, request: { subset: Bytes32; after: bigint; limit: number }): readonly StreamItem[] {
    const limit = Math.min(request.limit, STREAM_PAGE_LIMIT)
    return this.#streams.subsetAfter(stream, { ...request, limit }).map(({ item }) => item)
  }

  /**
   * Takes an entry from an issuer to all home anchors. Resolves with 2f + 1 signatures once they stored it; publishing the
   * same entry again is safe. Throws the refusal that more than f anchors gave, or `stream.no_quorum`.
   */
  async publish(item: StreamItem): Promise<CertifiedReceipt> {
    const opened = this.#open(item)
    if (!accepted(opened)) throw SmartLayerError.fromData(opened.code, opened.facts)
    const { uid } = opened.value
    if (this.#pending.size >= PENDING_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'publish', limit: PENDING_LIMIT })
    const home = this.#home(opened.value.data.stream)
    return new Promise((resolve, reject) => {
      const settle = (result: CertifiedReceipt | SmartLayerError) => {
        cancelTimeout()
        cancelRetry()
        this.#pending.delete(uid)
        if (result instanceof SmartLayerError) reject(result)
        else resolve(result)
      }
      const pending: Pending = { home, signatures: new Map(), refusals: new Map(), settle }
      let cancelRetry = () => {}
      const send = () => {
        const missing = home.anchors.filter((anchor) => !pending.signatures.has(anchor))
        this.#post.sendAll(missing, { type: 'publish', item })
        cancelRetry = this.#ports.clock.after(this.#context.parameters.retryMs, send)
      }
      const cancelTimeout = this.#ports.clock.after(RECEIPT_TIMEOUT_MS, () => settle(timedOut(pending)))
      this.#pending.set(uid, pending)
      send()
    })
  }

  #home(stream: Bytes32) {
    return homeOf(stream, this.#context.membership(), this.#ports.identity.crypto.keccak)
  }

  /** Checks form, signer, context and body: all that needs no state. */
  #open({ attestation, body }: StreamItem): Verdict<Opened> {
    const { crypto } = this.#ports.identity
    const token = this.#context.tokens.byContract(attestation.message.recipient)
    if (!token) return reject('token.unknown', { token: attestation.message.recipient })
    const verified = this.#verify(attestation, token.rules)
    if (!accepted(verified)) return verified
    const rule = issuerOf(token.rules, attestation, crypto.keccak)
    const misfit = rule && token.checkFact(rule, body)
    if (misfit) return misfit
    const content = checkContent(body, verified.value.data.contentHash, crypto.keccak)
    if (!accepted(content)) return content
    return accept({ item: { attestation, body }, uid: verified.value.verified.uid, data: verified.value.data })
  }

  #verify(
    attestation: Attestation,
    rules: Parameters<typeof issuerOf>[0],
  ): Verdict<{ verified: { uid: Bytes32 }; data: InputData }> {
    const { crypto } = this.#ports.identity
    const rule = issuerOf(rules, attestation, crypto.keccak)
    if (!rule) return reject('attestation.signer', { signer: attestation.attester, role: 'issuer of this token type' })
    const verified = verifyInput(attestation, {
      domain: this.#context.easDomain,
      crypto,
      nowS: this.#ports.clock.now() / 1000n,
      issuers: [rule.issuer],
      context: inputContext(this.#context.networkId, rules.tokenType, rule.lane, crypto.keccak),
    })
    if (!accepted(verified)) return verified
    const stream = streamOf(rule.issuer, rules.tokenType, rule.lane, crypto.keccak)
    return verified.value.data.stream === stream ? verified : reject('stream.identity')
  }

  /** An entry from a peer. The script of a type that is new here is loaded first. */
  #receive(from: Address | undefined, item: StreamItem): void {
    const contract = item.attestation.message.recipient
    if (this.#context.tokens.byContract(contract)) return this.#take(from, item)
    this.#context.tokens
      .loadType(contract)
      .then(() => this.#take(from, item))
      .catch((error) => this.#ports.telemetry.log('warn', 'stream.not_taken', { contract, error }))
  }

  #take(from: Address | undefined, item: StreamItem): void {
    const opened = this.#open(item)
    if (!accepted(opened)) {
      if (from) this.#refuse(from, opened)
      return
    }
    this.#serial.run(opened.value.data.stream, () => this.#admit(from, opened.value))
  }

  async #admit(from: Address | undefined, { item, uid, data }: Opened): Promise<void> {
    const stored = this.#streams.at(data.stream, data.sequence)
    const state = this.#streams.state(data.stream)
    const entry = { data, uid, previous: item.attestation.message.refUID }
    const subset = this.#streams.subset(data.stream, data.subset)
    const decision = admit(state, subset, { entry, stored: stored?.uid })
    if (accepted(decision)) {
      await this.#ports.store.commit(this.#streams.writes({ item, uid }, data, decision.value))
      this.#ports.telemetry.log('info', 'stream.admitted', { stream: data.stream, sequence: data.sequence, uid })
      if (from) this.#sendReceipt(from, { data, uid })
      this.#push(item, data)
    } else if (decision.code === 'stream.already_known') {
      if (from) this.#sendReceipt(from, { data, uid })
    } else {
      if (decision.code === 'stream.fork') await this.#freeze(state, data, { item, uid })
      if (decision.code === 'stream.sequence_gap') this.#repair(data.stream, state)
      if (from) this.#refuse(from, decision, uid)
    }
  }

  async #freeze(state: StreamState, data: InputData, rival: StoredItem): Promise<void> {
    const writes = [this.#streams.forkWrite(data.stream, data.sequence, rival), this.#streams.stateWrite(freeze(state))]
    await this.#ports.store.commit(state.frozenAfter === undefined ? writes : writes.slice(0, 1))
    this.#ports.telemetry.log('warn', 'stream.forked', { stream: data.stream, sequence: data.sequence })
  }

  #sendReceipt(to: Address, { data, uid }: { data: InputData; uid: Bytes32 }): void {
    const { signer, crypto } = this.#ports.identity
    const receipt: Receipt = { stream: data.stream, epoch: data.epoch, sequence: data.sequence, uid }
    const signature = signer.sign(digestOf(Receipt, receipt, this.#context.domain, crypto.keccak))
    this.#post.send(to, { type: 'receipt', receipt, signature })
  }

  #count(from: Address, receipt: Receipt, signature: Hex): void {
    const pending = this.#pending.get(receipt.uid)
    if (!pending) return
    const home = this.#home(receipt.stream)
    const { keccak, recover } = this.#ports.identity.crypto
    const signer = recover(digestOf(Receipt, receipt, this.#context.domain, keccak), signature)
    if (signer !== from || !home.anchors.includes(from)) return
    pending.signatures.set(from, signature)
    if (pending.signatures.size >= home.quorum)
      pending.settle({ receipt, signatures: [...pending.signatures.values()] })
  }

  /** An entry of a peer was refused. It goes back to the publisher, who settles when no quorum is possible any more. */
  #refuse(to: Address, refusal: { code: string; facts: object }, uid?: Bytes32): void {
    const facts = JSON.stringify(refusal.facts, (_, value) => (typeof value === 'bigint' ? String(value) : value))
    this.#post.send(to, {
      type: 'refused',
      instance: uid ?? `0x${'00'.repeat(32)}`,
      about: 'publish',
      code: refusal.code,
      facts: facts.slice(0, 1024),
    })
  }

  /** Counts a refusal of a home anchor for one of our pending entries. */
  refused(from: Address, uid: Bytes32, refusal: { code: string; facts: Record<string, unknown> }): void {
    const pending = this.#pending.get(uid)
    if (!pending) return
    pending.refusals.set(from, refusal)
    const { anchors, quorum } = pending.home
    const same = [...pending.refusals.values()].filter((other) => other.code === refusal.code)
    // One anchor may lack entries that the others have; a gap is real only when nobody has them.
    const needed = refusal.code === 'stream.sequence_gap' ? anchors.length : anchors.length - quorum + 1
    if (same.length >= needed) pending.settle(SmartLayerError.fromData(refusal.code, refusal.facts))
  }

  #subscribe(from: Address, subsets: readonly { stream: Bytes32; subset: Bytes32 }[]): void {
    if (!this.#subscribers.has(from) && this.#subscribers.size >= SUBSCRIBER_LIMIT) return
    this.#subscribers.set(from, new Set(subsets.map(({ stream, subset }) => `${stream}:${subset}`)))
  }

  #push(item: StreamItem, { stream, subset }: InputData): void {
    const wanting = [...this.#subscribers]
      .filter(([, subsets]) => subsets.has(`${stream}:${subset}`))
      .map(([node]) => node)
    this.#post.sendAll(wanting, { type: 'stream-item', item })
  }

  /** An empty subset in the request means the whole stream: home anchors repair each other so. */
  #serve(
    to: Address,
    { stream, subset, after, limit }: { stream: Bytes32; subset: Bytes32; after: bigint; limit: number },
  ): void {
    const whole = subset === stream
    const stored = whole
      ? this.#streams.after(stream, after, limit)
      : this.#streams.subsetAfter(stream, { subset, after, limit })
    if (stored.length === 0) return
    this.#post.send(to, { type: 'stream-range', stream, subset, items: stored.map(({ item }) => item) })
  }

  #repair(stream: Bytes32, state: StreamState): void {
    const self = this.#ports.identity.signer.address
    const others = this.#home(stream).anchors.filter((anchor) => anchor !== self)
    this.#post.sendAll(others, {
      type: 'stream-request',
      stream,
      subset: stream,
      after: state.sequence,
      limit: STREAM_PAGE_LIMIT,
    })
  }
}

type IssuerRules = {
  readonly tokenType: Bytes32
  readonly inputs: Readonly<Record<string, { issuer: Address; lane: Bytes32 }>>
}

/** The declared issuer and lane whose stream this attestation belongs to. */
function issuerOf(rules: IssuerRules, { attester, message }: Attestation, keccak: (bytes: Uint8Array) => Uint8Array) {
  const own = Object.values(rules.inputs).filter((rule) => rule.issuer === attester)
  const stream = message.data.slice(0, 2 + 128).slice(66) // second word of SLInput
  return own.find((rule) => streamOf(rule.issuer, rules.tokenType, rule.lane, keccak).slice(2) === stream) ?? own[0]
}

function timedOut({ home, refusals, signatures }: Pending): SmartLayerError {
  const [refusal] = refusals.values()
  if (refusal) return SmartLayerError.fromData(refusal.code, refusal.facts)
  return SmartLayerError.of('stream.no_quorum', { got: signatures.size, needed: home.quorum, of: home.anchors.length })
}
