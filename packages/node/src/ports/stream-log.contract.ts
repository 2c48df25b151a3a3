/** What every log of streams must do, as tests: called by the test of each adapter with a way to open it. */
import { type Bytes32, ZERO_32 } from '@smartlayer/protocol'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { LogEntry, LogPlace, Prune, StreamLog } from './stream-log.ts'

export type OpenLog = {
  readonly log: StreamLog
  /** Ends this log and opens it again on the same disk. */
  reopen(): Promise<OpenLog>
  close(): Promise<void>
}

const BODY = 40
const ALL = { after: 0n, limit: 1_000 }

export function streamLogContract(name: string, open: () => Promise<OpenLog>): void {
  describe(name, () => {
    let opened: OpenLog | undefined
    const fresh = async () => {
      opened = await open()
      return opened.log
    }
    const reopened = async () => {
      opened = await opened!.reopen()
      return opened.log
    }
    afterEach(async () => {
      await opened?.close()
      opened = undefined
    })

    test('entries come back in order, whole, by stream and by subset', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), [1, 2, 1, 3, 1])
      await log.append(entries)
      expect(log.read(idOf(1), ALL)).toEqual(entries)
      expect(log.readSubset(idOf(1), idOf(1), ALL)).toEqual([entries[0], entries[2], entries[4]])
      expect(log.places(idOf(1), ALL)).toEqual(entries.map(placeOf))
      expect(log.at(idOf(1), 4n)).toEqual(entries[3])
      expect(log.at(idOf(1), 6n)).toBeUndefined()
      expect(log.head(idOf(1))).toEqual(placeOf(entries[4]!))
      expect(log.subsetHead(idOf(1), idOf(2))).toEqual(placeOf(entries[1]!))
      expect(log.floor(idOf(1))).toBe(0n)
    })

    test('a stream that was never there is empty everywhere', async () => {
      const log = await fresh()
      expect(log.head(idOf(1))).toBeUndefined()
      expect(log.subsetHead(idOf(1), idOf(1))).toBeUndefined()
      expect(log.at(idOf(1), 1n)).toBeUndefined()
      expect(log.read(idOf(1), ALL)).toEqual([])
      expect(log.readSubset(idOf(1), idOf(1), ALL)).toEqual([])
      expect(log.latest(idOf(1), { after: ZERO_32, limit: 10 })).toEqual([])
      expect(log.floor(idOf(1))).toBe(0n)
      await log.truncate(idOf(1), 0n)
      await log.prune(idOf(1), { floor: 5n, keepLatest: true })
      expect(log.streams({ after: undefined, limit: 10 })).toEqual([])
    })

    test('an append is all or none: a gap at its end keeps its beginning out', async () => {
      const log = await fresh()
      const [first, second, , fourth] = chain(idOf(1), [1, 1, 1, 1])
      await expect(log.append([first!, second!, fourth!])).rejects.toMatchObject({
        code: 'stream.sequence_gap',
        facts: { next: 3n, got: 4n },
      })
      expect(log.head(idOf(1))).toBeUndefined()
      await log.append([first!, second!])
      expect(log.head(idOf(1))?.sequence).toBe(2n)
    })

    test('what does not follow its stream or its subset is refused', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), [1, 2, 1, 2])
      await log.append(entries.slice(0, 2))
      const third = entries[2]!
      const gaps = [entries[0]!, entries[1]!, entries[3]!, { ...third, subSequence: 3n }, { ...third, subset: idOf(9) }]
      for (const entry of gaps) {
        await expect(log.append([entry])).rejects.toMatchObject({ code: 'stream.sequence_gap' })
      }
      await log.append([third])
      expect(log.read(idOf(1), ALL)).toEqual(entries.slice(0, 3))
    })

    test('an append may follow one that has not resolved, and nobody reads either before it has', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), [1, 2, 1, 2, 2])
      const appends = entries.map((entry) => log.append([entry]))
      expect(log.head(idOf(1))).toBeUndefined()
      expect(log.read(idOf(1), ALL)).toEqual([])
      await expect(log.append([entries[4]!])).rejects.toMatchObject({ code: 'stream.sequence_gap' })
      await Promise.all(appends)
      expect(log.read(idOf(1), ALL)).toEqual(entries)
    })

    test('many appends at once, over many streams, all end up in their places', async () => {
      const log = await fresh()
      const streams = Array.from({ length: 20 }, (_, i) => chain(idOf(i + 1), [1, 2, 3, 1, 2, 3, 1]))
      await Promise.all([0, 1, 2, 3, 4, 5, 6].flatMap((i) => streams.map((entries) => log.append([entries[i]!]))))
      for (const entries of streams) expect(log.read(entries[0]!.stream, ALL)).toEqual(entries)
      const mixed = [chain(idOf(50), [1])[0]!, chain(idOf(51), [1])[0]!]
      await log.append(mixed)
      expect(mixed.map(({ stream }) => log.at(stream, 1n))).toEqual(mixed)
    })

    test('reads end at their limit and before their bytes run over, but never without an entry', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), Array(10).fill(1))
      await log.append(entries)
      const counts = (bytes: number) =>
        log.read(idOf(1), { after: 2n, limit: 5, bytes }).map(({ sequence }) => Number(sequence))
      expect(counts(1_000)).toEqual([3, 4, 5, 6, 7])
      expect(counts(2 * BODY)).toEqual([3, 4])
      expect(counts(3 * BODY - 1)).toEqual([3, 4])
      expect(counts(1)).toEqual([3])
      expect(log.readSubset(idOf(1), idOf(1), { after: 8n, limit: 5, bytes: 1 })).toEqual([entries[8]])
      expect(log.places(idOf(1), { after: 8n, limit: 1 })).toEqual([placeOf(entries[8]!)])
      expect(log.read(idOf(1), { after: 10n, limit: 5 })).toEqual([])
      expect(log.read(idOf(1), { after: 0n, limit: 0 })).toEqual([])
    })

    test('entries without bytes and entries as large as they may be rest as well; a larger one is refused', async () => {
      const log = await fresh()
      const [empty, large, tooLarge] = chain(idOf(1), [1, 1, 1])
      const entries = [
        { ...empty!, bytes: new Uint8Array(0) },
        { ...large!, bytes: new Uint8Array(1_000_000).fill(7) },
      ]
      await log.append(entries)
      expect(log.read(idOf(1), ALL)).toEqual(entries)
      await expect(log.append([{ ...tooLarge!, bytes: new Uint8Array(1_000_001) }])).rejects.toMatchObject({
        code: 'message.too_large',
      })
      await log.append([tooLarge!])
    })

    test('the snapshot lists the last entry of every subset, page by page', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), [3, 1, 2, 3, 5, 4, 3])
      await log.append(entries)
      const first = log.latest(idOf(1), { after: ZERO_32, limit: 2 })
      expect(first).toEqual([placeOf(entries[1]!), placeOf(entries[2]!)])
      const rest = log.latest(idOf(1), { after: first.at(-1)!.subset, limit: 10 })
      expect(rest.map(({ subset, sequence }) => [subset, sequence])).toEqual([
        [idOf(3), 7n],
        [idOf(4), 6n],
        [idOf(5), 5n],
      ])
    })

    test('streams are listed in order of their ids, page by page', async () => {
      const log = await fresh()
      for (const n of [30, 10, 20]) await log.append(chain(idOf(n), [1]))
      expect(log.streams({ after: undefined, limit: 2 })).toEqual([idOf(10), idOf(20)])
      expect(log.streams({ after: idOf(20), limit: 2 })).toEqual([idOf(30)])
      expect(log.streams({ after: idOf(15), limit: 1 })).toEqual([idOf(20)])
      expect(log.stats()).toMatchObject({ streams: 3, entries: 3 })
    })

    test('a tail that is given up is gone, heads go back, and others may take its places', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), [1, 2, 1, 3, 2, 1])
      await log.append(entries)
      await log.truncate(idOf(1), 3n)
      expect(log.head(idOf(1))).toEqual(placeOf(entries[2]!))
      expect(log.subsetHead(idOf(1), idOf(2))).toEqual(placeOf(entries[1]!))
      expect(log.subsetHead(idOf(1), idOf(3))).toBeUndefined()
      expect(log.latest(idOf(1), { after: ZERO_32, limit: 10 }).map(({ subset }) => subset)).toEqual([idOf(1), idOf(2)])
      expect(log.at(idOf(1), 4n)).toBeUndefined()
      const others = [...entries.slice(0, 3), ...chain(idOf(1), [1, 2, 1, 1, 4], 'other').slice(3)]
      await log.append(others.slice(3))
      expect(log.read(idOf(1), ALL)).toEqual(others)
      expect((await reopened()).read(idOf(1), ALL)).toEqual(others)
      expect(opened!.log.stats()).toMatchObject({ streams: 1, entries: 5 })
    })

    test('a stream that is given up from its beginning was never there', async () => {
      const log = await fresh()
      await log.append(chain(idOf(1), [1, 2]))
      await log.append(chain(idOf(2), [1, 2]))
      await log.truncate(idOf(1), 0n)
      expect(log.head(idOf(1))).toBeUndefined()
      expect(log.subsetHead(idOf(1), idOf(1))).toBeUndefined()
      expect(log.streams({ after: undefined, limit: 10 })).toEqual([idOf(2)])
      const others = chain(idOf(1), [2, 1, 2], 'other')
      await log.append(others)
      expect((await reopened()).read(idOf(1), ALL)).toEqual(others)
    })

    test('giving up beyond the head changes nothing; what is on its way comes before, what follows after', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), [1, 1, 1, 1])
      const other = chain(idOf(1), [1, 1, 2, 2], 'other').slice(2)
      await log.append(entries.slice(0, 2))
      await log.truncate(idOf(1), 7n)
      const done = [log.append(entries.slice(2)), log.truncate(idOf(1), 2n), log.append(other)]
      await Promise.all(done)
      expect(log.read(idOf(1), ALL)).toEqual([...entries.slice(0, 2), ...other])
    })

    test('pruning keeps what is above the floor, the last of each subset up to it, and all heads', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), [1, 2, 1, 3, 2, 1, 2])
      await log.append(entries)
      await log.prune(idOf(1), { floor: 5n, keepLatest: true })
      const kept = [3, 4, 5, 6, 7].map((sequence) => entries[sequence - 1]!)
      const check = (each: StreamLog) => {
        expect(each.read(idOf(1), ALL)).toEqual(kept)
        expect(each.places(idOf(1), ALL)).toEqual(kept.map(placeOf))
        expect(each.at(idOf(1), 1n)).toBeUndefined()
        expect(each.readSubset(idOf(1), idOf(1), ALL)).toEqual([entries[2], entries[5]])
        expect(each.floor(idOf(1))).toBe(5n)
        expect(each.head(idOf(1))).toEqual(placeOf(entries[6]!))
        expect(each.subsetHead(idOf(1), idOf(3))).toEqual(placeOf(entries[3]!))
        expect(each.stats().entries).toBe(5)
      }
      check(log)
      check(await reopened())
      await opened!.log.prune(idOf(1), { floor: 7n, keepLatest: true })
      expect(opened!.log.read(idOf(1), ALL).map(({ sequence }) => sequence)).toEqual([4n, 6n, 7n])
    })

    test('pruning everything keeps heads only, and the stream goes on', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), [1, 2, 1, 3, 1])
      await log.append(entries.slice(0, 4))
      await log.prune(idOf(1), { floor: 900n, keepLatest: false })
      const check = (each: StreamLog) => {
        expect(each.floor(idOf(1))).toBe(4n)
        expect(each.read(idOf(1), ALL)).toEqual([])
        expect(each.places(idOf(1), ALL)).toEqual([])
        expect([1n, 2n, 3n, 4n].map((sequence) => each.at(idOf(1), sequence))).toEqual(Array(4).fill(undefined))
        expect(each.head(idOf(1))).toEqual(placeOf(entries[3]!))
        expect(each.subsetHead(idOf(1), idOf(2))).toEqual(placeOf(entries[1]!))
        expect(each.latest(idOf(1), { after: ZERO_32, limit: 10 })).toHaveLength(3)
        expect(each.streams({ after: undefined, limit: 10 })).toEqual([idOf(1)])
      }
      check(log)
      check(await reopened())
      await opened!.log.append([entries[4]!])
      expect(opened!.log.read(idOf(1), ALL)).toEqual([entries[4]])
      expect(opened!.log.stats()).toMatchObject({ streams: 1, entries: 1 })
    })

    test('a lower floor than the one that was pruned changes nothing', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), [1, 1, 1, 1])
      await log.append(entries)
      await log.prune(idOf(1), { floor: 3n, keepLatest: true })
      await log.prune(idOf(1), { floor: 2n, keepLatest: true })
      expect(log.floor(idOf(1))).toBe(3n)
      expect(log.read(idOf(1), ALL)).toEqual(entries.slice(2))
    })

    test('a tail may be given up down to the floor, not below', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), [1, 2, 2, 1, 3, 2])
      await log.append(entries)
      await log.prune(idOf(1), { floor: 4n, keepLatest: false })
      await expect(log.truncate(idOf(1), 3n)).rejects.toMatchObject({ code: 'stream.pruned' })
      await log.truncate(idOf(1), 4n)
      expect(log.head(idOf(1))).toEqual(placeOf(entries[3]!))
      expect(log.subsetHead(idOf(1), idOf(2))).toEqual(placeOf(entries[2]!))
      expect(log.subsetHead(idOf(1), idOf(3))).toBeUndefined()
      await log.append(entries.slice(4))
      expect((await reopened()).read(idOf(1), ALL)).toEqual(entries.slice(4))
    })

    test('a snapshot starts a stream in the middle, and the stream goes on from it', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), [1, 2, 1, 3, 2, 1, 2, 1])
      const snapshot = [entries[3]!, entries[5]!, entries[6]!]
      await log.install(idOf(1), snapshot)
      const check = (each: StreamLog) => {
        expect(each.floor(idOf(1))).toBe(7n)
        expect(each.subsetHead(idOf(1), idOf(3))).toEqual(placeOf(entries[3]!))
        expect(each.read(idOf(1), ALL).slice(0, 3)).toEqual(snapshot)
        expect(each.at(idOf(1), 5n)).toBeUndefined()
      }
      check(log)
      expect(log.head(idOf(1))).toEqual(placeOf(entries[6]!))
      await log.append([entries[7]!])
      check(await reopened())
      expect(opened!.log.at(idOf(1), 8n)).toEqual(entries[7])
      expect(opened!.log.readSubset(idOf(1), idOf(1), ALL)).toEqual([entries[5], entries[7]])
    })

    test('a snapshot takes a stream forward that is behind it, and never back', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), [1, 2, 1, 3, 2, 1, 2, 1])
      await log.append(entries.slice(0, 4))
      const old = log.install(idOf(1), [entries[1]!, entries[2]!])
      await expect(old).rejects.toMatchObject({ code: 'stream.sequence_gap' })
      await log.install(idOf(1), [entries[3]!, entries[5]!, entries[6]!])
      await log.append([entries[7]!])
      expect((await reopened()).read(idOf(1), ALL).map(({ sequence }) => sequence)).toEqual([4n, 6n, 7n, 8n])
      expect(opened!.log.stats()).toMatchObject({ streams: 1, entries: 4 })
    })

    test('what is no snapshot is refused', async () => {
      const log = await fresh()
      const entries = chain(idOf(1), [1, 2, 1, 3])
      const wrong = [[], [entries[0]!, entries[2]!], [entries[3]!, entries[1]!], [{ ...entries[1]!, stream: idOf(2) }]]
      for (const snapshot of wrong) {
        await expect(log.install(idOf(1), snapshot)).rejects.toMatchObject({ code: 'stream.sequence_gap' })
      }
      expect(log.streams({ after: undefined, limit: 10 })).toEqual([])
    })

    test('any history reads as its model says, before and after it is opened again', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
          const model = new Model()
          await fresh()
          try {
            for (const each of steps) {
              if (each.do === 'reopen') await reopened()
              else await model.run(opened!.log, each)
              expect(dumpOf(opened!.log)).toEqual(model.dump())
            }
          } finally {
            await opened!.close()
            opened = undefined
          }
        }),
        { numRuns: 60 },
      )
    })
  })
}

export function idOf(n: number): Bytes32 {
  return `0x${n.toString(16).padStart(64, '0')}`
}

/** Entries of one stream, one per subset number given; another `seed` gives other entries for the same places. */
export function chain(stream: Bytes32, subsets: readonly number[], seed = ''): LogEntry[] {
  const counts = new Map<number, bigint>()
  return subsets.map((subset, i) => {
    counts.set(subset, (counts.get(subset) ?? 0n) + 1n)
    const sequence = BigInt(i + 1)
    return entry({ stream, sequence, subset: idOf(subset), subSequence: counts.get(subset)! }, seed)
  })
}

function entry(place: Pick<LogEntry, 'stream' | 'sequence' | 'subset' | 'subSequence'>, seed: string): LogEntry {
  const text = `${seed} ${place.stream.slice(-8)} ${place.sequence}`.padStart(BODY, '.')
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0))
  const uid: Bytes32 = `0x${Buffer.from(text.slice(-32)).toString('hex')}`
  return { ...place, epoch: 1n + place.sequence / 4n, uid, bytes }
}

export function placeOf({ stream, epoch, sequence, subset, subSequence, uid }: LogPlace): LogPlace {
  return { stream, epoch, sequence, subset, subSequence, uid }
}

/** Everything that a log shows, of streams 1 to 3 with subsets 1 to 3. */
export function dumpOf(log: StreamLog): unknown {
  const { streams, entries } = log.stats()
  const dumps = [1, 2, 3].map((n) => ({
    head: log.head(idOf(n)),
    floor: log.floor(idOf(n)),
    entries: log.read(idOf(n), ALL),
    latest: log.latest(idOf(n), { after: ZERO_32, limit: 10 }),
    subsets: [1, 2, 3].map((subset) => log.readSubset(idOf(n), idOf(subset), ALL)),
  }))
  return { streams, entries, dumps }
}

export type Step =
  | { readonly do: 'append'; readonly stream: number; readonly subsets: readonly number[] }
  | { readonly do: 'truncate' | 'prune' | 'pruneAll' | 'install'; readonly stream: number; readonly back: number }
  | { readonly do: 'reopen' }

const stream = fc.integer({ min: 1, max: 3 })
export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      stream,
      subsets: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 6 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('truncate' as const, 'prune' as const, 'pruneAll' as const, 'install' as const),
      stream,
      back: fc.integer({ min: 0, max: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'reopen' } as const) },
)

/** The log as it would be with endless memory and no disk: all entries of a stream, and two floors. */
export class Model {
  readonly #streams = new Map<number, { entries: LogEntry[]; floor: number; bare: number }>()
  #seed = 0

  async run(log: StreamLog, step: Exclude<Step, { do: 'reopen' }>): Promise<void> {
    const stream = this.#stream(step.stream)
    const { entries } = stream
    if (step.do === 'append') {
      const next = this.#next(step.stream, step.subsets)
      stream.entries = [...entries, ...next]
      await log.append(next)
      return
    }
    const place = Math.max(stream.floor, entries.length - step.back)
    if (step.do === 'truncate') {
      stream.entries = entries.slice(0, place)
      await log.truncate(idOf(step.stream), BigInt(place))
    } else if (step.do === 'install') await this.#install(log, step)
    else {
      const prune: Prune = { floor: BigInt(place), keepLatest: step.do === 'prune' }
      stream.floor = Math.max(stream.floor, place)
      if (!prune.keepLatest) stream.bare = Math.max(stream.bare, place)
      await log.prune(idOf(step.stream), prune)
    }
  }

  /** The stream went on elsewhere; what this log missed comes as a snapshot. */
  async #install(log: StreamLog, { stream: n, back }: { stream: number; back: number }): Promise<void> {
    const stream = this.#stream(n)
    const missed = this.#next(
      n,
      Array.from({ length: back + 1 }, (_, i) => 1 + ((i * back) % 3)),
    )
    stream.entries = [...stream.entries, ...missed]
    stream.floor = stream.entries.length
    await log.install(idOf(n), lastOfEach(stream.entries))
  }

  dump(): unknown {
    const dumps = [1, 2, 3].map((n) => {
      const { entries, floor, bare } = this.#stream(n)
      const below = new Set(lastOfEach(entries.slice(0, floor)))
      const held = entries.filter(
        (each) => each.sequence > BigInt(floor) || (below.has(each) && each.sequence > BigInt(bare)),
      )
      const latest = lastOfEach(entries).sort((a, b) => (a.subset < b.subset ? -1 : 1))
      return {
        head: entries.length > 0 ? placeOf(entries.at(-1)!) : undefined,
        floor: BigInt(floor),
        entries: held,
        latest: latest.map(placeOf),
        subsets: [1, 2, 3].map((subset) => held.filter((each) => each.subset === idOf(subset))),
      }
    })
    const streams = dumps.filter(({ head }) => head !== undefined).length
    return { streams, entries: dumps.reduce((sum, { entries }) => sum + entries.length, 0), dumps }
  }

  #stream(n: number) {
    let stream = this.#streams.get(n)
    if (!stream) {
      stream = { entries: [], floor: 0, bare: 0 }
      this.#streams.set(n, stream)
    }
    return stream
  }

  #next(n: number, subsets: readonly number[]): LogEntry[] {
    const { entries } = this.#stream(n)
    const before = entries.map(({ subset }) => Number(BigInt(subset)))
    return chain(idOf(n), [...before, ...subsets], `seed ${this.#seed++}`).slice(entries.length)
  }
}

function lastOfEach(entries: readonly LogEntry[]): LogEntry[] {
  const last = new Map(entries.map((each) => [each.subset, each]))
  return entries.filter((each) => last.get(each.subset) === each)
}
