/** The token of the simulated world: it counts what facts say and asks for an outside call when a fact says so. */
import type { CallResult, LoadedToken, Sandbox } from '@smartlayer/node'
import {
  type Address,
  type Hasher,
  instanceOf,
  KEEP_ALL,
  laneOf,
  type TokenRef,
  tokenOf,
  tokenTypeOf,
  ZERO_32,
} from '@smartlayer/protocol'
import type { Life } from './life.ts'
import type { Draws } from './random.ts'
import type { VirtualTime } from './time.ts'

export const LANE = 'facts'
export const SUBSET = 'facts/one'
export const EFFECT_TIMEOUT_MS = 900

/** `gaps` counts facts that did not come right behind their predecessor: none may. */
export type CounterState = {
  readonly total: number
  readonly last: number
  readonly gaps: number
  readonly asked: number
  readonly called: number
  readonly uncertain: number
}
export type CounterFact = { readonly index: number; readonly add: number; readonly effect: '' | 'call' | 'charge' }
type Input = {
  readonly state: CounterState
  readonly body: CounterFact
  readonly name: string
  readonly outcome: { readonly kind: string }
}

/** A sandbox that now and then takes long to build a request: the lease may be over when it has. */
export function counterSandbox(time: VirtualTime, life: Life, draws: Draws): Sandbox {
  return {
    load: async () => {},
    call: async (_, method, input) => {
      const waitMs = method === 'request' && draws.chance(0.2) ? draws.between(200, 3_000) : 0
      if (waitMs > 0) await passed(time, life, waitMs)
      return callCounter(method, JSON.parse(input) as Input)
    },
  }
}

/** Never resolves for a node that crashed meanwhile. */
function passed(time: VirtualTime, life: Life, waitMs: number): Promise<void> {
  return new Promise((resolve) => {
    time.at(waitMs, () => {
      if (life.alive) resolve()
    })
  })
}

/** The token as nodes have loaded it: `call` is idempotent at the outside system, `charge` is not. */
export function counterToken(ref: TokenRef, issuer: Address, keccak: Hasher): LoadedToken {
  const token = tokenOf(ref, keccak)
  const scriptHash = `0x${'5c'.repeat(32)}` as const
  const effect = { attempts: 5, timeoutMs: EFFECT_TIMEOUT_MS, attestedBy: undefined }
  return {
    ref,
    token,
    instance: instanceOf(token, scriptHash, keccak),
    rules: {
      token,
      tokenType: tokenTypeOf(ref, keccak),
      scriptHash,
      inputs: { fact: { issuer, lane: laneOf(LANE, keccak), retention: KEEP_ALL } },
      actions: {},
      effects: { call: { ...effect, idempotent: true }, charge: { ...effect, idempotent: false } },
    },
    engine: ZERO_32,
    gas: { query: 1n, update: 1n, load: 1n },
    checkBody: () => undefined,
    queryScope: () => undefined,
    effectTarget: () => 'http://outside.test',
    checkRequest: (request) => request as never,
    timeoutMs: () => EFFECT_TIMEOUT_MS,
  }
}

function callCounter(method: string, input: Input): CallResult {
  return { status: 'ok', output: JSON.stringify(answer(method, input)), gasUsed: 1n }
}

function answer(method: string, { state, body, name, outcome }: Input): unknown {
  switch (method) {
    case 'init':
      return { state: { total: 0, last: 0, gaps: 0, asked: 0, called: 0, uncertain: 0 }, effects: [] }
    case 'topics':
      return { topics: [{ input: 'fact', subset: SUBSET }] }
    case 'input':
      return counted(state, body)
    case 'outcome':
      return {
        state:
          outcome.kind === 'succeeded'
            ? { ...state, called: state.called + 1 }
            : { ...state, uncertain: state.uncertain + 1 },
        effects: [],
      }
    case 'request':
      return { request: { method: 'POST', path: `/${name}`, json: {} } }
    default:
      return { error: { code: 'query.unknown_method', facts: { method } } }
  }
}

function counted(state: CounterState, { index, add, effect }: CounterFact): unknown {
  const next = {
    ...state,
    total: (state.total * 31 + add) % 1_000_003,
    last: index,
    gaps: state.gaps + (index === state.last + 1 ? 0 : 1),
  }
  return effect === ''
    ? { state: next, effects: [] }
    : { state: { ...next, asked: state.asked + 1 }, effects: [{ name: effect, payload: { index } }] }
}
