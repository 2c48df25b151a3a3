/** What a node tells its operator: events with facts, and counters. No secrets, no bodies. */

export type Level = 'debug' | 'info' | 'warn' | 'error'

export type Telemetry = {
  /** One line: `event` is a dotted name, `facts` hold ids and numbers. ERROR means that an operator must act. */
  log(level: Level, event: string, facts?: Readonly<Record<string, unknown>>): void
  /** Adds to a counter `smartlayer_<domain>_<thing>_total`. */
  count(name: string, labels?: Readonly<Record<string, string>>): void
}

/** One event as live views and status pages show it. */
export type LoggedEvent = {
  readonly sequence: number
  readonly time: number
  readonly level: Level
  readonly event: string
  readonly facts: Readonly<Record<string, unknown>>
}
