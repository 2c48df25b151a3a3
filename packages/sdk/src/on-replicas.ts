/** One question to the replicas of a token: which one is asked, when a second one is, and when it is given up. */
import {
  type Action,
  type Address,
  type Answer,
  formatTokenRef,
  type Hex,
  isSmartLayerError,
  memberOf,
  type PlacementInfo,
  type PublicQuery,
  parseContent,
  parseTokenRef,
  type Query,
  SmartLayerError,
} from '@smartlayer/protocol'
import { type CallOptions, TIMEOUT_MS } from './http.ts'
import type { End } from './replica-board.ts'
import { type ResolveOptions, resolve } from './resolve.ts'
import type { Site } from './site.ts'
import { type AnswerProof, assertProof, type Expected, verifyAnswerProof } from './verify.ts'

/** Tries within the total time, and the pause before a round over all replicas is repeated. */
const TRIES = 24
const ROUND_WAIT_MS = 250
const TOTAL_MS = 10_000
/** What says that the placement itself may be another one by now. */
const PLACEMENT_MOVED = ['query.not_serving', 'query.not_linearizable', 'answer.not_replica', 'answer.placement_ended']
/** What a node refuses in order: it does its part, though it has no answer now. */
const IN_ORDER = [
  'query.behind',
  'query.too_old',
  'query.not_linearizable',
  'query.not_serving',
  'queue.full',
  'read.failed',
  'read.torn',
]

/** What was asked, and by whom; nobody signs what everybody may ask. */
export type SignedRequest =
  | { readonly kind: 'query'; readonly message: Query; readonly signature: Hex }
  | { readonly kind: 'action'; readonly message: Action; readonly signature: Hex }
  | { readonly kind: 'public'; readonly message: PublicQuery }

/** What was answered, why it can be believed, and which nodes were tried. */
export type ReplicaResult<T> = {
  readonly value: T
  readonly proof: AnswerProof
  /** True when the lease had ended: the answer is believed, but maybe not the newest. */
  readonly stale: boolean
  /** True when a read of another token that the answer may do without is missing; `proof.parts` says which and why. */
  readonly partial: boolean
  readonly answer: Answer
  readonly expected: Expected
  /** The request that was answered; with the answer and the placement it proves the answer to others. */
  readonly request: SignedRequest
  /** The placement whose replicas were asked. */
  readonly placement: PlacementInfo
  readonly node: Address
  readonly tried: readonly Tried[]
}

/** A node that was asked, and the code of its failure. */
export type Tried = { readonly node: Address; readonly error: string | undefined }

export type Asked = { readonly answer: Answer; readonly expected: Expected; readonly request: SignedRequest }
export type Question = {
  readonly ask: (place: PlacementInfo, api: string, options: CallOptions) => Promise<Asked>
  readonly of: 'replicas' | 'executor'
  readonly mayBeStale: boolean
  /** A second replica may be asked while the first one is slow. */
  readonly hedged: boolean
}
export type Limits = CallOptions & { readonly token: string; readonly totalMs?: number }

type Failure = { readonly node: Address; readonly error: SmartLayerError }
type Answered<T> = Omit<ReplicaResult<T>, 'tried'>
type Outcome<T> = { readonly result: Answered<T> | undefined; readonly failures: readonly Failure[] }

/** Throws `query.unanswered`, `placement.none`, `quorum.not_reached`, and what no other replica would answer differently. */
export async function onReplicas<T>(site: Site, limits: Limits, question: Question): Promise<ReplicaResult<T>> {
  const id = formatTokenRef(parseTokenRef(limits.token))
  const until = performance.now() + (limits.totalMs ?? TOTAL_MS)
  const failures: Failure[] = []
  let anew = false
  let round: Address[] = []
  for (let attempt = 1; attempt <= TRIES && performance.now() < until; attempt++) {
    const timeoutMs = Math.max(1, Math.ceil(Math.min(limits.timeoutMs ?? TIMEOUT_MS, until - performance.now())))
    const options = { signal: limits.signal, timeoutMs }
    const place = await placementFor(site, id, {
      options: { ...options, anew, orStale: question.mayBeStale },
      failures,
    })
    const { executor, replicas } = place.certified.placement
    const all = question.of === 'executor' ? [executor] : replicas
    const left = all.filter((node) => !round.includes(node))
    // Nodes of a token that was placed just now may need a moment: after one round they are asked again.
    if (left.length === 0) await pause(Math.min(ROUND_WAIT_MS, until - performance.now()), limits.signal)
    if (left.length === 0) round = []
    const nodes = left.length > 0 ? left : all
    const outcome = await askSome<T>(site, { place, nodes, question, options })
    failures.push(...outcome.failures)
    if (outcome.result) return { ...outcome.result, tried: triedOf(failures, outcome.result.node) }
    round.push(...outcome.failures.map(({ node }) => node))
    anew = round.length >= all.length || outcome.failures.some(({ error }) => PLACEMENT_MOVED.includes(error.code))
  }
  throw unanswered(limits.token, failures)
}

/** When anchors can name none either, what replicas failed with before says more. */
async function placementFor(
  site: Site,
  token: string,
  { options, failures }: { options: ResolveOptions; failures: readonly Failure[] },
): Promise<PlacementInfo> {
  try {
    return await resolve(site, token, options)
  } catch (error) {
    options.signal?.throwIfAborted()
    throw failures.length > 0 ? unanswered(token, failures, error) : error
  }
}

type Choice = {
  readonly place: PlacementInfo
  readonly nodes: readonly Address[]
  readonly question: Question
  readonly options: CallOptions
}

/** Asks one of the nodes, and a second one when it takes unusually long and the budget allows: the first good answer counts. */
async function askSome<T>(site: Site, { place, nodes, question, options }: Choice): Promise<Outcome<T>> {
  const { board } = site
  const first = board.choose(nodes)
  if (first === undefined) return { result: undefined, failures: [] }
  board.noteRequest()
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  const start = (node: Address) => askOne<T>(site, { place, node, question, options: { ...options, signal } })
  const asked = [start(first)]
  try {
    const others = nodes.filter((node) => node !== first)
    if (question.hedged && others.length > 0) {
      const isSlow = await slowerThan(asked[0]!, board.usuallyWithinMs(first))
      const second = isSlow && board.takeHedge() ? board.choose(others) : undefined
      if (second !== undefined) asked.push(start(second))
    }
    return await firstGood(asked)
  } finally {
    stop.abort()
    for (const each of asked) each.catch(() => {}) // nobody waits for it any more
  }
}

async function slowerThan(asked: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const slow = new Promise<boolean>((done) => {
    timer = setTimeout(() => done(true), ms)
  })
  try {
    return await Promise.race([asked.then(() => false), slow])
  } finally {
    clearTimeout(timer)
  }
}

async function firstGood<T>(asked: readonly Promise<Answered<T> | Failure>[]): Promise<Outcome<T>> {
  const failures: Failure[] = []
  const open = new Map(asked.map((each, i) => [i, each.then((got) => ({ i, got }))]))
  while (open.size > 0) {
    const { i, got } = await Promise.race(open.values())
    open.delete(i)
    if (!('error' in got)) return { result: got, failures }
    failures.push(got)
  }
  return { result: undefined, failures }
}

type One = {
  readonly place: PlacementInfo
  readonly node: Address
  readonly question: Question
  readonly options: CallOptions
}

/** A verified result, or why another node is worth asking. Throws what no other node would answer differently. */
async function askOne<T>(site: Site, { place, node, question, options }: One): Promise<Answered<T> | Failure> {
  const member = memberOf(site.network.membership, node)
  if (!member) return { node, error: SmartLayerError.of('node.unknown', { node }) }
  const end = site.board.begin(node)
  let asked: Asked
  try {
    asked = await question.ask(place, member.api, options)
  } catch (error) {
    end(endOf(error, options))
    if (!isSmartLayerError(error) || isFinal(error)) throw error
    return { node, error }
  }
  const { answer, request } = asked
  const expected = { ...asked.expected, now: site.clock.now() }
  const proof = verifyAnswerProof(answer, expected, site.network, site.crypto)
  try {
    assertProof(proof)
    const value = parseContent(answer.result) as T
    end('answered')
    return {
      value,
      proof,
      stale: proof.stale,
      partial: proof.partial,
      answer,
      expected,
      request,
      placement: place,
      node,
    }
  } catch (error) {
    end(endOf(error, options))
    if (!isSmartLayerError(error)) throw error
    return { node, error } // also a kind that is final elsewhere: this node lies, another one may not
  }
}

function endOf(error: unknown, { signal }: CallOptions): End {
  if (signal?.aborted) return 'dropped'
  if (!isSmartLayerError(error)) return 'failed'
  return IN_ORDER.includes(error.code) || isFinal(error) ? 'refused' : 'failed'
}

/** What no other node would answer differently. A node that does not (yet) know the token is worth another try. */
function isFinal(error: SmartLayerError): boolean {
  return !error.retryable && !error.code.startsWith('journal.') && error.code !== 'node.unknown'
}

function triedOf(failures: readonly Failure[], node: Address): readonly Tried[] {
  return [...failures.map((failure) => ({ node: failure.node, error: failure.error.code })), { node, error: undefined }]
}

function unanswered(token: string, failures: readonly Failure[], cause: unknown = failures.at(-1)?.error) {
  if (failures.length === 0) return SmartLayerError.of('placement.none', { token })
  const told = failures.map(({ node, error }) => ({ node, code: error.code, why: error.message }))
  return SmartLayerError.because(cause, 'query.unanswered', { token, failures: told })
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  if (ms > 0) await new Promise((done) => setTimeout(done, ms))
}
