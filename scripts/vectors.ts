/** Writes `vectors/`: attestations, batches, one example of every signed message, and the directory, the same bytes on every run. */
import { writeFile } from 'node:fs/promises'
import {
  Accept,
  Action,
  Attest,
  attestBatch,
  attestDigest,
  type Bytes32,
  digestOf,
  domainOf,
  type EasSchema,
  Entry,
  Executed,
  easDomain,
  Grant,
  GrantCheck,
  Held,
  type Hex,
  keccakText,
  nobleCrypto,
  nobleSigner,
  OutsideAnswer,
  Placement,
  PublicQuery,
  Query,
  Receipt,
  Release,
  Renew,
  Report,
  SealingKey,
  SecretUpload,
  type SignedAttest,
  SLBatch,
  SLFailure,
  SLInput,
  SLNode,
  SLOutput,
  StreamCheckpoint,
  type Struct,
  toHex,
  uidOf,
  utf8,
} from '@smartlayer/protocol'
import { directoryVectors } from './directory-vectors.ts'

const { keccak } = nobleCrypto
const signer = nobleSigner(idOf('signer of the vectors'), keccak)
const TIME = 1_790_000_000n
const EAS_DOMAIN = easDomain({ chainId: 8453n, eas: '0x4200000000000000000000000000000000000021' }, keccak)
const NETWORK_DOMAIN = domainOf(
  { name: 'SmartLayer', version: '1', chainId: 8453n, verifyingContract: addressFor('registry') },
  keccak,
)
const SCHEMAS = { SLInput, SLOutput, SLFailure, SLBatch, SLNode }
const BATCH_SIZES = [2, 3, 16]

/** Every struct that is signed in the `SmartLayer` domain. */
// biome-ignore lint/suspicious/noExplicitAny: structs of different values, filled and hashed alike
export const SIGNED_STRUCTS: readonly Struct<any>[] = [
  Report,
  Placement,
  Renew,
  Release,
  Entry,
  Accept,
  Held,
  Executed,
  Receipt,
  StreamCheckpoint,
  Grant,
  GrantCheck,
  Query,
  PublicQuery,
  Action,
  OutsideAnswer,
  SealingKey,
  SecretUpload,
]

/** The content of each file in `vectors/`, as it is written. */
export function vectorFiles(): Readonly<Record<'attestation.json' | 'messages.json' | 'directory.json', string>> {
  return {
    'attestation.json': textOf(attestationVectors()),
    'messages.json': textOf(messageVectors()),
    'directory.json': textOf(directoryVectors()),
  }
}

function attestationVectors() {
  const { version, chainId, verifyingContract } = EAS_DOMAIN
  return {
    domain: { version, chainId: String(chainId), eas: verifyingContract },
    schemas: Object.values(SCHEMAS).map(({ name, definition, uid }) => ({ name, definition, uid: uid(keccak) })),
    attestations: Object.values(SCHEMAS).map(singleVector),
    batches: BATCH_SIZES.map(batchVector),
  }
}

// biome-ignore lint/suspicious/noExplicitAny: schemas of different values, filled alike
function singleVector(schema: EasSchema<any>) {
  const [attestation] = attestBatch([itemOf(schema, 0)], signingOf(schema.name))
  if (!attestation || attestation.batch) throw new Error('one item alone is signed alone')
  return { schema: schema.name, ...signedVector(attestation) }
}

function batchVector(size: number) {
  const items = Array.from({ length: size }, (_, i) => itemOf(i % 2 === 0 ? SLOutput : SLInput, i))
  const leaves = attestBatch(items, signingOf(`batch of ${size}`))
  const [first] = leaves
  if (!first?.batch) throw new Error('several items share a root')
  return {
    root: signedVector(first.batch.root),
    leaves: leaves.map(({ message, batch }) => ({ ...messageVector(message), proof: batch?.proof ?? [] })),
  }
}

function signedVector({ message, signature }: SignedAttest) {
  return { ...messageVector(message), signature, signer: signer.address }
}

function messageVector(message: Attest) {
  return {
    message: Attest.toJson(message),
    digest: toHex(attestDigest(message, EAS_DOMAIN, keccak)),
    uid: uidOf(message, keccak),
  }
}

// biome-ignore lint/suspicious/noExplicitAny: schemas of different values, filled alike
function itemOf(schema: EasSchema<any>, n: number) {
  const members = schema.definition.split(',').map((member) => member.split(' ') as [string, string])
  const data = Object.fromEntries(
    members.map(([type, name]) => [name, wordFor(type, `${schema.name}.${name} ${n}`)]),
  ) as never
  const name = `${schema.name} ${n}`
  return {
    schema,
    data,
    recipient: addressFor(`recipient of ${name}`),
    time: TIME,
    expirationTime: TIME + 300n,
    refUID: idOf(`predecessor of ${name}`),
    salt: idOf(`salt of ${name}`),
  }
}

function signingOf(name: string) {
  return { signer, domain: EAS_DOMAIN, keccak, time: TIME, firstSequence: 1n, salt: idOf(`salt of ${name}`) }
}

function messageVectors() {
  const { name, version, chainId, verifyingContract } = NETWORK_DOMAIN
  return {
    domain: { name, version, chainId: String(chainId), verifyingContract },
    messages: SIGNED_STRUCTS.map((struct) => {
      const value = struct.parseJson(exampleJson(struct))
      return {
        type: struct.name,
        encodedType: struct.encodedType,
        value: struct.toJson(value),
        digest: toHex(digestOf(struct, value, NETWORK_DOMAIN, keccak)),
      }
    }),
  }
}

// biome-ignore lint/suspicious/noExplicitAny: structs of different values, filled alike
function exampleJson(struct: Struct<any>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(struct.fields).map(([name, field]) => [name, jsonFor(field.type, `${struct.name}.${name}`)]),
  )
}

function jsonFor(type: string, name: string): unknown {
  if (type.endsWith('[]')) return [1, 2].map((n) => jsonFor(type.slice(0, -2), `${name} ${n}`))
  if (type === 'string') return `${name} – ✓`
  if (type === 'bytes') return idOf(name)
  if (type === 'bool') return true
  const word = wordFor(type, name)
  return typeof word === 'bigint' ? String(word) : word
}

/** A value that only the type and the name decide. */
function wordFor(type: string, name: string): Hex | bigint {
  if (type === 'bytes32') return idOf(name)
  if (type === 'address') return addressFor(name)
  return BigInt(idOf(name)) % (1n << BigInt(type.slice('uint'.length)))
}

function idOf(name: string): Bytes32 {
  return keccakText(keccak, name)
}

function addressFor(name: string): Hex {
  return toHex(keccak(utf8(name)).subarray(12))
}

function textOf(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

if (import.meta.main) {
  for (const [name, text] of Object.entries(vectorFiles())) {
    await writeFile(new URL(`../vectors/${name}`, import.meta.url), text)
  }
}
