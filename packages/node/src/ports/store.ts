/** Durable storage as a port: an ordered key–value map with atomic, durable commits. */

/** Keys are ASCII text of at most 512 characters in byte order; domains prefix theirs: `journal/…`. */
export type Key = string

export type Write = { readonly key: Key; readonly value: Uint8Array | undefined }

export type Store = {
  get(key: Key): Uint8Array | undefined
  /** Entries with `from` ≤ key < `to` in order, at most `limit`. */
  range(bounds: {
    readonly from: Key
    readonly to: Key
    readonly limit: number
  }): readonly (readonly [Key, Uint8Array])[]
  /**
   * All writes or none; resolved only after they are on disk (fsync). Concurrent commits share one fsync.
   * A value of undefined deletes. Rejects with `store.full` when there is no room (nothing was written, a later commit may
   * succeed), and with `store.failed`; then nothing was acknowledged and the node must stop.
   */
  commit(writes: readonly Write[]): Promise<void>
}
