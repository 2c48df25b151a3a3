/** A transport key is changed while its node runs: peers follow the registry, whoever reads it first. */
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Address, Member } from '@smartlayer/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { call, memberOf, pause, type TlsNode, TlsWorld, until } from './testing/tls-world.ts'
import { WilfulPeer } from './testing/wilful-peer.ts'
import type { TlsNetwork } from './tls-network.ts'
import {
  nextTransportIdentity,
  promoteTransport,
  spkiOf,
  type TransportIdentity,
  transportIdentity,
  transportKeyOf,
  transportKeys,
} from './transport-identity.ts'

/** Longer than a connection outlives a change of the registry. */
const SETTLE_MS = 1_500

describe('over TLS', () => {
  let world: TlsWorld
  let a: TlsNode
  let b: TlsNode
  let next: TransportIdentity
  let before: readonly Member[]
  let after: readonly Member[]
  beforeEach(async () => {
    world = await TlsWorld.of(3)
    a = world.nodes[0]!
    b = world.nodes[1]!
    next = await transportIdentity(join(world.folder, 'next'))
    before = world.members
    after = before.map((member) => (member.node === b.node ? memberOf({ ...b, transport: next }) : member))
  })
  afterEach(() => world[Symbol.asyncDispose]())

  const both = () => [b.transport, next]

  test('links are dialled again with the new key, in both directions, and the old one is refused everywhere', async () => {
    const networks = [
      await world.start(a),
      await world.start(b, { transports: both }),
      await world.start(world.nodes[2]!),
    ]
    const talk = new Talk(networks)
    await talk.allHear()
    const stale = await call(a.port, b.transport)
    expect(await presented(b, a.transport)).toBe(b.transport.transportKey)

    world.members = after
    await until(() => stale.closed, { limitMs: 2_000, what: 'the end of a connection by the old key' })
    await pause(SETTLE_MS)
    await talk.allHear()
    expect(await presented(b, a.transport)).toBe(next.transportKey)
    for (const { port } of [a, world.nodes[2]!]) expect(await isLetIn(port, b.transport)).toBe(false)
    expect(await isLetIn(a.port, next)).toBe(true)
  })

  test.each(['the node itself', 'its peer'])(
    'nothing is interrupted when %s reads the registry first',
    async (first) => {
      const views = { a: before, b: before }
      const networks = [
        await world.start(a, { members: () => views.a }),
        await world.start(b, { transports: both, members: () => views.b }),
      ]
      const talk = new Talk(networks)
      await talk.allHear()
      if (first === 'its peer') views.a = after
      else views.b = after
      await pause(SETTLE_MS)
      await talk.allHear()
      views.a = after
      views.b = after
      await pause(SETTLE_MS)
      await talk.allHear()
      expect(await isLetIn(a.port, b.transport)).toBe(false)
    },
  )

  test('a link is dialled again with the new key though its peer does not insist', async () => {
    const careless = new WilfulPeer(a)
    const network = await world.start(b, { transports: both })
    network.send(a.node, { n: 1 }, 'control')
    await until(() => careless.received.length === 1)
    world.members = after
    await until(() => careless.callers.length === 2, { limitMs: 2_000, what: 'the second call' })
    expect(careless.callers).toEqual([b.transport.transportKey, next.transportKey])
    network.send(a.node, { n: 2 }, 'control')
    await until(() => careless.received.length === 2)
    await careless.close()
  })

  test('a node whose registered key it does not hold is refused, and heard again once the registry is corrected', async () => {
    const talk = new Talk([await world.start(a), await world.start(b)])
    await talk.allHear()
    world.members = after
    await pause(SETTLE_MS)
    expect(await talk.isHeardBy(0, 500)).toBe(false)
    expect(await talk.isHeardBy(1, 500)).toBe(false)
    world.members = before
    await talk.allHear()
  })

  test('a peer that moved is dialled at its new address', async () => {
    const [first, second] = [await world.start(a), await world.start(b)]
    await new Talk([first, second]).allHear()
    await world.stop(second)
    const moved = { ...b, port: world.nodes[2]!.port }
    world.members = [memberOf(a), memberOf(moved)]
    await new Talk([first, await world.start(moved)]).allHear()
  })

  test('a key that comes into the folder of a running node is used once it is registered', async () => {
    const transports = await transportKeys(b.folder)
    const talk = new Talk([await world.start(a), await world.start(b, { transports })])
    await talk.allHear()
    const made = await nextTransportIdentity(b.folder)
    world.members = [memberOf(a), memberOf({ ...b, transport: made })]
    await pause(SETTLE_MS)
    await talk.allHear()
    expect(await presented(b, a.transport)).toBe(made.transportKey)
  })
})

describe('in the data folder', () => {
  let folder: string
  const file = (name: string) => join(folder, name)
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'smart-layer-keys-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  test('the next key is made once, and becomes the present one only when it is registered', async () => {
    const present = await transportIdentity(folder)
    const next = await nextTransportIdentity(folder)
    expect(next.transportKey).not.toBe(present.transportKey)
    expect(await nextTransportIdentity(folder)).toEqual(next)
    promoteTransport(folder, undefined)
    promoteTransport(folder, present.transportKey)
    expect(await transportIdentity(folder)).toEqual(present)
    promoteTransport(folder, next.transportKey)
    expect(await transportIdentity(folder)).toEqual(next)
    expect(existsSync(file('transport-next.key')) || existsSync(file('transport-next.pem'))).toBe(false)
    promoteTransport(folder, next.transportKey)
    expect((await nextTransportIdentity(folder)).transportKey).not.toBe(next.transportKey)
  })

  test('a promotion that a crash cut in two is finished by the next reader', async () => {
    await transportIdentity(folder)
    const next = await nextTransportIdentity(folder)
    renameSync(file('transport-next.key'), file('transport.key'))
    expect(await transportIdentity(folder)).toEqual(next)
    expect(existsSync(file('transport-next.pem'))).toBe(false)
  })

  test('a next key whose making a crash cut in two is made anew', async () => {
    await transportIdentity(folder)
    const first = await nextTransportIdentity(folder)
    rmSync(file('transport-next.pem'))
    const second = await nextTransportIdentity(folder)
    expect(second.transportKey).not.toBe(first.transportKey)
    rmSync(file('transport-next.key'))
    expect((await nextTransportIdentity(folder)).transportKey).not.toBe(second.transportKey)
  })

  test('a certificate of another key is refused with its path', async () => {
    await transportIdentity(folder)
    await nextTransportIdentity(folder)
    writeFileSync(file('transport.pem'), readFileSync(file('transport-next.pem')))
    await expect(transportIdentity(folder)).rejects.toMatchObject({
      code: 'config.invalid',
      facts: { at: file('transport.pem') },
    })
  })

  test('keys that were held stay held while the node runs', async () => {
    const keys = await transportKeys(folder)
    const present = await transportIdentity(folder)
    const next = await nextTransportIdentity(folder)
    expect(keys(present.transportKey)).toEqual([present])
    expect(keys(next.transportKey)).toEqual([present, next])
    promoteTransport(folder, next.transportKey)
    expect(keys(present.transportKey)).toEqual([present, next])
  })
})

/** Nodes that all talk to each other. */
class Talk {
  readonly #networks: readonly TlsNetwork[]
  readonly #heard: Map<Address, number>[]
  #round = 0

  constructor(networks: readonly TlsNetwork[]) {
    this.#networks = networks
    this.#heard = networks.map(() => new Map())
    for (const [n, network] of networks.entries()) {
      network.receive((from, message) => this.#heard[n]!.set(from, (message as { round: number }).round))
    }
  }

  /** Passes when everybody hears everybody; messages are repeated, as services do. */
  async allHear(limitMs = 3_000): Promise<void> {
    const round = ++this.#round
    const repeat = setInterval(() => this.#sendAll(round), 100)
    try {
      this.#sendAll(round)
      const holds = () => this.#networks.every((_, n) => this.#hearsAll(n, round))
      await until(holds, { limitMs, what: `round ${round}` })
    } finally {
      clearInterval(repeat)
    }
  }

  /** Whether this one hears all others within the time. */
  async isHeardBy(n: number, withinMs: number): Promise<boolean> {
    const round = ++this.#round
    this.#sendAll(round)
    await pause(withinMs)
    return this.#hearsAll(n, round)
  }

  #sendAll(round: number): void {
    for (const from of this.#networks)
      for (const to of this.#networks) if (to !== from) from.send(to.self, { round }, 'control')
  }

  #hearsAll(n: number, round: number): boolean {
    const others = this.#networks.filter((_, other) => other !== n)
    return others.every(({ self }) => this.#heard[n]!.get(self) === round)
  }
}

/** The key that a node presents to a caller who does not say which one it expects. */
async function presented({ port }: TlsNode, stranger: TransportIdentity): Promise<string> {
  const socket = await call(port, stranger)
  const key = transportKeyOf(spkiOf(socket.getPeerX509Certificate()!))
  socket.destroy()
  return key
}

async function isLetIn(port: number, identity: TransportIdentity): Promise<boolean> {
  const socket = await call(port, identity)
  socket.write(Buffer.alloc(4))
  const answered = await new Promise<boolean>((resolve) => {
    socket.once('data', () => resolve(true))
    socket.once('close', () => resolve(false))
  })
  socket.destroy()
  return answered
}
