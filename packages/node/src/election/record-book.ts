/** The records of all instances at one home anchor: decided serially per instance, durable before anything leaves. */
import {
  type AnchorContext,
  type AnchorRecord,
  type Bytes32,
  clockIsSane,
  emptyRecord,
  SmartLayerError,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'
import type { Write } from '../ports/store.ts'
import { Serial } from '../serial.ts'
import { decodeJson, decodeRecord, encodeJson, encodeRecord } from './record-store.ts'

/** Events that may wait for one instance. */
const QUEUE_LIMIT = 1024
const CLOCK_KEY = 'clock'
const RECORD_PREFIX = 'record/'
const INSTANCE_LIMIT = 100_000

/** What a decision asks for: the new record, what else to write with it, and what to do once all of it is durable. */
export type Change = {
  readonly record: AnchorRecord
  readonly writes?: readonly Write[]
  readonly perform?: () => void
}

export type Decide = (record: AnchorRecord, context: AnchorContext) => Change | undefined

export class RecordBook {
  readonly #ports: Pick<Ports, 'store' | 'clock' | 'identity' | 'telemetry'>
  readonly #context: NodeContext
  readonly #records = new Map<Bytes32, AnchorRecord>()
  readonly #watchers = new Map<Bytes32, Set<() => void>>()
  readonly #serial: Serial
  readonly #epochOf: (instance: Bytes32) => bigint | undefined
  readonly #startedAt: number
  readonly #restarted: boolean
  #highWater: bigint

  /** `epochOf` says in which home epoch this anchor stands for an instance. */
  constructor(
    ports: Pick<Ports, 'store' | 'clock' | 'identity' | 'telemetry'>,
    context: NodeContext,
    epochOf: (instance: Bytes32) => bigint | undefined,
  ) {
    this.#ports = ports
    this.#context = context
    this.#epochOf = epochOf
    this.#serial = new Serial(QUEUE_LIMIT, (error) => {
      ports.telemetry.log('error', 'record.change_failed', { error })
    })
    const mark = ports.store.get(CLOCK_KEY)
    this.#highWater = mark ? BigInt((decodeJson(mark) as { highWater: string }).highWater) : 0n
    for (const [, value] of ports.store.range({
      from: RECORD_PREFIX,
      to: `${RECORD_PREFIX}~`,
      limit: INSTANCE_LIMIT,
    })) {
      const record = decodeRecord(value)
      this.#records.set(record.instance, record)
    }
    this.#startedAt = ports.clock.monotonic()
    this.#restarted = this.#records.size > 0
  }

  get instances(): readonly Bytes32[] {
    return [...this.#records.keys()]
  }

  get(instance: Bytes32): AnchorRecord {
    return this.#records.get(instance) ?? emptyRecord(instance)
  }

  /** The rules' view of now. Throws `election.clock` when the clock stands below what it showed before. */
  anchorContext(instance: Bytes32): AnchorContext {
    const { clock, identity } = this.#ports
    const { leaseMs, epsilonMs } = this.#context.parameters
    const now = clock.now()
    if (!clockIsSane(now, this.#highWater))
      throw SmartLayerError.of('election.clock', { now, highest: this.#highWater })
    return {
      self: identity.signer.address,
      epoch: this.#epochOf(instance),
      now,
      settled: !this.#restarted || this.isClockSet,
      leaseMs: BigInt(leaseMs),
      epsilonMs: BigInt(epsilonMs),
    }
  }

  /** Calls after each change of the record, until the returned function is called. */
  watch(instance: Bytes32, run: () => void): () => void {
    const watchers = this.#watchers.get(instance) ?? new Set()
    this.#watchers.set(instance, watchers.add(run))
    return () => {
      watchers.delete(run)
      if (watchers.size === 0) this.#watchers.delete(instance)
    }
  }

  /** One longest lease + 2ε after the start the wall clock counts as set: before, it may be ahead (docs/spec/election.md). */
  get isClockSet(): boolean {
    const { leaseMs, epsilonMs } = this.#context.parameters
    return this.#ports.clock.monotonic() > this.#startedAt + leaseMs + 2 * epsilonMs
  }

  /** The record once every change that was begun before has ended: what it says then covers all that was signed. */
  settled(instance: Bytes32): Promise<AnchorRecord> {
    return new Promise((resolve) => this.#serial.run(instance, () => resolve(this.get(instance))))
  }

  /** Runs `decide` on the present record, alone for this instance; its change is on disk before `perform` runs. */
  change(instance: Bytes32, decide: Decide): void {
    this.#serial.run(instance, () => this.#apply(instance, decide))
  }

  /** As `change`; resolves once the change is on disk, and rejects when it is not. */
  changed(instance: Bytes32, decide: Decide): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#serial.run(instance, () => this.#apply(instance, decide).then(resolve, reject)),
    )
  }

  async #apply(instance: Bytes32, decide: Decide): Promise<void> {
    const context = this.anchorContext(instance)
    const change = decide(this.get(instance), context)
    if (!change) return
    const writes = change.writes ?? []
    if (change.record !== this.#records.get(instance)) {
      await this.#ports.store.commit([
        ...writes,
        { key: RECORD_PREFIX + instance, value: encodeRecord(change.record) },
        { key: CLOCK_KEY, value: encodeJson({ highWater: String(context.now) }) },
      ])
      if (context.now > this.#highWater) this.#highWater = context.now
      this.#records.set(instance, change.record)
      for (const run of this.#watchers.get(instance) ?? []) run()
    } else if (writes.length > 0) await this.#ports.store.commit(writes)
    change.perform?.()
  }
}
