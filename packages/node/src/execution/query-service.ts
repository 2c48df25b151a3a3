/** Answers queries of sites at a confirmed position of a replica: granted, bound to the request, attested. */
import {
  type Answer,
  accepted,
  anchorsOf,
  answerContext,
  type Bytes32,
  canonicalJson,
  checkGrant,
  digestOf,
  type Json,
  keccakAddress,
  NO_EVIDENCE,
  Query,
  type QueryRequest,
  rootCache,
  SLOutput,
  SmartLayerError,
  textHash,
  toHex,
  ZERO_32,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'
import type { BatchSigner } from './batch-signer.ts'
import type { Confirmed } from './replica.ts'
import { callQuery } from './script-calls.ts'

/** A request may be this far from our clock, in ms; nonces are remembered as long. */
const REQUEST_WINDOW_MS = 30_000n
const NONCE_LIMIT = 100_000
/** Life of an answer, in seconds. */
const ANSWER_LIFE_S = 300n
const RESULT_CACHE_LIMIT = 4_096
/** Grants whose signatures need not be checked again. */
const GRANTS_KEPT = 4_096

export type Serving = { readonly token: LoadedToken; readonly confirmed: Confirmed }
type ServicePorts = Pick<Ports, 'clock' | 'identity' | 'sandbox' | 'random'>

export class QueryService {
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #signer: BatchSigner
  readonly #nonces = new Map<Bytes32, bigint>()
  readonly #seenGrants = rootCache(GRANTS_KEPT)
  readonly #results = new Map<string, Promise<string>>()

  constructor(ports: ServicePorts, context: NodeContext, signer: BatchSigner) {
    this.#ports = ports
    this.#context = context
    this.#signer = signer
  }

  /** Throws `request.*`, `grant.*`, `scope.*`, `query.*`, `sandbox.*`. */
  async answer(request: QueryRequest, { token, confirmed }: Serving): Promise<Answer> {
    const { query } = request
    const requestHash = this.#admit(request, token)
    if (BigInt(confirmed.state.n) < query.minN) {
      throw SmartLayerError.of('query.not_serving', {
        reason: `it stands at ${confirmed.state.n}, asked for ${query.minN}`,
      })
    }
    const result = await this.#result(token, confirmed, request)
    return this.attest({ token, confirmed }, { method: query.method, audience: query.audience, requestHash, result })
  }

  /** Attests a result at a confirmed position, for one audience and request. */
  async attest(
    { token, confirmed }: Serving,
    {
      method,
      audience,
      requestHash,
      result,
    }: { method: string; audience: `0x${string}`; requestHash: Bytes32; result: string },
  ): Promise<Answer> {
    const { crypto } = this.#ports.identity
    const { state, root, roots } = confirmed
    const time = this.#ports.clock.now() / 1000n
    const context = { scriptHash: token.rules.scriptHash, method, stateRoot: root }
    const attestation = await this.#signer.sign({
      schema: SLOutput,
      data: {
        token: token.token,
        stream: token.instance,
        sequence: BigInt(state.n),
        audience: keccakAddress(audience, crypto.keccak),
        request: requestHash,
        result: textHash(result, crypto),
        context: answerContext(this.#context.networkId, context, crypto.keccak),
        evidence: ZERO_32,
      },
      recipient: token.ref.contract,
      time,
      expirationTime: time + ANSWER_LIFE_S,
      refUID: ZERO_32,
      salt: toHex(this.#ports.random.bytes(32)),
    })
    const position = { instance: token.instance, method, n: BigInt(state.n), stateRoot: root }
    return { attestation, result, ...position, roots, evidence: NO_EVIDENCE }
  }

  /** The door of a query; returns the hash that binds the answer to it. */
  #admit({ query, signature, args, grant }: QueryRequest, token: LoadedToken): Bytes32 {
    const { crypto } = this.#ports.identity
    const now = this.#ports.clock.now()
    if (query.time < now - REQUEST_WINDOW_MS || query.time > now + REQUEST_WINDOW_MS) {
      throw SmartLayerError.of('request.expired', { time: query.time, now })
    }
    const digest = digestOf(Query, query, this.#context.domain, crypto.keccak)
    if (query.token !== token.token) throw SmartLayerError.of('grant.token')
    const scope = token.queryScope(query.method)
    if (scope === undefined)
      throw SmartLayerError.of('query.unknown_method', { method: query.method, token: token.token })
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
    this.#remember(toHex(digest), now)
    return toHex(digest)
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

  /** Same script, state, method and arguments give the same result: computed once, also when asked at the same time. */
  #result(token: LoadedToken, { state, root }: Confirmed, { query, args }: QueryRequest): Promise<string> {
    const key = `${token.instance}:${root}:${query.method}:${query.args}`
    const known = this.#results.get(key)
    if (known) return known
    const input: Json = { state: state.data, name: query.method, args: parseArgs(args) }
    const made = callQuery(this.#ports.sandbox, token, input).then(canonicalJson)
    this.#results.set(key, made)
    made.catch(() => this.#results.delete(key))
    const [oldest] = this.#results.keys()
    if (this.#results.size > RESULT_CACHE_LIMIT && oldest !== undefined) this.#results.delete(oldest)
    return made
  }
}

function parseArgs(args: string): Json {
  try {
    return JSON.parse(args)
  } catch {
    throw SmartLayerError.of('query.arguments', { at: 'args', detail: 'not JSON' })
  }
}
