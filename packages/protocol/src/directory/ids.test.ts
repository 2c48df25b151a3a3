import fc from 'fast-check'
import { encodeAbiParameters, keccak256, parseAbiParameters, toBytes } from 'viem'
import { expect, it } from 'vitest'
import { toHex } from '../primitives/bytes.ts'
import { nobleCrypto } from '../primitives/crypto.ts'
import {
  answerContext,
  effectIdOf,
  formatTokenRef,
  inputContext,
  instanceOf,
  laneOf,
  outcomeContext,
  parseTokenRef,
  streamOf,
  tokenOf,
  tokenTypeOf,
} from './ids.ts'

const { keccak } = nobleCrypto
const word = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(toHex)
const address = fc.uint8Array({ minLength: 20, maxLength: 20 }).map(toHex)
const uint64 = fc.bigInt({ min: 0n, max: (1n << 53n) - 1n })
const uint256 = fc.bigInt({ min: 0n, max: (1n << 256n) - 1n })

function hashed(types: string, ...values: readonly unknown[]) {
  return keccak256(encodeAbiParameters(parseAbiParameters(types) as never, values as never))
}

it('hashes tokens, types and streams as abi.encode does', () => {
  fc.assert(
    fc.property(uint64, address, uint256, word, word, (chainId, contract, tokenId, tokenType, lane) => {
      expect(tokenOf({ chainId, contract, tokenId }, keccak)).toBe(
        hashed('uint256,address,uint256', chainId, contract, tokenId),
      )
      expect(tokenTypeOf({ chainId, contract }, keccak)).toBe(hashed('uint256,address', chainId, contract))
      expect(streamOf(contract, tokenType, lane, keccak)).toBe(
        hashed('address,bytes32,bytes32', contract, tokenType, lane),
      )
    }),
  )
})

it('hashes instances, effects and contexts as abi.encode does', () => {
  fc.assert(
    fc.property(word, word, word, uint64, fc.string(), (a, b, c, n, method) => {
      expect(instanceOf(a, b, keccak)).toBe(hashed('bytes32,bytes32', a, b))
      expect(inputContext(a, b, c, keccak)).toBe(hashed('bytes32,bytes32,bytes32', a, b, c))
      expect(outcomeContext(a, b, c, keccak)).toBe(hashed('bytes32,bytes32,bytes32', a, b, c))
      expect(effectIdOf({ instance: a, incarnation: n, n: n + 1n, index: 3 }, keccak)).toBe(
        hashed('bytes32,uint256,uint256,uint256', a, n, n + 1n, 3n),
      )
      const basis = { scriptHash: b, method, stateRoot: c, term: n, asOf: n + 1n, stale: n % 2n === 0n }
      expect(answerContext(a, basis, keccak)).toBe(
        hashed(
          'bytes32,bytes32,bytes32,bytes32,uint256,uint256,bool',
          ...[a, b, laneOf(method, keccak), c],
          ...[n, n + 1n, n % 2n === 0n],
        ),
      )
    }),
  )
})

it('names lanes by the hash of their text', () => {
  expect(laneOf('flight-status', keccak)).toBe(keccak256(toBytes('flight-status')))
})

it('reads its own CAIP-19 text back', () => {
  fc.assert(
    fc.property(uint64, address, uint256, (chainId, contract, tokenId) => {
      const ref = { chainId, contract, tokenId }
      expect(parseTokenRef(formatTokenRef(ref))).toEqual(ref)
    }),
  )
})

it.each([
  'eip155:1/erc721:0x12/1',
  `eip155:1/erc721:0x${'12'.repeat(20)}`,
  `eip155:1/erc721:0x${'12'.repeat(20)}/${1n << 256n}`,
  `eip155:-1/erc721:0x${'12'.repeat(20)}/1`,
  `solana:1/erc721:0x${'12'.repeat(20)}/1`,
  `eip155:1/erc721:0x${'12'.repeat(20)}/1 `,
])('refuses %s', (text) => {
  expect(() => parseTokenRef(text)).toThrow()
})
