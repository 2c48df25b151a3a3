/** What happens in the simulated world: one issuer publishes facts, in order, until each has its receipt. */
import type { AnchoringNode, LoadedToken } from '@smartlayer/node'
import {
  attest,
  type Bytes32,
  type Crypto,
  canonicalJson,
  type Domain,
  INPUT_KINDS,
  inputContext,
  isSmartLayerError,
  type Signer,
  SLInput,
  type StreamItem,
  streamOf,
  subsetOf,
  textHash,
  toHex,
  ZERO_32,
} from '@smartlayer/protocol'
import { START_MS } from './clock.ts'
import type { Draws } from './random.ts'
import { type CounterFact, SUBSET } from './script.ts'
import type { Trace, VirtualTime } from './time.ts'

const OTHER_SUBSET = 'facts/other'
const ANSWER_TIMEOUT_MS = 2_000

type Options = {
  readonly time: VirtualTime
  readonly trace: Trace
  readonly draws: Draws
  readonly crypto: Crypto
  readonly signer: Signer
  readonly networkId: Bytes32
  readonly easDomain: Domain
  readonly token: LoadedToken
  readonly facts: number
  /** An anchor that answers calls now. */
  readonly anchor: () => AnchoringNode | undefined
  readonly broken: (detail: string) => void
}

export class Issuer {
  readonly #options: Options
  readonly #subsets = new Map<string, { sequence: bigint; uid: Bytes32 }>()
  #sequence = 0n
  #uid: Bytes32 = ZERO_32
  /** UIDs with a receipt, by place in the stream. */
  readonly receipts = new Map<bigint, Bytes32>()
  /** Facts of the token's own subset that have a receipt. */
  followed = 0

  constructor(options: Options) {
    this.#options = options
    options.time.at(2_000, () => this.#publish(this.#next()))
  }

  get done(): boolean {
    return this.receipts.size >= this.#options.facts
  }

  #publish(item: StreamItem): void {
    const { time, draws, anchor } = this.#options
    let open = true
    const retry = () => {
      if (!open) return
      open = false
      time.at(50 + draws.next() * 200, () => this.#publish(item))
    }
    time.at(ANSWER_TIMEOUT_MS, retry)
    const asked = anchor()?.publish([item])
    if (!asked) return retry()
    asked.then(
      ({ receipt }) => {
        if (!open) return
        open = false
        this.#receipted(item, receipt)
      },
      (error: unknown) => {
        if (!isSmartLayerError(error)) this.#options.broken(String((error as Error).stack))
        retry()
      },
    )
  }

  #receipted(item: StreamItem, { sequence, uid }: { sequence: bigint; uid: Bytes32 }): void {
    const { time, trace, draws } = this.#options
    trace.note(time.now, `issuer has the receipt of ${sequence}`, uid)
    this.receipts.set(sequence, uid)
    const { subset } = JSON.parse(item.body) as { subset: string }
    if (subset === SUBSET) this.followed++
    this.#sequence = sequence
    this.#uid = uid
    this.#subsets.set(subset, { sequence: this.#place(subset).sequence + 1n, uid })
    if (!this.done) time.at(draws.next() * 120, () => this.#publish(this.#next()))
  }

  #place(subset: string): { sequence: bigint; uid: Bytes32 } {
    return this.#subsets.get(subset) ?? { sequence: 0n, uid: ZERO_32 }
  }

  #next(): StreamItem {
    const { time, draws, crypto, signer, easDomain, networkId, token } = this.#options
    const { keccak } = crypto
    const subset = draws.chance(0.1) ? OTHER_SUBSET : SUBSET
    const place = this.#place(subset)
    const index = Number(place.sequence) + 1
    const effect = index % 17 === 5 ? 'charge' : index % 11 === 3 ? 'call' : ''
    const fact: CounterFact = { index, add: draws.between(1, 9), effect }
    const body = canonicalJson({ ...fact, subset })
    const { inputs, tokenType } = token.rules
    const { lane } = inputs.fact!
    const atS = (START_MS + BigInt(Math.floor(time.now)) - 1_000n) / 1_000n
    const data = {
      token: subsetOf(subset, keccak),
      stream: streamOf(signer.address, tokenType, lane, keccak),
      epoch: 1n,
      sequence: this.#sequence + 1n,
      subset: subsetOf(subset, keccak),
      subSequence: place.sequence + 1n,
      subPrevious: place.uid,
      context: inputContext(networkId, tokenType, lane, keccak),
      contentHash: textHash(body, crypto),
      kind: BigInt(INPUT_KINDS.indexOf('fact')),
      validFrom: atS,
      origin: ZERO_32,
    }
    const about = {
      recipient: token.ref.contract,
      time: atS,
      expirationTime: 0n,
      refUID: this.#uid,
      salt: toHex(draws.bytes(32)),
    }
    return { attestation: attest(SLInput, data, about, { signer, domain: easDomain, keccak }), body }
  }
}
