/** A replica's part in messages: it signs what its state has sent, and says what its state has received. */
import {
  digestOf,
  type MessageInput,
  messageKey,
  neverTaken,
  Received,
  Sent,
  sentOf,
  type WireMessage,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Replica } from '../execution/replica.ts'
import type { Ports } from '../ports/ports.ts'

type Identity = Pick<Ports, 'identity'>

/** What to answer to who asks for a signature; undefined when this replica did not compute that, or not yet. */
export function signSent(
  { identity }: Identity,
  { domain }: Pick<NodeContext, 'domain'>,
  replica: Replica,
  asked: Sent,
) {
  const { signer, crypto } = identity
  const place = replica.placeAt(asked.n)
  const message = place?.state.outbox?.find(({ id }) => id === asked.id)
  if (!place || !message || place.head.hash !== asked.entry) return undefined
  const { instance } = replica.token
  const sent = sentOf(message, { instance, n: asked.n, entry: place.head.hash }, crypto.keccak)
  const signature = signer.sign(digestOf(Sent, sent, domain, crypto.keccak))
  return { type: 'sent-signature', sent, signature } satisfies WireMessage
}

/** The receipt for a message that a majority has journaled here, or that is never taken; undefined while it is neither. */
export function signReceived(
  { identity }: Identity,
  { domain }: Pick<NodeContext, 'domain'>,
  replica: Replica,
  { from, sent }: Pick<MessageInput, 'from' | 'sent'>,
) {
  const { signer, crypto } = identity
  const { instance, rules } = replica.token
  const { id, name, hops } = sent
  const state = replica.confirmed?.state
  const key = messageKey(sent)
  const never = neverTaken({ name, hops, from }, rules.messages)
  const isHere = state?.cursors[key]?.uid === id
  if (!never && !isHere) return undefined
  const code = never ?? state?.declined?.[key] ?? ''
  const received: Received = { instance, sender: sent.instance, id, name, hops, code }
  const signature = signer.sign(digestOf(Received, received, domain, crypto.keccak))
  return { type: 'receipt-signature', received, signature } satisfies WireMessage
}
