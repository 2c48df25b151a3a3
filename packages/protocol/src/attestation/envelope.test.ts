import fc from 'fast-check'
import { encodeAbiParameters, encodePacked, hashTypedData, keccak256, parseAbiParameters, zeroAddress } from 'viem'
import { describe, expect, it } from 'vitest'
import { fromHex, type Hex, toHex, utf8, ZERO_32 } from '../primitives/bytes.ts'
import { nobleCrypto, nobleSigner } from '../primitives/crypto.ts'
import { digestOf } from '../primitives/domain.ts'
import { Attest, attest, attestationShape, attestDigest, easDomain, uidOf } from './envelope.ts'
import { SLBatch, SLFailure, SLInput, SLNode, SLOutput } from './schemas.ts'

const { keccak } = nobleCrypto
const EAS: Hex = `0x4200000000000000000000000000000000000021`
const domain = easDomain({ chainId: 8453n, eas: EAS }, keccak)
const signer = nobleSigner(`0x${'11'.repeat(32)}`)
const hex = (size: number) => fc.uint8Array({ minLength: size, maxLength: size }).map(toHex)
const uint = (bits: number) => fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n })

const message = fc.record<Attest>({
  version: fc.constant(2n),
  schema: hex(32),
  recipient: hex(20),
  time: uint(64),
  expirationTime: uint(64),
  revocable: fc.boolean(),
  refUID: hex(32),
  data: fc.uint8Array({ maxLength: 1024, size: 'max' }).map(toHex),
  salt: hex(32),
})

describe.each([SLInput, SLOutput, SLFailure, SLBatch, SLNode])('schema $name', (schema) => {
  const members = schema.definition.split(',').map((member) => member.split(' ') as [string, string])
  const data = fc.record(
    Object.fromEntries(
      members.map(([type, name]) => [
        name,
        type === 'bytes32' ? hex(32) : type === 'address' ? hex(20) : uint(Number(type.slice(4))),
      ]),
    ),
  ) as fc.Arbitrary<never>

  it('encodes as abi.encode does and reads itself back', () => {
    fc.assert(
      fc.property(data, (value: Record<string, unknown>) => {
        const values = members.map(([type, name]) => (/^uint(16|32)$/.test(type) ? Number(value[name]) : value[name]))
        const encoded = schema.encodeHex(value as never)
        expect(encoded).toBe(encodeAbiParameters(parseAbiParameters(schema.definition) as never, values as never))
        expect(toHex(schema.encode(value as never))).toBe(encoded)
        expect(schema.decode(fromHex(encoded))).toEqual(value)
      }),
      { numRuns: 20 },
    )
  })

  it('has the UID that EAS registers: definition, no resolver, revocable', () => {
    const packed = encodePacked(['string', 'address', 'bool'], [schema.definition, zeroAddress, true])
    expect(schema.uid(keccak)).toBe(keccak256(packed))
  })

  it('refuses another length and dirty padding', () => {
    const size = 32 * members.length
    expect(() => schema.decode(new Uint8Array(size + 32))).toThrow(schema.name)
    expect(() => schema.decode(new Uint8Array(size - 1))).toThrow(schema.name)
    members.forEach(([type, name], i) => {
      if (type === 'bytes32') return
      const dirty = new Uint8Array(size)
      dirty[32 * i] = 1
      expect(() => schema.decode(dirty)).toThrow(`${schema.name}.${name}`)
    })
  })
})

it('hashes as the generic EIP-712 writer and as viem do, one message after the other', () => {
  const types = { Attest: Object.entries(Attest.fields).map(([name, { type }]) => ({ name, type })) }
  const { separator: _, ...viemDomain } = domain
  fc.assert(
    fc.property(message, (value) => {
      const ours = toHex(attestDigest(value, domain, keccak))
      const typed = { domain: viemDomain, types, primaryType: 'Attest', message: value }
      expect(ours).toBe(toHex(digestOf(Attest, value, domain, keccak)))
      expect(ours).toBe(hashTypedData(typed as Parameters<typeof hashTypedData>[0]))
    }),
  )
})

it('has the UID of the EAS SDK: packed, with the schema as text', () => {
  fc.assert(
    fc.property(message, (m) => {
      const packed = encodePacked(
        ['uint16', 'bytes', 'address', 'address', 'uint64', 'uint64', 'bool', 'bytes32', 'bytes', 'bytes32', 'uint32'],
        [
          ...([2, toHex(utf8(m.schema)), m.recipient, zeroAddress, m.time, m.expirationTime, m.revocable] as const),
          ...([m.refUID, m.data, m.salt, 0] as const),
        ],
      )
      expect(uidOf(m, keccak)).toBe(keccak256(packed))
    }),
  )
})

it('hashes nothing whose data is beyond the limit', () => {
  const [value] = fc.sample(message, 1)
  const long: Attest = { ...value!, data: `0x${'00'.repeat(1025)}` }
  expect(() => attestDigest(long, domain, keccak)).toThrow('1024 bytes')
  expect(() => uidOf(long, keccak)).toThrow('1024 bytes')
})

describe('as JSON', () => {
  const data = { root: ZERO_32, firstSequence: 1n, count: 1n, evidence: ZERO_32 }
  const about = { recipient: EAS, time: 10n, expirationTime: 20n, salt: ZERO_32 }
  const single = attest(SLBatch, data, about, { signer, domain, keccak })
  const json = JSON.parse(JSON.stringify(attestationShape.toJson(single)))
  const { signature, ...unsigned } = json
  const batch = { proof: [ZERO_32], root: { message: json.message, signature } }

  it('reads itself back, signed alone or in a batch', () => {
    expect(attestationShape.parse(json, '$')).toEqual(single)
    const batched = attestationShape.parse({ ...unsigned, batch }, '$')
    expect(attestationShape.toJson(batched)).toEqual({ ...unsigned, batch })
  })

  it.each([
    ['no signature', unsigned],
    ['signature and batch', { ...json, batch }],
    ['a proof of 17', { ...unsigned, batch: { ...batch, proof: Array(17).fill(ZERO_32) } }],
    ['long data', { ...json, message: { ...json.message, data: `0x${'00'.repeat(1025)}` } }],
    ['an extra member', { ...json, uid: ZERO_32 }],
    ['null', null],
  ])('refuses %s', (_, input) => {
    expect(() => attestationShape.parse(input, '$')).toThrow('$')
  })
})
