/**
 * Counts receipts of home anchors until 2f + 1 of them named the same place. Who says so is known by the connection, so
 * signatures are checked only where they must convince somebody else (`proven`).
 */
import {
  type Address,
  type Bytes32,
  type CertifiedReceipt,
  digestOf,
  type Hex,
  Receipt,
  type Receipt as ReceiptValue,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'

/** Places of one stream that may be under way; beyond it the lowest is forgotten, and counted anew when receipts repeat. */
const PLACE_LIMIT = 1_024
/** Streams with places under way. */
const STREAM_LIMIT = 20_000

type Counted = { readonly receipt: ReceiptValue; readonly signatures: Map<Address, Hex> }

export type Outcome =
  | { readonly outcome: 'counted' | 'repeated' | 'refused' }
  | { readonly outcome: 'certified'; readonly receipt: ReceiptValue; readonly signatures: readonly Hex[] }
  /** The anchor signed another UID for this place before. */
  | { readonly outcome: 'two-faced'; readonly other: Bytes32 }

export class Certifier {
  readonly #ports: Pick<Ports, 'identity'>
  readonly #context: NodeContext
  readonly #streams = new Map<Bytes32, Map<string, Counted>>()
  readonly #proven = new WeakMap<CertifiedReceipt, CertifiedReceipt>()

  constructor(ports: Pick<Ports, 'identity'>, context: NodeContext) {
    this.#ports = ports
    this.#context = context
  }

  /** Our own signature of a receipt. */
  sign(receipt: ReceiptValue): Hex {
    const { signer, crypto } = this.#ports.identity
    return signer.sign(digestOf(Receipt, receipt, this.#context.domain, crypto.keccak))
  }

  count(from: Address, receipt: ReceiptValue, signature: Hex): Outcome {
    const home = this.#context.homes().of(receipt.stream)
    // Signatures over receipts of different home sets make no certificate together.
    if (!home.anchors.includes(from) || receipt.homeEpoch !== home.epoch) return { outcome: 'refused' }
    const places = this.#placesOf(receipt.stream)
    const key = placeKey(receipt)
    const counted = places.get(key)
    if (counted?.signatures.has(from)) {
      const isEnough = counted.signatures.size >= home.quorum
      return isEnough ? certifiedBy(counted) : { outcome: 'repeated' }
    }
    const rival = rivalOf(places, receipt, from)
    if (rival) return { outcome: 'two-faced', other: rival }
    const next = counted ?? { receipt, signatures: new Map<Address, Hex>() }
    next.signatures.set(from, signature)
    places.set(key, next)
    if (next.signatures.size < home.quorum) {
      this.#bound(places)
      return { outcome: 'counted' }
    }
    return certifiedBy(next)
  }

  /** The certificate with the signatures that hold, when 2f + 1 do; each certificate is checked once. */
  proven(certificate: CertifiedReceipt): CertifiedReceipt | undefined {
    const known = this.#proven.get(certificate)
    if (known) return known
    const { receipt, links } = certificate
    const { crypto } = this.#ports.identity
    const home = this.#context.homes().at(receipt.stream, receipt.homeEpoch)
    if (!home) return undefined
    const digest = digestOf(Receipt, receipt, this.#context.domain, crypto.keccak)
    const signatures = new Map<Address, Hex>()
    for (const signature of certificate.signatures) {
      const signer = crypto.recover(digest, signature)
      if (signer && home.anchors.includes(signer)) signatures.set(signer, signature)
      if (signatures.size < home.quorum) continue
      const proven = { receipt, signatures: [...signatures.values()], links }
      this.#proven.set(certificate, proven)
      return proven
    }
    return undefined
  }

  /** Anchors whose receipt for this place was counted. */
  signed(receipt: Pick<ReceiptValue, 'stream' | 'epoch' | 'sequence' | 'uid'>): ReadonlySet<Address> {
    const key = placeKey({ ...receipt, homeEpoch: this.#context.homes().of(receipt.stream).epoch })
    return new Set(this.#streams.get(receipt.stream)?.get(key)?.signatures.keys())
  }

  /** Nothing at or below this place needs counting any more. */
  settle(stream: Bytes32, upTo: bigint): void {
    const places = this.#streams.get(stream)
    if (!places) return
    for (const [key, { receipt }] of places) if (receipt.sequence <= upTo) places.delete(key)
    if (places.size === 0) this.#streams.delete(stream)
  }

  #placesOf(stream: Bytes32): Map<string, Counted> {
    const known = this.#streams.get(stream)
    if (known) return known
    const places = new Map<string, Counted>()
    this.#streams.set(stream, places)
    if (this.#streams.size > STREAM_LIMIT) {
      const [oldest] = this.#streams.keys()
      this.#streams.delete(oldest!)
    }
    return places
  }

  #bound(places: Map<string, Counted>): void {
    if (places.size <= PLACE_LIMIT) return
    const [oldest] = places.keys()
    places.delete(oldest!)
  }
}

function certifiedBy({ receipt, signatures }: Counted): Outcome {
  return { outcome: 'certified', receipt, signatures: [...signatures.values()] }
}

function placeKey({ epoch, sequence, uid, homeEpoch }: Omit<ReceiptValue, 'stream'>): string {
  return `${epoch}/${sequence}/${uid}/${homeEpoch}`
}

/** The UID that this anchor signed for the same place before, when it is another one. */
function rivalOf(
  places: Map<string, Counted>,
  { epoch, sequence, uid }: ReceiptValue,
  from: Address,
): Bytes32 | undefined {
  for (const { receipt, signatures } of places.values()) {
    if (receipt.sequence !== sequence || receipt.epoch !== epoch || receipt.uid === uid) continue
    if (signatures.has(from)) return receipt.uid
  }
  return undefined
}
