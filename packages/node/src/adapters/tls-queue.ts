/** What waits for one peer: a queue per class, bounded by number and bytes, served strictly in the order of the classes. */
import { TRAFFIC_CLASSES, type TrafficClass } from '../ports/network.ts'
import type { Frame } from './frames.ts'
import { CLASS_LIMITS } from './tls-limits.ts'

/** A peer whose live queue overflowed counts as lagging until that queue was empty and this has passed. */
const CALM_MS = 2_000

type ClassQueue = { readonly frames: Frame[]; bytes: number }
/** Bytes that wait in all queues of a node. */
export type Waiting = { bytes: number }

export class SendQueue {
  readonly #queues = new Map<TrafficClass, ClassQueue>(TRAFFIC_CLASSES.map((name) => [name, { frames: [], bytes: 0 }]))
  readonly #waiting: Waiting
  readonly #onDrop: (frame: Frame) => void
  /** The live queue overflowed and was not empty since. */
  #behind = false
  #calmFrom = Number.NEGATIVE_INFINITY

  constructor(waiting: Waiting, onDrop: (frame: Frame) => void) {
    this.#waiting = waiting
    this.#onDrop = onDrop
  }

  get length(): number {
    return [...this.#queues.values()].reduce((sum, { frames }) => sum + frames.length, 0)
  }

  get bytes(): number {
    return [...this.#queues.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** Whether the peer misses live messages that it has to repair by pull. */
  get lagging(): boolean {
    return this.#behind || performance.now() - this.#calmFrom < CALM_MS
  }

  /** Over a bound of its class the oldest of the class are dropped; no class takes room from another. */
  push(frame: Frame): void {
    const { queuedFrames, queuedBytes } = CLASS_LIMITS[frame.trafficClass]
    const queue = this.#queues.get(frame.trafficClass)!
    const isFull = () => queue.frames.length >= queuedFrames || queue.bytes + frame.bytes.length > queuedBytes
    while (isFull()) this.#drop(queue)
    queue.frames.push(frame)
    queue.bytes += frame.bytes.length
    this.#waiting.bytes += frame.bytes.length
  }

  /** The next frame to send. */
  shift(): Frame | undefined {
    for (const queue of this.#queues.values()) {
      if (queue.frames.length === 0) continue
      const frame = this.#take(queue)
      if (frame.trafficClass === 'live' && this.#behind) this.#markBehind(queue.frames.length > 0)
      return frame
    }
    return undefined
  }

  /** Drops from the lowest class upwards, the oldest first, until no more than this waits. */
  shed(bytes: number): void {
    let excess = this.bytes - bytes
    for (const queue of [...this.#queues.values()].reverse()) {
      while (excess > 0 && queue.frames.length > 0) excess -= this.#drop(queue)
    }
  }

  #drop(queue: ClassQueue): number {
    const frame = this.#take(queue)
    if (frame.trafficClass === 'live') this.#markBehind(queue.frames.length > 0)
    this.#onDrop(frame)
    return frame.bytes.length
  }

  #markBehind(behind: boolean): void {
    this.#behind = behind
    this.#calmFrom = performance.now()
  }

  #take(queue: ClassQueue): Frame {
    const frame = queue.frames.shift()!
    queue.bytes -= frame.bytes.length
    this.#waiting.bytes -= frame.bytes.length
    return frame
  }
}
