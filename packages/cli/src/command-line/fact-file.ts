/** Facts in a file: one JSON object a line, or the rows of a CSV table (docs/publishing.md). */
import { SmartLayerError } from '@smartlayer/protocol'
import type { FactParameters } from '@smartlayer/sdk'
import { recordsOf } from './csv.ts'
import { linesOf } from './lines.ts'

/** A fact with the lines it takes, or why they hold none. After `isLost` nothing of the file can be read. */
export type FactLine = {
  readonly first: number
  readonly last: number
  readonly digest: () => string
} & ({ readonly fact: FactParameters } | { readonly problem: string; readonly isLost: boolean })

const FORMATS = ['jsonl', 'csv'] as const
const TYPES = ['text', 'number', 'boolean', 'json'] as const
type Format = (typeof FORMATS)[number]
type CellType = (typeof TYPES)[number]

export type FactFile = {
  readonly path: string
  readonly format: Format
  /** `flight-status/{flight}/{date}`: columns make the subset. */
  readonly template: string | undefined
  readonly types: ReadonlyMap<string, CellType>
}

/** Decimal digits that a number of JSON keeps for certain. */
const EXACT_DIGITS = 15
const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const MEMBERS = ['subset', 'body', 'lifeS']

/** What the flags say of a file. Throws `cli.usage`. */
export function factFile(
  path: string,
  { format, subsetTemplate, types }: { format?: string; subsetTemplate?: string; types?: string },
): FactFile {
  if (path === '-') usage('--file takes a file, which can be read again, not standard input')
  const named = format ?? /\.(?:csv|jsonl|ndjson)$/i.exec(path)?.[0].toLowerCase() ?? ''
  const known = named.endsWith('csv') ? 'csv' : /jsonl$|ndjson$/.test(named) ? 'jsonl' : undefined
  if (!known || (format !== undefined && !FORMATS.includes(format as Format))) {
    usage('the format of --file is not known from its name; say --format jsonl or --format csv')
  }
  if (known === 'jsonl' && (subsetTemplate ?? types) !== undefined) usage('--subset-template and --types are for CSV')
  return { path, format: known, template: subsetTemplate, types: typesOf(types) }
}

/** The facts of a file in order. Throws `file.unreadable`, or `file.bad_line` for a table whose header cannot be used. */
export function factsOf(file: FactFile): AsyncGenerator<FactLine, void, undefined> {
  return file.format === 'csv' ? rowsOf(file) : objectsOf(file)
}

async function* objectsOf({ path }: FactFile): AsyncGenerator<FactLine, void, undefined> {
  for await (const line of linesOf(path)) {
    const { number, digest } = line
    const place = { first: number, last: number, digest }
    if ('problem' in line) yield { ...place, problem: line.problem, isLost: false }
    else if (line.text.trim() !== '') yield { ...place, ...objectOf(line.text) }
  }
}

type Read = { readonly fact: FactParameters } | { readonly problem: string; readonly isLost: false }

function objectOf(text: string): Read {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return bad(`it is not JSON (${error instanceof Error ? error.message.slice(0, 120) : 'no reason'})`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return bad('expected an object {"subset": …, "body": …}')
  }
  const { subset, body, lifeS } = value as { subset?: unknown; body?: unknown; lifeS?: unknown }
  const stranger = Object.keys(value).find((key) => !MEMBERS.includes(key))
  if (stranger !== undefined) return bad(`member "${stranger.slice(0, 64)}" is none of subset, body and lifeS`)
  if (typeof subset !== 'string') return bad('"subset" must be text')
  if (body === undefined) return bad('"body" is missing')
  return withLife({ subset, body }, lifeS === undefined ? undefined : String(lifeS))
}

async function* rowsOf({ path, template, types }: FactFile): AsyncGenerator<FactLine, void, undefined> {
  let header: Header | undefined
  for await (const row of recordsOf(linesOf(path))) {
    const { first, last, digest } = row
    const place = { first, last, digest }
    if ('problem' in row) yield { ...place, problem: row.problem, isLost: row.isLost || !header }
    else if (header) yield { ...place, ...factOf(row.cells, header, types) }
    else {
      const made = headerOf(row.cells, template, types)
      if (typeof made === 'string')
        throw SmartLayerError.of('file.bad_line', { path, line: first, problem: made, more: 0 })
      header = made
    }
  }
}

type Header = {
  readonly columns: readonly string[]
  /** Literal text and names of columns, by turns. */
  readonly subset: readonly string[]
  readonly body: readonly number[]
}

function headerOf(
  columns: readonly string[],
  template: string | undefined,
  types: ReadonlyMap<string, CellType>,
): Header | string {
  const [only] = columns
  if (columns.length === 1 && /[;\t|]/.test(only!))
    return 'there is no comma in it, and columns are separated by commas'
  if (columns.some((column) => column === '')) return 'a column has no name'
  const twice = columns.find((column, i) => columns.indexOf(column) < i)
  if (twice !== undefined) return `column "${twice}" is named twice`
  if (template === undefined && !columns.includes('subset')) {
    return 'there is no column "subset"; name one so, or give --subset-template'
  }
  const subset = (template ?? '{subset}').split(/[{}]/)
  const used = subset.filter((_, i) => i % 2 === 1)
  const stranger = [...used, ...types.keys()].find((column) => !columns.includes(column))
  if (stranger !== undefined || subset.length % 2 === 0) return `there is no column "${stranger ?? ''}"`
  const body = columns.flatMap((column, i) => (used.includes(column) || column === 'lifeS' ? [] : [i]))
  return body.length > 0 ? { columns, subset, body } : 'no column is left for the body'
}

function factOf(cells: readonly string[], header: Header, types: ReadonlyMap<string, CellType>): Read {
  const { columns, subset, body } = header
  if (cells.length !== columns.length) return bad(`it has ${cells.length} cells, the header ${columns.length}`)
  const cellOf = (column: string) => cells[columns.indexOf(column)] ?? ''
  const empty = subset.find((part, i) => i % 2 === 1 && cellOf(part) === '')
  if (empty !== undefined) return bad(`column "${empty}" is empty, and the subset needs it`)
  const members: [string, unknown][] = []
  for (const i of body) {
    const value = cellValue(cells[i]!, types.get(columns[i]!))
    if ('problem' in value) return bad(`column "${columns[i]}": ${value.problem}`)
    if (value.value !== undefined) members.push([columns[i]!, value.value])
  }
  const key = subset.map((part, i) => (i % 2 === 1 ? cellOf(part) : part)).join('')
  const lifeS = cellOf('lifeS')
  return withLife({ subset: key, body: Object.fromEntries(members) }, lifeS === '' ? undefined : lifeS)
}

/** The value of a cell. Without a type: a number or a boolean where it reads as one, left out when empty, text otherwise. */
function cellValue(cell: string, type: CellType | undefined): { value: unknown } | { problem: string } {
  if (type === 'text') return { value: cell }
  if (cell === '') return type ? { problem: `it is empty, not ${type}` } : { value: undefined }
  if (type === 'json') return jsonOf(cell)
  if (cell === 'true' || cell === 'false') {
    return type === 'number' ? { problem: `"${cell}" is no number` } : { value: cell === 'true' }
  }
  if (type === 'boolean') return { problem: `"${shorten(cell)}" is neither true nor false` }
  if (!JSON_NUMBER.test(cell)) return type ? { problem: `"${shorten(cell)}" is no number` } : { value: cell }
  const value = Number(cell)
  const digits = cell
    .replace(/[eE].*$/, '')
    .replace(/\D/g, '')
    .replace(/^0+/, '').length
  if (Number.isFinite(value) && digits <= EXACT_DIGITS) return { value }
  return { problem: `${shorten(cell)} has more digits than a number keeps; give the column the type text` }
}

function jsonOf(cell: string): { value: unknown } | { problem: string } {
  try {
    return { value: JSON.parse(cell) }
  } catch {
    return { problem: `"${shorten(cell)}" is not JSON` }
  }
}

function withLife(fact: FactParameters, lifeS: string | undefined): Read {
  if (lifeS === undefined) return { fact }
  if (!/^[1-9]\d{0,9}$/.test(lifeS)) return bad('"lifeS" must be a whole number of seconds')
  return { fact: { ...fact, lifeS: BigInt(lifeS) } }
}

function typesOf(text: string | undefined): ReadonlyMap<string, CellType> {
  const pairs = (text ?? '').split(',').filter((pair) => pair !== '')
  return new Map(
    pairs.map((pair) => {
      const at = pair.lastIndexOf('=')
      const type = pair.slice(at + 1) as CellType
      if (at < 1 || !TYPES.includes(type)) usage(`--types takes COLUMN=TYPE, with TYPE one of ${TYPES.join(', ')}`)
      return [pair.slice(0, at), type]
    }),
  )
}

function bad(problem: string): { problem: string; isLost: false } {
  return { problem, isLost: false }
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}

function usage(detail: string): never {
  throw SmartLayerError.of('cli.usage', { detail })
}
