/** Publishes a built token: its file to the anchors, its hash to the chain. */
import { type Address, type Bytes32, SmartLayerError, scriptInfoShape } from '@smartlayer/protocol'
import { type ChainAccount, publishScript } from '../local-network/deploy.ts'
import type { BuiltToken } from './build.ts'

const TIMEOUT_MS = 10_000

export type PublishOptions = {
  readonly built: BuiltToken
  readonly contract: Address
  readonly tokenRegistry: Address
  readonly owner: ChainAccount
  readonly anchors: readonly string[]
}

/** Every anchor keeps the file before the chain names it: whoever reads the chain finds it. */
export async function publishToken({
  built,
  contract,
  tokenRegistry,
  owner,
  anchors,
}: PublishOptions): Promise<{ uri: string; scriptHash: Bytes32 }> {
  for (const anchor of anchors) await upload(anchor, built)
  const uri = `ipfs://${built.cid}`
  await publishScript(owner, { tokenRegistry }, { contract, scriptHash: built.scriptHash, uri })
  return { uri, scriptHash: built.scriptHash }
}

async function upload(anchor: string, { bytes, cid }: BuiltToken): Promise<void> {
  const response = await fetch(`${anchor}/v1/scripts`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: bytes as BodyInit,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch((error) => {
    throw SmartLayerError.because(error, 'network.unreachable', { peer: anchor })
  })
  const body: unknown = await response.json()
  if (!response.ok) throw SmartLayerError.fromData((body as { code: string }).code, {})
  const stored = scriptInfoShape.parse(body, 'answer').cid
  if (stored !== cid) throw SmartLayerError.of('script.hash_mismatch', { expected: cid, actual: stored })
}
