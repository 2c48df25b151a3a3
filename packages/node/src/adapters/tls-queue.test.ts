import { expect, test, vi } from 'vitest'
import { TRAFFIC_CLASSES, type TrafficClass } from '../ports/network.ts'
import type { Frame } from './frames.ts'
import { CLASS_LIMITS } from './tls-limits.ts'
import { SendQueue, type Waiting } from './tls-queue.ts'

const frame = (trafficClass: TrafficClass, size = 100, type = 'test'): Frame => ({
  bytes: Buffer.alloc(size),
  type,
  trafficClass,
})

function queueOf(): { queue: SendQueue; dropped: Frame[]; waiting: Waiting } {
  const [dropped, waiting]: [Frame[], Waiting] = [[], { bytes: 0 }]
  return { queue: new SendQueue(waiting, (lost) => dropped.push(lost)), dropped, waiting }
}

test('higher classes leave first, and each in its order', () => {
  const { queue } = queueOf()
  for (const trafficClass of [...TRAFFIC_CLASSES].reverse()) {
    queue.push(frame(trafficClass, 10, '1'))
    queue.push(frame(trafficClass, 10, '2'))
  }
  const left = Array.from({ length: queue.length }, () => queue.shift()!)
  expect(left.map(({ trafficClass }) => trafficClass)).toEqual(TRAFFIC_CLASSES.flatMap((name) => [name, name]))
  expect(left.map(({ type }) => type)).toEqual(TRAFFIC_CLASSES.flatMap(() => ['1', '2']))
  expect([queue.shift(), queue.bytes]).toEqual([undefined, 0])
})

test.each(TRAFFIC_CLASSES)('a flood of %s stays within its own bounds and takes nothing from others', (flooded) => {
  const { queue, dropped, waiting } = queueOf()
  const others = TRAFFIC_CLASSES.filter((name) => name !== flooded)
  for (const name of others) queue.push(frame(name))
  const { queuedFrames, queuedBytes, frameBytes } = CLASS_LIMITS[flooded]
  for (let n = 0; n < 2 * queuedFrames; n++) queue.push(frame(flooded))
  expect(queue.length).toBe(queuedFrames + others.length)
  for (let n = 0; n < 40; n++) queue.push(frame(flooded, frameBytes))
  expect(queue.bytes).toBeLessThanOrEqual(queuedBytes + 100 * others.length)
  expect(new Set(dropped.map(({ trafficClass }) => trafficClass))).toEqual(new Set([flooded]))
  expect(waiting.bytes).toBe(queue.bytes)
})

test('a peer lags from the first lost live message until it took all that waited and some time passed', () => {
  vi.useFakeTimers()
  try {
    const { queue } = queueOf()
    for (let n = 0; n < 5_000; n++) queue.push(frame('repair'))
    expect(queue.lagging).toBe(false)
    for (let n = 0; n <= CLASS_LIMITS.live.queuedFrames; n++) queue.push(frame('live'))
    vi.advanceTimersByTime(60_000)
    expect(queue.lagging).toBe(true)
    while (queue.shift()) expect(queue.lagging).toBe(true)
    vi.advanceTimersByTime(1_900)
    queue.push(frame('live'))
    expect(queue.lagging).toBe(true)
    vi.advanceTimersByTime(200)
    expect(queue.lagging).toBe(false)
  } finally {
    vi.useRealTimers()
  }
})

test('shedding takes the lowest class first and the oldest of it', () => {
  const { queue, dropped, waiting } = queueOf()
  for (const name of TRAFFIC_CLASSES) for (const type of ['old', 'new']) queue.push(frame(name, 100, type))
  queue.shed(850)
  expect(dropped.map(({ trafficClass, type }) => [trafficClass, type])).toEqual([
    ['backfill', 'old'],
    ['backfill', 'new'],
    ['repair', 'old'],
    ['repair', 'new'],
  ])
  queue.shed(0)
  expect([queue.length, waiting.bytes, dropped.length]).toEqual([0, 0, 12])
})
