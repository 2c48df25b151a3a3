/** What every Network must do, whatever carries it. Adapters run this suite in their own tests. */
import type { Address } from '@smartlayer/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Network, TRAFFIC_CLASSES } from './network.ts'

const MIB = 1_048_576
const ARRIVAL_LIMIT_MS = 5_000
const QUIET_MS = 300

export type NetworkWorld = {
  /** Nodes that run and know each other. */
  readonly networks: readonly [Network, Network, Network]
  /** Registered, but not running. */
  readonly away: Address
  /** Registered and connected, but it reads nothing. */
  readonly deaf: Address
  /** Registered nowhere. */
  readonly unknown: Address
  /** Bytes that wait at the first network to be sent. */
  held(): number
  /** The most that may wait for one peer. */
  readonly heldLimit: number
  stop(): Promise<void>
}

type Heard = { readonly from: Address; readonly message: unknown }

export function networkContract(name: string, start: () => Promise<NetworkWorld>): void {
  describe(`${name} as a network`, () => {
    let world: NetworkWorld
    let [a, b, c] = [] as unknown as [Network, Network, Network]
    beforeEach(async () => {
      world = await start()
      ;[a, b, c] = world.networks
    })
    afterEach(() => world.stop())

    test('what is sent arrives as it was when it was sent, from whoever sent it', async () => {
      const heard = listenAt(c)
      const message = { type: 'test', list: [1, 'ü', null, { deep: true }] }
      a.send(c.self, message, 'live')
      b.send(c.self, { type: 'other' }, 'live')
      message.list.push(2)
      await arrival(heard, 2)
      expect(heard).toContainEqual({ from: a.self, message: { type: 'test', list: [1, 'ü', null, { deep: true }] } })
      expect(heard).toContainEqual({ from: b.self, message: { type: 'other' } })
    })

    test('an object that is changed and sent again says both', async () => {
      const heard = listenAt(b)
      const message = { n: 1 }
      a.send(b.self, message, 'live')
      await quiet(10)
      message.n = 2
      a.send(b.self, message, 'live')
      await arrival(heard, 2)
      expect(heard.map((one) => one.message)).toEqual(expect.arrayContaining([{ n: 1 }, { n: 2 }]))
    })

    test('a sender cannot say that it is somebody else', async () => {
      const heard = listenAt(c)
      a.send(c.self, { from: b.self, self: b.self, sender: b.self }, 'control')
      await arrival(heard, 1)
      expect(heard[0]?.from).toBe(a.self)
    })

    test('a message to ourselves is delivered, as a copy, and never within the call that sends it', async () => {
      const heard = listenAt(a)
      const message = { list: [1] }
      a.send(a.self, message, 'control')
      expect(heard).toEqual([])
      message.list.push(2)
      await arrival(heard, 1)
      expect(heard).toEqual([{ from: a.self, message: { list: [1] } }])
    })

    test('nobody else hears what is sent to one', async () => {
      const [atB, atC] = [listenAt(b), listenAt(c)]
      a.send(b.self, { n: 1 }, 'live')
      await arrival(atB, 1)
      await quiet()
      expect([atB.length, atC.length]).toEqual([1, 0])
    })

    test('every class carries messages; their order is not promised, their number is', async () => {
      const heard = listenAt(b)
      for (let n = 0; n < 100; n++) for (const name of TRAFFIC_CLASSES) a.send(b.self, { n, name }, name)
      await arrival(heard, 100 * TRAFFIC_CLASSES.length)
      const kinds = new Set(heard.map(({ message }) => JSON.stringify(message)))
      expect(kinds.size).toBe(100 * TRAFFIC_CLASSES.length)
    })

    test('a message to many reaches each of them', async () => {
      const [atB, atC] = [listenAt(b), listenAt(c)]
      const message = { text: 'x'.repeat(100_000) }
      for (const to of [b, c]) a.send(to.self, message, 'live')
      await Promise.all([arrival(atB, 1), arrival(atC, 1)])
      expect([atB[0]?.message, atC[0]?.message]).toEqual([message, message])
    })

    test('what cannot be sent is dropped without a word to the caller, and its neighbours arrive', async () => {
      const heard = listenAt(b)
      const circle: Record<string, unknown> = {}
      circle.self = circle
      a.send(b.self, { n: 1 }, 'live')
      for (const unsendable of [{ big: 1n }, circle, undefined, () => {}]) {
        expect(() => a.send(b.self, unsendable, 'live')).not.toThrow()
        expect(() => a.send(a.self, unsendable, 'live')).not.toThrow()
      }
      for (const name of TRAFFIC_CLASSES) {
        expect(() => a.send(b.self, { name, large: 'x'.repeat(MIB) }, name)).not.toThrow()
      }
      a.send(b.self, { n: 2 }, 'live')
      await arrival(heard, 2)
      await quiet()
      expect(heard.map(({ message }) => message)).toEqual(expect.arrayContaining([{ n: 1 }, { n: 2 }]))
      expect(heard).toHaveLength(2)
    })

    test('a message to a node that nobody knows is dropped and holds nothing', async () => {
      for (let n = 0; n < 10_000; n++) expect(() => a.send(world.unknown, { n }, 'control')).not.toThrow()
      expect(world.held()).toBe(0)
    })

    test.each(['away', 'deaf'] as const)(
      'a peer that is %s costs a bounded amount, and others hear as before',
      async (how) => {
        const heard = listenAt(b)
        const text = 'x'.repeat(10_000)
        for (let round = 0; round < 20; round++) {
          for (const name of TRAFFIC_CLASSES) for (let n = 0; n < 100; n++) a.send(world[how], { n, text }, name)
          a.send(b.self, { round }, 'live')
          await quiet(10)
          expect(world.held()).toBeLessThanOrEqual(world.heldLimit)
        }
        await arrival(heard, 20)
      },
    )

    test('a handler that throws loses its own message and no other', async () => {
      const heard: unknown[] = []
      b.receive((_, message) => {
        heard.push(message)
        if ((message as { n: number }).n === 1) throw new Error('a bug of the handler')
      })
      for (const n of [1, 2, 3]) a.send(b.self, { n }, 'live')
      b.send(b.self, { n: 1 }, 'live')
      b.send(b.self, { n: 4 }, 'live')
      await arrival(heard, 5)
      expect(heard).toEqual(expect.arrayContaining([{ n: 2 }, { n: 3 }, { n: 4 }]))
    })

    test('the handler that was set last is the one that hears', async () => {
      const [first, second] = [listenAt(b), listenAt(b)]
      a.send(b.self, { n: 1 }, 'live')
      await arrival(second, 1)
      expect(first).toEqual([])
    })
  })
}

function listenAt(network: Network): Heard[] {
  const heard: Heard[] = []
  network.receive((from, message) => heard.push({ from, message }))
  return heard
}

async function arrival(heard: readonly unknown[], count: number): Promise<void> {
  await expect.poll(() => heard.length, { timeout: ARRIVAL_LIMIT_MS, interval: 5 }).toBeGreaterThanOrEqual(count)
}

function quiet(ms = QUIET_MS): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
