/** Whether an answer is to be believed: every check by name, with its reason, from signed data alone. */
import {
  type Address,
  type Answer,
  accepted,
  answerContext,
  type Bytes32,
  type CertifiedPlacement,
  type CertifiedRenewal,
  type Code,
  type Crypto,
  checkPlacement,
  checkRenewal,
  digestOf,
  Executed,
  homeOf,
  keccakAddress,
  memberOf,
  SmartLayerError,
  textHash,
  type Verdict,
  verifyAnswer,
} from '@smartlayer/protocol'
import type { Network } from './network.ts'

export type Check = { readonly name: string; readonly ok: boolean; readonly detail: string }

/** The verdict over one answer. `summary` is for people; `code` is that of the first check that failed. */
export type Proof = {
  readonly ok: boolean
  readonly checks: readonly Check[]
  readonly summary: string
  readonly code: Code | undefined
}

/** What an answer must fit: the request that was sent, and the placement that was in force. */
export type Expected = {
  readonly token: Bytes32
  readonly scriptHash: Bytes32
  readonly method: string
  readonly audience: Address
  readonly requestHash: Bytes32
  readonly certified: CertifiedPlacement
  readonly lease: CertifiedRenewal | undefined
  /** Milliseconds since 1970, when the answer arrived. */
  readonly now: bigint
}

/** Checks one answer completely. Pure: the same data give the same verdict, online and offline. */
export function verifyAnswerProof(answer: Answer, expected: Expected, network: Network, crypto: Crypto): Proof {
  const { placement } = expected.certified
  const node = answer.attestation.attester
  const checks: (Check & { code?: Code })[] = [
    fromVerdict(
      'placement',
      placementQuorum(expected, network, crypto),
      `${expected.certified.votes.length} anchors voted for term ${placement.term}`,
    ),
    expect(
      'lease',
      'placement.none',
      expected.now <= leaseEnd(expected) + network.epsilonMs,
      'the placement is in force',
    ),
    expect(
      'node',
      'node.unknown',
      memberOf(network.membership, node)?.role === 'service',
      `${node} is a registered service node`,
    ),
    expect(
      'replica',
      'election.executor',
      placement.replicas.includes(node),
      'the node is a replica of this placement',
    ),
    fromVerdict(
      'attestation',
      attestationOf(answer, expected, network, crypto),
      'signed for this request, script, method and state',
    ),
    expect('content', 'attestation.content', contentFits(answer, crypto), 'the result is the one that was signed'),
    majority(answer, expected, network, crypto),
  ]
  const failed = checks.find((check) => !check.ok)
  const plain = checks.map(({ name, ok, detail }) => ({ name, ok, detail }))
  const summary = failed
    ? `not verified: ${failed.detail}`
    : `verified by ${plain.length} checks at position ${answer.n}; ${answer.evidence}`
  return { ok: !failed, checks: plain, summary, code: failed?.code }
}

/** Throws the error of the first check that failed. */
export function assertProof(proof: Proof): void {
  if (proof.ok) return
  const failed = proof.checks.find((check) => !check.ok)
  throw SmartLayerError.fromData(proof.code ?? 'attestation.proof', { detail: failed?.detail })
}

/** When the lease ends, by the latest renewal that counts. */
export function leaseEnd({ certified, lease }: Pick<Expected, 'certified' | 'lease'>): bigint {
  const renewed = lease?.renew.expires ?? 0n
  return renewed > certified.placement.expires ? renewed : certified.placement.expires
}

function placementQuorum({ certified, lease }: Expected, network: Network, crypto: Crypto): Verdict<unknown> {
  const home = homeOf(certified.placement.instance, network.membership, crypto.keccak)
  const door = { domain: network.domain, crypto }
  const placed = checkPlacement(certified, home, door)
  if (!accepted(placed) || !lease) return placed
  if (lease.renew.placement !== placed.value)
    return { verdict: 'reject', code: 'election.unknown_placement', facts: {} }
  return checkRenewal(lease, home, door)
}

function attestationOf(answer: Answer, expected: Expected, network: Network, crypto: Crypto): Verdict<unknown> {
  const { scriptHash, method, audience, requestHash, now } = expected
  return verifyAnswer(answer.attestation, {
    domain: network.easDomain,
    crypto,
    nowS: now / 1000n,
    signer: answer.attestation.attester,
    audience: keccakAddress(audience, crypto.keccak),
    requestHash,
    context: answerContext(network.networkId, { scriptHash, method, stateRoot: answer.stateRoot }, crypto.keccak),
  })
}

/** The body has the hash that was signed, third word from the end of the attested data. */
function contentFits(answer: Answer, crypto: Crypto): boolean {
  const { data } = answer.attestation.message
  return data.slice(2 + 64 * 5, 2 + 64 * 6) === textHash(answer.result, crypto).slice(2)
}

/** A majority of the placement's replicas signed the root that the answer was computed from. */
function majority(answer: Answer, { certified }: Expected, network: Network, crypto: Crypto): Check & { code: Code } {
  const { replicas, instance } = certified.placement
  const signers = answer.roots
    .filter(
      ({ executed }) => executed.instance === instance && executed.n === answer.n && executed.root === answer.stateRoot,
    )
    .map(({ executed, signature }) =>
      crypto.recover(digestOf(Executed, executed, network.domain, crypto.keccak), signature),
    )
  const got = new Set(signers.filter((signer) => signer && replicas.includes(signer))).size
  const needed = Math.floor(replicas.length / 2) + 1
  return {
    ...expect(
      'state',
      'journal.root_mismatch',
      got >= needed,
      `${got} of ${replicas.length} replicas computed this state`,
    ),
    code: 'journal.root_mismatch',
  }
}

function fromVerdict(name: string, verdict: Verdict<unknown>, detail: string): Check & { code?: Code } {
  if (accepted(verdict)) return { name, ok: true, detail }
  const { code, facts } = verdict
  return { name, ok: false, detail: SmartLayerError.fromData(code, facts).message, code }
}

function expect(name: string, code: Code, ok: boolean, detail: string): Check & { code: Code } {
  return { name, ok, detail: ok ? detail : `not so: ${detail}`, code }
}
