/** Laws of messages: an outbox in order and within bounds, and only what a quorum and a majority stand behind. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { instanceOf, tokenOf } from '../directory/ids.ts'
import { type CertifiedPlacement, Placement, placementHash } from '../election/messages.ts'
import { applyEntry, genesisState, type HandlerResult, type InstanceState } from '../execution/instance.ts'
import type { TokenRules } from '../execution/rules.ts'
import type { JournalInput } from '../journal/input.ts'
import { ENTRY_KINDS, type Entry, entryHash, Held, placeOf } from '../journal/messages.ts'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { nobleCrypto, nobleSigner } from '../primitives/crypto.ts'
import { digestOf, domainOf } from '../primitives/domain.ts'
import { checkSent, HOP_LIMIT, type MessageInput, neverTaken, OUTBOX_LIMIT, Sent, sentOf } from './message.ts'

const { keccak } = nobleCrypto
const CONTRACT: Address = `0x${'aa'.repeat(20)}`
const registry: Address = `0x${'a0'.repeat(20)}`
const domain = domainOf({ name: 'SmartLayer', version: '1', chainId: 1n, verifyingContract: registry }, keccak)
const SCRIPT: Bytes32 = `0x${'5c'.repeat(32)}`
const token = tokenOf({ chainId: 1n, contract: CONTRACT, tokenId: 1n }, keccak)
const INSTANCE = instanceOf(token, SCRIPT, keccak)
const to = (id: number) => `eip155:1/erc721:0x${'bb'.repeat(20)}/${id}`
const world = { rules: { effects: {} } as unknown as TokenRules, keccak }
const entryOf = (n: number, kind: 'action' | 'receipt' | 'message') =>
  ({
    instance: INSTANCE,
    incarnation: 0n,
    n: BigInt(n),
    term: 1n,
    kind: BigInt(ENTRY_KINDS.indexOf(kind)),
    time: BigInt(n),
  }) as Entry
const checked = { uid: SCRIPT, content: SCRIPT, cursor: undefined }

function say(state: InstanceState, receivers: readonly number[], hops = 0): InstanceState {
  const messages = receivers.map((id) => ({ to: to(id), name: 'told', body: '1' }))
  const result: HandlerResult = { data: null, effects: [], topics: [], messages }
  const input = {
    kind: 'message',
    sent: { hops: BigInt(hops), instance: SCRIPT, to: SCRIPT },
  } as unknown as JournalInput
  return applyEntry(state, { entry: entryOf(Number(state.n) + 1, 'message'), input, checked }, result, world)
}

function receipt(state: InstanceState, id: number): InstanceState {
  const first = state.outbox?.find((message) => message.to === to(id))
  const received = { id: first?.id ?? SCRIPT, name: 'told', hops: BigInt(first?.hops ?? 1), code: '' }
  const input = { kind: 'receipt', from: to(id), received } as unknown as JournalInput
  return applyEntry(state, { entry: entryOf(Number(state.n) + 1, 'receipt'), input, checked }, undefined, world)
}

test('whatever is sent and receipted, the outbox is bounded, its ids are new, and places to each receiver have no gap', () => {
  const step = fc.oneof(
    fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 8 }).map((ids) => ({ ids, receipt: 0 })),
    fc.integer({ min: 1, max: 3 }).map((id) => ({ ids: [], receipt: id })),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      let state = genesisState(INSTANCE, 0n)
      const ids = new Set<string>()
      const places = new Map<string, bigint>()
      for (const { ids: receivers, receipt: from } of steps) {
        const before = state.outbox?.length ?? 0
        state = from ? receipt(state, from) : say(state, receivers)
        for (const { id, to: receiver, sequence } of (state.outbox ?? []).filter((message) => !ids.has(message.id))) {
          ids.add(id)
          expect(BigInt(sequence)).toBe((places.get(receiver) ?? 0n) + 1n)
          places.set(receiver, BigInt(sequence))
        }
        if (receivers.length + before > OUTBOX_LIMIT) expect(state.refused).toBe('delivery.outbox_full')
        expect(state.outbox?.length ?? 0).toBeLessThanOrEqual(OUTBOX_LIMIT)
      }
    }),
  )
})

test('a state without messages has the members that it always had', () => {
  expect(Object.keys(say(genesisState(INSTANCE, 0n), []))).toEqual(Object.keys(genesisState(INSTANCE, 0n)))
})

test('what follows from too many messages sends none', () => {
  expect(say(genesisState(INSTANCE, 0n), [1], HOP_LIMIT - 1).outbox).toHaveLength(1)
  expect(say(genesisState(INSTANCE, 0n), [1], HOP_LIMIT)).toMatchObject({ refused: 'delivery.too_many_hops' })
})

test('a receipt for another message, or once more, changes nothing', () => {
  const sent = say(genesisState(INSTANCE, 0n), [1, 1])
  const once = receipt(sent, 1)
  expect(once.outbox).toHaveLength(1)
  expect(receipt(once, 2)).toMatchObject({ outbox: once.outbox, refused: 'delivery.unknown' })
})

test('only declared messages of declared contracts are taken', () => {
  const messages = { told: { from: [CONTRACT] } }
  const from = `eip155:1/erc721:${CONTRACT}/1`
  expect(neverTaken({ name: 'told', hops: 8n, from }, messages)).toBeUndefined()
  expect(neverTaken({ name: 'told', hops: 9n, from }, messages)).toBe('delivery.too_many_hops')
  for (const other of [
    { name: 'constructor', from },
    { name: 'told', from: to(1) },
    { name: 'told', from: '' },
  ])
    expect(neverTaken({ hops: 1n, ...other }, messages)).toBe('delivery.not_accepted')
})

const anchors = [1, 2, 3, 4].map((n) => nobleSigner(`0x${`a${n}`.repeat(32)}`))
const replicas = [1, 2, 3].map((n) => nobleSigner(`0x${`b${n}`.repeat(32)}`))
const home = { anchors: anchors.map(({ address }) => address), quorum: 3 }
const homeIn = (subject: Bytes32, term: bigint) => (subject === token && term === 5n ? home : undefined)
const door = { domain, crypto: nobleCrypto, homeIn }
const receiver = tokenOf({ chainId: 1n, contract: `0x${'bb'.repeat(20)}`, tokenId: 1n }, keccak)

function proven(): MessageInput {
  const placement: Placement = {
    ...{ instance: INSTANCE, term: 5n, incarnation: 0n, proposer: home.anchors[0]!, executor: replicas[0]!.address },
    ...{
      replicas: replicas.map(({ address }) => address),
      headTerm: 0n,
      headN: 0n,
      headHash: SCRIPT,
      notBefore: 1n,
      expires: 2n,
    },
  }
  const votes = anchors.slice(0, 3).map((anchor) => anchor.sign(digestOf(Placement, placement, domain, keccak)))
  const certified: CertifiedPlacement = { placement, votes }
  const hash = placementHash(placement, domain, keccak)
  const entry: Entry = {
    ...entryOf(3, 'action'),
    placement: hash,
    term: 5n,
    previous: SCRIPT,
    input: SCRIPT,
    content: SCRIPT,
  }
  const name = entryHash(entry, domain, keccak)
  const held = anchors.slice(1).map((anchor) => anchor.sign(digestOf(Held, placeOf(entry, name), domain, keccak)))
  const [message] = say(genesisState(INSTANCE, 0n), [1]).outbox!
  const sent = sentOf(message!, { instance: INSTANCE, n: 3n, entry: name }, keccak)
  const signatures = replicas.slice(1).map((replica) => replica.sign(digestOf(Sent, sent, domain, keccak)))
  const from = `eip155:1/erc721:${CONTRACT}/1`
  return {
    kind: 'message',
    from,
    scriptHash: SCRIPT,
    sent,
    body: '1',
    placement: certified,
    proof: { by: 'held', entry, held },
    signatures,
  }
}

test('a message counts with votes, commit and a majority, and with nothing less', () => {
  const whole = proven()
  expect(checkSent(whole, receiver, door).verdict).toBe('accept')
  const lies: Record<string, Partial<MessageInput>> = {
    'another body': { body: '2' },
    'another name': { sent: { ...whole.sent, name: 'other' } },
    'another place': { sent: { ...whole.sent, sequence: 2n } },
    'another sender': { from: to(1) },
    'one replica': { signatures: whole.signatures.slice(1) },
    'one replica twice': { signatures: [whole.signatures[0]!, whole.signatures[0]!] },
    'two votes': { placement: { ...whole.placement, votes: whole.placement.votes.slice(1) } },
    'replicas of its own': {
      placement: { ...whole.placement, placement: { ...whole.placement.placement, replicas: [registry] } },
    },
    'no commit': { proof: { by: 'held', entry: whole.proof.entry, held: [] } },
    'the commit of another entry': { sent: { ...whole.sent, n: 2n } },
  }
  for (const [lie, change] of Object.entries(lies))
    expect(checkSent({ ...whole, ...change }, receiver, door).verdict, lie).not.toBe('accept')
  expect(checkSent(whole, token, door)).toMatchObject({ code: 'delivery.proof' })
  expect(checkSent(whole, receiver, { ...door, homeIn: () => undefined })).toMatchObject({ code: 'home.epoch' })
})
