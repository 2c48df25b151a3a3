/** What a node signs in one turn of its event loop shares one signature: entries of many instances cost one together. */
import { type Hex, SHARED_LIMIT, signShared } from '@smartlayer/protocol'
import type { Ports } from '../ports/ports.ts'

type Waiting = {
  readonly digest: Uint8Array
  readonly resolve: (signature: Hex) => void
  readonly reject: (error: unknown) => void
}

/** Runs a function after the events of the present turn, such as `setImmediate`. */
export type EndOfTurn = (run: () => void) => void

export class TurnSigner {
  readonly #ports: Pick<Ports, 'identity'>
  readonly #endOfTurn: EndOfTurn
  #waiting: Waiting[] = []

  constructor(ports: Pick<Ports, 'identity'>, endOfTurn: EndOfTurn) {
    this.#ports = ports
    this.#endOfTurn = endOfTurn
  }

  /** The promise behind the digest must be durable already: its signature leaves as soon as it is there. */
  sign(digest: Uint8Array): Promise<Hex> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ digest, resolve, reject })
      if (this.#waiting.length === 1) this.#endOfTurn(() => this.#close())
      else if (this.#waiting.length >= SHARED_LIMIT) this.#close()
    })
  }

  #close(): void {
    const waiting = this.#waiting
    if (waiting.length === 0) return
    this.#waiting = []
    const { signer, crypto } = this.#ports.identity
    try {
      const digests = waiting.map(({ digest }) => digest)
      const signatures = signShared(digests, signer, crypto.keccak)
      for (const [i, { resolve }] of waiting.entries()) resolve(signatures[i]!)
    } catch (error) {
      for (const { reject } of waiting) reject(error)
    }
  }
}
