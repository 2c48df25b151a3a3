/** Has penalties certified: the prober whose turn it is proposes one with its evidence, the others check and sign. */
import {
  type Address,
  accepted,
  anchorsOf,
  type Bytes32,
  type CertifiedPenalty,
  checkCertifiedPenalty,
  checkPenalty,
  composePenalty,
  type Hex,
  isPenaltyDue,
  PenaltyRecord,
  penaltyDigest,
  type SignedSample,
  signerOfPenalty,
  toHex,
} from '@smartlayer/protocol'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { HealthParts } from './health-parts.ts'
import type { Ledger } from './ledger.ts'

type Pending = { readonly hash: Bytes32; readonly record: PenaltyRecord; readonly signatures: Map<Address, Hex> }
type Proposal = { readonly record: PenaltyRecord; readonly samples: readonly SignedSample[] }

export class PenaltyService {
  readonly #ports: Pick<Ports, 'clock' | 'telemetry'>
  readonly #parts: HealthParts
  readonly #post: PostOffice
  readonly #ledger: Ledger
  /** At most one per node. */
  readonly #pending = new Map<Address, Pending>()
  /** When a prober last proposed a penalty of a node: checking one costs, so each has one a window. */
  readonly #proposed = new Map<string, bigint>()

  constructor(ports: Pick<Ports, 'clock' | 'telemetry'>, parts: HealthParts, post: PostOffice, ledger: Ledger) {
    this.#ports = ports
    this.#parts = parts
    this.#post = post
    this.#ledger = ledger
    post.on('penalty-proposal', (from, message) => this.#check(from, message))
    post.on('penalty-signature', (from, message) => this.#sign(from, message))
    post.on('penalty', (_, { certified }) => this.#take(certified))
  }

  /** After a window was judged: proposes what is due, and says again which penalties are in force. */
  beat(nodes: readonly Address[], window: bigint): void {
    for (const node of nodes) {
      if (!this.#isTurn(node, window)) continue
      if (isPenaltyDue(this.#ledger.standing(node))) this.#propose(node)
      const now = this.#ports.clock.now()
      const inForce = this.#ledger.penalties(node).filter(({ record }) => record.until > now)
      for (const certified of inForce) this.#spread(certified)
    }
  }

  #isTurn(node: Address, window: bigint): boolean {
    const { anchors } = this.#parts.probers(node)
    const turn = Number((window / BigInt(this.#parts.health.windowMs)) % BigInt(anchors.length))
    return anchors[turn] === this.#parts.self
  }

  #propose(node: Address): void {
    const context = this.#ledger.penaltyContext(node)
    const composed = composePenalty(node, this.#ledger.samples(node), context)
    if (!composed) return
    const hash = toHex(penaltyDigest(composed.record, context))
    this.#pending.set(node, { hash, record: composed.record, signatures: new Map() })
    this.#post.sendAll(context.probers.anchors, { type: 'penalty-proposal', ...composed })
  }

  #check(from: Address, proposal: Proposal): void {
    const { node } = proposal.record
    if (!this.#parts.probers(node).anchors.includes(from)) return
    const window = this.#parts.windowOf(this.#ports.clock.now())
    const key = `${from}/${node}`
    if (this.#proposed.get(key) === window) return
    this.#proposed.set(key, window)
    const checked = checkPenalty(proposal, this.#ledger.penaltyContext(node))
    if (!accepted(checked)) {
      this.#ports.telemetry.log('info', 'health.penalty_refused', {
        node,
        from,
        code: checked.code,
        reason: checked.facts.detail,
      })
      return
    }
    const signature = this.#parts.sign(PenaltyRecord, proposal.record)
    const hash = toHex(this.#parts.digest(PenaltyRecord, proposal.record))
    this.#post.send(from, { type: 'penalty-signature', node, record: hash, signature })
  }

  #sign(from: Address, { node, record: hash, signature }: { node: Address; record: Bytes32; signature: Hex }): void {
    const pending = this.#pending.get(node)
    if (pending?.hash !== hash) return
    const context = this.#parts.about(node)
    if (signerOfPenalty(pending.record, signature, context) !== from) return
    pending.signatures.set(from, signature)
    if (pending.signatures.size < context.probers.quorum) return
    this.#pending.delete(node)
    const certified = { record: pending.record, signatures: [...pending.signatures.values()] }
    this.#take(certified)
    this.#spread(certified)
  }

  #take(certified: CertifiedPenalty): void {
    const { node, until } = certified.record
    if (until <= this.#ports.clock.now() || this.#isKnown(certified)) return
    if (accepted(checkCertifiedPenalty(certified, this.#parts.about(node)))) this.#ledger.penalise(certified)
  }

  #isKnown({ record: { node, first, last } }: CertifiedPenalty): boolean {
    return this.#ledger.penalties(node).some(({ record }) => record.first === first && record.last === last)
  }

  #spread(certified: CertifiedPenalty): void {
    const anchors = anchorsOf(this.#parts.context.membership()).map(({ node }) => node)
    const others = anchors.filter((anchor) => anchor !== this.#parts.self)
    this.#post.sendAll(others, { type: 'penalty', certified })
  }
}
