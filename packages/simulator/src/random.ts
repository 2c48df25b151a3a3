/** Chance from a seed: every actor draws from a stream of its own, so a new draw in one place reshuffles nothing else. */

export type Draws = {
  /** A number in [0, 1). */
  next(): number
  /** An integer in [low, high]. */
  between(low: number, high: number): number
  chance(probability: number): boolean
  pick<T>(from: readonly T[]): T
  bytes(length: number): Uint8Array
}

/** The stream of draws that belongs to this seed and name (sfc32). */
export function drawsOf(seed: number, name: string): Draws {
  let [a, b, c, d] = [seed | 0, hashText(name, 0x811c9dc5), hashText(`${seed}/${name}`, 0x9e3779b9), 1]
  const next = () => {
    const t = (a + b + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + t) | 0
    return (t >>> 0) / 2 ** 32
  }
  for (let i = 0; i < 12; i++) next()
  return {
    next,
    between: (low, high) => low + Math.floor(next() * (high - low + 1)),
    chance: (probability) => next() < probability,
    pick: (from) => from[Math.floor(next() * from.length)]!,
    bytes: (length) => Uint8Array.from({ length }, () => Math.floor(next() * 256)),
  }
}

/** FNV-1a over UTF-16 units, continued from `from`. */
export function hashText(text: string, from: number): number {
  let hash = from
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash | 0
}
