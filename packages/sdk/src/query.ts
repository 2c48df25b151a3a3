/** Asks a token, and believes only a verified answer. */
import {
  Action,
  type Action as ActionMessage,
  type AttestedGrant,
  actionRequestShape,
  answerShape,
  type Bytes32,
  canonicalJson,
  digestOf,
  Grant,
  type PlacementInfo,
  PublicQuery,
  parseTokenRef,
  Query,
  queryRequestShape,
  textHash,
  toHex,
  tokenOf,
  ZERO_32,
  ZERO_ADDRESS,
} from '@smartlayer/protocol'
import { type CallOptions, get, post } from './http.ts'
import { type Asked, onReplicas, type ReplicaResult } from './on-replicas.ts'
import { resolve } from './resolve.ts'
import { nonce, type Site } from './site.ts'
import type { Expected } from './verify.ts'

const ACTION_TIMEOUT_MS = 15_000
const ACTION_TOTAL_MS = 30_000
const ACTION_LIFE_MS = 30_000n

/** How fresh an answer must be; what is left out asks for nothing (docs/reading.md). */
export type FreshnessParameters = {
  /** The least journal position to answer from, as an action returned it: read your own writes. */
  readonly minN?: bigint
  /** The least place in a subset of a stream, as publishing a fact returned it: read your own facts. */
  readonly minSequence?: { readonly stream: Bytes32; readonly subset: Bytes32; readonly sequence: bigint }
  /** The answer's place must have been known to be the newest this many milliseconds before the request, or later. */
  readonly maxAgeMs?: number
}

export type QueryParameters = CallOptions &
  FreshnessParameters & {
    /** CAIP-19 id of the token. */
    readonly token: string
    readonly method: string
    readonly args?: unknown
    readonly grant?: AttestedGrant | undefined
    /** Answered by the executor, after all that was acknowledged before: as if there were one copy. */
    readonly linearizable?: boolean
    /** `bypass` has the node compute anew, for audits. */
    readonly cache?: 'bypass'
    /** All tries together, in milliseconds. */
    readonly totalMs?: number
  }

/** What was answered, why it can be believed, and which nodes were tried. */
export type Result<T> = ReplicaResult<T>

/**
 * Asks one replica, chosen at random with preference for quick ones; another one when it is slow, fails or cannot be believed.
 * Throws `query.unanswered` with what each one failed with, and what no other replica would answer differently.
 */
export async function query<T = unknown>(site: Site, parameters: QueryParameters): Promise<Result<T>> {
  const args = canonicalJson(parameters.args ?? null)
  const { keccak } = site.crypto
  const token = tokenOf(parseTokenRef(parameters.token), keccak)
  const { minSequence, linearizable = false } = parameters
  const ask = async (place: PlacementInfo, api: string, options: CallOptions): Promise<Asked> => {
    const message: Query = {
      token,
      method: parameters.method,
      args: textHash(args, site.crypto),
      audience: site.signer.address,
      grant: grantHash(site, parameters.grant),
      nonce: nonce(site),
      time: site.clock.now(),
      minN: parameters.minN ?? 0n,
      stream: minSequence?.stream ?? ZERO_32,
      subset: minSequence?.subset ?? ZERO_32,
      minSequence: minSequence?.sequence ?? 0n,
      maxAgeMs: BigInt(parameters.maxAgeMs ?? 0),
      linearizable,
      bypassCache: parameters.cache === 'bypass',
    }
    const digest = digestOf(Query, message, site.network.domain, keccak)
    const request = { query: message, signature: site.signer.sign(digest), args, grant: parameters.grant }
    const url = `${api}/v1/tokens/${encodeURIComponent(parameters.token)}/query`
    const answer = await post(url, queryRequestShape.toJson(request), answerShape, options)
    const { minN, maxAgeMs, time: askedAt } = message
    const fresh = { minN, maxAgeMs, askedAt, linearizable }
    const asked = { token, method: parameters.method, requestHash: toHex(digest), ...fresh }
    const signed = { kind: 'query', message, signature: request.signature } as const
    return { answer, request: signed, expected: expectedOf(site, place, asked) }
  }
  const mayBeStale = !linearizable && parameters.maxAgeMs === undefined
  return onReplicas(site, parameters, { ask, of: linearizable ? 'executor' : 'replicas', mayBeStale, hedged: true })
}

/** What everybody may ask alike: nodes attest one answer and give it to all who ask within a second. */
export type PublicParameters = Pick<QueryParameters, 'token' | 'method' | 'args' | 'totalMs'> &
  CallOptions &
  FreshnessParameters

/**
 * Asks a method that needs no grant, without saying who asks: cheaper for nodes and for caches between. The answer is bound
 * to the question, not to one asking of it, so it may have been given to others before. Throws as `query`.
 */
export async function queryPublic<T = unknown>(site: Site, parameters: PublicParameters): Promise<Result<T>> {
  const args = canonicalJson(parameters.args ?? null)
  const { keccak } = site.crypto
  const token = tokenOf(parseTokenRef(parameters.token), keccak)
  const message: PublicQuery = { token, method: parameters.method, args: textHash(args, site.crypto) }
  const requestHash = toHex(digestOf(PublicQuery, message, site.network.domain, keccak))
  const asking = publicSearch(args, parameters)
  const ask = async (place: PlacementInfo, api: string, options: CallOptions): Promise<Asked> => {
    const askedAt = site.clock.now()
    const path = `/v1/tokens/${encodeURIComponent(parameters.token)}/queries/${encodeURIComponent(parameters.method)}`
    const answer = await get(`${api}${path}?${asking}`, answerShape, options)
    const fresh = { minN: parameters.minN ?? 0n, maxAgeMs: BigInt(parameters.maxAgeMs ?? 0), askedAt }
    const asked = { token, method: parameters.method, requestHash, ...fresh }
    const expected = { ...expectedOf(site, place, asked), audience: ZERO_ADDRESS }
    return { answer, request: { kind: 'public', message }, expected }
  }
  const mayBeStale = parameters.maxAgeMs === undefined
  return onReplicas(site, parameters, { ask, of: 'replicas', mayBeStale, hedged: true })
}

function publicSearch(args: string, { minN, minSequence, maxAgeMs }: FreshnessParameters): URLSearchParams {
  const search = new URLSearchParams({ args })
  if (minN !== undefined) search.set('minN', String(minN))
  if (maxAgeMs !== undefined) search.set('maxAgeMs', String(maxAgeMs))
  if (!minSequence) return search
  search.set('stream', minSequence.stream)
  search.set('subset', minSequence.subset)
  search.set('minSequence', String(minSequence.sequence))
  return search
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
  const ask = async (current: PlacementInfo, api: string, options: CallOptions): Promise<Asked> => {
    const url = `${api}/v1/tokens/${encodeURIComponent(parameters.token)}/actions`
    const answer = await post(url, actionRequestShape.toJson(request), answerShape, options)
    const asked = { token, method: parameters.name, requestHash: toHex(digest), minN: 0n }
    const signed = { kind: 'action', message, signature: request.signature } as const
    return { answer, request: signed, expected: expectedOf(site, current, asked) }
  }
  const patient = { timeoutMs: ACTION_TIMEOUT_MS, totalMs: ACTION_TOTAL_MS, ...parameters }
  return onReplicas(site, patient, { ask, of: 'replicas', mayBeStale: false, hedged: false })
}

function expectedOf(
  site: Site,
  place: PlacementInfo,
  asked: Pick<Expected, 'token' | 'method' | 'requestHash' | 'minN' | 'maxAgeMs' | 'askedAt' | 'linearizable'>,
): Expected {
  const { scriptHash, certified, lease } = place
  const audience = site.signer.address
  return { ...asked, scriptHash, audience, certified, lease, now: site.clock.now() }
}

function grantHash(site: Site, grant: AttestedGrant | undefined): `0x${string}` {
  return grant ? toHex(digestOf(Grant, grant.grant, site.network.domain, site.crypto.keccak)) : ZERO_32
}
