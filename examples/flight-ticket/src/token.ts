/** The flight ticket: what it knows, what it answers, and what it does when the flight is late. */
import { defineToken, v } from '@smartlayer/tokenscript/define'

/** From this delay on, the lounge opens and the hotel night moves. */
const LATE_MINUTES = 120

const Booking = v.object({ id: v.string({ min: 1, max: 64 }), nights: v.integer({ min: 1, max: 30 }) })
const HotelState = v.enum(['none', 'booked', 'rebooking', 'rebooked', 'refused', 'failed', 'uncertain'])

export default defineToken({
  type: 'flight-ticket',
  version: '1.0.0',
  attributes: v.object({
    chainId: v.string({ max: 20 }),
    contract: v.string({ max: 42 }),
    tokenId: v.string({ max: 78 }),
  }),
  state: v.object({
    ticket: v.string({ max: 100 }),
    flight: v.string({ max: 16 }),
    date: v.string({ max: 10 }),
    delayMinutes: v.integer({ min: 0, max: 10_000 }),
    lounge: v.boolean(),
    booking: v.optional(Booking),
    hotel: HotelState,
  }),
  init: ({ attributes }) => ({
    ticket: attributes.tokenId,
    flight: '',
    date: '',
    delayMinutes: 0,
    lounge: false,
    hotel: 'none' as const,
  }),
  issuers: { airline: { lane: 'flights' } },
  outside: { hotel: { host: 'hotel.example' } },
  secrets: ['HOTEL_KEY'],
  inputs: {
    issued: {
      issuer: 'airline',
      topic: (state) => `ticket/${state.ticket}`,
      schema: v.object({
        flight: v.string({ min: 1, max: 16 }),
        date: v.string({ min: 10, max: 10 }),
        booking: v.optional(Booking),
      }),
      apply: (state, { flight, date, booking }, ctx) =>
        ctx.next({ ...state, flight, date, ...(booking ? { booking, hotel: 'booked' as const } : {}) }),
    },
    status: {
      issuer: 'airline',
      topic: (state) => (state.flight ? `flight-status/${state.flight}/${state.date}` : null),
      schema: v.object({ delayMinutes: v.integer({ min: 0, max: 10_000 }) }),
      apply: (state, { delayMinutes }, ctx) => {
        const late = delayMinutes >= LATE_MINUTES
        const next = { ...state, delayMinutes, lounge: state.lounge || late }
        if (!late || !state.booking || state.hotel !== 'booked') return ctx.next(next)
        return ctx
          .next({ ...next, hotel: 'rebooking' })
          .effect('rebookHotel', { booking: state.booking.id, flight: state.flight, delayMinutes })
      },
    },
  },
  queries: {
    status: {
      scope: 'flight.status:read',
      returns: v.object({
        flight: v.string({ max: 16 }),
        date: v.string({ max: 10 }),
        delayMinutes: v.integer(),
        late: v.boolean(),
        lounge: v.boolean(),
        hotel: HotelState,
      }),
      run: ({ flight, date, delayMinutes, lounge, hotel }) => ({
        flight,
        date,
        delayMinutes,
        late: delayMinutes >= LATE_MINUTES,
        lounge,
        hotel,
      }),
    },
    // What every display board shows: it says nothing of whoever holds the ticket.
    delay: {
      scope: '',
      returns: v.object({ flight: v.string({ max: 16 }), date: v.string({ max: 10 }), delayMinutes: v.integer() }),
      run: ({ flight, date, delayMinutes }) => ({ flight, date, delayMinutes }),
    },
  },
  actions: {
    linkHotel: {
      scope: 'hotel.link:write',
      args: Booking,
      apply: (state, booking, ctx) => {
        if (state.hotel === 'rebooking') throw new Error('the hotel is being asked just now')
        return ctx.next({ ...state, booking, hotel: 'booked' })
      },
    },
  },
  effects: {
    rebookHotel: {
      host: 'hotel.example',
      payload: v.object({ booking: v.string({ max: 64 }), flight: v.string({ max: 16 }), delayMinutes: v.integer() }),
      request: (payload) => ({
        method: 'POST',
        path: '/rebook',
        headers: { authorization: 'Bearer {{secret:HOTEL_KEY}}' },
        json: payload,
      }),
      attempts: 3,
      timeoutMs: 1_000,
      idempotent: true,
      attestedBy: 'hotel',
      succeeded: (state, { status }, ctx) => ctx.next({ ...state, hotel: status === 200 ? 'rebooked' : 'refused' }),
      failed: (state, _failure, ctx) => ctx.next({ ...state, hotel: 'failed' }),
      uncertain: (state, _attempt, ctx) => ctx.next({ ...state, hotel: 'uncertain' }),
    },
  },
})
