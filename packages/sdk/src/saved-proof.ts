/** An answer in a file: everything that is needed to verify it later, offline, by anyone who knows the network. */
import {
  Action,
  answerShape,
  type Bytes32,
  type Crypto,
  digestOf,
  networkInfoShape,
  oneOf,
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
} from '@smartlayer/protocol'
import { type Network, networkOf } from './network.ts'
import type { Result } from './query.ts'
import type { Site } from './site.ts'
import { type Check, type Expected, type Proof, verifyAnswerProof } from './verify.ts'

const FORMAT = 'smartlayer-proof/1'

/** `receivedAt` in milliseconds: the moment for which the verdict is given, as whoever saved the file claims. */
export const savedProofShape = record({
  format: text(32),
  receivedAt: uint(64),
  network: networkInfoShape,
  placement: placementInfoShape,
  request: oneOf('kind', {
    query: record({ message: Query, signature }),
    action: record({ message: Action, signature }),
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
export function verifySavedProof(saved: SavedProof, crypto: Crypto, trusted?: Network): Proof {
  const network = trusted ?? networkOf(saved.network, crypto)
  const judge = trusted ? 'the network that the verifier trusts' : 'the members that the file itself names'
  const token = tokenOf(parseTokenRef(saved.placement.token), crypto.keccak)
  const request = readRequest(saved, { token, network, crypto })
  const { placement, receivedAt: now } = saved
  const { scriptHash, certified, lease } = placement
  const expected: Expected = { ...request.expected, token, scriptHash, certified, lease, now }
  const proof = verifyAnswerProof(saved.answer, expected, network, crypto)
  const detail = 'the site signed this request for this token'
  const checks: readonly Check[] = [
    { name: 'network', ok: true, detail: `judged by ${judge}` },
    { name: 'request', ok: request.ok, detail: request.ok ? detail : `not so: ${detail}` },
    ...proof.checks,
  ]
  if (request.ok) return { ...proof, checks }
  return { ok: false, checks, summary: `not verified: not so: ${detail}`, code: 'request.signature', facts: {} }
}

type RequestContext = { readonly token: Bytes32; readonly network: Network; readonly crypto: Crypto }

/** What the answer must fit, and whether the request is this token's and signed by the key that it names. */
function readRequest({ request, placement }: SavedProof, { token, network, crypto }: RequestContext) {
  const isQuery = request.kind === 'query'
  const digest = isQuery
    ? digestOf(Query, request.message, network.domain, crypto.keccak)
    : digestOf(Action, request.message, network.domain, crypto.keccak)
  const { audience } = request.message
  const about = isQuery ? request.message.token === token : request.message.instance === placement.instance
  return {
    ok: about && crypto.recover(digest, request.signature) === audience,
    expected: {
      method: isQuery ? request.message.method : request.message.name,
      audience,
      requestHash: toHex(digest),
      minN: isQuery ? request.message.minN : 0n,
    },
  }
}
