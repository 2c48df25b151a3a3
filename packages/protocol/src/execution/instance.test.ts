import { expect, test } from 'vitest'
import { subsetOf } from '../directory/ids.ts'
import type { CheckedInput, JournalInput } from '../journal/input.ts'
import { ENTRY_KINDS, type Entry, type EntryKind } from '../journal/messages.ts'
import { nobleCrypto } from '../primitives/crypto.ts'
import {
  applyEntry,
  genesisState,
  type HandlerResult,
  handlerCall,
  type InstanceState,
  stateRoot,
  type Topic,
  topicsInTurn,
} from './instance.ts'
import type { TokenRules } from './rules.ts'

const { keccak } = nobleCrypto
const INSTANCE = `0x${'07'.repeat(32)}` as const
const STREAM = `0x${'57'.repeat(32)}` as const
const UID = `0x${'1d'.repeat(32)}` as const
const rules = {
  effects: { call: { attempts: 2, timeoutMs: 10, idempotent: false, attestedBy: undefined } },
} as unknown as TokenRules
const world = { rules, keccak }
const key = `${STREAM}:${subsetOf('s', keccak)}`

function entry(n: bigint, kind: EntryKind, change: Partial<Entry> = {}): Entry {
  return {
    instance: INSTANCE,
    incarnation: 0n,
    n,
    term: 1n,
    kind: BigInt(ENTRY_KINDS.indexOf(kind)),
    time: 1_000n * n,
    ...change,
  } as Entry
}

const fact = { kind: 'input', name: 'fact', body: '{"a":1}' } as unknown as JournalInput
const factChecked: CheckedInput = { uid: UID, content: UID, cursor: { key, value: { sequence: 1n, uid: UID } } }
const plain: CheckedInput = { uid: UID, content: UID, cursor: undefined }
const following: InstanceState = { ...genesisState(INSTANCE, 0n), topics: [{ input: 'fact', subset: 's' }] }
const result = (change: object = {}): HandlerResult => ({ data: { a: 1 }, effects: [], topics: [], ...change })

function report(kind: 'attempt' | 'outcome', body: object): JournalInput {
  return { kind, body: JSON.stringify(body) } as unknown as JournalInput
}

function withEffect(): InstanceState {
  const step = { entry: entry(1n, 'input'), input: fact, checked: factChecked }
  return applyEntry(following, step, result({ effects: [{ name: 'call', payload: { b: 2 } }] }), world)
}

test('a fact of a followed subset reaches the handler and moves the cursor with the state', () => {
  const step = { entry: entry(1n, 'input'), input: fact, checked: factChecked }
  expect(handlerCall(following, step, world)).toMatchObject({
    method: 'input',
    input: { name: 'fact', body: { a: 1 }, time: 1_000 },
  })
  expect(applyEntry(following, step, result(), world)).toMatchObject({
    n: '1',
    data: { a: 1 },
    cursors: { [key]: { sequence: '1' } },
  })
})

test('a fact of a subset that the state does not follow reaches no handler', () => {
  const step = { entry: entry(1n, 'input'), input: fact, checked: factChecked }
  expect(handlerCall(genesisState(INSTANCE, 0n), step, world)).toBeUndefined()
})

test('a handler that refuses leaves the data as it was, and the cursor moves on', () => {
  const step = { entry: entry(1n, 'input'), input: fact, checked: factChecked }
  const after = applyEntry(following, step, { refused: 'sandbox.threw' }, world)
  expect(after).toMatchObject({ n: '1', data: null, refused: 'sandbox.threw', cursors: { [key]: { sequence: '1' } } })
})

test('an effect lives through attempt and outcome, and only the first outcome counts', () => {
  const asked = withEffect()
  const id = asked.effects[0]!.id
  const attempt = {
    entry: entry(2n, 'attempt'),
    input: report('attempt', { effect: id, name: 'call', attempt: 1 }),
    checked: plain,
  }
  const attempting = applyEntry(asked, attempt, undefined, world)
  expect(attempting.effects[0]).toMatchObject({ status: 'attempting', attempts: 1, attemptTerm: '1' })
  const answer = { status: 200, request: UID, body: '{"ok":true}', signature: '' }
  const body = { effect: id, name: 'call', attempt: 1, end: 'answered', reason: 'answered', answer }
  const outcome = { entry: entry(3n, 'outcome'), input: report('outcome', body), checked: plain }
  expect(handlerCall(attempting, outcome, world)).toMatchObject({
    method: 'outcome',
    input: { outcome: { kind: 'succeeded', body: { ok: true } } },
  })
  const done = applyEntry(attempting, outcome, result(), world)
  expect(done.effects[0]?.status).toBe('succeeded')
  expect(handlerCall(done, { ...outcome, entry: entry(4n, 'outcome') }, world)).toBeUndefined()
})

test('a lost call that must not be repeated reaches the script as uncertain', () => {
  const asked = withEffect()
  const id = asked.effects[0]!.id
  const attempting = applyEntry(
    asked,
    { entry: entry(2n, 'attempt'), input: report('attempt', { effect: id, name: 'call', attempt: 1 }), checked: plain },
    undefined,
    world,
  )
  const body = { effect: id, name: 'call', attempt: 1, end: 'lost', reason: 'executor lost', answer: null }
  const step = { entry: entry(3n, 'outcome'), input: report('outcome', body), checked: plain }
  expect(handlerCall(attempting, step, world)).toMatchObject({ input: { outcome: { kind: 'uncertain', attempt: 1 } } })
})

test('a report about an effect or attempt that does not exist changes nothing but the position', () => {
  const asked = withEffect()
  for (const body of [
    { effect: UID, name: 'call', attempt: 1 },
    { effect: asked.effects[0]!.id, name: 'call', attempt: 7 },
  ]) {
    const after = applyEntry(
      asked,
      { entry: entry(2n, 'attempt'), input: report('attempt', body), checked: plain },
      undefined,
      world,
    )
    expect(after.effects).toEqual(asked.effects)
  }
})

test('too many open effects and too large a state are refused whole', () => {
  const step = { entry: entry(1n, 'input'), input: fact, checked: factChecked }
  const many = Array.from({ length: 17 }, () => ({ name: 'call', payload: null }))
  expect(applyEntry(following, step, result({ effects: many }), world)).toMatchObject({
    refused: 'effect.too_many',
    data: null,
    effects: [],
  })
  expect(applyEntry(following, step, result({ data: 'x'.repeat(70_000) }), world)).toMatchObject({
    refused: 'state.too_large',
    data: null,
  })
})

test('an action is taken once', () => {
  const action = { kind: 'action', action: { name: 'link', expires: 9_000n }, args: 'null' } as unknown as JournalInput
  const step = { entry: entry(1n, 'action'), input: action, checked: plain }
  expect(handlerCall(following, step, world)).toMatchObject({ method: 'action' })
  const taken = applyEntry(following, step, result(), world)
  expect(handlerCall(taken, { ...step, entry: entry(2n, 'action') }, world)).toBeUndefined()
})

test('equal states have equal roots, and any difference shows', () => {
  expect(stateRoot(withEffect(), keccak)).toBe(stateRoot(withEffect(), keccak))
  expect(stateRoot({ ...withEffect(), refused: 'x' }, keccak)).not.toBe(stateRoot(withEffect(), keccak))
})

test('a topic that never runs dry keeps no other one waiting', () => {
  const topics: readonly Topic[] = ['a', 'b', 'c'].map((subset) => ({ input: 'fact', subset }))
  let last: Topic | undefined
  const served = Array.from({ length: 6 }, () => {
    last = topicsInTurn(topics, last)[0]
    return last!.subset
  })
  expect(served).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
})

test('topics are all there, whichever was served last', () => {
  const topics: readonly Topic[] = [
    { input: 'fact', subset: 'a' },
    { input: 'other', subset: 'a' },
  ]
  for (const last of [undefined, ...topics, { input: 'fact', subset: 'gone' }]) {
    expect(new Set(topicsInTurn(topics, last))).toEqual(new Set(topics))
  }
  expect(topicsInTurn(topics, topics[0])).toEqual([topics[1], topics[0]])
})
