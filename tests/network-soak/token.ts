/** The token of the soak: it folds what its issuer says, and now and then asks for a charge or a call outside. */
import { type Context, defineToken, v } from '@smartlayer/tokenscript/define'

/** Sums are folded, so that they tell which facts came, how often, and in which order. */
const FOLD = { factor: 31, modulus: 1_000_003 } as const
/** Effects that may be open at a time; a fact that asks for more is counted, and asks for nothing. */
const OPEN_LIMIT = 8
const ATTEMPTS = 10
/** Well within a lease, and shorter than the slowest answers outside. */
const TIMEOUT_MS = 900

const count = () => v.integer({ min: 0, max: 1_000_000_000 })
const Tally = v.object({ last: count(), sum: count(), gaps: count() })
const Fact = v.object({
  index: count(),
  add: count(),
  effect: v.enum(['none', 'charge', 'call']),
})
const Payload = v.object({ id: v.string({ max: 100 }) })
const State = v.object({
  token: v.string({ max: 78 }),
  own: Tally,
  all: Tally,
  asked: count(),
  skipped: count(),
  charged: count(),
  called: count(),
  uncertain: count(),
  acted: count(),
  actionSum: count(),
})

type TallyState = { readonly last: number; readonly sum: number; readonly gaps: number }
type FactBody = { readonly index: number; readonly add: number; readonly effect: 'none' | 'charge' | 'call' }
type TokenState = {
  readonly token: string
  readonly own: TallyState
  readonly all: TallyState
  readonly asked: number
  readonly skipped: number
  readonly charged: number
  readonly called: number
  readonly uncertain: number
  readonly acted: number
  readonly actionSum: number
}

function folded(sum: number, add: number): number {
  return (sum * FOLD.factor + add) % FOLD.modulus
}

function take(which: 'own' | 'all') {
  return (state: TokenState, { index, add, effect }: FactBody, ctx: Context<TokenState>) => {
    const { last, sum, gaps } = state[which]
    const tally = { last: index, sum: folded(sum, add), gaps: gaps + (index === last + 1 ? 0 : 1) }
    const next = { ...state, [which]: tally }
    if (effect === 'none') return ctx.next(next)
    const open = state.asked - state.charged - state.called - state.uncertain
    if (open >= OPEN_LIMIT) return ctx.next({ ...next, skipped: state.skipped + 1 })
    return ctx.next({ ...next, asked: state.asked + 1 }).effect(effect, { id: `${state.token}/${which}/${index}` })
  }
}

const uncertain = (state: TokenState, _: unknown, ctx: Context<TokenState>) =>
  ctx.next({ ...state, uncertain: state.uncertain + 1 })
const failed = (state: TokenState, _: unknown, ctx: Context<TokenState>) => ctx.next(state)
const request = (path: string) => (payload: { readonly id: string }) => ({
  method: 'POST' as const,
  path,
  json: payload,
})

export default defineToken({
  type: 'network-soak',
  version: '1.0.0',
  attributes: v.object({
    chainId: v.string({ max: 20 }),
    contract: v.string({ max: 42 }),
    tokenId: v.string({ max: 78 }),
  }),
  state: State,
  init: ({ attributes }) => ({
    token: attributes.tokenId,
    own: { last: 0, sum: 0, gaps: 0 },
    all: { last: 0, sum: 0, gaps: 0 },
    asked: 0,
    skipped: 0,
    charged: 0,
    called: 0,
    uncertain: 0,
    acted: 0,
    actionSum: 0,
  }),
  issuers: { teller: { lane: 'facts' } },
  outside: { bank: { host: 'bank.example' }, phone: { host: 'phone.example' } },
  inputs: {
    own: { issuer: 'teller', topic: ({ token }) => `own/${token}`, schema: Fact, apply: take('own') },
    all: { issuer: 'teller', topic: () => 'all', schema: Fact, apply: take('all') },
  },
  queries: {
    state: { scope: '', returns: State, run: (state) => state },
  },
  actions: {
    add: {
      scope: 'soak.sum:write',
      args: v.object({ id: v.string({ max: 40 }), by: count() }),
      apply: (state, { by }, ctx) =>
        ctx.next({ ...state, acted: state.acted + 1, actionSum: folded(state.actionSum, by) }),
    },
  },
  effects: {
    charge: {
      host: 'bank.example',
      payload: Payload,
      request: request('/charge'),
      attempts: ATTEMPTS,
      timeoutMs: TIMEOUT_MS,
      idempotent: true,
      attestedBy: 'bank',
      succeeded: (state, _, ctx) => ctx.next({ ...state, charged: state.charged + 1 }),
      failed,
      uncertain,
    },
    call: {
      host: 'phone.example',
      payload: Payload,
      request: request('/call'),
      attempts: ATTEMPTS,
      timeoutMs: TIMEOUT_MS,
      idempotent: false,
      succeeded: (state, _, ctx) => ctx.next({ ...state, called: state.called + 1 }),
      failed,
      uncertain,
    },
  },
})
