/** Answers of one event-loop turn share one signature: closed at the end of the turn, or when full. */
import { type Attestation, attestBatch, type BatchItem, type Bytes32, toHex } from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'

/** Answers under one root at most; beyond it nothing is gained and proofs grow. */
const BATCH_LIMIT = 256

type Waiting = {
  readonly item: BatchItem
  readonly resolve: (attestation: Attestation) => void
  readonly reject: (error: unknown) => void
}

export class BatchSigner {
  readonly #ports: Pick<Ports, 'identity' | 'clock' | 'random'>
  readonly #context: NodeContext
  readonly #endOfTurn: (run: () => void) => void
  #waiting: Waiting[] = []
  #sequence = 1n

  /** `endOfTurn` runs a function after the events of the present turn, such as `setImmediate`. */
  constructor(
    ports: Pick<Ports, 'identity' | 'clock' | 'random'>,
    context: NodeContext,
    { endOfTurn }: { endOfTurn: (run: () => void) => void },
  ) {
    this.#ports = ports
    this.#context = context
    this.#endOfTurn = endOfTurn
  }

  sign(item: BatchItem): Promise<Attestation> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      if (this.#waiting.length === 1) this.#endOfTurn(() => this.#close())
      else if (this.#waiting.length >= BATCH_LIMIT) this.#close()
    })
  }

  #close(): void {
    const batch = this.#waiting
    if (batch.length === 0) return
    this.#waiting = []
    const { signer, crypto } = this.#ports.identity
    const salt: Bytes32 = toHex(this.#ports.random.bytes(32))
    const firstSequence = this.#sequence
    this.#sequence += BigInt(batch.length)
    try {
      const attestations = attestBatch(
        batch.map(({ item }) => item),
        {
          signer,
          domain: this.#context.easDomain,
          keccak: crypto.keccak,
          time: this.#ports.clock.now() / 1000n,
          firstSequence,
          salt,
        },
      )
      batch.forEach(({ resolve }, i) => {
        resolve(attestations[i]!)
      })
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }
}
