/** How a home anchor that has nothing of a pruned stream starts it: what is kept up to the floor, then ranges, then live. */
import {
  type Address,
  accepted,
  type Bytes32,
  encodeItem,
  type OpenEntry,
  STREAM_RANGE_BYTES,
  type WireMessage,
} from '@smartlayer/protocol'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { Checkpointer } from './checkpointer.ts'
import type { EntryDoor } from './entry-door.ts'
import { pack, unpack } from './packing.ts'

/** Entries of a snapshot: one for each subset. A stream with more is begun by hand, from another anchor's disk. */
const SNAPSHOT_LIMIT = 8_000
const PAGE = 512
/** Snapshots under way. */
const UNDER_WAY_LIMIT = 4
/** A snapshot that did not arrive by then is asked of another anchor. */
const TIMEOUT_MS = 15_000

type Message = Extract<WireMessage, { type: 'snapshot' }>
type UnderWay = { readonly from: Address; readonly entries: OpenEntry[]; readonly askedAt: number }
type Options = {
  readonly post: PostOffice
  readonly door: EntryDoor
  readonly checkpointer: Checkpointer
  readonly mayServe: (stream: Bytes32, to: Address) => boolean
  readonly installed: (stream: Bytes32) => void
}

export class Snapshots {
  readonly #ports: Pick<Ports, 'log' | 'clock' | 'telemetry'>
  readonly #options: Options
  readonly #underWay = new Map<Bytes32, UnderWay>()

  constructor(ports: Pick<Ports, 'log' | 'clock' | 'telemetry'>, options: Options) {
    this.#ports = ports
    this.#options = options
    options.post.on('snapshot-request', (from, { stream, after }) => this.#serve(from, stream, after))
    options.post.on('snapshot', (from, message) => this.#receive(from, message))
  }

  /** Asks an anchor that pruned the stream for what it kept. */
  ask(from: Address, stream: Bytes32): void {
    const now = this.#ports.clock.monotonic()
    const known = this.#underWay.get(stream)
    if (known && now - known.askedAt < TIMEOUT_MS) return
    if (!known && this.#underWay.size >= UNDER_WAY_LIMIT) return
    this.#underWay.set(stream, { from, entries: [], askedAt: now })
    this.#options.post.send(from, { type: 'snapshot-request', stream, after: 0n })
  }

  #serve(to: Address, stream: Bytes32, after: bigint): void {
    const { post, mayServe, checkpointer } = this.#options
    const floor = this.#ports.log.floor(stream)
    if (floor === 0n || !mayServe(stream, to)) return
    const found = this.#ports.log.read(stream, { after, limit: PAGE, bytes: STREAM_RANGE_BYTES })
    const page = found.filter(({ sequence }) => sequence <= floor)
    const isLast = page.length < found.length || page.at(-1)?.sequence === floor || found.length === 0
    const last = isLast ? checkpointer.peaks(stream) : undefined
    if (isLast && !last) return // without a checkpoint there is nothing to go on from; it comes in a few seconds
    post.send(to, { type: 'snapshot', stream, floor, packed: pack(page.map(({ bytes }) => bytes)), last })
  }

  #receive(from: Address, { stream, packed, last }: Message): void {
    const underWay = this.#underWay.get(stream)
    if (!underWay || underWay.from !== from) return
    for (const item of unpack(packed)) {
      const opened = this.#options.door.reopen(item)
      const before = underWay.entries.at(-1)?.data.sequence ?? 0n
      const fits = accepted(opened) && opened.value.data.stream === stream && opened.value.data.sequence > before
      if (!fits || underWay.entries.length >= SNAPSHOT_LIMIT) return this.#giveUp(stream, from)
      underWay.entries.push(opened.value)
    }
    const reached = underWay.entries.at(-1)
    if (!reached) return this.#giveUp(stream, from)
    if (last) return void this.#install(stream, underWay, last)
    this.#options.post.send(from, { type: 'snapshot-request', stream, after: reached.data.sequence })
  }

  async #install(
    stream: Bytes32,
    { entries, from }: UnderWay,
    { certified, peaks }: NonNullable<Message['last']>,
  ): Promise<void> {
    try {
      if (certified.checkpoint.stream !== stream || !(await this.#options.checkpointer.adopt(certified, peaks))) {
        return this.#giveUp(stream, from)
      }
      await this.#ports.log.install(
        stream,
        entries.map(({ item, uid, data: { epoch, sequence, subset, subSequence } }) => {
          return { stream, epoch, sequence, subset, subSequence, uid, bytes: encodeItem(item) }
        }),
      )
      this.#underWay.delete(stream)
      this.#ports.telemetry.log('info', 'stream.installed', { stream, floor: entries.at(-1)?.data.sequence })
      this.#options.installed(stream)
    } catch (error) {
      this.#giveUp(stream, from)
      this.#ports.telemetry.log('warn', 'stream.not_installed', { stream, error })
    }
  }

  #giveUp(stream: Bytes32, from: Address): void {
    this.#underWay.delete(stream)
    this.#ports.telemetry.log('warn', 'stream.snapshot_refused', { stream, from })
  }
}
