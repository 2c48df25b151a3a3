/** What issuers sign in the simulated world: entries that follow each other, and entries that do not. */
import {
  type Attestation,
  type AttestOptions,
  attest,
  attestBatch,
  attestMessage,
  type Bytes32,
  type Crypto,
  canonicalJson,
  type Delegation,
  type Domain,
  EPOCH_SUBSET,
  type EpochBody,
  encodeItem,
  INPUT_KINDS,
  type InputData,
  inputContext,
  type RevocationBody,
  type Signer,
  SLInput,
  type StreamItem,
  subsetOf,
  textHash,
  toHex,
  uidOf,
  ZERO_32,
} from '@smartlayer/protocol'
import type { Draws } from '../random.ts'

/** An entry as its issuer signed it. */
export type Made = {
  readonly item: StreamItem
  readonly uid: Bytes32
  readonly data: InputData
  readonly previous: Bytes32
  readonly kind: EntryKind
  /** What a revocation takes back. */
  readonly revokes: Bytes32 | undefined
  /** The binary form, one character a byte. */
  readonly bytes: string
}
/** Words of a body that is announced before it is sent. */
const LARGE = 1_800

export type EntryKind = 'fact' | 'revocation' | 'epoch'
type Head = { readonly sequence: bigint; readonly uid: Bytes32 }

/** Where an issuer stands: what the next entry follows, and whose key signs it. A value: forks begin from a copy. */
export type Position = Head & {
  readonly epoch: bigint
  readonly subsets: ReadonlyMap<Bytes32, Head>
  readonly key: Signer
  readonly delegation: Delegation | undefined
}

/** What an entry says. `change` replaces words of its data: that is how entries come to be that fit nowhere. */
export type Wanted = {
  readonly kind: EntryKind
  readonly subset: Bytes32
  readonly body: string
  readonly revokes?: Bytes32 | undefined
  readonly change?: Partial<InputData> | undefined
}

type Draft = {
  readonly wanted: Wanted
  readonly data: InputData
  readonly about: AttestOptions & { readonly refUID: Bytes32 }
  readonly uid: Bytes32
  readonly after: Position
}
type Options = {
  readonly crypto: Crypto
  readonly draws: Draws
  readonly networkId: Bytes32
  readonly domain: Domain
  readonly tokenType: Bytes32
  readonly recipient: `0x${string}`
  readonly lane: Bytes32
  readonly stream: Bytes32
  /** The issuer's own key. */
  readonly signer: Signer
  /** Seconds. */
  readonly now: () => bigint
  readonly made: (made: Made) => void
}

export class StreamWriter {
  readonly #options: Options
  #count = 0

  constructor(options: Options) {
    this.#options = options
  }

  get stream(): Bytes32 {
    return this.#options.stream
  }

  get beginning(): Position {
    const key = this.#options.signer
    return { epoch: 1n, sequence: 0n, uid: ZERO_32, subsets: new Map(), key, delegation: undefined }
  }

  subset(name: string): Bytes32 {
    return subsetOf(name, this.#options.crypto.keccak)
  }

  /** A fact that no other is like. */
  fact(subset: string): Wanted {
    const { draws } = this.#options
    const words = draws.chance(0.02) ? LARGE : draws.between(0, 8)
    const body = canonicalJson({ count: ++this.#count, text: 'late '.repeat(words) })
    return { kind: 'fact', subset: this.subset(subset), body }
  }

  revocation(revokes: Bytes32, of: RevocationBody['of'], subset: string): Wanted {
    const body: RevocationBody = { revokes, of, reason: 'a mistake' }
    return { kind: 'revocation', subset: this.subset(subset), body: canonicalJson(body), revokes }
  }

  /** Entries from this position on; several share one signature. */
  write(
    position: Position,
    wanted: readonly Wanted[],
  ): { readonly made: readonly Made[]; readonly position: Position } {
    const { crypto, domain } = this.#options
    let at = position
    const drafts = wanted.map((each) => {
      const draft = this.#draft(at, each)
      at = draft.after
      return draft
    })
    const { key, delegation } = position
    const batch = drafts.map(({ data, about }) => ({ schema: SLInput, data, ...about }))
    const first = drafts[0]!
    const attestations =
      drafts.length === 1
        ? [attest(SLInput, first.data, first.about, { signer: key, domain, keccak: crypto.keccak })]
        : attestBatch(batch, {
            signer: key,
            domain,
            keccak: crypto.keccak,
            time: first.about.time,
            firstSequence: first.data.sequence,
            salt: this.#salt(),
          })
    const made = drafts.map((draft, i) => this.#made(draft, attestations[i]!, delegation))
    return { made, position: at }
  }

  /** Opens the next epoch over this position, in which `key` signs. */
  open(
    position: Position,
    reason: EpochBody['reason'],
    key: Signer,
  ): { readonly made: Made; readonly position: Position } {
    const { signer } = this.#options
    const body: EpochBody = { reason, key: key.address }
    const wanted: Wanted = { kind: 'epoch', subset: this.subset(EPOCH_SUBSET), body: canonicalJson(body) }
    const before = { ...position, epoch: position.epoch + 1n, key: signer, delegation: undefined }
    const { made, position: after } = this.write(before, [wanted])
    const { attestation, body: text } = made[0]!.item
    const delegation = key.address === signer.address ? undefined : { attestation, body: text }
    return { made: made[0]!, position: { ...after, key, delegation } }
  }

  #draft(position: Position, wanted: Wanted): Draft {
    const { crypto, networkId, tokenType, lane, stream, recipient, now } = this.#options
    const before = position.subsets.get(wanted.subset) ?? { sequence: 0n, uid: ZERO_32 }
    const data: InputData = {
      token: wanted.subset,
      stream,
      epoch: position.epoch,
      sequence: position.sequence + 1n,
      subset: wanted.subset,
      subSequence: before.sequence + 1n,
      subPrevious: before.uid,
      context: inputContext(networkId, tokenType, lane, crypto.keccak),
      contentHash: textHash(wanted.body, crypto),
      kind: BigInt(INPUT_KINDS.indexOf(wanted.kind)),
      validFrom: now(),
      origin: ZERO_32,
      ...wanted.change,
    }
    const about = { recipient, time: now(), expirationTime: 0n, refUID: position.uid, salt: this.#salt() }
    const uid = uidOf(attestMessage(SLInput, data, about, crypto.keccak), crypto.keccak)
    const subsets = new Map(position.subsets).set(wanted.subset, { sequence: data.subSequence, uid })
    const after: Position = { ...position, sequence: data.sequence, uid, subsets }
    return { wanted, data, about, uid, after }
  }

  #made({ wanted, data, about, uid }: Draft, attestation: Attestation, delegation: Delegation | undefined): Made {
    const { kind, body, revokes } = wanted
    const item: StreamItem = delegation ? { attestation, body, delegation } : { attestation, body }
    const bytes = Buffer.from(encodeItem(item)).toString('latin1')
    const made: Made = { item, uid, data, previous: about.refUID, kind, revokes, bytes }
    this.#options.made(made)
    return made
  }

  #salt(): Bytes32 {
    return toHex(this.#options.draws.bytes(32))
  }
}
