/** The seeded simulator: a whole network, and streams alone, with faults, their checkers, and bugs to plant. */
export { BUGS, type Bug } from './bugs.ts'
export type { Invariant, Violation } from './checkers.ts'
export { plant } from './plant.ts'
export { type NetworkTotals, type SimulateOptions, simulate } from './run.ts'
export type { SeedResult, Simulated, Totals } from './series.ts'
export { STREAM_BUGS } from './streams/bugs.ts'
export type { StreamInvariant, StreamViolation } from './streams/checkers.ts'
export { type SimulateStreamsOptions, type StreamTotals, simulateStreams } from './streams/run.ts'
