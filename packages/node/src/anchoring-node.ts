/** An anchoring node: home of streams and journals, voter and proposer of elections, checker of grants. */
import {
  type Address,
  type AttestedGrant,
  anchorsOf,
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
import { QuorumDoor } from './directory/quorum-door.ts'
import { Standings } from './directory/standings.ts'
import { ElectionService } from './election/election-service.ts'
import { ProposerService } from './election/proposer-service.ts'
import { RecordBook } from './election/record-book.ts'
import { RootBoard } from './execution/root-board.ts'
import { HealthService } from './health/health-service.ts'
import { JournalService } from './journal/journal-service.ts'
import type { Http } from './ports/http.ts'
import type { Ports } from './ports/ports.ts'
import { StreamService } from './stream/stream-service.ts'
import { PostOffice } from './wire/post-office.ts'

export type AnchoringNodeOptions = {
  /** How service nodes are probed as clients ask; without it they are probed over the overlay alone. */
  readonly http?: Http | undefined
}

export class AnchoringNode {
  readonly streams: StreamService
  readonly journals: JournalService
  readonly roots: RootBoard
  readonly book: RecordBook
  readonly health: HealthService
  readonly #ports: Ports
  readonly #context: NodeContext
  readonly #post: PostOffice
  readonly #proposer: ProposerService
  readonly #grants: GrantService
  readonly #index: InstanceIndex
  readonly #handOver: HandOver
  readonly #active = new Map<string, LoadedToken>()

  constructor(ports: Ports, context: NodeContext, { http }: AnchoringNodeOptions = {}) {
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
    const parts = { post: this.#post, book: this.book, door }
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
    this.journals = new JournalService(ports, context, { ...parts, streams: this.streams })
    this.roots = new RootBoard(this.#post)
    this.#grants = new GrantService(ports, context)
    this.#post.on('activate', (_, { token }) => {
      this.#activate(token).catch((error) => this.#failed(token, error))
    })
    this.#post.on('place-request', (from, { token }) => void this.#tellPlace(from, token))
    this.#post.on('refused', (from, { instance, about, code, facts }) => {
      if (about === 'publish') this.streams.refused(from, instance, { code, facts: parseFacts(facts) })
    })
  }

  /** Takes up again every instance that was active. */
  async start(): Promise<void> {
    this.streams.start()
    await this.#takeUp(this.#index.texts)
  }

  stop(): void {
    this.#handOver.stop()
    this.#proposer.stop()
    this.health.stop()
    this.streams.stop()
  }

  get active(): readonly LoadedToken[] {
    return [...this.#active.values()]
  }

  /** Takes consecutive entries of an issuer to the home anchors of their stream. Throws as `StreamService.publish`. */
  publish(items: readonly StreamItem[], domain?: PublishRequest['domain']): Promise<CertifiedReceipt> {
    return this.streams.publish(items, domain)
  }

  /** Where a token lives; a token that is not active is activated. Throws `placement.none` while an executor is elected. */
  async placement(text: string): Promise<PlacementInfo> {
    const token = formatTokenRef(parseTokenRef(text))
    const loaded = this.#active.get(token) ?? (await this.#activate(token))
    const known = this.journals.placement(loaded.instance)
    if (!known) {
      const anchors = anchorsOf(this.#context.membership()).map((member) => member.node)
      this.#post.sendAll(anchors, { type: 'activate', token })
      throw SmartLayerError.of('placement.none', { token })
    }
    return { token, instance: loaded.instance, scriptHash: loaded.rules.scriptHash, ...known }
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
    const loaded = await this.#context.tokens.load(ref)
    await this.#index.add(loaded.instance, token)
    this.#active.set(token, loaded)
    this.#proposer.watch(loaded)
    return loaded
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
