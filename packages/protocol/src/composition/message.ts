/** Messages between tokens: what a sender's replicas and a receiver's replicas sign, and when either counts (docs/spec/composition.md). */
import type { Home } from '../directory/home.ts'
import { formatTokenRef, instanceOf, parseTokenRef, type TokenRef, tokenOf } from '../directory/ids.ts'
import { epochOfTerm } from '../directory/terms.ts'
import type { CertifiedPlacement } from '../election/messages.ts'
import { isSmartLayerError } from '../errors/smart-layer-error.ts'
import { checkCommit, checkPlacement } from '../journal/certify.ts'
import type { CommitProof } from '../journal/messages.ts'
import { type Address, type Bytes32, concat, fromHex, type Hex, toHex, uintWord, utf8 } from '../primitives/bytes.ts'
import type { Crypto, Hasher } from '../primitives/crypto.ts'
import { type Domain, digestOf } from '../primitives/domain.ts'
import { signersAmong } from '../primitives/quorum.ts'
import { bytes32, type Struct, string, struct, type TypeOf, uint } from '../primitives/struct.ts'
import { accept, ignore, reject, type Verdict } from '../primitives/verdict.ts'

/** Messages of one instance that have no receipt yet. */
export const OUTBOX_LIMIT = 16
/** Messages that may follow from one another, over however many tokens. */
export const HOP_LIMIT = 8
/** Receivers of one instance, and senders to it beside its streams. */
export const RECEIVER_LIMIT = 128
export const CURSOR_CEILING = 240
/** Characters of a message's body, as canonical JSON. */
export const MESSAGE_UNITS_LIMIT = 8_192

/** A message in the state of its sender, until a receipt is journaled there. `to` is the receiver's CAIP-19 id. */
export type Outgoing = {
  readonly id: Bytes32
  readonly to: string
  readonly name: string
  readonly body: string
  readonly sequence: string
  readonly hops: number
}

/** A replica of the sender has this message in its outbox after entry `n`; `sequence` counts the messages to this receiver. */
export const Sent = struct('Sent', {
  instance: bytes32,
  n: uint(64),
  entry: bytes32,
  id: bytes32,
  to: bytes32,
  name: string(64),
  content: bytes32,
  sequence: uint(64),
  hops: uint(16),
})
export type Sent = TypeOf<typeof Sent>

/** A replica of the receiver has the message in its journal, or will never take it; `code` says why it changed nothing, or is empty. */
export const Received = struct('Received', {
  instance: bytes32,
  sender: bytes32,
  id: bytes32,
  name: string(64),
  hops: uint(16),
  code: string(64),
})
export type Received = TypeOf<typeof Received>

/** A message as it enters the receiver's journal. */
export type MessageInput = {
  readonly kind: 'message'
  /** CAIP-19 id of the sender, and the script that it runs. */
  readonly from: string
  readonly scriptHash: Bytes32
  readonly sent: Sent
  readonly body: string
  readonly placement: CertifiedPlacement
  readonly proof: CommitProof
  readonly signatures: readonly Hex[]
}
/** A receipt as it enters the sender's journal. */
export type ReceiptInput = {
  readonly kind: 'receipt'
  readonly from: string
  readonly scriptHash: Bytes32
  readonly received: Received
  readonly placement: CertifiedPlacement
  readonly signatures: readonly Hex[]
}

/** From which contracts a token takes messages of a name, and to which it sends them. */
export type MessageRule = { readonly from: readonly Address[] }
export type SendRule = { readonly to: readonly Address[] }

/** What whoever checks signatures must know; nobody does where an entry is executed that home anchors accepted. */
export type MessageDoor = {
  readonly domain: Domain
  readonly crypto: Crypto
  readonly homeIn: ((token: Bytes32, term: bigint) => Home | undefined) | undefined
}

/** Identity of a message: the same at every delivery by every executor. */
export function messageIdOf(
  { instance, incarnation, n, index }: { instance: Bytes32; incarnation: bigint; n: bigint; index: number },
  keccak: Hasher,
): Bytes32 {
  const words = [keccak(utf8('smartlayer/message/1')), fromHex(instance), uintWord(incarnation)]
  return toHex(keccak(concat(...words, uintWord(n), uintWord(BigInt(index)))))
}

export function sentOf(
  message: Outgoing,
  { instance, n, entry }: { instance: Bytes32; n: bigint; entry: Bytes32 },
  keccak: Hasher,
): Sent {
  const { id, name, body, sequence, hops } = message
  const to = tokenOf(parseTokenRef(message.to), keccak)
  const content = toHex(keccak(utf8(body)))
  return { instance, n, entry, id, to, name, content, sequence: BigInt(sequence), hops: BigInt(hops) }
}

/** Why a token never takes a message, by its declaration alone; undefined when it may. */
export function neverTaken(
  { name, hops, from }: { readonly name: string; readonly hops: bigint; readonly from: string },
  messages: Readonly<Record<string, MessageRule>> = {},
): 'delivery.not_accepted' | 'delivery.too_many_hops' | undefined {
  const rule = Object.hasOwn(messages, name) ? messages[name] : undefined
  const contract = refOf(from)?.contract
  if (!rule || !contract || !rule.from.includes(contract)) return 'delivery.not_accepted'
  return hops > BigInt(HOP_LIMIT) ? 'delivery.too_many_hops' : undefined
}

/** The message is what the sender's replicas say, was committed there, and is for this token. Order is the cursor's matter. */
export function checkSent(
  { from, scriptHash, sent, body, placement, proof, signatures }: MessageInput,
  token: Bytes32,
  door: MessageDoor,
): Verdict<Sent> {
  const { keccak } = door.crypto
  const sender = checkSender({ from, scriptHash, instance: sent.instance }, door)
  if (sender.verdict !== 'accept') return sender
  if (sent.to !== token) return reject('delivery.proof', { detail: 'it is for another token' })
  if (toHex(keccak(utf8(body))) !== sent.content) return reject('delivery.proof', { detail: 'the body is another one' })
  if (!door.homeIn) return accept(sent)
  const home = door.homeIn(sender.value, proof.entry.term)
  if (!home) return unknownHome(proof.entry.term)
  const committed = checkCommit(proof, home, door)
  if (committed.verdict !== 'accept') return committed
  const isOf =
    proof.entry.instance === sent.instance && committed.value.n === sent.n && committed.value.hash === sent.entry
  if (!isOf) return reject('delivery.proof', { detail: 'the commit proof is of another entry' })
  const signed = { type: Sent, value: sent, signatures }
  return byReplicas(signed, { token: sender.value, instance: sent.instance, placement }, door)
}

/** The receipt is what a majority of the receiver's replicas signed for a message of this sender. */
export function checkReceived(
  { from, scriptHash, received, placement, signatures }: ReceiptInput,
  sender: Bytes32,
  door: MessageDoor,
): Verdict<Received> {
  const receiver = checkSender({ from, scriptHash, instance: received.instance }, door)
  if (receiver.verdict !== 'accept') return receiver
  if (received.sender !== sender) return reject('delivery.proof', { detail: 'the receipt is for another sender' })
  if (!door.homeIn) return accept(received)
  const signed = { type: Received, value: received, signatures }
  return byReplicas(signed, { token: receiver.value, instance: received.instance, placement }, door)
}

/** The token that the text names is the one whose instance signed. */
function checkSender(
  { from, scriptHash, instance }: { from: string; scriptHash: Bytes32; instance: Bytes32 },
  { domain, crypto }: MessageDoor,
): Verdict<Bytes32> {
  const ref = refOf(from)
  const token = ref && tokenOf(ref, crypto.keccak)
  const isOf = token && ref.chainId === domain.chainId && instanceOf(token, scriptHash, crypto.keccak) === instance
  return isOf ? accept(token) : reject('delivery.proof', { detail: 'the instance is not of the token that it names' })
}

function byReplicas<T>(
  { type, value, signatures }: { type: Struct<T>; value: T; signatures: readonly Hex[] },
  { token, instance, placement }: { token: Bytes32; instance: Bytes32; placement: CertifiedPlacement },
  door: MessageDoor,
): Verdict<T> {
  const { term, replicas, instance: placed } = placement.placement
  const home = door.homeIn?.(token, term)
  if (!home) return unknownHome(term)
  const voted = checkPlacement(placement, home, door)
  if (voted.verdict !== 'accept') return voted
  if (placed !== instance) return reject('delivery.proof', { detail: 'the placement is of another instance' })
  const digest = digestOf(type, value, door.domain, door.crypto.keccak)
  const got = signersAmong(replicas, { digest, signatures }, door.crypto).length
  const needed = Math.floor(replicas.length / 2) + 1
  return got >= needed
    ? accept(value)
    : reject('delivery.proof', { detail: `${got} replicas signed, ${needed} needed` })
}

function unknownHome(term: bigint) {
  return ignore('home.epoch', { epoch: epochOfTerm(term), standing: 0n })
}

/** One token has one name. */
function refOf(text: string): TokenRef | undefined {
  try {
    const ref = parseTokenRef(text)
    return formatTokenRef(ref) === text ? ref : undefined
  } catch (error) {
    if (isSmartLayerError(error)) return undefined
    throw error
  }
}
