/** Laws of reads: of which token, how far, what may stand together, and that the attestation binds every part. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Attestation } from '../attestation/envelope.ts'
import { type Address, type Bytes32, toHex } from '../primitives/bytes.ts'
import { nobleCrypto } from '../primitives/crypto.ts'
import {
  type AnswerTree,
  admitRead,
  checkTree,
  isPartial,
  type PartOf,
  READ_DEPTH_LIMIT,
  type ReadRule,
  readsHash,
  targetOf,
} from './read.ts'

const { keccak } = nobleCrypto
const A: Address = `0x${'aa'.repeat(20)}`
const B: Address = `0x${'bb'.repeat(20)}`
const ref = { chainId: 1n, contract: `0x${'cc'.repeat(20)}` as Address, tokenId: 9n }
const rule = (change: Partial<ReadRule>): ReadRule => {
  return {
    name: 'r',
    contracts: [A],
    token: { state: 'papers.insurance' },
    method: 'm',
    args: 'null',
    optional: false,
    ...change,
  }
}
const target = (text: unknown, contracts = [A]) => {
  return targetOf(rule({ contracts }), { data: { papers: { insurance: text } } as never, ref })
}

test.each([
  ['12', [A], 12n],
  [12, [A], 12n],
  [`eip155:1/erc721:${B}/12`, [A, B], 12n],
])('the state names a token: %j', (text, contracts, tokenId) => {
  expect(target(text, contracts)).toMatchObject({ verdict: 'accept', value: { tokenId, contract: contracts.at(-1) } })
})

test.each([
  ['12', [A, B]],
  [`eip155:1/erc721:${B}/12`, [A]],
  [`eip155:2/erc721:${A}/12`, [A]],
  [`eip155:1/erc20:${A}/12`, [A]],
  [`eip155:1/erc721:${A.toUpperCase()}/12`, [A]],
  ['012', [A]],
  [-1, [A]],
  [null, [A]],
  [String(2n ** 256n), [A]],
])('what names no token that is declared is refused: %j', (text, contracts) => {
  expect(target(text, contracts)).toMatchObject({ code: 'read.no_target' })
})

test('a path leads through own members only, and a token may be found by what the reading one is called', () => {
  const data = { papers: {} } as never
  expect(targetOf(rule({ token: { state: 'papers.constructor.name' } }), { data, ref })).toMatchObject({
    verdict: 'ignore',
  })
  expect(targetOf(rule({ token: { attribute: 'tokenId' } }), { data, ref })).toMatchObject({ value: { tokenId: 9n } })
  expect(targetOf(rule({ token: { value: '3' } }), { data, ref })).toMatchObject({ value: { tokenId: 3n } })
})

test('no chain of reads is endless: it grows by tokens that are not in it, up to the limit', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')), (targets) => {
      let chain: readonly string[] = ['a']
      for (const next of targets) {
        const admitted = admitRead(next, chain)
        if (admitted.verdict !== 'accept') {
          expect(chain.includes(next) || chain.length === READ_DEPTH_LIMIT + 1).toBe(true)
          break
        }
        chain = admitted.value
      }
      expect(new Set(chain).size).toBe(chain.length)
      expect(chain.length).toBeLessThanOrEqual(READ_DEPTH_LIMIT + 1)
    }),
  )
})

let salts = 0
function answer(instance: number, n: bigint, reads?: readonly PartOf[]): AnswerTree {
  const hex = (value: number): Bytes32 => `0x${value.toString(16).padStart(64, '0')}`
  const message = { version: 2n, schema: hex(1), recipient: A, time: 1n, expirationTime: 2n, revocable: true } as const
  const attestation = {
    message: { ...message, refUID: hex(0), data: '0x', salt: hex(++salts) },
  } as unknown as Attestation
  return { attestation, instance: hex(instance), result: '1', n, stateRoot: hex(Number(n)), asOf: 1n, reads }
}
const part = (name: string, of?: AnswerTree): PartOf => {
  return { name, token: name, method: 'm', args: 'null', code: of ? '' : 'placement.none', answer: of }
}

const trees = fc.letrec<{ tree: AnswerTree }>((tie) => ({
  tree: fc
    .tuple(
      fc.integer({ min: 1, max: 6 }),
      fc.bigInt({ min: 1n, max: 2n }),
      fc.array(fc.option(tie('tree'), { nil: undefined }), { maxLength: 3 }),
    )
    .map(([instance, n, below]) =>
      answer(
        instance,
        n,
        below.map((each, i) => part(`p${i}`, each)),
      ),
    ),
})).tree

test('what stands together has every instance at one place only, and none below itself', () => {
  fc.assert(
    fc.property(trees, (tree) => {
      const verdict = checkTree(tree)
      const seen = new Map<string, bigint>()
      let wrong = false
      let missing = false
      const walk = (at: AnswerTree, above: readonly string[]): void => {
        if (above.includes(at.instance) || above.length > READ_DEPTH_LIMIT) wrong = true
        if ((seen.get(at.instance) ?? at.n) !== at.n) wrong = true
        seen.set(at.instance, at.n)
        for (const { answer: next } of at.reads ?? []) {
          if (next) walk(next, [...above, at.instance])
          else missing = true
        }
      }
      walk(tree, [])
      expect(verdict.verdict === 'accept').toBe(!wrong)
      expect(isPartial(tree)).toBe(missing)
    }),
    { numRuns: 500 },
  )
})

test('an answer without parts is signed as ever; with parts, whatever changes in one changes what is signed', () => {
  expect(readsHash(undefined, keccak)).toBeUndefined()
  expect(readsHash([], keccak)).toBeUndefined()
  const one = part('one', answer(1, 1n))
  const parts = [one, part('two')]
  const hashes = [
    parts,
    [one],
    parts.toReversed(),
    [{ ...one, name: 'other' }, parts[1]!],
    [{ ...one, method: 'other' }, parts[1]!],
    [{ ...one, args: '1' }, parts[1]!],
    [{ ...one, token: 'other' }, parts[1]!],
    [{ ...one, answer: answer(1, 1n) }, parts[1]!],
    [one, { ...parts[1]!, code: 'other' }],
    [{ ...one, answer: undefined }, parts[1]!],
  ].map((each) => readsHash(each, keccak))
  expect(new Set(hashes).size).toBe(hashes.length)
  expect(hashes[0]).toHaveLength(toHex(new Uint8Array(32)).length)
})
