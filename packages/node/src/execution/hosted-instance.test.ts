/** What a node does about its lease when it ends and comes back. */
import { type CertifiedPlacement, digestOf, firstTermOf, nobleCrypto, Placement, ZERO_32 } from '@smartlayer/protocol'
import { TEST } from '@smartlayer/protocol/testing'
import { expect, test } from 'vitest'
import { QuorumDoor } from '../directory/quorum-door.ts'
import type { Ports } from '../ports/ports.ts'
import { ANCHOR, CONTEXT, DOMAIN, INSTANCE, loneToken, NODE } from '../testing/lone-home.ts'
import { memoryStore, VirtualTime } from '../testing/memory-world.ts'
import type { PostOffice } from '../wire/post-office.ts'
import { HostedInstance } from './hosted-instance.ts'
import type { InputBuffer } from './input-buffer.ts'

const { keccak } = nobleCrypto
const NOW = TEST.timeS * 1_000n

function placementOf(turn: bigint): CertifiedPlacement {
  const placement: Placement = {
    instance: INSTANCE,
    term: firstTermOf(1n) + turn,
    incarnation: 0n,
    proposer: ANCHOR.address,
    executor: NODE.address,
    replicas: [NODE.address],
    headTerm: 0n,
    headN: 0n,
    headHash: ZERO_32,
    notBefore: NOW,
    expires: NOW + 3_000n,
  }
  return { placement, votes: [ANCHOR.sign(digestOf(Placement, placement, DOMAIN, keccak))] }
}

/** A node that keeps its store when it is started again. */
function machine() {
  const time = new VirtualTime()
  const store = memoryStore(time)
  const ports = {
    clock: {
      now: () => NOW + BigInt(Math.floor(time.now)),
      monotonic: () => time.now,
      after: (delayMs: number, run: () => void) => time.at(delayMs, run),
    },
    random: { bytes: (length: number) => new Uint8Array(length) },
    store,
    identity: { signer: NODE, crypto: nobleCrypto },
    sandbox: {
      load: async () => {},
      call: async (_: string, method: string) => ({
        status: 'ok',
        output: method === 'topics' ? '{"topics":[]}' : '{"state":0,"effects":[]}',
        gasUsed: 1n,
      }),
    },
    telemetry: { log: () => {}, count: () => {} },
  } as unknown as Ports
  const sent: { readonly type: string }[] = []
  const post = {
    send: (_: string, message: { type: string }) => void sent.push(message),
    sendAll: (_: readonly string[], message: { type: string }) => void sent.push(message),
  } as unknown as PostOffice
  const door = new QuorumDoor(ports, CONTEXT)
  const parts = { post, inputs: {} as InputBuffer, secrets: { get: () => undefined }, door }
  const start = async () => {
    const hosted = new HostedInstance(ports, CONTEXT, parts, loneToken())
    await hosted.start()
    return hosted
  }
  return { start, sent, time }
}

test('a lease that was given back is not taken up again after a restart, the next term is', async () => {
  const { start, sent, time } = machine()
  const before = await start()
  before.place(placementOf(1n))
  expect(before.isExecutor).toBe(true)
  const left = before.leave()
  await time.run(10)
  await left
  expect(sent.map(({ type }) => type)).toContain('release')

  const after = await start()
  after.place(placementOf(1n))
  expect(after.isExecutor).toBe(false)
  expect(after.placement?.placement.term).toBe(firstTermOf(1n) + 1n)
  after.place(placementOf(2n))
  expect(after.isExecutor).toBe(true)
})

test('a lease that was not given back is taken up again', async () => {
  const { start } = machine()
  const before = await start()
  before.place(placementOf(1n))
  const after = await start()
  after.place(placementOf(1n))
  expect(after.isExecutor).toBe(true)
})
