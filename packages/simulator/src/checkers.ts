/** The oracles: they watch every message, disk and request, and say at once when an invariant does not hold. */
import type { OutboundRequest, Write } from '@smartlayer/node'
import { type Address, type Bytes32, type Domain, type Hasher, Placement, placementHash } from '@smartlayer/protocol'
import { type Skew, wallClock } from './clock.ts'
import type { Life } from './life.ts'
import type { Sent } from './network.ts'
import { type Disk, logOn } from './store.ts'
import type { VirtualTime } from './time.ts'

export type Invariant = 'INV-ONE-EXECUTOR' | 'INV-COMMIT' | 'INV-SAME-STATE' | 'INV-ORDER' | 'INV-LIVENESS' | 'NO-BUGS'
export type Violation = { readonly invariant: Invariant; readonly atMs: number; readonly detail: string }

type Holder = {
  readonly life: Life
  readonly placement: Bytes32
  readonly term: bigint
  readonly notBefore: bigint
  expires: bigint
  asked: number
}
/** What one anchor has signed. */
type Promised = {
  term: bigint
  instance: Bytes32 | undefined
  readonly receipts: Map<string, Bytes32>
  readonly leases: Map<Bytes32, bigint>
}
type Call = { readonly node: Address; readonly term: bigint; until: number }
type Options = {
  readonly time: VirtualTime
  readonly domain: Domain
  readonly keccak: Hasher
  readonly leaseMs: number
  readonly epsilonMs: number
  readonly skewOf: (node: Address) => Skew
  readonly byzantine: ReadonlySet<Address>
  readonly failed: (violation: Violation) => void
}

const decoder = new TextDecoder()

export class Checkers {
  readonly #options: Options
  readonly #placements = new Map<Bytes32, Placement>()
  readonly #asked = new Map<string, number>()
  readonly #holders = new Map<Address, Holder>()
  readonly #said = new Map<string, string>()
  readonly #promised = new Map<Address, Promised>()
  readonly #released = new Set<Bytes32>()
  /** Places with a certified checkpoint: a replica may go on from there. */
  readonly #checkpoints = new Set<bigint>()
  readonly #executedTo = new Map<Life, bigint>()
  readonly #calls: Call[] = []
  readonly #seenProposals = new WeakSet<object>()
  /** Entry hash and root of every place that an honest node took as committed. */
  readonly entries = new Map<bigint, { entry: Bytes32; root: Bytes32 | undefined }>()

  constructor(options: Options) {
    this.#options = options
  }

  fail(invariant: Invariant, detail: string): void {
    this.#options.failed({ invariant, atMs: this.#options.time.now, detail })
  }

  /** A message left a node. */
  sent(life: Life, message: Sent): void {
    if (message.type === 'placement-proposal' && !this.#seenProposals.has(message)) {
      this.#seenProposals.add(message)
      const placement = Placement.parse(message.placement, 'placement')
      this.#placements.set(placementHash(placement, this.#options.domain, this.#options.keccak), placement)
    }
    // What a liar gives back is given back: nobody has to wait for it.
    if (message.type === 'release') this.#release(life, message.release.placement)
    if (this.#options.byzantine.has(life.node)) return
    if (message.type === 'renew-request') return this.#renewAsked(life, message)
    if (message.type === 'lease') return this.#leaseWon(life, message)
    if (message.type === 'executed') return this.#executed(life, message.executed)
    if (message.type === 'journal-checkpoint') return void this.#checkpoints.add(BigInt(message.certified.checkpoint.n))
    if (life.name.startsWith('anchor')) this.#anchorSaid(life, message)
  }

  /** Something reached the disk of an honest anchor. */
  wrote(name: string, writes: readonly Write[]): void {
    for (const { key, value } of writes) {
      if (!value || !key.startsWith('chain/')) continue
      const { hash } = JSON.parse(decoder.decode(value)) as { hash: Bytes32 }
      this.#committed(name, BigInt(key.slice(key.lastIndexOf('/') + 1)), hash)
    }
  }

  /** A request leaves for the outside system: only under a lease that outlasts it, and never beside another term's. */
  requested(life: Life, { term, timeoutMs }: OutboundRequest): void {
    if (this.#options.byzantine.has(life.node)) return
    const { time, epsilonMs, leaseMs } = this.#options
    const holder = this.#holders.get(life.node)
    const now = wallClock(time, this.#options.skewOf(life.node))
    const covered =
      holder !== undefined &&
      holder.life === life &&
      holder.term === term &&
      holder.notBefore <= now &&
      now + BigInt(epsilonMs + timeoutMs) <= holder.expires &&
      time.now + timeoutMs <= holder.asked + leaseMs
    if (!covered)
      this.fail('INV-ONE-EXECUTOR', `${life.name} acts in term ${term} without a lease that outlasts the call`)
    const rival = this.#calls.find((call) => call.term !== term && (call.until > time.now || call.term > term))
    if (rival)
      this.fail('INV-ONE-EXECUTOR', `requests of terms ${rival.term} and ${term} overlap at the outside system`)
    this.#calls.push({ node: life.node, term, until: time.now + timeoutMs })
  }

  /** Two nodes that both believe to hold the lease at this moment. */
  tick(): void {
    const holding = [...this.#holders.values()].filter((holder) => this.#believes(holder))
    const [first, second] = holding
    if (first && second) {
      const who = `${first.life.name} (term ${first.term}) and ${second.life.name} (term ${second.term})`
      this.fail('INV-ONE-EXECUTOR', `${who} both hold a valid lease`)
    }
  }

  /** What an anchor signed before its crash must be on its disk after it. */
  crashed(life: Life, disk: Disk): void {
    const promised = this.#promised.get(life.node)
    if (!promised) return
    const log = logOn(disk)
    for (const [place, uid] of promised.receipts) {
      const [stream, sequence] = place.split('/') as [Bytes32, string]
      const [kept] = log.places(stream, { after: BigInt(sequence) - 1n, limit: 1 })
      if (kept?.uid !== uid)
        this.fail('INV-COMMIT', `${life.name} signed a receipt for ${place} and lost it in a crash`)
    }
    const row = promised.instance && disk.get(`record/${promised.instance}`)
    const term = row ? BigInt((JSON.parse(decoder.decode(row)) as { term: string }).term) : 0n
    if (term < promised.term) {
      this.fail('INV-COMMIT', `${life.name} signed in term ${promised.term} and knows only ${term} after a crash`)
    }
  }

  #believes({ life, notBefore, expires, asked }: Holder): boolean {
    const { time, epsilonMs, leaseMs, skewOf } = this.#options
    const now = wallClock(time, skewOf(life.node))
    return life.alive && notBefore <= now && now + BigInt(epsilonMs) <= expires && time.now <= asked + leaseMs
  }

  /** From now on the node may not act in this term; its calls have ended, or it would not say so. */
  #release({ node }: Life, placement: Bytes32): void {
    this.#released.add(placement)
    if (this.#holders.get(node)?.placement !== placement) return
    this.#holders.delete(node)
    const { now } = this.#options.time
    for (const call of this.#calls) if (call.node === node && call.until > now) call.until = now
  }

  #renewAsked(life: Life, { renew }: Sent): void {
    const key = `${life.node}/${life.bornAt}/${renew.placement}/${renew.expires}`
    if (!this.#asked.has(key)) this.#asked.set(key, this.#options.time.now)
  }

  #leaseWon(life: Life, { certified }: Sent): void {
    const { placement: hash, expires } = certified.renew
    const placement = this.#placements.get(hash)
    const asked = this.#asked.get(`${life.node}/${life.bornAt}/${hash}/${expires}`)
    if (!placement || asked === undefined || placement.executor !== life.node) return
    if (this.#released.has(hash)) this.fail('INV-ONE-EXECUTOR', `${life.name} takes up a lease that it gave back`)
    const { term, notBefore } = placement
    this.#holders.set(life.node, { life, placement: hash, term, notBefore, expires: BigInt(expires), asked })
    this.tick()
  }

  /** Who gave a lease back holds none, and never again in that term. */
  #executed(life: Life, { n, entry, root }: { n: string; entry: Bytes32; root: Bytes32 }): void {
    const place = BigInt(n)
    this.#committed(life.name, place, entry)
    const before = this.#executedTo.get(life) ?? 0n
    const jumps = this.#checkpoints.has(place) && place > before
    if (place !== before && place !== before + 1n && !jumps) {
      this.fail('INV-ORDER', `${life.name} executed ${place} after ${before}`)
    }
    this.#executedTo.set(life, place)
    const known = this.entries.get(place)!
    if (known.root === undefined) known.root = root
    else if (known.root !== root) this.fail('INV-SAME-STATE', `${life.name} has another root at ${place}`)
  }

  #committed(name: string, n: bigint, entry: Bytes32): void {
    const known = this.entries.get(n)
    if (!known) this.entries.set(n, { entry, root: undefined })
    else if (known.entry !== entry) this.fail('INV-COMMIT', `${name} takes another entry as committed at ${n}`)
  }

  /** A vote for one placement while a lease of another one runs, as this anchor signed it and by its own clock. */
  #leaseSigned(life: Life, { leases }: Promised, placement: Bytes32, expires: bigint): void {
    const now = wallClock(this.#options.time, this.#options.skewOf(life.node))
    for (const [other, until] of leases) {
      if (other === placement || this.#released.has(other)) continue
      if (now - BigInt(this.#options.epsilonMs) <= until) {
        this.fail('INV-ONE-EXECUTOR', `${life.name} votes while a lease runs that it signed`)
      }
    }
    if (!leases.has(placement)) leases.set(placement, expires)
  }

  #anchorSaid(life: Life, message: Sent): void {
    const once = (what: string, value: string) => {
      const key = `${what}/${life.node}`
      const before = this.#said.get(key)
      if (before === undefined) this.#said.set(key, value)
      else if (before !== value) this.fail('INV-COMMIT', `${life.name} signed two different things: ${what}`)
    }
    const promised = this.#promised.get(life.node) ?? nothingPromised()
    this.#promised.set(life.node, promised)
    const signed = (instance: Bytes32, term: bigint) => {
      promised.instance = instance
      if (term < promised.term) this.fail('INV-COMMIT', `${life.name} signed in term ${term} after ${promised.term}`)
      promised.term = term
    }
    if (message.type === 'accepted') {
      once(`accept of term ${message.place.term} n ${message.place.n}`, message.place.entry)
      signed(message.place.instance, BigInt(message.place.term))
    } else if (message.type === 'held') signed(message.place.instance, BigInt(message.place.term))
    else if (message.type === 'report') signed(message.signed.report.instance, BigInt(message.signed.report.term))
    else if (message.type === 'vote') {
      const placement = this.#placements.get(message.placement)
      if (!placement) return
      once(`vote of term ${placement.term}`, message.placement)
      signed(message.instance, placement.term)
      this.#leaseSigned(life, promised, message.placement, placement.expires)
    } else if (message.type === 'renewed') {
      promised.leases.set(message.renew.placement, BigInt(message.renew.expires))
    } else if (message.type === 'receipt') {
      const { stream, sequence, uid } = message.receipt
      const place = `${stream}/${String(sequence).padStart(20, '0')}`
      once(`receipt ${place}`, uid)
      promised.receipts.set(place, uid)
    }
  }
}

function nothingPromised(): Promised {
  return { term: 0n, instance: undefined, receipts: new Map(), leases: new Map() }
}
