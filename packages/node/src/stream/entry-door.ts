/** The door of streams on a node: no entry gets further before its type is known and every rule that needs no state was asked. */
import {
  type Address,
  accepted,
  type Bytes32,
  checkFork,
  type EntryContext,
  type Fork,
  type OpenEntry,
  openEntry,
  ownTime,
  readData,
  reject,
  rootCache,
  type StreamItem,
  type Verdict,
} from '@smartlayer/protocol'
import type { LoadedType, NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'
import type { RevocationBook } from './revocation-book.ts'

/** Batch roots remembered: further leaves of a known root cost hashes alone. */
const ROOT_LIMIT = 4_096

export class EntryDoor {
  readonly #ports: Pick<Ports, 'identity' | 'clock'>
  readonly #context: NodeContext
  readonly #revocations: RevocationBook
  readonly #isOpenAt: (stream: Bytes32, sequence: bigint) => boolean
  readonly #roots = rootCache(ROOT_LIMIT)

  /** `isOpenAt` says whether a place of a stream has no receipt yet, as far as this node knows. */
  constructor(
    ports: Pick<Ports, 'identity' | 'clock'>,
    context: NodeContext,
    revocations: RevocationBook,
    isOpenAt: (stream: Bytes32, sequence: bigint) => boolean = () => false,
  ) {
    this.#ports = ports
    this.#context = context
    this.#revocations = revocations
    this.#isOpenAt = isOpenAt
  }

  /** A new entry, judged now: also its fact must fit the declared schema, and nobody may have taken it back. */
  open(item: StreamItem): Verdict<OpenEntry> {
    const type = this.typeOf(item)
    if (!type) return reject('token.unknown', { token: item.attestation.message.recipient })
    const opened = openEntry(item, { ...this.context(type), nowS: this.#ports.clock.now() / 1000n })
    if (!accepted(opened)) return opened
    const { kind, issuer, lane, uid } = opened.value
    const misfit = kind === 'fact' ? type.checkFact({ issuer, lane }, item.body) : undefined
    if (misfit) return misfit
    const revocation = this.#revocations.of(issuer, uid, item.attestation)
    if (revocation && !this.#precedes(opened.value, revocation)) return reject('attestation.revoked', { uid })
    return opened
  }

  /**
   * An entry that stands before its revocation and has no receipt yet still takes its place: without it the stream could not go on,
   * not even to the revocation. Whoever reads it passes it over.
   */
  #precedes({ data: { stream, sequence } }: OpenEntry, revocation: StreamItem): boolean {
    const at = readData(revocation)
    return at?.stream === stream && sequence < at.sequence && this.#isOpenAt(stream, sequence)
  }

  /** An entry that was taken before, by its own time: nothing that happened since makes it less of an entry. */
  reopen(item: StreamItem): Verdict<OpenEntry> {
    const type = this.typeOf(item)
    if (!type) return reject('token.unknown', { token: item.attestation.message.recipient })
    return openEntry(item, { ...this.context(type), nowS: ownTime(item) })
  }

  fork(first: StreamItem, second: StreamItem): Verdict<Fork> {
    const type = this.typeOf(first)
    if (!type) return reject('token.unknown', { token: first.attestation.message.recipient })
    return checkFork({ first, second }, this.context(type))
  }

  typeOf(item: StreamItem): LoadedType | undefined {
    return this.#context.tokens.byContract(item.attestation.message.recipient)
  }

  /** Loads the script that names the issuers of a type. Throws as `TokenBook.load`. */
  async prepare(contract: Address): Promise<void> {
    if (!this.#context.tokens.byContract(contract)) await this.#context.tokens.loadType(contract)
  }

  /** What the rules must know of a type, but for the time. */
  context({ rules }: LoadedType): EntryContext {
    const { networkId, easDomain } = this.#context
    return {
      networkId,
      easDomain,
      crypto: this.#ports.identity.crypto,
      tokenType: rules.tokenType,
      rules: Object.values(rules.inputs),
      nowS: 0n,
      roots: this.#roots,
    }
  }
}
