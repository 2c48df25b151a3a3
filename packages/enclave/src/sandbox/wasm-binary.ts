/** Reads and writes the wasm binary format as far as the metering pass needs it: sections, LEB128 numbers, one instruction at a time. */

/** The instructions that the pass reads or writes, by their names in the specification. */
export const Op = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  brTable: 0x0e,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  selectTyped: 0x1c,
  localGet: 0x20,
  localSet: 0x21,
  globalGet: 0x23,
  globalSet: 0x24,
  tableSet: 0x26,
  firstMemoryAccess: 0x28,
  lastMemoryAccess: 0x3e,
  memorySize: 0x3f,
  memoryGrow: 0x40,
  i32Const: 0x41,
  i64Const: 0x42,
  f32Const: 0x43,
  f64Const: 0x44,
  i32GreaterSigned: 0x4a,
  i64LessSigned: 0x53,
  i32Add: 0x6a,
  i32Subtract: 0x6b,
  i32ShiftRightUnsigned: 0x76,
  i64Subtract: 0x7d,
  i64ExtendI32Unsigned: 0xad,
  lastSignExtension: 0xc4,
  refNull: 0xd0,
  refIsNull: 0xd1,
  refFunc: 0xd2,
  prefixed: 0xfc,
} as const

/** Second bytes of `Op.prefixed`. */
export const PrefixedOp = { lastSaturatingTruncation: 7, memoryCopy: 10, memoryFill: 11 } as const

export const ValueType = { i32: 0x7f, i64: 0x7e, empty: 0x40 } as const
export const SectionId = { type: 1, import: 2, function: 3, memory: 5, global: 6, export: 7, code: 10 } as const

const HEADER_BYTES = 8

/** A cursor over wasm bytes. */
export class WasmReader {
  at: number
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  get done(): boolean {
    return this.at >= this.bytes.length
  }

  byte(): number {
    const value = this.bytes[this.at++]
    if (value === undefined) throw new Error('wasm: unexpected end')
    return value
  }

  /** An unsigned LEB128 number of at most 32 bits. */
  unsigned(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw new Error('wasm: number too long')
  }

  /** Steps over one LEB128 number of any width. */
  skipNumber(): void {
    while (this.byte() >= 0x80);
  }

  take(length: number): Uint8Array {
    if (this.at + length > this.bytes.length) throw new Error('wasm: unexpected end')
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }
}

/** Bytes that grow as they are written. */
export class WasmWriter {
  #bytes: Uint8Array
  #length = 0

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity)
  }

  write(bytes: ArrayLike<number>): this {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
    return this
  }

  unsigned(value: number): this {
    return this.write(unsignedLeb(value))
  }

  /** A length followed by that many bytes. */
  vector(bytes: Uint8Array): this {
    return this.unsigned(bytes.length).write(bytes)
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length) as Uint8Array<ArrayBuffer>
  }

  #reserve(length: number): void {
    if (this.#length + length <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + length))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}

export type Section = { readonly id: number; readonly body: Uint8Array }

export function readSections(bytes: Uint8Array): Section[] {
  const reader = new WasmReader(bytes, HEADER_BYTES)
  const sections: Section[] = []
  while (!reader.done) {
    const id = reader.byte()
    sections.push({ id, body: reader.take(reader.unsigned()) })
  }
  return sections
}

/** A module of these sections; custom sections (names, debug data) are left out. */
export function writeSections(header: Uint8Array, sections: readonly Section[]): Uint8Array<ArrayBuffer> {
  const writer = new WasmWriter(1 << 20).write(header.subarray(0, HEADER_BYTES))
  for (const { id, body } of sections) if (id !== 0) writer.write([id]).vector(body)
  return writer.bytes()
}

/** One instruction: its opcode and the operand that the pass cares about (callee of `call`, second byte of a prefixed one). */
export type Instruction = { readonly op: number; readonly operand: number }

/**
 * Reads one instruction with its immediates. Throws on every opcode that the pass does not know (exceptions, tail calls, GC,
 * SIMD, threads, tables in bulk): what is not understood cannot be metered.
 */
export function readInstruction(reader: WasmReader): Instruction {
  const op = reader.byte()
  if (op === Op.call) return { op, operand: reader.unsigned() }
  if (op === Op.prefixed) return { op, operand: readPrefixed(reader) }
  skipImmediates(reader, op)
  return { op, operand: 0 }
}

function skipImmediates(reader: WasmReader, op: number): void {
  if (hasOneNumber(op)) return reader.skipNumber()
  if (hasTwoNumbers(op)) {
    reader.skipNumber()
    return reader.skipNumber()
  }
  if (op === Op.brTable) {
    for (let targets = reader.unsigned() + 1; targets > 0; targets--) reader.skipNumber()
  } else if (op === Op.selectTyped) reader.take(reader.unsigned())
  else if (op === Op.f32Const) reader.take(4)
  else if (op === Op.f64Const) reader.take(8)
  else if (op === Op.refNull) reader.take(1)
  else if (!hasNoImmediate(op)) throw new Error(`wasm: unknown opcode 0x${op.toString(16)}`)
}

function hasOneNumber(op: number): boolean {
  return (
    (op >= Op.block && op <= Op.if) ||
    op === Op.br ||
    op === Op.brIf ||
    (op >= Op.localGet && op <= Op.tableSet) ||
    op === Op.memorySize ||
    op === Op.memoryGrow ||
    op === Op.i32Const ||
    op === Op.i64Const ||
    op === Op.refFunc
  )
}

function hasTwoNumbers(op: number): boolean {
  return op === Op.callIndirect || (op >= Op.firstMemoryAccess && op <= Op.lastMemoryAccess)
}

/** unreachable, nop, else, end, return, drop, select, all arithmetic, ref.is_null */
function hasNoImmediate(op: number): boolean {
  return (
    op <= 0x01 ||
    op === 0x05 ||
    op === Op.end ||
    op === Op.return ||
    op === 0x1a ||
    op === 0x1b ||
    (op > Op.f64Const && op <= Op.lastSignExtension) ||
    op === Op.refIsNull
  )
}

function readPrefixed(reader: WasmReader): number {
  const second = reader.unsigned()
  if (second <= PrefixedOp.lastSaturatingTruncation) return second
  if (second === PrefixedOp.memoryCopy) reader.take(2)
  else if (second === PrefixedOp.memoryFill) reader.take(1)
  else throw new Error(`wasm: unknown opcode 0xfc ${second}`)
  return second
}

export function unsignedLeb(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; ) {
    const low = rest % 128
    rest = Math.floor(rest / 128)
    if (rest === 0) return [...bytes, low]
    bytes.push(low | 0x80)
  }
}

export function signedLeb(value: bigint | number): number[] {
  const bytes: number[] = []
  for (let rest = BigInt(value); ; ) {
    const low = Number(rest & 127n)
    rest >>= 7n
    const isLast = (rest === 0n && low < 0x40) || (rest === -1n && low >= 0x40)
    bytes.push(isLast ? low : low | 0x80)
    if (isLast) return bytes
  }
}
