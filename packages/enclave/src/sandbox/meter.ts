/** The metering pass: rewrites a wasm module so that work, nesting and memory are counted and bounded by the module itself. */
import { cutSet, type FunctionShape, isLeaf, readShape } from './call-graph.ts'
import {
  Op,
  PrefixedOp,
  readInstruction,
  readSections,
  type Section,
  SectionId,
  signedLeb,
  unsignedLeb,
  ValueType,
  WasmReader,
  WasmWriter,
  writeSections,
} from './wasm-binary.ts'

export type MeterOptions = { readonly memoryPages: number; readonly depthUnits: number }

/** The rewritten module, and how many places were instrumented. */
export type Metered = {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly gasPoints: number
  readonly bulkPoints: number
  readonly depthPoints: number
}

/** Native stack of one frame beyond its locals, in the units of `depthUnits`. */
const FRAME_UNITS = 24
/** What an instance may spend before the host sets its gas: enough for its own start. */
const INITIAL_GAS = 2n ** 62n
const TRAP = [Op.if, ValueType.empty, Op.unreachable, Op.end]

/**
 * Adds to a module with its own memory:
 * - the exported mutable i64 global `gas`: one unit per loop iteration and per call of a function that calls or loops;
 *   memory.copy and memory.fill pay one unit per 8 bytes. Below zero the module traps.
 * - the exported mutable i32 global `depth`: native stack units, counted in functions that meet every cycle of calls. Above
 *   `depthUnits` the module traps.
 * - the export `sp` (global 0, the stack pointer), so that the host can put a trapped instance back;
 * - `memoryPages` as the maximum of its memory.
 * Wasm control flow is structured, so nothing has to be renumbered. Throws on anything that the pass does not know.
 */
export function meter(module: Uint8Array, { memoryPages, depthUnits }: MeterOptions): Metered {
  const sections = readSections(module)
  const imports = countImports(bodyOf(sections, SectionId.import))
  const globals = new WasmReader(bodyOf(sections, SectionId.global))
  const ownGlobals = globals.unsigned()
  const counters = { gas: imports.globals + ownGlobals, depth: imports.globals + ownGlobals + 1 }
  const code = meterCode(sections, { counters, depthUnits, importedFunctions: imports.functions })
  const replaced = new Map<number, Uint8Array>([
    [SectionId.memory, boundMemory(bodyOf(sections, SectionId.memory), memoryPages)],
    [SectionId.global, addGlobals(ownGlobals, globals)],
    [SectionId.export, addExports(bodyOf(sections, SectionId.export), counters)],
    [SectionId.code, code.body],
  ])
  const bytes = writeSections(
    module,
    sections.map(({ id, body }) => ({ id, body: replaced.get(id) ?? body })),
  )
  return { bytes, gasPoints: code.gasPoints, bulkPoints: code.bulkPoints, depthPoints: code.depthPoints }
}

type Counters = { readonly gas: number; readonly depth: number }
type Signature = { readonly parameters: number; readonly result: number }
type FunctionPlan = {
  readonly signature: Signature
  readonly counters: Counters
  readonly depthUnits: number
  readonly paysOnEntry: boolean
  readonly countsDepth: boolean
}

function bodyOf(sections: readonly Section[], id: number): Uint8Array {
  const section = sections.find((candidate) => candidate.id === id)
  if (!section) throw new Error(`wasm: section ${id} is missing`)
  return section.body
}

function countImports(body: Uint8Array): { functions: number; globals: number } {
  const reader = new WasmReader(body)
  const counts = { functions: 0, globals: 0 }
  for (let left = reader.unsigned(); left > 0; left--) {
    reader.take(reader.unsigned())
    reader.take(reader.unsigned())
    const kind = reader.byte()
    if (kind === 0) {
      reader.unsigned()
      counts.functions++
    } else if (kind === 3) {
      reader.take(2)
      counts.globals++
    } else throw new Error(`wasm: import of kind ${kind} cannot be metered`)
  }
  return counts
}

function boundMemory(body: Uint8Array, memoryPages: number): Uint8Array {
  const reader = new WasmReader(body)
  if (reader.unsigned() !== 1) throw new Error('wasm: exactly one memory is expected')
  reader.byte() // whether it had a maximum before
  const minimum = reader.unsigned()
  return new WasmWriter().write([1, 1]).unsigned(minimum).unsigned(memoryPages).bytes()
}

function addGlobals(ownGlobals: number, rest: WasmReader): Uint8Array {
  return new WasmWriter()
    .unsigned(ownGlobals + 2)
    .write(rest.bytes.subarray(rest.at))
    .write([ValueType.i64, 1, Op.i64Const, ...signedLeb(INITIAL_GAS), Op.end])
    .write([ValueType.i32, 1, Op.i32Const, 0, Op.end])
    .bytes()
}

function addExports(body: Uint8Array, counters: Counters): Uint8Array {
  const reader = new WasmReader(body)
  const writer = new WasmWriter(body.length + 64).unsigned(reader.unsigned() + 3).write(body.subarray(reader.at))
  for (const [name, global] of [
    ['gas', counters.gas],
    ['depth', counters.depth],
    ['sp', 0],
  ] as const) {
    writer.vector(new TextEncoder().encode(name)).write([3]).unsigned(global)
  }
  return writer.bytes()
}

function readSignatures(sections: readonly Section[]): Signature[] {
  const types = new WasmReader(bodyOf(sections, SectionId.type))
  const signatures = Array.from({ length: types.unsigned() }, () => {
    if (types.byte() !== 0x60) throw new Error('wasm: unknown type form')
    const parameters = types.take(types.unsigned()).length
    const results = types.take(types.unsigned())
    if (results.length > 1) throw new Error('wasm: multi-value results are not supported')
    return { parameters, result: results[0] ?? ValueType.empty }
  })
  const functions = new WasmReader(bodyOf(sections, SectionId.function))
  return Array.from({ length: functions.unsigned() }, () => signatures[functions.unsigned()]!)
}

function readShapes(code: Uint8Array, importedFunctions: number): FunctionShape[] {
  const reader = new WasmReader(code)
  return Array.from({ length: reader.unsigned() }, () => {
    const end = reader.unsigned() + reader.at
    readLocals(reader)
    return readShape(reader, end, importedFunctions)
  })
}

/** Local declarations as (count, type) groups. */
function readLocals(reader: WasmReader): [count: number, type: number][] {
  return Array.from({ length: reader.unsigned() }, () => [reader.unsigned(), reader.byte()])
}

function meterCode(
  sections: readonly Section[],
  options: { counters: Counters; depthUnits: number; importedFunctions: number },
): { body: Uint8Array; gasPoints: number; bulkPoints: number; depthPoints: number } {
  const code = bodyOf(sections, SectionId.code)
  const signatures = readSignatures(sections)
  const shapes = readShapes(code, options.importedFunctions)
  const cut = cutSet(shapes)
  const counts = { gasPoints: 0, bulkPoints: 0, depthPoints: cut.size }
  const reader = new WasmReader(code)
  const writer = new WasmWriter(code.length * 2).unsigned(reader.unsigned())
  for (const [index, shape] of shapes.entries()) {
    const end = reader.unsigned() + reader.at
    const plan = {
      signature: signatures[index]!,
      counters: options.counters,
      depthUnits: options.depthUnits,
      paysOnEntry: !isLeaf(shape),
      countsDepth: cut.has(index),
    }
    writer.vector(meterFunction(reader, end, plan, counts))
  }
  return { body: writer.bytes(), ...counts }
}

/** Rewrites one function. It gets one more local, which holds the length of a bulk operation while that is paid for. */
function meterFunction(
  reader: WasmReader,
  end: number,
  { signature, counters, depthUnits, paysOnEntry, countsDepth }: FunctionPlan,
  counts: { gasPoints: number; bulkPoints: number },
): Uint8Array {
  const writer = new WasmWriter((end - reader.at) * 2)
  const groups = readLocals(reader)
  const locals = signature.parameters + groups.reduce((sum, [count]) => sum + count, 0)
  writer.unsigned(groups.length + 1)
  for (const [count, type] of groups) writer.unsigned(count).write([type])
  writer.write([1, ValueType.i32])
  const depth = { global: counters.depth, units: locals + FRAME_UNITS }
  if (paysOnEntry) {
    writer.write(chargeOne(counters.gas))
    counts.gasPoints++
  }
  if (countsDepth) writer.write(enterFrame(depth, depthUnits)).write([Op.block, signature.result])
  let nesting = 0
  while (reader.at < end) {
    const start = reader.at
    const { op, operand } = readInstruction(reader)
    if (op >= Op.block && op <= Op.if) nesting++
    else if (op === Op.end) nesting--
    if (op === Op.return && countsDepth) {
      writer.write([Op.br, ...unsignedLeb(nesting)]) // leaves the wrapping block, so that the frame is counted off
      continue
    }
    if (op === Op.prefixed && operand >= PrefixedOp.memoryCopy) {
      writer.write(chargeLength(counters.gas, locals))
      counts.bulkPoints++
    }
    writer.write(reader.bytes.subarray(start, reader.at))
    if (op === Op.loop) {
      writer.write(chargeOne(counters.gas))
      counts.gasPoints++
    }
  }
  if (countsDepth) writer.write(leaveFrame(depth))
  return writer.bytes()
}

/** gas -= 1; trap below zero */
function chargeOne(gas: number): number[] {
  const global = unsignedLeb(gas)
  return [Op.globalGet, ...global, Op.i64Const, 1, Op.i64Subtract, Op.globalSet, ...global, ...trapBelowZero(gas)]
}

/** gas -= (length on the stack) / 8; trap below zero */
function chargeLength(gas: number, local: number): number[] {
  const global = unsignedLeb(gas)
  const length = unsignedLeb(local)
  return [
    ...[Op.localSet, ...length, Op.globalGet, ...global, Op.localGet, ...length],
    ...[Op.i32Const, 3, Op.i32ShiftRightUnsigned, Op.i64ExtendI32Unsigned, Op.i64Subtract, Op.globalSet, ...global],
    ...trapBelowZero(gas),
    ...[Op.localGet, ...length],
  ]
}

function trapBelowZero(gas: number): number[] {
  return [Op.globalGet, ...unsignedLeb(gas), Op.i64Const, 0, Op.i64LessSigned, ...TRAP]
}

/** depth += units; trap above the limit */
function enterFrame({ global, units }: { global: number; units: number }, limit: number): number[] {
  const depth = unsignedLeb(global)
  return [
    ...[Op.globalGet, ...depth, Op.i32Const, ...signedLeb(units), Op.i32Add, Op.globalSet, ...depth],
    ...[Op.globalGet, ...depth, Op.i32Const, ...signedLeb(limit), Op.i32GreaterSigned, ...TRAP],
  ]
}

/** depth -= units, then the end of the function */
function leaveFrame({ global, units }: { global: number; units: number }): number[] {
  const depth = unsignedLeb(global)
  return [Op.globalGet, ...depth, Op.i32Const, ...signedLeb(units), Op.i32Subtract, Op.globalSet, ...depth, Op.end]
}
