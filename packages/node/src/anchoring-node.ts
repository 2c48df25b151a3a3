/** An anchoring node: home of streams and journals, voter and proposer of elections, checker of grants. */
import {
  type Address,
  type AttestedGrant,
  type Bytes32,
  type CertifiedReceipt,
  formatTokenRef,
  isSmartLayerError,
  type PlacementInfo,
  type PublishRequest,
  parseTokenRef,
  type SignedGrantCheck,
  SmartLayerError,
  type StreamItem,
} from '@smartlayer/protocol'
import { GrantService } from './access/grant-service.ts'
import type { LoadedToken, NodeContext } from './context.ts'
import { HandOver } from './directory/hand-over.ts'
import { InstanceIndex } from './directory/instance-index.ts'
import { Lookup, type Placed } from './directory/lookup.ts'
import { QuorumDoor } from './directory/quorum-door.ts'
import { Standings } from './directory/standings.ts'
import { Dormitory } from './dormancy/dormitory.ts'
import { WakeCalls } from './dormancy/wake-calls.ts'
import { ElectionService } from './election/election-service.ts'
import { ProposerService } from './election/proposer-service.ts'
import { RecordBook } from './election/record-book.ts'
import { RootBoard } from './execution/root-board.ts'
import { HealthService } from './health/health-service.ts'
import { EntryStore } from './journal/entry-store.ts'
import { JournalService } from './journal/journal-service.ts'
import { LifecycleService } from './lifecycle/lifecycle-service.ts'
import type { Http } from './ports/http.ts'
import type { Ports } from './ports/ports.ts'
import { StreamService } from './stream/stream-service.ts'
import { PostOffice } from './wire/post-office.ts'
import { type EndOfTurn, TurnSigner } from './wire/turn-signer.ts'

/** How long a caller waits for a placement that is being made. */
const PLACEMENT_WAIT_MS = 2_000

export type AnchoringNodeOptions = {
  readonly endOfTurn: EndOfTurn
  /** How service nodes are probed as clients ask; without it they are probed over the overlay alone. */
  readonly http?: Http | undefined
}

export class AnchoringNode {
  readonly streams: StreamService
  readonly journals: JournalService
  readonly roots: RootBoard
  readonly book: RecordBook
  readonly health: HealthService
  readonly lifecycle: LifecycleService
  readonly #ports: Ports
  readonly #context: NodeContext
  readonly #post: PostOffice
  readonly #proposer: ProposerService
  readonly #grants: GrantService
  readonly #index: InstanceIndex
  readonly #handOver: HandOver
  readonly #dormitory: Dormitory
  readonly #lookup: Lookup
  readonly #door: QuorumDoor
  readonly #active = new Map<string, LoadedToken>()

  constructor(ports: Ports, context: NodeContext, { endOfTurn, http }: AnchoringNodeOptions) {
    this.#ports = ports
    this.#context = context
    this.#post = new PostOffice(ports)
    this.#index = new InstanceIndex(ports, ports.identity.crypto.keccak)
    const standings = new Standings(ports, context)
    this.book = new RecordBook(ports, context, (instance) => {
      const token = this.#index.tokenOf(instance)
      return token && standings.epochFor(token)
    })
    const door = new QuorumDoor(ports, context)
    const parts = { post: this.#post, book: this.book, door, signer: new TurnSigner(ports, endOfTurn) }
    const election = new ElectionService(ports, context, parts)
    this.health = new HealthService(ports, context, {
      post: this.#post,
      book: this.book,
      home: (instance) => door.home({ token: this.#index.tokenOf(instance) ?? instance }),
      tokens: () => this.active,
      http,
    })
    election.mayRenew = (instance, executor) => this.health.mayRenew(instance, executor)
    this.#proposer = new ProposerService(ports, context, { ...parts, election, health: this.health })
    this.streams = new StreamService(ports, context, { post: this.#post, standings })
    this.#handOver = new HandOver(ports, context, {
      ...parts,
      index: this.#index,
      standings,
      streams: this.streams,
      taken: (tokens) => void this.#takeUp(tokens),
    })
    const entries = new EntryStore(ports.store)
    this.journals = new JournalService(ports, context, { ...parts, entries, streams: this.streams })
    this.#dormitory = new Dormitory(ports, context, {
      post: this.#post,
      book: this.book,
      index: this.#index,
      entries,
      calls: new WakeCalls(ports, context, { post: this.#post, streams: this.streams }),
      fellAsleep: (instance) => this.#letSleep(instance),
      lacks: (instance, token) => this.#fetch(instance, token),
    })
    this.#lookup = new Lookup(ports, context, { post: this.#post, door })
    this.#door = door
    election.placed = (record) => this.journals.catchUp(record)
    this.lifecycle = new LifecycleService(ports, context, {
      ...parts,
      journals: this.journals,
      activate: (text) => this.#activate(text),
      keep: (text) => this.#keep(text),
    })
    this.roots = new RootBoard(this.#post)
    this.#grants = new GrantService(ports, context)
    this.#post.on('activate', (_, { token }) => {
      this.#activate(token).catch((error) => this.#failed(token, error))
    })
    this.#post.on('placement-request', (from, { token }) => {
      this.#tellPlacement(from, token).catch((error) => this.#failed(token, error))
    })
    this.#post.on('place-request', (from, { token }) => void this.#tellPlace(from, token))
    this.#post.on('refused', (from, { instance, about, code, facts }) => {
      if (about === 'publish') this.streams.refused(from, instance, { code, facts: parseFacts(facts) })
    })
  }

  /** Takes up again every instance that was active. */
  async start(): Promise<void> {
    this.streams.start()
    await this.#takeUp(this.#index.awake)
  }

  stop(): void {
    this.#handOver.stop()
    this.#dormitory.stop()
    this.#proposer.stop()
    this.health.stop()
    this.streams.stop()
  }

  /** Instances that sleep here. */
  get sleeping(): number {
    return this.#dormitory.size
  }

  get active(): readonly LoadedToken[] {
    return [...this.#active.values()]
  }

  /** Takes consecutive entries of an issuer to the home anchors of their stream. Throws as `StreamService.publish`. */
  publish(items: readonly StreamItem[], domain?: PublishRequest['domain']): Promise<CertifiedReceipt> {
    return this.streams.publish(items, domain)
  }

  /**
   * Where a token lives; one that is not active is activated, one that sleeps is woken, and its placement waited for a moment. Throws
   * `placement.none` while an executor is elected.
   */
  async placement(text: string): Promise<PlacementInfo> {
    const token = formatTokenRef(parseTokenRef(text))
    const loaded = await this.#activate(token)
    const placed = this.#isHome(loaded) ? await this.#placed(loaded) : await this.#lookup.find(loaded)
    if (!placed) throw SmartLayerError.of('placement.none', { token })
    return { token, instance: loaded.instance, scriptHash: loaded.rules.scriptHash, ...placed }
  }

  /** The placement in force. One that was never made, or was given back, is made anew; that takes a moment. */
  async #placed(loaded: LoadedToken): Promise<Placed | undefined> {
    const known = () => this.journals.placement(loaded.instance)
    if (!this.#isMissing(loaded)) return known()
    const before = this.#termOf(loaded)
    const { anchors } = this.#door.home(loaded)
    this.#post.sendAll(anchors, { type: 'activate', token: formatTokenRef(loaded.ref) })
    await this.#changed(loaded.instance, () => this.#termOf(loaded) > before)
    return known()
  }

  #termOf({ instance }: LoadedToken): bigint {
    return this.book.get(instance).placement?.placement.term ?? 0n
  }

  #isMissing({ instance }: LoadedToken): boolean {
    const { placement, leases } = this.book.get(instance)
    return !placement || leases.some((lease) => lease.placement === placement.hash && lease.released)
  }

  /** Resolves once the record of an instance changed as wanted, or after a while. */
  #changed(instance: Bytes32, isDone: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        unwatch()
        cancel()
        resolve()
      }
      const unwatch = this.book.watch(instance, () => isDone() && end())
      const cancel = this.#ports.clock.after(PLACEMENT_WAIT_MS, end)
    })
  }

  async #tellPlacement(to: Address, text: string): Promise<void> {
    const loaded = await this.#activate(text)
    const placed = this.#isHome(loaded) ? await this.#placed(loaded) : undefined
    if (placed) this.#post.send(to, { type: 'placement-found', token: formatTokenRef(loaded.ref), ...placed })
  }

  /** A service node asks for another token on behalf of one that it holds: that activates it as any question does. */
  async #tellPlace(to: Address, token: string): Promise<void> {
    try {
      this.#post.send(to, { type: 'place-answer', token, info: await this.placement(token), code: '' })
    } catch (error) {
      const code = isSmartLayerError(error) ? error.code : 'bug.unexpected'
      this.#post.send(to, { type: 'place-answer', token, info: undefined, code })
    }
  }

  async checkGrant(token: string, grant: AttestedGrant): Promise<SignedGrantCheck> {
    return this.#grants.check(parseTokenRef(token), grant)
  }

  async #takeUp(tokens: readonly string[]): Promise<void> {
    await Promise.all(tokens.map((token) => this.#activate(token).catch((error) => this.#failed(token, error))))
  }

  async #activate(text: string): Promise<LoadedToken> {
    const ref = parseTokenRef(text)
    const token = formatTokenRef(ref)
    const known = this.#active.get(token)
    if (known) return known
    const loaded = await this.#keep(token)
    if (!this.#isHome(loaded)) return loaded
    if (this.#index.isAsleep(loaded.instance)) await this.#dormitory.wake(loaded.instance)
    this.#active.set(token, loaded)
    this.#proposer.watch(loaded)
    return loaded
  }

  /** Its records are kept here from now on, if this anchor is home of it; nobody is elected for it yet. */
  async #keep(text: string): Promise<LoadedToken> {
    const ref = parseTokenRef(text)
    const loaded = await this.#context.tokens.load(ref)
    if (this.#isHome(loaded)) await this.#index.add(loaded.instance, formatTokenRef(ref))
    return loaded
  }

  #isHome(loaded: LoadedToken): boolean {
    return this.#door.home(loaded).anchors.includes(this.#post.self)
  }

  #letSleep(instance: Bytes32): void {
    this.#proposer.unwatch(instance)
    const token = this.#index.textOf(instance)
    if (token) this.#active.delete(token)
  }

  /** A sleeper whose checkpoint is not here is fetched from whoever handed it over. */
  #fetch(instance: Bytes32, token: string): void {
    this.#context.tokens.load(parseTokenRef(token)).then(
      () => this.journals.fetch(instance),
      (error) => this.#failed(token, error),
    )
  }

  #failed(token: string, error: unknown): void {
    const code = isSmartLayerError(error) ? error.code : 'bug.unexpected'
    this.#ports.telemetry.log('warn', 'instance.not_activated', { token, code, error })
  }
}

function parseFacts(text: string): Record<string, unknown> {
  try {
    const facts: unknown = JSON.parse(text)
    return typeof facts === 'object' && facts !== null ? (facts as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
