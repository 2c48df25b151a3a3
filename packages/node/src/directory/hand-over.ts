/** Hand-over of shards between home sets: the old anchors seal and tell what binds them, the new ones take over from 2f + 1 of them. */
import {
  type Address,
  accepted,
  type Bytes32,
  type HomeSet,
  mayHandOver,
  open,
  parseTokenRef,
  plausible,
  SEALED_PAGE_LIMIT,
  type SealedRecord,
  type SealedRecordMessage,
  type Standing,
  seal,
  sealedRecord,
  takeOver,
  tokenOf,
  type WireMessage,
  ZERO_32,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { RecordBook } from '../election/record-book.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { InstanceIndex } from './instance-index.ts'
import type { QuorumDoor } from './quorum-door.ts'
import type { Standings } from './standings.ts'

/** Instances of one shard that one answer may name; an answer with more does not count. */
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
  /** These tokens are kept here from now on. */
  readonly taken: (tokens: readonly string[]) => void
}
type Sealed = Extract<WireMessage, { type: 'sealed' }>
type Named = { readonly text: string; readonly record: SealedRecord }
/** What one anchor of the old set said so far, and whether that is all. */
type Answer = { readonly records: Map<Bytes32, Named>; done: boolean }
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
  readonly #openings = new Map<string, Opening>()
  #sealing: Promise<void> | undefined
  #timer: Cancel

  constructor(ports: ServicePorts, context: NodeContext, parts: Parts) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
    parts.post.on('seal-request', (from, request) => void this.#answer(from, request))
    parts.post.on('sealed', (from, sealed) => this.#take(from, sealed))
    this.#timer = ports.clock.after(0, () => this.#tick())
  }

  /** Shards that this anchor is home of and has not taken over yet. */
  get opening(): readonly number[] {
    return [...this.#openings.values()].map(({ shard }) => shard)
  }

  stop(): void {
    this.#timer()
  }

  #tick(): void {
    void this.#advance()
    this.#timer = this.#ports.clock.after(this.#context.parameters.retryMs, () => this.#tick())
  }

  /** Seals what has a new home set, and asks the set before it for what this anchor is home of now. */
  async #advance(): Promise<void> {
    const homes = this.#context.homes()
    const { shards } = homes.membership.homes
    const due = new Map<number, Standing>()
    for (let shard = 0; shard < shards; shard++) {
      const entered = seal(this.#parts.standings.of(shard), homes.history(shard)[0].epoch)
      if (accepted(entered)) due.set(shard, entered.value)
    }
    if (due.size > 0) await this.#enter(due)
    this.#ask()
  }

  /**
   * What this anchor is home of and did not take over yet. That may be a set of the past: its other members may need this one
   * before they can hand over.
   */
  #wanted(): readonly Opening[] {
    const homes = this.#context.homes()
    return Array.from({ length: homes.membership.homes.shards }, (_, shard) => {
      const { opened } = this.#parts.standings.of(shard)
      const sets = homes.history(shard).slice(0, SETS_AT_ONCE + 1)
      return sets.slice(0, -1).flatMap((home, i): Opening[] => {
        if (home.epoch <= opened || !home.anchors.includes(this.#self)) return []
        const known = this.#openings.get(`${shard}/${home.epoch}`)
        return [known ?? { shard, home, before: sets[i + 1]!, answers: new Map(), taking: false }]
      })
    }).flat()
  }

  /** One after another: a seal is on disk before anything is said that rests on it. */
  async #enter(standings: ReadonlyMap<number, Standing>): Promise<void> {
    try {
      await this.#sealing
      this.#sealing = this.#parts.standings.enter(standings)
      await this.#sealing
    } catch (error) {
      this.#ports.telemetry.log('error', 'home.not_sealed', { shards: standings.size, error })
    }
  }

  /** Asks every anchor of the old sets that has not said all yet; repeating it is harmless. */
  #ask(): void {
    const wanted = this.#wanted()
    this.#openings.clear()
    for (const opening of wanted) {
      this.#openings.set(keyOf(opening.shard, opening.home.epoch), opening)
      for (const anchor of opening.before.anchors) this.#request(anchor, opening)
    }
  }

  #request(anchor: Address, { shard, home, answers }: Opening): void {
    const answer = answers.get(anchor)
    if (answer?.done) return
    const after = [...(answer?.records.keys() ?? [])].at(-1) ?? ZERO_32
    const request = { type: 'seal-request', shard, epoch: home.epoch, after } as const
    if (anchor === this.#self) void this.#answer(anchor, request)
    else this.#parts.post.send(anchor, request)
  }

  /** Tells what binds this anchor in a shard, once nothing can be added to it any more. */
  async #answer(to: Address, { shard, epoch, after }: { shard: number; epoch: bigint; after: Bytes32 }): Promise<void> {
    const { standings, index, book, post } = this.#parts
    const homes = this.#context.homes()
    if (shard >= homes.membership.homes.shards) return
    const before = homes.history(shard).find((set) => set.epoch < epoch)
    // It seals by its own view of the epochs alone: nobody else can end a home set.
    if (!before || !mayHandOver(standings.of(shard), before.epoch, epoch)) return
    const page = index.after(after, (token) => homes.shardOf(token) === shard).slice(0, SEALED_PAGE_LIMIT)
    const context = { now: this.#ports.clock.now(), epsilonMs: BigInt(this.#context.parameters.epsilonMs) }
    const records = await Promise.all(
      page.map(async ({ instance, text }) => messageOf(text, sealedRecord(await book.settled(instance), context))),
    )
    const sealed: Sealed = { type: 'sealed', shard, epoch, after, records, last: page.length < SEALED_PAGE_LIMIT }
    if (to === this.#self) this.#take(to, sealed)
    else post.send(to, sealed)
  }

  #take(from: Address, { shard, epoch, after, records, last }: Sealed): void {
    const opening = this.#openings.get(keyOf(shard, epoch))
    if (!opening || opening.taking || !opening.before.anchors.includes(from)) return
    const answer = opening.answers.get(from) ?? { records: new Map<Bytes32, Named>(), done: false }
    const reached = [...answer.records.keys()].at(-1) ?? ZERO_32
    if (answer.done || after !== reached) return // a repetition
    const checked = records.map((record) => this.#checked(shard, record))
    const isCredible = checked.every((named) => named !== undefined) && answer.records.size <= ANSWER_LIMIT
    if (!isCredible) return this.#ports.telemetry.log('warn', 'home.bad_answer', { shard, from })
    for (const named of checked) if (named) answer.records.set(named.record.instance, named)
    answer.done = last
    opening.answers.set(from, answer)
    if (last) void this.#finish(opening)
    else this.#request(from, opening)
  }

  /** A record whose certificates hold, of a token that lies in the shard; undefined for anything else. */
  #checked(
    shard: number,
    { token: text, instance, placement, leases, certificate }: SealedRecordMessage,
  ): Named | undefined {
    const { keccak } = this.#ports.identity.crypto
    const token = tokenOf(parseTokenRef(text), keccak)
    if (this.#context.homes().shardOf(token) !== shard) return undefined
    const { door, book } = this.#parts
    const placed = placement && door.placement({ token }, placement)
    const certified = certificate && door.certificate({ token }, certificate)
    if ((placed && !accepted(placed)) || (certified && !accepted(certified))) return undefined
    if (
      (placement?.placement.instance ?? instance) !== instance ||
      (certificate?.entry.instance ?? instance) !== instance
    )
      return undefined
    const record: SealedRecord = {
      instance,
      placement: placement && placed ? { ...placement, hash: placed.value } : undefined,
      leases,
      certified: certified?.value,
    }
    return accepted(plausible(record, book.anchorContext(instance))) ? { text, record } : undefined
  }

  /** With 2f + 1 whole answers every instance gets the record that they prove; then this anchor stands in the new epoch. */
  async #finish(opening: Opening): Promise<void> {
    const { shard, home, before } = opening
    const answers = [...opening.answers.values()].filter(({ done }) => done)
    if (answers.length < before.quorum || opening.taking) return
    opening.taking = true
    const named = answers.flatMap(({ records }) => [...records.values()])
    const texts = new Map(named.map(({ text, record }) => [record.instance, text]))
    try {
      for (const [instance, text] of texts) {
        await this.#parts.index.add(instance, text)
        const said = named.map(({ record }) => record)
        await this.#parts.book.changed(instance, (record) => ({ record: takeOver(record, said) }))
      }
      await this.#enter(new Map([[shard, open(this.#parts.standings.of(shard), home.epoch)]]))
      this.#ports.telemetry.log('info', 'home.taken_over', { shard, epoch: home.epoch, instances: texts.size })
      this.#parts.taken([...texts.values()])
    } catch (error) {
      opening.taking = false
      this.#ports.telemetry.log('error', 'home.not_taken_over', { shard, error })
    }
  }

  get #self(): Address {
    return this.#ports.identity.signer.address
  }
}

function keyOf(shard: number, epoch: bigint): string {
  return `${shard}/${epoch}`
}

function messageOf(token: string, { instance, placement, leases, certified }: SealedRecord): SealedRecordMessage {
  const certificate = certified?.certificate
  return {
    token,
    instance,
    placement: placement && { placement: placement.placement, votes: [...placement.votes] },
    leases: [...leases],
    certificate: certificate && { entry: certificate.entry, accepts: [...certificate.accepts] },
  }
}
