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
  'home.epoch': entry<{ epoch: bigint; standing: bigint }>(
    'conflict',
    (f) =>
      `The term belongs to home epoch ${f.epoch}; this anchor stands in ${f.standing} for it (0: it has not taken over).`,
    'Ask the home anchors of the present epoch, or try again in a moment.',
  ),
  'home.sealed': entry<{ epoch: bigint; standing: bigint }>(
    'conflict',
    (f) => `Home epoch ${f.epoch} is over: this anchor sealed it for ${f.standing}.`,
    'Ask the home anchors of the present epoch.',
  ),
  'directory.not_begun': entry(
    'unavailable',
    () => 'The registry has no first epoch yet.',
    'The deployer of the registry calls begin(); the first block after genesis draws it.',
  ),
  'directory.beacon_unknown': entry<{ epoch: bigint }>(
    'unavailable',
    (f) => `The beacon of epoch ${f.epoch} is not known here.`,
    'Wait until it is read from the chain.',
  ),
} as const
