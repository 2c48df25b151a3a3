import fc from 'fast-check'
import { expect, test } from 'vitest'
import { chain, idOf } from '../../ports/stream-log.contract.ts'
import { type Found, framesOf, type LogRecord, readFrame, type Source, sizeOf, writeFrame } from './frames.ts'

const SEED = 0x5eed
const records: readonly LogRecord[] = [
  ...chain(idOf(1), [1, 2, 1]).map(({ bytes, ...place }) => ({ kind: 'entry' as const, origin: 0, place, bytes })),
  { kind: 'place', origin: 2 ** 40 + 7, place: placeAt(4) },
  { kind: 'truncate', origin: 0, stream: idOf(2), after: 2n ** 60n },
  { kind: 'prune', origin: 5, stream: idOf(3), floor: 9n, bare: 4n },
]

test('records come back as they were written', () => {
  const { bytes, starts } = file(records.map((record) => [record]))
  for (const [i, record] of records.entries()) {
    expect(readFrame(bytes, starts[i]!, SEED)).toEqual({ record, group: i + 1, isLast: true, size: sizeOf(record) })
  }
  expect(found(bytes).map(({ record }) => record)).toEqual(records)
})

test('a frame is read with the seed of its own segment alone: no entry can hold one in its bytes', () => {
  const [record] = records
  const inner = file([[record!]]).bytes
  const entry: LogRecord = { kind: 'entry', origin: 0, place: placeAt(1), bytes: new Uint8Array(inner) }
  const outer = Buffer.alloc(sizeOf(entry))
  writeFrame(outer, 0, { record: entry, group: 1, isLast: true, seed: SEED + 1 })
  outer[5]! ^= 1 // the outer frame is broken, so that the reader looks for the next one inside
  expect(found(outer, { seed: SEED + 1, isLastFile: false })).toEqual([])
  expect(readFrame(outer, outer.length - inner.length, SEED)?.record).toEqual(record)
})

test('a broken frame is passed over in a finished file', () => {
  const { bytes, starts } = file(records.map((record) => [record]))
  for (let at = starts[1]!; at < starts[2]!; at++) {
    const broken = Buffer.from(bytes)
    broken[at]! ^= 0x10
    const kept = found(broken, { isLastFile: false }).map(({ record }) => record)
    expect(kept, `byte ${at}`).toEqual([records[0], ...records.slice(2)])
  }
})

test('in the last file a broken frame ends it, unless a later fsync shows that it had been durable', () => {
  const { bytes, starts } = file(records.map((record) => [record]))
  const kept = records.map((_, i) => {
    const broken = Buffer.from(bytes)
    broken[starts[i]! + 20]! ^= 0x10
    return found(broken).map(({ group }) => group)
  })
  expect(kept).toEqual([
    [2, 3, 4, 5, 6],
    [1, 3, 4, 5, 6],
    [1, 2, 4, 5, 6],
    [1, 2, 3, 5, 6],
    [1, 2, 3, 4, 6],
    [1, 2, 3, 4, 5],
  ])
})

test('an append that is not whole does not count', () => {
  const { bytes, starts } = file([[records[0]!], [records[1]!, records[2]!]])
  const torn = bytes.subarray(0, bytes.length - 1)
  const frames = framesOf(sourceOf(torn), { from: 0, group: 0, seed: SEED, isLastFile: true })
  expect(frames.next().value).toMatchObject({ record: records[0] })
  expect(frames.next()).toEqual({ done: true, value: starts[1] })
})

test('no bytes make the reader fail, read beyond the end or find what was not written', () => {
  const { bytes } = file([[records[0]!], [records[1]!, records[3]!], [records[4]!], [records[5]!]])
  const written = new Set(records.map((record) => textOf(record)))
  const change = fc.oneof(
    fc.record({
      do: fc.constant('set' as const),
      at: fc.nat(bytes.length - 1),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
    }),
    fc.record({ do: fc.constant('cut' as const), at: fc.nat(bytes.length - 1), count: fc.nat(200) }),
    fc.record({
      do: fc.constant('insert' as const),
      at: fc.nat(bytes.length - 1),
      bytes: fc.uint8Array({ maxLength: 64 }),
    }),
    fc.record({ do: fc.constant('repeat' as const), at: fc.nat(bytes.length - 1), count: fc.nat(300) }),
  )
  const changed = fc.array(change, { minLength: 1, maxLength: 3 }).map((changes) =>
    changes.reduce((result, each) => {
      const [head, tail] = [result.subarray(0, each.at), result.subarray(each.at)]
      if (each.do === 'set') return Buffer.concat([head, each.bytes, tail.subarray(each.bytes.length)])
      if (each.do === 'cut') return Buffer.concat([head, tail.subarray(each.count)])
      if (each.do === 'insert') return Buffer.concat([head, each.bytes, tail])
      return Buffer.concat([head, tail.subarray(0, each.count), tail])
    }, bytes),
  )
  const noise = fc.uint8Array({ maxLength: 600 }).map((each) => Buffer.from(each))
  fc.assert(
    fc.property(
      fc.oneof({ weight: 9, arbitrary: changed }, { weight: 1, arbitrary: noise }),
      fc.boolean(),
      (mutated, isLastFile) => {
        for (const frame of found(mutated, { isLastFile })) {
          expect(frame.at + frame.size).toBeLessThanOrEqual(mutated.length)
          expect(written.has(textOf(frame.record))).toBe(true)
        }
      },
    ),
    { numRuns: 12_000 },
  )
})

function placeAt(sequence: number) {
  const { bytes: _, ...place } = chain(idOf(1), Array(sequence).fill(1)).at(-1)!
  return place
}

/** Appends one after another, each in a group of its own. */
function file(appends: readonly (readonly LogRecord[])[]): {
  readonly bytes: Buffer
  readonly starts: readonly number[]
} {
  const bytes = Buffer.alloc(appends.flat().reduce((sum, record) => sum + sizeOf(record), 0))
  const starts: number[] = []
  let at = 0
  for (const [group, append] of appends.entries()) {
    for (const [i, record] of append.entries()) {
      starts.push(at)
      at = writeFrame(bytes, at, { record, group: group + 1, isLast: i === append.length - 1, seed: SEED })
    }
  }
  return { bytes, starts }
}

function found(bytes: Buffer, { seed = SEED, isLastFile = true } = {}): readonly Found[] {
  return [...framesOf(sourceOf(bytes), { from: 0, group: 0, seed, isLastFile })]
}

function sourceOf(bytes: Buffer): Source {
  return {
    size: bytes.length,
    read: (at, length) => {
      expect(at + length).toBeLessThanOrEqual(bytes.length)
      return bytes.subarray(at, at + length)
    },
  }
}

function textOf(record: LogRecord): string {
  return file([[record]]).bytes.toString('latin1')
}
