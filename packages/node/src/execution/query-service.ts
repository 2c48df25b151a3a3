/** Answers queries of sites at a confirmed position of a replica: granted, bound to the request, as fresh as asked, attested. */
import {
  type Answer,
  accepted,
  anchorsOf,
  answerContext,
  answeredUntil,
  type Bytes32,
  canonicalJson,
  checkGrant,
  digestOf,
  type Freshness,
  type Json,
  keccakAddress,
  NO_EVIDENCE,
  PUBLIC_LIFE_S,
  PublicQuery,
  Query,
  type QueryRequest,
  READ_TOTAL_MS,
  type ReadPart,
  readsHash,
  readValues,
  resultKey,
  rootCache,
  SLOutput,
  SmartLayerError,
  textHash,
  toHex,
  ZERO_32,
  ZERO_ADDRESS,
} from '@smartlayer/protocol'
import type { ReadScope, ReadService } from '../composition/read-service.ts'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'
import type { BatchSigner } from './batch-signer.ts'
import type { Readable } from './hosted-instance.ts'
import { type PublicAnswer, PublicAnswers, publicAnswerOf } from './public-answers.ts'
import { ResultCache } from './result-cache.ts'
import { callQuery } from './script-calls.ts'

/** A request may be this far from our clock, in ms; nonces are remembered as long. */
const REQUEST_WINDOW_MS = 30_000n
const NONCE_LIMIT = 100_000
/** Life of an answer to one request, in seconds. */
const ANSWER_LIFE_S = 300n
/** Grants whose signatures need not be checked again. */
const GRANTS_KEPT = 4_096
const DEFAULT_CACHE_BYTES = 32 * 1_024 * 1_024
const OUTERMOST = { chain: [], withinMs: READ_TOTAL_MS } as const
/** Of the bytes of the result cache, the part that answers for everybody may take beside it. */
const PUBLIC_SHARE = 0.25

/** An instance as reads see it. */
export type Source = {
  readonly token: LoadedToken
  /** What an answer may rest on; waits for it within a bound. Throws `query.*`. */
  read(wanted: Freshness): Promise<Readable>
  /** Throws `query.not_linearizable` unless this node still leads in this term. */
  assertLeads(term: bigint): void
}
/** A question of everybody's; `scope` says how far its reads may lead when it is itself a read. */
export type PublicAsked = {
  readonly method: string
  readonly args: string
  readonly wanted: Freshness
  readonly scope?: Omit<ReadScope, 'maxAgeMs'> | undefined
}
type Asked = { readonly method: string; readonly args: string; readonly argsHash: Bytes32 }
type About = {
  readonly method: string
  readonly audience: `0x${string}`
  readonly requestHash: Bytes32
  readonly result: string
  readonly lifeS: bigint
  readonly reads?: readonly ReadPart[] | undefined
}
/** What other tokens are asked on the way, and how far it may lead. */
export type ReadsOfOthers = Pick<ReadService, 'gather'>
type ServicePorts = Pick<Ports, 'clock' | 'identity' | 'sandbox' | 'random' | 'telemetry'>

export class QueryService {
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #signer: BatchSigner
  readonly #nonces = new Map<Bytes32, bigint>()
  readonly #seenGrants = rootCache(GRANTS_KEPT)
  readonly #results: ResultCache
  readonly #public: PublicAnswers
  readonly #others: ReadsOfOthers | undefined

  constructor(
    ports: ServicePorts,
    context: NodeContext,
    signer: BatchSigner,
    { cacheBytes = DEFAULT_CACHE_BYTES, others }: { cacheBytes?: number | undefined; others?: ReadsOfOthers } = {},
  ) {
    this.#ports = ports
    this.#context = context
    this.#signer = signer
    this.#results = new ResultCache(cacheBytes, ports.telemetry)
    this.#public = new PublicAnswers(cacheBytes * PUBLIC_SHARE, ports.telemetry)
    this.#others = others
  }

  /** Throws `request.*`, `grant.*`, `scope.*`, `query.*`, `read.*`, `sandbox.*`, `queue.full`. */
  async answer(request: QueryRequest, source: Source): Promise<Answer> {
    const { query, args } = request
    const { token } = source
    const { requestHash, scope } = this.#admit(request, token)
    const readable = await source.read(query)
    this.#assertKept(readable)
    const asked = { method: query.method, args, argsHash: query.args }
    const audience = scope === '' ? '' : query.audience
    const { bypassCache, maxAgeMs } = query
    const made = await this.#result(token, readable, asked, { audience, bypassCache, ...OUTERMOST, maxAgeMs })
    if (query.linearizable) source.assertLeads(readable.term)
    const about = { method: query.method, audience: query.audience, requestHash, ...made, lifeS: ANSWER_LIFE_S }
    return this.#attest(token, readable, about)
  }

  /** What the method makes of the state, and of what other tokens answer where it reads them: then nothing is kept. */
  async #result(
    token: LoadedToken,
    readable: Readable,
    asked: Asked,
    { audience, bypassCache, ...scope }: ReadScope & { readonly audience: string; readonly bypassCache: boolean },
  ): Promise<Pick<About, 'result' | 'reads'>> {
    const reads = await this.#gather(token, readable, asked, scope)
    const compute = () => this.#compute(token, readable, asked, reads)
    if (bypassCache || reads) return { result: await this.#results.bypass(compute), reads }
    return { result: await this.#results.get(this.#key(token, readable, asked, audience), compute), reads }
  }

  async #gather(token: LoadedToken, { confirmed }: Readable, { method }: Asked, scope: ReadScope) {
    const rules = token.readsOf?.(method) ?? []
    if (rules.length === 0 || !this.#others) return undefined
    const { state, root } = confirmed
    const { ref, instance } = token
    return this.#others.gather({ ref, instance, data: state.data, n: BigInt(state.n), stateRoot: root }, rules, scope)
  }

  /** The same answer for all who ask alike within a second; only for methods that need no grant. Throws `query.*`, `sandbox.*`. */
  async answerForEverybody(
    { method, args, wanted, scope: within = OUTERMOST }: PublicAsked,
    source: Source,
  ): Promise<PublicAnswer> {
    const { token } = source
    const scope = scopeOf(token, method)
    if (scope !== '') throw SmartLayerError.of('query.not_public', { method, scope })
    const readable = await source.read(wanted)
    this.#assertKept(readable)
    const key = `${token.instance}/${method}/${args}`
    const { maxAgeMs } = wanted
    const about = { key, now: this.#ports.clock.now(), basis: readable, maxAgeMs }
    const make = () => this.#attestForEverybody(token, readable, { method, args }, { ...within, maxAgeMs })
    // What other tokens say changes without a change here: such an answer is not given a second time.
    return token.readsOf?.(method).length ? publicAnswerOf(await make()) : this.#public.get(about, make)
  }

  async #attestForEverybody(
    token: LoadedToken,
    readable: Readable,
    { method, args }: { method: string; args: string },
    scope: ReadScope,
  ) {
    const { crypto } = this.#ports.identity
    const asked = { method, args, argsHash: textHash(args, crypto) }
    const made = await this.#result(token, readable, asked, { audience: '', bypassCache: false, ...scope })
    const message: PublicQuery = { token: token.token, method, args: asked.argsHash }
    const requestHash = toHex(digestOf(PublicQuery, message, this.#context.domain, crypto.keccak))
    return this.#attest(token, readable, { method, audience: ZERO_ADDRESS, requestHash, ...made, lifeS: PUBLIC_LIFE_S })
  }

  /** Attests the result of an action at the position where it was confirmed. */
  attest(token: LoadedToken, readable: Readable, about: Omit<About, 'lifeS'>): Promise<Answer> {
    return this.#attest(token, readable, { ...about, lifeS: ANSWER_LIFE_S })
  }

  async #attest(
    token: LoadedToken,
    { confirmed, term, asOf, stale }: Readable,
    { method, audience, requestHash, result, lifeS, reads }: About,
  ): Promise<Answer> {
    const { crypto } = this.#ports.identity
    const { state, root, roots } = confirmed
    const time = this.#ports.clock.now() / 1000n
    const bound = readsHash(reads, crypto.keccak)
    const basis = { scriptHash: token.rules.scriptHash, method, stateRoot: root, term, asOf, stale, reads: bound }
    const attestation = await this.#signer.sign({
      schema: SLOutput,
      data: {
        token: token.token,
        stream: token.instance,
        sequence: BigInt(state.n),
        audience: keccakAddress(audience, crypto.keccak),
        request: requestHash,
        result: textHash(result, crypto),
        context: answerContext(this.#context.networkId, basis, crypto.keccak),
        evidence: ZERO_32,
      },
      recipient: token.ref.contract,
      time,
      expirationTime: time + lifeS,
      refUID: ZERO_32,
      salt: toHex(this.#ports.random.bytes(32)),
    })
    const position = { instance: token.instance, method, n: BigInt(state.n), stateRoot: root }
    const { ended } = state
    return { attestation, result, ...position, term, asOf, stale, ended, roots, evidence: NO_EVIDENCE, reads }
  }

  /** The last state of an instance that ended is answered for a stated time. Throws `lifecycle.forgotten`. */
  #assertKept({ confirmed }: Readable): void {
    const { ended } = confirmed.state
    const until = ended && answeredUntil(ended)
    if (until !== undefined && this.#ports.clock.now() > until)
      throw SmartLayerError.of('lifecycle.forgotten', { until })
  }

  /** The door of a query; returns the hash that binds the answer to it, and the scope that it needed. */
  #admit({ query, signature, args, grant }: QueryRequest, token: LoadedToken) {
    const { crypto } = this.#ports.identity
    const now = this.#ports.clock.now()
    if (query.time < now - REQUEST_WINDOW_MS || query.time > now + REQUEST_WINDOW_MS) {
      throw SmartLayerError.of('request.expired', { time: query.time, now })
    }
    const digest = digestOf(Query, query, this.#context.domain, crypto.keccak)
    if (query.token !== token.token) throw SmartLayerError.of('grant.token')
    const scope = scopeOf(token, query.method)
    const actual = textHash(args, crypto)
    if (actual !== query.args) throw SmartLayerError.of('attestation.content', { expected: query.args, actual })
    if (crypto.recover(digest, signature) !== query.audience) throw SmartLayerError.of('request.signature')
    const checked = checkGrant(grant, {
      domain: this.#context.domain,
      crypto,
      anchors: anchorsOf(this.#context.membership()).map((member) => member.node),
      nowS: now / 1000n,
      token: token.token,
      audience: query.audience,
      scope,
      grantHash: query.grant,
      seen: this.#seenGrants,
    })
    if (!accepted(checked)) throw SmartLayerError.fromData(checked.code, checked.facts)
    const requestHash = toHex(digest)
    this.#remember(requestHash, now)
    return { requestHash, scope }
  }

  #remember(digest: Bytes32, now: bigint): void {
    if (this.#nonces.has(digest)) throw SmartLayerError.of('request.replayed')
    for (const [old, until] of this.#nonces) {
      if (until >= now) break
      this.#nonces.delete(old)
    }
    if (this.#nonces.size >= NONCE_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'nonces', limit: NONCE_LIMIT })
    this.#nonces.set(digest, now + 2n * REQUEST_WINDOW_MS)
  }

  #key({ rules, engine, instance }: LoadedToken, { confirmed }: Readable, asked: Asked, audience: string): string {
    const { method, argsHash: args } = asked
    const { scriptHash } = rules
    return resultKey({ scriptHash, engine, instance, stateRoot: confirmed.root, method, args, audience })
  }

  async #compute(
    token: LoadedToken,
    { confirmed }: Readable,
    { method, args }: Asked,
    reads: readonly ReadPart[] | undefined,
  ): Promise<string> {
    const input: Json = { state: confirmed.state.data, name: method, args: parseArgs(args) }
    if (reads) return canonicalJson(await callQuery(this.#ports.sandbox, token, { ...input, reads: readValues(reads) }))
    return canonicalJson(await callQuery(this.#ports.sandbox, token, input))
  }
}

function scopeOf(token: LoadedToken, method: string): string {
  const scope = token.queryScope(method)
  if (scope === undefined) throw SmartLayerError.of('query.unknown_method', { method, token: token.token })
  return scope
}

function parseArgs(args: string): Json {
  try {
    return JSON.parse(args)
  } catch {
    throw SmartLayerError.of('query.arguments', { at: 'args', detail: 'not JSON' })
  }
}
