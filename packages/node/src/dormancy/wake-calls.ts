/** Who is to be woken when a subset moves: kept in memory by the home anchors of its stream, told again by those of the sleepers. */
import { type Address, type Bytes32, topicOf, type WireMessage } from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'
import type { StreamService } from '../stream/stream-service.ts'
import type { PostOffice } from '../wire/post-office.ts'

/** Calls that are kept at a time; a sleeper beyond it is woken by queries alone, and tells again later. */
const CALL_LIMIT = 400_000
/** A call that is not told again in this time is forgotten. */
const CALL_LIFE_MS = 25 * 60_000
/** Tokens that one message wakes. */
const CALLS_PER_MESSAGE = 64

export type WakeCall = Extract<WireMessage, { type: 'wake-on' }>['calls'][number]
type Kept = { readonly call: WakeCall; readonly toldAt: number; readonly by: Set<Address> }
type Parts = { readonly post: PostOffice; readonly streams: Pick<StreamService, 'certifiedIn' | 'onCertified'> }

export class WakeCalls {
  readonly #ports: Pick<Ports, 'clock'>
  readonly #context: Pick<NodeContext, 'homes'>
  readonly #parts: Parts
  readonly #calls = new Map<string, Map<string, Kept>>()
  #size = 0

  constructor(ports: Pick<Ports, 'clock'>, context: Pick<NodeContext, 'homes'>, parts: Parts) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
    parts.post.on('wake-on', (from, { calls }) => {
      for (const call of calls) this.#take(from, call)
    })
    parts.streams.onCertified(({ stream, subset, subSequence }) => this.#moved({ stream, subset }, subSequence))
  }

  get size(): number {
    return this.#size
  }

  /** Tells the home anchors of the streams what wakes a sleeper. */
  tell(calls: readonly WakeCall[]): void {
    const byAnchor = new Map<Address, WakeCall[]>()
    for (const call of calls) {
      for (const anchor of this.#context.homes().of(call.stream).anchors)
        byAnchor.set(anchor, [...(byAnchor.get(anchor) ?? []), call])
    }
    for (const [anchor, own] of byAnchor) {
      for (let at = 0; at < own.length; at += CALLS_PER_MESSAGE)
        this.#parts.post.send(anchor, { type: 'wake-on', calls: own.slice(at, at + CALLS_PER_MESSAGE) })
    }
  }

  #take(from: Address, call: WakeCall): void {
    // What came before the sleeper was known here wakes it at once.
    if (this.#parts.streams.certifiedIn(call.stream, call.subset) > call.after) return this.#wake([from], call)
    const topic = topicOf(call)
    const kept = this.#calls.get(topic) ?? new Map<string, Kept>()
    const before = kept.get(call.token)
    if (!before && this.#size >= CALL_LIMIT) return
    if (!before) this.#size++
    const by = (before?.by ?? new Set<Address>()).add(from)
    kept.set(call.token, { call, toldAt: this.#ports.clock.monotonic(), by })
    this.#calls.set(topic, kept)
  }

  #moved(interest: { stream: Bytes32; subset: Bytes32 }, subSequence: bigint): void {
    const kept = this.#calls.get(topicOf(interest))
    if (!kept) return
    const oldest = this.#ports.clock.monotonic() - CALL_LIFE_MS
    for (const [token, { call, toldAt, by }] of kept) {
      if (toldAt >= oldest && call.after >= subSequence) continue
      kept.delete(token)
      this.#size--
      if (toldAt >= oldest) this.#wake([...by], call)
    }
    if (kept.size === 0) this.#calls.delete(topicOf(interest))
  }

  #wake(anchors: readonly Address[], { token }: WakeCall): void {
    this.#parts.post.sendAll(anchors, { type: 'activate', token })
  }
}
