/** Instances that sleep at this home anchor: put to sleep by their executor at a checkpoint, woken by queries, facts and messages. */
import {
  type Address,
  type Bytes32,
  cursorKey,
  parseTokenRef,
  stateOf,
  streamOf,
  subsetOf,
  type TokenRules,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { InstanceIndex } from '../directory/instance-index.ts'
import type { RecordBook } from '../election/record-book.ts'
import type { EntryStore } from '../journal/entry-store.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { WakeCall, WakeCalls } from './wake-calls.ts'

/** What wakes sleepers is told again this often: whoever had to remember it may have been started anew. */
const TELL_AGAIN_MS = 10 * 60_000
/** Sleepers whose calls are told at a time. */
const TOLD_AT_ONCE = 256
const TURN_MS = 1_000
/** What a sleeper lacks here is asked for again after this time. */
const FETCH_AGAIN_MS = 2_000

type ServicePorts = Pick<Ports, 'clock' | 'identity' | 'telemetry'>
type Parts = {
  readonly post: PostOffice
  readonly book: RecordBook
  readonly index: InstanceIndex
  readonly entries: EntryStore
  readonly calls: WakeCalls
  /** It is not to be kept placed any more. */
  readonly fellAsleep: (instance: Bytes32) => void
  /** Its checkpoint is not here, or its script is not loaded. */
  readonly lacks: (instance: Bytes32, token: string) => void
}

export class Dormitory {
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #parts: Parts
  /** When the calls of each sleeper were told last. */
  readonly #toldAt = new Map<Bytes32, number>()
  #timer: Cancel

  constructor(ports: ServicePorts, context: NodeContext, parts: Parts) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
    parts.post.on('sleep', (from, message) => this.#sleep(from, message))
    for (const instance of parts.index.sleepers) this.#toldAt.set(instance, Number.NEGATIVE_INFINITY)
    this.#timer = ports.clock.after(TURN_MS, () => this.#tick())
  }

  /** How many sleep here. */
  get size(): number {
    return this.#toldAt.size
  }

  /** It sleeps no more, durably. */
  async wake(instance: Bytes32): Promise<void> {
    this.#toldAt.delete(instance)
    await this.#parts.index.setAsleep(instance, false)
    this.#ports.telemetry.log('info', 'instance.woken', { instance })
  }

  stop(): void {
    this.#timer()
  }

  /** The executor gave its lease back at a checkpoint behind which there is nothing: whoever holds that checkpoint can wake it. */
  #sleep(from: Address, { instance, placement, n }: { instance: Bytes32; placement: Bytes32; n: bigint }): void {
    const { book, entries, index, fellAsleep } = this.#parts
    if (index.tokenOf(instance) === undefined || index.isAsleep(instance)) return
    book.change(instance, (record) => {
      const known = record.placement
      const isGivenBack = record.leases.some((lease) => lease.placement === placement && lease.released)
      const isItsExecutor = known?.hash === placement && known.placement.executor === from && isGivenBack
      const isWhole =
        record.committed.n === n &&
        (record.certified?.head.n ?? 0n) <= n &&
        entries.checkpoint(instance)?.certified.checkpoint.n === n
      if (!isItsExecutor || !isWhole) return undefined
      void index.setAsleep(instance, true).then(
        () => {
          this.#toldAt.set(instance, Number.NEGATIVE_INFINITY)
          fellAsleep(instance)
          this.#tellOf([instance])
          this.#ports.telemetry.log('info', 'instance.sleeps', { instance, n })
        },
        (error) => this.#ports.telemetry.log('warn', 'instance.not_asleep', { instance, error }),
      )
      return undefined
    })
  }

  #tick(): void {
    const due = this.#ports.clock.monotonic() - TELL_AGAIN_MS
    const sleepers: Bytes32[] = []
    for (const [instance, at] of this.#toldAt) {
      if (at < due) sleepers.push(instance)
      if (sleepers.length >= TOLD_AT_ONCE) break
    }
    this.#tellOf(sleepers)
    this.#timer = this.#ports.clock.after(TURN_MS, () => this.#tick())
  }

  #tellOf(sleepers: readonly Bytes32[]): void {
    const now = this.#ports.clock.monotonic()
    for (const instance of sleepers) this.#toldAt.set(instance, now)
    this.#parts.calls.tell(sleepers.flatMap((instance) => this.#callsOf(instance)))
  }

  /** What the sleeper follows, from where it stands, as its checkpoint says. Its script may not be loaded yet: then later. */
  #callsOf(instance: Bytes32): readonly WakeCall[] {
    const kept = this.#parts.entries.checkpoint(instance)
    const token = this.#parts.index.textOf(instance)
    const type = token && this.#context.tokens.byContract(parseTokenRef(token).contract)
    if (!token) return []
    if (!kept || !type) {
      this.#toldAt.set(instance, this.#ports.clock.monotonic() - TELL_AGAIN_MS + FETCH_AGAIN_MS)
      this.#parts.lacks(instance, token)
      return []
    }
    const { keccak } = this.#ports.identity.crypto
    const state = stateOf(kept.snapshot)
    const rules: Pick<TokenRules, 'inputs' | 'tokenType'> = type.rules
    return state.topics.flatMap((topic) => {
      const rule = rules.inputs[topic.input]
      if (!rule) return []
      const stream = streamOf(rule.issuer, rules.tokenType, rule.lane, keccak)
      const subset = subsetOf(topic.subset, keccak)
      return [{ stream, subset, after: BigInt(state.cursors[cursorKey(stream, subset)]?.sequence ?? 0), token }]
    })
  }
}
