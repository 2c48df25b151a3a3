/** The same ticket for a hotel that does not recognise repeated calls: an attempt nobody can account for is `uncertain`. */
import token from './token.ts'

const { rebookHotel } = token.effects

export default { ...token, version: '1.0.0-once', effects: { rebookHotel: { ...rebookHotel!, idempotent: false } } }
