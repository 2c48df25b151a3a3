/** From an attested fact to the new state on all replicas: real processes, durable stores, loopback. */
import { setTimeout } from 'node:timers/promises'
import { resolve } from '@smartlayer/sdk'
import { DATE, FLIGHT, type FlightDemo } from '../../examples/flight-ticket/src/demo.ts'
import { quantile, type Row, row } from './row.ts'

const WARM = 5
const UPDATES = 60
/** Quiet time between updates: each is measured alone. */
const PAUSE_MS = 50
const WAIT_MS = 10_000
/** Below what moves the hotel, so that no outside call is part of the figure. */
const DELAY_LIMIT_MINUTES = 100
const TARGET_MS = 25

type Update = { readonly fromReceiptMs: number; readonly fromSendingMs: number }

export async function benchCommittedUpdate(demo: FlightDemo): Promise<readonly Row[]> {
  const { site } = demo.smartLayer
  const { certified, instance } = await resolve(site, demo.token())
  const { replicas } = certified.placement
  const apis = site.network.membership.members.filter(({ node }) => replicas.includes(node)).map(({ api }) => api)
  const watch = await Watch.open(apis, instance)
  try {
    const updates: Update[] = []
    for (let i = 0; i < WARM + UPDATES; i++) {
      const update = await measure(demo, watch, 1 + (i % DELAY_LIMIT_MINUTES))
      if (i >= WARM) updates.push(update)
      await setTimeout(PAUSE_MS)
    }
    const fromReceipt = updates.map(({ fromReceiptMs }) => fromReceiptMs)
    const fromSending = updates.map(({ fromSendingMs }) => fromSendingMs)
    return [
      row('committed-update', 'ms', {
        ours: quantile(fromReceipt, 0.5),
        target: { of: 'ours', at: 'most', value: TARGET_MS },
      }),
      row('committed-update p99', 'ms', { ours: quantile(fromReceipt, 0.99) }),
      row('fact sent to applied on all, p50', 'ms', { ours: quantile(fromSending, 0.5) }),
      row('fact sent to applied on all, p99', 'ms', { ours: quantile(fromSending, 0.99) }),
    ]
  } finally {
    watch.close()
  }
}

/** A replica may be done before the issuer has its receipt: that counts as 0. */
async function measure({ airline }: FlightDemo, watch: Watch, delayMinutes: number): Promise<Update> {
  const applied = watch.next()
  const sent = performance.now()
  await airline.delay(FLIGHT, DATE, delayMinutes)
  const receipt = performance.now()
  const done = await applied
  return { fromReceiptMs: Math.max(0, done - receipt), fromSendingMs: done - sent }
}

/** Sees over the live sockets of the replicas when the last of them has executed the next entry. */
class Watch {
  readonly #sockets: readonly WebSocket[]
  readonly #executed = new Map<WebSocket, bigint>()
  #waiting: ((at: number) => void) | undefined
  #target = 0n

  private constructor(sockets: readonly WebSocket[]) {
    this.#sockets = sockets
  }

  static async open(apis: readonly string[], instance: string): Promise<Watch> {
    const watch = new Watch(apis.map((api) => new WebSocket(`${api.replace('http', 'ws')}/v1/events`)))
    for (const socket of watch.#sockets) {
      socket.addEventListener('message', ({ data }) => {
        const { event, facts } = JSON.parse(String(data))
        if (event === 'replica.executed' && facts.instance === instance) watch.#note(socket, BigInt(facts.n))
      })
    }
    await setTimeout(1_000) // what happened before arrives first
    if (watch.#sockets.every(({ readyState }) => readyState === WebSocket.OPEN)) return watch
    throw new Error('a replica does not show its events')
  }

  /** When (of `performance.now`) all replicas have executed the entry after those that any has seen. */
  next(): Promise<number> {
    const seen = [...this.#executed.values()].reduce((most, n) => (n > most ? n : most), 0n)
    this.#target = seen + 1n
    return new Promise((done, fail) => {
      const timer = globalThis.setTimeout(() => fail(new Error(`entry ${this.#target} was not executed`)), WAIT_MS)
      this.#waiting = (at) => {
        clearTimeout(timer)
        done(at)
      }
    })
  }

  close(): void {
    for (const socket of this.#sockets) socket.close()
  }

  #note(socket: WebSocket, n: bigint): void {
    this.#executed.set(socket, n)
    const all = this.#sockets.every((each) => (this.#executed.get(each) ?? 0n) >= this.#target)
    if (!all || !this.#waiting) return
    this.#waiting(performance.now())
    this.#waiting = undefined
  }
}
