/** Retention: what may be pruned is decided by the stream's class, its checkpoints, and the cursors that were promised. */
import { type Bytes32, floorOf, KEEP_ALL, longest, type Retention, type StreamCheckpoint } from '@smartlayer/protocol'
import { decodeJson, encodeJson } from '../election/record-store.ts'
import type { Ports } from '../ports/ports.ts'
import type { HomeStreams } from './home-streams.ts'

/** A follower that said nothing for so long has no promise any more. */
const PROMISE_MS = 15 * 60_000
const PROMISE_LIMIT = 50_000
/** Entries younger than this are never pruned. */
export const HOT_S = 7n * 86_400n
const BEAT_MS = 60_000
/** Streams looked at in one beat. */
const STREAMS_PER_BEAT = 200
/** Checkpoints remembered per stream to tell how old entries are. */
const MARKS = 64

type Promised = { readonly sequence: bigint; readonly until: number }
type Options = { readonly streams: HomeStreams; readonly hotS: bigint }

export class Keeper {
  readonly #ports: Pick<Ports, 'log' | 'store' | 'clock' | 'telemetry'>
  readonly #options: Options
  /** By stream and reader: the place behind which a reader stands. */
  readonly #promises = new Map<Bytes32, Map<string, Promised>>()
  readonly #startedAt: number
  #count = 0
  #beatAt = 0
  #next: Bytes32 | undefined

  constructor(ports: Pick<Ports, 'log' | 'store' | 'clock' | 'telemetry'>, options: Options) {
    this.#ports = ports
    this.#options = options
    this.#startedAt = ports.clock.monotonic()
  }

  /** Nothing after this cursor is pruned while the promise is repeated. */
  promise(stream: Bytes32, reader: string, { subset, after }: { subset?: Bytes32 | undefined; after: bigint }): void {
    const readers = this.#promises.get(stream) ?? new Map<string, Promised>()
    const key = `${reader}/${subset ?? stream}`
    if (!readers.has(key)) {
      if (this.#count >= PROMISE_LIMIT) return
      this.#count++
    }
    const until = this.#ports.clock.monotonic() + PROMISE_MS
    readers.set(key, { sequence: this.#placeOf(stream, subset, after), until })
    this.#promises.set(stream, readers)
  }

  /** How long a stream keeps its entries: the longest of all that its type declares for it. */
  retentionOf(inputs: Readonly<Record<string, { readonly retention: Retention }>>): Retention {
    const [first, ...rest] = Object.values(inputs).map(({ retention }) => retention)
    return rest.reduce(longest, first ?? KEEP_ALL)
  }

  /** Notes when a checkpoint was made: entries up to it are at least that old. */
  mark({ stream, size, time }: StreamCheckpoint): void {
    const marks = this.#marks(stream)
    const last = marks.at(-1)
    if (this.#options.streams.get(stream).retention.keep === 'all' || (last && time - last.time < 3_600n)) return
    const kept = [...marks, { size, time }].slice(-MARKS)
    const value = encodeJson(kept.map((each) => ({ size: String(each.size), time: String(each.time) })))
    void this.#ports.store
      .commit([{ key: `stream-marks/${stream}`, value }])
      .catch((error) => this.#failed(stream, error))
  }

  /** Once in a while: prunes a few streams. After a start nobody's promise is known, so nothing is pruned for a while. */
  beat(): void {
    const now = this.#ports.clock.monotonic()
    if (now - this.#beatAt < BEAT_MS || now - this.#startedAt < PROMISE_MS) return
    this.#beatAt = now
    const page = this.#ports.log.streams({ after: this.#next, limit: STREAMS_PER_BEAT })
    this.#next = page.length < STREAMS_PER_BEAT ? undefined : page.at(-1)
    for (const stream of page) this.prune(stream)
  }

  /** Prunes one stream as far as its class and all promises allow. Resolves with the new floor. */
  async prune(stream: Bytes32): Promise<bigint> {
    const { retention, checkpoint } = this.#options.streams.get(stream)
    const nowS = this.#ports.clock.now() / 1_000n
    const floor = floorOf({
      retention,
      checkpoint: checkpoint?.checkpoint.size ?? 0n,
      lastBefore: (ageS) => this.#lastBefore(stream, nowS - ageS),
      promised: this.#lowest(stream),
      hotS: this.#options.hotS,
    })
    const before = this.#ports.log.floor(stream)
    if (floor <= before) return before
    try {
      // The last entry of each subset stays: whoever begins here later can go on from it.
      await this.#ports.log.prune(stream, { floor, keepLatest: true })
      this.#ports.telemetry.log('info', 'stream.pruned', { stream, floor })
    } catch (error) {
      this.#failed(stream, error)
    }
    return this.#ports.log.floor(stream)
  }

  /** The lowest promised place, or undefined when nobody reads. Promises that ran out are forgotten. */
  #lowest(stream: Bytes32): bigint | undefined {
    const readers = this.#promises.get(stream)
    if (!readers) return undefined
    const now = this.#ports.clock.monotonic()
    let lowest: bigint | undefined
    for (const [key, { sequence, until }] of readers) {
      if (until < now) {
        readers.delete(key)
        this.#count--
      } else if (lowest === undefined || sequence < lowest) lowest = sequence
    }
    if (readers.size === 0) this.#promises.delete(stream)
    return lowest
  }

  /** A cursor in a subset as a place of the stream: everything before the entry that it waits for may go. */
  #placeOf(stream: Bytes32, subset: Bytes32 | undefined, after: bigint): bigint {
    if (subset === undefined || subset === stream) return after
    const [next] = this.#ports.log.readSubset(stream, subset, { after, limit: 1, bytes: 1 })
    return next ? next.sequence - 1n : this.#options.streams.state(stream).certified
  }

  #lastBefore(stream: Bytes32, timeS: bigint): bigint {
    return this.#marks(stream).findLast(({ time }) => time <= timeS)?.size ?? 0n
  }

  #marks(stream: Bytes32): readonly { readonly size: bigint; readonly time: bigint }[] {
    const value = this.#ports.store.get(`stream-marks/${stream}`)
    if (!value) return []
    return (decodeJson(value) as { size: string; time: string }[]).map(({ size, time }) => ({
      size: BigInt(size),
      time: BigInt(time),
    }))
  }

  #failed(stream: Bytes32, error: unknown): void {
    this.#ports.telemetry.log('warn', 'stream.not_pruned', { stream, error })
  }
}
