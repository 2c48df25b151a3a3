/** What issuers took back: attestations and batch roots that count nowhere any more, durable on every node that needs to know. */
import {
  type Address,
  type Attestation,
  type Bytes32,
  batchUidOf,
  encodeItem,
  type Hasher,
  type OpenEntry,
  type StreamItem,
} from '@smartlayer/protocol'
import type { Store } from '../ports/store.ts'
import { decodedOf } from './packing.ts'

const PREFIX = 'revoked/'
/** Revocations kept by a node; beyond it the oldest stay on disk and the rest is refused, with a log line. */
export const REVOCATION_LIMIT = 100_000

export class RevocationBook {
  readonly #store: Store
  readonly #keccak: Hasher
  /** `issuer/uid` of everything that was taken back. */
  readonly #known = new Set<string>()
  readonly #issuers = new Set<Address>()
  /** What is on its way to the disk. */
  readonly #writing = new Map<string, Promise<void>>()

  constructor(store: Store, keccak: Hasher) {
    this.#store = store
    this.#keccak = keccak
    const rows = store.range({ from: PREFIX, to: `${PREFIX}~`, limit: REVOCATION_LIMIT })
    for (const [key] of rows) this.#note(key.slice(PREFIX.length))
  }

  get size(): number {
    return this.#known.size
  }

  /** Keeps a checked revocation. Resolves when it is on disk, with true when it is new. */
  async add({ item, issuer, revocation }: OpenEntry): Promise<boolean> {
    if (!revocation) return false
    const key = `${issuer}/${revocation.revokes}`
    if (this.#known.has(key)) {
      await this.#writing.get(key)
      return false
    }
    if (this.#known.size >= REVOCATION_LIMIT) return false
    this.#note(key)
    const written = this.#store.commit([
      { key: PREFIX + key, value: encodeItem(item) },
      { key: `revoked-uid/${revocation.revokes}`, value: new TextEncoder().encode(key) },
    ])
    this.#writing.set(key, written)
    try {
      await written
    } catch (error) {
      this.#known.delete(key) // offered again, it is written again
      throw error
    } finally {
      this.#writing.delete(key)
    }
    return true
  }

  /** The revocation of an issuer's attestation, or of the batch that it was signed in. */
  of(issuer: Address, uid: Bytes32, attestation: Attestation): StreamItem | undefined {
    if (!this.#issuers.has(issuer)) return undefined
    const batch = batchUidOf(attestation, this.#keccak)
    return this.#read(`${issuer}/${uid}`) ?? (batch && this.#read(`${issuer}/${batch}`))
  }

  /** The revocation of an attestation or a batch root, whoever its issuer is. */
  find(uid: Bytes32): StreamItem | undefined {
    const key = this.#store.get(`revoked-uid/${uid}`)
    return key && this.#read(new TextDecoder().decode(key))
  }

  #read(key: string): StreamItem | undefined {
    if (!this.#known.has(key)) return undefined
    const bytes = this.#store.get(PREFIX + key)
    return bytes && decodedOf(bytes)
  }

  #note(key: string): void {
    this.#known.add(key)
    this.#issuers.add(key.slice(0, key.indexOf('/')) as Address)
  }
}
