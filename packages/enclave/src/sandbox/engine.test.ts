/** The engine keeps its promises: clean rooms, bounded work, one verdict. */
import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { engineFile } from '../executor/sandbox.ts'
import { attacks, PROBE_TOKEN } from './corpus.ts'
import { ENGINE_ID, Engine, type PreparedEngine, prepareEngine } from './engine.ts'
import type { ScriptImage } from './image.ts'
import { ENGINE_LIMITS, GAS } from './limits.ts'

const ORDER = JSON.stringify({
  items: [
    { price: 3, count: 2 },
    { price: 5, count: 1 },
  ],
})
const ANSWER = { status: 'ok', output: '{"total":11}' }
let prepared: PreparedEngine
let engine: Engine

beforeAll(async () => {
  prepared = await prepareEngine(new Uint8Array(await readFile(engineFile())))
  engine = new Engine(prepared)
})

function load(code: string): ScriptImage {
  const booted = engine.boot(code)
  if (booted.status !== 'ok') throw new Error(JSON.stringify({ ...booted, gasUsed: 0 }))
  return booted.image
}

const token = (body: string) => load(`globalThis.smartToken = { call(method, input) { ${body} } }`)

describe('the engine file', () => {
  test('is the pinned one, and so is what the metering pass makes of it', () => {
    expect(prepared.engineId).toBe(ENGINE_ID)
  })

  test('is refused when one byte differs', async () => {
    const changed = new Uint8Array(await readFile(engineFile()))
    changed[changed.length - 1]! ^= 1
    await expect(prepareEngine(changed)).rejects.toThrow('engine file')
  })
})

describe('hostile code', () => {
  let image: ScriptImage
  let pristine: Buffer
  beforeAll(() => {
    image = load(PROBE_TOKEN)
    pristine = Buffer.from(engine.restore(image).slice())
  })

  test.each(attacks)('%s: %s, and nothing is left of it', (_name, ending, code) => {
    const result = engine.call(image, 'eval', JSON.stringify(code), GAS.hard)
    expect(result.status).toBe(ending)
    expect(result.gasUsed).toBeLessThanOrEqual(GAS.hard)
    expect(pristine.equals(engine.restore(image))).toBe(true)
    expect(engine.call(image, 'reducer', ORDER, GAS.query)).toMatchObject(ANSWER)
  })

  test('stays harmless when it is the script itself', () => {
    expect(engine.boot('for (;;);')).toEqual({ status: 'outOfGas', gasUsed: GAS.load })
    expect(engine.boot('function f() { f() } f()').status).toBe('tooDeep')
    expect(engine.boot('throw new Error("no")')).toMatchObject({ status: 'threw', message: 'Error: no' })
    expect(engine.boot('this is no script').status).toBe('threw')
    expect(engine.boot('globalThis.smartToken = { get call() { throw 1 } }')).toMatchObject({
      status: 'threw',
      message: '1',
    })
    expect(engine.call(image, 'reducer', ORDER, GAS.query)).toMatchObject(ANSWER)
  })
})

describe('a call', () => {
  test('starts from the loaded image, whatever ran before', () => {
    const counter = load('let n = 0; globalThis.smartToken = { call: () => String(++n) }')
    const other = token('return method + input')
    const first = engine.call(counter, 'next', '', GAS.query)
    expect(first).toMatchObject({ status: 'ok', output: '1' })
    expect(engine.call(other, 'a', '"b"', GAS.query)).toMatchObject({ output: 'a"b"' })
    expect(engine.call(counter, 'next', '', GAS.query)).toEqual(first)
  })

  test('costs the same gas on a fresh engine, and after an instance was replaced', () => {
    const image = load(PROBE_TOKEN)
    const before = engine.call(image, 'reducer', ORDER, GAS.query)
    engine.call(image, 'eval', JSON.stringify('new Uint8Array(5e6).length'), GAS.hard)
    expect(engine.call(image, 'reducer', ORDER, GAS.query)).toEqual(before)
    const fresh = new Engine(prepared)
    const booted = fresh.boot(PROBE_TOKEN)
    expect(booted.status === 'ok' && fresh.call(booted.image, 'reducer', ORDER, GAS.query)).toEqual(before)
  })

  test('ends exactly at its gas: one unit less is out of gas', () => {
    const image = load(PROBE_TOKEN)
    const { gasUsed } = engine.call(image, 'reducer', ORDER, GAS.query)
    expect(engine.call(image, 'reducer', ORDER, gasUsed)).toMatchObject({ ...ANSWER, gasUsed })
    expect(engine.call(image, 'reducer', ORDER, gasUsed - 1n)).toEqual({ status: 'outOfGas', gasUsed: gasUsed - 1n })
    expect(engine.call(image, 'reducer', ORDER, 0n)).toEqual({ status: 'outOfGas', gasUsed: 0n })
  })

  test('never gets more than the hard cap', () => {
    expect(engine.call(token('for (;;);'), 'm', '', 10n ** 12n)).toEqual({ status: 'outOfGas', gasUsed: GAS.hard })
  })

  test('must return well-formed text, now, and not too much of it', () => {
    const call = (body: string) => engine.call(token(body), 'm', '', GAS.update)
    expect(call('return { a: 1 }')).toMatchObject({
      status: 'threw',
      message: expect.stringContaining('must return a string'),
    })
    expect(call('return Promise.resolve("late")')).toMatchObject({ status: 'threw' })
    expect(call('return "\\ud800"')).toMatchObject({
      status: 'threw',
      message: 'the result is not well-formed Unicode',
    })
    expect(call(`return "x".repeat(${ENGINE_LIMITS.outputBytes + 1})`)).toMatchObject({ status: 'threw' })
    expect(call(`return "x".repeat(${ENGINE_LIMITS.outputBytes})`)).toMatchObject({ status: 'ok' })
    expect(call('return "\\u0000 is text"')).toMatchObject({ status: 'ok', output: '\u0000 is text' })
  })

  test('that throws says a bounded something, also when the exception is hostile', () => {
    const call = (body: string) => engine.call(token(body), 'm', '', GAS.update)
    const long = call('throw new Error("x".repeat(1e5))')
    expect(long.status === 'threw' && long.message.length).toBe(ENGINE_LIMITS.messageCharacters)
    expect(call('throw { toString() { for (;;); } }')).toEqual({ status: 'outOfGas', gasUsed: GAS.update })
    expect(call('throw { toString() { throw 1 } }')).toMatchObject({ status: 'threw' })
    expect(call('throw undefined')).toMatchObject({ status: 'threw', message: 'undefined' })
  })

  test('sees its input byte for byte', () => {
    const text = JSON.stringify({ text: 'ä😀\u0000\u2028', long: 'x'.repeat(200_000) })
    expect(engine.call(token('return input'), 'm', text, GAS.update)).toMatchObject({ status: 'ok', output: text })
  })

  test('that grows a little does not cost a new instance', () => {
    const image = token('return String("x".repeat(100000).length)')
    engine.call(image, 'm', '', GAS.query)
    const memory = engine.restore(image)
    engine.call(image, 'm', '', GAS.query)
    expect(engine.restore(image).buffer).toBe(memory.buffer)
  })
})
