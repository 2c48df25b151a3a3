/** How fast honest calls run: a reference reducer in our sandbox, beside two other ways to give each call a fresh world. */
import { readFile } from 'node:fs/promises'
import { engineFile } from './executor/sandbox.ts'
import { Engine, prepareEngine } from './sandbox/engine.ts'
import { GAS } from './sandbox/limits.ts'

/** Rates are calls per CPU second of this process, so that other programs on the machine do not count. */
export type SandboxRates = {
  readonly calls_per_core_second: number
  /** CPU microseconds of a clean-room call that does nothing. */
  readonly empty_us: number
  /** CPU microseconds of loading the reducer's script on a live engine. */
  readonly load_us: number
  readonly reducer_gas: number
  /** isolated-vm (V8 with JIT, no gas), fresh context per call; undefined where it is not installed. */
  readonly isolated_vm_fresh_context: number | undefined
  /** quickjs-emscripten (no gas), fresh runtime per call; undefined where it is not installed. */
  readonly quickjs_fresh_runtime: number | undefined
}

/** Runs for about ten seconds. Every sandbox must return the same answer, or it throws. */
export async function benchSandbox(): Promise<SandboxRates> {
  const engine = new Engine(await prepareEngine(new Uint8Array(await readFile(engineFile()))))
  const { image } = booted(engine, REDUCER)
  const reduce = () => {
    const result = engine.call(image, 'apply', INPUT, GAS.update)
    return result.status === 'ok' ? result : unexpected(result.status)
  }
  const { output, gasUsed } = reduce()
  const empty = booted(engine, 'globalThis.smartToken = { call: () => "" }').image
  return {
    calls_per_core_second: Math.round(rateOf(reduce, { warmUp: 1_500, calls: 1_500 })),
    empty_us: microseconds(rateOf(() => engine.call(empty, '', '', GAS.query), { warmUp: 5_000, calls: 20_000 })),
    load_us: microseconds(rateOf(() => engine.boot(REDUCER), { warmUp: 100, calls: 500 })),
    reducer_gas: Number(gasUsed),
    isolated_vm_fresh_context: await peerRate(isolatedVm, output),
    quickjs_fresh_runtime: await peerRate(quickJs, output),
  }
}

type Peer = { readonly call: () => string; readonly stop: () => void }

async function isolatedVm(): Promise<Peer> {
  const { default: ivm } = await import('isolated-vm')
  const isolate = new ivm.Isolate({ memoryLimit: 128 })
  const script = isolate.compileScriptSync(REDUCER)
  const call = isolate.compileScriptSync('smartToken.call(method, input)')
  return {
    call() {
      const context = isolate.createContextSync()
      script.runSync(context)
      context.global.setSync('method', 'apply')
      context.global.setSync('input', INPUT)
      const output = call.runSync(context) as string
      context.release()
      return output
    },
    stop: () => isolate.dispose(),
  }
}

async function quickJs(): Promise<Peer> {
  const { getQuickJS } = await import('quickjs-emscripten')
  const quickjs = await getQuickJS()
  return {
    call() {
      const context = quickjs.newContext()
      context.unwrapResult(context.evalCode(REDUCER)).dispose()
      context.newString(INPUT).consume((input) => context.setProp(context.global, 'input', input))
      const output = context
        .unwrapResult(context.evalCode('smartToken.call("apply", input)'))
        .consume(context.getString)
      context.dispose()
      return output
    },
    stop() {},
  }
}

async function peerRate(start: () => Promise<Peer>, expected: string): Promise<number | undefined> {
  const peer = await start().catch(() => undefined)
  if (!peer) return undefined
  try {
    if (peer.call() !== expected) unexpected('a different answer')
    return Math.round(rateOf(peer.call, { warmUp: 200, calls: 600 }))
  } finally {
    peer.stop()
  }
}

/** The median of five rates, in calls per CPU second of all threads. */
function rateOf(run: () => unknown, { warmUp, calls }: { warmUp: number; calls: number }): number {
  for (let i = 0; i < warmUp; i++) run()
  const rates = Array.from({ length: 5 }, () => {
    const before = process.cpuUsage()
    for (let i = 0; i < calls / 5; i++) run()
    const { user, system } = process.cpuUsage(before)
    return (calls / 5 / (user + system)) * 1e6
  })
  return rates.sort((a, b) => a - b)[2]!
}

function booted(engine: Engine, code: string) {
  const result = engine.boot(code)
  return result.status === 'ok' ? result : unexpected(result.status)
}

function unexpected(what: string): never {
  throw new Error(`the benchmark met ${what}`)
}

function microseconds(rate: number): number {
  return Math.round(1e7 / rate) / 10
}

/** A ticket's reducer: checks an attestation, walks 50 items, keeps a history, asks for an effect. */
const REDUCER = `
'use strict'
const following = { issued: ['checked-in', 'cancelled'], 'checked-in': ['boarded', 'cancelled'], boarded: ['flown'] }

function checksum(hash, text) {
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619)
  return hash >>> 0
}

function apply(state, attestation, time) {
  const { claims } = attestation
  if (claims.flight !== state.flight || claims.date !== state.date) throw new Error('another flight')
  if (attestation.sequence <= state.sequence) throw new Error('applied before')
  if (!state.issuers.includes(attestation.issuer)) throw new Error('unknown issuer')
  if (!following[state.status].includes(claims.status)) throw new Error('no way from ' + state.status)
  let total = 0
  let refundable = 0
  let hash = 2166136261
  const counts = {}
  const items = state.items.map((item, index) => {
    const price = item.cents * item.count
    total += price
    if (item.refund) refundable += price - Math.floor((price * 75) / 1000)
    counts[item.kind] = (counts[item.kind] || 0) + item.count
    hash = checksum(hash, item.kind + ':' + item.cents + ':' + index)
    return { kind: item.kind, cents: item.cents, count: item.count, refund: item.refund }
  })
  const top = Object.keys(counts).sort((a, b) => counts[b] - counts[a] || (a < b ? -1 : 1)).slice(0, 3)
  const entry = { sequence: attestation.sequence, time, from: state.status, to: claims.status, gate: claims.gate }
  const history = [...state.history.slice(-7), entry]
  const next = { ...state, status: claims.status, sequence: attestation.sequence, items, history, total, refundable, top, hash }
  const body = state.flight + ' gate ' + claims.gate + ', ' + claims.delayMinutes + ' minutes late'
  return { state: next, effects: [{ effect: 'notify', arguments: { holder: state.holder, body } }] }
}

globalThis.smartToken = {
  call(method, input) {
    if (method !== 'apply') throw new Error('no such method')
    const { state, attestation, time } = JSON.parse(input)
    return JSON.stringify(apply(state, attestation, time))
  },
}`

const ITEMS = Array.from({ length: 50 }, (_, i) => ({
  kind: `K${i % 7}`,
  cents: 1050 + i * 125,
  count: 1 + (i % 3),
  refund: i % 2,
}))

/** State of about 2 KB, attestation of about 1 KB. */
const INPUT = JSON.stringify({
  state: {
    flight: 'SL221',
    date: '2026-11-22',
    holder: `0x${'cd'.repeat(20)}`,
    status: 'issued',
    sequence: 41,
    issuers: ['issuer.example', 'airline.example'],
    items: ITEMS,
    history: [{ sequence: 40, time: 1_790_000_000, from: 'issued', to: 'issued', gate: 'A1' }],
  },
  attestation: {
    issuer: 'airline.example',
    sequence: 42,
    claims: {
      flight: 'SL221',
      date: '2026-11-22',
      status: 'checked-in',
      gate: 'B14',
      delayMinutes: 35,
      remark: 'x'.repeat(300),
    },
    signature: `0x${'22'.repeat(65)}`,
    proof: Array.from({ length: 6 }, () => `0x${'11'.repeat(32)}`),
  },
  time: 1_790_000_123,
})
