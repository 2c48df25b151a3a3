/** The envelope of every attestation: an EAS off-chain attestation, version 2, byte for byte (docs/spec/attestation.md). */
import { SmartLayerError } from '../errors/smart-layer-error.ts'
import { type Address, type Bytes32, type Hex, toHex, utf8, writeHex, ZERO_32 } from '../primitives/bytes.ts'
import type { Hasher, Signer } from '../primitives/crypto.ts'
import { type Domain, domainOf } from '../primitives/domain.ts'
import { listOf, record, type Shape, signature } from '../primitives/shape.ts'
import { address, bool, bytes, bytes32, struct, type TypeOf, uint } from '../primitives/struct.ts'
import type { EasSchema } from './schemas.ts'

const DATA_LIMIT = 1_024
/** Proofs of at most 2^16 leaves. */
const PROOF_LIMIT = 16
export const EAS_VERSION = '1.0.1'
const VERSION_2 = 2n
const UID_DATA_AT = 157
/** Preimages are written here again and again (rules are synchronous): an allocation costs as much as its hash. */
const scratch = {
  words: new Uint8Array(320),
  data: new Uint8Array(DATA_LIMIT),
  signed: Uint8Array.of(0x19, 0x01, ...new Uint8Array(64)),
  packed: new Uint8Array(UID_DATA_AT + DATA_LIMIT + 36),
}

/** Times in seconds since 1970. `recipient` is the contract of the token it is about; `refUID` the predecessor. */
export const Attest = struct('Attest', {
  version: uint(16),
  schema: bytes32,
  recipient: address,
  time: uint(64),
  expirationTime: uint(64),
  revocable: bool,
  refUID: bytes32,
  data: bytes(DATA_LIMIT),
  salt: bytes32,
})
export type Attest = TypeOf<typeof Attest>

export type SignedAttest = { readonly message: Attest; readonly signature: Hex }

/** Signed alone, or through the root of a batch that is itself an attestation. */
export type Attestation =
  | { readonly message: Attest; readonly attester: Address; readonly signature: Hex; readonly batch?: undefined }
  | {
      readonly message: Attest
      readonly attester: Address
      readonly signature?: undefined
      readonly batch: { readonly proof: readonly Bytes32[]; readonly root: SignedAttest }
    }

const signedShape = record({ message: Attest, attester: address, signature })
const batchedShape = record({
  message: Attest,
  attester: address,
  batch: record({ proof: listOf(bytes32, PROOF_LIMIT), root: record({ message: Attest, signature }) }),
})

export const attestationShape: Shape<Attestation> = {
  parse: (input, at) =>
    typeof input === 'object' && input !== null && 'batch' in input
      ? batchedShape.parse(input, at)
      : signedShape.parse(input, at),
  toJson: (value) => (value.batch ? batchedShape.toJson(value) : signedShape.toJson(value)),
}

/** EAS's own domain: third parties verify our attestations as theirs. */
export function easDomain(
  { chainId, eas, version = EAS_VERSION }: { chainId: bigint; eas: Address; version?: string },
  keccak: Hasher,
): Domain {
  return domainOf({ name: 'EAS Attestation', version, chainId, verifyingContract: eas }, keccak)
}

/** The EIP-712 digest that is signed and that is the leaf of a batch; a fixed-offset writer, equal to the generic one. */
export function attestDigest(message: Attest, domain: Domain, keccak: Hasher): Uint8Array {
  const words = scratch.words
  words.set(attestTypeHash(keccak), 0)
  writeUint64(words, 56, message.version)
  writeHex(words, 64, message.schema)
  writeHex(words, 108, message.recipient)
  writeUint64(words, 152, message.time)
  writeUint64(words, 184, message.expirationTime)
  words[223] = message.revocable ? 1 : 0
  writeHex(words, 224, message.refUID)
  const size = sizeOf(message.data)
  writeHex(scratch.data, 0, message.data)
  words.set(keccak(scratch.data.subarray(0, size)), 256)
  writeHex(words, 288, message.salt)
  writeHex(scratch.signed, 2, domain.separator)
  scratch.signed.set(keccak(words), 34)
  return keccak(scratch.signed)
}

/** The UID as the EAS SDK computes it: packed, with the UTF-8 text of the schema's hex, attester 0 and bump 0. */
export function uidOf(message: Attest, keccak: Hasher): Bytes32 {
  const { packed } = scratch
  const end = UID_DATA_AT + sizeOf(message.data)
  packed[1] = Number(message.version)
  for (let i = 0; i < message.schema.length; i++) packed[2 + i] = message.schema.charCodeAt(i)
  writeHex(packed, 68, message.recipient)
  writeUint64(packed, 108, message.time)
  writeUint64(packed, 116, message.expirationTime)
  packed[124] = message.revocable ? 1 : 0
  writeHex(packed, 125, message.refUID)
  writeHex(packed, UID_DATA_AT, message.data)
  writeHex(packed, end, message.salt)
  packed.fill(0, end + 32, end + 36)
  return toHex(keccak(packed.subarray(0, end + 36)))
}

export type AttestOptions = {
  readonly recipient: Address
  readonly time: bigint
  readonly expirationTime: bigint
  readonly refUID?: Bytes32
  /** 32 random bytes: hides guessable data and makes the UID unique. */
  readonly salt: Bytes32
}
export type AttestSigner = { readonly signer: Signer; readonly domain: Domain; readonly keccak: Hasher }

/** The message of an attestation under a schema, not yet signed. */
export function attestMessage<T>(schema: EasSchema<T>, data: T, options: AttestOptions, keccak: Hasher): Attest {
  return {
    version: VERSION_2,
    schema: schema.uid(keccak),
    recipient: options.recipient,
    time: options.time,
    expirationTime: options.expirationTime,
    revocable: true,
    refUID: options.refUID ?? ZERO_32,
    data: schema.encodeHex(data),
    salt: options.salt,
  }
}

/** Signs one attestation alone. */
export function attest<T>(
  schema: EasSchema<T>,
  data: T,
  options: AttestOptions,
  { signer, domain, keccak }: AttestSigner,
): Attestation & { readonly signature: Hex } {
  const message = attestMessage(schema, data, options, keccak)
  return { message, attester: signer.address, signature: signer.sign(attestDigest(message, domain, keccak)) }
}

/** Bytes of the data; beyond the limit nothing is hashed, so that no two messages share a digest. */
function sizeOf(data: Hex): number {
  const size = (data.length - 2) >> 1
  if (size <= DATA_LIMIT) return size
  throw SmartLayerError.of('message.malformed', { at: 'Attest.data', expected: `at most ${DATA_LIMIT} bytes` })
}

let typeHash: Uint8Array | undefined

function attestTypeHash(keccak: Hasher): Uint8Array {
  typeHash ??= keccak(utf8(Attest.encodedType))
  return typeHash
}

function writeUint64(target: Uint8Array, at: number, value: bigint): void {
  const high = Number(value >> 32n)
  const low = Number(value & 0xffffffffn)
  target[at] = high >>> 24
  target[at + 1] = high >>> 16
  target[at + 2] = high >>> 8
  target[at + 3] = high
  target[at + 4] = low >>> 24
  target[at + 5] = low >>> 16
  target[at + 6] = low >>> 8
  target[at + 7] = low
}
