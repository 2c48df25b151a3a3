/** Ids: how tokens, types, streams, subsets, instances and networks are named (docs/spec/attestation.md). */
import { SmartLayerError } from '../errors/smart-layer-error.ts'
import { type Address, type Bytes32, concat, fromHex, toHex, uintWord, utf8 } from '../primitives/bytes.ts'
import { type Hasher, keccakText } from '../primitives/crypto.ts'

/** A token on an EVM chain; in text its CAIP-19 id. */
export type TokenRef = { readonly chainId: bigint; readonly contract: Address; readonly tokenId: bigint }

const CAIP_19 = /^eip155:(\d{1,18})\/(?:erc721|erc1155|erc20):(0x[0-9a-fA-F]{40})\/(\d{1,78})$/

/** Parses `eip155:CHAIN/erc721:CONTRACT/TOKEN`. Throws `token.malformed`. */
export function parseTokenRef(text: string): TokenRef {
  const match = CAIP_19.exec(text)
  if (!match) throw SmartLayerError.of('token.malformed', { token: text.slice(0, 200) })
  const tokenId = BigInt(match[3]!)
  if (tokenId >= 1n << 256n) throw SmartLayerError.of('token.malformed', { token: text })
  return { chainId: BigInt(match[1]!), contract: match[2]!.toLowerCase() as Address, tokenId }
}

export function formatTokenRef({ chainId, contract, tokenId }: TokenRef): string {
  return `eip155:${chainId}/erc721:${contract}/${tokenId}`
}

export function tokenOf(ref: TokenRef, keccak: Hasher): Bytes32 {
  return hashWords(keccak, uintWord(ref.chainId), addressWord(ref.contract), uintWord(ref.tokenId))
}

/** The token type: a contract on a chain, without the token id. */
export function tokenTypeOf({ chainId, contract }: Omit<TokenRef, 'tokenId'>, keccak: Hasher): Bytes32 {
  return hashWords(keccak, uintWord(chainId), addressWord(contract))
}

/** A lane is a partition of an issuer's stream, named in its manifest. */
export function laneOf(name: string, keccak: Hasher): Bytes32 {
  return keccakText(keccak, name)
}

export function streamOf(issuer: Address, tokenType: Bytes32, lane: Bytes32, keccak: Hasher): Bytes32 {
  return hashWords(keccak, addressWord(issuer), fromHex(tokenType), fromHex(lane))
}

/** A subset is what an entry concerns; its key is readable: `flight-status/LH454/2026-11-12`. */
export function subsetOf(key: string, keccak: Hasher): Bytes32 {
  return keccakText(keccak, key)
}

/** A live copy of one token under one script. */
export function instanceOf(token: Bytes32, scriptHash: Bytes32, keccak: Hasher): Bytes32 {
  return hashWords(keccak, fromHex(token), fromHex(scriptHash))
}

/** One network is one registry on one chain. */
export function networkIdOf(chainId: bigint, registry: Address, keccak: Hasher): Bytes32 {
  return hashWords(keccak, keccak(utf8('smartlayer/network/1')), uintWord(chainId), addressWord(registry))
}

/** Context of an issuer's input: it counts for every script version of the type, on one network, in one lane. */
export function inputContext(networkId: Bytes32, tokenType: Bytes32, lane: Bytes32, keccak: Hasher): Bytes32 {
  return hashWords(keccak, fromHex(networkId), fromHex(tokenType), fromHex(lane))
}

/** What an answer rests on beside its place in the journal; `asOf` in milliseconds (docs/spec/reads.md). */
export type AnswerBasis = {
  readonly scriptHash: Bytes32
  readonly method: string
  readonly stateRoot: Bytes32
  /** The term of the placement under which it was given. */
  readonly term: bigint
  /** When its place was last known to be the newest. */
  readonly asOf: bigint
  /** The lease had ended. */
  readonly stale: boolean
  /** What it was put together from, when other tokens were read (docs/spec/composition.md). */
  readonly reads?: Bytes32 | undefined
}

/** Context of an answer: script, method and state it was computed from, and how fresh they were. */
export function answerContext(
  networkId: Bytes32,
  { scriptHash, method, stateRoot, term, asOf, stale, reads }: AnswerBasis,
  keccak: Hasher,
): Bytes32 {
  const freshness = [uintWord(term), uintWord(asOf), uintWord(stale ? 1n : 0n)]
  const what = [fromHex(networkId), fromHex(scriptHash), keccak(utf8(method)), fromHex(stateRoot)]
  return hashWords(keccak, ...what, ...freshness, ...(reads ? [fromHex(reads)] : []))
}

/** Identity of one effect, and of every attempt at it: the outside system sees it as idempotency key. */
export function effectIdOf(
  { instance, incarnation, n, index }: { instance: Bytes32; incarnation: bigint; n: bigint; index: number },
  keccak: Hasher,
): Bytes32 {
  return hashWords(keccak, fromHex(instance), uintWord(incarnation), uintWord(n), uintWord(BigInt(index)))
}

/** Context of an outcome: the effect it belongs to, under one script on one network. */
export function outcomeContext(networkId: Bytes32, scriptHash: Bytes32, effect: Bytes32, keccak: Hasher): Bytes32 {
  return hashWords(keccak, fromHex(networkId), fromHex(scriptHash), fromHex(effect))
}

function hashWords(keccak: Hasher, ...words: readonly Uint8Array[]): Bytes32 {
  return toHex(keccak(concat(...words)))
}

function addressWord(address: Address): Uint8Array {
  return concat(new Uint8Array(12), fromHex(address))
}

/** An audience in an attestation: the hash of the integration's address, so that it names nobody in clear. */
export function keccakAddress(address: Address, keccak: Hasher): Bytes32 {
  return toHex(keccak(fromHex(address)))
}
