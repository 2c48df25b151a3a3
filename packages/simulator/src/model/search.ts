/** Breadth first through every state that a world can reach; the first violation is a shortest one. */

/** A state is a row of small numbers. */
export type State = Uint32Array
export type Visit = (next: State) => void

export type World = {
  readonly width: number
  readonly initial: readonly State[]
  /** Forgets, in place, what can make no difference any more. */
  forget(state: State): void
  /** Puts parties that are alike in one order, in place. */
  sort(state: State): void
  /** Calls `visit` for each state one step away; what was done is told by `lastStep` during the call. */
  expand(state: State, visit: Visit): void
  /** What is wrong in this state, or in a step that was just taken to it. */
  violation(state: State): string | undefined
  lastStep(): string
  /** Violations that belong to the step itself, as it is taken. */
  stepViolation(): string | undefined
}

export type Found = { readonly violation: string; readonly steps: readonly string[] }
export type Searched = {
  readonly states: number
  readonly transitions: number
  readonly depth: number
  readonly exhausted: boolean
  readonly found: Found | undefined
}

const NONE = 0xffffffff

export function search(world: World, { limit }: { limit: number }): Searched {
  const visited = visitedStates(world.width)
  const scratch = new Uint32Array(world.width)
  let transitions = 0
  let depth = 0
  let layerEnd = 0
  let broken: { from: number; violation: string } | undefined
  let at = 0
  const add = (state: State, parent: number): void => {
    scratch.set(state)
    world.forget(scratch)
    world.sort(scratch)
    visited.add(scratch, parent)
  }
  for (const state of world.initial) add(state, NONE)
  layerEnd = visited.size()
  const current = new Uint32Array(world.width)
  const visit: Visit = (next) => {
    transitions++
    const violation = broken ? undefined : world.stepViolation()
    if (violation !== undefined) broken = { from: at, violation }
    add(next, at)
  }
  for (; at < visited.size(); at++) {
    if (at === layerEnd) {
      depth++
      layerEnd = visited.size()
    }
    visited.read(at, current)
    const violation = world.violation(current)
    if (violation !== undefined) {
      return { ...counts(), exhausted: false, found: { violation, steps: pathTo(world, visited, at, undefined) } }
    }
    world.expand(current, visit)
    if (broken) {
      const steps = pathTo(world, visited, broken.from, broken.violation)
      return { ...counts(), exhausted: false, found: { violation: broken.violation, steps } }
    }
    if (visited.size() > limit) return { ...counts(), exhausted: false, found: undefined }
  }
  return { ...counts(), exhausted: true, found: undefined }

  function counts() {
    return { states: visited.size(), transitions, depth }
  }
}

/** Takes the path once more, this time without exchanging equal parties, so that names stay the same along it. */
function pathTo(world: World, visited: Visited, end: number, lastViolation: string | undefined): readonly string[] {
  const path: number[] = []
  for (let at = end; at !== NONE; at = visited.parent(at)) path.unshift(at)
  const steps: string[] = []
  const form = new Uint32Array(world.width)
  const wanted = new Uint32Array(world.width)
  let state: State = start(world, visited, path[0]!)
  for (const index of path.slice(1)) {
    visited.read(index, wanted)
    let next: State | undefined
    world.expand(state, (candidate) => {
      if (next) return
      const kept = candidate.slice()
      world.forget(kept)
      form.set(kept)
      world.sort(form)
      if (!form.every((word, i) => word === wanted[i])) return
      next = kept
      steps.push(world.lastStep())
    })
    state = next!
  }
  let ended = false
  if (lastViolation !== undefined) {
    world.expand(state, () => {
      if (ended || world.stepViolation() !== lastViolation) return
      ended = true
      steps.push(world.lastStep())
    })
  }
  return steps
}

function start(world: World, visited: Visited, index: number): State {
  const wanted = new Uint32Array(world.width)
  visited.read(index, wanted)
  const form = new Uint32Array(world.width)
  return world.initial.find((state) => {
    form.set(state)
    world.forget(form)
    world.sort(form)
    return form.every((word, i) => word === wanted[i])
  })!
}

type Visited = ReturnType<typeof visitedStates>

/** All states seen, in the order in which they were found, with an open hash table over them. */
function visitedStates(width: number) {
  let rows = new Uint32Array(width << 16)
  let parents = new Uint32Array(1 << 16)
  let table = new Uint32Array(1 << 18).fill(NONE)
  let count = 0

  function slotOf(state: State | Uint32Array, offset: number): number {
    let hash = 0x811c9dc5
    for (let i = 0; i < width; i++) {
      hash = Math.imul(hash ^ state[offset + i]!, 0x9e3779b1)
      hash ^= hash >>> 15
    }
    return (hash >>> 0) & (table.length - 1)
  }

  function grow(): void {
    if ((count + 1) * width > rows.length) {
      const wider = new Uint32Array(rows.length * 2)
      wider.set(rows)
      rows = wider
      const longer = new Uint32Array(parents.length * 2)
      longer.set(parents)
      parents = longer
    }
    if (count * 2 <= table.length) return
    table = new Uint32Array(table.length * 2).fill(NONE)
    for (let index = 0; index < count; index++) {
      let slot = slotOf(rows, index * width)
      while (table[slot] !== NONE) slot = (slot + 1) & (table.length - 1)
      table[slot] = index
    }
  }

  return {
    size: () => count,
    parent: (index: number) => parents[index]!,
    read(index: number, into: State): void {
      for (let i = 0; i < width; i++) into[i] = rows[index * width + i]!
    },
    add(state: State, parent: number): void {
      let slot = slotOf(state, 0)
      probing: while (table[slot] !== NONE) {
        const offset = table[slot]! * width
        for (let i = 0; i < width; i++) {
          if (rows[offset + i] !== state[i]) {
            slot = (slot + 1) & (table.length - 1)
            continue probing
          }
        }
        return
      }
      grow()
      slot = slotOf(state, 0)
      while (table[slot] !== NONE) slot = (slot + 1) & (table.length - 1)
      table[slot] = count
      for (let i = 0; i < width; i++) rows[count * width + i] = state[i]!
      parents[count] = parent
      count++
    },
  }
}
