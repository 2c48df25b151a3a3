/** An answer in a file: everything that is needed to verify it later, offline, by anyone who knows the network. */
import {
  Action,
  answerShape,
  type Bytes32,
  type Crypto,
  digestOf,
  networkInfoShape,
  oneOf,
  PublicQuery,
  parseTokenRef,
  placementInfoShape,
  Query,
  record,
  type ShapeOf,
  SmartLayerError,
  signature,
  text,
  toHex,
  tokenOf,
  uint,
  ZERO_ADDRESS,
} from '@smartlayer/protocol'
import { type Network, networkOf } from './network.ts'
import type { Result } from './query.ts'
import type { Site } from './site.ts'
import { type AnswerProof, type Check, type Expected, verifyAnswerProof } from './verify.ts'

const FORMAT = 'smartlayer-proof/2'

/** `receivedAt` in milliseconds: the moment for which the verdict is given, as whoever saved the file claims. */
export const savedProofShape = record({
  format: text(32),
  receivedAt: uint(64),
  network: networkInfoShape,
  placement: placementInfoShape,
  request: oneOf('kind', {
    query: record({ message: Query, signature }),
    action: record({ message: Action, signature }),
    public: record({ message: PublicQuery }),
  }),
  answer: answerShape,
})
export type SavedProof = ShapeOf<typeof savedProofShape>

/** What to keep of a result: signed data only, and of its network what a verifier compares with its own. */
export function saveProof<T>(site: Site, { answer, expected, placement, request }: Result<T>): SavedProof {
  return { format: FORMAT, receivedAt: expected.now, network: site.network.info, placement, request, answer }
}

export function formatSavedProof(saved: SavedProof): string {
  return JSON.stringify(savedProofShape.toJson(saved), null, 2)
}

/** Throws `message.malformed`. */
export function parseSavedProof(file: string): SavedProof {
  let json: unknown
  try {
    json = JSON.parse(file)
  } catch (cause) {
    throw SmartLayerError.because(cause, 'message.malformed', { at: 'file', expected: 'JSON' })
  }
  const saved = savedProofShape.parse(json, 'file')
  if (saved.format === FORMAT) return saved
  throw SmartLayerError.of('message.malformed', { at: 'file.format', expected: FORMAT })
}

/**
 * The verdict over a saved answer. With `trusted` its members' signatures count; without it those that the file names
 * count, which proves only that the file agrees with itself, and the first check says so.
 */
export function verifySavedProof(saved: SavedProof, crypto: Crypto, trusted?: Network): AnswerProof {
  const network = trusted ?? networkOf(saved.network, crypto)
  const judge = trusted ? 'the network that the verifier trusts' : 'the members that the file itself names'
  const token = tokenOf(parseTokenRef(saved.placement.token), crypto.keccak)
  const request = readRequest(saved, { token, network, crypto })
  const { placement, receivedAt: now } = saved
  const { scriptHash, certified, lease } = placement
  const expected: Expected = { ...request.expected, token, scriptHash, certified, lease, now }
  const proof = verifyAnswerProof(saved.answer, expected, network, crypto)
  const asker =
    saved.request.kind === 'public'
      ? 'everybody may ask this of this token'
      : 'the site signed this request for this token'
  const detail = asker
  const checks: readonly Check[] = [
    { name: 'network', ok: true, detail: `judged by ${judge}` },
    { name: 'request', ok: request.ok, detail: request.ok ? detail : `not so: ${detail}` },
    ...proof.checks,
  ]
  if (request.ok) return { ...proof, checks }
  const summary = `not verified: not so: ${detail}`
  return { ...proof, ok: false, checks, summary, code: 'request.signature', facts: {} }
}

type RequestContext = { readonly token: Bytes32; readonly network: Network; readonly crypto: Crypto }

/** What the answer must fit, and whether the request is this token's and, where one key asked, signed by it. */
function readRequest({ request, placement, receivedAt }: SavedProof, { token, network, crypto }: RequestContext) {
  const requestHash = (digest: Uint8Array) => ({ requestHash: toHex(digest) })
  const { keccak, recover } = crypto
  switch (request.kind) {
    case 'query': {
      const { message, signature } = request
      const digest = digestOf(Query, message, network.domain, keccak)
      const { method, audience, minN, maxAgeMs, time: askedAt, linearizable } = message
      const ok = message.token === token && recover(digest, signature) === audience
      return { ok, expected: { method, audience, minN, maxAgeMs, askedAt, linearizable, ...requestHash(digest) } }
    }
    case 'action': {
      const { message, signature } = request
      const digest = digestOf(Action, message, network.domain, keccak)
      const { name: method, audience } = message
      const ok = message.instance === placement.instance && recover(digest, signature) === audience
      return { ok, expected: { method, audience, ...requestHash(digest) } }
    }
    case 'public': {
      const { method } = request.message
      const digest = digestOf(PublicQuery, request.message, network.domain, keccak)
      const expected = { method, audience: ZERO_ADDRESS, askedAt: receivedAt, ...requestHash(digest) }
      return { ok: request.message.token === token, expected }
    }
  }
}
