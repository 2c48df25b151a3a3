/** What subscriptions and pages read: entries of a stream that have a receipt, in order, and word when there are more. */
import type {
  Bytes32,
  CertifiedCheckpoint,
  CertifiedReceipt,
  ForkProof,
  StreamItem,
  StreamState,
} from '@smartlayer/protocol'

export type ReadEntry = {
  /** Place in the stream, or in the subset that was asked for: where to continue after this entry. */
  readonly cursor: bigint
  readonly item: StreamItem
}

export type ReadRequest = {
  /** Left out: the whole stream. */
  readonly subset?: Bytes32 | undefined
  /** Exclusive. */
  readonly after: bigint
  readonly limit: number
}

export type StreamReader = {
  state(stream: Bytes32): StreamState
  /** The place up to which entries may have been pruned. */
  floor(stream: Bytes32): bigint
  /** Only entries with a receipt. Throws `stream.pruned` when entries right after the cursor are gone. */
  entries(stream: Bytes32, request: ReadRequest): readonly ReadEntry[]
  /** The newest receipt of the stream, at or after every entry that `entries` gives. */
  receipt(stream: Bytes32): CertifiedReceipt | undefined
  checkpoint(stream: Bytes32): CertifiedCheckpoint | undefined
  fork(stream: Bytes32): ForkProof | undefined
  /** Calls `wake` whenever more entries have a receipt, or the stream froze; never with data. Returns how to stop. */
  watch(stream: Bytes32, wake: () => void): () => void
  /** Keeps what follows the cursor from being pruned for a while; to be repeated while the reader is there. */
  promise(
    stream: Bytes32,
    reader: string,
    after: { readonly subset?: Bytes32 | undefined; readonly after: bigint },
  ): void
}
