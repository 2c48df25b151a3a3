/** A stream for tests: signed entries that follow each other, in the shape that real issuers give them. */
import { attestBatch } from '../attestation/batch.ts'
import { canonicalJson } from '../attestation/content.ts'
import { type Attest, type Attestation, attestDigest, easDomain, uidOf } from '../attestation/envelope.ts'
import { INPUT_KINDS, type InputKind, SLInput } from '../attestation/schemas.ts'
import { inputContext, laneOf, networkIdOf, streamOf, subsetOf, tokenTypeOf } from '../directory/ids.ts'
import { type Address, type Bytes32, fromHex, type Hex, toHex, uintWord, utf8, ZERO_32 } from '../primitives/bytes.ts'
import { nobleCrypto, nobleSigner, type Signer } from '../primitives/crypto.ts'
import type { EntryContext } from './entry.ts'
import type { Delegation, StreamItem } from './item.ts'

const { keccak } = nobleCrypto
const CONTRACT: Address = `0x${'c0'.repeat(20)}`
const REGISTRY: Address = `0x${'a0'.repeat(20)}`

/** The network, token type and lane that test streams belong to. Time in seconds. */
export const TEST = {
  contract: CONTRACT,
  registry: REGISTRY,
  networkId: networkIdOf(1n, REGISTRY, keccak),
  tokenType: tokenTypeOf({ chainId: 1n, contract: CONTRACT }, keccak),
  lane: laneOf('facts', keccak),
  easDomain: easDomain({ chainId: 1n, eas: `0x${'42'.repeat(20)}` }, keccak),
  timeS: 1_700_000_000n,
} as const

export type TestEntry = { readonly item: StreamItem; readonly uid: Bytes32 }
type Making = {
  readonly kind?: InputKind
  readonly signer?: Signer
  readonly about?: Partial<Attest>
  readonly data?: object
}

/** Signs entries of one issuer, each after the one before. */
export class TestStream {
  readonly issuer: Signer
  readonly stream: Bytes32
  readonly entries: TestEntry[] = []
  readonly #subsets = new Map<string, { sequence: bigint; uid: Bytes32 }>()
  epoch = 1n
  key: Signer
  delegation: Delegation | undefined

  constructor(key: Hex = `0x${'07'.repeat(32)}`) {
    this.issuer = nobleSigner(key)
    this.key = this.issuer
    this.stream = streamOf(this.issuer.address, TEST.tokenType, TEST.lane, keccak)
  }

  get context(): EntryContext {
    const { networkId, easDomain: domain, tokenType, lane, timeS } = TEST
    const rules = [{ issuer: this.issuer.address, lane }]
    return { networkId, easDomain: domain, crypto: nobleCrypto, tokenType, rules, nowS: timeS }
  }

  /** The next entry of a subset. */
  add(subset: string, body: unknown, making: Making = {}): TestEntry {
    const made = this.make(subset, body, making)
    this.#remember(subset, made)
    return made
  }

  /** What would come next; nothing is remembered, so that two may be made for one place. */
  make(
    subset: string,
    body: unknown,
    { kind = 'fact', signer = this.key, about = {}, data = {} }: Making = {},
  ): TestEntry {
    const { message, text } = this.#message(subset, body, { kind, about, data })
    const signature = signer.sign(attestDigest(message, TEST.easDomain, keccak))
    return this.#entry({ message, attester: signer.address, signature }, text, signer)
  }

  /** The next entries, signed through one batch root. */
  addBatch(subset: string, bodies: readonly unknown[]): readonly TestEntry[] {
    const items = bodies.map((body) => {
      const { message, text } = this.#message(subset, body, { kind: 'fact', about: {}, data: {} })
      this.#remember(subset, {
        item: { attestation: { message } as Attestation, body: text },
        uid: uidOf(message, keccak),
      })
      return { ...message, schema: SLInput, data: SLInput.decode(fromHex(message.data)), text }
    })
    const about = {
      signer: this.key,
      domain: TEST.easDomain,
      keccak,
      time: TEST.timeS,
      firstSequence: 1n,
      salt: ZERO_32,
    }
    const made = attestBatch(items, about).map((attestation, i) => this.#entry(attestation, items[i]!.text, this.key))
    this.entries.splice(this.entries.length - made.length, made.length, ...made)
    return made
  }

  #entry(attestation: Attestation, body: string, signer: Signer): TestEntry {
    const isDelegated = signer !== this.issuer && this.delegation !== undefined
    const item = isDelegated ? { attestation, body, delegation: this.delegation } : { attestation, body }
    return { item, uid: uidOf(attestation.message, keccak) }
  }

  #remember(subset: string, made: TestEntry): void {
    this.entries.push(made)
    const place = this.#subsets.get(subset)
    this.#subsets.set(subset, { sequence: (place?.sequence ?? 0n) + 1n, uid: made.uid })
  }

  #message(
    subset: string,
    body: unknown,
    { kind, about, data }: Required<Omit<Making, 'signer'>>,
  ): { message: Attest; text: string } {
    const text = canonicalJson(body)
    const place = this.#subsets.get(subset) ?? { sequence: 0n, uid: ZERO_32 }
    const sequence = BigInt(this.entries.length) + 1n
    const words = {
      token: subsetOf(subset, keccak),
      stream: this.stream,
      epoch: this.epoch,
      sequence,
      subset: subsetOf(subset, keccak),
      subSequence: place.sequence + 1n,
      subPrevious: place.uid,
      context: inputContext(TEST.networkId, TEST.tokenType, TEST.lane, keccak),
      contentHash: toHex(keccak(utf8(text))),
      kind: BigInt(INPUT_KINDS.indexOf(kind)),
      validFrom: TEST.timeS,
      origin: ZERO_32,
      ...data,
    }
    const message: Attest = {
      version: 2n,
      schema: SLInput.uid(keccak),
      recipient: TEST.contract,
      time: TEST.timeS,
      expirationTime: 0n,
      revocable: true,
      refUID: this.entries.at(-1)?.uid ?? ZERO_32,
      data: SLInput.encodeHex(words),
      salt: toHex(uintWord(sequence)),
      ...about,
    }
    return { message, text }
  }
}
