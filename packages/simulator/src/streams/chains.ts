/** What is true of the streams of a simulated world: what was signed, and the one chain that 2f + 1 receipts made of it. */
import {
  appendMountain,
  type Bytes32,
  type Hasher,
  type Mountains,
  mountainRoot,
  NO_MOUNTAINS,
} from '@smartlayer/protocol'
import type { Made } from './writer.ts'

/** The certified places of one stream, gap-free from the first. */
export type Chain = {
  readonly places: Bytes32[]
  /** UIDs by subset, gap-free from the first. */
  readonly subsets: Map<Bytes32, Bytes32[]>
  /** Ranges over the first entries, as far as they were asked for. */
  readonly mountains: Mountains[]
}

export class Chains {
  readonly #keccak: Hasher
  readonly #made = new Map<Bytes32, Made>()
  readonly #byBytes = new Map<string, Made>()
  readonly #chains = new Map<Bytes32, Chain>()

  constructor(keccak: Hasher) {
    this.#keccak = keccak
  }

  /** An issuer signed this. */
  add(made: Made): void {
    this.#made.set(made.uid, made)
    this.#byBytes.set(made.bytes, made)
  }

  made(uid: Bytes32): Made | undefined {
    return this.#made.get(uid)
  }

  /** The entry with exactly these bytes; nothing else is what its issuer signed. */
  signed(bytes: Uint8Array): Made | undefined {
    return this.#byBytes.get(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1'))
  }

  of(stream: Bytes32): Chain {
    const known = this.#chains.get(stream)
    if (known) return known
    const chain: Chain = { places: [], subsets: new Map(), mountains: [] }
    this.#chains.set(stream, chain)
    return chain
  }

  /** The UID that is certified at a place of a stream, or of a subset; undefined when none is. */
  at(stream: Bytes32, place: bigint, subset: Bytes32 = stream): Bytes32 | undefined {
    const chain = this.of(stream)
    const places = subset === stream ? chain.places : chain.subsets.get(subset)
    return places?.[Number(place) - 1]
  }

  length(stream: Bytes32, subset: Bytes32 = stream): bigint {
    const chain = this.of(stream)
    return BigInt((subset === stream ? chain.places : chain.subsets.get(subset))?.length ?? 0)
  }

  /** 2f + 1 signed this entry, and with it all before it. Returns why that cannot be, if it cannot. */
  certify(stream: Bytes32, uid: Bytes32): string | undefined {
    const chain = this.of(stream)
    const way: Made[] = []
    let at = this.#made.get(uid)
    while (at && at.data.sequence > chain.places.length) {
      way.push(at)
      at = this.#made.get(at.previous)
    }
    const last = way.at(-1)
    const sequence = at?.data.sequence ?? 0n
    const foot = sequence === 0n ? undefined : chain.places[Number(sequence) - 1]
    if (foot !== at?.uid || (last && last.data.sequence !== sequence + 1n)) {
      return `${sequence} is certified with two UIDs, or ${uid} with another predecessor`
    }
    for (const next of way.reverse()) {
      const misfit = this.#append(chain, next)
      if (misfit) return misfit
    }
    return undefined
  }

  /** The root over the first `size` certified entries. */
  root(stream: Bytes32, size: bigint): Bytes32 | undefined {
    const { places, mountains } = this.of(stream)
    if (size > places.length) return undefined
    while (mountains.length < Number(size)) {
      mountains.push(appendMountain(mountains.at(-1) ?? NO_MOUNTAINS, places[mountains.length]!, this.#keccak))
    }
    return mountainRoot(mountains[Number(size) - 1]!, this.#keccak)
  }

  #append({ places, subsets }: Chain, { uid, data }: Made): string | undefined {
    const subset = subsets.get(data.subset) ?? []
    if (data.sequence !== BigInt(places.length + 1)) return `${data.sequence} follows ${places.length}`
    if (data.subSequence !== BigInt(subset.length + 1) || (subset.at(-1) ?? data.subPrevious) !== data.subPrevious) {
      return `the subset of ${data.sequence} has ${subset.length} entries before its ${data.subSequence}`
    }
    places.push(uid)
    subset.push(uid)
    subsets.set(data.subset, subset)
    return undefined
  }
}
