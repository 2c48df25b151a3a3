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
  let first = 0
  let size = 0
  let quotes = 0
  let texts: string[] = []
  let last: Line | undefined
  for await (const line of lines) {
    last = line
    const { number, digest } = line
    if (texts.length === 0) first = number
    if ('problem' in line) {
      const isLost = texts.length > 0
      yield { first, last: number, digest, problem: isLost ? unclosed(first) : line.problem, isLost }
      if (isLost) return
      continue
    }
    if (texts.length === 0 && line.text === '') continue
    texts.push(line.text)
    size += line.text.length
    quotes += count(line.text)
    if (quotes % 2 === 0) {
      yield { first, last: number, digest, ...split(texts.join('\n')) }
      texts = []
      size = 0
      quotes = 0
    } else if (size > LINE_LIMIT) {
      yield { first, last: number, digest, problem: unclosed(first), isLost: true }
      return
    }
  }
  if (texts.length > 0 && last) {
    yield { first, last: last.number, digest: last.digest, problem: unclosed(first), isLost: true }
  }
}

function unclosed(line: number): string {
  return `a quote that is opened in line ${line} is not closed; double quotes inside a cell: ""`
}

function split(text: string): { cells: readonly string[] } | { problem: string; isLost: boolean } {
  const cells: string[] = []
  for (let at = 0; ; ) {
    const cell = text[at] === '"' ? quoted(text, at + 1) : plain(text, at)
    if (typeof cell === 'string') return { problem: cell, isLost: false }
    cells.push(cell.value)
    if (cell.end === text.length) return { cells }
    at = cell.end + 1
  }
}

type Cell = { readonly value: string; readonly end: number }

function plain(text: string, start: number): Cell | string {
  const comma = text.indexOf(',', start)
  const end = comma < 0 ? text.length : comma
  const value = text.slice(start, end)
  return value.includes('"')
    ? 'a quote stands inside a cell without quotes; put the cell in quotes and double it'
    : { value, end }
}

function quoted(text: string, start: number): Cell | string {
  let value = ''
  for (let from = start; ; ) {
    const end = text.indexOf('"', from)
    if (end < 0) return 'a quote is not closed'
    value += text.slice(from, end)
    if (text[end + 1] !== '"') {
      const isEnd = end + 1 === text.length || text[end + 1] === ','
      return isEnd ? { value, end: end + 1 } : 'text follows a closing quote; double quotes inside a cell: ""'
    }
    value += '"'
    from = end + 2
  }
}

function count(text: string): number {
  let quotes = 0
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) quotes++
  return quotes
}
