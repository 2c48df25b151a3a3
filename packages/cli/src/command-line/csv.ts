/** CSV as RFC 4180 has it: cells in quotes may hold commas, quotes and line ends; anything else out of place is refused. */
import { LINE_LIMIT, type Line } from './lines.ts'

/** One record with the lines that it takes, or why it is none. After `isLost` nobody can say where the next one begins. */
export type CsvRecord = {
  readonly first: number
  readonly last: number
  readonly digest: () => string
} & ({ readonly cells: readonly string[] } | { readonly problem: string; readonly isLost: boolean })

/** The records of these lines; empty lines between them are left out. */
export async function* recordsOf(lines: AsyncIterable<Line>): AsyncGenerator<CsvRecord, void, undefined> {
  let open: OpenRecord | undefined
  let last: Line | undefined
  for await (const line of lines) {
    last = line
    const { number, digest } = line
    const place = { first: open?.first ?? number, last: number, digest }
    if ('problem' in line) {
      yield { ...place, problem: open ? unclosed(open) : line.problem, isLost: open !== undefined }
      if (open) return
      continue
    }
    if (!open && line.text === '') continue
    const record: OpenRecord = open ?? { first: number, cells: [], cell: undefined, size: 0 }
    const problem = readLine(record, line.text)
    open = record.cell === undefined || problem !== undefined ? undefined : record
    if (problem !== undefined) yield { ...place, problem, isLost: false }
    else if (!open) yield { ...place, cells: record.cells }
    else if (open.size > LINE_LIMIT) {
      yield { ...place, problem: unclosed(open), isLost: true }
      return
    }
  }
  if (open && last)
    yield { first: open.first, last: last.number, digest: last.digest, problem: unclosed(open), isLost: true }
}

/** A record whose last cell may go on in the next line. */
type OpenRecord = { readonly first: number; readonly cells: string[]; cell: string[] | undefined; size: number }

/** Reads a line into its record. Returns why it cannot. */
function readLine(record: OpenRecord, text: string): string | undefined {
  record.size += text.length + 1
  let at = 0
  if (record.cell) record.cell.push('\n')
  for (;;) {
    if (!record.cell && text[at] === '"') {
      record.cell = []
      at++
    }
    if (record.cell) {
      const end = readQuoted(record.cell, text, at)
      if (end < 0) return undefined // goes on in the next line
      record.cells.push(record.cell.join(''))
      record.cell = undefined
      at = end
      if (at < text.length && text[at] !== ',') return 'text follows a closing quote; double quotes inside a cell: ""'
    } else {
      const comma = text.indexOf(',', at)
      const end = comma < 0 ? text.length : comma
      const cell = text.slice(at, end)
      if (cell.includes('"')) return 'a quote stands inside a cell without quotes; put the cell in quotes and double it'
      record.cells.push(cell)
      at = end
    }
    if (at === text.length) return undefined
    at++
  }
}

/** Reads up to the closing quote and returns the place after it, or -1 when the line ends before. */
function readQuoted(cell: string[], text: string, start: number): number {
  for (let from = start; ; ) {
    const end = text.indexOf('"', from)
    cell.push(text.slice(from, end < 0 ? text.length : end))
    if (end < 0 || text[end + 1] !== '"') return end < 0 ? -1 : end + 1
    cell.push('"')
    from = end + 2
  }
}

function unclosed({ first }: OpenRecord): string {
  return `a quote that is opened in line ${first} is not closed; double quotes inside a cell: ""`
}
