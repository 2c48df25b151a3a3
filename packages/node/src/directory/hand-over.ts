/** Hand-over of shards between home sets: the old anchors seal and tell what binds them, the new ones take over from 2f + 1 of them. */
import {
  type Address,
  accepted,
  type Bytes32,
  type HomeSet,
  type HomeStanding,
  mayHandOver,
  open,
  seal,
  takeOver,
  ZERO_32,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { RecordBook } from '../election/record-book.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { StreamService } from '../stream/stream-service.ts'
import type { StreamClaim, StreamTaking } from '../stream/take-over.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { InstanceIndex } from './instance-index.ts'
import type { QuorumDoor } from './quorum-door.ts'
import { type NamedRecord, type SealedPage, SealedPages } from './sealed-pages.ts'
import type { Standings } from './standings.ts'

/** Instances and streams of one shard that one answer may name; an answer with more does not count. */
const ANSWER_LIMIT = 10_000
/** Home sets of one shard that are taken over side by side: the one in force, and one before it that was missed. */
const SETS_AT_ONCE = 2

type ServicePorts = Pick<Ports, 'clock' | 'identity' | 'telemetry'>
type Parts = {
  readonly post: PostOffice
  readonly book: RecordBook
  readonly door: QuorumDoor
  readonly index: InstanceIndex
  readonly standings: Standings
  readonly streams: StreamService
  /** These tokens are kept here from now on, and are awake. */
  readonly taken: (tokens: readonly string[]) => void
}
/** What one anchor of the old set said so far; all of it once `next` is undefined. */
type Answer = {
  readonly records: readonly NamedRecord[]
  readonly streams: ReadonlyMap<Bytes32, StreamClaim>
  readonly next: Bytes32 | undefined
}
type Opening = {
  readonly shard: number
  readonly home: HomeSet
  readonly before: HomeSet
  readonly answers: Map<Address, Answer>
  taking: boolean
}

export class HandOver {
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #parts: Parts
  readonly #pages: SealedPages
  readonly #openings = new Map<string, Opening>()
  #timer: Cancel

  constructor(ports: ServicePorts, context: NodeContext, parts: Parts) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
    this.#pages = new SealedPages(ports, context, parts)
    parts.post.on('seal-request', (from, request) => void this.#answer(from, request))
    parts.post.on('sealed', (from, page) => this.#take(from, page))
    this.#timer = ports.clock.after(0, () => void this.#tick())
  }

  /** Shards that this anchor is home of and has not taken over yet. */
  get opening(): readonly number[] {
    return [...this.#openings.values()].map(({ shard }) => shard)
  }

  stop(): void {
    this.#timer()
  }

  async #tick(): Promise<void> {
    this.#timer = this.#ports.clock.after(this.#context.parameters.retryMs, () => void this.#tick())
    try {
      await this.#seal()
      // Leases that are taken over bind by this anchor's clock, and who started without records votes without waiting.
      if (this.#parts.book.isClockSet) this.#ask()
    } catch (error) {
      this.#ports.telemetry.log('error', 'home.not_sealed', { error })
    }
  }

  /** From then on nothing is signed for home sets that this anchor's view of the epochs leaves behind. */
  async #seal(): Promise<void> {
    const homes = this.#context.homes()
    const { standings } = this.#parts
    const due = new Map<number, HomeStanding>()
    for (let shard = 0; shard < homes.membership.directory.shardCount; shard++) {
      const sealed = seal(standings.of(shard), homes.history(shard)[0].epoch)
      if (accepted(sealed)) due.set(shard, sealed.value)
    }
    if (due.size === 0) return
    await standings.enter(due)
    this.#pages.renew()
  }

  /** Asks every anchor of the old sets that has not said all yet; repeating it is harmless. */
  #ask(): void {
    const wanted = this.#wanted()
    this.#openings.clear()
    for (const opening of wanted) {
      this.#openings.set(keyOf(opening.shard, opening.home.epoch), opening)
      for (const anchor of opening.before.anchors) this.#request(anchor, opening)
      void this.#finish(opening)
    }
  }

  /**
   * What this anchor is home of and did not take over yet. That may be a set of the past: its other members may need this one
   * before they can hand over.
   */
  #wanted(): readonly Opening[] {
    const homes = this.#context.homes()
    const wanted: Opening[] = []
    for (let shard = 0; shard < homes.membership.directory.shardCount; shard++) {
      const { opened } = this.#parts.standings.of(shard)
      const sets = homes.history(shard).slice(0, SETS_AT_ONCE + 1)
      for (const [i, before] of sets.slice(1).entries()) {
        const home = sets[i]!
        if (home.epoch <= opened || !home.anchors.includes(this.#self)) continue
        const known = this.#openings.get(keyOf(shard, home.epoch))
        wanted.push(known ?? { shard, home, before, answers: new Map(), taking: false })
      }
    }
    return wanted
  }

  #request(anchor: Address, { shard, home, answers }: Opening): void {
    const answer = answers.get(anchor)
    if (answer && answer.next === undefined) return
    const request = { type: 'seal-request', shard, epoch: home.epoch, after: answer?.next ?? ZERO_32 } as const
    if (anchor === this.#self) void this.#answer(anchor, request)
    else this.#parts.post.send(anchor, request)
  }

  /** Tells what binds this anchor in a shard, if that cannot become more. It seals by its own view of the epochs alone. */
  async #answer(to: Address, asked: Pick<SealedPage, 'shard' | 'epoch' | 'after'>): Promise<void> {
    const homes = this.#context.homes()
    if (asked.shard >= homes.membership.directory.shardCount) return
    const before = homes.history(asked.shard).find((set) => set.epoch < asked.epoch)
    if (!before || !mayHandOver(this.#parts.standings.of(asked.shard), before.epoch, asked.epoch)) return
    try {
      const page = await this.#pages.page(asked)
      if (to === this.#self) this.#take(to, page)
      else this.#parts.post.send(to, page)
    } catch (error) {
      this.#ports.telemetry.log('error', 'home.not_told', { shard: asked.shard, error })
    }
  }

  #take(from: Address, page: SealedPage): void {
    const opening = this.#openings.get(keyOf(page.shard, page.epoch))
    if (!opening || opening.taking || !opening.before.anchors.includes(from)) return
    const before = opening.answers.get(from)
    if (page.after !== (before ? before.next : ZERO_32)) return // a repetition
    const checked = this.#pages.check(from, page)
    const records = [...(before?.records ?? []), ...(checked?.records ?? [])]
    const streams = new Map([...(before?.streams ?? []), ...(checked?.streams ?? [])])
    const goesOn = page.next === undefined || page.next > page.after
    if (!checked || !goesOn || records.length + streams.size > ANSWER_LIMIT)
      return this.#ports.telemetry.log('warn', 'home.bad_answer', { shard: page.shard, from })
    opening.answers.set(from, { records, streams, next: page.next })
    if (page.next === undefined) void this.#finish(opening)
    else this.#request(from, opening)
  }

  /** With 2f + 1 whole answers every instance gets the record that they prove; then this anchor stands in the new epoch. */
  async #finish(opening: Opening): Promise<void> {
    const { shard, home, before } = opening
    const answers = [...opening.answers.values()].filter(({ next }) => next === undefined)
    if (answers.length < before.quorum || opening.taking) return
    opening.taking = true
    const { standings, taken, streams } = this.#parts
    try {
      const tokens = await this.#takeRecords(answers.flatMap(({ records }) => records))
      await streams.takeOver(takingsOf(answers, before.quorum))
      await standings.enter(new Map([[shard, open(standings.of(shard), home.epoch)]]))
      this.#ports.telemetry.log('info', 'home.taken_over', { shard, epoch: home.epoch, instances: tokens.length })
      taken(tokens)
    } catch (error) {
      opening.taking = false
      this.#ports.telemetry.log('error', 'home.not_taken_over', { shard, error })
    }
  }

  async #takeRecords(named: readonly NamedRecord[]): Promise<readonly string[]> {
    const { index, book } = this.#parts
    const records = named.map(({ record }) => record)
    const instances = new Map(named.map((each) => [each.record.instance, each.text]))
    const awake = new Set(named.filter(({ asleep }) => !asleep).map(({ record }) => record.instance))
    for (const [instance, text] of instances) {
      await index.add(instance, text)
      await index.setAsleep(instance, !awake.has(instance))
      await book.changed(instance, (record) => ({ record: takeOver(record, records) }))
    }
    return [...instances].filter(([instance]) => awake.has(instance)).map(([, text]) => text)
  }

  get #self(): Address {
    return this.#ports.identity.signer.address
  }
}

function keyOf(shard: number, epoch: bigint): string {
  return `${shard}/${epoch}`
}

/** By stream, what the anchors say that they hold, and how many of them must be right; who does not name a stream holds nothing of it. */
function takingsOf(answers: readonly Answer[], quorum: number): ReadonlyMap<Bytes32, StreamTaking> {
  const named = new Set(answers.flatMap(({ streams }) => [...streams.keys()]))
  return new Map(
    [...named].map((stream) => {
      const claims = answers.flatMap(({ streams }) => streams.get(stream) ?? [])
      const needed = quorum - (answers.length - claims.length)
      return [stream, { needed: Math.max(0, needed), claims }]
    }),
  )
}
