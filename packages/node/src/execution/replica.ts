/** One replica of an instance: it executes committed entries in order, signs its roots, and serves only what a majority computed. */
import {
  type Address,
  accepted,
  applyEntry,
  type Bytes32,
  type CertifiedJournalCheckpoint,
  type CheckedInput,
  type CommitProof,
  checkInput,
  cursorsOf,
  digestOf,
  type Entry,
  Executed,
  enterIncarnation,
  entryCarries,
  entryHash,
  GENESIS,
  genesisState,
  type Head,
  type Hex,
  handlerCall,
  headOfCheckpoint,
  type InstanceState,
  type JournalCheckpoint,
  type JournaledEntry,
  type KeptCheckpoint,
  keptCheckpointShape,
  recoverShared,
  snapshotOf,
  snapshotRoot,
  stateOf,
  stateRoot,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { QuorumDoor } from '../directory/quorum-door.ts'
import { decodeJson, encodeJson } from '../election/record-store.ts'
import type { Ports } from '../ports/ports.ts'
import { Serial } from '../serial.ts'
import type { TurnSigner } from '../wire/turn-signer.ts'
import { callHandler } from './script-calls.ts'

/** How far behind the last executed entry others may wait; what is further is fetched again later. */
const WAITING_LIMIT = 256
const ROOTS_KEPT = 64

/** A replica's signed root. */
export type SignedExecuted = { readonly executed: Executed; readonly signature: Hex }

/** A position that a majority of the replicas computed alike: answers may leave on it. */
export type Confirmed = {
  readonly state: InstanceState
  /** Time of the entry that led there. */
  readonly time: bigint
  readonly root: Bytes32
  readonly roots: readonly SignedExecuted[]
}

export type ReplicaEvents = {
  /** An entry was executed here. */
  executed(entry: Entry, signed: SignedExecuted): void
  /** A majority agrees on a position that this replica computed too. */
  confirmed(n: bigint): void
  /** This replica or another one computed something else: nothing leaves until it is settled. */
  disputed(n: bigint, mine: Bytes32, theirs: Bytes32): void
  /** Entries before `n` are missing. */
  missing(from: bigint): void
}

type Parts = { readonly door: QuorumDoor; readonly signer: TurnSigner; readonly events: ReplicaEvents }
type ServicePorts = Pick<Ports, 'sandbox' | 'identity' | 'telemetry' | 'store'>

export class Replica {
  readonly token: LoadedToken
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #door: QuorumDoor
  readonly #signer: TurnSigner
  readonly #events: ReplicaEvents
  readonly #serial: Serial
  readonly #waiting = new Map<bigint, { journaled: JournaledEntry; hash: Bytes32 }>()
  readonly #roots = new Map<bigint, Map<Address, SignedExecuted>>()
  readonly #states = new Map<bigint, { state: InstanceState; root: Bytes32; head: Head; time: bigint }>()
  #replicas: readonly Address[] = []
  #state: InstanceState | undefined
  #head: Head = GENESIS
  #time = 0n
  #confirmed: Confirmed | undefined
  #disputed = ''
  #checkpoint: JournalCheckpoint | undefined
  #incarnation = 0n

  constructor(ports: ServicePorts, context: NodeContext, token: LoadedToken, { door, signer, events }: Parts) {
    this.#ports = ports
    this.#door = door
    this.#signer = signer
    this.#context = context
    this.token = token
    this.#events = events
    this.#serial = new Serial(WAITING_LIMIT, (error) => {
      ports.telemetry.log('error', 'replica.failed', { instance: token.instance, error })
    })
  }

  /** Goes on from the state that this node kept, or computes the one before the first entry. */
  async start(): Promise<void> {
    const kept = this.#kept()
    if (kept) return this.#goOnFrom(kept)
    const { ref, instance } = this.token
    const attributes = { chainId: String(ref.chainId), contract: ref.contract, tokenId: String(ref.tokenId) }
    const call = { method: 'init', input: { attributes, instance, time: 0 } } as const
    const made = await callHandler(this.#ports.sandbox, this.token, call)
    const genesis = genesisState(instance, 0n)
    this.#state =
      'refused' in made ? { ...genesis, refused: made.refused } : { ...genesis, data: made.data, topics: made.topics }
  }

  /** The newest checkpoint that this replica knows. */
  get checkpoint(): JournalCheckpoint | undefined {
    return this.#checkpoint
  }

  /** 2f + 1 home anchors vouch for a state that was computed here too: it is kept, so that a restart goes on from there. */
  keep(certified: CertifiedJournalCheckpoint): void {
    const { n, root } = certified.checkpoint
    const mine = this.#states.get(n)
    if (mine?.root !== root || n <= (this.#checkpoint?.n ?? 0n)) return
    if (!accepted(this.#door.checkpoint(this.token, certified))) return
    this.#write({ certified, snapshot: snapshotOf(mine.state), certificate: undefined })
  }

  /** Takes over the state of a checkpoint that is further than this replica. True when it did. */
  async install(kept: KeptCheckpoint): Promise<boolean> {
    const { n, root, incarnation } = kept.certified.checkpoint
    const isRoot = snapshotRoot(kept.snapshot, this.#ports.identity.crypto.keccak) === root
    if (!isRoot || !accepted(this.#door.checkpoint(this.token, kept.certified))) return false
    return new Promise((resolve) => {
      this.#serial.run('execute', async () => {
        const isLater = incarnation > this.#incarnation
        const isFurther = isLater || (incarnation === this.#incarnation && n > this.#head.n)
        if (isLater) this.#forget()
        if (isFurther) {
          await this.#goOnFrom(kept)
          this.#write(kept)
        }
        resolve(isFurther)
      })
    })
  }

  /** What was executed in an incarnation before counts no more, and whatever was disputed in it. */
  #forget(): void {
    this.#waiting.clear()
    this.#roots.clear()
    this.#states.clear()
    this.#confirmed = undefined
    this.#disputed = ''
  }

  async #goOnFrom({ certified, snapshot }: KeptCheckpoint): Promise<void> {
    const { n, time, root, incarnation } = certified.checkpoint
    this.#state = stateOf(snapshot)
    this.#incarnation = incarnation
    this.#head = headOfCheckpoint(certified.checkpoint)
    this.#time = time
    this.#checkpoint = certified.checkpoint
    this.#states.set(n, { state: this.#state, root, head: this.#head, time })
    for (const waiting of this.#waiting.keys()) if (waiting <= n) this.#waiting.delete(waiting)
    this.#note(this.#ports.identity.signer.address, await this.#signed(this.#head, root))
    this.#drain()
  }

  #kept(): KeptCheckpoint | undefined {
    const value = this.#ports.store.get(stateKey(this.token.instance))
    return value && keptCheckpointShape.parse(decodeJson(value), 'state')
  }

  /** What is lost with a crash is fetched again. */
  #write(kept: KeptCheckpoint): void {
    this.#checkpoint = kept.certified.checkpoint
    const write = { key: stateKey(this.token.instance), value: encodeJson(keptCheckpointShape.toJson(kept)) }
    this.#ports.store
      .commit([write])
      .catch((error) => this.#ports.telemetry.log('warn', 'replica.not_kept', { instance: this.token.instance, error }))
  }

  /** The incarnation whose journal is executed here. */
  get incarnation(): bigint {
    return this.#incarnation
  }

  /** The last entry that was executed here. */
  get head(): Head {
    return this.#head
  }

  get time(): bigint {
    return this.#time
  }

  get state(): InstanceState | undefined {
    return this.#state
  }

  get confirmed(): Confirmed | undefined {
    return this.#disputed ? undefined : this.#confirmed
  }

  /** What was computed after entry `n`, as long as it is remembered. */
  placeAt(n: bigint): { readonly state: InstanceState; readonly head: Head } | undefined {
    return this.#states.get(n)
  }

  /** Our root at the last entry that was executed, for replicas that joined or lost it. */
  get lastRoot(): SignedExecuted | undefined {
    return this.#roots.get(this.#head.n)?.get(this.#ports.identity.signer.address)
  }

  get disputed(): string {
    return this.#disputed
  }

  /** Who executes beside us from now on. */
  join(replicas: readonly Address[]): void {
    this.#replicas = replicas
    for (const n of this.#roots.keys()) this.#settle(n)
  }

  /** Takes committed entries; `proof` commits one of them, and with it all that it extends. */
  take(entries: readonly JournaledEntry[], proof: CommitProof): void {
    const { crypto } = this.#ports.identity
    if (proof.entry.instance !== this.token.instance) return
    if (proof.entry.incarnation > this.#incarnation) return this.#events.missing(1n)
    if (proof.entry.incarnation < this.#incarnation || proof.entry.n <= this.#head.n) return
    const checked = this.#door.commit(this.token, proof)
    if (!accepted(checked)) return
    const offered = new Map(entries.map((e) => [entryHash(e.entry, this.#context.domain, crypto.keccak), e]))
    for (let hash = checked.value.hash; ; ) {
      const journaled = offered.get(hash)
      if (!journaled || journaled.entry.n <= this.#head.n) break
      if (this.mayTake(journaled.entry.n)) this.#waiting.set(journaled.entry.n, { journaled, hash })
      hash = journaled.entry.previous
    }
    this.#drain()
  }

  /** True for places that are not executed yet and near enough to wait. */
  mayTake(n: bigint): boolean {
    return n > this.#head.n && n <= this.#head.n + BigInt(WAITING_LIMIT)
  }

  /** Counts another replica's root. */
  count(from: Address, { executed, signature }: SignedExecuted): void {
    const { crypto } = this.#ports.identity
    if (executed.n + BigInt(ROOTS_KEPT) < this.#head.n || executed.n > this.#head.n + BigInt(ROOTS_KEPT)) return
    const digest = digestOf(Executed, executed, this.#context.domain, crypto.keccak)
    if (recoverShared(digest, signature, crypto) !== from) return
    this.#note(from, { executed, signature })
  }

  #drain(): void {
    if (this.#waiting.size === 0) return
    if (!this.#waiting.has(this.#head.n + 1n)) {
      const lowest = [...this.#waiting.keys()].reduce((low, n) => (n < low ? n : low))
      if (lowest > this.#head.n + 1n) this.#events.missing(this.#head.n + 1n)
    }
    this.#serial.run('execute', async () => {
      while (this.#state) {
        const next = this.#waiting.get(this.#head.n + 1n)
        if (!next) break
        // It may come once more while it is executed, so it is forgotten only afterwards.
        await this.#execute(next.journaled, next.hash, this.#state)
        this.#waiting.delete(next.journaled.entry.n)
      }
    })
  }

  async #execute({ entry, input }: JournaledEntry, hash: Bytes32, restored: InstanceState): Promise<void> {
    const { keccak } = this.#ports.identity.crypto
    const { rules } = this.token
    const before = enterIncarnation(restored, entry, this.#head)
    const checked = this.#check({ entry, input, before })
    const step = checked && { entry, input, checked }
    const call = step && handlerCall(before, step, { rules, keccak })
    const result = call && (await callHandler(this.#ports.sandbox, this.token, call))
    const after = step
      ? applyEntry(before, step, result, { rules, keccak })
      : { ...before, n: String(entry.n), refused: 'journal.input' }
    const root = stateRoot(after, keccak)
    this.#state = after
    this.#head = { term: entry.term, n: entry.n, hash }
    this.#time = entry.time
    this.#states.set(entry.n, { state: after, root, head: this.#head, time: entry.time })
    this.#states.delete(entry.n - BigInt(ROOTS_KEPT))
    this.#roots.delete(entry.n - BigInt(ROOTS_KEPT))
    const signed = await this.#signed(this.#head, root)
    this.#events.executed(entry, signed)
    this.#note(this.#ports.identity.signer.address, signed)
  }

  async #signed({ n, hash }: Head, root: Bytes32): Promise<SignedExecuted> {
    const executed: Executed = { instance: this.token.instance, n, entry: hash, root }
    const digest = digestOf(Executed, executed, this.#context.domain, this.#ports.identity.crypto.keccak)
    return { executed, signature: await this.#signer.sign(digest) }
  }

  #check({
    entry,
    input,
    before,
  }: {
    entry: Entry
    input: JournaledEntry['input']
    before: InstanceState
  }): CheckedInput | undefined {
    const executor = input.kind === 'attempt' || input.kind === 'outcome' ? input.attestation.attester : signerless
    const checked = checkInput(input, {
      networkId: this.#context.networkId,
      domain: this.#context.domain,
      easDomain: this.#context.easDomain,
      crypto: this.#ports.identity.crypto,
      rules: this.token.rules,
      instance: this.token.instance,
      cursors: cursorsOf(before),
      executor,
      anchors: undefined,
      time: entry.time,
    })
    if (accepted(checked) && entryCarries(entry, checked.value) && !this.token.checkBody(input)) return checked.value
    this.#ports.telemetry.log('warn', 'replica.bad_input', { instance: this.token.instance, n: entry.n })
    return undefined
  }

  #note(node: Address, signed: SignedExecuted): void {
    const { n } = signed.executed
    const roots = this.#roots.get(n) ?? new Map<Address, SignedExecuted>()
    this.#roots.set(n, roots.set(node, signed))
    this.#settle(n)
  }

  /** Confirms a position, or sees that this replica stands alone. */
  #settle(n: bigint): void {
    const mine = this.#states.get(n)
    const roots = this.#roots.get(n)
    if (!mine || !roots) return
    const counted = [...roots].filter(([node]) => this.#replicas.includes(node)).map(([, signed]) => signed)
    const same = counted.filter(({ executed }) => executed.root === mine.root)
    const other = counted.find(({ executed }) => executed.root !== mine.root)
    const majority = Math.floor(this.#replicas.length / 2) + 1
    if (other) this.#events.disputed(n, mine.root, other.executed.root)
    if (counted.length - same.length >= majority) this.#disputed = `at ${n} a majority has another root`
    if (same.length < majority || BigInt(this.#confirmed?.state.n ?? -1) >= n) return
    this.#confirmed = { state: mine.state, time: mine.time, root: mine.root, roots: same }
    this.#events.confirmed(n)
  }
}

/** Inputs other than reports carry signers of their own; no executor stands behind them. */
const signerless: Address = `0x${'00'.repeat(20)}`

function stateKey(instance: Bytes32): string {
  return `state/${instance}`
}
