/** A service node: it hosts replicas of instances, executes where it is elected, and answers sites. */
import {
  Action,
  type ActionRequest,
  type Address,
  ANY_FRESHNESS,
  type Answer,
  accepted,
  anchorsOf,
  answerShape,
  type Bytes32,
  type CertifiedPlacement,
  type CertifiedRenewal,
  type CommitProof,
  canonicalJson,
  digestOf,
  type Ended,
  type FollowedStatus,
  type Freshness,
  formatTokenRef,
  isSmartLayerError,
  type JournalInput,
  parseTokenRef,
  type QueryRequest,
  type RetireRequest,
  SmartLayerError,
  toHex,
  tokenOf,
  ZERO_ADDRESS,
} from '@smartlayer/protocol'
import type { PlacementFinder } from './composition/placement-finder.ts'
import { type ReadAsked, ReadService } from './composition/read-service.ts'
import type { NodeContext } from './context.ts'
import { QuorumDoor } from './directory/quorum-door.ts'
import { BatchSigner } from './execution/batch-signer.ts'
import type { Secrets } from './execution/effect-performer.ts'
import { HostedInstance } from './execution/hosted-instance.ts'
import { InputBuffer } from './execution/input-buffer.ts'
import { checkOwn } from './execution/own-input.ts'
import type { PublicAnswer } from './execution/public-answers.ts'
import { QueryService } from './execution/query-service.ts'
import { HealthParts } from './health/health-parts.ts'
import type { Load } from './health/heartbeats.ts'
import { Maintenance } from './health/maintenance.ts'
import { Mover } from './health/mover.ts'
import { PingAnswerer } from './health/ping-answerer.ts'
import type { Cancel } from './ports/clock.ts'
import type { Ports } from './ports/ports.ts'
import { EntryDoor } from './stream/entry-door.ts'
import { RevocationBook } from './stream/revocation-book.ts'
import { PostOffice } from './wire/post-office.ts'
import { TurnSigner } from './wire/turn-signer.ts'

/** Instances on one node. */
const INSTANCE_LIMIT = 10_000
const HOSTED_PREFIX = 'hosted/'
/** How long a caller of an action waits for its commit. */
const ACTION_TIMEOUT_MS = 10_000

export type ServiceNodeOptions = {
  readonly secrets: Secrets
  readonly endOfTurn: (run: () => void) => void
  /** Instances that this node would host. */
  readonly capacity?: number | undefined
  /** Bytes that results of queries may take. */
  readonly resultCacheBytes?: number | undefined
}

export class ServiceNode {
  readonly #ports: Ports
  readonly #context: NodeContext
  readonly #post: PostOffice
  readonly #secrets: Secrets
  readonly #inputs: InputBuffer
  readonly #door: QuorumDoor
  readonly #signer: TurnSigner
  readonly #queries: QueryService
  readonly #finder: PlacementFinder
  readonly #hosted = new Map<Bytes32, HostedInstance>()
  readonly #byToken = new Map<Bytes32, HostedInstance>()
  readonly #loading = new Map<string, Promise<HostedInstance>>()
  readonly #capacity: number
  readonly #mover: Mover
  readonly maintenance: Maintenance
  #heartbeat: Cancel = () => {}
  #beats = 0
  #stopping = false

  constructor(
    ports: Ports,
    context: NodeContext,
    { secrets, endOfTurn, capacity = INSTANCE_LIMIT, resultCacheBytes }: ServiceNodeOptions,
  ) {
    this.#ports = ports
    this.#context = context
    this.#secrets = secrets
    this.#post = new PostOffice(ports)
    this.#door = new QuorumDoor(ports, context)
    this.#signer = new TurnSigner(ports, endOfTurn)
    const revocations = new RevocationBook(ports.store, ports.identity.crypto.keccak)
    const door = new EntryDoor(ports, context, revocations)
    this.#inputs = new InputBuffer(ports, context, { post: this.#post, door, revocations }, () => this.#pump())
    const signer = new BatchSigner(ports, context, { endOfTurn })
    const others = new ReadService(ports, context, { post: this.#post, serve: (asked) => this.#read(asked) })
    this.#finder = others.finder
    this.#queries = new QueryService(ports, context, signer, { cacheBytes: resultCacheBytes, others })
    this.#capacity = Math.min(capacity, INSTANCE_LIMIT)
    const health = new HealthParts(ports.identity, context)
    this.maintenance = new Maintenance(ports, health)
    this.#mover = new Mover(ports, health, { post: this.#post, maintenance: this.maintenance, hosted: this.#hosted })
    new PingAnswerer(ports, health, this.#post, {
      load: () => this.load,
      positionOf: (instance) => this.#hosted.get(instance)?.replica.head.n ?? 0n,
    })
    this.#listen()
  }

  /** Takes up again what this node hosted before, and lets anchors know that it is alive. */
  async start(): Promise<void> {
    const rows = this.#ports.store.range({ from: HOSTED_PREFIX, to: `${HOSTED_PREFIX}~`, limit: INSTANCE_LIMIT })
    const tokens = rows.map(([, value]) => new TextDecoder().decode(value))
    await Promise.all(tokens.map((token) => this.#host(token).catch((error) => this.#failed(token, error))))
    this.#beat()
  }

  /** Gives leases back, so that others may act at once, and stops. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#heartbeat()
    this.#inputs.stop()
    await Promise.all([...this.#hosted.values()].map((hosted) => hosted.leave()))
  }

  get instances(): readonly HostedInstance[] {
    return [...this.#hosted.values()]
  }

  /** Instances that are placed here now, and how many this node would host. */
  get load(): Load {
    return { instances: this.instances.filter((hosted) => hosted.isPlacedHere).length, limit: this.#capacity }
  }

  /** What the instances of this node follow, and how far they are. */
  followed(limit: number): readonly FollowedStatus[] {
    return this.#inputs.status(limit)
  }

  /** Throws `query.not_serving` and all that QueryService throws. */
  async query(token: string, request: QueryRequest): Promise<Answer> {
    return this.#queries.answer(request, this.#find(token))
  }

  /** An answer that is the same for everybody. Throws as `query`, and `query.not_public`. */
  async queryForEverybody(
    token: string,
    asked: { readonly method: string; readonly args: string; readonly wanted: Freshness },
  ): Promise<PublicAnswer> {
    return this.#queries.answerForEverybody(asked, this.#find(token))
  }

  /** A read of another token's query, by this node or another one: the answer that everybody gets. Throws as `queryForEverybody`. */
  async #read({ token, method, args, chain, withinMs, maxAgeMs, minN }: ReadAsked): Promise<Answer> {
    const wanted = { ...ANY_FRESHNESS, maxAgeMs, minN }
    const scope = { chain, withinMs }
    const { body } = await this.#queries.answerForEverybody({ method, args, wanted, scope }, this.#find(token))
    return answerShape.parse(JSON.parse(body), 'answer')
  }

  /** Journals an action and answers once it is committed and a majority of the replicas computed the same state. */
  async act(token: string, { action, signature, args, grant }: ActionRequest): Promise<Answer> {
    const hosted = this.#find(token)
    hosted.serving()
    const { state } = hosted.replica
    const input: JournalInput & { kind: 'action' } = { kind: 'action', action, signature, grant, args }
    if (!state) throw SmartLayerError.of('query.not_serving', { reason: 'its state is not loaded yet' })
    if (state.ended) throw endedError(state.ended)
    const checked = checkOwn(this.#ports, this.#context, { token: hosted.token, input, state })
    if (!accepted(checked)) throw SmartLayerError.fromData(checked.code, checked.facts)
    const digest = toHex(digestOf(Action, action, this.#context.domain, this.#ports.identity.crypto.keccak))
    return this.#journal(hosted, input, { digest, method: action.name, audience: action.audience })
  }

  /** Ends an instance on the word of its owner, and answers once that is committed. Throws as `act`. */
  async retire(token: string, { retire, signature }: RetireRequest): Promise<Answer> {
    const hosted = this.#find(token)
    hosted.serving()
    const { state } = hosted.replica
    if (!state) throw SmartLayerError.of('query.not_serving', { reason: 'its state is not loaded yet' })
    if (state.ended) throw endedError(state.ended)
    const incarnation = hosted.replica.incarnation
    if (retire.incarnation !== incarnation)
      throw SmartLayerError.of('restore.incarnation', { offered: retire.incarnation, known: incarnation })
    const input = { kind: 'lifecycle', end: { by: 'owner', retire, signature } } as const
    const checked = checkOwn(this.#ports, this.#context, { token: hosted.token, input, state })
    if (!accepted(checked)) throw SmartLayerError.fromData(checked.code, checked.facts)
    const audience = hosted.token.rules.owner ?? ZERO_ADDRESS
    return this.#journal(hosted, input, { digest: checked.value.uid, method: 'retire', audience })
  }

  /** Journals what a caller signed and answers once it is committed and a majority of the replicas computed the same state. */
  async #journal(
    hosted: HostedInstance,
    input: JournalInput & { kind: 'action' | 'lifecycle' },
    { digest, method, audience }: { digest: Bytes32; method: string; audience: Address },
  ): Promise<Answer> {
    const settled = hosted.settled(digest)
    try {
      hosted.submit(input)
    } catch (error) {
      hosted.forget(digest)
      throw error
    }
    const confirmed = await this.#within(settled, ACTION_TIMEOUT_MS, () => hosted.forget(digest))
    const result = canonicalJson({ n: confirmed.state.n, refused: confirmed.state.refused })
    const about = { method, audience, requestHash: digest, result }
    return this.#queries.attest(hosted.token, hosted.basisOf(confirmed), about)
  }

  #listen(): void {
    const post = this.#post
    post.on('placement', (_, message) => this.#place(message.token, message.certified))
    post.on('lease', (_, message) => this.#extend(message.instance, message.certified))
    post.on('committed', (_, { journaled, proof }) => {
      this.#hosted.get(journaled.entry.instance)?.take([journaled], proof as CommitProof)
    })
    post.on('journal-range', (from, message) => this.#range(from, message))
    post.on('journal-snapshot', (_, { kept }) => {
      this.#hosted
        .get(kept.certified.checkpoint.instance)
        ?.install(kept)
        .catch((error) => this.#failed(kept.certified.checkpoint.instance, error))
    })
    post.on('sleep', (from, { instance, placement, n }) => {
      const hosted = this.#hosted.get(instance)
      if (hosted?.mayRest(from, { placement, n })) this.#rest(hosted)
    })
    post.on('used', (_, { instance }) => this.#hosted.get(instance)?.used())
    post.on('journal-endorsed', (from, { checkpoint, signature }) =>
      this.#hosted.get(checkpoint.instance)?.endorsed(from, checkpoint, signature),
    )
    post.on('checkpoint-wanted', (from, { instance }) => this.#hosted.get(instance)?.wantCheckpoint(from))
    post.on('journal-checkpoint', (_, { certified }) =>
      this.#hosted.get(certified.checkpoint.instance)?.replica.keep(certified),
    )
    post.on('executed', (from, { executed, signature }) => {
      this.#hosted.get(executed.instance)?.root(from, { executed, signature })
    })
    post.on('accepted', (from, { place, signature }) =>
      this.#hosted.get(place.instance)?.accepted(from, place, signature),
    )
    post.on('held', (from, { place, signature }) => this.#hosted.get(place.instance)?.held(from, place, signature))
    post.on('renewed', (from, { instance, renew, signature }) =>
      this.#hosted.get(instance)?.renewed(from, renew, signature),
    )
    post.on('refused', (from, { instance, about, code, facts }) => {
      if (about === 'proposal' || about === 'certificate') this.#hosted.get(instance)?.refused(from, code, facts)
    })
    post.on('sent-request', (from, { sent }) => this.#hosted.get(sent.instance)?.signSent(from, sent))
    post.on('sent-signature', (from, { sent, signature }) =>
      this.#hosted.get(sent.instance)?.sentBy(from, sent, signature),
    )
    post.on('delivery', (from, { instance, message }) =>
      this.#hosted.get(instance)?.deliver(from, { kind: 'message', ...message } as JournalInput & { kind: 'message' }),
    )
    post.on('receipt-signature', (from, { received, signature }) =>
      this.#hosted.get(received.sender)?.receipted(from, received, signature),
    )
    post.on('action-request', (_, { instance, action, signature, grant, args }) => {
      const hosted = this.#hosted.get(instance)
      if (hosted?.isExecutor) hosted.submit({ kind: 'action', action, signature, grant, args })
    })
  }

  #place(token: string, certified: CertifiedPlacement): void {
    const known = this.#hosted.get(certified.placement.instance)
    if (known) return known.place(certified)
    if (!certified.placement.replicas.includes(this.#ports.identity.signer.address)) return
    if (this.#stopping || this.#hosted.size >= INSTANCE_LIMIT) return
    this.#host(token)
      .then((hosted) => hosted.place(certified))
      .catch((error) => this.#failed(token, error))
  }

  #extend(instance: Bytes32, certified: CertifiedRenewal): void {
    this.#hosted.get(instance)?.extend(certified)
  }

  #range(
    from: Address,
    message: {
      instance: Bytes32
      placement?: CertifiedPlacement | undefined
      lease?: CertifiedRenewal | undefined
      entries: Parameters<HostedInstance['take']>[0]
      proof?: unknown
    },
  ): void {
    const hosted = this.#hosted.get(message.instance)
    if (!hosted) return
    if (message.placement) hosted.place(message.placement)
    if (message.lease) hosted.extend(message.lease)
    hosted.heardOf(from, { nothingNewer: message.proof === undefined })
    hosted.take(message.entries, message.proof as CommitProof | undefined)
  }

  /** Loads a token and starts its replica; the same token is loaded once, however often it is asked for. */
  #host(token: string): Promise<HostedInstance> {
    const known = this.#loading.get(token)
    if (known) return known
    const made = this.#load(token)
    this.#loading.set(token, made)
    made.catch(() => this.#loading.delete(token))
    return made
  }

  async #load(token: string): Promise<HostedInstance> {
    const loaded = await this.#context.tokens.load(parseTokenRef(token))
    const parts = {
      post: this.#post,
      inputs: this.#inputs,
      secrets: this.#secrets,
      door: this.#door,
      signer: this.#signer,
      finder: this.#finder,
    }
    const hosted = new HostedInstance(this.#ports, this.#context, parts, loaded)
    const key = HOSTED_PREFIX + loaded.instance
    await this.#ports.store.commit([{ key, value: new TextEncoder().encode(formatTokenRef(loaded.ref)) }])
    this.#hosted.set(loaded.instance, hosted)
    if (!this.#byToken.has(loaded.token)) this.#byToken.set(loaded.token, hosted)
    await hosted.start()
    return hosted
  }

  #find(token: string): HostedInstance {
    const { keccak } = this.#ports.identity.crypto
    const hosted = this.#byToken.get(tokenOf(parseTokenRef(token), keccak))
    if (!hosted) throw SmartLayerError.of('query.not_serving', { reason: 'this node does not hold the token' })
    return hosted
  }

  #beat(): void {
    const anchors = anchorsOf(this.#context.membership()).map((member) => member.node)
    const { heartbeatMs } = this.#context.parameters
    const node = this.#ports.identity.signer.address
    const drain = this.maintenance.word
    this.#post.sendAll(anchors, { type: 'heartbeat', node, ready: !this.#stopping, ...this.load, drain })
    this.#mover.beat()
    if (this.#beats++ % 2 === 0) {
      for (const hosted of this.#hosted.values()) {
        if (hosted.isForgotten) this.#rest(hosted)
        else hosted.catchUp()
      }
    }
    this.#heartbeat = this.#ports.clock.after(heartbeatMs, () => this.#beat())
  }

  /** It leaves memory; its last checkpoint stays on disk, for when it is placed here again. */
  #rest(hosted: HostedInstance): void {
    const { instance, token, ref } = hosted.token
    this.#hosted.delete(instance)
    this.#byToken.delete(token)
    this.#loading.delete(formatTokenRef(ref))
    for (const { stream, subset } of hosted.topics) this.#inputs.unfollow(stream, subset, instance)
    this.#ports.store
      .commit([{ key: HOSTED_PREFIX + instance, value: undefined }])
      .catch((error) => this.#failed(formatTokenRef(ref), error))
    this.#ports.telemetry.log('info', 'instance.rests', { instance })
  }

  #pump(): void {
    for (const hosted of this.#hosted.values()) hosted.pump()
  }

  async #within<T>(promise: Promise<T>, timeoutMs: number, giveUp: () => void): Promise<T> {
    let cancel: Cancel = () => {}
    const timeout = new Promise<never>((_, reject) => {
      cancel = this.#ports.clock.after(timeoutMs, () => {
        giveUp()
        reject(
          SmartLayerError.of('query.not_serving', { reason: `no commit within ${timeoutMs} ms; it may still happen` }),
        )
      })
    })
    try {
      return await Promise.race([promise, timeout])
    } finally {
      cancel()
    }
  }

  #failed(token: string, error: unknown): void {
    const code = isSmartLayerError(error) ? error.code : 'bug.unexpected'
    this.#ports.telemetry.log('warn', 'instance.not_hosted', { token, code, error })
  }
}

function endedError({ reason, time }: Ended): SmartLayerError {
  return SmartLayerError.of('lifecycle.retired', { reason, since: BigInt(time) })
}
