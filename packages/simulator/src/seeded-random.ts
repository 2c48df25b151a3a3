/** Chance from a seed: one stream per actor, so that a draw in one place does not reshuffle the world. */
import { nobleCrypto, utf8 } from '@smartlayer/protocol'

export class SeededRandom {
  #state: number

  constructor(seed: string) {
    const digest = nobleCrypto.keccak(utf8(seed))
    this.#state = (digest[0]! << 24) | (digest[1]! << 16) | (digest[2]! << 8) | digest[3]!
  }

  /** A number from 0 up to, not including, 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low)
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256))
  }
}
