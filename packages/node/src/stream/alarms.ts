/** What everybody who follows a stream must hear at once: that its issuer forked it, and what its issuer took back. */
import {
  type Address,
  accepted,
  type Bytes32,
  type OpenEntry,
  readData,
  type StreamItem,
  streamNamed,
} from '@smartlayer/protocol'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { EntryDoor } from './entry-door.ts'
import type { HomeStreams } from './home-streams.ts'
import type { Homes } from './homes.ts'
import type { RevocationBook } from './revocation-book.ts'

const FORKS_PER_BEAT = 4

type Options = {
  readonly post: PostOffice
  readonly door: EntryDoor
  readonly streams: HomeStreams
  readonly homes: Homes
  readonly revocations: RevocationBook
  readonly followersOf: (stream: Bytes32) => readonly Address[]
  /** The stream stands still from now on, and its proof is on disk. */
  readonly frozen: (stream: Bytes32) => void
}

export class Alarms {
  readonly #ports: Pick<Ports, 'telemetry'>
  readonly #options: Options

  constructor(ports: Pick<Ports, 'telemetry'>, options: Options) {
    this.#ports = ports
    this.#options = options
    const { post } = options
    post.on('fork', (from, { first, second }) => this.#receiveFork(from, first, second))
    post.on('revocation', (_, { item }) => this.#receiveRevocation(item))
  }

  /** An entry of the issuer that cannot stand beside what is here. */
  proveFork(rival: OpenEntry): void {
    const { streams, homes } = this.#options
    const own = streams.itemAt(rival.data.stream, rival.data.sequence)
    if (own) this.#receiveFork(homes.self, own, rival.item)
  }

  /** A proof that was lost on its way, or missed by who was away, comes again. */
  tellForks(to: Address, among: readonly Bytes32[]): void {
    const { streams, post } = this.#options
    const forks = among.flatMap((stream) => streams.fork(stream) ?? []).slice(0, FORKS_PER_BEAT)
    for (const { proof } of forks) post.send(to, { type: 'fork', ...proof })
  }

  /** A revocation is kept before it stands in the stream: no crash leaves it there without effect. */
  revokeFirst(entries: readonly OpenEntry[], take: () => void): void {
    const revoking = entries.filter(({ revocation }) => revocation !== undefined)
    if (revoking.length === 0) return take()
    const { stream } = entries[0]!.data
    Promise.all(revoking.map((entry) => this.#options.revocations.add(entry)))
      .then(take)
      .catch((error) => this.#ports.telemetry.log('warn', 'stream.not_taken', { stream, error }))
  }

  tellRevocation({ item, revocation, data: { stream } }: OpenEntry): void {
    this.#ports.telemetry.log('info', 'stream.revoked', { stream, uid: revocation?.revokes })
    this.#options.post.sendAll([...this.#readersOf(stream)], { type: 'revocation', item })
  }

  /** Two entries for one place, both signed: the stream freezes, and everybody who follows it hears of it, once. */
  #receiveFork(from: Address, first: StreamItem, second: StreamItem): void {
    const { streams, homes, door, post, frozen } = this.#options
    const stream = streamNamed(first)
    if (!homes.isOwn(stream)) return
    const known = streams.fork(stream)
    if (known && known.epoch >= (readData(first)?.epoch ?? 0n)) return
    const checked = door.fork(first, second)
    if (!accepted(checked)) return
    const { epoch, sequence } = checked.value.first.data
    this.#ports.telemetry.log('warn', 'stream.forked', { stream, epoch, sequence })
    const readers = this.#readersOf(stream)
    readers.delete(from)
    streams
      .freeze(stream, { first, second }, epoch)
      .then(() => {
        post.sendAll([...readers], { type: 'fork', first, second })
        frozen(stream)
      })
      .catch((error) => this.#ports.telemetry.log('error', 'stream.failed', { stream, error }))
  }

  /** An issuer's revocation counts as soon as it is seen: that it stands in the stream only makes it last. */
  #receiveRevocation(item: StreamItem): void {
    const { door, revocations } = this.#options
    const opened = door.reopen(item)
    if (!accepted(opened) || !opened.value.revocation) return
    const entry = opened.value
    const { stream } = entry.data
    revocations
      .add(entry)
      .then((isNew) => {
        if (isNew) this.tellRevocation(entry)
      })
      .catch((error) => this.#ports.telemetry.log('error', 'stream.failed', { stream, error }))
  }

  #readersOf(stream: Bytes32): Set<Address> {
    const { homes, followersOf } = this.#options
    return new Set([...homes.others(stream), ...followersOf(stream)])
  }
}
