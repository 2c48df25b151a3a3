/** Values by key within a bound of bytes: those that were not used for longest go first. */

/** What a row costs beside its texts: two strings, a map entry and the value itself. */
const ROW_BYTES = 160
/** A JavaScript string takes up to two bytes per UTF-16 unit. */
const UNIT_BYTES = 2

export class KeptWithin<T> {
  readonly #limitBytes: number
  readonly #rows = new Map<string, { readonly value: T; readonly bytes: number }>()
  #bytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  get(key: string): T | undefined {
    const row = this.#rows.get(key)
    if (!row) return undefined
    this.#rows.delete(key)
    this.#rows.set(key, row)
    return row.value
  }

  /** `units` is the length of the value's text; a value that alone is over the bound is not kept. */
  set(key: string, value: T, units: number): void {
    this.delete(key)
    const bytes = ROW_BYTES + UNIT_BYTES * (key.length + units)
    if (bytes > this.#limitBytes) return
    this.#rows.set(key, { value, bytes })
    this.#bytes += bytes
    for (const oldest of this.#rows.keys()) {
      if (this.#bytes <= this.#limitBytes) break
      this.delete(oldest)
    }
  }

  delete(key: string): void {
    const row = this.#rows.get(key)
    if (!row) return
    this.#rows.delete(key)
    this.#bytes -= row.bytes
  }
}
