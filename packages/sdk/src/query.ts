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
  memberOf,
  type PlacementInfo,
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

/** What was answered, why it can be believed, and which nodes were tried. */
export type Result<T> = {
  readonly value: T
  readonly proof: Proof
  readonly answer: Answer
  readonly expected: Expected
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
    return {
      answer,
      expected: expectedOf(site, place, { token, method: parameters.method, requestHash: toHex(digest) }),
    }
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
    return {
      answer,
      expected: expectedOf(site, current, { token, method: parameters.name, requestHash: toHex(digest) }),
    }
  })
}

type Ask = (place: PlacementInfo, api: string) => Promise<{ answer: Answer; expected: Expected }>

async function onReplicas<T>(
  site: Site,
  { token, signal, timeoutMs }: QueryParameters | ActParameters,
  ask: Ask,
): Promise<Result<T>> {
  const tried: { node: Address; error: string | undefined }[] = []
  let last: unknown
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const place = await resolve(site, formatTokenRef(parseTokenRef(token)), { signal, timeoutMs })
    // Nodes of a token that was placed just now may need a moment: after one round they are asked again.
    const node = choose(site, place, tried) ?? choose(site, place, [])
    if (!node) break
    if (attempt > place.certified.placement.replicas.length)
      await new Promise((done) => setTimeout(done, ROUND_WAIT_MS))
    try {
      const result = await askOne<T>(site, { place, node, ask })
      return { ...result, tried: [...tried, { node, error: undefined }] }
    } catch (error) {
      if (!(error instanceof SmartLayerError) || isFinal(error)) throw error
      last = error
      tried.push({ node, error: error.code })
      site.placements.delete(token)
    }
  }
  throw last ?? SmartLayerError.of('placement.none', { token })
}

async function askOne<T>(
  site: Site,
  { place, node, ask }: { place: PlacementInfo; node: Address; ask: Ask },
): Promise<Omit<Result<T>, 'tried'>> {
  const member = memberOf(site.network.membership, node)
  if (!member) throw SmartLayerError.of('node.unknown', { node })
  const started = site.clock.now()
  const { answer, expected } = await ask(place, member.api)
  const taken = Number(site.clock.now() - started)
  const before = site.latencies.get(node) ?? taken
  site.latencies.set(node, before + NEW_LATENCY_SHARE * (taken - before))
  const proof = verifyAnswerProof(answer, { ...expected, now: site.clock.now() }, site.network, site.crypto)
  assertProof(proof)
  return { value: JSON.parse(answer.result) as T, proof, answer, expected, node }
}

/** Two replicas at random, the quicker of them; those that failed before are left out. */
function choose(site: Site, { certified }: PlacementInfo, tried: readonly { node: Address }[]): Address | undefined {
  const left = certified.placement.replicas.filter((node) => !tried.some((t) => t.node === node))
  if (left.length === 0) return undefined
  const pick = () => left[site.random(1)[0]! % left.length]!
  const [a, b] = [pick(), pick()]
  return (site.latencies.get(a) ?? 0) <= (site.latencies.get(b) ?? 0) ? a : b
}

/** What no other node would answer differently; proofs that fail and nodes that do not serve are worth another try. */
function isFinal(error: SmartLayerError): boolean {
  if (error.code.startsWith('attestation.') || error.code.startsWith('journal.') || error.code === 'node.unknown')
    return false
  return !error.retryable
}

function expectedOf(
  site: Site,
  place: PlacementInfo,
  { token, method, requestHash }: { token: `0x${string}`; method: string; requestHash: `0x${string}` },
): Expected {
  const { scriptHash, certified, lease } = place
  const audience = site.signer.address
  return { token, scriptHash, method, audience, requestHash, certified, lease, now: site.clock.now() }
}

function grantHash(site: Site, grant: AttestedGrant | undefined): `0x${string}` {
  return grant ? toHex(digestOf(Grant, grant.grant, site.network.domain, site.crypto.keccak)) : ZERO_32
}
