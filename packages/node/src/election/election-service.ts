/** A home anchor's part in elections: it reports, votes, renews and takes releases, for every instance it is home of. */
import {
  type Address,
  type AnchorRecord,
  accepted,
  type Bytes32,
  digestOf,
  type Head,
  type Hex,
  type Home,
  ignore,
  isJump,
  learnPlacement,
  leasedUntil,
  memberOf,
  Placement,
  placementHash,
  Release,
  Renew,
  Report,
  release,
  renew,
  report,
  reportedHead,
  type SignedReport,
  type Struct,
  termReached,
  type Verdict,
  type VerifiedReport,
  vote,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { QuorumDoor } from '../directory/quorum-door.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { TurnSigner } from '../wire/turn-signer.ts'
import type { RecordBook } from './record-book.ts'

type Parts = {
  readonly post: PostOffice
  readonly book: RecordBook
  readonly door: QuorumDoor
  readonly signer: TurnSigner
}
type Prepare = { readonly instance: Bytes32; readonly term: bigint; readonly reports: readonly SignedReport[] }

export class ElectionService {
  readonly #ports: Pick<Ports, 'identity' | 'telemetry'>
  readonly #context: NodeContext
  readonly #post: PostOffice
  readonly #book: RecordBook
  readonly #door: QuorumDoor
  readonly #signer: TurnSigner
  /** Whether an executor should still get renewals; all do until health says otherwise. */
  mayRenew: (instance: Bytes32, executor: Address) => boolean = () => true
  /** What a record says after a placement was seen. */
  placed: (record: AnchorRecord) => void = () => {}

  constructor(ports: Pick<Ports, 'identity' | 'telemetry'>, context: NodeContext, { post, book, door, signer }: Parts) {
    this.#ports = ports
    this.#context = context
    this.#post = post
    this.#book = book
    this.#door = door
    this.#signer = signer
    post.on('prepare', (from, message) => this.#prepare(from, message))
    post.on('placement-proposal', (from, message) => this.#vote(from, message))
    post.on('placement', (_, message) => this.#learn(message.certified))
    post.on('renew-request', (from, message) => this.#renew(from, message))
    post.on('release', (_, message) => this.#release(message))
  }

  #prepare(from: Address, { instance, term, reports }: Prepare): void {
    const token = this.#context.tokens.byInstance(instance)
    if (!token) return
    const home = this.#door.home(token)
    this.#book.change(instance, (record, context) => {
      const certificate = reportedHead(record)
      const isFar = isJump(termReached(record, context), term, home)
      const witnesses = isFar ? this.#verified(token, reports, home) : []
      const decision = report(record, { term, from, certificate, reports: witnesses }, home, context)
      if (!accepted(decision)) return this.#refuse(from, { instance, about: 'prepare', decision })
      const { record: next, sign } = decision.value
      const head = reportedHead(next)
      if (head.hash !== sign.certificateHash || head.n !== sign.certificateN) return undefined
      const isCertified = head.hash === next.certified?.head.hash
      const signed: SignedReport = {
        report: sign,
        signature: this.#sign(Report, sign),
        certificate: isCertified ? next.certified?.certificate : undefined,
        restored: isCertified ? undefined : next.restored,
      }
      return {
        record: next,
        perform: () => this.#post.send(from, { type: 'report', signed, leasedUntil: leasedUntil(next) }),
      }
    })
  }

  #vote(from: Address, proposal: { placement: Placement; reports: readonly SignedReport[] }): void {
    const { placement } = proposal
    const { instance } = placement
    const token = this.#context.tokens.byInstance(instance)
    if (!token) return
    const home = this.#door.home(token)
    const reports = this.#verified(token, proposal.reports, home)
    const hash = placementHash(placement, this.#context.domain, this.#ports.identity.crypto.keccak)
    const membership = this.#context.membership()
    const isServiceNode = (node: Address) => memberOf(membership, node)?.role === 'service'
    this.#book.change(instance, (record, context) => {
      const decision = vote(record, { placement, hash, reports, from }, { home, isServiceNode }, context)
      if (!accepted(decision)) return this.#refuse(from, { instance, about: 'placement-proposal', decision })
      const tell = (signature: Hex) => this.#post.send(from, { type: 'vote', instance, placement: hash, signature })
      return { record: decision.value.record, perform: () => this.#answer(Placement, placement, tell) }
    })
  }

  #learn(certified: { placement: Placement; votes: readonly Hex[] }): void {
    const { instance } = certified.placement
    const token = this.#context.tokens.byInstance(instance)
    const checked = token && this.#door.placement(token, certified)
    if (!checked || !accepted(checked)) return
    this.#book.change(instance, (record) => {
      const next = learnPlacement(record, certified, checked.value)
      return { record: next, perform: () => this.placed(next) }
    })
  }

  #renew(from: Address, { instance, renew: request }: { instance: Bytes32; renew: Renew }): void {
    this.#book.change(instance, (record, context) => {
      if (record.placement?.placement.executor !== from) return undefined
      const decision = this.mayRenew(instance, from)
        ? renew(record, request, context)
        : ignore('election.executor_drained', { executor: from })
      if (!accepted(decision)) return this.#refuse(from, { instance, about: 'renew-request', decision })
      const { record: next, sign } = decision.value
      const tell = (signature: Hex) => this.#post.send(from, { type: 'renewed', instance, renew: sign, signature })
      return { record: next, perform: () => this.#answer(Renew, sign, tell) }
    })
  }

  #release({ instance, release: message, signature }: { instance: Bytes32; release: Release; signature: Hex }): void {
    const { domain } = this.#context
    const { keccak, recover } = this.#ports.identity.crypto
    const signer = recover(digestOf(Release, message, domain, keccak), signature)
    if (!signer) return
    this.#book.change(instance, (record) => {
      const decision = release(record, message, signer)
      return accepted(decision) ? { record: decision.value } : undefined
    })
  }

  /** Checks a report's signature and the certificate that proves it; undefined when either does not hold. */
  verifyReport(
    token: LoadedToken,
    { report: body, signature, certificate, restored }: SignedReport,
    home: Home,
  ): VerifiedReport | undefined {
    const { keccak, recover } = this.#ports.identity.crypto
    const anchor = recover(digestOf(Report, body, this.#context.domain, keccak), signature)
    if (!anchor || !home.anchors.includes(anchor)) return undefined
    if (body.certificateN === 0n) return { anchor, report: body }
    const head = this.#provenHead(token, { certificate, restored })
    const proven =
      head?.hash === body.certificateHash && head.n === body.certificateN && head.term === body.certificateTerm
    return proven ? { anchor, report: body } : undefined
  }

  /** What a certificate, or else the checkpoint of a restored incarnation, proves; one of an older incarnation counts no more. */
  #provenHead(
    token: LoadedToken,
    { certificate, restored }: Pick<SignedReport, 'certificate' | 'restored'>,
  ): Head | undefined {
    const { instance } = token
    const { incarnation } = this.#book.get(instance)
    const about = certificate?.entry ?? restored?.checkpoint
    if (about?.instance !== instance || about.incarnation < incarnation) return undefined
    if (certificate) {
      const checked = this.#door.certificate(token, certificate)
      return accepted(checked) ? checked.value.head : undefined
    }
    const begun = restored && this.#door.checkpoint(token, restored)
    return begun && accepted(begun) ? begun.value : undefined
  }

  #verified(token: LoadedToken, reports: readonly SignedReport[], home: Home): readonly VerifiedReport[] {
    const own = reports.filter((signed) => signed.report.instance === token.instance)
    return own.flatMap((signed) => this.verifyReport(token, signed, home) ?? [])
  }

  /** Signed once the promise is on disk, together with whatever else is signed in this turn. */
  #answer<T>(type: Struct<T>, value: T, tell: (signature: Hex) => void): void {
    const digest = digestOf(type, value, this.#context.domain, this.#ports.identity.crypto.keccak)
    this.#signer
      .sign(digest)
      .then(tell, (error) => this.#ports.telemetry.log('error', 'election.not_signed', { error }))
  }

  #sign<T>(type: Struct<T>, value: T): Hex {
    const { signer, crypto } = this.#ports.identity
    return signer.sign(digestOf(type, value, this.#context.domain, crypto.keccak))
  }

  #refuse(
    to: Address,
    { instance, about, decision }: { instance: Bytes32; about: string; decision: Verdict<unknown> },
  ): undefined {
    if (decision.verdict === 'accept') return undefined
    const facts = JSON.stringify(decision.facts, (_, value) => (typeof value === 'bigint' ? String(value) : value))
    this.#ports.telemetry.log('debug', 'election.refused', { instance, about, to, code: decision.code, facts })
    this.#post.send(to, { type: 'refused', instance, about, code: decision.code, facts: facts.slice(0, 1024) })
    return undefined
  }
}
