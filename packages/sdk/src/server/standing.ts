/** Whether an issuer may go on from what its outbox knows, given where the network says that its stream stands. */
import type { Bytes32 } from '@smartlayer/protocol'
import type { OutboxState } from './outbox-state.ts'

export type Standing =
  /** Both fit: what is pending is sent as it is. */
  | 'fits'
  /** Neither the outbox nor the network knows an entry. */
  | 'new'
  /** The network has entries, the outbox does not exist. */
  | 'missing'
  /** The network has entries that the outbox does not know, or others at the same places. */
  | 'behind'

export function standingOf(
  known: Pick<OutboxState, 'base' | 'pending'> | undefined,
  network: { readonly sequence: bigint; readonly head: Bytes32 },
): Standing {
  if (!known) return network.sequence === 0n ? 'new' : 'missing'
  const { base, pending } = known
  // A network that lost receipted entries gets them again from the anchors that have them.
  if (network.sequence < base.sequence) return 'fits'
  const own = pending.find(({ data }) => data.sequence === network.sequence)?.uid ?? base.head
  return own === network.head ? 'fits' : 'behind'
}
