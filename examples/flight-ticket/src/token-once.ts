/** The same ticket for a hotel that does not recognise repeated calls: an attempt nobody can account for is `uncertain`. */
import token from './token.ts'

const { rebookHotel } = token.effects

export default {
  ...token,
  type: 'flight-ticket-once',
  effects: { rebookHotel: { ...rebookHotel!, idempotent: false } },
}
