/** Content by its hash as a port: scripts, wherever they are kept. */

export type Content = {
  /** The bytes with this CID, checked against it; undefined when nobody has them. */
  get(cid: string): Promise<Uint8Array | undefined>
}
