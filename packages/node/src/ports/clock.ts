/** Time as a port: wall clock for leases, monotonic clock for durations, timers for both. */

export type Cancel = () => void

export type Clock = {
  /** Milliseconds since 1970 by the wall clock. May step; rules that matter carry ε and a high-water mark. */
  now(): bigint
  /** Milliseconds of a clock that never steps back; its zero is arbitrary. */
  monotonic(): number
  /** Runs `run` once after `delayMs`, unless cancelled. */
  after(delayMs: number, run: () => void): Cancel
}
