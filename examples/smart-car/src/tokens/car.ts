/** The car: it knows where its papers are, and one question to it is answered out of all of them. */
import { defineToken, v } from '@smartlayer/tokenscript/define'

const Papers = v.object({
  registration: v.string({ max: 200 }),
  insurance: v.string({ max: 200 }),
  maintenance: v.string({ max: 200 }),
})

export default defineToken({
  type: 'smart-car',
  version: '1.0.0',
  attributes: v.object({
    chainId: v.string({ max: 20 }),
    contract: v.string({ max: 42 }),
    tokenId: v.string({ max: 78 }),
  }),
  state: v.object({
    tokenId: v.string({ max: 78 }),
    papers: Papers,
    odometerKm: v.integer({ min: 0, max: 10_000_000 }),
    inspections: v.integer({ min: 0 }),
    services: v.integer({ min: 0 }),
  }),
  init: ({ attributes }) => ({
    tokenId: attributes.tokenId,
    papers: { registration: '', insurance: '', maintenance: '' },
    odometerKm: 0,
    inspections: 0,
    services: 0,
  }),
  issuers: { maker: { lane: 'cars' } },
  contracts: { registration: {}, insurance: {}, maintenance: {} },
  reads: {
    registration: { from: 'registration', token: { state: 'papers.registration' }, query: 'paper' },
    // A car may be looked at while its insurer cannot be reached; who looks is told so.
    insurance: { from: 'insurance', token: { state: 'papers.insurance' }, query: 'paper', optional: true },
    maintenance: { from: 'maintenance', token: { state: 'papers.maintenance' }, query: 'book', optional: true },
  },
  inputs: {
    built: {
      issuer: 'maker',
      topic: (state) => `car/${state.tokenId}`,
      schema: Papers,
      apply: (state, papers, ctx) => ctx.next({ ...state, papers }),
    },
  },
  messages: {
    // Only the book that the car names may tell it, and no odometer runs backwards.
    serviced: {
      from: 'maintenance',
      schema: v.object({ odometerKm: v.integer({ min: 0, max: 10_000_000 }), inspected: v.boolean() }),
      apply: (state, { odometerKm, inspected }, ctx, from) => {
        if (from !== state.papers.maintenance) throw new Error('this is not the book of the car')
        if (odometerKm < state.odometerKm) throw new Error('the odometer was turned back')
        const inspections = state.inspections + (inspected ? 1 : 0)
        return ctx.next({ ...state, odometerKm, inspections, services: state.services + 1 })
      },
    },
  },
  queries: {
    condition: {
      scope: '',
      returns: v.object({ odometerKm: v.integer(), inspections: v.integer(), services: v.integer() }),
      run: ({ odometerKm, inspections, services }) => ({ odometerKm, inspections, services }),
    },
    overview: {
      scope: '',
      reads: ['registration', 'insurance', 'maintenance'],
      returns: v.object({ registration: v.json(), insurance: v.json(), maintenance: v.json() }),
      run: (_state, _args, reads) => ({
        registration: reads.registration ?? null,
        insurance: reads.insurance ?? null,
        maintenance: reads.maintenance ?? null,
      }),
    },
  },
})
