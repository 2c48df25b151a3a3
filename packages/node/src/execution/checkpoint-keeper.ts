/** The executor's part in checkpoints: it offers a confirmed state to the home anchors and gathers their signatures. */
import {
  type Address,
  type Bytes32,
  type CertifiedJournalCheckpoint,
  type JournalCheckpoint as Checkpoint,
  digestOf,
  type Hex,
  type HomeSet,
  JournalCheckpoint,
  snapshotOf,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { Confirmed } from './replica.ts'

/** An offer waits so many retry times for a quorum: anchors may learn of the commit a moment after it. */
const OFFER_RETRIES = 2

type Offered = {
  readonly n: bigint
  readonly root: Bytes32
  readonly at: number
  readonly signatures: Map<Address, Hex>
}
type Parts = {
  readonly post: PostOffice
  readonly home: HomeSet
  readonly replicas: readonly Address[]
  /** 2f + 1 home anchors vouch for a state. */
  readonly certified: (certified: CertifiedJournalCheckpoint) => void
}

export class CheckpointKeeper {
  readonly #ports: Pick<Ports, 'clock' | 'identity'>
  readonly #context: Pick<NodeContext, 'domain' | 'parameters'>
  readonly #parts: Parts
  #offered: Offered | undefined

  constructor(
    ports: Pick<Ports, 'clock' | 'identity'>,
    context: Pick<NodeContext, 'domain' | 'parameters'>,
    parts: Parts,
  ) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
  }

  /** Offers a state that a majority of the replicas computed alike; an offer that is not answered is made again later. */
  offer({ state, root, roots }: Confirmed): void {
    const now = this.#ports.clock.monotonic()
    const n = BigInt(state.n)
    const isWaiting = this.#offered && now - this.#offered.at < OFFER_RETRIES * this.#context.parameters.retryMs
    if (isWaiting || n === 0n) return
    this.#offered = { n, root, at: now, signatures: new Map() }
    const { post, home } = this.#parts
    post.sendAll(home.anchors, { type: 'journal-offer', snapshot: snapshotOf(state), roots: [...roots] })
  }

  endorsed(from: Address, checkpoint: Checkpoint, signature: Hex): void {
    const offered = this.#offered
    const { home, post, replicas, certified } = this.#parts
    const isOurs = offered && checkpoint.n === offered.n && checkpoint.root === offered.root
    if (!isOurs || checkpoint.homeEpoch !== home.epoch || !home.anchors.includes(from)) return
    const { keccak, recover } = this.#ports.identity.crypto
    if (recover(digestOf(JournalCheckpoint, checkpoint, this.#context.domain, keccak), signature) !== from) return
    offered.signatures.set(from, signature)
    if (offered.signatures.size < home.quorum) return
    this.#offered = undefined
    const made = { checkpoint, signatures: [...offered.signatures.values()] }
    const self = this.#ports.identity.signer.address
    const readers = [...home.anchors, ...replicas.filter((node) => node !== self)]
    post.sendAll(readers, { type: 'journal-checkpoint', certified: made })
    certified(made)
  }
}
