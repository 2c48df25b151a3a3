/** A published fact in a file: its attestation, body and receipt, to be checked by anyone who knows the network. */
import {
  accept,
  anchorsOf,
  type Bytes32,
  batchUidOf,
  type Crypto,
  checkReceipt,
  checkWindow,
  type EntryContext,
  homeOf,
  INPUT_LIFE_LIMIT_S,
  ignore,
  isSmartLayerError,
  laneOf,
  networkInfoShape,
  type OpenEntry,
  openEntry,
  ownTime,
  quorumOf,
  receiptInfoShape,
  record,
  reject,
  revocationInfoShape,
  type ShapeOf,
  SmartLayerError,
  type StreamItem,
  streamItemShape,
  text,
  tokenTypeOf,
  type Verdict,
} from '@smartlayer/protocol'
import { type Network, networkOf, type Proof } from '@smartlayer/sdk'
import { readNode } from './connection.ts'

const LANE_LIMIT = 256
const REVOCATION_TIMEOUT_MS = 1_500

export const savedFactShape = record({
  network: networkInfoShape,
  lane: text(LANE_LIMIT),
  fact: streamItemShape,
  receipt: receiptInfoShape,
})
export type SavedFact = ShapeOf<typeof savedFactShape>

export type SavedFactOptions = {
  readonly crypto: Crypto
  /** Left out: the fact is judged by the members that the file itself names. */
  readonly trusted?: Network | undefined
  /** Seconds since 1970. */
  readonly nowS: bigint
  /** Whether the fact was taken back, as far as that is known. */
  readonly revocation: Revocation
}

/** What anchors say about a fact being taken back. */
export type Revocation =
  | { readonly known: 'revoked'; readonly item: StreamItem }
  | { readonly known: 'not revoked'; readonly asked: number; readonly of: number }
  | { readonly known: 'unknown'; readonly why: string }

/** The verdict over a saved fact. */
export function verifySavedFact(saved: SavedFact, { crypto, trusted, nowS, revocation }: SavedFactOptions): Proof {
  const network = trusted ?? networkOf(saved.network, crypto)
  const { attestation, delegation } = saved.fact
  const judge = trusted ? 'the network that the verifier trusts' : 'the members that the file itself names'
  const opened = openEntry(saved.fact, contextOf(saved, network, crypto))
  const by = delegation
    ? `signed by ${attestation.attester}, which ${delegation.attestation.attester} named for this epoch`
    : `signed by ${attestation.attester}`
  const steps: readonly (readonly [string, string, Verdict<unknown>])[] = [
    ['network', `judged by ${judge}`, accept(judge)],
    ['attestation', `${by}; stream, lane and body are those that were signed`, opened],
    [
      'receipt',
      'a quorum of the home anchors signed the receipt of this fact',
      receiptOf(saved, opened, network, crypto),
    ],
    ['validity', 'it counts at this time', windowOf(saved.fact, nowS)],
    ['revocation', ...revocationOf(saved, opened, { network, crypto, revocation })],
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

/** Asks the anchors that the file, or the verifier, names. Anybody may say that it was taken back: the issuer signed it. */
export async function readRevocation(saved: SavedFact, crypto: Crypto, trusted?: Network): Promise<Revocation> {
  const network = trusted ?? networkOf(saved.network, crypto)
  const opened = openEntry(saved.fact, contextOf(saved, network, crypto))
  if (opened.verdict !== 'accept') return { known: 'unknown', why: 'the fact itself does not hold' }
  const anchors = anchorsOf(network.membership)
  const uids = targetsOf(opened.value, crypto)
  const answers = await Promise.all(anchors.map(({ api }) => revocationAt(api, uids)))
  const items = answers.flatMap((answer) => (typeof answer === 'object' ? [answer] : []))
  const item = items.find((each) => takesBack(each, saved, opened.value, network, crypto))
  if (item) return { known: 'revoked', item }
  const asked = answers.filter((answer) => answer === 'none').length
  if (asked >= quorumOf(anchors.length)) return { known: 'not revoked', asked, of: anchors.length }
  const why = asked === 0 ? 'no anchor can be reached' : `only ${asked} of ${anchors.length} anchors answered`
  return { known: 'unknown', why }
}

async function revocationAt(api: string, uids: readonly Bytes32[]): Promise<StreamItem | 'none' | 'silent'> {
  for (const uid of uids) {
    try {
      const json = await readNode(`${api}/v1/revocations/${uid}`, REVOCATION_TIMEOUT_MS)
      return revocationInfoShape.parse(json, 'revocation').item
    } catch (error) {
      if (!isSmartLayerError(error) || error.kind !== 'missing') return 'silent'
    }
  }
  return 'none'
}

function contextOf({ lane, fact }: Pick<SavedFact, 'lane' | 'fact'>, network: Network, crypto: Crypto): EntryContext {
  const { keccak } = crypto
  const issuer = (fact.delegation ?? fact).attestation.attester
  const contract = fact.attestation.message.recipient
  return {
    networkId: network.networkId,
    easDomain: network.easDomain,
    crypto,
    tokenType: tokenTypeOf({ chainId: network.info.chainId, contract }, keccak),
    rules: [{ issuer, lane: laneOf(lane, keccak) }],
    nowS: ownTime(fact),
  }
}

function receiptOf(
  { receipt }: SavedFact,
  opened: Verdict<OpenEntry>,
  network: Network,
  crypto: Crypto,
): Verdict<unknown> {
  if (opened.verdict !== 'accept') return opened
  const { data, uid } = opened.value
  const home = homeOf(data.stream, network.membership, crypto.keccak)
  const entry = { stream: data.stream, sequence: data.sequence, uid }
  return checkReceipt(receipt, entry, { home, domain: network.domain, crypto })
}

function windowOf({ attestation }: StreamItem, nowS: bigint): Verdict<unknown> {
  const late = checkWindow(attestation.message, { nowS, lifeLimitS: INPUT_LIFE_LIMIT_S, mayStand: true })
  return late ?? accept(undefined)
}

function revocationOf(
  saved: SavedFact,
  opened: Verdict<OpenEntry>,
  { network, crypto, revocation }: { network: Network; crypto: Crypto; revocation: Revocation },
): readonly [string, Verdict<unknown>] {
  switch (revocation.known) {
    case 'revoked': {
      const counts = opened.verdict === 'accept' && takesBack(revocation.item, saved, opened.value, network, crypto)
      const uid = opened.verdict === 'accept' ? opened.value.uid : ''
      return ['', counts ? ignore('attestation.revoked', { uid }) : reject('attestation.proof')]
    }
    case 'not revoked':
      return [`${revocation.asked} of ${revocation.of} anchors know of no revocation`, accept(undefined)]
    case 'unknown':
      return [`not known whether it was taken back: ${revocation.why}`, accept(undefined)]
  }
}

/** The same issuer said, in the same stream, that this fact or its batch counts no more. */
function takesBack(item: StreamItem, saved: SavedFact, fact: OpenEntry, network: Network, crypto: Crypto): boolean {
  const opened = openEntry(item, contextOf({ lane: saved.lane, fact: item }, network, crypto))
  if (opened.verdict !== 'accept' || opened.value.issuer !== fact.issuer) return false
  const { revocation } = opened.value
  const own = revocation?.of === 'batch' ? batchUidOf(fact.item.attestation, crypto.keccak) : fact.uid
  return revocation !== undefined && revocation.revokes === own
}

function targetsOf({ uid, item }: OpenEntry, { keccak }: Crypto): readonly Bytes32[] {
  const root = batchUidOf(item.attestation, keccak)
  return root ? [uid, root] : [uid]
}
