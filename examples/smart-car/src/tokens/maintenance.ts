/** The maintenance book of a car: what the garage did. */
import { defineToken, v } from '@smartlayer/tokenscript/define'

const Service = v.object({
  car: v.string({ max: 200 }),
  odometerKm: v.integer({ min: 0, max: 10_000_000 }),
  inspected: v.boolean(),
})

export default defineToken({
  type: 'car-maintenance',
  version: '1.0.0',
  attributes: v.object({
    chainId: v.string({ max: 20 }),
    contract: v.string({ max: 42 }),
    tokenId: v.string({ max: 78 }),
  }),
  state: v.object({
    tokenId: v.string({ max: 78 }),
    services: v.integer({ min: 0 }),
    last: v.nullable(Service),
    told: v.integer({ min: 0 }),
    refused: v.string({ max: 64 }),
  }),
  init: ({ attributes }) => ({ tokenId: attributes.tokenId, services: 0, last: null, told: 0, refused: '' }),
  issuers: { garage: { lane: 'services' } },
  inputs: {
    serviced: {
      issuer: 'garage',
      topic: (state) => `book/${state.tokenId}`,
      schema: Service,
      apply: (state, last, ctx) =>
        ctx
          .next({ ...state, services: state.services + 1, last })
          .message('serviced', last.car, { odometerKm: last.odometerKm, inspected: last.inspected }),
    },
  },
  contracts: { car: {} },
  sends: {
    serviced: {
      to: 'car',
      schema: v.object({ odometerKm: v.integer({ min: 0, max: 10_000_000 }), inspected: v.boolean() }),
      delivered: (state, _car, ctx) => ctx.next({ ...state, told: state.told + 1 }),
      refused: (state, _car, ctx, code) => ctx.next({ ...state, refused: code }),
    },
  },
  queries: {
    book: {
      scope: '',
      returns: v.object({
        services: v.integer(),
        last: v.nullable(Service),
        told: v.integer(),
        refused: v.string({ max: 64 }),
      }),
      run: ({ services, last, told, refused }) => ({ services, last, told, refused }),
    },
  },
})
