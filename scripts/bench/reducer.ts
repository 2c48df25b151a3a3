/** The reference reducer: a ticket's state, one fact about its flight, and what follows from both. Plain ES2020 text. */

/** Defines `reduce(stateText, factText, contextText)`; every engine runs this very text. */
export const REDUCER = `'use strict'
const FOLLOWERS = {
  ISSUED: ['CHECKED_IN', 'CANCELLED', 'REFUNDED'], CHECKED_IN: ['BOARDED', 'CANCELLED'], BOARDED: ['FLOWN'],
  FLOWN: [], CANCELLED: ['REFUNDED'], REFUNDED: [],
}
function mix(hash, text) {
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619)
  return hash >>> 0
}
function expectApplicable(state, fact) {
  if (fact.type !== 'flight.status/v1') throw new Error('not a flight status')
  if (fact.claims.flight !== state.flight || fact.claims.date !== state.date) throw new Error('another flight')
  if (fact.seq <= state.lastSeq) throw new Error('an old fact')
  if (!state.issuers.includes(fact.issuer)) throw new Error('an unknown issuer')
  const to = fact.claims.status
  if (to !== state.status && !FOLLOWERS[state.status].includes(to)) throw new Error('no such step')
}
function summarize(items) {
  const counts = {}
  let total = 0, refundable = 0, digest = 2166136261
  items.forEach((item, i) => {
    const price = item.p * item.q
    total += price
    if (item.r) refundable += price - Math.floor(price * 7.5) / 100
    counts[item.c] = (counts[item.c] || 0) + item.q
    digest = mix(digest, item.c + ':' + item.p + ':' + i)
  })
  const byCount = (a, b) => counts[b] - counts[a] || (a < b ? -1 : 1)
  const cents = (amount) => Math.round(amount * 100) / 100
  return { total: cents(total), refundable: cents(refundable), top: Object.keys(counts).sort(byCount).slice(0, 3), digest }
}
function reduceValues(state, fact, context) {
  expectApplicable(state, fact)
  const { status: to, gate, delayMin: delay } = fact.claims
  const history = [...state.history.slice(-7), { seq: fact.seq, at: context.time, from: state.status, to, gate, delay }]
  const items = state.items.map(({ c, p, q, r }) => ({ c, p, q, r }))
  const next = { ...state, status: to, lastSeq: fact.seq, items, history, ...summarize(items) }
  const body = state.flight + ' gate ' + gate + ' delay ' + delay + 'm'
  return { newState: next, effects: [{ kind: 'notify', to: state.holder, topic: 'flight.' + to.toLowerCase(), body }] }
}
globalThis.reduce = (state, fact, context) =>
  JSON.stringify(reduceValues(JSON.parse(state), JSON.parse(fact), JSON.parse(context)))
`

const ITEMS = 20

/** About 2 KB of state, a fact and a context, as JSON texts. */
export function reducerInput(): { readonly state: string; readonly fact: string; readonly context: string } {
  const items = Array.from({ length: ITEMS }, (_, i) => ({
    c: `SVC${i % 6}`,
    p: 10 + i * 1.25,
    q: 1 + (i % 3),
    r: i % 2 === 0,
  }))
  const history = Array.from({ length: 7 }, (_, i) => {
    return { seq: i, at: 1_790_000_000 + i, from: 'ISSUED', to: 'ISSUED', gate: `B${i}`, delay: i * 5 }
  })
  const issuers = [`0x${'a1'.repeat(20)}`, `0x${'b2'.repeat(20)}`]
  const flight = { flight: 'LH454', date: '2026-11-12' }
  const state = { ...flight, holder: `0x${'c3'.repeat(20)}`, status: 'ISSUED', lastSeq: 6, issuers, items, history }
  const claims = { ...flight, status: 'CHECKED_IN', gate: 'B42', delayMin: 35 }
  const fact = { type: 'flight.status/v1', issuer: issuers[0], seq: 7, claims }
  return { state: JSON.stringify(state), fact: JSON.stringify(fact), context: JSON.stringify({ time: 1_790_000_100 }) }
}
