/** EIP-712 domains and digests: what exactly a signature covers. */
import { type Address, type Bytes32, concat, fromHex, toHex, uintWord, utf8 } from './bytes.ts'
import type { Hasher } from './crypto.ts'
import type { Struct } from './struct.ts'

/** An EIP-712 domain (name, version, chain, contract). Its separator is computed once. */
export type Domain = {
  readonly name: string
  readonly version: string
  readonly chainId: bigint
  readonly verifyingContract: Address
  readonly separator: Bytes32
}

const DOMAIN_TYPE = 'EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)'

export function domainOf(
  { name, version, chainId, verifyingContract }: Omit<Domain, 'separator'>,
  keccak: Hasher,
): Domain {
  const separator = keccak(
    concat(
      keccak(utf8(DOMAIN_TYPE)),
      keccak(utf8(name)),
      keccak(utf8(version)),
      uintWord(chainId),
      new Uint8Array(12),
      fromHex(verifyingContract),
    ),
  )
  return { name, version, chainId, verifyingContract, separator: toHex(separator) }
}

/** The digest that is signed: keccak(0x1901 ‖ separator ‖ hashStruct(value)). EIP-712. */
export function digestOf<T>(struct: Struct<T>, value: T, domain: Domain, keccak: Hasher): Uint8Array {
  return keccak(concat(Uint8Array.of(0x19, 0x01), fromHex(domain.separator), struct.hash(value, keccak)))
}
