import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TRAFFIC_CLASSES, type TrafficClass } from '../ports/network.ts'
import { FrameReader, frameOf, PING, typeOf } from './frames.ts'
import { CLASS_LIMITS, FRAME_LIMIT } from './tls-limits.ts'

const MIB = 1_048_576
const text = (body: Buffer) => body.toString('utf8')

/** Feeds pieces to a reader; ends at the first that it refuses. */
function read(pieces: Iterable<Buffer>): { bodies: string[]; refused: boolean } {
  const bodies: string[] = []
  const reader = new FrameReader((body) => bodies.push(text(body)) > 0)
  for (const piece of pieces) if (!reader.push(piece)) return { bodies, refused: true }
  return { bodies, refused: false }
}

function headerOf(trafficClass: TrafficClass, length: number): Buffer {
  const header = Buffer.alloc(4)
  header.writeUInt32BE(length)
  header[0] = TRAFFIC_CLASSES.indexOf(trafficClass)
  return header
}

test('frames come out as they went in, in whatever pieces they arrive', () => {
  const frames = fc.array(fc.tuple(fc.json(), fc.constantFrom(...TRAFFIC_CLASSES)), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(frames, fc.array(fc.nat(2_000), { maxLength: 30 }), (all, cuts) => {
      const bytes = Buffer.concat(all.map(([value, trafficClass]) => frameOf(JSON.parse(value), trafficClass).bytes))
      const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
      const pieces = places.slice(1).map((end, n) => Buffer.from(bytes.subarray(places[n], end)))
      expect(read(pieces)).toEqual({
        bodies: all.map(([value]) => JSON.stringify(JSON.parse(value))),
        refused: false,
      })
    }),
  )
})

test('a frame as large as allowed costs time in proportion when it comes byte by byte', () => {
  const { bytes } = frameOf('x'.repeat(MIB - 2), 'live')
  const startedAt = performance.now()
  let size = 0
  const reader = new FrameReader((body) => {
    size = body.length
    return true
  })
  for (let at = 0; at < bytes.length; at++) reader.push(bytes.subarray(at, at + 1))
  expect(size).toBe(MIB)
  // Copying what is there with every byte would move 500 GB; keeping every piece would hold a million buffers.
  expect(performance.now() - startedAt).toBeLessThan(2_000)
})

test('memory follows what has arrived, not what was promised', () => {
  const before = process.memoryUsage().arrayBuffers
  const readers = Array.from({ length: 500 }, () => new FrameReader(() => true))
  for (const reader of readers) {
    reader.push(headerOf('live', FRAME_LIMIT))
    reader.push(Buffer.from('x'))
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * MIB)
})

describe('limits', () => {
  test.each(TRAFFIC_CLASSES)('a header of class %s may announce its limit and not a byte more', (trafficClass) => {
    const { frameBytes } = CLASS_LIMITS[trafficClass]
    expect(read([headerOf(trafficClass, frameBytes)]).refused).toBe(false)
    expect(read([headerOf(trafficClass, frameBytes + 1)]).refused).toBe(true)
  })

  test('a class that does not exist is refused with its first header', () => {
    expect(read([Buffer.from([TRAFFIC_CLASSES.length, 0, 0, 0])]).refused).toBe(true)
    expect(read([Buffer.from([0xff, 0xff, 0xff, 0xff])]).refused).toBe(true)
  })

  test('nothing larger than its class allows becomes a frame', () => {
    const { frameBytes } = CLASS_LIMITS.heads
    expect(frameOf('x'.repeat(frameBytes - 2), 'heads').bytes).toHaveLength(4 + frameBytes)
    expect(() => frameOf('x'.repeat(frameBytes - 1), 'heads')).toThrow(
      expect.objectContaining({ code: 'message.too_large', facts: { limit: frameBytes, what: 'a heads message' } }),
    )
  })

  test('a frame of every class fits its queue, so that none can wait for ever', () => {
    for (const trafficClass of TRAFFIC_CLASSES) {
      const { frameBytes, queuedBytes } = CLASS_LIMITS[trafficClass]
      expect(frameBytes + 4).toBeLessThanOrEqual(queuedBytes)
      expect(frameBytes).toBeLessThanOrEqual(FRAME_LIMIT)
    }
  })
})

test('what comes after a refused frame is not read', () => {
  const bodies: string[] = []
  const reader = new FrameReader((body) => {
    bodies.push(text(body))
    return text(body) !== '"bad"'
  })
  const frames = ['good', 'bad', 'never read'].map((value) => frameOf(value, 'live').bytes)
  expect(reader.push(Buffer.concat(frames))).toBe(false)
  expect(bodies).toEqual(['"good"', '"bad"'])
})

test('a ping is an empty frame', () => {
  expect(read([PING, PING.subarray(0, 2), PING.subarray(2)]).bodies).toEqual(['', ''])
})

test('only what can be a type is counted by name', () => {
  expect(typeOf({ type: 'stream-item' })).toBe('stream-item')
  for (const message of [undefined, null, 7, {}, { type: 7 }, { type: 'Type' }, { type: 'a"b' }, { type: '' }])
    expect(typeOf(message)).toBe('other')
  expect(typeOf({ type: 'a'.repeat(33) })).toBe('other')
})
