/** `sl token where`, `history`, `export`, `restore` and `retire` against the services of real nodes, over HTTP. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatTokenRef, networkInfoShape, type StreamItem } from '@smartlayer/protocol'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { anchorRoutes } from '../../../node/src/api/anchor-routes.ts'
import { archiveRoutes, retireRoute } from '../../../node/src/api/lifecycle-routes.ts'
import { type Api, createApi, send } from '../../../node/src/api/server.ts'
import { MemoryWorld } from '../../../node/src/testing/memory-world.ts'
import { runCommand } from '../program.ts'

/** Where the virtual clock of a world stands at zero. */
const WORLD_START = 1_700_000_000_000
const STEP_MS = 20
const OWNER_KEY = keyOf(97)

/** A network whose nodes answer over HTTP, and whose clock goes with the wall clock. */
class LiveWorld {
  readonly world: MemoryWorld
  readonly url: string
  readonly #servers: readonly Server[]
  #running = true
  #loop: Promise<void> | undefined

  private constructor(world: MemoryWorld, servers: readonly Server[], url: string) {
    this.world = world
    this.#servers = servers
    this.url = url
  }

  static async start(): Promise<LiveWorld> {
    const listeners: RequestListener[] = []
    const servers = Array.from({ length: 7 }, (_, i) => createServer((...args) => listeners[i]!(...args)))
    const urls = await Promise.all(servers.map(listening))
    const world = new MemoryWorld({ apiOf: (i) => urls[i]!, startsAt: Date.now() - WORLD_START })
    for (let i = 0; i < urls.length; i++) {
      const api = createApi({ log: () => {}, count: () => {} })
      routes(api, world, i)
      await api.ready()
      listeners.push(api.routing as RequestListener)
    }
    const live = new LiveWorld(world, servers, urls[0]!)
    await world.start()
    live.#loop = live.#run()
    return live
  }

  async #run(): Promise<void> {
    while (this.#running) {
      await this.world.time.run(Math.max(0, Date.now() - WORLD_START - this.world.time.now))
      await new Promise((next) => setTimeout(next, STEP_MS))
    }
  }

  /** A fact, once every replica computed it. */
  async publish(body: { add: number }, total: number): Promise<StreamItem> {
    const item = this.world.fact(body)
    await this.world.anchors[0]!.publish([item])
    this.world.goOnAfter(item)
    await vi.waitFor(() => expect(this.totals()).toEqual([total, total, total]), { timeout: 20_000 })
    return item
  }

  totals(): readonly unknown[] {
    const states = this.world.services.flatMap((node) => node.instances.map(({ replica }) => replica.confirmed?.state))
    return states.map((state) => (state?.data as { total: number } | undefined)?.total)
  }

  async placed(): Promise<void> {
    const text = formatTokenRef(this.world.ref)
    const place = () => this.world.anchors[0]!.placement(text)
    await vi.waitFor(place, { timeout: 20_000 })
  }

  async stop(): Promise<void> {
    this.#running = false
    await this.#loop
    for (const server of this.#servers) {
      server.closeAllConnections()
      server.close()
    }
  }
}

function listening(server: Server): Promise<string> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
  })
}

function routes(api: Api, world: MemoryWorld, i: number): void {
  const { context, domain } = world
  const { leaseMs, epsilonMs, staleReadsMs, replicas } = context.parameters
  const info = {
    ...context.membership(),
    networkId: context.networkId,
    chainId: domain.chainId,
    registry: domain.verifyingContract,
    tokenRegistry: domain.verifyingContract,
    eas: world.easDomain.verifyingContract,
    easVersion: world.easDomain.version,
    schedule: { genesisS: 0n, lengthS: 9_000_000_000_000n, closingS: 0n },
    parameters: {
      leaseMs: BigInt(leaseMs),
      epsilonMs: BigInt(epsilonMs),
      staleReadsMs: BigInt(staleReadsMs),
      replicas,
    },
  }
  api.get('/v1/network', async (_, reply) => send(reply, networkInfoShape, info))
  const anchor = world.anchors[i]
  if (anchor) {
    anchorRoutes(api, anchor, undefined as never)
    archiveRoutes(api, anchor.lifecycle)
  } else retireRoute(api, world.services[i - world.anchors.length]!)
}

function keyOf(n: number): string {
  return `0x${n.toString(16).padStart(64, '0')}`
}

let folder: string
let live: LiveWorld
let out: string
let err: string
let items: StreamItem[]
const file = (name: string) => join(folder, name)
const token = () => formatTokenRef(live.world.ref)
const sl = (...args: readonly string[]) => runCommand([...args, '--network', live.url])

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'smart-layer-life-'))
  writeFileSync(file('owner.key'), OWNER_KEY)
  writeFileSync(file('stranger.key'), keyOf(5))
  writeFileSync(file('passphrase'), 'a rose is a rose\n')
  writeFileSync(file('wrong'), 'a rose is a tulip\n')
  live = await LiveWorld.start()
  await live.placed()
  items = [await live.publish({ add: 5 }, 5), await live.publish({ add: 7 }, 12)]
}, 60_000)
afterAll(async () => {
  await live.stop()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(() => {
  out = ''
  err = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text
    return true
  })
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text
    return true
  })
})
afterEach(() => {
  vi.restoreAllMocks()
})

describe('sl token where', () => {
  it('names home anchors, executor, term and lease', async () => {
    expect([await sl('token', 'where', token()), err]).toEqual([0, ''])
    expect(out).toMatch(/shard +\d+, epoch 1/)
    expect(out).toContain('3 of 4 anchors decide')
    expect(out).toMatch(/term +1\.\d+, proposed by 0x/)
    expect(out).toMatch(/lease +until 20/)
    expect(out.match(/^0x\w+ +(executor|replica) +not known$/gm)).toHaveLength(3)
  })

  it('gives the same as JSON', async () => {
    expect(await sl('token', 'where', token(), '--json')).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ quorum: 3, instance: live.world.token.instance })
  })

  it('refuses what is no token', async () => {
    expect(await sl('token', 'where', 'ticket 454')).toBe(2)
    expect(err).toContain('code: token.malformed')
  })
})

describe('sl token history', () => {
  it('lists what was committed, checked against the home anchors', async () => {
    expect([await sl('token', 'history', token()), err]).toEqual([0, ''])
    expect(out).toMatch(/^1 +\S+ +1\.\d+ +term-start/m)
    expect(out).toMatch(/^3 +\S+ +1\.\d+ +input +fact +0x\w{12} +0x\w{40}$/m)
    expect(out).not.toContain('not verified')
    expect(out).not.toContain('more with')
  })

  it('goes on page by page', async () => {
    expect(await sl('token', 'history', token(), '--limit', '2')).toBe(0)
    expect(out).toContain('more with --from 3')
    expect(await sl('token', 'history', token(), '--from', '3', '--limit', '9', '--json')).toBe(0)
    const { entries, verified } = JSON.parse(out.slice(out.indexOf('{')))
    expect(entries.map(({ n }: { n: string }) => n)).toEqual(['3'])
    expect(verified).toBe(true)
  })

  it('takes whole numbers only', async () => {
    expect(await sl('token', 'history', token(), '--limit', '0')).toBe(2)
    expect(err).toContain('--limit takes a whole number')
  })
})

describe('sl token export', () => {
  it('gives the instance to its owner, and to nobody else', async () => {
    expect([await sl('token', 'export', token(), '--out', file('plain.sl'), '--key', file('owner.key')), err]).toEqual([
      0,
      '',
    ])
    expect(out).toContain('not encrypted')
    expect(readFileSync(file('plain.sl'), 'utf8')).toContain('\\"total\\":12')
    expect(await sl('token', 'export', token(), '--out', file('no.sl'), '--key', file('stranger.key'))).toBe(3)
    expect(err).toContain('code: attestation.signer')
  })

  it('hides it under a passphrase', async () => {
    const args = ['--key', file('owner.key'), '--passphrase-file', file('passphrase')]
    expect(await sl('token', 'export', token(), '--out', file('sealed.sl'), ...args)).toBe(0)
    expect(readFileSync(file('sealed.sl'), 'utf8')).not.toContain('total')
    expect(await sl('token', 'restore', file('sealed.sl'), '--passphrase-file', file('wrong'))).toBe(3)
    expect(err).toContain('code: archive.passphrase')
    expect(await sl('token', 'restore', file('sealed.sl'))).toBe(2)
    expect(err).toContain('--passphrase-file')
  })
})

describe('sl token restore', () => {
  it('changes nothing where home anchors know as much', async () => {
    expect([await sl('token', 'restore', file('plain.sl')), err]).toEqual([0, ''])
    expect(out).toContain('incarnation 0')
    expect(out).toContain('complete')
  })

  it('refuses a file that was changed', async () => {
    const changed = readFileSync(file('plain.sl'), 'utf8').replace('\\"total\\":12', '\\"total\\":99')
    writeFileSync(file('changed.sl'), changed)
    expect(await sl('token', 'restore', file('changed.sl'))).toBe(2)
    expect(err).toContain('code: archive.malformed')
  })

  it('after everything was lost needs the owner, says what may be lost, and goes on from the same state', async () => {
    await live.stop()
    live = await LiveWorld.start()
    expect(await sl('token', 'restore', file('plain.sl'))).toBe(3)
    expect(err).toMatch(/code: restore\.(incomplete|forked)/)
    const args = ['--key', file('owner.key'), '--passphrase-file', file('passphrase')]
    expect(await sl('token', 'restore', file('sealed.sl'), ...args)).toBe(0)
    expect(out).toContain('incarnation 1, entry 3, at 4 home anchors')
    expect(out).toContain('entries after 3 may be lost')
    await live.placed()
    await live.world.anchors[0]!.publish(items)
    live.world.goOnAfter(items.at(-1)!)
    await live.publish({ add: 30 }, 42)
  }, 60_000)
})

describe('sl token retire', () => {
  it('is for the owner alone', async () => {
    expect(await sl('token', 'retire', token(), '--key', file('stranger.key'))).toBe(3)
    expect(err).toContain('code: attestation.signer')
  })

  it('ends the instance in its journal; what ended can be restored whole without anybody', async () => {
    expect([await sl('token', 'retire', token(), '--key', file('owner.key')), err]).toEqual([0, ''])
    expect(out).toMatch(/retired with entry \d+/)
    expect(await sl('token', 'history', token())).toBe(0)
    expect(out).toMatch(/lifecycle +retired by its owner/)
    expect(out).toContain('entries up to 3 were cut')
    expect(await sl('token', 'retire', token(), '--key', file('owner.key'))).toBe(3)
    expect(err).toContain('code: lifecycle.retired')
    expect(await sl('token', 'export', token(), '--out', file('ended.sl'), '--key', file('owner.key'))).toBe(0)
    await live.stop()
    live = await LiveWorld.start()
    out = ''
    expect(await sl('token', 'restore', file('ended.sl'))).toBe(0)
    expect(out).toContain('complete')
  }, 60_000)
})
