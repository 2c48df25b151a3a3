/** The facts that instances on this node wait for: pushed by anchors, asked for again when missing, handed out in order. */
import {
  type Address,
  anchorsOf,
  type Bytes32,
  cursorKey,
  faultsTolerated,
  fromHex,
  SLInput,
  type StreamItem,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'

/** Entries of one subset that are kept ahead of the cursor; the rest stays at the anchors. */
const AHEAD_LIMIT = 128
const ASK_LIMIT = 64

type Followed = {
  readonly stream: Bytes32
  readonly subset: Bytes32
  after: bigint
  readonly ahead: Map<bigint, StreamItem>
}

export class InputBuffer {
  readonly #ports: Pick<Ports, 'clock' | 'random'>
  readonly #context: NodeContext
  readonly #post: PostOffice
  readonly #followed = new Map<string, Followed>()
  readonly #onArrival: () => void
  #timer: Cancel

  constructor(ports: Pick<Ports, 'clock' | 'random'>, context: NodeContext, post: PostOffice, onArrival: () => void) {
    this.#ports = ports
    this.#context = context
    this.#post = post
    this.#onArrival = onArrival
    post.on('stream-item', (_, message) => this.#take(message.item))
    post.on('stream-range', (_, message) => {
      for (const item of message.items) this.#take(item)
    })
    this.#timer = ports.clock.after(0, () => this.#tick())
  }

  stop(): void {
    this.#timer()
  }

  /** Follows a subset from behind `after`; calling it again moves the cursor. */
  follow(stream: Bytes32, subset: Bytes32, after: bigint): void {
    const key = cursorKey(stream, subset)
    const known = this.#followed.get(key)
    if (!known) {
      const followed: Followed = { stream, subset, after, ahead: new Map() }
      this.#followed.set(key, followed)
      this.#subscribe()
      this.#ask(followed)
      return
    }
    known.after = after
    for (const sequence of known.ahead.keys()) if (sequence <= after) known.ahead.delete(sequence)
  }

  /** The entry of the subset right behind `after`, when it is here. */
  next(stream: Bytes32, subset: Bytes32, after: bigint): StreamItem | undefined {
    return this.#followed.get(cursorKey(stream, subset))?.ahead.get(after + 1n)
  }

  /** Forgets an entry that turned out not to hold, and asks another anchor for it. */
  discard(stream: Bytes32, subset: Bytes32, sequence: bigint): void {
    const followed = this.#followed.get(cursorKey(stream, subset))
    if (!followed?.ahead.delete(sequence)) return
    this.#ask(followed)
  }

  #take(item: StreamItem): void {
    const data = SLInput.decode(fromHex(item.attestation.message.data))
    const followed = this.#followed.get(cursorKey(data.stream, data.subset))
    if (!followed || data.subSequence <= followed.after || data.subSequence > followed.after + BigInt(AHEAD_LIMIT))
      return
    if (followed.ahead.has(data.subSequence)) return
    followed.ahead.set(data.subSequence, item)
    this.#onArrival()
  }

  #tick(): void {
    this.#subscribe()
    for (const followed of this.#followed.values()) if (!followed.ahead.has(followed.after + 1n)) this.#ask(followed)
    this.#timer = this.#ports.clock.after(2 * this.#context.parameters.heartbeatMs, () => this.#tick())
  }

  #subscribe(): void {
    if (this.#followed.size === 0) return
    const subsets = [...this.#followed.values()].map(({ stream, subset }) => ({ stream, subset }))
    this.#post.sendAll(this.#pushing, { type: 'subscribe', subsets })
  }

  /** f + 1 anchors push to us, each node's own choice of them; what they withhold or lose is asked of the others. */
  get #pushing(): readonly Address[] {
    const anchors = this.#anchors
    const first = Number(BigInt(this.#post.self) % BigInt(anchors.length || 1))
    const count = faultsTolerated(anchors.length) + 1
    return Array.from({ length: Math.min(count, anchors.length) }, (_, i) => anchors[(first + i) % anchors.length]!)
  }

  #ask({ stream, subset, after }: Followed): void {
    const anchors = this.#anchors
    const anchor = anchors[this.#ports.random.bytes(1)[0]! % anchors.length]
    if (anchor) this.#post.send(anchor, { type: 'stream-request', stream, subset, after, limit: ASK_LIMIT })
  }

  get #anchors(): readonly Address[] {
    return anchorsOf(this.#context.membership()).map((member) => member.node)
  }
}
