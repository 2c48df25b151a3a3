/** How anchors compare how far their streams reach: heads of what moved, of a sample of the rest, and now and then of all. */
import {
  type Address,
  type Bytes32,
  type CertifiedReceipt,
  INTEREST_LIMIT,
  type Interest,
  ZERO_32,
} from '@smartlayer/protocol'
import type { Ports } from '../ports/ports.ts'
import type { LogPlace } from '../ports/stream-log.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { Alarms } from './alarms.ts'
import { drawOf } from './draw.ts'
import type { HomeStreams } from './home-streams.ts'
import type { Homes } from './homes.ts'
import type { Head } from './spreader.ts'

/** Other streams whose heads are told with each beat, one after another. */
const SAMPLE = 16
/** How often an anchor asks another one for all its heads, in beats; and at its start. */
const LIST_BEATS = 30
/** Entries without a receipt that are stepped over to find the head of a subset. */
const SUBSET_TAIL_LIMIT = 64

type Options = {
  readonly post: PostOffice
  readonly streams: HomeStreams
  readonly homes: Homes
  readonly alarms: Alarms
  /** Streams that moved lately. */
  readonly moved: () => Iterable<Bytes32>
  /** The newest certificate of a stream, when its signatures convince others. */
  readonly receipt: (stream: Bytes32) => CertifiedReceipt | undefined
  /** Another anchor has more of a stream. */
  readonly behind: (stream: Bytes32, known: bigint, from: Address) => void
}

export class Heads {
  readonly #ports: Pick<Ports, 'log' | 'random'>
  readonly #options: Options
  #sampleAfter: Bytes32 | undefined
  /** Who was asked last for all its heads. */
  #listing: Address | undefined

  constructor(ports: Pick<Ports, 'log' | 'random'>, options: Options) {
    this.#ports = ports
    this.#options = options
    const { post } = options
    post.on('stream-heads', (from, { heads }) => this.#hear(from, heads))
    post.on('stream-list-request', (from, { after }) => this.#list(from, after))
  }

  /** Once a second, counted by `beat`. */
  beat(beat: number): void {
    this.#tell()
    if (beat % LIST_BEATS === 0) this.#askForList()
  }

  /** The last place with a receipt, in the stream or in a subset. */
  of({ stream, subset }: Interest): Head | undefined {
    const { streams } = this.#options
    const { certified } = streams.state(stream)
    if (certified === 0n) return undefined
    if (subset === stream) {
      const place = streams.placeAt(stream, certified)
      return place && { stream, subset, epoch: place.epoch, sequence: certified, uid: place.uid }
    }
    const place = this.#certifiedIn(stream, subset, certified)
    return place && { stream, subset, epoch: place.epoch, sequence: place.subSequence, uid: place.uid }
  }

  /** Heads go to two other anchors: those that moved, and some of the rest, so that in time all are compared. */
  #tell(): void {
    const { homes, post, alarms, moved } = this.#options
    const sample = this.#ports.log.streams({ after: this.#sampleAfter, limit: SAMPLE })
    this.#sampleAfter = sample.length < SAMPLE ? undefined : sample.at(-1)
    const heads = this.#wholeHeads([...new Set([...moved(), ...sample])].slice(0, INTEREST_LIMIT))
    if (heads.length === 0) return
    const { anchors } = homes
    const at = Math.floor(drawOf(this.#ports.random)() * anchors.length)
    const [first, second] = [anchors[at], anchors[(at + 1) % anchors.length]]
    for (const anchor of new Set([first, second])) {
      if (anchor) post.send(anchor, { type: 'stream-heads', heads, following: undefined })
    }
    if (first) alarms.tellForks(first, sample)
  }

  /** Another anchor says how far streams reach: what is further there is asked for, what is further here is shown. */
  #hear(from: Address, heads: readonly Head[]): void {
    const { homes, streams, post, receipt, behind } = this.#options
    if (!homes.anchors.includes(from)) return
    for (const { stream, subset, sequence } of heads) {
      if (subset !== stream || !homes.isOwn(stream)) continue
      const { state } = streams.get(stream)
      if (sequence > state.sequence) behind(stream, sequence, from)
      else if (sequence > state.certified) this.#askCertificate(from, stream)
      else if (sequence < state.certified) {
        const certified = receipt(stream)
        if (certified) post.send(from, { type: 'certified', certified })
      }
    }
    if (from === this.#listing && heads.length >= INTEREST_LIMIT) {
      post.send(from, { type: 'stream-list-request', after: heads.at(-1)!.stream })
    }
  }

  /** More has its receipt there than is known here: they are shown where we stand, and their answer is the certificate. */
  #askCertificate(from: Address, stream: Bytes32): void {
    const nothing = { stream, subset: stream, epoch: 1n, sequence: 0n, uid: ZERO_32 }
    const head = this.of({ stream, subset: stream }) ?? nothing
    this.#options.post.send(from, { type: 'stream-heads', heads: [head], following: undefined })
  }

  #askForList(): void {
    const { homes, post } = this.#options
    const { anchors } = homes
    this.#listing = anchors[Math.floor(drawOf(this.#ports.random)() * anchors.length)]
    if (this.#listing) post.send(this.#listing, { type: 'stream-list-request', after: ZERO_32 })
  }

  #list(to: Address, after: Bytes32): void {
    const { homes, post } = this.#options
    if (!homes.anchors.includes(to)) return
    const page = this.#ports.log.streams({ after: after === ZERO_32 ? undefined : after, limit: INTEREST_LIMIT })
    const heads = this.#wholeHeads(page)
    if (heads.length > 0) post.send(to, { type: 'stream-heads', heads, following: undefined }, 'backfill')
  }

  #wholeHeads(streams: readonly Bytes32[]): readonly Head[] {
    return streams.flatMap((stream) => this.of({ stream, subset: stream }) ?? [])
  }

  /** The last entry of a subset that has its receipt: behind it there may be a tail that never gets one. */
  #certifiedIn(stream: Bytes32, subset: Bytes32, certified: bigint): LogPlace | undefined {
    let place = this.#ports.log.subsetHead(stream, subset)
    for (let steps = 0; place && place.sequence > certified; steps++) {
      const before = place.subSequence - 1n
      if (before < 1n || steps >= SUBSET_TAIL_LIMIT) return undefined
      const [entry]: readonly LogPlace[] = this.#ports.log.readSubset(stream, subset, {
        after: before - 1n,
        limit: 1,
        bytes: 1,
      })
      place = entry?.subSequence === before ? entry : undefined
    }
    return place
  }
}
