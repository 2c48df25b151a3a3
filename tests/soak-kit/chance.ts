/** Chance with a seed, and pauses that a signal ends: what every part of a soak draws and waits with. */

/** From the first to the second, in seconds. */
export type Span = readonly [number, number]

/** A small generator with a seed: the same seed plans the same run. */
export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export function shuffled<T>(values: readonly T[], draw: () => number): readonly T[] {
  const left = [...values]
  return values.map(() => left.splice(Math.floor(draw() * left.length), 1)[0]!)
}

export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    if (signal?.aborted) end()
    signal?.addEventListener('abort', end)
  })
}

/** Whoever stops a soak does not wait for what is under way. */
export function unlessAborted<T>(signal: AbortSignal, run: Promise<T>): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })
  return Promise.race([run, aborted])
}
