/** A block header in RLP, as JSON-RPC tells its fields: what a contract compares with a block hash. */
import { type Hex, SmartLayerError } from '@smartlayer/protocol'
import { keccak256, toRlp } from 'viem'

/** Fields of every block since the first. */
const FIELDS = [
  'parentHash',
  'sha3Uncles',
  'miner',
  'stateRoot',
  'transactionsRoot',
  'receiptsRoot',
  'logsBloom',
  'difficulty',
  'number',
  'gasLimit',
  'gasUsed',
  'timestamp',
  'extraData',
  'mixHash',
  'nonce',
] as const
/** Fields that upgrades appended, in the order in which they came. */
const LATER_FIELDS = [
  'baseFeePerGas',
  'withdrawalsRoot',
  'blobGasUsed',
  'excessBlobGas',
  'parentBeaconBlockRoot',
  'requestsHash',
] as const
const NUMBERS: readonly string[] = [
  ...['difficulty', 'number', 'gasLimit', 'gasUsed', 'timestamp'],
  ...['baseFeePerGas', 'blobGasUsed', 'excessBlobGas'],
]

/** The answer to `eth_getBlockByNumber`, as far as it is read here. */
export type RpcHeader = { readonly hash: Hex } & Readonly<Record<(typeof FIELDS)[number], Hex>> &
  Readonly<Partial<Record<(typeof LATER_FIELDS)[number], Hex>>>

/** The header whose keccak is the block's hash. Throws `chain.header` when it is not. */
export function encodeHeader(block: RpcHeader): Hex {
  const later = LATER_FIELDS.filter((name) => block[name] !== undefined)
  const items = [...FIELDS, ...later].map((name) => rlpItem(name, block[name]!))
  const header = toRlp(items, 'hex')
  if (keccak256(header) !== block.hash) throw SmartLayerError.of('chain.header', { block: block.number })
  return header
}

/** RPC writes numbers without leading zeros and zero as 0x0; RLP has whole bytes and nothing for zero. */
function rlpItem(name: string, value: Hex): Hex {
  if (!NUMBERS.includes(name)) return value
  if (BigInt(value) === 0n) return '0x'
  return value.length % 2 === 0 ? value : `0x0${value.slice(2)}`
}
