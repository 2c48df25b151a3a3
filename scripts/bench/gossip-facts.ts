/** What the gossip benchmark spreads: one issuer's facts of 1 KiB, chained in one lane, signed singly or in batches. */
import {
  attestBatch,
  attestMessage,
  type BatchItem,
  type Bytes32,
  type Crypto,
  canonicalJson,
  type EntryContext,
  easDomain,
  INPUT_KINDS,
  inputContext,
  laneOf,
  networkIdOf,
  readData,
  type Signer,
  SLInput,
  type StreamItem,
  streamOf,
  subsetOf,
  type TokenRef,
  textHash,
  toHex,
  tokenTypeOf,
  uidOf,
  ZERO_32,
} from '@smartlayer/protocol'

const BODY_BYTES = 1_024
const LANE = 'facts'
const SUBSET = 'facts/one'
/** Signs nothing outside of this benchmark. */
export const ISSUER_KEY = `0x${'17'.repeat(32)}` as const
const REF: TokenRef = { chainId: 1n, contract: `0x${'c0'.repeat(20)}`, tokenId: 1n }
const REGISTRY = `0x${'a0'.repeat(20)}` as const
const EAS = `0x${'42'.repeat(20)}` as const

/** All that a node must know to believe these facts, but for the time. */
export type FactsContext = Omit<EntryContext, 'nowS' | 'roots'>

export function factsContext(crypto: Crypto, issuer: Signer): FactsContext {
  const { keccak } = crypto
  return {
    networkId: networkIdOf(REF.chainId, REGISTRY, keccak),
    easDomain: easDomain({ chainId: REF.chainId, eas: EAS }, keccak),
    crypto,
    tokenType: tokenTypeOf(REF, keccak),
    rules: [{ issuer: issuer.address, lane: laneOf(LANE, keccak) }],
  }
}

/** The stream of these facts, and the one subset that they all concern. */
export function factsPlace({ crypto, tokenType, rules }: FactsContext): { stream: Bytes32; subset: Bytes32 } {
  const { issuer, lane } = rules[0]!
  return {
    stream: streamOf(issuer, tokenType, lane, crypto.keccak),
    subset: subsetOf(SUBSET, crypto.keccak),
  }
}

/** The issuer's own end of the stream: each fact follows the one before it. */
export class Facts {
  readonly #context: FactsContext
  readonly #issuer: Signer
  readonly #random: (size: number) => Uint8Array
  #sequence = 0n
  #uid: Bytes32 = ZERO_32

  constructor(context: FactsContext, issuer: Signer, random: (size: number) => Uint8Array) {
    this.#context = context
    this.#issuer = issuer
    this.#random = random
  }

  /** The sequence of the fact that was made last. */
  get sequence(): number {
    return Number(this.#sequence)
  }

  /** The next facts, `batch` of them under one signature; 1 signs each alone. */
  next(count: number, { batch, timeS }: { batch: number; timeS: bigint }): StreamItem[] {
    const { crypto, easDomain: domain } = this.#context
    const items: StreamItem[] = []
    while (items.length < count) {
      const size = Math.min(batch, count - items.length)
      const firstSequence = this.#sequence + 1n
      const facts = Array.from({ length: size }, () => this.#fact(timeS))
      const attestations = attestBatch(
        facts.map(({ item }) => item),
        {
          signer: this.#issuer,
          domain,
          keccak: crypto.keccak,
          time: timeS,
          firstSequence,
          salt: toHex(this.#random(32)),
        },
      )
      items.push(...attestations.map((attestation, i) => ({ attestation, body: facts[i]!.body })))
    }
    return items
  }

  /** Forgets what was made after this fact and never published. */
  rewind(item: StreamItem): void {
    this.#sequence = readData(item)!.sequence
    this.#uid = uidOf(item.attestation.message, this.#context.crypto.keccak)
  }

  #fact(timeS: bigint): { readonly item: BatchItem; readonly body: string } {
    const { crypto, networkId, tokenType, rules } = this.#context
    const { keccak } = crypto
    const { stream, subset } = factsPlace(this.#context)
    this.#sequence++
    const body = bodyOf(this.#sequence)
    const data = {
      token: subset,
      stream,
      epoch: 1n,
      sequence: this.#sequence,
      subset,
      subSequence: this.#sequence,
      subPrevious: this.#uid,
      context: inputContext(networkId, tokenType, rules[0]!.lane, keccak),
      contentHash: textHash(body, crypto),
      kind: BigInt(INPUT_KINDS.indexOf('fact')),
      validFrom: timeS,
      origin: ZERO_32,
    }
    const about = {
      recipient: REF.contract,
      time: timeS,
      expirationTime: 0n,
      refUID: this.#uid,
      salt: toHex(this.#random(32)),
    }
    this.#uid = uidOf(attestMessage(SLInput, data, about, keccak), keccak)
    return { item: { schema: SLInput, data, ...about }, body }
  }
}

function bodyOf(index: bigint): string {
  const base = canonicalJson({ index: Number(index), note: '' })
  return canonicalJson({ index: Number(index), note: 'x'.repeat(BODY_BYTES - base.length) })
}
