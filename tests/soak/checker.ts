/** Judges the histories of a soak: a pure function from what everybody wrote down to what does not hold. */
import { type Finding, judge, type Law } from '../soak-kit/verdict.ts'
import type { Acknowledged, Followed, Head, Held, Line, Publish, Read, Seen } from './history.ts'

/** `faults` is how many anchors may be lost or wrong at a time. */
export type Bounds = { readonly anchors: readonly string[]; readonly faults: number }

type Publication = Publish & {
  readonly who: string
  readonly process: string
  readonly life: number
  readonly op: number
  readonly invokedAt: number
  endedAt: number
  /** `open`: nobody was told, so it may be there or not. */
  end: 'ok' | 'fail' | 'open'
  acknowledged: Acknowledged | undefined
}
type Reading = Read & { readonly who: string; readonly process: string; readonly entries: (Seen | Held)[] }
type Played = Extract<Line, { f: 'fault'; kind: 'ok' | 'fail' }>
type Mention = Seen & { readonly stream: string; readonly who: string }

/** What the laws look at. */
type World = {
  readonly bounds: Bounds
  readonly publications: readonly Publication[]
  readonly readings: readonly Reading[]
  readonly heads: readonly Head[]
  readonly followed: readonly Followed[]
  readonly wrong: readonly string[]
  /** What was done to the network, and what became of it. */
  readonly played: readonly Played[]
  /** What each anchor has in the end: stream, anchor, entries in order. */
  readonly held: ReadonlyMap<string, ReadonlyMap<string, readonly Held[]>>
  /** For each stream, what most anchors have at each place. */
  readonly log: ReadonlyMap<string, ReadonlyMap<number, Held>>
}

const LAWS: Readonly<Record<string, Law<World>>> = {
  'every acknowledged entry stands at its place on 2f + 1 anchors': kept,
  'every receipt was signed by 2f + 1 home anchors': receipted,
  'no place ever had two UIDs, in any answer': oneEntryAPlace,
  'no entry was ever altered: same bytes in every answer, the body that was published': unaltered,
  'readers get what follows their cursor, without gap, repetition or disorder': readInOrder,
  'readers that go on from a cursor come to the end': readToTheEnd,
  'no fact stands twice, none that was refused, none that nobody published': once,
  'the order of a stream is that in which its issuer published': ordered,
  'a batch goes on without gap or double through every crash': linesInOrder,
  'each entry names the one before it, in its stream and in its subset': chained,
  'subsets are whole: what an anchor gives of one is what its stream has of it': subsetsWhole,
  'all anchors have the same, and all of it has its receipt': agreed,
  'instances on service nodes have all of the subsets that they follow': followed,
  'the network became whole again after each fault': healed,
  'no answer contradicts itself': (world) => ({ looked: world.readings.length, faults: world.wrong }),
}

export function check(lines: readonly Line[], bounds: Bounds): readonly Finding[] {
  return judge(worldOf(lines, bounds), LAWS)
}

// --- laws ---

function kept({ publications, held, bounds }: World) {
  const acknowledged = publications.filter(({ end }) => end === 'ok')
  const needed = bounds.anchors.length - bounds.faults
  const faults = acknowledged.flatMap(({ who, stream, body, acknowledged: told }) => {
    const { sequence, uid } = told!
    const holders = [...(held.get(stream) ?? new Map<string, readonly Held[]>())].filter(([, entries]) => {
      const entry = at(entries, sequence)
      return entry && entry.body === body && (uid === undefined || entry.uid === uid)
    })
    if (holders.length >= needed) return []
    return [`${who}: acknowledged at ${sequence} of ${short(stream)}, and on ${holders.length} anchors`]
  })
  return { looked: acknowledged.length, faults }
}

function receipted({ publications, bounds }: World) {
  const needed = bounds.anchors.length - bounds.faults
  const shown = publications.filter(({ acknowledged }) => acknowledged?.signers !== undefined)
  const faults = shown
    .filter(({ acknowledged }) => acknowledged!.signers! < needed)
    .map(({ who, acknowledged }) => `${who}: a receipt with ${acknowledged!.signers} signatures that hold`)
  return { looked: shown.length, faults }
}

function oneEntryAPlace(world: World) {
  const first = new Map<string, Mention>()
  const faults: string[] = []
  let looked = 0
  for (const mention of mentions(world)) {
    looked++
    const place = `${mention.stream}/${mention.sequence}`
    const known = first.get(place)
    if (!known) first.set(place, mention)
    else if (known.uid !== mention.uid) {
      faults.push(
        `${mention.sequence} of ${short(mention.stream)} is ${short(known.uid)} (${known.who}) and ${short(mention.uid)} (${mention.who})`,
      )
    }
  }
  return { looked, faults }
}

function unaltered(world: World) {
  const digests = new Map<string, Mention>()
  const faults: string[] = []
  let looked = 0
  for (const mention of mentions(world)) {
    looked++
    const known = digests.get(mention.uid)
    if (!known) digests.set(mention.uid, mention)
    else if (known.digest !== mention.digest) {
      faults.push(`${short(mention.uid)} has other bytes for ${mention.who} than for ${known.who}`)
    }
  }
  for (const { end, stream, body, who, acknowledged } of world.publications) {
    const there = end === 'ok' ? world.log.get(stream)?.get(acknowledged!.sequence) : undefined
    if (there && there.body !== body) faults.push(`${who}: another body stands at ${acknowledged!.sequence}`)
  }
  return { looked, faults }
}

function readInOrder({ readings }: World) {
  const cursors = new Map<string, number>()
  const faults: string[] = []
  let looked = 0
  for (const { who, reader, process, stream, subset, after, entries } of readings) {
    const key = `${process}/${reader}`
    const before = reader === undefined ? after : (cursors.get(key) ?? 0)
    if (after !== before) faults.push(`${who} goes on after ${after} and had come to ${before}`)
    let cursor = after
    let sequence = 0
    for (const entry of entries) {
      looked++
      const isNext = entry.at === cursor + 1 && entry.sequence > sequence
      const isInPlace = subset !== undefined || entry.at === entry.sequence
      if (!isNext || !isInPlace) faults.push(`${who} gets ${entry.at} after ${cursor} of ${short(subset ?? stream)}`)
      cursor = entry.at
      sequence = entry.sequence
    }
    if (reader !== undefined) cursors.set(key, cursor)
  }
  return { looked, faults }
}

function readToTheEnd({ readings, log }: World) {
  const ends = new Map<string, { readonly reading: Reading; readonly seen: Map<number, string> }>()
  for (const reading of readings) {
    if (reading.reader === undefined) continue
    const key = `${reading.process}/${reading.reader}`
    const end = ends.get(key) ?? { reading, seen: new Map<number, string>() }
    for (const { sequence, uid } of reading.entries) end.seen.set(sequence, uid)
    ends.set(key, end)
  }
  const faults = [...ends.values()].flatMap(({ reading: { reader, stream, subset }, seen }) => {
    const all = [...(log.get(stream)?.values() ?? [])].filter((entry) => !subset || entry.subset === subset)
    const missing = all.filter(({ sequence, uid }) => seen.get(sequence) !== uid)
    return missing.length === 0
      ? []
      : [`${reader} never got ${missing.length} of ${all.length}, first ${missing[0]!.sequence}`]
  })
  return { looked: ends.size, faults }
}

function once({ publications, log }: World) {
  const hopes = new Map<string, Publication[]>()
  for (const made of publications) {
    const key = `${made.stream}/${made.body}`
    hopes.set(key, [...(hopes.get(key) ?? []), made])
  }
  const faults: string[] = []
  let looked = 0
  for (const [stream, entries] of log) {
    const places = new Map<string, number>()
    for (const { body, sequence } of entries.values()) {
      looked++
      const before = places.get(body)
      const made = hopes.get(`${stream}/${body}`)
      if (before !== undefined) faults.push(`${sequence} of ${short(stream)} is ${before} once more`)
      if (!made) faults.push(`${sequence} of ${short(stream)} was published by nobody`)
      else if (made.every(({ end }) => end === 'fail')) {
        faults.push(`${sequence} of ${short(stream)} is there, and ${made[0]!.who} was told that it never will be`)
      }
      places.set(body, sequence)
    }
  }
  return { looked, faults }
}

/** What was acknowledged before something else was published stands before it; and one process publishes in order. */
function ordered(world: World) {
  const faults: string[] = []
  let looked = 0
  for (const [stream, entries] of world.log) {
    const placed = placesOf(world.publications, stream, entries)
    looked += placed.length
    const byEnd = placed.filter(({ made }) => made.end === 'ok').sort((a, b) => a.made.endedAt - b.made.endedAt)
    const byStart = [...placed].sort((a, b) => a.made.invokedAt - b.made.invokedAt)
    const last = new Map<string, number>()
    let highest = 0
    let next = 0
    for (const { made, sequence } of byStart) {
      for (; next < byEnd.length && byEnd[next]!.made.endedAt < made.invokedAt; next++) {
        highest = Math.max(highest, byEnd[next]!.sequence)
      }
      if (sequence <= highest) faults.push(`${made.who} stands at ${sequence}, and ${highest} was acknowledged before`)
      const life = `${made.process}/${made.life}`
      const before = last.get(life) ?? 0
      if (sequence <= before) faults.push(`${made.who} stands at ${sequence}, behind what was published after it`)
      last.set(life, sequence)
    }
  }
  return { looked, faults }
}

function linesInOrder({ publications, log }: World) {
  const lines = new Map<string, number>()
  for (const { stream, body, line } of publications) if (line !== undefined) lines.set(`${stream}/${body}`, line)
  const faults: string[] = []
  let looked = 0
  for (const [stream, entries] of log) {
    let before = 0
    for (const { body, sequence } of entries.values()) {
      const line = lines.get(`${stream}/${body}`)
      if (line === undefined) continue
      looked++
      if (line !== before + 1) faults.push(`line ${line} follows line ${before} at ${sequence}`)
      before = line
    }
  }
  return { looked, faults }
}

function chained({ held }: World) {
  const faults: string[] = []
  let looked = 0
  for (const [stream, anchors] of held) {
    for (const [anchor, entries] of anchors) {
      const subsets = new Map<string, Held>()
      let before: Held | undefined
      for (const entry of entries) {
        looked++
        const inSubset = subsets.get(entry.subset)
        const follows = isAfter(entry.sequence, entry.previous, before && { place: before.sequence, uid: before.uid })
        const last = inSubset && { place: inSubset.subSequence, uid: inSubset.uid }
        const name = `${entry.sequence} of ${short(stream)} at ${anchor}`
        if (!follows) faults.push(`${name} does not follow ${before?.sequence ?? 'nothing'}`)
        if (!isAfter(entry.subSequence, entry.subPrevious, last)) faults.push(`${name} breaks the chain of its subset`)
        if (before && entry.epoch < before.epoch) faults.push(`${name} goes back to epoch ${entry.epoch}`)
        subsets.set(entry.subset, entry)
        before = entry
      }
    }
  }
  return { looked, faults }
}

function subsetsWhole({ readings, held }: World) {
  const given = new Map<string, { readonly reading: Reading; readonly uids: string[] }>()
  for (const reading of readings) {
    if (reading.how !== 'held' || reading.subset === undefined) continue
    const key = `${reading.anchor}/${reading.stream}/${reading.subset}`
    const all = given.get(key) ?? { reading, uids: [] }
    all.uids.push(...reading.entries.map(({ uid }) => uid))
    given.set(key, all)
  }
  let looked = 0
  const faults = [...given.values()].flatMap(({ reading: { anchor, stream, subset }, uids }) => {
    const entries = held.get(stream)?.get(anchor!) ?? []
    const wanted = entries.filter((entry) => entry.subset === subset).map(({ uid }) => uid)
    looked += wanted.length
    const isSame = wanted.length === uids.length && wanted.every((uid, i) => uid === uids[i])
    return isSame ? [] : [`${anchor} gives ${uids.length} of ${short(subset!)}, and its stream has ${wanted.length}`]
  })
  return { looked, faults }
}

function agreed({ heads, held, log, bounds }: World) {
  const faults = [...log].flatMap(([stream, entries]) =>
    bounds.anchors.flatMap((anchor) => {
      const head = heads.find((each) => each.stream === stream && each.anchor === anchor)
      const own = held.get(stream)?.get(anchor) ?? []
      const last = entries.get(entries.size)
      if (!head) return [`${anchor} does not say where ${short(stream)} stands`]
      const isAtEnd = head.certified === entries.size && head.sequence === entries.size && head.uid === last?.uid
      const isSame = own.length === entries.size && own.every(({ sequence, uid }) => entries.get(sequence)?.uid === uid)
      if (isAtEnd && isSame) return []
      const has = `holds ${own.length} and says ${head.sequence}, certified ${head.certified}`
      return [`${anchor} ${has} of ${entries.size} in ${short(stream)}`]
    }),
  )
  return { looked: log.size * bounds.anchors.length, faults }
}

function followed({ followed, log }: World) {
  const subsets = new Set(followed.map(({ subset }) => subset))
  const faults = [...log].flatMap(([stream, entries]) =>
    [...subsets].flatMap((subset) => {
      const count = [...entries.values()].filter((entry) => entry.subset === subset).length
      const own = followed.filter((each) => each.stream === stream && each.subset === subset)
      if (own.length === 0 && count > 0) return [`no instance follows ${short(stream)}`]
      const behind = own.filter(({ after }) => after !== count)
      return behind.map(({ node, after }) => `${node} has ${after} of ${count} in ${short(subset)} of ${short(stream)}`)
    }),
  )
  return { looked: followed.length, faults }
}

function healed({ played }: World) {
  const faults = played.filter(({ kind }) => kind === 'fail').map(({ name, detail }) => `${name} of ${detail}`)
  return { looked: played.length, faults }
}

// --- the world ---

function worldOf(lines: readonly Line[], bounds: Bounds): World {
  const publications = new Map<string, Publication>()
  const readings = new Map<string, Reading>()
  const heads: Head[] = []
  const followers: Followed[] = []
  const wrong: string[] = []
  const played: Played[] = []
  for (const line of lines) {
    const { process, life, op } = line
    const who = `${process} ${life}.${op}`
    if (line.f === 'wrong') wrong.push(`${process}: ${line.detail}`)
    else if (line.f === 'head') heads.push(line)
    else if (line.f === 'followed') followers.push(line)
    else if (line.f === 'fault' && line.kind !== 'invoke') played.push(line)
    else if (line.f === 'publish') publish(publications, line, who)
    else if (line.f === 'read' && line.kind === 'invoke') readings.set(who, { ...line, who, entries: [] })
    else if (line.f === 'read' && line.kind === 'ok') {
      const reading = readings.get(who)
      if (reading) reading.entries.push(...line.entries)
      else wrong.push(`${who} is an answer that nobody asked for`)
    }
  }
  const all = [...readings.values()]
  const held = heldOf(all)
  const log = new Map([...held].map(([stream, anchors]) => [stream, mostHeld([...anchors.values()])] as const))
  return {
    bounds,
    publications: [...publications.values()],
    readings: all,
    heads,
    followed: followers,
    wrong,
    played,
    held,
    log,
  }
}

function publish(all: Map<string, Publication>, line: Extract<Line, { f: 'publish' }>, who: string): void {
  if (line.kind === 'invoke') {
    const never = Number.POSITIVE_INFINITY
    const { mono: invokedAt } = line
    all.set(who, { ...line, who, invokedAt, endedAt: never, end: 'open', acknowledged: undefined })
    return
  }
  const made = all.get(who)
  if (!made) return
  made.endedAt = line.mono
  made.end = line.kind === 'info' ? 'open' : line.kind
  if (line.kind === 'ok') made.acknowledged = line
}

function heldOf(readings: readonly Reading[]): ReadonlyMap<string, ReadonlyMap<string, readonly Held[]>> {
  const held = new Map<string, Map<string, Held[]>>()
  for (const { how, subset, stream, anchor, entries } of readings) {
    if (how !== 'held' || subset !== undefined) continue
    const anchors = held.get(stream) ?? new Map<string, Held[]>()
    held.set(stream, anchors)
    anchors.set(anchor!, [...(anchors.get(anchor!) ?? []), ...(entries as Held[])])
  }
  return held
}

/** What most have at a place, from the first place to the last that anybody has. */
function mostHeld(anchors: readonly (readonly Held[])[]): ReadonlyMap<number, Held> {
  const votes = new Map<number, Map<string, { readonly entry: Held; count: number }>>()
  for (const entries of anchors) {
    for (const entry of entries) {
      const place = votes.get(entry.sequence) ?? new Map<string, { readonly entry: Held; count: number }>()
      const vote = place.get(entry.uid) ?? { entry, count: 0 }
      vote.count++
      votes.set(entry.sequence, place.set(entry.uid, vote))
    }
  }
  const places = [...votes].sort(([a], [b]) => a - b)
  return new Map(places.map(([sequence, place]) => [sequence, [...place.values()].sort(byCount)[0]!.entry]))
}

function byCount(a: { readonly count: number }, b: { readonly count: number }): number {
  return b.count - a.count
}

/** Everybody who ever said what stands at a place. */
function* mentions({ publications, readings }: World): Generator<Mention> {
  for (const { stream, who, acknowledged } of publications) {
    const { sequence, uid, digest } = acknowledged ?? {}
    if (sequence !== undefined && uid && digest) yield { stream, who, at: sequence, sequence, uid, digest }
  }
  for (const { stream, who, anchor, entries } of readings) {
    for (const entry of entries) yield { ...entry, stream, who: anchor ? `${who} of ${anchor}` : who }
  }
}

/** Where publications stand: as they were told, or where their body is found. */
function placesOf(publications: readonly Publication[], stream: string, entries: ReadonlyMap<number, Held>) {
  const byBody = new Map([...entries.values()].map(({ body, sequence }) => [body, sequence]))
  return publications.flatMap((made) => {
    if (made.stream !== stream || made.end === 'fail') return []
    // An open call may have been repeated by a later one, which then is what stands there.
    const isRepeated = made.end === 'open' && made.line !== undefined
    const sequence = made.acknowledged?.sequence ?? byBody.get(made.body)
    return sequence === undefined || isRepeated ? [] : [{ made, sequence }]
  })
}

function at(entries: readonly Held[], sequence: number): Held | undefined {
  const entry = entries[sequence - 1]
  return entry?.sequence === sequence ? entry : entries.find((each) => each.sequence === sequence)
}

function isAfter(place: number, previous: string, last: { readonly place: number; readonly uid: string } | undefined) {
  return last ? place === last.place + 1 && previous === last.uid : place === 1 && /^0x0+$/.test(previous)
}

function short(id: string): string {
  return id.slice(0, 10)
}
