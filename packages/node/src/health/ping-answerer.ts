/** A service node answers the pings of its probers: where it stands, how much it hosts. */
import { type Address, type Bytes32, type Hex, Ping, Pong, toHex } from '@smartlayer/protocol'
import type { Clock } from '../ports/clock.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { HealthParts } from './health-parts.ts'
import type { Load } from './heartbeats.ts'

/** Pings of one prober that are answered in a second: each costs a signature. */
const PINGS_PER_SECOND = 16

type Standing = { readonly load: () => Load; readonly positionOf: (instance: Bytes32) => bigint }

export class PingAnswerer {
  readonly #clock: Clock
  readonly #parts: HealthParts
  readonly #post: PostOffice
  readonly #standing: Standing
  readonly #answered = new Map<Address, { since: number; count: number }>()

  constructor({ clock }: { clock: Clock }, parts: HealthParts, post: PostOffice, standing: Standing) {
    this.#clock = clock
    this.#parts = parts
    this.#post = post
    this.#standing = standing
    post.on('ping', (from, message) => this.#answer(from, message))
  }

  #answer(from: Address, { ping, signature }: { ping: Ping; signature: Hex }): void {
    const isOurs = ping.node === this.#parts.self && ping.prober === from
    if (!isOurs || !this.#parts.probers(ping.node).anchors.includes(from) || !this.#mayAnswer(from)) return
    if (this.#parts.signerOf(Ping, ping, signature) !== from) return
    const { instances, limit } = this.#standing.load()
    const pong: Pong = {
      ping: toHex(this.#parts.digest(Ping, ping)),
      n: this.#standing.positionOf(ping.instance),
      instances: BigInt(instances),
      limit: BigInt(limit),
    }
    this.#post.send(from, { type: 'pong', pong, signature: this.#parts.sign(Pong, pong) })
  }

  #mayAnswer(from: Address): boolean {
    const now = this.#clock.monotonic()
    const known = this.#answered.get(from)
    if (!known || now - known.since >= 1_000) return Boolean(this.#answered.set(from, { since: now, count: 1 }))
    return ++known.count <= PINGS_PER_SECOND
  }
}
