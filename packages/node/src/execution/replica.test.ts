/** A replica executes what is committed, once and in order, whatever comes twice, late or from far ahead. */
import {
  type Bytes32,
  type CommitProof,
  digestOf,
  ENTRY_KINDS,
  type Entry,
  entryHash,
  firstTermOf,
  Held,
  type JournaledEntry,
  KEEP_ALL,
  nobleSigner,
  placeOf,
  ZERO_32,
} from '@smartlayer/protocol'
import { TEST, TestStream } from '@smartlayer/protocol/testing'
import { expect, test } from 'vitest'
import { fastCrypto } from '../adapters/fast-crypto.ts'
import type { LoadedToken } from '../context.ts'
import { QuorumDoor } from '../directory/quorum-door.ts'
import type { CallResult, Sandbox } from '../ports/sandbox.ts'
import { ANCHOR, CONTEXT, DOMAIN, INSTANCE, loneToken, NODE } from '../testing/lone-home.ts'
import { memoryStore, VirtualTime } from '../testing/memory-world.ts'
import { TurnSigner } from '../wire/turn-signer.ts'
import { Replica } from './replica.ts'

const { crypto } = await fastCrypto()
const { keccak } = crypto
const TIME = TEST.timeS * 1_000n
/** More than may wait at a replica. */
const MANY = 300

type Committed = { readonly journaled: JournaledEntry; readonly proof: CommitProof }

/** A journal whose entries are facts of one subset. */
function journalOf(count: number): { readonly token: LoadedToken; readonly entries: readonly Committed[] } {
  const stream = new TestStream()
  const entries: Committed[] = []
  let previous: Bytes32 = ZERO_32
  for (let n = 1; n <= count; n++) {
    const { item, uid } = stream.add('one', { n })
    const entry: Entry = {
      instance: INSTANCE,
      incarnation: 0n,
      placement: ZERO_32,
      term: firstTermOf(1n) + 1n,
      n: BigInt(n),
      previous,
      kind: BigInt(ENTRY_KINDS.indexOf('input')),
      input: uid,
      content: contentOf(item.body),
      time: TIME,
    }
    previous = entryHash(entry, DOMAIN, keccak)
    const held = ANCHOR.sign(digestOf(Held, placeOf(entry, previous), DOMAIN, keccak))
    const input = { kind: 'input', name: 'fact', ...item } as const
    entries.push({
      journaled: { entry, executorSignature: '0x', input, certificate: undefined } as unknown as JournaledEntry,
      proof: { by: 'held', entry, held: [held] },
    })
  }
  return {
    token: loneToken({ fact: { issuer: stream.issuer.address, lane: TEST.lane, retention: KEEP_ALL } }),
    entries,
  }
}

function contentOf(body: string): Bytes32 {
  return `0x${Buffer.from(keccak(new TextEncoder().encode(body))).toString('hex')}`
}

/** Adds one with every fact; its answers take a moment, as those of a process do. */
const sandbox: Sandbox = {
  load: async () => {},
  call: async (_, method, input) => {
    await new Promise((resolve) => setImmediate(resolve))
    const { state } = JSON.parse(input) as { state?: number }
    const answer =
      method === 'topics' ? { topics: [{ input: 'fact', subset: 'one' }] } : { state: (state ?? -1) + 1, effects: [] }
    return { status: 'ok', output: JSON.stringify(answer), gasUsed: 1n } satisfies CallResult
  },
}

async function begin(count: number) {
  const { token, entries } = journalOf(count)
  const missing: bigint[] = []
  const failed: unknown[] = []
  const nothing = () => {}
  const telemetry = {
    log: (level: string, event: string, facts?: object) => void (level === 'error' && failed.push([event, facts])),
    count: nothing,
  }
  const ports = { sandbox, identity: { signer: NODE, crypto }, telemetry, store: memoryStore(new VirtualTime()) }
  const events = {
    executed: nothing,
    confirmed: nothing,
    disputed: nothing,
    missing: (from: bigint) => void missing.push(from),
  }
  const replica = new Replica(ports, CONTEXT, token, {
    door: new QuorumDoor(ports, CONTEXT),
    signer: new TurnSigner(ports, queueMicrotask),
    events,
  })
  await replica.start()
  const take = (from: number, to: number) =>
    replica.take(
      entries.slice(from - 1, to).map(({ journaled }) => journaled),
      entries[to - 1]!.proof,
    )
  const at = async (n: number) => {
    await expect.poll(() => replica.head.n, { interval: 1, timeout: 5_000 }).toBe(BigInt(n))
    expect(failed).toEqual([])
    return replica.state?.data
  }
  return { replica, take, at, missing }
}

test('every entry that comes once more while it is executed is executed once, and none of them takes room for ever', async () => {
  const { take, at } = await begin(MANY)
  for (let n = 1; n <= MANY; n++) {
    take(n, n)
    take(n, n)
    expect(await at(n)).toBe(n)
  }
})

test('entries from far ahead do not keep out those that are next', async () => {
  const { take, at, missing } = await begin(2 * MANY)
  for (let n = MANY; n < 2 * MANY; n++) take(n, n)
  take(1, 64)
  expect(await at(64)).toBe(64)
  for (let n = 65; n < MANY; n += 64) {
    take(n, Math.min(n + 63, MANY))
    await at(Math.min(n + 63, MANY))
  }
  take(MANY + 1, 2 * MANY)
  expect(await at(MANY + 256)).toBe(MANY + 256)
  expect(missing.every((from) => from > 0n)).toBe(true)
})

test('what no anchor committed is not executed', async () => {
  const { replica, take, at } = await begin(3)
  take(1, 1)
  await at(1)
  const { entries } = journalOf(3)
  const forged = nobleSigner(`0x${'0c'.repeat(32)}`)
  const { entry } = entries[1]!.journaled
  const held = [forged.sign(digestOf(Held, placeOf(entry, entryHash(entry, DOMAIN, keccak)), DOMAIN, keccak))]
  replica.take([entries[1]!.journaled], { by: 'held', entry, held })
  take(2, 2)
  expect(await at(2)).toBe(2)
})
