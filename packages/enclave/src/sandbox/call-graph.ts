/** Which functions of a wasm module call which, and a small set of them that meets every cycle of calls. */
import { Op, readInstruction, type WasmReader } from './wasm-binary.ts'

/** What one function does, as far as gas and depth are concerned. Callees are indices of own functions; imports are left out. */
export type FunctionShape = {
  readonly callees: ReadonlySet<number>
  readonly callsIndirectly: boolean
  readonly loops: boolean
}

/** Reads the shape of a function from its instructions, up to byte `end`. */
export function readShape(body: WasmReader, end: number, importedFunctions: number): FunctionShape {
  const callees = new Set<number>()
  let callsIndirectly = false
  let loops = false
  while (body.at < end) {
    const { op, operand } = readInstruction(body)
    if (op === Op.call && operand >= importedFunctions) callees.add(operand - importedFunctions)
    else if (op === Op.callIndirect) callsIndirectly = true
    else if (op === Op.loop) loops = true
  }
  return { callees, callsIndirectly, loops }
}

/** True for a function whose cost is bounded by its own length: its callers pay for it. */
export function isLeaf(shape: FunctionShape): boolean {
  return shape.callees.size === 0 && !shape.callsIndirectly && !shape.loops
}

/**
 * Functions such that every cycle of calls passes through one of them: all that call indirectly (their callee may be anyone),
 * then the busiest function of each cycle that is left.
 */
export function cutSet(shapes: readonly FunctionShape[]): ReadonlySet<number> {
  const cut = new Set(shapes.flatMap((shape, index) => (shape.callsIndirectly ? [index] : [])))
  for (;;) {
    const cycles = onCycles(shapes, cut)
    if (cycles.size === 0) return cut
    cut.add(busiest(shapes, cycles))
  }
}

/** What remains of the functions outside `cut` after those that end no cycle and begin no cycle are taken away. */
function onCycles(shapes: readonly FunctionShape[], cut: ReadonlySet<number>): Set<number> {
  const live = new Set(shapes.keys())
  for (const index of cut) live.delete(index)
  pruneUntilStable(live, () => (index) => calleesAmong(shapes, index, live).length > 0)
  pruneUntilStable(live, () => {
    const called = new Set([...live].flatMap((index) => [...shapes[index]!.callees]))
    return (index) => called.has(index)
  })
  return live
}

function pruneUntilStable(live: Set<number>, makeKeep: () => (index: number) => boolean): void {
  for (let before = -1; before !== live.size; ) {
    before = live.size
    const keep = makeKeep()
    for (const index of live) if (!keep(index)) live.delete(index)
  }
}

function busiest(shapes: readonly FunctionShape[], cycles: ReadonlySet<number>): number {
  const degrees = new Map([...cycles].map((index) => [index, 0]))
  for (const index of cycles) {
    const callees = calleesAmong(shapes, index, cycles)
    if (callees.includes(index)) return index
    for (const callee of callees) degrees.set(callee, degrees.get(callee)! + 1)
    degrees.set(index, degrees.get(index)! + callees.length)
  }
  return [...degrees].reduce((best, next) => (next[1] > best[1] ? next : best))[0]
}

function calleesAmong(shapes: readonly FunctionShape[], index: number, among: ReadonlySet<number>): number[] {
  return [...shapes[index]!.callees].filter((callee) => among.has(callee))
}
