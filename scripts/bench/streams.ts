/** Streams on real parts: from an issuer to everybody who follows, back through a checkpoint, and what rests in memory. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { fastCrypto } from '@smartlayer/node'
import {
  accepted,
  appendMountain,
  checkRange,
  domainOf,
  encodeItem,
  type Hex,
  homesOver,
  KEEP_ALL,
  LOCAL_DIRECTORY,
  leafOf,
  type Membership,
  type Mountains,
  mountainRoot,
  NO_MOUNTAINS,
  nodeOf,
  proveMountain,
  STREAM_RANGE_LIMIT,
  type StreamItem,
  toHex,
  uidOf,
  uintWord,
  ZERO_32,
} from '@smartlayer/protocol'
import { resolve } from '@smartlayer/sdk'
import { DATE, FLIGHT, type FlightDemo } from '../../examples/flight-ticket/src/demo.ts'
import { SegmentLog } from '../../packages/node/src/adapters/segment-log.ts'
import { SqliteStore } from '../../packages/node/src/adapters/sqlite-store.ts'
import { systemClock, systemRandom } from '../../packages/node/src/adapters/system-clock.ts'
import { LOCAL_PARAMETERS, type NodeContext } from '../../packages/node/src/context.ts'
import { Standings } from '../../packages/node/src/directory/standings.ts'
import type { Ports } from '../../packages/node/src/ports/ports.ts'
import { pack, unpack } from '../../packages/node/src/stream/packing.ts'
import { StreamService } from '../../packages/node/src/stream/stream-service.ts'
import { PostOffice } from '../../packages/node/src/wire/post-office.ts'
import { Facts, factsContext, factsPlace, ISSUER_KEY } from './gossip-facts.ts'
import { cpuNowS, quantile, type Row, row } from './row.ts'

const WARM = 20
const FACTS = 200
/** Quiet time between facts: each is measured alone. */
const PAUSE_MS = 25
const WAIT_MS = 10_000
/** Entries that are read back, in ranges of what one message holds of them. */
const BACKFILL = 8_192
/** Whoever is far behind reads so much that compiling is over soon. */
const WARM_READS = 4
const READS = 5
const RANGE = 384
/** Streams with one entry each. */
const IDLE_STREAMS = 10_000
const TARGETS = { p50Ms: 6, p99Ms: 60, backfillPerS: 20_000, idleBytes: 1_024 } as const

/** From the call of the issuer's back end to the arrival at every replica and at a subscriber of every anchor. */
export async function benchPublish(demo: FlightDemo): Promise<readonly Row[]> {
  const watch = await Arrivals.open(demo)
  try {
    const times: number[] = []
    for (let i = 0; i < WARM + FACTS; i++) {
      const arrived = watch.next()
      const started = performance.now()
      await demo.airline.delay(FLIGHT, DATE, 1 + (i % 90))
      const done = await arrived
      if (i >= WARM) times.push(done - started)
      await setTimeout(PAUSE_MS)
    }
    return [
      row(`publish to all ${watch.size} subscribers, p50`, 'ms', {
        ours: quantile(times, 0.5),
        target: { of: 'ours', at: 'most', value: TARGETS.p50Ms },
      }),
      row('publish to all subscribers, p99', 'ms', {
        ours: quantile(times, 0.99),
        target: { of: 'ours', at: 'most', value: TARGETS.p99Ms },
      }),
    ]
  } finally {
    watch.close()
  }
}

/** Sees the next entry of the airline's stream arrive everywhere. */
class Arrivals {
  readonly #sockets: WebSocket[] = []
  readonly #seen = new Map<WebSocket, bigint>()
  #waiting: ((at: number) => void) | undefined
  #target = 0n

  static async open(demo: FlightDemo): Promise<Arrivals> {
    const { site } = demo.smartLayer
    const { stream } = (await demo.airline.delay(FLIGHT, DATE, 1)).receipt.receipt
    const { certified } = await resolve(site, demo.token())
    const replicas = site.network.membership.members.filter(({ node }) => certified.placement.replicas.includes(node))
    const arrivals = new Arrivals()
    for (const { api } of replicas) {
      arrivals.#listen(`${api.replace('http', 'ws')}/v1/events`, ({ event, facts }) =>
        event === 'stream.arrived' && facts.stream === stream ? BigInt(facts.sequence) : undefined,
      )
    }
    for (const api of site.anchors) {
      arrivals.#listen(`${api.replace('http', 'ws')}/v1/streams/${stream}/live`, ({ type, cursor }) =>
        type === 'entry' ? BigInt(cursor) : undefined,
      )
    }
    await setTimeout(1_500) // what happened before arrives first
    return arrivals
  }

  get size(): number {
    return this.#sockets.length
  }

  /** When (of `performance.now`) the entry after all that any has seen is at all of them. */
  next(): Promise<number> {
    this.#target = [...this.#seen.values()].reduce((most, n) => (n > most ? n : most), 0n) + 1n
    return new Promise((done, fail) => {
      const timer = globalThis.setTimeout(() => fail(new Error(`entry ${this.#target} did not arrive`)), WAIT_MS)
      this.#waiting = (at) => {
        clearTimeout(timer)
        done(at)
      }
    })
  }

  close(): void {
    for (const socket of this.#sockets) socket.close()
  }

  // biome-ignore lint/suspicious/noExplicitAny: JSON of our own nodes, read by this benchmark alone
  #listen(url: string, placeOf: (message: any) => bigint | undefined): void {
    const socket = new WebSocket(url)
    this.#sockets.push(socket)
    socket.addEventListener('message', ({ data }) => {
      const place = placeOf(JSON.parse(String(data)))
      if (place === undefined) return
      this.#seen.set(socket, place)
      const all = this.#sockets.every((each) => (this.#seen.get(each) ?? 0n) >= this.#target)
      if (all) this.#waiting?.(performance.now())
      if (all) this.#waiting = undefined
    })
  }
}

/** What a late follower spends on entries of 1 KiB that a cosigned checkpoint vouches for: unpacked, hashed, chained. */
export async function benchBackfill(): Promise<readonly Row[]> {
  const crypto = await fastCrypto()
  const issuer = crypto.signer(ISSUER_KEY)
  const context = factsContext(crypto.crypto, issuer)
  const { keccak } = crypto.crypto
  const timeS = BigInt(Math.floor(Date.now() / 1_000))
  const random = (size: number) => crypto.crypto.keccak(uintWord(BigInt(size))).slice(0, size)
  const items = new Facts(context, issuer, random).next(BACKFILL, { batch: 64, timeS })
  const uids = items.map(({ attestation }) => uidOf(attestation.message, keccak))
  const mountains = uids.reduce<Mountains>((range, uid) => appendMountain(range, uid, keccak), NO_MOUNTAINS)
  const { stream } = factsPlace(context)
  const base = { stream, epoch: 1n, size: BigInt(BACKFILL), homeEpoch: 1n, time: timeS }
  const checkpoint = { ...base, root: mountainRoot(mountains, keccak), head: uids.at(-1)! }
  const subtree = (first: bigint, height: number): Hex => {
    if (height === 0) return leafOf(uids[Number(first) - 1]!, keccak)
    const half = 1n << BigInt(height - 1)
    return nodeOf(subtree(first, height - 1), subtree(first + half, height - 1), keccak)
  }
  const ranges: { packed: string; proof: ReturnType<typeof proveMountain> }[] = []
  for (let at = 0; at < BACKFILL; at += Math.min(RANGE, STREAM_RANGE_LIMIT)) {
    const part: readonly StreamItem[] = items.slice(at, at + RANGE)
    const sequence = BigInt(at + part.length)
    ranges.push({ packed: pack(part.map(encodeItem)), proof: proveMountain({ size: base.size, sequence }, subtree) })
  }
  const read = () => {
    for (const { packed, proof } of ranges) {
      const range = { items: unpack(packed), checkpoint, proof }
      const checked = checkRange({ stream, subset: stream }, range, { ...context, nowS: 0n })
      if (!accepted(checked)) throw new Error(checked.code)
    }
  }
  for (let i = 0; i < WARM_READS; i++) read()
  const started = cpuNowS()
  for (let i = 0; i < READS; i++) read()
  const perS = (READS * BACKFILL) / (cpuNowS() - started)
  return [
    row('backfill of 1 KiB entries', 'per CPU s', {
      ours: perS,
      target: { of: 'ours', at: 'least', value: TARGETS.backfillPerS },
    }),
  ]
}

/** Heap that a home anchor keeps for each stream to which nothing happens any more. */
export async function benchIdleStreams(): Promise<readonly Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'smart-layer-idle-'))
  const store = new SqliteStore(join(folder, 'store.db'))
  const log = await SegmentLog.open(join(folder, 'streams'))
  try {
    const crypto = await fastCrypto()
    const issuers = Array.from({ length: IDLE_STREAMS }, (_, i) => crypto.signer(toHex(uintWord(BigInt(i + 1)))))
    const ports = portsOf({ crypto, store, log })
    const service = new StreamService(ports, idleContext(crypto, issuers), {
      post: new PostOffice(ports),
      standings: new Standings(ports, idleContext(crypto, issuers)),
    })
    service.start()
    const before = heapAfterCollection()
    for (let at = 0; at < issuers.length; at += 100) {
      const publishing = issuers.slice(at, at + 100).map((issuer) => {
        const context = factsContext(crypto.crypto, issuer)
        const timeS = BigInt(Math.floor(Date.now() / 1_000))
        return service.publish(
          new Facts(context, issuer, (size) => systemRandom.bytes(size)).next(1, { batch: 1, timeS }),
        )
      })
      await Promise.all(publishing)
    }
    await setTimeout(12_000) // until nothing is looked after any more
    const bytes = (heapAfterCollection() - before) / IDLE_STREAMS
    service.stop()
    return [
      row('memory of an idle stream at its home anchor', 'B heap', {
        ours: bytes,
        target: { of: 'ours', at: 'most', value: TARGETS.idleBytes },
      }),
    ]
  } finally {
    await log.close()
    store.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

type Crypto = Awaited<ReturnType<typeof fastCrypto>>

function portsOf({ crypto, store, log }: { crypto: Crypto; store: SqliteStore; log: SegmentLog }): Ports {
  const signer = crypto.signer(ISSUER_KEY)
  return {
    clock: systemClock,
    random: systemRandom,
    store,
    log,
    network: { self: signer.address, send: () => {}, receive: () => {} },
    identity: { signer, crypto: crypto.crypto },
    telemetry: { log: () => {}, count: () => {} },
  } as unknown as Ports
}

/** One anchor is its own quorum. */
function idleContext(crypto: Crypto, issuers: readonly { readonly address: Hex }[]): NodeContext {
  const self = crypto.signer(ISSUER_KEY)
  const { networkId, easDomain, tokenType, rules } = factsContext(crypto.crypto, self)
  const contract: Hex = `0x${'c0'.repeat(20)}`
  const inputs = Object.fromEntries(
    issuers.map(({ address }, i) => [`i${i}`, { issuer: address, lane: rules[0]!.lane, retention: KEEP_ALL }]),
  )
  const empty = { transportKey: ZERO_32, overlay: '', api: '', operator: ZERO_32, platform: ZERO_32, stake: 1n }
  const membership: Membership = {
    epoch: 1n,
    beacon: ZERO_32,
    earlierBeacons: [],
    directory: { ...LOCAL_DIRECTORY, shardCount: 16, homeSize: 31 },
    members: [{ node: self.address, role: 'anchor', ...empty }],
  }
  const type = {
    contract,
    rules: { tokenType, scriptHash: ZERO_32, inputs, actions: {}, effects: {} },
    checkFact: () => undefined,
  }
  const homes = homesOver([membership], crypto.crypto.keccak)
  return {
    networkId,
    domain: domainOf(
      { name: 'SmartLayer', version: '1', chainId: 1n, verifyingContract: contract },
      crypto.crypto.keccak,
    ),
    easDomain,
    parameters: LOCAL_PARAMETERS,
    membership: () => membership,
    homes: () => homes,
    tokens: {
      byInstance: () => undefined,
      byContract: () => type,
      load: () => Promise.reject(new Error('no tokens here')),
      loadType: async () => type,
    },
  }
}

function heapAfterCollection(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}
