/** The ports of one simulated node: clock with skew, lossy network, disk that forgets what was not synced, outside world. */
import type { Network, OutboundRequest, OutboundResult, Ports, Store, Write } from '@smartlayer/node'
import { type Address, type Crypto, concat, fromHex, type Hasher, type Hex, type Signer, toHex, utf8 } from '@smartlayer/protocol'
import type { Bugs } from './bugs.ts'
import { counterScript } from './counter-script.ts'
import type { EventQueue } from './event-queue.ts'
import type { SeededRandom } from './seeded-random.ts'

export const START = 1_700_000_000_000n
const FSYNC_MS = 2

/** What went wrong on purpose, counted. */
export type Faults = { drops: number; duplicates: number; crashes: number; partitions: number; losses: number }

/** Signatures that only the simulation can make: as cheap as a hash, in the canonical form, bound to address and digest. */
export function fakeSigner(address: Address, keccak: Hasher): Signer {
  return { address, sign: (digest) => fakeSignature(address, digest, keccak) }
}

export function fakeCrypto(keccak: Hasher): Crypto {
  return {
    keccak,
    recover(digest, signature) {
      const address = `0x${signature.slice(26, 66)}` as Address
      return signature.length === 132 && fakeSignature(address, digest, keccak) === signature ? address : undefined
    },
  }
}

function fakeSignature(address: Address, digest: Uint8Array, keccak: Hasher): Hex {
  const proof = keccak(concat(utf8('the simulation signs'), fromHex(address), digest))
  proof[0] = 0 // low s
  return toHex(concat(new Uint8Array(12), fromHex(address), proof, Uint8Array.of(27)))
}

/** A disk: what was committed stays, what was on its way is lost in a crash. */
export class Disk {
  readonly rows = new Map<string, Uint8Array>()

  store(queue: EventQueue, alive: () => boolean, bugs: Bugs): Store {
    const apply = (writes: readonly Write[]) => {
      for (const { key, value } of writes) {
        if (value) this.rows.set(key, value)
        else this.rows.delete(key)
      }
    }
    const visible = bugs.skipFsync ? new Map<string, Uint8Array>() : this.rows
    const read = (key: string) => visible.get(key) ?? this.rows.get(key)
    return {
      get: read,
      range: ({ from, to, limit }) => {
        const keys = [...new Set([...this.rows.keys(), ...visible.keys()])].filter((key) => key >= from && key < to).sort()
        return keys.slice(0, limit).map((key) => [key, read(key)!] as const)
      },
      commit: (writes) =>
        new Promise((resolve) => {
          if (bugs.skipFsync) {
            // Acknowledged at once; on disk only much later, if the machine lives so long.
            for (const { key, value } of writes) if (value) visible.set(key, value)
            resolve()
            queue.after(30_000, () => alive() && apply(writes))
            return
          }
          queue.after(FSYNC_MS, () => {
            if (!alive()) return
            apply(writes)
            resolve()
          })
        }),
    }
  }
}

/** The wires between nodes: late, lossy, doubling, and cut where a partition says so. */
export class Wires {
  readonly #queue: EventQueue
  readonly #random: SeededRandom
  readonly #faults: Faults
  readonly #handlers = new Map<Address, (from: Address, message: unknown) => void>()
  /** Pairs `from>to` that are cut. */
  readonly cut = new Set<string>()
  lossy = true
  /** Sees everything that is sent, for the trace. */
  onSend: (from: Address, to: Address, type: string) => void = () => {}

  constructor(queue: EventQueue, random: SeededRandom, faults: Faults) {
    this.#queue = queue
    this.#random = random
    this.#faults = faults
  }

  network(self: Address, alive: () => boolean): Network {
    return {
      self,
      send: (to, message) => {
        if (!alive()) return
        const text = JSON.stringify(message)
        this.onSend(self, to, (message as { type: string }).type)
        if (this.cut.has(`${self}>${to}`)) {
          this.#faults.drops++
          return
        }
        const copies = this.#copies(self, to)
        for (let copy = 0; copy < copies; copy++) {
          const delay = self === to ? 0 : this.#random.between(0.5, 4) + (this.#random.next() < 0.02 ? this.#random.between(5, 60) : 0)
          this.#queue.after(delay, () => this.#handlers.get(to)?.(self, JSON.parse(text)))
        }
      },
      receive: (handle) => {
        this.#handlers.set(self, (from, message) => alive() && handle(from, message))
      },
    }
  }

  #copies(self: Address, to: Address): number {
    if (!this.lossy || self === to) return 1
    const draw = this.#random.next()
    if (draw < 0.03) {
      this.#faults.drops++
      return 0
    }
    if (draw < 0.05) {
      this.#faults.duplicates++
      return 2
    }
    return 1
  }
}

export type Outside = (request: OutboundRequest) => Promise<OutboundResult>

/** All ports of a node that lives until `alive` says otherwise. */
export function portsOf(options: {
  readonly address: Address
  readonly queue: EventQueue
  readonly keccak: Hasher
  readonly wires: Wires
  readonly disk: Disk
  readonly random: SeededRandom
  readonly skewMs: () => number
  readonly alive: () => boolean
  readonly outside: Outside
  readonly bugs: Bugs
  readonly altered: boolean
  readonly log: (event: string, facts: Readonly<Record<string, unknown>> | undefined) => void
}): Ports {
  const { address, queue, keccak, alive, random, log } = options
  return {
    clock: {
      now: () => START + BigInt(Math.floor(queue.now + options.skewMs())),
      monotonic: () => queue.now,
      after: (delayMs, run) => queue.after(delayMs, () => alive() && run()),
    },
    random: { bytes: (length) => random.bytes(length) },
    store: options.disk.store(queue, alive, options.bugs),
    network: options.wires.network(address, alive),
    chain: {
      finalized: async () => ({ number: 1n, hash: `0x${'00'.repeat(32)}`, timestamp: 0n }),
      members: async () => [],
      registration: async () => undefined,
      ownerOf: async () => ({ owner: undefined, block: { number: 1n, hash: `0x${'00'.repeat(32)}`, timestamp: 0n } }),
    },
    sandbox: { load: async () => {}, call: async (_, method, input) => counterScript(method, input, options.altered) },
    egress: { request: options.outside },
    identity: { signer: fakeSigner(address, keccak), crypto: fakeCrypto(keccak) },
    telemetry: {
      log: (level, event, facts) => {
        if (level === 'error') log(`ERROR ${event} ${String((facts?.error as Error | undefined)?.message)}`, facts)
        else log(event, facts)
      },
      count: () => {},
    },
  }
}
