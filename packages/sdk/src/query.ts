/** Asks a token, and believes only a verified answer. */
import {
  Action,
  type Action as ActionMessage,
  type Address,
  type Answer,
  type AttestedGrant,
  actionRequestShape,
  answerShape,
  canonicalJson,
  digestOf,
  formatTokenRef,
  Grant,
  type Hex,
  isSmartLayerError,
  memberOf,
  type PlacementInfo,
  parseContent,
  parseTokenRef,
  Query,
  queryRequestShape,
  SmartLayerError,
  textHash,
  toHex,
  tokenOf,
  ZERO_32,
} from '@smartlayer/protocol'
import { type CallOptions, post } from './http.ts'
import { resolve } from './resolve.ts'
import { nonce, type Site } from './site.ts'
import { assertProof, type Expected, type Proof, verifyAnswerProof } from './verify.ts'

/** Tries over all rounds, and the pause before each try after the first round. */
const TRIES = 12
const ROUND_WAIT_MS = 250
const ACTION_TIMEOUT_MS = 15_000
const ACTION_LIFE_MS = 30_000n
const NEW_LATENCY_SHARE = 0.3

export type QueryParameters = CallOptions & {
  /** CAIP-19 id of the token. */
  readonly token: string
  readonly method: string
  readonly args?: unknown
  readonly grant?: AttestedGrant | undefined
  /** The least journal position to answer from: read your own writes. */
  readonly minN?: bigint
}

export type SignedRequest =
  | { readonly kind: 'query'; readonly message: Query; readonly signature: Hex }
  | { readonly kind: 'action'; readonly message: ActionMessage; readonly signature: Hex }

/** What was answered, why it can be believed, and which nodes were tried. */
export type Result<T> = {
  readonly value: T
  readonly proof: Proof
  readonly answer: Answer
  readonly expected: Expected
  /** The signed request that was answered; with the answer and the placement it proves the answer to others. */
  readonly request: SignedRequest
  /** The placement whose replicas were asked. */
  readonly placement: PlacementInfo
  readonly node: Address
  readonly tried: readonly { readonly node: Address; readonly error: string | undefined }[]
}

/** Asks one replica, chosen at random with preference for quick ones; another one when it fails or cannot be believed. */
export async function query<T = unknown>(site: Site, parameters: QueryParameters): Promise<Result<T>> {
  const args = canonicalJson(parameters.args ?? null)
  const { keccak } = site.crypto
  const token = tokenOf(parseTokenRef(parameters.token), keccak)
  return onReplicas(site, parameters, async (place, api) => {
    const message: Query = {
      token,
      method: parameters.method,
      args: textHash(args, site.crypto),
      audience: site.signer.address,
      grant: grantHash(site, parameters.grant),
      nonce: nonce(site),
      time: site.clock.now(),
      minN: parameters.minN ?? 0n,
    }
    const digest = digestOf(Query, message, site.network.domain, keccak)
    const request = { query: message, signature: site.signer.sign(digest), args, grant: parameters.grant }
    const url = `${api}/v1/tokens/${encodeURIComponent(parameters.token)}/query`
    const answer = await post(url, queryRequestShape.toJson(request), answerShape, parameters)
    const asked = { token, method: parameters.method, requestHash: toHex(digest), minN: message.minN }
    const signed = { kind: 'query', message, signature: request.signature } as const
    return { answer, request: signed, expected: expectedOf(site, place, asked) }
  })
}

export type ActParameters = CallOptions & {
  readonly token: string
  readonly name: string
  readonly args?: unknown
  readonly grant?: AttestedGrant | undefined
}

/** Changes a token by a declared action; resolves once it is committed and a majority computed the same state. */
export async function act(site: Site, parameters: ActParameters): Promise<Result<{ n: string; refused: string }>> {
  const args = canonicalJson(parameters.args ?? null)
  const { keccak } = site.crypto
  const token = tokenOf(parseTokenRef(parameters.token), keccak)
  const place = await resolve(site, parameters.token, parameters)
  const message: ActionMessage = {
    instance: place.instance,
    name: parameters.name,
    args: textHash(args, site.crypto),
    audience: site.signer.address,
    grant: grantHash(site, parameters.grant),
    nonce: nonce(site),
    expires: site.clock.now() + ACTION_LIFE_MS,
    maxPrice: 0n,
  }
  const digest = digestOf(Action, message, site.network.domain, keccak)
  const request = { action: message, signature: site.signer.sign(digest), args, grant: parameters.grant }
  // The same signed action may go to several nodes: its digest is taken once, whoever brings it.
  return onReplicas(site, parameters, async (current, api) => {
    const url = `${api}/v1/tokens/${encodeURIComponent(parameters.token)}/actions`
    const options = { ...parameters, timeoutMs: parameters.timeoutMs ?? ACTION_TIMEOUT_MS }
    const answer = await post(url, actionRequestShape.toJson(request), answerShape, options)
    const asked = { token, method: parameters.name, requestHash: toHex(digest), minN: 0n }
    const signed = { kind: 'action', message, signature: request.signature } as const
    return { answer, request: signed, expected: expectedOf(site, current, asked) }
  })
}

type Asked = { readonly answer: Answer; readonly expected: Expected; readonly request: SignedRequest }
type Ask = (place: PlacementInfo, api: string) => Promise<Asked>

async function onReplicas<T>(
  site: Site,
  { token, signal, timeoutMs }: QueryParameters | ActParameters,
  ask: Ask,
): Promise<Result<T>> {
  const id = formatTokenRef(parseTokenRef(token))
  const tried: { node: Address; error: string | undefined }[] = []
  let last: unknown
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const place = await resolve(site, id, { signal, timeoutMs })
    // Nodes of a token that was placed just now may need a moment: after one round they are asked again.
    const node = choose(site, place, tried) ?? choose(site, place, [])
    if (!node) break
    if (attempt > place.certified.placement.replicas.length)
      await new Promise((done) => setTimeout(done, ROUND_WAIT_MS))
    const asked = await askOne<T>(site, { place, node, ask })
    if ('result' in asked) return { ...asked.result, tried: [...tried, { node, error: undefined }] }
    last = asked.error
    tried.push({ node, error: asked.error.code })
    site.placements.delete(id)
  }
  throw last ?? SmartLayerError.of('placement.none', { token })
}

type OneAsked<T> = { readonly result: Omit<Result<T>, 'tried'> } | { readonly error: SmartLayerError }

/** A verified result, or why another node is worth asking. Throws what no other node would answer differently. */
async function askOne<T>(
  site: Site,
  { place, node, ask }: { place: PlacementInfo; node: Address; ask: Ask },
): Promise<OneAsked<T>> {
  const member = memberOf(site.network.membership, node)
  if (!member) return { error: SmartLayerError.of('node.unknown', { node }) }
  const started = site.clock.now()
  let asked: Asked
  try {
    asked = await ask(place, member.api)
  } catch (error) {
    if (!isSmartLayerError(error) || isFinal(error)) throw error
    return { error }
  }
  noteLatency(site, node, Number(site.clock.now() - started))
  const { answer, request } = asked
  const expected = { ...asked.expected, now: site.clock.now() }
  const proof = verifyAnswerProof(answer, expected, site.network, site.crypto)
  try {
    assertProof(proof)
    const value = parseContent(answer.result) as T
    return { result: { value, proof, answer, expected, request, placement: place, node } }
  } catch (error) {
    if (!isSmartLayerError(error)) throw error
    return { error } // also a kind that is final elsewhere: this node lies, another one may not
  }
}

function noteLatency({ latencies }: Site, node: Address, takenMs: number): void {
  const before = latencies.get(node) ?? takenMs
  latencies.set(node, before + NEW_LATENCY_SHARE * (takenMs - before))
}

/** Two replicas at random, the quicker of them; those that failed before are left out. */
function choose(site: Site, { certified }: PlacementInfo, tried: readonly { node: Address }[]): Address | undefined {
  const left = certified.placement.replicas.filter((node) => !tried.some((t) => t.node === node))
  if (left.length === 0) return undefined
  const pick = () => left[site.random(1)[0]! % left.length]!
  const [a, b] = [pick(), pick()]
  return (site.latencies.get(a) ?? 0) <= (site.latencies.get(b) ?? 0) ? a : b
}

/** What no other node would answer differently. A node that does not (yet) know the token is worth another try. */
function isFinal(error: SmartLayerError): boolean {
  return !error.retryable && !error.code.startsWith('journal.') && error.code !== 'node.unknown'
}

function expectedOf(
  site: Site,
  place: PlacementInfo,
  asked: Pick<Required<Expected>, 'token' | 'method' | 'requestHash' | 'minN'>,
): Expected {
  const { scriptHash, certified, lease } = place
  const audience = site.signer.address
  return { ...asked, scriptHash, audience, certified, lease, now: site.clock.now() }
}

function grantHash(site: Site, grant: AttestedGrant | undefined): `0x${string}` {
  return grant ? toHex(digestOf(Grant, grant.grant, site.network.domain, site.crypto.keccak)) : ZERO_32
}
