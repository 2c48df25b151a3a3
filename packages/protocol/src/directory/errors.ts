/** Why a node, a token or a script cannot be found. */
import { entry } from '../errors/kind.ts'

export const directoryErrors = {
  'node.unknown': entry<{ node: string }>(
    'denied',
    (f) => `${f.node} is not a registered node.`,
    'Register and stake the node, or ask one that is registered.',
  ),
  'node.role': entry<{ node: string; role: string }>(
    'denied',
    (f) => `${f.node} is not registered as ${f.role}.`,
    'Ask a node of that role.',
  ),
  'token.unknown': entry<{ token: string }>(
    'missing',
    (f) => `Token ${f.token} does not exist, or its contract is not registered.`,
    'Check the id; the issuer registers the contract with sl token publish.',
  ),
  'token.malformed': entry<{ token: string }>(
    'invalid',
    (f) => `"${f.token}" is not a CAIP-19 token id.`,
    'Write eip155:CHAIN/erc721:CONTRACT/TOKEN.',
  ),
  'quorum.not_reached': entry<{ got: number; needed: number; of: number; detail: string }>(
    'unavailable',
    (f) => `${f.got} of ${f.of} anchors answered, ${f.needed} needed (${f.detail}).`,
    'Check the network and try again; nothing was done.',
  ),
  'directory.beacon_unknown': entry<{ epoch: bigint }>(
    'unavailable',
    (f) => `The beacon of epoch ${f.epoch} is not known here.`,
    'Wait until the node has read it from the chain, or ask another node.',
  ),
  'directory.view_missing': entry<{ epoch: bigint }>(
    'unavailable',
    (f) =>
      `The membership of epoch ${f.epoch} is needed to know since when a home has been the same, and is not known here.`,
    'Keep the views of as many epochs as a home lasts, or read the registry from its beginning.',
  ),
  'directory.block_gap': entry<{ next: bigint; got: bigint }>(
    'unavailable',
    (f) => `Block ${f.got} of the registry came, but block ${f.next} comes next.`,
    'Read the blocks between first.',
  ),
  'directory.block_final': entry<{ block: bigint; finalized: bigint }>(
    'conflict',
    (f) => `Block ${f.block} is behind finalized block ${f.finalized}.`,
    'Nothing to do: what is final is not read again.',
  ),
  'directory.block_foreign': entry<{ block: bigint; finalized: bigint }>(
    'conflict',
    (f) => `Block ${f.block} does not follow from finalized block ${f.finalized}.`,
    'Check the RPC endpoint: it shows another chain than before, or one that went back on finality.',
  ),
  'directory.log_full': entry<{ limit: number }>(
    'unavailable',
    (f) => `More than ${f.limit} blocks or events of the registry wait for the chain to finalize them.`,
    'Check that the chain still finalizes blocks.',
  ),
  'directory.event_order': entry<{ block: bigint }>(
    'invalid',
    (f) => `Events of block ${f.block} are not in the order of their log indexes, or not of this block.`,
    'Check the RPC endpoint.',
  ),
  'directory.snapshot_unknown': entry<{ block: bigint; from: bigint; to: bigint }>(
    'unavailable',
    (f) => `The members as of block ${f.block} are not known; those of finalized blocks ${f.from} to ${f.to} are.`,
    'Wait until the block is final, or read the registry from its beginning.',
  ),
} as const
