/** The token of simulations: adds up facts, and asks for one outside call whenever the total passes a multiple of ten. */
import type { CallResult } from '@smartlayer/node'

export const SUBSET = 'facts/one'
type State = { readonly total: number; readonly called: number; readonly failed: number }
type Input = { readonly state: State; readonly body: { readonly add: number }; readonly outcome: { readonly kind: string } }

/** Speaks the script contract of docs/spec/token.md in plain JavaScript. An altered one computes something else. */
export function counterScript(method: string, text: string, altered: boolean): CallResult {
  const { state, body, outcome } = JSON.parse(text) as Input
  return { status: 'ok', output: JSON.stringify(answer(method, { state, body, outcome }, altered)), gasUsed: 1n }
}

function answer(method: string, { state, body, outcome }: Input, altered: boolean): unknown {
  switch (method) {
    case 'init':
      return { state: { total: 0, called: 0, failed: 0 }, effects: [] }
    case 'topics':
      return { topics: [{ input: 'fact', subset: SUBSET }] }
    case 'input': {
      const total = state.total + body.add + (altered ? 1 : 0)
      const passes = Math.floor(total / 10) > Math.floor(state.total / 10)
      return { state: { ...state, total }, effects: passes ? [{ name: 'call', payload: { total } }] : [] }
    }
    case 'outcome':
      return outcome.kind === 'succeeded'
        ? { state: { ...state, called: state.called + 1 }, effects: [] }
        : { state: { ...state, failed: state.failed + 1 }, effects: [] }
    case 'request':
      return { request: { method: 'POST', path: '/call', json: {} } }
    default:
      return { value: state.total }
  }
}
