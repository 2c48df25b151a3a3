/** A published fact in a file: its attestation, body and receipt, to be checked offline by anyone who knows the network. */
import {
  accept,
  type Crypto,
  checkContent,
  dataOf,
  digestOf,
  homeOf,
  type InputData,
  networkInfoShape,
  Receipt,
  receiptInfoShape,
  record,
  reject,
  type ShapeOf,
  SLInput,
  SmartLayerError,
  type StreamItem,
  signersAmong,
  streamItemShape,
  uidOf,
  type Verdict,
  verifyAttestation,
} from '@smartlayer/protocol'
import { type Network, networkOf, type Proof } from '@smartlayer/sdk'

export const savedFactShape = record({ network: networkInfoShape, fact: streamItemShape, receipt: receiptInfoShape })
export type SavedFact = ShapeOf<typeof savedFactShape>

/** The verdict over a saved fact; without `trusted`, by the members that the file itself names. */
export function verifySavedFact(saved: SavedFact, crypto: Crypto, trusted?: Network): Proof {
  const network = trusted ?? networkOf(saved.network, crypto)
  const { attestation } = saved.fact
  const judge = trusted ? 'the network that the verifier trusts' : 'the members that the file itself names'
  const steps: readonly (readonly [string, string, Verdict<unknown>])[] = [
    ['network', `judged by ${judge}`, accept(judge)],
    [
      'attestation',
      `signed by ${attestation.attester}`,
      verifyAttestation(attestation, { domain: network.easDomain, crypto }),
    ],
    ['content', 'the body is the one that was signed', contentOf(saved, crypto)],
    ['receipt', 'a quorum of the home anchors signed the receipt of this fact', receiptOf(saved, network, crypto)],
  ]
  const judged = steps.map(([name, detail, verdict]) =>
    verdict.verdict === 'accept'
      ? { name, ok: true, detail, refusal: undefined }
      : { name, ok: false, detail: SmartLayerError.fromData(verdict.code, verdict.facts).message, refusal: verdict },
  )
  const failed = judged.find(({ ok }) => !ok)
  const checks = judged.map(({ name, ok, detail }) => ({ name, ok, detail }))
  const summary = failed ? `not verified: ${failed.detail}` : `verified by ${checks.length} checks`
  return { ok: !failed, checks, summary, code: failed?.refusal?.code, facts: failed?.refusal?.facts ?? {} }
}

function contentOf({ fact }: SavedFact, crypto: Crypto): Verdict<unknown> {
  const data = inputOf(fact, crypto)
  return data ? checkContent(fact.body, data.contentHash, crypto.keccak) : reject('attestation.proof')
}

/** What the fact says, when it is an input at all. */
function inputOf({ attestation: { message } }: StreamItem, { keccak }: Crypto): InputData | undefined {
  if (message.schema !== SLInput.uid(keccak)) return undefined
  try {
    return dataOf(SLInput, message)
  } catch {
    return undefined // not the words of an input
  }
}

function receiptOf({ fact, receipt: info }: SavedFact, network: Network, crypto: Crypto): Verdict<unknown> {
  const { receipt, signatures } = info
  const uid = uidOf(fact.attestation.message, crypto.keccak)
  if (receipt.uid !== uid) return reject('attestation.context', { expected: uid, actual: receipt.uid })
  const stream = inputOf(fact, crypto)?.stream
  if (receipt.stream !== stream)
    return reject('attestation.context', { expected: String(stream), actual: receipt.stream })
  const home = homeOf(receipt.stream, network.membership, crypto.keccak)
  const digest = digestOf(Receipt, receipt, network.domain, crypto.keccak)
  const got = signersAmong(home.anchors, { digest, signatures }, crypto).length
  const facts = { got, needed: home.quorum, of: home.anchors.length }
  return got >= home.quorum ? accept(receipt) : reject('stream.no_quorum', facts)
}
