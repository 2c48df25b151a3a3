/** The checker finds what is wrong: a history that was recorded on real processes holds, and each damage to it is named. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseHistory, Recorder, readHistory } from '../soak-kit/recorder.ts'
import { check } from './checker.ts'
import { figures } from './figures.ts'
import type { Held, Line, Seen, What } from './history.ts'

const BOUNDS = { anchors: ['anchor-1', 'anchor-2', 'anchor-3', 'anchor-4'], faults: 1 }
const RECORDED = parseHistory<What>(readFileSync(new URL('recorded.jsonl', import.meta.url), 'utf8'))
const PROPERTY_RUNS = 40

type Entry = Seen & Partial<Held>
type Asked = Extract<Line, { kind: 'invoke'; f: 'read' }>
type Told = Extract<Line, { kind: 'ok'; f: 'publish' }>

/** Changes the entries of answers; `asked` is the call that they answer. */
function answers(
  lines: readonly Line[],
  change: (entries: readonly Entry[], asked: Asked) => readonly Entry[],
): readonly Line[] {
  const calls = new Map<string, Asked>()
  return lines.map((line) => {
    const key = `${line.process}/${line.life}/${line.op}`
    if (line.f === 'read' && line.kind === 'invoke') calls.set(key, line)
    if (line.f !== 'read' || line.kind !== 'ok') return line
    return { ...line, entries: change(line.entries, calls.get(key)!) }
  })
}

/** Changes what is held, by some anchors, of the stream of a writer. */
function holdings(
  lines: readonly Line[],
  { anchors = BOUNDS.anchors, stream }: { anchors?: readonly string[]; stream: string },
  change: (entries: readonly Entry[]) => readonly Entry[],
): readonly Line[] {
  return answers(lines, (entries, { how, anchor, stream: of, subset }) =>
    how === 'held' && subset === undefined && of === stream && anchors.includes(anchor!) ? change(entries) : entries,
  )
}

function firstChanged(
  lines: readonly Line[],
  is: (line: Line) => boolean,
  change: (line: Line) => Line | undefined,
): readonly Line[] {
  const at = lines.findIndex(is)
  const changed = change(lines[at]!)
  return lines.flatMap((line, i) => (i !== at ? [line] : changed ? [changed] : []))
}

const isTold = (line: Line): line is Told => line.f === 'publish' && line.kind === 'ok'
const streamOf = (writer: string) =>
  RECORDED.find((line) => line.f === 'publish' && line.kind === 'invoke' && line.process === writer) as Line & {
    stream: string
  }
const SINGLE = streamOf('writer-single').stream
const BATCH = streamOf('writer-batch').stream
const without = (sequence: number) => (entries: readonly Entry[]) =>
  entries.filter((entry) => entry.sequence !== sequence)
const swapped = (entries: readonly Entry[], a: number, b: number) =>
  entries.map((entry) => {
    const to = entry.sequence === a ? b : entry.sequence === b ? a : entry.sequence
    return to === entry.sequence ? entry : { ...entry, sequence: to, at: to }
  })

function broken(lines: readonly Line[]): readonly string[] {
  return check(lines, BOUNDS)
    .filter(({ faults }) => faults.length > 0)
    .map(({ name }) => name)
}

/** Each damage with a word of every law that must name it. */
const DAMAGES: Readonly<Record<string, readonly [readonly string[], () => readonly Line[]]>> = {
  'an acknowledged entry is lost everywhere': [
    ['stands at its place'],
    () => {
      const last = RECORDED.filter(isTold)
        .filter(({ process }) => process === 'writer-single')
        .at(-1)!.sequence
      return answers(holdings(RECORDED, { stream: SINGLE }, without(last)), (entries, { stream, how }) =>
        stream === SINGLE && how !== 'held' ? without(last)(entries) : entries,
      ).map((line) =>
        line.f === 'head' && line.stream === SINGLE ? { ...line, sequence: last - 1, certified: last - 1 } : line,
      )
    },
  ],
  'an acknowledged entry is on two anchors only': [
    ['stands at its place', 'all anchors have the same'],
    () => holdings(RECORDED, { stream: SINGLE, anchors: ['anchor-1', 'anchor-3'] }, without(2)),
  ],
  'two entries changed places': [
    ['stands at its place', 'names the one before it', 'two UIDs'],
    () => holdings(RECORDED, { stream: SINGLE }, (entries) => swapped(entries, 2, 3)),
  ],
  'two entries changed places at one anchor': [
    ['names the one before it', 'two UIDs', 'all anchors have the same'],
    () => holdings(RECORDED, { stream: SINGLE, anchors: ['anchor-2'] }, (entries) => swapped(entries, 1, 2)),
  ],
  'an entry stands twice': [
    ['stands twice', 'without gap or double', 'all anchors have the same'],
    () =>
      holdings(RECORDED, { stream: BATCH }, (entries) => {
        const last = entries.at(-1)
        return last ? [...entries, { ...last, sequence: last.sequence + 1, at: last.at + 1 }] : entries
      }),
  ],
  'a line of a batch is missing': [
    ['without gap or double'],
    () => {
      const invoked = (line: Line) => line.f === 'publish' && line.kind === 'invoke' && line.line === 7
      return RECORDED.map((line) => (invoked(line) ? ({ ...line, line: 70 } as Line) : line))
    },
  ],
  'one answer shows other bytes': [
    ['altered'],
    () => {
      let done = false
      return answers(RECORDED, (entries, { how }) => {
        if (how !== 'page' || done || entries.length === 0) return entries
        done = true
        return [{ ...entries[0]!, digest: 'other' }, ...entries.slice(1)]
      })
    },
  ],
  'another body stands where one was acknowledged': [
    ['stands at its place', 'altered', 'nobody published'],
    () =>
      holdings(RECORDED, { stream: SINGLE }, (entries) =>
        entries.map((entry) => (entry.sequence === 3 ? { ...entry, body: 'other' } : entry)),
      ),
  ],
  'a receipt names a second UID': [
    ['two UIDs', 'stands at its place'],
    () =>
      firstChanged(
        RECORDED,
        (line) => isTold(line) && line.uid !== undefined,
        (line) => ({ ...line, uid: '0xother' }) as Line,
      ),
  ],
  'a subscription shows a second UID': [
    ['two UIDs'],
    () =>
      answers(RECORDED, (entries, { how }) =>
        how === 'live'
          ? entries.map((entry) => (entry.sequence === 2 ? { ...entry, uid: '0xother' } : entry))
          : entries,
      ),
  ],
  'a receipt has too few signatures': [
    ['signed by 2f + 1'],
    () =>
      firstChanged(
        RECORDED,
        (line) => isTold(line) && line.signers !== undefined,
        (line) => ({ ...line, signers: 2 }) as Line,
      ),
  ],
  'a reader never gets an entry': [
    ['without gap', 'come to the end'],
    () =>
      firstChanged(
        RECORDED,
        (line) => line.process === 'reader-live' && line.f === 'read' && line.kind === 'ok',
        () => undefined,
      ),
  ],
  'a reader gets an entry twice': [
    ['without gap'],
    () => {
      const at = RECORDED.findIndex(
        (line) => line.process === 'reader-events' && line.f === 'read' && line.kind === 'ok',
      )
      return [...RECORDED.slice(0, at), RECORDED[at]!, ...RECORDED.slice(at)]
    },
  ],
  'a reader gets two entries in the wrong order': [
    ['without gap'],
    () => answers(RECORDED, (entries, { how }) => (how === 'page' ? [...entries].reverse() : entries)),
  ],
  'a reader goes on from another cursor than it had': [
    ['without gap'],
    () => {
      const calls = (line: Line) =>
        line.f === 'read' && line.kind === 'invoke' && line.reader !== undefined && line.after > 0
      return firstChanged(RECORDED, calls, (line) => ({ ...line, after: (line as Asked).after + 1 }) as Line)
    },
  ],
  'what was refused is there': [
    ['that was refused'],
    () =>
      firstChanged(
        RECORDED,
        isTold,
        (line) => ({ ...line, kind: 'fail', code: 'attestation.expired' }) as unknown as Line,
      ),
  ],
  'what nobody published is there': [
    ['nobody published'],
    () => {
      const one = RECORDED.find((line) => line.f === 'publish' && line.process === 'writer-single')!
      return RECORDED.filter(
        ({ process, life, op, f }) => f !== 'publish' || process !== one.process || life !== one.life || op !== one.op,
      )
    },
  ],
  'what was acknowledged first stands behind what was published after it': [
    ['in which its issuer published'],
    () => {
      const exchange = (sequence: number) => (sequence === 1 ? 4 : sequence === 4 ? 1 : sequence)
      return holdings(RECORDED, { stream: SINGLE }, (entries) => swapped(entries, 1, 4)).map((line) =>
        isTold(line) && line.process === 'writer-single' ? { ...line, sequence: exchange(line.sequence) } : line,
      )
    },
  ],
  'a subset lacks an entry that its stream has': [
    ['subsets are whole'],
    () =>
      answers(RECORDED, (entries, { how, subset, anchor }) =>
        how === 'held' && subset && anchor === 'anchor-3' ? entries.slice(1) : entries,
      ),
  ],
  'the chain of a subset is broken': [
    ['names the one before it'],
    () =>
      holdings(RECORDED, { stream: BATCH, anchors: ['anchor-4'] }, (entries) =>
        entries.map((entry) => (entry.sequence === 9 ? { ...entry, subPrevious: '0xother' } : entry)),
      ),
  ],
  'an anchor never hears of the last receipt': [
    ['all anchors have the same'],
    () =>
      firstChanged(
        RECORDED,
        (line) => line.f === 'head',
        (line) => ({ ...line, certified: (line as { certified: number }).certified - 1 }) as Line,
      ),
  ],
  'a service node misses an entry': [
    ['on service nodes'],
    () =>
      firstChanged(
        RECORDED,
        (line) => line.f === 'followed',
        (line) => ({ ...line, after: 1_000 }) as Line,
      ),
  ],
  'an anchor did not come back': [
    ['whole again'],
    () =>
      firstChanged(
        RECORDED,
        (line) => line.f === 'fault' && line.kind === 'ok',
        (line) => ({ ...line, kind: 'fail' }) as Line,
      ),
  ],
  'somebody saw an answer that cannot be': [
    ['contradicts itself'],
    () => [
      ...RECORDED,
      { ...RECORDED[0]!, kind: 'info', f: 'wrong', detail: 'a signature that does not hold' } as Line,
    ],
  ],
}

describe('the checker', () => {
  it('finds nothing in what was recorded', () => {
    expect(broken(RECORDED)).toEqual([])
    expect(figures(RECORDED).published.acknowledged).toBeGreaterThan(40)
  })

  it.each(Object.entries(DAMAGES))('sees that %s', (_, [laws, damage]) => {
    const found = broken(damage())
    for (const law of laws)
      expect(
        found.some((name) => name.includes(law)),
        `${law} in ${found.join('; ')}`,
      ).toBe(true)
  })

  it('holds that a history without anything in it proves nothing', () => {
    expect(broken([])).toHaveLength(check([], BOUNDS).length)
  })

  it('does not hold against anybody that a publisher was never answered', () => {
    const silent = RECORDED.filter((line) => !isTold(line) || line.sequence % 3 !== 0)
    expect(silent.length).toBeLessThan(RECORDED.length)
    expect(broken(silent)).toEqual([])
  })

  it('finds any acknowledged entry that f + 1 anchors lack, and none that f lack', () => {
    const told = RECORDED.filter(isTold)
    fc.assert(
      fc.property(fc.nat(told.length - 1), fc.shuffledSubarray(BOUNDS.anchors, { minLength: 1 }), (at, anchors) => {
        const { process, sequence } = told[at]!
        const stream = streamOf(process).stream
        const lost = broken(holdings(RECORDED, { stream, anchors }, without(sequence))).some((name) =>
          name.includes('stands at its place'),
        )
        return lost === anchors.length > BOUNDS.faults
      }),
      { numRuns: PROPERTY_RUNS },
    )
  })

  it('finds any entry that one answer shows with another UID', () => {
    const shown = RECORDED.filter((line) => line.f === 'read' && line.kind === 'ok' && line.entries.length > 0)
    fc.assert(
      fc.property(fc.nat(shown.length - 1), fc.nat(), (at, which) => {
        const { entries } = shown[at] as { entries: readonly Seen[] }
        const changed = entries.map((entry, i) => (i === which % entries.length ? { ...entry, uid: '0xother' } : entry))
        const lines = RECORDED.map((line) => (line === shown[at] ? ({ ...line, entries: changed } as Line) : line))
        return broken(lines).some((name) => name.includes('two UIDs'))
      }),
      { numRuns: PROPERTY_RUNS },
    )
  })
})

describe('a history', () => {
  it('that a kill tore goes on behind its last whole line', () => {
    const folder = mkdtempSync(join(tmpdir(), 'soak-history-'))
    const first = new Recorder<What>(folder, 'writer', 1)
    first.invoke({ kind: 'invoke', f: 'publish', stream: '0x1', subset: 'a', body: 'b' })
    writeFileSync(join(folder, 'writer.jsonl'), '{"process":"writer","li', { flag: 'a' })
    const second = new Recorder<What>(folder, 'writer', 2)
    second.close()
    expect(readHistory<What>(folder).map(({ life, f }) => `${life} ${f}`)).toEqual([
      '1 life',
      '1 publish',
      '2 life',
      '2 life',
    ])
    rmSync(folder, { recursive: true })
  })
})
