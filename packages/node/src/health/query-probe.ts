/** A probe that looks like any other caller: a real query with a key of its own over the public API, or the status page. */
import {
  ANY_FRESHNESS,
  type Answer,
  accepted,
  answerContext,
  answerShape,
  type Bytes32,
  digestOf,
  formatTokenRef,
  isSmartLayerError,
  keccakAddress,
  type Member,
  nobleSigner,
  Query,
  queryRequestShape,
  readsHash,
  statusShape,
  textHash,
  toHex,
  verifyAnswer,
  ZERO_32,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { Http, HttpReply } from '../ports/http.ts'
import type { Ports } from '../ports/ports.ts'

const NO_ARGS = 'null'
type Asked = { readonly query: Query; readonly requestHash: Bytes32; readonly body: string }
type ServicePorts = Pick<Ports, 'clock' | 'random' | 'identity'>
/** `n` is the position of an answer to a query. */
export type QueryEnd =
  | { readonly end: 'answered'; readonly latencyMs: number; readonly n: bigint | undefined }
  | { readonly end: 'failed' | 'unanswered' }

export class QueryProbe {
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #http: Http

  constructor(ports: ServicePorts, context: NodeContext, http: Http) {
    this.#ports = ports
    this.#context = context
    this.#http = http
  }

  /** Asks the node for a public method of a token that is placed there; where there is none, for its status. */
  async ask(member: Member, token: LoadedToken | undefined, timeoutMs: number): Promise<QueryEnd> {
    const { clock } = this.#ports
    const startedAt = clock.monotonic()
    const query = token?.publicQuery === undefined ? undefined : this.#query(token, token.publicQuery)
    const reply = await this.#http.request({
      ...(token && query
        ? {
            method: 'POST',
            url: `${member.api}/v1/tokens/${encodeURIComponent(formatTokenRef(token.ref))}/query`,
            body: query.body,
          }
        : { method: 'GET', url: `${member.api}/v1/status` }),
      timeoutMs,
    })
    if (!reply) return { end: 'unanswered' }
    const latencyMs = clock.monotonic() - startedAt
    if (reply.status !== 200) return { end: 'failed' }
    try {
      if (!token || !query)
        return this.#isStatusOf(member, reply) ? { end: 'answered', latencyMs, n: undefined } : { end: 'failed' }
      const answer = answerShape.parse(JSON.parse(reply.body), 'answer')
      return this.#holds(answer, member, token, query) ? { end: 'answered', latencyMs, n: answer.n } : { end: 'failed' }
    } catch (error) {
      if (error instanceof SyntaxError || isSmartLayerError(error)) return { end: 'failed' } // what came is no answer
      throw error
    }
  }

  #query(token: LoadedToken, method: string): Asked {
    const { random, clock, identity } = this.#ports
    const { keccak } = identity.crypto
    const signer = nobleSigner(toHex(random.bytes(32)), keccak) // nobody knows it: the node cannot tell who asks
    const query: Query = {
      token: token.token,
      method,
      args: textHash(NO_ARGS, identity.crypto),
      audience: signer.address,
      grant: ZERO_32,
      nonce: toHex(random.bytes(32)),
      time: clock.now(),
      ...ANY_FRESHNESS,
      bypassCache: false,
    }
    const digest = digestOf(Query, query, this.#context.domain, keccak)
    const request = { query, signature: signer.sign(digest), args: NO_ARGS, grant: undefined }
    return { query, requestHash: toHex(digest), body: JSON.stringify(queryRequestShape.toJson(request)) }
  }

  /** The node signed this result for this request. Roots and placement are for clients to check: anchors vote on them. */
  #holds(answer: Answer, { node }: Member, token: LoadedToken, { query, requestHash }: Asked): boolean {
    const { crypto } = this.#ports.identity
    const { stateRoot, term, asOf, stale } = answer
    const reads = readsHash(answer.reads, crypto.keccak)
    const context = { scriptHash: token.rules.scriptHash, method: query.method, stateRoot, term, asOf, stale, reads }
    const verified = verifyAnswer(answer.attestation, {
      domain: this.#context.easDomain,
      crypto,
      nowS: this.#ports.clock.now() / 1_000n,
      signer: node,
      audience: keccakAddress(query.audience, crypto.keccak),
      requestHash,
      context: answerContext(this.#context.networkId, context, crypto.keccak),
    })
    return accepted(verified) && verified.value.data.result === textHash(answer.result, crypto)
  }

  #isStatusOf({ node }: Member, { body }: HttpReply): boolean {
    return statusShape.parse(JSON.parse(body), 'status').node === node
  }
}
