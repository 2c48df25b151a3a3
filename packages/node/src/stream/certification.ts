/** How entries get their receipt here: our own signature once they are on disk, those of the others, and what follows from 2f + 1. */
import {
  type Address,
  accepted,
  type Bytes32,
  type CertifiedReceipt,
  checkReceipt,
  type Hex,
  type OpenEntry,
  type Receipt,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { Certifier } from './certifier.ts'
import type { HomeStreams } from './home-streams.ts'
import type { Homes } from './homes.ts'
import type { Publisher } from './publisher.ts'
import type { Repairer } from './repairer.ts'

/** Who repeats a receipt is told how far the others are; whom that was said to lately is remembered. */
const TOLD_LIMIT = 10_000
const TOLD_MS = 10_000

type ServicePorts = Pick<Ports, 'identity' | 'telemetry' | 'clock'>
type OwnReceipt = { readonly receipt: Receipt; readonly signature: Hex }
type Options = {
  readonly post: PostOffice
  readonly streams: HomeStreams
  readonly homes: Homes
  readonly certifier: Certifier
  readonly publisher: Publisher
  readonly repairer: Repairer
  /** Whether this anchor took over the stream for the home epoch that it is in, and may sign. */
  readonly signs: (stream: Bytes32) => boolean
  /** The places from `from` up to `to` have their receipt since now. */
  readonly released: (stream: Bytes32, from: bigint, to: bigint) => void
}

export class Certification {
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #options: Options
  readonly #told = new Map<string, { readonly sequence: bigint; readonly at: number }>()

  constructor(ports: ServicePorts, context: NodeContext, options: Options) {
    this.#ports = ports
    this.#context = context
    this.#options = options
    const { post } = options
    post.on('receipt', (from, { receipt, signature }) => this.#count(from, receipt, signature))
    post.on('certified', (_, { certified }) => this.learn(certified))
  }

  /** The entry is on disk: our receipt goes to all home anchors, and to whoever brought the entry. */
  acknowledge(from: Address, { data, uid }: OpenEntry): void {
    const { streams, homes, certifier, post, signs } = this.#options
    const { stream, epoch, sequence } = data
    const isHere = streams.placeAt(stream, sequence)?.uid === uid
    if (!isHere || !streams.maySign(data) || !signs(stream)) return // given up meanwhile, or something else before
    const receipt: Receipt = { stream, epoch, sequence, uid, homeEpoch: homes.of(stream).epoch }
    const signature = certifier.sign(receipt)
    const readers = new Set([...homes.of(stream).anchors, from])
    readers.delete(homes.self)
    post.sendAll([...readers], { type: 'receipt', receipt, signature })
    this.#count(homes.self, receipt, signature)
  }

  /** Our signature for the end of a stream is said again, which the others answer. False when there is none to give. */
  repeat(stream: Bytes32, sequence: bigint): boolean {
    const { homes, post } = this.#options
    const own = this.#ownReceipt(stream, sequence)
    if (!own) return false
    post.sendAll(homes.others(stream), { type: 'receipt', ...own })
    this.#count(homes.self, own.receipt, own.signature)
    return true
  }

  /** The newest certificate of a stream, when its signatures convince others. */
  receipt(stream: Bytes32): CertifiedReceipt | undefined {
    const { streams, certifier } = this.#options
    const { certificate } = streams.get(stream)
    return certificate && certifier.proven(certificate)
  }

  /** 2f + 1 home anchors hold everything up to this place: now it may leave, be journaled, and be answered for. */
  certified(certificate: CertifiedReceipt): void {
    const { streams, homes, repairer, released } = this.#options
    const { stream, sequence, uid } = certificate.receipt
    const held = homes.isOwn(stream) ? streams.get(stream) : undefined
    if (!held || sequence <= held.state.certified) return this.#answer(certificate)
    const place = streams.placeAt(stream, sequence)
    if (place && place.uid !== uid) return void this.giveUp(stream, sequence, certificate)
    if (!place || sequence > held.durable)
      return repairer.open(stream, sequence, undefined, { urgent: !place, certificate })
    const { from, to } = streams.certify(stream, certificate)
    released(stream, from, to)
    this.#answer(certificate)
  }

  /** What this anchor holds is not what the others certified: its own tail never had a receipt and is dropped. */
  async giveUp(stream: Bytes32, upTo: bigint, certificate: CertifiedReceipt | undefined): Promise<void> {
    const { streams, repairer } = this.#options
    const from = streams.state(stream).certified + 1n
    this.#ports.telemetry.log('warn', 'stream.tail_given_up', { stream, from })
    try {
      await streams.giveUpTail(stream)
    } catch (error) {
      return this.#ports.telemetry.log('error', 'stream.failed', { stream, error })
    }
    repairer.open(stream, upTo, undefined, { urgent: true, certificate })
  }

  #count(from: Address, receipt: Receipt, signature: Hex): void {
    const { streams, homes, certifier, publisher, repairer } = this.#options
    const { stream, sequence, uid } = receipt
    const held = streams.held.get(stream)
    if (held && sequence <= held.state.certified && homes.isOwn(stream) && !publisher.awaits(uid)) {
      // Who repeats what all others have finished is told so.
      if (from !== homes.self && held.certificate) this.#tellRepeating(from, receipt)
      return
    }
    const outcome = certifier.count(from, receipt, signature)
    if (outcome.outcome === 'two-faced') {
      this.#ports.telemetry.log('warn', 'receipt.two_faced', { anchor: from, stream, sequence, other: outcome.other })
    }
    // Whoever brought it there may have ended before it came here.
    const isFurther = outcome.outcome === 'counted' && sequence > (held?.state.sequence ?? 0n)
    if (isFurther && homes.isOwn(stream)) repairer.open(stream, sequence, from)
    if (outcome.outcome === 'certified') {
      this.certified({ receipt: outcome.receipt, signatures: outcome.signatures, links: [] })
    }
  }

  /** One late receipt is no sign of anything; the same one again is: that anchor does not know how far the others are. */
  #tellRepeating(to: Address, { stream, sequence }: Receipt): void {
    const key = `${to}/${stream}`
    const now = this.#ports.clock.monotonic()
    const before = this.#told.get(key)
    if (this.#told.size > TOLD_LIMIT) this.#told.clear()
    if (before?.sequence === sequence && now - before.at < this.#context.parameters.retryMs / 2) return
    this.#told.set(key, { sequence, at: now })
    if (before?.sequence !== sequence || now - before.at > TOLD_MS) return
    const certified = this.receipt(stream)
    const { post, streams } = this.#options
    if (certified) return post.send(to, { type: 'certified', certified })
    // What convinced us does not convince others: they get our own word for it again.
    const own = this.#ownReceipt(stream, streams.state(stream).certified)
    if (own) post.send(to, { type: 'receipt', ...own })
  }

  /** Our signature for what we hold at a place, when there is nothing else that we signed for it. */
  #ownReceipt(stream: Bytes32, sequence: bigint): OwnReceipt | undefined {
    const { streams, homes, certifier, signs } = this.#options
    const place = streams.placeAt(stream, sequence)
    if (!place || !signs(stream) || !streams.maySign({ stream, epoch: place.epoch, sequence })) return undefined
    const homeEpoch = homes.of(stream).epoch
    const receipt: Receipt = { stream, epoch: place.epoch, sequence, uid: place.uid, homeEpoch }
    return { receipt, signature: certifier.sign(receipt) }
  }

  /** Another anchor shows that 2f + 1 signed up to a place. */
  learn(certified: CertifiedReceipt): void {
    const { streams, homes } = this.#options
    const { stream, sequence, uid } = certified.receipt
    if (certified.links.length > 0 || !homes.isOwn(stream) || sequence <= streams.state(stream).certified) return
    const home = homes.at(stream, certified.receipt.homeEpoch)
    const door = { domain: this.#context.domain, crypto: this.#ports.identity.crypto }
    if (home && accepted(checkReceipt(certified, { stream, sequence, uid }, { home, ...door })))
      this.certified(certified)
  }

  /** Issuers that wait here get the signatures, when they hold; until then more of them are counted. */
  #answer(certificate: CertifiedReceipt): void {
    const { certifier, publisher } = this.#options
    const { stream, sequence, uid } = certificate.receipt
    if (publisher.awaitsAny(stream)) {
      const proven = certifier.proven(certificate)
      if (proven) publisher.certified(proven)
    }
    if (!publisher.awaits(uid)) certifier.settle(stream, sequence)
  }
}
