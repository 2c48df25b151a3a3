/** Whether an answer is to be believed: every check by name, with its reason, from signed data alone. */
import { PublicQuery } from '../access/messages.ts'
import type { Answer, ReadPart } from '../api/messages.ts'
import { checkContent } from '../attestation/body.ts'
import type { Attestation } from '../attestation/envelope.ts'
import { type OutputData, SLOutput } from '../attestation/schemas.ts'
import { type RootCache, rootCache, verifyAnswer } from '../attestation/verify.ts'
import { checkTree, isPartial, readsHash } from '../composition/read.ts'
import { type Home, homeOf } from '../directory/home.ts'
import { answerContext, formatTokenRef, instanceOf, keccakAddress, parseTokenRef, tokenOf } from '../directory/ids.ts'
import { type Membership, memberOf } from '../directory/membership.ts'
import { epochOfTerm } from '../directory/terms.ts'
import { type CertifiedPlacement, type CertifiedRenewal, placementHash } from '../election/messages.ts'
import type { Code } from '../errors/catalogue.ts'
import { isSmartLayerError, SmartLayerError } from '../errors/smart-layer-error.ts'
import { checkPlacement, checkRenewal } from '../journal/certify.ts'
import { textHash } from '../journal/input.ts'
import { Executed } from '../journal/messages.ts'
import { type Address, type Bytes32, fromHex, toHex, ZERO_ADDRESS } from '../primitives/bytes.ts'
import type { Crypto } from '../primitives/crypto.ts'
import { type Domain, digestOf } from '../primitives/domain.ts'
import { recoverShared } from '../primitives/shared-signature.ts'
import { accept, accepted, type Facts, ignore, reject, type Verdict } from '../primitives/verdict.ts'
import { tooOld } from './reads.ts'

/** The network as whoever verifies trusts it: whose signatures count, and for how long. */
export type TrustedNetwork = {
  readonly networkId: Bytes32
  readonly domain: Domain
  readonly easDomain: Domain
  readonly membership: Membership
  readonly epsilonMs: bigint
  /** How long after the end of a lease answers that are marked stale still count. */
  readonly staleReadsMs: bigint
  /** Who knows the home sets of earlier epochs says which one votes in a term; without it the present one does. */
  readonly homeIn?: ((token: Bytes32, term: bigint) => Home | undefined) | undefined
}

export type Check = { readonly name: string; readonly ok: boolean; readonly detail: string }

/** A verdict. `summary` is for people; `code` is that of the first check that failed. */
export type Proof = {
  readonly ok: boolean
  readonly checks: readonly Check[]
  readonly summary: string
  readonly code: Code | undefined
  /** The facts behind the first check that failed. */
  readonly facts: Facts
}
/** The verdict over an answer of a token. */
export type AnswerProof = Proof & {
  /** The lease had ended when it was given: believed, but maybe not the newest. */
  readonly stale: boolean
  /** Some read of another token that the answer may do without is missing, here or in a part. */
  readonly partial: boolean
  /** What other tokens answered, each with its own verdict; without one where the part is missing. */
  readonly parts: readonly PartProof[]
}
export type PartProof = {
  readonly name: string
  readonly token: string
  /** Why the part is missing, or empty. */
  readonly code: string
  readonly proof: AnswerProof | undefined
}
type Judged = Check & { readonly code?: Code; readonly facts?: Facts }

/** What an answer must fit: the request that was sent, and the placement that was in force. */
export type Expected = {
  readonly token: Bytes32
  readonly scriptHash: Bytes32
  readonly method: string
  readonly audience: Address
  readonly requestHash: Bytes32
  /** The least journal position that was asked for; left out means any. */
  readonly minN?: bigint
  /** The greatest age that was asked for, counted at `askedAt`; left out or 0 means any. */
  readonly maxAgeMs?: bigint
  readonly askedAt?: bigint
  readonly linearizable?: boolean
  readonly certified: CertifiedPlacement
  readonly lease: CertifiedRenewal | undefined
  /** Milliseconds since 1970, when the answer arrived. */
  readonly now: bigint
}

/** Checks one answer completely. Pure: the same data give the same verdict, online and offline. */
export function verifyAnswerProof(
  answer: Answer,
  expected: Expected,
  network: TrustedNetwork,
  crypto: Crypto,
): AnswerProof {
  const { placement } = expected.certified
  const node = answer.attestation.attester
  const checks: Judged[] = [
    fromVerdict(
      'placement',
      judgePlacement(expected, network, crypto),
      `${expected.certified.votes.length} anchors voted for term ${placement.term}`,
    ),
    leaseOf(answer, expected, network),
    fromVerdict('node', registered(node, network), `${node} is a registered service node`),
    fromVerdict(
      'replica',
      placement.replicas.includes(node) ? accept(node) : reject('answer.not_replica', { node, term: placement.term }),
      'the node is a replica of this placement',
    ),
    fromVerdict(
      'attestation',
      attestationOf(answer, expected, network, crypto),
      'signed for this request, script, method and state',
    ),
    fromVerdict('content', contentOf(answer, crypto), 'the result is the one that was signed'),
    fromVerdict(
      'position',
      positionOf(answer, expected, crypto),
      'token, instance and position are those that were asked',
    ),
    fromVerdict('freshness', freshnessOf(answer, expected, network), 'as fresh as was asked'),
    majority(answer, expected, network, crypto),
  ]
  const parts = (answer.reads ?? []).map((part) => judgePart(part, expected, { network, crypto }))
  if (parts.length > 0) checks.push(partsOf(answer, parts))
  const failed = checks.find((check) => !check.ok)
  const plain = checks.map(({ name, ok, detail }) => ({ name, ok, detail }))
  const summary = failed
    ? `not verified: ${failed.detail}`
    : `verified by ${plain.length} checks at position ${answer.n}${answer.stale ? ', stale' : ''}; ${answer.evidence}`
  const partial = isPartial(answer)
  const { stale } = answer
  return { ok: !failed, checks: plain, summary, code: failed?.code, facts: failed?.facts ?? {}, stale, partial, parts }
}

/** An answer of another token is judged as if whoever verifies had asked for it: as everybody may, and at the same moment. */
function judgePart(
  { name, token, method, args, code, placement, answer }: ReadPart,
  { now, maxAgeMs, askedAt }: Expected,
  { network, crypto }: { network: TrustedNetwork; crypto: Crypto },
): PartProof {
  const subject = answer && placement && subjectOf(token, crypto)
  if (!subject) return { name, token, code, proof: undefined }
  const message: PublicQuery = { token: subject, method, args: textHash(args, crypto) }
  const expected: Expected = {
    token: subject,
    scriptHash: placement.scriptHash,
    method,
    audience: ZERO_ADDRESS,
    requestHash: toHex(digestOf(PublicQuery, message, network.domain, crypto.keccak)),
    maxAgeMs: maxAgeMs ?? 0n,
    askedAt: askedAt ?? now,
    certified: placement.certified,
    lease: placement.lease,
    now,
  }
  return { name, token, code, proof: verifyAnswerProof(answer, expected, network, crypto) }
}

function subjectOf(text: string, { keccak }: Crypto): Bytes32 | undefined {
  try {
    const ref = parseTokenRef(text)
    return formatTokenRef(ref) === text ? tokenOf(ref, keccak) : undefined
  } catch (error) {
    if (isSmartLayerError(error)) return undefined
    throw error
  }
}

/** Every part that is there holds, each that is not says why, and all stand together. */
function partsOf(answer: Answer, parts: readonly PartProof[]): Judged {
  const wrong = parts.find(({ code, proof }) => (proof ? !proof.ok : code === ''))
  if (wrong) {
    const facts = { name: wrong.name, why: wrong.proof?.summary ?? 'it is neither there nor said to be missing' }
    return fromVerdict('parts', reject('read.part', facts), '')
  }
  const missing = parts.filter(({ proof }) => !proof).map(({ name, code }) => `${name}: ${code}`)
  const detail = missing.length > 0 ? `, missing ${missing.join(', ')}` : ''
  const together = checkTree(answer)
  return fromVerdict('parts', together, `${parts.length - missing.length} of ${parts.length} parts verified${detail}`)
}

/** Throws the error of the first check that failed. */
export function assertProof(proof: Proof): void {
  if (proof.ok) return
  throw SmartLayerError.fromData(proof.code ?? 'attestation.proof', proof.facts)
}

/** When the lease ends, by the latest renewal that counts. */
export function leaseEnd({ certified, lease }: Pick<Expected, 'certified' | 'lease'>): bigint {
  const renewed = lease?.renew.expires ?? 0n
  return renewed > certified.placement.expires ? renewed : certified.placement.expires
}

/** Placements and renewals whose votes were counted before, each under one membership: every answer asks about the same one. */
const COUNTED_LIMIT = 1_024
const counted = new WeakMap<Membership, RootCache>()

/** A quorum of the home anchors voted for the placement, and for the renewal that comes with it. */
export function judgePlacement(
  { token, certified, lease }: Pick<Expected, 'token' | 'certified' | 'lease'>,
  { domain, membership, homeIn }: TrustedNetwork,
  crypto: Crypto,
): Verdict<unknown> {
  const { term } = certified.placement
  const home = homeIn ? homeIn(token, term) : homeOf(token, membership, crypto.keccak)
  if (!home) return ignore('home.epoch', { epoch: epochOfTerm(term), standing: membership.epoch })
  const door = { domain, crypto }
  const known = counted.get(membership) ?? rootCache(COUNTED_LIMIT)
  counted.set(membership, known)
  const hash = placementHash(certified.placement, domain, crypto.keccak)
  const once = (key: string, check: () => Verdict<unknown>): Verdict<unknown> => {
    if (known.has(key)) return accept(hash)
    const verdict = check()
    if (accepted(verdict)) known.add(key)
    return verdict
  }
  const votes = (signatures: readonly string[]) => signatures.join()
  const placed = once(`${hash}/${votes(certified.votes)}`, () => checkPlacement(certified, home, door))
  if (!accepted(placed) || !lease) return placed
  const { renew } = lease
  if (renew.placement !== hash) return { verdict: 'reject', code: 'election.unknown_placement', facts: {} }
  return once(`${hash}/${renew.expires}/${votes(lease.votes)}`, () => checkRenewal(lease, home, door))
}

/** The placement was in force, or ended so lately that an answer which says so itself counts. */
function leaseOf(answer: Answer, expected: Expected, { epsilonMs, staleReadsMs }: TrustedNetwork): Judged {
  const { now } = expected
  const ended = leaseEnd(expected)
  const detail = answer.stale ? 'the lease had ended, and the answer says so' : 'the placement is in force'
  const until = ended + epsilonMs + (answer.stale ? staleReadsMs : 0n)
  return fromVerdict('lease', now <= until ? accept(ended) : ignore('answer.placement_ended', { ended, now }), detail)
}

/** A linearizable answer is the executor's alone; an age counts from what the node signed to the moment of asking. */
function freshnessOf(answer: Answer, expected: Expected, { epsilonMs }: TrustedNetwork): Verdict<unknown> {
  const { linearizable = false, maxAgeMs = 0n, askedAt = expected.now } = expected
  const { executor } = expected.certified.placement
  const mustBeInForce = linearizable || maxAgeMs > 0n
  if (answer.stale && mustBeInForce) return ignore('query.not_serving', { reason: 'the lease ended' })
  if (linearizable && answer.attestation.attester !== executor)
    return ignore('query.not_linearizable', { reason: `${answer.attestation.attester} is not the executor` })
  return tooOld({ maxAgeMs }, answer.asOf + epsilonMs, askedAt) ?? accept(answer)
}

function registered(node: Address, { membership }: TrustedNetwork): Verdict<unknown> {
  const role = memberOf(membership, node)?.role
  if (!role) return reject('node.unknown', { node })
  return role === 'service' ? accept(node) : reject('node.role', { node, role: 'service node' })
}

function attestationOf(answer: Answer, expected: Expected, network: TrustedNetwork, crypto: Crypto): Verdict<unknown> {
  const { scriptHash, method, audience, requestHash, now } = expected
  const reads = readsHash(answer.reads, crypto.keccak)
  return verifyAnswer(answer.attestation, {
    domain: network.easDomain,
    crypto,
    nowS: now / 1000n,
    signer: answer.attestation.attester,
    audience: keccakAddress(audience, crypto.keccak),
    requestHash,
    context: answerContext(network.networkId, { ...answer, scriptHash, method, reads }, crypto.keccak),
  })
}

function contentOf({ attestation, result }: Answer, { keccak }: Crypto): Verdict<unknown> {
  const data = outputOf(attestation)
  return data ? checkContent(result, data.result, keccak) : reject('attestation.proof')
}

/** What was signed is about this token and instance, at the position that the roots are for, and not before `minN`. */
function positionOf(answer: Answer, { token, scriptHash, certified, minN = 0n }: Expected, { keccak }: Crypto) {
  const data = outputOf(answer.attestation)
  const instance = instanceOf(token, scriptHash, keccak)
  const same =
    data?.token === token &&
    [data.stream, answer.instance, certified.placement.instance].every((named) => named === instance)
  if (!same) return reject('attestation.context', { expected: instance, actual: data?.stream ?? answer.instance })
  if (data.sequence !== answer.n) return reject('attestation.context', { expected: answer.n, actual: data.sequence })
  return answer.n < minN ? ignore('query.behind', { n: answer.n, minN, sequence: 0n, minSequence: 0n }) : accept(data)
}

/** What an answer says, without any check of who said it; undefined when it is no answer. */
function outputOf({ message }: Attestation): OutputData | undefined {
  try {
    return SLOutput.decode(fromHex(message.data))
  } catch {
    return undefined
  }
}

/** A majority of the placement's replicas signed the root that the answer was computed from. */
function majority(answer: Answer, { certified }: Expected, network: TrustedNetwork, crypto: Crypto): Judged {
  const { replicas, instance } = certified.placement
  const signers = answer.roots
    .filter(
      ({ executed }) => executed.instance === instance && executed.n === answer.n && executed.root === answer.stateRoot,
    )
    .map(({ executed, signature }) =>
      recoverShared(digestOf(Executed, executed, network.domain, crypto.keccak), signature, crypto),
    )
  const got = new Set(signers.filter((signer) => signer && replicas.includes(signer))).size
  const needed = Math.floor(replicas.length / 2) + 1
  const detail = `${got} of ${replicas.length} replicas computed this state`
  if (got >= needed) return { name: 'state', ok: true, detail }
  const facts = { got, needed, n: answer.n, root: answer.stateRoot }
  return { name: 'state', ok: false, detail: `${detail}, ${needed} needed`, code: 'answer.state_unconfirmed', facts }
}

function fromVerdict(name: string, verdict: Verdict<unknown>, detail: string): Judged {
  if (accepted(verdict)) return { name, ok: true, detail }
  const { code, facts } = verdict
  return { name, ok: false, detail: SmartLayerError.fromData(code, facts).message, code, facts }
}
