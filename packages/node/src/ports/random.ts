/** Chance as a port. */

export type Random = {
  /** Bytes nobody can predict (in the simulator: from its seed). */
  bytes(length: number): Uint8Array
}
