/** Chance for rules that take it as a number. */
import type { Draw } from '@smartlayer/protocol'
import type { Random } from '../ports/random.ts'

/** Numbers from 0 (inclusive) to 1 (exclusive), from the port's bytes. */
export function drawOf(random: Random): Draw {
  return () => {
    const [a, b, c, d] = random.bytes(4)
    return (a! * 2 ** 24 + b! * 2 ** 16 + c! * 2 ** 8 + d!) / 2 ** 32
  }
}
