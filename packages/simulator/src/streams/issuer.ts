/** Issuers of the simulated world: they sign once, send until there is a receipt, crash, forget, rotate keys, and some fork. */
import type { StreamService } from '@smartlayer/node'
import {
  type Address,
  type Bytes32,
  batchUidOf,
  type CertifiedReceipt,
  EPOCH_SUBSET,
  faultsTolerated,
  type Hasher,
  isSmartLayerError,
  quorumOf,
  type Signer,
} from '@smartlayer/protocol'
import type { Draws } from '../random.ts'
import type { Trace, VirtualTime } from '../time.ts'
import type { StreamCheckers } from './checkers.ts'
import type { Liar } from './liar.ts'
import type { Made, Position, StreamWriter, Wanted } from './writer.ts'

const BEGIN_MS = 300
const ANSWER_TIMEOUT_MS = 2_000
/** Publications on their way at a time. */
const FLIGHT_LIMIT = 4
const BATCH_LIMIT = 12
/** How often an issuer that lost its state looks at the network. */
const LOOK_MS = 400
/** Epochs that an issuer opens over lost or forked state. */
const EPOCH_LIMIT = 3
/** How long a forking issuer goes on with its branches. */
const FORKING_MS = 3_000

/** What was signed together and has no receipt yet. */
type Group = { readonly made: readonly Made[]; tries: number }
type Anchor = {
  readonly name: string
  readonly signer: { readonly address: Address }
  readonly service: StreamService | undefined
}
type Options = {
  readonly name: string
  readonly time: VirtualTime
  readonly trace: Trace
  readonly draws: Draws
  readonly keccak: Hasher
  readonly writer: StreamWriter
  readonly subsets: readonly string[]
  readonly plan: IssuerPlan
  /** A new key of this issuer. */
  readonly signer: (name: string) => Signer
  readonly anchors: () => readonly Anchor[]
  readonly liar: () => Liar | undefined
  readonly checkers: StreamCheckers
}
/** `entries` is how many it publishes before it rests; one that forks does so after half of them. */
export type IssuerPlan = { readonly entries: number; readonly forks: boolean }

/** What an anchor says of a stream. */
type Place = { readonly sequence: bigint; readonly certified: bigint; readonly head: Bytes32; readonly epoch: bigint }

export class Issuer {
  readonly #options: Options
  /** What it keeps on disk: all that was signed and has no receipt, and where the next entry goes. */
  #outbox: Group[] = []
  #position: Position
  #signed = 0
  #done: Made[] = []
  /** The entry that opens an epoch over lost or forked state, once it is signed: it goes out before all else. */
  #opening: Group | undefined
  /** Grows with every crash: answers to an earlier life are not heard. */
  #life = 0
  #isUp = true
  #flights = 0
  #rotations = 0
  #mode: 'publishing' | 'forking' | 'over' = 'publishing'
  #reason: 'lost state' | 'fork' = 'lost state'
  /** It signed two entries for one place, at some time. */
  hasForked = false
  epochs = 0

  constructor(options: Options) {
    this.#options = options
    this.#position = options.writer.beginning
    options.time.at(BEGIN_MS + options.draws.next() * 200, () => this.#work(this.#life))
  }

  get name(): string {
    return this.#options.name
  }

  get stream(): Bytes32 {
    return this.#options.writer.stream
  }

  /** True when it has a receipt for all it wanted to publish, or forked and left it at that. */
  get done(): boolean {
    if (this.#mode !== 'publishing') return this.#mode === 'over'
    return this.#isUp && this.#signed >= this.#options.plan.entries && this.#outbox.length === 0 && !this.#opening
  }

  get pending(): number {
    return this.#outbox.length
  }

  /** It publishes nothing more. */
  stop(): void {
    if (this.done) this.#mode = 'over'
    this.#isUp = false
    this.#life++
  }

  /** The process ends; what it signed is on its disk, unless that is lost too. */
  crash({ losesState }: { losesState: boolean }): void {
    if (!this.#isUp || this.#mode !== 'publishing') return
    const { time, trace, name, draws } = this.#options
    const isLost = losesState && this.epochs === 0 && !this.hasForked
    trace.note(time.now, `${name} crashes${isLost ? ' and loses its state' : ''}`)
    this.#isUp = false
    this.#flights = 0
    const life = ++this.#life
    time.at(50 + draws.next() * 600, () => {
      this.#isUp = true
      if (isLost) this.#reopen('lost state')
      else if (this.#opening) this.#look(this.#opening, life)
      if (this.#opening?.made.length) this.#send(this.#opening, life)
      for (const group of this.#outbox) this.#send(group, life)
      this.#work(life)
    })
  }

  #work(life: number): void {
    if (life !== this.#life || !this.#isUp) return
    const { time, draws, plan } = this.#options
    const isBusy = this.#mode !== 'publishing' || this.#opening !== undefined || this.#flights >= FLIGHT_LIMIT
    if (!isBusy && this.#signed < plan.entries) this.#signNext(life)
    // Mostly in a hurry, so that much is on its way at once; with pauses in which the others catch up.
    const pauseMs = draws.chance(0.12) ? 500 + draws.next() * 2_000 : 15 + draws.next() * 130
    time.at(pauseMs, () => this.#work(life))
  }

  #signNext(life: number): void {
    const { draws, plan } = this.#options
    if (plan.forks && !this.hasForked && this.#signed >= plan.entries / 2) return this.#fork()
    if (draws.chance(0.06) && this.#done.length > 0 && this.#rotations < 2) return this.#rotate(life)
    const count = draws.chance(0.25) ? draws.between(2, BATCH_LIMIT) : 1
    const wanted = Array.from({ length: count }, () => this.#wanted())
    this.#sign(wanted, life)
  }

  #wanted(): Wanted {
    const { draws, writer, subsets, keccak } = this.#options
    const target = draws.chance(0.08) ? this.#revocable() : undefined
    if (!target) return writer.fact(draws.pick(subsets.slice(0, 3)))
    const batch = draws.chance(0.3) ? batchUidOf(target.item.attestation, keccak) : undefined
    const subset = draws.pick([subsets[0]!, subsets.at(-1)!])
    return writer.revocation(batch ?? target.uid, batch ? 'batch' : 'attestation', subset)
  }

  /** A fact that has its receipt, or is still on its way. */
  #revocable(): Made | undefined {
    const { draws } = this.#options
    const from = draws.chance(0.3) ? this.#outbox.flatMap(({ made }) => made) : this.#done
    const facts = from.filter(({ kind }) => kind === 'fact')
    return facts.length > 0 ? draws.pick(facts) : undefined
  }

  #sign(wanted: readonly Wanted[], life: number): void {
    const { made, position } = this.#options.writer.write(this.#position, wanted)
    this.#position = position
    this.#enqueue(made, life)
  }

  #rotate(life: number): void {
    const key = this.#options.signer(`key ${++this.#rotations}`)
    const { made, position } = this.#options.writer.open(this.#position, 'rotation', key)
    this.#position = position
    this.#enqueue([made], life)
  }

  #enqueue(made: readonly Made[], life: number): void {
    const group: Group = { made, tries: 0 }
    this.#signed += made.length
    this.#outbox.push(group)
    const { time, draws } = this.#options
    // A crash may come between the disk and the network.
    time.at(draws.next() * 8, () => this.#send(group, life))
  }

  // --- sending ---

  /** Sends a group until it has its receipt, to one anchor after another. */
  #send(group: Group, life: number): void {
    if (life !== this.#life || !this.#isUp || !this.#isPending(group)) return
    const { time, draws, anchors } = this.#options
    const anchor = draws.pick(anchors())
    let isOpen = true
    this.#flights++
    const settle = (next: () => void) => {
      if (!isOpen || life !== this.#life) return
      isOpen = false
      this.#flights--
      next()
    }
    const retry = () => void time.at(40 + draws.next() * 160, () => this.#send(group, life))
    time.at(ANSWER_TIMEOUT_MS, () => settle(retry))
    group.tries++
    if (!anchor.service) return settle(retry)
    anchor.service.publish(group.made.map(({ item }) => item)).then(
      (receipt) => settle(() => (this.#receipted(anchor, group, receipt) ? undefined : retry())),
      (error: unknown) => settle(() => this.#refused(anchor, group, error, retry)),
    )
  }

  #isPending(group: Group): boolean {
    return this.#outbox.includes(group) || this.#opening === group
  }

  /** Checks the receipt as every issuer does. False when it does not hold. */
  #receipted(anchor: Anchor, group: Group, receipt: CertifiedReceipt): boolean {
    const { time, trace, name, checkers, liar } = this.#options
    const last = group.made.at(-1)!
    const { stream, sequence } = last.data
    if (!checkers.holds(receipt, { stream, sequence, uid: last.uid })) {
      if (liar()?.isAt(anchor.signer.address)) return false
      checkers.fail('INV-COMMIT', `${anchor.name} answers ${name} with a receipt for ${sequence} that does not hold`)
      return true
    }
    trace.note(time.now, `${name} has the receipt of ${sequence}`, last.uid)
    checkers.receipted(group.made)
    this.#settled(group)
    return true
  }

  /** A receipt stands for all that was signed before, too. */
  #settled(group: Group): void {
    if (group === this.#opening) return this.#opened(group)
    const at = this.#outbox.indexOf(group)
    for (const { made } of this.#outbox.splice(0, at + 1)) this.#done.push(...made)
  }

  #refused(anchor: Anchor, group: Group, error: unknown, retry: () => void): void {
    const { time, trace, name, checkers } = this.#options
    if (!isSmartLayerError(error)) {
      checkers.fail('NO-BUGS', `${anchor.name} fails at publish: ${String((error as Error).stack)}`)
      return
    }
    trace.note(time.now, `${anchor.name} refuses ${group.made[0]!.data.sequence} of ${name}: ${error.code}`)
    // An issuer that forgot an epoch which it had opened has forked by opening it again.
    const isFrozen = checkers.forks.has(this.stream) && (error.code === 'stream.frozen' || error.code === 'stream.fork')
    if (isFrozen && !this.#opening && this.epochs < EPOCH_LIMIT) this.#reopen('fork')
    else retry()
  }

  // --- epochs ---

  /** Opens an epoch over what the network has: nothing of what was signed before is known, or of use. */
  #reopen(reason: 'lost state' | 'fork'): void {
    this.epochs++
    this.#mode = 'publishing'
    this.#signed = Math.max(this.#signed - this.#outbox.reduce((sum, { made }) => sum + made.length, 0), 0)
    this.#outbox = []
    this.#reason = reason
    this.#opening = { made: [], tries: 0 }
    this.#look(this.#opening, this.#life)
  }

  #look(opening: Group | undefined, life: number): void {
    if (life !== this.#life || !opening || this.#opening !== opening) return
    const { time, writer } = this.#options
    const later = () => void time.at(LOOK_MS, () => this.#look(this.#opening, life))
    const place = this.#furthest()
    if (!place) return later()
    const signed = opening.made[0]
    // Once signed, an opening is sent until its place is certainly another's.
    const isOver = signed !== undefined && place.certified >= signed.data.sequence
    const epochs = signed && this.#subsetHead(writer.subset(EPOCH_SUBSET), signed.data.sequence)
    // One that followed a head which was given up is never taken: the next epoch is opened at its place.
    const isBefore = signed && place.certified === signed.data.sequence - 1n && place.sequence === place.certified
    const isLeft = isBefore && place.head !== signed.previous
    if (signed && !isLeft && (!isOver || epochs === undefined || epochs.uid === signed.uid)) return later()
    const heads = this.#subsetHead(writer.subset(EPOCH_SUBSET), place.certified)
    if (!heads) return later()
    const { beginning } = writer
    const subsets = new Map([[writer.subset(EPOCH_SUBSET), heads]])
    const epoch = signed && signed.data.epoch > place.epoch ? signed.data.epoch : place.epoch
    const before: Position = { ...beginning, epoch, sequence: place.sequence, uid: place.head, subsets }
    const { made, position } = writer.open(before, this.#reason, beginning.key)
    this.#position = position
    this.#opening = { made: [made], tries: 0 }
    this.#send(this.#opening, life)
    later()
  }

  /** The opening has its receipt: the heads of all subsets are read where it stands. */
  #opened(opening: Group): void {
    const { writer, subsets, time } = this.#options
    const life = this.#life
    const { sequence } = opening.made[0]!.data
    const heads = [...subsets, EPOCH_SUBSET].map((name) => {
      const subset = writer.subset(name)
      return [subset, this.#subsetHead(subset, sequence)] as const
    })
    if (heads.some(([, head]) => head === undefined)) {
      return void time.at(LOOK_MS, () => {
        if (life === this.#life && this.#opening === opening) this.#opened(opening)
      })
    }
    const known = heads.flatMap(([subset, head]) => (head && head.sequence > 0n ? [[subset, head] as const] : []))
    this.#position = { ...this.#position, subsets: new Map(known) }
    this.#opening = undefined
  }

  /** The furthest place that f + 1 of at least 2f + 1 anchors reached, as most of those that stand there name it. */
  #furthest(): Place | undefined {
    const places = this.#places()
    const faults = faultsTolerated(this.#options.anchors().length)
    if (places.length < quorumOf(this.#options.anchors().length)) return undefined
    const byReach = [...places].sort((a, b) => Number(b.sequence - a.sequence))
    const reach = byReach[faults]!.sequence
    const there = places.filter(({ sequence }) => sequence === reach)
    const support = ({ head }: Place) => there.filter((other) => other.head === head).length
    const certified = [...places].sort((a, b) => Number(b.certified - a.certified))[faults]!.certified
    return { ...there.sort((a, b) => support(b) - support(a))[0]!, certified }
  }

  #places(): readonly Place[] {
    const { anchors, liar } = this.#options
    return anchors().flatMap(({ signer, service }) => {
      const state = service?.state(this.stream)
      if (!state) return []
      const { sequence, certified, head, epoch } = state
      const place = { sequence, certified, head, epoch }
      return [liar()?.isAt(signer.address) ? (liar()?.place(place) ?? place) : place]
    })
  }

  /** Where f + 1 anchors that are certified up to this place say alike that a subset stands. */
  #subsetHead(subset: Bytes32, upTo: bigint): { sequence: bigint; uid: Bytes32 } | undefined {
    const { anchors } = this.#options
    const answers = anchors().flatMap(({ service }) => {
      const isThere = service && service.state(this.stream).certified >= upTo
      return isThere ? [service.subset(this.stream, subset)] : []
    })
    const faults = faultsTolerated(anchors().length)
    const found = answers.find(({ head }) => answers.filter((other) => other.head === head).length > faults)
    return found && { sequence: found.sequence, uid: found.head }
  }

  // --- forks ---

  /** Signs two branches from one place and shows each to other anchors first. */
  #fork(): void {
    const { time, trace, name, draws } = this.#options
    this.hasForked = true
    this.#mode = 'forking'
    trace.note(time.now, `${name} forks at ${this.#position.sequence + 1n}`)
    const from = this.#position
    const branches = [0, 1].map(() => this.#branch(from))
    const until = time.now + FORKING_MS
    branches.forEach((branch, i) => {
      for (const group of branch) this.#press(group, i, until)
    })
    this.#options.liar()?.collude(branches.flat(2))
    for (const junk of this.#junk(from)) this.#press([junk], draws.between(0, 3), until)
    const goesOn = draws.chance(0.5)
    time.at(FORKING_MS + draws.next() * 1_500, () => {
      if (goesOn) this.#reopen('fork')
      else this.#mode = 'over'
    })
  }

  #branch(from: Position): readonly (readonly Made[])[] {
    const { draws, writer } = this.#options
    let at = from
    return Array.from({ length: draws.between(1, 4) }, () => {
      const count = draws.chance(0.3) ? draws.between(2, 5) : 1
      const { made, position } = writer.write(
        at,
        Array.from({ length: count }, () => this.#wanted()),
      )
      at = position
      return made
    })
  }

  /** Entries that fit nowhere. */
  #junk(from: Position): readonly Made[] {
    const { draws, writer, subsets } = this.#options
    const fact = writer.fact(subsets[0]!)
    const before = from.subsets.get(fact.subset)
    const kinds: readonly Partial<Made['data']>[] = [
      { sequence: from.sequence + 3n },
      { subSequence: (before?.sequence ?? 0n) + 2n },
      { subPrevious: from.uid },
      { epoch: from.epoch > 1n ? from.epoch - 1n : 7n },
    ]
    return kinds.filter(() => draws.chance(0.4)).map((change) => writer.write(from, [{ ...fact, change }]).made[0]!)
  }

  /** Sends a branch again and again, one anchor first, whatever the answers are. */
  #press(made: readonly Made[], first: number, until: number): void {
    const { time, draws, anchors, checkers, name } = this.#options
    const again = (turn: number) => {
      if (time.now > until) return
      const { service } = anchors()[turn % anchors().length]!
      service?.publish(made.map(({ item }) => item)).catch((error: unknown) => {
        if (!isSmartLayerError(error))
          checkers.fail('NO-BUGS', `publish for ${name}: ${String((error as Error).stack)}`)
      })
      time.at(300 + draws.next() * 700, () => again(turn + draws.between(0, 3)))
    }
    again(first)
  }
}
