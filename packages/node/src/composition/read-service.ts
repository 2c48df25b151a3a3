/** Reads of other tokens for a query: gathered from their replicas before the script runs, verified, within bounds of time and depth. */
import {
  type Address,
  type Answer,
  type AnswerProof,
  accepted,
  admitRead,
  type Bytes32,
  catalogue,
  checkTree,
  digestOf,
  epochOfTerm,
  formatTokenRef,
  isSmartLayerError,
  type Json,
  type PlacementInfo,
  PublicQuery,
  parseContent,
  READ_FACTS_LIMIT,
  READ_STEP_MS,
  READ_TOTAL_MS,
  type ReadPart,
  type ReadRule,
  type Refusal,
  SmartLayerError,
  type TokenRef,
  type TrustedNetwork,
  targetOf,
  textHash,
  toHex,
  tokenOf,
  verifyAnswerProof,
  ZERO_ADDRESS,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import { PlacementFinder } from './placement-finder.ts'

/** Queries that may gather at a time, reads of others that may be under way here, and answers that are waited for. */
const GATHER_LIMIT = 256
const SERVED_LIMIT = 1_024
const ASKED_LIMIT = 8_192
/** A replica that takes longer is not waited for alone. */
const HEDGE_MS = 250
/** Replicas that refused may need a moment, as those of a token that was placed just now. */
const AGAIN_MS = 100
/** Parts that come from two places of one instance are gathered anew so often. */
const TORN_TRIES = 3
/** What the chain of reads itself forbids is told as it is, however deep it happened. */
const OF_THE_CHAIN: readonly string[] = ['read.cycle', 'read.too_deep', 'read.too_large']

/** A read of everybody's, as one node asks another. `chain` are the tokens that led here, by their CAIP-19 ids. */
export type ReadAsked = {
  readonly token: string
  readonly method: string
  readonly args: string
  readonly chain: readonly string[]
  readonly withinMs: number
  readonly maxAgeMs: bigint
  readonly minN: bigint
}
export type Reader = Pick<LoadedToken, 'ref' | 'instance'> & {
  readonly data: Json
  readonly n: bigint
  readonly stateRoot: Bytes32
}
export type ReadScope = Pick<ReadAsked, 'chain' | 'withinMs' | 'maxAgeMs'>

type Parts = { readonly post: PostOffice; readonly serve: (asked: ReadAsked) => Promise<Answer> }
type ServicePorts = Pick<Ports, 'clock' | 'identity' | 'random' | 'telemetry'>
type Waiting = { readonly node: Address; readonly settle: (answer: Answer | SmartLayerError) => void }
type Gathering = ReadScope & { readonly until: number; readonly minN: ReadonlyMap<string, bigint> }
type Target = { readonly ref: TokenRef; readonly token: string; readonly chain: readonly string[] }

export class ReadService {
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #parts: Parts
  /** Where other tokens live. */
  readonly finder: PlacementFinder
  readonly #waiting = new Map<number, Waiting>()
  #asked = 0
  #gathering = 0
  #serving = 0

  constructor(ports: ServicePorts, context: NodeContext, parts: Parts) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
    this.finder = new PlacementFinder(ports, context, { post: parts.post, network: () => this.#network })
    parts.post.on('read-request', (from, { id, ...asked }) => void this.#serve(from, id, asked))
    parts.post.on('read-answer', (from, { id, answer, code, facts }) => {
      const waiting = this.#waiting.get(id)
      if (waiting?.node === from) waiting.settle(answer ?? refusalOf(from, code, facts))
    })
  }

  /**
   * All declared parts, in their order, every instance at one place. Throws `read.*` for what the answer cannot do without,
   * and `queue.full`.
   */
  async gather(reader: Reader, rules: readonly ReadRule[], scope: ReadScope): Promise<readonly ReadPart[]> {
    if (this.#gathering >= GATHER_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'queries that read', limit: GATHER_LIMIT })
    this.#gathering++
    try {
      const until = this.#ports.clock.monotonic() + Math.min(scope.withinMs, READ_TOTAL_MS)
      return await this.#together(reader, rules, { ...scope, until, minN: new Map() })
    } finally {
      this.#gathering--
    }
  }

  async #together(reader: Reader, rules: readonly ReadRule[], gathering: Gathering): Promise<readonly ReadPart[]> {
    let minN = gathering.minN
    for (let attempt = 1; ; attempt++) {
      const parts = await Promise.all(rules.map((rule) => this.#part(reader, rule, { ...gathering, minN })))
      const verdict = checkTree({ ...reader, reads: parts })
      if (accepted(verdict)) return parts
      const mayRetry = verdict.code === 'read.torn' && attempt < TORN_TRIES
      if (!mayRetry || this.#leftMs(gathering) <= 0) throw SmartLayerError.fromData(verdict.code, verdict.facts)
      minN = furthest(parts)
    }
  }

  /** One part. Without it, where the declaration allows that, its place is taken by the reason. */
  async #part({ ref, data }: Reader, rule: ReadRule, gathering: Gathering): Promise<ReadPart> {
    const { name, method, args } = rule
    const target = targetOf(rule, { data, ref })
    if (!accepted(target)) return missing(rule, '', asError(target))
    const token = formatTokenRef(target.value)
    const chain = admitRead(token, [...gathering.chain, formatTokenRef(ref)])
    if (!accepted(chain)) return missing(rule, token, asError(chain))
    try {
      const found = await this.#read(rule, { ref: target.value, token, chain: chain.value.slice(0, -1) }, gathering)
      this.#ports.telemetry.count('smartlayer_reads_total', { end: 'answered' })
      return { name, token, method, args, code: '', ...found }
    } catch (error) {
      if (!isSmartLayerError(error)) throw error
      this.#ports.telemetry.count('smartlayer_reads_total', { end: error.code })
      return missing(rule, token, error)
    }
  }

  /** Asks replicas until one is believed or the time is over. Throws the last failure, and what no other one would say otherwise. */
  async #read(
    rule: ReadRule,
    target: Target,
    gathering: Gathering,
  ): Promise<{ readonly placement: PlacementInfo; readonly answer: Answer }> {
    let last = SmartLayerError.of('placement.none', { token: target.token })
    for (let anew = false; this.#leftMs(gathering) > 0; anew = true) {
      try {
        const placement = await this.finder.find(target.ref, gathering.until, { anew })
        const answer = await this.#fromAny(placement, rule, { target, gathering })
        return { placement, answer }
      } catch (error) {
        if (!isSmartLayerError(error) || !error.retryable) throw error
        last = error
      }
      await this.#pause(Math.min(AGAIN_MS, this.#leftMs(gathering)))
    }
    throw last
  }

  /** One replica after the other, the next one as soon as one fails or is slow; the first that is believed counts. */
  #fromAny(
    placement: PlacementInfo,
    rule: ReadRule,
    { target, gathering }: { target: Target; gathering: Gathering },
  ): Promise<Answer> {
    const nodes = this.#order(placement.certified.placement.replicas)
    const { clock } = this.#ports
    return new Promise((resolve, reject) => {
      let next = 0
      let open = 0
      let cancel = () => {}
      const end = (act: () => void) => {
        cancel()
        next = nodes.length
        act()
      }
      const begin = () => {
        cancel()
        const node = nodes[next++]
        if (node === undefined) return
        open++
        cancel = clock.after(HEDGE_MS, begin)
        this.#from(node, { placement, rule, target, gathering }).then(
          (answer) => end(() => resolve(answer)),
          (error: unknown) => {
            open--
            const isFinal = isSmartLayerError(error) && !error.retryable
            if (isFinal || (open === 0 && next >= nodes.length)) end(() => reject(error))
            else begin()
          },
        )
      }
      begin()
    })
  }

  /** The verified answer of one replica. */
  async #from(
    node: Address,
    {
      placement,
      rule,
      target,
      gathering,
    }: { placement: PlacementInfo; rule: ReadRule; target: Target; gathering: Gathering },
  ): Promise<Answer> {
    const { crypto } = this.#ports.identity
    const askedAt = this.#ports.clock.now()
    const leftMs = Math.max(1, Math.floor(this.#leftMs(gathering)))
    const { method, args } = rule
    const { maxAgeMs } = gathering
    const minN = gathering.minN.get(target.token) ?? 0n
    const withinMs = Math.max(0, leftMs - READ_STEP_MS)
    const asked: ReadAsked = { token: target.token, method, args, chain: target.chain, withinMs, maxAgeMs, minN }
    const answer =
      node === this.#parts.post.self ? await this.#parts.serve(asked) : await this.#ask(node, asked, leftMs)
    const subject = tokenOf(target.ref, crypto.keccak)
    const message: PublicQuery = { token: subject, method, args: textHash(args, crypto) }
    const { scriptHash, certified, lease } = placement
    const expected = {
      token: subject,
      scriptHash,
      method,
      audience: ZERO_ADDRESS,
      requestHash: toHex(digestOf(PublicQuery, message, this.#context.domain, crypto.keccak)),
      minN,
      maxAgeMs,
      askedAt,
      certified,
      lease,
      now: this.#ports.clock.now(),
    }
    const proof = verifyAnswerProof(answer, expected, this.#network, crypto)
    if (!proof.ok) throw disbelieved(node, proof)
    parseContent(answer.result)
    return answer
  }

  #ask(node: Address, asked: ReadAsked, leftMs: number): Promise<Answer> {
    if (this.#waiting.size >= ASKED_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'reads', limit: ASKED_LIMIT })
    const id = this.#asked++
    return new Promise((resolve, reject) => {
      const settle = (answer: Answer | SmartLayerError) => {
        cancel()
        this.#waiting.delete(id)
        if (answer instanceof Error) reject(answer)
        else resolve(answer)
      }
      const late = () => settle(SmartLayerError.of('network.unreachable', { peer: node }))
      const cancel = this.#ports.clock.after(leftMs, late)
      this.#waiting.set(id, { node, settle })
      this.#parts.post.send(node, { type: 'read-request', id, ...asked })
    })
  }

  async #serve(to: Address, id: number, asked: ReadAsked): Promise<void> {
    const { post, serve } = this.#parts
    if (this.#serving >= SERVED_LIMIT)
      return refuse(SmartLayerError.of('queue.full', { queue: 'reads', limit: SERVED_LIMIT }))
    this.#serving++
    try {
      post.send(to, { type: 'read-answer', id, answer: await serve(asked), code: '', facts: '{}' })
    } catch (error) {
      refuse(
        isSmartLayerError(error)
          ? error
          : SmartLayerError.because(error, 'bug.unexpected', { detail: 'a read failed' }),
      )
    } finally {
      this.#serving--
    }

    function refuse({ code, facts }: SmartLayerError): void {
      const text = JSON.stringify(facts, (_, value) => (typeof value === 'bigint' ? String(value) : value))
      const told = text.length <= READ_FACTS_LIMIT ? text : '{}'
      post.send(to, { type: 'read-answer', id, answer: undefined, code, facts: told })
    }
  }

  /** This node first where it is one of them, the others in an order of chance. */
  #order(replicas: readonly Address[]): readonly Address[] {
    const { self } = this.#parts.post
    const drawn = replicas.map((node) => ({ node, draw: node === self ? -1 : this.#ports.random.bytes(1)[0]! }))
    return drawn.sort((a, b) => a.draw - b.draw).map(({ node }) => node)
  }

  #leftMs({ until }: Pick<Gathering, 'until'>): number {
    return until - this.#ports.clock.monotonic()
  }

  async #pause(ms: number): Promise<void> {
    if (ms > 0) await new Promise<void>((done) => this.#ports.clock.after(ms, done))
  }

  get #network(): TrustedNetwork {
    const { networkId, domain, easDomain, parameters } = this.#context
    return {
      networkId,
      domain,
      easDomain,
      membership: this.#context.membership(),
      epsilonMs: BigInt(parameters.epsilonMs),
      staleReadsMs: BigInt(parameters.staleReadsMs),
      homeIn: (token, term) => this.#context.homes().at(token, epochOfTerm(term)),
    }
  }
}

/** The greatest place that was seen of each token, for the next try. */
function furthest(parts: readonly ReadPart[]): ReadonlyMap<string, bigint> {
  const places = new Map<string, bigint>()
  const walk = (reads: readonly ReadPart[] = []) => {
    for (const { token, answer } of reads) {
      if (!answer) continue
      if (answer.n > (places.get(token) ?? 0n)) places.set(token, answer.n)
      walk(answer.reads)
    }
  }
  walk(parts)
  return places
}

/** Throws unless the answer may be given without this part. */
function missing(
  { name, method, args, optional }: ReadRule,
  token: string,
  { code, message, retryable, facts }: SmartLayerError,
): ReadPart {
  if (optional) return { name, token, method, args, code }
  if (OF_THE_CHAIN.includes(code)) throw SmartLayerError.fromData(code, facts)
  throw SmartLayerError.of(retryable ? 'read.failed' : 'read.refused', {
    name,
    token: token || 'no token',
    code,
    why: message,
  })
}

/** What fails to verify is this node's fault, unless time may bring it: another one may not lie. */
function disbelieved(peer: Address, { code, facts, summary }: AnswerProof): SmartLayerError {
  const error = SmartLayerError.fromData(code ?? 'attestation.proof', facts)
  return error.retryable ? error : SmartLayerError.of('answer.malformed', { peer, detail: summary })
}

function asError({ code, facts }: Refusal): SmartLayerError {
  return SmartLayerError.fromData(code, facts)
}

/** What another node refused with; a code that does not exist is its fault. */
function refusalOf(peer: Address, code: string, facts: string): SmartLayerError {
  try {
    if (code in catalogue) return SmartLayerError.fromData(code, JSON.parse(facts))
  } catch {
    // Not JSON: told below as what it is.
  }
  return SmartLayerError.of('answer.malformed', { peer, detail: 'its refusal' })
}
