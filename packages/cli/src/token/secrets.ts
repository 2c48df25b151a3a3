/** Hands a secret of a token type to every service node, sealed to each node's own key. */
import { seal } from '@smartlayer/enclave'
import { contextOf } from '@smartlayer/node'
import {
  type Address,
  type Domain,
  digestOf,
  fromHex,
  type Member,
  nobleCrypto,
  SealingKey,
  type SecretRequest,
  SecretUpload,
  type Signer,
  SmartLayerError,
  sealingKeyShape,
  secretRequestShape,
  toHex,
} from '@smartlayer/protocol'

const TIMEOUT_MS = 5_000

/** Sets it on all of them; any may become a replica. Throws the first refusal. */
export async function setSecret(
  nodes: readonly Member[],
  {
    contract,
    name,
    value,
    owner,
    domain,
  }: { contract: Address; name: string; value: string; owner: Signer; domain: Domain },
): Promise<void> {
  const { keccak, recover } = nobleCrypto
  for (const { node, api } of nodes) {
    const { key, signature } = sealingKeyShape.parse(await call(`${api}/v1/sealing-key`), 'answer')
    const signer = recover(digestOf(SealingKey, key, domain, keccak), signature)
    if (signer !== node || key.node !== node) throw SmartLayerError.of('attestation.signature', { expected: node })
    const sealed = toHex(await seal(fromHex(key.publicKey), new TextEncoder().encode(value), contextOf(contract, name)))
    const upload = { node, contract, name, sealed, time: BigInt(Date.now()) }
    const request: SecretRequest = {
      contract,
      name,
      sealed,
      time: upload.time,
      signature: owner.sign(digestOf(SecretUpload, upload, domain, keccak)),
    }
    await call(`${api}/v1/secrets`, secretRequestShape.toJson(request))
  }
}

async function call(url: string, body?: unknown): Promise<unknown> {
  const init =
    body === undefined
      ? {}
      : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) }).catch((error) => {
    throw SmartLayerError.because(error, 'network.unreachable', { peer: new URL(url).origin })
  })
  if (response.status === 204) return undefined
  const answer: unknown = await response.json()
  if (response.ok) return answer
  const problem = answer as { code: string; facts: Record<string, unknown> }
  throw SmartLayerError.fromData(problem.code, problem.facts)
}
