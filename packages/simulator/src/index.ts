/** The seeded simulator: a whole network with faults, its checkers, and bugs to plant. */
export { BUGS, type Bug } from './bugs.ts'
export type { Invariant, Violation } from './checkers.ts'
export { plant } from './plant.ts'
export { type SeedResult, type Simulated, type SimulateOptions, simulate, type Totals } from './run.ts'
