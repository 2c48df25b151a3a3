/** The metering pass counts work and nesting exactly, on a module small enough to count by hand. */
import { describe, expect, test } from 'vitest'
import { cutSet } from './call-graph.ts'
import { meter } from './meter.ts'
import { Op, readInstruction, readSections, signedLeb, unsignedLeb, WasmReader, WasmWriter } from './wasm-binary.ts'

const HEADER = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]
const I32 = 0x7f
const localGet = [Op.localGet, 0]
const minusOne = [...localGet, Op.i32Const, 1, Op.i32Subtract]

/** Four functions (i32) → i32: what each must cost is in the tests. */
const bodies = {
  /** loops n times */
  spin: [Op.loop, 0x40, ...minusOne, 0x22, 0, Op.brIf, 0, Op.end, ...localGet, Op.end],
  /** calls itself n times */
  nest: [
    ...localGet,
    0x45,
    Op.if,
    I32,
    Op.i32Const,
    0,
    0x05,
    ...minusOne,
    Op.call,
    1,
    Op.i32Const,
    1,
    Op.i32Add,
    Op.end,
    Op.end,
  ],
  /** the same, with returns out of the middle */
  leave: [
    ...localGet,
    0x45,
    Op.if,
    0x40,
    Op.i32Const,
    7,
    Op.return,
    Op.end,
    ...minusOne,
    Op.call,
    2,
    Op.return,
    Op.end,
  ],
  /** fills n bytes */
  fill: [Op.i32Const, 0, Op.i32Const, 1, ...localGet, Op.prefixed, 11, 0, ...localGet, Op.end],
}

function moduleOf(functions: Record<string, readonly number[]>): Uint8Array {
  const names = Object.keys(functions)
  const section = (id: number, body: readonly number[]) => [id, ...unsignedLeb(body.length), ...body]
  const exports = names.flatMap((name, index) => [...unsignedLeb(name.length), ...Buffer.from(name), 0, index])
  const code = Object.values(functions).flatMap((body) => [...unsignedLeb(body.length + 1), 0, ...body])
  return Uint8Array.from([
    ...HEADER,
    ...section(1, [1, 0x60, 1, I32, 1, I32]),
    ...section(2, [0]),
    ...section(3, [names.length, ...names.map(() => 0)]),
    ...section(5, [1, 0, 1]),
    ...section(6, [1, I32, 1, Op.i32Const, ...signedLeb(1024), Op.end]),
    ...section(7, [names.length + 1, ...exports, 6, ...Buffer.from('memory'), 2, 0]),
    ...section(10, [names.length, ...code]),
  ])
}

type Exports = Record<keyof typeof bodies, (n: number) => number> & {
  gas: { value: bigint }
  depth: { value: number }
  sp: { value: number }
  memory: WebAssembly.Memory
}

function instance(depthUnits = 1000): Exports {
  const { bytes } = meter(moduleOf(bodies), { memoryPages: 2, depthUnits })
  const exports = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as unknown as Exports
  exports.gas.value = 10_000n
  return exports
}

function gasOf(exports: Exports, run: () => unknown): bigint {
  const before = exports.gas.value
  run()
  return before - exports.gas.value
}

describe('a metered module', () => {
  test('pays one unit per loop iteration and one for the call', () => {
    const exports = instance()
    expect(gasOf(exports, () => exports.spin(100))).toBe(101n)
  })

  test('pays one unit per nested call', () => {
    const exports = instance()
    expect(exports.nest(10)).toBe(10)
    expect(gasOf(exports, () => exports.nest(10))).toBe(11n)
  })

  test('pays a unit per eight bytes of a bulk operation, and a leaf pays nothing else', () => {
    const exports = instance()
    expect(gasOf(exports, () => exports.fill(80))).toBe(10n)
    expect(new Uint8Array(exports.memory.buffer).filter((byte) => byte === 1)).toHaveLength(80)
  })

  test('traps when its gas is used up, before a bulk operation starts', () => {
    const exports = instance()
    exports.gas.value = 5n
    expect(() => exports.spin(100)).toThrow(WebAssembly.RuntimeError)
    expect(exports.gas.value).toBe(-1n)
    exports.gas.value = 5n
    expect(() => exports.fill(4096)).toThrow(WebAssembly.RuntimeError)
    expect(new Uint8Array(exports.memory.buffer)[0]).toBe(0)
  })

  test('counts depth up and down again, also over an early return', () => {
    const exports = instance()
    expect(exports.leave(20)).toBe(7)
    expect(exports.depth.value).toBe(0)
    exports.nest(20)
    expect(exports.depth.value).toBe(0)
  })

  test('traps at the depth limit: 25 units per frame with one local', () => {
    const exports = instance(250)
    expect(exports.nest(9)).toBe(9)
    expect(() => exports.nest(10)).toThrow(WebAssembly.RuntimeError)
    expect(exports.depth.value).toBe(275)
  })

  test('cannot grow beyond its pages', () => {
    const { memory } = instance()
    memory.grow(1)
    expect(() => memory.grow(1)).toThrow(RangeError)
  })
})

describe('what the pass does not know', () => {
  test.each([
    ['tail calls', [0x12, 0]],
    ['exceptions', [0x08, 0]],
    ['SIMD', [0xfd, 12]],
    ['threads', [0xfe, 0]],
    ['garbage collection', [0xfb, 0]],
    ['tables in bulk', [0xfc, 12, 0, 0]],
    ['reserved opcodes', [0x27]],
  ])('%s: it refuses the module', (_name, code) => {
    const module = moduleOf({ ...bodies, odd: [...code, Op.end] })
    expect(() => meter(module, { memoryPages: 2, depthUnits: 100 })).toThrow('unknown opcode')
  })

  test('a module that ends too early is refused', () => {
    expect(() => readSections(Uint8Array.from([...HEADER, 10, 100, 0]))).toThrow('unexpected end')
  })
})

describe('numbers', () => {
  test.each([0, 1, 63, 64, 127, 128, 300, 65_536, 2 ** 31, 2 ** 32 - 1])('%i survives LEB128', (value) => {
    expect(new WasmReader(Uint8Array.from(unsignedLeb(value))).unsigned()).toBe(value)
  })

  test('signed numbers keep their sign bit', () => {
    expect(signedLeb(63)).toEqual([63])
    expect(signedLeb(64)).toEqual([0xc0, 0])
    expect(signedLeb(-1)).toEqual([0x7f])
    expect(signedLeb(-65)).toEqual([0xbf, 0x7f])
  })

  test('an instruction ends after its immediates', () => {
    const bytes = new WasmWriter().write([0x44, 1, 2, 3, 4, 5, 6, 7, 8, Op.brTable, 2, 0, 1, 2, Op.end]).bytes()
    const reader = new WasmReader(bytes)
    expect([0, 0, 0].map(() => readInstruction(reader).op)).toEqual([0x44, Op.brTable, Op.end])
  })
})

test('the cut set meets every cycle of calls, and not more than it must', () => {
  const calls = (...callees: number[]) => ({ callees: new Set(callees), callsIndirectly: false, loops: false })
  const shapes = [calls(1), calls(2), calls(0, 3), calls(), calls(4), { ...calls(), callsIndirectly: true }]
  const cut = cutSet(shapes)
  expect(cut.has(4)).toBe(true)
  expect(cut.has(5)).toBe(true)
  expect([0, 1, 2].filter((index) => cut.has(index))).toHaveLength(1)
  expect(cut.has(3)).toBe(false)
})
