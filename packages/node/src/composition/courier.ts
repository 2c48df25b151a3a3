/** The executor's part in messages to other tokens: it has them signed, brings them to their receivers, and gathers the receipts. */
import {
  type Address,
  type Bytes32,
  type CertifiedPlacement,
  type CommitProof,
  type Crypto,
  type Domain,
  digestOf,
  entryHash,
  formatTokenRef,
  type Hex,
  isSmartLayerError,
  type JournalInput,
  type MessageInput,
  type Outgoing,
  type PlacementInfo,
  parseTokenRef,
  type ReceiptInput,
  Received,
  Sent,
  type Struct,
  sentOf,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Replica } from '../execution/replica.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { PlacementFinder } from './placement-finder.ts'

/** How long the receiver's home anchors may take to name a placement; after that they are asked again. */
const FIND_MS = 1_500

type Parts = {
  readonly post: PostOffice
  readonly finder: PlacementFinder
  readonly replica: Replica
  readonly certified: CertifiedPlacement
  readonly submit: (input: JournalInput & { kind: 'receipt' }) => void
}
/** One message under way. What is signed names a place, so a new place begins anew. */
type Job = {
  readonly message: Outgoing
  sent: Sent | undefined
  proof: CommitProof | undefined
  readonly signatures: Map<Address, Hex>
  readonly receipts: Map<string, Map<Address, Hex>>
  receiver: PlacementInfo | undefined
  askedAt: number
  isFinding: boolean
}

export class Courier {
  readonly #ports: Pick<Ports, 'clock' | 'identity' | 'telemetry'>
  readonly #context: NodeContext
  readonly #parts: Parts
  readonly #jobs = new Map<Bytes32, Job>()

  constructor(ports: Pick<Ports, 'clock' | 'identity' | 'telemetry'>, context: NodeContext, parts: Parts) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
  }

  /** Goes on with the first message to each receiver: the next one leaves after its receipt. `proof` commits the present place. */
  deliver(proof: CommitProof): void {
    const { state } = this.#parts.replica
    const outbox = state?.outbox ?? []
    const firsts = outbox.filter((message, i) => outbox.findIndex(({ to }) => to === message.to) === i)
    for (const id of this.#jobs.keys()) if (!firsts.some((message) => message.id === id)) this.#jobs.delete(id)
    for (const message of firsts) {
      const job = this.#jobs.get(message.id) ?? jobOf(message)
      this.#jobs.set(message.id, job)
      const now = this.#ports.clock.monotonic()
      if (now - job.askedAt < this.#context.parameters.retryMs) continue
      job.askedAt = now
      if (this.#isSigned(job)) this.#bring(job)
      else this.#askSignatures(job, proof)
    }
  }

  /** A replica of the sender signed what it has in its outbox. */
  signed(from: Address, sent: Sent, signature: Hex): void {
    const job = this.#jobs.get(sent.id)
    const { replicas } = this.#parts.certified.placement
    if (!job?.sent || job.sent.entry !== sent.entry || !replicas.includes(from) || this.#isSigned(job)) return
    if (!isBy(from, { type: Sent, value: job.sent, signature }, this.#door)) return
    job.signatures.set(from, signature)
    if (this.#isSigned(job)) this.#bring(job)
  }

  /** A replica of the receiver says what became of a message. */
  receipted(from: Address, received: Received, signature: Hex): void {
    const job = this.#jobs.get(received.id)
    const { certified } = job?.receiver ?? {}
    const isOf = certified?.placement.replicas.includes(from) && certified.placement.instance === received.instance
    const isOurs = received.sender === this.#parts.replica.token.instance && received.name === job?.message.name
    if (!job?.receiver || !certified || !isOf || !isOurs) return
    if (!isBy(from, { type: Received, value: received, signature }, this.#door)) return
    const same = job.receipts.get(received.code) ?? new Map<Address, Hex>()
    job.receipts.set(received.code, same.set(from, signature))
    if (same.size < majorityOf(certified.placement.replicas)) return
    const { scriptHash } = job.receiver
    const signatures = [...same.values()]
    const receipt: ReceiptInput = {
      kind: 'receipt',
      from: job.message.to,
      scriptHash,
      received,
      placement: certified,
      signatures,
    }
    this.#parts.submit(receipt as JournalInput & { kind: 'receipt' })
  }

  #askSignatures(job: Job, proof: CommitProof): void {
    const { replica, certified, post } = this.#parts
    const { instance } = replica.token
    const { keccak } = this.#ports.identity.crypto
    const entry = entryHash(proof.entry, this.#context.domain, keccak)
    job.proof = proof
    job.sent = sentOf(job.message, { instance, n: proof.entry.n, entry }, keccak)
    job.signatures.clear()
    post.sendAll(certified.placement.replicas, { type: 'sent-request', sent: job.sent })
  }

  /** Wherever the receiver lives now: all its replicas hear of it, its executor journals it, the others say when they have it. */
  #bring(job: Job): void {
    const { finder, post } = this.#parts
    if (job.isFinding) return
    job.isFinding = true
    const until = this.#ports.clock.monotonic() + FIND_MS
    finder
      .find(parseTokenRef(job.message.to), until)
      .then((receiver) => {
        const { instance, replicas } = receiver.certified.placement
        if (job.receiver?.certified.placement.term !== receiver.certified.placement.term) job.receipts.clear()
        job.receiver = receiver
        const message = this.#inputOf(job)
        if (message) post.sendAll(replicas, { type: 'delivery', instance, message: message as never })
      })
      .catch((error: unknown) => {
        const code = isSmartLayerError(error) ? error.code : 'bug.unexpected'
        this.#ports.telemetry.log('debug', 'courier.no_receiver', { to: job.message.to, code })
      })
      .finally(() => {
        job.isFinding = false
      })
  }

  #inputOf({ sent, proof, message, signatures }: Job): Omit<MessageInput, 'kind'> | undefined {
    if (!sent || !proof) return undefined
    const { token } = this.#parts.replica
    const { scriptHash } = token.rules
    const from = formatTokenRef(token.ref)
    const placement = this.#parts.certified
    return { from, scriptHash, sent, body: message.body, placement, proof, signatures: [...signatures.values()] }
  }

  #isSigned({ signatures }: Job): boolean {
    return signatures.size >= majorityOf(this.#parts.certified.placement.replicas)
  }

  get #door() {
    return { domain: this.#context.domain, crypto: this.#ports.identity.crypto }
  }
}

function jobOf(message: Outgoing): Job {
  return {
    message,
    sent: undefined,
    proof: undefined,
    signatures: new Map(),
    receipts: new Map(),
    receiver: undefined,
    askedAt: Number.NEGATIVE_INFINITY,
    isFinding: false,
  }
}

function majorityOf(replicas: readonly Address[]): number {
  return Math.floor(replicas.length / 2) + 1
}

function isBy<T>(
  from: Address,
  { type, value, signature }: { type: Struct<T>; value: T; signature: Hex },
  { domain, crypto }: { domain: Domain; crypto: Crypto },
): boolean {
  return crypto.recover(digestOf(type, value, domain, crypto.keccak), signature) === from
}
