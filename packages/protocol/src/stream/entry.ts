/** When an entry of a stream is believed, by itself: form, signer, context, time and body (docs/spec/stream.md). */
import { checkContent } from '../attestation/body.ts'
import { type Attestation, uidOf } from '../attestation/envelope.ts'
import { dataOf, INPUT_KINDS, type InputData, type InputKind, SLInput } from '../attestation/schemas.ts'
import { type RootCache, verifyInput } from '../attestation/verify.ts'
import { inputContext, streamOf, subsetOf } from '../directory/ids.ts'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import type { Crypto, Hasher } from '../primitives/crypto.ts'
import type { Domain } from '../primitives/domain.ts'
import { accept, accepted, type Refusal, reject, type Verdict } from '../primitives/verdict.ts'
import type { Delegation, StreamItem } from './item.ts'
import { EPOCH_SUBSET, type EpochBody, parseEpoch, parseRevocation, type RevocationBody } from './messages.ts'

/** Who may write into which stream of a token type. */
export type StreamRule = { readonly issuer: Address; readonly lane: Bytes32 }

export type EntryContext = {
  readonly networkId: Bytes32
  readonly easDomain: Domain
  readonly crypto: Crypto
  readonly tokenType: Bytes32
  readonly rules: readonly StreamRule[]
  /** Judged at this time, in seconds. */
  readonly nowS: bigint
  readonly roots?: RootCache | undefined
}

/** An entry that was checked. `issuer` and `lane` are those of the stream; `attester` is whose key signed. */
export type OpenEntry = {
  readonly item: StreamItem
  readonly uid: Bytes32
  readonly data: InputData
  readonly previous: Bytes32
  readonly kind: 'fact' | 'revocation' | 'epoch'
  readonly issuer: Address
  readonly lane: Bytes32
  readonly attester: Address
  readonly epoch: EpochBody | undefined
  readonly revocation: RevocationBody | undefined
}

const STREAM_KINDS: readonly InputKind[] = ['fact', 'revocation', 'epoch']
const EPOCH_KIND = BigInt(INPUT_KINDS.indexOf('epoch'))
/** Twelve words in hex. */
const DATA_HEX_LENGTH = 2 + 12 * 64

/**
 * Checks all of an entry that needs no state: schema, context, signature, time window, stream id, body and, for entries about
 * the stream itself, what their body says.
 */
export function openEntry(item: StreamItem, context: EntryContext): Verdict<OpenEntry> {
  const { attestation, delegation } = item
  const { crypto, tokenType } = context
  const data = readData(item)
  if (!data) return notAnInput(item, context)
  const rule = ruleOf(context, data.stream, delegation?.attestation.attester ?? attestation.attester)
  if (!rule) return reject('attestation.signer', { signer: attestation.attester, role: 'issuer of this token type' })
  const delegated = delegation && refusedDelegation(delegation, { attester: attestation.attester, data, rule }, context)
  if (delegated) return delegated
  const verified = verifyInput(attestation, {
    domain: context.easDomain,
    crypto,
    nowS: context.nowS,
    issuers: [delegation ? attestation.attester : rule.issuer],
    context: inputContext(context.networkId, tokenType, rule.lane, crypto.keccak),
    ...(context.roots ? { roots: context.roots } : {}),
  })
  return accepted(verified) ? judged(item, { data, rule, uid: verified.value.verified.uid }, context) : verified
}

/**
 * Reads an entry whose place in a stream is vouched for by what follows it (a checkpoint, a receipt): everything is checked
 * but signature and time, which the home anchors checked when they took it.
 */
export function readEntry(item: StreamItem, context: EntryContext): Verdict<OpenEntry> {
  const { crypto, rules, tokenType } = context
  const { keccak } = crypto
  const { message } = item.attestation
  const data = readData(item)
  if (!data || message.schema !== SLInput.uid(keccak) || message.version !== 2n) return notAnInput(item, context)
  const rule = rules.find(({ issuer, lane }) => streamOf(issuer, tokenType, lane, keccak) === data.stream)
  if (!rule) return reject('stream.identity')
  return judged(item, { data, rule, uid: uidOf(message, keccak) }, context)
}

/** What must hold of a read entry whoever vouches for it: stream, body and kind fit each other. */
function judged(
  item: StreamItem,
  { data, rule, uid }: { data: InputData; rule: StreamRule; uid: Bytes32 },
  { crypto, tokenType }: EntryContext,
): Verdict<OpenEntry> {
  const { attestation, body, delegation } = item
  const { keccak } = crypto
  if (data.stream !== streamOf(rule.issuer, tokenType, rule.lane, keccak)) return reject('stream.identity')
  const content = checkContent(body, data.contentHash, keccak)
  if (!accepted(content)) return content
  const kind = INPUT_KINDS[Number(data.kind)] as OpenEntry['kind'] | undefined
  if (!kind || !STREAM_KINDS.includes(kind)) return reject('stream.kind', { kind: String(kind ?? data.kind) })
  const revocation = kind === 'revocation' ? parseRevocation(body) : undefined
  const epoch = kind === 'epoch' ? parseEpoch(body) : undefined
  if (kind === 'revocation' && !revocation) return reject('stream.body', { kind, expected: 'revokes, of and reason' })
  if (kind === 'epoch') {
    if (!epoch) return reject('stream.body', { kind, expected: 'reason and key' })
    if (delegation) return reject('attestation.signer', { signer: attestation.attester, role: 'the issuer itself' })
    if (data.subset !== subsetOf(EPOCH_SUBSET, keccak)) return reject('stream.identity')
  }
  const { issuer, lane } = rule
  const { attester, message } = attestation
  return accept({ item, uid, data, previous: message.refUID, kind, issuer, lane, attester, epoch, revocation })
}

/** An unknown schema is told apart from a known one with wrong words. */
function notAnInput({ attestation: { message } }: StreamItem, { crypto }: EntryContext): Refusal {
  if (message.schema !== SLInput.uid(crypto.keccak)) return reject('attestation.schema', { schema: message.schema })
  return reject('message.malformed', { at: 'attestation.data', expected: 'the twelve words of SLInput' })
}

/** The UID of the batch root that an attestation was signed through; undefined when it was signed alone. */
export function batchUidOf({ batch }: Attestation, keccak: Hasher): Bytes32 | undefined {
  return batch && uidOf(batch.root.message, keccak)
}

/** What an entry says of its place, unchecked; undefined when it is no `SLInput` at all. */
export function readData({ attestation }: StreamItem): InputData | undefined {
  const { data } = attestation.message
  if (data.length !== DATA_HEX_LENGTH) return undefined
  try {
    return dataOf(SLInput, attestation.message)
  } catch {
    return undefined // a word that does not fit its member
  }
}

/** The rule whose stream this is; of an issuer with another stream the first, so that the refusal can say what differs. */
function ruleOf({ rules, tokenType, crypto }: EntryContext, stream: Bytes32, issuer: Address): StreamRule | undefined {
  const own = rules.filter((rule) => rule.issuer === issuer)
  return own.find((rule) => streamOf(rule.issuer, tokenType, rule.lane, crypto.keccak) === stream) ?? own[0]
}

/** Why the key may not sign in this epoch: its delegation is the issuer's `epoch` entry of the same stream. */
function refusedDelegation(
  { attestation, body }: Delegation,
  { attester, data, rule }: { attester: Address; data: InputData; rule: StreamRule },
  context: EntryContext,
): Refusal | undefined {
  const { keccak } = context.crypto
  const verified = verifyInput(attestation, {
    domain: context.easDomain,
    crypto: context.crypto,
    nowS: context.nowS,
    issuers: [rule.issuer],
    context: inputContext(context.networkId, context.tokenType, rule.lane, keccak),
  })
  if (!accepted(verified)) return verified
  const opening = verified.value.data
  const content = checkContent(body, opening.contentHash, keccak)
  if (!accepted(content)) return content
  if (
    opening.kind !== EPOCH_KIND ||
    opening.stream !== data.stream ||
    opening.epoch !== data.epoch ||
    parseEpoch(body)?.key !== attester
  ) {
    return reject('attestation.signer', { signer: attester, role: `key of epoch ${data.epoch}` })
  }
  return undefined
}
