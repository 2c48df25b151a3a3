/** The Telemetry port: one JSON line per event through pino, and counters in Prometheus form. */
import { isSmartLayerError } from '@smartlayer/protocol'
import pino from 'pino'
import type { Level, LoggedEvent, Telemetry } from '../ports/telemetry.ts'

const SERIES_LIMIT = 1_000
const EVENTS_KEPT = 1_000
/** Bytes of lines that wait to be written; beyond it they are dropped. */
const WAITING_LIMIT = 1_048_576

export class PinoTelemetry implements Telemetry {
  readonly #logger: pino.Logger
  readonly #counters = new Map<string, number>()
  readonly #events: LoggedEvent[] = []
  readonly #listeners = new Set<(event: LoggedEvent) => void>()
  #sequence = 0

  /** Logs to standard output, or to a file when `destination` names one. */
  constructor({ level, destination, name }: { level: Level; destination: string | undefined; name: string }) {
    const place = destination ? { dest: destination, mkdir: true } : { dest: 1 }
    const target = pino.destination({ ...place, sync: false, maxLength: WAITING_LIMIT })
    // A log that cannot be written, because its disk is full, costs lines and not the node.
    target.on('error', () => {})
    this.#logger = pino(
      { level, base: { name }, redact: ['*.secret', '*.authorization', 'secret', 'authorization'] },
      target,
    )
  }

  log(level: Level, event: string, facts: Readonly<Record<string, unknown>> = {}): void {
    const plain = Object.fromEntries(Object.entries(facts).map(([key, value]) => [key, plainOf(value)]))
    this.#logger[level](plain, event)
    if (level === 'debug') return
    const logged = { sequence: ++this.#sequence, time: Date.now(), level, event, facts: plain }
    this.#events.push(logged)
    if (this.#events.length > EVENTS_KEPT) this.#events.shift()
    for (const listener of this.#listeners) listener(logged)
  }

  count(name: string, labels: Readonly<Record<string, string>> = {}): void {
    const text = Object.entries(labels).map(([key, value]) => `${key}="${value.replace(/["\\\n]/g, '_')}"`)
    const series = text.length > 0 ? `${name}{${text.join(',')}}` : name
    if (!this.#counters.has(series) && this.#counters.size >= SERIES_LIMIT) return
    this.#counters.set(series, (this.#counters.get(series) ?? 0) + 1)
  }

  /** Events after a sequence, oldest first; the last thousand are kept. */
  after(sequence: number): readonly LoggedEvent[] {
    return this.#events.filter((event) => event.sequence > sequence)
  }

  /** Calls `listener` for every event from now on; returns how to stop. */
  listen(listener: (event: LoggedEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The counters in Prometheus text format. */
  metrics(): string {
    return [...this.#counters].map(([series, value]) => `${series} ${value}\n`).join('')
  }
}

function plainOf(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (isSmartLayerError(value)) return { code: value.code, message: value.message, cause: plainOf(value.cause) }
  return value instanceof Error ? { message: value.message, stack: value.stack } : value
}
