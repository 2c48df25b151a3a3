/** A small flight ticket that the tests of this package define, declare, build, sign and run. */
import { defineToken, v } from '../src/define.ts'

export const Booking = v.object({ id: v.string({ min: 1, max: 64 }), nights: v.integer({ min: 1, max: 30 }) })

export const flightTicket = defineToken({
  type: 'flight-ticket',
  version: '1.0.0',
  state: v.object({
    flight: v.string({ max: 32 }),
    delayMinutes: v.integer({ min: 0, max: 10_000 }),
    booking: v.optional(Booking),
    hotel: v.enum(['none', 'asked', 'moved', 'failed', 'unknown']),
  }),
  attributes: v.object({ flight: v.string({ max: 32 }) }),
  init: ({ attributes }) => ({ flight: attributes.flight, delayMinutes: 0, hotel: 'none' as const }),
  issuers: { airline: { lane: 'flight-status' } },
  outside: { hotel: { host: 'hotel.example' } },
  secrets: ['HOTEL_KEY'],
  inputs: {
    status: {
      issuer: 'airline',
      topic: (state) => `flight-status/${state.flight}`,
      schema: v.object({ delayMinutes: v.integer({ min: 0, max: 10_000 }) }),
      apply: (state, { delayMinutes }, ctx) =>
        delayMinutes >= 120 && state.booking
          ? ctx.next({ ...state, delayMinutes, hotel: 'asked' }).effect('rebookHotel', { booking: state.booking.id })
          : ctx.next({ ...state, delayMinutes }),
    },
  },
  queries: {
    status: {
      scope: 'flight.status:read',
      returns: v.object({ delayMinutes: v.integer() }),
      run: ({ delayMinutes }) => ({ delayMinutes }),
    },
    late: {
      scope: 'flight.status:read',
      args: v.object({ minutes: v.integer({ min: 0 }) }),
      returns: v.boolean(),
      run: ({ delayMinutes }, { minutes }) => delayMinutes > minutes,
    },
  },
  actions: {
    linkHotel: {
      scope: 'hotel.link:write',
      args: Booking,
      apply: (state, booking, ctx) => {
        if (state.booking) throw new Error('a hotel is linked already')
        return ctx.next({ ...state, booking })
      },
    },
  },
  effects: {
    rebookHotel: {
      host: 'hotel.example',
      payload: v.object({ booking: v.string({ max: 64 }) }),
      answer: v.object({ confirmed: v.boolean() }),
      request: (payload) => ({
        method: 'POST',
        path: '/rebook',
        headers: { authorization: 'Bearer {{secret:HOTEL_KEY}}' },
        json: payload,
      }),
      attempts: 3,
      timeoutMs: 2000,
      idempotent: true,
      attestedBy: 'hotel',
      succeeded: (state, { status }, ctx) => ctx.next({ ...state, hotel: status === 200 ? 'moved' : 'failed' }),
      failed: (state, _failure, ctx) => ctx.next({ ...state, hotel: 'failed' }),
      uncertain: (state, _attempt, ctx) => ctx.next({ ...state, hotel: 'unknown' }),
    },
  },
})

/** What a build adds for one network. */
export const bindings = {
  engineId: `0x${'ab'.repeat(32)}`,
  issuers: { airline: `0x${'11'.repeat(20)}` },
  outside: { hotel: { url: 'http://127.0.0.1:4430', signer: `0x${'22'.repeat(20)}` } },
} as const
