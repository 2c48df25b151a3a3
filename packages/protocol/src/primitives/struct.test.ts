import fc from 'fast-check'
import { hashTypedData } from 'viem'
import { describe, expect, it } from 'vitest'
import { Action, Grant, GrantCheck, Query } from '../access/messages.ts'
import { Attest } from '../attestation/envelope.ts'
import { Placement, Release, Renew, Report } from '../election/messages.ts'
import { OutsideAnswer, SealingKey, SecretUpload } from '../execution/messages.ts'
import { Accept, Entry, Executed, Held } from '../journal/messages.ts'
import { Receipt } from '../stream/messages.ts'
import { type Hex, toHex, utf8 } from './bytes.ts'
import { nobleCrypto } from './crypto.ts'
import { digestOf, domainOf } from './domain.ts'
import { address, list, type Struct, struct, uint } from './struct.ts'

const { keccak } = nobleCrypto
const Leg = struct('Leg', { from: address, distance: uint(256) })
const Airline = struct('Airline', { operator: address })
const Journey = struct('Journey', { legs: list(Leg, 4), carrier: Airline, times: list(uint(64), 3) })

// biome-ignore lint/suspicious/noExplicitAny: structs of different values, generated and compared alike
const STRUCTS: readonly Struct<any>[] = [
  ...[Report, Placement, Renew, Release, Entry, Accept, Held, Executed, Receipt, Grant, GrantCheck, Query, Action],
  ...[OutsideAnswer, SealingKey, SecretUpload, Attest, Journey],
]
const domain = domainOf(
  { name: 'SmartLayer', version: '1', chainId: 31337n, verifyingContract: `0x${'ab'.repeat(20)}` },
  keccak,
)

/** JSON values of one member, within every limit in the project. */
function jsonOf(type: string, members: readonly Struct<unknown>[]): fc.Arbitrary<unknown> {
  if (type.endsWith('[]')) return fc.array(jsonOf(type.slice(0, -2), members), { maxLength: 3 })
  if (type === 'bool') return fc.boolean()
  if (type === 'string') return fc.string({ unit: 'grapheme', maxLength: 20 })
  if (type === 'bytes') return hexOf(0, 32)
  if (type === 'bytes32') return hexOf(32, 32)
  if (type === 'address') return hexOf(20, 20)
  if (type.startsWith('uint')) {
    return fc.bigInt({ min: 0n, max: (1n << BigInt(type.slice(4))) - 1n }).map(String)
  }
  return valuesOf(members.find((member) => member.name === type)!)
}

function valuesOf(of: Struct<unknown>): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(
    Object.fromEntries(
      Object.entries(of.fields).map(([name, field]) => [name, jsonOf(field.type, of.members as Struct<unknown>[])]),
    ),
  )
}

function hexOf(minLength: number, maxLength: number): fc.Arbitrary<Hex> {
  return fc.uint8Array({ minLength, maxLength }).map(toHex)
}

function viemTypes(of: Struct<unknown>) {
  return Object.fromEntries(
    (of.members as Struct<unknown>[]).map((member) => [
      member.name,
      Object.entries(member.fields).map(([name, { type }]) => ({ name, type })),
    ]),
  )
}

function refusal(of: Struct<unknown>, input: unknown): string {
  try {
    of.parseJson(input)
  } catch (error) {
    return (error as Error).message
  }
  return 'accepted'
}

describe.each(STRUCTS.map((of) => [of.name, of] as const))('%s', (name, of) => {
  it('has the EIP-712 digest that viem computes', () => {
    fc.assert(
      fc.property(valuesOf(of), (json) => {
        const value = of.parseJson(json)
        const { separator: _, ...viemDomain } = domain
        const theirs = hashTypedData({
          domain: viemDomain,
          types: viemTypes(of),
          primaryType: name,
          message: value,
        } as Parameters<typeof hashTypedData>[0])
        expect(toHex(digestOf(of, value, domain, keccak))).toBe(theirs)
      }),
      { numRuns: 15 },
    )
  })

  it('reads its own JSON back', () => {
    fc.assert(
      fc.property(valuesOf(of), (json) => {
        expect(of.toJson(of.parseJson(JSON.parse(JSON.stringify(json))))).toEqual(json)
      }),
      { numRuns: 15 },
    )
  })

  it('refuses a missing, an unknown and a wrong member, and says which', () => {
    fc.assert(
      fc.property(valuesOf(of), fc.constantFrom(...Object.keys(of.fields)), (json, member) => {
        const { [member]: _, ...missing } = json
        const at = `${name}.${member}`
        expect(refusal(of, missing)).toContain(at)
        expect(refusal(of, { ...json, another: 1 })).toContain(`${name}.another`)
        for (const wrong of [null, 7, {}, `0x${'AB'.repeat(32)}`, '-1', '01', '1e3', `${1n << 256n}`]) {
          if (of.fields[member]!.type !== 'string' || typeof wrong !== 'string') {
            expect(refusal(of, { ...json, [member]: wrong })).toContain(at)
          }
        }
      }),
      { numRuns: 15 },
    )
  })
})

it('refuses numbers, texts and lists beyond their limits', () => {
  const renew = { placement: `0x${'00'.repeat(32)}`, expires: String((1n << 64n) - 1n) }
  expect(refusal(Renew, renew)).toBe('accepted')
  expect(refusal(Renew, { ...renew, expires: String(1n << 64n) })).toContain('Renew.expires')
  expect(refusal(Renew, { ...renew, expires: '9'.repeat(1_000_000) })).toContain('Renew.expires')
  const leg = { from: `0x${'00'.repeat(20)}`, distance: '1' }
  const journey = { legs: [leg], carrier: { operator: leg.from }, times: [] }
  expect(refusal(Journey, journey)).toBe('accepted')
  expect(refusal(Journey, { ...journey, legs: Array(5).fill(leg) })).toContain('Journey.legs')
  expect(refusal(Journey, { ...journey, legs: [{ ...leg, extra: 1 }] })).toContain('Journey.legs[0].extra')
})

it('names the structs it refers to in alphabetical order', () => {
  expect(Journey.encodedType).toBe(
    'Journey(Leg[] legs,Airline carrier,uint64[] times)Airline(address operator)Leg(address from,uint256 distance)',
  )
  expect(utf8(Journey.encodedType).length).toBe(Journey.encodedType.length)
})
