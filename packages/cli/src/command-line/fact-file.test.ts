import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isSmartLayerError } from '@smartlayer/protocol'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FactLine, factFile, factsOf } from './fact-file.ts'
import { LINE_LIMIT, linesOf } from './lines.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fact-file-test-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

async function read(
  name: string,
  content: string | Uint8Array,
  options: Parameters<typeof factFile>[1] = {},
): Promise<readonly FactLine[]> {
  const path = join(folder, name)
  writeFileSync(path, content)
  const lines: FactLine[] = []
  for await (const line of factsOf(factFile(path, options))) lines.push(line)
  return lines
}

const facts = (lines: readonly FactLine[]) => lines.map((line) => ('fact' in line ? line.fact : line.problem))

async function codeOf(doing: () => Promise<unknown>): Promise<string> {
  try {
    await doing()
  } catch (error) {
    return isSmartLayerError(error) ? error.code : String(error)
  }
  return 'nothing was thrown'
}

describe('JSON lines', () => {
  it('are facts, with or without a life; blank lines, CRLF and a byte order mark do not matter', async () => {
    const content = '\ufeff{"subset":"a","body":{"n":1}}\r\n\r\n  \n{"subset":"b","body":[2],"lifeS":60}'
    const lines = await read('f.jsonl', content)
    expect(facts(lines)).toEqual([
      { subset: 'a', body: { n: 1 } },
      { subset: 'b', body: [2], lifeS: 60n },
    ])
    expect(lines.map(({ first, last }) => [first, last])).toEqual([
      [1, 1],
      [4, 4],
    ])
  })

  it.each([
    ['no JSON', '{"subset":', /not JSON/],
    ['no object', '[1]', /expected an object/],
    ['no subset', '{"body":1}', /"subset" must be text/],
    ['no body', '{"subset":"a"}', /"body" is missing/],
    ['another member', '{"subset":"a","body":1,"delay":3}', /"delay" is none of/],
    ['half a second', '{"subset":"a","body":1,"lifeS":0.5}', /whole number of seconds/],
    ['a NUL byte', '{"subset":"a","body":"\u0000"}', /NUL/],
  ])('with %s are bad, and the next one is read', async (_, bad, problem) => {
    const [first, second] = facts(await read('f.jsonl', `${bad}\n{"subset":"b","body":1}\n`))
    expect(first).toMatch(problem)
    expect(second).toEqual({ subset: 'b', body: 1 })
  })

  it('that are not UTF-8, or endless, are bad and cost no memory', async () => {
    const huge = Buffer.alloc(3 * LINE_LIMIT, 'x')
    const content = Buffer.concat([Buffer.from([0xff, 0xfe, 10]), huge, Buffer.from('\n{"subset":"b","body":1}')])
    const [notText, endless, good] = facts(await read('f.jsonl', content))
    expect(notText).toMatch(/not UTF-8/)
    expect(endless).toMatch(/longer than/)
    expect(good).toEqual({ subset: 'b', body: 1 })
  })

  it('have digests that change with any byte before them', async () => {
    const digests = async (content: string) => {
      writeFileSync(join(folder, 'lines'), content)
      const all: string[] = []
      for await (const line of linesOf(join(folder, 'lines'))) all.push(line.digest())
      return all
    }
    const [a, b] = [await digests('one\ntwo\nthree\n'), await digests('one\ntWo\nthree\n')]
    expect([a[0] === b[0], a[1] === b[1], a[2] === b[2]]).toEqual([true, false, false])
    expect((await digests('one\ntwo\nthree\nfour\n')).slice(0, 3)).toEqual(a)
  })
})

describe('CSV', () => {
  const template = 'flight-status/{flight}/{date}'

  it('makes the subset from a column or a template, and the body from the others', async () => {
    const [own] = facts(await read('f.csv', 'subset,delay,late,note\nLH454,95,true,fog\n'))
    expect(own).toEqual({ subset: 'LH454', body: { delay: 95, late: true, note: 'fog' } })
    const csv = 'flight,date,delayMinutes,lifeS\nLH454,2026-11-12,180,3600\n'
    const [made] = facts(await read('f.csv', csv, { subsetTemplate: template }))
    expect(made).toEqual({ subset: 'flight-status/LH454/2026-11-12', body: { delayMinutes: 180 }, lifeS: 3600n })
  })

  it('reads quotes, doubled quotes, commas and line ends inside cells', async () => {
    const csv = 'subset,text,n\r\n"a ""b"", c","first\r\nsecond",1\r\nd,"",2\r\n'
    const lines = await read('f.csv', csv)
    expect(facts(lines)).toEqual([
      { subset: 'a "b", c', body: { text: 'first\nsecond', n: 1 } },
      { subset: 'd', body: { n: 2 } },
    ])
    expect(lines.map(({ first, last }) => [first, last])).toEqual([
      [2, 3],
      [4, 4],
    ])
  })

  it('keeps text as text where a number would change it, and leaves empty cells out', async () => {
    const [fact] = facts(await read('f.csv', 'subset,code,empty,exp,minus\na,007,,1e3,-0.5\n'))
    expect(fact).toEqual({ subset: 'a', body: { code: '007', exp: 1000, minus: -0.5 } })
    const [refused] = facts(await read('f.csv', 'subset,id\na,12345678901234567890\n'))
    expect(refused).toMatch(/more digits than a number keeps/)
    const [typed] = facts(await read('f.csv', 'subset,id\na,12345678901234567890\n', { types: 'id=text' }))
    expect(typed).toEqual({ subset: 'a', body: { id: '12345678901234567890' } })
  })

  it('takes the types it is told', async () => {
    const types = 'a=text,b=number,c=boolean,d=json'
    const csv = 'subset,a,b,c,d\ns,1,2,true,"{""x"":[1]}"\ns,,x,yes,{\ns,,2,yes,1\ns,,2,true,{\n'
    expect(facts(await read('f.csv', csv, { types }))).toEqual([
      { subset: 's', body: { a: '1', b: 2, c: true, d: { x: [1] } } },
      'column "b": "x" is no number',
      'column "c": "yes" is neither true nor false',
      'column "d": "{" is not JSON',
    ])
  })

  it.each([
    ['too few cells', 'a\n', /it has 1 cells, the header 2/],
    ['too many cells', 'a,1,2\n', /it has 3 cells, the header 2/],
    ['a quote in the middle', 'a,b"c\n', /a quote stands inside/],
    ['text after a quote', '"a"b,1\n', /text follows a closing quote|is not closed/],
    ['no subset', ',1\n', /column "subset" is empty/],
  ])('with %s is bad', async (_, row, problem) => {
    expect(facts(await read('f.csv', `subset,n\n${row}`))[0]).toMatch(problem)
  })

  it.each([
    ['at the end of the file', 'subset,n\na,"1\nb,2\n'],
    ['for longer than a record may be', `subset,n\na,"${'x\n'.repeat(LINE_LIMIT)}`],
  ])('whose quote is not closed %s ends there: nobody can say where the next row begins', async (_, csv) => {
    const lines = await read('f.csv', csv)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatchObject({ first: 2, isLost: true })
  })

  it.each([
    ['no subset', 'a,b\n1,2\n', {}],
    ['a column twice', 'subset,n,n\na,1,2\n', {}],
    ['a column without name', 'subset,,n\na,1,2\n', {}],
    ['nothing for the body', 'subset\na\n', {}],
    ['a column of the template that is not there', 'flight,n\na,1\n', { subsetTemplate: template }],
    ['a type for a column that is not there', 'subset,n\na,1\n', { types: 'm=text' }],
  ])('with %s in its header is refused', async (_, csv, options) => {
    expect(await codeOf(() => read('f.csv', csv, options))).toBe('file.bad_line')
  })

  it('and JSON lines end, whatever is in them', async () => {
    const bytes = fc.array(fc.constantFrom(...'",\n\r{}[]:ab1 \u0000\ufeff'.split('')), { maxLength: 200 })
    await fc.assert(
      fc.asyncProperty(bytes, fc.constantFrom('f.csv', 'f.jsonl'), async (text, name) => {
        const code = await codeOf(() => read(name, `subset,n\n${text.join('')}`))
        expect(['nothing was thrown', 'file.bad_line']).toContain(code)
      }),
      { numRuns: 500 },
    )
  })
})

it('knows the format by the name of the file, or is told', async () => {
  expect(await codeOf(() => read('f.txt', '', {}))).toBe('cli.usage')
  expect(await codeOf(() => read('f.txt', '', { format: 'csv' }))).toBe('nothing was thrown')
  expect(await codeOf(() => read('f.txt', '', { format: 'xml' }))).toBe('cli.usage')
  expect(await codeOf(() => read('f.jsonl', '', { types: 'a=text' }))).toBe('cli.usage')
  expect(await codeOf(async () => factFile('-', { format: 'csv' }))).toBe('cli.usage')
})
