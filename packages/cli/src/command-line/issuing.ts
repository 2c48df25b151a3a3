/** The flags of commands that write into a stream, and the issuer that they make. */
import { join } from 'node:path'
import {
  type Address,
  type Bytes32,
  type Hex,
  laneOf,
  nobleSigner,
  SmartLayerError,
  streamOf,
  tokenTypeOf,
} from '@smartlayer/protocol'
import type { Issuer, SmartLayer } from '@smartlayer/sdk/server'
import type { Command } from 'commander'
import { clientOf } from './connection.ts'
import { addressOf, readKey } from './files.ts'
import type { CommonOptions } from './options.ts'
import { type Output, printable } from './output.ts'

export type IssuingOptions = {
  readonly contract?: string
  readonly lane?: string
  readonly key?: string
  readonly issuer?: string
  readonly issuerKey?: string
  readonly newEpoch: boolean
  readonly continue: boolean
}

/** An issuer with what names its stream. */
export type Issuing = {
  readonly client: SmartLayer
  readonly issuer: Issuer
  readonly stream: Bytes32
  readonly contract: Address
  readonly lane: string
}

export function withIssuing(command: Command): Command {
  return command
    .option('--contract <address>', 'contract of the token type')
    .option('--lane <name>', 'lane of the stream, as the token declares it')
    .option('--key <file>', 'file with the key that signs')
    .option('--issuer <address>', "the stream's own address, when --key is another key that its epoch names")
    .option('--issuer-key <file>', "file with the issuer's own key, when a new epoch must begin")
    .option('--new-epoch', 'when the outbox is lost, damaged or behind: go on in a new epoch', false)
    .option('--continue', 'when it is, and nothing signed was left unsent: go on where the network stands', false)
}

/** Does something as an issuer and gives its outbox back, also when that fails. */
export async function asIssuer<T>(
  options: IssuingOptions & CommonOptions,
  output: Output,
  act: (issuing: Issuing) => Promise<T>,
): Promise<T> {
  const contract = addressOf(required(options.contract, '--contract <address>'), '--contract')
  const lane = required(options.lane, '--lane <name>')
  const client = await clientOf(options, readKey(required(options.key, '--key <file>')))
  if (options.newEpoch && options.continue) {
    throw SmartLayerError.of('cli.usage', { detail: '--new-epoch and --continue exclude each other' })
  }
  const { signer, network, crypto } = client.site
  const issuerSigner = options.issuerKey === undefined ? undefined : nobleSigner(readKey(options.issuerKey))
  const address = options.issuer ? addressOf(options.issuer, '--issuer') : (issuerSigner?.address ?? signer.address)
  const { chainId } = network.info
  // Beside the local network, one outbox per stream: what was cut off before is sent first.
  const name = `${chainId}-${address}-${contract}-${encodeURIComponent(lane)}.json`
  const issuer = client.issuer({
    contract,
    chainId,
    lane,
    outboxFile: join(options.folder, 'outbox', name),
    issuer: address,
    issuerSigner,
    recover: options.newEpoch ? 'new epoch' : options.continue ? 'continue' : undefined,
    onDropped: ({ body }, error) =>
      output.note(`left out for good: ${printable(body.slice(0, 200))}: ${error.message}`),
  })
  const { keccak } = crypto
  const stream = streamOf(address, tokenTypeOf({ chainId, contract }, keccak), laneOf(lane, keccak), keccak)
  try {
    return await act({ client, issuer, stream, contract, lane })
  } finally {
    await issuer.close()
  }
}

/** A flag that is needed; written like commander's own refusal. */
export function required(value: string | undefined, flag: string): string {
  if (value !== undefined) return value
  throw SmartLayerError.of('cli.usage', { detail: `required option '${flag}' not specified` })
}

export function addressOfKey(path: string): Address {
  const key: Hex = readKey(path)
  return nobleSigner(key).address
}
